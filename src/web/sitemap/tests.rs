//! Sitemaps as the protocol describes them, as hosts serve them, and as nobody should.

#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a short text, made once: what reads best is best"
)]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn at(url: &str, bytes: impl AsRef<[u8]>, accept: Accept) -> Sitemap {
    read(bytes.as_ref(), &Url::parse(url).unwrap(), accept)
}

/// All that a sitemap at `http://h/s.xml` has, in one line: `/PATH` for what is on `http://h`,
/// `@` and the time where there is one, `S` before sitemaps, what was left out, and why it ends.
fn told(bytes: impl AsRef<[u8]>) -> String {
    tell(&at("http://h/s.xml", bytes, Accept::Host))
}

fn tell(found: &Sitemap) -> String {
    let entry = |mark: &str, Entry { loc, lastmod }: &Entry| {
        let time = lastmod.as_ref().map(|time| format!("@{time}")).unwrap_or_default();
        format!("{mark}{}{time}", loc.strip_prefix("http://h").unwrap_or(loc))
    };
    let mut words: Vec<_> = found.urls.iter().map(|url| entry("", url)).collect();
    words.extend(found.sitemaps.iter().map(|url| entry("S", url)));
    for (n, name) in [(found.n_elsewhere, "elsewhere"), (found.n_invalid, "invalid")] {
        if n > 0 {
            words.push(format!("{n} {name}"));
        }
    }
    words.extend(found.truncated.as_ref().map(|reason| format!("({reason})")));
    words.join(" ")
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, expected: &str) {
    assert_eq!(told(bytes), expected);
}

/// A `urlset` with these entries.
#[track_caller]
fn check_urls(entries: &str, expected: &str) {
    let start = "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">";
    check(format!("<?xml version='1.0' encoding='UTF-8'?>\n{start}{entries}</urlset>\n"), expected);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn example_of_the_protocol() {
    check_urls(
        "\n  <url>\n    <loc>http://h/</loc>\n    <lastmod>2005-01-01</lastmod>\n    \
         <changefreq>monthly</changefreq>\n    <priority>0.8</priority>\n  </url>\n  \
         <url><loc>http://h/catalog?item=12&amp;desc=vacation_hawaii</loc></url>",
        "/@2005-01-01 /catalog?item=12&desc=vacation_hawaii",
    );
}

#[test]
fn an_index_lists_sitemaps() {
    check(
        "<sitemapindex><sitemap><loc>http://h/s1.xml.gz</loc>\
         <lastmod>2004-10-01T18:23:17+00:00</lastmod></sitemap>\
         <sitemap><loc> http://h/s2.xml </loc></sitemap>\
         <url><loc>http://h/no</loc></url></sitemapindex>",
        "S/s1.xml.gz@2004-10-01T18:23:17+00:00 S/s2.xml",
    );
    check("<urlset><sitemap><loc>http://h/no</loc></sitemap></urlset>", "");
}

#[test]
fn text_lists_one_address_a_line() {
    check("http://h/a\nhttp://h/b?c&d\r\n\r\n  http://h/e  \rhttp://h/f", "/a /b?c&d /e /f");
    check("\u{feff}http://h/ä\n", "/%C3%A4");
    check("Not Found\n/relative\nftp://h/a\nhttp://h/b\n", "/b 3 invalid");
    check("", "");
    check(" \n\t\r\n", "");
}

#[test]
fn gzip_is_known_by_its_first_bytes() {
    let xml = "<urlset><url><loc>http://h/a</loc></url></urlset>";
    check(gzip(xml.as_bytes()), "/a");
    check(gzip(b"http://h/a\nhttp://h/b"), "/a /b");
    check([gzip(b"http://h/a\n"), gzip(b"http://h/b\n"), b"rest".to_vec()].concat(), "/a /b");
    check(gzip(b""), "");
    let cut = gzip((0..20_000).map(|n| format!("http://h/{n}\n")).collect::<String>().as_bytes());
    let found = at("http://h/s.gz", &cut[..cut.len() / 2], Accept::Host);
    assert!(found.urls.len() > 5000, "{}", found.urls.len());
    assert!(found.truncated.unwrap().starts_with("broken gzip: "));
    assert!(told(b"\x1f\x8b").starts_with("(broken gzip: "));
    assert!(told(b"\x1f\x8bgarbage that is no gzip").starts_with("(broken gzip: "));
    // A gzip in a gzip is none of the protocol's forms.
    assert!(!told(gzip(&gzip(xml.as_bytes()))).contains("/a"));
}

#[test]
fn names_may_have_any_namespace() {
    check(
        "<s:urlset xmlns:s='x' xmlns:image='y'><s:url><s:loc>http://h/a</s:loc>\
         <image:image><image:loc>http://h/i.png</image:loc></image:image>\
         <xhtml:link rel='alternate' href='http://h/de'/></s:url></s:urlset>",
        "/a",
    );
    check_urls("<url><image><loc>http://h/i</loc></image><loc>http://h/a</loc></url>", "/a");
    check_urls("<url><loc>http://h/a</loc><loc>http://h/b</loc></url>", "/a");
    check_urls("<x><url><loc>http://h/no</loc></url></x>", "");
    check_urls("<loc>http://h/no</loc>", "");
}

#[test]
fn entities_and_cdata_are_text() {
    check_urls("<url><loc><![CDATA[http://h/a?b&c]]></loc></url>", "/a?b&c");
    check_urls("<url><loc>\n<![CDATA[ http://h/a ]]>\n</loc></url>", "/a");
    check_urls("<url><loc>http://h/<![CDATA[a]]>b&#47;&#x63;&amp;</loc></url>", "/ab/c&");
    check_urls("<url><loc>http://h/&lt;&gt;&quot;&apos;</loc></url>", "/%3C%3E%22'");
    check_urls("<url><loc>http://h/a?b=1&c=2&d</loc></url>", "/a?b=1&c=2&d");
    check_urls("<url><loc>http://h/a&nbsp;b&c;</loc></url>", "/a&nbsp;b&c;");
    check_urls("<url><loc>http://h/a&#0;&#xD800;&#99999999;</loc></url>", "/a&");
    check_urls("<url><loc>http://h/a<!-- b -->c<?d e?></loc></url>", "/ac");
    check_urls("<url><loc>http://h/a%26b&amp;amp;</loc></url>", "/a%26b&amp;");
}

#[test]
fn entities_of_a_document_are_not_expanded() {
    let mut bomb = "<!DOCTYPE urlset [<!ENTITY a0 \"http://h/lol\">".to_owned();
    for n in 1..20 {
        bomb += &format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10));
    }
    bomb += "<!ENTITY f SYSTEM \"file:///etc/passwd\">]><urlset><url><loc>&a19;</loc></url>\
        <url><loc>http://h/&f;</loc></url></urlset>";
    check(bomb, "/&f; 1 invalid");
}

#[test]
fn addresses_are_made_canonical_or_left_out() {
    check_urls("<url><loc>HTTP://H:80/a/../b#c</loc></url>", "/b");
    check_urls("<url><loc>http://h</loc></url>", "/");
    for loc in ["", "  ", "/a", "a", "mailto:a@h", "javascript:x", "file:///etc/passwd", "http://"]
    {
        check_urls(&format!("<url><loc>{loc}</loc></url>"), "1 invalid");
    }
    check_urls("<url/><url></url><url><lastmod>2020</lastmod></url>", "3 invalid");
    let long = |n: usize| format!("http://h/{}", "a".repeat(n));
    check_urls(&format!("<url><loc>{}</loc></url>", long(2048)), "1 invalid");
    check_urls(&format!("<url><loc>{}</loc></url>", long(5_000_000)), "1 invalid");
    let longest = long(MAX_ADDRESS - "http://h/".len());
    check_urls(&format!("<url><loc>{longest}{}</loc></url>", " ".repeat(9999)), &longest[8..]);
}

#[test]
fn entries_elsewhere_are_left_out_unless_asked_for() {
    let locs = [
        "http://h/a/b/c",
        "http://h/a/b/",
        "http://h/a/b",
        "http://h/a/bc",
        "http://h/",
        "http://h:80/a/b/d",
        "https://h/a/b/c",
        "http://h:8080/a/b/c",
        "http://www.h/a/b/c",
        "http://user@h/a/b/e",
    ];
    let list = |root: &str, entry: &str| {
        let entries = locs.map(|loc| format!("<{entry}><loc>{loc}</loc></{entry}>"));
        format!("<{root}>{}</{root}>", entries.concat())
    };
    let counts = |bytes: &str, accept| {
        let found = at("http://h/a/b/s.xml", bytes, accept);
        (found.urls.len() + found.sitemaps.len(), found.n_elsewhere)
    };
    let urls = list("urlset", "url");
    assert_eq!(counts(&urls, Accept::Folder), (4, 6));
    assert_eq!(counts(&urls, Accept::Host), (7, 3));
    assert_eq!(counts(&urls, Accept::Any), (10, 0));
    let index = list("sitemapindex", "sitemap");
    assert_eq!(counts(&index, Accept::Folder), (7, 3));
    assert_eq!(counts(&index, Accept::Any), (10, 0));
}

#[test]
fn other_roots_are_no_sitemaps() {
    check("<html><url><loc>http://h/a</loc></url></html>", "(no sitemap: its root is `html`)");
    check("<!DOCTYPE html>\n<HTML lang=en><p>x", "(no sitemap: its root is `HTML`)");
    check("<rss version='2.0'><channel/></rss>", "(no sitemap: its root is `rss`)");
    check("<url><loc>http://h/a</loc></url>", "(no sitemap: its root is `url`)");
    check("<urlset/>", "");
    check("<?xml version='1.0'?>", "(ends in the middle)");
    check("<", "(broken XML: syntax error: tag not closed: `>` not found before end of input)");
}

#[test]
fn what_comes_before_a_broken_place_counts() {
    let start = "<urlset><url><loc>http://h/a</loc></url>";
    check(start, "/a (ends in the middle)");
    check(format!("{start}<url><loc>http://h/b"), "/a (ends in the middle)");
    check(format!("{start}<url><loc>http://h/b</loc>"), "/a (ends in the middle)");
    check(format!("{start}</urlset><urlset><url><loc>http://h/b</loc></url></urlset>"), "/a /b");
    check(format!("{start}</x></urlset></urlset>trailing"), "/a");
    for broken in ["<url", "<!-- ", "<![CDATA[", "<!DOCTYPE", "<?php", "<url a=\"", "</"] {
        let told = told(format!("{start}{broken}"));
        assert!(told.starts_with("/a (broken XML: "), "{told}");
    }
}

#[test]
fn any_charset_that_says_so_is_read() {
    let xml = "<urlset><url><loc>http://h/ä</loc></url></urlset>";
    for order in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
        let bytes: Vec<u8> = format!("\u{feff}{xml}").encode_utf16().flat_map(order).collect();
        check(&bytes, "/%C3%A4");
        check(gzip(&bytes), "/%C3%A4");
    }
    check(format!("\u{feff}\n {xml}"), "/%C3%A4");
    // A byte that is not UTF-8 hides one address, not the rest.
    check(
        b"<urlset><url><loc>http://h/\xe4</loc></url><url><loc>http://h/b</loc></url></urlset>",
        "/%EF%BF%BD /b",
    );
}

#[test]
fn no_more_entries_are_read_than_the_protocol_allows() {
    let lines = |n: usize| "http://h/a\n".repeat(n);
    let found = at("http://h/s", lines(MAX_ENTRIES), Accept::Host);
    assert_eq!((found.urls.len(), found.truncated), (50_000, None));
    for line in ["http://h/a\n", "http://elsewhere/\n", "nothing\n"] {
        let found = at("http://h/s", line.repeat(MAX_ENTRIES + 1), Accept::Host);
        let n = found.urls.len() + found.n_elsewhere + found.n_invalid;
        assert_eq!((n, found.truncated.as_deref()), (50_000, Some("more than 50,000 entries")));
    }
    let entries = "<url><loc>http://h/a</loc></url>".repeat(60_000);
    let found = at("http://h/s", format!("<urlset>{entries}</urlset>"), Accept::Host);
    assert_eq!((found.urls.len(), found.truncated.is_some()), (50_000, true));
}

#[test]
fn no_more_bytes_are_read_than_the_protocol_allows() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(b"<urlset><url><loc>http://h/a</loc></url>").unwrap();
    for _ in 0..51 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    bomb.write_all(b"<url><loc>http://h/b</loc></url></urlset>").unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    check(bomb, "/a (larger than 50 MiB)");
    let mut plain = b"http://h/a\n".to_vec();
    plain.resize(51 << 20, b' ');
    check(plain, "/a (larger than 50 MiB)");
}

#[test]
fn depth_and_width_cost_little() {
    let deep = format!("<urlset>{}<url><loc>http://h/a</loc></url>", "<a>".repeat(1_000_000));
    check(deep, "(ends in the middle)");
    let wide = format!("<urlset>{}</urlset>", "<a/>&b;<!--c-->".repeat(300_000));
    check(wide, "");
    let attributes = " a='b'".repeat(300_000);
    check_urls(&format!("<url{attributes}><loc>http://h/a</loc></url>"), "/a");
}
