//! Puts a [`Page`] together from its tags and texts.

use memchr::memchr;
use url::Url;

use super::attributes::Attributes;
use super::collect::{Collector, Place};
use super::hear::Hear;
use super::meta::{self, Refresh};
use super::page::{Known, LinkKind, Page, Wanted};
use super::srcset;
use super::text::Collapsed;
use super::vocabulary::{Attribute, Tag};
use super::{MAX_TITLE, MAX_URL, is_blank, without_fragment};
use crate::web::robots::Directives;
use crate::web::simhash::Simhash;

/// Characters of a link's text that are kept.
const MAX_TEXT: usize = 200;

/// How reading ends.
pub(super) enum End {
    /// With the page.
    Page(Box<Page>),
    /// Early: a base stands behind links that are relative to it.
    LateBase(Box<Url>),
}

/// Reads one page.
pub(super) struct Reader<'w> {
    wanted: &'w Wanted,
    place: Place,
    /// Whether there was an address that may be relative.
    has_addresses: bool,
    title: Option<Collapsed>,
    is_in_title: bool,
    canonical: Option<Url>,
    robots: Directives,
    refresh: Option<Refresh>,
    collector: Collector<'w>,
    /// The text of the link at this index, while in it.
    text: Option<(usize, Collapsed)>,
    simhash: Option<Simhash>,
}

impl<'w> Reader<'w> {
    pub(super) fn new(url: &Url, wanted: &'w Wanted, known: &'w dyn Known) -> Self {
        Self {
            wanted,
            place: Place::new(url),
            has_addresses: false,
            title: None,
            is_in_title: false,
            canonical: None,
            robots: Directives::default(),
            refresh: None,
            collector: Collector::new(known, wanted.max_links),
            text: None,
            simhash: wanted.simhash.then(Simhash::default),
        }
    }

    /// One for a page whose base is known.
    pub(super) fn with_base(
        url: &Url,
        wanted: &'w Wanted,
        known: &'w dyn Known,
        base: Url,
    ) -> Self {
        let mut reader = Self::new(url, wanted, known);
        reader.place.set_base(base);
        reader
    }

    pub(super) fn max_attribute(&self) -> usize {
        self.wanted.max_attribute
    }

    /// The first `<base>` with a `href` counts, even where that is no address (HTML standard,
    /// 4.2.3).
    fn set_base(&mut self, href: &str) -> Option<End> {
        if self.place.has_base() {
            return None;
        }
        let is_base = |url: &Url| {
            !matches!(url.scheme(), "javascript" | "data") && url.as_str().len() <= MAX_URL
        };
        let base = self.place.url.join(href).ok().filter(is_base);
        let base = without_fragment(base.unwrap_or_else(|| self.place.url.clone()));
        if self.has_addresses && base != self.place.url {
            return Some(End::LateBase(Box::new(base)));
        }
        self.place.set_base(base);
        None
    }

    fn link(&mut self, href: &str, kind: LinkKind, nofollow: bool) {
        self.has_addresses = true;
        let (address, is_inner) = leading_part(href);
        if address.is_empty() && !self.place.has_base() {
            return; // such as `#top`
        }
        self.collector.add(address, is_inner, (kind, nofollow), &self.place);
    }

    fn anchor(&mut self, attributes: &Attributes<'_>) {
        let href = attributes.get(Attribute::Href).or(attributes.get(Attribute::XlinkHref));
        let rel = attributes.get(Attribute::Rel).unwrap_or("");
        let Some(href) = href else { return };
        if !self.wanted.text {
            return self.link(href, LinkKind::Anchor, is_nofollow(rel));
        }
        self.collector.look_up(&self.place);
        let idx = self.collector.links.len();
        self.link(href, LinkKind::Anchor, is_nofollow(rel));
        self.collector.look_up(&self.place);
        if self.collector.links.len() > idx {
            self.text = Some((idx, Collapsed::new(MAX_TEXT)));
        }
    }

    fn relation(&mut self, attributes: &Attributes<'_>) {
        let (Some(href), Some(rel)) =
            (attributes.get(Attribute::Href), attributes.get(Attribute::Rel))
        else {
            return;
        };
        let has = |name: &str| rel.split_ascii_whitespace().any(|r| r.eq_ignore_ascii_case(name));
        let kind = match () {
            () if has("canonical") => {
                if self.canonical.is_none() {
                    self.canonical = self.canonical(href);
                }
                LinkKind::Canonical
            }
            () if has("next") => LinkKind::Next,
            () if has("prev") || has("previous") => LinkKind::Prev,
            () if has("alternate") && !has("stylesheet") => LinkKind::Alternate,
            () if RESOURCES.iter().any(|name| has(name)) => return self.resource(href),
            () => return,
        };
        self.link(href, kind, is_nofollow(rel));
    }

    /// A canonical address may well be the page's own.
    fn canonical(&mut self, href: &str) -> Option<Url> {
        self.has_addresses = true;
        let url = without_fragment(self.place.base().join(href).ok()?);
        (matches!(url.scheme(), "http" | "https") && url.as_str().len() <= MAX_URL).then_some(url)
    }

    fn meta(&mut self, attributes: &Attributes<'_>) {
        let Some(content) = attributes.get(Attribute::Content) else { return };
        let is = |attribute, name: &str| {
            attributes.get(attribute).is_some_and(|value| value.trim().eq_ignore_ascii_case(name))
        };
        if is(Attribute::Name, "robots") || is(Attribute::Name, &self.wanted.agent) {
            self.robots |= Directives::from_list(content);
        }
        if is(Attribute::HttpEquiv, "refresh")
            && self.refresh.is_none()
            && let Some((seconds, address)) = meta::refresh(content)
        {
            self.refresh = self.refresh(seconds, address);
        }
    }

    fn refresh(&mut self, seconds: u32, address: Option<&str>) -> Option<Refresh> {
        let Some(address) = address else {
            return Some(Refresh { seconds, url: self.place.url.clone() });
        };
        self.link(address, LinkKind::Refresh, false);
        Some(Refresh { seconds, url: self.canonical(address)? })
    }

    fn resource(&mut self, address: &str) {
        if self.wanted.resources {
            self.link(address, LinkKind::Resource, false);
        }
    }

    fn resources(&mut self, attributes: &Attributes<'_>) {
        for attribute in [Attribute::Src, Attribute::Data, Attribute::Poster] {
            if let Some(address) = attributes.get(attribute) {
                self.resource(address);
            }
        }
        if let Some(srcset) = attributes.get(Attribute::Srcset) {
            srcset::addresses(srcset).for_each(|address| self.resource(address));
        }
    }

    fn end_text(&mut self) {
        if let Some((idx, text)) = self.text.take() {
            self.collector.links[idx].text = Some(text.finish()).filter(|text| !text.is_empty());
        }
    }
}

/// Relations of a `<link>` to what its page is made of.
const RESOURCES: &[&str] =
    &["stylesheet", "icon", "apple-touch-icon", "manifest", "preload", "modulepreload", "prefetch"];

/// An address without its fragment, which leads nowhere else; but with it where a blank or a
/// control character stands before it, for those are dropped only at an address's end (URL
/// Standard, basic URL parser). Also whether it may be a place on its page.
fn leading_part(href: &str) -> (&str, bool) {
    match memchr(b'#', href.as_bytes()) {
        Some(at) if !href[..at].ends_with(|c| c <= ' ') => (&href[..at], true),
        Some(_) => (href, true),
        None => (href, is_blank(href)),
    }
}

fn is_nofollow(rel: &str) -> bool {
    let asks = |word: &str| {
        ["nofollow", "ugc", "sponsored"].iter().any(|name| word.eq_ignore_ascii_case(name))
    };
    rel.split_ascii_whitespace().any(asks)
}

impl Hear for Reader<'_> {
    type Found = End;

    fn wants(&self, tag: Tag) -> bool {
        match tag {
            Tag::A
            | Tag::Area
            | Tag::Base
            | Tag::Frame
            | Tag::Iframe
            | Tag::Link
            | Tag::Meta
            | Tag::Title => true,
            Tag::Audio
            | Tag::Embed
            | Tag::Img
            | Tag::Input
            | Tag::Object
            | Tag::Script
            | Tag::Source
            | Tag::Track
            | Tag::Video => self.wanted.resources,
            Tag::Noembed
            | Tag::Noframes
            | Tag::Plaintext
            | Tag::Style
            | Tag::Textarea
            | Tag::Xmp => false,
        }
    }

    fn gives(&self, tag: Tag) -> bool {
        tag == Tag::Base
    }

    fn start(&mut self, tag: Tag, attributes: &Attributes<'_>) -> Option<End> {
        self.collector.n_dropped += usize::from(attributes.has_too_long);
        match tag {
            Tag::A | Tag::Area => {
                self.end_text();
                self.anchor(attributes);
                if tag == Tag::Area {
                    self.end_text();
                }
            }
            Tag::Base => return self.set_base(attributes.get(Attribute::Href)?),
            Tag::Link => self.relation(attributes),
            Tag::Meta => self.meta(attributes),
            Tag::Title => {
                if self.title.is_none() {
                    self.title = Some(Collapsed::new(MAX_TITLE));
                    self.is_in_title = true;
                }
            }
            Tag::Frame | Tag::Iframe => {
                self.link(attributes.get(Attribute::Src)?, LinkKind::Frame, false);
            }
            _ => self.resources(attributes),
        }
        None
    }

    fn wants_end(&self, tag: Tag) -> bool {
        tag == Tag::Title || tag == Tag::A && self.wanted.text
    }

    fn end(&mut self, tag: Tag) -> Option<End> {
        match tag {
            Tag::A => self.end_text(),
            Tag::Title => self.is_in_title = false,
            _ => {}
        }
        None
    }

    #[inline]
    fn wants_text(&self) -> bool {
        self.text.is_some() || self.simhash.is_some()
    }

    #[inline]
    fn text(&mut self, text: &[u8], inside: Option<Tag>) {
        if inside.is_some() {
            if self.is_in_title
                && inside == Some(Tag::Title)
                && let Some(title) = &mut self.title
            {
                title.push(text);
            }
            return;
        }
        if let Some((_, link)) = &mut self.text {
            link.push(text);
        }
        if let Some(simhash) = &mut self.simhash {
            simhash.push(text);
        }
    }

    #[inline]
    fn any_tag(&mut self) {
        if let Some(simhash) = &mut self.simhash {
            simhash.end_word();
        }
    }

    fn finish(&mut self) -> Option<End> {
        self.end_text();
        self.collector.look_up(&self.place);
        Some(End::Page(Box::new(Page {
            title: self.title.take().map(Collapsed::finish),
            base: self.place.base().clone(),
            canonical: self.canonical.take(),
            robots: self.robots,
            refresh: self.refresh.take(),
            links: std::mem::take(&mut self.collector.links),
            n_known: self.collector.n_known,
            n_links_dropped: self.collector.n_dropped,
            simhash: self.simhash.take().and_then(Simhash::finish),
        })))
    }
}
