//! Spans of time and sizes, as job files and command lines write them: `"500ms"`, `"10MiB"`.
//!
//! [`duration`] and [`size`] are for `#[serde(with = "…")]`: a table that was read and written
//! again means the same.
//!
//! **Invariant:** pure; what [`format_duration`] and [`format_size`] write, the parsers read
//! back exactly.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};

/// Nanoseconds a unit, largest first: the order in which a span tries to be written.
const TIMES: &[(&str, u64)] = &[
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Bytes a unit, larger binary ones first: the order in which a size tries to be written.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Longer spans are mistakes, and would overflow the clock that they are added to.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a span of time such as `500ms`, `1.5s`, `5m` or `2h`; the unit is not optional.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let (number, unit) = split(text);
    let Some(nanos) = factor(TIMES, unit, str::eq) else {
        bail!("`{text}` is no span of time; write a number and ns, us, ms, s, m or h: `30s`");
    };
    let nanos = scale(number, nanos).ok_or_else(|| anyhow!("`{text}` is no span of time"))?;
    let span = Duration::from_nanos(nanos);
    if span > LONGEST {
        bail!("`{text}` is more than a year");
    }
    Ok(span)
}

/// Writes a span of time with the largest unit that needs no fraction: `1m`, `90s`, `500ms`.
pub fn format_duration(span: Duration) -> String {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 { "0s".to_owned() } else { write_whole(nanos, TIMES) }
}

/// Reads a size such as `10MiB`, `1.5GB`, `512 B` or `4096`: bytes where no unit is given.
pub fn parse_size(text: &str) -> Result<u64> {
    let (number, unit) = split(text);
    let unit = if unit.is_empty() { "B" } else { unit };
    let Some(bytes) = factor(SIZES, unit, str::eq_ignore_ascii_case) else {
        bail!("`{text}` is no size; write a number of bytes, or one with KiB, MiB, GiB, KB, MB …");
    };
    scale(number, bytes).ok_or_else(|| anyhow!("`{text}` is no size"))
}

/// Writes a size with the largest unit that needs no fraction: `10MiB`, `1GB`, `1500B`.
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { write_whole(bytes, SIZES) }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn factor(units: &[(&str, u64)], unit: &str, same: fn(&str, &str) -> bool) -> Option<u64> {
    units.iter().find(|(name, _)| same(name, unit)).map(|&(_, factor)| factor)
}

/// `number`, with or without a decimal fraction, times `factor`; whole numbers exactly.
fn scale(number: &str, factor: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()? * factor as f64;
    // 2^63 as a float: above it, the rounding below would not be exact enough to matter.
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    #[expect(clippy::cast_sign_loss, reason = "`split` leaves no sign")]
    (value.is_finite() && value < 9_223_372_036_854_775_808.0).then(|| value.round() as u64)
}

fn write_whole(amount: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|&&(_, factor)| amount.is_multiple_of(factor));
    let (name, factor) = whole.expect("the last unit is 1 and divides everything");
    format!("{}{name}", amount / factor)
}

/// A number with its thousands apart: `1,234,567`.
pub fn thousands(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// For `#[serde(with = "crate::units::duration")]` on a [`Duration`].
pub mod duration {
    use std::fmt;
    use std::time::Duration;

    use serde::{Deserializer, Serializer, de};

    struct Text;

    impl de::Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time with its unit, such as \"30s\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            super::parse_duration(text).map_err(E::custom)
        }
    }

    /// Writes the span as a text.
    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format_duration(*span))
    }

    /// Reads the span from a text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_str(Text)
    }
}

/// For `#[serde(with = "crate::units::size")]` on a `u64`.
pub mod size {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a size is a number of bytes or a text such as \"10MiB\"")]
    enum Written {
        Bytes(u64),
        Text(String),
    }

    /// Writes the size as a text.
    pub fn serialize<S: Serializer>(bytes: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format_size(*bytes))
    }

    /// Reads the size from a number of bytes or a text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        match Written::deserialize(from)? {
            Written::Bytes(bytes) => Ok(bytes),
            Written::Text(text) => super::parse_size(&text).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let ms = Duration::from_millis;
        for (text, span) in [
            ("500ms", ms(500)),
            ("30s", ms(30_000)),
            ("5m", ms(300_000)),
            ("2h", ms(7_200_000)),
            ("1.5s", ms(1500)),
            (" 0.2 s ", ms(200)),
            ("7us", Duration::from_micros(7)),
            ("0s", ms(0)),
        ] {
            assert_eq!(parse_duration(text).unwrap(), span, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_way_out() {
        for text in ["", "30", "s", "5 minutes", "-1s", "1e3s", "1.2.3s", "9999999h", "30S"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        let error = parse_duration("30").unwrap_err().to_string();
        assert!(error.contains("`30` is no span of time") && error.contains("`30s`"), "{error}");
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65_536),
            ("10MiB", 10 << 20),
            ("1GB", 1_000_000_000),
            ("1.5 MiB", 3 << 19),
            ("10mib", 10 << 20),
            ("512B", 512),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "MiB", "ten", "-1", "1 XB", "99999999TiB", "10M"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(20_898_764), "20,898,764");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for span in [0, 1, 999, 1_000_000, 60_000_000_000, 90_000_000_000, 3_600_000_000_001] {
            let span = Duration::from_nanos(span);
            assert_eq!(parse_duration(&format_duration(span)).unwrap(), span);
        }
        for bytes in [0, 1, 1500, 1024, 10 << 20, 1_000_000_000, u64::MAX] {
            assert_eq!(parse_size(&format_size(bytes)).unwrap(), bytes);
        }
        assert_eq!(format_duration(Duration::from_secs(60)), "1m");
        assert_eq!(format_duration(Duration::from_secs(90)), "90s");
        assert_eq!(format_size(10 << 20), "10MiB");
        assert_eq!(format_size(1_000_000_000), "1GB");
    }
}
