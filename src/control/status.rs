//! How far a run is, and what its ranks do, as `ctl status` tells it.

use serde::Serialize;

use crate::units::thousands;

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The job's name.
    pub job: String,
    /// Rank 0's process.
    pub pid: u32,
    /// `running`, `paused` or `stopping`.
    pub state: &'static str,
    /// Since the run's start.
    pub seconds: f64,
    /// Tasks with an outcome.
    pub done: u64,
    /// All of them, where that is known.
    pub total: Option<u64>,
    /// Those done that failed.
    pub failed: u64,
    /// Those done that were cancelled.
    pub cancelled: u64,
    /// Tasks that wait on rank 0, as far as they have been read.
    pub ready: usize,
    /// Tasks that ranks have.
    pub in_flight: u64,
    /// `open` or `ended`, where tasks come as a stream.
    pub stream: Option<&'static str>,
    /// By rank.
    pub ranks: Vec<RankStatus>,
}

/// What a rank does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankStatus {
    /// The rank.
    pub rank: u32,
    /// Its host.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Threads for tasks that compute.
    pub threads: u32,
    /// Threads for tasks that wait.
    pub io_threads: u32,
    /// Tasks that it has.
    pub in_flight: u32,
    /// `working`, `drained` or `dead`.
    pub state: &'static str,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = self.total.map_or_else(String::new, |n| format!(" of {}", thousands(n)));
        writeln!(f, "{}: {} for {:.1} s (pid {})", self.job, self.state, self.seconds, self.pid)?;
        writeln!(
            f,
            "{}{of} tasks done, {} failed, {} cancelled; {} in flight, {} ready",
            thousands(self.done),
            thousands(self.failed),
            thousands(self.cancelled),
            thousands(self.in_flight),
            thousands(self.ready as u64),
        )?;
        if let Some(stream) = self.stream {
            writeln!(
                f,
                "the stream of tasks is {}",
                if stream == "open" { "open" } else { "at its end" }
            )?;
        }
        for rank in &self.ranks {
            let RankStatus { rank, host, pid, threads, io_threads, in_flight, state } = rank;
            writeln!(
                f,
                "rank {rank} pid {pid} on host {host}: {state}, {in_flight} tasks, {threads} \
                 threads, {io_threads} I/O threads"
            )?;
        }
        Ok(())
    }
}
