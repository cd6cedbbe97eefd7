//! Messages in frames that a pipe keeps whole, and back.
//!
//! A frame is at most [`ATOMIC`] bytes, one write: `magic 2 · flags 1 · pid u32 · writer u32 ·
//! number u32 · length u16`, all LE, then its part of the message. The frames of one writer come
//! in order; those of several come mixed.
//!
//! **Invariant:** pure; a message comes out whole or not at all.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::ATOMIC;

const MAGIC: [u8; 2] = [0xF5, b'r'];
const HEAD: usize = 17;
/// The message ends with this frame.
const LAST: u8 = 1;

/// Who writes: a process, and a number that tells apart two that had the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer {
    /// Its process id.
    pub pid: u32,
    /// Its own number.
    pub number: u32,
}

impl Writer {
    /// This process.
    pub fn own() -> Self {
        let pid = std::process::id();
        // Where a pid is used again soon: no two processes are laid out alike.
        let number = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), pid);
        Self { pid, number: u32::try_from(number >> 32).expect("it is 32 bits") }
    }
}

/// The frames of one message.
pub fn frames(writer: Writer, message: &[u8]) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = match message {
        [] => vec![&[]],
        message => message.chunks(ATOMIC - HEAD).collect(),
    };
    let last = parts.len() - 1;
    let frame = |(number, part): (usize, &&[u8])| {
        let mut frame = Vec::with_capacity(HEAD + part.len());
        frame.extend_from_slice(&MAGIC);
        frame.push(if number == last { LAST } else { 0 });
        frame.extend_from_slice(&writer.pid.to_le_bytes());
        frame.extend_from_slice(&writer.number.to_le_bytes());
        // Only told apart from its neighbours: it may go round.
        #[expect(clippy::cast_possible_truncation, reason = "it may go round")]
        frame.extend_from_slice(&(number as u32).to_le_bytes());
        let length = u16::try_from(part.len()).expect("no part is longer than a frame");
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(part);
        frame
    };
    parts.iter().enumerate().map(frame).collect()
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub from: Writer,
    /// What.
    pub bytes: Vec<u8>,
}

/// Puts messages together from what a pipe gives.
#[derive(Debug, Default)]
pub struct Reassembler {
    /// What is not a whole frame yet.
    rest: Vec<u8>,
    /// Messages that are not whole yet, with the number of the next frame.
    open: BTreeMap<Writer, (u32, Vec<u8>)>,
}

impl Reassembler {
    /// Takes what was read; `on_message` gets each message that is whole now.
    pub fn take(&mut self, bytes: &[u8], mut on_message: impl FnMut(Message)) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((frame, length)) = Frame::read(&self.rest[at..])? {
            let (next, message) = self.open.entry(frame.writer).or_default();
            if *next != frame.number {
                bail!("a frame of pid [{}] is missing", frame.writer.pid);
            }
            *next = next.wrapping_add(1);
            message.extend_from_slice(frame.part);
            if frame.is_last {
                let (_, bytes) = self.open.remove(&frame.writer).expect("it was just there");
                on_message(Message { from: frame.writer, bytes });
            }
            at += length;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Who has begun a message and not ended it, and how much of it came.
    pub fn unfinished(&self) -> impl Iterator<Item = (Writer, usize)> {
        self.open.iter().map(|(writer, (_, bytes))| (*writer, bytes.len()))
    }

    /// Forgets them: their writers are gone.
    pub fn forget(&mut self) {
        self.open.clear();
        self.rest.clear();
    }
}

struct Frame<'a> {
    is_last: bool,
    writer: Writer,
    number: u32,
    part: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame of `bytes` with its length, if it is whole.
    fn read(bytes: &'a [u8]) -> Result<Option<(Self, usize)>> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            bail!("what came is no message of `rankpool pipe write`");
        }
        let Some(head) = bytes.get(..HEAD) else { return Ok(None) };
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
        let length = usize::from(u16::from_le_bytes([head[15], head[16]]));
        let Some(part) = bytes.get(HEAD..HEAD + length) else { return Ok(None) };
        let writer = Writer { pid: number(3), number: number(7) };
        let frame = Frame { is_last: head[2] & LAST != 0, writer, number: number(11), part };
        Ok(Some((frame, HEAD + length)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn writer(pid: u32) -> Writer {
        Writer { pid, number: 7 }
    }

    proptest! {
        /// Whatever the lengths, the mixture of writers and the pieces that are read.
        #[test]
        fn messages_of_many_writers_come_whole_and_in_order(
            lengths in prop::collection::vec((0..4u32, 0..3 * ATOMIC), 0..12),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 64),
            piece in 1..9000usize,
        ) {
            let mut queues: BTreeMap<u32, std::collections::VecDeque<Vec<u8>>> = BTreeMap::new();
            let mut sent: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
            for (n, (pid, length)) in lengths.iter().enumerate() {
                let message = vec![u8::try_from(n).unwrap(); *length];
                queues.entry(*pid).or_default().extend(frames(writer(*pid), &message));
                sent.entry(*pid).or_default().push(message);
            }
            let mut stream = Vec::new();
            let mut picks = picks.iter().cycle();
            while queues.values().any(|queue| !queue.is_empty()) {
                let pids: Vec<u32> = queues.iter().filter(|(_, q)| !q.is_empty()).map(|(pid, _)| *pid).collect();
                let pid = pids[picks.next().unwrap().index(pids.len())];
                let frame = queues.get_mut(&pid).unwrap().pop_front().unwrap();
                prop_assert!(frame.len() <= ATOMIC);
                stream.extend(frame);
            }
            let mut received: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
            let mut reassembler = Reassembler::default();
            for bytes in stream.chunks(piece) {
                reassembler.take(bytes, |message| {
                    received.entry(message.from.pid).or_default().push(message.bytes);
                }).unwrap();
            }
            prop_assert_eq!(received, sent);
            prop_assert_eq!(reassembler.unfinished().count(), 0);
        }
    }

    #[test]
    fn strangers_are_noticed_and_a_cut_message_is_known() {
        let mut reassembler = Reassembler::default();
        assert!(reassembler.take(b"hello\n", |_| panic!("no message")).is_err());
        let mut reassembler = Reassembler::default();
        let long = frames(writer(4), &[b'x'; 9000]);
        reassembler.take(&long[0], |_| panic!("it is not whole")).unwrap();
        reassembler
            .take(&frames(writer(5), b"short").concat(), |message| {
                assert_eq!((message.from.pid, &*message.bytes), (5, &b"short"[..]));
            })
            .unwrap();
        assert_eq!(reassembler.unfinished().collect::<Vec<_>>(), [(writer(4), ATOMIC - HEAD)]);
        reassembler.forget();
        assert!(reassembler.take(&long[1], |_| panic!("its beginning is lost")).is_err());
    }
}
