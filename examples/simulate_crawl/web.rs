//! A web that is not stored: everything follows from a hash.
//!
//! A million hosts; the k-th has about 10^6 / k^0.7 pages (2 * 10^8 in all) and is named by links
//! with a weight of 1 / k. Seven links of ten stay on their host; within a host the first pages
//! are named most. Three hosts of ten share one of 20,000 addresses.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hosts.
pub(crate) const HOSTS: f64 = 1e6;
const LARGEST: f64 = 1e6;
const SHARED: u64 = 20_000;

/// A number from 0 to 1 that follows from others.
fn uniform(a: u64, b: u64) -> f64 {
    (hash(a, b) >> 11) as f64 / (1_u64 << 53) as f64
}

fn hash(a: u64, b: u64) -> u64 {
    xxh3_64_with_seed(&a.to_le_bytes(), b)
}

/// A page: a host's number and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) host: u64,
    pub(crate) page: u64,
}

impl Page {
    /// The n-th seed.
    pub(crate) fn seed(n: u64) -> Self {
        Self { host: popular(HOSTS, uniform(n, 1)), page: 0 }
    }

    /// Of a URL.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://www.host")?;
        let (host, rest) = rest.split_once(".example/")?;
        let page = rest.rsplit_once('-')?.1.strip_suffix(".html")?;
        Some(Self { host: host.parse().ok()?, page: page.parse().ok()? })
    }

    /// Writes its URL.
    pub(crate) fn put_url(self, url: &mut String) {
        let Self { host, page } = self;
        write!(url, "http://www.host{host}.example/articles/{}/page-{page}.html", page % 97)
            .expect("a string takes all");
    }

    fn key(self) -> u64 {
        self.host << 32 | self.page
    }

    /// How many links it has: 5 to 200, 40 on average.
    pub(crate) fn n_links(self) -> u64 {
        5 + (uniform(self.key(), 2).powi(4) * 175.0) as u64
    }

    /// Its n-th link.
    pub(crate) fn link(self, n: u64) -> Self {
        let random = hash(self.key(), 100 + n);
        let host = if random % 10 < 7 { self.host } else { popular(HOSTS, uniform(random, 3)) };
        let size = LARGEST / ((host + 1) as f64).powf(0.7);
        let place = uniform(random, 4);
        // Half of the links go to well-known pages, half to any.
        let page = if random >> 40 & 1 == 0 { popular(size, place) } else { (size * place) as u64 };
        Self { host, page }
    }

    /// How long its server takes: 50 ms to some seconds, 0.3 s on average.
    pub(crate) fn latency(self) -> Duration {
        let slow = if uniform(self.host, 5) < 0.02 { 10.0 } else { 1.0 };
        Duration::from_secs_f64(slow * (0.05 - 0.2 * (1.0 - uniform(self.key(), 6)).ln()))
    }
}

/// From 0 to below `n`, k with a weight of 1 / (k + 1).
fn popular(n: f64, uniform: f64) -> u64 {
    ((n + 1.0).powf(uniform) - 1.0) as u64
}

/// The address of a host's name.
pub(crate) fn address(name: &str) -> IpAddr {
    let host = name.trim_start_matches("www.host").trim_end_matches(".example");
    let host = host.parse().unwrap_or(0);
    let random = hash(host, 7);
    let n = if random % 10 < 3 { random / 10 % SHARED } else { SHARED + host };
    IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + n as u32))
}
