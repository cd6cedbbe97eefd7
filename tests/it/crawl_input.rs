//! What a crawl does not begin with: one line that says what is wrong, and the exit code 2.

use crate::crawl::{crawl, job, on, page};
use crate::site::Site;
use crate::util::rankpool;

#[track_caller]
fn check(table: &str, expected: &str) {
    let (ran, dir) = rankpool().job(&format!("[[task]]\nkind = 'crawl'\n{table}\n")).run();
    ran.code(2);
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains(expected), "no `{expected}` in {lines:?}");
    let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("jsonl")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let seeds = "seeds = ['http://example.org/']\n";
    let known = format!("{seeds}anonymous = true\n");
    check(seeds, "nobody could be asked about this crawl: name a `contact`");
    check("contact = 'x@y'", "nowhere to begin: write `seeds = [");
    for (line, expected) in [
        ("scope = 'galaxy'", "unknown value `galaxy` in `scope`; use one of `page`, `path`, "),
        ("include = ['(']", "`include`, pattern 1: no regular expression: unclosed group"),
        ("exclude = ['a', '[']", "`exclude`, pattern 2: no regular expression: "),
        ("dept = 3", "unknown key `dept`; did you mean `depth`?"),
        ("qqqqq = 3", "unknown key `qqqqq`; use one of seeds, "),
        ("per_host = 0", "`per_host` is 0: no page could be fetched"),
        ("depth = -1", "`depth` is integer `-1`; use a whole number from 0"),
        ("delay = 3", "`delay` is integer `3`; use a time with its unit, such as \"30s\""),
        ("timeout = '0s'", "`timeout` is zero"),
        ("warc_segment = 'x'", "`warc_segment`: `x` is no size; write "),
        ("user_agent = 'a\\u0007'".replace('\'', "\"").as_str(), "must be printable ASCII"),
        ("proxy = 'gopher://x'", "`proxy`: `gopher://x` is no proxy; use "),
        (
            "resolve = { a = 'b' }",
            "`resolve`: `a` = `b` is no IP address; write one such as `127.0.0.1`",
        ),
        ("sitemaps = ['ftp://h/s']", "`sitemaps[0]`: `ftp://h/s`: only http and https"),
        ("seeds_from = 'nothing.txt'", "nothing.txt"),
    ] {
        check(&format!("{known}{line}"), expected);
    }
    let more = "anonymous = true";
    check(&format!("seeds = ['ftp://h/']\n{more}"), "`seeds[0]`: `ftp://h/`: only http and https");
    check(&format!("seeds = ['h/x']\n{more}"), "it is no whole URL; write `https://…`");
    check(&format!("seeds = [3]\n{more}"), "`seeds`: expected a text in quotes, not integer");
    check(&format!("seeds = ['http://user:sesame@[/']\n{more}"), "`seeds[0]`: `http://…@[/`: ");
    let two = format!("{known}[[task]]\nkind = 'crawl'\n{known}");
    check(&two, "two crawls would not know of each other's politeness");
}

#[test]
fn empty_seeds_are_told() {
    let pool = rankpool();
    pool.dir().write("seeds.txt", "\n# nothing\n\n");
    let job = "[[task]]\nkind = 'crawl'\nanonymous = true\nseeds_from = 'seeds.txt'";
    pool.job(job).run().0.code(2).says("nowhere to begin: there is no seed in `seeds_from`");
    let pool = rankpool();
    pool.dir().write("seeds.txt", "http://a.test/\nnothing\n");
    pool.job(job).run().0.code(2).says("`seeds_from`: seeds.txt: line 2: `nothing`");
}

#[test]
fn the_order_of_the_tasks_is_none() {
    let site = Site::hosts(|_, path| Some(page(path, &[])));
    let text = format!("ordered = true\n{}", job(&site, &["a.test/"], ""));
    let (ran, _) = on(1).job(&text).run();
    ran.code(2).says("`ordered`");
    assert!(site.paths().is_empty());
}

#[test]
fn seeds_come_from_files_and_the_command_line() {
    let site = Site::hosts(|_, path| Some(page(path, &[])));
    let seeds =
        ["/1", "/2", "/1#again"].map(|path| format!("http://127.0.0.1:{}{path}", site.port()));
    let pool = rankpool();
    pool.dir().write("seeds.txt", &format!("# two pages\n{}\n\n", seeds.join("\n")));
    let job = "[[task]]\nkind = 'crawl'\nanonymous = true\nallow_private = true\ndelay = '0s'\nseeds_from = 'seeds.txt'";
    let (ran, dir) = pool.job(job).run();
    ran.code(0);
    assert_eq!(dir.records("job.results.jsonl").len(), 2);
    let line =
        ["crawl", &seeds[0], "--allow-private", "--delay", "0s", "--contact", "me@example.org"];
    let (ran, dir) = rankpool().args(line).run();
    ran.code(0).says("The crawl: 1 URLs seen");
    assert_eq!(dir.records("crawl.results.jsonl").len(), 1);
    assert!(dir.path().join("crawl.results.urls.jsonl").exists());
    let agent = |line: &String| line.contains("(+me@example.org)");
    assert!(site.visits().last().unwrap().headers.iter().any(agent));
}

#[test]
fn private_addresses_are_left_alone() {
    let site = Site::hosts(|_, path| Some(page(path, &[])));
    let crawl = crawl(1, &site, &["a.test/", "b.test/x"], "allow_private = false");
    for url in ["a.test/", "b.test/x"] {
        assert_eq!(crawl.class(url), "private-address");
    }
    crawl.ran.code(1);
    assert!(site.paths().is_empty());
}
