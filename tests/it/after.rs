//! Tables that run after others: in which order, and what becomes of them when one fails or a
//! run ends early.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::Value;

use crate::launch::{kill, wait_for_records};
use crate::util::{Dir, Rankpool, mpirun, passes_codes_on, rankpool, surviving_mpirun};

const RESULTS: &str = "job.results.jsonl";

/// A table of probes.
fn table(name: &str, after: &str, rest: &str) -> String {
    let after = if after.is_empty() { String::new() } else { format!("after = {after}\n") };
    format!("[[task]]\nname = \"{name}\"\n{after}kind = \"probe\"\n{rest}\n")
}

/// How many records there are of each input's range of a hundred and each status.
fn counts(dir: &Dir) -> BTreeMap<(u64, String), usize> {
    let mut counts = BTreeMap::new();
    for record in dir.records(RESULTS) {
        let table = record["input"]["n"].as_u64().unwrap() / 100;
        let status = record["status"].as_str().unwrap().to_owned();
        *counts.entry((table, status)).or_default() += 1;
    }
    counts
}

#[track_caller]
fn check(dir: &Dir, expected: &[(u64, &str, usize)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|&(table, status, n)| ((table, status.to_owned()), n)).collect();
    assert_eq!(counts(dir), expected);
}

/// The places of a table's first and last record in the results.
fn span(records: &[Value], table: u64) -> (usize, usize) {
    let is_of = |record: &Value| record["input"]["n"].as_u64().unwrap() / 100 == table;
    let first = records.iter().position(is_of).unwrap();
    (first, records.iter().rposition(is_of).unwrap())
}

/// The third table needs both others and stands above them; a fourth one needs none.
fn diamond() -> String {
    let busy = "action = \"busy\"\ntime = \"2ms\"\n";
    table("last", "[\"left\", \"right\"]", &format!("n = \"300..=319\"\n{busy}"))
        + &table("right", "\"first\"", &format!("n = \"200..=219\"\n{busy}"))
        + &table("left", "\"first\"", &format!("n = \"100..=119\"\npool = \"io\"\n{busy}"))
        + &table("first", "", &format!("n = \"0..=19\"\n{busy}"))
        + &table("free", "", &format!("n = \"400..=419\"\n{busy}"))
}

#[test]
fn tables_run_after_those_that_they_name() {
    for pool in [rankpool(), mpirun(3)] {
        let (ran, dir) = pool.job(&diamond()).args(["--stats", "stats.json"]).run();
        ran.code(0);
        let records = dir.records(RESULTS);
        let [first, left, right, last] = [0, 1, 2, 3].map(|table| span(&records, table));
        for (before, after) in [(first, left), (first, right), (left, last), (right, last)] {
            assert!(before.1 < after.0, "{before:?} {after:?}");
        }
        check(&dir, &[(0, "ok", 20), (1, "ok", 20), (2, "ok", 20), (3, "ok", 20), (4, "ok", 20)]);
        let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
        assert_eq!((&stats["tasks"], &stats["attempts"]), (&100.into(), &100.into()));
    }
}

#[test]
fn every_schedule_gives_each_rank_its_part_of_a_table_that_others_wait_for() {
    let job = table("few", "", "n = \"0..=7\"\naction = \"busy\"\ntime = \"20ms\"")
        + &table("many", "\"few\"", "n = \"100..=1099\"");
    for schedule in ["static", "guided"] {
        let line = format!("run job.toml --threads 1 --schedule {schedule}");
        let pool = mpirun(2);
        pool.dir().write("job.toml", &job);
        let (ran, dir) = pool.line(&line).run();
        ran.code(0);
        let records = dir.records(RESULTS);
        let few = records.iter().filter(|record| record["input"]["n"].as_u64().unwrap() < 100);
        let of_0 = few.filter(|record| record["rank"] == 0).count();
        assert!((1..=7).contains(&of_0), "{schedule}: rank 0 ran {of_0} of 8");
    }
}

/// `first` has a failure in this run or none; `free` needs nobody.
fn chain(first: &str) -> String {
    table("first", "", first)
        + &table("second", "\"first\"", "n = \"100..=104\"")
        + &table("third", "\"second\"", "n = \"200..=201\"")
        + &table("free", "", "n = \"300..=302\"")
}

const FAILS: &str = "n = \"1..=10\"\naction = \"fail\"\nevery = 10";
const WORKS: &str = "n = \"1..=10\"";

#[test]
fn what_needs_a_failed_task_is_cancelled_and_counted() {
    let job = chain(FAILS);
    let (ran, dir) =
        mpirun(2).job(&job).args(["--stats", "stats.json", "--max-failures", "3"]).run();
    ran.code(1);
    check(
        &dir,
        &[(0, "ok", 9), (0, "failed", 1), (1, "cancelled", 5), (2, "cancelled", 2), (3, "ok", 3)],
    );
    for record in dir.records(RESULTS).iter().filter(|record| record["status"] == "cancelled") {
        let error = &record["error"];
        assert_eq!(error["class"], "cancelled");
        assert_eq!(error["message"], "it comes after `first`, of which not every task succeeded");
    }
    let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let counts = ["tasks", "ok", "failed", "cancelled"].map(|key| stats[key].as_u64().unwrap());
    assert_eq!(counts, [20, 12, 1, 7]);
}

/// Goes on with a run's results.
#[track_caller]
fn go_on(dir: Dir, job: &str, flag: &str, code: i32) -> Dir {
    let (ran, dir) = rankpool().in_dir(dir).job(job).args([flag]).run();
    ran.code(code);
    dir
}

#[test]
fn a_run_that_goes_on_knows_what_succeeded() {
    let (ran, dir) = rankpool().job(&chain(FAILS)).run();
    ran.code(1);
    let failed =
        [(0, "ok", 9), (0, "failed", 1), (1, "cancelled", 5), (2, "cancelled", 2), (3, "ok", 3)];
    check(&dir, &failed);
    // What failed stays so, and nothing that needs it runs.
    let dir = go_on(dir, &chain(FAILS), "--resume", 1);
    check(&dir, &failed);
    keep(&dir, |n| n < 100);
    let dir = go_on(dir, &chain(FAILS), "--resume", 1);
    check(&dir, &failed);
    let dir = go_on(dir, &chain(FAILS), "--retry-failed", 1);
    check(&dir, &failed);
    let good = [(0, "ok", 10), (1, "ok", 5), (2, "ok", 2), (3, "ok", 3)];
    let dir = go_on(dir, &chain(WORKS), "--retry-failed", 0);
    check(&dir, &good);
    // Those before it are complete in the journal.
    keep(&dir, |n| !(100..200).contains(&n));
    let dir = go_on(dir, &chain(FAILS), "--resume", 0);
    check(&dir, &good);
}

/// Takes the records out of the results that are not to be kept.
fn keep(dir: &Dir, is_kept: impl Fn(u64) -> bool) {
    let text = dir.read(RESULTS);
    let is_kept = |line: &&str| {
        is_kept(serde_json::from_str::<Value>(line).unwrap()["input"]["n"].as_u64().unwrap())
    };
    let kept: String = text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
    dir.write(RESULTS, &kept);
}

#[test]
fn a_run_that_is_stopped_leaves_what_waits_to_the_next_one() {
    let slow = "n = \"0..=9\"\naction = \"sleep\"\ntime = \"100ms\"";
    let job = format!("threads = 1\nio_threads = 1\n{}", chain(slow));
    let mut running = rankpool().job(&job).start();
    // Those of the table that needs nobody come first.
    wait_for_records(&mut running, 5);
    kill(running.child.id().try_into().unwrap(), Signal::TERM);
    let (ran, dir) = running.wait();
    ran.code(3);
    assert!(dir.records(RESULTS).iter().all(|record| {
        let n = record["input"]["n"].as_u64().unwrap();
        record["status"] == "ok" && !(100..300).contains(&n)
    }));
    let dir = go_on(dir, &job, "--resume", 0);
    check(&dir, &[(0, "ok", 10), (1, "ok", 5), (2, "ok", 2), (3, "ok", 3)]);
}

#[test]
fn what_the_walltime_leaves_out_holds_what_waits_for_the_next_run() {
    let slow = "n = \"0..=99\"\naction = \"sleep\"\ntime = \"50ms\"";
    let job = format!("io_threads = 1\nwalltime = \"30s\"\n{}", chain(slow));
    let (ran, dir) = rankpool().job(&job).args(["--walltime", "1s"]).run();
    ran.code(3);
    let counts = counts(&dir);
    assert!(counts.keys().all(|(table, status)| [0, 3].contains(table) && status == "ok"));
    assert!(counts.get(&(0, "ok".to_owned())).is_none_or(|&n| n < 100));
    let dir = go_on(dir, &job.replace("50ms", "1ms"), "--resume", 0);
    check(&dir, &[(0, "ok", 100), (1, "ok", 5), (2, "ok", 2), (3, "ok", 3)]);
}

#[test]
fn a_task_that_is_tried_again_has_not_failed_yet() {
    let job = "[retry]\nexit-code = { retries = 2, backoff = \"1ms\" }\n\
        [[task]]\nname = \"flaky\"\nkind = \"command\"\n\
        run = \"sh -c 'test $RANKPOOL_ATTEMPT = 3 && echo > done.{}'\"\nrange = \"1..=5\"\n\
        [[task]]\nkind = \"command\"\nafter = [\"flaky\"]\n\
        run = \"sh -c 'ls done.1 done.2 done.3 done.4 done.5'\"\n";
    let (ran, dir) = rankpool().job(job).run();
    ran.code(0);
    assert_eq!(dir.records(RESULTS).len(), 6);
}

#[test]
fn a_task_that_kills_its_rank_cancels_what_needs_it() {
    let Some(pool) = surviving_mpirun(3) else { return };
    let job = format!(
        "heartbeat = \"4s\"\nroot_computes = false\ncrash_limit = 1\n{}{}",
        table("first", "", "n = 1\naction = \"exit\""),
        table("second", "\"first\"", "n = \"100..=104\"")
    );
    let (ran, dir) = pool.job(&job).run();
    if passes_codes_on() {
        ran.code(1);
    }
    check(&dir, &[(0, "failed", 1), (1, "cancelled", 5)]);
}

#[test]
fn the_order_of_the_job_can_be_kept() {
    let job = chain(WORKS);
    let (ran, dir) = mpirun(2).job(&job).args(["--ordered"]).run();
    ran.code(0);
    let numbers: Vec<_> =
        dir.records(RESULTS).iter().map(|record| record["input"]["n"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(numbers.len(), 20);
}

#[test]
fn tables_wait_beside_a_stream_and_below_a_crawl() {
    let stream = |pool: Rankpool| {
        pool.dir().write("lines", "probe 310\nprobe 311\n");
        pool.job(&chain(WORKS)).args(["--tasks", "lines"])
    };
    let (ran, dir) = stream(rankpool()).run();
    ran.code(0);
    check(&dir, &[(0, "ok", 10), (1, "ok", 5), (2, "ok", 2), (3, "ok", 5)]);

    // Nobody answers there: what is asked for a host's sake is cancelled as well.
    let job = table("first", "", FAILS)
        + "[[task]]\nkind = \"crawl\"\nafter = \"first\"\nallow_private = true\nanonymous = true\n\
           seeds = [\"http://127.0.0.1:1/a\", \"http://127.0.0.1:1/b\", \"http://rank.invalid/\"]\n";
    let (ran, dir) = rankpool().job(&job).args(["--stats", "stats.json"]).run();
    ran.code(1);
    let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let hosts = stats["sources"][0]["hosts"].as_object().unwrap();
    assert_eq!(hosts.len(), 2);
    for host in hosts.values() {
        assert_eq!(host["errors"], serde_json::json!({"cancelled": 1}), "asked for once");
    }
    let pages: Vec<_> = dir.records(RESULTS).into_iter().filter(|r| r["kind"] == "crawl").collect();
    assert_eq!(pages.len(), 3);
    for page in pages {
        assert_eq!(
            (&page["status"], &page["attempts"]),
            (&"cancelled".into(), &1.into()),
            "{page}"
        );
    }
}

/// `check` refuses these tables, naming the second one's place.
#[track_caller]
fn refuses(tables: &str, flags: &str, expected: &str) {
    let pool = rankpool();
    pool.dir().write("j.toml", tables);
    let (ran, _) = pool.line(&format!("check j.toml{flags}")).run();
    ran.code(2).says(expected);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn names_and_circles_are_checked_before_the_run() {
    let two = |name: &str, after: &str| table("a", "", "n = 1") + &table(name, after, "n = 2");
    refuses(&two("a", ""), "", "j.toml: [[task]] 2: `name`: [[task]] 1 is called `a` already");
    refuses(
        &two("b", "\"A\""),
        "",
        "[[task]] 2: `after`: no table has the name `A`; did you mean `a`?",
    );
    refuses(&two("b", "\"x\""), "", "no table has the name `x`; there are `a`, `b`");
    refuses(&two("b", "[\"a\", \"a\"]"), "", "`after` names `a` twice");
    refuses(&two("b", "[\"a\", 3]"), "", "`after` has `3`; use the `name` of a table");
    refuses(&two("", ""), "", "`name` is `\"\"`; use a text");
    refuses(&two("b", "\"b\""), "", "`after` goes round in a circle: `b` after `b`");
    refuses(
        "[[task]]\nkind = 'probe'\nn = 1\nafter = 'x'\n",
        "",
        "no table has the name `x`; give that table a `name`",
    );
    let circle = table("a", "[\"z\", \"c\"]", "n = 1")
        + &table("b", "\"a\"", "n = 2")
        + &table("c", "\"b\"", "n = 3")
        + &table("z", "", "n = 4");
    refuses(
        &circle,
        "",
        "j.toml: [[task]] 1: `after` goes round in a circle: `a` after `c` after `b` after `a`; take",
    );
    let below = table("b", "\"a\"", "n = 2") + &table("a", "", "n = 1");
    refuses(&below, " --ordered", "[[task]] 1: `after`: `a` stands below; put it above");
    refuses(&two("b", "\"a\""), " --shard 1/2", "`after` waits for all tasks of a table");
}

#[test]
fn what_check_prints_has_the_names() {
    let pool = rankpool();
    pool.dir().write("j.toml", &diamond());
    let (ran, dir) = pool.line("check j.toml").run();
    ran.code(0).says("# ok: 100 tasks in 5 tables");
    ran.says("kind = \"probe\"\nname = \"last\"\nafter = [\"left\", \"right\"]\n");
    dir.write("k.toml", &ran.stdout);
    let (again, _) = rankpool().in_dir(dir).line("check k.toml").run();
    assert_eq!(again.code(0).stdout, ran.stdout);
}
