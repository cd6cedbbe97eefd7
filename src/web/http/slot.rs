//! What the parts of one agent share for the request at hand: whom it may talk to, and what
//! went over the wire.
//!
//! `ureq` has no way to tell them by an argument. One thread at a time uses an agent, so nobody
//! ever waits for the lock.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memchr;

use crate::web::private;

/// The request at hand.
#[derive(Debug)]
pub(super) struct Slot {
    /// Requests go through a proxy: a connection without one is the way to the proxy itself.
    pub(super) has_proxy: bool,
    allow_private: bool,
    state: Mutex<State>,
}

/// What is known of a request.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The only addresses that may be connected to, if there are any.
    pub(super) pinned: Vec<IpAddr>,
    /// Whether heads are being recorded: not while a body is read.
    recording: bool,
    /// The request as it was sent.
    pub(super) request: Vec<u8>,
    /// The response's head as it was received.
    pub(super) response: Vec<u8>,
    /// The address of the connection that was used, where there is no proxy between.
    pub(super) peer: Option<IpAddr>,
    /// A new connection was made.
    pub(super) connected: bool,
}

impl Slot {
    pub(super) fn new(has_proxy: bool, allow_private: bool) -> Self {
        Self { has_proxy, allow_private, state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave it half changed in a way that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new request begins.
    pub(super) fn begin(&self, pinned: &[IpAddr]) {
        let mut state = self.state();
        state.pinned.clear();
        state.pinned.extend_from_slice(pinned);
        state.request.clear();
        state.response.clear();
        (state.peer, state.connected, state.recording) = (None, false, true);
    }

    /// Both heads, and the address of the other side. What is read from here on is a body.
    pub(super) fn heads(&self) -> (Vec<u8>, Vec<u8>, Option<IpAddr>) {
        let mut state = self.state();
        state.recording = false;
        let (request, peer) = (std::mem::take(&mut state.request), state.peer);
        (request, std::mem::take(&mut state.response), peer)
    }

    /// Why this address must not be connected to, if it must not.
    pub(super) fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let pinned = &self.state().pinned;
        if !pinned.is_empty() && !pinned.contains(&address) {
            return Some("not among those that were looked up");
        }
        if self.allow_private { None } else { private::special(address) }
    }

    pub(super) fn sent(&self, bytes: &[u8], peer: Option<IpAddr>) {
        let mut state = self.state();
        if state.recording {
            state.peer = peer;
            state.request.extend_from_slice(bytes);
        }
    }

    /// Looks at what has arrived and was not used yet: as long as no body is read, it begins
    /// with the response's head.
    pub(super) fn received(&self, input: &[u8]) {
        let mut state = self.state();
        if state.recording {
            let head = head(input);
            state.response.clear();
            state.response.extend_from_slice(head);
        }
    }
}

/// The head of the final response, its blank line included, or as much of it as is there;
/// interim responses (RFC 9110, 15.2) before it are passed over.
fn head(mut input: &[u8]) -> &[u8] {
    loop {
        // A parser may skip empty lines before a status line (RFC 9112, 2.2).
        while let [b'\r' | b'\n', rest @ ..] = input {
            input = rest;
        }
        let Some(length) = head_length(input) else { return input };
        let is_interim = input.len() > 9 && input[8] == b' ' && input[9] == b'1';
        if !is_interim {
            return &input[..length];
        }
        input = &input[length..];
    }
}

/// Up to and with the first empty line.
fn head_length(input: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let line = start + memchr(b'\n', &input[start..])?;
        if matches!(input[start..line], [] | [b'\r']) {
            return Some(line + 1);
        }
        start = line + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(head(input.as_bytes())), expected);
    }

    #[test]
    fn the_head_is_what_stands_before_the_body() {
        check("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\n\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n");
        check("HTTP/1.0 200 OK\nA: b\n\nbody", "HTTP/1.0 200 OK\nA: b\n\n");
        check("\r\nHTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n\r\n");
        check("HTTP/1.1 200 OK\r\nA: ", "HTTP/1.1 200 OK\r\nA: ");
        check("", "");
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        check(&format!("{interim}HTTP/1.1 200 OK\r\n\r\nx"), "HTTP/1.1 200 OK\r\n\r\n");
        check(interim, "");
    }
}
