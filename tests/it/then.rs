//! Tasks that others name in the last line of their output.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;
use serde_json::Value;

use crate::launch::{kill, wait_for_records};
use crate::util::{Dir, mpirun, rankpool, surviving_mpirun};

const RESULTS: &str = "job.results.jsonl";

/// A table of commands that run a script for each of the numbers up to `n`.
fn commands(script: &str, n: u32) -> String {
    format!(
        "[[task]]\nname = \"all\"\nkind = \"command\"\nshell = true\nthen = true\n\
         run = '''{script}'''\nrange = \"1..={n}\"\n"
    )
}

/// Names two probes, and prints something else before.
const TWO: &str = "echo first; printf '{\"then\":[\"probe %d\",{\"kind\":\"probe\",\"n\":%d}]}\\n' \
                   $((2 * {})) $((2 * {} + 1))";

/// The numbers of the probes, sorted.
fn probes(dir: &Dir) -> Vec<u64> {
    let records = dir.records(RESULTS);
    let probes = records.iter().filter(|record| record["kind"] == "probe");
    let mut numbers: Vec<u64> = probes.map(|r| r["input"]["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn by_kind(dir: &Dir) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for record in dir.records(RESULTS) {
        let text = |key: &str| record[key].as_str().unwrap().to_owned();
        *counts.entry((text("kind"), text("status"))).or_default() += 1;
    }
    counts
}

#[track_caller]
fn check(dir: &Dir, expected: &[(&str, &str, usize)]) {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|&(kind, status, n)| ((kind.to_owned(), status.to_owned()), n))
        .collect();
    assert_eq!(by_kind(dir), expected);
}

#[test]
fn what_a_task_names_is_run_once() {
    for pool in [rankpool(), mpirun(3)] {
        let (ran, dir) = pool.job(&commands(TWO, 40)).args(["--stats", "stats.json"]).run();
        ran.code(0);
        assert_eq!(probes(&dir), (2..=81).collect::<Vec<_>>());
        check(&dir, &[("command", "ok", 40), ("probe", "ok", 80)]);
        let records = dir.records(RESULTS);
        let second = records.iter().find(|r| r["input"]["args"][0] == "2").unwrap();
        assert_eq!(
            second["output"]["then"],
            serde_json::json!(["probe 4", {"kind": "probe", "n": 5}])
        );
        let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
        assert_eq!((&stats["tasks"], &stats["ok"]), (&120.into(), &120.into()));
    }
}

/// Counts down in commands that name the next one.
#[test]
fn what_is_named_may_name_others() {
    let script = "sh down.sh {}";
    let pool = mpirun(2);
    pool.dir().write(
        "down.sh",
        "[ $1 = 0 ] || echo '{\"then\":[\"exec sh down.sh '$(($1 - 1))'\",\"probe '$1'\"]}'\n",
    );
    let (ran, dir) = pool.job(&commands(script, 5)).run();
    ran.code(0);
    // 1 + 2 + 3 + 4 + 5 commands below the first five.
    check(&dir, &[("command", "ok", 20), ("probe", "ok", 15)]);
    let ids: BTreeSet<String> =
        dir.records(RESULTS).iter().map(|record| record["id"].to_string()).collect();
    assert_eq!(ids.len(), 35, "named again, it is another task");
}

#[test]
fn a_run_that_goes_on_runs_what_was_named_and_has_no_record() {
    let job = format!("{}[[task]]\nkind = \"probe\"\nn = 3\n", commands(TWO, 20));
    let (ran, dir) = rankpool().job(&job).run();
    ran.code(0);
    let whole: BTreeSet<String> =
        dir.records(RESULTS).iter().map(|record| record["id"].to_string()).collect();
    assert_eq!(whole.len(), 61, "one of them is named by the job as well");
    let mut dir = dir;
    // Nothing is missing; then some probes, some commands, and all but one command.
    for kept in
        [|_: usize, _: bool| true, |n, _| n % 3 > 0, |n, is_command| is_command && n % 2 == 0]
    {
        let text = dir.read(RESULTS);
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(n, line)| kept(*n, line.contains("\"command\"")));
        let kept: String = lines.map(|(_, line)| format!("{line}\n")).collect();
        dir.write(RESULTS, &kept);
        let (ran, again) = rankpool().in_dir(dir).job(&job).args(["--resume"]).run();
        ran.code(0);
        let records = again.records(RESULTS);
        let ids: BTreeSet<String> = records.iter().map(|record| record["id"].to_string()).collect();
        assert_eq!((records.len(), ids), (61, whole.clone()));
        dir = again;
    }
}

#[test]
fn a_run_that_is_killed_or_stopped_loses_nothing_that_was_named() {
    for signal in [Signal::TERM, Signal::KILL] {
        let job = format!("threads = 1\n{}", commands(&format!("sleep 0.01; {TWO}"), 100));
        let mut running = rankpool().job(&job).start();
        wait_for_records(&mut running, 30);
        kill(running.child.id().try_into().unwrap(), signal);
        let dir = running.wait_and(|_| ());
        let (ran, dir) = rankpool().in_dir(dir).job(&job).args(["--resume"]).run();
        ran.code(0);
        assert_eq!(probes(&dir), (2..=201).collect::<Vec<_>>());
        check(&dir, &[("command", "ok", 100), ("probe", "ok", 200)]);
    }
}

#[test]
fn failures_name_nothing_and_are_tried_again() {
    // The odd ones succeed at the second attempt; both attempts print a line.
    let script = format!("{TWO}; [ $RANKPOOL_ATTEMPT = 2 ] || [ $(({{}} % 2)) = 0 ]");
    let retry = "[retry]\nexit-code = { retries = 1, backoff = \"1ms\" }\n";
    let (ran, dir) = rankpool().job(&format!("{retry}{}", commands(&script, 6))).run();
    ran.code(0);
    assert_eq!(probes(&dir), (2..=13).collect::<Vec<_>>());
    let (ran, dir) = rankpool().job(&commands(&script, 6)).run();
    ran.code(1);
    assert_eq!(probes(&dir), [4, 5, 8, 9, 12, 13]);
    // What failed runs again, and what it names only then.
    let retried = format!("{retry}{}", commands(&script, 6));
    let (ran, dir) = rankpool().in_dir(dir).job(&retried).args(["--retry-failed"]).run();
    ran.code(0);
    assert_eq!(probes(&dir), (2..=13).collect::<Vec<_>>());
    check(&dir, &[("command", "ok", 6), ("probe", "ok", 12)]);
}

#[test]
fn what_cannot_be_read_is_a_record() {
    let script = "case {} in 1) echo '{\"then\":[\"fob 1\",\"probe 5\",{\"n\":1}]}';; \
                  2) echo '{\"then\":';; 3) echo '{\"then\":7}';; 4) echo no; esac";
    let (ran, dir) = rankpool().job(&commands(script, 4)).run();
    ran.code(1);
    check(
        &dir,
        &[
            ("command", "ok", 2),
            ("command", "failed", 2),
            ("probe", "ok", 1),
            ("line", "failed", 2),
        ],
    );
    let messages: BTreeSet<String> = dir
        .records(RESULTS)
        .iter()
        .filter_map(|record| Some(record["error"]["message"].as_str()?.to_owned()))
        .collect();
    let starts = |start: &str| messages.iter().any(|message| message.starts_with(start));
    assert!(starts("the last line of its standard output begins with `{` and is no JSON"));
    assert!(starts("the last line of its standard output has `then`: `7`; use a list"));
    let named: Vec<_> = messages.iter().filter(|message| message.starts_with("task ")).collect();
    assert!(named[0].starts_with("task 1 that {\"args\":[\"1\"],\"shell\":"), "{named:?}");
    assert!(named[0].contains(" named: unknown kind `fob`; begin with one of "), "{named:?}");
    assert!(named[1].contains(" named: no `kind`"), "{named:?}");
}

#[test]
fn long_outputs_name_tasks_in_their_last_line_as_well() {
    let script = ": {}; head -c 300000 /dev/zero | tr '\\0' x; echo; \
                  seq 500 | sed 's/.*/\"probe &\"/' | paste -sd, | sed 's/.*/{\"then\":[&]}/'";
    let (ran, dir) = rankpool().job(&commands(script, 1)).run();
    ran.code(0);
    assert_eq!(probes(&dir), (1..=500).collect::<Vec<_>>());
    let command = dir.records(RESULTS).into_iter().find(|r| r["kind"] == "command").unwrap();
    assert_eq!(command["output"]["stdout_cut"], true);
}

#[test]
fn more_than_may_wait_holds_those_that_name_them() {
    let script =
        ": {}; seq 2000 | sed 's/.*/\"probe &\"/' | paste -sd, | sed 's/.*/{\"then\":[&]}/'";
    let (ran, dir) =
        mpirun(2).job(&commands(script, 40)).args(["--output", "none", "--stats", "s"]).run();
    ran.code(0);
    let stats: Value = serde_json::from_str(&dir.read("s")).unwrap();
    assert_eq!(stats["ok"], 40 + 80_000);
}

#[test]
fn a_rank_that_dies_takes_nothing_along() {
    let Some(pool) = surviving_mpirun(3) else { return };
    let job = format!("heartbeat = \"4s\"\n{}", commands(&format!("sleep 0.05; {TWO}"), 60));
    let mut running = pool.job(&job).start();
    wait_for_records(&mut running, 10);
    let records = running.dir.records(RESULTS);
    let victim = records.iter().find(|record| record["rank"] != 0).unwrap_or(&records[0]);
    if victim["rank"] != 0 {
        kill(victim["pid"].as_i64().unwrap().try_into().unwrap(), Signal::KILL);
    }
    let (_, dir) = running.wait();
    assert_eq!(probes(&dir), (2..=121).collect::<Vec<_>>());
}

#[test]
fn tables_wait_for_tasks_and_not_for_what_these_name() {
    let job = commands(TWO, 3) + "[[task]]\nkind = \"command\"\nrun = \"true\"\nafter = \"all\"\n";
    let (ran, dir) = rankpool().job(&job).run();
    ran.code(0);
    check(&dir, &[("command", "ok", 4), ("probe", "ok", 6)]);
    // Cancelled, it names nothing, and the run ends.
    let job = "[[task]]\nname = \"bad\"\nkind = \"command\"\nrun = \"false\"\n".to_owned()
        + &commands(TWO, 3).replace("name = \"all\"", "after = \"bad\"");
    let (ran, dir) = rankpool().job(&job).run();
    ran.code(1);
    check(&dir, &[("command", "failed", 1), ("command", "cancelled", 3)]);
}

#[test]
fn what_has_no_order_and_no_parts_is_refused() {
    for (flags, part) in [
        ("--ordered", "[[task]] 1: `then`: tasks that others name have no order"),
        ("--shard 1/2", "[[task]] 1: `then`: tasks that others name are known only where"),
    ] {
        let (ran, _) = rankpool().job(&commands(TWO, 3)).args(flags.split(' ')).run();
        ran.code(2).says(part);
    }
    let pool = rankpool();
    pool.dir().write("j.toml", &commands(TWO, 3));
    let (ran, dir) = pool.line("check j.toml").run();
    ran.code(0).says("# ok: at least 3 tasks in 1 table\n").says("then = true\n");
    dir.write("k.toml", &ran.stdout);
    let (again, _) = rankpool().in_dir(dir).line("check k.toml").run();
    assert_eq!(again.code(0).stdout, ran.stdout);
}
