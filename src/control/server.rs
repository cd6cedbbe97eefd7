//! Rank 0's side: requests in, answers out.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, open};

use super::folder::{self, Folder, REPLY};
use super::{Answer, Asked, Command};
use crate::channel::{self, Receiver};
use crate::pipe::frame::{Message, Reassembler, Writer, frames};
use crate::pipe::{self, Got};

/// Requests that wait; more stay in the FIFO.
const MOST_WAITING: usize = 64;
/// Whoever does not read its answer for so long does not get the rest.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The control of a running job.
#[derive(Debug)]
pub struct Server {
    requests: Receiver<Asked>,
    /// Answers that are not written yet.
    answers: Vec<Pending>,
    /// Wakes the reading thread for its end.
    wake: Arc<OwnedFd>,
    folder: Folder,
}

/// A request, to be answered.
#[derive(Debug)]
pub struct Request {
    /// What is wanted, or why nobody can know.
    pub command: Result<Command>,
    reply: String,
}

#[derive(Debug)]
struct Pending {
    to: OwnedFd,
    frames: std::collections::VecDeque<Vec<u8>>,
    since: Option<Duration>,
}

impl Server {
    /// Controls this job through the folder at `path`.
    pub fn start(path: &Path) -> Result<Self> {
        let folder = Folder::take(path)?;
        let fifo = pipe::open_kept(&folder::requests(path))?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(io::Error::from)?);
        let (sender, requests) = channel::bounded(MOST_WAITING);
        let of_thread = Arc::clone(&wake);
        let thread = thread::Builder::new().name("control".into());
        // A FIFO that cannot be read any more leaves the job without control, and no worse.
        let thread = thread.spawn(move || drop(read_all(&fifo, &of_thread, &sender)));
        thread.context("cannot start a thread that reads requests")?;
        Ok(Self { requests, answers: Vec::new(), wake, folder })
    }

    /// The next request, if there is one; also goes on with answers. `now` is the time since the
    /// run's start.
    pub fn poll(&mut self, now: Duration) -> Option<Request> {
        if !self.answers.is_empty() {
            self.answers.retain_mut(|answer| answer.go_on(now));
        }
        let Asked { reply, words } = self.requests.try_recv().ok()?;
        Some(Request { command: Command::parse(&words), reply })
    }

    /// Answers a request.
    pub fn answer(&mut self, request: &Request, answer: Result<String>) {
        let (ok, text) = match answer {
            Ok(text) => (true, text),
            Err(error) => (false, format!("{error:#}")),
        };
        let bytes = serde_json::to_vec(&Answer { ok, text }).expect("a text is always JSON");
        let path = self.folder.path().join(&request.reply);
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // Whoever has gone away needs no answer.
        let Ok(to) = open(path, flags, Mode::empty()) else { return };
        let frames = frames(Writer::own(), &bytes).into();
        let mut pending = Pending { to, frames, since: None };
        if pending.go_on(Duration::ZERO) {
            pending.since = None;
            self.answers.push(pending);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The thread ends, or with this process.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

impl Pending {
    /// Writes what the FIFO takes; false when nothing is left to do.
    fn go_on(&mut self, now: Duration) -> bool {
        while let Some(frame) = self.frames.front() {
            // A frame goes out whole or not at all (pipe(7)).
            match rustix::io::write(&self.to, frame) {
                Ok(_) => drop(self.frames.pop_front()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let since = *self.since.get_or_insert(now);
                    return now < since + ANSWER_LIMIT;
                }
                Err(_) => return false,
            }
        }
        false
    }
}

/// Reads requests until it is woken or nobody wants more.
fn read_all(fifo: &OwnedFd, wake: &OwnedFd, to: &channel::Sender<Asked>) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut reassembler = Reassembler::default();
    loop {
        match pipe::read_some(fifo, &mut buffer)? {
            Got::Bytes(n) => {
                let mut wanted = true;
                let taken = reassembler.take(&buffer[..n], |message: Message| {
                    if let Some(asked) = request(&message.bytes) {
                        wanted &= to.send(asked).is_ok();
                    }
                });
                if taken.is_err() {
                    // Somebody wrote what is no request; the next one begins anew.
                    reassembler.forget();
                }
                if !wanted {
                    return Ok(());
                }
            }
            Got::Nothing | Got::End => {
                pipe::wait_readable(&[fifo, wake], None)?;
                if pipe::wait_readable(&[wake], Some(Duration::ZERO))? == pipe::Ready::Yes {
                    return Ok(());
                }
            }
        }
    }
}

/// A request, if it is one that can be answered.
fn request(bytes: &[u8]) -> Option<Asked> {
    let asked: Asked = serde_json::from_slice(bytes).ok()?;
    let is_name = asked.reply.starts_with(REPLY) && !asked.reply.contains('/');
    is_name.then_some(asked)
}

/// Removes a FIFO for an answer when whoever asked is done.
#[derive(Debug)]
pub(super) struct Reply(pub(super) std::path::PathBuf);

impl Drop for Reply {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
