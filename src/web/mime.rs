//! What kind of content a body is: the `Content-Type` header, or the first bytes where there
//! is none (WHATWG MIME Sniffing, 7.1).

/// A `Content-Type`, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentType {
    /// Type and subtype in lower case, without parameters: `text/html`.
    pub essence: String,
    /// The `charset` parameter.
    pub charset: Option<String>,
}

impl ContentType {
    /// Reads a header's value; `None` where it names no type.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split(';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        let token = |text: &str| !text.is_empty() && !text.contains([' ', ',', '/', '"']);
        // The values that servers send when they do not know; the standard sniffs them.
        let unknown = ["unknown/unknown", "application/unknown", "*/*"];
        if !token(kind) || !token(subtype) || unknown.contains(&essence.as_str()) {
            return None;
        }
        let charset = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| unquote(value))
        });
        Some(Self { essence, charset })
    }

    /// What the body looks like, for a body that came without a type.
    pub fn sniff(body: &[u8]) -> Self {
        Self { essence: sniff(body).to_owned(), charset: None }
    }

    /// Whether this is a page: HTML, or HTML written as XML.
    pub fn is_html(&self) -> bool {
        matches!(self.essence.as_str(), "text/html" | "application/xhtml+xml")
    }

    /// Whether this is text of any sort, to be decoded by its charset.
    pub fn is_text(&self) -> bool {
        let (kind, subtype) = self.essence.split_once('/').unwrap_or_default();
        let structured = subtype.rsplit('+').next().unwrap_or_default();
        kind == "text"
            || matches!(structured, "xml" | "json" | "yaml")
            || matches!(
                subtype,
                "javascript" | "ecmascript" | "x-javascript" | "x-ndjson" | "toml" | "sql"
            )
    }
}

fn unquote(value: &str) -> String {
    value.trim().trim_matches(['"', '\'']).trim().to_owned()
}

/// Starts that decide at once. An XML declaration is looked for apart, after white space.
const MAGIC: &[(&[u8], &str)] = &[
    (b"\xef\xbb\xbf", "text/plain"),
    (b"\xfe\xff", "text/plain"),
    (b"\xff\xfe", "text/plain"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"PK\x03\x04", "application/zip"),
];

/// Tags that mark a body as HTML when they come first and end there.
const TAGS: &[&str] = &[
    "<!doctype html",
    "<html",
    "<head",
    "<script",
    "<iframe",
    "<h1",
    "<div",
    "<font",
    "<table",
    "<a",
    "<style",
    "<title",
    "<b",
    "<body",
    "<br",
    "<p",
    "<meta",
    "<link",
];

fn sniff(body: &[u8]) -> &'static str {
    let body = &body[..body.len().min(1445)];
    let text = body.trim_ascii_start();
    if text.starts_with(b"<!--") || TAGS.iter().any(|tag| opens_with(text, tag)) {
        return "text/html";
    }
    if text.starts_with(b"<?xml") {
        return "text/xml";
    }
    if let Some((_, essence)) = MAGIC.iter().find(|(start, _)| body.starts_with(start)) {
        return essence;
    }
    let binary = |&byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if body.iter().any(binary) { "application/octet-stream" } else { "text/plain" }
}

fn opens_with(text: &[u8], tag: &str) -> bool {
    let same =
        text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    same && text.get(tag.len()).is_some_and(|&byte| byte == b'>' || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        for (header, essence, charset) in [
            ("text/html", "text/html", None),
            ("Text/HTML; Charset=UTF-8", "text/html", Some("UTF-8")),
            ("text/html;charset=\"windows-1252\"; q=1", "text/html", Some("windows-1252")),
            ("text/html; a=b ; charset = 'koi8-r'", "text/html", Some("koi8-r")),
            ("application/json;", "application/json", None),
        ] {
            let read = ContentType::parse(header).unwrap();
            assert_eq!((read.essence.as_str(), read.charset.as_deref()), (essence, charset));
        }
        for header in ["", "html", "*/*", "text/", "unknown/unknown", "a b/c", ";charset=x"] {
            assert_eq!(ContentType::parse(header), None, "{header}");
        }
    }

    #[test]
    fn bodies_without_a_type_are_sniffed() {
        for (body, essence) in [
            (&b"<!DOCTYPE html><p>"[..], "text/html"),
            (b"\n\t <HTML lang=en>", "text/html"),
            (b"<!-- note --><p>", "text/html"),
            (b"<aside>", "text/plain"),
            (b"<a href=x>", "text/html"),
            (b" <?xml version='1.0'?>", "text/xml"),
            (b"%PDF-1.7", "application/pdf"),
            (b"\x89PNG\r\n\x1a\n\0", "image/png"),
            (b"plain words", "text/plain"),
            (b"\xff\xfea\0b\0", "text/plain"),
            (b"a\0b", "application/octet-stream"),
            (b"", "text/plain"),
        ] {
            assert_eq!(sniff(body), essence, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn pages_and_texts_are_known() {
        let of = |essence: &str| ContentType { essence: essence.to_owned(), charset: None };
        assert!(of("application/xhtml+xml").is_html() && !of("text/xml").is_html());
        for text in ["text/css", "image/svg+xml", "application/json", "application/ld+json"] {
            assert!(of(text).is_text(), "{text}");
        }
        for binary in ["image/png", "application/octet-stream", "font/woff2", ""] {
            assert!(!of(binary).is_text(), "{binary}");
        }
    }
}
