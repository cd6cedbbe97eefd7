//! A worker's loop: chunks in, outcomes out.

use anyhow::{Result, bail};

use super::start::{Start, gather_world, receive_setup, started};
use super::{Backoff, MESSAGES_A_TURN, now, to_json};
use crate::executor::Executor;
use crate::message::{Rank, ToRoot, ToWorker};
use crate::transport::Transport;

/// Outcomes that leave in one message, in bytes: more wait for the next turn.
const LARGEST_MESSAGE: usize = 1 << 20;

/// Takes part in a run as a worker, to its end.
pub fn work(transport: &mut impl Transport) -> Result<()> {
    let (own, _) = gather_world(transport)?;
    let Some(setup) = receive_setup(transport)? else { return Ok(()) };
    let start = Start::decode(&transport.scatter(Vec::new())?)?;
    let began = started();
    let executor = setup.executor(&own, start.share, began)?;
    let mut backoff = Backoff::new();
    let mut finished = obey(&start.message, &executor)?;
    while !finished {
        let mut idle = !send_outcomes(transport, &executor, None)?;
        for _ in 0..MESSAGES_A_TURN {
            let Some((from, message)) = transport.poll()? else { break };
            if from != Rank::ROOT {
                bail!("{from} sent a message to {}; only rank 0 may", transport.rank());
            }
            finished |= obey(&message, &executor)?;
            idle = false;
        }
        if idle && !transport.is_sending()? {
            let outcome = backoff.wait(executor.outcomes());
            send_outcomes(transport, &executor, outcome)?;
        } else if idle {
            std::thread::yield_now();
        } else {
            backoff.reset();
        }
    }
    let mut ledger = executor.ledger(now());
    ledger.asleep = backoff.asleep.as_secs_f64();
    ledger.communication = ledger.wall - ledger.asleep;
    let mut message = Vec::new();
    ToRoot::Ledger(&to_json(&ledger)?).encode(&mut message);
    transport.send(Rank::ROOT, message)?;
    while transport.is_sending()? {
        std::thread::yield_now();
    }
    Ok(())
}

/// Does what a message of rank 0 says; true once the run is over.
fn obey(message: &[u8], executor: &Executor) -> Result<bool> {
    let mut rest = message;
    while let Some(order) = ToWorker::decode(&mut rest)? {
        match order {
            ToWorker::Chunk(payload) => executor.start(payload)?,
            ToWorker::Drained => executor.drained(now()),
            ToWorker::Finish => return Ok(true),
        }
    }
    Ok(false)
}

/// Sends what the executor has done, `first` before it; false if there was nothing.
fn send_outcomes(
    transport: &mut impl Transport,
    executor: &Executor,
    first: Option<Vec<u8>>,
) -> Result<bool> {
    let mut message = Vec::new();
    for payload in first.into_iter().chain(executor.outcomes().try_iter()) {
        ToRoot::Outcomes(&payload).encode(&mut message);
        if message.len() >= LARGEST_MESSAGE {
            break;
        }
    }
    if message.is_empty() {
        return Ok(false);
    }
    transport.send(Rank::ROOT, message)?;
    Ok(true)
}
