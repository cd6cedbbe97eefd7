//! What a machine says of itself, as the keys and values of a TXT record (RFC 6763, section 6).
//!
//! **Invariant:** pure, but for [`Record::take`]; whatever bytes a stranger sends, reading them
//! neither panics nor gives a name that is no host name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;

use anyhow::{Context as _, Result, ensure};

use crate::inventory::Inventory;
use crate::placement;
use crate::transport::Library;

/// A TXT record's values by key. The key that stands first counts.
pub type Txt = BTreeMap<String, Vec<u8>>;

/// The form of the record; another one cannot be read.
const FORM: &str = "1";

/// The bytes of a TXT record's string, which holds the key, `=` and the value.
const LONGEST: usize = 255;

/// What a machine says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The name by which it wants to be reached: a host name.
    pub name: String,
    /// Where it can be reached.
    pub addresses: Vec<IpAddr>,
    /// How many ranks it takes.
    pub slots: NonZeroU16,
    /// The cores that a rank there may use.
    pub cores: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// How many processes wanted to run on average of the last minute (proc(5), `loadavg`).
    pub load: f32,
    /// Its MPI, such as `Open MPI v5.0.11`.
    pub mpi: String,
    /// Its rankpool's version.
    pub version: String,
    /// When it said so, in seconds since 1970 by its clock.
    pub time: u64,
}

impl Record {
    /// What this machine has to say.
    pub fn take(mpi: &str, name: Option<&str>, slots: NonZeroU16) -> Result<Self> {
        let library = Library { name: mpi.to_owned(), thread_level: String::new() };
        let own = Inventory::take(0, library);
        let name = name.unwrap_or(&own.host);
        ensure!(
            is_host_name(name),
            "`{}` is no host name; `--name NAME` gives one of letters, digits, `-` and dots",
            shown(name)
        );
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            addresses: Vec::new(),
            slots,
            cores: u32::try_from(placement::usable_cores(&own)).unwrap_or(u32::MAX),
            memory: own.memory,
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            mpi: own.library.name,
            version: own.version,
            time: super::now(),
        })
    }

    /// As a TXT record. Of many addresses, those that fit.
    pub fn to_txt(&self) -> Txt {
        let mut addresses = String::new();
        for address in self.addresses.iter().map(IpAddr::to_string) {
            if "addr=".len() + addresses.len() + 1 + address.len() > LONGEST {
                break;
            }
            let comma = if addresses.is_empty() { "" } else { "," };
            addresses = addresses + comma + &address;
        }
        let fields = [
            ("v", FORM.to_owned()),
            ("name", self.name.clone()),
            ("addr", addresses),
            ("slots", self.slots.to_string()),
            ("cores", self.cores.to_string()),
            ("memory", self.memory.to_string()),
            ("load", format!("{:.2}", self.load)),
            ("mpi", self.mpi.clone()),
            ("version", self.version.clone()),
            ("time", self.time.to_string()),
        ];
        fields.into_iter().map(|(key, value)| (key.to_owned(), value.into_bytes())).collect()
    }

    /// Reads a TXT record; errors are for a comment: "its `cores` is no number".
    pub fn from_txt(txt: &Txt) -> Result<Self> {
        let field = |key: &str| {
            let value = txt.get(key).with_context(|| format!("it does not tell its `{key}`"))?;
            std::str::from_utf8(value).ok().with_context(|| format!("its `{key}` is no text"))
        };
        ensure!(field("v")? == FORM, "its record has another form; run the same rankpool there");
        let addresses =
            field("addr")?.split(',').map(str::parse::<IpAddr>).collect::<Result<_, _>>();
        let name = field("name")?;
        ensure!(is_host_name(name), "its name is no host name");
        let load: f32 = number("load", field("load")?)?;
        ensure!(load.is_finite() && load >= 0.0, "its `load` is no load");
        Ok(Self {
            name: name.to_owned(),
            addresses: addresses.context("its `addr` is no list of addresses")?,
            slots: number("slots", field("slots")?)?,
            cores: number("cores", field("cores")?)?,
            memory: number("memory", field("memory")?)?,
            load,
            mpi: field("mpi")?.to_owned(),
            version: field("version")?.to_owned(),
            time: number("time", field("time")?)?,
        })
    }
}

fn number<T: std::str::FromStr>(key: &str, text: &str) -> Result<T> {
    text.parse().ok().with_context(|| format!("its `{key}` is no number"))
}

/// Whether a hostfile, ssh and a shell take `name` for nothing but a host's (RFC 1123, section
/// 2.1): it neither begins like a flag nor ends a line.
pub fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        (1..=63).contains(&bytes.len()) && is_plain && bytes[0] != b'-'
    };
    name.len() <= LONGEST - "name=".len() && name.split('.').all(is_label)
}

/// A stranger's text, as a comment or a message may show it: no control character, no end of a
/// line, no end of a quotation, not too long.
pub fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let plain = |c: char| if matches!(c, ' '..='~') && c != '`' { c } else { '?' };
    let mut shown: String = text.chars().take(MOST).map(plain).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record::take("Open MPI v5.0.11", Some("node1.example"), NonZeroU16::MIN).unwrap()
    }

    #[test]
    fn what_is_told_is_read_back() {
        let mut record = record();
        record.addresses = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        record.load = 1.25;
        assert_eq!(Record::from_txt(&record.to_txt()).unwrap(), record);
        assert!(record.cores >= 1 && record.memory > 1 << 20 && record.time > 1_700_000_000);
    }

    #[test]
    fn of_many_addresses_those_are_told_that_fit() {
        let mut record = record();
        record.addresses = (0..99).map(|low| IpAddr::from([192, 168, 100, low])).collect();
        let txt = record.to_txt();
        assert!(txt.iter().all(|(key, value)| key.len() + 1 + value.len() <= LONGEST));
        let read = Record::from_txt(&txt).unwrap();
        assert!(read.addresses.len() >= 15 && record.addresses.starts_with(&read.addresses));
    }

    #[test]
    fn a_host_name_is_nothing_else() {
        for name in ["h1", "node1.example.org", "a-b", "10.0.0.1", "X9"] {
            assert!(is_host_name(name), "{name}");
        }
        let long = "a".repeat(64);
        let names =
            ["", ".", "h1.", ".h1", "-h1", "a b", "h1\n", "h_1", "h1#", "h1:2", "é", "a..b", &long];
        for name in names {
            assert!(!is_host_name(name), "{name}");
            let error = Record::take("", Some(name), NonZeroU16::MIN).unwrap_err().to_string();
            assert!(error.contains("no host name; `--name NAME`"), "{error}");
        }
    }

    #[track_caller]
    fn check_error(key: &str, value: Option<&[u8]>, expected: &str) {
        let mut txt = Record { addresses: vec![IpAddr::from([10, 0, 0, 1])], ..record() }.to_txt();
        match value {
            Some(value) => txt.insert(key.to_owned(), value.to_owned()),
            None => txt.remove(key),
        };
        assert_eq!(Record::from_txt(&txt).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        check_error("cores", None, "it does not tell its `cores`");
        check_error("cores", Some(b"many"), "its `cores` is no number");
        check_error("slots", Some(b"0"), "its `slots` is no number");
        check_error("load", Some(b"NaN"), "its `load` is no load");
        check_error("mpi", Some(b"\xff"), "its `mpi` is no text");
        check_error("name", Some(b"h1\nh2"), "its name is no host name");
        check_error("addr", Some(b""), "its `addr` is no list of addresses");
        check_error("v", Some(b"2"), "its record has another form; run the same rankpool there");
    }

    proptest! {
        #[test]
        fn no_bytes_end_a_line_of_what_is_shown(text in any::<String>()) {
            let shown = shown(&text);
            let plain = |c: char| matches!(c, ' '..='~' | '…') && c != '`';
            prop_assert!(shown.chars().all(plain) && shown.chars().count() <= 61);
        }
    }
}
