//! Text that comes in pieces, with its white space collapsed and its length bounded.

/// Collects a text.
#[derive(Clone, Debug)]
pub(super) struct Collapsed {
    bytes: Vec<u8>,
    max_chars: usize,
    has_gap: bool,
}

impl Collapsed {
    /// One that keeps so many characters.
    pub(super) fn new(max_chars: usize) -> Self {
        Self { bytes: Vec::new(), max_chars, has_gap: false }
    }

    /// Takes a piece of UTF-8, which may begin or end inside of a character.
    pub(super) fn push(&mut self, piece: &[u8]) {
        // A character has up to 4 bytes.
        let room = (4 * self.max_chars).saturating_sub(self.bytes.len());
        self.bytes.reserve(piece.len().min(room));
        let mut taken = 0;
        for &byte in piece {
            if byte.is_ascii_whitespace() {
                self.has_gap = true;
                continue;
            }
            if taken >= room {
                return;
            }
            if self.has_gap && !self.bytes.is_empty() {
                self.bytes.push(b' ');
                taken += 1;
            }
            self.has_gap = false;
            self.bytes.push(byte);
            taken += 1;
        }
    }

    pub(super) fn finish(self) -> String {
        let whole = String::from_utf8(self.bytes);
        let mut text =
            whole.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if let Some((end, _)) = text.char_indices().nth(self.max_chars) {
            text.truncate(end);
        }
        text
    }
}
