//! The job files in `jobs/`: each is sound as it stands and runs on real ranks, with every task ok.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::site::{Site, html};
use crate::util::{Dir, mpirun, rankpool};

/// Pages that the site has; as many as `scripts/run` asks for.
const N_PAGES: usize = 250;

fn jobs() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs");
    let mut jobs: Vec<_> = fs::read_dir(folder).unwrap().map(|job| job.unwrap().path()).collect();
    jobs.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    jobs.sort();
    jobs
}

/// A job file's name and text.
fn read(name: &str) -> (String, String) {
    let path = format!("{}/jobs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    (path.clone(), fs::read_to_string(path).unwrap())
}

fn site() -> Site {
    Site::start((0..N_PAGES).map(|n| {
        let page = format!("<title>{n}</title><h1>Page {n}</h1><a href=/{}.html>next</a>", n + 1);
        (format!("/{n}.html"), html(page))
    }))
}

/// How many tasks a job has, as `check` counts them: `# ok: 3,018 tasks in 4 tables`.
#[track_caller]
fn n_tasks(flags: &[&str]) -> usize {
    let (ran, _) = rankpool().args(["check"]).args(flags.iter().copied()).run();
    ran.code(0);
    let rest = ran.stdout.strip_prefix("# ok: ").expect(&ran.stdout);
    let count = rest.trim_start_matches("at least ").split(' ').next();
    count.expect(&ran.stdout).replace(',', "").parse().expect(&ran.stdout)
}

/// Runs a job on two ranks; every task has to be ok. Gives its records.
#[track_caller]
fn run(flags: &[&str]) -> Vec<Value> {
    run_with(flags, 0)
}

/// The same where so many tasks are named by others.
fn run_with(flags: &[&str], n_named: usize) -> Vec<Value> {
    let files = ["--output", "results.jsonl", "--stats", "stats.json"];
    let (ran, dir) = mpirun(2).args(["run"]).args(flags.iter().copied()).args(files).run();
    ran.code(0).says(" 0 failed, in ").says("on 2 ranks, ");
    let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let records = dir.records("results.jsonl");
    assert_eq!(stats["ok"], records.len());
    assert!(records.iter().all(|record| record["status"] == "ok"));
    assert_eq!(records.len(), n_tasks(flags) + n_named);
    records
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

#[test]
fn every_job_file_is_sound_and_has_a_test() {
    let names: Vec<_> =
        jobs().iter().map(|job| job.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        ["command", "crawl", "demo", "fetch", "fibonacci"],
        "each is run by a test below"
    );
    for job in jobs() {
        let job = job.to_str().unwrap();
        let n_tasks = n_tasks(&[job]);
        assert_eq!(n_tasks == 0, job.ends_with("crawl.toml"), "{n_tasks}: a crawl finds its own");
        assert!(fs::read_to_string(job).unwrap().starts_with("# "), "{job} says what it is");
    }
}

#[test]
fn the_demo_gathers_terms_and_pages() {
    let (demo, text) = read("demo");
    assert!(text.contains("\nn = [4, 3, 8, 6, 10]\n"), "the example that it all began with");
    let site = site();
    let dir = Dir::new();
    let pages: String = (0..N_PAGES).map(|n| format!("{n}.html\n")).collect();
    let urls = dir.write("urls", &pages);
    let records = run(&[&demo, "--base", &site.url("/"), "--urls-from", urls.to_str().unwrap()]);

    let pages = of_kind(&records, "fetch");
    assert_eq!(pages.len(), N_PAGES);
    assert!(pages.iter().all(|page| page["output"]["status"] == 200));
    let mut paths = site.paths();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), N_PAGES, "each page was asked for");

    let terms = of_kind(&records, "fibonacci");
    assert!(terms.len() > 2_000);
    let term = |n: u64| terms.iter().find(|term| term["input"]["n"] == n).expect("it is there");
    for (n, value) in [(4, "3"), (3, "2"), (8, "21"), (6, "8"), (10, "55")] {
        assert_eq!(term(n)["output"]["value"], value);
    }
    // Binet's formula gives the number of digits, a remainder modulo 10^20 the last ones.
    assert_eq!(term(10_000_000)["output"]["digits"], 2_089_877);
    assert_eq!(term(10_000_000)["output"]["last"], "86998673686380546875");
}

#[test]
fn every_way_to_name_terms_and_to_take_them() {
    let records = run(&[&read("fibonacci").0]);
    let numbers: Vec<_> = records.iter().map(|record| record["input"]["n"].to_string()).collect();
    assert_eq!(numbers[..9], ["4", "3", "8", "6", "10", "1", "2", "3", "4"], "ordered");
    let ids: std::collections::BTreeSet<_> =
        records.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), records.len(), "terms named twice have ids of their own");
    for (place, field) in [(0, "value"), (17, "digest"), (19, "bits"), (20, "residue")] {
        assert!(!records[place]["output"][field].is_null(), "{}", records[place]);
    }
    let largest = records.last().unwrap();
    assert_eq!(largest["input"]["n"], "9223372036854775808");
}

#[test]
fn every_way_to_run_a_command() {
    let (command, text) = read("command");
    let records = run_with(&[&command], 2);
    let output = |arg: &str| {
        let of = |record: &&Value| record["input"]["args"][0] == arg;
        records.iter().find(of).unwrap()["output"]["stdout"].as_str().unwrap().to_owned()
    };
    assert_eq!(output("it's $HOME"), "a value is it's $HOME\n");
    assert!(output("command.toml").ends_with(" command.toml\n"));
    assert!(output("B").starts_with("B\nC B\n"), "{}", output("B"));
    assert_eq!(output("a.in"), "");
    let runs = |run: &str| records.iter().filter(|record| record["input"]["run"] == run).count();
    assert_eq!([runs("echo named"), runs("echo listed")], [1, 1]);
    assert!(records.iter().any(|record| record["input"]["n"] == 10), "a named term");

    // The keys that it shows, commented out or not, are all that the program knows.
    let resolved = rankpool().args(["check", &command]).run().0.stdout;
    let resolved: toml::Table = toml::from_str(&resolved).unwrap();
    let tables = resolved["task"].as_array().unwrap().iter();
    for key in tables.flat_map(|table| table.as_table().unwrap().keys()) {
        let shown = text.lines().any(|line| {
            line.trim_start_matches(['#', ' ', '{', ',']).starts_with(&format!("{key} = "))
        });
        assert!(shown, "`{key}` is not in jobs/command.toml");
    }
}

#[test]
fn every_key_of_a_fetch_table() {
    let (fetch, text) = read("fetch");
    let site = site();
    let records = run(&[&fetch, "--base", &site.url("/")]);
    assert!(records.iter().all(|page| page["output"]["status"] == 404), "no such pages here");
    let dir = Dir::new();
    let urls = dir.write("urls", "7.html\n/8.html\n");
    let records = run(&[&fetch, "--base", &site.url("/"), "--urls-from", urls.to_str().unwrap()]);
    let mut headings: Vec<_> =
        records.iter().map(|page| page["output"]["extract"]["heading"][0].clone()).collect();
    headings.sort_by_key(ToString::to_string);
    assert_eq!(headings, ["Page 7", "Page 8"]);

    check_keys("fetch", &text);
}

/// The keys that a job shows, commented out or not, are all that its kind knows.
#[track_caller]
fn check_keys(kind: &str, text: &str) {
    let pool = rankpool();
    pool.dir().write("j.toml", &format!("[[task]]\nkind = '{kind}'\nqqqqq = 1\n"));
    let said = pool.line("check j.toml").run().0.code(2).stderr.clone();
    let known = said.split("use one of ").nth(1).expect(&said);
    for key in known.trim().split(", ").map(|key| key.trim_matches('`')) {
        let is_shown =
            |line: &str| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} = "));
        assert!(text.lines().any(is_shown), "`{key}` is not in jobs/{kind}.toml");
    }
}

#[test]
fn a_crawl_with_every_key() {
    let (_, text) = read("crawl");
    let site = site();
    let dir = Dir::new();
    let text = text.replace("http://127.0.0.1:8000/", &site.url("/0.html"));
    let job = dir.write("crawl.toml", &text.replace("200ms", "0s"));
    let files = ["--output", "results.jsonl", "--stats", "stats.json"];
    let (ran, dir) = mpirun(2).in_dir(dir).args(["run", job.to_str().unwrap()]).args(files).run();
    ran.code(0).says("251 ok, 0 failed, in ").says("on 2 ranks, ");
    assert_eq!(dir.records("results.jsonl").len(), N_PAGES + 1, "and the page that is not there");
    check_keys("crawl", &text);
}
