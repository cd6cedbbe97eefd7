//! Servers that mean no good: none makes a crawl fail, hang or grow past its budget.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::crawl::{Crawl, crawl, job, on, page};
use crate::site::{Answer, Site, body, html, raw, redirect};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";

fn head(more: &str) -> Vec<u8> {
    [HEAD, more.as_bytes(), b"\r\n"].concat()
}

/// For ever, as far as a test is concerned.
fn endless(head: Vec<u8>, chunk: Vec<u8>, pause: Duration) -> Answer {
    Answer::Repeat { head, chunk, times: 1_000_000, pause }
}

fn bomb() -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&vec![0; 64 << 20]).unwrap();
    gzip.finish().unwrap()
}

fn attacks() -> Vec<(&'static str, Answer, &'static str)> {
    let chunked =
        |rest: &str| raw([&head("Transfer-Encoding: chunked\r\n")[..], rest.as_bytes()].concat());
    let many: String = (0..1_000_000).map(|n| format!("<a href={n}>")).collect();
    let wide = vec![b'x'; 5 << 20];
    vec![
        ("endless", endless(head(""), vec![b'a'; 1 << 16], Duration::ZERO), "body-too-large"),
        ("drip", endless(head(""), vec![b'a'], Duration::from_millis(50)), "timeout"),
        (
            "headers",
            endless(HEAD.to_vec(), b"X-More: and more and more\r\n".repeat(1000), Duration::ZERO),
            "http",
        ),
        ("bomb", html(bomb()).with("Content-Encoding", "gzip"), "body-too-large"),
        ("short", raw([&head("Content-Length: 100\r\n")[..], b"few"].concat()), "http"),
        ("cut", chunked("5\r\nab"), "http"),
        ("wrong", chunked("zz\r\nab"), "http"),
        ("lies", html("plain").with("Content-Encoding", "br"), "http"),
        ("nothing", Answer::Close, "connect"),
        ("silent", Answer::Hang, "timeout"),
        ("nul", html(b"a\0b<a href=/no\0pe>\0".to_vec()), ""),
        ("utf", html(b"\xff\xfe\xc0\x80<a href=/\xff\xf0>\xed\xa0\x80".to_vec()), ""),
        (
            "attribute",
            html([b"<a href='/", &wide[..], b"'>x</a><p title='", &wide[..], b"'>"].concat()),
            "",
        ),
        ("million", html(many), ""),
        ("deep", html("<div><b>".repeat(600_000)), ""),
        ("unclosed", html("<a href='".repeat(300_000)), ""),
    ]
}

/// The most memory that the run of this crawl may take, in bytes: of four pages at once, each of
/// at most 20 MiB.
const MEMORY: usize = 700 << 20;

/// Where an attack is: those that count as failures of their host have hosts of their own, so
/// that nobody has to wait until theirs is asked again.
fn place(name: &str) -> String {
    let host = match name {
        "drip" => "b.test",
        "silent" => "c.test",
        "nothing" => "other.co.uk",
        _ => "a.test",
    };
    format!("{host}/{name}")
}

#[test]
fn none_makes_a_crawl_fail_hang_or_grow() {
    let attacks = Arc::new(attacks());
    let served = Arc::clone(&attacks);
    let site = Site::hosts(move |_, path| {
        let found = served.iter().find(|(name, ..)| path[1..] == **name);
        found.map(|(_, answer, _)| answer.clone())
    });
    let more = "per_host = 4\nretries = 0\ntimeout = '5s'\nread_timeout = '3s'\n\
                max_body = '20MiB'\nmax_links = 1000\nmax_pages_per_pattern = 60";
    let seeds: Vec<_> = attacks.iter().map(|(name, ..)| place(name)).collect();
    let seeds: Vec<_> = seeds.iter().map(String::as_str).chain(["a.test/last"]).collect();
    let text = job(&site, &seeds, more);
    let mut running = on(1).job(&text).args(["--stats", "stats.json"]).start();
    let mut most = 0;
    let pid = running.child.id();
    running.poll("its end", |running| {
        most = most.max(high_water(pid).unwrap_or(0));
        running.child.try_wait().unwrap().is_some()
    });
    let (ran, dir) = running.wait();
    ran.code(1);
    let crawl = Crawl::read(ran, dir, &site);
    for (name, _, class) in &*attacks {
        let record = &crawl.records[&place(name)];
        assert_eq!(record["error"]["class"].as_str().unwrap_or(""), *class, "{name}: {record}");
    }
    assert_eq!(crawl.output("a.test/million")["links"], 1000);
    assert_eq!(crawl.output("a.test/last")["status"], 404);
    assert!(most > 0 && most < MEMORY, "{most} bytes");
}

/// The most memory that a process has had, in bytes (proc(5)).
fn high_water(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? << 10)
}

#[test]
fn traps_end() {
    let site = Site::hosts(|_, path| {
        let up = path.trim_end_matches('/');
        Some(match path {
            "/robots.txt" => return None,
            "/" => page("/", &["/rel/", "/cal?month=1", "/id?sid=1"]),
            path if path.starts_with("/rel") => page(path, &["rel/", "a/../rel/x/"]),
            path if path.starts_with("/cal") => {
                let month: u64 = up.rsplit('=').next().unwrap().parse().unwrap();
                page(path, &[&format!("/cal?month={}", month + 1)])
            }
            path => page(path, &[&format!("{path}&x={}", path.len())]),
        })
    });
    let crawl =
        crawl(1, &site, &["a.test/"], "per_host = 8\nmax_pages_per_pattern = 40\nmax_pages = 500");
    let n = crawl.pages().len();
    assert!((10..200).contains(&n), "{n} pages");
    let fates = crawl.account["fates"].as_object().unwrap();
    assert!(
        fates.contains_key("trap-repeats") && fates.contains_key("budget: max_pages_per_pattern"),
        "{fates:?}"
    );
    assert_eq!(crawl.account["open"], 0);
}

#[test]
fn robots_that_are_none() {
    let large =
        [b"User-agent: *\nDisallow: /no\n".to_vec(), b"# padding\n".repeat(1 << 20)].concat();
    let noise: Vec<u8> =
        (0..400_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for (robots, denies) in [
        (body(large), true),
        (body(noise), false),
        (endless(head(""), b"Disallow: /no*$*$\n".repeat(1000), Duration::ZERO), false),
    ] {
        let site = Site::hosts(move |_, path| match path {
            "/robots.txt" => Some(robots.clone()),
            path => Some(page(path, &["/no", "/yes"])),
        });
        let crawl = crawl(1, &site, &["a.test/"], "timeout = '20s'");
        assert_eq!(crawl.fate("a.test/yes"), "ok");
        assert_eq!(crawl.fate("a.test/no").starts_with("robots: line 2"), denies);
    }
}

#[test]
fn a_certificate_that_nobody_signed() {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let _ = rustls::Stream::new(&mut tls, &mut stream).read(&mut [0; 1024]);
        }
    });
    let site = Site::hosts(|_, path| Some(page(path, &[])));
    let more = format!("seeds = ['https://a.test:{port}/x', 'http://b.test:PORT/']\nretries = 0");
    let crawl = crawl(1, &site, &[], &more);
    let failed: BTreeSet<_> = crawl.fates.values().map(String::as_str).collect();
    assert_eq!(failed, BTreeSet::from(["ok", "failed: tls"]));
    crawl.ran.code(1);
}

#[test]
fn names_that_turn_private_are_refused() {
    let site = Site::hosts(|_, path| Some(redirect(302, &format!("http://10.0.0.1{path}x"))));
    let more = "allow_private = false\nscope = 'any'\nrobots = false";
    let crawl = crawl(1, &site, &["a.test/"], more);
    assert_eq!(crawl.class("a.test/"), "private-address");
    assert!(site.paths().is_empty());
}
