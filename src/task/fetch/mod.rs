//! `fetch`: gets a page and reports what it is, its title, its first links, and what named
//! expressions find in its text.
//!
//! A server's answer is an outcome whatever its status, a 404 too; a task fails where there is
//! no answer to report.

mod options;
mod page;

use std::fmt::Write as _;
use std::rc::Rc;

use anyhow::{Result, anyhow};
use serde_json::Value;
use url::Url;

use self::options::{Options, Table};
use self::page::Reader;
use super::items::TextItems;
use super::stream::{self, Lines, Streamed};
use super::{Context, Done, ErrorClass, Input, Kind, Plan, PlanContext, Pool, TaskError, Work};
use crate::web::http::Client;
use crate::web::{Error, Failure};

/// The kind `fetch`.
#[derive(Debug)]
pub struct Fetch;

/// Seconds of a core that a page is expected to take; which page takes longer is not known.
const COST: f32 = 0.1;

impl Kind for Fetch {
    fn name(&self) -> &'static str {
        "fetch"
    }

    fn plan(&self, table: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan> {
        let table = Table::read(table)?;
        // A fixed limit is the client's.
        let limit = Some(table.options.timeout).filter(|limit| limit.fixed().is_none());
        let (resolved, options) = (table.resolved()?, serde_json::to_string(&table.options)?);
        let base = table.base;
        let from = table.urls_from.map(|path| match path.as_str() {
            "-" => path.into(),
            _ => context.folder.join(path),
        });
        let items = TextItems { list: table.urls, from };
        let check = Box::new(move |entry: &str| address(entry, base.as_ref()).map(String::from));
        let seen = context.seen.of(self.name());
        let source = Box::new(items.source("urls", COST, Rc::clone(&seen), check)?);
        Ok(Plan { resolved, options, source, pool: Pool::Io, limit, own_retries: false })
    }

    fn work(&self, options: &str) -> Result<Box<dyn Work>> {
        let options: Options = serde_json::from_str(options)?;
        let reader = Reader::new(options.links, &options.extract)?;
        let client = Client::new(options.settings()).map_err(anyhow::Error::msg)?;
        Ok(Box::new(Fetcher { client, reader }))
    }

    fn fits(&self, options: &str, output: &Value) -> Result<bool> {
        let options: Options = serde_json::from_str(options)?;
        match (output.get("extract").is_some(), !options.extract.is_empty()) {
            (true, false) => Err(anyhow!("has an `extract`, but this job has none")),
            (false, true) => Err(anyhow!("has no `extract`, but this job asks for one")),
            _ => Ok(true),
        }
    }

    fn streamed(&self) -> Option<&'static dyn Streamed> {
        Some(&Self)
    }

    fn describe(&self, record: &Value) -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut line = format!(
            "rank {} pid {} on host {} found in {}:",
            text(&record["rank"]),
            text(&record["pid"]),
            text(&record["host"]),
            text(&record["input"]["url"]),
        );
        let links = record["output"]["links"].as_array().map_or(&[][..], Vec::as_slice);
        for (i, link) in links.iter().enumerate() {
            let separator = if i == 0 { " " } else { ", " };
            let _ = write!(line, "{separator}{}", text(link));
        }
        if links.is_empty() {
            line.push_str(" no links");
        }
        line
    }
}

impl Streamed for Fetch {
    fn word(&self) -> &'static str {
        "fetch"
    }

    fn table(&self, like: Option<&toml::Table>) -> toml::Table {
        let mut table = stream::without(like, &["urls", "urls_from"]);
        table.insert("urls".to_owned(), toml::Value::Array(Vec::new()));
        table
    }

    fn lines(&self, resolved: &toml::Table, context: &mut PlanContext<'_>) -> Result<Lines> {
        let base = Table::read(resolved.clone())?.base;
        let read = move |line: &stream::Line<'_>| {
            let url = address(&line.text("url")?, base.as_ref())?;
            Ok((Input::Text(String::from(url).into()), COST))
        };
        Ok(Lines { read: Box::new(read), seen: context.seen.of(self.name()) })
    }
}

/// The address that an entry of a list means.
fn address(entry: &str, base: Option<&Url>) -> Result<Url> {
    let url = match (Url::parse(entry), base) {
        (Err(url::ParseError::RelativeUrlWithoutBase), Some(base)) => base.join(entry),
        (parsed, _) => parsed,
    };
    let url = url.map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => anyhow!(
            "`{entry}` is no whole URL; write `https://…`, or name a `base` that it is relative to"
        ),
        error => anyhow!("`{entry}` is no URL: {error}"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(anyhow!("`{entry}` cannot be fetched: only http and https can"));
    }
    Ok(url)
}

struct Fetcher {
    client: Client,
    reader: Reader,
}

impl Work for Fetcher {
    fn write_input(&self, input: &Input, record: &mut Vec<u8>) {
        let url = match input {
            Input::Text(url) => Value::from(&**url),
            Input::Number(number) => Value::from(*number),
        };
        record.extend_from_slice(serde_json::json!({ "url": url }).to_string().as_bytes());
    }

    fn run(
        &self,
        input: &Input,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<Done, TaskError> {
        let invalid = |what: String| TaskError::new(ErrorClass::InvalidInput, what);
        let Input::Text(url) = input else {
            return Err(invalid(format!("a URL is needed, not {input:?}")));
        };
        let url = address(url, None).map_err(|error| invalid(error.to_string()))?;
        let limit = context.deadline.map(|deadline| deadline.limit());
        let reply = self.client.get(&url, limit)?;
        let page = self.reader.read(&reply);
        serde_json::to_writer(record, &page).expect("a page has only texts, numbers and lists");
        Ok(Done { again: reply.again, ..Done::default() })
    }
}

impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        let class = match error.failure {
            Failure::Connect => ErrorClass::Connect,
            Failure::Tls => ErrorClass::Tls,
            Failure::Dns => ErrorClass::Dns,
            Failure::Timeout => ErrorClass::Timeout,
            Failure::Http => ErrorClass::Http,
            Failure::BodyTooLarge => ErrorClass::BodyTooLarge,
            Failure::PrivateAddress => ErrorClass::PrivateAddress,
        };
        Self::new(class, error.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_become_whole_addresses() {
        let base = Url::parse("https://example.org/dir/").unwrap();
        for (entry, base, expected) in [
            ("http://EXAMPLE.org", None, "http://example.org/"),
            (" https://example.org:443/a b ", None, "https://example.org/a%20b"),
            ("page", Some(&base), "https://example.org/dir/page"),
            ("/page?q", Some(&base), "https://example.org/page?q"),
            ("//other.test", Some(&base), "https://other.test/"),
            ("http://other.test/#x", Some(&base), "http://other.test/#x"),
        ] {
            assert_eq!(address(entry, base).unwrap().as_str(), expected);
        }
        for (entry, what) in [
            ("www.example.org/x", "name a `base`"),
            ("", "name a `base`"),
            ("ftp://example.org/", "only http and https"),
            ("localhost:8080", "only http and https"),
            ("http://", "is no URL: empty host"),
            ("http://a b/", "is no URL"),
            ("http://h:99999/", "is no URL: invalid port"),
        ] {
            let error = address(entry, None).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains(&format!("`{entry}`")), "{error}");
        }
    }

    #[test]
    fn a_record_is_described_as_the_original_example_did() {
        let mut record = serde_json::json!({
            "rank": 2, "pid": 4243, "host": "h2", "status": "ok",
            "input": {"url": "http://h/"},
            "output": {"links": ["http://h/a", "http://h/b"]},
        });
        let line = "rank 2 pid 4243 on host h2 found in http://h/: http://h/a, http://h/b";
        assert_eq!(Fetch.describe(&record), line);
        record["output"]["links"] = serde_json::json!([]);
        assert!(Fetch.describe(&record).ends_with("found in http://h/: no links"));
        // A record that something else wrote.
        Fetch.describe(&Value::Null);
    }
}
