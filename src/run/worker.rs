//! A worker's loop: chunks in, outcomes out.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::pulse::Pulse;
use super::shared;
use super::signals::Signals;
use super::start::{Start, gather_world, receive_setup, started};
use super::{Backoff, MESSAGES_A_TURN, now, to_json};
use crate::executor::Executor;
use crate::message::{Rank, ToRoot, ToWorker};
use crate::transport::Transport;

/// Outcomes that leave in one message, in bytes: more wait for the next turn.
const LARGEST_MESSAGE: usize = 1 << 20;
/// How long the last message of a rank may take to leave.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Takes part in a run as a worker, to its end.
///
/// An error means that rank 0 is lost, or that it and this rank do not understand each other.
pub fn work(transport: &mut impl Transport) -> Result<()> {
    let (own, _) = gather_world(transport)?;
    let Some(setup) = receive_setup(transport)? else { return Ok(()) };
    if !shared::answer(transport, &setup)? {
        return Ok(());
    }
    let _signals = Signals::catch()?;
    let start = Start::decode(&transport.scatter(Vec::new())?)?;
    transport.started();
    let began = started();
    let executor = setup.executor(&own, start.share, began)?;
    let pulse = Pulse::new(setup.heartbeat, 1);
    let mut worker = Worker {
        transport,
        executor,
        began,
        pulse,
        backoff: Backoff::new(),
        state: State::Working,
    };
    worker.obey(&start.message)?;
    // Rank 0 hears of every worker at once: connections are made while all are alive.
    worker.tell(&ToRoot::Beat)?;
    while worker.state != State::Finished {
        worker.turn()?;
    }
    worker.finish()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Working,
    /// Told to start nothing more.
    Stopping,
    /// Told rank 0 that nothing runs any more.
    Stopped,
    Finished,
}

struct Worker<'a, T> {
    transport: &'a mut T,
    executor: Executor,
    began: Instant,
    pulse: Pulse,
    backoff: Backoff,
    state: State,
}

impl<T: Transport> Worker<'_, T> {
    fn elapsed(&self) -> Duration {
        now() - self.began
    }

    /// One turn: send what is done, do what rank 0 says, or wait if there is neither.
    fn turn(&mut self) -> Result<()> {
        // Looked at first: what was done by then is sent before it is said.
        let quiet = self.state == State::Stopping && self.executor.is_quiet();
        let mut idle = !self.send_outcomes(None)?;
        if quiet && idle {
            self.tell(&ToRoot::Stopped)?;
            self.state = State::Stopped;
        }
        for _ in 0..MESSAGES_A_TURN {
            let Some((from, message)) = self.transport.poll()? else { break };
            ensure!(from == Rank::ROOT, "{from} sent a message; only rank 0 may");
            self.pulse.heard(0, self.elapsed());
            self.obey(&message)?;
            idle = false;
        }
        self.listen()?;
        self.pause(idle)
    }

    fn pause(&mut self, idle: bool) -> Result<()> {
        if !idle {
            self.backoff.reset();
            return Ok(());
        }
        let is_moving = self.transport.is_sending()? || self.transport.is_arriving();
        if is_moving {
            self.backoff.reset();
        }
        let is_supplied = !is_moving && self.executor.is_supplied();
        let outcome = self.backoff.wait(&self.executor, is_supplied);
        self.send_outcomes(outcome)?;
        Ok(())
    }

    /// Sends a heartbeat where nothing else was sent, and gives up where rank 0 is gone.
    fn listen(&mut self) -> Result<()> {
        let elapsed = self.elapsed();
        self.pulse.look(elapsed);
        if self.pulse.is_due(0, elapsed) {
            self.tell(&ToRoot::Beat)?;
        }
        let lost = self.transport.failed()?.contains(&Rank::ROOT);
        ensure!(!lost && !self.pulse.is_silent(0, elapsed), "rank 0 is lost; this rank leaves");
        Ok(())
    }

    fn tell(&mut self, what: &ToRoot<'_>) -> Result<()> {
        let mut message = Vec::new();
        what.encode(&mut message);
        self.send(message)
    }

    fn send(&mut self, message: Vec<u8>) -> Result<()> {
        self.pulse.sent(0, self.elapsed());
        self.transport.send(Rank::ROOT, message)
    }

    /// Does what a message of rank 0 says.
    fn obey(&mut self, message: &[u8]) -> Result<()> {
        let mut rest = message;
        while let Some(order) = ToWorker::decode(&mut rest)? {
            match order {
                ToWorker::Chunk(payload) => self.executor.start(payload)?,
                ToWorker::Drained => self.executor.drained(now()),
                ToWorker::Beat => {}
                // Threads that cannot be started leave those that there are.
                ToWorker::Threads(threads) => drop(self.executor.set_threads(threads)),
                ToWorker::Cancel(chunk, tasks) => {
                    self.executor.cancel(chunk, tasks.into_iter().map(|idx| idx as usize));
                }
                ToWorker::Stop => {
                    self.executor.stop();
                    self.state = State::Stopping;
                }
                ToWorker::Finish => self.state = State::Finished,
            }
        }
        Ok(())
    }

    /// Sends what the executor has done, `first` before it; false if there was nothing.
    fn send_outcomes(&mut self, first: Option<Vec<u8>>) -> Result<bool> {
        let mut message = Vec::new();
        for payload in first.into_iter().chain(self.executor.outcomes().try_iter()) {
            ToRoot::Outcomes(&payload).encode(&mut message);
            if message.len() >= LARGEST_MESSAGE {
                break;
            }
        }
        if message.is_empty() {
            return Ok(false);
        }
        self.send(message)?;
        Ok(true)
    }

    /// Sends the ledger, the last message of this rank.
    fn finish(&mut self) -> Result<()> {
        let mut ledger = self.executor.ledger(now());
        ledger.asleep = self.backoff.asleep.as_secs_f64();
        ledger.communication = ledger.wall - ledger.asleep;
        self.tell(&ToRoot::Ledger(&to_json(&ledger)?))?;
        let deadline = now() + LAST_WORD;
        while self.transport.is_sending()? && now() < deadline {
            std::thread::yield_now();
        }
        Ok(())
    }
}
