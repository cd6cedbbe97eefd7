//! The connections under `ureq`: TCP to addresses that may be connected to, and a recorder of
//! the heads that go over it, above TLS.
//!
//! **Invariant:** no connection is made to an address that [`Slot::refusal`] refuses, nor used
//! again for a request that may not use it. The way to the proxy, which the user named, is the
//! one exception.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    RustlsConnector, ShutdownHandle, Transport,
};

use super::now;
use super::refused::Refused;
use super::slot::Slot;

/// What makes an agent's connections. All agents of a client share `tls`: its configuration
/// holds every root certificate, and its sessions.
pub(super) fn connector(slot: &Arc<Slot>, tls: &Arc<RustlsConnector>) -> impl Connector {
    let proxied = <ConnectProxyConnector as Connector>::chain(
        ConnectProxyConnector::default(),
        Tcp(Arc::clone(slot)),
    );
    proxied.chain(SharedTls(Arc::clone(tls))).chain(Recording(Arc::clone(slot)))
}

/// Whether this is the way to the proxy itself.
fn leads_to_proxy(slot: &Slot, details: &ConnectionDetails<'_>) -> bool {
    slot.has_proxy && details.config.proxy().is_none()
}

#[derive(Debug)]
struct SharedTls(Arc<RustlsConnector>);

impl<In: Transport> Connector<In> for SharedTls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        self.0.connect(details, chained)
    }
}

#[derive(Debug)]
struct Tcp(Arc<Slot>);

impl<In: Transport> Connector<In> for Tcp {
    type Out = Either<In, TcpTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        let is_proxy = leads_to_proxy(&self.0, details);
        let allowed = if is_proxy { details.addrs.to_vec() } else { self.allowed(details)? };
        let stream = connect(&allowed, details.timeout)?;
        if details.config.no_delay() {
            stream.set_nodelay(true)?;
        }
        if !is_proxy {
            let mut state = self.0.state();
            state.connected = true;
            state.peer = stream.peer_addr().ok().map(|address| address.ip());
        }
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let transport = TcpTransport::new(stream, buffers);
        (details.register_shutdown)(transport.shutdown_handle())?;
        Ok(Some(Either::B(transport)))
    }
}

impl Tcp {
    /// Those of the host's addresses that may be connected to.
    fn allowed(&self, details: &ConnectionDetails<'_>) -> Result<Vec<SocketAddr>, Error> {
        let mut refused = None;
        let mut allowed = Vec::with_capacity(details.addrs.len());
        for address in &details.addrs {
            match self.0.refusal(address.ip()) {
                None => allowed.push(*address),
                Some(why) => refused = Some((address.ip(), why)),
            }
        }
        match refused {
            Some((address, why)) if allowed.is_empty() => {
                let host = details.uri.host().unwrap_or_default();
                Err(Refused::new(host, address, why).into())
            }
            _ => Ok(allowed),
        }
    }
}

/// The first address that answers; each but the last gets half of the time that is left.
fn connect(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
    let start = now();
    let limit = timeout.not_zero().map(|limit| *limit);
    let mut failed = io::Error::from(io::ErrorKind::ConnectionRefused);
    for (idx, address) in addresses.iter().enumerate() {
        let result = match limit {
            None => TcpStream::connect(address),
            Some(limit) => {
                let left = limit.saturating_sub(now().duration_since(start));
                let share = if idx + 1 == addresses.len() { left } else { left / 2 };
                if share.is_zero() {
                    break;
                }
                TcpStream::connect_timeout(address, share)
            }
        };
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(timed(failed, timeout))
}

/// A wait that took too long, as `ureq` names it.
fn timed(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

struct TcpTransport {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Nobody has asked since the last input whether it is open.
    is_fresh: bool,
}

impl TcpTransport {
    fn new(stream: TcpStream, buffers: LazyBuffers) -> Self {
        let stream = Arc::new(stream);
        Self { stream, buffers, read_timeout: None, write_timeout: None, is_fresh: true }
    }

    fn shutdown_handle(&self) -> Weak<dyn ShutdownHandle> {
        Arc::downgrade(&self.stream) as Weak<dyn ShutdownHandle>
    }
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let wanted = timeout.not_zero().map(|limit| *limit);
        if wanted != self.write_timeout {
            self.stream.set_write_timeout(wanted)?;
            self.write_timeout = wanted;
        }
        let output = &self.buffers.output()[..amount];
        (&*self.stream).write_all(output).map_err(|error| timed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let wanted = timeout.not_zero().map(|limit| *limit);
        if wanted != self.read_timeout {
            self.stream.set_read_timeout(wanted)?;
            self.read_timeout = wanted;
        }
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match (&*self.stream).read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|error| timed(error, timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        self.is_fresh = true;
        Ok(amount > 0)
    }

    /// An idle connection on which anything can be read, its end or a byte that nobody asked
    /// for, is of no more use. `ureq` asks when it puts one aside and when it takes it up: the
    /// second time is soon enough to look.
    fn is_open(&mut self) -> bool {
        if std::mem::take(&mut self.is_fresh) {
            return true;
        }
        let looked = recv(&*self.stream, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        looked.is_err_and(|error| error == rustix::io::Errno::WOULDBLOCK)
    }
}

impl std::fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpTransport").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Recording(Arc<Slot>);

impl<In: Transport> Connector<In> for Recording {
    type Out = Either<In, Recorder<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // What is said to a proxy is no part of the exchange.
        if leads_to_proxy(&self.0, details) {
            return Ok(chained.map(Either::A));
        }
        let (slot, peer) = (Arc::clone(&self.0), self.0.state().peer);
        Ok(chained.map(|inner| Either::B(Recorder { inner, slot, peer })))
    }
}

#[derive(Debug)]
struct Recorder<T> {
    inner: T,
    slot: Arc<Slot>,
    /// The other side; none where a proxy stands between.
    peer: Option<IpAddr>,
}

impl<T: Transport> Transport for Recorder<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.slot.sent(&self.inner.buffers().output()[..amount], self.peer);
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let result = self.inner.await_input(timeout)?;
        self.slot.received(self.inner.buffers().input());
        Ok(result)
    }

    fn is_open(&mut self) -> bool {
        let refused = self.peer.and_then(|peer| self.slot.refusal(peer));
        refused.is_none() && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
