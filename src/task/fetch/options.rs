//! The keys of a `fetch` table: read, checked, completed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use regex::Regex;
use serde::{Deserialize, Serialize};
use toml::Value;
use url::Url;

use crate::task::TimeLimit;
use crate::units;
use crate::web::http::{Client, Settings};
use crate::web::roots::Certificates;

/// Links reported where `links` does not say: as many as the original example printed.
const LINKS: usize = 3;

/// The limit on everything where `timeout` names no other; also where it is a multiple of the
/// median, which may be larger, or not known yet.
const LONGEST: Duration = Duration::from_secs(60);

/// What every rank needs to know; also the keys of the table that have defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    #[serde(with = "units::duration")]
    connect_timeout: Duration,
    #[serde(with = "units::duration")]
    read_timeout: Duration,
    pub(super) timeout: TimeLimit,
    #[serde(with = "units::size")]
    max_body: u64,
    redirects: u32,
    user_agent: String,
    proxy: String,
    certificates: Certificates,
    pub(super) links: usize,
    pub(super) extract: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            timeout: TimeLimit::Fixed(LONGEST),
            max_body: 10 << 20,
            redirects: 10,
            user_agent: concat!("rankpool/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: "none".to_owned(),
            certificates: Certificates::default(),
            links: LINKS,
            extract: BTreeMap::new(),
        }
    }
}

impl Options {
    /// What of this the client needs.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
            timeout: self.timeout.fixed().unwrap_or(LONGEST),
            max_body: self.max_body,
            redirects: self.redirects,
            user_agent: self.user_agent.clone(),
            proxy: self.proxy.clone(),
            certificates: self.certificates,
            // Whoever names an address by hand may name any.
            allow_private: true,
            resolve: BTreeMap::new(),
        }
    }

    fn check(&self) -> Result<()> {
        let spans =
            [("connect_timeout", self.connect_timeout), ("read_timeout", self.read_timeout)];
        if let Some((key, _)) = spans.iter().find(|(_, span)| span.is_zero()) {
            bail!("`{key}` is zero: nothing could be fetched in no time; write `\"30s\"`");
        }
        let printable = |byte: u8| (b' '..=b'~').contains(&byte);
        if self.user_agent.trim().is_empty() || !self.user_agent.bytes().all(printable) {
            bail!("`user_agent` must be printable ASCII, such as `\"my-crawler/1.0\"`");
        }
        Client::new(self.settings()).map_err(anyhow::Error::msg)?;
        for (name, pattern) in &self.extract {
            Regex::new(pattern).with_context(|| format!("`extract.{name}`"))?;
        }
        Ok(())
    }
}

/// A whole `fetch` table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) urls: Vec<String>,
    pub(super) urls_from: Option<String>,
    pub(super) base: Option<Url>,
    pub(super) options: Options,
}

impl Table {
    /// Reads and checks everything but the addresses themselves.
    pub(super) fn read(mut table: toml::Table) -> Result<Self> {
        known_keys(&table)?;
        let urls = table.remove("urls").map(list).transpose()?;
        let urls_from = table.remove("urls_from").map(|v| text("urls_from", v)).transpose()?;
        let base = table.remove("base").map(|v| text("base", v)).transpose()?;
        if urls.is_none() && urls_from.is_none() {
            bail!("nothing to fetch: write `urls = [\"https://…\"]` or `urls_from = \"FILE\"`");
        }
        let base = base.map(|base| super::address(&base, None)).transpose().context("`base`")?;
        let mut options = toml::Table::new();
        for (key, value) in table {
            // One at a time, so that an error can name its key.
            let one = toml::Table::from_iter([(key.clone(), value.clone())]);
            one.try_into::<Options>().map_err(|error| anyhow!("`{key}`: {}", error.message()))?;
            options.insert(key, value);
        }
        let options: Options = options.try_into()?;
        options.check()?;
        Ok(Self { urls: urls.unwrap_or_default(), urls_from, base, options })
    }

    /// The table with every default filled in.
    pub(super) fn resolved(&self) -> Result<toml::Table> {
        let mut table = toml::Table::try_from(&self.options)?;
        if !self.urls.is_empty() || self.urls_from.is_none() {
            table.insert("urls".to_owned(), self.urls.clone().into());
        }
        let base = self.base.as_ref().map(Url::to_string);
        for (key, value) in [("urls_from", self.urls_from.clone()), ("base", base)] {
            if let Some(value) = value {
                table.insert(key.to_owned(), value.into());
            }
        }
        Ok(table)
    }
}

fn known_keys(table: &toml::Table) -> Result<()> {
    let mut known = vec!["urls".to_owned(), "urls_from".to_owned(), "base".to_owned()];
    known.extend(toml::Table::try_from(Options::default())?.into_iter().map(|(key, _)| key));
    let Some(key) = table.keys().find(|key| !known.contains(key)) else { return Ok(()) };
    let near = |name: &&String| strsim::jaro_winkler(name, key) > 0.8;
    match known.iter().find(near) {
        Some(near) => bail!("unknown key `{key}`; did you mean `{near}`?"),
        None => bail!("unknown key `{key}`; use one of {}", known.join(", ")),
    }
}

fn list(value: Value) -> Result<Vec<String>> {
    match value {
        Value::Array(entries) => entries.into_iter().map(|entry| text("urls", entry)).collect(),
        one => Ok(vec![text("urls", one)?]),
    }
}

fn text(key: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        other => bail!("`{key}`: expected a text in quotes, not {}", other.type_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &str) -> Result<Table> {
        Table::read(toml::from_str(table).unwrap())
    }

    #[track_caller]
    fn refused(table: &str, expected: &str) {
        let error = format!("{:#}", read(table).unwrap_err());
        assert!(error.contains(expected), "{table}: {error}");
        assert!(!error.contains('\n') || error.contains("regex"), "{error:?}");
    }

    #[test]
    fn defaults_are_filled_in_and_the_result_is_a_table_again() {
        let table = read("urls = 'http://h/'").unwrap();
        let resolved = table.resolved().unwrap();
        let expected: toml::Table = toml::from_str(concat!(
            "connect_timeout = '10s'\nread_timeout = '30s'\ntimeout = '1m'\nmax_body = '10MiB'\n",
            "redirects = 10\nproxy = 'none'\ncertificates = 'auto'\nlinks = 3\nurls = ['http://h/']\nextract = {}\n",
            "user_agent = 'rankpool/",
            env!("CARGO_PKG_VERSION"),
            "'"
        ))
        .unwrap();
        assert_eq!(resolved, expected);
        assert_eq!(Table::read(resolved.clone()).unwrap().resolved().unwrap(), resolved);
    }

    #[test]
    fn every_key_is_read_and_survives() {
        let text = "urls_from = '-'\nbase = 'https://h/d/'\nconnect_timeout = '1s'\n\
            read_timeout = '200ms'\ntimeout = '2h'\nmax_body = 4096\nredirects = 0\n\
            user_agent = 'x/1'\nproxy = 'http://p:3128'\ncertificates = 'bundled'\nlinks = 0\nextract = { a = 'b' }";
        let table = read(text).unwrap();
        let resolved = table.resolved().unwrap();
        assert_eq!(resolved["max_body"].as_str(), Some("4KiB"));
        assert_eq!(resolved["timeout"].as_str(), Some("2h"));
        assert_eq!(resolved.get("urls"), None);
        assert_eq!(Table::read(resolved).unwrap().options, table.options);
        let json = serde_json::to_string(&table.options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), table.options);
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        refused("", "nothing to fetch");
        let table = |line: &str| format!("urls = 'http://h/'\n{line}");
        for (line, expected) in [
            ("max_boddy = 1", "unknown key `max_boddy`; did you mean `max_body`?"),
            ("zzz = 1", "unknown key `zzz`; use one of urls, urls_from, base"),
            ("timeout = 30", "`timeout`: "),
            ("timeout = '30'", "`timeout`: `30` is no time limit; write `30s`, or `3x` the median"),
            ("read_timeout = '0s'", "`read_timeout` is zero"),
            ("max_body = 'much'", "`max_body`: `much` is no size"),
            ("max_body = -1", "`max_body`: "),
            ("links = -1", "`links`: "),
            ("links = 'all'", "`links`: "),
            ("redirects = 1.5", "`redirects`: "),
            ("user_agent = ''", "`user_agent` must be"),
            ("user_agent = \"a\\nb\"", "`user_agent` must be"),
            ("proxy = 'socks5://h'", "`proxy`: `socks5://h` is no proxy; use `none`"),
            ("proxy = 'http://'", "`proxy`: "),
            ("certificates = 'all'", "`certificates`: unknown variant `all`, expected one of"),
            ("base = 'dir/'", "`base`: `dir/` is no whole URL"),
            ("extract = { x = '(' }", "`extract.x`: regex"),
            ("extract = 'x'", "`extract`: "),
        ] {
            refused(&table(line), expected);
        }
        refused("urls = [1]", "`urls`: expected a text in quotes, not integer");
        refused("urls_from = 1", "`urls_from`: expected a text");
    }
}
