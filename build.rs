//! Writes the MPI library's folder into the binary, so that `rankpool` starts without
//! `LD_LIBRARY_PATH` wherever that MPI lies, and where that MPI is, for `rankpool launch`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=MPICC");
    let mpicc = std::env::var("MPICC").unwrap_or_else(|_| "mpicc".into());
    if !mpicc.contains('/') {
        // Only then: every shell has another PATH, and a rebuild takes minutes.
        println!("cargo:rerun-if-env-changed=PATH");
    }
    let shown = Command::new(&mpicc).arg("-show").output();
    let shown = shown.map(|shown| String::from_utf8_lossy(&shown.stdout).into_owned());
    let shown = shown.unwrap_or_default();
    let folders = shown.split_whitespace().filter_map(|word| word.strip_prefix("-L"));
    let folders: Vec<&str> = folders.map(|folder| folder.trim_matches(['"', '\''])).collect();
    for folder in &folders {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    let path = on_path(&mpicc).unwrap_or_else(|| mpicc.into());
    println!("cargo:rustc-env=RANKPOOL_MPICC={}", path.display());
    println!("cargo:rustc-env=RANKPOOL_MPI_LIB={}", folders.first().unwrap_or(&""));
}

fn on_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return std::path::absolute(program).ok();
    }
    let folders = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&folders).map(|folder| folder.join(program));
    found.into_iter().find(|path: &PathBuf| Path::is_file(path))
}
