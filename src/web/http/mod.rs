//! One GET, as it is or with redirects followed, under limits: the only user of `ureq`.
//!
//! What `ureq` would do on its own is turned off where it cannot be bounded or seen: redirects
//! (each hop must be checked), content codings (the limit must hold after decoding), proxies
//! from the environment, and a thread for every look-up of a host. What it would hide is
//! recorded below it ([`wire`]): both heads as they were sent, and the address connected to.
//!
//! **Invariant:** whatever a server sends, the result is a [`Reply`] or an [`Error`], in the
//! time and the memory that [`Settings`] allow. Only the system's resolver, which cannot be
//! interrupted, may take longer.

mod body;
mod exchange;
mod explain;
mod idle;
mod refused;
mod resolver;
mod slot;
mod wire;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ureq::http::Response;
use ureq::http::header::{CONTENT_LENGTH, HeaderName, LOCATION};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::RustlsConnector;
use ureq::{Agent, Body, Proxy, Timeout};
use url::Url;

pub use self::exchange::{Exchange, Head, Request, Truncation};
use self::explain::{is_closed, too_large};
use self::idle::{Connections, Idle, Origin};
use self::refused::{NoAddress, Refused};
use self::resolver::{HostResolver, Hosts};
use self::slot::Slot;
use super::roots::Certificates;
use super::trail::Trail;
use super::{Error, Failure, coding, private};

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
    /// Whether addresses that are no public server's (see [`private`]) may be connected to.
    pub allow_private: bool,
    /// Addresses of hosts that are not looked up.
    pub resolve: BTreeMap<String, IpAddr>,
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

enum Hop {
    Redirect(String),
    Reply(Reply),
}

/// Fetches addresses; for any number of threads at once.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    proxy: Option<Proxy>,
    roots: RootCerts,
    hosts: Arc<Hosts>,
    tls: Arc<RustlsConnector>,
    idle: Idle,
}

impl Client {
    /// A client with these settings; an error names the one that cannot be had.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let (proxy, roots) = (settings.proxy()?, settings.roots()?);
        let hosts = Arc::new(Hosts::new(settings.resolve.clone()));
        let (tls, idle) = Default::default();
        Ok(Self { settings, proxy, roots, hosts, tls, idle })
    }

    /// The addresses of a host name, as requests find them: those of [`Settings::resolve`], else
    /// what the system says, remembered for a while. They may be private.
    pub fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        let dns = |why: String| Error::new(Failure::Dns, NoAddress::new(host, &why).to_string());
        self.hosts.look_up(host).map_err(dns)
    }

    /// One request and its answer; a redirect is an answer. A body that is cut short is one too,
    /// and says so.
    pub fn exchange(&self, request: &Request<'_>) -> Result<Exchange, Error> {
        let trail = Trail::new(request.url, now(), self.limit(request.timeout));
        let max_body = request.max_body.unwrap_or(self.settings.max_body);
        let started = SystemTime::now();
        self.with_agent(&trail, |connections| {
            let response = self.answer(connections, &trail, request)?;
            Ok(self.receive(response, &connections.slot, &trail, started, max_body))
        })
    }

    /// Gets `url`, following redirects, within `limit` where that is less than the settings'
    /// `timeout`.
    pub fn get(&self, url: &Url, limit: Option<Duration>) -> Result<Reply, Error> {
        let mut trail = Trail::new(url, now(), self.limit(limit));
        loop {
            let hop = self.with_agent(&trail, |connections| self.hop(connections, &trail));
            match hop.map_err(|error| trail.locate(error))? {
                Hop::Reply(reply) => return Ok(reply),
                Hop::Redirect(location) => trail.follow(&location, self.settings.redirects)?,
            }
        }
    }

    fn limit(&self, limit: Option<Duration>) -> Duration {
        limit.unwrap_or(Duration::MAX).min(self.settings.timeout)
    }

    fn with_agent<T>(
        &self,
        trail: &Trail,
        run: impl FnOnce(&mut Connections) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let origin = Origin::of(&trail.url);
        let idle = self.idle.take(origin, trail.start);
        let mut connections = idle.unwrap_or_else(|| self.connections());
        let result = run(&mut connections);
        self.idle.put(origin, connections, now());
        result
    }

    fn hop(&self, connections: &mut Connections, trail: &Trail) -> Result<Hop, Error> {
        let started = SystemTime::now();
        let request = Request::new(&trail.url);
        let response = self.answer(connections, trail, &request)?;
        let status = response.status().as_u16();
        if matches!(status, 301 | 302 | 303 | 307 | 308)
            && self.settings.redirects > 0
            && let Some(location) = header(&response, &LOCATION)
        {
            // The body is dropped unread, and the connection with it: redirects mostly lead to
            // another scheme or host, and their bodies may be slow.
            return Ok(Hop::Redirect(location));
        }
        let limit = self.settings.max_body;
        let length = header(&response, &CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit.saturating_add(coding::slack(limit))) {
            return Err(too_large(limit));
        }
        let exchange = self.receive(response, &connections.slot, trail, started, limit);
        if let Some(fault) = exchange.fault {
            return Err(fault);
        }
        let content_type = exchange.head.get("content-type").map(Cow::into_owned);
        let (url, redirects) = (trail.url.clone(), trail.redirects());
        let again = exchange.again();
        let body = exchange.into_body();
        Ok(Hop::Reply(Reply { status, url, content_type, body, redirects, again }))
    }

    /// Sends the request, once more if an idle connection turned out to be closed: a server may
    /// close one at any time, and a GET may be repeated (RFC 9110, 9.2.2).
    fn answer(
        &self,
        connections: &mut Connections,
        trail: &Trail,
        request: &Request<'_>,
    ) -> Result<Response<Body>, Error> {
        self.check_behind_proxy(trail, request)?;
        let result = match self.send(connections, trail, request) {
            Err(ureq::Error::Io(error))
                if !connections.slot.state().connected && is_closed(&error) =>
            {
                *connections = self.connections();
                self.send(connections, trail, request)
            }
            other => other,
        };
        result.map_err(|error| self.explain(error, trail))
    }

    fn send(
        &self,
        connections: &Connections,
        trail: &Trail,
        request: &Request<'_>,
    ) -> Result<Response<Body>, ureq::Error> {
        connections.slot.begin(request.pinned);
        let left = trail.timeout.saturating_sub(now().duration_since(trail.start));
        if left.is_zero() {
            return Err(ureq::Error::Timeout(Timeout::Global));
        }
        let mut call = connections.agent.get(trail.url.as_str());
        for (name, value) in request.headers {
            call = call.header(*name, *value);
        }
        if trail.redirects() == 0 && trail.timeout == self.settings.timeout {
            // With settings of its own, a request cannot use the agent's TLS sessions.
            return call.call();
        }
        call.config().timeout_global(Some(left)).build().call()
    }

    /// A proxy looks hosts up by itself: what it may be sent to is looked up here before. Nothing
    /// can be pinned there.
    fn check_behind_proxy(&self, trail: &Trail, request: &Request<'_>) -> Result<(), Error> {
        if self.proxy.is_none() || self.settings.allow_private {
            return Ok(());
        }
        let host = trail.url.host_str().unwrap_or_default();
        let found = match request.pinned {
            [] => self.look_up(host)?,
            pinned => pinned.to_vec(),
        };
        for address in found {
            if let Some(why) = private::special(address) {
                let message = Refused::new(host, address, why).to_string();
                return Err(Error::new(Failure::PrivateAddress, message));
            }
        }
        Ok(())
    }

    fn receive(
        &self,
        response: Response<Body>,
        slot: &Slot,
        trail: &Trail,
        started: SystemTime,
        max_body: u64,
    ) -> Exchange {
        let since = |start| now().duration_since(start);
        let waited = since(trail.start);
        let (request_head, head, peer) = slot.heads();
        let (status, head) = (response.status().as_u16(), Head::new(head));
        let length = header(&response, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let encodings = head.all("content-encoding").collect::<Vec<_>>().join(", ");
        let received = body::read(response.into_body(), length, &encodings, max_body);
        let fault = received.fault.map(|fault| self.explain_body(fault, trail, max_body));
        let body::Received { wire, decoded, truncated, .. } = received;
        let took = since(trail.start);
        Exchange {
            status,
            request_head,
            head,
            wire,
            decoded,
            peer,
            started,
            waited,
            took,
            truncated,
            fault,
        }
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
            .max_response_header_size(LONGEST_HEAD)
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(idle::LONGEST)
            .build();
        let slot = Arc::new(Slot::new(self.proxy.is_some(), settings.allow_private));
        let resolver = HostResolver { hosts: Arc::clone(&self.hosts), slot: Arc::clone(&slot) };
        let agent = Agent::with_parts(config, wire::connector(&slot, &self.tls), resolver);
        Connections { agent, slot }
    }
}

/// The longest head of a response.
const LONGEST_HEAD: usize = 64 << 10;

/// Room for more than that: `ureq` must see that a head is longer.
const INPUT_BUFFER: usize = LONGEST_HEAD + (16 << 10);

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
