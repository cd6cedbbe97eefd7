//! A worker's part: one exchange with a host, and what it says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use url::Url;

use super::options::Options;
use super::order::{Order, Step, address};
use super::page::Reader;
use super::report::Report;
use crate::json;
use crate::task::{Context, Done, ErrorClass, Input, Place, TaskError, Work};
use crate::web::http::{Client, Exchange, Request};
use crate::web::private;
use crate::web::robots::{Availability, MAX_BYTES, MAX_REDIRECTS, Robots};

/// What every rank needs to know of a crawl.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) options: Options,
    /// What its scope is made from; none where it goes anywhere.
    pub(super) seeds: Vec<Url>,
    /// The sitemaps that the user named.
    pub(super) sitemaps: Vec<Url>,
}

/// Runs a crawl's tasks.
#[derive(Debug)]
pub(super) struct Crawler {
    client: Client,
    reader: Arc<Reader>,
    agent: String,
    allow_private: bool,
    delay: Duration,
}

impl Crawler {
    pub(super) fn new(orders: &str) -> Result<Self> {
        let orders: Orders = serde_json::from_str(orders)?;
        let options = &orders.options;
        Ok(Self {
            client: Client::new(options.settings()).map_err(anyhow::Error::msg)?,
            agent: options.user_agent(),
            allow_private: options.allow_private,
            delay: options.delay,
            reader: Arc::new(Reader::new(orders)?),
        })
    }

    /// A host's addresses, those alone that may be connected to.
    fn resolve(&self, url: &Url) -> Result<Report<'static>, TaskError> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = self.client.look_up(host)?;
        let may = |address: &IpAddr| self.allow_private || private::special(*address).is_none();
        let (allowed, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(may);
        match refused.first() {
            Some(&address) if allowed.is_empty() => {
                let what = private::special(address).unwrap_or("private");
                let message = format!(
                    "`{host}` has the {what} address {address}; `allow_private` would allow it"
                );
                Err(TaskError::new(ErrorClass::PrivateAddress, message))
            }
            _ => Ok(Report::Addresses(allowed)),
        }
    }

    /// What a host's robots.txt says, redirects followed.
    fn robots(
        &self,
        mut url: Url,
        addresses: &[IpAddr],
        place: Place,
    ) -> Result<Report<'static>, TaskError> {
        let origin = url.origin();
        let mut hops = 0;
        loop {
            let pinned = if url.origin() == origin { addresses } else { &[] };
            let request =
                Request { pinned, max_body: Some(MAX_BYTES as u64), ..Request::new(&url) };
            let exchange = self.client.exchange(&request)?;
            let next = redirect(&exchange, &url).filter(|_| hops < MAX_REDIRECTS);
            let said = Availability::of_status(exchange.status, next.is_some());
            self.reader.archive_aside(&url, &exchange, place);
            match (said, next) {
                (Availability::Redirected, Some(next)) => {
                    // The frontier knows of one fetch; each of its exchanges keeps the delay.
                    std::thread::sleep(self.delay);
                    (url, hops) = (next, hops + 1);
                }
                (Availability::Unreachable(reason), _) => {
                    return Ok(Report::NoRobots { reason, again: exchange.again() });
                }
                (Availability::Available, _) => {
                    return Ok(Report::Robots(Robots::parse(exchange.body(), &self.agent)));
                }
                (said, _) => {
                    return Ok(Report::Robots(Robots::without_file(&said).unwrap_or_default()));
                }
            }
        }
    }

    fn page(
        &self,
        order: Order,
        url: Url,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<Done, TaskError> {
        let request = Request { pinned: &order.addresses, ..Request::new(&url) };
        let exchange = self.client.exchange(&request)?;
        let (reader, place) = (Arc::clone(&self.reader), context.place);
        let read = context.on_cpu(move || reader.read(&order, &url, exchange, place))?;
        record.extend_from_slice(&read.output);
        Ok(Done { again: None, report: read.report })
    }
}

impl Work for Crawler {
    fn write_input(&self, input: &Input, record: &mut Vec<u8>) {
        record.extend_from_slice(b"{\"url\":");
        json::put_text(record, address(input).unwrap_or_default());
        record.push(b'}');
    }

    fn run(
        &self,
        input: &Input,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<Done, TaskError> {
        let invalid = |what: String| TaskError::new(ErrorClass::InvalidInput, what);
        let order = Order::read(input).map_err(|error| invalid(format!("{error:#}")))?;
        let url = Url::parse(&order.url).map_err(|error| invalid(error.to_string()))?;
        let report = match order.step {
            Step::Page => return self.page(order, url, context, record),
            Step::Failed => return Err(invalid("a page that is not to be fetched".to_owned())),
            Step::Resolve => self.resolve(&url)?,
            Step::Robots => self.robots(url, &order.addresses, context.place)?,
        };
        record.extend_from_slice(b"{}");
        Ok(Done { again: None, report: report.encode() })
    }
}

/// Where an answer redirects to, over http or https.
pub(super) fn redirect(exchange: &Exchange, url: &Url) -> Option<Url> {
    if !matches!(exchange.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = exchange.head.get("location")?;
    url.join(&location).ok().filter(|next| matches!(next.scheme(), "http" | "https"))
}
