//! The host of rank 0 is lost, and `rankpool launch` runs on another one: the run goes on on those
//! that are left.

use crate::hosts::{Hosts, WORK, check_complete};
use crate::util::{Ran, Rankpool, Running};

/// `launch` on a host that has no ranks; rank 0 is on `h2`.
fn launch(hosts: &Hosts) -> Rankpool {
    let pool = hosts.launch("--hostfile others");
    pool.dir().write("others", "h2 slots=2\nh3 slots=2\n");
    pool.job(WORK).args(["--heartbeat", "2s"])
}

/// Waits until both hosts have written records.
fn wait_for_both(running: &mut Running) {
    running.poll("a record of each host", |running| {
        let text = std::fs::read_to_string(running.dir.path().join("job.results.jsonl"));
        let text = text.unwrap_or_default();
        ["h2", "h3"].iter().all(|host| text.contains(&format!("\"host\":\"{host}\"")))
    });
}

/// Breaks it in the middle, and looks for each task's one record.
#[track_caller]
fn survives(hosts: &Hosts, what: &str, breaks: &[&str]) -> Ran {
    eprintln!("{what}");
    let mut running = launch(hosts).start();
    wait_for_both(&mut running);
    for line in breaks {
        hosts.script(line);
    }
    let (ran, dir) = running.wait();
    ran.code(0);
    check_complete(&dir);
    ran
}

#[test]
fn a_run_goes_on_without_the_host_of_rank_0() {
    let Some(hosts) = Hosts::up() else { return };
    let goes_on = |what: &str, breaks: &[&str]| {
        let ran = survives(&hosts, what, breaks);
        ran.says("restart 1 of 3").says("left out host `h2`");
    };
    goes_on("it is switched off", &["kill h2"]);
    hosts.script("restart h2");
    let daemons = "run h2 pkill -KILL -x prted|orted|hydra_pmi_proxy";
    survives(&hosts, "its daemon is killed", &[daemons]);
    // Rank 0 still has the folder that all share.
    survives(&hosts, "its network is gone for good", &["link h2 down"]);
    hosts.script("heal");
    // Nothing tells mpirun.
    goes_on("its power is gone", &["link h2 down", "kill h2"]);
}
