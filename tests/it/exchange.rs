//! One exact HTTP exchange against a server on loopback: what went over the wire, with whom, and
//! whom nothing was said to.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rankpool::web::http::{Client, Exchange, Request, Settings, Truncation};
use rankpool::web::{Error, Failure};
use url::Url;

use crate::site::{Answer, Site, body, html, raw, redirect};
use crate::util::now;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn settings() -> Settings {
    Settings {
        connect_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(10),
        timeout: Duration::from_secs(20),
        max_body: 1 << 20,
        redirects: 10,
        user_agent: "test/1".to_owned(),
        proxy: "none".to_owned(),
        certificates: rankpool::web::roots::Certificates::default(),
        allow_private: true,
        resolve: BTreeMap::new(),
    }
}

pub(crate) fn client(settings: Settings) -> Client {
    Client::new(settings).unwrap()
}

fn ask(client: &Client, url: &str) -> Result<Exchange, Error> {
    client.exchange(&Request::new(&Url::parse(url).unwrap()))
}

pub(crate) fn get(answer: Answer) -> Exchange {
    let site = Site::start([("/", answer)]);
    ask(&client(settings()), &site.url("/")).unwrap()
}

#[test]
fn both_heads_are_what_went_over_the_wire() {
    let head = "HTTP/1.1 201 Made Up\r\nX-ODD-Case:  v1 \r\nset-cookie: a\r\nX-Robots-Tag: noindex\r\n\
        Set-Cookie: b\r\nX-Robots-Tag: bot: nofollow\r\nContent-Length: 5\r\n\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let site = Site::start([("/p?q", raw(format!("{interim}{head}hello")))]);
    let url = Url::parse(&site.url("/p?q#fragment")).unwrap();
    let headers = [("If-None-Match", "\"tag\"")];
    let request = Request { headers: &headers, ..Request::new(&url) };
    let exchange = client(settings()).exchange(&request).unwrap();
    assert_eq!(String::from_utf8_lossy(exchange.head.as_bytes()), head);
    assert_eq!(exchange.status, 201);
    assert_eq!(exchange.head.all("x-robots-tag").collect::<Vec<_>>(), ["noindex", "bot: nofollow"]);
    assert_eq!(exchange.body(), b"hello");
    assert_eq!(exchange.peer, Some(LOOPBACK));
    assert_eq!((exchange.truncated, exchange.fault), (None, None));
    assert!(exchange.waited <= exchange.took && exchange.took < Duration::from_secs(20));
    let sent = String::from_utf8(exchange.request_head).unwrap();
    assert!(sent.starts_with("GET /p?q HTTP/1.1\r\n") && sent.ends_with("\r\n\r\n"), "{sent}");
    let visit = &site.visits()[0];
    let lines: Vec<&str> = sent.trim_end().lines().skip(1).collect();
    assert_eq!(lines, visit.headers);
    assert!(lines.contains(&"if-none-match: \"tag\""), "{lines:?}");
}

#[test]
fn the_body_is_kept_as_received_and_decoded() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"content").unwrap();
    let coded = gzip.finish().unwrap();
    let exchange = get(body(&*coded).with("Content-Encoding", "gzip"));
    assert_eq!((&exchange.wire, exchange.body()), (&coded, &b"content"[..]));
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let exchange = get(raw(chunked));
    assert_eq!((&exchange.wire[..], exchange.body()), (&b"abcde"[..], &b"abcde"[..]));
    assert_eq!(exchange.head.get("Transfer-Encoding").as_deref(), Some("chunked"));
    // What is not coded as it says is still there as it came.
    let exchange = get(body("plain").with("Content-Encoding", "gzip"));
    assert_eq!((&exchange.wire[..], exchange.truncated), (&b"plain"[..], None));
    assert_eq!(exchange.fault.unwrap().failure, Failure::Http);
}

#[test]
fn long_bodies_come_whole() {
    let all: Vec<u8> = (0..6 << 20).map(|n: u32| (n % 251) as u8).collect();
    let client = client(Settings { max_body: all.len() as u64, ..settings() });
    for length in [4 << 20, (4 << 20) + 1, all.len()] {
        let content = &all[..length];
        let undeclared = [b"HTTP/1.1 200 OK\r\n\r\n", content].concat();
        for answer in [body(content), raw(undeclared)] {
            let site = Site::start([("/", answer)]);
            let exchange = ask(&client, &site.url("/")).unwrap();
            assert_eq!((exchange.truncated, exchange.fault), (None, None), "{length}");
            assert!(exchange.wire == content, "{length}: {}", exchange.wire.len());
        }
    }
    let wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 6291456\r\n\r\n";
    let site = Site::start([("/", raw([wrong, &all[..5 << 20]].concat()))]);
    let exchange = ask(&client, &site.url("/")).unwrap();
    assert_eq!(exchange.truncated, Some(Truncation::Disconnect));
    assert!(exchange.wire == all[..5 << 20], "{}", exchange.wire.len());
}

#[test]
fn a_redirect_is_an_answer() {
    let site = Site::start([("/", redirect(302, "/next")), ("/next", html("x"))]);
    let exchange = ask(&client(settings()), &site.url("/")).unwrap();
    assert_eq!(exchange.status, 302);
    assert_eq!(exchange.head.get("location").as_deref(), Some("/next"));
    assert_eq!(exchange.body(), b"moved");
    assert_eq!(site.paths(), ["/"]);
}

#[test]
fn a_busy_server_names_its_pause() {
    let busy = html("").status(503).with("Retry-After", "7");
    assert_eq!(get(busy).again(), Some(Duration::from_secs(7)));
    assert_eq!(get(html("")).again(), None);
}

#[test]
fn a_body_that_is_cut_short_is_kept_with_the_reason() {
    let short = raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst");
    let drip = Answer::Repeat {
        head: b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        chunk: b"x".to_vec(),
        times: 1000,
        pause: Duration::from_millis(50),
    };
    let broken = raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n");
    for (answer, reason, failure, start) in [
        (short, Truncation::Disconnect, Failure::Http, &b"first"[..]),
        (body(vec![b'a'; 2000]), Truncation::Length, Failure::BodyTooLarge, &[b'a'; 1000]),
        (drip, Truncation::Time, Failure::Timeout, b"xx"),
        (broken, Truncation::Unspecified, Failure::Http, b""),
    ] {
        let site = Site::start([("/", answer)]);
        let url = Url::parse(&site.url("/")).unwrap();
        let timeout = Some(Duration::from_millis(500));
        let request = Request { max_body: Some(1000), timeout, ..Request::new(&url) };
        let exchange = client(settings()).exchange(&request).unwrap();
        assert_eq!(exchange.truncated, Some(reason), "{:?}", exchange.fault);
        assert!(exchange.wire.starts_with(start), "{reason:?}: {:?}", exchange.wire);
        assert!(exchange.wire.len() <= 1000);
        assert_eq!(exchange.fault.unwrap().failure, failure);
    }
}

#[test]
fn a_bomb_is_whole_on_the_wire_and_cut_after_decoding() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![0; 8 << 20]).unwrap();
    let exchange = get(body(gzip.finish().unwrap()).with("Content-Encoding", "gzip"));
    assert_eq!(exchange.truncated, None);
    assert_eq!(exchange.fault.as_ref().unwrap().failure, Failure::BodyTooLarge);
    assert!(exchange.body().len() <= 1 << 20);
}

#[test]
fn connections_are_kept_by_host() {
    let sites = [Site::start([("/", html("x"))]), Site::start([("/", html("x"))])];
    let client = client(settings());
    for _ in 0..5 {
        for site in &sites {
            ask(&client, &site.url("/")).unwrap();
        }
    }
    for site in &sites {
        assert!(site.visits().iter().all(|visit| visit.connection == 0));
    }
}

/// Reads one request, whose body is empty.
fn hear(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
}

/// Waits until so many bytes that nobody has read have arrived at the other side of a connection
/// over IPv4 (`proc_net_tcp(5)`).
fn wait_until_arrived(stream: &TcpStream, n: usize) {
    let port = |address: std::io::Result<SocketAddr>| address.unwrap().port();
    let (own, other) = (port(stream.local_addr()), port(stream.peer_addr()));
    let deadline = now() + Duration::from_secs(20);
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let is_it = |line: &Vec<&str>| {
            line[1].ends_with(&format!(":{other:04X}")) && line[2].ends_with(&format!(":{own:04X}"))
        };
        let waiting = lines.find(is_it).map(|line| line[4].rsplit(':').next().unwrap().to_owned());
        if waiting == Some(format!("{n:08X}")) {
            return;
        }
        assert!(now() < deadline, "{waiting:?} instead of {n} bytes");
        std::thread::yield_now();
    }
}

#[test]
fn an_answer_that_nobody_asked_for_is_nobodys() {
    let answer = |text| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", 5);
    for at_once in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (go, gone) = (channel(), channel());
        let server = std::thread::spawn(move || {
            let (mut first, _) = listener.accept().unwrap();
            hear(&mut first);
            let (asked, unasked) = (answer("first"), answer("wrong"));
            if at_once {
                first.write_all((asked + &unasked).as_bytes()).unwrap();
                go.1.recv().unwrap();
            } else {
                first.write_all(asked.as_bytes()).unwrap();
                go.1.recv().unwrap();
                first.write_all(unasked.as_bytes()).unwrap();
                wait_until_arrived(&first, unasked.len());
            }
            gone.0.send(()).unwrap();
            let (mut second, _) = listener.accept().unwrap();
            hear(&mut second);
            second.write_all(answer("other").as_bytes()).unwrap();
        });
        let client = client(settings());
        assert_eq!(ask(&client, &url).unwrap().body(), b"first");
        go.0.send(()).unwrap();
        gone.1.recv().unwrap();
        assert_eq!(ask(&client, &url).unwrap().body(), b"other", "at once: {at_once}");
        server.join().unwrap();
    }
}

#[test]
fn only_pinned_addresses_are_connected_to() {
    let site = Site::start([("/", html("x"))]);
    let url = site.url("/").replace("127.0.0.1", "name.invalid");
    let url = Url::parse(&url).unwrap();
    let client = client(settings());
    let pinned = |pinned: &[IpAddr]| client.exchange(&Request { pinned, ..Request::new(&url) });
    let exchange = pinned(&[LOOPBACK]).unwrap();
    assert_eq!(exchange.peer, Some(LOOPBACK));
    assert!(String::from_utf8(exchange.request_head).unwrap().contains("host: name.invalid:"));
    // The open connection is not to this address, where nobody listens.
    let other = IpAddr::from([127, 0, 0, 9]);
    assert_eq!(pinned(&[other]).unwrap_err().failure, Failure::Connect);
    // The first that answers is taken.
    assert_eq!(pinned(&[other, LOOPBACK]).unwrap().peer, Some(LOOPBACK));
    assert_eq!(client.exchange(&Request::new(&url)).unwrap_err().failure, Failure::Dns);
}

#[test]
fn hosts_can_be_told() {
    let site = Site::start([("/", html("x"))]);
    let resolve = BTreeMap::from([("made.up".to_owned(), LOOPBACK)]);
    let client = client(Settings { resolve, ..settings() });
    let url = site.url("/").replace("127.0.0.1", "made.up");
    assert_eq!(ask(&client, &url).unwrap().status, 200);
    assert_eq!(client.look_up("made.up").unwrap(), [LOOPBACK]);
    assert_eq!(client.look_up("[::1]").unwrap(), [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    assert_eq!(client.look_up("made.up.invalid").unwrap_err().failure, Failure::Dns);
}

#[test]
fn private_addresses_are_refused_however_they_are_spelled() {
    let site = Site::start([("/", html("x"))]);
    let port = Url::parse(&site.url("/")).unwrap().port().unwrap();
    let resolve = [
        ("told.test", LOOPBACK),
        ("meta.test", IpAddr::from([169, 254, 169, 254])),
        ("mapped.test", IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())),
    ];
    let resolve: BTreeMap<_, _> = resolve.into_iter().map(|(h, a)| (h.to_owned(), a)).collect();
    let client = client(Settings { allow_private: false, resolve, ..settings() });
    for host in [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "127.1",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "localhost",
        "told.test",
        "TOLD.test",
        "meta.test",
        "mapped.test",
    ] {
        let error = ask(&client, &format!("http://{host}:{port}/")).unwrap_err();
        assert_eq!(error.failure, Failure::PrivateAddress, "{host}: {error}");
        assert!(error.message.contains("`allow_private` permits it"), "{error}");
    }
    // A look-up of the caller's own makes no difference.
    let url = Url::parse(&format!("http://public.test:{port}/")).unwrap();
    let request = Request { pinned: &[LOOPBACK], ..Request::new(&url) };
    let error = client.exchange(&request).unwrap_err();
    assert_eq!(error.failure, Failure::PrivateAddress);
    let expected =
        "`public.test` at 127.0.0.1 is no public address (loopback); `allow_private` permits it";
    assert_eq!(error.message, expected);
    // Nor does a redirect, which `get` follows.
    let error = client.get(&Url::parse(&site.url("/")).unwrap(), None).unwrap_err();
    assert_eq!(error.failure, Failure::PrivateAddress);
    assert_eq!(site.paths(), [""; 0]);
}

#[test]
fn a_proxy_is_no_way_around() {
    let proxy = Site::start([("/", html("through the proxy"))]);
    let public = IpAddr::from([198, 41, 0, 4]);
    let resolve = [("public.test", public), ("private.test", IpAddr::from([10, 1, 1, 1]))];
    let resolve: BTreeMap<_, _> = resolve.into_iter().map(|(h, a)| (h.to_owned(), a)).collect();
    let url = proxy.url("");
    let client = client(Settings { allow_private: false, resolve, proxy: url, ..settings() });
    for url in ["http://private.test/", "http://127.0.0.1/", "http://[::ffff:a00:1]/"] {
        let error = ask(&client, url).unwrap_err();
        assert_eq!(error.failure, Failure::PrivateAddress, "{error}");
    }
    assert_eq!(ask(&client, "http://unknown.invalid/").unwrap_err().failure, Failure::Dns);
    assert_eq!(proxy.paths(), [""; 0]);
    // The proxy itself may be anywhere: the user named it.
    let exchange = ask(&client, "http://public.test/").unwrap();
    assert_eq!((exchange.body(), exchange.peer), (&b"through the proxy"[..], None));
    let sent = String::from_utf8(exchange.request_head).unwrap();
    assert!(sent.starts_with("GET / HTTP/1.1\r\n"), "no word to the proxy in {sent}");
}
