//! Reads what is plain on a page in the tokenizer's place: to find the ends of tags and their
//! attributes takes less time than its states do.
//!
//! Plain are whole tags in small letters, with nothing in their attributes that must be decoded,
//! scripts and styles; and, where nobody asks for text, text, comments and drawings. All else the
//! tokenizer reads, and what such tags stand in: titles and text areas, `<math>`, and `<svg>` with
//! more in it than shapes.
//!
//! **Invariant:** what is heard of a page is the same as without; but for a line feed that is lost
//! where nothing but plain tags stands between it and a carriage return.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use html5gum::{Readable as _, Reader, Tokenizer};
use memchr::{memchr, memmem};

use super::attributes::Attributes;
use super::hear::{Audience, Hear};
use super::tags::Tags;
use super::vocabulary::{RawText, Tag};

/// Where the tokenizer stops in a text that is HTML.
const IN_TEXT: &[u8] = b"&<\0\r";

/// A page that is being read.
pub(super) type Tokens<'a, H> = Tokenizer<Skim<'a, H>, Tags<H>>;

/// Reads `html` for `hear`; attributes longer than `max_attribute` bytes are left out.
pub(super) fn tokens<H: Hear>(html: &str, hear: H, max_attribute: usize) -> Tokens<'_, H> {
    let heard = Heard::by(&hear);
    let audience = Rc::new(RefCell::new(Audience::new(hear)));
    let tags = Tags::new(Rc::clone(&audience), Attributes::new(max_attribute));
    let attributes = Attributes::new(max_attribute);
    let skim = Skim { html: html.as_bytes(), at: 0, heard, attributes, audience };
    Tokenizer::new_with_emitter(skim, tags)
}

/// What becomes of tags where they are plain: of start tags, and of end tags, a bit for each.
#[derive(Clone, Copy, Debug)]
struct Heard {
    heard: [u32; 2],
    /// The tokenizer reads them: what follows depends on them, or somebody stops there.
    left: [u32; 2],
}

impl Heard {
    /// What `hear` wants.
    fn by(hear: &impl Hear) -> Self {
        let bits = |is_one: &dyn Fn(Tag) -> bool| {
            let bit = |&tag: &Tag| u32::from(is_one(tag)) << tag as u32;
            Tag::ALL.iter().map(bit).sum()
        };
        let has_own_states = |tag: Tag| tag.state_after().is_some() && tag.raw_text().is_none();
        Self {
            heard: [bits(&|tag| hear.wants(tag)), bits(&|tag| hear.wants_end(tag))],
            left: [
                bits(&|tag| has_own_states(tag) || hear.wants(tag) && hear.gives(tag)),
                bits(&|tag| hear.wants_end(tag) && hear.gives(tag)),
            ],
        }
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

/// The tokenizer's input.
pub(super) struct Skim<'a, H: Hear> {
    html: &'a [u8],
    at: usize,
    heard: Heard,
    /// Of the tag that is read here.
    attributes: Attributes,
    audience: Rc<RefCell<Audience<H>>>,
}

impl<H: Hear> Skim<'_, H> {
    /// Reads what is plain from here on.
    fn read_plain(&mut self) {
        let mut audience = self.audience.borrow_mut();
        while audience.is_plain {
            let wants_text = audience.hear.wants_text();
            if !wants_text {
                let rest = &self.html[self.at..];
                self.at += near(b'<', rest).unwrap_or(rest.len());
            }
            let tag = plain(&self.html[self.at..], self.heard, wants_text, &mut self.attributes);
            let Some((length, heard)) = tag else { return };
            self.at += length;
            audience.has_passed = true;
            match heard {
                Some((tag, false)) => audience.start(tag, &self.attributes),
                Some((tag, true)) => audience.end(tag),
                None => {}
            }
        }
    }
}

impl<H: Hear> Reader for Skim<'_, H> {
    type Error = Infallible;

    #[inline]
    fn read_byte(&mut self) -> Result<Option<u8>, Infallible> {
        let byte = self.html.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        Ok(byte)
    }

    #[inline]
    fn try_read_string(&mut self, text: &[u8], exactly: bool) -> Result<bool, Infallible> {
        let is_here = self.html[self.at..].to_reader().try_read_string(text, exactly)?;
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
        let rest = &self.html[self.at..];
        let length = rest.to_reader().read_until(needle, room)?.map(<[u8]>::len);
        self.at += length.unwrap_or(0);
        Ok(length.map(|length| &rest[..length]))
    }
}

/// The length of what stands here, a tag, an element without links or a comment, if it is plain; and
/// if it is a tag to be heard, which it is, and whether it is an end tag.
fn plain(
    html: &[u8],
    heard: Heard,
    wants_text: bool,
    attributes: &mut Attributes,
) -> Option<(usize, Option<(Tag, bool)>)> {
    if !wants_text && html.starts_with(COMMENT) {
        return Some((comment_end(html, 0)?, None));
    }
    let (name, end, is_end) = tag_name(html, 0)?;
    match name {
        b"svg" if !is_end && !wants_text => return Some((drawing_end(html, end)?, None)),
        b"svg" | b"math" => return None,
        _ => {}
    }
    let tag = Tag::of(name);
    if tag.is_some_and(|tag| heard.leaves(tag, is_end)) {
        return None;
    }
    let is_heard = tag.is_some_and(|tag| heard.has(tag, is_end));
    let mut length = if is_heard && !is_end {
        attributes.clear();
        tag_end(html, end, |name, value| attributes.add_plain(name, value))?
    } else {
        tag_end(html, end, |_, _| true)?
    };
    if !is_end && let Some(text) = tag.and_then(Tag::raw_text) {
        length = element_end(html, length, name, text)?;
    }
    Some((length, tag.filter(|_| is_heard).map(|tag| (tag, is_end))))
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

const COMMENT: &[u8] = b"<!--";

/// Behind the comment that stands at `at`, if the first two hyphens in it are its end.
fn comment_end(html: &[u8], at: usize) -> Option<usize> {
    let text = &html[at + COMMENT.len()..];
    if matches!(text, [b'>' | b'-', ..]) {
        return None;
    }
    let end = memmem::find(text, b"--")?;
    (text.get(end + 2) == Some(&b'>')).then_some(at + COMMENT.len() + end + 3)
}

/// The name of the tag that stands at `at`, where it ends, and whether it is an end tag; if the
/// name is whole, and in small letters.
fn tag_name(html: &[u8], at: usize) -> Option<(&[u8], usize, bool)> {
    let (is_end, start) = match &html[at..] {
        [b'<', b'/', b'a'..=b'z', ..] => (true, at + 2),
        [b'<', b'a'..=b'z', ..] => (false, at + 1),
        _ => return None,
    };
    let is_of_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let end = start + html[start..].iter().position(|byte| !is_of_name(byte))?;
    let is_whole = is_space(html[end]) || matches!(html[end], b'/' | b'>');
    is_whole.then_some((&html[start..end], end, is_end))
}

/// Behind the tag whose name ends at `at`, if it is whole (HTML standard, 13.2.5.32 to 13.2.5.40)
/// and each attribute's name and value, as they are written, is plain.
fn tag_end(
    html: &[u8],
    mut at: usize,
    mut is_plain: impl FnMut(&[u8], &[u8]) -> bool,
) -> Option<usize> {
    let find = |at: usize, is_it: fn(u8) -> bool| {
        Some(at + html.get(at..)?.iter().position(|&byte| is_it(byte))?)
    };
    loop {
        match *html.get(at)? {
            b'>' => return Some(at + 1),
            byte if byte == b'/' || is_space(byte) => {
                at += 1;
                continue;
            }
            _ => {}
        }
        // An attribute's name, of at least one character, even if that is `=`.
        let start = at;
        at = find(at + 1, |byte| is_space(byte) || matches!(byte, b'/' | b'>' | b'='))?;
        let name = &html[start..at];
        at = find(at, |byte| !is_space(byte))?;
        let value = if html[at] == b'=' {
            at = find(at + 1, |byte| !is_space(byte))?;
            let quote = Some(html[at]).filter(|byte| matches!(byte, b'"' | b'\''));
            let start = at + usize::from(quote.is_some());
            let end = match quote {
                Some(quote) => start + near(quote, &html[start..])?,
                None => find(start, |byte| is_space(byte) || byte == b'>')?,
            };
            at = end + usize::from(quote.is_some());
            &html[start..end]
        } else {
            b""
        };
        if !is_plain(name, value) {
            return None;
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

/// Words in which [`near`] looks by itself.
const N_NEAR: usize = 4;

/// Where the first such byte is. Mostly it is near, and found here in less time than it takes to
/// begin a search by vectors.
#[inline]
fn near(byte: u8, bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let (words, _) = bytes.as_chunks::<8>();
    let words = &words[..words.len().min(N_NEAR)];
    for (idx, word) in words.iter().enumerate() {
        // Zero where the byte stands. What is lent from the byte above shows only above the first.
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(byte));
        let found = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if found != 0 {
            return Some(8 * idx + found.trailing_zeros() as usize / 8);
        }
    }
    let start = 8 * words.len();
    Some(start + memchr(byte, &bytes[start..])?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_byte_is_found_near_and_far(
            bytes in prop::collection::vec(prop::sample::select(vec![0, 1, b'<', b'=', 0x7f, 0x80, 0xbc, 0xff]), 0..80),
            byte in prop::sample::select(vec![0, 1, b'<', 0x80, 0xff]),
        ) {
            for bytes in [&bytes[..], &bytes.repeat(5).iter().copied().filter(|&one| one != byte).chain([byte]).collect::<Vec<_>>()] {
                prop_assert_eq!(near(byte, bytes), bytes.iter().position(|&one| one == byte));
            }
        }
    }
}
