//! Passes over tags that mean nothing here, most of those on a page: to find their ends takes less
//! time than the tokenizer takes to read them.
//!
//! **Invariant:** what is heard of a page is the same as without; but for a line feed that is lost
//! where nothing but such tags stands between it and a carriage return.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use html5gum::{Readable as _, Reader, Tokenizer};
use memchr::memchr;

use super::tags::{Hear, Tag, Tags};

/// Where the tokenizer stops in a text that is HTML.
const IN_TEXT: &[u8] = b"&<\0\r";

/// A page that is being read.
pub(super) type Tokens<'a, H> = Tokenizer<Skim<'a>, Tags<H>>;

/// Reads `html` for `hear`; attributes longer than `max_attribute` bytes are left out.
pub(super) fn tokens<H: Hear>(html: &str, hear: H, max_attribute: usize) -> Tokens<'_, H> {
    let passing = Rc::new(Passing { allowed: Cell::new(true), done: Cell::new(false) });
    let skim = Skim { html: html.as_bytes(), at: 0, heard: Heard::by(&hear), passing };
    let tags = Tags::new(hear, max_attribute, Rc::clone(&skim.passing));
    Tokenizer::new_with_emitter(skim, tags)
}

/// What the two sides of the tokenizer tell each other.
#[derive(Debug)]
pub(super) struct Passing {
    /// Whether tags may be passed over: not where a text is no HTML, nor in `<svg>` or `<math>`.
    pub(super) allowed: Cell<bool>,
    /// Whether some have been, since this was last asked.
    pub(super) done: Cell<bool>,
}

/// The tags that are to be heard, a bit each.
#[derive(Clone, Copy, Debug)]
struct Heard {
    starts: u32,
    ends: u32,
}

impl Heard {
    /// What `hear` wants, and what changes how the text behind it is read.
    fn by(hear: &impl Hear) -> Self {
        let bits = |is_heard: &dyn Fn(Tag) -> bool| {
            let bit = |&tag: &Tag| u32::from(is_heard(tag)) << tag as u32;
            Tag::ALL.iter().map(bit).sum()
        };
        let starts = bits(&|tag| hear.wants(tag) || tag.state_after().is_some());
        Self { starts, ends: bits(&|tag| hear.wants_end(tag)) }
    }

    /// Whether a tag of this name is one of them.
    #[inline]
    fn has(self, name: &[u8], is_end: bool) -> bool {
        let bits = if is_end { self.ends } else { self.starts };
        Tag::of(name).is_some_and(|tag| bits & 1 << tag as u32 != 0)
    }
}

/// The tokenizer's input.
#[derive(Debug)]
pub(super) struct Skim<'a> {
    html: &'a [u8],
    at: usize,
    heard: Heard,
    passing: Rc<Passing>,
}

impl Skim<'_> {
    /// Passes over the tags that stand here, if there are some.
    #[inline]
    fn pass(&mut self) {
        while let Some(length) = dull_tag(&self.html[self.at..], self.heard) {
            self.at += length;
            self.passing.done.set(true);
        }
    }
}

impl Reader for Skim<'_> {
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
        if needle == IN_TEXT && self.passing.allowed.get() {
            self.pass();
        }
        let rest = &self.html[self.at..];
        let length = rest.to_reader().read_until(needle, room)?.map(<[u8]>::len);
        self.at += length.unwrap_or(0);
        Ok(length.map(|length| &rest[..length]))
    }
}

/// The length of the tag that stands here, if it is one that nobody asks about.
fn dull_tag(html: &[u8], heard: Heard) -> Option<usize> {
    let (is_end, name) = match html {
        [b'<', b'/', b'a'..=b'z', ..] => (true, 2),
        [b'<', b'a'..=b'z', ..] => (false, 1),
        _ => return None,
    };
    let is_of_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let end = name + html[name..].iter().position(|byte| !is_of_name(byte))?;
    let is_whole = is_space(html[end]) || matches!(html[end], b'/' | b'>');
    let is_dull = is_whole
        && !heard.has(&html[name..end], is_end)
        && !matches!(&html[name..end], b"svg" | b"math");
    if is_dull { tag_end(html, end) } else { None }
}

/// Behind the tag whose name ends at `at`, if it is whole (HTML standard, 13.2.5.32 to 13.2.5.40).
fn tag_end(html: &[u8], mut at: usize) -> Option<usize> {
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
        at = find(at + 1, |byte| is_space(byte) || matches!(byte, b'/' | b'>' | b'='))?;
        at = find(at, |byte| !is_space(byte))?;
        if html[at] != b'=' {
            continue;
        }
        at = find(at + 1, |byte| !is_space(byte))?;
        at = match html[at] {
            quote @ (b'"' | b'\'') => at + 2 + memchr(quote, &html[at + 1..])?,
            _ => find(at, |byte| is_space(byte) || byte == b'>')?,
        };
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}
