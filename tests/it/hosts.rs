//! Several hosts: each with its own name, address, processes and sshd, and a network between
//! them that breaks (`scripts/hosts`).

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::local::{MIXED, MIXED_TASKS, gathered, run as run_locally};
use crate::util::{Dir, Ran, Rankpool, Running, is_open_mpi, passes_codes_on, surviving_flags};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/hosts");
const RANKPOOL: &str = env!("CARGO_BIN_EXE_rankpool");
/// Some seconds of work on three hosts, with 4 I/O threads a rank.
pub(crate) const WORK: &str = "io_threads = 4\n[[task]]\nkind = \"probe\"\nn = \"1..=600\"\naction = \"sleep\"\ntime = \"100ms\"\n";
const WORK_TASKS: usize = 600;

/// Three hosts that are there as long as this is.
pub(crate) struct Hosts {
    dir: Dir,
    keeper: Child,
}

impl Hosts {
    /// `None`, and a word why, where they cannot be made.
    pub(crate) fn up() -> Option<Self> {
        Self::kept_by(SCRIPT)
    }

    /// The same by a script that makes more of them.
    pub(crate) fn kept_by(script: &str) -> Option<Self> {
        let dir = Dir::new();
        let mut command = Command::new(script);
        command.args(["keep", "3"]).env("RANKPOOL_HOSTS", dir.path().join("hosts"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = command.spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(keeper.stdout.as_mut().unwrap());
        // The last word of whatever it makes.
        while !line.contains("is up") && lines.read_line(&mut line).unwrap() > 0 {}
        if line.contains("is up") {
            return Some(Self { dir, keeper });
        }
        let said = keeper.wait_with_output().unwrap().stderr;
        let said = String::from_utf8_lossy(&said);
        let cannot = said.contains("only root can") || said.contains("is missing");
        assert!(cannot, "hosts cannot be made: {said}");
        eprintln!("skipped: no test with several hosts here: {said}");
        None
    }

    /// Does something to them.
    #[track_caller]
    pub(crate) fn script(&self, line: &str) -> String {
        let mut command = Command::new(SCRIPT);
        let state = self.dir.path().join("hosts");
        // What `scripts/slurm` writes, where that is what keeps them.
        command.env("SLURM_CONF", state.join("slurm/slurm.conf"));
        command.args(line.split(' ')).env("RANKPOOL_HOSTS", state);
        let output = command.current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command on `h1`, in a folder that all hosts see.
    pub(crate) fn on_h1(&self, command: &[&str]) -> Rankpool {
        let mut script = Command::new(SCRIPT);
        script.args(["run", "h1"]).args(command);
        script.env("RANKPOOL_HOSTS", self.dir.path().join("hosts"));
        // Each host has its own.
        script.env("TMPDIR", "/tmp");
        let pool = Rankpool::new(script).in_dir(Dir::within(&self.dir.path().join("hosts")));
        pool.dir().write("two", "h1 slots=2\nh2 slots=2\n");
        pool.dir().write("three", "h1 slots=2\nh2 slots=2\nh3 slots=2\n");
        pool
    }

    /// rankpool by plain mpirun, two ranks on each host of a hostfile.
    fn mpirun(&self, hostfile: &str, ranks: &str) -> Rankpool {
        let mut words = vec!["mpirun", "-n", ranks];
        if is_open_mpi() {
            words.extend(["--hostfile", hostfile, "--bind-to", "none"]);
            words.extend(["--mca", "mpi_yield_when_idle", "1"]);
        } else {
            words
                .extend(["-hosts", if hostfile == "two" { "h1:2,h2:2" } else { "h1:2,h2:2,h3:2" }]);
        }
        words.extend(surviving_flags().unwrap_or(&[]));
        words.push(RANKPOOL);
        self.on_h1(&words)
    }

    /// `rankpool launch` on `h1`.
    pub(crate) fn launch(&self, line: &str) -> Rankpool {
        self.on_h1(&[RANKPOOL, "launch"]).line(line)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Exactly one record a task of [`WORK`], all of them ok.
#[track_caller]
pub(crate) fn check_complete(dir: &Dir) {
    let records = dir.records("job.results.jsonl");
    let ids: BTreeSet<_> = records.iter().map(|record| record["id"].to_string()).collect();
    assert_eq!((records.len(), ids.len()), (WORK_TASKS, WORK_TASKS));
    assert!(records.iter().all(|record| record["status"] == "ok"));
}

/// Waits for as long as something holds.
#[track_caller]
pub(crate) fn poll(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if !holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("waited for {what} until the deadline");
}

/// Waits until each host has written records.
fn wait_for_all_hosts(running: &mut Running) {
    running.poll("a record of each host", |running| {
        let text = std::fs::read_to_string(running.dir.path().join("job.results.jsonl"));
        let text = text.unwrap_or_default();
        ["h1", "h2", "h3"].iter().all(|host| text.contains(&format!("\"host\":\"{host}\"")))
    });
}

fn stats(dir: &Dir) -> Value {
    serde_json::from_str(&dir.read("stats.json")).unwrap()
}

#[test]
fn three_hosts_do_what_one_does() {
    let Some(hosts) = Hosts::up() else { return };
    let alone = gathered(&run_locally(1, MIXED).1);
    let pools =
        [(hosts.mpirun("three", "6"), passes_codes_on()), (hosts.launch("--hostfile three"), true)];
    for (pool, passes_codes_on) in pools {
        let (ran, dir) = pool.job(MIXED).args(["--stats", "stats.json"]).run();
        ran.code(i32::from(passes_codes_on)).says("6 ranks").says("3 hosts").says("By host:");
        assert_eq!(gathered(&dir.records("job.results.jsonl")), alone);
        assert!(!ran.stderr.contains("is not shared"), "{}", ran.stderr);
        let stats = stats(&dir);
        let by_host = stats["hosts"].as_array().unwrap();
        let names: Vec<_> = by_host.iter().map(|host| host["host"].as_str().unwrap()).collect();
        assert_eq!(names, ["h1", "h2", "h3"]);
        let tasks: u64 = by_host.iter().map(|host| host["tasks"].as_u64().unwrap()).sum();
        assert_eq!(tasks, MIXED_TASKS.0);
    }
    info_shows_each_host_once(&hosts);
    a_wrong_hostfile_is_refused(&hosts);
    results_that_others_cannot_see_are_warned_of(&hosts);
    another_rankpool_is_named_with_its_host(&hosts);
}

fn info_shows_each_host_once(hosts: &Hosts) {
    let (ran, _) = hosts.mpirun("three", "6").line("info").run();
    ran.code(0);
    let table: Vec<&str> = ran.stdout.lines().skip(2).take(4).collect();
    let cores = std::thread::available_parallelism().unwrap().get();
    for (line, (ranks, host)) in
        table[1..].iter().zip([("0-1", "h1"), ("2-3", "h2"), ("4-5", "h3")])
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!((cells[0], cells[4]), (ranks, host), "{}", ran.stdout);
        assert_eq!(cells[2], cores.max(2).to_string(), "{}", ran.stdout);
    }
}

#[track_caller]
fn refuses(pool: Rankpool, parts: &[&str]) {
    let (ran, dir) = pool.args(["run", "job.toml"]).run();
    assert!(!ran.status.success());
    for part in parts {
        ran.says(part);
    }
    assert!(!dir.path().join("job.results.jsonl").exists());
}

fn a_wrong_hostfile_is_refused(hosts: &Hosts) {
    let with = |hostfile: &str, options: &str| {
        let pool = hosts.launch(&format!("--hostfile hosts{options}"));
        pool.dir().write("hosts", hostfile);
        pool.dir().write("job.toml", WORK);
        pool
    };
    let way_out = "`ssh HOST` from here has to find the same rankpool there without asking";
    refuses(with("h1 slots=2\nnowhere slots=2\n", ""), &["`hosts`: host `nowhere`: ", way_out]);
    refuses(with("h1 slots=2\nh2 slots=0\n", ""), &["`hosts`: host `h2` takes `0` ranks; write"]);
    refuses(with("h1\nh2 slots=many\n", ""), &["`hosts`: host `h2` takes `many` ranks; write"]);
    // Nobody listens there.
    hosts.script("run h2 pkill -KILL -x sshd");
    refuses(with("h1 slots=2\nh2 slots=2\n", ""), &["`hosts`: host `h2`: ", "refused", way_out]);
    hosts.script("kill h2");
    hosts.script("restart h2");
    let pool = with("h1 slots=1\nh2 slots=1\n", " -n 4").job(MIXED);
    pool.run().0.code(1).says("4 ranks on the 2 slots of `hosts` share cores; `-n 2`, or more");
}

/// `/tmp` is each host's own.
fn results_that_others_cannot_see_are_warned_of(hosts: &Hosts) {
    let pool = hosts.launch("--hostfile three").job(MIXED);
    let (ran, _) = pool.args(["--output", "/tmp/job.results.jsonl"]).run();
    ran.code(1).says("the results' folder `/tmp` is not shared, `h2`, `h3` see another one");
}

/// `/tmp` is each host's own: the program there as well.
fn another_rankpool_is_named_with_its_host(hosts: &Hosts) {
    let dir = hosts.dir.path().join("hosts");
    let program = std::fs::read(RANKPOOL).unwrap();
    let (version, other) = (env!("CARGO_PKG_VERSION").as_bytes(), b"9.9.9".as_slice());
    assert_eq!(version.len(), other.len(), "the other version fits into the program");
    let mut changed = program.clone();
    let places: Vec<usize> = (0..program.len() - version.len())
        .filter(|&at| program[at..].starts_with(version))
        .collect();
    for at in places {
        changed[at..at + version.len()].copy_from_slice(other);
    }
    std::fs::write(dir.join("other"), changed).unwrap();
    let launch = || {
        let pool = hosts.on_h1(&["/tmp/rankpool", "launch", "--hostfile", "three"]);
        pool.dir().write("job.toml", WORK);
        pool
    };
    for host in ["h1", "h3"] {
        // Not a link: `launch` starts ranks by the name that its own program has.
        hosts.script(&format!("run {host} cp {RANKPOOL} /tmp/rankpool"));
    }
    refuses(launch(), &["`three`: host `h2`: ", "/tmp/rankpool"]);
    hosts.script(&format!("run h2 cp {}/other /tmp/rankpool", dir.display()));
    hosts.script("run h2 chmod +x /tmp/rankpool");
    refuses(launch(), &["host `h2`: it has rankpool 9.9.9, and this host has rankpool "]);
    let mut words = vec!["mpirun", "-n", "6"];
    words.extend(if is_open_mpi() {
        ["--hostfile", "three"]
    } else {
        ["-hosts", "h1:2,h2:2,h3:2"]
    });
    words.extend(["/tmp/rankpool", "fib", "3"]);
    let (ran, _) = hosts.on_h1(&words).run();
    ran.code(2).says("rank 2 on host h2 runs rankpool 9.9.9, rank 0 on host h1 runs");
    std::fs::remove_file(dir.join("other")).unwrap();
}

#[test]
fn what_heals_goes_unnoticed() {
    let Some(hosts) = Hosts::up() else { return };
    let undisturbed = |what: &str, pool: Rankpool, breaks: &dyn Fn(&mut Running)| {
        eprintln!("{what}");
        let mut running = pool.job(WORK).args(["--stats", "stats.json"]).start();
        wait_for_all_hosts(&mut running);
        breaks(&mut running);
        let (ran, dir): (Ran, Dir) = running.wait();
        ran.code(0);
        check_complete(&dir);
        assert_eq!(stats(&dir)["dead_ranks"], 0, "{what}");
    };
    undisturbed("a link is down for 3 s", hosts.mpirun("three", "6"), &|_| {
        hosts.script("link h2 down");
        std::thread::sleep(std::time::Duration::from_secs(3));
        hosts.script("heal");
    });
    undisturbed(
        "two workers are cut off from each other",
        hosts.launch("--hostfile three"),
        &|_| {
            hosts.script("cut h2 h3");
        },
    );
    hosts.script("heal");
    hosts.script("loss h2 1");
    undisturbed("one frame of a hundred is lost", hosts.mpirun("three", "6"), &|_| {});
}

#[test]
fn a_lost_host_is_left_out() {
    let Some(hosts) = Hosts::up() else { return };
    let survives = |what: &str, breaks: &str| {
        eprintln!("{what}");
        let pool = hosts.launch("--hostfile three").job(WORK);
        let mut running = pool.args(["--heartbeat", "2s"]).start();
        wait_for_all_hosts(&mut running);
        hosts.script(breaks);
        let (ran, dir) = running.wait();
        ran.code(0);
        check_complete(&dir);
        ran
    };
    let daemons = "run h3 pkill -KILL -x prted|orted|hydra_pmi_proxy";
    survives("its daemon is killed", daemons);
    survives("its network is gone for good", "link h3 down");
    hosts.script("heal");
    let ran = survives("it is switched off", "kill h3");
    // Open MPI 4's mpirun may go on without it.
    if ran.stderr.contains("restart 1 of 3") {
        ran.says("left out host `h3`");
    } else {
        assert!(!passes_codes_on(), "{}", ran.stderr);
    }
    hosts.script("restart h3");

    eprintln!("without `launch`");
    if surviving_flags().is_some() {
        let pool = hosts.mpirun("three", "6").job(WORK).args(["--heartbeat", "2s"]);
        let mut running = pool.start();
        wait_for_all_hosts(&mut running);
        hosts.script("link h3 down");
        let (_, dir) = running.wait();
        check_complete(&dir);
        hosts.script("heal");
    }
    let pool = hosts.mpirun("three", "6").job(WORK).args(["--heartbeat", "2s"]);
    let mut running = pool.start();
    wait_for_all_hosts(&mut running);
    hosts.script("kill h3");
    let (_, dir) = running.wait();
    // mpirun tells rank 0 to end; it may still write what has just come to its end.
    poll("rank 0 to be gone", || hosts.script("run h1 ps -e").contains("rankpool"));
    let pool = hosts.mpirun("two", "4").in_dir(dir);
    pool.dir().write("two", "h1 slots=2\nh2 slots=2\n");
    let (ran, dir) = pool.job(WORK).args(["--resume"]).run();
    ran.code(0);
    check_complete(&dir);
}
