//! Rules' patterns and addresses in one canonical form (RFC 9309, 2.2.2 and 2.2.3), and whether
//! they match.
//!
//! Percent-encoded octets are decoded where RFC 3986 calls them unreserved, everything that an
//! address cannot hold is encoded, and hexadecimal digits are upper case. `*` and `$` are the
//! same as `%2A` and `%24` in an address; in a pattern they are special, and what stands for
//! them are two characters that no canonical form contains.
//!
//! **Invariant:** matching takes time in proportion to pattern plus address.

use std::borrow::Cow;

use memchr::memmem;

/// Stands for a pattern's `*`.
const ANY: u8 = b'|';
/// Stands for a pattern's `$` at its end.
const END: u8 = b'^';

/// What a query may hold as data in plain (RFC 3986, 3.4): there, and there alone, both
/// spellings are the same, as in the RFC's example `?baz=https://foo.bar`.
const PLAIN_IN_QUERY: &[u8] = b":/?@";

/// What is written out by canonical forms.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// A rule's pattern.
    Pattern,
    /// An address, to compare with patterns that have no `?`.
    Address,
    /// An address, to compare with patterns that have a `?`: what stands behind it can only
    /// match a query, which is why these two forms are enough.
    OpenQuery,
}

/// The canonical form of a rule's pattern; `None` where it can match nothing, because no path
/// begins with its first character.
pub(super) fn canonical(pattern: &[u8]) -> Option<String> {
    matches!(pattern.first(), Some(b'/' | b'*')).then(|| write(pattern, Form::Pattern))
}

/// An address as patterns see it.
#[derive(Debug)]
pub(super) struct Target<'a> {
    address: Cow<'a, str>,
    open_query: Option<String>,
}

impl<'a> Target<'a> {
    pub(super) fn new(path_and_query: &'a str) -> Self {
        let rooted = if path_and_query.starts_with('/') {
            Cow::Borrowed(path_and_query)
        } else {
            Cow::Owned(format!("/{path_and_query}"))
        };
        if rooted.bytes().all(is_plain) {
            return Self { address: rooted, open_query: None };
        }
        let address = write(rooted.as_bytes(), Form::Address);
        let open_query = write(rooted.as_bytes(), Form::OpenQuery);
        let open_query = (open_query != address).then_some(open_query);
        Self { address: address.into(), open_query }
    }

    pub(super) fn is(&self, path_and_query: &str) -> bool {
        self.address == path_and_query
    }

    /// Whether a canonical pattern matches.
    pub(super) fn matches(&self, pattern: &[u8]) -> bool {
        match &self.open_query {
            Some(open) if pattern.contains(&b'?') => matches(pattern, open.as_bytes()),
            _ => matches(pattern, self.address.as_bytes()),
        }
    }
}

fn matches(pattern: &[u8], address: &[u8]) -> bool {
    // No address has a special character: what is the same ends before the first of them.
    let n_same = pattern.iter().zip(address).take_while(|(a, b)| a == b).count();
    match pattern[n_same..] {
        [] => true,
        [END] => address.len() == n_same,
        [ANY, ref pattern @ ..] => matches_anywhere(pattern, &address[n_same..]),
        _ => false,
    }
}

/// Whether what follows a `*` matches. The leftmost place of each piece between wildcards leaves
/// most room for the next: no choice has to be taken back.
fn matches_anywhere(pattern: &[u8], mut address: &[u8]) -> bool {
    let (pattern, to_end) = match pattern {
        [pattern @ .., END] => (pattern, true),
        pattern => (pattern, false),
    };
    let mut pieces = pattern.split(|byte| *byte == ANY);
    let last = pieces.next_back().unwrap_or_default();
    for piece in pieces {
        let Some(place) = memmem::find(address, piece) else { return false };
        address = &address[place + piece.len()..];
    }
    if to_end { address.ends_with(last) } else { memmem::find(address, last).is_some() }
}

fn write(text: &[u8], form: Form) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut idx, mut in_query) = (0, false);
    while idx < text.len() {
        let encoded = decoded(&text[idx..]);
        let octet = encoded.unwrap_or(text[idx]);
        let is_last = idx + 1 == text.len();
        match octet {
            b'*' if encoded.is_none() && form == Form::Pattern => out.push(ANY.into()),
            b'$' if encoded.is_none() && form == Form::Pattern && is_last => out.push(END.into()),
            b'*' | b'$' => out.push(octet.into()),
            _ if is_unreserved(octet) => out.push(octet.into()),
            _ if encoded.is_none() && is_reserved(octet) => out.push(octet.into()),
            _ if in_query && form != Form::Address && PLAIN_IN_QUERY.contains(&octet) => {
                out.push(octet.into());
            }
            _ => encode(octet, &mut out),
        }
        in_query |= octet == b'?' && encoded.is_none();
        idx += if encoded.is_some() { 3 } else { 1 };
    }
    out
}

/// The octet that `%` and two hexadecimal digits at the start stand for.
fn decoded(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

fn encode(octet: u8, out: &mut String) {
    let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
    out.extend(['%', digit(octet >> 4), digit(octet & 15)]);
}

/// Whether an address's octet is canonical whatever stands around it.
fn is_plain(octet: u8) -> bool {
    is_unreserved(octet) || is_reserved(octet)
}

/// RFC 3986, 2.3.
fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~".contains(&octet)
}

/// RFC 3986, 2.2.
fn is_reserved(octet: u8) -> bool {
    b":/?#[]@!$&'()*+,;=".contains(&octet)
}
