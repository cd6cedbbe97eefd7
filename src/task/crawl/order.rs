//! What a worker is to do for the frontier, as it stands in a task's input.

use std::borrow::Cow;
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::task::Input;

/// A crawl's task: one exchange with one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    /// What for.
    #[serde(rename = "s")]
    pub(super) step: Step,
    /// The page's address, robots.txt's, or the host's whose addresses are wanted.
    #[serde(rename = "u")]
    pub(super) url: Box<str>,
    /// Where to connect to; none before the host is resolved.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) addresses: Vec<IpAddr>,
    /// The frontier's numbers.
    #[serde(rename = "n", default)]
    pub(super) numbers: Numbers,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// A page is wanted.
    #[serde(rename = "p")]
    Page,
    /// A page that failed because of its host: no rank is asked for it.
    #[serde(rename = "f")]
    Failed,
    /// A host's robots.txt is wanted.
    #[serde(rename = "r")]
    Robots,
    /// A host's addresses are wanted.
    #[serde(rename = "d")]
    Resolve,
}

/// The frontier's numbers of a task: what rank 0 needs to know again when it has ended, and
/// what stands in a page's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbers {
    /// The host.
    #[serde(rename = "h")]
    pub(super) host: u32,
    /// The page.
    #[serde(rename = "p")]
    pub(super) page: u64,
    /// The page that led there.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<u64>,
    /// Links from a seed.
    #[serde(rename = "d")]
    pub(super) depth: u32,
    /// Redirects that led there.
    #[serde(rename = "r")]
    pub(super) hops: u8,
    /// Earlier attempts.
    #[serde(rename = "t")]
    pub(super) attempts: u32,
    /// How many of them ended because their rank died.
    #[serde(rename = "c", default, skip_serializing_if = "is_zero")]
    pub(super) crashes: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u32) -> bool {
    *n == 0
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

    /// As a task's input.
    pub(super) fn input(&self) -> Input {
        Input::Text(serde_json::to_string(self).expect("texts and numbers only").into())
    }

    /// What an input says.
    pub(super) fn read(input: &Input) -> Result<Self> {
        let order: Self = parse(input)?;
        ensure!(!order.url.is_empty(), "a crawl's task without an address");
        Ok(order)
    }
}

/// The address alone, as a record shows it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Address<'a> {
    #[serde(borrow, rename(deserialize = "u"))]
    url: Cow<'a, str>,
}

impl<'a> Address<'a> {
    /// The one in an input.
    pub(super) fn read(input: &'a Input) -> Result<Self> {
        parse(input)
    }
}

fn parse<'a, T: Deserialize<'a>>(input: &'a Input) -> Result<T> {
    let Input::Text(text) = input else { bail!("a crawl's task is a text") };
    serde_json::from_str(text).context("a crawl's task cannot be read")
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
            assert_eq!(Address::read(&order.input()).unwrap().url, "http://h/ä\"");
        }
        let bare = Order::page("http://h/");
        assert_eq!(Order::read(&bare.input()).unwrap(), bare);
        for wrong in [Input::Number(3), Input::Text("".into()), Input::Text("{}".into())] {
            assert!(Order::read(&wrong).is_err());
        }
    }
}
