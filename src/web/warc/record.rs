//! Records: named fields, a block, two line ends (WARC 1.1, section 4).

use std::fmt::{Display, Write as _};

use data_encoding::BASE32;
use humantime::format_rfc3339_micros;
use sha1::{Digest as _, Sha1};
use url::Url;
use uuid::Uuid;

use super::gzip::Gzip;
use super::{Capture, head};
use crate::web::http::Truncation;

/// A digest as archives write it: `sha1:` and 32 characters of base32 (RFC 4648).
pub fn payload_digest(payload: &[u8]) -> String {
    labelled(&[payload])
}

fn labelled(parts: &[&[u8]]) -> String {
    let mut sha1 = Sha1::new();
    for part in parts {
        sha1.update(part);
    }
    format!("sha1:{}", BASE32.encode(&sha1.finalize()))
}

/// A record's fields so far.
struct Fields(String);

impl Fields {
    fn new(kind: &str, id: &Uuid, date: std::time::SystemTime) -> Self {
        let mut fields = Self(String::with_capacity(1024));
        fields.0.push_str("WARC/1.1\r\n");
        fields.put("WARC-Type", kind);
        fields.put("WARC-Record-ID", id_uri(id));
        fields.put("WARC-Date", format_rfc3339_micros(date));
        fields
    }

    fn put(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, "{name}: {value}\r\n");
    }

    fn put_some(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Appends the whole record as a gzip member.
    fn finish(mut self, content_type: &str, block: &[&[u8]], gzip: &mut Gzip, out: &mut Vec<u8>) {
        let length: usize = block.iter().map(|part| part.len()).sum();
        self.put("WARC-Block-Digest", labelled(block));
        self.put("Content-Type", content_type);
        self.put("Content-Length", length);
        self.0.push_str("\r\n");
        let (head, end) = (self.0.as_bytes(), &b"\r\n\r\n"[..]);
        match block {
            [one] => gzip.member(&[head, one, end], out),
            [one, two] => gzip.member(&[head, one, two, end], out),
            _ => unreachable!("a block is a head and a body at most"),
        }
    }
}

fn id_uri(id: &Uuid) -> String {
    format!("<urn:uuid:{id}>")
}

/// The `warcinfo` record of a segment.
pub(super) fn info(
    date: std::time::SystemTime,
    file: &str,
    info: &[(String, String)],
    gzip: &mut Gzip,
    out: &mut Vec<u8>,
) {
    let own = [
        ("software", concat!("rankpool/", env!("CARGO_PKG_VERSION"))),
        ("format", "WARC File Format 1.1"),
        (
            "conformsTo",
            "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/",
        ),
    ];
    let given = info.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let block = warc_fields(own.into_iter().chain(given));
    let mut fields = Fields::new("warcinfo", &Uuid::new_v4(), date);
    fields.put("WARC-Filename", file);
    fields.finish("application/warc-fields", &[block.as_bytes()], gzip, out);
}

/// Appends the records of a capture; returns the length of the first one's member.
pub(super) fn capture(capture: &Capture<'_>, gzip: &mut Gzip, out: &mut Vec<u8>) -> usize {
    let exchange = capture.exchange;
    let target = target(capture.url);
    let id = Uuid::new_v4();
    let start = out.len();
    let fields = |kind, id: &Uuid| {
        let mut fields = Fields::new(kind, id, exchange.started);
        fields.put("WARC-Target-URI", &target);
        fields.put_some("WARC-IP-Address", exchange.peer.map(|ip| ip.to_canonical()));
        fields
    };
    response(capture, fields, &id, gzip, out);
    let first = out.len() - start;

    let mut request = fields("request", &Uuid::new_v4());
    request.put("WARC-Concurrent-To", id_uri(&id));
    let sent = head::request(&exchange.request_head);
    request.finish("application/http; msgtype=request", &[&sent], gzip, out);

    let mut metadata = fields("metadata", &Uuid::new_v4());
    metadata.put("WARC-Concurrent-To", id_uri(&id));
    let took = exchange.took.as_millis().to_string();
    let given = capture.metadata.iter().copied();
    let block = warc_fields(given.chain([("fetchTimeMs", &*took)]));
    metadata.finish("application/warc-fields", &[block.as_bytes()], gzip, out);
    first
}

fn response(
    capture: &Capture<'_>,
    fields: impl Fn(&'static str, &Uuid) -> Fields,
    id: &Uuid,
    gzip: &mut Gzip,
    out: &mut Vec<u8>,
) {
    let exchange = capture.exchange;
    let content_type = "application/http; msgtype=response";
    let received = head::response(exchange.head.as_bytes(), exchange.wire.len());
    if let Some(original) = capture.duplicate_of {
        let mut fields = fields("revisit", id);
        fields.put("WARC-Profile", IDENTICAL);
        fields.put("WARC-Payload-Digest", capture.payload_digest);
        fields.put("WARC-Refers-To-Target-URI", target_text(&original.url));
        fields.put("WARC-Refers-To-Date", format_rfc3339_micros(original.started));
        // The body is left out (6.7.2).
        fields.put("WARC-Truncated", Truncation::Length.as_str());
        return fields.finish(content_type, &[&received], gzip, out);
    }
    let mut fields = fields("response", id);
    fields.put("WARC-Payload-Digest", capture.payload_digest);
    fields.put_some("WARC-Identified-Payload-Type", capture.identified_type.map(one_line));
    fields.put_some("WARC-Truncated", exchange.truncated.map(Truncation::as_str));
    fields.finish(content_type, &[&received, &exchange.wire], gzip, out);
}

const IDENTICAL: &str = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest";

/// A URL as it stands in archives: without a fragment, which nobody sent, and without
/// credentials.
pub(super) fn target(url: &Url) -> String {
    if url.fragment().is_none() && url.username().is_empty() && url.password().is_none() {
        return url.to_string();
    }
    let mut url = url.clone();
    url.set_fragment(None);
    // Only a URL without a host cannot be changed, and such has neither.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
}

fn target_text(url: &str) -> String {
    Url::parse(url).map_or_else(|_| one_line(url), |url| target(&url))
}

/// `application/warc-fields` (WARC 1.1, section 4 and 8.3).
fn warc_fields<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> String {
    let mut block = String::new();
    for (name, value) in fields {
        let _ = write!(block, "{name}: {}\r\n", one_line(value));
    }
    block
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
