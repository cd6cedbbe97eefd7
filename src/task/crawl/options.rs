//! The keys of a `crawl` table: read, checked, completed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use crate::units;
use crate::web::address::{self, Normalizer};
use crate::web::edges;
use crate::web::frontier;
use crate::web::http::{Client, Settings};
use crate::web::links::Wanted;
use crate::web::robots::product_token;
use crate::web::roots::Certificates;
use crate::web::scope::{self, Reach, Scope};
use crate::web::trap;

/// What every rank needs to know; also the keys of the table that have defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a table")]
pub(super) struct Options {
    // Where it goes.
    pub(super) scope: Reach,
    include: Vec<String>,
    exclude: Vec<String>,
    pub(super) depth: Option<u32>,
    pub(super) max_pages: Option<u64>,
    pub(super) max_pages_per_host: Option<u64>,
    pub(super) max_pages_per_pattern: Option<u64>,
    max_links: usize,
    pub(super) time: Option<Span>,
    pub(super) follow_nofollow: bool,
    pub(super) follow_sitemaps: bool,
    resources: bool,
    drop_query: Vec<String>,
    sort_query: bool,
    // Politeness.
    #[serde(with = "units::duration")]
    pub(super) delay: Duration,
    pub(super) per_host: u32,
    pub(super) robots: bool,
    #[serde(with = "units::duration")]
    pub(super) max_crawl_delay: Duration,
    pub(super) retries: u32,
    pub(super) max_host_failures: u32,
    contact: String,
    anonymous: bool,
    user_agent: String,
    // What is kept.
    pub(super) types: Vec<String>,
    pub(super) near_duplicates: bool,
    pub(super) warc: Option<PathBuf>,
    #[serde(with = "units::size")]
    pub(super) warc_segment: u64,
    pub(super) edges: Option<PathBuf>,
    pub(super) anchor_text: bool,
    // Each exchange.
    #[serde(with = "units::duration")]
    connect_timeout: Duration,
    #[serde(with = "units::duration")]
    read_timeout: Duration,
    #[serde(with = "units::duration")]
    timeout: Duration,
    #[serde(with = "units::size")]
    max_body: u64,
    pub(super) redirects: u8,
    pub(super) allow_private: bool,
    proxy: String,
    certificates: Certificates,
    #[serde(deserialize_with = "addresses")]
    resolve: BTreeMap<String, IpAddr>,
}

fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, IpAddr>, D::Error> {
    let parse = |(host, text): (String, String)| match text.parse() {
        Ok(address) => Ok((host, address)),
        Err(_) => Err(D::Error::custom(format!(
            "`{host}` = `{text}` is no IP address; write one such as `127.0.0.1`"
        ))),
    };
    BTreeMap::deserialize(from)?.into_iter().map(parse).collect()
}

/// A time in a job file, such as `"55m"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Span(#[serde(with = "units::duration")] pub(super) Duration);

impl Default for Options {
    fn default() -> Self {
        let (address, wanted) = (address::Rules::default(), Wanted::default());
        Self {
            scope: Reach::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            depth: None,
            max_pages: None,
            max_pages_per_host: None,
            max_pages_per_pattern: None,
            max_links: wanted.max_links,
            time: None,
            follow_nofollow: false,
            follow_sitemaps: false,
            resources: false,
            drop_query: address.drop_query,
            sort_query: address.sort_query,
            delay: Duration::from_secs(1),
            per_host: 1,
            robots: true,
            max_crawl_delay: Duration::from_secs(30),
            retries: 2,
            max_host_failures: 5,
            contact: String::new(),
            anonymous: false,
            user_agent: String::new(),
            types: Vec::new(),
            near_duplicates: false,
            warc: None,
            warc_segment: 1 << 30,
            edges: None,
            anchor_text: false,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            timeout: Duration::from_secs(60),
            max_body: 10 << 20,
            redirects: 10,
            allow_private: false,
            proxy: "none".to_owned(),
            certificates: Certificates::default(),
            resolve: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Every key.
    pub(super) const KEYS: &[&str] = &[
        "scope",
        "include",
        "exclude",
        "depth",
        "max_pages",
        "max_pages_per_host",
        "max_pages_per_pattern",
        "max_links",
        "time",
        "follow_nofollow",
        "follow_sitemaps",
        "resources",
        "drop_query",
        "sort_query",
        "delay",
        "per_host",
        "robots",
        "max_crawl_delay",
        "retries",
        "max_host_failures",
        "contact",
        "anonymous",
        "user_agent",
        "types",
        "near_duplicates",
        "warc",
        "warc_segment",
        "edges",
        "anchor_text",
        "connect_timeout",
        "read_timeout",
        "timeout",
        "max_body",
        "redirects",
        "allow_private",
        "proxy",
        "certificates",
        "resolve",
    ];

    /// What of this the client needs; redirects are tasks of their own.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
            timeout: self.timeout,
            max_body: self.max_body,
            redirects: 0,
            user_agent: self.user_agent(),
            proxy: self.proxy.clone(),
            certificates: self.certificates,
            allow_private: self.allow_private,
            resolve: self.resolve.clone(),
        }
    }

    /// What it calls itself; the contact lets a site's owner ask.
    pub(super) fn user_agent(&self) -> String {
        let own = concat!("rankpool/", env!("CARGO_PKG_VERSION"));
        match (self.user_agent.as_str(), self.contact.as_str()) {
            ("", "") => own.to_owned(),
            ("", contact) => format!("{own} (+{contact})"),
            (agent, "") => agent.to_owned(),
            (agent, contact) => format!("{agent} (+{contact})"),
        }
    }

    /// What its addresses are written like.
    pub(super) fn normalizer(&self) -> Result<Normalizer> {
        let Self { drop_query, sort_query, .. } = self.clone();
        let rules = address::Rules { drop_query, sort_query, ..address::Rules::default() };
        Normalizer::new(rules).context("`drop_query`")
    }

    /// Where it goes, from these seeds.
    pub(super) fn scope(&self, seeds: &[Url]) -> Result<Scope> {
        let Self { scope, include, exclude, .. } = self.clone();
        Scope::new(&scope::Options { scope, include, exclude }, seeds)
    }

    /// What is a trap.
    pub(super) fn traps() -> trap::Limits {
        trap::Limits::default()
    }

    /// What counts an address towards the budget of its path pattern, if there is one.
    pub(super) fn pattern(&self, url: Option<&Url>) -> u64 {
        let url = url.filter(|_| self.max_pages_per_pattern.is_some());
        url.map_or(0, trap::path_pattern_id)
    }

    /// What is read of a page.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            resources: self.resources,
            text: self.anchor_text && self.edges.is_some(),
            simhash: self.near_duplicates,
            max_links: self.max_links,
            agent: product_token(&self.user_agent()).to_owned(),
            ..Wanted::default()
        }
    }

    /// What rank 0 decides by.
    pub(super) fn frontier(&self) -> frontier::Settings {
        frontier::Settings {
            delay: self.delay,
            per_host: self.per_host,
            max_depth: self.depth,
            max_pages: self.max_pages,
            max_pages_per_host: self.max_pages_per_host,
            max_pages_per_pattern: self.max_pages_per_pattern,
            max_crawl_delay: self.max_crawl_delay,
            retries: self.retries,
            max_host_failures: self.max_host_failures,
            robots: self.robots,
            redirects: self.redirects,
            ..frontier::Settings::default()
        }
    }

    /// Where the list of links goes, up to each rank's number, and its form: the end of its name.
    pub(super) fn edges(&self) -> Option<(PathBuf, edges::Format)> {
        let path = self.edges.as_ref()?;
        Some(match path.extension().and_then(|end| end.to_str()) {
            Some("csv") => (path.with_extension(""), edges::Format::Csv),
            Some("jsonl") => (path.with_extension(""), edges::Format::Jsonl),
            _ => (path.clone(), edges::Format::Jsonl),
        })
    }

    /// Whom to ask about this crawl.
    pub(super) fn contact(&self) -> Option<&str> {
        Some(&*self.contact).filter(|contact| !contact.is_empty())
    }

    /// Makes the paths mean the same wherever the job runs from.
    pub(super) fn anchor(&mut self, folder: &Path) {
        for path in [&mut self.warc, &mut self.edges].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }

    fn check(&self) -> Result<()> {
        let spans = [
            ("connect_timeout", self.connect_timeout),
            ("read_timeout", self.read_timeout),
            ("timeout", self.timeout),
        ];
        if let Some((key, _)) = spans.iter().find(|(_, span)| span.is_zero()) {
            bail!("`{key}` is zero: nothing could be fetched in no time; write `\"30s\"`");
        }
        ensure!(self.per_host > 0, "`per_host` is 0: no page could be fetched; write 1 or more");
        ensure!(
            !self.contact.is_empty() || self.anonymous || self.user_agent.contains("+http"),
            "nobody could be asked about this crawl: name a `contact` (a URL or a mail address \
             that site owners reach you at), or say `anonymous = true`"
        );
        let printable = |byte: u8| (b' '..=b'~').contains(&byte);
        ensure!(
            self.user_agent().bytes().all(printable),
            "`user_agent` and `contact` must be printable ASCII, such as `\"my-crawler/1.0\"`"
        );
        Client::new(self.settings()).map_err(anyhow::Error::msg)?;
        self.normalizer()?;
        self.scope(&[])?;
        Ok(())
    }
}

/// A whole `crawl` table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) seeds: Vec<String>,
    pub(super) seeds_from: Option<String>,
    pub(super) sitemaps: Vec<String>,
    pub(super) options: Options,
}

impl Table {
    /// Reads and checks everything but the seeds themselves.
    pub(super) fn read(mut table: toml::Table) -> Result<Self> {
        known_keys(&table)?;
        let seeds = table.remove("seeds").map(|value| list("seeds", value)).transpose()?;
        let sitemaps = table.remove("sitemaps").map(|value| list("sitemaps", value)).transpose()?;
        let seeds_from = table.remove("seeds_from").map(|value| text("seeds_from", value));
        let seeds_from = seeds_from.transpose()?;
        ensure!(
            seeds.is_some() || seeds_from.is_some() || sitemaps.is_some(),
            "nowhere to begin: write `seeds = [\"https://…\"]`, `seeds_from = \"FILE\"` or \
             `sitemaps = [\"https://…/sitemap.xml\"]`"
        );
        let mut options = toml::Table::new();
        for (key, value) in table {
            // One at a time, so that an error can name its key.
            let one = toml::Table::from_iter([(key.clone(), value.clone())]);
            one.try_into::<Options>().map_err(|error| anyhow!("`{key}`: {}", error.message()))?;
            options.insert(key, value);
        }
        let options: Options = options.try_into()?;
        options.check()?;
        let (seeds, sitemaps) = (seeds.unwrap_or_default(), sitemaps.unwrap_or_default());
        Ok(Self { seeds, seeds_from, sitemaps, options })
    }

    /// The table with every default filled in.
    pub(super) fn resolved(&self) -> Result<toml::Table> {
        let mut table = toml::Table::try_from(&self.options)?;
        table.insert("seeds".to_owned(), self.seeds.clone().into());
        table.insert("sitemaps".to_owned(), self.sitemaps.clone().into());
        table.extend(self.seeds_from.clone().map(|from| ("seeds_from".to_owned(), from.into())));
        Ok(table)
    }
}

fn known_keys(table: &toml::Table) -> Result<()> {
    let known = || ["seeds", "seeds_from", "sitemaps"].iter().chain(Options::KEYS);
    let Some(key) = table.keys().find(|key| !known().any(|known| known == key)) else {
        return Ok(());
    };
    if let Some(near) = known().find(|name| strsim::jaro_winkler(name, key) > 0.8) {
        bail!("unknown key `{key}`; did you mean `{near}`?");
    }
    let known: Vec<&str> = known().copied().collect();
    bail!("unknown key `{key}`; use one of {}", known.join(", "))
}

fn list(key: &str, value: toml::Value) -> Result<Vec<String>> {
    match value {
        toml::Value::Array(entries) => entries.into_iter().map(|entry| text(key, entry)).collect(),
        one => Ok(vec![text(key, one)?]),
    }
}

fn text(key: &str, value: toml::Value) -> Result<String> {
    match value {
        toml::Value::String(text) => Ok(text),
        other => bail!("`{key}`: expected a text in quotes, not {}", other.type_str()),
    }
}
