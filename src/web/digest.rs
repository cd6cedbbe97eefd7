//! What bodies are told apart by: BLAKE3, of which nobody can make two pages share a digest.
//!
//! SHA-256 takes three to four times as long for a page of 100 kB where the processor has
//! instructions for it, and fifteen times where it has none, as many in clusters.

/// A body's digest. In records it is `blake3:` and 64 small hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(blake3::Hash);

impl Digest {
    /// The one of a body.
    pub fn of(body: &[u8]) -> Self {
        Self(blake3::hash(body))
    }

    /// As it stands in records.
    pub fn text(&self) -> String {
        ["blake3:", &self.0.to_hex()].concat()
    }

    /// The first half of it.
    pub fn half(&self) -> [u8; 16] {
        *self.0.as_bytes().first_chunk().expect("32 bytes are more than 16")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_its_authors_show() {
        // BLAKE3's test_vectors.json, of no bytes.
        let none = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Digest::of(b"").text(), format!("blake3:{none}"));
        assert_eq!(Digest::of(b"").half()[..2], [0xaf, 0x13]);
    }
}
