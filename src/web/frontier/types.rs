//! What the frontier is told and what it answers.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::task::ErrorClass;

/// How a crawl behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From the end of one fetch to the start of the next, per host and per address; with
    /// several connections also from start to start.
    pub delay: Duration,
    /// Fetches at the same time, per host and per address.
    pub per_host: u32,
    /// Pages further from the seeds are not fetched. Where it is set, a page goes out only when
    /// every page nearer to the seeds is done, so that its depth is its least.
    pub max_depth: Option<u32>,
    /// Pages fetched, earlier runs included.
    pub max_pages: Option<u64>,
    /// The same for each host.
    pub max_pages_per_host: Option<u64>,
    /// URLs accepted of one path pattern.
    pub max_pages_per_pattern: Option<u64>,
    /// A robots `Crawl-delay` is obeyed up to this.
    pub max_crawl_delay: Duration,
    /// Pause after a failure of a host, doubled with each further one in a row.
    pub pause: Duration,
    /// The longest pause, also where a host asks for more.
    pub max_pause: Duration,
    /// Further attempts after the first, per page, and per host for its robots and its address.
    pub retries: u32,
    /// A host that fails so often in a row is put aside.
    pub max_host_failures: u32,
    /// Whether robots are asked.
    pub robots: bool,
    /// Robots and addresses are asked again after this.
    pub robots_max_age: Duration,
    /// Bytes of queued URLs in memory; what is more goes to the disk.
    pub queue_memory: usize,
    /// Bytes of robots rules in memory: beyond them, rules of hosts that have nothing queued are
    /// forgotten.
    pub rules_memory: usize,
    /// Redirects in a row that are followed.
    pub redirects: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            per_host: 1,
            max_depth: None,
            max_pages: None,
            max_pages_per_host: None,
            max_pages_per_pattern: None,
            max_crawl_delay: Duration::from_secs(30),
            pause: Duration::from_secs(10),
            max_pause: Duration::from_secs(600),
            retries: 2,
            max_host_failures: 5,
            robots: true,
            robots_max_age: Duration::from_secs(24 * 3600),
            queue_memory: 64 << 20,
            rules_memory: 64 << 20,
            redirects: 10,
        }
    }
}

/// A host: scheme and authority of URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u32);

/// A URL's place in the order of discovery, from 1: its `n` in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageId(pub u64);

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A URL as a page, a sitemap or the user named it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found<'a> {
    /// Normalised: `http` or `https`, without a fragment.
    pub url: &'a str,
    /// Equal for URLs of one path pattern.
    pub pattern: u64,
    /// Why it is not to be fetched: a code, a colon and a text (`scope: …`).
    pub refused: Option<&'a str>,
    /// Redirects in a row that led here.
    pub hops: u8,
}

/// A host's robots rules, as the frontier needs them.
pub trait Rules: Send {
    /// The line of the rule that denies a path with its query.
    fn denied(&self, path_and_query: &str) -> Option<u32>;
    /// What the host asks for between two fetches.
    fn crawl_delay(&self) -> Option<Duration>;
    /// Bytes in memory.
    fn memory(&self) -> usize;
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Find a host's addresses, for [`super::Frontier::on_resolved`].
    Resolve {
        /// The host.
        host: HostId,
        /// Its name, without the port.
        name: String,
        /// The port.
        port: u16,
        /// Ranks that have died of this.
        deaths: u32,
    },
    /// Fetch a host's robots, for [`super::Frontier::on_robots`].
    Robots {
        /// The host.
        host: HostId,
        /// Of its `robots.txt`.
        url: String,
        /// Where to connect to.
        addresses: Vec<IpAddr>,
        /// Ranks that have died of this.
        deaths: u32,
    },
    /// Fetch a page, for [`super::Frontier::on_page`].
    Fetch(Fetch),
    /// A page that will not be fetched because of its host: its fate is in the journal, its
    /// record is the caller's.
    Failed(Fetch, Failure),
    /// Nothing now; at this time there may be something, if no outcome is heard before.
    Wait(Option<Duration>),
    /// Nothing is left: more comes only with more seeds.
    Done,
}

/// A page to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Which.
    pub page: PageId,
    /// Its host.
    pub host: HostId,
    /// Its URL.
    pub url: String,
    /// Where to connect to, and nowhere else: other addresses have clocks of their own.
    pub addresses: Vec<IpAddr>,
    /// Links from a seed.
    pub depth: u32,
    /// Redirects in a row that led here.
    pub hops: u8,
    /// Earlier attempts.
    pub attempts: u32,
    /// How many of them ended because the rank died that had it.
    pub crashes: u32,
    /// The page that named it first; `None` for a seed.
    pub from: Option<PageId>,
}

/// Why a page, a host's address or its robots were not had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What sort of failure.
    pub class: ErrorClass,
    /// What happened, in one line.
    pub message: String,
}

/// What became of a [`Step::Resolve`].
#[derive(Debug)]
pub enum Resolved {
    /// The host's addresses.
    Addresses(Vec<IpAddr>),
    /// It has none.
    Failed(Failure),
    /// The rank that asked has died; others may ask.
    Died,
    /// Not asked: the run is ending.
    LeftOut,
}

/// What became of a [`Step::Robots`].
pub enum RobotsEnd {
    /// Rules; those that allow everything where the server has none (4xx).
    Rules(Box<dyn Rules>),
    /// The server answered, but not with rules (5xx, 429): nothing is allowed.
    Unavailable {
        /// Such as `status 503`.
        reason: String,
        /// When it asks to be asked again.
        again: Option<Duration>,
    },
    /// The server was not reached.
    Failed(Failure),
    /// The rank that asked has died; others may ask.
    Died,
    /// Not asked: the run is ending.
    LeftOut,
}

impl fmt::Debug for RobotsEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rules(_) => "Rules",
            Self::Unavailable { .. } => "Unavailable",
            Self::Failed(_) => "Failed",
            Self::Died => "Died",
            Self::LeftOut => "LeftOut",
        })
    }
}

/// What became of a [`Step::Fetch`].
#[derive(Clone, Debug)]
pub enum PageEnd<'a> {
    /// An answer that counts.
    Ok {
        /// Of its body; pages with the same are duplicates.
        digest: Option<u128>,
        /// Of its body.
        bytes: u64,
        /// The host asks for a pause (status 429 or 503), zero where it names no time. While
        /// the page has attempts left it is tried again; then the answer counts.
        slow_down: Option<Duration>,
    },
    /// It leads elsewhere; the target has been [`super::Frontier::found`].
    Redirect,
    /// It was fetched and is not kept: a code, a colon and a text.
    Refused(&'a str),
    /// There is no answer.
    Failed {
        /// Why.
        class: ErrorClass,
        /// The host asks to be asked again after so long, zero where it names no time. With
        /// [`ErrorClass::Crashed`]: another rank may try, for the host did nothing wrong.
        again: Option<Duration>,
    },
    /// It was not fetched: the run is ending.
    LeftOut,
}

/// What that means for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Final {
        /// The page that had the same body before.
        duplicate_of: Option<(PageId, String)>,
    },
    /// It is queued for another attempt: there is no record of this one.
    Again,
}
