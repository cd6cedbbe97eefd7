//! The folder through which a job is controlled: who has it, and what is in it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::pipe;

/// The file that a living job holds locked; its process id is in it.
const JOB: &str = "job";
const REQUESTS: &str = "requests";
/// What the names of FIFOs for answers begin with.
pub(super) const REPLY: &str = "reply-";

/// Somebody who looks whether the job lives has its lock for a moment: so often it is tried.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// A folder that this job has.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held locked.
    _job: File,
    /// Whether it was made here.
    is_ours: bool,
}

impl Folder {
    /// Takes the folder at `path`, which is made if missing; what a dead job left there goes.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let shown = path.display();
        let is_ours = match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make the folder `{shown}`"));
            }
        };
        let metadata = fs::metadata(path).with_context(|| format!("cannot look at `{shown}`"))?;
        if !metadata.is_dir() {
            bail!("`{shown}` is no folder; name one for `--control`, which is made");
        }
        if metadata.mode() & 0o022 != 0 {
            bail!("others may write to the folder `{shown}`; `chmod 700 {shown}`, or name another");
        }
        let job = take_job(path)?;
        let folder = Self { path: path.to_owned(), _job: job, is_ours };
        folder.clear();
        pipe::make(&requests(path))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes FIFOs that nobody will answer.
    fn clear(&self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let is_fifo = name == REQUESTS || name.to_string_lossy().starts_with(REPLY);
            if is_fifo && pipe::is_fifo(&entry.path()) {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.clear();
        let _ = fs::remove_file(self.path.join(JOB));
        if self.is_ours {
            // Somebody may have put something there.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn take_job(folder: &Path) -> Result<File> {
    let path = folder.join(JOB);
    let cannot = || format!("cannot write `{}`", path.display());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).with_context(cannot)?;
    for number in 0.. {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(_) if number < TRIES => std::thread::sleep(PAUSE),
            Err(_) => bail!(
                "the job with pid {} is controlled at `{}`; name another folder",
                holder(folder).map_or_else(|| "?".to_owned(), |pid| pid.to_string()),
                folder.display()
            ),
        }
    }
    file.set_len(0).with_context(cannot)?;
    writeln!(file, "{}", std::process::id()).with_context(cannot)?;
    Ok(file)
}

fn holder(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join(JOB)).ok()?.trim().parse().ok()
}

/// The FIFO for requests.
pub(super) fn requests(folder: &Path) -> PathBuf {
    folder.join(REQUESTS)
}

/// The process id of the job that is controlled at `folder`, if it lives.
pub(super) fn living(folder: &Path) -> Result<u32> {
    let shown = folder.display();
    let Ok(file) = File::open(folder.join(JOB)) else {
        bail!("no job is controlled at `{shown}`; start one with `--control {shown}`")
    };
    let pid = holder(folder);
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
        bail!("the job that was controlled at `{shown}`{pid} has ended");
    }
    Ok(pid.unwrap_or_default())
}
