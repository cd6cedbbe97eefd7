//! A host's queued URLs, nearest to the seeds first, and within one depth in the order in which
//! they were found; in memory, or in memory and on the disk.
//!
//! An entry is its length, the page's number, its parent's number (0: none), its redirects and
//! the URL behind the host, packed.
//!
//! **Invariant:** beyond [`Store`]'s limit entries of long queues go to the disk. Where all queues
//! turned out too short to be worth a read, it is exceeded by a half, and they are looked at again.

use anyhow::Result;
use smallvec::SmallVec;

use super::spill::{Run, Spill};

/// A queued URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) page: u64,
    /// 0: none.
    pub(super) from: u64,
    pub(super) hops: u8,
    /// What follows scheme and authority.
    pub(super) rest: &'a str,
}

/// A host's queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By depth, the least first; mostly one.
    levels: SmallVec<[Level; 1]>,
}

/// The queued URLs of one host and one depth.
#[derive(Debug)]
struct Level {
    depth: u32,
    /// Bytes of `front` already taken.
    taken: u32,
    /// The oldest entries.
    front: Vec<u8>,
    /// Those behind them.
    more: Option<Box<More>>,
}

#[derive(Debug)]
struct More {
    /// On the disk; the oldest first.
    disk: SmallVec<[Run; 1]>,
    /// The newest entries.
    back: Vec<u8>,
}

/// What the queues share.
#[derive(Debug)]
pub(super) struct Store {
    spill: Spill,
    /// Bytes of entries in memory.
    bytes: usize,
    limit: usize,
    /// No use in looking for long queues before this.
    next_sweep: usize,
    hand: Hand,
    scratch: Vec<u8>,
}

/// Goes round all queues, as far as is needed at a time, and spills the long ones.
#[derive(Debug)]
struct Hand {
    /// The next queue.
    at: usize,
    /// Queues of this class and above are long.
    least: usize,
    /// Bytes of the queues that were passed in this round, by class.
    by_class: [usize; CLASSES],
}

const CLASSES: usize = usize::BITS as usize;

/// A sweep makes room for this part of the limit: what it gives back is soon used again, and
/// nobody waits long.
const ROOM: usize = 64;

impl Store {
    pub(super) fn new(spill: Spill, limit: usize) -> Self {
        Self {
            spill,
            bytes: 0,
            limit,
            next_sweep: limit,
            hand: Hand::new(CLASSES),
            scratch: Vec::new(),
        }
    }

    /// Whether entries are to go to the disk.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > self.next_sweep
    }

    /// Bytes in memory and of the file.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.bytes, self.spill.length())
    }

    /// Spills long queues until there is some room below the limit, if those worth it are enough.
    pub(super) fn sweep<T>(
        &mut self,
        hosts: &mut [T],
        queue: impl Fn(&mut T) -> &mut Queue,
    ) -> Result<()> {
        self.next_sweep = self.limit;
        // So many queues in a row may turn out not to be long, or to be one long entry, which
        // stays: the rest of this round, and two more.
        let in_vain = 3 * hosts.len();
        let mut left = in_vain;
        while self.bytes > self.limit - self.limit / ROOM {
            if left == 0 && self.hand.least > SHORTEST {
                self.hand = Hand::new(SHORTEST);
                left = hosts.len();
            } else if left == 0 {
                self.next_sweep = self.limit.max(self.bytes + self.limit / 2);
                break;
            }
            left -= 1;
            if self.hand.at >= hosts.len() {
                self.hand.turn(self.limit / 2);
            }
            let queue = queue(&mut hosts[self.hand.at]);
            self.hand.at += 1;
            let bytes = queue.bytes();
            self.hand.by_class[class(bytes)] += bytes;
            if class(bytes) >= self.hand.least {
                let before = self.bytes;
                queue.spill(self)?;
                if self.bytes < before {
                    left = in_vain;
                }
            }
        }
        Ok(())
    }
}

impl Hand {
    fn new(least: usize) -> Self {
        Self { at: 0, least, by_class: [0; CLASSES] }
    }

    /// Begins a round in which queues are long of which the last one had so many bytes together.
    fn turn(&mut self, bytes: usize) {
        let (mut least, mut long) = (CLASSES, 0);
        while least > SHORTEST && long < bytes {
            least -= 1;
            long += self.by_class[least];
        }
        *self = Self::new(least);
    }
}

/// Queues of fewer bytes than 2 to the power of this are not worth a read.
const SHORTEST: usize = 8;

fn class(bytes: usize) -> usize {
    bytes.checked_ilog2().unwrap_or(0) as usize
}

impl Queue {
    /// The depth of the next entry.
    pub(super) fn depth(&self) -> Option<u32> {
        self.levels.first().map(|level| level.depth)
    }

    /// A byte of where the next entry mostly goes, as [`super::Seen::prefetch`] reads one.
    pub(super) fn prefetch(&self) -> u8 {
        let end = |level: &Level| {
            level.more.as_ref().map_or(&level.front, |more| &more.back).last().copied()
        };
        self.levels.first().and_then(end).unwrap_or(0)
    }

    /// Adds an entry behind those of its depth.
    pub(super) fn push(&mut self, depth: u32, entry: &Entry<'_>, store: &mut Store) {
        let place = self.levels.partition_point(|level| level.depth < depth);
        if self.levels.get(place).is_none_or(|level| level.depth != depth) {
            self.levels.reserve_exact(1);
            self.levels.insert(place, Level { depth, taken: 0, front: Vec::new(), more: None });
        }
        let level = &mut self.levels[place];
        let end = match &mut level.more {
            Some(more) => &mut more.back,
            None => &mut level.front,
        };
        encode(entry, &mut store.scratch);
        if end.capacity() - end.len() < store.scratch.len() {
            // A `reserve` would first ask the allocator how large the old one is, which takes two
            // reads of memory that is not at hand.
            let room = store.scratch.len().max(end.len() / 2);
            let mut longer = Vec::with_capacity(end.len() + room);
            longer.extend_from_slice(end);
            *end = longer;
        }
        end.extend_from_slice(&store.scratch);
        store.bytes += store.scratch.len();
    }

    /// Takes the next entry, if there is one of `deepest` or less; `take` gets its depth and
    /// itself.
    pub(super) fn pop<T>(
        &mut self,
        deepest: u32,
        store: &mut Store,
        take: impl FnOnce(u32, &Entry<'_>) -> T,
    ) -> Result<Option<T>> {
        let Some(level) = self.levels.first_mut().filter(|level| level.depth <= deepest) else {
            return Ok(None);
        };
        let Reader { entry, length } = Reader::read(&level.front[level.taken as usize..]);
        let taken = take(level.depth, &entry);
        level.taken += u32::try_from(length).expect("a URL is no longer");
        store.bytes -= length;
        if !level.tidy(store)? {
            self.levels.remove(0);
            if self.levels.is_empty() {
                self.levels = SmallVec::new();
            }
        }
        Ok(Some(taken))
    }

    /// Bytes of entries in memory that could go to the disk.
    fn bytes(&self) -> usize {
        self.levels.iter().map(Level::bytes).sum()
    }

    /// Bytes of memory beside itself.
    pub(super) fn memory(&self) -> usize {
        let level = |level: &Level| {
            let more = level.more.as_ref().map_or(0, |more| {
                let runs = if more.disk.spilled() { more.disk.capacity() } else { 0 };
                size_of::<More>() + runs * size_of::<Run>() + more.back.capacity()
            });
            level.front.capacity() + more
        };
        let levels = if self.levels.spilled() { self.levels.capacity() } else { 0 };
        levels * size_of::<Level>() + self.levels.iter().map(level).sum::<usize>()
    }

    fn spill(&mut self, store: &mut Store) -> Result<()> {
        self.levels.iter_mut().try_for_each(|level| level.spill(store))
    }
}

impl Level {
    fn bytes(&self) -> usize {
        let back = self.more.as_ref().map_or(0, |more| more.back.len());
        self.front.len() - self.taken as usize + back
    }

    /// Makes the next entry stand at the front; whether there is one.
    fn tidy(&mut self, store: &mut Store) -> Result<bool> {
        if (self.taken as usize) < self.front.len() {
            if self.taken as usize > self.front.len() / 2 {
                self.front.drain(..self.taken as usize);
                self.front.shrink_to(self.front.len() * 2);
                self.taken = 0;
            }
            return Ok(true);
        }
        self.taken = 0;
        self.front.clear();
        let Some(more) = &mut self.more else { return Ok(false) };
        if let Some(run) = more.disk.first_mut() {
            store.spill.take(run, &mut self.front, whole)?;
            store.bytes += self.front.len();
            if run.is_empty() {
                more.disk.remove(0);
            }
        } else {
            self.front = std::mem::take(&mut more.back);
            self.more = None;
        }
        Ok(!self.front.is_empty())
    }

    /// Moves all but the next entry to the disk.
    fn spill(&mut self, store: &mut Store) -> Result<()> {
        let next = Reader::read(&self.front[self.taken as usize..]).length;
        let keep = self.taken as usize + next;
        let more = self
            .more
            .get_or_insert_with(|| Box::new(More { disk: SmallVec::new(), back: Vec::new() }));
        let rest = &self.front[keep..];
        if !rest.is_empty() {
            more.disk.insert(0, store.spill.put(rest)?);
            store.bytes -= rest.len();
        }
        if !more.back.is_empty() {
            let back = std::mem::take(&mut more.back);
            more.disk.push(store.spill.put(&back)?);
            store.bytes -= back.len();
        }
        self.front.truncate(keep);
        self.front.drain(..self.taken as usize);
        self.front.shrink_to_fit();
        self.taken = 0;
        if more.disk.is_empty() {
            self.more = None;
        }
        Ok(())
    }
}

fn encode(entry: &Entry<'_>, bytes: &mut Vec<u8>) {
    bytes.clear();
    // The length comes first and is known last: it takes the two bytes that most need.
    bytes.extend_from_slice(&[0; 2]);
    put_varint(bytes, entry.page);
    put_varint(bytes, if entry.from == 0 { 0 } else { entry.page - entry.from });
    bytes.push(entry.hops);
    bytes.extend_from_slice(entry.rest.as_bytes());
    let length = bytes.len() - 2;
    if let Some(short) = u16::try_from(length).ok().filter(|&short| short < LONG) {
        bytes[..2].copy_from_slice(&short.to_le_bytes());
    } else {
        let long = u32::try_from(length).expect("a URL is no longer").to_le_bytes();
        bytes.splice(..2, LONG.to_le_bytes().into_iter().chain(long));
    }
}

/// In the place of a short length: a long one follows.
const LONG: u16 = u16::MAX;

struct Reader<'a> {
    entry: Entry<'a>,
    /// Bytes of the whole entry.
    length: usize,
}

impl<'a> Reader<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let (start, end) = bounds(bytes).expect("every entry is whole");
        let mut body = &bytes[start..end];
        let page = take_varint(&mut body);
        let back = take_varint(&mut body);
        let from = if back == 0 { 0 } else { page - back };
        let (&hops, rest) = body.split_first().expect("every entry has it");
        let rest = std::str::from_utf8(rest).expect("a URL was put in");
        Self { entry: Entry { page, from, hops, rest }, length: end }
    }
}

/// Where the first entry's body starts and ends, if its length is there.
fn bounds(bytes: &[u8]) -> Option<(usize, usize)> {
    let (short, rest) = bytes.split_first_chunk()?;
    let short = u16::from_le_bytes(*short);
    if short < LONG {
        return Some((2, 2 + usize::from(short)));
    }
    let long = u32::from_le_bytes(*rest.first_chunk()?);
    Some((6, 6 + long as usize))
}

/// How many of these bytes, which begin with an entry, are whole entries.
fn whole(bytes: &[u8]) -> usize {
    let mut whole = 0;
    while let Some(end) =
        bounds(&bytes[whole..]).map(|(_, end)| whole + end).filter(|&end| end <= bytes.len())
    {
        whole = end;
    }
    whole
}

/// Seven bits a byte, the low ones first.
fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = bytes.split_first().expect("every entry is whole");
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::super::spill;
    use super::*;

    fn store(limit: usize) -> Store {
        Store::new(Spill::new(&spill::unused_path()), limit)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against queues that are nothing but queues.
        #[test]
        fn entries_come_back_in_order(
            limit in prop_oneof![Just(0_usize), 0..20_000_usize],
            steps in prop::collection::vec((0..4_usize, 0..3_u32, 0..400_usize, any::<bool>()), 1..1500),
        ) {
            let mut store = store(limit);
            let mut queues: Vec<Queue> = (0..4).map(|_| Queue::default()).collect();
            let mut models = vec![BTreeMap::<u32, VecDeque<(u64, String)>>::new(); 4];
            let mut page = 0;
            let drain = (0..4).flat_map(|at| std::iter::repeat_n((at, 0, 0, false), steps.len()));
            for (at, depth, length, is_push) in steps.iter().copied().chain(drain) {
                if is_push {
                    page += 1;
                    let rest = format!("/{}", "x".repeat(length * (1 + usize::from(length == 7) * 10_000)));
                    let entry = Entry { page, from: page / 2, hops: 3, rest: &rest };
                    queues[at].push(depth, &entry, &mut store);
                    models[at].entry(depth).or_default().push_back((page, rest));
                } else {
                    let got = queues[at].pop(u32::MAX, &mut store, |depth, entry| {
                        assert_eq!((entry.from, entry.hops), (entry.page / 2, 3));
                        (depth, entry.page, entry.rest.to_owned())
                    });
                    let level = models[at].first_entry().map(|mut level| {
                        let (page, rest) = level.get_mut().pop_front().unwrap();
                        let depth = *level.key();
                        if level.get().is_empty() {
                            level.remove();
                        }
                        (depth, page, rest)
                    });
                    prop_assert_eq!(got.unwrap(), level);
                }
                if store.is_full() {
                    store.sweep(&mut queues, |queue| queue).unwrap();
                    for queue in &mut queues {
                        if store.bytes <= limit || class(queue.bytes()) < SHORTEST {
                            continue;
                        }
                        let before = store.bytes;
                        queue.spill(&mut store).unwrap();
                        prop_assert_eq!(store.bytes, before, "a long queue was left in memory");
                    }
                }
                let bytes: usize = queues.iter().map(Queue::bytes).sum();
                prop_assert_eq!(bytes, store.bytes);
            }
            prop_assert_eq!(store.size(), (0, 0));
        }
    }
}
