//! Which tasks may run at the same time, so that together they fit into a rank's memory and onto
//! the threads of its CPU pool.
//!
//! A task that finds no room is put aside: its thread goes on with others, and whoever makes
//! room starts it. So no thread waits, and nothing can wait for each other.
//!
//! **Invariant:** what runs with a [`Room`] fits into memory and threads together; a task that was
//! put aside is given back exactly once, when it has room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

/// Tasks that need little pass without a look: as many as there are threads, together, take at
/// most this part of the memory.
const UNCOUNTED_PART: u64 = 16;

/// So many smaller tasks may overtake the one that waits longest; then it is waited for.
const MOST_OVERTAKING: u32 = 64;

/// What a task needs while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// Bytes of memory.
    pub(super) bytes: u64,
    /// Threads of the CPU pool; 0 where nobody counts them.
    pub(super) cores: u32,
}

impl Need {
    fn is_smaller_than(self, other: Self) -> bool {
        self != other && self.bytes <= other.bytes && self.cores <= other.cores
    }
}

/// A rank's memory and threads, as far as running tasks have claimed them.
#[derive(Debug)]
pub(super) struct Admission<T> {
    memory: u64,
    cores: AtomicU32,
    /// What needs no more than this is not counted.
    uncounted: u64,
    claims: Mutex<Claims<T>>,
}

#[derive(Debug)]
struct Claims<T> {
    used: Need,
    /// What was put aside, with its need; the first one waits longest.
    aside: VecDeque<(Need, T)>,
    /// How many have overtaken the first one.
    overtaken: u32,
}

/// A running task's claim, until [`Admission::leave`].
#[derive(Debug)]
#[must_use]
pub(super) struct Room(Need);

impl Room {
    /// Of what needs next to nothing.
    const UNCOUNTED: Self = Self(Need { bytes: 0, cores: 0 });

    fn give_up(self) -> Need {
        self.0
    }
}

impl<T> Admission<T> {
    /// Of `memory` bytes for `threads` threads, `cores` of which are the CPU pool's.
    pub(super) fn new(memory: u64, threads: u32, cores: u32) -> Self {
        let claims = Claims { used: Need::default(), aside: VecDeque::new(), overtaken: 0 };
        let uncounted = memory / UNCOUNTED_PART / u64::from(threads.max(1));
        let cores = AtomicU32::new(cores);
        Self { memory, cores, uncounted, claims: Mutex::new(claims) }
    }

    /// Room for a task, if there is; otherwise what `put_aside` gives is kept until there is.
    pub(super) fn enter(&self, need: Need, put_aside: impl FnOnce() -> T) -> Option<Room> {
        // What never fits is refused by its kind, and at once.
        let is_counted = need.bytes > self.uncounted && need.bytes <= self.memory;
        let bytes = if is_counted { need.bytes } else { 0 };
        let need = Need { bytes, cores: need.cores.min(self.cores()) };
        if need == Need::default() {
            return Some(Room::UNCOUNTED);
        }
        let mut claims = self.claims();
        let overtakes = claims.aside.front().map(|&(first, _)| need.is_smaller_than(first));
        let may = overtakes.is_none_or(|smaller| smaller && claims.overtaken < MOST_OVERTAKING);
        if may && self.fits(&claims, need) {
            claims.overtaken += u32::from(overtakes.is_some());
            claims.take(need);
            return Some(Room(need));
        }
        claims.aside.push_back((need, put_aside()));
        None
    }

    /// Gives a task's room back; `start` gets each of those put aside that has room now.
    pub(super) fn leave(&self, room: Room, mut start: impl FnMut(Room, T)) {
        let given = room.give_up();
        if given == Need::default() {
            return;
        }
        let mut claims = self.claims();
        claims.used.bytes -= given.bytes;
        claims.used.cores -= given.cores;
        while let Some(&(need, _)) = claims.aside.front()
            && self.fits(&claims, need)
        {
            claims.take(need);
            claims.overtaken = 0;
            let (need, task) = claims.aside.pop_front().expect("it was just looked at");
            start(Room(need), task);
        }
    }

    /// The CPU pool has another number of threads now; tasks that hold more end first.
    pub(super) fn set_cores(&self, cores: u32) {
        self.cores.store(cores, Relaxed);
    }

    fn cores(&self) -> u32 {
        self.cores.load(Relaxed)
    }

    fn fits(&self, claims: &Claims<T>, need: Need) -> bool {
        need.bytes <= self.memory - claims.used.bytes
            && need.cores.min(self.cores()) <= self.cores().saturating_sub(claims.used.cores)
    }

    fn claims(&self) -> MutexGuard<'_, Claims<T>> {
        self.claims.lock().expect("no holder panics")
    }
}

impl<T> Claims<T> {
    fn take(&mut self, need: Need) {
        self.used.bytes += need.bytes;
        self.used.cores += need.cores;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Memory of 1600 bytes and one thread: up to 100 bytes are not counted.
    fn admission() -> Admission<u64> {
        Admission::new(1600, 1, 4)
    }

    fn bytes(bytes: u64) -> Need {
        Need { bytes, cores: 0 }
    }

    fn leave(admission: &Admission<u64>, room: Room) -> Vec<(u64, Room)> {
        let mut started = Vec::new();
        admission.leave(room, |room, need| started.push((need, room)));
        started
    }

    #[test]
    fn what_fits_together_runs_together() {
        let admission = admission();
        let first = admission.enter(bytes(800), || 0).unwrap();
        let second = admission.enter(bytes(800), || 0).unwrap();
        assert!(admission.enter(bytes(800), || 3).is_none());
        assert!(admission.enter(bytes(700), || 4).is_none());
        assert!(admission.enter(bytes(100), || 0).is_some(), "little is not counted");
        assert!(admission.enter(bytes(1601), || 0).is_some(), "its kind refuses it");
        let started = leave(&admission, first);
        assert_eq!(started.iter().map(|(task, _)| *task).collect::<Vec<_>>(), [3]);
        assert_eq!(leave(&admission, second).len(), 1);
    }

    #[test]
    fn a_large_task_is_overtaken_for_a_while_only() {
        let admission = admission();
        let first = admission.enter(bytes(800), || 0).unwrap();
        assert!(admission.enter(bytes(1600), || 1600).is_none());
        assert!(admission.enter(bytes(1600), || 1601).is_none(), "not smaller");
        for _ in 0..MOST_OVERTAKING {
            let room = admission.enter(bytes(200), || 0).expect("smaller, and there is room");
            assert!(leave(&admission, room).is_empty());
        }
        assert!(admission.enter(bytes(200), || 200).is_none(), "enough");
        let [(1600, large)] = &mut leave(&admission, first)[..] else { panic!("the large one") };
        let large = std::mem::replace(large, Room::UNCOUNTED);
        assert_eq!(leave(&admission, large)[0].0, 1601);
    }

    #[test]
    fn a_task_of_many_threads_waits_for_them() {
        let admission = admission();
        let cores = |cores| Need { bytes: 0, cores };
        let first = admission.enter(cores(1), || 0).unwrap();
        assert!(admission.enter(cores(9), || 9).is_none(), "all four, and one is taken");
        assert!(admission.enter(cores(9), || 10).is_none());
        let second = admission.enter(cores(3), || 0).expect("it may overtake");
        assert!(leave(&admission, second).is_empty());
        let started = leave(&admission, first);
        assert_eq!(started.iter().map(|(task, _)| *task).collect::<Vec<_>>(), [9]);
        assert!(admission.enter(cores(1), || 1).is_none());
        let (_, all) = started.into_iter().next().unwrap();
        assert_eq!(leave(&admission, all)[0].0, 10);
    }

    proptest! {
        #[test]
        fn everything_runs_and_nothing_is_exceeded(needs in prop::collection::vec(101..1601u64, 1..80), order in any::<u64>()) {
            let admission = admission();
            let mut running = Vec::new();
            let (mut n_run, mut order) = (0, order);
            for &need in &needs {
                running.extend(admission.enter(bytes(need), || need));
                prop_assert!(running.iter().map(|Room(need)| need.bytes).sum::<u64>() <= 1600);
            }
            while !running.is_empty() {
                order = order.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let room = running.swap_remove(usize::try_from(order >> 32).unwrap() % running.len());
                n_run += 1;
                running.extend(leave(&admission, room).into_iter().map(|(_, room)| room));
                prop_assert!(running.iter().map(|Room(need)| need.bytes).sum::<u64>() <= 1600);
            }
            prop_assert_eq!(n_run, needs.len());
        }
    }
}
