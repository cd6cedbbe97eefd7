//! Whose turn it is: one clock a host, one an address, and what is due first.
//!
//! Hosts wait in the lane of their address; the lanes that have somebody waiting stand in one
//! heap by the time at which the first of them may go. What is due at the same time goes in the
//! order in which it came, so that hosts take turns.
//!
//! **Invariant:** a lane gives no host before its own time, nor within the delay of the last
//! start or end of a fetch in the lane, nor while as many fetches as allowed are in flight there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use super::types::HostId;

/// Nanoseconds since the run's start.
pub(super) type Nanos = u64;

/// An address's place in [`Clocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(u32);

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// A host without an address.
    Resolve(HostId),
    /// A host, in its lane.
    Visit(LaneId, HostId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Resolve(HostId),
    Lane(LaneId),
}

/// All clocks.
#[derive(Debug)]
pub(super) struct Clocks {
    delay: Nanos,
    at_once: u32,
    lanes: Vec<Lane>,
    by_address: FxHashMap<IpAddr, LaneId>,
    /// Due times and order of arrival. Of a lane only the entry that it knows of counts.
    heap: BinaryHeap<Reverse<(Nanos, u64, Entry)>>,
    n_entries: u64,
    /// How long those who went had waited beyond their time, and how many went.
    late: (Nanos, u64),
}

#[derive(Debug, Default)]
struct Lane {
    /// From then on the next fetch may start.
    free_at: Nanos,
    in_flight: u32,
    waiting: BinaryHeap<Reverse<(Nanos, u64, HostId)>>,
    /// Its time in the heap.
    queued: Option<Nanos>,
}

impl Lane {
    fn due(&self, at_once: u32) -> Option<Nanos> {
        let Reverse((first, ..)) = self.waiting.peek()?;
        (self.in_flight < at_once).then(|| self.free_at.max(*first))
    }
}

impl Clocks {
    /// Clocks with this delay and limit a lane.
    pub(super) fn new(delay: Nanos, at_once: u32) -> Self {
        Self {
            delay,
            at_once,
            lanes: Vec::new(),
            by_address: FxHashMap::default(),
            heap: BinaryHeap::new(),
            n_entries: 0,
            late: (0, 0),
        }
    }

    /// The lane of an address.
    pub(super) fn lane(&mut self, address: IpAddr) -> LaneId {
        let next = LaneId(u32::try_from(self.lanes.len()).expect("hosts are counted in 32 bits"));
        let lane = *self.by_address.entry(address).or_insert(next);
        if lane == next {
            self.lanes.push(Lane::default());
        }
        lane
    }

    /// Has a host without an address wait until `due`.
    pub(super) fn wait_to_resolve(&mut self, host: HostId, due: Nanos) {
        self.n_entries += 1;
        self.heap.push(Reverse((due, self.n_entries, Entry::Resolve(host))));
    }

    /// Has a host wait in a lane until `due` or later.
    pub(super) fn wait(&mut self, lane: LaneId, host: HostId, due: Nanos) {
        self.n_entries += 1;
        self.lanes[lane.0 as usize].waiting.push(Reverse((due, self.n_entries, host)));
        self.queue(lane);
    }

    /// Who goes now; else the time at which somebody may.
    pub(super) fn pop(&mut self, now: Nanos) -> Result<Turn, Option<Nanos>> {
        while let Some(&Reverse((due, _, entry))) = self.heap.peek() {
            let id = match entry {
                _ if due > now && self.is_true(due, entry) => return Err(Some(due)),
                Entry::Resolve(host) => {
                    self.heap.pop();
                    return Ok(Turn::Resolve(host));
                }
                Entry::Lane(id) => id,
            };
            let is_true = self.is_true(due, entry);
            let lane = &mut self.lanes[id.0 as usize];
            self.heap.pop();
            if lane.queued == Some(due) {
                lane.queued = None;
            }
            let turn = is_true.then(|| lane.waiting.pop()).flatten();
            self.queue(id);
            if let Some(Reverse((.., host))) = turn {
                self.late = (self.late.0 + now - due, self.late.1 + 1);
                return Ok(Turn::Visit(id, host));
            }
        }
        Err(None)
    }

    /// A fetch starts in a lane.
    pub(super) fn start(&mut self, lane: LaneId, now: Nanos) {
        let at = &mut self.lanes[lane.0 as usize];
        at.in_flight += 1;
        at.free_at = at.free_at.max(now + self.delay);
    }

    /// A fetch has ended in a lane.
    pub(super) fn end(&mut self, lane: LaneId, now: Nanos) {
        let at = &mut self.lanes[lane.0 as usize];
        at.in_flight -= 1;
        at.free_at = at.free_at.max(now + self.delay);
        self.queue(lane);
    }

    /// How long those who went had waited beyond their time, and how many went.
    pub(super) fn late(&self) -> (Nanos, u64) {
        self.late
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        let waiting: usize = self.lanes.iter().map(|lane| lane.waiting.capacity()).sum();
        self.lanes.capacity() * size_of::<Lane>()
            + self.by_address.capacity() * (size_of::<(IpAddr, LaneId)>() + 1)
            + (waiting + self.heap.capacity()) * size_of::<(Nanos, u64, Entry)>()
    }

    /// Whether an entry of the heap says when its lane is due.
    fn is_true(&self, due: Nanos, entry: Entry) -> bool {
        let Entry::Lane(id) = entry else { return true };
        let lane = &self.lanes[id.0 as usize];
        lane.queued == Some(due) && lane.due(self.at_once) == Some(due)
    }

    /// Puts a lane into the heap, unless it stands there for a time as early.
    fn queue(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.0 as usize];
        let Some(due) = lane.due(self.at_once) else { return };
        if lane.queued.is_none_or(|queued| queued > due) {
            lane.queued = Some(due);
            self.n_entries += 1;
            self.heap.push(Reverse((due, self.n_entries, Entry::Lane(id))));
        }
    }
}
