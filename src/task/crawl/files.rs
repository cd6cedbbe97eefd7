//! What a rank writes by itself while it crawls: its part of the archive and of the list of
//! links.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result};
use url::Url;

use super::options::Options;
use super::order::Order;
use super::page::{Archived, Outlink};
use crate::task::{ErrorClass, Place, TaskError};
use crate::web::Earlier;
use crate::web::edges::{self, Edge, Edges};
use crate::web::http::Exchange;
use crate::web::warc::{self, Capture, Level, Original, Warc, payload_digest};

/// Payloads that later ones are compared with; then it begins anew.
const MOST_ORIGINALS: usize = 1 << 17;

/// The files of a rank, opened when the first page is there.
#[derive(Debug)]
pub(super) struct Files {
    warc: Option<PathBuf>,
    segment_size: u64,
    info: Vec<(String, String)>,
    edges: Option<(PathBuf, edges::Format)>,
    open: OnceLock<Result<Open, String>>,
    originals: Mutex<HashMap<String, Original>>,
}

#[derive(Debug)]
struct Open {
    warc: Option<Warc>,
    edges: Option<Edges>,
}

/// Deals with what an earlier run has left where this one is going to write.
pub(super) fn prepare(options: &Options, earlier: Earlier) -> Result<()> {
    if let Some(prefix) = &options.warc {
        warc::prepare(prefix, earlier).context("`warc`")?;
    }
    if let Some((prefix, format)) = options.edges() {
        edges::prepare(&prefix, format, earlier).context("`edges`")?;
    }
    Ok(())
}

impl Files {
    pub(super) fn new(options: &Options) -> Self {
        let robots = if options.robots { "obey" } else { "ignore" };
        let mut info = vec![
            ("http-header-user-agent".to_owned(), options.user_agent()),
            ("robots".to_owned(), robots.to_owned()),
        ];
        info.extend(options.contact().map(|contact| ("operator".to_owned(), contact.to_owned())));
        Self {
            warc: options.warc.clone(),
            segment_size: options.warc_segment,
            info,
            edges: options.edges(),
            open: OnceLock::new(),
            originals: Mutex::default(),
        }
    }

    /// Archives an exchange, if there is an archive; where it stands.
    pub(super) fn archive(
        &self,
        url: &Url,
        exchange: &Exchange,
        order: Option<&Order>,
        place: Place,
    ) -> Result<Option<Archived>, TaskError> {
        let Some(warc) = &self.open(place)?.warc else { return Ok(None) };
        let digest = payload_digest(&exchange.wire);
        let original = self.original(&digest, url, exchange);
        let hops = order.map(|order| order.numbers.depth.to_string());
        let metadata: Vec<_> = hops.iter().map(|hops| ("hopsFromSeed", hops.as_str())).collect();
        let capture = Capture {
            url,
            exchange,
            payload_digest: &digest,
            identified_type: None,
            duplicate_of: original.as_ref(),
            metadata: &metadata,
        };
        let location = warc.capture(&capture).map_err(lost)?;
        Ok(Some(Archived { file: location.file, offset: location.offset }))
    }

    /// Whether a page's links are wanted, known or not.
    pub(super) fn wants_edges(&self) -> bool {
        self.edges.is_some()
    }

    /// Writes a page's links, if they are wanted.
    pub(super) fn edges(
        &self,
        url: &Url,
        links: &[Outlink<'_>],
        place: Place,
    ) -> Result<(), TaskError> {
        let Some(edges) = &self.open(place)?.edges else { return Ok(()) };
        let edge = |link: &'_ Outlink<'_>| {
            let target = link.to.as_ref().ok()?.as_str().to_owned();
            Some((target, link.kind, link.nofollow, link.text.unwrap_or_default().to_owned()))
        };
        let links: Vec<_> = links.iter().filter_map(edge).collect();
        let written = edges.write(links.iter().map(|(target, kind, nofollow, anchor)| Edge {
            source: url.as_str(),
            target,
            kind,
            nofollow: *nofollow,
            anchor,
        }));
        written.map_err(lost)
    }

    /// The first one with the same payload, if there is one that is worth a reference.
    fn original(&self, digest: &str, url: &Url, exchange: &Exchange) -> Option<Original> {
        if exchange.wire.is_empty() || exchange.truncated.is_some() || exchange.status != 200 {
            return None;
        }
        let mut originals = self.originals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(original) = originals.get(digest) {
            return Some(original.clone());
        }
        if originals.len() >= MOST_ORIGINALS {
            originals.clear();
        }
        let original = Original { url: url.to_string(), started: exchange.started };
        originals.insert(digest.to_owned(), original);
        None
    }

    fn open(&self, place: Place) -> Result<&Open, TaskError> {
        let opened =
            self.open.get_or_init(|| self.opened(place).map_err(|error| format!("{error:#}")));
        opened.as_ref().map_err(|message| TaskError::new(ErrorClass::Failed, message))
    }

    fn opened(&self, Place { rank, ranks, resume }: Place) -> Result<Open> {
        let warc = self.warc.clone().map(|prefix| {
            Warc::open(warc::Config {
                prefix,
                rank,
                ranks,
                resume,
                segment_size: self.segment_size,
                level: Level::default(),
                info: self.info.clone(),
            })
        });
        let edges = self.edges.clone().map(|(prefix, format)| {
            Edges::open(&edges::Config { prefix, rank, ranks, resume, format })
        });
        Ok(Open { warc: warc.transpose()?, edges: edges.transpose()? })
    }
}

/// A page whose archive or links cannot be written has not been kept: its task fails.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn lost(error: anyhow::Error) -> TaskError {
    TaskError::new(ErrorClass::Failed, format!("{error:#}"))
}
