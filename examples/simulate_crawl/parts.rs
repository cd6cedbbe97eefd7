//! The frontier's parts by themselves: bytes a URL and a host, links a second, a resume.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use rankpool::web::frontier::{Found, Frontier, Seen, Settings, Step};

use crate::{cpu_seconds, resident};

pub(crate) fn measure() -> Result<()> {
    println!("| what | figure |");
    println!("|---|---:|");
    seen();
    known_links()?;
    hosts()?;
    spill()?;
    resume()
}

fn url(n: u64) -> String {
    format!("http://www.host{}.example/articles/{}/page-{n}.html", n % 1000, n % 97)
}

fn seen() {
    for n in [1_000, 10_000, 100_000, 1_000_000, 10_000_000_u64] {
        let (mut largest, mut seen) = (0.0_f64, Seen::default());
        let start = cpu_seconds();
        for i in 0..n {
            black_box(seen.insert(&url(i), 0));
            if i >= n / 2 && i % (n / 500) == 0 {
                largest = largest.max(seen.memory() as f64 / seen.len() as f64);
            }
        }
        let took = cpu_seconds() - start;
        let now = seen.memory() as f64 / n as f64;
        println!(
            "| seen set, {n} URLs: bytes a URL now, at most since half of them; URLs/s made and added | {now:.1}, {largest:.1}; {:.2} M |",
            n as f64 / took / 1e6
        );
    }
}

fn known_links() -> Result<()> {
    let mut frontier = Frontier::open(Settings::default(), None, None)?;
    let urls: Vec<String> = (0..1_000_000).map(url).collect();
    for share in [100, 10, 0_u64] {
        // One of so many is new; each is named in an order that is not that of memory.
        let n = 5_000_000_u64;
        let mut new: Vec<String> = Vec::new();
        if let Some(count) = n.checked_div(share) {
            new.extend((0..count).map(|n| url(1_000_000 + share * 10_000_000 + n)));
        } else {
            frontier = Frontier::open(Settings::default(), None, None)?;
        }
        for url in &urls {
            frontier.found(&Found { url, ..Found::default() }, None, 0)?;
        }
        let start = cpu_seconds();
        for i in 0..n {
            let is_new = share > 0 && i % share == 0;
            let url = if is_new {
                &new[(i / share) as usize]
            } else {
                &urls[(i * 7_919 % 1_000_000) as usize]
            };
            black_box(frontier.found(&Found { url, ..Found::default() }, None, 0)?);
        }
        let rate = n as f64 / (cpu_seconds() - start) / 1e6;
        let name = if share == 0 { "none".into() } else { format!("one in {share}") };
        println!("| reported links/s, {name} new, 10^6 or more known | {rate:.2} M |");
    }
    Ok(())
}

fn hosts() -> Result<()> {
    let before = resident(false);
    let mut frontier = Frontier::open(Settings::default(), None, None)?;
    let start = cpu_seconds();
    for n in 0..1_000_000 {
        let url = format!("http://www.host{n}.example/articles/page.html");
        frontier.found(&Found { url: &url, ..Found::default() }, None, 0)?;
    }
    let took = cpu_seconds() - start;
    let (memory, now) = (frontier.memory(), resident(false));
    println!(
        "| 10^6 hosts with one URL each: bytes a host, counted and resident; CPU s | {}, {}; {took:.2} |",
        memory.total() / 1_000_000,
        (now - before) / 1_000_000
    );
    let start = cpu_seconds();
    let mut n = 0;
    while let Step::Resolve { .. } = frontier.next(Duration::ZERO)? {
        n += 1;
    }
    println!(
        "| of these, first steps handed out; us each | {n}; {:.2} |",
        (cpu_seconds() - start) * 1e6 / f64::from(n)
    );
    Ok(())
}

fn spill() -> Result<()> {
    let settings = Settings { queue_memory: 16 << 20, ..Settings::default() };
    let mut frontier = Frontier::open(settings, None, None)?;
    let n = 10_000_000;
    let start = cpu_seconds();
    for i in 0..n {
        frontier.found(&Found { url: &url(i), ..Found::default() }, None, 0)?;
    }
    let (memory, took) = (frontier.memory(), cpu_seconds() - start);
    println!(
        "| 10^7 URLs of 1,000 hosts, 16 MB of queues: MB in all, of the seen set, queued in memory, on the disk; CPU s | {}, {}, {}, {}; {took:.1} |",
        memory.total() >> 20,
        memory.seen >> 20,
        memory.queued >> 20,
        memory.spilled >> 20
    );
    Ok(())
}

fn resume() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("rankpool.{}.resume", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("crawl.urls.jsonl");
    let mut frontier = Frontier::open(Settings::default(), Some(&path), None)?;
    for n in 0..1_000_000 {
        frontier.found(&Found { url: &url(n), ..Found::default() }, None, 0)?;
    }
    frontier.finish()?;
    let old = frontier.memory().total();
    drop(frontier);
    let start = cpu_seconds();
    let mut is_done = |url: &str| url.len().is_multiple_of(2);
    let frontier = Frontier::open(Settings::default(), Some(&path), Some(&mut is_done))?;
    let took = cpu_seconds() - start;
    println!(
        "| resume with 10^6 URLs: CPU s; MB of the frontier before and after; MB of journal | {took:.2}; {}, {}; {} |",
        old >> 20,
        frontier.memory().total() >> 20,
        std::fs::metadata(&path)?.len() >> 20
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
