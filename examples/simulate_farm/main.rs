//! Task farms in virtual time around rank 0's real decisions: how many ranks one rank 0 feeds.
//!
//! `simulate_farm table` prints the tables of docs/scale.md; `simulate_farm row RANKS THREADS
//! SECONDS uniform|heavy` prints one farm; `simulate_farm memory` what a rank costs rank 0.

#![allow(clippy::print_stdout, reason = "its rows are for people")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "models round as they like"
)]

mod farm;
mod worker;

use anyhow::{Result, bail};

use farm::{Farm, Outcome, Shape};

const RANKS: [u32; 7] = [1, 4, 16, 64, 256, 1024, 4096];
const SECONDS: [f64; 5] = [0.001, 0.01, 0.1, 1.0, 10.0];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["table"] => table(1),
        ["table", threads] => table(threads.parse()?),
        ["row", ranks, threads, seconds, shape] => {
            let farm =
                Farm::new(ranks.parse()?, threads.parse()?, seconds.parse()?, shape.parse()?);
            let outcome = farm.run()?;
            println!("{}; {:.3} s", cell(&outcome), outcome.seconds);
            Ok(())
        }
        ["memory"] => farm::memory(),
        _ => bail!(
            "usage: simulate_farm table [THREADS] | simulate_farm row RANKS THREADS SECONDS \
             uniform|heavy | simulate_farm memory"
        ),
    }
}

/// A row a task time, a column a number of ranks.
fn table(threads: u32) -> Result<()> {
    println!(
        "Each cell: efficiency, rank 0's time in use, its messages a second, its CPU us a task.\n"
    );
    let columns: Vec<String> = RANKS.iter().map(u32::to_string).collect();
    let rule = "---:|".repeat(RANKS.len());
    println!("| tasks | {} |\n|---|{rule}", columns.join(" | "));
    for shape in [Shape::Uniform, Shape::Heavy] {
        for seconds in SECONDS {
            let cells = RANKS.iter().map(|&ranks| {
                let outcome = Farm::new(ranks, threads, seconds, shape).run();
                outcome.map(|outcome| cell(&outcome))
            });
            let cells = cells.collect::<Result<Vec<_>>>()?.join(" | ");
            println!("| {shape}, {} | {cells} |", milliseconds(seconds));
        }
    }
    Ok(())
}

fn cell(outcome: &Outcome) -> String {
    format!(
        "{:.0} %, {:.0} %, {:.0}, {:.1}",
        outcome.efficiency * 100.0,
        outcome.busy * 100.0,
        outcome.messages,
        outcome.cpu / outcome.tasks * 1e6
    )
}

fn milliseconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{} ms", seconds * 1e3) } else { format!("{seconds} s") }
}

/// CPU seconds of this thread.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Bytes that this process has in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
