//! The kind `command`: programs as tasks, on the real binary.

use std::fs;

use serde_json::{Value, json};

use crate::util::{Dir, Ran, Running, mpirun, rankpool, ranks_of};

/// Runs a job of one table of commands on two threads; its records, sorted by their arguments.
#[track_caller]
fn run_to(code: i32, table: &str) -> (Vec<Value>, Ran, Dir) {
    let job = format!("threads = 2\n[[task]]\nkind = 'command'\n{table}\n");
    let (ran, dir) = rankpool().job(&job).args(["--quiet"]).run();
    ran.code(code);
    let mut records = dir.records("job.results.jsonl");
    records.sort_by_key(|record| record["input"]["args"].to_string());
    (records, ran, dir)
}

/// What commands with these keys print, all of them ending well.
#[track_caller]
fn printed(table: &str) -> Vec<String> {
    let (records, ..) = run_to(0, table);
    let stdout = |record: &Value| record["output"]["stdout"].as_str().unwrap().to_owned();
    records.iter().map(stdout).collect()
}

/// The one task of a table that fails.
#[track_caller]
fn failure(table: &str) -> Value {
    let (records, ..) = run_to(1, table);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["status"], "failed");
    records[0]["error"].clone()
}

#[track_caller]
fn check_failure(table: &str, class: &str, message: &str) -> Value {
    let error = failure(table);
    assert_eq!((&error["class"], &error["message"]), (&json!(class), &json!(message)), "{error}");
    error
}

/// Processes that this process's commands have started and that have not ended.
fn commands_of(rank: u32) -> Vec<u32> {
    let marker = format!("RANKPOOL_TETHER={rank}-");
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|text| text.starts_with(marker.as_bytes()))
    };
    pids.filter(is_marked).collect()
}

/// Whether a process runs: one that nobody has reaped yet does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn exists(running: &Running, name: &str) -> bool {
    running.dir.path().join(name).exists()
}

#[test]
fn arguments_reach_the_program_whatever_they_are() {
    let args = r#"args = ["a b", "it's \"q\"", "$(id) `id` \\ *", "a\nb", "ü{}", "-n", ""]"#;
    for run in [
        "run = ['printf', '[%s]', '{}']",
        "run = \"printf '[%s]' {}\"",
        "run = \"printf '[%s]'\"",
        "run = \"printf '[%s]' {}\"\nshell = true",
        "run = \"printf '[%s]'\"\nshell = true",
        "run = ['sh', '-c', 'printf \"[%s]\" \"$X\"']\nenv = { X = '{}' }",
        "run = ['sh', '-c', 'printf [; cat; printf ]']\nstdin = '{}'",
    ] {
        let mut found = printed(&format!("{run}\n{args}"));
        let mut expected =
            ["[a b]", "[it's \"q\"]", "[$(id) `id` \\ *]", "[a\nb]", "[ü{}]", "[-n]", "[]"];
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{run}");
    }
}

#[test]
fn tasks_know_who_they_are_and_where() {
    let (records, _, dir) = run_to(
        0,
        "run = 'echo {#} $RANKPOOL_RANK $RANKPOOL_ATTEMPT $RANKPOOL_TASK_ID $(pwd)'\n\
         shell = true\nargs = ['a']\ndir = '.'",
    );
    let (id, here) = (records[0]["id"].as_str().unwrap(), dir.path().display());
    assert_eq!(records[0]["output"]["stdout"], format!("1 0 1 {id} {here}\n"));
    assert_eq!(records[0]["output"]["exit"], 0);
    assert!(records[0]["output"]["seconds_cpu"].as_f64().unwrap() >= 0.0);
}

#[test]
fn named_lists_and_files_are_combined() {
    let dir = Dir::new();
    let values = dir.write("values", "x y\n# no comment\n");
    let found = printed(&format!(
        "run = ['echo', '{{in}}-{{by.}}-{{no}}']\nlists = [\
         {{ name = 'in', args_from = '{}' }}, {{ name = 'by', args = ['1.c', '2.c'] }}, \
         {{ name = 'no', range = '8..=9', zip = true }}]",
        values.display()
    ));
    assert_eq!(found, ["# no comment-1-8\n", "# no comment-2-9\n", "x y-1-8\n", "x y-2-9\n"]);
}

#[test]
fn a_huge_product_is_checked_at_once() {
    let list = "{ range = '1..=100_000' }";
    let dir = Dir::new();
    let job = format!("[[task]]\nkind = 'command'\nrun = 'true'\nlists = [{list}, {list}, {list}]");
    let job = dir.write("j.toml", &job);
    let (ran, _) = rankpool().args(["check", job.to_str().unwrap()]).run();
    ran.code(0).says("# ok: 1,000,000,000,000,000 tasks in 1 table");
    let again = dir.write("again.toml", &ran.stdout);
    let (second, _) = rankpool().args(["check", again.to_str().unwrap()]).run();
    assert_eq!(second.code(0).stdout, ran.stdout);
}

#[test]
fn how_a_command_ends_is_its_outcome() {
    let shell = |script: &str| format!("run = \"{script}\"\nshell = true");
    let error = check_failure(
        &shell("echo out; echo first >&2; echo last words >&2; echo >&2; exit 3"),
        "exit-code",
        "exit code 3: last words",
    );
    assert_eq!((&error["exit"], &error["stdout"]), (&json!(3), &json!("out\n")));
    assert_eq!(error["stderr"], "first\nlast words\n\n");
    let error = check_failure(&shell("kill -SEGV $$"), "signal", "ended by SIGSEGV");
    assert_eq!(error["signal"], 11);
    let (records, ..) = run_to(0, &(shell("exit {}") + "\nargs = [0, 3]\nok_exit = [0, 3]"));
    assert_eq!([&records[0]["output"]["exit"], &records[1]["output"]["exit"]], [0, 3]);
}

#[test]
fn what_cannot_start_fails_and_says_why() {
    let invalid = "invalid-input";
    let (_, ran, _) = run_to(1, "run = 'no-such-program x'");
    ran.says("rankpool: warning: `no-such-program` is no program on this host");
    check_failure(
        "run = 'no-such-program x'",
        invalid,
        "`no-such-program` is no program on this host's PATH",
    );
    check_failure(
        "run = '{}'\nargs = ['nope']",
        invalid,
        "`nope` is no program on this host's PATH",
    );
    let error = failure("run = '/no/such'");
    assert!(error["message"].as_str().unwrap().starts_with("cannot start `/no/such`: "), "{error}");
    check_failure(
        "run = 'true'\ndir = '/no/{}'\nargs = ['where']",
        invalid,
        "cannot run in `/no/where`: it is no folder here",
    );
    let error = failure("run = 'cat'\nstdin_file = '/no/such'");
    assert!(error["message"].as_str().unwrap().starts_with("cannot read `/no/such`: "), "{error}");
}

#[test]
fn output_of_any_size_and_form_is_taken() {
    let both = "run = 'head -c 3000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait'\n\
                shell = true\nmax_output = 10";
    let (records, ..) = run_to(0, both);
    let output = &records[0]["output"];
    assert_eq!((&output["stdout_bytes"], &output["stdout_cut"]), (&json!(3_000_000), &json!(true)));
    assert_eq!((&output["stderr_bytes"], &output["stderr_cut"]), (&json!(2_000_000), &json!(true)));
    assert_eq!(output["stdout"], "\0".repeat(10));

    let (records, ..) = run_to(0, "run = ['printf', '\\377\\000x']");
    assert_eq!(records[0]["output"]["stdout_base64"], "/wB4");
    assert_eq!(records[0]["output"]["stdout"], Value::Null);
}

#[test]
fn long_outputs_go_to_files() {
    let (records, _, dir) = run_to(
        0,
        "run = 'head -c {}00000 /dev/zero | tr \"\\\\0\" {}; echo no >&2'\nshell = true\n\
         range = '0..=9'\noutputs = 'out'",
    );
    for (n, record) in records.iter().enumerate() {
        let output = &record["output"];
        assert_eq!(output["stderr"], "no\n");
        if n == 0 {
            assert_eq!(output["stdout"], "");
            continue;
        }
        let number = |field: &str| usize::try_from(output[field].as_u64().unwrap()).unwrap();
        let (from, length) = (number("stdout_offset"), number("stdout_bytes"));
        let file = fs::read(output["stdout_file"].as_str().unwrap()).unwrap();
        assert_eq!(length, n * 100_000);
        assert!(
            file[from..from + length].iter().all(|&byte| byte == b'0' + u8::try_from(n).unwrap())
        );
    }
    assert!(fs::read_dir(dir.path().join("out")).unwrap().count() <= 2, "a file a thread");
}

#[test]
fn a_time_limit_ends_the_whole_group() {
    let script = "trap '' TERM; (trap '' TERM; exec sleep 1000) & echo $! > {}; echo said; wait";
    let error = check_failure(
        &format!(
            "run = \"{script}\"\nshell = true\nargs = ['grandchild']\ndir = '.'\n\
             timeout = '300ms'\nkill_after = '100ms'"
        ),
        "timeout",
        "took longer than 300ms",
    );
    assert_eq!((&error["signal"], &error["stdout"]), (&json!(9), &json!("said\n")));
    // It has been sent SIGKILL before the task ended.
    let (_, _, dir) = run_to(
        1,
        &format!(
            "run = \"{script}\"\nshell = true\nargs = ['grandchild']\ndir = '.'\n\
             timeout = '300ms'\nkill_after = '100ms'"
        ),
    );
    let grandchild = dir.read("grandchild");
    let waits = rankpool().line("fib 1 --output none").start();
    waits.wait_and(|running| running.poll("the grandchild's end", |_| !runs(&grandchild)));
}

#[test]
fn a_command_that_ends_when_it_is_told_is_late_all_the_same() {
    let script = "trap 'echo bye; exit 0' TERM; echo x; while :; do sleep 0.01; done";
    let table = format!("run = \"{script}\"\nshell = true\ntimeout = '300ms'\nkill_after = '1m'");
    let error = check_failure(&table, "timeout", "took longer than 300ms");
    assert_eq!((&error["exit"], &error["stdout"]), (&json!(0), &json!("x\nbye\n")));
}

#[test]
fn what_a_command_leaves_behind_holds_nobody_up() {
    let (records, _, dir) = run_to(
        0,
        "run = 'sleep 1000 & echo $! > left; setsid sleep 1001 & echo $! > away; echo done'\n\
         shell = true\ndir = '.'",
    );
    assert_eq!(records[0]["output"]["stdout"], "done\n");
    let (left, away) = (dir.read("left"), dir.read("away"));
    let waits = rankpool().line("fib 1 --output none").start();
    waits.wait_and(|running| running.poll("their end", |_| !runs(&left) && !runs(&away)));
}

/// Commands that would run for long: in their group, out of it, and without an environment.
const LONG: &str = "[[task]]\nkind = 'command'\nshell = true\nrun = 'setsid sleep 1001 & \
                    env -i sleep 1002 & echo $! > bare{}; touch started{}; sleep 1003'\n\
                    args = [1, 2]\n";

#[test]
fn commands_end_with_their_rank_however_that_ends() {
    let mut running = rankpool().job(&format!("threads = 2\n{LONG}")).start();
    let rank = running.child.id();
    running.poll("commands", |running| exists(running, "started1") && exists(running, "started2"));
    running.poll("all of them", |_| commands_of(rank).len() >= 6);
    let bare = [running.dir.read("bare1"), running.dir.read("bare2")];
    assert!(bare.iter().all(|pid| runs(pid)));
    running.child.kill().unwrap();
    running.wait_and(|running| {
        running.poll("the commands' end", |_| commands_of(rank).is_empty());
        running.poll("the others' end", |_| bare.iter().all(|pid| !runs(pid)));
    });
}

#[test]
fn commands_end_when_a_run_is_told_to_stop() {
    let job = format!("threads = 2\ngrace = '100ms'\n{LONG}");
    let mut running = rankpool().job(&job).start();
    let rank = running.child.id();
    running.poll("commands", |running| exists(running, "started1") && exists(running, "started2"));
    let pid = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let dir = running
        .wait_and(|running| running.poll("the commands' end", |_| commands_of(rank).is_empty()));
    assert!(dir.records("job.results.jsonl").is_empty());
}

#[test]
fn a_command_may_hold_several_threads() {
    let job = "threads = 4\n[[task]]\nkind = 'command'\nrun = 'sleep 0.0{}'\nrange = '1..=6'\n\
               cores = 4\n[[task]]\nkind = 'command'\nrun = 'sleep 0.00{}'\nrange = '1..=9'\n";
    let (ran, dir) = rankpool().job(job).run();
    ran.code(0);
    let records = dir.records("job.results.jsonl");
    assert_eq!(records.len(), 15);
    let spans = records.iter().map(|record| {
        let start = record["start"].as_f64().unwrap();
        let is_large = record["input"]["run"] == "sleep 0.0{}";
        (is_large, start, start + record["seconds"].as_f64().unwrap())
    });
    let spans: Vec<_> = spans.collect();
    for (idx, (is_large, start, end)) in spans.iter().enumerate().filter(|(_, span)| span.0) {
        for (other, (_, from, to)) in spans.iter().enumerate() {
            let apart = *to <= start + 1e-5 || end - 1e-5 <= *from;
            assert!(apart || other == idx, "{is_large} {start} {end}, {from} {to}");
        }
    }
}

#[test]
fn a_run_goes_on_where_it_ended() {
    let table = |args: &str| {
        format!(
            "[[task]]\nkind = 'command'\nrun = 'echo {{}} >> ran; exit {{}}'\nshell = true\n\
                 args = {args}\ndir = '.'\n"
        )
    };
    let (ran, dir) = rankpool().job(&table("[0, 1]")).run();
    ran.code(1);
    let (ran, dir) = rankpool().in_dir(dir).job(&table("[2, 0, 1, 0]")).args(["--resume"]).run();
    ran.code(1);
    let mut lines: Vec<_> = dir.read("ran").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["0", "0", "1", "2"], "the second `0` is a task of its own");
    let (_, dir) = rankpool().in_dir(dir).job(&table("[2, 0]")).args(["--retry-failed"]).run();
    assert_eq!(dir.read("ran").lines().count(), 5);
}

#[track_caller]
fn exec<'a>(code: i32, args: impl IntoIterator<Item = &'a str>, expected: &str) -> Ran {
    let (ran, _) = rankpool().args(["exec", "--threads", "1"]).args(args).run();
    ran.code(code);
    assert_eq!(ran.stdout, expected, "{}", ran.stderr);
    ran
}

#[test]
fn exec_takes_lists_as_gnu_parallel_does() {
    exec(0, ["echo {}", ":::", "a b", "c"], "a b\nc\n");
    exec(0, ["echo", "{}", "x  y", ":::", "a"], "a x  y\n");
    exec(0, ["echo", ":::", "a", "b", ":::+", "1", "2", ":::", "x"], "a 1 x\nb 2 x\n");
    exec(0, ["--shell", "printf '%s;' {2} | cat; echo", ":::", "a", ":::", "$x", "y"], "$x;\ny;\n");
    exec(0, ["echo alone"], "alone\n");
    exec(0, ["printf x", ":::"], "");
    let dir = Dir::new();
    let (one, two) = (dir.write("1", "a\nb\n"), dir.write("2", "c\n"));
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    exec(0, ["echo", "::::", one, two], "a c\nb c\n");
    exec(0, ["echo", ":::", "x", "y", "::::+", one], "x a\ny b\n");
    exec(1, ["--shell", "echo {}; echo e{} >&2; exit {}", ":::", "0", "2"], "0\n2\n")
        .says("e0\n")
        .says("e2\n")
        .says("exit-code: exit code 2: e2");
    exec(2, ["echo {}"], "").says("the command has a placeholder and no values; add `::: VALUES`");
    exec(2, [":::", "a"], "").says("no command before `:::`");
    exec(2, ["echo", "::::"], "").says("no file after `::::`");
    exec(1, ["--timeout", "200ms", "sleep", ":::", "1000"], "").says("took longer than 200ms");
    exec(0, ["--ok-exit", "0,1", "--env", "X=y", "sh -c 'echo $X; exit 1'"], "y\n");
}

#[test]
fn two_ranks_run_commands() {
    let args: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let line = ["exec", "--schedule", "static,1", "--threads", "1", "--output", "r.jsonl"];
    let pool = mpirun(2).args(line).args(["printenv RANKPOOL_RANK RANKPOOL_TASK_ID", ":::"]);
    // Not arguments of the command, but the names of variables that are not there.
    let (ran, dir) = pool.args(args.iter().map(String::as_str)).run();
    ran.code(1);
    let records = dir.records("r.jsonl");
    assert_eq!(records.len(), 40);
    for record in &records {
        let expected = format!("{}\n{}\n", record["rank"], record["id"].as_str().unwrap());
        assert_eq!(record["error"]["stdout"], expected);
    }
    assert!([0, 1].iter().all(|rank| records.iter().any(|record| record["rank"] == *rank)));
}

#[test]
fn a_command_is_no_rank_of_the_run_that_started_it() {
    let binary = env!("CARGO_BIN_EXE_rankpool");
    let line = ["exec", "--threads", "1", "--output", "r.jsonl", binary, "fib", "10"];
    let (ran, dir) = mpirun(2).args(line).args(["--output", "-", "--quiet", ":::", "3", "4"]).run();
    ran.code(0);
    for record in dir.records("r.jsonl") {
        let stdout = record["output"]["stdout"].as_str().unwrap();
        assert_eq!(stdout.lines().count(), 2, "{record}");
    }
}

#[test]
fn commands_of_a_killed_rank_end_and_run_again() {
    let Some(pool) = crate::util::surviving_mpirun(2) else {
        eprintln!("this MPI survives no dead rank: not tried");
        return;
    };
    let job = "threads = 1\nschedule = 'static,1'\n[[task]]\nkind = 'command'\nshell = true\n\
               run = 'touch started{}; test -e go || exec sleep 1000'\nargs = [0, 1]\n";
    let mut running = pool.job(job).start();
    running.poll("commands", |running| exists(running, "started0") && exists(running, "started1"));
    let ranks = ranks_of(&running);
    let number = |pid: u32| -> Option<String> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let texts = environment.split(|&byte| byte == 0);
        let mut texts = texts.map(|text| String::from_utf8_lossy(text).into_owned());
        texts.find_map(|text| text.strip_prefix("OMPI_COMM_WORLD_RANK=").map(str::to_owned))
    };
    let worker = *ranks.iter().find(|&&pid| number(pid).as_deref() == Some("1")).unwrap();
    let root = *ranks.iter().find(|&&pid| number(pid).as_deref() == Some("0")).unwrap();
    running.dir.write("go", "");
    let pid = |pid: u32| rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid(worker), rustix::process::Signal::KILL).unwrap();
    running.poll("the dead rank's commands' end", |_| commands_of(worker).is_empty());
    for command in commands_of(root) {
        // The task that waits on rank 0.
        let _ = rustix::process::kill_process(pid(command), rustix::process::Signal::TERM);
    }
    let (_, dir) = running.wait();
    let records = dir.records("job.results.jsonl");
    assert_eq!(records.len(), 2);
    let again = records.iter().find(|record| record["input"]["args"][0] == "1").unwrap();
    assert_eq!((&again["status"], &again["attempts"]), (&json!("ok"), &json!(2)), "{again}");
}
