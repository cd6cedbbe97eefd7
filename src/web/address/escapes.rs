//! Percent-encoding in one spelling (RFC 3986, 6.2.2.1 and 6.2.2.2).
//!
//! **Invariant:** what is left decodes to the same bytes; done twice, it is as done once.

use std::borrow::Cow;

/// `text` with its escapes in capitals, and without those of letters, digits, `-`, `.`, `_` and
/// `~`, which need none. A `%` that begins no escape stays.
pub(super) fn needed(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let Some(first) = bytes.iter().position(|&byte| byte == b'%') else { return text.into() };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    // Where a `%` stands in `out` that begins no escape: what is decoded must not make it one. Only
    // digits can, so that parts of a path or a query are spelt alike with others or without.
    let mut stray = None;
    let mut rest = &text[first..];
    while let Some((plain, after)) = rest.split_once('%') {
        out.push_str(plain);
        let Some(byte) = escaped(after) else {
            stray = Some(out.len());
            out.push('%');
            rest = after;
            continue;
        };
        let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
        let makes_one = is_digit(&byte)
            && stray.is_some_and(|at| {
                out.len() - at <= 2 && out.as_bytes()[at + 1..].iter().all(is_digit)
            });
        if is_unreserved(byte) && !makes_one {
            out.push(byte.into());
        } else {
            out.push('%');
            out.push_str(&after[..2].to_ascii_uppercase());
        }
        rest = &after[2..];
    }
    out.push_str(rest);
    if out == text { text.into() } else { out.into() }
}

/// The byte that the two digits at the start mean.
fn escaped(text: &str) -> Option<u8> {
    let digit = |at: usize| (*text.as_bytes().get(at)? as char).to_digit(16);
    u8::try_from(16 * digit(0)? + digit(1)?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
