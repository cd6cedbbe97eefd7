//! Where a crawl goes, where it stops, and what it writes: the same on any number of ranks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::crawl::{Crawl, crawl, finish, job, links, on, page, short};
use crate::site::{Answer, Site, body, html, redirect};
use crate::util::records;
use crate::warc;

fn set<'a>(urls: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    urls.into_iter().collect()
}

#[track_caller]
fn check_pages(site: &Site, seeds: &[&str], more: &str, expected: &[&str]) -> Crawl {
    let crawl = crawl(1, site, seeds, more);
    assert_eq!(set(crawl.pages()), set(expected.iter().copied()), "{more}: {:?}", crawl.fates);
    crawl
}

/// A site in whose pages `PORT` stands for its port, which is known late.
fn with_port(site: fn(&str, &str) -> Option<Answer>) -> Site {
    let port = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(0));
    let late = std::sync::Arc::clone(&port);
    let site = Site::hosts(move |host, path| {
        let answer = site(host, path)?;
        let port = late.load(std::sync::atomic::Ordering::SeqCst).to_string();
        let replaced = |text: &str| text.replace("PORT", &port);
        Some(match answer {
            Answer::Whole { status, headers, body } => {
                let headers = headers.into_iter().map(|(name, value)| (name, replaced(&value)));
                let body = match String::from_utf8(body) {
                    Ok(text) => replaced(&text).into_bytes(),
                    Err(bytes) => bytes.into_bytes(),
                };
                Answer::Whole { status, headers: headers.collect(), body }
            }
            other => other,
        })
    });
    port.store(site.port(), std::sync::atomic::Ordering::SeqCst);
    site
}

#[test]
fn scopes() {
    let site = with_port(|host, path| {
        let all = [
            "/docs/a",
            "/docs/deep/b",
            "/other",
            "http://www.shop.co.uk:PORT/docs/a",
            "http://shop.co.uk:PORT/docs/a",
            "http://other.co.uk:PORT/",
        ];
        let known = ["/", "/docs/", "/docs/a", "/docs/deep/b", "/other"].contains(&path);
        known.then(|| page(&[host, path].concat(), &all))
    });
    let seed = "www.shop.co.uk/docs/";
    let page = [seed];
    let path = [seed, "www.shop.co.uk/docs/a", "www.shop.co.uk/docs/deep/b"];
    let host = [&path[..], &["www.shop.co.uk/other"]].concat();
    let more = ["shop.co.uk/docs/a", "shop.co.uk/docs/deep/b", "shop.co.uk/other"];
    let domain = [&host[..], &more].concat();
    let more =
        ["other.co.uk/", "other.co.uk/docs/a", "other.co.uk/docs/deep/b", "other.co.uk/other"];
    let any = [&domain[..], &more].concat();
    for (scope, expected) in
        [("page", &page[..]), ("path", &path), ("host", &host), ("domain", &domain), ("any", &any)]
    {
        let crawl = check_pages(&site, &[seed], &format!("scope = '{scope}'"), expected);
        if scope != "any" {
            let fate = crawl.fate("other.co.uk/");
            assert!(fate.starts_with(&format!("scope-{scope}: ")), "{fate}");
        }
    }
}

#[test]
fn patterns_in_and_out() {
    let site =
        Site::hosts(|_, path| Some(page(path, &["/in/1", "/in/2?x=1", "/in/3.pdf", "/out/4"])));
    let crawl = check_pages(
        &site,
        &["a.test/in/0"],
        r"include = ['/in/']
exclude = ['\.pdf$', '\?']",
        &["a.test/in/0", "a.test/in/1"],
    );
    assert_eq!(crawl.fate("a.test/in/3.pdf"), "excluded: it matches pattern 1 of `exclude`");
    assert_eq!(crawl.fate("a.test/in/2?x=1"), "excluded: it matches pattern 2 of `exclude`");
    assert!(crawl.fate("a.test/out/4").starts_with("not-included: "));
}

/// A site with some of everything: pages 0..n in a tree with links across and back, redirects,
/// duplicates, missing and denied pages.
fn mixed(n: u32) -> Site {
    Site::hosts(move |_, path| {
        if path == "/robots.txt" {
            return Some(body("User-agent: *\nDisallow: /p/7\n"));
        }
        let number: u32 = path.strip_prefix("/p/")?.parse().ok()?;
        let to = |number: u32| format!("/p/{}", number % (n + n / 10));
        match number {
            number if number >= n => None,
            number if number % 11 == 5 => Some(redirect(302, &to(number * 3 + 1))),
            number if number % 13 == 6 => {
                Some(html(format!("<p>the same<a href='{}'>x</a>", to(5))))
            }
            number => {
                let to =
                    [to(number * 2 + 1), to(number * 2 + 2), to(number * 7 + 3), to(number / 2)];
                Some(page(path, &[&to[0], &to[1], &to[2], &to[3], "http://b.test/"]))
            }
        }
    })
}

#[test]
fn any_number_of_ranks_and_threads_finds_the_same() {
    let mut seen: Option<(BTreeMap<String, String>, Value)> = None;
    for (ranks, threads) in [(1, 1), (1, 8), (2, 8), (3, 8)] {
        let site = mixed(120);
        let more = "depth = 5\nper_host = 8";
        let job = format!("io_threads = {threads}\n{}", job(&site, &["a.test/p/0"], more));
        let crawl = finish(on(ranks).job(&job), &site);
        // Which of several pages with one body is the first is a matter of who came first.
        let fate = |(url, fate): (&String, &String)| {
            let same = fate == "ok" || fate.starts_with("duplicate of ");
            let depth =
                &crawl.records.get(url).map_or(Value::Null, |r| r["output"]["depth"].clone());
            (url.clone(), format!("{} {depth}", if same { "ok" } else { fate }))
        };
        let fates = crawl.fates.iter().map(fate).collect();
        let totals =
            ["seeds", "discovered", "open", "fates"].map(|name| crawl.account[name].clone());
        let now = (fates, Value::from(totals.to_vec()));
        match &seen {
            None => seen = Some(now),
            Some(before) => assert_eq!(*before, now, "{ranks} ranks, {threads} threads"),
        }
    }
    let (fates, totals) = seen.unwrap();
    assert!(fates.len() > 60, "{fates:?}");
    for name in ["ok", "duplicate", "redirect", "robots", "scope-host", "budget: max_depth"] {
        assert!(totals[3][name].as_u64().unwrap_or(0) > 0, "{name}: {totals}");
    }
}

#[test]
fn budgets_of_pages() {
    let many: Vec<_> = (0..30).map(|n| format!("/{n}")).collect();
    let to: Vec<_> = many.iter().map(String::as_str).collect();
    let all = move || {
        let to: Vec<String> = to.iter().map(|&to| to.to_owned()).collect();
        Site::hosts(move |host, path| {
            let to: Vec<_> = to.iter().map(String::as_str).collect();
            Some(page(&[host, path].concat(), &to))
        })
    };
    for ranks in [1, 2] {
        let site = all();
        let crawl = crawl(
            ranks,
            &site,
            &["a.test/", "b.test/"],
            "max_pages = 7\nper_host = 4\nrobots = false",
        );
        assert_eq!(crawl.pages().len(), 7);
        assert_eq!(site.paths().len(), 7, "{ranks} ranks: none is fetched in vain");
        assert!(crawl.account["fates"]["budget: max_pages"].as_u64().unwrap() > 0);
        assert_eq!(crawl.account["open"], 0);
    }
    let site = all();
    let crawl = crawl(1, &site, &["a.test/", "b.test/"], "max_pages_per_host = 5\nper_host = 3");
    let of = |host: &str| crawl.pages().into_iter().filter(|url| url.starts_with(host)).count();
    assert_eq!((of("a.test"), of("b.test")), (5, 5), "{:?}", crawl.fates);
    let site = all();
    let crawl = crate::crawl::crawl(1, &site, &["a.test/"], "max_pages_per_pattern = 3");
    assert_eq!(crawl.pages().len(), 4, "the seed, and three of its many alike: {:?}", crawl.fates);
}

#[test]
fn a_budget_of_time_ends_a_crawl_in_order() {
    let site = Site::hosts(|_, path| {
        let n: u32 = path.trim_start_matches('/').parse().unwrap_or(0);
        Some(page(path, &[&format!("/{}", n + 1), &format!("/{}", n + 2)]))
    });
    let crawl = crawl(1, &site, &["a.test/0"], "delay = '100ms'\ntime = '1s'\nrobots = false");
    assert!((1..=11).contains(&crawl.pages().len()), "{:?}", crawl.fates);
    assert!(crawl.account["open"].as_u64().unwrap() > 0, "{}", crawl.account);
}

#[test]
fn types_that_are_kept() {
    let site = Site::hosts(|_, path| match path {
        "/" => Some(page("/", &["/a.pdf", "/b.txt", "/c"])),
        "/a.pdf" => Some(body("%PDF-1.4").with("Content-Type", "application/pdf; x=y")),
        "/b.txt" => Some(body("text").with("Content-Type", "text/plain")),
        "/c" => Some(page("/c", &["/d.pdf"])),
        "/d.pdf" => Some(body("%PDF-1.5").with("Content-Type", "Application/PDF")),
        _ => None,
    });
    let more = "types = ['application/pdf']\nwarc = 'archive'";
    let crawl = crawl(1, &site, &["a.test/"], more);
    for pdf in ["a.test/a.pdf", "a.test/d.pdf"] {
        assert_eq!(crawl.fate(pdf), "ok");
        assert!(crawl.output(pdf)["warc"].is_object());
    }
    assert_eq!(crawl.fate("a.test/b.txt"), "type: text/plain");
    assert_eq!(crawl.fate("a.test/c"), "type: text/html");
    assert!(crawl.output("a.test/c").get("warc").is_none());
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn listing(paths: &[&str]) -> String {
    let entry = |path: &&str| format!("<url><loc>http://a.test:PORT{path}</loc></url>");
    let entries: String = paths.iter().map(entry).collect();
    format!(
        "<?xml version='1.0'?><urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{entries}</urlset>"
    )
}

fn with_sitemaps() -> Site {
    let site = |_: &str, path: &str| {
        let xml = |text: String| body(text).with("Content-Type", "application/xml");
        Some(match path {
            "/robots.txt" => body("Sitemap: http://a.test:PORT/index.xml\n"),
            "/index.xml" => {
                xml("<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>\
                <sitemap><loc>http://a.test:PORT/one.xml</loc></sitemap>\
                <sitemap><loc>http://a.test:PORT/two.txt.gz</loc></sitemap></sitemapindex>"
                    .into())
            }
            "/one.xml" => xml(listing(&["/1", "/2"])),
            "/list.txt" => body("http://a.test:PORT/t1\nhttp://a.test:PORT/t2\n")
                .with("Content-Type", "text/plain"),
            "/two.txt.gz" => body(vec![0xff]).with("Content-Type", "application/x-gzip"),
            path => page(path, &[]),
        })
    };
    with_port(site)
}

#[test]
fn sitemaps_are_followed_where_that_is_wanted() {
    let site = with_sitemaps();
    check_pages(&site, &["a.test/"], "", &["a.test/"]);
    let site = with_sitemaps();
    let all = ["/", "/index.xml", "/one.xml", "/two.txt.gz", "/1", "/2"]
        .map(|path| format!("a.test{path}"));
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    check_pages(&site, &["a.test/"], "follow_sitemaps = true", &all);
    // As seeds they are read whatever is followed, and whatever their type.
    let site = with_sitemaps();
    let more = "sitemaps = ['http://a.test:PORT/one.xml', 'http://a.test:PORT/list.txt']";
    let all =
        ["a.test/1", "a.test/2", "a.test/list.txt", "a.test/one.xml", "a.test/t1", "a.test/t2"];
    check_pages(&site, &[], more, &all);
    // Compressed ones, as files and as content.
    let site = std::sync::Arc::new(std::sync::OnceLock::new());
    let port = std::sync::Arc::clone(&site);
    let server = Site::hosts(move |_, path| {
        let port: &u16 = port.get()?;
        let listed = |path: &str| listing(&[path]).replace("PORT", &port.to_string());
        Some(match path {
            "/file.xml.gz" => {
                body(gzipped(&listed("/f"))).with("Content-Type", "application/octet-stream")
            }
            "/coded.xml" => body(gzipped(&listed("/c")))
                .with("Content-Type", "text/xml")
                .with("Content-Encoding", "gzip"),
            "/robots.txt" => return None,
            path => page(path, &[]),
        })
    });
    site.set(server.port()).unwrap();
    let more = "sitemaps = ['http://a.test:PORT/file.xml.gz', 'http://a.test:PORT/coded.xml']";
    check_pages(
        &server,
        &[],
        more,
        &["a.test/c", "a.test/coded.xml", "a.test/f", "a.test/file.xml.gz"],
    );
}

#[test]
fn every_way_to_name_a_page() {
    let site = Site::hosts(|_, path| match path {
        "/dir/" => Some(html(
            "<base href='/base/'><a href=a>1</a><area href=area><iframe src=frame></iframe>\
             <frame src=oldframe><meta http-equiv=refresh content='3; url=refresh'>\
             <link rel=next href=next><link rel=alternate href=alternate>\
             <link rel=canonical href=canonical><a href='&#97;mp?x=1&amp;y=2#frag'>2</a>\
             <a href=' sp%20ace\n'>3</a><a href='../up/./b/../c'>4</a>\
             <img src=img srcset='small 1x, large 2x'><script src=script></script>\
             <link rel=stylesheet href=style><a href='javascript:x()'>5</a><a href='data:,x'>6</a>",
        )),
        path => Some(page(path, &[])),
    });
    let expected = [
        "/dir/",
        "/base/a",
        "/base/area",
        "/base/frame",
        "/base/oldframe",
        "/base/refresh",
        "/base/next",
        "/base/alternate",
        "/base/canonical",
        "/base/amp?x=1&y=2",
        "/base/sp%20ace",
        "/up/c",
    ];
    let expected: Vec<_> = expected.iter().map(|path| format!("a.test{path}")).collect();
    let mut expected: Vec<_> = expected.iter().map(String::as_str).collect();
    check_pages(&site, &["a.test/dir/"], "", &expected);
    expected.extend([
        "a.test/base/img",
        "a.test/base/small",
        "a.test/base/large",
        "a.test/base/script",
        "a.test/base/style",
    ]);
    check_pages(&site, &["a.test/dir/"], "resources = true", &expected);
}

#[test]
fn links_are_written_down() {
    let site = || {
        Site::hosts(|_, path| match path {
            "/" => Some(html(
                "<a href=/x>one, \"two\"</a> <a href=/y rel=nofollow>three\nfour</a><a href=http://b.test/>out</a>",
            )),
            "/x" => Some(redirect(301, "/z")),
            "/z" => Some(page("/z", &["/"])),
            _ => None,
        })
    };
    let expected = [
        ("a.test/", "a.test/x", "anchor", false, "one, \"two\""),
        ("a.test/", "a.test/y", "anchor", true, "three four"),
        ("a.test/", "b.test/", "anchor", false, "out"),
        ("a.test/x", "a.test/z", "redirect", false, ""),
        ("a.test/z", "a.test/", "anchor", false, "to /"),
    ];
    let expected: BTreeSet<_> = expected
        .into_iter()
        .map(|(source, target, kind, nofollow, text)| {
            (source.to_owned(), target.to_owned(), kind.to_owned(), nofollow, text.to_owned())
        })
        .collect();
    for ranks in [1, 2] {
        let server = site();
        let crawl =
            crawl(ranks, &server, &["a.test/"], "edges = 'links.jsonl'\nanchor_text = true");
        let files = files_with(&crawl, "links-r", ".jsonl");
        let lines = files.iter().flat_map(|text| records(text));
        let found: Vec<_> = lines
            .map(|edge| {
                let text = |name: &str| edge[name].as_str().unwrap_or_default().to_owned();
                let (source, target) =
                    (short(&text("source"), &server), short(&text("target"), &server));
                (source, target, text("kind"), edge["nofollow"] == true, text("anchor"))
            })
            .collect();
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    let server = site();
    let crawl = crawl(1, &server, &["a.test/"], "edges = 'links.csv'\nanchor_text = true");
    let csv = files_with(&crawl, "links-r", ".csv").concat();
    let mut lines: Vec<_> = csv
        .lines()
        .map(|line| short(&short(line, &server).replace("http://", ""), &server))
        .collect();
    assert_eq!(lines.remove(0), "source,target,kind,nofollow,anchor");
    assert!(
        lines.contains(&"a.test/,a.test/x,anchor,false,\"one, \"\"two\"\"\"".to_owned()),
        "{lines:?}"
    );
    assert_eq!(lines.len(), expected.len());
}

#[test]
fn links_that_stand_on_every_page_are_counted_and_listed_on_every_page() {
    let hrefs = ["/d/0", "1", "./2", "../d/3", "4#x"];
    let site = Site::hosts(move |_, path| {
        let is_page = path.strip_prefix("/d/").is_some_and(|name| name.len() == 1);
        is_page.then(|| page(path, &hrefs))
    });
    for (ranks, more) in [(1, ""), (1, "edges = 'links'"), (2, ""), (2, "edges = 'links'")] {
        let crawl = crawl(ranks, &site, &["a.test/d/0"], more);
        assert_eq!(crawl.pages().len(), hrefs.len());
        // All but page 4 have a link to page 4; on it that is a place on itself.
        for (url, record) in &crawl.records {
            let n_links = hrefs.len() - usize::from(url == "a.test/d/4");
            assert_eq!(record["output"]["links"], n_links, "{url} on {ranks} ranks, {more}");
        }
        let n_edges: usize =
            files_with(&crawl, "links-r", ".jsonl").iter().map(|text| records(text).len()).sum();
        assert_eq!(n_edges, if more.is_empty() { 0 } else { hrefs.len() * hrefs.len() - 1 });
    }
}

/// The texts of the files of a crawl's folder that are called so.
fn files_with(crawl: &Crawl, begin: &str, end: &str) -> Vec<String> {
    let names = std::fs::read_dir(crawl.dir.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.starts_with(begin) && name.ends_with(end));
    names.map(|name| crawl.dir.read(&name)).collect()
}

#[test]
fn archives_are_sound_on_any_number_of_ranks() {
    for ranks in [1, 2] {
        let site = mixed(60);
        let more = "warc = 'archive'\nwarc_segment = '16KiB'\nedges = 'links'\nper_host = 4";
        let crawl = crawl(ranks, &site, &["a.test/p/0"], more);
        assert!(crawl.pages().len() > 30);
        assert!(crawl.records.values().all(|record| record["status"] == "ok"), "{:?}", crawl.fates);
        let files = warc::segments(crawl.dir.path());
        assert!(files.len() > usize::try_from(ranks).unwrap(), "{files:?}");
        for (url, record) in &crawl.records {
            let (file, offset) =
                (&record["output"]["warc"]["file"], &record["output"]["warc"]["offset"]);
            let path =
                crawl.dir.path().join(file.as_str().unwrap_or_else(|| panic!("{url}: {record}")));
            let bytes = std::fs::read(path).unwrap();
            let at = usize::try_from(offset.as_u64().unwrap()).unwrap();
            assert_eq!(bytes[at..at + 2], [0x1f, 0x8b], "{url}: a gzip member begins there");
        }
        let Some(kinds) = warc::checked(&files) else { continue };
        let count = |kind: &str| kinds.iter().filter(|known| *known == kind).count();
        // One more than pages: robots.txt.
        assert_eq!(count("response") + count("revisit"), crawl.records.len() + 1);
        assert!(count("revisit") > 0, "{kinds:?}");
        assert_eq!((count("request"), count("warcinfo")), (crawl.records.len() + 1, files.len()));
    }
}

#[test]
fn credentials_stay_where_they_are() {
    let site = with_port(|_, path| match path {
        "/" => Some(html(
            "<a href='http://user:sesame@a.test:PORT/in'>x</a>\
             <link rel=canonical href='http://user:sesame@a.test:PORT/c'>\
             <a href='http://user:sesame@b.test:PORT/out'>x</a><a href=/r>r</a>\
             <a href='http://user:sesame@[x'>bad</a><a href='ftp://user:sesame@a.test/'>f</a>",
        )),
        "/r" => Some(redirect(302, "http://user:sesame@a.test:PORT/redirected")),
        path => Some(page(path, &[])),
    });
    let long = format!("http://user:sesame@a.test:{}/", site.port());
    let more = format!("seeds = ['{long}']\nwarc = 'archive'\nedges = 'links'\nanchor_text = true");
    let crawl = crawl(1, &site, &[], &more);
    assert_eq!(
        set(crawl.pages()),
        set(["a.test/", "a.test/c", "a.test/in", "a.test/r", "a.test/redirected"])
    );
    for entry in std::fs::read_dir(crawl.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("job.toml") {
            let bytes = std::fs::read(&path).unwrap();
            let mut text = Vec::new();
            if path.to_string_lossy().ends_with(".gz") {
                let mut gzip = flate2::read::MultiGzDecoder::new(&bytes[..]);
                std::io::Read::read_to_end(&mut gzip, &mut text).unwrap();
                // Pages are archived as they are.
                let lines = String::from_utf8_lossy(&text).into_owned();
                let ours = lines
                    .lines()
                    .filter(|line| line.starts_with("WARC-") || line.starts_with("GET "));
                text = ours.collect::<Vec<_>>().join("\n").into_bytes();
            } else {
                text.extend(bytes);
            }
            assert!(!String::from_utf8_lossy(&text).contains("sesame"), "{}", path.display());
        }
    }
    let header = |line: &String| line.to_lowercase().starts_with("authorization");
    assert!(!site.visits().iter().any(|visit| visit.headers.iter().any(header)));
}

#[test]
fn what_earlier_archives_are_there() {
    let site = mixed(20);
    let text = job(&site, &["a.test/p/0"], "warc = 'archive'\nedges = 'links.csv'");
    let (_, dir) = on(1).job(&text).run();
    std::fs::remove_file(dir.path().join("job.results.jsonl")).unwrap();
    let (ran, dir) = on(1).in_dir(dir).job(&text).run();
    ran.code(2).says("archive-r0000-00000.warc.gz` exists; `--resume` goes on with it");
    assert!(
        !dir.path().join("job.results.jsonl").exists(),
        "nothing is left of a run that was not"
    );
    let (ran, dir) = on(1).in_dir(dir).job(&text).args(["--overwrite"]).run();
    ran.code(0);
    let archive = warc::segments(dir.path());
    assert_eq!(archive.len(), 1);
    if let Some(kinds) = warc::checked(&archive) {
        assert_eq!(kinds.iter().filter(|kind| *kind == "warcinfo").count(), 1, "{kinds:?}");
    }
}

#[test]
fn links_beyond_the_most_are_left_out() {
    let site = Site::hosts(|_, path| match path {
        "/" => Some(links(&["/1", "/2", "/3", "/4"])),
        path => Some(page(path, &[])),
    });
    let crawl = crawl(1, &site, &["a.test/"], "max_links = 2\nrobots = false");
    assert_eq!(set(crawl.pages()), set(["a.test/", "a.test/1", "a.test/2"]));
}
