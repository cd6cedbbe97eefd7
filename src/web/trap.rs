//! Guards against spaces of addresses without an end: relative links that pile up, parameters
//! that are added at every step, calendars that go on for ever.
//!
//! Each guard is a function of one address. What one address does not tell, how many of a kind
//! there are already, is for a budget for each [`path_pattern`].
//!
//! **Invariant:** pure; linear in the address but for its segments, of which at most
//! [`MAX_SEGMENTS`] are looked at.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

/// Segments of a path that are looked at: deeper paths are refused elsewhere.
const MAX_SEGMENTS: usize = 128;

/// How much of a thing is no trap yet; the same on every rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How often segments may stand in a row: 2 allows `/a/b/a/b`, and not `/a/b/a/b/a/b`. A
    /// segment may stand twice as often anywhere in a path. At least 1.
    pub repeats: usize,
    /// The most parameters of a query.
    pub parameters: usize,
    /// The first and the last year of calendars; `None`: all.
    pub years: Option<(u32, u32)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { repeats: 2, parameters: 30, years: None }
    }
}

/// What an address has fallen into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trap {
    /// Segments of the path repeat.
    Repeats,
    /// More parameters than [`Limits::parameters`], which is here.
    Parameters(usize),
    /// The same parameter with the same value, more often than segments may repeat.
    RepeatedParameter,
    /// Escapes of escapes of escapes: `%252525` or `&amp;amp;`.
    Escapes,
    /// A calendar's page of this year.
    Calendar(u32),
}

impl Trap {
    /// A short name that does not change: `trap-repeats`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Repeats => "trap-repeats",
            Self::Parameters(_) => "trap-parameters",
            Self::RepeatedParameter => "trap-repeated-parameter",
            Self::Escapes => "trap-escapes",
            Self::Calendar(_) => "trap-calendar",
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeats => f.write_str("segments of its path repeat, as in a loop of links"),
            Self::Parameters(most) => write!(f, "its query has more than {most} parameters"),
            Self::RepeatedParameter => f.write_str("a parameter of its query repeats"),
            Self::Escapes => f.write_str("it is escaped again and again"),
            Self::Calendar(year) => write!(f, "it is a calendar's page of the year {year}"),
        }
    }
}

impl Limits {
    /// Refuses an address that looks like a step into a trap.
    pub fn check(&self, url: &Url) -> Result<(), Trap> {
        let segments: Vec<&str> = segments(url.path()).take(MAX_SEGMENTS).collect();
        let allowed = self.repeats.max(1);
        if in_a_row(&segments, allowed + 1) || anywhere(&segments, 2 * allowed + 1) {
            return Err(Trap::Repeats);
        }
        if let Some(query) = url.query() {
            self.check_query(query)?;
        }
        if url.path().contains("%252525") {
            return Err(Trap::Escapes);
        }
        match self.years.and_then(|years| calendar_year_outside(url, years)) {
            Some(year) => Err(Trap::Calendar(year)),
            None => Ok(()),
        }
    }

    fn check_query(&self, query: &str) -> Result<(), Trap> {
        if query.contains("%252525") || query.contains("amp;amp;") {
            return Err(Trap::Escapes);
        }
        let mut parts: Vec<&str> = query.split('&').take(self.parameters + 1).collect();
        if parts.len() > self.parameters {
            return Err(Trap::Parameters(self.parameters));
        }
        parts.sort_unstable();
        let repeats = |same: &[&str]| same.len() > self.repeats && !same[0].is_empty();
        if parts.chunk_by(|a, b| a == b).any(repeats) {
            return Err(Trap::RepeatedParameter);
        }
        Ok(())
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/')
}

/// Whether some segments stand `times` times one after the other. Numbers alone do not count:
/// `/11/11/11` is a date, `/1/1/1` a tile of a map.
fn in_a_row(segments: &[&str], times: usize) -> bool {
    (1..=segments.len() / times).any(|period| {
        let needed = period * (times - 1);
        let mut same = 0;
        (period..segments.len()).any(|idx| {
            same = if segments[idx] == segments[idx - period] { same + 1 } else { 0 };
            same >= needed && !segments[idx + 1 - period..=idx].iter().all(|text| is_number(text))
        })
    })
}

/// Whether a segment that is no number stands in a path `times` times.
fn anywhere(segments: &[&str], times: usize) -> bool {
    if segments.len() < times {
        return false;
    }
    let mut words: Vec<_> = segments.iter().filter(|text| !is_number(text)).collect();
    words.sort_unstable();
    words.chunk_by(|a, b| a == b).any(|same| same.len() >= times)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Words that stand in the addresses of calendars.
const CALENDAR: &[&str] = &["calendar", "event", "agenda", "month", "year", "date", "day", "week"];

/// The year of a calendar's page that lies outside: four digits of their own, where a word says
/// that it is a calendar. An archive of old newspapers has the years without the words.
fn calendar_year_outside(url: &Url, (first, last): (u32, u32)) -> Option<u32> {
    let text = &url[url::Position::BeforePath..];
    let years = text.split(|c: char| !c.is_ascii_digit()).filter_map(year);
    let outside = years.into_iter().find(|year| !(first..=last).contains(year))?;
    let text = text.to_ascii_lowercase();
    CALENDAR.iter().any(|word| text.contains(word)).then_some(outside)
}

/// The year that a run of digits begins with: `2031` and `20310512`.
fn year(digits: &str) -> Option<u32> {
    if !matches!(digits.len(), 4 | 6 | 8) {
        return None;
    }
    let month_and_day = digits.as_bytes()[4..].chunks(2).zip([12, 31]);
    let is_date =
        |(two, most): (&[u8], u8)| (1..=most).contains(&(10 * (two[0] - b'0') + two[1] - b'0'));
    let is_date = month_and_day.into_iter().all(is_date);
    digits[..4].parse().ok().filter(|_| is_date)
}

/// What kind of address it is on its host: numbers become `N`, ids become `H`, of the query only
/// the names count, each once and in order.
///
/// `/shop/42/item-7?page=3&id=5` and `/shop/1/item-9?id=1` differ in their pages only if the
/// names do: `/shop/N/item-N?id&page` and `/shop/N/item-N?id`.
pub fn path_pattern(url: &Url) -> String {
    let mut pattern = String::with_capacity(url.path().len());
    push_pattern(url.path(), &mut pattern);
    let Some(query) = url.query() else { return pattern };
    let name = |part: &str| {
        let mut name = String::new();
        push_pattern(part.split('=').next().unwrap_or(part), &mut name);
        name
    };
    let mut names: Vec<String> = query.split('&').map(name).collect();
    names.sort_unstable();
    names.dedup();
    pattern.push('?');
    pattern.push_str(&names.join("&"));
    pattern
}

/// A number for each [`path_pattern`], for those who keep many.
pub fn path_pattern_id(url: &Url) -> u64 {
    xxh3_64(path_pattern(url).as_bytes())
}

fn push_pattern(text: &str, pattern: &mut String) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let id = uuid_length(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let len = match () {
            () if id > 0 => {
                pattern.push('H');
                id
            }
            () if end > 0 => {
                push_word(&rest[..end], pattern);
                end
            }
            () => {
                pattern.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[len..];
    }
}

/// A run of letters and digits: an id, or a word whose numbers do not count.
fn push_word(word: &str, pattern: &mut String) {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    if has_digit && has_letter && (word.len() >= 16 || is_hex && word.len() >= 8) {
        pattern.push('H');
        return;
    }
    let mut in_number = false;
    for c in word.chars() {
        if !c.is_ascii_digit() {
            pattern.push(c);
        } else if !in_number {
            pattern.push('N');
        }
        in_number = c.is_ascii_digit();
    }
}

/// 36 where a UUID begins (RFC 9562, 4), else 0.
fn uuid_length(text: &str) -> usize {
    let Some(text) = text.as_bytes().get(..36) else { return 0 };
    let fits = |(idx, byte): (usize, &u8)| match idx {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    if text.iter().enumerate().all(fits) { 36 } else { 0 }
}

#[cfg(test)]
mod tests;
