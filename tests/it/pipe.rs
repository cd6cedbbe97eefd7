//! Named pipes: the two ends, and a job that reads tasks from one and writes results to another.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::util::{self, Dir, Rankpool, mpirun, rankpool, records};

/// rankpool beside a run of a test's, in the same folder.
fn beside(dir: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rankpool"));
    command.args(line.split(' ')).current_dir(dir).stdin(Stdio::null());
    command
}

fn mkfifo(dir: &Path, name: &str) {
    let status = Command::new("mkfifo").args(["-m", "600", name]).current_dir(dir).status();
    assert!(status.unwrap().success());
}

fn write_lines(dir: &Path, name: &str, lines: &str) -> Child {
    let mut writer = beside(dir, &format!("pipe write --lines {name} -"));
    let mut writer = writer.stdin(Stdio::piped()).spawn().unwrap();
    writer.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    writer
}

/// What a reader printed, without its own pid: message and writer's pid.
fn messages(said: &str, reader: u32) -> Vec<(String, u32)> {
    let begin = format!("I pid [{reader}] received a message => ");
    let message = |line: &str| {
        let rest = line.strip_prefix(&begin).unwrap_or_else(|| panic!("{line}"));
        let (message, pid) = rest.strip_suffix(']').unwrap().rsplit_once(" from pid [").unwrap();
        (message.to_owned(), pid.parse().unwrap())
    };
    said.lines().map(message).collect()
}

#[test]
fn a_message_goes_from_one_process_to_another() {
    let reader = rankpool().line("pipe read my_pipe").start();
    let (dir, pid) = (reader.dir.path().to_owned(), reader.child.id());
    let writer = beside(&dir, "pipe write my_pipe hello").spawn().unwrap();
    let of_writer = writer.id();
    assert!(writer.wait_with_output().unwrap().status.success());
    let (ran, dir) = reader.wait();
    ran.code(0);
    assert_eq!(messages(&ran.stdout, pid), [("hello".to_owned(), of_writer)]);
    let mode = fs::metadata(dir.path().join("my_pipe")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn many_writers_long_messages_nothing_torn() {
    let reader = rankpool().line("pipe read p --follow --deadline 2s").start();
    let (dir, pid) = (reader.dir.path().to_owned(), reader.child.id());
    let long = |writer: usize| (0..3).map(move |n| format!("{writer}-{n}-").repeat(9000));
    let writers: Vec<Child> = (0..10)
        .map(|writer| {
            let mut command = beside(&dir, "pipe write p");
            command.args(long(writer)).spawn().unwrap()
        })
        .collect();
    let mut expected = Vec::new();
    for (n, writer) in writers.into_iter().enumerate() {
        let of_writer = writer.id();
        assert!(writer.wait_with_output().unwrap().status.success());
        expected.extend(long(n).map(|message| (message, of_writer)));
    }
    let (ran, _) = reader.wait();
    ran.code(0);
    let mut found = messages(&ran.stdout, pid);
    // In order each.
    found.sort_by_key(|(_, writer)| *writer);
    expected.sort_by_key(|(_, writer)| *writer);
    assert!(found == expected);
}

#[test]
fn nobody_waits_beyond_the_deadline_and_mistakes_are_named() {
    let dir = Dir::new();
    dir.write("file", "");
    let file = dir.path().join("file").display().to_string();
    for (line, part) in [
        ("pipe write p hello --deadline 50ms", "nobody opened `p` to read within 50ms"),
        ("pipe read p --deadline 50ms", "no message came through `p` within 50ms"),
        (&format!("pipe read {file}"), "is no named pipe; name another path"),
        (&format!("pipe write {file} x"), "is no named pipe; name another path"),
        ("pipe write no/such/p x", "cannot make the named pipe `no/such/p`"),
        ("pipe write p", "required arguments were not provided"),
    ] {
        let (ran, _) = rankpool().line(line).run();
        ran.code(2).says(part);
    }
}

#[test]
fn a_folder_without_permission_is_named() {
    for (line, part) in [
        ("pipe read closed/p", "cannot make the named pipe `closed/p`: Permission denied"),
        ("pipe write closed/p x", "cannot make the named pipe `closed/p`: Permission denied"),
        ("fib 3 --control closed/c", "cannot make the folder `closed/c`: Permission denied"),
        ("fib 3 --output closed/r", "cannot create results file `closed/r`; `--output FILE`"),
    ] {
        let pool = Rankpool::new(without_rights()).line(line);
        let closed = pool.dir().path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let (ran, dir) = pool.run();
        ran.code(2).says(part);
        let closed = dir.path().join("closed");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

/// rankpool for which permissions count, also where the tests run as root.
fn without_rights() -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(env!("CARGO_BIN_EXE_rankpool"));
    }
    let rights =
        ["--bounding-set", "--inh-caps"].map(|of| format!("{of}=-dac_override,-dac_read_search"));
    let mut command = Command::new("setpriv");
    command.args(rights).arg(env!("CARGO_BIN_EXE_rankpool"));
    command
}

#[test]
fn a_reader_that_goes_away_ends_its_writer() {
    let dir = Dir::new();
    mkfifo(dir.path(), "p");
    let message = "x".repeat(100_000);
    let mut writer = beside(dir.path(), "pipe write p");
    let writer = writer.args([&message; 8]).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = File::open(dir.path().join("p")).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    drop(reader);
    let output = writer.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot write to `p`: the reader went away"), "{said}");
}

#[test]
fn a_writer_that_dies_in_a_message_is_known() {
    let dir = Dir::new();
    let reader = rankpool().in_dir(dir).line("pipe read p").start();
    let path = reader.dir.path().join("p");
    let mut running = reader;
    running.poll("the pipe", |_| path.exists());
    // The first frame of a message of two.
    let mut frame = vec![0xF5, b'r', 0];
    frame.extend_from_slice(&77u32.to_le_bytes());
    frame.extend_from_slice(&[0; 8]);
    frame.extend_from_slice(&5u16.to_le_bytes());
    frame.extend_from_slice(b"hello");
    OpenOptions::new().write(true).open(&path).unwrap().write_all(&frame).unwrap();
    let (ran, _) = running.wait();
    ran.code(2).says("pid [77] went away in the middle of a message, after 5 bytes");
}

/// The numbers of the records that are ok, and the lines that are not.
fn sorted(records: &[Value]) -> (Vec<u64>, Vec<String>) {
    let is_ok = |record: &&Value| record["status"] == "ok";
    let ok = records.iter().filter(is_ok).map(|record| record["input"]["n"].as_u64().unwrap());
    let mut numbers: Vec<u64> = ok.collect();
    numbers.sort_unstable();
    let bad = records.iter().filter(|record| !is_ok(record));
    (numbers, bad.map(|record| record["input"]["line"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn ten_writers_at_once_lose_nothing() {
    let pool = mpirun(2).line("run --tasks tasks --output out.jsonl --quiet --modulus 7");
    mkfifo(pool.dir().path(), "tasks");
    let running = pool.start();
    let dir = running.dir.path().to_owned();
    let writers: Vec<Child> = (0..10u64)
        .map(|writer| {
            let lines: String = (0..2000).map(|n| format!("fib {}\n", writer * 2000 + n)).collect();
            write_lines(&dir, "tasks", &lines)
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let (ran, dir) = running.wait();
    ran.code(0);
    let (numbers, bad) = sorted(&dir.records("out.jsonl"));
    assert_eq!(bad, [""; 0]);
    assert!(numbers == (0..20_000).collect::<Vec<_>>());
}

#[test]
fn a_torn_line_is_a_bad_line_and_others_are_whole() {
    let pool = rankpool().line("run --tasks tasks --output out.jsonl --quiet --modulus 7");
    mkfifo(pool.dir().path(), "tasks");
    let running = pool.start();
    let mut writer = OpenOptions::new().write(true).open(running.dir.path().join("tasks")).unwrap();
    writer.write_all(b"fib 1\nfib 2\nfob 3\nfib 4\nfib 1").unwrap();
    drop(writer);
    let (ran, dir) = running.wait();
    ran.code(1);
    let (numbers, mut bad) = sorted(&dir.records("out.jsonl"));
    bad.sort_unstable();
    assert_eq!((numbers, bad), (vec![1, 2, 4], vec!["fib 1".to_owned(), "fob 3".to_owned()]));
    let torn = dir.records("out.jsonl");
    let torn = torn.iter().find(|record| record["input"]["line"] == "fib 1").unwrap();
    assert_eq!(torn["error"]["class"], "invalid-input");
    assert!(torn["error"]["message"].as_str().unwrap().starts_with("line 5 of `tasks`: "));
}

#[test]
fn results_go_through_a_pipe_and_a_reader_that_stops_loses_nothing() {
    let pool = mpirun(2).line("run --tasks tasks --results out --heartbeat 3s --quiet");
    mkfifo(pool.dir().path(), "tasks");
    mkfifo(pool.dir().path(), "out");
    let running = pool.start();
    let dir = running.dir.path().to_owned();
    // 24 kB a record: more than what is on its way to a reader that has stopped.
    let lines: String = (0..3000).map(|n| format!("fib {}\n", 100_000 + n)).collect();
    let with_value = lines.clone();
    let writer = std::thread::spawn({
        let dir = dir.clone();
        move || write_lines(&dir, "tasks", &with_value).wait().unwrap()
    });
    let mut reader = BufReader::new(File::open(dir.join("out")).unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    // Longer than the heartbeat's limit: nobody may be taken for dead meanwhile.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(writer.join().unwrap().success());
    let (ran, _) = running.wait();
    ran.code(0);
    assert_eq!(records(&(first + &rest)).len(), 3000);
    assert!(
        !ran.stderr.contains("went on without") && !ran.stderr.contains("dead"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_reader_of_results_that_goes_away_ends_the_run() {
    let pool = rankpool().line("run --tasks tasks --results out --keep-open --quiet");
    mkfifo(pool.dir().path(), "tasks");
    mkfifo(pool.dir().path(), "out");
    let running = pool.start();
    let dir = running.dir.path().to_owned();
    let mut tasks = OpenOptions::new().write(true).open(dir.join("tasks")).unwrap();
    tasks.write_all(b"fib 1\n").unwrap();
    let mut first = String::new();
    BufReader::new(File::open(dir.join("out")).unwrap()).read_line(&mut first).unwrap();
    assert_eq!(records(&first)[0]["input"]["n"], 1);
    let mut running = running;
    running.poll("it to notice", |running| {
        // Until it has, tasks are taken.
        let _ = tasks.write_all(b"fib 2\n");
        running.child.try_wait().unwrap().is_some()
    });
    let (ran, _) = running.wait();
    ran.code(3).says("cannot write results to `out`: Broken pipe");
}

#[test]
fn standard_input_ends_below_mpirun_and_launch() {
    let n = util::lines_of_input();
    let script = format!("seq 1 {n} | sed 's/^/fib /'");
    for start in ["mpirun -n 2 --bind-to none", "launch"] {
        let pool = rankpool();
        let bin = env!("CARGO_BIN_EXE_rankpool");
        let run = "run --tasks - --output - --quiet --modulus 7";
        let line = match start {
            "launch" => format!("{script} | {bin} launch -n 2 {run}"),
            start => format!("{script} | {start} {bin} {run}"),
        };
        let mut shell = Command::new("timeout");
        shell.args(["100", "bash", "-o", "pipefail", "-c", &line]).current_dir(pool.dir().path());
        shell.env("TMPDIR", pool.dir().path()).stdin(Stdio::null());
        shell.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
        shell.env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
            shell.env(name, "1").env(format!("{name}_CONFIRM"), "1");
        }
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = records(&String::from_utf8_lossy(&output.stdout));
        let numbers: BTreeSet<u64> =
            found.iter().map(|record| record["input"]["n"].as_u64().unwrap()).collect();
        assert_eq!((found.len(), numbers.len()), (n, n), "{start}");
    }
}

#[test]
fn a_stream_stands_beside_a_job_file_and_takes_its_options() {
    let pool =
        rankpool().line("run job.toml --tasks tasks.txt --output out.jsonl --quiet --ordered");
    pool.dir().write("job.toml", "[[task]]\nkind = 'fibonacci'\nn = [5]\nvalue = 'none'\n");
    pool.dir().write("tasks.txt", "probe 1\nfib 10\nfob\nprobe 2\nfib 5");
    let (ran, dir) = pool.run();
    ran.code(1);
    let found = dir.records("out.jsonl");
    let kinds: Vec<&str> = found.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["fibonacci", "probe", "fibonacci", "line", "probe", "fibonacci"]);
    assert!(found[2]["output"]["bits"].is_u64(), "{}", found[2]);
    let ids: BTreeSet<&str> = found.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 6, "the same term named again is another task");
    // All of it is there, and nothing is run again.
    let again = rankpool().in_dir(dir).line("run job.toml --tasks tasks.txt --output out.jsonl");
    let (ran, dir) = again.args(["--resume", "--ordered"]).run();
    ran.code(1).says("6 more had been done before");
    assert_eq!(dir.records("out.jsonl").len(), 6);
}

#[test]
fn commands_come_as_lines() {
    let pool = rankpool().line("run job.toml --tasks tasks.txt --output out.jsonl --ordered");
    pool.dir().write(
        "job.toml",
        "[[task]]\nkind = 'command'\nrun = 'cat {}'\nargs = ['tasks.txt']\nok_exit = [0, 3]\n\
         stdin = '{}'\nenv = { V = '7', W = '{}' }\n[[task]]\nkind = 'command'\nrun = 'true'\n",
    );
    let lines = [
        "exec sh -c 'echo $V {} {#} $W'",
        r#"{"kind":"command","run":["printf","%s","a  b"]}"#,
        r#"{"kind":"command","run":"echo $((1+2)) | cat; exit 3","shell":true}"#,
        "exec false",
        "exec 'unclosed",
        "crawl http://h/",
        "exec true",
        "command true",
        "exec no-such-program",
    ];
    pool.dir().write("tasks.txt", &lines.join("\n"));
    let (ran, dir) = pool.run();
    ran.code(1);
    let found = dir.records("out.jsonl");
    let said = |idx: usize| found[idx]["output"]["stdout"].as_str().unwrap();
    assert_eq!([2, 3, 4].map(said), ["7 {} {#}\n", "a  b", "3\n"]);
    assert_eq!(found[4]["output"]["exit"], 3);
    let failed = |idx: usize| {
        let error = &found[idx]["error"];
        (error["class"].as_str().unwrap(), error["message"].as_str().unwrap())
    };
    assert_eq!(failed(5), ("exit-code", "exit code 1"));
    assert!(failed(6).1.starts_with("line 5 of `tasks.txt`: a quote is not closed"));
    assert!(failed(7).1.starts_with("line 6 of `tasks.txt`: `crawl` takes no lines, but a table"));
    assert_eq!(failed(10).0, "invalid-input");
    assert_eq!(found[8]["input"], serde_json::json!({"run": "true", "args": []}));
    let ids: BTreeSet<&str> = found.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!((found.len(), ids.len()), (11, 11), "each time it is named it is another task");
    let again = rankpool().in_dir(dir).line("run job.toml --tasks tasks.txt --output out.jsonl");
    let (ran, dir) = again.args(["--resume", "--ordered"]).run();
    ran.code(1).says("11 more had been done before");
    assert_eq!(dir.records("out.jsonl").len(), 11);
}

#[test]
fn a_million_lines_of_one_kind_need_no_other_and_start_at_once() {
    let pool = rankpool().line("run --tasks tasks --results out --quiet --threads 2");
    mkfifo(pool.dir().path(), "tasks");
    mkfifo(pool.dir().path(), "out");
    let running = pool.start();
    let mut tasks = OpenOptions::new().write(true).open(running.dir.path().join("tasks")).unwrap();
    let mut results = BufReader::new(File::open(running.dir.path().join("out")).unwrap());
    // While the writer is still there.
    tasks.write_all(b"probe 0\n").unwrap();
    let mut first = String::new();
    results.read_line(&mut first).unwrap();
    assert_eq!(records(&first)[0]["output"]["n"], 0);
    let number = |line: &str| {
        let (_, rest) = line.split_once("\"output\":{\"n\":").unwrap();
        rest[..rest.find('}').unwrap()].parse::<u32>().unwrap()
    };
    let numbers = move || results.lines().map(|line| number(&line.unwrap())).collect();
    let reader = std::thread::spawn(numbers);
    let lines: Vec<String> = (1..=1_000_000).map(|n| format!("probe {n}\n")).collect();
    tasks.write_all(lines.concat().as_bytes()).unwrap();
    drop(tasks);
    let mut numbers: Vec<u32> = reader.join().unwrap();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=1_000_000));
    let (ran, _) = running.wait();
    ran.code(0);
}

#[test]
fn what_cannot_be_a_stream_is_refused() {
    let pool = rankpool();
    pool.dir().write("j.toml", "[[task]]\nkind = 'fibonacci'\nn_from = '-'\n");
    let dir = pool.dir().path().display().to_string();
    for (line, part) in [
        ("run --tasks no.fifo".to_owned(), "`no.fifo`: no such file of tasks; `mkfifo -m 600"),
        (format!("run --tasks {dir}"), "it is a folder"),
        (format!("run {dir}/j.toml --tasks -"), "and a table read standard input"),
        ("run".to_owned(), "required arguments were not provided: <JOB.toml>"),
    ] {
        let (ran, _) = rankpool().line(&line).run();
        ran.code(2).says(part);
    }
}
