//! Runs rankpool as users do, with a deadline, in a folder of the test's own.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No test waits longer for a run: a hang is a failure.
const DEADLINE: Duration = Duration::from_secs(120);

/// A folder that is there for one test.
pub(crate) struct Dir(PathBuf);

impl Dir {
    /// A new folder. Its path is short: MPI makes sockets below it, whose names are limited.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let name = format!("rp{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                // A failed test of an earlier process with this number has left it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    made.expect("a temporary folder can be made");
                    return Self(path);
                }
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A new folder in `folder`.
    pub(crate) fn within(folder: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = folder.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&path).expect("a folder can be made");
        Self(path)
    }

    /// Writes a file of this folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("the folder is writable");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The records of a results file.
    pub(crate) fn records(&self, name: &str) -> Vec<Value> {
        records(&self.read(name))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // What a failed test wrote is kept for whoever looks into it.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The records of JSON Lines.
#[track_caller]
pub(crate) fn records(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last record is torn");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// What a run left behind.
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, part: &str) -> &Self {
        let all = format!("{}\n{}", self.stdout, self.stderr);
        assert!(all.contains(part), "no `{part}` in:\n{all}");
        self
    }
}

/// A command line of rankpool to be.
pub(crate) struct Rankpool {
    command: Command,
    dir: Dir,
}

/// rankpool alone, without a launcher.
pub(crate) fn rankpool() -> Rankpool {
    let command = Command::new(env!("CARGO_BIN_EXE_rankpool"));
    Rankpool::new(command)
}

/// Another program, which is to start rankpool.
pub(crate) fn program(path: PathBuf) -> Rankpool {
    Rankpool::new(Command::new(path))
}

/// rankpool on `ranks` real MPI ranks.
pub(crate) fn mpirun(ranks: u32) -> Rankpool {
    mpirun_with(ranks, &[])
}

fn mpirun_with(ranks: u32, flags: &[&str]) -> Rankpool {
    let mut command = Command::new("mpirun");
    command.args(["-n", &ranks.to_string()]).args(flags);
    if is_open_mpi() {
        command.args(["--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]);
        command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
        command.env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
            command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
        }
    }
    command.arg(env!("CARGO_BIN_EXE_rankpool"));
    Rankpool::new(command)
}

/// The same with what lets an MPI go on when a rank has died; `None` where it cannot.
pub(crate) fn surviving_mpirun(ranks: u32) -> Option<Rankpool> {
    Some(mpirun_with(ranks, surviving_flags()?))
}

/// What lets an MPI go on when a rank has died; `None` where it cannot.
pub(crate) fn surviving_flags() -> Option<&'static [&'static str]> {
    let version = mpirun_version();
    match () {
        () if version.contains("(Open MPI) 5") => {
            Some(&["--with-ft", "ulfm", "--mca", "async_mpi_finalize", "1"])
        }
        () if version.contains("(Open MPI) 4") => {
            Some(&["--enable-recovery", "--mca", "async_mpi_finalize", "1"])
        }
        () => None,
    }
}

pub(crate) fn mpirun_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = Command::new("mpirun").arg("--version").output();
        let output = output.expect("`mpirun` is on PATH: source scripts/env");
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

pub(crate) fn is_open_mpi() -> bool {
    mpirun_version().contains("Open MPI")
}

/// Lines to try standard input below mpirun with: as many as MPICH's mpirun holds, for it ends a
/// run that reads them slower than they come.
pub(crate) fn lines_of_input() -> usize {
    if is_open_mpi() { 20_000 } else { 2_000 }
}

/// Whether mpirun's exit code is rank 0's with [`surviving_flags`]: Open MPI 4's is 0.
pub(crate) fn passes_codes_on() -> bool {
    !mpirun_version().contains("(Open MPI) 4")
}

impl Rankpool {
    pub(crate) fn new(mut command: Command) -> Self {
        let dir = Dir::new();
        command.current_dir(dir.path());
        Self { command, dir }
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    /// Arguments in one line, parted by blanks.
    pub(crate) fn line(self, line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        self.args(words)
    }

    /// Runs this job file.
    pub(crate) fn job(self, text: &str) -> Self {
        self.dir.write("job.toml", text);
        self.args(["run", "job.toml"])
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in the folder of an earlier run.
    pub(crate) fn in_dir(mut self, dir: Dir) -> Self {
        self.command.current_dir(dir.path());
        self.dir = dir;
        self
    }

    /// The folder that the command runs in.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Starts it, for a test that looks at it while it runs.
    pub(crate) fn start(mut self) -> Running {
        // Concurrent launchers share files below the temporary folder.
        if self.command.get_envs().all(|(name, _)| name != "TMPDIR") {
            self.command.env("TMPDIR", self.dir.path());
        }
        self.command.stdin(Stdio::null());
        let capture = |name| Stdio::from(File::create(self.dir.path().join(name)).unwrap());
        let (stdout, stderr) = (capture("stdout"), capture("stderr"));
        let child = self.command.stdout(stdout).stderr(stderr).spawn();
        let child = child.unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        Running { child: Started(child), dir: self.dir, deadline: now() + DEADLINE }
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(self) -> (Ran, Dir) {
        self.start().wait()
    }
}

/// A process that ends with its test, whatever became of that.
pub(crate) struct Started(Child);

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that runs.
pub(crate) struct Running {
    pub(crate) child: Started,
    pub(crate) dir: Dir,
    deadline: Instant,
}

impl Running {
    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (Ran, Dir) {
        let mut status = None;
        self.poll("it to end", |running| {
            status = running.child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        let status = status.expect("it has ended");
        let (stdout, stderr) = (self.dir.read("stdout"), self.dir.read("stderr"));
        (Ran { status, stdout, stderr }, self.dir)
    }

    /// Waits for its end, then for whatever is to hold after it; its folder.
    #[track_caller]
    pub(crate) fn wait_and(mut self, after: impl FnOnce(&mut Self)) -> Dir {
        self.poll("it to end", |running| running.child.try_wait().unwrap().is_some());
        after(&mut self);
        self.dir
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn poll(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        while !holds(self) {
            if now() > self.deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                let said = self.dir.read("stdout") + &self.dir.read("stderr");
                panic!("waited for {what} until the deadline; it said:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The processes of the ranks below a launcher (proc(5)).
pub(crate) fn ranks_of(running: &Running) -> Vec<u32> {
    let children = |pid: u32| -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        lists
            .flat_map(|list| {
                list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()
            })
            .collect()
    };
    let mut below = children(running.child.id());
    let mut at = 0;
    while at < below.len() {
        below.extend(children(below[at]));
        at += 1;
    }
    let is_rank = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("rankpool"))
    };
    below.retain(is_rank);
    below
}

#[allow(clippy::disallowed_methods, reason = "deadlines")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
