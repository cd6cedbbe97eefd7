//! Large values: in files of the ranks that made them, and brought together by `gather`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::hosts::Hosts;
use crate::util::{Dir, Rankpool, is_open_mpi, mpirun, rankpool, ranks_of};

const RANKPOOL: &str = env!("CARGO_BIN_EXE_rankpool");
/// 48 values of about 84 kB, and small ones.
const JOB: &str = "schedule = 'static,1'\n[[task]]\nkind = 'fibonacci'\nvalue = 'full'\n\
                   n = ['400000..=400047', 10]\n[[task]]\nkind = 'command'\nmax_output = 1000\n\
                   run = 'seq {}'\nargs = [3, 20000]\n";
/// Of these, in files: the terms and one output.
const N_LARGE: usize = 49;

/// A large value as a record names it.
struct Named {
    path: PathBuf,
    offset: usize,
    bytes: usize,
    digest: String,
}

fn named(record: &Value) -> Option<Named> {
    let output = &record["output"];
    let name =
        ["value", "stdout"].into_iter().find(|name| !output[format!("{name}_file")].is_null())?;
    let number = |what: &str| usize::try_from(output[format!("{name}_{what}")].as_u64().unwrap());
    Some(Named {
        path: output[format!("{name}_file")].as_str().unwrap().into(),
        offset: number("offset").unwrap(),
        bytes: number("bytes").unwrap(),
        digest: output[format!("{name}_digest")].as_str().unwrap().to_owned(),
    })
}

/// The digest of what every record of a job stands for, by its input; files are read by `open`.
#[track_caller]
fn values(records: &[Value], open: impl Fn(&Path) -> Vec<u8>) -> BTreeMap<String, u128> {
    let mut values = BTreeMap::new();
    for record in records {
        assert_eq!(record["status"], "ok", "{record}");
        let output = &record["output"];
        let value = match named(record) {
            None => {
                let text = output["value"].as_str().or(output["stdout"].as_str()).unwrap();
                xxh3_128(text.as_bytes())
            }
            Some(Named { path, offset, bytes, digest }) => {
                let value = xxh3_128(&open(&path)[offset..offset + bytes]);
                assert_eq!(digest, format!("xxh3:{value:032x}"));
                value
            }
        };
        values.insert(record["input"].to_string(), value);
    }
    assert_eq!(values.len(), records.len(), "a record a task");
    values
}

fn here(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

/// What the job gives without files.
fn expected() -> BTreeMap<String, u128> {
    let job = JOB.replace("max_output = 1000", "max_output = '1MiB'");
    let (ran, dir) = rankpool().job(&job).run();
    ran.code(0);
    values(&dir.records("job.results.jsonl"), here)
}

#[test]
fn they_are_written_by_the_rank_that_made_them_and_brought_from_where_they_are() {
    let expected = expected();
    let (ran, dir) = mpirun(3).job(JOB).args(["--values-dir", "values"]).run();
    ran.code(0);
    assert!(!ran.stderr.contains("is not shared"), "{}", ran.stderr);
    let records = dir.records("job.results.jsonl");
    assert_eq!(values(&records, here), expected);
    let large: Vec<_> =
        records.iter().filter_map(|record| Some((record, named(record)?))).collect();
    assert_eq!(large.len(), N_LARGE);
    for (record, Named { path, .. }) in &large {
        let owner = format!("-rank{}-pid{}-", record["rank"], record["pid"]);
        assert!(path.starts_with(dir.path()) && path.to_str().unwrap().contains(&owner));
    }
    let files: BTreeSet<_> = large.iter().map(|(_, named)| named.path.clone()).collect();
    assert!((3..=12).contains(&files.len()), "a file a writer: {files:?}");
    let left = fs::read_dir(dir.path().join("values")).unwrap().count();
    assert_eq!(left, files.len(), "no marker stays");
    let gather = |dir: Dir, flags: &str| {
        rankpool().in_dir(dir).line(&format!("gather job.results.jsonl{flags}")).run()
    };
    let (ran, dir) = gather(dir, "");
    ran.code(0).says("49 of 49 values are here; 0 files brought");
    let (ran, dir) = gather(dir, " --into copy");
    ran.code(0).says(&format!("49 of 49 values are here; {} files brought", files.len()));
    let moved = |path: &Path| here(&dir.path().join("copy").join(path.file_name().unwrap()));
    assert_eq!(values(&records, moved), expected);

    // One byte of one value changes.
    let Named { path, offset, .. } = &large[0].1;
    let mut bytes = here(path);
    bytes[*offset] ^= 1;
    fs::write(path, bytes).unwrap();
    let (ran, dir) = gather(dir, "");
    ran.code(1).says("1 values in `").says("48 of 49").says("once more with `--forget-lost`");
    assert_eq!(dir.records("job.results.jsonl").len(), records.len());
    let (ran, dir) = gather(dir, " --forget-lost");
    ran.code(0).says("1 records taken out of `job.results.jsonl`");
    let (ran, dir) =
        rankpool().in_dir(dir).job(JOB).args(["--values-dir", "values", "--resume"]).run();
    ran.code(0).says("50 more had been done before");
    assert_eq!(values(&dir.records("job.results.jsonl"), here), expected);
}

/// srun may lose the end of what it brings and say nothing of it.
#[test]
fn an_agent_that_cuts_files_off_is_asked_for_the_rest() {
    let job = JOB.replace("400047", "400007");
    let (ran, dir) = rankpool().job(&job).args(["--values-dir", "values"]).run();
    ran.code(0);
    fs::rename(dir.path().join("values"), dir.path().join("far")).unwrap();
    let agent = |most: usize| {
        format!(
            "#!/bin/sh\n[ \"$2 $3\" = 'tail -c' ] || exit 1\n\
             tail -c \"$4\" \"far/${{5##*/}}\" | head -c {most}\n"
        )
    };
    let gather = |dir: Dir, most: usize| {
        dir.write("agent", &agent(most));
        let pool = rankpool().in_dir(dir).line("gather job.results.jsonl --into near");
        pool.args(["--agent", "sh agent"]).run()
    };
    let (ran, dir) = gather(dir, 0);
    ran.code(1).says("0 of 9 values are here").says("are lost: 0 bytes are there, ");
    let (ran, dir) = gather(dir, 50_000);
    ran.code(0).says("9 of 9 values are here");
    let near = dir.path().join("near");
    let found = values(&dir.records("job.results.jsonl"), |path| {
        here(&near.join(path.file_name().unwrap()))
    });
    assert_eq!(found.len(), 11);
}

#[test]
fn a_record_names_nothing_half_written_whenever_a_rank_dies() {
    let job = "[[task]]\nkind = 'fibonacci'\nvalue = 'full'\nn = '1000000..=1000099'\n";
    let whole = |dir: &Dir| {
        let text = dir.read("job.results.jsonl");
        // The last one may be torn.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let records: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        values(&records, here)
    };
    let pool = mpirun(3).job(job).args(["--values-dir", "values"]);
    let mut running = pool.start();
    running.poll("some records", |running| {
        let text = fs::read_to_string(running.dir.path().join("job.results.jsonl"));
        text.unwrap_or_default().lines().count() >= 10
    });
    for pid in ranks_of(&running) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let (_, dir) = running.wait();
    let before = whole(&dir);
    assert!((10..100).contains(&before.len()), "{}", before.len());
    let pool = mpirun(3).in_dir(dir).job(job).args(["--values-dir", "values", "--resume"]);
    let (ran, dir) = pool.run();
    ran.code(0);
    let after = whole(&dir);
    assert_eq!(after.len(), 100);
    assert!(before.iter().all(|(input, value)| after[input] == *value), "what was done stays");
}

#[test]
fn a_folder_that_cannot_be_is_named_before_the_first_task() {
    let pool = mpirun(2).job(JOB).args(["--values-dir", "file"]);
    pool.dir().write("file", "");
    let (ran, dir) = pool.run();
    ran.code(2).says("cannot write to `").says("name another folder for values");
    assert!(!dir.path().join("job.results.jsonl").exists());
    let (ran, _) = rankpool().line("fib 3 --values-dir values --output none").run();
    ran.code(2).says("`values_dir` needs results that name its files; `--output FILE`");
    let (ran, _) = rankpool().line("gather nothing.jsonl").run();
    ran.code(2).says("cannot read results file `nothing.jsonl`");
}

/// A job on hosts of which each has its own /tmp.
fn run_apart(hosts: &Hosts, hosts_of: &str, dir: Option<Dir>, flags: &str) -> Rankpool {
    let (ranks, list) =
        if hosts_of == "two" { ("4", "h1:2,h2:2") } else { ("6", "h1:2,h2:2,h3:2") };
    let mut words = vec!["mpirun", "-n", ranks];
    if is_open_mpi() {
        words.extend(["--hostfile", hosts_of, "--mca", "mpi_yield_when_idle", "1"]);
    } else {
        words.extend(["-hosts", list]);
    }
    words.push(RANKPOOL);
    let mut pool = hosts.on_h1(&words);
    if let Some(dir) = dir {
        dir.write("two", "h1 slots=2\nh2 slots=2\n");
        pool = pool.in_dir(dir);
    }
    pool.job(JOB).line(&format!("--values-dir /tmp/values{flags}"))
}

#[test]
fn folders_of_hosts_are_brought_together() {
    let Some(hosts) = Hosts::up() else { return };
    let expected = expected();
    let gather = |dir: Dir, flags: &str| {
        let pool = hosts.on_h1(&[RANKPOOL, "gather", "job.results.jsonl"]).in_dir(dir);
        pool.line(flags).run()
    };
    eprintln!("a host that cannot write there");
    hosts.script("run h2 touch /tmp/values");
    let (ran, dir) = run_apart(&hosts, "three", None, "").run();
    ran.code(2).says("host h2: cannot write to `/tmp/values`");
    assert!(!dir.path().join("job.results.jsonl").exists());
    hosts.script("run h2 rm /tmp/values");

    eprintln!("each for itself");
    let (ran, dir) = run_apart(&hosts, "three", None, "").run();
    ran.code(0)
        .says("`/tmp/values` is not shared: what host h1 writes there is not seen on h2, h3");
    let (ran, dir) = gather(dir, "--into values");
    ran.code(0).says("49 of 49 values are here");
    let moved = |dir: &Dir| {
        let folder = dir.path().join("values");
        values(&dir.records("job.results.jsonl"), |path| {
            here(&folder.join(path.file_name().unwrap()))
        })
    };
    assert_eq!(moved(&dir), expected);

    eprintln!("a host is lost, and with it its values");
    fs::remove_dir_all(dir.path().join("values")).unwrap();
    hosts.script("kill h3");
    let (ran, dir) = gather(dir, "--into values --forget-lost");
    ran.code(0).says("host h3: ").says("are lost: ").says("records taken out of");
    let (ran, dir) = run_apart(&hosts, "two", Some(dir), " --resume").run();
    ran.code(0).says("more had been done before");
    let (ran, dir) = gather(dir, "--into values");
    ran.code(0).says("49 of 49 values are here");
    assert_eq!(moved(&dir), expected);

    eprintln!("a full disk");
    hosts.script("run h2 rm -r /tmp/values");
    hosts.script("run h2 mkdir /tmp/values");
    hosts.script("run h2 mount -t tmpfs -o size=300k tmpfs /tmp/values");
    let (ran, dir) = run_apart(&hosts, "two", None, "").run();
    ran.code(1)
        .says("cannot write its value: `/tmp/values/h2-rank")
        .says("No space left on device");
    hosts.script("run h2 mount -o remount,size=64m /tmp/values");
    let (ran, dir) = run_apart(&hosts, "two", Some(dir), " --retry-failed").run();
    ran.code(0);
    let (ran, dir) = gather(dir, "--into values");
    ran.code(0).says("49 of 49 values are here");
    assert_eq!(moved(&dir), expected);
}
