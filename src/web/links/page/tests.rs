#![allow(clippy::format_collect, reason = "short texts")]

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;

const PAGE: &str = "http://example.org/dir/page?q=1";

fn read_with(html: &str, wanted: &Wanted) -> Page {
    page(html, &Url::parse(PAGE).unwrap(), wanted)
}

fn read(html: &str) -> Page {
    read_with(html, &Wanted::default())
}

/// Each link as `kind address`, relative to the host, with `!` where it is not to be followed.
fn links(page: &Page) -> Vec<String> {
    let link = |link: &Link| {
        let url = link.url.as_str();
        let url = url.strip_prefix("http://example.org").unwrap_or(url);
        format!("{} {url}{}", link.kind.as_str(), if link.nofollow { "!" } else { "" })
    };
    page.links.iter().map(link).collect()
}

#[track_caller]
fn check(html: &str, expected: &[&str]) {
    assert_eq!(links(&read(html)), expected, "{html}");
}

#[test]
fn links_are_found_in_every_spelling() {
    for (html, link) in [
        ("<a href=a>x</a>", "/dir/a"),
        ("<A HREF = \"a\" >", "/dir/a"),
        ("<area href='/b'>", "/b"),
        ("<a class=x\nhref\n=\n'//other.test/d'>", "http://other.test/d"),
        ("<a\thref=a\x0c>", "/dir/a"),
        ("<a/href=a>", "/dir/a"),
        ("<a href=a/>", "/dir/a/"),
        ("<a x='>' y=\">\" href=a>", "/dir/a"),
        ("<a href='?a=1&amp;b=2&copy;'>", "/dir/page?a=1&b=2%C2%A9"),
        ("<a href='?a=1&b=2&copy=3'>", "/dir/page?a=1&b=2&copy=3"),
        ("<a href=&#x2F;a&#47b>", "/a/b"),
        ("<a href='  e\n f '>", "/dir/e%20f"),
        ("<a href=first href=second>", "/dir/first"),
        ("<a href=ä/../ö>", "/dir/%C3%B6"),
        ("<a href=a\0b>", "/dir/a%EF%BF%BDb"),
        ("<a href='a\r\nb'>", "/dir/ab"),
        ("<a href=a#b>", "/dir/a"),
        ("<a href='?'>", "/dir/page?"),
        ("<a href=http:x>", "/dir/x"),
        ("<a href=\\x>", "/x"),
        ("<noscript><a href=a></noscript>", "/dir/a"),
        ("<svg><a href=a></svg>", "/dir/a"),
        ("<svg><a xlink:href=a></svg>", "/dir/a"),
        ("<table><a href=a><tr>", "/dir/a"),
        ("<p></a href=x><a href=a>", "/dir/a"),
        ("<<a href=a>", "/dir/a"),
        ("<a <b href=a>", "/dir/a"),
        ("<!-- > --><a href=a>", "/dir/a"),
        ("<!--><a href=a>-->", "/dir/a"),
        ("<!doctype x><?xml ?><a href=a>", "/dir/a"),
    ] {
        check(html, &[&format!("anchor {link}")]);
    }
}

#[test]
fn what_is_no_link_is_not_found() {
    for html in [
        "<a>x</a><link href=a><img src=b><p href=c><abbr href=d><form action=e>",
        "<a href='javascript:f()'><a href='data:,x'><a href='http://'><a href=mailto:x@y>",
        "<a href=''><a href='#top'><a href='/dir/page?q=1#x'><a href=' '>",
        "<a title='<a href=x>'></a><!-- <a href=x> --><![CDATA[<a href=x>]]>",
        "<svg><![CDATA[<a href=x>]]></svg>",
        "<p><a href=x",
        "<a href='x>",
        "</a href=x>",
        "<plaintext><a href=x>",
        "<svg><style></style><base href=/b/><area href=x></svg>",
    ] {
        check(html, &[]);
    }
    for raw in ["script", "style", "textarea", "title", "xmp", "iframe", "noframes", "noembed"] {
        let html = format!("<{raw}>'<a href=x>'</p></{raw} ><a href=y>");
        check(&html, &["anchor /dir/y"]);
    }
}

#[test]
fn foreign_content_ends_where_html_goes_on() {
    check("<svg><style><a href=x></style></svg><style><a href=y></style>", &["anchor /dir/x"]);
    check("<svg><p><style><a href=x></style>", &[]);
    check("<svg><foreignObject><style><a href=x></style></foreignObject></svg>", &[]);
    check("<math><mi><style><a href=x></style></math>", &[]);
    check("<svg/><![CDATA[x><a href=y>]]>", &["anchor /dir/y"]);
    check("<svg><svg></svg><![CDATA[<a href=x>]]></svg><![CDATA[><a href=y>", &["anchor /dir/y"]);
}

#[test]
fn each_address_is_given_once_for_a_kind() {
    check(
        "<a href=a#1><a href=a#2><a href=a><a href=a rel=nofollow><iframe src=a></iframe><a href=b>",
        &["anchor /dir/a", "anchor /dir/a!", "frame /dir/a", "anchor /dir/b"],
    );
}

#[test]
fn a_blank_at_an_address_s_end_is_dropped_but_not_before_a_fragment() {
    check(
        "<a href=' a '><a href=' b #1'><a href='c\u{1}#1'><a href='d\n#1'>",
        &["anchor /dir/a", "anchor /dir/b%20", "anchor /dir/c%01", "anchor /dir/d"],
    );
    check("<a href=' '><a href=' #x'><a href='# x '><a href='\u{b}\t'><a href='\u{1}'>", &[]);
    check("<a href='\u{a0}'>", &["anchor /dir/%C2%A0"]);
}

#[test]
fn links_say_whether_to_follow_them() {
    for (rel, mark) in [
        ("nofollow", "!"),
        ("NoFollow", "!"),
        ("external\nugc", "!"),
        ("sponsored x", "!"),
        ("nofollowing", ""),
        ("noopener", ""),
        ("", ""),
    ] {
        check(&format!("<a rel='{rel}' href=a>"), &[&format!("anchor /dir/a{mark}")]);
        check(&format!("<area href=a rel='{rel}'>"), &[&format!("anchor /dir/a{mark}")]);
    }
}

#[test]
fn relations_of_the_page_are_links() {
    let html = "<link rel=canonical href=/c><link REL='Prev  x' href=p><link rel=previous href=o>
        <link rel=next href=n#f><link rel=alternate hreflang=de href=/de>
        <link rel='alternate stylesheet' href=s><link rel=stylesheet href=t><link rel=canonical
        href=/second><link rel=next>";
    let found = read(html);
    assert_eq!(
        links(&found),
        [
            "canonical /c",
            "prev /dir/p",
            "prev /dir/o",
            "next /dir/n",
            "alternate /de",
            "canonical /second"
        ]
    );
    assert_eq!(found.canonical.unwrap().path(), "/c");
    let itself = read("<link rel=canonical href=#x>");
    assert_eq!((itself.canonical.unwrap().as_str(), itself.links.len()), (PAGE, 0));
    assert_eq!(read("<link rel=canonical href=mailto:x>").canonical, None);
}

#[test]
fn the_first_base_is_for_the_whole_page() {
    let found =
        read("<a href=a><base href='/b/'><base href='/c/'><a href=d><link rel=next href=e>");
    assert_eq!(links(&found), ["anchor /b/a", "anchor /b/d", "next /b/e"]);
    assert_eq!(found.base.path(), "/b/");
    check("<base target=_top><base href=/b/><a href=a>", &["anchor /b/a"]);
    check("<base href=../x/y#z><a href=a>", &["anchor /x/a"]);
    check("<base href='http://other.test/x/y'><a href='#f'>", &["anchor http://other.test/x/y"]);
    check("<base href='data:,'><base href=/b/><a href=a>", &["anchor /dir/a"]);
    check("<base href='http://'><base href=/b/><a href=a>", &["anchor /dir/a"]);
    check("<a href=a><!--<base href=/b/>--><script><base href=/b/></script>", &["anchor /dir/a"]);
    let long = format!("<base href='/{}/'><a href=a>", "x".repeat(MAX_URL - 100));
    assert_eq!(links(&read(&long)).len(), 1);
    assert_eq!(read("<base href=''><a href=a>").base.as_str(), PAGE);
}

#[test]
fn known_links_are_only_counted() {
    let url = |path: &str| Url::parse(&format!("http://example.org/{path}")).unwrap();
    let read = |html: &str, at: &str, known: &[u64]| {
        page_without(html, &url(at), &Wanted::default(), &|written| known.contains(&written))
    };
    let one = read("<a href=b><a href=a#x><a href=/c>", "dir/a", &[]);
    assert_eq!((links(&one), one.n_known), (vec!["anchor /dir/b".into(), "anchor /c".into()], 0));
    let known: Vec<_> = one.links.iter().filter_map(|link| link.written).collect();
    assert_eq!(known.len(), 2);
    // Elsewhere in the folder the same is written, a place on the page itself, and others.
    let html = "<a href=/c><a href=b#x><a href=b#y><a href=?b><a href=b rel=nofollow><a href=d>";
    let other = read(html, "dir/b", &known);
    assert_eq!((links(&other).len(), other.n_known), (3, 1), "{other:?}");
    assert_eq!(read("<a href=b#x>", "dir/c", &known).n_known, 1);
    for (at, base) in [("b", ""), ("dir/", "<base href=/>"), ("dir/x/y", "")] {
        let html = format!("{base}<a href=b>");
        assert_eq!(read(&html, at, &known).n_known, 0, "{at} {base}");
    }
    let few = Wanted { max_links: 1, ..Wanted::default() };
    let page = page_without("<a href=b><a href=c>", &url("dir/c"), &few, &|w| known.contains(&w));
    assert_eq!((page.n_known, page.links.len(), page.n_links_dropped), (1, 0, 1));
}

/// Knows addresses alone, and writes down which it is asked for.
struct Addresses<'a>(&'a [&'a str], RefCell<Vec<String>>);

impl Known for Addresses<'_> {
    fn knows(&self, _: u64) -> bool {
        false
    }

    fn knows_address(&self, address: &str, _: u64) -> bool {
        self.1.borrow_mut().push(address.to_owned());
        self.0.contains(&address)
    }
}

#[test]
fn links_of_known_addresses_are_only_counted() {
    let html = "<a href=b#x><a href=../c><a href=?b><a href=/dir/b><a href=b%20><a href=http://i/>\
        <a href=b?c><a href=d#x>";
    let known = ["http://example.org/dir/b", "http://i/", "http://example.org/dir/d"];
    let known = Addresses(&known, RefCell::default());
    let page = Url::parse("http://example.org/dir/d").unwrap();
    let page = page_without(html, &page, &Wanted::default(), &known);
    let left = ["/c", "/dir/d?b", "/dir/b%20", "/dir/b?c"].map(|path| format!("anchor {path}"));
    assert_eq!((links(&page), page.n_known), (left.to_vec(), 3));
    let asked =
        ["/c", "/dir/b", "/dir/b%20", "/dir/b?c"].map(|path| format!("http://example.org{path}"));
    let was_asked: BTreeSet<_> = known.1.into_inner().into_iter().collect();
    assert!(was_asked.into_iter().eq(asked.into_iter().chain(["http://i/".to_owned()])));
}

#[test]
fn many_links_are_looked_up_in_their_order() {
    let all: String = (0..100).map(|n| format!("<a href={n}>")).collect();
    let written: Vec<_> = read(&all).links.iter().map(|link| link.written.unwrap()).collect();
    let is_known = |hash| written.iter().position(|&one| one == hash).is_some_and(|n| n % 3 == 0);
    let wanted = Wanted { max_links: 90, ..Wanted::default() };
    let page = page_without(&all, &Url::parse(PAGE).unwrap(), &wanted, &is_known);
    let expected = (0..90).filter(|n| n % 3 != 0).map(|n| format!("anchor /dir/{n}"));
    assert_eq!(links(&page), expected.collect::<Vec<_>>());
    assert_eq!((page.n_known, page.n_links_dropped), (30, 10));
}

#[test]
fn a_place_on_the_page_is_no_link_and_the_page_is_one() {
    let own = "anchor /dir/page?q=1";
    check("<a href='page?q=1#x'><a href='page?q=1'><a href='page?q=1#y'>", &[own]);
    check("<a href='page?q=1'><a href='page?q=1#x'>", &[own]);
    check("<a href='./page?q=1#x'><a href='/dir/page?q=1#'>", &[]);
    // Whether these lead elsewhere is seen once they are resolved.
    check("<a href='page?q=2#x'><a href='page?q=2'>", &["anchor /dir/page?q=2"]);
    check("<a href='a/page#x'><a href='a/page'><a href='a/page#y'>", &["anchor /dir/a/page"]);
    check("<a href=-x#y><a href=-x><a href=-x#z>", &["anchor /dir/-x"]);
}

#[test]
fn plain_scripts_styles_and_drawings_hide_their_links() {
    for html in [
        "<script><a href=x></scripts><a href=x></SCRIPT ><a href=y>",
        "<script a='</script>'>if (1 <2) '</a>'</script/><a href=y>",
        "<script/><a href=x></script><a href=y>",
        "<script><!-- <script> </script><a href=x> --></script><a href=y>",
        "<style a=1><!-- </style\n><a href=y>",
        "<svg><path d='<a href=x>'/><!-- <a href=x> --><text>b</text></svg><a href=y>",
        "<svg><!--></svg><a href=y>",
        "<!-- -- <a href=x> --!><a href=y>",
        "<!-- </a><a href=x> -- > <a href=x> --><a href=y>",
    ] {
        check(html, &["anchor /dir/y"]);
    }
    check("<svg><g><a href=x></g></svg><a href=y>", &["anchor /dir/x", "anchor /dir/y"]);
    check("<svg><g><p><a href=x></svg>", &["anchor /dir/x"]);
    check("<!---><a href=x>-->", &["anchor /dir/x"]);
    check("<script><a href=x>", &[]);
}

#[test]
fn frames_are_pages_and_resources_only_where_asked_for() {
    let html = "<frameset><frame src=f></frameset><iframe src=i></iframe>
        <img src=a.png srcset='b.png 1x, c.png 2x'><picture><source srcset=d.png></picture>
        <script src=e.js></script><link rel=stylesheet href=g.css><link rel='shortcut icon' href=h>
        <embed src=j><object data=k></object><video src=l poster=m></video><audio src=n></audio>
        <track src=o><input type=image src=p><img src='data:,x'><img src=a.png>";
    check(html, &["frame /dir/f", "frame /dir/i"]);
    let found = links(&read_with(html, &Wanted { resources: true, ..Wanted::default() }));
    let resources = ["a.png", "b.png", "c.png", "d.png", "e.js", "g.css", "h", "j", "k", "l", "m"];
    let resources = resources.iter().chain(&["n", "o", "p"]);
    let expected = ["frame /dir/f".to_owned(), "frame /dir/i".to_owned()];
    let expected = expected.into_iter().chain(resources.map(|r| format!("resource /dir/{r}")));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[test]
fn a_refresh_is_a_link_too() {
    for (meta, link, seconds) in [
        ("http-equiv=refresh content='0;url=/a'", Some("/a"), Some(0)),
        ("HTTP-EQUIV='Refresh' CONTENT=\"5; URL='a#b'\"", Some("/dir/a"), Some(5)),
        ("http-equiv=refresh content=30", None, Some(30)),
        ("http-equiv=refresh content='0;url=mailto:x'", None, None),
        ("http-equiv=refresh content=never", None, None),
        ("name=refresh content='0;url=/a'", None, None),
        ("http-equiv=refresh", None, None),
    ] {
        let found = read(&format!("<noscript><meta {meta}></noscript>"));
        let expected: Vec<_> = link.iter().map(|link| format!("refresh {link}")).collect();
        assert_eq!(links(&found), expected, "{meta}");
        assert_eq!(found.refresh.map(|refresh| refresh.seconds), seconds, "{meta}");
    }
    let two = read("<meta http-equiv=refresh content=30><meta http-equiv=refresh content='0;/a'>");
    assert_eq!(two.refresh.unwrap().url.as_str(), PAGE);
}

#[test]
fn robots_are_asked_by_name() {
    for (html, noindex, nofollow) in [
        ("<meta name=robots content=noindex>", true, false),
        ("<META content='NOFOLLOW' NAME='ROBOTS'>", false, true),
        ("<meta name=robots content=noindex><meta name=RankPool content=nofollow>", true, true),
        ("<meta name=rankpool content=none>", true, true),
        ("<meta name=googlebot content=none>", false, false),
        ("<meta name=description content='noindex, nofollow'>", false, false),
        ("<meta property=robots content=none>", false, false),
        ("<!--<meta name=robots content=none>-->", false, false),
    ] {
        assert_eq!(read(html).robots, Directives { noindex, nofollow }, "{html}");
    }
}

#[test]
fn titles_and_texts_are_read() {
    let wanted = Wanted { text: true, resources: true, ..Wanted::default() };
    let found = read_with(
        "<title> A  &amp;\n title </title><title>no</title>
        <a href=1> two\n <b>words</b>&excl; </a> not this <a href=2><img src=i alt=x></a>
        <a href=3>un<script>f()</script>closed <a href=4>next</a><a href=1>again</a><area href=5>z",
        &wanted,
    );
    let texts: Vec<_> = found.links.iter().map(|link| link.text.as_deref()).collect();
    let expected = [Some("two words!"), None, None, Some("unclosed"), Some("next"), None];
    assert_eq!(texts, expected);
    assert_eq!(found.title.as_deref(), Some("A & title"));
    let found = read_with("<iframe src=f></iframe><a href=b>c</a><a href=b>d</a>", &wanted);
    let texts: Vec<_> = found.links.iter().map(|link| link.text.as_deref()).collect();
    assert_eq!(texts, [None, Some("c")]);
    let long = read_with(&format!("<a href=a>{}", "ä ".repeat(1000)), &wanted);
    assert_eq!(long.links[0].text.as_ref().unwrap().chars().count(), 200);
    assert_eq!(read("<svg><title>icon</title></svg><title>page").title.as_deref(), Some("page"));
    assert_eq!(read("<a href=a>text</a>").links[0].text, None);
}

#[test]
fn visible_words_make_the_fingerprint() {
    let wanted = Wanted { simhash: true, ..Wanted::default() };
    let words: String = (0..100).map(|n| format!("<p>wo<!-- -->rd{n}</p>")).collect();
    let plain: String = (0..100).map(|n| format!("word{n} ")).collect();
    let found = read_with(&format!("<title>t</title><script>f(x)</script>{words}"), &wanted);
    assert_eq!(found.simhash, crate::web::simhash::simhash(&plain));
    assert!(found.simhash.is_some());
    assert_eq!(read(&words).simhash, None);
}

#[test]
fn hostile_pages_cost_what_they_are_long() {
    let many = |piece: &str| piece.repeat(100_000);
    let long = "x".repeat(5 << 20);
    for (name, html, n_links, n_dropped) in [
        ("links", (0..100_000).map(|n| format!("<a href={n}>")).collect(), 10_000, 90_000),
        ("one link", many("<a href=x>"), 1, 0),
        ("a long attribute", format!("<a href='{long}' href=x rel=a><a href=y>"), 1, 1),
        ("a long title", format!("<title>{long}</title><a href=y>"), 1, 0),
        ("a long name", format!("<a {long}=x href=y><{long} href=z>"), 1, 0),
        ("attributes", format!("<a {} href=y>", many("b=c ")), 1, 0),
        ("the same attribute", format!("<a {}>", many("href=y ")), 1, 0),
        ("deep tags", many("<div><ul><li>") + "<a href=y>", 1, 0),
        ("deep drawings", many("<svg><desc>") + "<a href=y>", 1, 0),
        ("bases", many("<base href=b/>") + "<a href=y>", 1, 0),
        ("comments", many("<!-") + "<a href=y>", 0, 0),
        ("comments in one", many("<!-- --") + "<a href=y>", 0, 0),
        ("empty comments", many("<!-->") + "<a href=y>", 1, 0),
        ("empty drawings", many("<svg/><path/>") + "<a href=y>", 1, 0),
        ("an open drawing", format!("<svg>{}<a href=y>", many("<path/><!-- -->")), 1, 0),
        ("open drawings", many("<svg><g>") + "<a href=y>", 1, 0),
        ("scripts", many("<script><!--") + "<a href=y>", 0, 0),
        ("styles", many("<style></") + "<a href=y>", 0, 0),
        ("entities", format!("<a href='{}'>", "&amp;".repeat(3000)), 1, 0),
        ("endless entities", format!("<a href='{}'><a href=y>", many("&am")), 1, 1),
        ("nothing closed", many("<a href='y' "), 0, 0),
        ("NUL", "\0".repeat(1_000_000) + "<a\0b href=x><a href=y>", 1, 0),
        ("a long srcset", format!("<img srcset='{}'>", many("(,")), 0, 0),
    ] {
        let found = read(&html);
        assert_eq!((found.links.len(), found.n_links_dropped), (n_links, n_dropped), "{name}");
    }
    let wanted = Wanted { resources: true, max_attribute: usize::MAX, ..Wanted::default() };
    let srcset = read_with(&format!("<img srcset='{}'>", many("a (,")), &wanted);
    assert_eq!(srcset.links.len(), 1);
}

#[test]
fn options_cross_ranks() {
    let wanted = Wanted { max_links: 5, agent: "x".into(), ..Wanted::default() };
    let json = serde_json::to_string(&wanted).unwrap();
    assert_eq!(serde_json::from_str::<Wanted>(&json).unwrap(), wanted);
    assert_eq!(serde_json::from_str::<Wanted>("{}").unwrap(), Wanted::default());
    let found = read_with("<a href=1><a href=2><a href=3>", &Wanted { max_links: 2, ..wanted });
    assert_eq!((found.links.len(), found.n_links_dropped), (2, 1));
}
