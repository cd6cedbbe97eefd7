//! What a page says about itself: `X-Robots-Tag` headers and `<meta name="robots">`.
//!
//! No RFC defines them; the words and the form of the header are those of Google's documentation
//! (*Robots meta tag, data-nosnippet, and X-Robots-Tag specifications*).

use std::ops::BitOrAssign;

use super::product_token;

/// What is asked for a page. Where several places ask, each request counts: they are merged
/// with `|=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Not to keep the page.
    pub noindex: bool,
    /// Not to follow its links.
    pub nofollow: bool,
}

impl BitOrAssign for Directives {
    fn bitor_assign(&mut self, other: Self) {
        self.noindex |= other.noindex;
        self.nofollow |= other.nofollow;
    }
}

impl Directives {
    /// Reads a list of directives, such as the `content` of `<meta name="robots">`: `noindex`,
    /// `nofollow` and `none`, which is both, in any case; other words ask nothing of a crawler.
    /// Words may be parted by commas, semicolons and blanks.
    pub fn from_list(list: &str) -> Self {
        let mut found = Self::default();
        for word in list.split(|c: char| c == ',' || c == ';' || c.is_ascii_whitespace()) {
            let is = |name: &str| word.eq_ignore_ascii_case(name);
            found |= Self {
                noindex: is("noindex") || is("none"),
                nofollow: is("nofollow") || is("none"),
            };
        }
        found
    }

    /// Reads the value of an `X-Robots-Tag` header as far as it is for `agent` (see
    /// [`super::Robots::parse`]) or for everybody.
    ///
    /// `NAME:` before a directive limits it and those that follow, up to the next name, to a
    /// crawler. Directives that have a value of their own, such as `unavailable_after: DATE`, are
    /// ignored with it, commas in it included.
    pub fn from_header(value: &str, agent: &str) -> Self {
        let mut found = Self::default();
        let mut is_for_us = true;
        for item in value.split(',') {
            let mut list = item;
            if let Some((name, rest)) = item.split_once(':') {
                let name = name.trim();
                if has_value(name) || !is_agent(name) {
                    continue;
                }
                is_for_us = name == "*" || name.eq_ignore_ascii_case(product_token(agent));
                list = rest;
            }
            if is_for_us {
                found |= Self::from_list(list);
            }
        }
        found
    }
}

/// Directives that look like the name of a crawler: a word and a colon.
fn has_value(name: &str) -> bool {
    let named = |known: &&str| name.eq_ignore_ascii_case(known);
    ["unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"].iter().any(named)
}

fn is_agent(name: &str) -> bool {
    name == "*" || !name.is_empty() && product_token(name) == name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(directives: Directives) -> &'static str {
        match (directives.noindex, directives.nofollow) {
            (false, false) => "",
            (true, false) => "noindex",
            (false, true) => "nofollow",
            (true, true) => "both",
        }
    }

    #[test]
    fn lists() {
        for (list, expected) in [
            ("", ""),
            ("index, follow", ""),
            ("all", ""),
            ("noindex", "noindex"),
            ("NoIndex", "noindex"),
            (" nofollow ", "nofollow"),
            ("noindex,nofollow", "both"),
            ("noindex , follow", "noindex"),
            ("none", "both"),
            ("NONE", "both"),
            ("noarchive, nosnippet, max-snippet:20", ""),
            ("noarchive, nofollow", "nofollow"),
            ("noindex nofollow", "both"),
            ("noindex;nofollow", "both"),
            ("noindex\tnofollow\n", "both"),
            (",,,noindex,,", "noindex"),
            ("no index", ""),
            ("noindexed, xnofollow", ""),
            ("unavailable_after: none-such", ""),
            ("nöindex, noſollow", ""),
        ] {
            assert_eq!(told(Directives::from_list(list)), expected, "{list}");
        }
    }

    #[test]
    fn headers() {
        for (value, expected) in [
            ("", ""),
            ("noindex", "noindex"),
            ("none", "both"),
            ("noindex, nofollow", "both"),
            ("NOINDEX", "noindex"),
            ("rankpool: noindex", "noindex"),
            ("RankPool: nofollow", "nofollow"),
            ("rankpool : none", "both"),
            ("rankpool: noindex, nofollow", "both"),
            ("otherbot: noindex", ""),
            ("otherbot: noindex, nofollow", ""),
            ("otherbot: noindex, rankpool: nofollow", "nofollow"),
            ("nofollow, otherbot: noindex", "nofollow"),
            ("rankpool: noindex, otherbot: nofollow", "noindex"),
            ("*: noindex", "noindex"),
            ("otherbot: nofollow, *: noindex", "noindex"),
            ("rankpoolbot: noindex", ""),
            ("unavailable_after: 25 Jun 2010 15:00:00 PST", ""),
            ("unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noindex", "noindex"),
            ("noindex, unavailable_after: 2010-06-25T15:00:00Z", "noindex"),
            ("rankpool: unavailable_after: 25 Jun 2010 15:00:00 PST", ""),
            ("max-snippet: 5, nofollow", "nofollow"),
            ("max-image-preview:large, max-video-preview: -1, none", "both"),
            (": noindex", ""),
            (":", ""),
            ("a:b:c:noindex", ""),
        ] {
            let agent = "rankpool/0.1 (+https://example.org/)";
            assert_eq!(told(Directives::from_header(value, agent)), expected, "{value}");
        }
    }

    #[test]
    fn what_several_places_ask_adds_up() {
        let mut found = Directives::from_list("noindex");
        found |= Directives::from_header("nofollow", "rankpool");
        assert_eq!(told(found), "both");
    }
}
