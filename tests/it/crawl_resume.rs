//! Crawls that are killed and gone on with, with another number of ranks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::crawl::{Crawl, fates, finish, job, on, page, short};
use crate::site::{Site, body, html, redirect};
use crate::util::{Dir, Running, program, ranks_of, records, surviving_mpirun};
use crate::warc;

const PAGES: u32 = 240;
/// At a time, at the one host: what may be in flight at the kill.
const PER_HOST: usize = 8;

/// A tree of pages, redirects, duplicates and missing pages, that answers slowly enough to be
/// killed in between.
fn tree() -> Site {
    Site::hosts(|_, path| {
        if path == "/robots.txt" {
            return Some(body("User-agent: *\nDisallow: /7\n"));
        }
        let n: u32 = path.trim_start_matches('/').parse().ok()?;
        let to: Vec<_> = (3 * n + 1..3 * n + 4).filter(|&n| n < PAGES).collect();
        let to: Vec<_> = to.into_iter().map(|n| format!("/{n}")).collect();
        let to: Vec<_> = to.iter().map(String::as_str).collect();
        Some(match n {
            n if n % 17 == 9 => redirect(302, &format!("/{}", n + PAGES)),
            n if n % 19 == 8 => html(format!("<p>same<a href=/{}>x</a>", PAGES - 1)),
            _ => page(path, &to).after(Duration::from_millis(8)),
        })
    })
}

const MORE: &str = "per_host = 8\nwarc = 'archive'\nedges = 'links'";

fn text(site: &Site) -> String {
    job(site, &["a.test/0"], MORE)
}

/// The whole crawl, undisturbed.
fn expected() -> BTreeSet<String> {
    let site = tree();
    let crawl = finish(on(1).job(&text(&site)), &site);
    assert!(crawl.records.len() > 100, "{}", crawl.records.len());
    crawl.records.into_keys().collect()
}

fn kill(pid: u32) {
    // It may have ended by itself meanwhile.
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
}

/// Waits until so many pages have their record.
fn wait_for(running: &mut Running, n: usize) {
    running.poll("records", |running| {
        let written = std::fs::read_to_string(running.dir.path().join("job.results.jsonl"));
        written.is_ok_and(|text| text.lines().count() >= n)
    });
}

/// Kills everything once `n` pages are written.
fn killed(ranks: u32, site: &Site, n: usize) -> Dir {
    let mut running = on(ranks).job(&text(site)).args(["--quiet"]).start();
    wait_for(&mut running, n);
    let below = ranks_of(&running);
    kill(running.child.id());
    below.iter().copied().for_each(kill);
    running.wait_and(|running| {
        let is_there = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        running.poll("all ranks to be gone", |_| !below.iter().any(is_there));
    })
}

fn written(dir: &Dir) -> BTreeSet<String> {
    let text = dir.read("job.results.jsonl");
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let url = |record: &serde_json::Value| record["input"]["url"].as_str().unwrap().to_owned();
    records(whole).iter().map(url).collect()
}

/// How often each page was asked for.
fn asked(site: &Site) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for path in site.paths().into_iter().filter(|path| path != "/robots.txt") {
        *asked.entry(path).or_insert(0) += 1;
    }
    asked
}

fn resumed(ranks: u32, dir: Dir, site: &Site) -> Crawl {
    finish(on(ranks).in_dir(dir).job(&text(site)).args(["--resume"]), site)
}

#[test]
fn a_killed_crawl_goes_on_on_any_number_of_ranks() {
    let expected = expected();
    for (ranks, n, then) in [(1, 1, 2), (2, 40, 1), (2, 90, 3), (1, 110, 1)] {
        let site = tree();
        let dir = killed(ranks, &site, n);
        let done = written(&dir);
        let before = asked(&site).len();
        let crawl = resumed(then, dir, &site);
        let found: BTreeSet<_> = crawl.records.keys().cloned().collect();
        assert_eq!(found, expected, "{ranks} ranks, killed at {n}, then {then}");
        let twice: Vec<_> = asked(&site).into_iter().filter(|(_, n)| *n > 1).collect();
        eprintln!(
            "{ranks} ranks at {n}: {before} asked for, {} written, {} twice",
            done.len(),
            twice.len()
        );
        assert!(twice.iter().all(|(_, n)| *n == 2), "{twice:?}");
        assert!(twice.len() <= PER_HOST, "only what was in flight: {twice:?}");
        let of = |path: &str| format!("http://a.test:{}{path}", site.port());
        assert!(twice.iter().all(|(path, _)| !done.contains(&of(path))), "{twice:?}");
        if let Some(kinds) = warc::checked(&warc::segments(crawl.dir.path())) {
            assert!(kinds.iter().filter(|kind| *kind == "response").count() > 50);
        }
        for n in 0..3 {
            let name = format!("links-r{n:04}.jsonl");
            if crawl.dir.path().join(&name).exists() {
                records(&crawl.dir.read(&name));
            }
        }
    }
}

#[test]
fn a_rank_that_dies_takes_no_page_along() {
    let Some(pool) = surviving_mpirun(3) else {
        eprintln!("skipped: this MPI does not survive a dead rank (Open MPI 5 and 4.1 do)");
        return;
    };
    let expected = expected();
    let site = tree();
    let mut running = pool.job(&text(&site)).args(["--stats", "stats.json"]).start();
    wait_for(&mut running, 20);
    let mut ranks = ranks_of(&running);
    ranks.sort_unstable();
    kill(*ranks.last().unwrap());
    let (ran, dir) = running.wait();
    ran.code(0);
    let crawl = Crawl::read(ran, dir, &site);
    assert!(crawl.records.values().all(|record| record["status"] == "ok"));
    assert_eq!(crawl.records.into_keys().collect::<BTreeSet<_>>(), expected);
    assert!(asked(&site).values().all(|&n| n <= 2));
}

#[test]
fn what_a_crash_tore_is_cut() {
    let expected = expected();
    let site = tree();
    let dir = killed(1, &site, 30);
    for (name, torn) in [
        ("job.results.urls.jsonl", &b"{\"n\":99,\"url\":\"http"[..]),
        ("job.results.jsonl", b"{\"id\":\"00"),
        ("archive-r0000-00000.warc.gz", b"\x1f\x8b\x08"),
        ("links-r0000.jsonl", b"{\"source\":"),
    ] {
        let file = std::fs::OpenOptions::new().append(true).open(dir.path().join(name));
        file.unwrap().write_all(torn).unwrap();
    }
    let crawl = resumed(1, dir, &site);
    records(&crawl.dir.read("links-r0000.jsonl"));
    warc::checked(&warc::segments(crawl.dir.path()));
    assert_eq!(crawl.records.into_keys().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_crawl_that_is_over_asks_for_nothing_more() {
    let site = tree();
    let text = text(&site);
    let crawl = finish(on(1).job(&text), &site);
    let (before, records) = (site.paths().len(), crawl.records.len());
    let crawl = finish(on(2).in_dir(crawl.dir).job(&text).args(["--resume"]), &site);
    assert_eq!((site.paths().len(), crawl.records.len()), (before, records));
    let account = crawl.account;
    // Another crawl in its place begins anew.
    let crawl = finish(on(1).in_dir(crawl.dir).job(&text).args(["--overwrite"]), &site);
    assert_eq!((site.paths().len(), crawl.records.len()), (2 * before, records));
    for name in ["seeds", "discovered", "open", "fates"] {
        assert_eq!(crawl.account[name], account[name], "{name}");
    }
}

#[test]
fn a_larger_budget_goes_on() {
    let site = tree();
    let text = |pages: u32| job(&site, &["a.test/0"], &format!("max_pages = {pages}"));
    let crawl = finish(on(1).job(&text(6)), &site);
    assert_eq!(count(&crawl), 6);
    let crawl = finish(on(1).in_dir(crawl.dir).job(&text(15)).args(["--resume"]), &site);
    assert_eq!(count(&crawl), 15);
    assert!(asked(&site).values().all(|&n| n == 1));
}

/// Pages that count against a budget.
fn count(crawl: &Crawl) -> usize {
    let counts = |fate: &&String| *fate == "ok" || fate.starts_with("duplicate");
    crawl.fates.values().filter(counts).count()
}

/// Files of no more than some kilobytes for a command.
const SMALL_FILES: &str = "trap '' XFSZ; ulimit -f 60; exec \"$@\"";

#[test]
fn no_page_has_its_record_before_the_journal_has_its_fate() {
    let site = Site::hosts(|_, path| {
        let n: u32 = path.trim_start_matches('/').parse().ok()?;
        // All have one parent, whose line in the journal is asked for once.
        let pages = (1..PAGES).filter(|_| n == 0).map(|n| format!("/{n}"));
        let out = (0..20).map(|link| format!("http://out.test/{n}/{link}"));
        let to: Vec<_> = pages.chain(out).collect();
        Some(page(path, &to.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    let text = job(&site, &["a.test/0"], "per_host = 8");
    let limited =
        program("bash".into()).args(["-c", SMALL_FILES, "bash", env!("CARGO_BIN_EXE_rankpool")]);
    let (ran, dir) = limited.job(&text).args(["--quiet", "--stats", "stats.json"]).run();
    ran.code(3);
    ran.says(
        "stopping: cannot write `job.results.urls.jsonl`, the journal of URLs: File too large",
    );
    let journal = dir.read("job.results.urls.jsonl");
    let whole = &journal[..=journal.rfind('\n').unwrap()];
    let ended = fates(whole, &site);
    let done = written(&dir);
    assert!(done.len() > 3, "{done:?}");
    let stats: serde_json::Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let count = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!(count("tasks") - count("unwritten"), done.len() as u64);
    let has_fate = |url: &String| !ended.get(&short(url, &site)).is_none_or(String::is_empty);
    let lost: Vec<_> = done.iter().filter(|url| !has_fate(url)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let crawl = finish(on(1).in_dir(dir).job(&text).args(["--resume"]), &site);
    assert_eq!(crawl.records.len(), PAGES as usize);
}

#[test]
fn without_its_journal_nothing_is_gone_on_with() {
    let site = tree();
    let dir = killed(1, &site, 5);
    std::fs::remove_file(dir.path().join("job.results.urls.jsonl")).unwrap();
    let before = site.paths().len();
    let (ran, _) = on(1).in_dir(dir).job(&text(&site)).args(["--resume"]).run();
    ran.code(2).says("job.results.urls.jsonl`, the journal of URLs");
    assert_eq!(site.paths().len(), before);
}

#[test]
fn a_run_that_ended_before_its_first_page_is_gone_on_with() {
    let n = expected().len();
    for results in [None, Some("")] {
        let site = tree();
        let dir = Dir::new();
        if let Some(text) = results {
            dir.write("job.results.jsonl", text);
        }
        assert_eq!(resumed(1, dir, &site).records.len(), n);
    }
}

#[test]
fn results_may_go_nowhere_or_to_standard_output() {
    let text = |site: &Site| job(site, &["a.test/0"], "per_host = 8");
    let n = expected().len();
    let site = tree();
    let (ran, dir) = on(2).job(&text(&site)).args(["--output", "none"]).run();
    ran.code(0).says("The crawl: ");
    let names = std::fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("jsonl")), "{names:?}");
    assert_eq!(asked(&site).len(), n);
    let site = tree();
    let (ran, _) = on(1).job(&text(&site)).args(["--output", "-", "--quiet"]).run();
    assert_eq!(records(&ran.code(0).stdout).len(), n);
}
