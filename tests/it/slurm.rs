//! The batch scripts in jobs/, under a real Slurm on three hosts (`scripts/slurm`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::hosts::{Hosts, WORK, check_complete, poll};
use crate::local::{MIXED, gathered, run as run_locally};
use crate::util::{Dir, is_open_mpi, records};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

struct Slurm(Hosts);

impl Slurm {
    /// A folder that all nodes see, with a job file.
    fn folder(&self, job: &str) -> Dir {
        let pool = self.0.on_h1(&["true"]);
        pool.dir().write("job.toml", job);
        pool.run().1
    }

    /// A command on `h1`, in a folder; what it prints.
    #[track_caller]
    fn run(&self, folder: &Path, line: &str) -> String {
        self.0.script(&format!("run h1 env -C {} {line}", folder.display()))
    }

    /// Submits a script of jobs/; the job's number.
    #[track_caller]
    fn submit(&self, folder: &Dir, options: &str, script: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_rankpool")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let line = format!(
            "PATH={path} RANKPOOL_ROOT={ROOT} RANKPOOL_JOB={}/job.toml \
             sbatch --parsable {options}{script}",
            folder.path().display()
        );
        self.run(folder.path(), &line).trim().to_owned()
    }

    /// Waits for a job's end.
    #[track_caller]
    fn wait(&self, job: &str) {
        poll("the job's end", || !self.0.script(&format!("run h1 squeue -h -j {job}")).is_empty());
    }
}

/// Waits until a job is well on its way.
#[track_caller]
fn wait_for_records(folder: &Dir, name: &str, n: usize) {
    poll("records", || {
        let text = fs::read_to_string(folder.path().join(format!("{name}.results.jsonl")));
        text.unwrap_or_default().lines().count() < n
    });
}

const FARM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/farm.sbatch");

#[test]
fn batch_jobs_do_what_they_would_do_here() {
    let Some(hosts) = Hosts::kept_by(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/slurm")) else {
        return;
    };
    let slurm = Slurm(hosts);
    let alone = gathered(&run_locally(1, MIXED).1);
    let folder = slurm.folder(MIXED);
    let scripts = ["fibonacci", "farm", "array"].map(|name| format!("{ROOT}/jobs/{name}.sbatch"));
    let mut jobs: Vec<String> =
        scripts.iter().map(|script| slurm.submit(&folder, "", script)).collect();
    jobs.push(slurm.submit(&folder, "--export=ALL,RANKPOOL_LAUNCHER=mpirun -J by-mpirun ", FARM));
    for job in &jobs {
        slurm.wait(job);
    }
    for name in ["fibonacci", "farm", "by-mpirun"] {
        let log = log(&folder, name);
        assert_eq!(gathered(&folder.records(&format!("{name}.results.jsonl"))), alone, "{log}");
    }
    let parts = (1..=4).map(|part| folder.read(&format!("array.{part}-of-4.results.jsonl")));
    assert_eq!(gathered(&records(&parts.collect::<String>())), alone);
    let how = if is_open_mpi() { "srun --mpi=pmix" } else { "srun --mpi=pmi2" };
    let said = log(&folder, "farm");
    assert!(said.contains("starting 2 ranks on h[") && said.contains(how), "{said}");
    assert!(said.contains("2 ranks, 4 threads, 2 hosts"), "{said}");
    assert!(log(&folder, "by-mpirun").contains("/mpirun"));
    goes_on(&slurm);
    crawls(&slurm);
    gathers(&slurm);
    ends_when_cancelled(&slurm);
    mistakes_are_named(&slurm);
}

/// All that a job has said.
fn log(folder: &Dir, name: &str) -> String {
    let entries = fs::read_dir(folder.path()).unwrap().flatten();
    let logs = entries.filter(|entry| {
        let file = entry.file_name().into_string().unwrap();
        file.starts_with(&format!("{name}."))
            && Path::new(&file).extension().is_some_and(|end| end == "log")
    });
    logs.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect()
}

fn goes_on(slurm: &Slurm) {
    let begin = || {
        let folder = slurm.folder(WORK);
        let job = slurm.submit(&folder, "", FARM);
        wait_for_records(&folder, "farm", 20);
        (folder, job)
    };
    let end = |(folder, job): (Dir, String), what: &str| {
        slurm.wait(&job);
        let log = log(&folder, "farm");
        assert!(log.contains("going on with farm.results.jsonl"), "{what}: {log}");
        assert!(log.contains("more had been done before"), "{what}: {log}");
        folder.write("job.results.jsonl", &folder.read("farm.results.jsonl"));
        check_complete(&folder);
        log
    };
    let requeued = begin();
    slurm.run(requeued.0.path(), &format!("scontrol requeue {}", requeued.1));
    end(requeued, "requeued");
    let warned = begin();
    slurm.run(warned.0.path(), &format!("scancel -b -s USR1 {}", warned.1));
    let log = end(warned, "warned");
    assert!(log.contains("stopping: SIGUSR2") && log.contains("requeueing job"), "{log}");
    let preempted = begin();
    slurm.run(preempted.0.path(), "sbatch -p urgent -N3 --exclusive --wrap true");
    end(preempted, "preempted");
}

/// Pages of a server on the node that the job runs on, requeued in the middle.
fn crawls(slurm: &Slurm) {
    const N_PAGES: usize = 30;
    let crawl = "[[task]]\nkind = 'crawl'\nseeds = 'http://127.0.0.1:8000/0.html'\n\
                 delay = '100ms'\nanonymous = true\nallow_private = true\n";
    let folder = slurm.folder(crawl);
    for page in 0..N_PAGES {
        let links = [1, 2].map(|by| format!("<a href='{}.html'>x</a>", (page + by) % N_PAGES));
        folder.write(&format!("{page}.html"), &links.concat());
    }
    let serve = "python3 -m http.server --bind 127.0.0.1 8000 >/dev/null 2>&1 </dev/null &\n\
                 until (: <>/dev/tcp/127.0.0.1/8000) 2>/dev/null; do :; done\n";
    let serve = folder.write("serve", serve);
    slurm.run(folder.path(), &format!("setsid bash {}", serve.display()));
    let job = slurm.submit(&folder, "--nodelist=h1 ", &format!("{ROOT}/jobs/crawl.sbatch"));
    wait_for_records(&folder, "crawl", 5);
    slurm.run(folder.path(), &format!("scontrol requeue {job}"));
    slurm.wait(&job);
    let log = log(&folder, "crawl");
    assert!(log.contains("going on with crawl.results.jsonl"), "{log}");
    let mut pages: Vec<_> = folder.records("crawl.results.jsonl");
    pages.retain(|record| record["status"] == "ok");
    let found: BTreeSet<_> = pages.iter().map(|page| page["input"]["url"].to_string()).collect();
    assert_eq!((found.len(), pages.len()), (N_PAGES, N_PAGES), "{log}");
}

/// Values in folders of the nodes' own, brought together before the allocation ends.
fn gathers(slurm: &Slurm) {
    const N_VALUES: usize = 12;
    let job = format!(
        "threads = 1\n[[task]]\nkind = 'fibonacci'\nvalue = 'full'\nn = '400001..={}'\n",
        400_000 + N_VALUES
    );
    let folder = slurm.folder(&job);
    let script = format!(
        "#!/bin/bash\n#SBATCH --nodes=3 --ntasks-per-node=1 --job-name=values\n\
         #SBATCH --output=%x.%j.log\nset -e\n\
         {ROOT}/scripts/in-slurm run job.toml --output values.results.jsonl \
         --values-dir /tmp/own --schedule static\n\
         rankpool gather values.results.jsonl --into all --agent 'srun --overlap -N1 -n1 -w'\n"
    );
    let script = folder.write("values.sbatch", &script);
    slurm.wait(&slurm.submit(&folder, "", &script.display().to_string()));
    let log = log(&folder, "values");
    assert!(log.contains("`/tmp/own` is not shared"), "{log}");
    assert!(log.contains(&format!("{N_VALUES} of {N_VALUES} values are here")), "{log}");
    let values = folder.records("values.results.jsonl");
    let hosts: BTreeSet<_> = values.iter().map(|record| record["host"].to_string()).collect();
    assert_eq!((values.len(), hosts.len()), (N_VALUES, 3), "{log}");
    assert_eq!(fs::read_dir(folder.path().join("all")).unwrap().count(), 3, "{log}");
}

fn ends_when_cancelled(slurm: &Slurm) {
    let folder = slurm.folder(WORK);
    let job = slurm.submit(&folder, "", FARM);
    wait_for_records(&folder, "farm", 20);
    slurm.run(folder.path(), &format!("scancel {job}"));
    slurm.wait(&job);
    for host in ["h1", "h2", "h3"] {
        poll("no rank to be left", || {
            slurm.0.script(&format!("run {host} ps -e")).contains("rankpool")
        });
    }
    // Whole records, whatever was cut off.
    assert!(folder.records("farm.results.jsonl").len() >= 20);
}

fn mistakes_are_named(slurm: &Slurm) {
    let folder = slurm.folder(MIXED);
    let line = "sh -c 'sbatch -p nowhere --wrap true 2>&1 || true'";
    let path = folder.write("submit", &format!("#!/bin/sh\n{line}\n"));
    assert!(slurm.run(folder.path(), &format!("sh {}", path.display())).contains("nowhere"));
    let log = folder.path().join("log");
    let job = slurm.submit(&folder, &format!("--chdir=/tmp -o {} ", log.display()), FARM);
    slurm.wait(&job);
    assert!(
        folder.read("log").contains("in-slurm: `/tmp` is not shared: h"),
        "{}",
        folder.read("log")
    );
    let text = format!(
        "#!/bin/sh\ncd {}\nsrun -n 4 --mpi=none {} fib 3 2>&1\necho code $?\n",
        folder.path().display(),
        env!("CARGO_BIN_EXE_rankpool")
    );
    let path = folder.write("mismatch", &text);
    let said = slurm.run(folder.path(), &format!("sh {}", path.display()));
    // Open MPI 4 notices by itself.
    let is_noticed =
        said.contains("each is a world of one rank") || said.contains("OMPI was not built with");
    assert!(is_noticed && !said.contains("code 0"), "{said}");
}
