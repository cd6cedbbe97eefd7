//! robots.txt and sitemaps under random bytes: nothing panics, and what is decided is what a
//! plain reading of RFC 9309 with regular expressions decides. `rankpool explain robots`.
//!
//! `RANKPOOL_FUZZ_SECONDS=600 cargo test --test it fuzz_robots` goes on for ten minutes each.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use rankpool::web::robots::{Decision, Directives, Robots, line};
use rankpool::web::sitemap::{self, Accept, Sitemap};
use regex::Regex;
use url::Url;

use crate::cli::Call;
use crate::util::now;

/// Runs a property on random inputs: some hundreds, or for as long as the environment says.
fn fuzz<S: Strategy>(name: &str, inputs: &S, property: impl Fn(S::Value) -> TestCaseResult) {
    let seconds = std::env::var("RANKPOOL_FUZZ_SECONDS").ok();
    let seconds = seconds.map_or(0, |text| text.parse().expect("a whole number of seconds"));
    let (start, n_run) = (now(), AtomicU64::new(0));
    loop {
        let config = Config { failure_persistence: None, ..Config::default() };
        let counted = |input| {
            n_run.fetch_add(1, Ordering::Relaxed);
            property(input)
        };
        if let Err(error) = TestRunner::new(config).run(inputs, counted) {
            panic!("{name}: {error}");
        }
        if start.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
    }
    if seconds > 0 {
        eprintln!("{name}: {} inputs in {:?}", n_run.into_inner(), start.elapsed());
    }
}

/// Texts made of these pieces and others.
fn pieces(known: &'static [&'static str], length: usize) -> impl Strategy<Value = Vec<u8>> {
    let other = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        "[ -~]{0,8}".prop_map(String::into_bytes),
        "\\PC{0,3}".prop_map(String::into_bytes),
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(known).prop_map(|text| text.as_bytes().to_vec()),
        1 => other,
    ];
    prop::collection::vec(piece, 0..length).prop_map(|pieces| pieces.concat())
}

/// Paths and patterns are made of few pieces, so that they match now and then.
const PATH: &[&str] = &[
    "/",
    "/",
    "a",
    "b",
    "ab",
    "?",
    "=",
    "&",
    "%61",
    "%2f",
    "%2F",
    "%2A",
    "%24",
    "%3a",
    ":",
    "$",
    "*",
    "*",
    "%",
    "%4",
    "ツ",
    "%E3%83%84",
    "%e3%83%84",
    "|",
    "^",
    ".",
    "-",
    "~",
    "%7e",
    "@",
    " ",
];

/// So few that pieces between stars are found again and again.
const TIGHT: &[&str] = &["a", "a", "b", "ab", "*", "*", "/"];

/// Whole lines, whose patterns are [`PATH`]'s.
const LINES: &[&str] = &[
    "user-agent: *\n",
    "User-Agent: rankpool\n",
    "user-agent: other\r\n",
    "useragent rankpool/2\r",
    "\nallow: /",
    "\ndisallow: /",
    "\nDisallow:/",
    "\nallow: *",
    "\ndisalow /",
    "disallow: /\n",
    "\ncrawl-delay: 1.5\n",
    "sitemap: http://h/s\n",
    "\n",
    "\r",
    "\r\n",
    "#",
    "\u{feff}",
    "\0",
    ":",
];

fn path(known: &'static [&'static str]) -> impl Strategy<Value = String> {
    let path = pieces(known, 12).prop_map(|path| String::from_utf8_lossy(&path).into_owned());
    path.prop_map(|path| format!("/{path}"))
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => pieces(LINES, 4),
        3 => pieces(PATH, 8),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let parts = prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat());
    let noise = prop::collection::vec(any::<u8>(), 0..2000);
    prop_oneof![9 => parts, 1 => noise]
}

/// Whatever the bytes are, there is an answer, it survives a journey, and it costs little.
fn answers((bytes, path): (Vec<u8>, String)) -> TestCaseResult {
    let robots = Robots::parse(&bytes, "rankpool");
    let decision = robots.decide(&path);
    prop_assert!(robots.decide("/robots.txt").allowed);
    prop_assert!(robots.memory() <= 200 + 4 * bytes.len());
    match decision.line {
        None => prop_assert!(decision.allowed),
        Some(number) => {
            let text = line(&bytes, number).expect("a line that decides is there");
            let text = text.to_lowercase();
            prop_assert_eq!(text.starts_with("allow"), decision.allowed, "{}", text);
        }
    }
    let json = serde_json::to_string(&robots).unwrap();
    let arrived: Robots = serde_json::from_str(&json).unwrap();
    prop_assert_eq!(arrived.decide(&path), decision);
    prop_assert_eq!(arrived, robots);
    let text = String::from_utf8_lossy(&bytes);
    Directives::from_header(&text, &path);
    Ok(())
}

/// A rule as it is written, and a path: the matcher says what a regular expression says.
fn agrees((rules, path): (Vec<(bool, Vec<u8>)>, String)) -> TestCaseResult {
    let mut file = b"user-agent: rankpool\n".to_vec();
    for (allow, pattern) in &rules {
        file.extend(if *allow { &b"allow: "[..] } else { b"disallow: " });
        file.extend(pattern);
        file.push(b'\n');
    }
    let decision = Robots::parse(&file, "rankpool").decide(&path);
    prop_assert_eq!(decision, reference(&rules, &path), "{}", String::from_utf8_lossy(&file));
    Ok(())
}

/// RFC 9309, 2.2.2 and 2.2.3, read plainly.
fn reference(rules: &[(bool, Vec<u8>)], path: &str) -> Decision {
    let mut best = Decision { allowed: true, line: None };
    let mut octets = 0;
    if octet_words(path.as_bytes()).concat() == "/robots.txt" {
        return best;
    }
    for ((allow, pattern), number) in rules.iter().zip(2..) {
        let pattern = pattern.trim_ascii();
        let (regex, length) = expression(pattern);
        // In a query, `:`, `/`, `?` and `@` mean the same encoded or not.
        let plain = |words: Vec<String>| match words.iter().position(|word| word == "?") {
            None => words.concat(),
            Some(mark) => words[..mark].concat() + &plain_query(&words[mark..].concat()),
        };
        let has_query = octet_words(pattern).contains(&"?".to_owned());
        let words = octet_words(path.as_bytes());
        let address = if has_query { plain(words) } else { words.concat() };
        let wins = length > octets || length == octets && *allow && !best.allowed;
        let rooted = matches!(pattern.first(), Some(b'/' | b'*'));
        if rooted && wins && regex.is_match(&address) {
            best = Decision { allowed: *allow, line: Some(number) };
            octets = length;
        }
    }
    best
}

/// A pattern as a regular expression, and its octets.
fn expression(pattern: &[u8]) -> (Regex, usize) {
    let (body, end) = match pattern.strip_suffix(b"$") {
        Some(body) => (body, "$"),
        None => (pattern, ""),
    };
    // A last `%` or `%4` of a piece between stars is no encoding in the whole either.
    let parts: Vec<String> =
        body.split(|byte| *byte == b'*').map(|p| octet_words(p).concat()).collect();
    let mut text = parts.join("\u{0}");
    if let Some(mark) = text.find('?') {
        text = text[..mark].to_owned() + &plain_query(&text[mark..]);
    }
    let length = text.len() + end.len();
    let escaped: Vec<_> = text.split('\u{0}').map(regex::escape).collect();
    (Regex::new(&format!("^{}{end}", escaped.join(".*"))).unwrap(), length)
}

fn plain_query(query: &str) -> String {
    [("%3A", ":"), ("%2F", "/"), ("%3F", "?"), ("%40", "@")]
        .iter()
        .fold(query.to_owned(), |query, (from, to)| query.replace(from, to))
}

/// Each octet as it is compared.
fn octet_words(text: &[u8]) -> Vec<String> {
    static FIND: LazyLock<regex::bytes::Regex> =
        LazyLock::new(|| regex::bytes::Regex::new("(?s-u)%[0-9A-Fa-f]{2}|.").unwrap());
    let word = |found: regex::bytes::Match<'_>| {
        let bytes = found.as_bytes();
        let hex = std::str::from_utf8(&bytes[1..]).unwrap_or_default();
        let (octet, encoded) = match bytes {
            [octet] => (*octet, false),
            _ => (u8::from_str_radix(hex, 16).unwrap(), true),
        };
        match char::from(octet) {
            c @ ('A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '.' | '_' | '~' | '*' | '$') => c.into(),
            c if !encoded && ":/?#[]@!&'()+,;=".contains(c) => c.into(),
            _ => format!("%{octet:02X}"),
        }
    };
    FIND.find_iter(text).map(word).collect()
}

fn rules(known: &'static [&'static str]) -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let ends = prop::sample::select(&["", "", "$", "*", "$ "][..]);
    let pattern = (pieces(known, 9), ends).prop_map(|(mut pattern, end)| {
        // What would end the value or the line is the parser's business.
        pattern.retain(|byte| !matches!(byte, b'\r' | b'\n' | b'#'));
        [b"/", &pattern[..], end.as_bytes()].concat()
    });
    let pattern = prop_oneof![8 => pattern, 1 => Just(b"*".to_vec()), 1 => Just(b"a".to_vec())];
    prop::collection::vec((any::<bool>(), pattern), 0..12)
}

#[test]
fn fuzz_robots_answers_whatever_it_is_given() {
    fuzz("robots answers", &(file(), path(PATH)), answers);
    let noise = (prop::collection::vec(any::<u8>(), 0..600), any::<String>());
    fuzz("robots noise", &noise, answers);
}

#[test]
fn fuzz_robots_agrees_with_a_plain_reading() {
    fuzz("robots agrees", &(rules(PATH), path(PATH)), agrees);
    fuzz("robots agrees, tight", &(rules(TIGHT), path(TIGHT)), agrees);
}

const XML: &[&str] = &[
    "<urlset>",
    "<sitemapindex>",
    "<url>",
    "<sitemap>",
    "<loc>",
    "</loc>",
    "</url>",
    "</sitemap>",
    "</urlset>",
    "</sitemapindex>",
    "http://h/",
    "http://h/a?b&amp;c",
    "https://h/",
    "<lastmod>",
    "2020-01-01",
    "</lastmod>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?xml version='1.0'?>",
    "<!DOCTYPE",
    " [",
    "]",
    ">",
    "<",
    "&",
    "&#65;",
    "&#xD800;",
    "&x;",
    ";",
    " ",
    "\n",
    "<x:loc>",
    "</",
    "/>",
    "'",
    "\"",
    "\u{feff}",
    "\0",
    "<url><loc>http://h/b</loc></url>",
    "<!ENTITY a \"b\">",
];

fn home() -> Url {
    Url::parse("http://h/sitemap.xml").expect("it is one")
}

/// Whatever the bytes are, what is found is sound, gzipped or not.
fn reads(bytes: &[u8]) -> TestCaseResult {
    let found = sitemap::read(bytes, &home(), Accept::Host);
    for entry in found.urls.iter().chain(&found.sitemaps) {
        let url = Url::parse(&entry.loc).unwrap();
        prop_assert_eq!(url.origin(), home().origin());
        prop_assert_eq!(url.as_str(), &entry.loc);
        prop_assert!(url.fragment().is_none());
    }
    if !bytes.starts_with(b"\x1f\x8b") {
        prop_assert_eq!(sitemap::read(&gzip(bytes), &home(), Accept::Host), found);
    }
    let mut coded = gzip(bytes);
    coded.truncate(coded.len() * 2 / 3);
    sitemap::read(&coded, &home(), Accept::Any);
    Ok(())
}

/// What a sitemap lists is what was put in, and of one that is cut, its start.
fn finds((paths, cut): (Vec<String>, usize)) -> TestCaseResult {
    let urls: Vec<String> = paths.iter().map(|path| home().join(path).unwrap().into()).collect();
    let urls: Vec<_> = urls.into_iter().filter(|url| !url.contains('#')).collect();
    let entry = |url: &String| match url.len() % 2 {
        0 => {
            format!("<url>\n<loc>{}</loc></url>", url.replace('&', "&amp;").replace('\'', "&apos;"))
        }
        _ => format!("<url><lastmod>x</lastmod><loc><![CDATA[{url}]]></loc></url>\n"),
    };
    let body: String = urls.iter().map(entry).collect();
    let xml = format!("<?xml version='1.0'?><urlset xmlns='x'>{body}</urlset>");
    let locs = |found: Sitemap| found.urls.into_iter().map(|entry| entry.loc).collect::<Vec<_>>();
    prop_assert_eq!(&locs(sitemap::read(xml.as_bytes(), &home(), Accept::Host)), &urls);
    prop_assert_eq!(&locs(sitemap::read(urls.join("\n").as_bytes(), &home(), Accept::Host)), &urls);
    let cut = cut % (xml.len() + 1);
    let found = locs(sitemap::read(&xml.as_bytes()[..cut], &home(), Accept::Host));
    prop_assert!(urls.starts_with(&found));
    Ok(())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn fuzz_sitemap_reads_whatever_it_is_given() {
    let noise = prop::collection::vec(any::<u8>(), 0..2000);
    fuzz("sitemap reads", &prop_oneof![9 => pieces(XML, 60), 1 => noise], |bytes| reads(&bytes));
}

#[test]
fn fuzz_sitemap_finds_what_is_listed() {
    let paths = prop::collection::vec("/[a-z&;'?=%]{0,20}", 0..20);
    fuzz("sitemap finds", &(paths, any::<usize>()), finds);
}

const FILE: &str = "User-agent: *\nDisallow: /private/\nAllow: /private/open\n";

#[test]
fn explain_robots_names_the_line_that_decided() {
    let explain = |rest: &str| {
        let line = format!("explain robots --file robots.txt {rest}");
        Call::new(&line).file("robots.txt", FILE)
    };
    assert_eq!(explain("https://h/a").prints(), "allowed https://h/a (no rule matches)\n");
    let output = explain("https://h/private/a /private/open#x --agent Other/1").output();
    let expected = "denied  https://h/private/a (line 2: Disallow: /private/)\n\
        allowed /private/open#x (line 3: Allow: /private/open)\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
    explain("private").refuses("`private` is no web address; write `https://HOST/PATH` or `/PATH`");
    explain("/ --agent 7")
        .refuses("`7` is no crawler's name; begin it with letters, such as `rankpool`");
    Call::new("explain robots --file none.txt /")
        .refuses("none.txt: No such file or directory (os error 2)");
    // Nothing on standard input: nothing is forbidden.
    assert!(Call::new("explain robots --file - /a").prints().starts_with("allowed /a"));
}

#[test]
fn explain_robots_speaks_once_a_world() {
    let call = Call::new("explain robots --file none.txt /").env("OMPI_COMM_WORLD_RANK", "1");
    assert_eq!(call.prints(), "");
}
