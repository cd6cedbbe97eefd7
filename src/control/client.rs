//! `rankpool ctl`: asks a running job, and waits for its answer.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::folder::{self, REPLY};
use super::server::Reply;
use super::{Answer, Asked, Command};
use crate::pipe::frame::{Reassembler, Writer, frames};
use crate::pipe::{self, Deadline, Got};

/// How often it is looked whether the job still lives.
const LOOK: Duration = Duration::from_millis(100);

/// Asks the job that is controlled at `folder`; its answer, or what it has against the command.
pub fn ask(folder: &Path, words: &[String], limit: Duration) -> Result<String> {
    // What no job understands is refused here.
    Command::parse(words)?;
    let pid = folder::living(folder)?;
    let deadline = Deadline::after(Some(limit));
    let writer = Writer::own();
    let name = format!("{REPLY}{}-{:08x}", writer.pid, writer.number);
    let reply = Reply(folder.join(&name));
    pipe::make(&reply.0)?;
    let answers = pipe::open_kept(&reply.0)?;
    let asked = serde_json::to_vec(&Asked { reply: name, words: words.to_owned() })?;
    let requests = pipe::open_writer(&folder::requests(folder), deadline)?;
    let frames = frames(writer, &asked);
    pipe::write_pieces(&requests, frames.iter().map(Vec::as_slice), false, deadline)
        .with_context(|| format!("cannot ask the job with pid {pid}"))?;
    let answer = wait(&answers, folder, pid, deadline)?;
    if !answer.ok {
        bail!("{}", answer.text);
    }
    Ok(answer.text)
}

fn wait(
    answers: &std::os::fd::OwnedFd,
    folder: &Path,
    pid: u32,
    deadline: Deadline,
) -> Result<Answer> {
    let mut reassembler = Reassembler::default();
    let mut buffer = vec![0; 1 << 16];
    let mut answer = None;
    // What a job has answered at its end is read, and only then is it found to have ended.
    let mut has_ended = None;
    loop {
        match pipe::read_some(answers, &mut buffer)? {
            Got::Bytes(n) => {
                reassembler.take(&buffer[..n], |message| answer = Some(message.bytes))?;
                if let Some(answer) = &answer {
                    return serde_json::from_slice(answer).context("the answer is not whole");
                }
            }
            Got::Nothing | Got::End => {
                if let Some(error) = has_ended {
                    return Err(error);
                }
                if deadline.is_over() {
                    bail!(
                        "no answer from the job with pid {pid} within {}; it may be stopped or \
                         overloaded, or wait longer (`--deadline`)",
                        deadline.name()
                    );
                }
                pipe::wait_readable(&[answers], Some(LOOK))?;
                has_ended = folder::living(folder).err();
            }
        }
    }
}
