//! Where tags and comments end that are plain, as they stand on a page.

use std::ops::Range;

use memchr::{memchr, memmem};

/// The name of the tag that stands at `at`, where it ends, and whether it is an end tag; if the
/// name is whole, and in small letters.
#[inline]
pub(super) fn tag_name(html: &[u8], at: usize) -> Option<(&[u8], usize, bool)> {
    let (is_end, start) = match html.get(at..)? {
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
pub(super) fn tag_end(
    html: &[u8],
    mut at: usize,
    mut is_plain: impl FnMut(Range<usize>, Range<usize>) -> bool,
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
        let name = start..at;
        if is_space(html[at]) {
            at = find(at, |byte| !is_space(byte))?;
        }
        let value = if html[at] == b'=' {
            at += 1;
            if is_space(*html.get(at)?) {
                at = find(at, |byte| !is_space(byte))?;
            }
            let quote = html[at];
            if matches!(quote, b'"' | b'\'') {
                let start = at + 1;
                let end = start + near(quote, &html[start..])?;
                at = end + 1;
                start..end
            } else {
                let start = at;
                at = find(start, |byte| is_space(byte) || byte == b'>')?;
                start..at
            }
        } else {
            at..at
        };
        if !is_plain(name, value) {
            return None;
        }
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

/// Words in which [`near`] looks by itself.
const N_NEAR: usize = 4;

/// Where the first such byte is. Mostly it is near, and found here in less time than it takes to
/// begin a search by vectors.
#[inline]
pub(super) fn near(byte: u8, bytes: &[u8]) -> Option<usize> {
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

pub(super) const COMMENT: &[u8] = b"<!--";

/// Behind the document type that stands at `at`, if it is HTML's.
pub(super) fn doctype_end(html: &[u8], at: usize) -> Option<usize> {
    const DOCTYPE: &[u8] = b"<!doctype html>";
    let end = at + DOCTYPE.len();
    html.get(at..end)?.eq_ignore_ascii_case(DOCTYPE).then_some(end)
}

/// Behind the comment that stands at `at`, if the first two hyphens in it are its end.
pub(super) fn comment_end(html: &[u8], at: usize) -> Option<usize> {
    let text = html[at..].strip_prefix(COMMENT)?;
    if matches!(text, [b'>' | b'-', ..]) {
        return None;
    }
    let end = memmem::find(text, b"--")?;
    (text.get(end + 2) == Some(&b'>')).then_some(at + COMMENT.len() + end + 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of which some differ by little.
    fn byte() -> impl Strategy<Value = u8> {
        prop::sample::select(vec![0, 1, b'<', b'=', 0x7f, 0x80, 0xbc, 0xff])
    }

    proptest! {
        #[test]
        fn the_first_byte_is_found_near_and_far(
            bytes in prop::collection::vec(byte(), 0..80), byte in byte(),
        ) {
            let others = bytes.repeat(5).into_iter().filter(|&one| one != byte);
            for bytes in [&bytes, &others.chain([byte]).collect()] {
                prop_assert_eq!(near(byte, bytes), bytes.iter().position(|&one| one == byte));
            }
        }
    }
}
