//! Who has been heard of, and who is to hear of this rank: heartbeats between main threads,
//! which never compute, so that a busy rank is never taken for a dead one.
//!
//! **Invariant:** no clock; times are counted from the run's start.

use std::time::Duration;

/// The others, as one rank sees them.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Silence after which a rank is taken for dead.
    limit: Duration,
    /// When each rank was last sent something, and last heard of.
    ranks: Vec<Times>,
    last_look: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    sent: Duration,
    heard: Duration,
}

/// Heartbeats within a limit, so that one that is late does not matter.
const BEATS: u32 = 4;

impl Pulse {
    pub(super) fn new(limit: Duration, n_ranks: usize) -> Self {
        Self { limit, ranks: vec![Times::default(); n_ranks], last_look: Duration::ZERO }
    }

    pub(super) fn heard(&mut self, rank: usize, now: Duration) {
        self.ranks[rank].heard = now;
    }

    pub(super) fn sent(&mut self, rank: usize, now: Duration) {
        self.ranks[rank].sent = now;
    }

    /// Whether a rank is to get a heartbeat.
    pub(super) fn is_due(&self, rank: usize, now: Duration) -> bool {
        now >= self.ranks[rank].sent + self.limit / BEATS
    }

    /// Notes that this rank looks at the others now. A rank that was stopped itself has heard
    /// nothing for that reason: it listens again before it judges.
    pub(super) fn look(&mut self, now: Duration) {
        if now > self.last_look + self.limit / BEATS {
            self.ranks.iter_mut().for_each(|times| times.heard = now);
        }
        self.last_look = now;
    }

    /// Whether a rank has said nothing for too long.
    pub(super) fn is_silent(&self, rank: usize, now: Duration) -> bool {
        now > self.ranks[rank].heard + self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_noticed_and_one_s_own_is_not_held_against_others() {
        let mut pulse = Pulse::new(s(8), 2);
        for now in 1..=8 {
            pulse.look(s(now));
            pulse.heard(0, s(now));
            assert!(!pulse.is_silent(1, s(now)), "{now}");
        }
        pulse.look(s(9));
        assert!(pulse.is_silent(1, s(9)) && !pulse.is_silent(0, s(9)));
        // Stopped for a minute, then going on.
        pulse.look(s(70));
        assert!(!pulse.is_silent(0, s(70)) && !pulse.is_silent(1, s(70)));
    }

    #[test]
    fn heartbeats_fill_pauses() {
        let mut pulse = Pulse::new(s(8), 1);
        assert!(!pulse.is_due(0, s(1)) && pulse.is_due(0, s(2)));
        pulse.sent(0, s(2));
        assert!(!pulse.is_due(0, s(3)) && pulse.is_due(0, s(4)));
    }
}
