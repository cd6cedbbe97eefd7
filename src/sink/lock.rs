//! One run a results file: a lock that the kernel releases when its process ends, however.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A file may be replaced between opening and locking it, by a run that ends just then: so
/// often it is opened again.
const TRIES: usize = 10;

/// Opens a file and locks it for this process alone. What is no regular file, such as a pipe,
/// has no lock.
pub(super) fn open(path: &Path, options: &OpenOptions) -> std::io::Result<Result<File>> {
    for _ in 0..TRIES {
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Ok(file));
        }
        if let Err(error) = take(&file, path) {
            return Ok(Err(error));
        }
        let now = fs::metadata(path);
        if now.is_ok_and(|now| (now.dev(), now.ino()) == (metadata.dev(), metadata.ino())) {
            return Ok(Ok(file));
        }
    }
    Ok(Err(anyhow::anyhow!("results file `{}` is replaced again and again", path.display())))
}

/// Locks an open file.
pub(super) fn take(file: &File, path: &Path) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        // Some network file systems have no locks; their users know who runs what.
        Ok(()) | Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            let holder = file.metadata().ok().and_then(|metadata| holder(metadata.ino()));
            let holder = holder.map_or(String::new(), |pid| format!(" (pid {pid})"));
            bail!(
                "results file `{}` is in use by another run{holder}; wait for its end, or \
                 `--output FILE` writes elsewhere",
                path.display()
            )
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot lock results file `{}`", path.display()))
        }
    }
}

/// The process that holds the lock of the file with this inode number (proc(5),
/// `/proc/locks`); one on another host or in another container is not there.
fn holder(inode: u64) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "FLOCK");
        let pid = words.nth(3)?.parse().ok().filter(|&pid| pid > 0)?;
        let of = words.next()?.rsplit(':').next()?;
        (of.parse() == Ok(inode)).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_holds_it() {
        let path = std::env::temp_dir().join(format!("rankpool-lock-{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let file = open(&path, &options).unwrap().unwrap();
        let error = format!("{:#}", open(&path, &options).unwrap().unwrap_err());
        let expected = format!("is in use by another run (pid {}); wait", std::process::id());
        assert!(error.contains(&expected), "{error}");
        drop(file);
        open(&path, &options).unwrap().unwrap();
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_file_has_no_lock() {
        let mut options = OpenOptions::new();
        options.append(true);
        let null = || open(Path::new("/dev/null"), &options).unwrap().unwrap();
        let _both = (null(), null());
    }
}
