//! Content codings: gzip, deflate, brotli, zstd and chains of them, undone under a limit.
//!
//! **Invariant:** the bytes after any layer never pass the limit by
//! more than [`slack`], and what is returned never passes it: a bomb costs no memory.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

/// The `Accept-Encoding` to send: what [`decode`] can undo.
pub const ACCEPT: &str = "gzip, deflate, br, zstd";

/// curl's limit too; no honest server nests deeper.
const MAX_LAYERS: usize = 5;

/// RFC 9659: a window of zstd as a content coding is at most 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why a body could not be had.
#[derive(Debug)]
pub enum BodyError {
    /// It is larger than the limit.
    TooLarge,
    /// It is not what its `Content-Encoding` says.
    Coding(String),
}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Whether a `Content-Encoding` header lists anything to undo.
pub fn is_coded(encodings: &str) -> bool {
    layers(encodings).map_or(true, |layers| !layers.is_empty())
}

/// Undoes the codings that `encodings` (a `Content-Encoding` header) lists, into `body`. On an
/// error, it holds what came before.
///
/// As browsers do: a coding that is not known ends the decoding, and what lies under it is
/// passed on as it is; bytes after the end of a gzip stream are ignored; an empty body is
/// empty in any coding.
pub fn decode(
    wire: &[u8],
    encodings: &str,
    limit: u64,
    body: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let layers = layers(encodings)?;
    if wire.is_empty() {
        return Ok(());
    }
    let rough = limit.saturating_add(slack(limit));
    if wire.len() as u64 > rough {
        return Err(BodyError::TooLarge);
    }
    let mut reader: Box<dyn BufRead + '_> = Box::new(wire);
    for layer in layers {
        let layer = open(layer, reader).map_err(|error| explain(&error, encodings))?;
        reader = Box::new(BufReader::new(Limited { inner: layer, left: rough }));
    }
    let mut reader = Limited { inner: reader, left: limit };
    reader.read_to_end(body).map_err(|error| explain(&error, encodings))?;
    Ok(())
}

/// Undoes gzip while it is read, up to `limit` bytes; one more is an error, by which [`is_past`]
/// knows it.
pub fn gunzip(bytes: &[u8], limit: u64) -> impl BufRead + '_ {
    BufReader::new(Limited {
        inner: GzipMembers { member: Some(GzDecoder::new(bytes)) },
        left: limit,
    })
}

/// Whether reading ended because there was more than the limit.
pub fn is_past(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<PastLimit>)
}

/// How many bytes more than its content a coded body may have: headers and block lengths of
/// content that does not compress.
pub fn slack(limit: u64) -> u64 {
    limit / 64 + 4096
}

/// The codings to undo, the outermost (the one listed last) first.
fn layers(encodings: &str) -> Result<Vec<Coding>, BodyError> {
    let mut layers = Vec::new();
    for name in encodings.rsplit(',').map(|name| name.trim().to_ascii_lowercase()) {
        layers.push(match name.as_str() {
            "" | "identity" => continue,
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            "br" => Coding::Brotli,
            "zstd" => Coding::Zstd,
            _ => break,
        });
        if layers.len() > MAX_LAYERS {
            return Err(BodyError::Coding(format!("more than {MAX_LAYERS} content codings")));
        }
    }
    Ok(layers)
}

fn open<'a>(coding: Coding, from: Box<dyn BufRead + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match coding {
        Coding::Gzip => Box::new(GzipMembers { member: Some(GzDecoder::new(from)) }),
        Coding::Deflate => open_deflate(from)?,
        Coding::Brotli => Box::new(brotli_decompressor::Decompressor::new(from, 8192)),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// `deflate` is the zlib format by the standard and the raw one by some servers' habit; the
/// first two bytes tell (RFC 1950, 2.2).
fn open_deflate<'a>(mut from: Box<dyn BufRead + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    from.by_ref().take(2).read_to_end(&mut start)?;
    let zlib = matches!(start[..], [a, b]
        if a & 0x0f == 8 && u16::from_be_bytes([a, b]).is_multiple_of(31));
    let whole = io::Cursor::new(start).chain(from);
    Ok(if zlib { Box::new(ZlibDecoder::new(whole)) } else { Box::new(DeflateDecoder::new(whole)) })
}

/// A gzip stream of one or more members; what follows the last one is ignored.
struct GzipMembers<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let n = member.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            let mut rest = self.member.take().expect("just looked at it").into_inner();
            // The first byte of a member's header (RFC 1952, 2.3.1).
            if rest.fill_buf()?.first() == Some(&0x1f) {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Passes on at most `left` bytes; one more is an error.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(PastLimit)),
        }
        Ok(n)
    }
}

#[derive(Debug)]
struct PastLimit;

impl fmt::Display for PastLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("larger than the limit")
    }
}

impl std::error::Error for PastLimit {}

fn explain(error: &io::Error, encodings: &str) -> BodyError {
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<PastLimit>) {
        return BodyError::TooLarge;
    }
    BodyError::Coding(format!("the body is not `{encodings}` as its header says: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = b"It was the best of times, it was the worst of times";

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut to = GzEncoder::new(Vec::new(), Compression::default());
        to.write_all(content).unwrap();
        to.finish().unwrap()
    }

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut to = ZlibEncoder::new(Vec::new(), Compression::default());
        to.write_all(content).unwrap();
        to.finish().unwrap()
    }

    fn raw_deflate(content: &[u8]) -> Vec<u8> {
        let mut to = DeflateEncoder::new(Vec::new(), Compression::default());
        to.write_all(content).unwrap();
        to.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        zstd::encode_all(content, 3).unwrap()
    }

    fn read_body(wire: &[u8], encodings: &str, limit: u64) -> Result<Vec<u8>, BodyError> {
        let mut body = Vec::new();
        decode(wire, encodings, limit, &mut body).map(|()| body)
    }

    #[track_caller]
    fn check(wire: &[u8], encodings: &str, expected: &[u8]) {
        let body = read_body(wire, encodings, 2 << 20).unwrap();
        assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(expected));
    }

    #[test]
    fn every_coding_is_undone() {
        check(TEXT, "", TEXT);
        check(TEXT, "identity", TEXT);
        check(&gzip(TEXT), "gzip", TEXT);
        check(&gzip(TEXT), " GZip ", TEXT);
        check(&gzip(TEXT), "x-gzip", TEXT);
        check(&zlib(TEXT), "deflate", TEXT);
        check(&raw_deflate(TEXT), "deflate", TEXT);
        check(&zstd(TEXT), "zstd", TEXT);
        // Brotli's own form of a few literal bytes: an uncompressed block.
        check(b"\x0b\x02\x80hello\x03", "br", b"hello");
    }

    #[test]
    fn chains_are_undone_from_the_last_listed() {
        check(&gzip(&gzip(TEXT)), "gzip, gzip", TEXT);
        check(&zstd(&gzip(TEXT)), "gzip,zstd", TEXT);
        check(&gzip(&zlib(TEXT)), "deflate, identity, gzip", TEXT);
    }

    #[test]
    fn members_and_frames_are_joined_and_what_follows_gzip_is_ignored() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        check(&two, "gzip", b"one two");
        check(&[&two[..], b"\0\0padding"].concat(), "gzip", b"one two");
        check(&[zstd(b"one "), zstd(b"two")].concat(), "zstd", b"one two");
    }

    #[test]
    fn an_unknown_coding_leaves_what_lies_under_it() {
        check(TEXT, "utf-8", TEXT);
        check(&gzip(TEXT), "magic, gzip", TEXT);
        let coded = gzip(TEXT);
        check(&coded, "gzip, magic", &coded);
    }

    #[test]
    fn an_empty_body_is_empty_in_any_coding() {
        for coding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
            check(b"", coding, b"");
        }
    }

    #[test]
    fn what_is_not_coded_as_said_is_an_error() {
        for coding in ["gzip", "br", "zstd", "deflate"] {
            let error = read_body(&b"<p>plain text</p>"[..], coding, 1 << 20).unwrap_err();
            assert!(matches!(&error, BodyError::Coding(m) if m.contains(coding)), "{error:?}");
        }
        for (wire, coding) in [(gzip(TEXT), "gzip"), (zstd(TEXT), "zstd"), (zlib(TEXT), "deflate")]
        {
            let error = read_body(&wire[..wire.len() - 9], coding, 1 << 20).unwrap_err();
            assert!(matches!(&error, BodyError::Coding(_)), "{coding}: {error:?}");
        }
        let many = ["gzip"; 6].join(",");
        assert!(matches!(read_body(TEXT, &many, 10), Err(BodyError::Coding(_))));
    }

    #[test]
    fn the_limit_holds_exactly_and_after_every_layer() {
        let limit = TEXT.len() as u64;
        for (wire, coding) in
            [(TEXT.to_vec(), ""), (gzip(TEXT), "gzip"), (gzip(&zstd(TEXT)), "zstd, gzip")]
        {
            assert_eq!(read_body(&wire[..], coding, limit).unwrap(), TEXT);
            assert!(matches!(read_body(&wire[..], coding, limit - 1), Err(BodyError::TooLarge)));
        }
        // 16 MiB of zeros, twice: about 100 bytes on the wire.
        let bomb = gzip(&zstd(&vec![0; 16 << 20]));
        assert!(matches!(read_body(&bomb[..], "zstd, gzip", 1 << 20), Err(BodyError::TooLarge)));
        // Large only between two layers: zstd skips a frame of 1 MiB (RFC 8878, 3.1.2).
        let skipped = [&b"\x50\x2a\x4d\x18\x00\x00\x10\x00"[..], &vec![0; 1 << 20]].concat();
        let hollow = gzip(&[skipped, zstd(b"x")].concat());
        check(&hollow, "zstd, gzip", b"x");
        assert!(matches!(read_body(&hollow[..], "zstd, gzip", 4096), Err(BodyError::TooLarge)));
    }

    #[test]
    fn what_came_before_an_error_is_kept() {
        let wire = gzip(&TEXT.repeat(1000));
        let mut body = Vec::new();
        decode(&wire[..wire.len() / 2], "gzip", 1 << 20, &mut body).unwrap_err();
        assert!(!body.is_empty() && TEXT.repeat(1000).starts_with(&body));
    }
}
