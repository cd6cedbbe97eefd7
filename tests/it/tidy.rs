//! The architecture's rules, read off the source.

use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer, tests below `#[cfg(test)]` not counted.
const LONGEST_FILE: usize = 400;

fn sources() -> Vec<(String, String)> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    below(&root, &mut found);
    found.sort();
    assert!(found.len() > 20, "the sources are there");
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// A source without its tests and comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_tests(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("tests/")
}

/// Only files that begin with one of `allowed` name `what`.
#[track_caller]
fn only(what: &str, allowed: &[&str]) {
    for (name, text) in sources() {
        let named = code(&text).contains(what) && !is_tests(&name);
        let may = allowed.iter().any(|begin| name.starts_with(begin));
        assert!(may || !named, "src/{name} names `{what}`; only {allowed:?} may");
    }
}

#[test]
fn each_library_has_its_room() {
    only("mpi::", &["transport/mpi/", "transport/mod.rs", "world.rs"]);
    only("use mpi", &["transport/mpi/"]);
    only("rayon::", &["executor/", "task/"]);
    only("ureq::", &["web/"]);
    // What comes to a main thread wakes it: there are no other channels to it.
    let elsewhere = ["discover/", "executor/threads.rs", "launch/", "transport/local.rs"];
    only("crossbeam_channel", &[&["channel.rs"], &elsewhere[..]].concat());
    only("clap::", &["cli.rs", "cli/", "main.rs"]);
    only("indicatif::", &["sink/terminal.rs"]);
    only("mdns_sd::", &["discover/mdns.rs"]);
    only(
        "std::fs",
        &[
            "control/",
            "discover/",
            "gather/",
            "inventory.rs",
            "job/",
            "launch/",
            "pipe/",
            "sink/",
            "task/command/",
            "task/items/",
            "task/stream/",
            "transport/mpi/startup.rs",
            "values/",
            "web/",
        ],
    );
}

#[test]
fn only_those_who_may_read_the_clock_do() {
    only(
        "Instant::now",
        &[
            "run/mod.rs",
            "executor/mod.rs",
            "discover/mdns.rs",
            "launch/mod.rs",
            "pipe/mod.rs",
            "task/limit.rs",
            "task/probe",
            "web/",
        ],
    );
    only("SystemTime::now", &["discover/mod.rs", "executor/mod.rs", "run/mod.rs", "web/http/"]);
}

#[test]
fn decisions_know_no_world() {
    for module in [
        "root/",
        "schedule.rs",
        "placement.rs",
        "stats/",
        "discover/choose.rs",
        "discover/hostfile",
    ] {
        for what in
            ["crate::run", "crate::transport::mpi", "crate::sink", "crate::world", "std::thread"]
        {
            for (name, text) in sources() {
                let named = name.starts_with(module) && code(&text).contains(what);
                assert!(!named, "src/{name} names `{what}`");
            }
        }
    }
    only("crate::cli", &["cli.rs", "cli/", "job/", "main.rs"]);
    only("crate::world", &["world.rs", "main.rs"]);
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    for (name, text) in sources() {
        let is_tests = is_tests(&name);
        assert!(is_tests || text.starts_with("//! "), "src/{name} does not say what it is for");
        let lines = text.split("\n#[cfg(test)]").next().unwrap().lines().count();
        assert!(is_tests || lines <= LONGEST_FILE, "src/{name} has {lines} lines");
    }
}
