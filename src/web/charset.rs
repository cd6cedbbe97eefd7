//! From bytes to text: which charset a body is in, and decoding it.
//!
//! The order of evidence is the browsers': byte order mark, header, `<meta>` in the first 1,024
//! bytes, and last a guess by the content and the country in the host's name. Unlike browsers,
//! content that is valid UTF-8 and names no charset is read as UTF-8.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};
use html5gum::{Token, Tokenizer};

/// How far a `<meta>` is looked for (HTML standard, 13.2.3.2).
const PRESCAN: usize = 1024;

/// Decodes `body`; also says as what, by the charset's name in the Encoding standard.
///
/// Bytes that are not of the charset become U+FFFD.
pub fn decode<'a>(
    body: &'a [u8],
    header: Option<&str>,
    is_html: bool,
    host: Option<&str>,
) -> (Cow<'a, str>, &'static str) {
    if let Some((encoding, mark)) = Encoding::for_bom(body) {
        return (encoding.decode_without_bom_handling(&body[mark..]).0, encoding.name());
    }
    let encoding = header
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .or_else(|| is_html.then(|| prescan(body)).flatten())
        .unwrap_or_else(|| guess(body, host));
    (encoding.decode_without_bom_handling(body).0, encoding.name())
}

/// The charset that a `<meta>` near the start declares.
fn prescan(body: &[u8]) -> Option<&'static Encoding> {
    let start = &body[..body.len().min(PRESCAN)];
    let label = Tokenizer::new(start).flatten().find_map(|token| {
        let Token::StartTag(tag) = token else { return None };
        if *tag.name != b"meta" {
            return None;
        }
        let attribute = |name: &[u8]| {
            tag.attributes.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
        };
        attribute(b"charset").or_else(|| {
            let equiv = attribute(b"http-equiv")?;
            let content = attribute(b"content")?;
            equiv.eq_ignore_ascii_case("content-type").then(|| in_content(&content)).flatten()
        })
    })?;
    let encoding = Encoding::for_label(label.as_bytes())?;
    // The declaration was read as ASCII, so these two cannot be meant; the standard says what is.
    Some(match encoding {
        e if e == UTF_16BE || e == UTF_16LE => UTF_8,
        e if e == X_USER_DEFINED => WINDOWS_1252,
        e => e,
    })
}

/// The charset in a `content="text/html; charset=…"`.
fn in_content(content: &str) -> Option<String> {
    let at = content.to_ascii_lowercase().find("charset")?;
    let value = content[at + "charset".len()..].trim_start().strip_prefix('=')?.trim_start();
    let end = |c: char| c == ';' || c == '"' || c == '\'' || c.is_ascii_whitespace();
    value.trim_start_matches(['"', '\'']).split(end).next().map(str::to_owned)
}

fn guess(body: &[u8], host: Option<&str>) -> &'static Encoding {
    if std::str::from_utf8(body).is_ok() {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(body, true);
    detector.guess(host.and_then(country), Utf8Detection::Allow)
}

/// The last label of a host's name, in the form that the detector asks for.
fn country(host: &str) -> Option<&[u8]> {
    let label = host.rsplit('.').next()?;
    let plain = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    (plain && !label.is_empty()).then_some(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], header: Option<&str>, charset: &str, text: &str) {
        let (decoded, name) = decode(body, header, true, None);
        assert_eq!((decoded.as_ref(), name), (text, charset));
    }

    #[test]
    fn evidence_counts_in_the_browsers_order() {
        check(b"\xef\xbb\xbf\xc3\xa9", Some("koi8-r"), "UTF-8", "é");
        check(b"\xff\xfea\0", Some("utf-8"), "UTF-16LE", "a");
        let meta = b"<meta charset=koi8-r>\xe9";
        check(meta, Some("iso-8859-1"), "windows-1252", "<meta charset=koi8-r>é");
        check(meta, None, "KOI8-R", "<meta charset=koi8-r>И");
        check(meta, Some("no-such"), "KOI8-R", "<meta charset=koi8-r>И");
        check("é".as_bytes(), None, "UTF-8", "é");
        check(b"plain", None, "UTF-8", "plain");
    }

    #[test]
    fn a_meta_is_found_in_its_forms_and_only_near_the_start() {
        let head = "<html><!-- <meta charset=big5> --><title>x</title>";
        for meta in [
            "<META HTTP-EQUIV='Content-Type' CONTENT='text/html; CharSet = \"koi8-r\"'>",
            "<meta content=\"a;charset=koi8-r;b\" http-equiv=content-type>",
            "<meta name=x><meta charset=\" koi8-r \"/>",
        ] {
            assert_eq!(prescan(format!("{head}{meta}").as_bytes()).unwrap().name(), "KOI8-R");
        }
        for none in ["<meta content='charset=koi8-r'>", "<p charset=koi8-r>", "<meta charset=?>"] {
            assert_eq!(prescan(none.as_bytes()), None, "{none}");
        }
        let late = format!("<!--{}--><meta charset=koi8-r>", "x".repeat(PRESCAN));
        assert_eq!(prescan(late.as_bytes()), None);
        assert_eq!(prescan(b"<meta charset=utf-16>"), Some(UTF_8));
        assert_eq!(prescan(b"<meta charset=x-user-defined>"), Some(WINDOWS_1252));
    }

    #[test]
    fn undeclared_text_is_guessed_with_the_host_as_a_hint() {
        // "Нет, спасибо" in windows-1251.
        let russian = b"\xcd\xe5\xf2, \xf1\xef\xe0\xf1\xe8\xe1\xee";
        let (text, name) = decode(russian, None, false, Some("пример.example.ru"));
        assert_eq!((text.as_ref(), name), ("Нет, спасибо", "windows-1251"));
        for host in ["127.0.0.1", "[::1]", "host.", "", "UPPER", "a.xn--p1ai"] {
            decode(russian, None, false, Some(host));
        }
    }

    #[test]
    fn wrong_bytes_become_replacement_characters() {
        check(b"a\xffb", Some("utf-8"), "UTF-8", "a\u{fffd}b");
    }
}
