//! A stream of bytes as UTF-8, whatever it is: by its byte order mark, else as UTF-8; what is
//! malformed becomes U+FFFD, so that one bad byte does not hide the rest.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, UTF_8};

/// Decoded at a time.
const BUFFER: usize = 8192;

/// Reads as UTF-8.
pub(super) struct Utf8<R> {
    inner: R,
    decoder: Decoder,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    is_done: bool,
}

impl<R: BufRead> Utf8<R> {
    pub(super) fn new(inner: R) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { inner, decoder: UTF_8.new_decoder(), buffer, start: 0, end: 0, is_done: false }
    }

    /// The first byte that is no white space, which is skipped; `None` where there is none.
    pub(super) fn first_visible(&mut self) -> io::Result<Option<u8>> {
        loop {
            let bytes = self.fill_buf()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let first = bytes.get(blank).copied();
            self.consume(blank);
            if first.is_some() {
                return Ok(first);
            }
        }
    }
}

impl<R: BufRead> BufRead for Utf8<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.end && !self.is_done {
            let bytes = self.inner.fill_buf()?;
            let is_last = bytes.is_empty();
            let (result, n_read, n_written, _) =
                self.decoder.decode_to_utf8(bytes, &mut self.buffer, is_last);
            self.is_done = is_last && result == encoding_rs::CoderResult::InputEmpty;
            self.inner.consume(n_read);
            (self.start, self.end) = (0, n_written);
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
    }
}

impl<R: BufRead> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}
