//! Politeness, asserted at the server: who was asked for what, and when.
//!
//! Times are taken after a request has arrived and before the end of its answer goes out, so that
//! a slow machine makes gaps look longer here than they were kept, and never shorter.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::crawl::{Crawl, crawl, links, page};
use crate::site::{Answer, Site, Visit, body, html, redirect};

/// What a site asks not to be visited for.
#[allow(clippy::unnecessary_wraps, reason = "it stands where an answer may be missing")]
fn robots(text: &str) -> Option<Answer> {
    Some(body(text).with("Content-Type", "text/plain"))
}

/// Requests in the order of their arrival.
fn in_order(site: &Site, is_of: impl Fn(&Visit) -> bool) -> Vec<Visit> {
    let mut visits: Vec<_> = site.visits().into_iter().filter(is_of).collect();
    visits.sort_by_key(|visit| visit.at);
    visits
}

/// Between the end of an answer and the next request to the same is `delay` at least.
#[track_caller]
fn check_delay(visits: &[Visit], delay: Duration) {
    for pair in visits.windows(2) {
        let answered = pair[0].answered.expect("one was still being answered when the next came");
        let gap = pair[1].at.checked_duration_since(answered);
        let gap = gap
            .unwrap_or_else(|| panic!("{} came before the end of {}", pair[1].path, pair[0].path));
        assert!(gap >= delay, "{gap:?} between {} and {}", pair[0].path, pair[1].path);
    }
}

/// The most requests that were being answered at the same time.
fn at_once(visits: &[Visit]) -> usize {
    let is_open = |visit: &Visit, at| visit.at <= at && visit.answered.is_none_or(|end| end > at);
    visits
        .iter()
        .map(|one| visits.iter().filter(|visit| is_open(visit, one.at)).count())
        .max()
        .unwrap()
}

/// Hosts of several pages each, that take their time to answer.
fn slow_hosts(pause: Duration) -> Site {
    Site::hosts(move |host, path| {
        let all: Vec<_> = (0..6).map(|n| format!("/{n}")).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        match path {
            "/" => Some(page(host, &all).after(pause)),
            path if path.len() == 2 => Some(page(&[host, path].concat(), &all).after(pause)),
            _ => None,
        }
    })
}

#[test]
fn the_delay_holds_for_hosts_and_addresses_over_all_ranks() {
    let delay = Duration::from_millis(150);
    for ranks in 1..=3 {
        let site = slow_hosts(Duration::from_millis(30));
        let seeds = ["a.test/", "same.test/", "b.test/"];
        let crawl = crawl(ranks, &site, &seeds, "delay = '150ms'");
        assert_eq!(crawl.pages().len(), 21, "{ranks} ranks: {:?}", crawl.fates);
        for address in ["127.0.0.2", "127.0.0.3"] {
            let visits = in_order(&site, |visit| visit.address.to_string() == address);
            assert_eq!(visits.len(), if address == "127.0.0.2" { 16 } else { 8 });
            check_delay(&visits, delay);
        }
        let gap = crawl.account["hosts"].as_object().unwrap().values();
        for host in gap {
            assert!(host["shortest_gap"].as_f64().unwrap() >= 0.15, "{host}");
        }
    }
}

#[test]
fn so_many_connections_and_no_more() {
    let pause = Duration::from_millis(100);
    for ranks in [1, 2] {
        let site = slow_hosts(pause);
        let crawl = crawl(ranks, &site, &["a.test/", "b.test/"], "per_host = 4\nmax_pages = 100");
        assert_eq!(crawl.pages().len(), 14);
        for host in ["a.test", "b.test"] {
            let n = at_once(&in_order(&site, |visit| visit.host == host));
            assert!(n <= 4, "{n} at once");
        }
    }
    let site = slow_hosts(pause);
    crawl(1, &site, &["a.test/", "same.test/"], "per_host = 3");
    let n = at_once(&in_order(&site, |_| true));
    assert!((2..=3).contains(&n), "{n} at once at one address");
}

#[test]
fn robots_come_first_and_once() {
    for ranks in [1, 3] {
        let site = Site::hosts(|host, path| match (host, path) {
            (_, "/robots.txt") => robots("User-agent: *\nDisallow: /no\nAllow: /no/but\n"),
            (_, "/") => Some(page(host, &["/no", "/no/way?x", "/no/but", "/yes", "/nothing"])),
            (_, path) => Some(page(&[host, path].concat(), &["/", "http://same.test:1/no"])),
        });
        let crawl = crawl(ranks, &site, &["a.test/", "same.test/", "b.test/no/seed"], "");
        for host in ["a.test", "same.test", "b.test"] {
            let paths = in_order(&site, |visit| visit.host == host);
            let paths: Vec<_> = paths.iter().map(|visit| &*visit.path).collect();
            assert_eq!(paths[0], "/robots.txt");
            assert_eq!(paths.iter().filter(|path| **path == "/robots.txt").count(), 1);
            let denied =
                |path: &&&str| path.starts_with("/no") && !matches!(**path, "/no/but" | "/nothing");
            assert_eq!(paths.iter().find(denied), None);
        }
        // `/nothing` begins with `/no`.
        for denied in ["a.test/no", "a.test/no/way?x", "a.test/nothing", "b.test/no/seed"] {
            assert_eq!(crawl.fate(denied), "robots: line 2");
        }
        assert_eq!(crawl.fate("a.test/no/but"), "ok");
    }
}

#[test]
fn robots_of_other_agents_do_not_count() {
    let site = Site::hosts(|_, path| match path {
        "/robots.txt" => {
            robots("User-agent: *\nDisallow: /\n\nUser-agent: rankpool\nDisallow: /x\n")
        }
        path => Some(page(path, &["/x", "/y"])),
    });
    let crawl = crawl(1, &site, &["a.test/"], "");
    assert_eq!((crawl.fate("a.test/x"), crawl.fate("a.test/y")), ("robots: line 5", "ok"));
    let header = |visit: &Visit| {
        visit.headers.iter().any(|line| line.to_lowercase().starts_with("user-agent: rankpool/"))
    };
    assert!(site.visits().iter().all(header), "{:?}", site.visits()[0].headers);
}

/// What becomes of a seed where robots.txt is answered so.
#[track_caller]
fn check_robots(answer: Answer, more: &str, expected: &str, asked: &[&str]) -> Crawl {
    let site = Site::hosts(move |_, path| match path {
        "/robots.txt" => Some(answer.clone()),
        "/r1" => Some(redirect(302, "/r2")),
        "/r2" => Some(redirect(302, "http://b.test/r3".to_owned().as_str())),
        "/loop" => Some(redirect(302, "/loop")),
        "/rules" => robots("User-agent: *\nDisallow: /seed\n"),
        path => Some(html(path)),
    });
    let crawl = crawl(1, &site, &["a.test/seed"], more);
    assert!(crawl.fate("a.test/seed").starts_with(expected), "{:?}", crawl.fates);
    let paths: BTreeSet<_> = site.paths().into_iter().collect();
    assert_eq!(paths, asked.iter().map(|&path| path.to_owned()).collect());
    crawl
}

#[test]
fn what_a_server_says_in_place_of_robots() {
    let both = ["/robots.txt", "/seed"];
    check_robots(html("none").status(404), "", "ok", &both);
    check_robots(html("none").status(403), "", "ok", &both);
    let only = ["/robots.txt"];
    check_robots(html("broken").status(500), "retries = 0", "robots unavailable: ", &only);
    let busy = html("busy").status(503).with("Retry-After", "1");
    check_robots(busy, "retries = 1", "robots unavailable: ", &only);
    check_robots(Answer::Close, "retries = 0", "failed: connect", &only);
    check_robots(redirect(301, "/rules"), "", "robots: line 2", &["/robots.txt", "/rules"]);
    check_robots(redirect(301, "/loop"), "", "ok", &["/loop", "/robots.txt", "/seed"]);
    check_robots(
        body("User-agent: *\nDisallow: /seed").with("Content-Type", "image/png"),
        "",
        "robots: line 2",
        &only,
    );
    check_robots(html("x"), "robots = false", "ok", &["/seed"]);
}

#[test]
fn redirects_of_robots_keep_the_delay() {
    let site = Site::hosts(|_, path| match path {
        "/robots.txt" => Some(redirect(301, "/r1")),
        "/r1" => Some(redirect(301, "/r2")),
        "/r2" => robots("User-agent: *\nDisallow: /x\n"),
        path => Some(page(path, &["/x", "/y"])),
    });
    let crawl = crawl(1, &site, &["a.test/"], "delay = '200ms'");
    assert_eq!(crawl.fate("a.test/x"), "robots: line 2");
    check_delay(&in_order(&site, |_| true), Duration::from_millis(200));
}

#[test]
fn hosts_can_ask_for_more_time() {
    let site = Site::hosts(|_, path| match path {
        "/robots.txt" => robots("User-agent: *\nCrawl-delay: 0.4\n"),
        path => Some(page(path, &["/1", "/2"])),
    });
    crawl(1, &site, &["a.test/"], "");
    check_delay(&in_order(&site, |_| true), Duration::from_millis(400));

    let site = Site::hosts(|_, path| match path {
        "/robots.txt" => robots("User-agent: *\nCrawl-delay: 1000\n"),
        path => Some(page(path, &["/1", "/2"])),
    });
    let crawl = crawl(1, &site, &["a.test/"], "max_crawl_delay = '300ms'");
    assert_eq!(crawl.pages().len(), 3);
    check_delay(&in_order(&site, |_| true), Duration::from_millis(300));
}

#[test]
fn a_busy_host_is_left_alone_for_a_while() {
    for status in [429, 503] {
        let site = Site::hosts(move |_, path| {
            let busy = html("later").status(status).with("Retry-After", "1");
            Some(match path {
                "/" => page("/", &["/busy", "/1", "/2"]),
                "/busy" => Answer::Once { first: busy.into(), then: page("at last", &[]).into() },
                "/robots.txt" => return None,
                path => page(path, &[]),
            })
        });
        let crawl = crawl(1, &site, &["a.test/"], "");
        assert_eq!(crawl.pages(), ["a.test/", "a.test/1", "a.test/2", "a.test/busy"]);
        assert_eq!(crawl.records["a.test/busy"]["attempts"], 2);
        let visits = in_order(&site, |_| true);
        let at = visits.iter().position(|visit| visit.path == "/busy").unwrap();
        check_delay(&visits[at..at + 2], Duration::from_secs(1));
    }
    // One that stays busy is an answer in the end.
    let site = Site::hosts(|_, path| match path {
        "/" => Some(links(&["/busy"])),
        "/busy" => Some(html("no").status(429).with("Retry-After", "1")),
        _ => None,
    });
    let crawl = crawl(1, &site, &["a.test/"], "retries = 1");
    assert_eq!(crawl.output("a.test/busy")["status"], 429);
    assert_eq!(crawl.records["a.test/busy"]["attempts"], 2);
}

#[test]
fn a_host_that_fails_and_fails_is_put_aside() {
    let site = Site::hosts(|host, path| match (host, path) {
        ("a.test", "/") => {
            let many: Vec<_> = (0..20).map(|n| format!("/{n}")).collect();
            Some(links(&many.iter().map(String::as_str).collect::<Vec<_>>()))
        }
        ("a.test", "/robots.txt") => None,
        ("a.test", _) => Some(Answer::Close),
        (_, path) => Some(page(path, &[])),
    });
    let more = "retries = 0\nmax_host_failures = 1";
    let crawl = crawl(1, &site, &["a.test/", "b.test/x"], more);
    assert_eq!(crawl.fate("b.test/x"), "ok");
    for n in 0..20 {
        assert_eq!(crawl.class(&format!("a.test/{n}")), "connect");
    }
    let asked = in_order(&site, |visit| visit.host == "a.test").len();
    assert!(asked < 5, "{asked} requests to a host that answers none");
    assert_eq!(crawl.records["a.test/7"]["parent"], crawl.records["a.test/"]["input"]["url"]);
}

#[test]
fn nofollow_and_noindex() {
    let answer = |path: &str| {
        Some(match path {
            "/" => html(
                "<a href=/rel rel='x NoFollow'>1</a><a href=/meta>2</a><a href=/header>3</a>\
                 <a href=/other>4</a><a href=/none>5</a><a href=/noindex>6</a>",
            ),
            "/meta" => html("<meta name=robots content='nofollow'><a href=/m1>m</a>"),
            "/header" => html("h<a href=/h1>h</a>").with("X-Robots-Tag", "nofollow"),
            "/other" => html("o<a href=/o1>o</a>").with("X-Robots-Tag", "otherbot: nofollow"),
            "/none" => html("<meta name=rankpool content=none><a href=/n1>n</a>"),
            "/noindex" => html("<meta name=robots content=noindex><a href=/i1>i</a>"),
            "/robots.txt" => return None,
            path => html(path),
        })
    };
    let site = Site::hosts(move |_, path| answer(path));
    let crawl = crawl(1, &site, &["a.test/"], "warc = 'archive'");
    let pages: Vec<_> = crawl.pages().into_iter().map(|url| &url["a.test".len()..]).collect();
    assert_eq!(pages, ["/", "/header", "/i1", "/meta", "/noindex", "/none", "/o1", "/other"]);
    for (path, noindex, nofollow) in [
        ("/meta", false, true),
        ("/none", true, true),
        ("/noindex", true, false),
        ("/other", false, false),
    ] {
        let output = crawl.output(&format!("a.test{path}"));
        let said = |name: &str| output.get(name).is_some_and(|value| value == true);
        assert_eq!((said("noindex"), said("nofollow")), (noindex, nofollow), "{path}");
        assert_eq!(output.get("warc").is_none(), noindex, "{path}: archived");
    }

    let site = Site::hosts(move |_, path| answer(path));
    let crawl = crate::crawl::crawl(1, &site, &["a.test/"], "follow_nofollow = true");
    assert_eq!(crawl.pages().len(), 12);
}
