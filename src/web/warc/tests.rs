use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use flate2::bufread::GzDecoder;
use proptest::prelude::*;

use super::*;
use crate::web::http::{Head, Truncation};

/// A folder that is there for one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("rankpool-warc-{}", uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config(folder: &Folder) -> Config {
    let info = vec![("operator".into(), "somebody\nelse".into())];
    let level = Level::default();
    let prefix = folder.0.join("crawl");
    Config { prefix, rank: 0, ranks: 1, resume: false, segment_size: SEGMENT_SIZE, level, info }
}

fn exchange(head: &[u8], wire: &[u8]) -> Exchange {
    Exchange {
        status: 200,
        request_head: b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        head: Head::new(head.to_vec()),
        wire: wire.to_vec(),
        decoded: None,
        peer: Some(IpAddr::from([192, 0, 2, 7])),
        started: UNIX_EPOCH + Duration::from_millis(1_518_567_287_133),
        waited: Duration::from_millis(1),
        took: Duration::from_millis(42),
        truncated: None,
        fault: None,
    }
}

fn page(wire: &[u8]) -> Exchange {
    exchange(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", wire.len()).as_bytes(), wire)
}

fn capture(warc: &Warc, url: &str, exchange: &Exchange) -> Location {
    warc.capture(&Capture {
        url: &Url::parse(url).unwrap(),
        exchange,
        payload_digest: &payload_digest(&exchange.wire),
        identified_type: Some("text/html"),
        duplicate_of: None,
        metadata: &[("via", "http://h/from")],
    })
    .unwrap()
}

/// A record, as it reads back.
#[derive(Debug)]
struct Read {
    offset: u64,
    length: u64,
    fields: HashMap<String, String>,
    block: Vec<u8>,
}

impl Read {
    fn kind(&self) -> &str {
        &self.fields["WARC-Type"]
    }
}

/// Reads a file by the standard's grammar.
fn read(path: &Path) -> Vec<Read> {
    let file = fs::read(path).unwrap();
    let mut rest = &file[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let offset = (file.len() - rest.len()) as u64;
        let mut record = Vec::new();
        let before = rest.len();
        GzDecoder::new(&mut rest).read_to_end(&mut record).unwrap();
        let end = record.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&record[..end]).unwrap();
        let mut lines = head.split("\r\n");
        assert_eq!(lines.next(), Some("WARC/1.1"));
        let fields: HashMap<_, _> =
            lines.map(|l| l.split_once(": ").unwrap()).map(|(n, v)| (n.into(), v.into())).collect();
        assert_eq!(fields.len(), head.split("\r\n").count() - 1, "a field stands there twice");
        let block = record[end + 4..].strip_suffix(b"\r\n\r\n").unwrap().to_vec();
        assert_eq!(fields["Content-Length"], block.len().to_string());
        assert_eq!(fields["WARC-Block-Digest"], payload_digest(&block));
        records.push(Read { offset, length: (before - rest.len()) as u64, fields, block });
    }
    records
}

#[test]
fn a_capture_is_three_records_after_a_warcinfo() {
    let folder = Folder::new();
    let warc = Warc::open(config(&folder)).unwrap();
    let location = capture(&warc, "http://user:secret@h/a?b#c", &page(b"<p>hello"));
    warc.finish().unwrap();
    let records = read(&folder.0.join(&location.file));
    let kinds: Vec<_> = records.iter().map(Read::kind).collect();
    assert_eq!(kinds, ["warcinfo", "response", "request", "metadata"]);
    let [info, response, request, metadata] = &records[..] else { panic!() };
    assert_eq!((location.offset, location.length), (response.offset, response.length));
    let text = String::from_utf8(info.block.clone()).unwrap();
    assert!(
        text.starts_with("software: rankpool/") && text.ends_with("operator: somebody else\r\n")
    );
    assert_eq!(info.fields["WARC-Filename"], "crawl-r0000-00000.warc.gz");
    for record in [response, request, metadata] {
        assert_eq!(record.fields["WARC-Target-URI"], "http://h/a?b");
        assert_eq!(record.fields["WARC-Date"], "2018-02-14T00:14:47.133000Z");
        assert_eq!(record.fields["WARC-IP-Address"], "192.0.2.7");
    }
    assert_eq!(response.fields["WARC-Payload-Digest"], payload_digest(b"<p>hello"));
    assert_eq!(response.fields["WARC-Identified-Payload-Type"], "text/html");
    assert_eq!(response.block, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n<p>hello");
    assert_eq!(request.block, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(metadata.block, b"via: http://h/from\r\nfetchTimeMs: 42\r\n");
    for other in [request, metadata] {
        assert_eq!(other.fields["WARC-Concurrent-To"], response.fields["WARC-Record-ID"]);
    }
}

#[test]
fn a_digest_is_what_the_standard_shows() {
    // RFC 3174, 7.3 (TEST1), in base32.
    assert_eq!(payload_digest(b"abc"), "sha1:VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5");
}

#[test]
fn duplicates_refer_to_their_original() {
    let folder = Folder::new();
    let warc = Warc::open(config(&folder)).unwrap();
    let exchange = page(b"same");
    let original = Original { url: "http://h/first#x".into(), started: exchange.started };
    let location = warc
        .capture(&Capture {
            url: &Url::parse("http://h/second").unwrap(),
            exchange: &exchange,
            payload_digest: "sha1:X",
            identified_type: None,
            duplicate_of: Some(&original),
            metadata: &[],
        })
        .unwrap();
    let records = read(&folder.0.join(location.file));
    let revisit = &records[1];
    assert_eq!(revisit.kind(), "revisit");
    assert_eq!(revisit.block, exchange.head.as_bytes());
    for (field, value) in [
        ("WARC-Profile", "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"),
        ("WARC-Payload-Digest", "sha1:X"),
        ("WARC-Refers-To-Target-URI", "http://h/first"),
        ("WARC-Refers-To-Date", "2018-02-14T00:14:47.133000Z"),
        ("WARC-Truncated", "length"),
    ] {
        assert_eq!(revisit.fields[field], value);
    }
}

#[test]
fn a_full_segment_is_followed_by_the_next() {
    let folder = Folder::new();
    let warc = Warc::open(Config { segment_size: 4000, ..config(&folder) }).unwrap();
    let locations: Vec<_> =
        (0..9).map(|n| capture(&warc, &format!("http://h/{n}"), &page(b"x"))).collect();
    // A capture that is larger than a segment has one for itself.
    let large = capture(&warc, "http://h/large", &page(&noise(9000)));
    assert!(folder.files().len() > 3);
    for path in folder.files() {
        assert_eq!(read(&path)[0].kind(), "warcinfo");
        let is_large = path.ends_with(&large.file);
        assert!(is_large || fs::metadata(&path).unwrap().len() <= 4000);
    }
    for (n, location) in locations.iter().enumerate() {
        let records = read(&folder.0.join(&location.file));
        let record = records.iter().find(|record| record.offset == location.offset).unwrap();
        assert_eq!(record.fields["WARC-Target-URI"], format!("http://h/{n}"));
        assert_eq!(record.length, location.length);
    }
}

/// Bytes that do not compress.
fn noise(n: u32) -> Vec<u8> {
    (0..n).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

#[test]
fn a_torn_archive_is_cut_after_its_last_whole_record_wherever_it_was_torn() {
    let folder = Folder::new();
    let warc = Warc::open(config(&folder)).unwrap();
    let file = capture(&warc, "http://h/", &page(b"x")).file;
    let path = folder.0.join(file);
    let whole = fs::read(&path).unwrap();
    let ends: Vec<u64> = read(&path).iter().map(|record| record.offset + record.length).collect();
    drop(warc);
    let resumed = Config { resume: true, ..config(&folder) };
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let warc = Warc::open(resumed.clone()).unwrap();
        let expected = ends.iter().copied().filter(|&end| end <= length as u64).max().unwrap_or(0);
        assert_eq!(fs::metadata(&path).unwrap().len(), expected, "torn at {length}");
        assert_eq!(warc.mended().is_empty(), expected == length as u64);
    }
    // Zeros, as a file system may leave them after a loss of power.
    fs::write(&path, [&whole[..], &[0; 5000]].concat()).unwrap();
    let warc = Warc::open(resumed).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert!(warc.mended()[0].ends_with("r0000-00000.warc.gz`: cut 5000 bytes of a torn record"));
    let next = capture(&warc, "http://h/", &page(b"x"));
    assert_eq!(next.file, "crawl-r0000-00001.warc.gz");
}

#[test]
fn an_earlier_archive_is_not_mixed_up_with_a_new_one() {
    let folder = Folder::new();
    let rank = |rank, resume| Config { rank, ranks: 2, resume, ..config(&folder) };
    for number in [0, 1, 4] {
        capture(&Warc::open(rank(number, true)).unwrap(), "http://h/", &page(b"x"));
    }
    assert!(Warc::open(rank(3, false)).is_ok(), "other ranks may have begun already");
    let error = Warc::open(rank(0, false)).unwrap_err().to_string();
    assert!(error.contains("crawl-r0000-00000.warc.gz` exists; `--resume`"), "{error}");
    // Rank 4 is no more: of two ranks, the first mends what it left.
    let torn = folder.0.join("crawl-r0004-00000.warc.gz");
    let whole = fs::read(&torn).unwrap();
    fs::write(&torn, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(Warc::open(rank(1, true)).unwrap().mended(), [""; 0]);
    assert_eq!(Warc::open(rank(0, true)).unwrap().mended().len(), 1);
    let missing = Config { prefix: "/nonexistent/x".into(), ..config(&folder) };
    let error = Warc::open(missing).unwrap_err().to_string();
    assert!(error.contains("`/nonexistent`"), "{error}");
}

#[test]
fn many_threads_share_an_archive() {
    let folder = Folder::new();
    let warc = Warc::open(Config { segment_size: 20_000, ..config(&folder) }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let warc = &warc;
            scope.spawn(move || {
                for n in 0..50 {
                    capture(warc, &format!("http://h/{thread}/{n}"), &page(&noise(n * 10)));
                }
            });
        }
    });
    let mut urls = Vec::new();
    for path in folder.files() {
        let records = read(&path);
        // The records of a capture stand together.
        for group in records[1..].chunks(3) {
            let [response, request, metadata] = group else { panic!("{group:?}") };
            assert_eq!(request.fields["WARC-Concurrent-To"], response.fields["WARC-Record-ID"]);
            assert_eq!(metadata.kind(), "metadata");
            urls.push(response.fields["WARC-Target-URI"].clone());
        }
    }
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 400);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_is_read_back(
        path in "[ -~é\n]{0,60}",
        headers in "([A-Za-z-]{1,12}: [ -~]{0,40}\r\n){0,5}",
        wire in prop::collection::vec(any::<u8>(), 0..3000),
        repeats in 1..50_usize,
        level in 0..10_u32,
        field in "[ -~\r\n]{0,40}",
        truncated in prop::option::of(prop_oneof![
            Just(Truncation::Length), Just(Truncation::Time), Just(Truncation::Disconnect),
        ]),
    ) {
        let folder = Folder::new();
        let warc = Warc::open(Config { level: Level(level), ..config(&folder) }).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
        let wire = wire.repeat(repeats);
        let exchange = Exchange { truncated, ..exchange(head.as_bytes(), &wire) };
        let mut url = Url::parse("http://h/").unwrap();
        url.set_path(&path);
        let capture = Capture {
            url: &url,
            exchange: &exchange,
            payload_digest: &payload_digest(&wire),
            identified_type: Some(&field),
            duplicate_of: None,
            metadata: &[("via", &field)],
        };
        let location = warc.capture(&capture).unwrap();
        let records = read(&folder.0.join(location.file));
        prop_assert_eq!(records.len(), 4);
        let response = &records[1];
        prop_assert_eq!(&response.fields["WARC-Target-URI"], url.as_str());
        prop_assert!(!url.as_str().contains(' '));
        prop_assert_eq!(response.fields.get("WARC-Truncated").map(String::as_str), truncated.map(Truncation::as_str));
        prop_assert!(response.block.ends_with(&wire));
        prop_assert_eq!(&response.fields["WARC-Payload-Digest"], &payload_digest(&wire));
        let lines = String::from_utf8(records[3].block.clone()).unwrap();
        prop_assert_eq!(lines.matches("\r\n").count(), 2);
    }
}
