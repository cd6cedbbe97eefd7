//! What a crawl says of itself when it is over.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::report;
use crate::task::Account;
use crate::units::{format_size, thousands};
use crate::web::frontier::{Frontier, HostStats, Totals};

/// Hosts that stand in the text; all of them are in the JSON.
const SHOWN_HOSTS: usize = 20;

#[derive(Serialize)]
struct Json<'a> {
    kind: &'static str,
    seeds: u64,
    discovered: u64,
    /// Still to be fetched: the run ended early.
    open: u64,
    /// How many URLs ended how.
    fates: &'a BTreeMap<String, u64>,
    hosts: BTreeMap<&'a str, Host>,
}

/// A host in this run.
#[derive(Serialize)]
struct Host {
    pages: u64,
    bytes: u64,
    redirects: u64,
    denied: u64,
    errors: BTreeMap<&'static str, u64>,
    /// From the end of one fetch to the start of the next, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    shortest_gap: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_gap: Option<f64>,
}

/// The account of a crawl with these totals.
pub(super) fn of(frontier: &Frontier, totals: &Totals) -> Account {
    let hosts = frontier.hosts().map(|(name, stats)| (name, host(stats))).collect();
    let json = Json {
        kind: "crawl",
        seeds: totals.seeds,
        discovered: totals.discovered,
        open: totals.open,
        fates: &totals.fates,
        hosts,
    };
    Account { text: text(&json), json: serde_json::to_value(&json).expect("numbers and texts") }
}

fn host(stats: &HostStats) -> Host {
    Host {
        pages: stats.pages,
        bytes: stats.bytes,
        redirects: stats.redirects,
        denied: stats.denied,
        errors: stats.errors.iter().map(|&(class, n)| (class.as_str(), n)).collect(),
        shortest_gap: stats.shortest_gap.map(|gap| gap.as_secs_f64()),
        mean_gap: (stats.n_gaps > 0).then(|| stats.gaps.as_secs_f64() / stats.n_gaps as f64),
    }
}

fn text(json: &Json<'_>) -> String {
    let all = json.seeds + json.discovered;
    let mut text = format!(
        "The crawl: {} URLs seen, {} of them seeds\n",
        thousands(all),
        thousands(json.seeds)
    );
    let open = [("still to be fetched", json.open)].into_iter().filter(|(_, n)| *n > 0);
    let fates = json.fates.iter().map(|(fate, n)| (fate.as_str(), *n));
    for (fate, n) in fates.chain(open) {
        let _ = writeln!(text, " {:>14}  {fate}", thousands(n));
    }
    let mut hosts: Vec<_> = json.hosts.iter().collect();
    hosts.sort_by_key(|(name, host)| (Reverse(host.pages), **name));
    let header = ["pages", "bytes", "redirects", "denied", "errors", "shortest gap", "host"];
    let row = |(name, host): &(&&str, &Host)| {
        vec![
            thousands(host.pages),
            format_size(host.bytes),
            thousands(host.redirects),
            thousands(host.denied),
            thousands(host.errors.values().sum::<u64>()),
            host.shortest_gap.map_or_else(|| "-".to_owned(), report::duration),
            (**name).to_owned(),
        ]
    };
    text += "\n";
    text += &report::table(&header, &hosts.iter().take(SHOWN_HOSTS).map(row).collect::<Vec<_>>());
    if hosts.len() > SHOWN_HOSTS {
        let more = thousands((hosts.len() - SHOWN_HOSTS) as u64);
        let _ = writeln!(text, " and {more} more hosts, all of them in --stats");
    }
    text
}
