//! Appends JSON values to a record without building a tree first: records are made by the
//! million.

/// The largest integer that every JSON reader keeps exact (RFC 8259 section 6).
pub const LARGEST_EXACT: u64 = 1 << 53;

/// An integer.
pub fn put_number(record: &mut Vec<u8>, number: u64) {
    record.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// An integer, as a string where it is above [`LARGEST_EXACT`].
pub fn put_exact(record: &mut Vec<u8>, number: u64) {
    if number > LARGEST_EXACT {
        record.push(b'"');
        put_number(record, number);
        record.push(b'"');
    } else {
        put_number(record, number);
    }
}

/// `units / 10^digits`, with that many digits after the point; up to 18 of them.
pub fn put_fixed(record: &mut Vec<u8>, units: u128, digits: u32) {
    let one = 10u128.pow(digits);
    let mut buffer = itoa::Buffer::new();
    record.extend_from_slice(buffer.format(units / one).as_bytes());
    // The leading 1 keeps the fraction's zeros; the point takes its place.
    let point = record.len();
    #[allow(clippy::cast_possible_truncation, reason = "below 2 * 10^18")]
    let fraction = (units % one + one) as u64;
    record.extend_from_slice(buffer.format(fraction).as_bytes());
    record[point] = b'.';
}

/// A string.
pub fn put_text(record: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(record, text).expect("writing to a buffer cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(put: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let mut record = Vec::new();
        put(&mut record);
        assert_eq!(String::from_utf8(record).unwrap(), expected);
    }

    #[test]
    fn numbers_are_exact() {
        check(|r| put_exact(r, 0), "0");
        check(|r| put_exact(r, LARGEST_EXACT), "9007199254740992");
        check(|r| put_exact(r, LARGEST_EXACT + 1), "\"9007199254740993\"");
        check(|r| put_fixed(r, 0, 9), "0.000000000");
        check(|r| put_fixed(r, 1_000_000_001, 9), "1.000000001");
        check(|r| put_fixed(r, 1_790_000_000_123_456, 6), "1790000000.123456");
    }

    #[test]
    fn texts_are_escaped() {
        check(|r| put_text(r, "a\"\\\n\u{1}é"), "\"a\\\"\\\\\\n\\u0001é\"");
    }
}
