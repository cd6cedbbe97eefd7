//! What a page's `<meta>` elements ask of a crawler.

use std::ops::BitOr;

use url::Url;

/// What robots are asked not to do with a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetaRobots {
    /// Not to keep it.
    pub noindex: bool,
    /// Not to follow its links.
    pub nofollow: bool,
}

impl MetaRobots {
    /// Reads directives, such as `noindex, nofollow`; those that are not known do not count.
    pub fn parse(content: &str) -> Self {
        let words = content.split(',').map(str::trim);
        words.map(Self::directive).fold(Self::default(), Self::bitor)
    }

    fn directive(word: &str) -> Self {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        Self { noindex: is("noindex") || is("none"), nofollow: is("nofollow") || is("none") }
    }
}

/// Both: what one of them asks for is asked for.
impl BitOr for MetaRobots {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { noindex: self.noindex || other.noindex, nofollow: self.nofollow || other.nofollow }
    }
}

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
    fn directives_for_robots_are_read() {
        for (content, noindex, nofollow) in [
            ("noindex", true, false),
            ("NoFollow", false, true),
            (" noindex , nofollow,", true, true),
            ("none", true, true),
            ("all, index, follow", false, false),
            ("noarchive, max-snippet:-1", false, false),
            ("noindexing no follow", false, false),
            ("", false, false),
        ] {
            assert_eq!(MetaRobots::parse(content), MetaRobots { noindex, nofollow }, "{content}");
        }
    }

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
