//! What a tag says beside its name.

use std::ops::Range;

use memchr::memchr3;

use super::vocabulary::Attribute;

const N_ATTRIBUTES: usize = Attribute::ALL.len();

/// The attributes of one tag of the page `'a`.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    /// Each that the tag has had: of those of one name the first counts.
    values: [Value<'a>; N_ATTRIBUTES],
    /// Which the tag has had, as bits; what `values` holds of others is of an earlier tag.
    had: u16,
    /// Values that the tokenizer gave in pieces.
    decoded: Vec<u8>,
    max_length: usize,
    /// Whether one was longer than `max_length`, and is left out.
    pub(super) has_too_long: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Value<'a> {
    #[default]
    LeftOut,
    /// As it stands on the page.
    Plain(&'a str),
    /// From here to there in `decoded`.
    Decoded(usize, usize),
}

impl<'a> Attributes<'a> {
    /// None yet; values longer than `max_length` bytes are left out.
    pub(super) fn new(max_length: usize) -> Self {
        Self { max_length, ..Self::default() }
    }

    /// The value of an attribute, entities decoded, if the tag has it.
    #[inline]
    pub(super) fn get(&self, attribute: Attribute) -> Option<&str> {
        if self.had & 1 << attribute as u16 == 0 {
            return None;
        }
        match self.values[attribute as usize] {
            Value::LeftOut => None,
            Value::Plain(value) => Some(value),
            Value::Decoded(start, end) => std::str::from_utf8(&self.decoded[start..end]).ok(),
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.decoded.clear();
        self.had = 0;
        self.has_too_long = false;
    }

    /// Begins one, if the tag has not had it.
    pub(super) fn begin(&mut self, name: &[u8]) -> Option<Attribute> {
        let attribute = Attribute::of(name).filter(|&one| self.had & 1 << one as u16 == 0)?;
        self.had |= 1 << attribute as u16;
        self.values[attribute as usize] = Value::Decoded(self.decoded.len(), self.decoded.len());
        Some(attribute)
    }

    /// Takes one as it is written, if it means what is written.
    #[inline]
    pub(super) fn add_plain(
        &mut self,
        page: &'a str,
        name: Range<usize>,
        value: Range<usize>,
    ) -> bool {
        let name = &page.as_bytes()[name];
        let Some(attribute) = self.begin(name) else {
            return !Attribute::has_length(name.len()) || !name.iter().any(u8::is_ascii_uppercase);
        };
        let Some(value) = page.get(value) else { return false };
        if let Some(at) = memchr3(b'&', b'\0', b'\r', value.as_bytes()) {
            return self.push_decoded(attribute, value.as_bytes(), at);
        }
        let is_too_long = value.len() > self.max_length;
        self.has_too_long |= is_too_long;
        let value = if is_too_long { Value::LeftOut } else { Value::Plain(value) };
        self.values[attribute as usize] = value;
        true
    }

    /// Takes a value that does not mean what is written `at` there, if all that must be decoded are
    /// ampersands (HTML standard, 13.2.5.73): they stand in many addresses.
    fn push_decoded(&mut self, attribute: Attribute, mut value: &[u8], mut at: usize) -> bool {
        loop {
            let Some(rest) = value[at..].strip_prefix(b"&amp;") else { return false };
            self.push(attribute, &value[..=at]);
            value = rest;
            match memchr3(b'&', b'\0', b'\r', value) {
                Some(next) => at = next,
                None => break,
            }
        }
        self.push(attribute, value);
        true
    }

    /// Takes a piece of one's value, entities decoded.
    pub(super) fn push(&mut self, attribute: Attribute, piece: &[u8]) {
        let value = &mut self.values[attribute as usize];
        let Value::Decoded(start, end) = value else { return };
        if *end - *start + piece.len() > self.max_length {
            self.has_too_long = true;
            *value = Value::LeftOut;
            return;
        }
        self.decoded.extend_from_slice(piece);
        *end += piece.len();
    }
}
