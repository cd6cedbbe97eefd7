//! `rankpool launch`: real worlds, and stubs of mpirun that end in ways which a real one cannot
//! be made to.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::Call;
use crate::util::{Dir, Rankpool, Running, rankpool};

/// Many short tasks: minutes of work, of which any part can be cut off.
pub(crate) const LONG: &str = "[[task]]\nkind = \"probe\"\nn = \"1..=100000\"\naction = \"sleep\"\n\
                               time = \"500ms\"\n";
const SHORT: &str = "[[task]]\nkind = \"fibonacci\"\nn = \"1..=50\"\n";

/// `rankpool launch` with these options, for `run job.toml`.
pub(crate) fn launch(options: &str, job: &str) -> Rankpool {
    rankpool().line(&format!("launch {options}")).job(job)
}

/// `rankpool launch` with an mpirun that does this; `$n` is how often it has been started.
fn stub(options: &str, does: &str) -> Rankpool {
    let pool = launch(format!("-n 2 --mpirun ./stub {options}").trim_end(), SHORT);
    let begin = "#!/bin/sh\n[ \"$1\" = --version ] && exec mpirun --version\n\
                 printf '%s\\n' \"$*\" >> args\nn=$(wc -l < args)\n\
                 end() { echo $1 > $RANKPOOL_END_FILE.new; \
                 mv $RANKPOOL_END_FILE.new $RANKPOOL_END_FILE; }\n";
    let path = pool.dir().write("stub", &format!("{begin}{does}\n"));
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    pool
}

/// How often the stub was started.
fn starts(dir: &Dir) -> usize {
    dir.read("args").lines().count()
}

/// The processes with this folder in their environment: all that a test has started.
pub(crate) fn processes(folder: &Path) -> Vec<i32> {
    let folder = format!("TMPDIR={}", folder.display());
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_ours = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == folder.as_bytes())
    };
    pids.filter(is_ours).collect()
}

/// Nothing of `launch` is left.
#[track_caller]
pub(crate) fn is_clean(dir: &Dir) {
    let left = processes(dir.path());
    let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert!(left.is_empty(), "left: {:?}", left.iter().map(name).collect::<Vec<_>>());
    let entries = fs::read_dir(dir.path()).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let folders: Vec<_> = names.filter(|name| name.contains("rankpool-launch")).collect();
    assert_eq!(folders, Vec::<String>::new());
}

/// The processes of this name that the test has started.
pub(crate) fn named(running: &Running, name: &str) -> Vec<i32> {
    let is_so = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    processes(running.dir.path()).into_iter().filter(is_so).collect()
}

/// Rank 0's process.
pub(crate) fn rank0(running: &Running) -> Option<i32> {
    let is_rank0 = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|&byte| byte == 0);
        variables.any(|variable| matches!(variable, b"OMPI_COMM_WORLD_RANK=0" | b"PMI_RANK=0"))
    };
    named(running, "rankpool").into_iter().find(is_rank0)
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Waits for so many records.
pub(crate) fn wait_for_records(running: &mut Running, count: usize) {
    running.poll("records", |running| {
        let results = fs::read_to_string(running.dir.path().join("job.results.jsonl"));
        results.is_ok_and(|text| text.lines().count() >= count)
    });
}

#[test]
fn a_dry_run_prints_the_line_and_starts_nothing() {
    let (ran, dir) = launch("-n 3 --dry-run", SHORT).run();
    ran.code(0);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    assert!(ran.stdout.contains(" -n 3 ") && ran.stdout.ends_with("rankpool run job.toml\n"));
    assert_eq!(ran.stderr, "");
    assert!(!dir.path().join("job.results.jsonl").exists());
    is_clean(&dir);
}

#[test]
fn a_world_is_started_and_its_code_is_passed_on() {
    let (ran, dir) = launch("-n 2", SHORT).args(["--stats", "stats.json"]).run();
    ran.code(0).says("50 tasks: 50 ok");
    assert_eq!(dir.records("job.results.jsonl").len(), 50);
    assert!(
        dir.read("stats.json").contains("\"rank\":1")
            || dir.read("stats.json").contains("\"rank\": 1")
    );
    assert!(ran.stderr.contains(" -n 2 "), "the line is told: {}", ran.stderr);
    is_clean(&dir);
    let failing = "[[task]]\nkind = \"probe\"\nn = 1\naction = \"fail\"\n";
    let (ran, dir) = launch("-n 2", failing).run();
    ran.code(1);
    is_clean(&dir);
}

#[test]
fn what_rank_0_refuses_is_not_started_again() {
    let pool = launch("-n 2", SHORT);
    pool.dir().write("job.results.jsonl", "precious\n");
    let (ran, dir) = pool.run();
    ran.code(2).says("results file `job.results.jsonl` exists");
    assert!(!ran.stderr.contains("restart"), "{}", ran.stderr);
    assert_eq!(dir.read("job.results.jsonl"), "precious\n");
}

#[test]
fn a_hostfile_of_this_host_gives_the_ranks() {
    let pool = launch("--hostfile hosts --dry-run", SHORT);
    pool.dir().write("hosts", "# here\nlocalhost slots=3\n");
    pool.run().0.code(0).says(" -n 3 ");
    let pool = launch("-n 2 --hostfile hosts", SHORT);
    pool.dir().write("hosts", "localhost slots=2\n");
    let (ran, dir) = pool.run();
    ran.code(0).says("50 tasks: 50 ok");
    is_clean(&dir);
}

#[test]
fn mpirun_is_ended_where_it_stays_after_the_end() {
    let (ran, dir) = stub("", "end 1; exec sleep 1000").run();
    ran.code(1);
    assert_eq!(starts(&dir), 1);
    is_clean(&dir);
    // It ends, and leaves a child in another session.
    let (ran, dir) = stub("", "setsid sleep 1000 & end 0").run();
    ran.code(0);
    is_clean(&dir);
    // It does not listen, and its child is in another session.
    let (ran, dir) = stub("", "trap '' TERM; setsid sleep 1000 & end 0; wait; wait").run();
    ran.code(0);
    is_clean(&dir);
}

#[test]
fn the_mark_counts_and_not_mpiruns_code() {
    let (ran, dir) = stub("", "end 0; exit 255").run();
    ran.code(0);
    assert_eq!(starts(&dir), 1);
}

#[test]
fn without_a_mark_a_run_goes_on_with_its_results() {
    let does = "[ $n = 1 ] && touch job.results.jsonl && exit 0; end 0";
    let (ran, dir) = stub("", does).args(["--overwrite"]).run();
    ran.code(0).says("mpirun ended with code 0 before the run's end; restart 1 of 3 in 1 s");
    let args = dir.read("args");
    let args: Vec<&str> = args.lines().collect();
    assert_eq!(args.len(), 2);
    assert!(args[0].ends_with("run job.toml --overwrite"), "{args:?}");
    assert!(args[1].ends_with("run --resume job.toml"), "{args:?}");
}

#[test]
fn earlier_results_that_were_to_be_overwritten_are_not_gone_on_with() {
    let pool = stub("", "[ $n = 1 ] && kill -9 $$; end 0").args(["--overwrite"]);
    pool.dir().write("job.results.jsonl", "stale\n");
    let (ran, dir) = pool.run();
    ran.code(0).says("mpirun was killed by signal 9");
    let args = dir.read("args");
    assert!(args.lines().all(|line| line.ends_with("run job.toml --overwrite")), "{args}");
    assert_eq!(starts(&dir), 2);
}

#[test]
fn restarts_are_used_up() {
    let (ran, dir) = stub("--restarts 1", "touch job.results.jsonl; exit 7").run();
    ran.code(3).says("mpirun ended with code 7 before the run's end; restarts: 1;");
    ran.says("`rankpool launch -n 2 --mpirun ./stub run --resume job.toml` goes on");
    assert_eq!(starts(&dir), 2);
    is_clean(&dir);
}

#[test]
fn what_cannot_be_gone_on_with_is_not_started_again() {
    for (output, why) in [("-", "`--output FILE` makes it restartable"), ("none", "`--output")] {
        let (ran, dir) = stub("", "exit 7").args(["--output", output]).run();
        ran.code(2).says(why);
        assert_eq!(starts(&dir), 1);
    }
    let (ran, dir) = stub("", "exit 2").run();
    ran.code(2).says("mpirun ended with code 2 before any task ran");
    assert_eq!(starts(&dir), 1);
}

#[test]
fn rank_0_that_is_gone_ends_an_mpirun_that_stays() {
    let does = "[ $n = 2 ] && { end 0; exit; }\n\
                sh -c 'echo $(uname -n) $$ > $RANKPOOL_PID_FILE'; exec sleep 1000";
    let (ran, dir) = stub("", does).run();
    ran.code(0).says("mpirun was killed by signal 15 before the run's end");
    assert_eq!(starts(&dir), 2);
    is_clean(&dir);
}

#[test]
fn a_signal_is_rank_0s_and_a_second_one_is_mpiruns() {
    // Rank 0 tells what it got; mpirun does not listen.
    let does = "sh -c 'trap \"echo term >> got\" TERM; trap \"echo usr1 >> got\" USR1\n\
                echo $(uname -n) $$ > $RANKPOOL_PID_FILE; touch ready\n\
                while :; do sleep 0.02; done' &\ntrap '' TERM INT; wait";
    let mut running = stub("", does).start();
    let has = |running: &Running, name: &str, text: &str| {
        fs::read_to_string(running.dir.path().join(name)).is_ok_and(|got| got == text)
    };
    running.poll("rank 0", |running| has(running, "ready", ""));
    let launch = i32::try_from(running.child.id()).unwrap();
    kill(launch, Signal::USR1);
    running.poll("the signal", |running| has(running, "got", "usr1\n"));
    kill(launch, Signal::TERM);
    running.poll("the signal", |running| has(running, "got", "usr1\nterm\n"));
    kill(launch, Signal::INT);
    let (ran, dir) = running.wait();
    ran.code(3).says("stopped on request; `rankpool launch -n 2 --mpirun ./stub run job.toml`");
    assert_eq!(starts(&dir), 1);
    is_clean(&dir);
}

#[test]
fn a_real_world_stops_on_request() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = launch("-n 2", LONG).start();
        wait_for_records(&mut running, 1);
        kill(i32::try_from(running.child.id()).unwrap(), signal);
        let (ran, dir) = running.wait();
        ran.code(3);
        is_clean(&dir);
    }
}

#[test]
fn launch_takes_its_world_with_it() {
    let mut running = launch("-n 2", LONG).start();
    wait_for_records(&mut running, 1);
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    running.poll("nothing to be left", |running| processes(running.dir.path()).is_empty());
}

#[test]
fn mistakes_are_told_before_anything_starts() {
    let see = "see `rankpool --help`";
    Call::new("launch -n 0 fib 3").refuses(&format!(
        "invalid value `0` for `--ranks <N>`: use a whole number from 1 to 4294967295; {see}"
    ));
    Call::new("launch -n 2 --hostfile nope fib 3").refuses(
        "cannot read the hostfile `nope`; `--hostfile FILE` names a list of hosts: \
         No such file or directory (os error 2)",
    );
    Call::new("launch fib 3")
        .refuses("how many ranks? `-n 4`, or `--hostfile FILE` with their hosts");
    Call::new("launch -n 2 --mpirun ./nope fib 3").refuses(
        "cannot start `./nope`; `--mpirun PATH` names the mpirun to use: \
         No such file or directory (os error 2)",
    );
    Call::new("launch -n 2 check j.toml")
        .refuses("`launch` starts `run`, `fib`, `fetch`, `crawl`, `exec` or `info`");
    Call::new("launch -n 2 run nope.toml")
        .refuses("nope.toml: no such file; name a job file, such as `jobs/demo.toml`");
    Call::new("launch -n 2 run j --treads 3").refuses(&format!(
        "unexpected argument `--treads` found; a similar argument exists: `--threads`; {see}"
    ));
    let rank = Call::new("launch -n 2 fib 3");
    rank.env("OMPI_COMM_WORLD_RANK", "0").env("OMPI_COMM_WORLD_SIZE", "2").refuses(
        "this is a rank already, started by Open MPI's mpirun; `launch` starts mpirun by itself",
    );
}

#[test]
fn another_mpis_mpirun_is_refused() {
    let pool = launch("-n 2 --mpirun ./other", SHORT);
    let path = pool.dir().write("other", "#!/bin/sh\necho 'mpirun (Open MPI) 1.10.7'\n");
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    let (ran, _) = pool.run();
    ran.code(2).says("`./other` belongs to Open MPI 1.10.7, but rankpool runs with ");
}
