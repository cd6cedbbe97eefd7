//! The title and the links of a page, one at a time: who has enough stops, and no more is read.
//!
//! A link is the `href` of an `<a>` or `<area>`, made absolute against the page's address or the
//! `<base href>` before it, without its fragment. Left out are links that stay on the page
//! (`#top`), `javascript:` and `data:`, and what is no address.

use std::convert::Infallible;

use url::Url;

use super::attributes::Attributes;
use super::hear::Hear;
use super::skim::{Tokens, tokens};
use super::text::Collapsed;
use super::vocabulary::{Attribute, Tag};
use super::{MAX_TITLE, MAX_URL, is_blank, without_fragment};

/// Something found on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The text of the first `<title>`, white space collapsed.
    Title(String),
    /// A link: absolute, without a fragment.
    Link(Url),
}

/// Reads `html`, the page at `page`, and yields what it finds, as it finds it.
pub fn scan<'a>(html: &'a str, page: &Url) -> Scan<'a> {
    let finder =
        Finder { page: without_fragment(page.clone()), base: None, title: TitleState::Before };
    Scan { tokens: tokens(html, finder, usize::MAX) }
}

/// An iterator over what is [`Found`] on a page.
pub struct Scan<'a> {
    tokens: Tokens<'a, Finder>,
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}

impl Iterator for Scan<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        self.tokens.next().map(|found| found.unwrap_or_else(|never: Infallible| match never {}))
    }
}

struct Finder {
    page: Url,
    base: Option<Url>,
    title: TitleState,
}

enum TitleState {
    Before,
    Inside(Collapsed),
    Done,
}

impl Hear for Finder {
    type Found = Found;

    fn wants(&self, tag: Tag) -> bool {
        matches!(tag, Tag::A | Tag::Area | Tag::Base | Tag::Title)
    }

    fn gives(&self, _: Tag) -> bool {
        true
    }

    fn start(&mut self, tag: Tag, attributes: &Attributes<'_>) -> Option<Found> {
        if tag == Tag::Title {
            if matches!(self.title, TitleState::Before) {
                self.title = TitleState::Inside(Collapsed::new(MAX_TITLE));
            }
            return None;
        }
        self.link(tag, attributes.get(Attribute::Href)?)
    }

    fn wants_end(&self, tag: Tag) -> bool {
        tag == Tag::Title
    }

    fn end(&mut self, tag: Tag) -> Option<Found> {
        if tag == Tag::Title { self.end_title() } else { None }
    }

    fn wants_text(&self) -> bool {
        false
    }

    fn text(&mut self, text: &[u8], inside: Option<Tag>) {
        if let TitleState::Inside(title) = &mut self.title
            && inside == Some(Tag::Title)
        {
            title.push(text);
        }
    }

    fn finish(&mut self) -> Option<Found> {
        self.end_title()
    }
}

impl Finder {
    fn end_title(&mut self) -> Option<Found> {
        if !matches!(self.title, TitleState::Inside(_)) {
            return None;
        }
        match std::mem::replace(&mut self.title, TitleState::Done) {
            TitleState::Inside(title) => Some(Found::Title(title.finish())),
            TitleState::Before | TitleState::Done => None,
        }
    }

    fn link(&mut self, tag: Tag, href: &str) -> Option<Found> {
        let url = self.base.as_ref().unwrap_or(&self.page).join(href).ok()?;
        if url.as_str().len() > MAX_URL || matches!(url.scheme(), "javascript" | "data") {
            return None;
        }
        if tag == Tag::Base {
            self.base.get_or_insert(url);
            return None;
        }
        let inner = url.fragment().is_some() || is_blank(href);
        let url = without_fragment(url);
        if inner && url == self.page {
            return None;
        }
        Some(Found::Link(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(html: &str) -> Vec<String> {
        let page = Url::parse("http://example.org/dir/page?q=1").unwrap();
        let link = |found| match found {
            Found::Link(url) => Some(url.to_string()),
            Found::Title(_) => None,
        };
        scan(html, &page).filter_map(link).collect()
    }

    fn title(html: &str) -> Option<String> {
        let page = Url::parse("http://example.org/").unwrap();
        scan(html, &page).find_map(|found| match found {
            Found::Title(title) => Some(title),
            Found::Link(_) => None,
        })
    }

    #[track_caller]
    fn check(html: &str, expected: &[&str]) {
        assert_eq!(links(html), expected, "{html}");
    }

    #[test]
    fn links_are_found_in_every_spelling() {
        check(
            "<a href=a>x</a><area href='/b'><A HREF = \"c\" >",
            &["http://example.org/dir/a", "http://example.org/b", "http://example.org/dir/c"],
        );
        check("<a class=x\nhref\n=\n'//other.test/d'>", &["http://other.test/d"]);
        check("<a href='?a=1&amp;b=2&copy;'>", &["http://example.org/dir/page?a=1&b=2%C2%A9"]);
        check("<a href='  e\n f '>", &["http://example.org/dir/e%20f"]);
        check("<a href=first href=second>", &["http://example.org/dir/first"]);
        check("<a href=ä/../ö>", &["http://example.org/dir/%C3%B6"]);
        check("<a href=mailto:me@example.org>", &["mailto:me@example.org"]);
        check("<p><a href=x", &[]);
    }

    #[test]
    fn what_is_no_link_is_not_found() {
        check("<a>x</a><link href=a><img src=b><p href=c><abbr href=d>", &[]);
        check("<a href='javascript:f()'><a href='data:,x'><a href='http://'>", &[]);
        check("<a href=''><a href='#top'><a href='/dir/page?q=1#x'><a href=' '>", &[]);
        check("<a title='<a href=x>'></a><!-- <a href=x> --><![CDATA[<a href=x>]]>", &[]);
        for raw in ["script", "style", "textarea", "title", "xmp", "iframe", "noframes", "noembed"]
        {
            let html = format!("<{raw}>'<a href=x>'</p></{raw} ><a href=y>");
            check(&html, &["http://example.org/dir/y"]);
        }
        check("<script>if (a</script>b) '<a href=x>'", &["http://example.org/dir/x"]);
        check(
            "<script><!--<script></script><a href=x>--></script><a href=y>",
            &["http://example.org/dir/y"],
        );
        check("<plaintext><a href=x>", &[]);
    }

    #[test]
    fn without_scripts_noscript_counts() {
        check("<noscript><a href=x></noscript>", &["http://example.org/dir/x"]);
    }

    #[test]
    fn fragments_are_dropped_and_repeats_are_kept() {
        check(
            "<a href='/p#one'><a href='/p#two'><a href=/dir/page?q=1>",
            &["http://example.org/p", "http://example.org/p", "http://example.org/dir/page?q=1"],
        );
    }

    #[test]
    fn a_base_counts_from_where_it_stands_and_only_once() {
        check(
            "<a href=a><base href='/b/'><base href='/c/'><a href=d>",
            &["http://example.org/dir/a", "http://example.org/b/d"],
        );
        check(
            "<base href='http://other.test/x/y'><a href='z'><a href='#f'>",
            &["http://other.test/x/z", "http://other.test/x/y"],
        );
        check("<base target=_top><base href='data:,'><a href=d>", &["http://example.org/dir/d"]);
    }

    #[test]
    fn junk_addresses_do_not_multiply() {
        let long = "x".repeat(MAX_URL);
        check(&format!("<base href='/{long}/'><a href=a>"), &["http://example.org/dir/a"]);
        check(&format!("<a href='/{long}'>"), &[]);
    }

    #[test]
    fn the_first_title_is_found() {
        for (html, expected) in [
            ("<title>Plain</title>", Some("Plain")),
            ("<TITLE lang=en>\n Two  &amp;\n lines </TITLE >", Some("Two & lines")),
            ("<title><b>no tag</b></title>", Some("<b>no tag</b>")),
            ("<title></title><title>b</title>", Some("")),
            ("<svg><title>icon</title></svg><title>page</title>", Some("page")),
            ("<svg/><title>page</title>", Some("page")),
            ("<svg><title/><style/></svg><title>page</title>", Some("page")),
            ("<title>never closed <a href=x>", Some("never closed <a href=x>")),
            ("<script>'<title>x</title>'</script>", None),
            ("<p>none", None),
        ] {
            assert_eq!(title(html).as_deref(), expected, "{html}");
        }
        let long = title(&format!("<title>{}</title>", "ä".repeat(5000))).unwrap();
        assert_eq!(long.chars().count(), MAX_TITLE);
    }

    #[test]
    fn finds_come_in_the_order_of_the_document_and_lazily() {
        let page = Url::parse("http://example.org/").unwrap();
        let html = format!("<a href=a><title>t</title><a href=b>{}", "<a href=c>".repeat(100_000));
        let found: Vec<Found> = scan(&html, &page).take(3).collect();
        assert!(
            matches!(&found[..], [Found::Link(_), Found::Title(t), Found::Link(_)] if t == "t")
        );
    }
}
