//! `rankpool pipe`: one process writes messages, another one reads them.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::frame::{Message, Reassembler, Writer, frames};
use super::{
    ATOMIC, Deadline, Got, Ready, make, open_reader, open_writer, read_some, wait_readable,
    write_pieces,
};

/// Read at once, in bytes: as much as a pipe holds.
const BLOCK: usize = 1 << 16;

/// Writes each of `messages` to the FIFO at `path`, which is made if missing. Whoever reads is
/// waited for up to `deadline`, at first and whenever the pipe is full.
pub fn write<'a>(
    path: &Path,
    messages: impl IntoIterator<Item = &'a [u8]>,
    deadline: Duration,
) -> Result<()> {
    make(path)?;
    let fd = open_writer(path, Deadline::after(Some(deadline)))?;
    let writer = Writer::own();
    for message in messages {
        let frames = frames(writer, message);
        let pieces = frames.iter().map(Vec::as_slice);
        write_pieces(&fd, pieces, false, Deadline::after(Some(deadline)))
            .with_context(|| format!("cannot write to `{}`", path.display()))?;
    }
    Ok(())
}

/// Writes lines as they are to the FIFO at `path`: for `run --tasks`. Each arrives whole: lines
/// of up to [`ATOMIC`] bytes among any writers, longer ones among writers that do as this does.
pub fn write_lines(path: &Path, mut lines: impl BufRead, deadline: Duration) -> Result<()> {
    make(path)?;
    let fd = open_writer(path, Deadline::after(Some(deadline)))?;
    let (mut burst, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        // What is at hand goes out together; nobody is to wait for the next line.
        let at_hand = lines.fill_buf().context("cannot read lines")?.len();
        if lines.read_until(b'\n', &mut line).context("cannot read lines")? == 0 {
            break;
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        if burst.len() + line.len() > ATOMIC {
            send(path, &fd, &burst, deadline)?;
            burst.clear();
        }
        burst.extend_from_slice(&line);
        if line.len() >= at_hand {
            send(path, &fd, &burst, deadline)?;
            burst.clear();
        }
    }
    send(path, &fd, &burst, deadline)
}

fn send(path: &Path, fd: &std::os::fd::OwnedFd, lines: &[u8], deadline: Duration) -> Result<()> {
    write_pieces(fd, [lines], true, Deadline::after(Some(deadline)))
        .with_context(|| format!("cannot write to `{}`", path.display()))
}

/// Prints each message that comes through the FIFO at `path`, which is made if missing, as
/// `I pid [4242] received a message => hello from pid [4243]`.
///
/// Ends when all writers are gone, or with `follow` not before `deadline` of silence. Without a
/// message within `deadline` it is an error.
pub fn read(
    path: &Path,
    follow: bool,
    deadline: Option<Duration>,
    print: &mut impl Write,
) -> Result<()> {
    make(path)?;
    // With an end of our own a FIFO that is followed has no end between two writers.
    let fd = if follow { super::open_kept(path)? } else { open_reader(path)? };
    let mut reading = Reading { n_messages: 0, reassembler: Reassembler::default() };
    let mut buffer = vec![0; BLOCK];
    let mut silence = Deadline::after(deadline);
    loop {
        let cannot = || format!("cannot read `{}`", path.display());
        match read_some(&fd, &mut buffer).with_context(cannot)? {
            Got::Bytes(n) => {
                reading.take(&buffer[..n], path, print)?;
                silence = Deadline::after(deadline);
            }
            Got::End if reading.n_messages > 0 || reading.has_begun() => return reading.end(path),
            Got::Nothing | Got::End if silence.is_over() => {
                return reading.silent(path, follow, &silence);
            }
            Got::Nothing => drop(wait_readable(&[&fd], silence.left())?),
            Got::End => {
                if wait_readable(&[&fd], silence.left())? == Ready::Yes {
                    // A writer that came and went without a word leaves the pipe at its end.
                    std::thread::sleep(super::LOOK);
                }
            }
        }
    }
}

struct Reading {
    n_messages: u64,
    reassembler: Reassembler,
}

impl Reading {
    fn take(&mut self, bytes: &[u8], path: &Path, print: &mut impl Write) -> Result<()> {
        let (own, mut printed) = (std::process::id(), Ok(()));
        let n_messages = &mut self.n_messages;
        let on_message = |Message { from, bytes }: Message| {
            *n_messages += 1;
            if printed.is_ok() {
                let mut line = format!("I pid [{own}] received a message => ").into_bytes();
                line.extend_from_slice(&bytes);
                line.extend_from_slice(format!(" from pid [{}]\n", from.pid).as_bytes());
                printed = print.write_all(&line).and_then(|()| print.flush());
            }
        };
        let taken = self.reassembler.take(bytes, on_message);
        printed?;
        taken.with_context(|| format!("`{}`", path.display()))
    }

    fn has_begun(&self) -> bool {
        self.reassembler.unfinished().next().is_some()
    }

    /// All writers are gone.
    fn end(&self, path: &Path) -> Result<()> {
        if let Some((writer, n)) = self.reassembler.unfinished().next() {
            let (path, pid) = (path.display(), writer.pid);
            bail!("`{path}`: pid [{pid}] went away in the middle of a message, after {n} bytes");
        }
        Ok(())
    }

    fn silent(&self, path: &Path, follow: bool, deadline: &Deadline) -> Result<()> {
        self.end(path)?;
        if follow && self.n_messages > 0 {
            return Ok(());
        }
        bail!(
            "no message came through `{}` within {}; start the writer, or wait longer \
             (`--deadline`)",
            path.display(),
            deadline.name()
        )
    }
}
