//! What rank 0 and `rankpool launch` tell each other by files: where rank 0 runs, and with which
//! code it ended. An exit code of mpirun says less: after a lost host it is 0 or 255 by chance.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};

use super::here;

/// Names the file into which rank 0 writes its exit code at its end.
pub(super) const END_FILE: &str = "RANKPOOL_END_FILE";
/// Names the file into which rank 0 writes its host and process id at its start.
pub(super) const PID_FILE: &str = "RANKPOOL_PID_FILE";

/// Rank 0's side.
#[derive(Debug)]
pub struct Marks {
    end: Option<PathBuf>,
}

impl Marks {
    /// Says where rank 0 runs, if anybody asked.
    pub fn begin() -> Self {
        let named = |name| std::env::var_os(name).map(PathBuf::from);
        let mut end = named(END_FILE);
        if let Some(path) = named(PID_FILE) {
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            match file {
                // With the folder gone nobody is waiting.
                Ok(mut file) => {
                    let _ = writeln!(file, "{} {}", here::name(), std::process::id());
                    std::thread::spawn(move || give_signs(&file));
                }
                // A rankpool that a task of rank 0 started: the end is not its to tell.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => end = None,
                Err(_) => {}
            }
        }
        Self { end }
    }

    /// Leaves the exit code, whole or not at all.
    pub fn end(&self, code: u8) {
        let Some(path) = &self.end else { return };
        let part = path.with_extension("part");
        // With the folder gone nobody is waiting.
        let _ = fs::write(&part, format!("{code}\n")).and_then(|()| fs::rename(&part, path));
    }
}

/// How often rank 0 gives a sign of life.
const SIGN_PAUSE: Duration = Duration::from_secs(1);

/// Changes the time of a file for as long as this process lives and the file can be reached.
fn give_signs(file: &File) {
    let time = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: time, last_modification: time };
    while futimens(file, &times).is_ok() {
        std::thread::sleep(SIGN_PAUSE);
    }
}

/// The two files of one world.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) end: PathBuf,
    pub(super) pid: PathBuf,
}

/// Where rank 0 runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rank0 {
    pub(super) host: String,
    pub(super) pid: i32,
}

impl Files {
    pub(super) fn new(folder: &Path, attempt: u32) -> Self {
        Self {
            end: folder.join(format!("end{attempt}")),
            pid: folder.join(format!("pid{attempt}")),
        }
    }

    /// The code that rank 0 left.
    pub(super) fn code(&self) -> Option<u8> {
        fs::read_to_string(&self.end).ok()?.trim().parse().ok()
    }

    /// When rank 0 has given its last sign of life, by the clock of whoever keeps the file. Opened
    /// first: a network file system looks at its server then.
    pub(super) fn last_sign(&self) -> Option<SystemTime> {
        File::open(&self.pid).ok()?.metadata().ok()?.modified().ok()
    }

    /// Where rank 0 runs, once it has said so.
    pub(super) fn rank0(&self) -> Option<Rank0> {
        let text = fs::read_to_string(&self.pid).ok()?;
        let (host, pid) = text.strip_suffix('\n')?.rsplit_once(' ')?;
        Some(Rank0 { host: host.to_owned(), pid: pid.parse().ok()? })
    }
}
