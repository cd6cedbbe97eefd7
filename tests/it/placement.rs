//! The lines of docs/placement.md, as far as they are for the MPI that is here: each uses every
//! core and is warned of nothing; without them Open MPI is.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::util::{Rankpool, is_open_mpi, mpirun_version};

/// The lines in the table's row of the MPI that is here, for as many ranks as there are cores.
fn lines() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/placement.md");
    let page = fs::read_to_string(path).unwrap();
    let name = match mpirun_version() {
        version if version.contains("(Open MPI) 5") => "Open MPI 5",
        version if version.contains("(Open MPI) 4") => "Open MPI 4",
        _ => "MPICH",
    };
    let row = page.lines().find(|line| line.starts_with(&format!("| {name} |")));
    let cells = row.expect(name).split('`').skip(1).step_by(2);
    cells.map(str::to_owned).collect()
}

fn info(line: &str) -> Value {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args([env!("CARGO_BIN_EXE_rankpool"), "info", "--json"]);
    for name in ["OMPI_MCA_hwloc_base_binding_policy", "PRTE_MCA_hwloc_default_binding_policy"] {
        command.env_remove(name);
    }
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
    }
    let (ran, _) = Rankpool::new(command).run();
    ran.code(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn every_line_uses_all_cores() {
    let cores = std::thread::available_parallelism().unwrap().get() as u64;
    let lines = lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, ranks) in lines.iter().zip([cores, 1, 1]) {
        let line = line.replace("-n N", &format!("-n {ranks}")).replace("-ppn S", "-ppn 1");
        let info = info(&line);
        assert_eq!(info["warnings"], Value::Array(Vec::new()), "{line}");
        let ranks = info["ranks"].as_array().unwrap();
        let threads: u64 =
            ranks.iter().map(|rank| rank["share"]["threads"].as_u64().unwrap()).sum();
        assert_eq!(threads, cores, "{line}");
    }
}

#[test]
fn a_rank_that_is_bound_to_one_core_is_warned_of() {
    let cores = std::thread::available_parallelism().unwrap().get();
    if !is_open_mpi() || cores == 1 {
        eprintln!("skipped: only Open MPI binds ranks by itself, and to one core of several");
        return;
    }
    let info = info("mpirun -n 1");
    let warning = info["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains(&format!("bound to 1 of {cores} cores")), "{warning}");
    assert!(warning.contains("`mpirun --bind-to none`"), "{warning}");
}
