#![allow(clippy::format_collect, reason = "short texts")]

use super::*;

fn url(path: &str) -> Url {
    Url::parse(&format!("http://h{path}")).unwrap()
}

#[track_caller]
fn check(limits: &Limits, path: &str, expected: Option<&str>) {
    assert_eq!(limits.check(&url(path)).err().map(Trap::code), expected, "{path}");
}

#[test]
fn segments_that_repeat_are_a_trap() {
    let limits = Limits::default();
    for path in [
        "/a/a/a",
        "/a/a/a/",
        "/x/y/a/a/a/z",
        "/a/b/a/b/a/b",
        "/x/a/b/a/b/a/b/y",
        "/x/a/b/c/a/b/c/a/b/c",
        "/a/1/a/1/a/1",
        "/about/news/about/contact/about/news/team/about/x/about",
        "/a////b",
    ] {
        check(&limits, path, Some("trap-repeats"));
    }
    for path in [
        "/",
        "/a",
        "/a/a",
        "/a/a/b/a",
        "/a/b/a/b/a/c",
        "/a/b/a/b/a",
        "/11/11/11/story",
        "/tiles/1/1/1.png",
        "/0/0/0/0/0/0",
        "/a//b//c",
        "/com/example/com/example",
        "/aa/aaa/aaaa",
    ] {
        check(&limits, path, None);
    }
    let strict = Limits { repeats: 1, ..Limits::default() };
    check(&strict, "/a/b/a/b", Some("trap-repeats"));
    check(&strict, "/a/b/a", None);
    check(&Limits { repeats: 0, ..Limits::default() }, "/a/b", None);
}

#[test]
fn hostile_paths_are_decided_quickly() {
    check(&Limits::default(), &"/a/b/c/d/e/f/g".repeat(100_000), Some("trap-repeats"));
    let path: String = (0..500_000).map(|n| format!("/{n}")).collect();
    check(&Limits::default(), &path, None);
}

#[test]
fn queries_that_grow_are_a_trap() {
    let limits = Limits { parameters: 5, ..Limits::default() };
    for (path, expected) in [
        ("/?a=1&b=2&c=3&d=4&e=5", None),
        ("/?a=1&b=2&c=3&d=4&e=5&f=6", Some("trap-parameters")),
        ("/?p=1&p=1", None),
        ("/?p=1&q=2&p=1&p=1", Some("trap-repeated-parameter")),
        ("/?fq=a&fq=b&fq=c&fq=d", None),
        ("/?&&&", None),
        ("/?a=1&amp;b=2", None),
        ("/?a=1&amp;amp;b=2", Some("trap-escapes")),
        ("/?u=%252F", None),
        ("/?u=%2525252F", Some("trap-escapes")),
        ("/%2525252F", Some("trap-escapes")),
    ] {
        check(&limits, path, expected);
    }
}

#[test]
fn calendars_end_somewhere() {
    let limits = Limits { years: Some((1990, 2030)), ..Limits::default() };
    for (path, expected) in [
        ("/calendar/2031/05/12", Some("trap-calendar")),
        ("/calendar/2030/05/12", None),
        ("/events?date=2040-01-01", Some("trap-calendar")),
        ("/events?date=20400101", Some("trap-calendar")),
        ("/Calendar?month=204001", Some("trap-calendar")),
        ("/calendar?day=1969-01-01", Some("trap-calendar")),
        ("/calendar/12345", None),
        ("/calendar?id=99999999", None),
        ("/1876/05/12/the-telephone", None),
        ("/item/9999", None),
    ] {
        check(&limits, path, expected);
        check(&Limits::default(), path, None);
    }
}

#[test]
fn addresses_of_a_kind_have_one_pattern() {
    for (path, expected) in [
        ("/", "/"),
        ("/shop/42/item-7?page=3&id=5", "/shop/N/item-N?id&page"),
        ("/shop/1/item-99?id=1&id=2&page", "/shop/N/item-N?id&page"),
        ("/2026/11/23/title.html", "/N/N/N/title.html"),
        ("/c/da39a3ee5e6b4b0d", "/c/H"),
        ("/c/0123456789", "/c/N"),
        ("/c/deadbeef", "/c/deadbeef"),
        ("/c/550e8400-e29b-41d4-a716-446655440000/x", "/c/H/x"),
        ("/v/dQw4w9WgXcQabcde", "/v/H"),
        ("/v/h264video", "/v/hNvideo"),
        ("/a?f[12]=x&f[3]=y", "/a?f[N]"),
        ("/a?=x", "/a?"),
        ("/%C3%A4", "/%CN%AN"),
    ] {
        assert_eq!(path_pattern(&url(path)), expected, "{path}");
    }
    let id = |path| path_pattern_id(&url(path));
    assert_eq!(id("/p/1?a=1"), id("/p/2?a=x"));
    assert_ne!(id("/p/1?a=1"), id("/q/1?a=1"));
}
