//! What holds for every address and every page, whatever somebody wrote.
//!
//! Each property is tried on some hundred inputs; with `RANKPOOL_FUZZ_SECONDS=600` in the
//! environment, on new ones for so long.

mod reference;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use rankpool::web::address::{self, Normalizer, Rules};
use rankpool::web::links::{self, Found, Wanted, scan};
use rankpool::web::scope::{self, Reach, Scope};
use rankpool::web::trap::{self, Limits};
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

/// Tries a property on inputs of `strategy`, as long as the environment says.
fn holds<S: Strategy>(name: &str, strategy: &S, property: impl Fn(S::Value))
where
    S::Value: Debug + Clone,
{
    let seconds = std::env::var("RANKPOOL_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = now() + Duration::from_secs(seconds.unwrap_or(0));
    let config = Config { cases: 512, failure_persistence: None, ..Config::default() };
    let mut n_inputs = 0u64;
    loop {
        let mut runner = TestRunner::new(config.clone());
        let outcome = runner.run(strategy, |input| {
            property(input);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        n_inputs += u64::from(config.cases);
        if now() >= end {
            break;
        }
    }
    if seconds.is_some() {
        eprintln!("{name}: {n_inputs} inputs, nothing found");
    }
}

#[allow(clippy::disallowed_methods, reason = "how long to go on")]
fn now() -> Instant {
    Instant::now()
}

/// Texts put together from these pieces and from others.
fn soup(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => select(pieces).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9]{1,6}",
        1 => any::<char>().prop_map(String::from),
        1 => "\\PC{0,4}",
    ];
    vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

const OF_ADDRESSES: &[&str] = &[
    "http://",
    "https://",
    "HTTP:",
    "//",
    "/",
    "\\",
    ":",
    "@",
    "?",
    "#",
    "&",
    "=",
    ";",
    ".",
    "..",
    "/../",
    "/./",
    "%2e",
    "%2E%2e",
    "%",
    "%4",
    "%41",
    "%%34%31",
    "%7e",
    "%c3%a4",
    "%25",
    "%252525",
    "%00",
    "%zz",
    "example.org",
    "example.org.",
    "EXAMPLE",
    "localhost",
    "127.1",
    "0x7f.0.0.1",
    "[::1]",
    "user:pw@",
    ":80",
    ":443",
    ":0",
    ":99999",
    "ä",
    "ß",
    "xn--",
    "xn--bcher-kva",
    "。",
    "jsessionid=",
    ";jsessionid=1",
    "sid=",
    "0123456789abcdef",
    "utm_source=x",
    "(S(",
    "))",
    "lit3py55t21z5v55vlm25s55",
    "a",
    "b",
    "/a/b/a/b/a/b",
    "2031",
    "-05-12",
    "calendar",
    " ",
    "\t",
    "\n",
    "\0",
    "+",
    "~",
    "'",
    "\"",
    "<",
    "|",
    "[",
    "]",
    "{",
    "^",
    "`",
    "*",
    "$",
    "amp;",
    "mailto:",
    "javascript:",
    "data:,",
];

/// Normalisers of several kinds.
fn normalizers() -> Vec<Normalizer> {
    let rules = |drop_query: &[&str], sort_query, max_length| Rules {
        drop_query: drop_query.iter().map(|&name| name.to_owned()).collect(),
        sort_query,
        max_length,
        max_depth: 30,
    };
    let all = [
        Rules::default(),
        rules(&[], false, 10_000),
        rules(&["@session", "@tracking", "a*"], true, 500),
        rules(&["*"], false, 100),
    ];
    all.map(|rules| Normalizer::new(rules).unwrap()).into()
}

#[test]
fn every_address_has_one_spelling() {
    let normalizers = normalizers();
    let base = Url::parse("http://example.org/a/b?c").unwrap();
    let options =
        scope::Options { scope: Reach::Domain, include: vec!["a".into()], exclude: vec![] };
    let scope = Scope::new(&options, [&base]).unwrap();
    let limits = Limits { years: Some((2000, 2030)), ..Limits::default() };
    holds("normalizer", &soup(OF_ADDRESSES, 24), |text| {
        for (idx, normalizer) in normalizers.iter().enumerate() {
            let Ok(url) = normalizer.parse(&text, Some(&base)) else { continue };
            check_normalized(normalizer, &url);
            if idx == 1 {
                check_same_bytes(&Url::options().base_url(Some(&base)).parse(&text).unwrap(), &url);
            }
            let _ = (limits.check(&url), scope.decide(&url), address::shown(&url));
            assert_eq!(trap::path_pattern_id(&url), trap::path_pattern_id(&url.clone()));
        }
    });
}

/// It stays as it is, and is what the module says it is.
fn check_normalized(normalizer: &Normalizer, url: &Url) {
    assert_eq!(normalizer.normalize(url.clone()).as_ref(), Ok(url), "twice");
    assert_eq!(normalizer.parse(url.as_str(), None).as_ref(), Ok(url), "as a text");
    assert!(matches!(url.scheme(), "http" | "https"), "{url}");
    assert_eq!((url.fragment(), url.username(), url.password()), (None, "", None), "{url}");
    assert_ne!(url.query(), Some(""), "{url}");
    let host = url.host_str().unwrap();
    assert!(!host.is_empty() && !host.ends_with('.'), "{url}");
    assert!(url.as_str().is_ascii(), "{url}");
}

/// Where nothing is dropped, path and query mean the bytes that they meant before.
fn check_same_bytes(before: &Url, after: &Url) {
    let decoded = |text: &str| percent_decoded(text.as_bytes());
    assert_eq!(decoded(before.path()), decoded(after.path()), "{before}");
    let query = |url: &Url| url.query().map(decoded).filter(|query| !query.is_empty());
    assert_eq!(query(before), query(after), "{before}");
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| u8::try_from(digit).unwrap());
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let escape = match text[at..] {
            [b'%', high, low, ..] => digit(high).zip(digit(low)),
            _ => None,
        };
        decoded.push(escape.map_or(text[at], |(high, low)| 16 * high + low));
        at += if escape.is_some() { 3 } else { 1 };
    }
    decoded
}

const OF_PAGES: &[&str] = &[
    "<a href=",
    "<a href='",
    "<A HREF=\"",
    "<a rel=nofollow href=x>",
    "</a>",
    "<area href=b>",
    "<base href=/c/>",
    "<base href='",
    "<link rel=canonical href=d>",
    "<link rel=next href=",
    "<meta name=robots content=none>",
    "<meta http-equiv=refresh content='0;url=e'>",
    "<img src=f",
    "<img srcset='g 1x, h 2x'>",
    "<iframe src=i>",
    "</iframe>",
    "<frame src=j>",
    "<title>",
    "</title>",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "--!>",
    "<style>",
    "</style>",
    "<textarea>",
    "</textarea >",
    "<xmp>",
    "</xmp/>",
    "<noembed>",
    "<noframes>",
    "</noframes>",
    "<plaintext>",
    "<noscript>",
    "<p>",
    "</p>",
    "<br/>",
    "<div class=",
    "<b",
    ">",
    "<",
    "</",
    "/>",
    "'",
    "\"",
    "=",
    " ",
    "\n",
    "\r",
    "\t",
    "\0",
    "&amp;",
    "&lt",
    "&#x2F;",
    "&#0;",
    "&#xD800;",
    "&copy=",
    "&notit;",
    "http://o/",
    "//p/q",
    "../r",
    "?s=t",
    "#u",
    "x",
    "javascript:v",
    "mailto:w@x",
    "<!doctype html>",
    "<?php ?>",
    "<![CDATA[",
    "]]>",
    "ä",
    "\u{2028}",
];

const OF_DRAWINGS: &[&str] = &[
    "<svg>",
    "</svg>",
    "<svg/>",
    "<math>",
    "</math>",
    "<foreignObject>",
    "</foreignobject>",
    "<desc>",
    "</desc>",
    "<title>",
    "</title>",
    "<mi>",
    "</mi>",
    "<style>",
    "</style>",
    "<script>",
    "</script>",
    "<a href=x>",
    "<a xlink:href=y>",
    "<p>",
    "</p>",
    "<div>",
    "<![CDATA[",
    "]]>",
    "<base href=z/>",
    "<iframe>",
    "<textarea/>",
];

/// Without capital letters, and without addresses or entities in which these would mean more.
const OF_TAGS: &[&str] = &[
    "<p>",
    "</p>",
    "<p",
    "</b",
    "<div class=1>",
    "<my-tag 1='",
    "<span title=\"",
    "<br/>",
    "<i 1 = \"2>3\"/ 4>",
    "<a href=",
    "<a href='1",
    "<a 1=\"<a href=2>\" href=3>",
    "<a 1 href='4' rel=nofollow href=5>",
    "<a 1=\"2\"href='5'rel=6>",
    "<a title=&amp; href=\"6&amp;7\">",
    "<area href =8\r>",
    "</a>",
    "</a 1='",
    "<base href=/9/>",
    "<link rel=next href='9\r\n0'>",
    "<meta name=robots content=nofollow>",
    "<iframe src=1>",
    "</iframe>",
    "<img src=5>",
    "<video poster='6'>",
    "</video>",
    "<title>",
    "</title>",
    "<textarea>",
    "</textarea>",
    "<script>",
    "<script src=3>",
    "</script>",
    "</script 1>",
    "</scripts>",
    "<style>",
    "</style\n>",
    "<svg>",
    "<svg 1='2'>",
    "<svg/>",
    "</svg>",
    "<path 1=\"2\"/>",
    "<g>",
    "</g>",
    "<text>",
    "<math>",
    "</math>",
    "<mi>",
    "</mi>",
    "<!--",
    "-->",
    "--!>",
    "<!-- 1 <a href=2> -->",
    "-",
    "&lt;",
    ">",
    "<",
    "/",
    "'",
    "\"",
    "=",
    " ",
    "\n",
    "\r",
    "\0",
    "1",
    "2 3",
    "4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35",
];

fn page_url() -> Url {
    Url::parse("http://example.org/dir/page?q").unwrap()
}

#[test]
fn every_page_can_be_read() {
    let all = Wanted { resources: true, text: true, simhash: true, ..Wanted::default() };
    let few = Wanted { max_links: 2, max_attribute: 5, ..Wanted::default() };
    let pages = prop_oneof![
        soup(OF_PAGES, 40),
        soup(OF_DRAWINGS, 40),
        vec(any::<u8>(), 0..200).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    holds("links", &pages, |html| {
        for wanted in [&all, &few, &Wanted::default()] {
            let page = links::page(&html, &page_url(), wanted);
            check_page(&page, wanted);
            assert_eq!(page, links::page(&html, &page_url(), wanted));
        }
        check_known_links(&html);
        check_same_links(&html);
    });
}

fn check_page(page: &links::Page, wanted: &Wanted) {
    assert!(page.links.len() <= wanted.max_links);
    for link in &page.links {
        assert!(matches!(link.url.scheme(), "http" | "https"), "{}", link.url);
        assert!(link.url.fragment().is_none() && link.url.as_str().len() <= 16 << 10);
        let text = link.text.as_deref().unwrap_or("x");
        assert!(wanted.text || link.text.is_none());
        assert!(!text.is_empty() && text.chars().count() <= 200);
    }
    assert_eq!(page.base.fragment(), None);
}

/// Links that are known are counted; the others are the same as without. What a link says on a page
/// it says on others of the folder.
fn check_known_links(html: &str) {
    let wanted = Wanted::default();
    let all = links::page(html, &page_url(), &wanted);
    let mut others = all.links.clone();
    let known: HashSet<u64> = others
        .extract_if(.., |link| link.written.is_some_and(|written| written % 2 == 0))
        .filter_map(|link| link.written)
        .collect();
    let is_known = |written| known.contains(&written);
    let but_known = links::page_without(html, &page_url(), &wanted, &is_known);
    assert_eq!(but_known.n_known, all.links.len() - others.len());
    assert_eq!(but_known, links::Page { links: others, n_known: but_known.n_known, ..all.clone() });
    check_known_addresses(html, &all);
    let elsewhere = links::page(html, &page_url().join("2").unwrap(), &wanted);
    let said = |page: &links::Page| -> HashMap<u64, Url> {
        page.links.iter().filter_map(|link| Some((link.written?, link.url.clone()))).collect()
    };
    let (here, there) = (said(&all), said(&elsewhere));
    assert!(here.iter().all(|(written, url)| there.get(written).is_none_or(|other| other == url)));
}

/// Knows half of all addresses that are spelled as they are stored.
struct HalfOfAddresses;

impl HalfOfAddresses {
    fn has(address: &str) -> bool {
        let is_stored = Url::parse(address).is_ok_and(|url| url.as_str() == address);
        is_stored && xxh3_64(address.as_bytes()).is_multiple_of(2)
    }
}

impl links::Known for HalfOfAddresses {
    fn knows(&self, _: u64) -> bool {
        false
    }

    fn knows_address(&self, address: &str, _: u64) -> bool {
        Self::has(address)
    }
}

/// Links that are left out because their address is known are counted, lead to one that is, and the
/// others are the same as without.
fn check_known_addresses(html: &str, all: &links::Page) {
    let page = links::page_without(html, &page_url(), &Wanted::default(), &HalfOfAddresses);
    let mut left = page.links.iter().peekable();
    let mut n_known = 0;
    for link in &all.links {
        if left.next_if_eq(&link).is_none() {
            assert!(HalfOfAddresses::has(link.url.as_str()), "{}", link.url);
            n_known += 1;
        }
    }
    assert!(left.next().is_none());
    assert_eq!(page.n_known, n_known);
}

/// Who stops early finds the same links as who reads it all, where no base stands in between.
fn check_same_links(html: &str) {
    let page = links::page(html, &page_url(), &Wanted::default());
    let lazy: Vec<Found> = scan(html, &page_url()).collect();
    let title = lazy.iter().find_map(|found| match found {
        Found::Title(title) => Some(title.clone()),
        Found::Link(_) => None,
    });
    assert_eq!(page.title, title);
    if html.to_lowercase().contains("<base") || html.contains("xlink") {
        return;
    }
    let of_page = page.links.iter().filter(|link| link.kind == links::LinkKind::Anchor);
    let of_page: BTreeSet<&Url> = of_page.map(|link| &link.url).collect();
    let lazy = lazy.iter().filter_map(|found| match found {
        Found::Link(url) => Some(url).filter(|url| matches!(url.scheme(), "http" | "https")),
        Found::Title(_) => None,
    });
    assert_eq!(of_page, lazy.collect());
}

#[test]
fn another_parser_finds_the_same_links() {
    holds("links, compared", &soup(OF_PAGES, 40), |html| reference::check(&html, &page_url()));
}

/// Only tags in small letters are read in the tokenizer's place.
#[test]
fn a_page_in_capital_letters_is_the_same_page() {
    let pages = vec(select(OF_TAGS), 0..60).prop_map(|pieces| pieces.concat());
    let all = Wanted { text: true, simhash: true, resources: true, ..Wanted::default() };
    let few = Wanted { simhash: true, ..Wanted::default() };
    let texts = Wanted { text: true, max_attribute: 3, ..Wanted::default() };
    let url = Url::parse("http://h.test/").unwrap();
    holds("tags", &pages, |html| {
        let capitals = html.to_ascii_uppercase();
        for wanted in [&all, &few, &texts, &Wanted::default()] {
            let read = |html: &str| {
                let mut page = links::page(html, &url, wanted);
                page.links.iter_mut().for_each(|link| link.written = None); // case counts there
                format!("{page:?}").to_ascii_lowercase()
            };
            assert_eq!(read(&html), read(&capitals), "{html:?}");
        }
        // Who wants no text finds the same links.
        assert_eq!(
            links::page(&html, &url, &few).links,
            links::page(&html, &url, &Wanted::default()).links
        );
        let found = |html: &str| format!("{:?}", scan(html, &url).collect::<Vec<_>>());
        assert_eq!(found(&html).to_ascii_lowercase(), found(&capitals).to_ascii_lowercase());
    });
}

/// The documentation that comes with rustup, where it is there.
fn documentation() -> Option<PathBuf> {
    let output = std::process::Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let folder = Path::new(sysroot.trim()).join("share/doc/rust/html");
    folder.join("index.html").exists().then_some(folder)
}

#[test]
fn another_parser_finds_the_same_links_in_real_pages() {
    let Some(folder) = documentation() else {
        eprintln!(
            "not compared: rustup's documentation is not here (`rustup component add rust-docs`)"
        );
        return;
    };
    let mut n_pages = 0;
    for place in ["", "book", "reference", "std/vec", "core/arch/x86_64", "nomicon"] {
        let entries = std::fs::read_dir(folder.join(place)).into_iter().flatten().flatten();
        let pages = entries.map(|entry| entry.path());
        for page in pages.filter(|path| path.extension().is_some_and(|end| end == "html")).take(25)
        {
            let html = std::fs::read(&page).unwrap();
            reference::check(&String::from_utf8_lossy(&html), &page_url());
            n_pages += 1;
        }
    }
    assert!(n_pages > 50, "{n_pages}");
}
