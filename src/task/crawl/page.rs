//! From a server's answer to a page's record and to what it leads to: the part that computes.

use std::borrow::Cow;
use std::collections::HashSet;

use anyhow::Result;
use serde::Serialize;
use url::Url;

use super::files::Files;
use super::options::Options;
use super::order::Order;
use super::report::{Link, PageReport, Report};
use super::reported::Reported;
use super::worker::{Orders, redirect};
use crate::task::{ErrorClass, Place, TaskError};
use crate::web::address::{Normalizer, Refusal};
use crate::web::digest::Digest;
use crate::web::http::Exchange;
use crate::web::links::{self, LinkKind, Wanted};
use crate::web::mime::ContentType;
use crate::web::robots::Directives;
use crate::web::scope::Scope;
use crate::web::sitemap::{self, Accept};
use crate::web::{charset, trap};

/// The longest address that is reported where it is refused for its length, in bytes.
const LONGEST_REFUSED: usize = 2048;

/// Reads pages; for any number of threads at once.
#[derive(Debug)]
pub(super) struct Reader {
    options: Options,
    normalizer: Normalizer,
    scope: Scope,
    traps: trap::Limits,
    wanted: Wanted,
    agent: String,
    /// What is read as a sitemap, whatever its type.
    sitemaps: HashSet<Url>,
    reported: Reported,
    files: Files,
}

/// A page that was read.
#[derive(Debug)]
pub(super) struct Read {
    /// Its output, as JSON.
    pub(super) output: Vec<u8>,
    /// Its [`Report`].
    pub(super) report: Vec<u8>,
}

/// A page's output, as it is written.
#[derive(Debug, Default, Serialize)]
struct Output<'a> {
    status: u16,
    depth: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<&'a Url>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    essence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charset: Option<&'a str>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical: Option<&'a Url>,
    /// Links to other addresses.
    links: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    noindex: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    nofollow: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    warc: Option<Archived>,
}

impl Output<'_> {
    fn json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        serde_json::to_writer(&mut json, self).expect("texts and numbers only");
        json
    }
}

/// Where a page stands in the archive.
#[derive(Debug, Serialize)]
pub(super) struct Archived {
    pub(super) file: String,
    pub(super) offset: u64,
}

/// What was found in a body.
#[derive(Debug, Default)]
struct Content {
    charset: Option<&'static str>,
    page: Option<links::Page>,
    listed: Vec<Url>,
    asked: Directives,
}

impl Reader {
    pub(super) fn new(orders: Orders) -> Result<Self> {
        let Orders { options, seeds, sitemaps } = orders;
        Ok(Self {
            sitemaps: sitemaps.into_iter().collect(),
            normalizer: options.normalizer()?,
            scope: options.scope(&seeds)?,
            traps: Options::traps(),
            wanted: options.wanted(),
            agent: options.user_agent(),
            reported: Reported::default(),
            files: Files::new(&options),
            options,
        })
    }

    /// Keeps what is no page, such as a robots.txt, in the archive; what cannot be kept is told
    /// when a page cannot.
    pub(super) fn archive_aside(&self, url: &Url, exchange: &Exchange, place: Place) {
        let _ = self.files.archive(url, exchange, None, place);
    }

    /// Reads the answer to an order.
    pub(super) fn read(
        &self,
        order: &Order,
        url: &Url,
        exchange: Exchange,
        place: Place,
    ) -> Result<Read, TaskError> {
        if exchange.again().is_some() {
            return Ok(busy(order, &exchange));
        }
        let redirect = redirect(&exchange, url);
        self.check_redirects(order, redirect.as_ref())?;
        let content_type = content_type(&exchange);
        let kept = self.is_kept(&content_type);
        let digest = Digest::of(exchange.body());
        let content = self.content(&exchange, url, &content_type);
        let mut asked = content.asked;
        for value in exchange.head.all("x-robots-tag") {
            asked |= Directives::from_header(&value, &self.agent);
        }
        let archived = if kept && !asked.noindex {
            self.files.archive(url, &exchange, Some(order), place)?
        } else {
            None
        };
        if let Some(fault) = exchange.fault {
            return Err(fault.into());
        }
        let links = self.links(&content, redirect.as_ref());
        self.files.edges(url, &links, place)?;
        let follow = self.options.follow_nofollow || !asked.nofollow;
        let n_known = content.page.as_ref().map_or(0, |page| page.n_known);
        let found = if follow { self.found(&links) } else { Vec::new() };
        let page = content.page.as_ref();
        let shown_redirect = redirect.clone().map(without_credentials);
        let canonical = page.and_then(|page| page.canonical.clone()).map(without_credentials);
        let output = Output {
            status: exchange.status,
            depth: order.numbers.depth,
            redirect: shown_redirect.as_ref(),
            essence: Some(&*content_type.essence).filter(|essence| !essence.is_empty()),
            charset: content.charset,
            bytes: exchange.body().len(),
            digest: Some(digest.text()),
            title: page.and_then(|page| page.title.as_deref()),
            canonical: canonical.as_ref(),
            links: links.len() + n_known,
            noindex: asked.noindex,
            nofollow: asked.nofollow,
            warc: archived,
        };
        let is_page = (200..300).contains(&exchange.status) && !exchange.body().is_empty();
        let report = PageReport {
            digest: is_page.then(|| digest.half()),
            bytes: exchange.body().len() as u64,
            slow_down: None,
            is_redirect: redirect.is_some(),
            refused: (!kept).then(|| format!("type: {}", content_type.essence).into()),
            simhash: page.and_then(|page| page.simhash).filter(|_| is_page && kept),
            found,
        };
        Ok(Read { output: output.json(), report: Report::Page(report).encode() })
    }

    fn check_redirects(&self, order: &Order, redirect: Option<&Url>) -> Result<(), TaskError> {
        match redirect {
            Some(_) if order.numbers.hops >= self.options.redirects => {
                let message = format!("more than {} redirects", self.options.redirects);
                Err(TaskError::new(ErrorClass::Http, message))
            }
            _ => Ok(()),
        }
    }

    fn is_kept(&self, content: &ContentType) -> bool {
        let types = &self.options.types;
        types.is_empty() || types.iter().any(|wanted| wanted.eq_ignore_ascii_case(&content.essence))
    }

    fn content(&self, exchange: &Exchange, url: &Url, content: &ContentType) -> Content {
        let body = exchange.body();
        if content.is_html() {
            let label = content.charset.as_deref();
            let (text, charset) = charset::decode(body, label, true, url.host_str());
            let page = self.page(&text, url);
            let asked = Directives { noindex: page.robots.noindex, nofollow: page.robots.nofollow };
            return Content { charset: Some(charset), page: Some(page), asked, listed: Vec::new() };
        }
        let may_be = self.options.follow_sitemaps || !self.sitemaps.is_empty();
        let is_list = self.sitemaps.contains(url)
            || may_be && (content.essence.ends_with("xml") || content.essence.ends_with("gzip"));
        let listed = if is_list { listed(body, url) } else { Vec::new() };
        Content { listed, ..Content::default() }
    }

    /// What is read of a page: where nobody wants them all, without the links that this rank has
    /// reported.
    fn page(&self, text: &str, url: &Url) -> links::Page {
        if self.files.wants_edges() {
            return links::page(text, url, &self.wanted);
        }
        links::page_without(text, url, &self.wanted, &self.reported)
    }

    /// Everything that a page links to, each address once for each kind of link.
    fn links<'c>(&self, content: &'c Content, redirect: Option<&'c Url>) -> Vec<Outlink<'c>> {
        let outlink = |url, kind, nofollow, text, written| {
            let to = match self.normalizer.normalize(Url::clone(url)) {
                Err(Refusal::Scheme) => return None,
                to => to,
            };
            Some(Outlink { url, to, kind, nofollow, text, written })
        };
        let page = content.page.iter().flat_map(|page| &page.links);
        let page = page.filter_map(|link| {
            let (kind, text) = (link.kind.as_str(), link.text.as_deref());
            outlink(&link.url, kind, link.nofollow, text, link.written)
        });
        let other = |kind| move |url| outlink(url, kind, false, None, None);
        let listed = content.listed.iter().filter_map(other("sitemap"));
        let redirect = redirect.into_iter().filter_map(other(REDIRECT));
        redirect.chain(page).chain(listed).collect()
    }

    /// What of it this rank has not reported yet, judged.
    fn found(&self, links: &[Outlink<'_>]) -> Vec<Link<'static>> {
        let mut found = Vec::new();
        let ways = links.iter().filter(|link| self.options.follow_nofollow || !link.nofollow);
        for link in
            ways.filter(|link| link.kind != LinkKind::Resource.as_str() || self.wanted.resources)
        {
            let address = match &link.to {
                Ok(url) => Cow::Borrowed(url.as_str()),
                Err(_) => Cow::Owned(shortened(link.url)),
            };
            // A redirect may bring nearer to the seeds what a link has told before.
            if link.kind != REDIRECT && !self.reported.is_new(&address, link.written) {
                continue;
            }
            found.push(Link {
                url: Cow::Owned(address.into_owned()),
                pattern: self.options.pattern(link.to.as_ref().ok()),
                refused: self.refusal(link).map(Cow::Owned),
                is_redirect: link.kind == REDIRECT,
            });
        }
        found
    }

    /// Why an address is not to be fetched.
    fn refusal(&self, link: &Outlink<'_>) -> Option<String> {
        let url = match &link.to {
            Ok(url) => url,
            Err(refusal) => return Some(format!("{}: {refusal}", refusal.code())),
        };
        if let Err(out) = self.scope.decide(url) {
            return Some(format!("{}: {out}", out.code()));
        }
        self.traps.check(url).err().map(|trap| format!("{}: {trap}", trap.code()))
    }
}

const REDIRECT: &str = "redirect";

/// A link of a page.
#[derive(Debug)]
pub(super) struct Outlink<'c> {
    url: &'c Url,
    /// In its one spelling, or why it has none.
    pub(super) to: Result<Url, Refusal>,
    pub(super) kind: &'static str,
    pub(super) nofollow: bool,
    pub(super) text: Option<&'c str>,
    /// [`links::Link::written`].
    written: Option<u64>,
}

/// A server that asks to be left alone for a while.
fn busy(order: &Order, exchange: &Exchange) -> Read {
    let (status, depth) = (exchange.status, order.numbers.depth);
    let output = Output { status, depth, bytes: exchange.body().len(), ..Output::default() };
    let report = PageReport { slow_down: exchange.again(), ..PageReport::default() };
    Read { output: output.json(), report: Report::Page(report).encode() }
}

fn content_type(exchange: &Exchange) -> ContentType {
    let declared = exchange.head.get("content-type");
    match declared.as_deref().and_then(ContentType::parse) {
        Some(declared) => declared,
        None if exchange.body().is_empty() => ContentType::default(),
        None => ContentType::sniff(exchange.body()),
    }
}

/// What a sitemap lists, other sitemaps included.
fn listed(body: &[u8], url: &Url) -> Vec<Url> {
    let sitemap = sitemap::read(body, url, Accept::Host);
    let entries = sitemap.urls.iter().chain(&sitemap.sitemaps);
    entries.filter_map(|entry| Url::parse(&entry.loc).ok()).collect()
}

/// An address that is refused, as it is told.
fn shortened(url: &Url) -> String {
    let mut text = String::from(without_credentials(url.clone()));
    text.truncate(LONGEST_REFUSED); // a URL that was parsed is ASCII
    text
}

fn without_credentials(mut url: Url) -> Url {
    // Where neither may be set there is none.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url
}
