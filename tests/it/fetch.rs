//! The kind `fetch`, from its table to its records, against a server on loopback.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use rankpool::task::items::SeenByContent;
use rankpool::task::{
    Context, ErrorClass, Input, Item, Next, Plan, PlanContext, Pool, TaskError, Work, kind,
};
use serde_json::{Value, json};

use crate::site::{Answer, Site, body, html, raw, redirect};

fn plan_in(folder: &Path, table: &str) -> anyhow::Result<Plan> {
    let mut seen = SeenByContent::default();
    let table = toml::from_str(table).unwrap();
    kind("fetch").unwrap().plan(table, &mut PlanContext { folder, seen: &mut seen })
}

fn plan(table: &str) -> anyhow::Result<Plan> {
    plan_in(Path::new("/nonexistent"), table)
}

fn work(table: &str) -> Box<dyn Work> {
    let plan = plan(table).unwrap();
    assert_eq!(plan.pool, Pool::Io);
    kind("fetch").unwrap().work(&plan.options).unwrap()
}

fn run(work: &dyn Work, input: &str) -> Result<Value, TaskError> {
    let mut record = Vec::new();
    work.run(&Input::Text(input.into()), &Context::new(1 << 30), &mut record)?;
    Ok(serde_json::from_slice(&record).unwrap())
}

fn inputs(plan: &mut Plan) -> Vec<String> {
    let mut urls = Vec::new();
    while let Next::Task(Item { input, .. }) = plan.source.next(Duration::ZERO).unwrap() {
        let Input::Text(url) = input else { panic!("{input:?}") };
        urls.push(url.into());
    }
    urls
}

/// Fetches one address with these lines in the table.
fn fetch(url: &str, options: &str) -> Result<Value, TaskError> {
    let mut plan = plan(&format!("urls = ['{url}']\n{options}")).unwrap();
    let work = kind("fetch").unwrap().work(&plan.options).unwrap();
    run(&*work, &inputs(&mut plan)[0])
}

/// Fetches one answer with these lines in the table.
fn get(answer: Answer, options: &str) -> Result<Value, TaskError> {
    fetch(&Site::start([("/", answer)]).url("/"), options)
}

#[track_caller]
fn fails(result: Result<Value, TaskError>, class: ErrorClass, message: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.class, class, "{error}");
    assert!(error.message.contains(message), "{error}");
    assert!(!error.message.ends_with('.') && !error.message.contains('\n'), "{error}");
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::default());
    to.write_all(content).unwrap();
    to.finish().unwrap()
}

const PAGE: &str = "<!doctype html><title>A &amp; B</title>\
    <a href=one>1</a> <a href='/two?x=1&amp;y=2'>2</a> <a href='http://other.test/'>3</a> \
    <a href=four>4</a>";

#[test]
fn a_page_is_reported() {
    let site = Site::start([("/d/", html(PAGE))]);
    let output = fetch(&site.url("/d/"), "").unwrap();
    assert_eq!(
        output,
        json!({
            "status": 200,
            "url": site.url("/d/"),
            "type": "text/html",
            "charset": "UTF-8",
            "bytes": PAGE.len(),
            "digest": output["digest"],
            "title": "A & B",
            "links": [site.url("/d/one"), site.url("/two?x=1&y=2"), "http://other.test/"],
            "redirects": 0,
        })
    );
    let visits = site.visits();
    assert_eq!(visits.len(), 1);
    let agent = concat!("user-agent: rankpool/", env!("CARGO_PKG_VERSION")).to_owned();
    let headers: Vec<String> = visits[0].headers.iter().map(|h| h.to_lowercase()).collect();
    for header in [&agent, "accept-encoding: gzip, deflate, br, zstd", "accept: */*"] {
        assert!(headers.iter().any(|sent| sent == header), "{header}: {headers:?}");
    }
}

#[test]
fn any_status_is_an_outcome() {
    for status in [200, 204, 304, 403, 404, 410, 429, 500, 503] {
        let page = if matches!(status, 204 | 304) { "" } else { "<title>t</title>" };
        let output = get(html(page).status(status), "").unwrap();
        assert_eq!(output["status"], status);
        assert_eq!(output["title"].as_str(), (!page.is_empty()).then_some("t"));
    }
    let site = Site::start([("/", html(""))]);
    assert_eq!(fetch(&site.url("/missing"), "").unwrap()["status"], 404);
}

#[test]
fn a_server_that_asks_to_come_again_is_heard() {
    let hint = |answer: Answer| {
        let site = Site::start([("/", answer)]);
        let context = Context::new(1 << 30);
        let url = Input::Text(site.url("/").into());
        work("urls = []").run(&url, &context, &mut Vec::new()).unwrap().again
    };
    let seconds = |n| Some(Duration::from_secs(n));
    for status in [429, 503] {
        let answer = html("").status(status);
        assert_eq!(hint(answer.clone()), seconds(0), "no header: whoever asks chooses the pause");
        assert_eq!(hint(answer.clone().with("Retry-After", "7")), seconds(7));
        assert_eq!(hint(answer.clone().with("retry-after", "86400")), seconds(3600));
        let dated = answer.with("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(hint(dated.with("Retry-After", "Sun, 06 Nov 1994 08:49:59 GMT")), seconds(22));
    }
    for status in [200, 404, 500] {
        assert_eq!(hint(html("").status(status).with("Retry-After", "7")), None, "{status}");
    }
}

#[test]
fn the_input_is_written_as_a_url() {
    let mut record = b"before ".to_vec();
    let work = work("urls = 'http://h/'");
    work.write_input(&Input::Text("http://h/\"x".into()), &mut record);
    assert_eq!(record, br#"before {"url":"http://h/\"x"}"#);
}

#[test]
fn links_can_be_counted() {
    let site = Site::start([("/", html(PAGE))]);
    for (option, n) in [("links = 0", 0), ("links = 1", 1), ("", 3), ("links = 100", 4)] {
        let output = fetch(&site.url("/"), option).unwrap();
        assert_eq!(output["links"].as_array().unwrap().len(), n, "{option}");
        assert_eq!(output["title"], "A & B");
    }
    let based = html("<base href=http://other.test/d/><a href=e>");
    assert_eq!(get(based, "").unwrap()["links"], json!(["http://other.test/d/e"]));
}

#[test]
fn expressions_are_extracted() {
    let options = "extract = { numbers = '>(\\d)<', all = 'x=\\d', none = 'zzz' }";
    let output = get(html(PAGE), options).unwrap();
    assert_eq!(
        output["extract"],
        json!({ "numbers": ["1", "2", "3", "4"], "all": ["x=1"], "none": [] })
    );
    assert_eq!(get(html(PAGE), "").unwrap().get("extract"), None);
}

#[test]
fn redirects_are_followed_and_counted() {
    let site = Site::start([
        ("/1", redirect(301, "/2")),
        ("/2", redirect(302, "3?q")),
        ("/3?q", redirect(303, "./d/../4")),
        ("/4", redirect(307, "//127.0.0.1:1/").with("location", "5#frag")),
        ("/5", redirect(308, "/ä b")),
        ("/%C3%A4%20b", html("<a href=x>")),
    ]);
    let output = fetch(&site.url("/1#start"), "").unwrap();
    assert_eq!(output["url"], site.url("/%C3%A4%20b"));
    assert_eq!(output["redirects"], 5);
    assert_eq!(output["links"], json!([site.url("/x")]));
    assert_eq!(site.paths(), ["/1", "/2", "/3?q", "/4", "/5", "/%C3%A4%20b"]);

    fails(fetch(&site.url("/1"), "redirects = 4"), ErrorClass::Http, "more than 4 redirects");
    assert_eq!(fetch(&site.url("/1"), "redirects = 5").unwrap()["status"], 200);
    let unfollowed = fetch(&site.url("/1"), "redirects = 0").unwrap();
    assert_eq!((&unfollowed["status"], &unfollowed["url"]), (&301.into(), &site.url("/1").into()));
}

#[test]
fn redirects_that_lead_nowhere_fail() {
    let site = Site::start([
        ("/self", redirect(302, "/self#x")),
        ("/a", redirect(301, "/b")),
        ("/b", redirect(301, "/a")),
        ("/ftp", redirect(301, "ftp://files.test/x")),
        ("/script", redirect(301, "javascript:alert(1)")),
        ("/file", redirect(302, "file:///etc/passwd")),
        ("/bad", redirect(302, "http://[::1")),
        ("/none", html("<title>t</title>").status(302)),
    ]);
    let get = |path: &str| fetch(&site.url(path), "");
    fails(get("/self"), ErrorClass::Http, "circle, back to `http://");
    fails(get("/a"), ErrorClass::Http, &format!("back to `{}`", site.url("/a")));
    fails(get("/ftp"), ErrorClass::Http, "to `ftp://files.test/x`, which is neither http nor");
    fails(get("/script"), ErrorClass::Http, "javascript:alert(1)");
    fails(get("/file"), ErrorClass::Http, "file:///etc/passwd");
    fails(get("/bad"), ErrorClass::Http, "`http://[::1`, which is no address");
    // A redirect to nowhere is the answer itself, as browsers show it.
    assert_eq!(get("/none").unwrap()["title"], "t");
    assert_eq!(site.paths().len(), 8, "{:?}", site.paths());
}

#[test]
fn content_codings_are_undone() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(PAGE.as_bytes()).unwrap();
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
    deflate.write_all(PAGE.as_bytes()).unwrap();
    let zstd = zstd::encode_all(PAGE.as_bytes(), 1).unwrap();
    let plain = get(html(PAGE), "").unwrap();
    for (coding, coded) in [
        ("gzip", gzip(PAGE.as_bytes())),
        ("X-GZIP", gzip(PAGE.as_bytes())),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", deflate.finish().unwrap()),
        ("br", brotli(PAGE.as_bytes())),
        ("zstd", zstd.clone()),
        ("zstd, gzip", gzip(&zstd)),
        ("identity", PAGE.as_bytes().to_vec()),
        ("utf-8", PAGE.as_bytes().to_vec()),
    ] {
        let output = get(html(coded).with("Content-Encoding", coding), "").unwrap();
        for key in ["bytes", "digest", "title"] {
            assert_eq!(output[key], plain[key], "{coding}");
        }
    }
    let wrong = html(PAGE).with("Content-Encoding", "gzip");
    fails(get(wrong, ""), ErrorClass::Http, "the body is not `gzip`");
}

/// The form of brotli that stores its content: a block of up to 65,536 bytes.
fn brotli(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap() - 1;
    assert!(length < 1 << 16);
    // Window 16 (one 0 bit), not the last block, 4 nibbles of length, 16 bits of length,
    // uncompressed; then the content from the next byte, then an empty last block.
    let header = (length << 4) | (1 << 20);
    let mut coded = header.to_le_bytes()[..3].to_vec();
    coded.extend_from_slice(content);
    coded.push(3);
    coded
}

#[test]
fn the_body_limit_holds_on_the_wire_and_after_decoding() {
    let page = "x".repeat(10_000);
    for (limit, ok) in [("10000", true), ("'10KB'", true), ("9999", false), ("'9KiB'", false)] {
        let options = format!("max_body = {limit}");
        for answer in [
            body(page.clone()),
            body(gzip(page.as_bytes())).with("Content-Encoding", "gzip"),
            raw(format!("HTTP/1.1 200 OK\r\n\r\n{page}")),
        ] {
            let result = get(answer, &options);
            if ok {
                assert_eq!(result.unwrap()["bytes"], 10_000);
            } else {
                fails(result, ErrorClass::BodyTooLarge, "larger than `max_body` (9");
            }
        }
    }
    let declared = raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx");
    fails(get(declared, ""), ErrorClass::BodyTooLarge, "`max_body` (10MiB)");
    let bomb = gzip(&gzip(&vec![0; 16 << 20]));
    assert!(bomb.len() < 1 << 20);
    let bomb = html(bomb).with("Content-Encoding", "gzip, gzip");
    fails(get(bomb, ""), ErrorClass::BodyTooLarge, "max_body");
    let endless = Answer::Repeat {
        head: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        chunk: [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat(),
        times: 10_000,
        pause: Duration::ZERO,
    };
    fails(get(endless, "max_body = '1MiB'"), ErrorClass::BodyTooLarge, "`max_body` (1MiB)");
}

#[test]
fn charsets_are_found_and_decoded() {
    let page = |charset: &str| format!("<meta charset={charset}><title>");
    let koi8 = [page("koi8-r").as_bytes(), b"\xe9</title>"].concat();
    for (answer, charset, title) in [
        (body(koi8.clone()).with("Content-Type", "text/html"), "KOI8-R", "И"),
        (
            body(koi8).with("Content-Type", "text/html; charset=\"windows-1252\""),
            "windows-1252",
            "é",
        ),
        (html(&b"<title>\xe9</title>"[..]), "UTF-8", "\u{fffd}"),
        (html(&b"\xff\xfe<\0t\0i\0t\0l\0e\0>\0a\0"[..]), "UTF-16LE", "a"),
        (body("<title>é</title>"), "UTF-8", "é"),
    ] {
        let output = get(answer, "").unwrap();
        assert_eq!((&output["charset"], &output["title"]), (&charset.into(), &title.into()));
    }
}

#[test]
fn what_is_no_page_has_neither_title_nor_links() {
    let output = get(body(PAGE).with("Content-Type", "text/plain"), "").unwrap();
    assert_eq!((&output["title"], &output["links"]), (&Value::Null, &json!([])));
    let output = get(body("\u{89}PNG\0"), "").unwrap();
    assert_eq!(
        (&output["type"], &output["charset"]),
        (&json!("application/octet-stream"), &Value::Null)
    );
    let output = get(body(PAGE), "").unwrap();
    assert_eq!((&output["type"], &output["title"]), (&json!("text/html"), &json!("A & B")));
}

#[test]
fn time_limits_end_a_fetch() {
    let drip = |head: &str| Answer::Repeat {
        head: head.as_bytes().to_vec(),
        chunk: b"x".to_vec(),
        times: 1000,
        pause: Duration::from_millis(20),
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let whole = "timeout = '200ms'";
    let stalled = "read_timeout = '200ms'";
    let (total, per_read) = ("not done within `timeout` (200ms)", "`read_timeout` (200ms)");
    for (answer, options, message) in [
        (Answer::Hang, whole, total),
        (Answer::Hang, stalled, per_read),
        (drip(head), whole, total),
        (drip("HTTP/1.1 200 OK\r\nX-Slow: "), whole, total),
        (
            Answer::Repeat {
                head: head.as_bytes().to_vec(),
                chunk: b"x".to_vec(),
                times: 2,
                pause: Duration::from_secs(20),
            },
            stalled,
            per_read,
        ),
    ] {
        let start = now();
        fails(get(answer, options), ErrorClass::Timeout, message);
        let took = now() - start;
        assert!(took >= Duration::from_millis(190) && took < Duration::from_secs(10), "{took:?}");
    }
    // A drip is no stall, even if it takes longer than one read may.
    let brief = Answer::Repeat {
        head: head.as_bytes().to_vec(),
        chunk: vec![b'x'; 100],
        times: 10,
        pause: Duration::from_millis(250),
    };
    assert_eq!(get(brief, "read_timeout = '2s'").unwrap()["bytes"], 1000);
}

#[test]
fn the_time_limit_covers_redirects() {
    let pause = Duration::from_millis(150);
    let site = Site::start([
        ("/1", redirect(302, "/2").after(pause)),
        ("/2", redirect(302, "/3").after(pause)),
        ("/3", html("").after(pause)),
    ]);
    fails(fetch(&site.url("/1"), "timeout = '400ms'"), ErrorClass::Timeout, "`timeout` (400ms)");
    assert_eq!(fetch(&site.url("/1"), "timeout = '20s'").unwrap()["redirects"], 2);
    let visits = site.visits();
    assert!(visits[1].at - visits[0].at >= pause);
}

#[test]
fn a_server_that_cannot_be_reached_fails_to_connect() {
    // A port that was free a moment ago.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = fetch(&format!("http://{gone}/"), "");
    fails(refused, ErrorClass::Connect, "refused");
    fails(get(Answer::Close, ""), ErrorClass::Connect, "closed before an answer");
    fails(fetch("http://no-such-host.invalid/", ""), ErrorClass::Dns, "`no-such-host.invalid`");
}

#[test]
fn answers_that_break_http_fail() {
    let many = "X: y\r\n".repeat(300);
    let large = "y".repeat(200_000);
    for (answer, message) in [
        (raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), "middle of the body"),
        (raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "content-length"),
        (
            raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
            "content-length",
        ),
        (raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "chunk"),
        (raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), "middle"),
        (raw("no http at all\r\n\r\n"), "http parse"),
        (raw("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), "http parse"),
        (raw(format!("HTTP/1.1 200 OK\r\n{many}\r\n")), "too many headers"),
        (raw(format!("HTTP/1.1 200 OK\r\nX: {large}\r\n\r\n")), "header is too big"),
    ] {
        fails(get(answer, "timeout = '5s'"), ErrorClass::Http, message);
    }
    let endless = Answer::Repeat {
        head: b"HTTP/1.1 200 OK\r\n".to_vec(),
        chunk: b"X-More: and more\r\n".repeat(100),
        times: 100_000,
        pause: Duration::ZERO,
    };
    fails(get(endless, ""), ErrorClass::Http, "header");
}

#[test]
fn sloppy_but_clear_answers_are_read() {
    for answer in [
        raw("HTTP/1.1 200 OK\n\n<title>t</title>"),
        raw("HTTP/1.0 200 OK\r\n\r\n<title>t</title>"),
        raw("HTTP/1.1 200\r\n\r\n<title>t</title>"),
        raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n<title>t</title>"),
    ] {
        assert_eq!(get(answer.clone(), "").unwrap()["title"], "t", "{answer:?}");
    }
}

/// Accepts connections for ever and does this with each.
fn secure_url(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    format!("https://localhost:{}/", address.port())
}

/// A page over TLS, and its certificate, which nobody signed.
fn secure_page() -> (String, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let url = secure_url(move |mut stream| {
        let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = rustls::Stream::new(&mut tls, &mut stream);
        // A client that does not trust the certificate breaks the handshake off.
        if tls.read(&mut [0; 1024]).is_ok() {
            let page = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n<title>secret</title>";
            tls.write_all(page).unwrap();
        }
    });
    (url, made.cert.der().to_vec())
}

#[test]
fn a_certificate_that_nobody_signed_is_refused() {
    let (url, _) = secure_page();
    for which in ["auto", "bundled"] {
        let result = fetch(&url, &format!("certificates = '{which}'"));
        fails(result, ErrorClass::Tls, "invalid peer certificate: UnknownIssuer");
    }
}

#[test]
fn the_machines_certificates_are_trusted() {
    let name = "the_machines_certificates_are_trusted";
    let folder = std::env::temp_dir().join(format!("rankpool-roots-{}", std::process::id()));
    if std::env::var_os("RANKPOOL_TEST_CHILD").is_none() {
        let (url, der) = secure_page();
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("roots.pem");
        std::fs::write(&file, pem(&der)).unwrap();
        let file = file.to_str().unwrap();
        in_environment(name, &[("SSL_CERT_FILE", file), ("RANKPOOL_TEST_URL", &url)]);
        let none = folder.join("none.pem");
        std::fs::write(&none, "").unwrap();
        let none = none.to_str().unwrap();
        in_environment(name, &[("SSL_CERT_FILE", none)]);
        std::fs::remove_dir_all(&folder).unwrap();
        return;
    }
    if let Ok(url) = std::env::var("RANKPOOL_TEST_URL") {
        for which in ["auto", "system"] {
            let output = fetch(&url, &format!("certificates = '{which}'")).unwrap();
            assert_eq!(
                (&output["title"], &output["url"]),
                (&"secret".into(), &url.as_str().into())
            );
        }
        fails(fetch(&url, "certificates = 'bundled'"), ErrorClass::Tls, "UnknownIssuer");
    } else {
        plan("urls = []").unwrap();
        let error = plan("urls = []\ncertificates = 'system'").err().unwrap().to_string();
        assert!(error.starts_with("`certificates`: this machine has no"), "{error}");
    }
}

fn pem(der: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::new();
    for chunk in der.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            base64.push(if i <= chunk.len() { digit.into() } else { '=' });
        }
        if base64.len() % 65 == 64 {
            base64.push('\n');
        }
    }
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

#[test]
fn what_does_not_speak_tls_fails() {
    let url = secure_url(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    fails(fetch(&url, ""), ErrorClass::Tls, "corrupt message");
    fails(fetch(&secure_url(drop), ""), ErrorClass::Connect, "closed before an answer");
}

#[test]
fn an_error_after_a_redirect_names_where_it_led() {
    let site = Site::start([("/", redirect(302, "http://no-such-host.invalid/"))]);
    let at = "(redirected to `http://no-such-host.invalid/`)";
    fails(fetch(&site.url("/"), ""), ErrorClass::Dns, at);
}

#[test]
fn the_connect_limit_covers_the_tls_handshake() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    fails(
        fetch(&url, "connect_timeout = '200ms'"),
        ErrorClass::Timeout,
        "no connection within `connect_timeout` (200ms)",
    );
}

#[test]
fn the_user_agent_can_be_set() {
    let site = Site::start([("/", html(""))]);
    fetch(&site.url("/"), "user_agent = 'probe/2 (me@example.org)'").unwrap();
    let headers = &site.visits()[0].headers;
    let sent =
        |header: &String| header.eq_ignore_ascii_case("user-agent: probe/2 (me@example.org)");
    assert!(headers.iter().any(sent), "{headers:?}");
}

#[test]
fn a_connection_is_kept_and_a_closed_one_is_replaced() {
    let once = Answer::First(Box::new(html("<p>")));
    let site = Site::start([("/", html("<p>")), ("/once", once), ("/close", Answer::Close)]);
    let work = work("urls = []");
    for _ in 0..3 {
        run(&*work, &site.url("/")).unwrap();
    }
    assert!(site.visits().iter().all(|visit| visit.connection == 0), "{:?}", site.visits());
    // The server closes in the moment of the request, as any may that has waited long enough.
    assert_eq!(run(&*work, &site.url("/once")).unwrap()["status"], 200);
    let connections: Vec<usize> = site.visits().iter().map(|visit| visit.connection).collect();
    assert_eq!(connections, [0, 0, 0, 0, 1]);
    fails(run(&*work, &site.url("/close")), ErrorClass::Connect, "closed before an answer");
}

#[test]
fn many_threads_fetch_at_once() {
    let pause = Duration::from_millis(100);
    let site = Site::start([("/", html("<title>t</title>").after(pause))]);
    let work = work("urls = []");
    let start = now();
    std::thread::scope(|scope| {
        let fetch =
            || (0..2).for_each(|_| assert_eq!(run(&*work, &site.url("/")).unwrap()["title"], "t"));
        for _ in 0..16 {
            scope.spawn(fetch);
        }
    });
    assert!(now() - start < pause * 16, "one after the other: {:?}", now() - start);
    let connections = site.visits().iter().map(|visit| visit.connection).max().unwrap() + 1;
    assert!(connections <= 16, "{connections}");
}

#[test]
fn a_proxy_is_used_when_it_is_named() {
    let site = Site::start([("/x", html("<title>by proxy</title>"))]);
    let output = fetch("http://no-such-host.invalid/x", &format!("proxy = '{}'", site.url("")));
    assert_eq!(output.unwrap()["title"], "by proxy");
    assert_eq!(site.paths(), ["no-such-host.invalid:80", "/x"]);
}

/// Runs a test of this file again with other environment variables, which a process cannot
/// safely change for itself; `None` in that second run.
fn in_environment(name: &str, variables: &[(&str, &str)]) -> Option<()> {
    if std::env::var_os("RANKPOOL_TEST_CHILD").is_some() {
        return None;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([&format!("fetch::{name}"), "--exact"])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("SSL_CERT_DIR")
        .envs(variables.iter().copied())
        .env("RANKPOOL_TEST_CHILD", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    Some(())
}

#[test]
fn the_environments_proxy_is_used_only_on_request() {
    let site = Site::start([("/x", html("<title>by proxy</title>"))]);
    let name = "the_environments_proxy_is_used_only_on_request";
    if in_environment(name, &[("ALL_PROXY", &site.url(""))]).is_some() {
        assert_eq!(site.paths(), ["no-such-host.invalid:80", "/x"]);
        return;
    }
    fails(fetch("http://no-such-host.invalid/x", ""), ErrorClass::Dns, "no-such-host");
    let proxied = fetch("http://no-such-host.invalid/x", "proxy = 'environment'");
    assert_eq!(proxied.unwrap()["title"], "by proxy");
}

#[test]
fn odd_addresses_reach_the_server() {
    let site = Site::start([("/", html(""))]);
    let work = work("urls = []");
    for odd in ["/?q=|^`{}\\[]'", "/|", "/a%", "/%zz", "/'\"<>", "//x//", "/;a=b,c!$&*()~:@"] {
        let output = run(&*work, &site.url(odd)).unwrap_or_else(|error| panic!("{odd}: {error}"));
        assert_eq!(output["status"], 404, "{odd}");
    }
    let long = format!("/{}", "x".repeat(20_000));
    assert_eq!(run(&*work, &site.url(&long)).unwrap()["status"], 404);
    fails(run(&*work, &site.url(&"/x".repeat(50_000))), ErrorClass::Http, "");
    let with_user = site.url("/").replace("http://", "http://me:secret@");
    run(&*work, &with_user).unwrap();
    let headers = &site.visits().pop().unwrap().headers;
    assert!(headers.iter().any(|h| h.to_lowercase().starts_with("authorization: basic")));
}

#[test]
fn what_is_no_address_is_an_invalid_input() {
    let work = work("urls = []");
    for input in ["", "not a url", "/relative", "ftp://h/", "http://"] {
        fails(run(&*work, input), ErrorClass::InvalidInput, &format!("`{input}`"));
    }
    let number = work.run(&Input::Number(7), &Context::new(0), &mut Vec::new());
    assert_eq!(number.unwrap_err().class, ErrorClass::InvalidInput);
}

#[test]
fn addresses_come_from_a_list_and_a_file() {
    let folder = std::env::temp_dir().join(format!("rankpool-fetch-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("urls.txt"), "# seeds\n\nhttps://a.test\n  page two \n").unwrap();
    std::fs::write(folder.join("bad.txt"), "http://a.test\n\nmailto:x@y\n").unwrap();
    let table = "urls = 'http://B.test'\nurls_from = 'urls.txt'\nbase = 'http://c.test/d/'";
    let mut plan = plan_in(&folder, table).unwrap();
    assert_eq!(plan.source.remaining(), Some(3));
    assert_eq!(
        inputs(&mut plan),
        ["http://b.test/", "https://a.test/", "http://c.test/d/page%20two",]
    );
    let error = |table: &str| format!("{:#}", plan_in(&folder, table).err().unwrap());
    let bad = error("urls_from = 'bad.txt'");
    assert!(bad.contains("bad.txt:3") && bad.contains("`mailto:x@y` cannot be fetched"), "{bad}");
    let bad = error("urls = ['http://h/', 'page']");
    assert!(bad.contains("urls[1]") && bad.contains("`page` is no whole URL"), "{bad}");
    assert!(error("urls_from = 'missing.txt'").contains("missing.txt"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_resolved_table_plans_the_same_again() {
    let plan_one = plan("urls = ['http://h/']\nextract = { a = 'b' }\ntimeout = '90s'").unwrap();
    let again = plan(&plan_one.resolved.to_string()).unwrap();
    assert_eq!((&again.resolved, &again.options), (&plan_one.resolved, &plan_one.options));
}

#[expect(clippy::disallowed_methods, reason = "the test is about time")]
fn now() -> Instant {
    Instant::now()
}
