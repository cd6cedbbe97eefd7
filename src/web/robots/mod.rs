//! robots.txt: what a host asks crawlers to leave alone (RFC 9309), and its relatives in headers
//! and pages.
//!
//! A rank that fetched a robots.txt reads it with [`Robots::parse`] and sends what is left of it,
//! our group's rules; rank 0 keeps that and asks [`Robots::decide`] for each address. What a
//! status or a failure means instead is [`Availability`]; what a page says about itself is
//! [`Directives`].
//!
//! The matcher is our own: the crate `robotxt` does not tell which line decided, lets a
//! `Crawl-delay` end a group against section 2.2.4, and keeps no compact form; the other crates
//! hang on small hostile files.
//!
//! **Invariant:** any bytes are a robots.txt; deciding takes time in proportion to the rules'
//! lengths plus the address's length for each rule, and memory is in proportion to what is kept.

mod availability;
mod directives;
pub mod explain;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;

use std::time::Duration;

use memchr::memchr;
use serde::{Deserialize, Serialize};

pub use availability::{Availability, MAX_AGE, MAX_REDIRECTS};
pub use directives::Directives;
pub use parse::{MAX_BYTES, line, product_token};
use pattern::Target;

/// What a host's robots.txt says to one crawler.
///
/// It is kept as text, which crosses a rank boundary and stands in a journal as it is, and of
/// which nothing has to be checked on arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Robots {
    /// One rule a line, the one that wins first: `+` or `-`, the number of its line in the file,
    /// a blank, and its pattern as [`pattern`] writes it.
    rules: Box<str>,
    /// Why there is no file that could decide.
    note: Box<str>,
    /// In milliseconds.
    crawl_delay: Option<u32>,
    /// One a line.
    sitemaps: Box<str>,
}

/// Whether an address may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// The line of the rule that decided, from 1; `None` where no rule did.
    pub line: Option<u32>,
}

impl Decision {
    const ALLOWED: Self = Self { allowed: true, line: None };
}

impl Robots {
    /// What a file says to the crawler `agent`: its product token, or its `User-Agent` header,
    /// of which the letters, `_` and `-` at the start are the token.
    ///
    /// The first [`MAX_BYTES`] are read, up to the end of a line. Nothing in them is an error.
    pub fn parse(bytes: &[u8], agent: &str) -> Self {
        parse::parse(bytes, agent)
    }

    /// What holds where there is no file to read: everything is allowed, or nothing; `None` where
    /// there may be one.
    pub fn without_file(availability: &Availability) -> Option<Self> {
        let (rules, reason) = match availability {
            Availability::Unavailable(reason) => ("", reason),
            Availability::Unreachable(reason) => ("-0 /\n", reason),
            Availability::Available | Availability::Redirected => return None,
        };
        Some(Self { rules: rules.into(), note: reason.as_str().into(), ..Self::default() })
    }

    /// Whether an address may be fetched, by its path and query as they stand in the request.
    ///
    /// The matching rule of the most octets decides, one that allows before one that does not
    /// (section 2.2.2); `/robots.txt` is always allowed.
    pub fn decide(&self, path_and_query: &str) -> Decision {
        let target = Target::new(path_and_query);
        if target.is("/robots.txt") {
            return Decision::ALLOWED;
        }
        let mut rules = self.rules.as_bytes();
        while let Some(end) = memchr(b'\n', rules) {
            let rule = &rules[..end];
            rules = &rules[end + 1..];
            let Some(blank) = rule.iter().position(|byte| *byte == b' ') else { continue };
            if target.matches(&rule[blank + 1..]) {
                return decided_by(&rule[..blank]);
            }
        }
        Decision::ALLOWED
    }

    /// Why [`Self::decide`] said so, in a few words: `robots.txt: line 3`.
    pub fn reason(&self, decision: Decision) -> String {
        match decision.line {
            Some(line) => format!("robots.txt: line {line}"),
            None if self.note.is_empty() => "robots.txt: no rule matches".to_owned(),
            None => self.note.to_string(),
        }
    }

    /// How long to pause between two requests, as the file asks; whoever obeys sets a bound.
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay.map(|milliseconds| Duration::from_millis(milliseconds.into()))
    }

    /// The sitemaps that the file names, for all crawlers: meant to be absolute addresses, but
    /// not checked.
    pub fn sitemaps(&self) -> impl Iterator<Item = &str> {
        self.sitemaps.split_terminator('\n')
    }

    /// The same without the sitemaps, for whoever only decides.
    #[must_use]
    pub fn without_sitemaps(self) -> Self {
        Self { sitemaps: Box::default(), ..self }
    }

    /// How many rules there are.
    pub fn n_rules(&self) -> usize {
        self.rules.split_terminator('\n').count()
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.rules.len() + self.note.len() + self.sitemaps.len()
    }
}

/// What a rule decides: its sign, and the number of its line.
fn decided_by(head: &[u8]) -> Decision {
    let line = std::str::from_utf8(head).ok().and_then(|head| head.get(1..)?.parse().ok());
    Decision { allowed: head.first() == Some(&b'+'), line: line.filter(|line| *line > 0) }
}
