//! What a page's `<meta>` elements say, apart from robots.

use url::Url;

/// Where a page sends its reader, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// After so many seconds.
    pub seconds: u32,
    /// To this address, without a fragment: the page's own where it reloads itself.
    pub url: Url,
}

/// Reads the `content` of a `<meta http-equiv=refresh>`: the seconds, and the address as it is
/// written, if there is one (HTML standard, 4.2.5.3, "shared declarative refresh steps").
pub(super) fn refresh(content: &str) -> Option<(u32, Option<&str>)> {
    let content = content.trim_ascii_start();
    let digits = content.find(|c: char| !c.is_ascii_digit()).unwrap_or(content.len());
    let (seconds, rest) = content.split_at(digits);
    if seconds.is_empty() && !rest.starts_with('.') {
        return None;
    }
    let seconds = if seconds.is_empty() { 0 } else { seconds.parse().unwrap_or(u32::MAX) };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if !rest.is_empty() && !rest.starts_with([';', ',']) && rest.trim_ascii_start() == rest {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_ascii_start();
    Some((seconds, (!rest.is_empty()).then(|| address(rest))))
}

/// The address in `url='…'`, where any part but the address may be missing.
fn address(text: &str) -> &str {
    let named = text.get(..3).filter(|name| name.eq_ignore_ascii_case("url"));
    let named = named.and_then(|_| text[3..].trim_ascii_start().strip_prefix('='));
    let text = named.map_or(text, str::trim_ascii_start);
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split(quote).next().unwrap_or(""),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_read_in_every_spelling() {
        for (content, expected) in [
            ("5", Some((5, None))),
            ("5;", Some((5, None))),
            ("0;URL=/a", Some((0, Some("/a")))),
            ("0; url=/a", Some((0, Some("/a")))),
            (" 3 , Url = '/a' tail", Some((3, Some("/a")))),
            ("3 url=\"/a", Some((3, Some("/a")))),
            ("3;/a", Some((3, Some("/a")))),
            ("3;'/a'", Some((3, Some("/a")))),
            ("1.5;/a", Some((1, Some("/a")))),
            (".5;/a", Some((0, Some("/a")))),
            ("0;urls", Some((0, Some("urls")))),
            ("0;ur", Some((0, Some("ur")))),
            ("0;url=", Some((0, Some("")))),
            ("99999999999;/a", Some((u32::MAX, Some("/a")))),
            ("0;é/a", Some((0, Some("é/a")))),
            ("/a", None),
            ("url=/a", None),
            ("5x", None),
            ("-1;/a", None),
            ("", None),
        ] {
            assert_eq!(refresh(content), expected, "{content}");
        }
    }
}
