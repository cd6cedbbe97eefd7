//! From a host to addresses: those that the request is pinned to, those that the settings name,
//! the system's behind a cache.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::now;
use super::refused::NoAddress;
use super::slot::Slot;
use crate::web::dns::{Answer, Cache};

/// What `ureq` has room for; more are not worth trying.
const MAX_ADDRESSES: usize = 16;

/// Addresses that were told, by host name, and those that were asked for.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    told: BTreeMap<String, IpAddr>,
    cache: Cache,
}

impl Hosts {
    pub(super) fn new(told: BTreeMap<String, IpAddr>) -> Self {
        Self { told, cache: Cache::default() }
    }

    /// The addresses of a host name or of an address's spelling.
    pub(super) fn look_up(&self, host: &str) -> Answer {
        let host = host.trim_matches(['[', ']']);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        if let Some(address) = self.told.get(host) {
            return Ok(vec![*address]);
        }
        self.cache.get(host, now(), || {
            let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
            Ok(found.map(|socket| socket.ip()).collect())
        })
    }
}

/// One agent's view of the hosts.
#[derive(Debug)]
pub(super) struct HostResolver {
    pub(super) hosts: Arc<Hosts>,
    pub(super) slot: Arc<Slot>,
}

impl Resolver for HostResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or_else(|| default_port(uri));
        let mut addresses = self.empty();
        let mut put = |found: &[IpAddr]| {
            let sockets = found.iter().map(|address| SocketAddr::new(*address, port));
            for address in config.ip_family().keep_wanted(sockets).take(MAX_ADDRESSES) {
                addresses.push(address);
            }
        };
        let is_proxy = config.proxy().is_some_and(|proxy| proxy.uri() == uri);
        let pinned = &self.slot.state().pinned;
        if pinned.is_empty() || is_proxy {
            put(&self.hosts.look_up(host).map_err(|why| NoAddress::new(host, &why))?);
        } else {
            put(pinned);
        }
        if addresses.is_empty() {
            return Err(NoAddress::new(host, "it has no address").into());
        }
        Ok(addresses)
    }
}

fn default_port(uri: &Uri) -> u16 {
    if uri.scheme_str() == Some("https") { 443 } else { 80 }
}
