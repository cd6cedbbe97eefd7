//! One GET, redirects followed, under limits: the only user of `ureq`.
//!
//! What `ureq` would do on its own is turned off where it cannot be bounded or seen: redirects
//! (each hop must be checked), content codings (the limit must hold after decoding), proxies
//! from the environment, and a thread for every look-up of a host.
//!
//! **Invariant:** whatever a server sends, the result is a [`Reply`] or an [`Error`], in the
//! time and the memory that [`Settings`] allow. Only the system's resolver, which cannot be
//! interrupted, may take longer.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ureq::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, LOCATION, RETRY_AFTER,
};
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Proxy, Timeout};
use url::Url;

use super::coding::{self, BodyError};
use super::dns::Cache;
use super::later;
use super::roots::Certificates;
use super::trail::Trail;
use super::{Error, Failure};
use crate::units::{format_duration, format_size};

/// Limits and manners of a [`Client`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For a connection, its TLS handshake included.
    pub connect_timeout: Duration,
    /// For each wait for more bytes.
    pub read_timeout: Duration,
    /// For everything, redirects and body included.
    pub timeout: Duration,
    /// Bytes of the decoded body.
    pub max_body: u64,
    /// Redirects that are followed; with 0 a redirect is the answer.
    pub redirects: u32,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// A proxy's URL; also `none` or `environment`.
    pub proxy: String,
    /// What TLS trusts.
    pub certificates: Certificates,
}

impl Settings {
    /// The proxy to use, read from the environment only if that is asked for.
    fn proxy(&self) -> Result<Option<Proxy>, String> {
        let wrong = |url, what: &str| format!("`proxy`: `{url}` {what}");
        match self.proxy.as_str() {
            "none" => Ok(None),
            "environment" => Ok(Proxy::try_from_env()),
            url if !url.starts_with("http://") && !url.starts_with("https://") => {
                let what = "is no proxy; use `none`, `environment`, or `http://HOST:PORT`";
                Err(wrong(url, what))
            }
            url => Proxy::new(url).map(Some).map_err(|error| wrong(url, &error.to_string())),
        }
    }

    fn roots(&self) -> Result<RootCerts, String> {
        let loaded = self.certificates.load().map_err(|what| format!("`certificates`: {what}"))?;
        let Some(loaded) = loaded else { return Ok(RootCerts::WebPki) };
        let owned = |der: &Vec<u8>| Certificate::from_der(der).to_owned();
        Ok(RootCerts::Specific(Arc::new(loaded.iter().map(owned).collect())))
    }
}

/// What a server answered in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status, also of a 404 or a 500.
    pub status: u16,
    /// The address that gave the answer, without a fragment.
    pub url: Url,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body, content codings undone.
    pub body: Vec<u8>,
    /// How many redirects led here.
    pub redirects: u32,
    /// After how long the server asks to be asked again (status 429 or 503); zero where it names
    /// no time.
    pub again: Option<Duration>,
}

/// Fetches addresses; for any number of threads at once.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    proxy: Option<Proxy>,
    roots: RootCerts,
    cache: Arc<Cache>,
    /// Agents at rest, at most one for each request that ever ran at the same time. One agent
    /// for all would be slow: `ureq` searches its idle connections one by one, under a lock.
    agents: Mutex<Vec<Connections>>,
}

/// An agent and its idle connections.
#[derive(Debug)]
struct Connections {
    agent: Agent,
    used: bool,
}

enum Hop {
    Redirect(String),
    Reply(Reply),
}

impl Client {
    /// A client with these settings; an error names the one that cannot be had.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let (proxy, roots) = (settings.proxy()?, settings.roots()?);
        Ok(Self { settings, proxy, roots, cache: Arc::default(), agents: Mutex::default() })
    }

    /// Gets `url`, following redirects, within `limit` where that is less than the settings'
    /// `timeout`.
    pub fn get(&self, url: &Url, limit: Option<Duration>) -> Result<Reply, Error> {
        let resting = || self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = resting().pop();
        let mut connections = idle.unwrap_or_else(|| self.connections());
        let result = self.follow(&mut connections, url, limit);
        resting().push(connections);
        result
    }

    fn follow(
        &self,
        connections: &mut Connections,
        url: &Url,
        limit: Option<Duration>,
    ) -> Result<Reply, Error> {
        let timeout = self.settings.timeout;
        let mut trail = Trail::new(url, now(), limit.map_or(timeout, |limit| limit.min(timeout)));
        loop {
            match self.hop(connections, &trail).map_err(|error| trail.locate(error))? {
                Hop::Reply(reply) => return Ok(reply),
                Hop::Redirect(location) => trail.follow(&location, self.settings.redirects)?,
            }
        }
    }

    fn hop(&self, connections: &mut Connections, trail: &Trail) -> Result<Hop, Error> {
        let response = self.answer(connections, trail)?;
        let status = response.status().as_u16();
        if matches!(status, 301 | 302 | 303 | 307 | 308)
            && self.settings.redirects > 0
            && let Some(location) = header(&response, &LOCATION)
        {
            // The body is dropped unread, and the connection with it: redirects mostly lead to
            // another scheme or host, and their bodies may be slow.
            return Ok(Hop::Redirect(location));
        }
        let content_type = header(&response, &CONTENT_TYPE);
        let again = matches!(status, 429 | 503).then(|| pause(&response));
        let body = self.body(response, trail)?;
        let (url, redirects) = (trail.url.clone(), trail.redirects());
        Ok(Hop::Reply(Reply { status, url, content_type, body, redirects, again }))
    }

    /// Sends the request, once more if an idle connection turned out to be closed: a server may
    /// close one at any time, and a GET may be repeated (RFC 9110, 9.2.2).
    fn answer(
        &self,
        connections: &mut Connections,
        trail: &Trail,
    ) -> Result<Response<Body>, Error> {
        let first = self.send(&connections.agent, trail);
        let was_used = std::mem::replace(&mut connections.used, true);
        let result = match first {
            Err(ureq::Error::Io(error)) if was_used && is_closed(&error) => {
                *connections = self.connections();
                self.send(&connections.agent, trail)
            }
            other => other,
        };
        result.map_err(|error| self.explain(error, trail))
    }

    fn send(&self, agent: &Agent, trail: &Trail) -> Result<Response<Body>, ureq::Error> {
        let left = trail.timeout.saturating_sub(now().duration_since(trail.start));
        if left.is_zero() {
            return Err(ureq::Error::Timeout(Timeout::Global));
        }
        let request = agent.get(trail.url.as_str());
        if trail.redirects() == 0 && trail.timeout == self.settings.timeout {
            // With settings of its own, a request cannot use the agent's TLS sessions.
            return request.call();
        }
        request.config().timeout_global(Some(left)).build().call()
    }

    fn body(&self, response: Response<Body>, trail: &Trail) -> Result<Vec<u8>, Error> {
        let limit = self.settings.max_body;
        let length = header(&response, &CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit.saturating_add(coding::slack(limit))) {
            return Err(self.too_large());
        }
        let mut encodings = Vec::new();
        for value in response.headers().get_all(CONTENT_ENCODING) {
            encodings.push(String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
        let wire = response.into_body().into_reader();
        coding::read_body(wire, &encodings.join(", "), limit).map_err(|error| match error {
            BodyError::TooLarge => self.too_large(),
            BodyError::Coding(message) => Error::new(Failure::Http, message),
            BodyError::Read(error) if is_closed(&error) => {
                Error::new(Failure::Http, "the connection was closed in the middle of the body")
            }
            BodyError::Read(error) => self.explain(ureq::Error::from(error), trail),
        })
    }

    fn too_large(&self) -> Error {
        let limit = format_size(self.settings.max_body);
        Error::new(Failure::BodyTooLarge, format!("the body is larger than `max_body` ({limit})"))
    }

    fn connections(&self) -> Connections {
        let settings = &self.settings;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(self.proxy.clone())
            .tls_config(TlsConfig::builder().root_certs(self.roots.clone()).build())
            .user_agent(&settings.user_agent)
            .accept_encoding(coding::ACCEPT)
            .timeout_global(Some(settings.timeout))
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_per_read(Some(settings.read_timeout))
            .timeout_per_write(Some(settings.read_timeout))
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(2)
            .max_idle_connections_per_host(1)
            .build();
        let resolver = CachedResolver(Arc::clone(&self.cache));
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        Connections { agent, used: false }
    }

    fn explain(&self, error: ureq::Error, trail: &Trail) -> Error {
        let (failure, message) = match error {
            ureq::Error::Timeout(limit) => (Failure::Timeout, self.explain_timeout(limit, trail)),
            ureq::Error::Io(error) => explain_io(&error),
            ureq::Error::Other(error) if error.is::<NoAddress>() => {
                (Failure::Dns, error.to_string())
            }
            ureq::Error::HostNotFound => (Failure::Dns, error.to_string()),
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired => {
                (Failure::Tls, error.to_string())
            }
            ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                (Failure::Connect, error.to_string())
            }
            other => (Failure::Http, other.to_string()),
        };
        Error::new(failure, message)
    }

    fn explain_timeout(&self, limit: Timeout, trail: &Trail) -> String {
        let settings = &self.settings;
        let (what, name, span) = match limit {
            Timeout::Connect => ("no connection", "connect_timeout", settings.connect_timeout),
            Timeout::PerRead => ("nothing more was sent", "read_timeout", settings.read_timeout),
            Timeout::PerWrite => ("nothing more was taken", "read_timeout", settings.read_timeout),
            _ => ("not done", "timeout", trail.timeout),
        };
        format!("{what} within `{name}` ({})", format_duration(span))
    }
}

/// What `ureq` has room for; more are not worth trying.
const MAX_ADDRESSES: usize = 16;

/// Holds a request line and the headers; a longer address is an error.
const OUTPUT_BUFFER: usize = 32 << 10;

#[expect(clippy::disallowed_methods, reason = "a limit on what a server may take needs a clock")]
fn now() -> Instant {
    Instant::now()
}

/// A header's last value, decoded leniently: servers send raw UTF-8.
fn header(response: &Response<Body>, name: &HeaderName) -> Option<String> {
    let value = response.headers().get_all(name).iter().next_back()?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// How long an answer asks to wait before the next request.
fn pause(response: &Response<Body>) -> Duration {
    let after = header(response, &RETRY_AFTER).unwrap_or_default();
    let date = header(response, &DATE);
    later::pause(&after, date.as_deref(), SystemTime::now())
}

/// Whether the other side ended the connection.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn explain_io(error: &io::Error) -> (Failure, String) {
    // Of all layers, only rustls reports wrong data this way; and it names its handshake where
    // that was cut short.
    let message = error.to_string();
    if error.kind() == io::ErrorKind::InvalidData || message.contains("tls handshake") {
        return (Failure::Tls, message);
    }
    if is_closed(error) {
        return (Failure::Connect, "the connection was closed before an answer".to_owned());
    }
    (Failure::Connect, message)
}

/// The system's resolver behind a cache.
#[derive(Debug)]
struct CachedResolver(Arc<Cache>);

impl Resolver for CachedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or_else(|| default_port(uri));
        let found = match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![address]),
            Err(_) => self.0.get(host, now(), || look_up(host)),
        };
        let found = found.map_err(|why| no_address(host, &why))?;
        let sockets = found.into_iter().map(|address| SocketAddr::new(address, port));
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(sockets).take(MAX_ADDRESSES) {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(no_address(host, "it has no address"));
        }
        Ok(addresses)
    }
}

fn default_port(uri: &Uri) -> u16 {
    if uri.scheme_str() == Some("https") { 443 } else { 80 }
}

fn look_up(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    Ok(found.map(|socket| socket.ip()).collect())
}

fn no_address(host: &str, why: &str) -> ureq::Error {
    ureq::Error::Other(Box::new(NoAddress(format!("cannot resolve `{host}`: {why}"))))
}

/// Marks a failed look-up among `ureq`'s other errors.
#[derive(Debug)]
struct NoAddress(String);

impl std::fmt::Display for NoAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAddress {}
