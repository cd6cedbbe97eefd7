//! All that a crawler needs of a page, in one go.
//!
//! Links are absolute against the page's base as browsers see it: the first `<base>` with a
//! `href`, wherever it stands. Where links stand before it, the page is read a second time.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use url::Url;

use super::MAX_URL;
use super::meta::Refresh;
use super::reader::{End, Reader};
use super::skim::tokens;
use crate::web::robots::Directives;

/// What is to be read of a page; the same on every rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Also what a page is made of: images, scripts, style sheets, sounds and films.
    pub resources: bool,
    /// The texts of links.
    pub text: bool,
    /// The fingerprint of the page's words.
    pub simhash: bool,
    /// The most links; the others are counted.
    pub max_links: usize,
    /// The longest attribute, in bytes; longer ones are left out.
    pub max_attribute: usize,
    /// What else than `robots` a `<meta name>` may call us; case does not count.
    pub agent: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            resources: false,
            text: false,
            simhash: false,
            max_links: 10_000,
            max_attribute: MAX_URL,
            agent: "rankpool".to_owned(),
        }
    }
}

/// What was read of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The text of the first `<title>`, white space collapsed.
    pub title: Option<String>,
    /// What relative links are relative to.
    pub base: Url,
    /// The first `<link rel=canonical>`.
    pub canonical: Option<Url>,
    /// What robots are asked.
    pub robots: Directives,
    /// The first `<meta http-equiv=refresh>`.
    pub refresh: Option<Refresh>,
    /// Where it leads over http and https, in the order of the document, each address once for
    /// each kind of link: without fragments, and without links that stay on the page.
    pub links: Vec<Link>,
    /// Links that were known, and are not among them.
    pub n_known: usize,
    /// Links beyond [`Wanted::max_links`], and those that are too long.
    pub n_links_dropped: usize,
    /// The fingerprint of its words, where it was wanted and there are enough of them.
    pub simhash: Option<u64>,
}

/// Where a page leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Absolute, without a fragment.
    pub url: Url,
    /// What sort of link.
    pub kind: LinkKind,
    /// Whether it says `rel=nofollow`, `ugc` or `sponsored`.
    pub nofollow: bool,
    /// Its text, white space collapsed, where it was wanted and there is some.
    pub text: Option<String>,
    /// XXH3-64 of what it says on any page of its base's folder: its address as written, its kind
    /// and whether to follow it. `None` where that may depend on the page.
    pub written: Option<u64>,
}

/// What is known of links before a page is read.
pub trait Known {
    /// Whether a link is known, by [`Link::written`].
    fn knows(&self, written: u64) -> bool;

    /// Whether the address is known that a link leads to which is not; from then on the link is,
    /// by `written`.
    fn knows_address(&self, _address: &str, _written: u64) -> bool {
        false
    }
}

impl<F: Fn(u64) -> bool> Known for F {
    fn knows(&self, written: u64) -> bool {
        self(written)
    }
}

/// What makes a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LinkKind {
    /// `<a href>` or `<area href>`: to be followed by a reader.
    Anchor,
    /// `<iframe src>` or `<frame src>`: a page within the page.
    Frame,
    /// `<link rel=canonical>`: where the page says that it is at home.
    Canonical,
    /// `<link rel=next>`.
    Next,
    /// `<link rel=prev>`.
    Prev,
    /// `<link rel=alternate>`: the page in another form or language.
    Alternate,
    /// `<meta http-equiv=refresh>`.
    Refresh,
    /// What the page is made of.
    Resource,
}

impl LinkKind {
    /// The name in outputs: `anchor`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anchor => "anchor",
            Self::Frame => "frame",
            Self::Canonical => "canonical",
            Self::Next => "next",
            Self::Prev => "prev",
            Self::Alternate => "alternate",
            Self::Refresh => "refresh",
            Self::Resource => "resource",
        }
    }
}

/// Reads `html`, the page at `url`.
pub fn page(html: &str, url: &Url, wanted: &Wanted) -> Page {
    page_without(html, url, wanted, &|_| false)
}

/// The same, but links that are `known` are only counted.
pub fn page_without(html: &str, url: &Url, wanted: &Wanted, known: &dyn Known) -> Page {
    match read(html, Reader::new(url, wanted, known)) {
        End::Page(page) => *page,
        End::LateBase(base) => match read(html, Reader::with_base(url, wanted, known, *base)) {
            End::Page(page) => *page,
            End::LateBase(_) => unreachable!("a base that is known is not looked for"),
        },
    }
}

fn read(html: &str, reader: Reader<'_>) -> End {
    let max_attribute = reader.max_attribute();
    let end = tokens(html, reader, max_attribute).next().expect("a page has an end");
    end.unwrap_or_else(|never: Infallible| match never {})
}

#[cfg(test)]
mod tests;
