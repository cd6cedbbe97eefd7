//! When a server asks to come again: the header `Retry-After` (RFC 9110, 10.2.3).
//!
//! **Invariant:** pure; whatever the header says, the answer is between zero and an hour.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A server that asks for more is asked again after this.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long to wait, by the value of `Retry-After`: seconds or a date. Zero where it says
/// nothing that can be read, so that whoever asks again chooses the pause.
///
/// A date is compared with the answer's own `Date` where there is one: the server's clock may
/// be wrong, but not against itself.
pub(super) fn pause(retry_after: &str, date: Option<&str>, now: SystemTime) -> Duration {
    let text = retry_after.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        // What does not even fit is more than an hour.
        return text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST);
    }
    let Some(at) = seconds(text) else { return Duration::ZERO };
    let now = date.and_then(seconds).unwrap_or_else(|| unix_seconds(now));
    Duration::from_secs(at.saturating_sub(now)).min(LONGEST)
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of a date in any of the three formats that a recipient must know
/// (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`,
/// `Sun Nov  6 08:49:37 1994`.
fn seconds(date: &str) -> Option<u64> {
    let words: Vec<&str> = date.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let ([_, day, month, year, time, "GMT"] | [_, month, day, time, year]) = words[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year) = (number(day, 31)?, full_year(year)?);
    let mut parts = time.split(':');
    let mut part = |largest| number(parts.next()?, largest);
    // A minute may have a leap second.
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
    let days = days_to(year, month, day)?;
    parts.next().is_none().then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(text: &str, largest: u64) -> Option<u64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| digits && number <= largest)
}

/// Two digits are of the years 1970 to 2069.
fn full_year(text: &str) -> Option<u64> {
    let year = number(text, 9999)?;
    Some(match (text.len(), year) {
        (2, 0..70) => year + 2000,
        (2, _) => year + 1900,
        _ => year,
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` before that.
fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin in March here, so that a leap day is the last of its year.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days_before_month = (153 * month + 2) / 5;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + days_before_month + day;
    // As many from March of year 0 to 1970-01-01, both counted as above.
    days.checked_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_formats_of_dates_are_read() {
        for (date, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:60 GMT", 1_709_251_200),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Sat, 31 Dec 2050 00:00:00 GMT", 2_556_057_600),
        ] {
            assert_eq!(seconds(date), Some(expected), "{date}");
        }
        for date in [
            "",
            "soon",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        ] {
            assert_eq!(seconds(date), None, "{date}");
        }
    }

    #[test]
    fn a_pause_is_read_from_seconds_and_dates() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let date = "Sun, 06 Nov 1994 08:50:00 GMT";
        for (header, expected) in [
            ("120", 120),
            (" 0 ", 0),
            ("7200", 3600),
            ("99999999999999999999999", 3600),
            ("-1", 0),
            ("1.5", 0),
            ("", 0),
            ("later", 0),
            (date, 23),
            ("Sun, 06 Nov 1994 08:49:36 GMT", 0),
            ("Sun, 06 Nov 2094 08:49:37 GMT", 3600),
        ] {
            assert_eq!(pause(header, None, now), Duration::from_secs(expected), "{header}");
        }
        // A server whose clock is wrong.
        assert_eq!(pause(date, Some("Sun, 06 Nov 1994 08:49:50 GMT"), now).as_secs(), 10);
        assert_eq!(pause(date, Some("nonsense"), now).as_secs(), 23);
    }
}
