//! Crawls a made-up web in virtual time with the real frontier, for 1 to 1,024 ranks, and
//! measures the frontier by itself.
//!
//! `simulate_crawl ranks LINKS RANKS…` prints a row for each number of ranks;
//! `simulate_crawl parts` measures the seen set, hosts, queues and a resume.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its rows are for people")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "models round as they like"
)]

mod parts;
mod ranks;
mod web;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("parts") => parts::measure(),
        Some("ranks") => {
            let links = arguments.get(1).context("how many links?")?.parse::<f64>()? as u64;
            ranks::print_head();
            for n_ranks in &arguments[2..] {
                ranks::simulate(n_ranks.parse()?, links)?;
            }
            Ok(())
        }
        _ => bail!("usage: simulate_crawl ranks LINKS RANKS... | simulate_crawl parts"),
    }
}

/// CPU seconds of this thread.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Bytes that this process has in memory, or had at most.
fn resident(peak: bool) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let name = if peak { "VmHWM:" } else { "VmRSS:" };
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
