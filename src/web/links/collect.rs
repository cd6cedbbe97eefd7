//! Collects a page's links, each once.

use std::ops::Range;

use rustc_hash::{FxBuildHasher, FxHashSet};
use url::Url;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::page::{Known, Link, LinkKind};
use super::written::{folder, is_of_folder, leads_elsewhere, whole};
use super::{MAX_URL, without_fragment};

/// Addresses that there is room for at first: as many as most pages have.
const ADDRESSES: usize = 28;

/// Links that are looked up at once: what is known of each is at a place of its own in memory,
/// and one fetch does not wait for the other.
const WAITING: usize = 32;

/// Where addresses are relative to.
pub(super) struct Place {
    /// The page's address.
    pub(super) url: Url,
    base: Option<Url>,
    /// The [`folder`] of the base.
    folder: u64,
}

impl Place {
    pub(super) fn new(url: &Url) -> Self {
        Self { url: without_fragment(url.clone()), base: None, folder: folder(url) }
    }

    /// The base; the page itself where it names none.
    pub(super) fn base(&self) -> &Url {
        self.base.as_ref().unwrap_or(&self.url)
    }

    pub(super) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    pub(super) fn set_base(&mut self, base: Url) {
        self.folder = folder(&base);
        self.base = Some(base);
    }
}

/// The links that a page has, and what is known of them.
pub(super) struct Collector<'k> {
    known: &'k dyn Known,
    max_links: usize,
    /// A hash of each address with what kind of link it is: [`Link::written`], or its complement
    /// of those that may lead to the page itself.
    seen: FxHashSet<u64>,
    waiting: Vec<Waiting>,
    /// What those that wait say, one after the other.
    addresses: String,
    /// Room for a whole address.
    room: String,
    /// Those that are not known.
    pub(super) links: Vec<Link>,
    pub(super) n_known: usize,
    pub(super) n_dropped: usize,
}

/// A link that was not looked up yet.
#[expect(clippy::struct_excessive_bools, reason = "four things that are known of it")]
struct Waiting {
    address: Range<usize>,
    /// [`Link::written`], also where that depends on the page.
    hash: u64,
    kind: LinkKind,
    nofollow: bool,
    /// Whether it may lead to the page itself, and says so.
    may_stay: bool,
    /// Whether it says the same on any page of the folder.
    is_shared: bool,
    is_known: bool,
}

impl<'k> Collector<'k> {
    pub(super) fn new(known: &'k dyn Known, max_links: usize) -> Self {
        Self {
            known,
            max_links,
            seen: FxHashSet::with_capacity_and_hasher(ADDRESSES, FxBuildHasher),
            waiting: Vec::with_capacity(WAITING),
            addresses: String::with_capacity(32 * WAITING),
            room: String::new(),
            links: Vec::new(),
            n_known: 0,
            n_dropped: 0,
        }
    }

    /// Takes an address without its fragment, if it is new; `is_inner`: whether it had one, and so
    /// is no link if it leads to the page.
    pub(super) fn add(
        &mut self,
        address: &str,
        is_inner: bool,
        (kind, nofollow): (LinkKind, bool),
        place: &Place,
    ) {
        let seed = 2 * kind as u64 + u64::from(nofollow);
        let hash = xxh3_64_with_seed(address.as_bytes(), place.folder.wrapping_add(seed));
        if self.seen.contains(&hash) || is_inner && self.seen.contains(&!hash) {
            return;
        }
        let may_stay = is_inner && !leads_elsewhere(address, &place.url);
        let is_shared = !may_stay && is_of_folder(address);
        self.seen.insert(if may_stay { !hash } else { hash });
        let start = self.addresses.len();
        self.addresses.push_str(address);
        let address = start..self.addresses.len();
        let link = Waiting { address, hash, kind, nofollow, may_stay, is_shared, is_known: false };
        self.waiting.push(link);
        if self.waiting.len() == WAITING {
            self.look_up(place);
        }
    }

    /// Looks up the links that wait for it, and takes those that are not known.
    pub(super) fn look_up(&mut self, place: &Place) {
        for link in self.waiting.iter_mut().filter(|link| link.is_shared) {
            link.is_known = self.known.knows(link.hash);
        }
        for link in self.waiting.iter_mut().filter(|link| link.is_shared && !link.is_known) {
            let address = &self.addresses[link.address.clone()];
            if let Some(address) = whole(address, place.base(), &mut self.room) {
                link.is_known = self.known.knows_address(address, link.hash);
            }
        }
        for link in self.waiting.drain(..) {
            let url = if link.is_known {
                None
            } else {
                let address = &self.addresses[link.address];
                let Some(url) = resolve(address, link.may_stay, place) else { continue };
                // The same without a fragment is a link of its own.
                if link.may_stay && !self.seen.insert(link.hash) {
                    continue;
                }
                Some(url)
            };
            let is_too_long = url.as_ref().is_some_and(|url| url.as_str().len() > MAX_URL);
            if is_too_long || self.links.len() + self.n_known >= self.max_links {
                self.n_dropped += 1;
            } else if let Some(url) = url {
                let written = link.is_shared.then_some(link.hash);
                let Waiting { kind, nofollow, .. } = link;
                self.links.push(Link { url, kind, nofollow, text: None, written });
            } else {
                self.n_known += 1;
            }
        }
        self.addresses.clear();
    }
}

/// What an address means, where that can be fetched and, if it `may_stay`, is not the page.
fn resolve(address: &str, may_stay: bool, place: &Place) -> Option<Url> {
    let url = without_fragment(place.base().join(address).ok()?);
    let is_link = matches!(url.scheme(), "http" | "https") && !(may_stay && url == place.url);
    is_link.then_some(url)
}
