//! What a page says about itself and where it leads: its title and its links, in the order of
//! the document.
//!
//! Found with a tokenizer that follows the HTML standard: entities are decoded, and neither
//! comments nor scripts, styles, titles, text areas or attributes yield links. There is no tree
//! and no backtracking, so the time is linear in the page's length. `<noscript>` is read as a
//! browser without scripts reads it.
//!
//! A link is the `href` of an `<a>` or `<area>`, made absolute against the page's address or the
//! `<base href>` before it, without its fragment. Left out are links that stay on the page
//! (`#top`), `javascript:` and `data:`, and what is no address.
//!
//! **Invariant:** pure; what is kept at a time is one tag and one text.

use std::convert::Infallible;

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Span, State, StringReader, Tokenizer};
use url::Url;

/// Longer addresses are junk; without a bound, a long base would multiply with every link.
const MAX_URL: usize = 16 << 10;

/// Characters of a title that are kept.
const MAX_TITLE: usize = 1000;

/// Something found on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The text of the first `<title>`, white space collapsed.
    Title(String),
    /// A link.
    Link(Link),
}

/// Where a page leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What sort of link.
    pub kind: LinkKind,
    /// Absolute, without a fragment.
    pub url: Url,
}

/// What makes a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKind {
    /// `<a href>` or `<area href>`: to be followed by a reader.
    Anchor,
}

/// Reads `html`, the page at `page`, and yields what it finds, as it finds it.
pub fn scan<'a>(html: &'a str, page: &Url) -> Scan<'a> {
    Scan {
        tokens: Tokenizer::new_with_emitter(html, CallbackEmitter::new(Tags::default())),
        page: without_fragment(page.clone()),
        base: None,
        title: TitleState::Before,
        foreign: false,
    }
}

/// An iterator over what is [`Found`] on a page.
pub struct Scan<'a> {
    tokens: Tokenizer<StringReader<'a>, CallbackEmitter<Tags, Event>>,
    page: Url,
    base: Option<Url>,
    title: TitleState,
    /// Inside `<svg>` or `<math>`, where `<title>` is a caption and `<style/>` is empty.
    foreign: bool,
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("page", &self.page.as_str()).finish_non_exhaustive()
    }
}

enum TitleState {
    Before,
    Inside(String),
    Done,
}

impl Iterator for Scan<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let Some(event) = self.tokens.next() else { return self.end_title() };
            let event = event.unwrap_or_else(|never: Infallible| match never {});
            if let Some(found) = self.hear(event) {
                return Some(found);
            }
        }
    }
}

impl Scan<'_> {
    fn hear(&mut self, event: Event) -> Option<Found> {
        match event {
            Event::Start { tag, href, empty } => {
                self.enter(&tag, empty);
                let href = String::from_utf8(href?).expect("a slice of a text at ASCII bounds");
                self.link(&tag, &href)
            }
            Event::End(tag) => {
                if tag == b"title" {
                    return self.end_title();
                }
                self.foreign = false;
                None
            }
            Event::Text(text) => {
                if let TitleState::Inside(title) = &mut self.title {
                    title.push_str(&String::from_utf8_lossy(&text));
                }
                None
            }
        }
    }

    /// Follows what a start tag means for the text after it.
    fn enter(&mut self, tag: &[u8], empty: bool) {
        if matches!(tag, b"svg" | b"math") {
            self.foreign = !empty;
        }
        if self.foreign && empty {
            return;
        }
        if let Some(state) = state_after(tag) {
            self.tokens.set_state(state);
        }
        if tag == b"title" && !self.foreign && matches!(self.title, TitleState::Before) {
            self.title = TitleState::Inside(String::new());
        }
    }

    fn end_title(&mut self) -> Option<Found> {
        let TitleState::Inside(title) = &self.title else { return None };
        let words: Vec<&str> = title.split_ascii_whitespace().collect();
        let title = words.join(" ").chars().take(MAX_TITLE).collect();
        self.title = TitleState::Done;
        Some(Found::Title(title))
    }

    fn link(&mut self, tag: &[u8], href: &str) -> Option<Found> {
        let url = self.base.as_ref().unwrap_or(&self.page).join(href).ok()?;
        if url.as_str().len() > MAX_URL || matches!(url.scheme(), "javascript" | "data") {
            return None;
        }
        if tag == b"base" {
            self.base.get_or_insert(url);
            return None;
        }
        let inner = url.fragment().is_some() || href.trim().is_empty();
        let url = without_fragment(url);
        if inner && url == self.page {
            return None;
        }
        Some(Found::Link(Link { kind: LinkKind::Anchor, url }))
    }
}

fn without_fragment(mut url: Url) -> Url {
    url.set_fragment(None);
    url
}

/// How the tokenizer must read what follows a start tag (HTML standard, 13.2.6.4, with
/// scripting off).
fn state_after(tag: &[u8]) -> Option<State> {
    match tag {
        b"title" | b"textarea" => Some(State::RcData),
        b"style" | b"xmp" | b"iframe" | b"noembed" | b"noframes" => Some(State::RawText),
        b"script" => Some(State::ScriptData),
        b"plaintext" => Some(State::PlainText),
        _ => None,
    }
}

/// What the tokenizer passes on: tags that matter, and the texts of a title.
enum Event {
    Start { tag: Vec<u8>, href: Option<Vec<u8>>, empty: bool },
    End(Vec<u8>),
    Text(Vec<u8>),
}

/// Collects a tag and its `href` from the tokenizer's calls.
#[derive(Default)]
struct Tags {
    tag: Vec<u8>,
    href: Option<Vec<u8>>,
    /// The attribute being read is the first `href`; later ones do not count.
    in_href: bool,
    in_title: bool,
}

impl Callback<Event, ()> for Tags {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<Event> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag.clear();
                self.tag.extend_from_slice(name);
                self.href = None;
                self.in_href = false;
            }
            CallbackEvent::AttributeName { name } => {
                self.in_href = name == b"href" && self.href.is_none() && self.has_links();
                if self.in_href {
                    self.href = Some(Vec::new());
                }
            }
            CallbackEvent::AttributeValue { value } if self.in_href => {
                self.href = Some(value.to_vec());
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                self.in_title = self.tag == b"title";
                let href = self.href.take();
                if href.is_some() || self.changes_text() {
                    return Some(Event::Start { tag: self.tag.clone(), href, empty: self_closing });
                }
            }
            CallbackEvent::EndTag { name: name @ (b"title" | b"svg" | b"math") } => {
                self.in_title = false;
                return Some(Event::End(name.to_vec()));
            }
            CallbackEvent::String { value } if self.in_title => {
                return Some(Event::Text(value.to_vec()));
            }
            _ => {}
        }
        None
    }
}

impl Tags {
    fn has_links(&self) -> bool {
        matches!(&self.tag[..], b"a" | b"area" | b"base")
    }

    fn changes_text(&self) -> bool {
        state_after(&self.tag).is_some() || matches!(&self.tag[..], b"svg" | b"math")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(html: &str) -> Vec<String> {
        let page = Url::parse("http://example.org/dir/page?q=1").unwrap();
        let link = |found| match found {
            Found::Link(link) => Some(link.url.to_string()),
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
