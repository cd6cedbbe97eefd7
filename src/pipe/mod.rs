//! Named pipes between processes that know nothing of each other (fifo(7)): made if missing,
//! opened and used with deadlines, and written so that what one writer says stays whole.
//!
//! A write of up to [`rustix::pipe::PIPE_BUF`] bytes is atomic (pipe(7)); whatever is longer goes
//! out in [`frame`]s of that size, which the reader puts together again.
//!
//! **Invariant:** nobody is waited for beyond a deadline, and a reader that goes away is an
//! error, not a signal.

pub mod frame;
mod messages;
pub mod stdin;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, mkfifoat, open};
use rustix::io::Errno;

pub use messages::{read, write, write_lines};

/// Largest atomic write to a pipe, in bytes (pipe(7)): 4096 on Linux.
pub const ATOMIC: usize = rustix::pipe::PIPE_BUF;

/// How often somebody is looked for who does not announce himself.
const LOOK: Duration = Duration::from_millis(5);

/// Whether there is a FIFO at `path`.
pub fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Makes a FIFO at `path` for this user alone (mode 0600), unless there is one.
pub fn make(path: &Path) -> Result<()> {
    match mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) if is_fifo(path) => Ok(()),
        Err(Errno::EXIST) => bail!(
            "`{}` is there and is no named pipe; name another path, which is made",
            path.display()
        ),
        Err(error) => Err(io::Error::from(error))
            .with_context(|| format!("cannot make the named pipe `{}`", path.display())),
    }
}

/// The moment up to which others are waited for; `None`: for ever.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Option<Instant>,
    span: Option<Duration>,
}

impl Deadline {
    /// So long from now.
    pub fn after(span: Option<Duration>) -> Self {
        Self { at: span.map(|span| now() + span), span }
    }

    /// Whether it is past.
    pub fn is_over(&self) -> bool {
        self.at.is_some_and(|at| now() >= at)
    }

    /// The span that it was made from, for people.
    pub fn name(&self) -> String {
        self.span.map_or_else(|| "ever".to_owned(), crate::units::format_duration)
    }

    fn left(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(now()))
    }
}

/// Opens the FIFO at `path` to write, once a reader has opened it.
pub fn open_writer(path: &Path, deadline: Deadline) -> Result<OwnedFd> {
    let shown = path.display();
    loop {
        match open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NXIO) if deadline.is_over() => bail!(
                "nobody opened `{shown}` to read within {}; start the reader, or wait longer \
                 (`--deadline`)",
                deadline.name()
            ),
            Err(Errno::NXIO) => std::thread::sleep(LOOK),
            Err(error) => {
                return Err(io::Error::from(error))
                    .with_context(|| format!("cannot open `{shown}` to write"));
            }
        }
    }
}

/// Opens the FIFO at `path` to read; whoever writes may come later.
pub fn open_reader(path: &Path) -> Result<OwnedFd> {
    let opened = open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(io::Error::from).with_context(|| format!("cannot open `{}`", path.display()))
}

/// Opens the FIFO at `path` to read with a write end of our own, so that it has no end between
/// two writers (fifo(7): Linux opens it at once for both).
pub fn open_kept(path: &Path) -> Result<OwnedFd> {
    let opened = open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(io::Error::from).with_context(|| format!("cannot open `{}`", path.display()))
}

/// What waiting for a pipe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It can be read or written, or the other end is gone.
    Yes,
    /// The time is over.
    TimedOut,
}

/// Waits until one of `fds` can be read, or for `limit`.
pub fn wait_readable(fds: &[&dyn AsFd], limit: Option<Duration>) -> io::Result<Ready> {
    wait(fds, PollFlags::IN, limit)
}

fn wait(fds: &[&dyn AsFd], what: PollFlags, limit: Option<Duration>) -> io::Result<Ready> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), what)).collect();
    let limit = limit.map(|limit| Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    match poll(&mut polled, limit.as_ref()) {
        Ok(0) => Ok(Ready::TimedOut),
        Ok(_) | Err(Errno::INTR) => Ok(Ready::Yes),
        Err(error) => Err(error.into()),
    }
}

/// Writes pieces of up to [`ATOMIC`] bytes, each whole, and no other writer of ours in between
/// where `locked`.
pub fn write_pieces<'a>(
    fd: &OwnedFd,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    locked: bool,
    deadline: Deadline,
) -> Result<()> {
    if locked {
        // Some file systems have no locks; pieces are whole all the same.
        let _ = flock(fd, FlockOperation::LockExclusive);
    }
    let written = pieces.into_iter().try_for_each(|piece| write_piece(fd, piece, deadline));
    if locked {
        let _ = flock(fd, FlockOperation::Unlock);
    }
    written
}

fn write_piece(fd: &OwnedFd, mut piece: &[u8], deadline: Deadline) -> Result<()> {
    while !piece.is_empty() {
        match rustix::io::write(fd, piece) {
            Ok(n) => piece = &piece[n..],
            Err(Errno::AGAIN) => {
                let ready = wait(&[fd], PollFlags::OUT, deadline.left())?;
                if ready == Ready::TimedOut && deadline.is_over() {
                    bail!("the reader took nothing for {}", deadline.name());
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => bail!("the reader went away"),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Ok(())
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// All writers are gone, or none has come yet.
    End,
}

/// Reads what is there, without waiting.
pub fn read_some(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Got> {
    loop {
        match rustix::io::read(fd.as_fd(), &mut *buffer) {
            Ok(0) => return Ok(Got::End),
            Ok(n) => return Ok(Got::Bytes(n)),
            Err(Errno::AGAIN) => return Ok(Got::Nothing),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether an error says that the reader of a pipe is gone.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

/// Now.
#[allow(clippy::disallowed_methods, reason = "other processes are waited for up to a deadline")]
fn now() -> Instant {
    Instant::now()
}
