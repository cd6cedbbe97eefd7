//! Every action, and tables that are refused.

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::task::items::SeenByContent;
use crate::task::{Next, Pool};

const CONTEXT: Context<'_> = Context::new(1 << 30);

fn plan(table: &str) -> Result<Plan> {
    let mut seen = SeenByContent::default();
    let mut context = PlanContext { folder: Path::new("jobs"), seen: &mut seen };
    Probe.plan(table.parse().unwrap(), &mut context)
}

fn error(table: &str) -> String {
    match plan(table) {
        Ok(_) => panic!("`{table}` is taken"),
        Err(error) => format!("{error:#}"),
    }
}

fn run(table: &str, n: u64) -> Result<String, TaskError> {
    let work = Probe.work(&plan(table).unwrap().options).unwrap();
    let mut output = Vec::new();
    work.run(&Input::Number(n), &CONTEXT, &mut output)?;
    Ok(String::from_utf8(output).unwrap())
}

#[allow(clippy::disallowed_methods, reason = "a test of time")]
fn timed(table: &str) -> Duration {
    let start = Instant::now();
    assert_eq!(run(table, 3).unwrap(), r#"{"n":3}"#);
    start.elapsed()
}

#[test]
fn echo_gives_its_input_back() {
    assert_eq!(run("n = 1", 3).unwrap(), r#"{"n":3}"#);
    assert_eq!(run("n = 1", 1 << 60).unwrap(), r#"{"n":"1152921504606846976"}"#);
    let mut input = Vec::new();
    Probe.work(&plan("n = 1").unwrap().options).unwrap().write_input(&Input::Number(3), &mut input);
    assert_eq!(input, br#"{"n":3}"#);
}

#[test]
fn sleep_and_busy_take_their_time() {
    assert!(timed("n = 1\naction = \"sleep\"\ntime = \"10ms\"") >= Duration::from_millis(10));
    assert!(timed("n = 1\naction = \"busy\"\ntime = \"10ms\"") >= Duration::from_millis(10));
}

#[test]
fn fail_fails_where_it_is_told_to() {
    let error = run("n = 1\naction = \"fail\"", 3).unwrap_err();
    assert_eq!(error.to_string(), "failed: `3` fails, as its probe was told");
    run("n = 1\naction = \"fail\"\nevery = 3", 6).unwrap_err();
    assert_eq!(run("n = 1\naction = \"fail\"\nevery = 3", 7).unwrap(), r#"{"n":7}"#);
}

#[test]
fn panic_panics_where_it_is_told_to() {
    let table = "n = 1\naction = \"panic\"\nevery = 2";
    assert_eq!(run(table, 7).unwrap(), r#"{"n":7}"#);
    let panic = std::panic::catch_unwind(|| run(table, 8)).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "`8` panics, as its probe was told");
}

#[test]
fn exit_spares_what_it_is_told_to() {
    assert_eq!(run("n = 1\naction = \"exit\"\nevery = 2", 7).unwrap(), r#"{"n":7}"#);
}

#[test]
fn output_is_as_long_as_it_is_told_to() {
    let output = run("n = 1\naction = \"output\"\nbytes = 1000", 3).unwrap();
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(json["text"], "x".repeat(1000));
    assert_eq!(run("n = 1\naction = \"output\"\nbytes = 0", 3).unwrap(), r#"{"text":""}"#);
    assert_eq!(run("n = 1\naction = \"output\"\nbytes = \"1KB\"", 3).unwrap().len(), 1011);
    let error = run("n = 1\naction = \"output\"\nbytes = \"1TB\"", 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory: 1000000000000 bytes do not fit; this rank may use 1073741824: raise `memory`"
    );
}

#[test]
fn a_bad_line_fails_and_says_why() {
    let work = Probe.work(&plan("n = 1").unwrap().options).unwrap();
    let line = Input::Text("3: x\"".into());
    let error = work.run(&line, &CONTEXT, &mut Vec::new()).unwrap_err();
    assert_eq!(error.class, ErrorClass::InvalidInput);
    let mut input = Vec::new();
    work.write_input(&line, &mut input);
    assert_eq!(input, br#"{"line":"3: x\""}"#);
}

#[test]
fn numbers_come_from_a_list_or_a_count() {
    let mut plan = plan("n = 7\ncount = 2").unwrap();
    let mut next = || plan.source.next(Duration::ZERO).unwrap();
    for n in [7, 0, 1] {
        assert!(matches!(next(), Next::Task(item) if item.input == Input::Number(n)));
    }
    assert_eq!(next(), Next::Exhausted);
    assert_eq!(self::plan("count = 0").unwrap().source.remaining(), Some(0));
}

#[test]
fn tables_are_completed() {
    let completed = |table: &str| {
        let first = plan(table).unwrap();
        let again = plan(&first.resolved.to_string()).unwrap();
        assert_eq!((again.resolved, again.options), (first.resolved.clone(), first.options));
        let text = |key: &str| first.resolved[key].as_str().unwrap().to_owned();
        (text("action"), text("pool"), first.pool)
    };
    assert_eq!(completed("n = 1"), ("echo".into(), "cpu".into(), Pool::Cpu));
    let sleep = "n = 1\naction = \"sleep\"\ntime = \"1s\"";
    assert_eq!(completed(sleep), ("sleep".into(), "io".into(), Pool::Io));
    let sleep = format!("{sleep}\npool = \"cpu\"");
    assert_eq!(completed(&sleep), ("sleep".into(), "cpu".into(), Pool::Cpu));
}

#[test]
fn waiting_costs_its_time() {
    let mut plan = plan("n = 1\naction = \"sleep\"\ntime = \"250ms\"").unwrap();
    let Next::Task(item) = plan.source.next(Duration::ZERO).unwrap() else { panic!("no task") };
    assert!((item.cost - 0.25).abs() < 1e-6);
}

#[test]
fn bad_tables_are_refused() {
    for (table, expected) in [
        (
            "action = \"echo\"",
            "no `n`; add numbers as in `n = \"0..10\"`, `n_from`, a file of them, or `count`",
        ),
        ("n = 1\naction = \"sleep\"", "no `time`; the action `sleep` needs it"),
        ("n = 1\naction = \"output\"", "no `bytes`; the action `output` needs it"),
        ("n = 1\ntime = \"1s\"", "`time` means nothing to the action `echo`; leave it out"),
        ("n = 1\nevery = 2", "`every` means nothing to the action `echo`; leave it out"),
        ("n = 1\naction = \"fail\"\nevery = 0", "`every` is `0`; use 1 or more"),
        ("n = 1\naction = \"output\"\nbytes = -1", "`bytes` is `-1`; use `50000000` or `\"50MB\"`"),
        ("n = -1", "n: `-1` is negative; terms are numbered from 0"),
    ] {
        assert_eq!(error(table), expected, "{table}");
    }
    assert!(
        error("n = 1\naction = \"busy\"\ntime = \"soon\"").starts_with("`time`: `soon` is no ")
    );
    assert!(error("n = 1\naction = \"dance\"").starts_with("unknown variant `dance`"));
}

#[test]
fn records_are_described() {
    let described = |output: &str| {
        let record =
            format!(r#"{{"input":{{"n":3}},"output":{output},"rank":1,"pid":4242,"host":"h1"}}"#);
        Probe.describe(&serde_json::from_str(&record).unwrap())
    };
    let line = "for input 3, the probe run by rank 1 pid 4242 on host h1 gave ";
    assert_eq!(described(r#"{"n":3}"#), format!("{line}{{\"n\":3}}"));
    assert_eq!(described(r#"{"text":"xxx"}"#), format!("{line}a text of 3 bytes"));
}
