//! One request and its answer, as they went over the wire and as what they mean.

use std::borrow::Cow;
use std::iter;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use memchr::memchr;
use url::Url;

use crate::web::{Error, later};

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The address; its fragment is not sent.
    pub url: &'a Url,
    /// The only addresses of the host that may be connected to: no look-up is made. Empty:
    /// what a look-up finds.
    pub pinned: &'a [IpAddr],
    /// More headers, such as `If-None-Match`.
    pub headers: &'a [(&'a str, &'a str)],
    /// Bytes of the body, instead of the settings' `max_body`.
    pub max_body: Option<u64>,
    /// The limit on everything, where it is less than the settings' `timeout`.
    pub timeout: Option<Duration>,
}

impl<'a> Request<'a> {
    /// A plain request.
    pub fn new(url: &'a Url) -> Self {
        Self { url, pinned: &[], headers: &[], max_body: None, timeout: None }
    }
}

/// Why less than the whole body was received (the reasons of `WARC-Truncated`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncation {
    /// It is longer than allowed.
    Length,
    /// It took longer than allowed.
    Time,
    /// The connection was closed before its end.
    Disconnect,
    /// It broke HTTP's framing.
    Unspecified,
}

impl Truncation {
    /// The reason's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Time => "time",
            Self::Disconnect => "disconnect",
            Self::Unspecified => "unspecified",
        }
    }
}

/// A request that was answered, be it with half a body.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The status.
    pub status: u16,
    /// The request as it was sent, with its blank line; it may hold credentials.
    pub request_head: Vec<u8>,
    /// The response's status line and headers.
    pub head: Head,
    /// The body as received: transfer codings undone, content codings kept.
    pub wire: Vec<u8>,
    /// The body, content codings undone, where there were any.
    pub decoded: Option<Vec<u8>>,
    /// The address of the server; `None` where a proxy stands between.
    pub peer: Option<IpAddr>,
    /// When the request began.
    pub started: SystemTime,
    /// From the beginning to the head of the response.
    pub waited: Duration,
    /// From the beginning to the end of the body.
    pub took: Duration,
    /// Why `wire` is not whole, if it is not.
    pub truncated: Option<Truncation>,
    /// Why [`Exchange::body`] is not whole, if it is not.
    pub fault: Option<Error>,
}

impl Exchange {
    /// The body, content codings undone, as far as they could be.
    pub fn body(&self) -> &[u8] {
        self.decoded.as_deref().unwrap_or(&self.wire)
    }

    /// The same, without a copy.
    pub fn into_body(self) -> Vec<u8> {
        self.decoded.unwrap_or(self.wire)
    }

    /// After how long the server asks to be asked again (status 429 or 503); zero where it names
    /// no time.
    pub fn again(&self) -> Option<Duration> {
        again(self.status, &self.head, self.started + self.waited)
    }
}

pub(super) fn again(status: u16, head: &Head, now: SystemTime) -> Option<Duration> {
    matches!(status, 429 | 503).then(|| {
        let (after, date) = (head.get("retry-after"), head.get("date"));
        later::pause(&after.unwrap_or_default(), date.as_deref(), now)
    })
}

/// The head of a response, as it was received: a status line, header lines in their order with
/// the names' spelling, a blank line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head(Vec<u8>);

impl Head {
    /// A head from its bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Every value of a header, decoded leniently: servers send raw UTF-8.
    pub fn all<'h>(&'h self, name: &str) -> impl Iterator<Item = Cow<'h, str>> {
        self.named(name).map(String::from_utf8_lossy)
    }

    /// The last value of a header.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.named(name).last().map(String::from_utf8_lossy)
    }

    fn named<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.lines().filter_map(move |line| {
            let (start, rest) = line.split_at_checked(name.len())?;
            let value = rest.trim_ascii_start().strip_prefix(b":")?;
            start.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
        })
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut lines = &self.0[..];
        iter::from_fn(move || {
            let end = memchr(b'\n', lines)?;
            let line = &lines[..end];
            lines = &lines[end + 1..];
            Some(line)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_as_they_were_received() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-TYPE : text/html\r\nX-Robots-Tag: a\r\nbad\n\
            x-robots-tag:  b: c \r\nName: caf\xe9\r\n\r\n";
        let head = Head::new(bytes.to_vec());
        assert_eq!(head.get("content-type").as_deref(), Some("text/html"));
        assert_eq!(head.get("x-robots-tag").as_deref(), Some("b: c"));
        assert_eq!(head.all("X-Robots-Tag").collect::<Vec<_>>(), ["a", "b: c"]);
        assert_eq!(head.get("name").as_deref(), Some("caf\u{fffd}"));
        assert_eq!(head.get("none"), None);
        assert_eq!(head.get("x-robots"), None);
        assert_eq!(Head::default().get(""), None);
    }

    #[test]
    fn only_a_server_that_is_busy_asks_to_come_again() {
        let now = SystemTime::UNIX_EPOCH;
        let head = Head::new(b"HTTP/1.1 503 x\r\nRetry-After: 7\r\n\r\n".to_vec());
        assert_eq!(again(503, &head, now), Some(Duration::from_secs(7)));
        assert_eq!(again(429, &Head::default(), now), Some(Duration::ZERO));
        assert_eq!(again(200, &head, now), None);
    }
}
