//! What a worker is to do for the frontier, as it stands in a task's input: one line of fields
//! with a blank between, the address last.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::task::Input;

const N_FIELDS: usize = 10;

/// Room for all fields but the address, of a host that has an address or two.
const ROOM: usize = 128;

/// What stands for a field that there is not.
const NONE: &str = "-";

/// A crawl's task: one exchange with one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// What for.
    pub(super) step: Step,
    /// The page's address, robots.txt's, or the host's whose addresses are wanted.
    pub(super) url: Box<str>,
    /// Where to connect to; none before the host is resolved.
    pub(super) addresses: Vec<IpAddr>,
    /// The frontier's numbers.
    pub(super) numbers: Numbers,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A page is wanted.
    Page,
    /// A page that failed because of its host: no rank is asked for it.
    Failed,
    /// A host's robots.txt is wanted.
    Robots,
    /// A host's addresses are wanted.
    Resolve,
}

impl Step {
    const ALL: [Self; 4] = [Self::Page, Self::Failed, Self::Robots, Self::Resolve];

    fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Failed => "failed",
            Self::Robots => "robots",
            Self::Resolve => "resolve",
        }
    }
}

/// The frontier's numbers of a task: what rank 0 needs to know again when it has ended, and
/// what stands in a page's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The host.
    pub(super) host: u32,
    /// The page.
    pub(super) page: u64,
    /// The page that led there.
    pub(super) from: Option<u64>,
    /// Links from a seed.
    pub(super) depth: u32,
    /// Redirects that led there.
    pub(super) hops: u8,
    /// Earlier attempts.
    pub(super) attempts: u32,
    /// How many of them ended because their rank died.
    pub(super) crashes: u32,
}

impl Order {
    /// A page as a resume asks for it: only its address counts.
    pub(super) fn page(url: &str) -> Self {
        Self {
            step: Step::Page,
            url: url.into(),
            addresses: Vec::new(),
            numbers: Numbers::default(),
        }
    }

    /// As a task's input; put together by hand, which takes rank 0 a third of what `format` does.
    pub(super) fn input(&self) -> Input {
        let Self { step, url, addresses, numbers } = self;
        let Numbers { host, page, from, depth, hops, attempts, crashes } = numbers;
        let mut line = String::with_capacity(ROOM + url.len());
        let mut digits = itoa::Buffer::new();
        let mut put = |field: &str| {
            line.push_str(field);
            line.push(' ');
        };
        put(step.name());
        put(digits.format(*host));
        put(digits.format(*page));
        put(from.map_or(NONE, |from| digits.format(from)));
        put(digits.format(*depth));
        put(digits.format(*hops));
        put(digits.format(*attempts));
        put(digits.format(*crashes));
        let mut separator = "";
        for address in addresses {
            line.push_str(separator);
            write!(line, "{address}").expect("a string takes what is written");
            separator = ",";
        }
        line.push_str(if addresses.is_empty() { NONE } else { "" });
        line.push(' ');
        line.push_str(url);
        Input::Text(line.into())
    }

    /// What an input says.
    pub(super) fn read(input: &Input) -> Result<Self> {
        Self::parse(input).context("a crawl's task cannot be read")
    }

    fn parse(input: &Input) -> Result<Self> {
        let mut fields = fields(input)?;
        let mut next = || fields.next().context("it has too few fields");
        let name = next()?;
        let step = Step::ALL.into_iter().find(|step| step.name() == name);
        let step = step.with_context(|| format!("it has the unknown step `{name}`"))?;
        let numbers = Numbers {
            host: next()?.parse()?,
            page: next()?.parse()?,
            from: there(next()?).map(str::parse).transpose()?,
            depth: next()?.parse()?,
            hops: next()?.parse()?,
            attempts: next()?.parse()?,
            crashes: next()?.parse()?,
        };
        let addresses = there(next()?).map(|list| list.split(',').map(IpAddr::from_str).collect());
        let addresses = addresses.transpose()?.unwrap_or_default();
        let url = next()?;
        ensure!(!url.is_empty(), "it has no address");
        Ok(Self { step, url: url.into(), addresses, numbers })
    }
}

/// The address in an input.
pub(super) fn address(input: &Input) -> Result<&str> {
    fields(input)?.last().context("it has no fields")
}

fn fields(input: &Input) -> Result<impl Iterator<Item = &str>> {
    let Input::Text(text) = input else { bail!("it is no text") };
    Ok(text.splitn(N_FIELDS, ' '))
}

fn there(field: &str) -> Option<&str> {
    Some(field).filter(|field| *field != NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_as_an_input() {
        let few = Numbers { host: 7, depth: 2, ..Numbers::default() };
        let numbers =
            Numbers { page: 1 << 40, from: Some(3), hops: 1, attempts: 2, crashes: 1, ..few };
        let addresses = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        for step in [Step::Page, Step::Failed, Step::Robots, Step::Resolve] {
            let order =
                Order { step, url: "http://h/ä\"".into(), addresses: addresses.clone(), numbers };
            assert_eq!(Order::read(&order.input()).unwrap(), order);
            assert_eq!(address(&order.input()).unwrap(), "http://h/ä\"");
        }
        let bare = Order::page("http://h/");
        assert_eq!(Order::read(&bare.input()).unwrap(), bare);
        for wrong in
            ["", "page", "page 1 2 - 3 4 5 6 - ", "page 1 2 - 3 4 5 - u", "p 1 2 - 3 4 5 6 - u"]
        {
            assert!(Order::read(&Input::Text(wrong.into())).is_err(), "{wrong}");
        }
        assert!(Order::read(&Input::Number(3)).is_err());
    }
}
