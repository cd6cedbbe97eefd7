//! Whole jobs on real MPI ranks.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::local::{MIXED, MIXED_TASKS, gathered, run as run_locally};
use crate::site::{Site, html};
use crate::util::{mpirun, rankpool, ranks_of};

#[test]
fn any_number_of_ranks_gathers_what_one_process_does() {
    let alone = gathered(&run_locally(1, MIXED).1);
    for ranks in 1..=5 {
        let (ran, dir) = mpirun(ranks).job(MIXED).args(["--stats", "stats.json"]).run();
        ran.code(1).says("failed: probe");
        assert_eq!(gathered(&dir.records("job.results.jsonl")), alone, "{ranks} ranks");
        let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
        assert_eq!(stats["tasks"], MIXED_TASKS.0);
        assert_eq!(stats["failed"], MIXED_TASKS.1);
        assert_eq!(stats["ranks"].as_array().unwrap().len(), ranks as usize);
        assert!(!dir.path().join("stats.json.part").exists());
    }
}

#[test]
fn sixty_four_ranks_start_run_and_leave_nothing_behind() {
    let job = "[[task]]\nkind = 'probe'\naction = 'sleep'\ntime = '5ms'\nn = '1..=2000'\n";
    let mut running = mpirun(64).job(job).args(["--stats", "stats.json"]).start();
    let mut ranks = Vec::new();
    running.poll("records", |running| {
        ranks = ranks_of(running);
        running.dir.path().join("job.results.jsonl").metadata().is_ok_and(|file| file.len() > 0)
    });
    let (ran, dir) = running.wait();
    ran.code(0).says("64 ranks");
    let records = gathered(&dir.records("job.results.jsonl"));
    assert_eq!(records.len(), 2000);
    let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let ledgers = stats["ranks"].as_array().unwrap();
    assert_eq!((ledgers.len(), &stats["dead_ranks"]), (64, &0.into()));
    let idle = ledgers.iter().filter(|rank| rank["tasks"] == 0).count();
    assert_eq!(idle, 0, "every rank has had tasks");
    assert_eq!(ranks.len(), 64);
    for rank in ranks {
        let program = fs::read_link(format!("/proc/{rank}/exe"));
        assert!(
            !program.is_ok_and(|path| path.ends_with("rankpool")),
            "rank {rank} is still there"
        );
    }
}

#[test]
fn a_process_without_a_launcher_is_a_world_of_one() {
    let (ran, dir) = rankpool().job(MIXED).run();
    ran.code(1).says("results: job.results.jsonl");
    assert_eq!(gathered(&dir.records("job.results.jsonl")), gathered(&run_locally(1, MIXED).1));
}

#[test]
fn the_original_example_says_what_it_said() {
    let (ran, _) = mpirun(2).line("fib 4 3 8 6 10").run();
    ran.code(0);
    let lines = ran.stdout.lines().filter(|line| line.contains("the fibonacci calculated by"));
    let mut found: Vec<(u64, String)> = lines
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[2].trim_end_matches(',').parse().unwrap(), (*words.last().unwrap()).to_owned())
        })
        .collect();
    found.sort_unstable();
    let expected = [(3, "2"), (4, "3"), (6, "8"), (8, "21"), (10, "55")];
    assert_eq!(found, expected.map(|(n, value)| (n, value.to_owned())));
}

#[test]
fn more_ranks_than_tasks_and_no_tasks_at_all() {
    let (ran, _) = mpirun(4).line("fib 10 --output -").run();
    ran.code(0).says("\"value\":\"55\"");
    let (ran, dir) = mpirun(3).job("").run();
    ran.code(0).says("0 tasks");
    assert_eq!(dir.read("job.results.jsonl"), "");
}

#[test]
fn a_million_tiny_tasks_are_gathered_each_once() {
    let job = "[[task]]\nkind = \"fibonacci\"\nn = \"0..1000000\"\nmodulus = 10\n";
    let (ran, dir) = mpirun(2).job(job).run();
    ran.code(0).says("1,000,000 tasks: 1,000,000 ok");
    let text = dir.read("job.results.jsonl");
    let mut ids: Vec<&str> = text.lines().map(|line| &line[7..39]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((text.lines().count(), ids.len()), (1_000_000, 1_000_000));
}

#[test]
fn a_result_of_50_mb_arrives_whole() {
    let job = "[[task]]\nkind = \"probe\"\nn = 1\naction = \"output\"\nbytes = 50000000\n";
    let job = format!("root_computes = false\n{job}");
    let (ran, dir) = mpirun(2).job(&job).run();
    ran.code(0);
    let records = dir.records("job.results.jsonl");
    assert_eq!(records[0]["rank"], 1);
    let text = records[0]["output"]["text"].as_str().unwrap();
    assert_eq!(text.len(), 50_000_000);
    assert!(text.bytes().all(|byte| byte == b'x'));
}

#[test]
fn pages_are_fetched_by_all_ranks() {
    let site = Site::start((0..40).map(|n| (format!("/{n}"), html(format!("<title>{n}</title>")))));
    let urls: Vec<String> = (0..40).map(|n| format!("\"/{n}\"")).collect();
    let job = format!(
        "[[task]]\nkind = \"fetch\"\nbase = \"{}\"\nurls = [{}]\n",
        site.url("/"),
        urls.join(", ")
    );
    let (ran, dir) = mpirun(2).job(&job).run();
    ran.code(0);
    let records = dir.records("job.results.jsonl");
    assert_eq!(records.len(), 40);
    for rank in [0, 1] {
        assert!(records.iter().any(|record| record["rank"] == rank), "rank {rank} fetched nothing");
    }
}

#[test]
fn slow_pages_leave_the_cores_to_terms() {
    let job = r#"
io_threads = 64
[[task]]
kind = "probe"
n = "1..=1000"
action = "sleep"
time = "30ms"
[[task]]
kind = "probe"
n = "1..=1000"
action = "busy"
time = "400us"
"#;
    let (ran, dir) = mpirun(2).job(job).args(["--stats", "stats.json"]).run();
    ran.code(0);
    let records = dir.records("job.results.jsonl");
    let end =
        |record: &Value| record["start"].as_f64().unwrap() + record["seconds"].as_f64().unwrap();
    let start = |record: &Value| record["start"].as_f64().unwrap();
    // The first ones of both kinds ran side by side, whichever stands first in the job.
    let (sleeps, busy): (Vec<&Value>, Vec<&Value>) =
        records.iter().partition(|record| record["seconds"].as_f64().unwrap() >= 0.03);
    let last_sleep = sleeps.iter().map(|record| end(record)).fold(0.0, f64::max);
    let in_time = busy.iter().filter(|record| start(record) < last_sleep).count();
    assert!(in_time > 100, "{in_time} of {} terms began while pages were waited for", busy.len());
    let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let io = stats["ranks"][0]["ledger"]["io"].as_f64().unwrap();
    assert!(io > 5.0, "the pages were waited for side by side: {io} s");
}

/// CPU seconds of a process so far (proc(5), `/proc/pid/stat`, fields 14 and 15).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks =
        |idx: usize| after_name.split_whitespace().nth(idx).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64
}

/// Peak resident memory of a process in KiB (proc(5), `/proc/pid/status`).
fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[test]
fn idle_ranks_cost_next_to_nothing() {
    // One long task: a rank that has it sleeps in it, the others wait.
    let job = "[[task]]\nkind = \"probe\"\nn = 1\naction = \"sleep\"\ntime = \"5s\"\n";
    let mut running = mpirun(3).job(job).start();
    let mut pids = Vec::new();
    running.poll("three ranks", |running| {
        pids = ranks_of(running);
        pids.len() == 3
    });
    // MPI's own start-up is over once a rank's CPU time stands still for a moment.
    let total = |pids: &[u32]| pids.iter().map(|&pid| cpu_seconds(pid)).sum::<f64>();
    let mut before = total(&pids);
    running.poll("the ranks to be started", |_| {
        std::thread::sleep(Duration::from_millis(200));
        let now = total(&pids);
        let settled = now - before < 0.05;
        before = now;
        settled
    });
    std::thread::sleep(Duration::from_secs(2));
    let used = total(&pids) - before;
    let (ran, _) = running.wait();
    ran.code(0);
    assert!(used < 3.0 * 2.0 * 0.05, "three idle ranks used {used} s of CPU in 2 s");
}

#[test]
fn a_long_lazy_source_does_not_fill_rank_0() {
    // Far too many to be done: the run is ended once it is well on its way.
    let job = "[[task]]\nkind = \"fibonacci\"\nn = \"0..=1000000000000\"\nmodulus = 97\n";
    let mut running = mpirun(2).job(job).args(["--output", "none", "--quiet"]).start();
    running.poll("rank 0 to run", |running| ranks_of(running).len() == 2);
    let pids = ranks_of(&running);
    let mut peak = 0;
    running.poll("it to work for a while", |_| {
        peak = pids.iter().filter_map(|&pid| peak_kib(pid)).max().unwrap_or(0);
        pids.iter().map(|&pid| cpu_seconds(pid)).sum::<f64>() > 6.0
    });
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert!(peak > 1000 && peak < 200 * 1024, "peak {peak} KiB");
}

/// Lines in which rankpool complains, among what its launcher says.
fn complaints(stderr: &str) -> usize {
    stderr.lines().filter(|line| line.starts_with("rankpool: ")).count()
}

#[test]
fn errors_are_told_once_and_nothing_is_started() {
    let (ran, dir) = mpirun(3).line("run nope.toml").run();
    ran.code(2).says("nope.toml: no such file");
    assert_eq!(complaints(&ran.stderr), 1, "{}", ran.stderr);
    assert!(!dir.path().join("nope.results.jsonl").exists());
    let (ran, _) = mpirun(2).line("fib --nope").run();
    ran.code(2);
    assert_eq!(complaints(&ran.stderr), 1, "{}", ran.stderr);
    let (ran, _) = mpirun(2).line("--version").run();
    ran.code(0);
    assert_eq!(ran.stdout.matches("rankpool ").count(), 1, "{}", ran.stdout);
}

#[test]
fn existing_results_are_not_replaced_unasked() {
    let job = "[[task]]\nkind = \"fibonacci\"\nn = 3\n";
    let pool = mpirun(2).job(job);
    pool.dir().write("job.results.jsonl", "precious\n");
    let (ran, dir) = pool.run();
    ran.code(2).says("results file `job.results.jsonl` exists; `--overwrite` replaces it");
    assert_eq!(dir.read("job.results.jsonl"), "precious\n");
    let pool = mpirun(2).job(job).args(["--overwrite"]);
    pool.dir().write(
        "job.results.jsonl",
        "stale, and longer than what replaces it\n".repeat(99).as_str(),
    );
    let (ran, dir) = pool.run();
    ran.code(0);
    assert_eq!(dir.records("job.results.jsonl").len(), 1);
}

#[test]
fn info_shows_the_world() {
    let (ran, _) = mpirun(2).line("info").run();
    ran.code(0).says("rankpool ").says("2 ranks").says("thread level funneled");
    let (ran, _) = mpirun(2).line("info --json --threads 3").run();
    ran.code(0);
    let info: Value = serde_json::from_str(&ran.stdout).unwrap();
    let ranks = info["ranks"].as_array().unwrap();
    assert_eq!(ranks.len(), 2);
    assert_eq!(ranks[1]["rank"], 1);
    assert_eq!(ranks[1]["share"]["threads"], 3);
    assert_ne!(ranks[0]["pid"], ranks[1]["pid"]);
}

#[test]
fn a_launcher_of_another_mpi_is_refused() {
    // What another MPI's launcher leaves in the environment of each of its four processes.
    let run = |rank: &str| {
        let pool = rankpool().line("fib 10").env("PMI_SIZE", "4").env("PMI_RANK", rank);
        pool.run().0
    };
    run("0").code(2).says("started 4 processes, but each is a world of one rank");
    let other = run("3");
    other.code(0);
    assert_eq!(other.stderr, "", "told once");
}
