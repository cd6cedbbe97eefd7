//! Archives, as programs of others read them: `warcio`, which scripts/setup gets with `--test`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rankpool::web::http::{Exchange, Truncation};
use rankpool::web::warc::{
    Capture, Config, Level, Location, Original, SEGMENT_SIZE, Warc, payload_digest,
};
use url::Url;

use crate::exchange::get;
use crate::site::{body, html, raw};
use crate::util::Dir;

fn config(folder: &Path, resume: bool) -> Config {
    Config {
        prefix: folder.join("crawl"),
        rank: 0,
        ranks: 1,
        resume,
        segment_size: SEGMENT_SIZE,
        level: Level::default(),
        info: vec![("robots".to_owned(), "classic".to_owned())],
    }
}

fn put(warc: &Warc, url: &str, exchange: &Exchange, duplicate_of: Option<&Original>) {
    try_put(warc, url, exchange, duplicate_of).unwrap();
}

fn try_put(
    warc: &Warc,
    url: &str,
    exchange: &Exchange,
    duplicate_of: Option<&Original>,
) -> anyhow::Result<Location> {
    let capture = Capture {
        url: &Url::parse(url).unwrap(),
        exchange,
        payload_digest: &payload_digest(&exchange.wire),
        identified_type: None,
        duplicate_of,
        metadata: &[("via", "http://h/"), ("hopsFromSeed", "L")],
    };
    warc.capture(&capture)
}

/// The program, where it was got.
fn warcio() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/test/bin/warcio");
    if !program.exists() {
        eprintln!("not checked with warcio, which is not there: `scripts/setup --test` gets it");
        return None;
    }
    Some(program)
}

fn run(program: &Path, arguments: &[&str], files: &[PathBuf]) -> Output {
    Command::new(program).args(arguments).args(files).output().unwrap()
}

/// The records' types, by warcio's reading, once it has found no fault.
pub(crate) fn checked(files: &[PathBuf]) -> Option<Vec<String>> {
    let warcio = warcio()?;
    let output = run(&warcio, &["check", "-v"], files);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("failed") && !said.contains("exception"), "{said}");
    let output = run(&warcio, &["index", "-f", "warc-type"], files);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let kind = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    Some(lines.lines().map(|line| kind(line)["warc-type"].as_str().unwrap().to_owned()).collect())
}

pub(crate) fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.to_string_lossy().ends_with(".warc.gz")).collect();
    files.sort();
    files
}

#[test]
fn a_validator_finds_no_fault() {
    let dir = Dir::new();
    let warc = Warc::open(config(dir.path(), false)).unwrap();
    let page = get(html("<p>hello"));
    put(&warc, "http://user:secret@h/page#x", &page, None);
    let original = Original { url: "http://h/page".to_owned(), started: page.started };
    put(&warc, "http://h/again", &page, Some(&original));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    put(&warc, "http://h/chunks", &get(raw(format!("{head}3\r\nabc\r\n0\r\n\r\n"))), None);
    let cut = get(raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"));
    assert_eq!(cut.truncated, Some(Truncation::Disconnect));
    put(&warc, "http://h/cut", &cut, None);
    put(&warc, "http://h/empty", &get(body("").status(304)), None);
    warc.finish().unwrap();
    let files = segments(dir.path());
    let bytes = std::fs::read(&files[0]).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
    let Some(kinds) = checked(&files) else { return };
    let others = ["request", "metadata"];
    let expected: Vec<&str> = std::iter::once("warcinfo")
        .chain(["response", "revisit", "response", "response", "response"])
        .flat_map(|kind| match kind {
            "warcinfo" => vec![kind],
            kind => [&[kind][..], &others].concat(),
        })
        .collect();
    assert_eq!(kinds, expected);
    let again = dir.path().join("again.warc.gz");
    let warcio = warcio().unwrap();
    let output = run(&warcio, &["recompress"], &[files[0].clone(), again.clone()]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(checked(&[again]).unwrap(), expected);
}

#[test]
fn heads_are_archived_as_sloppy_as_they_came() {
    let dir = Dir::new();
    let warc = Warc::open(config(dir.path(), false)).unwrap();
    for head in ["HTTP/1.0 200\nA: \u{e9}\n\n", "HTTP/1.1 200 OK\r\nA:b\r\na:   c\r\n\r\n"] {
        put(&warc, "http://h/", &get(raw(format!("{head}body"))), None);
    }
    if let Some(kinds) = checked(&segments(dir.path())) {
        assert_eq!(kinds.len(), 7);
    }
}

const FOLDER: &str = "RANKPOOL_TEST_ARCHIVE";
const ROUNDS: usize = 3;

/// Not a test by itself: writes an archive until it is killed, or the disk is full.
#[test]
#[expect(clippy::print_stdout, reason = "its parent listens")]
fn writes_on_and_on() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    // Large and not compressed: it is killed in the middle of a write as often as not.
    let level = Level(0);
    let warc = Warc::open(Config { level, ..config(Path::new(&folder), true) }).unwrap();
    let page = get(body(vec![b'x'; 900_000]));
    loop {
        if let Err(error) = try_put(&warc, "http://h/", &page, None) {
            return println!("{error:#}");
        }
    }
}

#[test]
fn a_kill_leaves_an_archive_that_is_gone_on_with() {
    let dir = Dir::new();
    let mut torn = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "warc::writes_on_and_on"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = now() + Duration::from_secs(60);
        let size = || {
            let last = segments(dir.path()).get(round).cloned();
            last.map_or(0, |path| std::fs::metadata(path).unwrap().len())
        };
        while size() < 3_000_000 {
            assert!(now() < deadline && child.try_wait().unwrap().is_none(), "it does not write");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let warc = Warc::open(config(dir.path(), true)).unwrap();
        torn += warc.mended().len();
        let Some(kinds) = checked(&segments(dir.path())) else { continue };
        // What describes the archive, and three whole pages.
        assert!(kinds.len() > 3 * 3, "{kinds:?}");
    }
    eprintln!("{torn} of {ROUNDS} kills left a torn record");
    let warc = Warc::open(config(dir.path(), true)).unwrap();
    assert_eq!(warc.mended(), [""; 0]);
    put(&warc, "http://h/last", &get(html("last")), None);
    let files = segments(dir.path());
    assert_eq!(files.len(), ROUNDS + 1);
    checked(&files);
}

#[test]
fn a_full_disk_is_named_and_leaves_whole_records() {
    let dir = Dir::new();
    // A limit on files' sizes stands for a disk's: a write is cut short, the next one fails.
    let limited = "trap '' XFSZ; ulimit -f 8000; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "warc::writes_on_and_on", "--nocapture"])
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let expected = format!(
        "cannot write archive `{}/crawl-r0000-00000.warc.gz`; its records so far are whole: File \
         too large",
        dir.path().display()
    );
    assert!(said.contains(&expected), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(Warc::open(config(dir.path(), true)).unwrap().mended(), [""; 0]);
    if let Some(kinds) = checked(&segments(dir.path())) {
        assert!(kinds.len() > 3 && kinds.len() % 3 == 1, "{kinds:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "deadlines")]
fn now() -> Instant {
    Instant::now()
}
