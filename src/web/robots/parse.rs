//! Reading a robots.txt (RFC 9309, 2.1 to 2.2.4).
//!
//! Beyond the RFC's grammar, as section 2.2.4 permits for records that it does not define, the
//! common misspellings in [`NAMES`] are taken for what they mean, as google/robotstxt does, and so
//! is a blank in place of the colon where the line has two words. Not taken over from there: names
//! that only begin like a record (`allowed:`), long lines that are cut (a shorter pattern matches
//! more), and `/index.html` in place of `/`. A byte order mark is skipped, in part too, and a file
//! in UTF-16 that says so with one is decoded (2.2.2).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::Write as _;

use encoding_rs::{Encoding, UTF_8};
use memchr::{memchr, memchr2, memrchr2};

use super::{Robots, pattern};

/// How much of a robots.txt is read: the least that the RFC allows (2.5).
pub const MAX_BYTES: usize = 500 * 1024;

/// The longest `Crawl-delay` that is told apart: a week.
const MAX_DELAY_SECONDS: f64 = 7.0 * 86_400.0;

#[derive(Clone, Copy)]
enum Name {
    UserAgent,
    Allow,
    Disallow,
    CrawlDelay,
    Sitemap,
}

/// The records' names, in any case.
const NAMES: &[(&str, Name)] = &[
    ("user-agent", Name::UserAgent),
    ("useragent", Name::UserAgent),
    ("user agent", Name::UserAgent),
    ("allow", Name::Allow),
    ("disallow", Name::Disallow),
    ("dissallow", Name::Disallow),
    ("dissalow", Name::Disallow),
    ("disalow", Name::Disallow),
    ("diasllow", Name::Disallow),
    ("disallaw", Name::Disallow),
    ("crawl-delay", Name::CrawlDelay),
    ("crawldelay", Name::CrawlDelay),
    ("crawl delay", Name::CrawlDelay),
    ("sitemap", Name::Sitemap),
    ("site-map", Name::Sitemap),
];

struct Rule {
    pattern: String,
    line: u32,
    allow: bool,
}

/// All groups of one crawler, merged.
#[derive(Default)]
struct Group {
    /// Whether a user-agent line names the crawler.
    exists: bool,
    /// Whether the lines that follow are about it.
    is_open: bool,
    rules: Vec<Rule>,
    crawl_delay: Option<u32>,
}

/// What was read so far.
#[derive(Default)]
struct Groups {
    ours: Group,
    everybodys: Group,
    /// Whether rules have followed the last user-agent lines, so that the next one begins a
    /// group. Other records do not count: they must not end a group (2.2.4).
    has_rules: bool,
    sitemaps: String,
}

pub(super) fn parse(bytes: &[u8], agent: &str) -> Robots {
    let mut groups = Groups::default();
    let token = product_token(agent);
    for (line, number) in lines(&text(bytes)).zip(1..) {
        if let Some((name, value)) = record(line) {
            groups.add(name, value, number, token);
        }
    }
    groups.finish()
}

/// The product token at the start of a text (2.2.1): letters, `_` and `-`.
pub fn product_token(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphabetic() && c != '_' && c != '-');
    &text[..end.unwrap_or(text.len())]
}

/// A line of a robots.txt by its number, from 1, as [`super::Decision::line`] counts, with
/// control characters replaced.
pub fn line(bytes: &[u8], number: u32) -> Option<String> {
    let text = text(bytes);
    let line = lines(&text).nth(usize::try_from(number).ok()?.checked_sub(1)?)?;
    Some(String::from_utf8_lossy(line.trim_ascii()).replace(char::is_control, "\u{fffd}"))
}

/// What is read of a file, in UTF-8 as far as it is text.
fn text(bytes: &[u8]) -> Cow<'_, [u8]> {
    let head = &bytes[..bytes.len().min(MAX_BYTES)];
    let mut text = match Encoding::for_bom(head) {
        Some((encoding, _)) if encoding != UTF_8 => {
            Cow::Owned(encoding.decode(head).0.into_owned().into_bytes())
        }
        _ => Cow::Borrowed(without_mark(head)),
    };
    if head.len() < bytes.len() {
        let end = memrchr2(b'\r', b'\n', &text).unwrap_or(0);
        match &mut text {
            Cow::Borrowed(text) => *text = &text[..end],
            Cow::Owned(text) => text.truncate(end),
        }
    }
    text
}

/// Without a byte order mark, or what some program has left of one.
fn without_mark(text: &[u8]) -> &[u8] {
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xef\xbb", b"\xef"];
    marks.into_iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text)
}

/// The lines of a text that end with CR, LF or both.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
        Some(line)
    })
}

/// A line's record and its value, if it has one that is known.
fn record(line: &[u8]) -> Option<(Name, &[u8])> {
    let line = &line[..memchr(b'#', line).unwrap_or(line.len())];
    let line = line.trim_ascii();
    let (name, value) = match memchr(b':', line) {
        Some(colon) => (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()),
        None => two_words(line)?,
    };
    let name = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
    name.map(|(_, name)| (*name, value))
}

fn two_words(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = line.split_at(memchr2(b' ', b'\t', line)?);
    let rest = rest.trim_ascii();
    memchr2(b' ', b'\t', rest).is_none().then_some((first, rest))
}

impl Groups {
    fn add(&mut self, name: Name, value: &[u8], line: u32, token: &str) {
        match name {
            Name::UserAgent => self.user_agent(value, token),
            Name::Allow => self.rule(true, value, line),
            Name::Disallow => self.rule(false, value, line),
            Name::CrawlDelay => {
                let Some(delay) = milliseconds(value) else { return };
                for group in self.open() {
                    // Who says two things is best pleased with the longer.
                    group.crawl_delay = group.crawl_delay.max(Some(delay));
                }
            }
            Name::Sitemap => self.sitemap(value),
        }
    }

    fn user_agent(&mut self, value: &[u8], token: &str) {
        if std::mem::take(&mut self.has_rules) {
            (self.ours.is_open, self.everybodys.is_open) = (false, false);
        }
        let n_letters = value
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'))
            .count();
        let named = &value[..n_letters];
        if !named.is_empty() && named.eq_ignore_ascii_case(token.as_bytes()) {
            (self.ours.is_open, self.ours.exists) = (true, true);
        } else if value == b"*" || value.starts_with(b"* ") || value.starts_with(b"*\t") {
            self.everybodys.is_open = true;
        }
    }

    fn rule(&mut self, allow: bool, value: &[u8], line: u32) {
        self.has_rules = true;
        let Some(pattern) = pattern::canonical(value) else { return };
        for group in self.open() {
            group.rules.push(Rule { pattern: pattern.clone(), line, allow });
        }
    }

    fn sitemap(&mut self, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        if !value.is_empty() && !value.contains(char::is_control) {
            self.sitemaps.push_str(&value);
            self.sitemaps.push('\n');
        }
    }

    fn open(&mut self) -> impl Iterator<Item = &mut Group> {
        [&mut self.ours, &mut self.everybodys].into_iter().filter(|group| group.is_open)
    }

    fn finish(self) -> Robots {
        let mut group = if self.ours.exists { self.ours } else { self.everybodys };
        group.rules.sort_by_key(|rule| (Reverse(rule.pattern.len()), !rule.allow, rule.line));
        let mut rules = String::new();
        for Rule { pattern, line, allow } in group.rules {
            let sign = if allow { '+' } else { '-' };
            writeln!(rules, "{sign}{line} {pattern}").expect("a string takes everything");
        }
        Robots {
            rules: rules.into(),
            note: Box::default(),
            crawl_delay: group.crawl_delay,
            sitemaps: self.sitemaps.into(),
        }
    }
}

/// A number of seconds, with or without a fraction.
fn milliseconds(value: &[u8]) -> Option<u32> {
    let seconds: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    let is_time = seconds.is_finite() && seconds >= 0.0;
    #[expect(clippy::cast_possible_truncation, reason = "a week has fewer than 2^32 milliseconds")]
    #[expect(clippy::cast_sign_loss, reason = "it was just compared with 0")]
    is_time.then(|| (seconds.min(MAX_DELAY_SECONDS) * 1000.0).round() as u32)
}
