//! Writes the MPI library's folder into the binary, so that `rankpool` starts without
//! `LD_LIBRARY_PATH` wherever that MPI lies.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=MPICC");
    println!("cargo:rerun-if-env-changed=PATH");
    let mpicc = std::env::var("MPICC").unwrap_or_else(|_| "mpicc".into());
    let Ok(shown) = Command::new(mpicc).arg("-show").output() else { return };
    for folder in String::from_utf8_lossy(&shown.stdout)
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("-L"))
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.trim_matches(['"', '\'']));
    }
}
