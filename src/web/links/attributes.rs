//! What a tag says beside its name.

use memchr::memchr3;

use super::vocabulary::Attribute;

const N_ATTRIBUTES: usize = Attribute::ALL.len();

/// The attributes of one tag.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    values: Vec<u8>,
    /// Where in `values` each is.
    slots: [Option<(usize, usize)>; N_ATTRIBUTES],
    /// Which the tag has had, as bits: of those of one name the first counts.
    had: u16,
    max_length: usize,
    /// Whether one was longer than `max_length`, and is left out.
    pub(super) has_too_long: bool,
}

impl Attributes {
    /// None yet; values longer than `max_length` bytes are left out.
    pub(super) fn new(max_length: usize) -> Self {
        Self { max_length, ..Self::default() }
    }

    /// The value of an attribute, entities decoded, if the tag has it.
    pub(super) fn get(&self, attribute: Attribute) -> Option<&str> {
        let (start, end) = self.slots[attribute as usize]?;
        std::str::from_utf8(&self.values[start..end]).ok()
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.slots = [None; N_ATTRIBUTES];
        self.had = 0;
        self.has_too_long = false;
    }

    /// Begins one, if the tag has not had it.
    pub(super) fn begin(&mut self, name: &[u8]) -> Option<Attribute> {
        let attribute = Attribute::of(name).filter(|&one| self.had & 1 << one as u16 == 0)?;
        self.had |= 1 << attribute as u16;
        self.slots[attribute as usize] = Some((self.values.len(), self.values.len()));
        Some(attribute)
    }

    /// Takes one as it is written, if it means what is written.
    pub(super) fn add_plain(&mut self, name: &[u8], value: &[u8]) -> bool {
        if name.iter().any(u8::is_ascii_uppercase) {
            return false;
        }
        let Some(attribute) = self.begin(name) else { return true };
        if memchr3(b'&', b'\0', b'\r', value).is_some() {
            return false;
        }
        self.push(attribute, value);
        true
    }

    /// Takes a piece of one's value, entities decoded.
    pub(super) fn push(&mut self, attribute: Attribute, value: &[u8]) {
        let Some((start, end)) = &mut self.slots[attribute as usize] else { return };
        if *end - *start + value.len() > self.max_length {
            self.has_too_long = true;
            self.slots[attribute as usize] = None;
            return;
        }
        self.values.extend_from_slice(value);
        *end += value.len();
    }
}
