//! Standard input with an end, also below a launcher that keeps the end to itself.
//!
//! mpirun of Open MPI 5 (PRRTE's `prterun`) passes its standard input on to rank 0 but never
//! closes what it passes it through. So, where the parent is such a launcher, its own standard
//! input is looked at: once that is at its end, all of the launcher's threads sleep, and nothing
//! has come for a while, nothing is on its way any more.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Ready, wait_readable};

/// How often the launcher is looked at while nothing comes.
const LOOK: Duration = Duration::from_millis(100);
/// So many looks in a row must find it at its end and asleep.
const LOOKS: u32 = 3;

/// Standard input.
pub fn open() -> Box<dyn Read + Send> {
    match Launcher::find() {
        None => Box::new(io::stdin()),
        Some(launcher) => Box::new(Below { launcher, stdin: io::stdin() }),
    }
}

/// Standard input below a launcher that does not pass its end on.
struct Below {
    launcher: Launcher,
    stdin: io::Stdin,
}

impl Read for Below {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut looks = 0;
        while wait_readable(&[&self.stdin], Some(LOOK))? == Ready::TimedOut {
            looks = if self.launcher.is_at_end() { looks + 1 } else { 0 };
            if looks == LOOKS {
                return Ok(0);
            }
        }
        loop {
            match rustix::io::read(&self.stdin, &mut *buffer) {
                Err(rustix::io::Errno::INTR) => {}
                read => return Ok(read?),
            }
        }
    }
}

/// The process that started this one, where it is a launcher of that sort on this host.
#[derive(Debug)]
struct Launcher {
    process: PathBuf,
}

impl Launcher {
    fn find() -> Option<Self> {
        let parent = rustix::process::getppid()?;
        let process = PathBuf::from(format!("/proc/{}", parent.as_raw_nonzero()));
        let name = fs::read_to_string(process.join("comm")).ok()?;
        (name.trim_end() == "prterun").then_some(Self { process })
    }

    /// Whether it has read its standard input to the end and has nothing to do.
    fn is_at_end(&self) -> bool {
        self.input_is_at_end().unwrap_or(false) && self.sleeps().unwrap_or(false)
    }

    fn input_is_at_end(&self) -> io::Result<bool> {
        let input = self.process.join("fd/0");
        let Ok(metadata) = fs::metadata(&input) else {
            // It has closed it; a process that is gone passes nothing on.
            return Ok(true);
        };
        let file_type = metadata.file_type();
        if file_type.is_file() {
            let info = fs::read_to_string(self.process.join("fdinfo/0"))?;
            let position = info.lines().find_map(|line| line.strip_prefix("pos:"));
            let position: Option<u64> = position.and_then(|text| text.trim().parse().ok());
            return Ok(position.is_some_and(|position| position >= metadata.len()));
        }
        if file_type.is_fifo() {
            return is_hung_up(&input);
        }
        Ok(fs::read_link(&input)? == Path::new("/dev/null"))
    }

    /// Whether all of its threads sleep (proc(5), the state after the name).
    fn sleeps(&self) -> io::Result<bool> {
        for thread in fs::read_dir(self.process.join("task"))? {
            let stat = fs::read_to_string(thread?.path().join("stat"))?;
            let state = stat.rsplit(") ").next().unwrap_or_default();
            if !state.starts_with('S') {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a pipe is empty and nobody can write to it any more; takes nothing out of it.
fn is_hung_up(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag");
    let pipe = File::options().read(true).custom_flags(nonblocking).open(path)?;
    let mut polled = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default()))?;
    let is_empty = rustix::io::ioctl_fionread(&pipe)? == 0;
    Ok(is_empty && polled[0].revents().contains(PollFlags::HUP))
}
