//! What is out: chunks in flight, what each worker holds of them, and what was measured.

use rustc_hash::FxHashMap;

use crate::message::{ChunkId, Rank, Task};

/// A chunk that has gone out.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) rank: Rank,
    pub(super) pool: usize,
    pub(super) tasks: Vec<Out>,
    pub(super) n_left: usize,
}

/// A task that is out.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) task: Task,
    /// The seconds it was expected to take.
    pub(super) seconds: f64,
    pub(super) done: bool,
}

/// Chunks in flight, by id.
#[derive(Debug, Default)]
pub(super) struct Flights {
    chunks: FxHashMap<ChunkId, InFlight>,
    next: ChunkId,
}

impl Flights {
    /// Takes a chunk that goes out; its id.
    pub(super) fn add(&mut self, rank: Rank, pool: usize, tasks: Vec<Out>) -> ChunkId {
        let id = self.next;
        self.next += 1;
        let n_left = tasks.len();
        self.chunks.insert(id, InFlight { rank, pool, tasks, n_left });
        id
    }

    pub(super) fn get(&self, id: ChunkId) -> &InFlight {
        &self.chunks[&id]
    }

    pub(super) fn get_mut(&mut self, id: ChunkId) -> Option<&mut InFlight> {
        self.chunks.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: ChunkId) {
        self.chunks.remove(&id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The tasks that match and have no outcome: who has them, in which chunk, and their places.
    pub(super) fn matching(
        &self,
        matches: &dyn Fn(&Task) -> bool,
    ) -> Vec<(Rank, ChunkId, Vec<u32>)> {
        let of_chunk = |(&id, chunk): (&ChunkId, &InFlight)| {
            let tasks = (0..).zip(&chunk.tasks).filter(|(_, out)| !out.done && matches(&out.task));
            let indices: Vec<u32> = tasks.map(|(idx, _)| idx).collect();
            (!indices.is_empty()).then_some((chunk.rank, id, indices))
        };
        self.chunks.iter().filter_map(of_chunk).collect()
    }

    /// Takes back what a rank has not answered, in the order in which it went out.
    pub(super) fn take_back(&mut self, rank: Rank) -> Vec<(usize, Task)> {
        let of_rank = self.chunks.iter().filter(|(_, chunk)| chunk.rank == rank);
        let mut ids: Vec<ChunkId> = of_rank.map(|(&id, _)| id).collect();
        ids.sort_unstable();
        let mut tasks = Vec::new();
        for id in ids {
            let chunk = self.chunks.remove(&id).expect("it was just found");
            let left = chunk.tasks.into_iter().filter(|out| !out.done);
            tasks.extend(left.map(|out| (chunk.pool, out.task)));
        }
        tasks
    }
}

/// What a worker holds, per pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker {
    pub(super) tasks: [u32; 2],
    pub(super) seconds: [f64; 2],
    /// Whether it has a suspect, and so nothing else.
    pub(super) has_suspect: bool,
    pub(super) is_dead: bool,
}

impl Worker {
    pub(super) fn holds_nothing(&self) -> bool {
        self.tasks == [0, 0]
    }
}

/// What was measured of a table's tasks: the factor between cost and seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    n: u32,
    cost: f64,
    seconds: f64,
}

/// After so many tasks older ones count half, so that a rate follows its tasks.
const RATE_MEMORY: u32 = 4096;

impl Rate {
    pub(super) fn measure(&mut self, cost: f32, seconds: f64) {
        if self.n == RATE_MEMORY {
            *self = Self { n: self.n / 2, cost: self.cost / 2.0, seconds: self.seconds / 2.0 };
        }
        self.n += 1;
        self.cost += f64::from(cost);
        self.seconds += seconds;
    }

    /// Seconds a unit of cost; `None` before anything has been measured.
    pub(super) fn factor(&self) -> Option<f64> {
        (self.cost > 0.0).then(|| self.seconds / self.cost)
    }

    pub(super) fn mean_seconds(&self) -> Option<f64> {
        (self.n > 0).then(|| self.seconds / f64::from(self.n))
    }
}
