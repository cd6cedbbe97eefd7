//! The name of a tag or an attribute, put together from pieces without an allocation.

/// A name, as far as it can be one that is known.
#[derive(Debug, Default)]
pub(super) struct Name {
    bytes: [u8; 16],
    length: usize,
}

impl Name {
    #[inline]
    pub(super) fn push(&mut self, piece: &[u8]) {
        let end = self.length + piece.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(piece);
        }
        self.length = end;
    }

    /// Empty where it is longer than any that is known.
    #[inline]
    pub(super) fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Whether the two are the same one.
    #[inline]
    pub(super) fn is(&self, other: &Self) -> bool {
        self.length > 0 && self.get() == other.get()
    }
}
