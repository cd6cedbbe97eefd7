//! Where a crawl goes: near its seeds, and by patterns.
//!
//! An address is in scope where it lies within the [`Reach`] of a seed, matches at least one
//! pattern of `include` if there are any, and matches none of `exclude`. The order of patterns
//! does not count, and `exclude` wins over `include`. Patterns are regular expressions, not
//! anchored, over the whole address in its one spelling (see [`super::address`]).
//!
//! **Invariant:** pure; the answer depends on the options, the seeds and the address alone, so
//! that every rank gives the same one.

use std::borrow::Cow;
use std::fmt;

use anyhow::{Context as _, Result};
use regex::{RegexSet, RegexSetBuilder};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use url::{Host, Position, Url};
use xxhash_rust::xxh3::xxh3_64;

/// Compiled patterns may take this much memory, all of a list together.
const MAX_PATTERNS: usize = 64 << 20;

/// How far from its seeds a crawl goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// The seeds and nothing else.
    Page,
    /// A seed's host, from the seed's folder down: `/docs/` for `/docs/` and `/docs/a.html`.
    Path,
    /// A seed's host, over http and https; another port is another host.
    #[default]
    Host,
    /// Every host of a seed's registrable domain, by the public suffix list: `www.example.co.uk`
    /// and `example.co.uk`. Where a host has none, the host.
    Domain,
    /// Everywhere.
    Any,
}

/// What a [`Scope`] is made from, with the seeds; the same on every rank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How far from its seeds.
    pub scope: Reach,
    /// Regular expressions of which an address must match one, if there are any.
    pub include: Vec<String>,
    /// Regular expressions of which an address must match none.
    pub exclude: Vec<String>,
}

/// Which rule leaves an address out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfScope {
    /// It is too far from every seed.
    Reach(Reach),
    /// It matches no pattern of `include`.
    NotIncluded,
    /// It matches the pattern of `exclude` at this index.
    Excluded(usize),
}

impl OutOfScope {
    /// A short name that does not change: `scope-host`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Reach(Reach::Page) => "scope-page",
            Self::Reach(Reach::Path) => "scope-path",
            Self::Reach(Reach::Host) => "scope-host",
            Self::Reach(Reach::Domain) => "scope-domain",
            Self::Reach(Reach::Any) => "scope-any",
            Self::NotIncluded => "not-included",
            Self::Excluded(_) => "excluded",
        }
    }
}

impl fmt::Display for OutOfScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reach(Reach::Page) => f.write_str("it is no seed"),
            Self::Reach(Reach::Path) => f.write_str("it is in no seed's folder"),
            Self::Reach(Reach::Host) => f.write_str("it is on no seed's host"),
            Self::Reach(Reach::Domain) => f.write_str("it is in no seed's domain"),
            Self::Reach(Reach::Any) => f.write_str("it is nowhere"),
            Self::NotIncluded => f.write_str("it matches no pattern of `include`"),
            Self::Excluded(idx) => write!(f, "it matches pattern {} of `exclude`", idx + 1),
        }
    }
}

/// Decides which addresses belong to a crawl.
#[derive(Clone, Debug)]
pub struct Scope {
    reach: Reach,
    /// XXH3-64 of what a seed's reach is: its address, folder, host or domain. A stranger's
    /// address that is let in by a collision costs one page in 2^64 / seeds.
    places: FxHashSet<u64>,
    include: Option<RegexSet>,
    exclude: RegexSet,
}

impl Scope {
    /// One around these seeds, which are normalised; an error names the pattern that is none.
    pub fn new<'s>(options: &Options, seeds: impl IntoIterator<Item = &'s Url>) -> Result<Self> {
        let include = patterns("include", &options.include)?;
        let mut scope = Self {
            reach: options.scope,
            places: FxHashSet::default(),
            include: (!options.include.is_empty()).then_some(include),
            exclude: patterns("exclude", &options.exclude)?,
        };
        seeds.into_iter().for_each(|seed| scope.add(seed));
        Ok(scope)
    }

    /// Takes one more seed, such as where a seed redirects to.
    pub fn add(&mut self, seed: &Url) {
        let place = match self.reach {
            Reach::Page => xxh3_64(seed.as_str().as_bytes()),
            Reach::Path => {
                let path = seed.path();
                hash2(host(seed), &path[..=path.rfind('/').unwrap_or(0)])
            }
            Reach::Host => hash2(host(seed), ""),
            Reach::Domain => domain_hash(seed),
            Reach::Any => return,
        };
        self.places.insert(place);
    }

    /// Whether `url`, which is normalised, is in scope; a seed is asked about like any other.
    pub fn decide(&self, url: &Url) -> Result<(), OutOfScope> {
        if !self.is_in_reach(url) {
            return Err(OutOfScope::Reach(self.reach));
        }
        if self.include.as_ref().is_some_and(|include| !include.is_match(url.as_str())) {
            return Err(OutOfScope::NotIncluded);
        }
        if !self.exclude.is_empty() && self.exclude.is_match(url.as_str()) {
            let first = self.exclude.matches(url.as_str()).iter().next();
            return Err(OutOfScope::Excluded(first.expect("one of them matches")));
        }
        Ok(())
    }

    fn is_in_reach(&self, url: &Url) -> bool {
        match self.reach {
            Reach::Page => self.places.contains(&xxh3_64(url.as_str().as_bytes())),
            Reach::Path => {
                let (host, path) = (host(url), url.path());
                let folders = path.match_indices('/').map(|(at, _)| &path[..=at]);
                folders.into_iter().any(|folder| self.places.contains(&hash2(host, folder)))
            }
            Reach::Host => self.places.contains(&hash2(host(url), "")),
            Reach::Domain => self.places.contains(&domain_hash(url)),
            Reach::Any => true,
        }
    }
}

fn patterns(key: &str, list: &[String]) -> Result<RegexSet> {
    for (idx, pattern) in list.iter().enumerate() {
        // A set's error does not say which of them it is about.
        regex::Regex::new(pattern).with_context(|| format!("`{key}`, pattern {}", idx + 1))?;
    }
    RegexSetBuilder::new(list).size_limit(MAX_PATTERNS).build().with_context(|| format!("`{key}`"))
}

/// The host and its port, where that is no default.
fn host(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// Of two texts; neither has a NUL, so that no other two are the same one after the other.
fn hash2(first: &str, second: &str) -> u64 {
    xxh3_64(first.as_bytes()) ^ xxh3_64(second.as_bytes()).rotate_left(32)
}

fn domain_hash(url: &Url) -> u64 {
    match registrable_domain(url) {
        Some(domain) => xxh3_64(domain.as_bytes()),
        None => hash2(host(url), ""),
    }
}

/// The registrable domain of an address' host, in Unicode: `example.co.uk`; none for IP
/// addresses, public suffixes and names without a dot.
pub fn registrable_domain(url: &Url) -> Option<Cow<'_, str>> {
    let Host::Domain(name) = url.host()? else { return None };
    if !name.contains("xn--") {
        return psl::domain_str(name).map(Cow::Borrowed);
    }
    let (name, _) = idna::domain_to_unicode(name);
    psl::domain_str(&name).map(|domain| Cow::Owned(domain.to_owned()))
}

#[cfg(test)]
mod tests;
