//! Tables of commands: what is refused, and which tasks they give.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::task::items::SeenByContent;
use crate::task::{Next, Source};

fn plan_in(table: &str, seen: &mut SeenByContent) -> Result<Plan> {
    let table = table.parse().unwrap();
    Command.plan(table, &mut PlanContext { folder: Path::new("jobs"), seen })
}

fn plan(table: &str) -> Plan {
    plan_in(table, &mut SeenByContent::default()).unwrap()
}

#[track_caller]
fn refused(table: &str, part: &str) {
    let error = format!("{:#}", plan_in(table, &mut SeenByContent::default()).unwrap_err());
    assert!(error.contains(part), "{table}: {error}");
}

/// The arguments and the occurrence of each task.
fn tasks(source: &mut dyn Source) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    while let Next::Task(item) = source.next(Duration::ZERO).unwrap() {
        let (number, args) = lists::values(&item.input).unwrap();
        assert_eq!(number, found.len() as u64 + 1);
        found.push((args.join("-"), item.occurrence));
    }
    found
}

#[track_caller]
fn check(table: &str, expected: &[&str]) {
    let found = tasks(&mut *plan(&format!("run = 'p'\n{table}")).source);
    let found: Vec<_> = found.iter().map(|(args, _)| args.as_str()).collect();
    assert_eq!(found, expected, "{table}");
}

#[test]
fn lists_are_written_in_several_ways() {
    check("", &[""]);
    check("args = []", &[]);
    check("args = 'a b'", &["a b"]);
    check("args = ['', 'b', 3, 0.5, true]", &["", "b", "3", "0.5", "true"]);
    check("range = '1..=3'", &["1", "2", "3"]);
    check("lists = [{ args = ['a', 'b'] }, { range = '1..=2' }]", &["a-1", "a-2", "b-1", "b-2"]);
    check("lists = [{ args = ['a', 'b'] }, { range = '1..=2', zip = true }]", &["a-1", "b-2"]);
    let manifest = concat!("glob = '", env!("CARGO_MANIFEST_DIR"), "/Cargo.*ml'");
    check(manifest, &[concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    let dir = concat!("dir = '", env!("CARGO_MANIFEST_DIR"), "'\nglob = '*/li[ab].rs'");
    check(dir, &["src/lib.rs"]);
}

#[test]
fn mistakes_are_refused_by_name() {
    for (table, part) in [
        ("", "no `run`; write a command line"),
        ("run = ''", "`run`: it is empty; name a program"),
        ("run = []", "`run`: it is empty"),
        ("run = 'a \"b'", "`run`: a quote is not closed"),
        ("run = 3", "a string or a list of strings"),
        ("run = ['a']\nshell = true", "`run`: a shell takes one line"),
        ("run = 'a {2}'\nargs = 'x'", "`run`: `{2}` names list 2, and there are lists 1 to 1"),
        ("run = 'a'\nargs = [['x']]", "`args[0]` is no text; several lists go into `lists`"),
        ("run = 'a'\nargs = \"x\\u0000\"", "`args[0]` has a zero byte"),
        ("run = 'a'\nargs = 'x'\nrange = '1..3'", "one of `args`, `args_from`, `glob` and `range`"),
        ("run = 'a'\nargs = 'x'\nlists = []", "`lists` beside a list of its own"),
        ("run = 'a'\nlists = [{}]", "no values; write `args`"),
        ("run = 'a'\nlists = [{ args = 'x', zip = true }]", "the first has nothing before it"),
        ("run = 'a'\nlists = [{ args = 'x', zipp = true }]", "unknown field `zipp`"),
        (
            "run = 'a {ni}'\nlists = [{ args = 'x', name = 'in' }]",
            "nothing uses `in`; write `{in}`",
        ),
        ("run = 'a {a b}'\nlists = [{ args = 'x', name = 'a b' }]", "`a b` is no name"),
        ("run = 'a'\nrange = [1, 5]", "`range` is one range"),
        ("run = 'a'\nglob = '[b'", "`glob`: `[b`"),
        ("run = 'a'\nglob = '*'\ndir = '{}'", "`glob`: it starts at `dir`"),
        ("run = 'a'\nargs_from = 'missing'", "cannot read `jobs/missing`"),
        ("run = 'a'\nstdin = 'x'\nstdin_file = 'y'", "a command reads one of them"),
        ("run = 'a'\nok_exit = []", "`ok_exit` is empty"),
        ("run = 'a'\nok_exit = [256]", "256"),
        ("run = 'a'\ncores = 0", "`cores` is `0`"),
        ("run = 'a'\ntimeout = '0s'", "`timeout`: `0s` is zero"),
        ("run = 'a'\nkill_after = 'soon'", "`kill_after`"),
        ("run = 'a'\nmax_output = -1", "`max_output` is `-1`"),
        ("run = 'a'\nenv = { \"A=B\" = 'x' }", "`env`: `A=B` is no name of a variable"),
    ] {
        refused(table, part);
    }
}

#[test]
fn the_same_command_with_the_same_arguments_is_another_task() {
    let table = |run: &str, args: &str| format!("run = '{run}'\nargs = {args}");
    let occurrences = |plan: &mut Plan| {
        tasks(&mut *plan.source).into_iter().map(|(_, occurrence)| occurrence).collect::<Vec<_>>()
    };
    assert_eq!(occurrences(&mut plan(&table("p", "['a', 'b', 'a']"))), [0, 0, 1]);
    let mut seen = SeenByContent::default();
    let mut first = plan_in(&table("p", "['a', 'b', 'a']"), &mut seen).unwrap();
    let mut other = plan_in(&table("q", "['a']"), &mut seen).unwrap();
    let mut second = plan_in(&table("p", "['b', 'c']"), &mut seen).unwrap();
    assert_eq!(occurrences(&mut first), [0, 0, 1]);
    assert_eq!(occurrences(&mut other), [0]);
    assert_eq!(occurrences(&mut second), [1, 0]);
}

#[test]
fn an_input_is_its_command_and_its_arguments() {
    let written = |table: &str, args: &[&str]| {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let work = Command.work(&plan(table).options).unwrap();
        let mut record = Vec::new();
        work.write_input(&lists::input(3, &Ok(args)), &mut record);
        String::from_utf8(record).unwrap()
    };
    assert_eq!(
        written("run = 'p {1}'\nargs = 'x'", &["a\"\n", ""]),
        r#"{"run":"p {1}","args":["a\"\n",""]}"#
    );
    assert_eq!(written("run = ['p', 'q']", &[]), r#"{"run":["p","q"],"args":[]}"#);
    assert_eq!(written("run = 'a|b'\nshell = true", &[]), r#"{"shell":"a|b","args":[]}"#);
}

#[test]
fn what_is_no_argument_fails_when_it_would_run() {
    let work = Command.work(&plan("run = 'true'\nargs = 'x'").options).unwrap();
    let run = |input: &Input| {
        let error = work.run(input, &Context::new(0), &mut Vec::new()).unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput);
        error.message
    };
    assert_eq!(run(&lists::input(1, &Err("the line is bad"))), "the line is bad");
    assert_eq!(run(&lists::input(1, &Ok(vec![]))), "0 arguments, and the command takes 1");
    assert_eq!(run(&Input::Number(3)), "a command takes texts");
}

#[test]
fn a_program_that_is_missing_is_told_before_the_run() {
    let warning = |table: &str| Command.warning(&plan(table).options);
    let told = Some("`no-such-program` is no program on this host".to_owned());
    assert_eq!(warning("run = 'no-such-program x'"), told);
    for table in ["run = 'sh x'", "run = '{}'\nargs = 'x'", "run = 'no-such'\nshell = true"] {
        assert_eq!(warning(table), None);
    }
}
