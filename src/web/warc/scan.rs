//! How much of a file is whole gzip members.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

/// Bytes of `file` up to the end of its last whole member. Every member is undone, so that its
/// checksum is checked; nothing is kept of it.
pub(super) fn whole_members(file: impl Read) -> io::Result<u64> {
    let mut file =
        Counted { inner: BufReader::with_capacity(1 << 18, file), count: 0, failed: None };
    let mut whole = 0;
    let mut scratch = vec![0; 1 << 16];
    loop {
        let at_end = file.fill_buf().is_ok_and(<[u8]>::is_empty);
        if let Some(error) = file.failed.take() {
            return Err(error);
        }
        if at_end {
            return Ok(whole);
        }
        let mut member = GzDecoder::new(&mut file);
        let is_whole = loop {
            match member.read(&mut scratch) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        if let Some(error) = file.failed.take() {
            return Err(error);
        }
        if !is_whole {
            return Ok(whole);
        }
        whole = file.count;
    }
}

/// Counts what is used, and keeps an error of the disk apart from one of the format.
struct Counted<R> {
    inner: R,
    count: u64,
    failed: Option<io::Error>,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.inner.fill_buf() {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }

    fn consume(&mut self, amount: usize) {
        self.count += amount as u64;
        self.inner.consume(amount);
    }
}
