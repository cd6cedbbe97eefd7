//! Links as they are written: what one means on a page it means on all pages of its folder, so
//! that most of a site's links, which stand on every page, need not be resolved again.

use memchr::memchr;
use url::{Position, Url};
use xxhash_rust::xxh3::xxh3_64;

/// What a relative address is relative to, unless it is a query or nothing: the base up to the
/// last slash of its path.
pub(super) fn folder(base: &Url) -> u64 {
    let path = base.path();
    let file = path.len() - path.rfind('/').map_or(0, |slash| slash + 1);
    let before_query = base[..Position::AfterPath].as_bytes();
    xxh3_64(&before_query[..before_query.len() - file])
}

/// Whether an address means the same on all pages of a folder: whole ones, and those relative to
/// the folder, the host or the scheme. Some are told from others that do not, and not all.
pub(super) fn is_of_folder(address: &str) -> bool {
    is_whole(address)
        || address.starts_with(|first: char| first.is_ascii_alphanumeric() || "./".contains(first))
            && memchr(b':', address.as_bytes()).is_none()
}

fn is_whole(address: &str) -> bool {
    address.starts_with("http://") || address.starts_with("https://")
}

/// The longest address that [`whole`] tells, in bytes.
const LONGEST: usize = 512;

/// What an address that [`is_of_folder`] means, if there is nothing in it that a parser changes,
/// which takes ten times as long to tell it; else what no parser makes of any.
pub(super) fn whole<'a>(address: &'a str, base: &Url, room: &'a mut String) -> Option<&'a str> {
    if is_whole(address) {
        return Some(address).filter(|address| address.len() <= LONGEST);
    }
    let start = base[..Position::BeforePath].len();
    let mut folder = &base[..Position::AfterPath];
    let is_of_http = matches!(base.scheme(), "http" | "https");
    if !is_of_http || folder.len() + address.len() > LONGEST || address.starts_with("//") {
        return None;
    }
    let mut rest = address;
    if rest.starts_with('/') {
        folder = &folder[..start];
    } else {
        folder = &folder[..=start + folder[start..].rfind('/')?];
        if folder[start..].contains(':') {
            return None; // `url` does not leave what could be a drive of Windows
        }
        while let Some(of_parent) = rest.strip_prefix("../") {
            folder = &folder[..=start + folder[start..folder.len() - 1].rfind('/')?];
            rest = of_parent;
        }
    }
    room.clear();
    room.extend([folder, rest]);
    Some(room)
}

/// Whether an address can be seen to lead to another page than `url`, without being resolved.
pub(super) fn leads_elsewhere(address: &str, url: &Url) -> bool {
    let name = |path: &str| path.rfind('/').map_or(0, |slash| slash + 1);
    let file = &address[name(address)..];
    let own = &url.path()[name(url.path())..];
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    let may_be = matches!(file, "" | "." | "..") || file == own || address.starts_with("//");
    !may_be && address.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_folder_is_what_stands_before_the_file() {
        let same = |a, b| folder(&url(a)) == folder(&url(b));
        assert!(same("http://h/a/b", "http://h/a/"));
        assert!(same("http://h/a/b?x=/y/", "http://h/a/c?z"));
        assert!(same("http://h", "http://h/b"));
        for other in ["http://h/a/b/", "http://h/b", "http://i/a/b", "https://h/a/b"] {
            assert!(!same("http://h/a/b", other), "{other}");
        }
    }

    #[test]
    fn most_links_of_a_site_are_of_a_folder() {
        for href in ["a.html", "../a/b?c", "./", "/", "//h/a", "https://h/", "a/%20"] {
            assert!(is_of_folder(href), "{href}");
        }
        for href in ["", "?a", "#a", " a", "http:?a", "mailto:a", "\\a", "http:\t//h"] {
            assert!(!is_of_folder(href), "{href}");
        }
        let own = url("http://h/a/b.html?c");
        assert!(leads_elsewhere("c.html", &own) && leads_elsewhere("../b.html/c", &own));
        for href in ["b.html", "../a/b.html", "", ".", "c/..", "c.html?d", "c%2ehtml", "//h"] {
            assert!(!leads_elsewhere(href, &own), "{href}");
        }
    }

    #[test]
    fn plain_addresses_are_told_without_a_parser() {
        let mut room = String::new();
        let base = url("http://h/a/b/c?d=/e/");
        for (address, meant) in [
            ("f.html", "http://h/a/b/f.html"),
            ("../f/g", "http://h/a/f/g"),
            ("../../f/", "http://h/f/"),
            ("/f", "http://h/f"),
            ("f?g%20", "http://h/a/b/f?g%20"),
            ("https://i/%7E", "https://i/%7E"),
        ] {
            assert_eq!(whole(address, &base, &mut room), Some(meant), "{address}");
        }
        let long = "f".repeat(LONGEST);
        for address in ["../../../f", "//i/f", &long, &format!("http://{long}")] {
            assert_eq!(whole(address, &base, &mut room), None, "{address}");
        }
        for base in ["http://h/a:/b", "mailto:a/b"] {
            assert_eq!(whole("../f", &url(base), &mut room), None, "{base}");
        }
    }

    /// Addresses in which anything that a parser looks at may stand anywhere.
    fn address() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "a", "b", "/", "/", ".", "..", "?", ":", "http:", "http://", "//", "\\", "\t", " ",
            "%2e", "é", "@", "h", ";", "=",
        ]);
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_is_said_of_an_address_holds_on_other_pages(
            address in address(), dir in address(), files in (address(), address()),
        ) {
            let page = |file: &str| Url::parse(&format!("http://h/{dir}/{file}")).ok();
            let (Some(one), Some(other)) = (page(&files.0), page(&files.1)) else { return Ok(()) };
            if folder(&one) == folder(&other) && is_of_folder(&address) {
                prop_assert_eq!(one.join(&address), other.join(&address));
            }
            if leads_elsewhere(&address, &one) {
                prop_assert_ne!(one.join(&address).ok(), Some(one.clone()));
            }
            let mut room = String::new();
            if is_of_folder(&address) && let Some(whole) = whole(&address, &one, &mut room) {
                let url = one.join(&address);
                let is_it = url.as_ref().is_ok_and(|url| url.as_str() == whole);
                let is_other = Url::parse(whole).is_ok_and(|url| url.as_str() != whole);
                prop_assert!(is_it || is_other || url.is_err(), "{} is {:?}", whole, url);
            }
        }
    }
}
