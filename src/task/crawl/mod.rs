//! `crawl`: follows links from its seeds, politely, over all ranks, and fetches no page twice.
//!
//! Rank 0's [`source`] asks the frontier ([`crate::web::frontier`]) which address goes out when:
//! first a host's addresses are looked up, then its robots.txt is fetched, then its pages are.
//! Each is a task ([`order`]) of the I/O pool ([`worker`]); what a page says is computed in the
//! CPU pool ([`page`]). Links come back in a [`report`], each of them once from a rank
//! ([`reported`]), and rank 0 alone decides about them.
//!
//! **Invariant:** an address is asked for at one host at a time no sooner than politeness
//! allows, whichever rank asks; every address that was ever seen ends with one fate.

mod account;
mod files;
mod fingerprints;
mod options;
mod order;
mod page;
mod report;
mod reported;
mod source;
mod worker;

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use url::Url;

use self::options::Table;
use self::source::CrawlSource;
use self::worker::{Crawler, Orders};
use super::items::{lines_of, path_in};
use super::{Kind, Plan, PlanContext, Pool, Work};
use crate::web::scope::Reach;

/// The kind `crawl`.
#[derive(Debug)]
pub struct Crawl;

impl Kind for Crawl {
    fn name(&self) -> &'static str {
        "crawl"
    }

    fn plan(&self, table: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan> {
        let mut table = Table::read(table)?;
        table.options.anchor(context.folder);
        let seeds = seeds(&table, context.folder)?;
        let sitemaps = sitemaps(&table)?;
        let resolved = table.resolved()?;
        let options = table.options;
        let orders = Orders {
            seeds: if options.scope == Reach::Any { Vec::new() } else { seeds.clone() },
            options: options.clone(),
            sitemaps,
        };
        let orders = serde_json::to_string(&orders)?;
        let source = Box::new(CrawlSource::new(options, seeds));
        Ok(Plan {
            resolved,
            options: orders,
            source,
            pool: Pool::Io,
            limit: None,
            own_retries: true,
        })
    }

    fn is_ordered(&self) -> bool {
        false
    }

    fn only_once(&self) -> Option<&'static str> {
        Some("two crawls would not know of each other's politeness; put all `seeds` into one table")
    }

    fn work(&self, options: &str) -> Result<Box<dyn Work>> {
        Ok(Box::new(Crawler::new(options)?))
    }

    fn describe(&self, record: &Value) -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let output = &record["output"];
        let title = output["title"].as_str().map(|title| format!(": {title}")).unwrap_or_default();
        format!(
            "rank {} on host {} crawled {} (status {}, {} bytes, {} links){title}",
            record["rank"],
            text(&record["host"]),
            text(&record["input"]["url"]),
            output["status"],
            output["bytes"],
            output["links"],
        )
    }
}

/// The sitemaps that the user named, in their one spelling; as seeds they were checked.
fn sitemaps(table: &Table) -> Result<Vec<Url>> {
    let normalizer = table.options.normalizer()?;
    let parsed = table.sitemaps.iter().map(|text| normalizer.parse(text.trim(), None));
    Ok(parsed.filter_map(Result::ok).collect())
}

/// The seeds, in their one spelling, each once.
fn seeds(table: &Table, folder: &Path) -> Result<Vec<Url>> {
    let normalizer = table.options.normalizer()?;
    let mut seen = HashSet::new();
    let mut seeds = Vec::new();
    let mut add = |text: &str, place: &dyn Fn() -> String| {
        let url = normalizer.parse(text, None);
        let url = url.map_err(|refusal| anyhow!("{}: `{}`: {refusal}", place(), shown(text)))?;
        if seen.insert(url.as_str().to_owned()) {
            seeds.push(url);
        }
        anyhow::Ok(())
    };
    for (key, list) in [("seeds", &table.seeds), ("sitemaps", &table.sitemaps)] {
        for (idx, text) in list.iter().enumerate() {
            add(text.trim(), &|| format!("`{key}[{idx}]`"))?;
        }
    }
    if let Some(from) = &table.seeds_from {
        let path = path_in(folder, from.into());
        for (number, line) in lines_of(path).context("`seeds_from`")? {
            add(line.trim(), &|| format!("`seeds_from`: {from}: line {number}"))?;
        }
    }
    ensure!(!seeds.is_empty(), "nowhere to begin: there is no seed in `seeds_from`");
    Ok(seeds)
}

/// An address as an error shows it: without what may be a password.
fn shown(text: &str) -> String {
    match (text.find("//"), text.find('@')) {
        (Some(start), Some(end)) if start < end => {
            format!("{}…{}", &text[..start + 2], &text[end..])
        }
        _ => text.to_owned(),
    }
}
