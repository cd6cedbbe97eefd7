//! One spelling for each address: what a crawler compares, stores and asks for.
//!
//! The URL standard does most of it when an address is parsed: case of scheme and host, default
//! ports, dot segments, IDNA. What is added here: no fragment, no credentials, no dot at the end
//! of the host, escapes in capitals and only where they are needed (RFC 3986, 6.2.2), no empty
//! query; and, where asked for, parameters of the query dropped or sorted.
//!
//! **Invariant:** a normalised address stays as it is when it is normalised again. No refusal
//! quotes an address, which may hold credentials.

mod escapes;
mod query;

use std::fmt;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use url::{Host, ParseError, Url};

use self::query::Drop;

/// The longest host name and the longest of its labels, in bytes (RFC 1035, 2.3.4).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// What a [`Normalizer`] is to do; the same on every rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Parameters of the query to drop: a name (`ref`), a name with one `*` (`utm_*`), or a set:
    /// `@session` (session ids, in the path too) or `@tracking` (`utm_*`, `gclid` and the like).
    /// Case does not count.
    pub drop_query: Vec<String>,
    /// Sort the query's parameters by name; those of one name keep their order.
    pub sort_query: bool,
    /// The longest address, in bytes.
    pub max_length: usize,
    /// The most segments of a path.
    pub max_depth: usize,
}

impl Default for Rules {
    fn default() -> Self {
        let drop_query = vec!["@session".to_owned()];
        Self { drop_query, sort_query: false, max_length: 2048, max_depth: 20 }
    }
}

/// Why an address is not one to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not follow the URL standard.
    Invalid(ParseError),
    /// It is neither http nor https.
    Scheme,
    /// Its host is no name that could have an address.
    Host,
    /// It is longer than [`Rules::max_length`], which is here.
    TooLong(usize),
    /// Its path has more segments than [`Rules::max_depth`], which is here.
    TooDeep(usize),
}

impl Refusal {
    /// A short name that does not change: `too-long`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid-url",
            Self::Scheme => "scheme",
            Self::Host => "host",
            Self::TooLong(_) => "too-long",
            Self::TooDeep(_) => "too-deep",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(ParseError::RelativeUrlWithoutBase) => {
                f.write_str("it is no whole URL; write `https://…`")
            }
            Self::Invalid(error) => write!(f, "it is no URL: {error}"),
            Self::Scheme => f.write_str("only http and https can be fetched"),
            Self::Host => f.write_str("its host is no name that could have an address"),
            Self::TooLong(most) => write!(f, "it is longer than {most} bytes"),
            Self::TooDeep(most) => write!(f, "its path has more than {most} segments"),
        }
    }
}

/// Brings addresses into one spelling.
#[derive(Clone, Debug)]
pub struct Normalizer {
    rules: Rules,
    drop: Drop,
}

impl Normalizer {
    /// One for these rules; an error names the pattern of [`Rules::drop_query`] that is none.
    pub fn new(rules: Rules) -> Result<Self> {
        ensure!(rules.max_length > 0, "no address is 0 bytes long; name a larger limit");
        let drop = Drop::new(&rules.drop_query)?;
        Ok(Self { rules, drop })
    }

    /// The address that `text` means on a page at `base`, in the one spelling.
    pub fn parse(&self, text: &str, base: Option<&Url>) -> Result<Url, Refusal> {
        let url = Url::options().base_url(base).parse(text).map_err(Refusal::Invalid)?;
        self.normalize(url)
    }

    /// `url` in the one spelling.
    pub fn normalize(&self, mut url: Url) -> Result<Url, Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme);
        }
        url.set_fragment(None);
        drop_credentials(&mut url);
        check_host(&mut url)?;
        self.respell_path(&mut url);
        self.respell_query(&mut url);
        if url.as_str().len() > self.rules.max_length {
            return Err(Refusal::TooLong(self.rules.max_length));
        }
        if depth(&url) > self.rules.max_depth {
            return Err(Refusal::TooDeep(self.rules.max_depth));
        }
        Ok(url)
    }

    fn respell_path(&self, url: &mut Url) {
        let mut path = escapes::needed(url.path());
        if let Some(kept) = self.drop.without_sessions(&path) {
            path = kept.into();
        }
        if path != url.path() {
            let path = path.into_owned();
            url.set_path(&path);
        }
    }

    fn respell_query(&self, url: &mut Url) {
        let Some(old) = url.query() else { return };
        let mut query = escapes::needed(old).into_owned();
        if let Some(kept) = self.drop.without_dropped(&query) {
            query = kept;
        }
        if self.rules.sort_query {
            query = query::sorted(&query);
        }
        if query.is_empty() {
            url.set_query(None);
        } else if query != old {
            url.set_query(Some(&query));
        }
    }
}

/// The segments of a path, without an empty one at its end: 2 for `/a/b` and `/a/b/`.
pub fn depth(url: &Url) -> usize {
    let path = url.path();
    path.strip_suffix('/').unwrap_or(path).bytes().filter(|&byte| byte == b'/').count()
}

/// An address as it may be shown and stored: without credentials, and cut where it is very long.
pub fn shown(url: &Url) -> String {
    const MOST: usize = 2048;
    let mut url = url.clone();
    drop_credentials(&mut url);
    let mut text = String::from(url);
    if text.len() > MOST {
        // A URL is ASCII but for rare hosts.
        let end = (0..=MOST).rfind(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn drop_credentials(url: &mut Url) {
    if !url.username().is_empty() || url.password().is_some() {
        // They fail only on addresses without a host, which have no credentials.
        let _ = url.set_password(None);
        let _ = url.set_username("");
    }
}

/// Takes the dot of a fully qualified name away and looks at the lengths.
fn check_host(url: &mut Url) -> Result<(), Refusal> {
    let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
    let bare = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| (1..=MAX_LABEL).contains(&label.len());
    if bare.len() > MAX_HOST || !bare.split('.').all(is_label) {
        return Err(Refusal::Host);
    }
    if bare.len() < name.len() {
        let bare = bare.to_owned();
        url.set_host(Some(&bare)).map_err(Refusal::Invalid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
