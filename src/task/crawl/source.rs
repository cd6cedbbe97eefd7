//! Rank 0's part: the frontier as a source of tasks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use url::Url;

use super::options::Options;
use super::order::{Numbers, Order, Step};
use super::report::{Link, PageReport, Report};
use super::{account, files};
use crate::json;
use crate::task::{Account, Begin, End, Ended, ErrorClass, Item, Next, Note, Source, TaskError};
use crate::web::Earlier;
use crate::web::frontier::{
    self, Failure, Fate, Fetch, Found, Frontier, HostId, PageEnd, PageId, Resolved, RobotsEnd,
    Rules,
};
use crate::web::robots::Robots;

/// Seconds of a core that a page is expected to take.
const COST: f32 = 0.1;

/// A crawl's tasks.
pub(super) struct CrawlSource {
    options: Options,
    seeds: Vec<Url>,
    frontier: Option<Frontier>,
    /// When it was first asked for a task: later than the run's start where it waits for other
    /// tables.
    began: Option<Duration>,
    /// Tasks that are out.
    n_out: u64,
}

impl CrawlSource {
    pub(super) fn new(options: Options, seeds: Vec<Url>) -> Self {
        Self { options, seeds, frontier: None, began: None, n_out: 0 }
    }

    fn frontier(&mut self) -> &mut Frontier {
        self.frontier.as_mut().expect("a run begins before it asks")
    }

    /// Hears what a page leads to, then what it is.
    fn hear_page(
        &mut self,
        numbers: &Numbers,
        ended: &Ended<'_>,
        report: &PageReport<'_>,
        now: Duration,
    ) -> Result<Note> {
        let frontier = self.frontier.as_mut().expect("a run begins before it ends a task");
        let page = PageId(numbers.page);
        frontier.prefetch(report.found.iter().map(|link| &*link.url));
        for link in &report.found {
            frontier.found(&found(link, numbers), Some(page), numbers.depth + depth_of(link))?;
        }
        let end = match (ended.end, &report.refused) {
            (End::Ok, _) if report.is_redirect => PageEnd::Redirect,
            (End::Ok, Some(reason)) => PageEnd::Refused(reason),
            (End::Ok, None) => PageEnd::Ok {
                digest: report.digest.map(u128::from_le_bytes),
                bytes: report.bytes,
                slow_down: report.slow_down,
            },
            (End::Failed(class), _) => PageEnd::Failed { class, again: ended.again },
            (End::LeftOut, _) => PageEnd::LeftOut,
        };
        let Fate::Final { duplicate_of } = frontier.on_page(page, &end, ended.took, now)? else {
            return Ok(Note { hidden: true, ..Note::default() });
        };
        let mut members = self.origin(numbers)?;
        let near = match (&duplicate_of, report.simhash) {
            (None, Some(print)) => self.frontier().near(page, print)?,
            _ => None,
        };
        if let Some((_, url)) = duplicate_of {
            put_member(&mut members, "duplicate_of", &url);
        } else if let Some(url) = near {
            put_member(&mut members, "near_duplicate_of", &url);
        }
        Ok(Note { members, hidden: false })
    }

    /// What a record says of the page that led there.
    fn origin(&mut self, numbers: &Numbers) -> Result<Vec<u8>> {
        let mut members = Vec::new();
        if let Some(from) = numbers.from.map(PageId) {
            let name = if numbers.hops > 0 { "redirected_from" } else { "parent" };
            put_member(&mut members, name, &self.frontier().url(from)?);
        }
        Ok(members)
    }

    fn hear_robots(&mut self, host: HostId, ended: &Ended<'_>, now: Duration) -> Result<()> {
        let end = match (ended.end, report(ended)?) {
            (End::Ok, Some(Report::Robots(robots))) => {
                self.add_sitemaps(&robots)?;
                RobotsEnd::Rules(Box::new(robots))
            }
            (End::Ok, Some(Report::NoRobots { reason, again })) => {
                RobotsEnd::Unavailable { reason, again }
            }
            (End::Failed(ErrorClass::Crashed), _) if ended.again.is_some() => RobotsEnd::Died,
            (End::Failed(class), _) => RobotsEnd::Failed(failure(class, ended)),
            (End::LeftOut, _) => RobotsEnd::LeftOut,
            (End::Ok, _) => bail!("a rank sent something else than a robots.txt"),
        };
        self.frontier().on_robots(host, end, now)
    }

    fn hear_addresses(&mut self, host: HostId, ended: &Ended<'_>, now: Duration) -> Result<()> {
        let end = match (ended.end, report(ended)?) {
            (End::Ok, Some(Report::Addresses(addresses))) => Resolved::Addresses(addresses),
            (End::Failed(ErrorClass::Crashed), _) if ended.again.is_some() => Resolved::Died,
            (End::Failed(class), _) => Resolved::Failed(failure(class, ended)),
            (End::LeftOut, _) => Resolved::LeftOut,
            (End::Ok, _) => bail!("a rank sent something else than addresses"),
        };
        self.frontier().on_resolved(host, end, now)
    }

    fn add_sitemaps(&mut self, robots: &Robots) -> Result<()> {
        if !self.options.follow_sitemaps {
            return Ok(());
        }
        let normalizer = self.options.normalizer()?;
        let scope = self.options.scope(&self.seeds)?;
        for url in robots.sitemaps().filter_map(|text| normalizer.parse(text, None).ok()) {
            let out = scope.decide(&url).err().map(|out| format!("{}: {out}", out.code()));
            let pattern = self.options.pattern(Some(&url));
            let found = Found { url: url.as_str(), pattern, refused: out.as_deref(), hops: 0 };
            self.frontier().found(&found, None, 0)?;
        }
        Ok(())
    }
}

impl Source for CrawlSource {
    fn begin(&mut self, begin: Begin<'_>) -> Result<()> {
        let earlier = match begin.recorded {
            Some(_) => Earlier::Mend,
            None if begin.overwrite => Earlier::Replace,
            None => Earlier::Refuse,
        };
        files::prepare(&self.options, earlier)?;
        let journal = begin.results.map(journal_beside);
        let recorded = begin.recorded.filter(|_| !has_ended_at_once(begin.results));
        let mut is_done = recorded.map(|recorded| {
            move |url: &str| {
                let item = Item { input: Order::page(url).input(), ..Item::default() };
                recorded(&item).is_some()
            }
        });
        let is_done = is_done.as_mut().map(|asks| asks as &mut dyn FnMut(&str) -> bool);
        let settings = self.options.frontier();
        let mut frontier = Frontier::open(settings, journal.as_deref(), is_done)?;
        for url in &self.seeds {
            let pattern = self.options.pattern(Some(url));
            frontier.found(&Found { url: url.as_str(), pattern, ..Found::default() }, None, 0)?;
        }
        self.frontier = Some(frontier);
        Ok(())
    }

    fn next(&mut self, now: Duration) -> Result<Next> {
        let began = *self.began.get_or_insert(now);
        if self.options.time.is_some_and(|most| now >= began + most.0) {
            return Ok(if self.n_out == 0 { Next::Exhausted } else { Next::Waiting });
        }
        let order = match self.frontier().next(now)? {
            frontier::Step::Wait(_) => return Ok(Next::Waiting),
            frontier::Step::Done => return Ok(Next::Exhausted),
            frontier::Step::Failed(fetch, Failure { class, message }) => {
                let item = item(&Order { step: Step::Failed, ..order_of(&fetch) });
                self.n_out += 1;
                return Ok(Next::Failed(item, TaskError::new(class, message)));
            }
            frontier::Step::Fetch(fetch) => order_of(&fetch),
            frontier::Step::Robots { host, url, addresses, deaths } => Order {
                step: Step::Robots,
                url: url.into(),
                addresses,
                numbers: asking(host, deaths),
            },
            frontier::Step::Resolve { host, name, deaths, .. } => Order {
                step: Step::Resolve,
                url: url_of(&name).into(),
                addresses: Vec::new(),
                numbers: asking(host, deaths),
            },
        };
        self.n_out += 1;
        Ok(Next::Task(item(&order)))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }

    fn on_outcome(&mut self, ended: &Ended<'_>, now: Duration) -> Result<Note> {
        self.n_out -= 1;
        let order = Order::read(ended.input)?;
        let host = HostId(order.numbers.host);
        let hidden = Note { hidden: true, ..Note::default() };
        match order.step {
            Step::Robots => self.hear_robots(host, ended, now).map(|()| hidden),
            Step::Resolve => self.hear_addresses(host, ended, now).map(|()| hidden),
            Step::Failed => {
                let members = self.origin(&order.numbers)?;
                Ok(Note { members, hidden: false })
            }
            Step::Page => match report(ended)? {
                Some(Report::Page(page)) => self.hear_page(&order.numbers, ended, &page, now),
                None => self.hear_page(&order.numbers, ended, &PageReport::default(), now),
                Some(_) => bail!("a rank sent something else than a page"),
            },
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.frontier.as_mut().map_or(Ok(()), Frontier::flush)
    }

    fn finish(&mut self) -> Result<Option<Account>> {
        let Some(frontier) = &mut self.frontier else { return Ok(None) };
        let totals = frontier.finish()?;
        Ok(Some(account::of(frontier, &totals)))
    }
}

impl Rules for Robots {
    fn denied(&self, path_and_query: &str) -> Option<u32> {
        let decision = self.decide(path_and_query);
        (!decision.allowed).then(|| decision.line.unwrap_or(0))
    }

    fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay()
    }

    fn memory(&self) -> usize {
        self.memory()
    }
}

/// Whether an earlier run has ended before its first record, and before its journal.
fn has_ended_at_once(results: Option<&Path>) -> bool {
    let is_empty = |path: &Path| path.metadata().is_ok_and(|file| file.len() == 0);
    results.is_some_and(|path| is_empty(path) && !journal_beside(path).exists())
}

/// The journal of addresses that stands beside a results file.
pub(super) fn journal_beside(results: &Path) -> PathBuf {
    results.with_extension("urls.jsonl")
}

/// An order as a task; those of a host go to one rank.
fn item(order: &Order) -> Item {
    Item {
        input: order.input(),
        cost: COST,
        near: order.numbers.host.wrapping_add(1).max(1),
        earlier_attempts: order.numbers.attempts,
        crashes: order.numbers.crashes,
        ..Item::default()
    }
}

/// The numbers of what is asked about a host.
fn asking(host: HostId, deaths: u32) -> Numbers {
    Numbers { host: host.0, attempts: deaths, crashes: deaths, ..Numbers::default() }
}

fn report<'a>(ended: &Ended<'a>) -> Result<Option<Report<'a>>> {
    let told = (ended.end == End::Ok).then_some(ended.report);
    told.map(Report::decode).transpose()
}

fn failure(class: ErrorClass, ended: &Ended<'_>) -> Failure {
    Failure { class, message: String::from_utf8_lossy(ended.report).into_owned() }
}

fn found<'l>(link: &'l Link<'_>, from: &Numbers) -> Found<'l> {
    let hops = if link.is_redirect { from.hops + 1 } else { 0 };
    Found { url: &link.url, pattern: link.pattern, refused: link.refused.as_deref(), hops }
}

/// A redirect leads no further from the seeds.
fn depth_of(link: &Link<'_>) -> u32 {
    u32::from(!link.is_redirect)
}

fn order_of(fetch: &Fetch) -> Order {
    let &Fetch { page, host, depth, hops, attempts, crashes, from, .. } = fetch;
    let from = from.map(|from| from.0);
    Order {
        step: Step::Page,
        url: fetch.url.as_str().into(),
        addresses: fetch.addresses.clone(),
        numbers: Numbers { host: host.0, page: page.0, from, depth, hops, attempts, crashes },
    }
}

/// An address of a host, for the sake of its host.
fn url_of(name: &str) -> String {
    if name.contains(':') { format!("http://[{name}]/") } else { format!("http://{name}/") }
}

/// One more member of a record.
fn put_member(members: &mut Vec<u8>, name: &str, text: &str) {
    members.extend_from_slice(b",\"");
    members.extend_from_slice(name.as_bytes());
    members.extend_from_slice(b"\":");
    json::put_text(members, text);
}

#[cfg(test)]
mod tests {
    use super::super::options::Span;
    use super::*;

    #[test]
    fn its_time_begins_when_others_have_let_it_begin() {
        let seconds = Duration::from_secs;
        let mut options = Options::default();
        options.time = Some(Span(seconds(2)));
        let seeds = ["http://a.test/", "http://b.test/"].map(|url| url.parse().unwrap());
        let mut source = CrawlSource::new(options, seeds.into());
        source.begin(Begin { results: None, overwrite: false, recorded: None }).unwrap();
        let mut next = |now| source.next(seconds(now)).unwrap();
        assert!(matches!((next(100), next(101)), (Next::Task(_), Next::Task(_))));
        assert_eq!(next(102), Next::Waiting, "two tasks are out");
    }
}
