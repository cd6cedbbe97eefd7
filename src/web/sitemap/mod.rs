//! Sitemaps and indexes of sitemaps (sitemaps.org, *Sitemaps XML format*): XML or a text of one
//! address a line, gzipped or not.
//!
//! **Invariant:** any bytes can be read, in time and memory in proportion to what they decode to,
//! of which [`MAX_BYTES`] are read; no entity is expanded but the five of XML and characters.

mod decode;
mod xml;

use std::io::{self, BufRead};

use url::{Origin, Url};

use super::coding;

/// How much of a sitemap is read, decoded (the protocol's limit).
pub const MAX_BYTES: u64 = 50 * 1024 * 1024;
/// How many entries of a sitemap are read (the protocol's limit).
pub const MAX_ENTRIES: usize = 50_000;
/// How long an address may be, in bytes (the protocol's limit).
pub const MAX_ADDRESS: usize = 2048;

/// What a sitemap lists, and why it ends where it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sitemap {
    /// The pages, in their order.
    pub urls: Vec<Entry>,
    /// The sitemaps that an index lists. The protocol wants no index in an index: whoever follows
    /// these sets a bound.
    pub sitemaps: Vec<Entry>,
    /// How many entries were left out because they lie elsewhere, see [`Accept`].
    pub n_elsewhere: usize,
    /// How many entries were left out because they have no address that can be fetched.
    pub n_invalid: usize,
    /// Why the rest was not read: a limit, a broken end, or that this is no sitemap.
    pub truncated: Option<String>,
}

/// One entry of a sitemap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The address, absolute, without a fragment.
    pub loc: String,
    /// When it last changed, as the sitemap says.
    pub lastmod: Option<Box<str>>,
}

/// Which entries a sitemap may list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// What the protocol allows a sitemap that is known by its address alone: pages with the
    /// sitemap's scheme, host and port, in its folder or below; sitemaps anywhere on that host.
    Folder,
    /// Anything with the sitemap's scheme, host and port: what the protocol allows once the
    /// host's robots.txt names the sitemap.
    Host,
    /// Anything.
    Any,
}

/// Reads the sitemap that was found at `url`.
pub fn read(bytes: &[u8], url: &Url, accept: Accept) -> Sitemap {
    let mut reading = Reading { found: Sitemap::default(), place: Place::new(url, accept) };
    let ended = if bytes.starts_with(b"\x1f\x8b") {
        reading.read(coding::gunzip(bytes, MAX_BYTES))
    } else {
        let limit = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
        let is_cut = bytes.len() > limit;
        let ended = reading.read(&bytes[..bytes.len().min(limit)]);
        if is_cut { ended.and(Err(too_large())) } else { ended }
    };
    reading.found.truncated = ended.err();
    reading.found
}

/// Why reading ended, in a few words.
fn explain(error: &io::Error) -> String {
    if coding::is_past(error) { too_large() } else { format!("broken gzip: {error}") }
}

fn too_large() -> String {
    "larger than 50 MiB".to_owned()
}

/// A sitemap while it is read.
struct Reading<'a> {
    found: Sitemap,
    place: Place<'a>,
}

/// Which of the lists an entry belongs to.
#[derive(Clone, Copy, PartialEq)]
enum List {
    Urls,
    Sitemaps,
}

impl Reading<'_> {
    fn read(&mut self, bytes: impl BufRead) -> Result<(), String> {
        let mut text = decode::Utf8::new(bytes);
        match text.first_visible().map_err(|error| explain(&error))? {
            None => Ok(()),
            Some(b'<') => xml::read(text, self),
            Some(_) => self.read_lines(text),
        }
    }

    fn read_lines(&mut self, mut text: impl BufRead) -> Result<(), String> {
        let mut line = Vec::new();
        while text.read_until(b'\n', &mut line).map_err(|error| explain(&error))? > 0 {
            for line in line.split(|byte| *byte == b'\r').map(<[u8]>::trim_ascii) {
                if !line.is_empty() {
                    self.add(List::Urls, &String::from_utf8_lossy(line), None)?;
                }
            }
            line.clear();
        }
        Ok(())
    }

    /// Takes an entry; an error where there are too many.
    fn add(&mut self, list: List, loc: &str, lastmod: Option<Box<str>>) -> Result<(), String> {
        let Sitemap { urls, sitemaps, n_elsewhere, n_invalid, .. } = &mut self.found;
        if urls.len() + sitemaps.len() + *n_elsewhere + *n_invalid >= MAX_ENTRIES {
            return Err("more than 50,000 entries".to_owned());
        }
        match resolve(loc) {
            None => *n_invalid += 1,
            Some(url) if !self.place.accepts(list, &url) => *n_elsewhere += 1,
            Some(url) => {
                let list = if list == List::Urls { urls } else { sitemaps };
                list.push(Entry { loc: url.into(), lastmod });
            }
        }
        Ok(())
    }
}

/// Where a sitemap lies, and what it may list.
struct Place<'a> {
    url: &'a Url,
    origin: Origin,
    accept: Accept,
}

impl<'a> Place<'a> {
    fn new(url: &'a Url, accept: Accept) -> Self {
        Self { url, origin: url.origin(), accept }
    }

    fn accepts(&self, list: List, url: &Url) -> bool {
        let folder = self.url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_below = || url.path().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        match (self.accept, list) {
            (Accept::Any, _) => true,
            (Accept::Folder, List::Urls) => url.origin() == self.origin && is_below(),
            (Accept::Folder | Accept::Host, _) => url.origin() == self.origin,
        }
    }
}

/// The protocol wants absolute addresses; anything else is no address of the web, or no address.
fn resolve(loc: &str) -> Option<Url> {
    let mut url = Url::parse(loc).ok().filter(|_| loc.len() <= MAX_ADDRESS)?;
    url.set_fragment(None);
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests;
