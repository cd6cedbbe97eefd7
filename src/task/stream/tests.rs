use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::task::items::SeenByContent;
use crate::task::{End, Ended, ErrorClass, Item, KINDS, Kind, Next, Source};

/// The stream of `from`, with its sources and the one of bad lines.
fn stream(from: Option<From>, keep_open: bool, ordered: bool) -> (Stream, Vec<Box<dyn Source>>) {
    let mut seen = SeenByContent::default();
    let mut tables = Vec::new();
    for kind in KINDS.iter().copied().filter(|kind| ["fibonacci", "probe"].contains(&kind.name())) {
        let streamed = kind.streamed().unwrap();
        let mut context = PlanContext { folder: Path::new(""), seen: &mut seen };
        let plan = kind.plan(streamed.table(None), &mut context).unwrap();
        tables.push((
            kind as &'static dyn Kind,
            streamed.lines(&plan.resolved, &mut context).unwrap(),
        ));
    }
    let (stream, sources, bad) = Stream::new(from, keep_open, ordered, tables);
    let mut sources: Vec<Box<dyn Source>> =
        sources.into_iter().map(|source| Box::new(source) as Box<dyn Source>).collect();
    sources.push(bad.source);
    (stream, sources)
}

/// Everything that comes, in the order in which it is found: table and input, or what is wrong.
fn drain(sources: &mut [Box<dyn Source>]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut exhausted = vec![false; sources.len()];
    while exhausted.contains(&false) {
        for (idx, source) in sources.iter_mut().enumerate() {
            match source.next(Duration::ZERO).unwrap() {
                Next::Task(item) => found.push((idx, format!("{:?}", item.input))),
                Next::Failed(_, error) => {
                    assert_eq!(error.class, ErrorClass::InvalidInput);
                    found.push((idx, error.message));
                }
                Next::Waiting => std::thread::yield_now(),
                Next::Exhausted => exhausted[idx] = true,
            }
        }
    }
    found
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rankpool-stream-{}-{name}", std::process::id()))
}

#[track_caller]
fn check(name: &str, bytes: &[u8], expected: &[(usize, &str)]) {
    let path = path(name);
    std::fs::write(&path, bytes).unwrap();
    let (_, mut sources) = stream(Some(From::new(&path)), false, true);
    let found = drain(&mut sources);
    let place = format!(" of `{}`", path.display());
    let found: Vec<_> = found.iter().map(|(idx, text)| (*idx, text.replace(&place, ""))).collect();
    let expected: Vec<_> = expected.iter().map(|(idx, text)| (*idx, (*text).to_owned())).collect();
    assert_eq!(found, expected);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn lines_become_tasks_in_their_order_and_bad_ones_name_their_number() {
    let text = "fib 1000\n# no\n\n{\"kind\":\"probe\",\"n\":3}\nfib x\n{\"kind\":\"fibonacci\",\"n\":\"7\"}\n\
                fob 3\n{\"kind\":\"probe\"}\n{\"kind\":\"probe\",\"n\":3,\"m\":4}\n{\"kind\n  probe\t4  \nfib 1..=3\nfib";
    check(
        "kinds",
        text.as_bytes(),
        &[
            (0, "Number(1000)"),
            (1, "Number(3)"),
            (2, "line 5: `x` is not an integer; write `5`, `1..=1000` or `0..=100:5`"),
            (0, "Number(7)"),
            (2, "line 7: unknown kind `fob`; begin with one of fib, probe"),
            (2, "line 8: no `n`"),
            (2, "line 9: unknown key `m`; a line names `n`, options stand in a job file"),
            (2, "line 10: it is no JSON: EOF while parsing a string at line 1 column 6"),
            (1, "Number(4)"),
            (2, "line 12: `1..=3` is a range; a line names one task"),
            (2, "line 13: the task is missing"),
        ],
    );
}

#[test]
fn odd_bytes_are_bad_lines_and_harm_no_others() {
    let mut bytes = b"fib 1\n\xff\xfe\n".to_vec();
    bytes.extend(std::iter::repeat_n(b'x', 3 << 20));
    bytes.extend_from_slice(b"\nfib 2\r\n");
    check(
        "odd",
        &bytes,
        &[
            (0, "Number(1)"),
            (2, "line 2: it is not valid UTF-8"),
            (2, "line 3: it is longer than 1 MiB"),
            (0, "Number(2)"),
        ],
    );
    check("empty", b"", &[]);
    check("mark", "\u{feff}fib 3".as_bytes(), &[(0, "Number(3)")]);
}

#[test]
fn a_pipe_s_last_line_without_an_end_is_torn() {
    let path = path("torn");
    crate::pipe::make(&path).unwrap();
    let of_writer = path.clone();
    let writer = std::thread::spawn(move || {
        File::options().write(true).open(of_writer).unwrap().write_all(b"fib 1\nfib 10").unwrap();
    });
    let (_, mut sources) = stream(Some(From::new(&path)), false, true);
    let found = drain(&mut sources);
    writer.join().unwrap();
    assert_eq!(found[0], (0, "Number(1)".to_owned()));
    assert!(found[1].1.contains("it has no line end"), "{found:?}");
    assert_eq!(found.len(), 2);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_stream_that_is_kept_open_ends_when_it_is_told_to() {
    let path = path("kept");
    crate::pipe::make(&path).unwrap();
    let (stream, mut sources) = stream(Some(From::new(&path)), true, false);
    // Begins to read.
    assert_eq!(sources[0].next(Duration::ZERO).unwrap(), Next::Waiting);
    let mut next = |idx: usize| loop {
        match sources[idx].next(Duration::ZERO).unwrap() {
            Next::Waiting => std::thread::yield_now(),
            next => return next,
        }
    };
    // Two writers after each other, and a task that comes another way.
    for n in 1..=2 {
        let mut writer = None;
        while writer.is_none() {
            writer = File::options().write(true).open(&path).ok();
        }
        writeln!(writer.unwrap(), "fib {n}").unwrap();
        assert!(matches!(next(0), Next::Task(item) if item.input == Input::Number(n)));
    }
    assert_eq!(stream.submit("probe 5").unwrap(), (1, Input::Number(5), 0));
    assert!(stream.submit("probe x").is_err());
    assert!(!stream.is_at_end());
    stream.finish().unwrap();
    assert!(matches!(next(1), Next::Task(_)));
    assert_eq!([0, 1, 2].map(&mut next), [Next::Exhausted, Next::Exhausted, Next::Exhausted]);
    assert!(stream.submit("probe 6").unwrap_err().to_string().contains("at its end"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_fast_writer_is_held_and_nothing_is_lost() {
    const LINES: u64 = 300_000;
    let path = path("fast");
    crate::pipe::make(&path).unwrap();
    let of_writer = path.clone();
    let (done, is_done) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut to = File::options().write(true).open(of_writer).unwrap();
        let lines: Vec<String> = (0..LINES).map(|n| format!("fib {n}\n")).collect();
        to.write_all(lines.concat().as_bytes()).unwrap();
        done.send(()).unwrap();
    });
    let (_, mut sources) = stream(Some(From::new(&path)), false, false);
    assert!(matches!(sources[1].next(Duration::ZERO).unwrap(), Next::Waiting));
    // Nobody takes terms: as much is read as is kept, and no more.
    let waited = is_done.recv_timeout(Duration::from_millis(200));
    assert!(waited.is_err(), "the writer is held");
    let found = drain(&mut sources);
    let numbers: Vec<_> = (0..LINES).map(|n| (0, format!("Number({n})"))).collect();
    assert!(found == numbers);
    writer.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

/// Tasks without end.
struct Endless;

impl Source for Endless {
    fn next(&mut self, _: Duration) -> Result<Next> {
        Ok(Next::Task(Item::default()))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

#[test]
fn tasks_that_name_others_are_held_while_thousands_wait() {
    let (stream, mut sources) = stream(None, false, false);
    let mut naming = Naming::new(Box::new(Endless), stream, false);
    let named: Vec<Value> = (0..1000).map(|n| Value::from(format!("fib {n}"))).collect();
    let report = report(b"{}", &Value::from(named));
    let (input, took) = (Input::default(), Duration::ZERO);
    let ended = Ended { input: &input, end: End::Ok, report: &report, again: None, took, rank: 0 };
    let mut n_given = 0;
    while let Next::Task(_) = naming.next(took).unwrap() {
        naming.on_outcome(&ended, took).unwrap();
        n_given += 1;
    }
    assert_eq!(n_given, 17, "they name a thousand each");
    assert!(matches!(sources[1].next(took).unwrap(), Next::Waiting), "more may be named");
    for _ in 0..1000 {
        assert!(matches!(sources[0].next(took).unwrap(), Next::Task(_)));
    }
    assert!(matches!(naming.next(took).unwrap(), Next::Task(_)));
}
