//! Reads what is plain on a page in the tokenizer's place: to find the ends of tags and their
//! attributes takes less time than its states do.
//!
//! Plain are whole tags in small letters, with no entities but ampersands in their attributes,
//! scripts, styles, and titles with nothing to be decoded; and, where nobody asks for text, text,
//! comments and drawings. All else the tokenizer reads, and what such tags stand in: other titles,
//! text areas, `<math>`, and `<svg>` with more in it than shapes.
//!
//! **Invariant:** what is heard of a page is the same as without; but for a line feed that is lost
//! where nothing but plain tags stands between it and a carriage return.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use html5gum::{Readable as _, Reader, Tokenizer};
use memchr::{memchr, memchr3};

use super::attributes::Attributes;
use super::hear::{Audience, Hear};
use super::markup::{COMMENT, comment_end, doctype_end, is_space, near, tag_end, tag_name};
use super::tags::Tags;
use super::vocabulary::{RawText, Tag};

/// Where the tokenizer stops in a text that is HTML.
const IN_TEXT: &[u8] = b"&<\0\r";

/// A page that is being read.
pub(super) type Tokens<'a, H> = Tokenizer<Skim<'a, H>, Tags<'a, H>>;

/// Reads `html` for `hear`; attributes longer than `max_attribute` bytes are left out.
pub(super) fn tokens<H: Hear>(html: &str, hear: H, max_attribute: usize) -> Tokens<'_, H> {
    let wants = Wants::by(&hear);
    let audience = Rc::new(RefCell::new(Audience::new(hear)));
    let tags = Tags::new(Rc::clone(&audience), Attributes::new(max_attribute));
    let attributes = Attributes::new(max_attribute);
    let skim = Skim { html, at: 0, wants, attributes, audience };
    Tokenizer::new_with_emitter(skim, tags)
}

/// What becomes of tags where they are plain: of start tags, and of end tags, a bit for each.
#[derive(Clone, Copy, Debug)]
struct Wants {
    /// Somebody hears of them.
    heard: [u32; 2],
    /// The tokenizer reads them: what follows depends on them, or somebody stops there.
    left: [u32; 2],
    /// The first letters of tags whose name matters, a bit for each.
    letters: [u32; 2],
}

impl Wants {
    /// What `hear` wants.
    fn by(hear: &impl Hear) -> Self {
        let foreign = letter(b's') | letter(b'm'); // <svg> and <math>
        let mut wants = Self { heard: [0; 2], left: [0; 2], letters: [foreign, 0] };
        for (&tag, name) in Tag::ALL.iter().zip(Tag::NAMES) {
            let wanted = [hear.wants(tag), hear.wants_end(tag)];
            let gives = hear.gives(tag);
            let has_states = tag.state_after().is_some();
            let is_raw = tag.raw_text().is_some();
            let is_read_here = is_raw || tag == Tag::Title && wanted == [true; 2];
            let left = [has_states && !is_read_here || wanted[0] && gives, wanted[1] && gives];
            for (idx, wanted) in wanted.into_iter().enumerate() {
                wants.heard[idx] |= u32::from(wanted) << tag as u32;
                wants.left[idx] |= u32::from(left[idx]) << tag as u32;
                if wanted || left[idx] || is_raw && idx == 0 {
                    wants.letters[idx] |= letter(name[0]);
                }
            }
        }
        wants
    }

    #[inline]
    fn has_letter(self, first: u8, is_end: bool) -> bool {
        self.letters[usize::from(is_end)] & letter(first) != 0
    }

    #[inline]
    fn has(self, tag: Tag, is_end: bool) -> bool {
        self.heard[usize::from(is_end)] & 1 << tag as u32 != 0
    }

    #[inline]
    fn leaves(self, tag: Tag, is_end: bool) -> bool {
        self.left[usize::from(is_end)] & 1 << tag as u32 != 0
    }
}

#[inline]
fn letter(letter: u8) -> u32 {
    1 << (letter % 32)
}

/// The tokenizer's input.
pub(super) struct Skim<'a, H: Hear> {
    html: &'a str,
    at: usize,
    wants: Wants,
    /// Of the tag that is read here.
    attributes: Attributes<'a>,
    audience: Rc<RefCell<Audience<H>>>,
}

impl<H: Hear> Skim<'_, H> {
    #[inline]
    fn rest(&self) -> &[u8] {
        &self.html.as_bytes()[self.at..]
    }

    /// Reads what is plain from here on.
    fn read_plain(&mut self) {
        let mut audience = self.audience.borrow_mut();
        while audience.is_plain {
            if !audience.hear.wants_text() {
                let rest = self.rest();
                self.at += near(b'<', rest).unwrap_or(rest.len());
            }
            let end = plain(self.html, self.at, self.wants, &mut self.attributes, &mut audience);
            let Some(end) = end else { return };
            self.at = end;
        }
    }
}

impl<H: Hear> Reader for Skim<'_, H> {
    type Error = Infallible;

    #[inline]
    fn read_byte(&mut self) -> Result<Option<u8>, Infallible> {
        let byte = self.rest().first().copied();
        self.at += usize::from(byte.is_some());
        Ok(byte)
    }

    #[inline]
    fn try_read_string(&mut self, text: &[u8], exactly: bool) -> Result<bool, Infallible> {
        let is_here = self.rest().to_reader().try_read_string(text, exactly)?;
        self.at += if is_here { text.len() } else { 0 };
        Ok(is_here)
    }

    #[expect(clippy::inline_always, reason = "the search is made for `needle` when it is compiled")]
    #[inline(always)]
    fn read_until<'b>(
        &'b mut self,
        needle: &[u8],
        room: &'b mut [u8; 4],
    ) -> Result<Option<&'b [u8]>, Infallible> {
        if needle == IN_TEXT {
            self.read_plain();
        }
        let rest = &self.html.as_bytes()[self.at..];
        let length = rest.to_reader().read_until(needle, room)?.map(<[u8]>::len);
        self.at += length.unwrap_or(0);
        Ok(length.map(|length| &rest[..length]))
    }
}

/// Behind what stands at `at`, a tag, an element without links, a title or a comment, if it is
/// plain; the audience has heard of it then.
fn plain<'a, H: Hear>(
    page: &'a str,
    at: usize,
    wants: Wants,
    attributes: &mut Attributes<'a>,
    audience: &mut Audience<H>,
) -> Option<usize> {
    let html = page.as_bytes();
    let (name, end, is_end) = match tag_name(html, at) {
        Some(tag) => tag,
        None if audience.hear.wants_text() => return None,
        None => return passed(audience, comment_end(html, at).or_else(|| doctype_end(html, at))),
    };
    // That goes for `</svg>` too, which ends nothing here.
    if !wants.has_letter(name[0], is_end) {
        return passed(audience, tag_end(html, end, |_, _| true));
    }
    match name {
        b"svg" if !is_end && !audience.hear.wants_text() => {
            return passed(audience, drawing_end(html, end));
        }
        b"svg" | b"math" => return None,
        _ => {}
    }
    let tag = Tag::of(name);
    if tag.is_some_and(|tag| wants.leaves(tag, is_end)) {
        return None;
    }
    let heard = tag.filter(|&tag| wants.has(tag, is_end));
    let mut end = if heard.is_some() && !is_end {
        attributes.clear();
        tag_end(html, end, |name, value| attributes.add_plain(page, name, value))?
    } else {
        tag_end(html, end, |_, _| true)?
    };
    if !is_end && let Some(text) = tag.and_then(Tag::raw_text) {
        end = element_end(html, end, name, text)?;
    }
    match heard {
        None => {}
        Some(tag) if is_end => audience.end(tag),
        Some(Tag::Title) => {
            let text = end..title_end(html, end)?;
            end = text.end + TITLE_END.len();
            audience.start(Tag::Title, attributes);
            audience.has_passed = true;
            audience.text(&html[text], Some(Tag::Title));
            audience.end(Tag::Title);
        }
        Some(tag) => audience.start(tag, attributes),
    }
    passed(audience, Some(end))
}

/// Notes that a tag has come, if it has: it ends a word.
#[inline]
fn passed<H: Hear>(audience: &mut Audience<H>, end: Option<usize>) -> Option<usize> {
    audience.has_passed |= end.is_some();
    end
}

const TITLE_END: &[u8] = b"</title>";

/// Where the text of a title ends that begins at `at`, if it means what is written.
fn title_end(html: &[u8], at: usize) -> Option<usize> {
    let end = at + memchr(b'<', html.get(at..)?)?;
    let is_plain = memchr3(b'&', b'\0', b'\r', &html[at..end]).is_none();
    (is_plain && html[end..].starts_with(TITLE_END)).then_some(end)
}

/// Behind the end tag of an element `name` whose text begins at `at`, if that is plain (HTML
/// standard, 13.2.5.12 to 13.2.5.20).
fn element_end(html: &[u8], mut at: usize, name: &[u8], text: RawText) -> Option<usize> {
    loop {
        at += memchr(b'<', html.get(at..)?)? + 1;
        let after = &html[at..];
        if text == RawText::Script && after.starts_with(b"!--") {
            return None;
        }
        let end = at + 1 + name.len();
        let is_end = after.first() == Some(&b'/')
            && html.get(at + 1..end).is_some_and(|here| here.eq_ignore_ascii_case(name))
            && html.get(end).is_some_and(|&byte| is_space(byte) || matches!(byte, b'/' | b'>'));
        if is_end {
            return tag_end(html, end, |_, _| true);
        }
    }
}

/// What is in drawings that leads nowhere and holds no HTML.
const SHAPES: &[&[u8]] = &[
    b"circle",
    b"defs",
    b"ellipse",
    b"g",
    b"line",
    b"mask",
    b"path",
    b"polygon",
    b"polyline",
    b"rect",
    b"stop",
    b"symbol",
    b"text",
    b"tspan",
    b"use",
];

/// Behind the `<svg>` whose start tag's name ends at `at`, if there is nothing in it but shapes,
/// texts and comments.
fn drawing_end(html: &[u8], at: usize) -> Option<usize> {
    let mut at = tag_end(html, at, |_, _| true)?;
    loop {
        at += memchr(b'<', &html[at..])?;
        if html[at..].starts_with(COMMENT) {
            at = comment_end(html, at)?;
            continue;
        }
        let (name, end, is_end) = tag_name(html, at)?;
        let is_last = is_end && name == b"svg";
        if !is_last && !SHAPES.contains(&name) {
            return None;
        }
        at = tag_end(html, end, |_, _| true)?;
        if is_last {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
