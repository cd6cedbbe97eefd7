//! Jobs of two small kinds that stand for the real ones and name their keys alike.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::*;
use crate::cli::Command;
use crate::cli::tests::parse;
use crate::policy::{Fsync, MaxFailures, Policy};
use crate::task::{ErrorClass, Next, Pool, Source, Work};

struct Fake(&'static str);

static FAKES: &[&dyn Kind] = &[&Fake("fibonacci"), &Fake("fetch")];

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    #[serde(default)]
    n: Vec<Value>,
    n_from: Option<String>,
    #[serde(default = "full")]
    value: String,
    modulus: Option<u32>,
}

fn full() -> String {
    "full".to_owned()
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    #[serde(default)]
    urls: Vec<String>,
    urls_from: Option<PathBuf>,
    base: Option<String>,
    #[serde(default)]
    extract: BTreeMap<String, String>,
    links: Option<u32>,
    redirects: Option<u32>,
    timeout: Option<String>,
}

impl Kind for Fake {
    fn name(&self) -> &'static str {
        self.0
    }

    fn plan(&self, table: Table, _: &mut PlanContext<'_>) -> Result<Plan> {
        let (resolved, count) = if self.0 == "fibonacci" {
            let terms: Terms = table.try_into()?;
            if let Some(n) = terms.n.iter().filter_map(Value::as_integer).find(|&n| n < 0) {
                bail!("`{n}` is negative; terms start at 0");
            }
            let count = terms.n_from.is_none().then_some(terms.n.len() as u64);
            (Table::try_from(terms)?, count)
        } else {
            let pages: Pages = table.try_into()?;
            (Table::try_from(&pages)?, Some(pages.urls.len() as u64))
        };
        let source = Box::new(Counted(count));
        Ok(Plan {
            resolved,
            options: String::new(),
            source,
            pool: Pool::Cpu,
            limit: None,
            own_retries: false,
        })
    }

    fn work(&self, _: &str) -> Result<Box<dyn Work>> {
        bail!("a fake does not run")
    }

    fn describe(&self, record: &serde_json::Value) -> String {
        record.to_string()
    }
}

struct Counted(Option<u64>);

impl Source for Counted {
    fn next(&mut self, _: Duration) -> Result<Next> {
        Ok(Next::Exhausted)
    }

    fn remaining(&self) -> Option<u64> {
        self.0
    }
}

/// A job file `j.toml` in a folder of its own, gone at the end.
struct JobDir(PathBuf);

impl JobDir {
    #[track_caller]
    fn new(text: &str) -> Self {
        let line = std::panic::Location::caller().line();
        let dir = std::env::temp_dir().join(format!("rankpool-job-{}-{line}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("j.toml"), text).unwrap();
        Self(dir)
    }

    fn job(&self, flags: &str) -> Result<JobSpec> {
        let line = format!("rankpool check {}/j.toml {flags}", self.0.display());
        match parse(&line).unwrap().command {
            Command::Check(args) => JobSpec::from_file_of(FAKES, &args.job, &args.overrides),
            _ => unreachable!(),
        }
    }
}

impl Drop for JobDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn one_liner(line: &str) -> Result<JobSpec> {
    match parse(line).unwrap().command {
        Command::Fib(args) => JobSpec::one_liner(FAKES, "fib", tables::fibonacci(&args), &args.run),
        Command::Fetch(args) => JobSpec::one_liner(FAKES, "fetch", tables::fetch(&args), &args.run),
        _ => unreachable!(),
    }
}

#[track_caller]
fn check_error(text: &str, flags: &str, expected: &str) {
    let dir = JobDir::new(text);
    let error = format!("{:#}", dir.job(flags).unwrap_err());
    let place = format!("{}: ", dir.0.join("j.toml").display());
    assert_eq!(error.strip_prefix(&place), Some(expected), "{error}");
}

const TWO_TABLES: &str = "[[task]]\nkind = 'fibonacci'\nn = [4, 3]\n\
                          [[task]]\nkind = 'fetch'\nurls = ['a', 'b']\n";

#[test]
fn a_file_without_settings_takes_the_defaults() {
    let job = JobDir::new(TWO_TABLES).job("").unwrap();
    assert_eq!(job.name, "j");
    assert_eq!(job.summary(), "4 tasks in 2 tables");
    let expected = Settings {
        schedule: crate::schedule::Schedule::Auto,
        threads: None,
        io_threads: 64.try_into().unwrap(),
        root_computes: true,
        values_dir: None,
        ordered: false,
        memory: None,
        output: Output::File("j.results.jsonl".into()),
        overwrite: false,
        resume: Resume::No,
        fsync: "1s".parse().unwrap(),
        policy: Policy::default(),
        stats: None,
        control: None,
        shard: None,
        quiet: false,
    };
    assert_eq!(job.settings, expected);
}

#[test]
fn the_command_line_wins_over_the_file_key_by_key() {
    let text = "output = 'o'\nstats = 's'\nordered = true\nschedule = 'static'\nthreads = 1\n\
                io_threads = 2\nroot_computes = false\nmemory = '1GiB'\nfsync = 'never'\n\
                max_failures = 3\ncrash_limit = 4\ngrace = '5s'\nwalltime = '6m'\n\
                heartbeat = '7s'\nvalues_dir = 'v'\nretry = { dns = 8 }\n";
    let dir = JobDir::new(text);
    let settings = dir.job("").unwrap().settings;
    assert_eq!(settings.output, Output::File(dir.0.join("o")));
    assert_eq!(settings.stats, Some(dir.0.join("s")));
    assert_eq!(settings.values_dir, Some(dir.0.join("v")));
    assert!(settings.ordered && !settings.root_computes);
    assert_eq!((settings.threads, settings.memory), (1.try_into().ok(), Some(1 << 30)));

    assert_eq!(settings.fsync, Fsync::Never);
    let policy = settings.policy;
    assert_eq!((policy.max_failures, policy.crash_limit.get()), (Some(MaxFailures::Count(3)), 4));
    assert_eq!(policy.grace, Duration::from_secs(5));
    assert_eq!(policy.walltime, Some(Duration::from_secs(360)));
    assert_eq!(policy.heartbeat, Duration::from_secs(7));
    assert_eq!(policy.retries.of(ErrorClass::Dns, Pool::Io).retries, 8);

    let flags = "--output - --stats t --ordered=false --schedule dynamic,3 --threads 5 \
                 --io-threads 6 --no-root-compute=false --memory 2GiB --overwrite --quiet \
                 --fsync always --max-failures 5% --crash-limit 1 --grace 1s --walltime 2s \
                 --heartbeat 3s --values-dir /w";
    let expected = Settings {
        schedule: "dynamic,3".parse().unwrap(),
        threads: 5.try_into().ok(),
        io_threads: 6.try_into().unwrap(),
        root_computes: true,
        values_dir: Some("/w".into()),
        ordered: false,
        memory: Some(2 << 30),
        output: Output::Stdout,
        overwrite: true,
        resume: Resume::No,
        fsync: Fsync::Always,
        policy: Policy {
            retries: policy.retries,
            max_failures: Some(MaxFailures::Percent(5.0)),
            crash_limit: NonZeroU32::MIN,
            grace: Duration::from_secs(1),
            walltime: Some(Duration::from_secs(2)),
            heartbeat: Duration::from_secs(3),
        },
        stats: Some("t".into()),
        control: None,
        shard: None,
        quiet: true,
    };
    assert_eq!(dir.job(flags).unwrap().settings, expected);
    assert_eq!(JobDir::new("").job("--output none").unwrap().settings.output, Output::None);
    assert_eq!(dir.job("--resume").unwrap().settings.resume, Resume::Missing);
    assert_eq!(dir.job("--retry-failed").unwrap().settings.resume, Resume::MissingAndFailed);
}

#[test]
fn the_resolved_job_resolves_to_itself() {
    let text = "output = 'o'\nstats = 's'\nmemory = 1500\nschedule = 'guided'\n\
                max_failures = '7%'\nwalltime = '90s'\nretry = { connect = 1 }\n\
                [[task]]\nkind = 'fetch'\nurls = ['a']\nurls_from = 'u.txt'\n\
                extract = { title = '<h1 \"(.*?)\\s' }\n\
                [[task]]\nkind = 'fibonacci'\nn = [1, '2..=5']\n";
    let dir = JobDir::new(text);
    let first = dir.job("--threads 3 --value none").unwrap().resolved().unwrap();
    let second = JobDir::new(&first).job("").unwrap().resolved().unwrap();
    assert_eq!(first, second);
    for line in ["memory = \"1500B\"", "schedule = \"guided,1\"", "threads = 3"] {
        assert!(first.contains(&format!("{line}\n")), "{line} in:\n{first}");
    }
    let urls_from = format!("urls_from = \"{}\"\n", dir.0.join("u.txt").display());
    assert!(first.contains(&urls_from), "{first}");
    assert!(first.contains("[[task]]\nkind = \"fibonacci\"\n"), "{first}");
    assert!(first.contains("[task.extract]\n"), "{first}");
}

#[test]
fn an_empty_job_is_a_job() {
    let job = JobDir::new("").job("").unwrap();
    assert_eq!((job.tables.len(), job.summary().as_str()), (0, "0 tasks in 0 tables"));
    let resolved = job.resolved().unwrap();
    assert_eq!(JobDir::new(&resolved).job("").unwrap().resolved().unwrap(), resolved);
}

#[test]
fn table_overrides_reach_every_table_of_their_kind_and_no_other() {
    let text = format!("{TWO_TABLES}{TWO_TABLES}");
    let flags = "--base http://h/ --urls-from urls.txt --value none --modulus 7";
    let job = JobDir::new(&text).job(flags).unwrap();
    let urls = std::path::absolute("urls.txt").unwrap();
    for table in &job.tables {
        let keys = &table.plan.resolved;
        if table.kind.name() == "fetch" {
            assert_eq!(keys["base"].as_str(), Some("http://h/"));
            assert_eq!(keys["urls_from"].as_str(), urls.to_str());
            assert_eq!(keys["urls"].as_array().map(Vec::len), Some(0));
        } else {
            assert_eq!(
                (keys["value"].as_str(), keys["n"].as_array().unwrap().len()),
                (Some("none"), 2)
            );
            assert_eq!(keys["modulus"].as_integer(), Some(7));
        }
    }
    let stdin = JobDir::new(TWO_TABLES).job("--urls-from -").unwrap();
    assert_eq!(stdin.tables[1].plan.resolved["urls_from"].as_str(), Some("-"));
}

#[test]
fn an_override_without_a_table_is_an_error() {
    let fibonacci = "[[task]]\nkind = 'fibonacci'";
    for flag in ["--base", "--urls-from"] {
        let way_out = "is for `fetch` tables and this job has none; leave it out";
        check_error(fibonacci, &format!("{flag} x"), &format!("`{flag}` {way_out}"));
    }
    for flags in ["--value none", "--modulus 3"] {
        let flag = flags.split(' ').next().unwrap();
        let way_out = "is for `fibonacci` tables and this job has none; leave it out";
        check_error("[[task]]\nkind = 'fetch'", flags, &format!("`{flag}` {way_out}"));
    }
}

#[test]
fn errors_in_a_table_name_it_and_the_way_out() {
    check_error(
        &format!("{TWO_TABLES}url = ['c']"),
        "",
        "[[task]] 2: unknown key `url`; did you mean `urls`?",
    );
    check_error(
        "[[task]]\nkind = 'fibonacci'\nn = 4",
        "",
        "[[task]] 1: `n` is integer `4`; use a list `[…]`",
    );
    check_error(
        "[[task]]\nkind = 'fibonacci'\nn = [-4]",
        "",
        "[[task]] 1: `-4` is negative; terms start at 0",
    );
    check_error(
        "[[task]]\nkind = 'fibonacci'\noutput = 'x'",
        "",
        "[[task]] 1: `output` is a key of the whole job: put it above the first `[[task]]`",
    );
    check_error(
        "[[task]]\nn = [4]",
        "",
        "[[task]] 1: no `kind`; add `kind = \"…\"`, one of `fibonacci`, `fetch`",
    );
    check_error(
        "[[task]]\nkind = 3",
        "",
        "[[task]] 1: `kind` is no string; use one of `fibonacci`, `fetch`",
    );
}

#[test]
fn an_unknown_kind_is_told_before_a_flag_for_it() {
    let text = "[[task]]\nkind = 'fibonaci'\nn = [4]";
    let expected = "[[task]] 1: unknown kind `fibonaci`; did you mean `fibonacci`? there are `fibonacci`, `fetch`";
    check_error(text, "--value none", expected);
    let expected = "[[task]] 1: unknown kind `x`; there are `fibonacci`, `fetch`";
    check_error("[[task]]\nkind = 'x'", "", expected);
}

#[test]
fn files_that_would_overwrite_each_other_are_refused() {
    check_error(
        "output = ''",
        "",
        "`output` is empty; name a file, or write `-` (standard output) or `none`",
    );
    for stats in ["", "-"] {
        let expected = "`stats` needs a file of its own, such as `stats.json`";
        check_error(&format!("stats = '{stats}'"), "", expected);
    }
    check_error("", "--output x --stats ./x", "`x` is both `output` and `stats`; name two files");
    let dir = JobDir::new("output = 'j.toml'");
    let error = format!("{:#}", dir.job("--overwrite").unwrap_err());
    assert!(error.contains("is the job file itself; write to another one"), "{error}");
}

#[test]
fn fib_writes_its_own_table() {
    let job =
        one_liner("rankpool fib 4, 3,8 1..=1000 - 18446744073709551615 --value none").unwrap();
    assert_eq!((job.name.as_str(), &job.settings.output), ("fib", &Output::Lines));
    assert_eq!(job.summary(), "at least 0 tasks in 1 table");
    let keys = &job.tables[0].plan.resolved;
    let expected: Value =
        "n = [4, 3, 8, '1..=1000', '18446744073709551615']".parse::<Table>().unwrap()["n"].clone();
    assert_eq!(keys["n"], expected);
    assert_eq!((keys["n_from"].as_str(), keys["value"].as_str()), (Some("-"), Some("none")));
}

#[test]
fn fetch_writes_its_own_table() {
    let line = "rankpool fetch http://a - --links 3 --extract t=a=b --timeout 30s --redirects 2";
    let job = one_liner(line).unwrap();
    let keys = &job.tables[0].plan.resolved;
    assert_eq!(keys["urls"].as_array().unwrap().len(), 1);
    assert_eq!(keys["urls_from"].as_str(), Some("-"));
    assert_eq!((keys["links"].as_integer(), keys["redirects"].as_integer()), (Some(3), Some(2)));
    assert_eq!(
        (keys["extract"]["t"].as_str(), keys["timeout"].as_str()),
        (Some("a=b"), Some("30s"))
    );
}

#[test]
fn errors_of_one_liners_have_no_place_to_name() {
    let error = one_liner("rankpool fib 3 -5").unwrap_err();
    assert_eq!(format!("{error:#}"), "`-5` is negative; terms start at 0");
    let error = one_liner("rankpool fib 3 --modulus x").unwrap_err();
    assert_eq!(format!("{error:#}"), "`modulus` is string \"x\"; use a whole number from 0");
}

#[test]
fn counts_are_grouped_by_thousands() {
    for (n, expected) in [
        (0, "0 tasks"),
        (1, "1 task"),
        (999, "999 tasks"),
        (3255, "3,255 tasks"),
        (1_000_000, "1,000,000 tasks"),
    ] {
        assert_eq!(counted(n, "task"), expected);
    }
}
