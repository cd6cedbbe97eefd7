//! README.md, held to what it says: every command is run, every table compared with the program.
//!
//! Commands are the lines of its `sh` blocks. They run one after the other in a folder that has
//! `jobs/`, `hostfile`, `urls.txt`, and each `toml` block that begins with a comment of its name.
//! `http://127.0.0.1:8000/` is a server of the test's. A command ends with the exit code 0 unless
//! `# exit code N` stands behind it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rankpool::task::{ErrorClass, KINDS, id, id_digits};
use serde_json::Value;

use crate::site::{Site, body, html, redirect};
use crate::util::{Dir, rankpool, records};

/// The address at which the README's examples find pages.
const EXAMPLE: &str = "http://127.0.0.1:8000/";

/// What is not run here: it sets up, contains this very test, changes the shell, needs Slurm, or
/// speaks to the network.
const NOT_RUN: &[&str] = &[
    "scripts/run",
    "scripts/test",
    ". scripts/env",
    "sbatch jobs/farm.sbatch",
    "srun --mpi=pmix --kill-on-bad-exit=1 rankpool run jobs/demo.toml",
    "mpirun --bind-to none rankpool run jobs/demo.toml",
    "rankpool announce --secret-file secret",
    "rankpool discover --secret-file secret > hostfile && mpirun -n 4 --hostfile hostfile \
     rankpool run jobs/demo.toml",
];

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(checkout().join("README.md")).unwrap()
}

/// The code blocks of a language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let start = format!("\n```{language}\n");
    let found = readme.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap());
    found.map(str::to_owned).collect()
}

/// Each command with the exit code that it is to have.
fn commands(readme: &str) -> Vec<(String, i32)> {
    let blocks = blocks(readme, "sh");
    let lines = blocks.iter().flat_map(|block| block.lines()).filter(|line| !line.is_empty());
    let command = |line: &str| match line.split_once(" # exit code ") {
        Some((command, code)) => (command.to_owned(), code.parse().unwrap()),
        None => (line.to_owned(), 0),
    };
    lines.map(command).collect()
}

/// A folder in which the commands find what they name.
fn scratch(readme: &str, site: &Site) -> Dir {
    let dir = Dir::new();
    fs::create_dir(dir.path().join("jobs")).unwrap();
    for entry in fs::read_dir(checkout().join("jobs")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join("jobs").join(entry.file_name())).unwrap();
    }
    fs::copy(checkout().join("hostfile"), dir.path().join("hostfile")).unwrap();
    dir.write("urls.txt", &format!("{}\n{}\n", site.url("/"), site.url("/page")));
    for block in blocks(readme, "toml") {
        let name = block.lines().next().and_then(|line| line.strip_prefix("# "));
        dir.write(name.expect("a block says its file's name"), &at(site, &block));
    }
    dir
}

/// A text with the server's address in place of the example's.
fn at(site: &Site, text: &str) -> String {
    text.replace(EXAMPLE, &site.url("/"))
}

fn site() -> Site {
    Site::start([
        ("/", html("<title>A</title><h1>B</h1><a href=/page>C</a>")),
        ("/page", html("<title>D</title>")),
    ])
}

/// A command line as a user's shell runs it.
fn shell(line: &str, dir: &Path) -> std::process::Output {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_rankpool"));
    let path = [program.parent().unwrap().display().to_string(), std::env::var("PATH").unwrap()];
    let mut command = Command::new("timeout");
    command.args(["120", "bash", "-o", "pipefail", "-c", line]).current_dir(dir);
    command.env("PATH", path.join(":")).env("TMPDIR", dir).stdin(Stdio::null());
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
    }
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
    command.env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
    command.env("OMPI_MCA_mpi_yield_when_idle", "1");
    command.output().unwrap()
}

#[test]
fn every_command_runs() {
    let (readme, site) = (readme(), site());
    let dir = scratch(&readme, &site);
    let (not_run, run): (Vec<_>, Vec<_>) =
        commands(&readme).into_iter().partition(|(line, _)| NOT_RUN.contains(&line.as_str()));
    assert_eq!(not_run.iter().map(|(line, _)| line.as_str()).collect::<Vec<_>>(), NOT_RUN);
    assert!(run.len() > 15, "the commands are found: {run:?}");
    for (line, code) in run {
        let output = shell(&at(&site, &line), dir.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{line}\n{said}");
    }
    assert!(site.paths().len() >= 5, "pages were fetched: {:?}", site.paths());
}

#[test]
fn its_job_files_are_sound() {
    let (readme, site) = (readme(), site());
    let dir = scratch(&readme, &site);
    let blocks = blocks(&readme, "toml");
    assert!(blocks.len() >= 2);
    for block in blocks {
        let name = block.lines().next().unwrap().trim_start_matches("# ");
        let path = dir.path().join(name);
        let (ran, _) = rankpool().args(["check", path.to_str().unwrap()]).run();
        ran.code(0).says("# ok: ");
    }
}

#[test]
fn its_records_have_the_ids_that_it_defines() {
    let records = blocks(&readme(), "json").iter().flat_map(|text| records(text)).collect();
    let records: Vec<Value> = records;
    assert!(records.len() >= 2);
    for record in records {
        let kind = record["kind"].as_str().unwrap();
        let id = id_digits(id(kind, record["input"].to_string().as_bytes(), 0));
        assert_eq!(record["id"].as_str(), std::str::from_utf8(&id).ok());
    }
}

/// The rows of the table under a heading that has a column `key`: the key and its default.
fn keys_under(readme: &str, heading: &str) -> Vec<(String, String)> {
    let section = readme.split(&format!("\n### {heading}\n")).nth(1).expect(heading);
    let section = section.split("\n#").next().unwrap();
    let mut rows = section.lines().skip_while(|line| !line.starts_with("| key |"));
    let header: Vec<_> = rows.next().expect(heading).split(" | ").collect();
    let default = header.iter().position(|cell| *cell == "default").unwrap();
    let rows = rows.skip(1).take_while(|row| row.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_start_matches("| ").split(" | ").collect();
        (cells[0].trim_matches('`').to_owned(), cells[default].to_owned())
    })
    .collect()
}

/// What `rankpool check` says to a job file.
fn check(job: &str) -> (i32, String) {
    let pool = rankpool();
    pool.dir().write("j.toml", job);
    let (ran, _) = pool.line("check j.toml").run();
    (ran.status.code().unwrap(), ran.stdout + &ran.stderr)
}

/// The keys that the program knows, as it lists them when it meets one that it does not.
fn known_keys(job: &str) -> BTreeSet<String> {
    let (code, said) = check(&format!("{job}\nqqqqq = 1\n"));
    let list = said.split("use one of ").nth(1).filter(|_| code == 2).expect(&said);
    list.trim().split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

#[test]
fn every_key_is_explained_and_no_other() {
    let readme = readme();
    let compare = |heading: &str, job: &str| {
        let explained: BTreeSet<_> =
            keys_under(&readme, heading).into_iter().map(|(key, _)| key).collect();
        assert_eq!(explained, known_keys(job), "{heading}");
    };
    compare("The job", "");
    let of_all: Vec<_> = keys_under(&readme, "Every `[[task]]`");
    assert_eq!(of_all.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["kind", "name", "after"]);
    for kind in KINDS {
        let name = kind.name();
        compare(&format!("`kind = \"{name}\"`"), &format!("[[task]]\nkind = \"{name}\""));
    }
}

#[test]
fn the_defaults_are_those_that_check_fills_in() {
    let readme = readme();
    let mut n_compared = 0;
    for (heading, job, place) in [
        ("The job", "", None),
        ("`kind = \"fetch\"`", "[[task]]\nkind = 'fetch'\nurls = 'http://h/'", Some("task")),
        (
            "`kind = \"crawl\"`",
            "[[task]]\nkind = 'crawl'\nseeds = 'http://h/'\nuser_agent = 'x (+http://y)'",
            Some("task"),
        ),
        ("`kind = \"command\"`", "[[task]]\nkind = 'command'\nrun = 'true'", Some("task")),
        ("`kind = \"probe\"`", "[[task]]\nkind = 'probe'\nn = 1", Some("task")),
    ] {
        let (code, resolved) = check(job);
        let resolved: toml::Table = toml::from_str(&resolved).expect(&resolved);
        let table = place.map_or(&resolved, |place| resolved[place][0].as_table().unwrap());
        assert_eq!(code, 0);
        for (key, default) in keys_under(&readme, heading) {
            let written = default.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
            let written = written.filter(|text| !text.contains('`'));
            let (Some(written), Some(value)) = (written, table.get(&key)) else { continue };
            let expected = toml::from_str::<toml::Table>(&format!("x = {written}"));
            assert_eq!(*value, expected.expect(&default)["x"], "{heading}: {key}");
            n_compared += 1;
        }
    }
    assert!(n_compared >= 12, "{n_compared} defaults were found");
}

#[test]
fn every_flag_and_every_error_class_is_named() {
    let readme = readme();
    for command in ["run", "check", "fib", "fetch", "crawl", "exec", "info"] {
        let (ran, _) = rankpool().line(&format!("{command} --help")).run();
        let options = ran.stdout.lines().filter(|line| line.trim_start().starts_with('-'));
        let words = options.flat_map(|line| line.split([' ', ',', '[', '=']));
        let flags: Vec<_> =
            words.filter(|word| word.starts_with("--") && *word != "--help").collect();
        assert!(flags.contains(&"--threads"), "{flags:?}");
        for flag in flags {
            let named = [' ', '`', '='].iter().any(|end| readme.contains(&format!("{flag}{end}")));
            assert!(named, "`{flag}` of `rankpool {command}` is not in README.md");
        }
    }
    for class in ErrorClass::ALL {
        let row = format!("\n| `{}` | ", class.as_str());
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn the_tables_that_it_shows_are_those_that_are_printed() {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = squeeze(&readme());
    let (ran, _) = rankpool().line("fib 4 3").run();
    let lines: Vec<_> = ran.stdout.lines().collect();
    let titles = lines.windows(2).filter(|pair| pair[0].ends_with(':'));
    let headers: Vec<_> = titles.map(|pair| squeeze(&pair.join(" "))).collect();
    assert_eq!(headers.len(), 3, "{}", ran.stdout);
    for header in headers {
        assert!(readme.contains(&header), "{header}");
    }
}

/// The keys of all objects in a value.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let below = fields.values().flat_map(keys);
            below.chain(fields.keys().cloned()).collect()
        }
        Value::Array(entries) => entries.iter().flat_map(keys).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_field_of_records_and_statistics_is_named() {
    let (readme, site) = (readme(), site());
    let pool = rankpool();
    let (page, extract) = (site.url("/"), "extract = { none = 'x' }");
    let job = format!("[[task]]\nkind = 'fetch'\nurls = ['{page}', 'http://127.0.0.1:9/']\n");
    let terms = ["value = 'full'", "value = 'summary'", "value = 'none'", "modulus = 7"];
    let terms = terms.map(|line| format!("[[task]]\nkind = 'fibonacci'\nn = 10\n{line}\n"));
    let pool = pool.job(&(job + extract + "\n" + &terms.concat()));
    let (ran, dir) = pool.args(["--stats", "stats.json"]).run();
    ran.code(1);
    let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let mut fields: Vec<_> = dir.records("job.results.jsonl").iter().flat_map(keys).collect();
    fields.extend(keys(&stats));
    assert!(fields.iter().any(|field| field == "residue") && fields.len() > 100, "{fields:?}");
    fields.retain(|field| !["none", "connect", "n", "modulus"].contains(&field.as_str()));
    for field in fields {
        assert!(readme.contains(&format!("`{field}`")), "`{field}` is not in README.md");
    }
}

#[test]
fn every_field_and_every_fate_of_a_crawl_is_named() {
    let readme = readme();
    let site = Site::start([
        ("/robots.txt", body("User-agent: *\nDisallow: /no\n")),
        (
            "/",
            html("<title>A</title><link rel=canonical href=/x><a href=/a/a/a/a>C</a><a href=/b>"),
        ),
        (
            "/a/b",
            html("<a href=/no><a href=http://example.org/><a href=/r><a href=/a/b/><a href=/t>"),
        ),
        ("/b", html("the same").with("X-Robots-Tag", "noindex, nofollow")),
        ("/a/b/", html("the same")),
        ("/r", redirect(302, "/b")),
        ("/t", body("text").with("Content-Type", "text/plain")),
    ]);
    let seeds =
        format!("seeds = ['{}', '{}', 'http://127.0.0.1:9/']", site.url("/"), site.url("/a/b"));
    let more = "anonymous = true\nallow_private = true\ndelay = '0s'\nretries = 0\nwarc = 'w'\ntypes = ['text/html']\n\
                depth = 1\nexclude = ['gone']";
    let pool = rankpool().job(&format!("[[task]]\nkind = 'crawl'\n{seeds}\n{more}\n"));
    let (ran, dir) = pool.args(["--stats", "stats.json"]).run();
    ran.code(1);
    let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let mut fields: Vec<_> = dir.records("job.results.jsonl").iter().flat_map(keys).collect();
    let fates = stats["sources"][0]["fates"].as_object().unwrap();
    assert!(fates.len() > 7, "{fates:?}");
    fields.extend(keys(&stats["sources"]));
    fields.extend(dir.records("job.results.urls.jsonl").iter().flat_map(keys));
    fields.retain(|field| !field.starts_with("http:") && !field.starts_with("digest"));
    for field in fields {
        let field = match field.split_once(':') {
            Some((code @ ("failed" | "budget"), _)) => format!("{code}: …"),
            _ => field,
        };
        assert!(readme.contains(&format!("`{field}`")), "`{field}` is not in README.md");
    }
}

#[test]
fn its_links_lead_somewhere() {
    let readme = readme();
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.replace(|c: char| !c.is_alphanumeric() && c != '-', "")
    };
    let headings: Vec<_> =
        readme.lines().filter(|line| line.starts_with("##")).map(anchor).collect();
    let links: Vec<_> =
        readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(links.len() > 10);
    for link in links {
        let leads = match link.strip_prefix('#') {
            Some(anchor) => headings.iter().any(|heading| heading == anchor),
            None => checkout().join(link).exists(),
        };
        assert!(leads, "{link} leads nowhere; there are {headings:?}");
    }
}
