//! One line of a results file, as far as a later run needs to understand it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::Xxh3Default;

use crate::task::ID_DIGITS;

/// What every record begins with, and so a torn one too.
const BEGINNING: &[u8] = b"{\"id\":\"";

/// A record.
#[derive(Debug, PartialEq)]
pub(super) struct Record<'a> {
    pub(super) id: u128,
    pub(super) kind: Cow<'a, str>,
    /// Whether it is one of an output; else of a failure.
    pub(super) is_ok: bool,
    /// A fingerprint of its output's keys.
    pub(super) form: u64,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(default)]
    output: Form,
}

/// Why a line is no record.
#[derive(Debug, PartialEq)]
pub(super) enum Wrong {
    /// It may be the beginning of one.
    Torn,
    /// Something else wrote it.
    Foreign(String),
}

impl<'a> Record<'a> {
    /// Reads a line, its end included.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Wrong> {
        let Some(text) = line.strip_suffix(b"\n") else { return Err(Wrong::Torn) };
        let fields: Fields<'a> = serde_json::from_slice(text).map_err(|error| {
            if error.is_data() { Wrong::Foreign(without_place(&error)) } else { Wrong::Torn }
        })?;
        let id = &*fields.id;
        let is_id = id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u128::from_str_radix(id, 16).ok().filter(|_| is_id);
        let id = id.ok_or_else(|| Wrong::Foreign(format!("`{}` is no id", fields.id)))?;
        let is_ok = match &*fields.status {
            "ok" => true,
            "failed" | "cancelled" => false,
            other => return Err(Wrong::Foreign(format!("`{other}` is no status"))),
        };
        Ok(Self { id, kind: fields.kind, is_ok, form: fields.output.0 })
    }

    /// Whether a line that is no record may be what a crash left of one.
    pub(super) fn may_begin(line: &[u8]) -> bool {
        let common = line.len().min(BEGINNING.len());
        // Some file systems show blocks that never reached the disk as zeros.
        line[..common] == BEGINNING[..common] || line.iter().all(|&byte| byte == 0)
    }
}

/// The text of a JSON error without its line and column, which count within the record.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// The keys of an object as a fingerprint, without keeping what it holds.
#[derive(Default)]
struct Form(u64);

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an output")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
        let mut keys = Xxh3Default::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<Cow<'de, str>, IgnoredAny>()? {
            keys.update(key.as_bytes());
            keys.update(b"\0");
        }
        Ok(Form(keys.digest()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Form, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Form::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Form, E> {
        Ok(Form::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Form, E> {
        Ok(Form::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Form, E> {
        Ok(Form::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Form, E> {
        Ok(Form::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Form, E> {
        Ok(Form::default())
    }

    fn visit_unit<E>(self) -> Result<Form, E> {
        Ok(Form::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    fn line(rest: &str) -> String {
        format!("{{\"id\":\"{ID}\",\"kind\":\"k\",{rest}}}\n")
    }

    #[test]
    fn records_are_told_apart_by_what_counts() {
        let read = |rest: &str| {
            let line = line(rest);
            let record = Record::read(line.as_bytes()).expect(&line);
            assert_eq!((record.id, &*record.kind), (u128::from_str_radix(ID, 16).unwrap(), "k"));
            (record.is_ok, record.form)
        };
        let full = read("\"status\":\"ok\",\"output\":{\"value\":\"55\",\"digits\":2}");
        let other = read("\"output\":{\"value\":[1],\"digits\":{}},\"status\":\"ok\"");
        assert_eq!(full, other);
        assert_ne!(full, read("\"status\":\"ok\",\"output\":{\"bits\":6}"));
        assert_eq!(read("\"status\":\"failed\",\"error\":{}"), (false, 0));
        for output in ["1", "-1", "1.5", "\"x\"", "[1]", "null", "true"] {
            assert_eq!(read(&format!("\"status\":\"ok\",\"output\":{output}")), (true, 0));
        }
    }

    #[test]
    fn torn_and_foreign_lines_are_told_apart() {
        let whole = line("\"status\":\"ok\",\"output\":{\"value\":\"55\"}");
        for end in 0..whole.len() {
            assert_eq!(Record::read(&whole.as_bytes()[..end]), Err(Wrong::Torn), "{end}");
            assert!(Record::may_begin(&whole.as_bytes()[..end]));
        }
        let torn = [&whole.as_bytes()[..60], b"\n"].concat();
        assert_eq!(Record::read(&torn), Err(Wrong::Torn));
        assert!(Record::may_begin(&[0; 100]) && !Record::may_begin(b"precious"));
        for (text, reason) in [
            ("{}\n", "missing field `id`"),
            ("1\n", "invalid type: integer `1`, expected struct Fields"),
            ("{\"id\":\"1\",\"kind\":\"k\",\"status\":\"ok\"}\n", "`1` is no id"),
            (&line("\"status\":\"lost\""), "`lost` is no status"),
        ] {
            assert_eq!(Record::read(text.as_bytes()), Err(Wrong::Foreign(reason.into())));
        }
    }
}
