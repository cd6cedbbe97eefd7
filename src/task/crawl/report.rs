//! What a worker tells the frontier beside a page's record.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::web::robots::Robots;

/// A task's report, encoded with postcard.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Report<'a> {
    /// A host's addresses, in the order in which they are to be tried.
    Addresses(Vec<IpAddr>),
    /// What a host's robots.txt says.
    Robots(Robots),
    /// The host answered, but not with a robots.txt or with there being none.
    NoRobots {
        /// Such as `robots.txt: status 503`.
        reason: String,
        /// The host asks to be asked again after so long; zero where it names no time.
        again: Option<Duration>,
    },
    /// What a page leads to.
    #[serde(borrow)]
    Page(PageReport<'a>),
}

/// What a page leads to, and what it is.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PageReport<'a> {
    /// The first half of the body's digest; none where there is nothing to compare.
    pub(super) digest: Option<[u8; 16]>,
    /// Bytes of the decoded body.
    pub(super) bytes: u64,
    /// The server is busy, and asks to be asked again after so long; zero where it names no time.
    pub(super) slow_down: Option<Duration>,
    /// The server redirects to another address.
    pub(super) is_redirect: bool,
    /// Why the page is not kept: a code, a colon and a text.
    #[serde(borrow)]
    pub(super) refused: Option<Cow<'a, str>>,
    /// The fingerprint of its words, where that was wanted.
    pub(super) simhash: Option<u64>,
    /// What this rank has not reported before.
    #[serde(borrow)]
    pub(super) found: Vec<Link<'a>>,
}

/// An address that a page leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Link<'a> {
    /// In its one spelling.
    #[serde(borrow)]
    pub(super) url: Cow<'a, str>,
    /// [`crate::web::trap::path_pattern`].
    pub(super) pattern: u64,
    /// Why it is not to be fetched.
    #[serde(borrow)]
    pub(super) refused: Option<Cow<'a, str>>,
    /// Whether it is where the page redirects to.
    pub(super) is_redirect: bool,
}

impl<'a> Report<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        // Most pages lead to one or two that are new.
        postcard::to_extend(self, Vec::with_capacity(256)).expect("memory takes what is written")
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self> {
        postcard::from_bytes(bytes).context("a report of a rank cannot be read")
    }
}
