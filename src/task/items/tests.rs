//! Every form of a list, and occurrences against a plain count.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use proptest::prelude::*;

use super::numbers::bad_line;
use super::*;
use crate::task::{ErrorClass, Input, Item, Next, Source};

fn toml_value(text: &str) -> toml::Value {
    let table: toml::Table = format!("n = {text}").parse().unwrap();
    table["n"].clone()
}

fn source(n: &str, from: Option<&Path>, seen: &Rc<RefCell<Seen>>) -> Result<NumberSource> {
    let items = NumberItems::new("n", Some(&toml_value(n)), from.map(Path::to_owned))?;
    items.source("n", Rc::clone(seen), Box::new(|n| n as f32))
}

fn items(source: &mut dyn Source) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        match source.next(Duration::ZERO).unwrap() {
            Next::Task(item) => items.push(item),
            Next::Waiting => std::thread::yield_now(),
            Next::Failed(_, error) => panic!("{error}"),
            Next::Exhausted => return items,
        }
    }
}

/// The numbers and occurrences that a value of `n` gives.
fn numbers(n: &str) -> Vec<(u64, u32)> {
    pairs(&items(&mut source(n, None, &Rc::default()).unwrap()))
}

fn pairs(items: &[Item]) -> Vec<(u64, u32)> {
    let pair = |item: &Item| match item.input {
        Input::Number(n) => (n, item.occurrence),
        Input::Text(_) => (u64::MAX, item.occurrence),
    };
    items.iter().map(pair).collect()
}

fn error(n: &str) -> String {
    format!("{:#}", source(n, None, &Rc::default()).unwrap_err())
}

/// A file that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(content: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rankpool-items-{}-{count}.txt", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn every_form_of_numbers_is_read() {
    assert_eq!(numbers("5"), [(5, 0)]);
    assert_eq!(numbers("\" 5 \""), [(5, 0)]);
    assert_eq!(numbers("\"1..=3\""), [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(numbers("\"1..3\""), [(1, 0), (2, 0)]);
    assert_eq!(numbers("\"0..=10:5\""), [(0, 0), (5, 0), (10, 0)]);
    assert_eq!(numbers("\"0..10:5\""), [(0, 0), (5, 0)]);
    assert_eq!(numbers("\"7 ..= 7 : 9\""), [(7, 0)]);
    assert_eq!(numbers("\"1_000\""), [(1000, 0)]);
    assert_eq!(numbers("[]"), []);
    assert_eq!(numbers("[4, \"2..4\", \"4\"]"), [(4, 0), (2, 0), (3, 0), (4, 1)]);
    assert_eq!(numbers("\"9223372036854775808\""), [(LARGEST, 0)]);
    assert_eq!(numbers("\"9223372036854775807..=9223372036854775808\"").len(), 2);
}

#[test]
fn every_bad_number_is_refused_with_its_place() {
    for (n, expected) in [
        ("[1, 2, -5]", "n[2]: `-5` is negative; terms are numbered from 0"),
        ("-5", "n: `-5` is negative; terms are numbered from 0"),
        ("\"-5..=3\"", "n: `-5` is negative; terms are numbered from 0"),
        ("[3.5]", "n[0]: `3.5` is not an integer; write `5`, `1..=1000` or `0..=100:5`"),
        ("\"abc\"", "n: `abc` is not an integer; write `5`, `1..=1000` or `0..=100:5`"),
        ("\"1..x\"", "n: `x` is not an integer; write `5`, `1..=1000` or `0..=100:5`"),
        ("\"1..\"", "n: `` is not an integer; write `5`, `1..=1000` or `0..=100:5`"),
        ("\"1__0\"", "n: `1__0` is not an integer; write `5`, `1..=1000` or `0..=100:5`"),
        ("[[1]]", "n[0]: `[1]` is not an integer; write `5`, `1..=1000` or `0..=100:5`"),
        (
            "\"9223372036854775809\"",
            "n: `9223372036854775809` is above 2^63, the largest number that is taken",
        ),
        (
            "\"0..=99999999999999999999999\"",
            "n: `99999999999999999999999` is above 2^63, the largest number that is taken",
        ),
        ("\"9..=1\"", "n: `9..=1` is descending; write the smaller number first"),
        ("\"9..9\"", "n: `9..9` is empty; `9..=9` includes its end"),
        ("\"0..=100:0\"", "n: `0..=100:0` has the step 0; a step is at least 1"),
        (
            "[\"0..=9223372036854775808\", \"0..=9223372036854775808\"]",
            "n: more than 2^64 tasks; split the job",
        ),
    ] {
        assert_eq!(error(n), expected);
    }
}

#[test]
fn a_long_range_starts_at_once_and_costs_nothing() {
    let seen = Rc::default();
    let mut source = source("[7, \"0..1_000_000_000_000:1\", 7]", None, &seen).unwrap();
    assert_eq!(source.remaining(), Some(1_000_000_000_002));
    assert_eq!(source.largest(), Some(999_999_999_999));
    let mut next = || match source.next(Duration::ZERO).unwrap() {
        Next::Task(item) => pairs(&[item])[0],
        Next::Waiting | Next::Failed(..) | Next::Exhausted => panic!("nothing left"),
    };
    assert_eq!([next(), next(), next()], [(7, 0), (0, 0), (1, 0)]);
    let eighth = (0..6).map(|_| next()).last().unwrap();
    assert_eq!(eighth, (7, 1));
    assert_eq!(source.remaining(), Some(1_000_000_000_002 - 9));
}

#[test]
fn ranges_behind_are_counted_by_arithmetic() {
    let mut seen = Seen::default();
    let huge = NumberRange::parse("3..=9_000_000_000_000_000_000:10").unwrap();
    seen.range(&huge);
    seen.range(&huge);
    seen.range(&NumberRange::parse("0..=9223372036854775808").unwrap());
    assert_eq!(seen.times(13), 3);
    assert_eq!(seen.times(14), 1);
    assert_eq!(seen.times(8_999_999_999_999_999_993), 3);
    assert_eq!(seen.times(LARGEST), 1);
    assert_eq!((seen.number(13), seen.number(13), seen.times(13)), (3, 4, 5));
}

#[test]
fn costs_and_remaining_follow_the_items() {
    let mut source = source("[3, \"5..=6\"]", None, &Rc::default()).unwrap();
    let costs: Vec<_> = items(&mut source).iter().map(|item| item.cost.to_bits()).collect();
    assert_eq!(costs, [3_f32, 5.0, 6.0].map(f32::to_bits));
    assert_eq!(source.remaining(), Some(0));
    assert_eq!(source.next(Duration::ZERO).unwrap(), Next::Exhausted);
}

#[test]
fn a_file_is_read_after_the_list() {
    let file = Scratch::new("\u{feff}5\n\n  # terms\n 1..=2 \r\n0..=4:4\n5");
    let mut source = source("[1]", Some(&file.0), &Rc::default()).unwrap();
    assert_eq!((source.remaining(), source.largest()), (Some(7), Some(5)));
    let expected = [(1, 0), (5, 0), (1, 1), (2, 0), (0, 0), (4, 0), (5, 1)];
    assert_eq!(pairs(&items(&mut source)), expected);
    assert_eq!(source.remaining(), Some(0));
}

#[test]
fn a_bad_line_of_a_file_is_refused_with_its_place() {
    let check = |content: &[u8], line: u64, expected: &str| {
        let file = Scratch::new(content);
        let error = source("[]", Some(&file.0), &Rc::default()).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("{}:{line}: {expected}", file.0.display()));
    };
    check(b"1\n\n-5\n", 3, "`-5` is negative; terms are numbered from 0");
    check(b"1\n\xff\n", 2, "the line is not valid UTF-8");
    check(&vec![b'1'; (1 << 20) + 1], 1, "the line is longer than 1 MiB");
    check(
        b"0..=9223372036854775808\n0..=9223372036854775808\n",
        2,
        "more than 2^64 tasks; split the job",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let check = |path: &Path, expected: &str| {
        let error = source("[]", Some(path), &Rc::default()).unwrap_err();
        assert_eq!(format!("{error:#}"), expected);
    };
    check(Path::new("/no/such"), "cannot read `/no/such`: No such file or directory (os error 2)");
    check(Path::new("/"), "cannot read `/`: it is a folder, not a file of lines");
}

#[test]
fn a_stream_is_not_checked_beforehand_and_survives_bad_lines() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let pipe = Scratch::new("");
    std::fs::remove_file(&pipe.0).unwrap();
    mknodat(CWD, &pipe.0, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut source = source("[]", Some(&pipe.0), &Rc::default()).unwrap();
    assert_eq!((source.remaining(), source.largest()), (None, None));
    let path = pipe.0.clone();
    let long = "1".repeat(1 << 21);
    let writer = std::thread::spawn(move || {
        std::fs::write(path, format!("3\nabc\n{long}\n1..=2\n")).unwrap();
    });
    let items = items(&mut source);
    writer.join().unwrap();
    assert_eq!(pairs(&items), [(3, 0), (u64::MAX, 0), (u64::MAX, 0), (1, 0), (2, 0)]);
    assert_eq!(items[1].input, Input::Text("2: abc".into()));
    assert_eq!(items[2].input, Input::Text("3: (the line is longer than 1 MiB)".into()));
    let wrong = |line| format!("{}", bad_line(line));
    assert_eq!(
        wrong("2: abc"),
        "invalid-input: line 2: `abc` is not an integer; write `5`, `1..=1000` or `0..=100:5`"
    );
    assert_eq!(wrong("3: (too long)"), "invalid-input: line 3: (too long)");
    assert_eq!(bad_line("").class, ErrorClass::InvalidInput);
}

#[test]
fn standard_input_is_in_no_folder() {
    assert_eq!(path_in(Path::new("jobs"), "-".into()), Path::new("-"));
    assert_eq!(path_in(Path::new("jobs"), "a.txt".into()), Path::new("jobs/a.txt"));
    assert_eq!(path_in(Path::new("jobs"), "/a.txt".into()), Path::new("/a.txt"));
}

#[test]
fn groups_of_content_count_apart() {
    let mut groups = SeenByContent::default();
    assert_eq!(groups.of("a").borrow_mut().number(1), 0);
    assert_eq!(groups.of("b").borrow_mut().number(1), 0);
    assert_eq!(groups.of("a").borrow_mut().number(1), 1);
    assert_eq!(groups.of("a").borrow_mut().text("1"), 0);
}

fn lower(text: &str) -> Result<String> {
    if text.contains(' ') {
        bail!("`{text}` has a blank");
    }
    Ok(text.to_lowercase())
}

fn text_source(list: &[&str], from: Option<&Path>) -> Result<TextSource> {
    let list = list.iter().map(|&text| text.to_owned()).collect();
    let items = TextItems { list, from: from.map(Path::to_owned) };
    items.source("urls", 0.5, Rc::default(), Box::new(lower))
}

#[test]
fn texts_are_checked_counted_and_told_apart() {
    let file = Scratch::new("# seeds\nB\n\na\nb\n");
    let mut source = text_source(&["A", "c"], Some(&file.0)).unwrap();
    assert_eq!(source.remaining(), Some(5));
    let texts: Vec<_> = items(&mut source)
        .into_iter()
        .map(|item| match item.input {
            Input::Text(text) => (text.into_string(), item.occurrence),
            Input::Number(n) => panic!("{n} is no text"),
        })
        .collect();
    let expected = [("a", 0), ("c", 0), ("b", 0), ("a", 1), ("b", 1)];
    assert_eq!(texts, expected.map(|(text, occurrence)| (text.to_owned(), occurrence)));
    assert_eq!(source.remaining(), Some(0));
}

#[test]
fn bad_texts_are_refused_with_their_place() {
    let error = text_source(&["a", "b c"], None).unwrap_err();
    assert_eq!(format!("{error:#}"), "urls[1]: `b c` has a blank");
    let file = Scratch::new("a\n\nb c\n");
    let error = text_source(&[], Some(&file.0)).unwrap_err();
    assert_eq!(format!("{error:#}"), format!("{}:3: `b c` has a blank", file.0.display()));
}

fn part() -> impl Strategy<Value = NumberRange> {
    prop_oneof![
        (0..30_u64).prop_map(NumberRange::single),
        (0..30_u64, 1..5_u64, 1..20_u64).prop_map(|(first, step, count)| NumberRange {
            first,
            step,
            count
        }),
    ]
}

proptest! {
    #[test]
    fn occurrences_are_those_of_a_plain_count(
        tables in prop::collection::vec(prop::collection::vec(part(), 0..8), 1..4)
    ) {
        let seen: Rc<RefCell<Seen>> = Rc::default();
        let mut model = HashMap::<u64, u32>::new();
        for parts in tables {
            let expected: Vec<_> = parts
                .iter()
                .flat_map(|part| (0..part.count).map(|idx| part.first + idx * part.step))
                .map(|n| {
                    let times = model.entry(n).or_default();
                    *times += 1;
                    (n, *times - 1)
                })
                .collect();
            let list = NumberItems { parts, from: None };
            let mut source = list.source("n", Rc::clone(&seen), Box::new(|_| 1.0)).unwrap();
            prop_assert_eq!(source.remaining(), Some(expected.len() as u64));
            prop_assert_eq!(pairs(&items(&mut source)), expected);
        }
        for n in 0..200 {
            prop_assert_eq!(seen.borrow().times(n), model.get(&n).copied().unwrap_or(0));
        }
    }

    #[test]
    fn rows_hold_the_same_items(
        parts in prop::collection::vec(part(), 0..8),
        most in prop::collection::vec(1..40_u32, 1..5),
    ) {
        let source = || {
            let items = NumberItems { parts: parts.clone(), from: None };
            items.source("n", Rc::default(), Box::new(|n| 1.0 + (n / 100) as f32)).unwrap()
        };
        let (mut rows, mut in_rows) = (source(), Vec::new());
        for &most in most.iter().cycle() {
            let Next::Task(item) = rows.next_row(most, Duration::ZERO).unwrap() else { break };
            prop_assert!(item.more < most);
            for idx in 0..=u64::from(item.more) {
                let Input::Number(n) = item.input else { panic!("numbers were given") };
                in_rows.push((n + idx * item.step, item.occurrence));
            }
            let left = parts.iter().map(|part| part.count).sum::<u64>() - in_rows.len() as u64;
            prop_assert_eq!(rows.remaining(), Some(left));
        }
        prop_assert_eq!(in_rows, pairs(&items(&mut source())));
    }

    #[test]
    fn what_is_written_is_read(first in 0..1000_u64, step in 1..50_u64, more in 0..1000_u64) {
        let end = first + more;
        let expected: Vec<_> = (first..=end).step_by(usize::try_from(step).unwrap()).collect();
        let inclusive = NumberRange::parse(&format!("{first}..={end}:{step}")).unwrap();
        let exclusive = NumberRange::parse(&format!("{first}..{}:{step}", end + 1)).unwrap();
        prop_assert_eq!(inclusive, exclusive);
        prop_assert_eq!(inclusive.count, expected.len() as u64);
        prop_assert_eq!(Some(&inclusive.last()), expected.last());
    }
}

#[test]
fn a_slow_writer_is_waited_for_elsewhere() {
    let dir = std::env::temp_dir().join(format!("rankpool-slow-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let fifo = dir.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let mut source = source("[1]", Some(&fifo), &Rc::default()).unwrap();
    assert_eq!(source.remaining(), None);
    assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Task(_)));
    // Nobody has opened the other end yet: the source says so and does not block.
    assert_eq!(source.next(Duration::ZERO).unwrap(), Next::Waiting);
    std::fs::write(&fifo, "2\n# comment\nthree\n").unwrap();
    let found: Vec<Input> = items(&mut source).into_iter().map(|item| item.input).collect();
    assert_eq!(found, [Input::Number(2), Input::Text("3: three".into())]);
    std::fs::remove_dir_all(&dir).unwrap();
}
