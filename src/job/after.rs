//! `name` and `after` of `[[task]]` tables, whatever their kind: which tables run after which.

use std::collections::HashMap;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Serialize;
use toml::{Table, Value};

use super::{TableSpec, complaint};
use crate::task::Shard;
use crate::task::after::{Link, link as link_sources};

/// What a table says of others.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Linked {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The names of tables whose tasks all have to succeed first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
    /// The places of these.
    #[serde(skip)]
    places: Vec<usize>,
}

/// The place of each name.
type Names = HashMap<String, usize>;

/// Takes the two keys out of the tables, and checks them. Where the order of the job is kept, a
/// table stands below those that it runs after.
pub(super) fn take(
    tables: &mut [Table],
    ordered: bool,
    place: impl Fn(usize) -> String,
) -> Result<Vec<Linked>> {
    let at = |idx: usize, error: anyhow::Error| anyhow!("{}{error:#}", place(idx));
    let mut linked = Vec::with_capacity(tables.len());
    let mut names = Names::new();
    for (idx, table) in tables.iter_mut().enumerate() {
        let read = read(table).and_then(|read| enter(&read, idx, &mut names).map(|()| read));
        linked.push(read.map_err(|error| at(idx, error))?);
    }
    for (idx, table) in linked.iter_mut().enumerate() {
        table.places =
            places(&table.after, idx, &names, ordered).map_err(|error| at(idx, error))?;
    }
    let Some((idx, circle)) = circle(&linked) else { return Ok(linked) };
    Err(at(idx, anyhow!("`after` goes round in a circle: {circle}; take one of these out")))
}

fn read(table: &mut Table) -> Result<Linked> {
    let name = match table.remove("name") {
        None => None,
        Some(Value::String(name)) if !name.is_empty() => Some(name),
        Some(other) => bail!("`name` is `{other}`; use a text such as `\"first\"`"),
    };
    let after = match table.remove("after") {
        None => Vec::new(),
        Some(Value::Array(names)) => names.into_iter().map(text).collect::<Result<_>>()?,
        Some(one) => vec![text(one)?],
    };
    Ok(Linked { name, after, places: Vec::new() })
}

fn text(value: Value) -> Result<String> {
    let Value::String(name) = value else {
        bail!("`after` has `{value}`; use the `name` of a table, or a list of such")
    };
    Ok(name)
}

fn enter(table: &Linked, idx: usize, names: &mut Names) -> Result<()> {
    let Some(name) = &table.name else { return Ok(()) };
    if let Some(earlier) = names.insert(name.clone(), idx) {
        bail!("`name`: [[task]] {} is called `{name}` already; use another", earlier + 1);
    }
    Ok(())
}

/// The places of the tables that the one at `idx` runs after.
fn places(after: &[String], idx: usize, names: &Names, ordered: bool) -> Result<Vec<usize>> {
    let mut places = Vec::with_capacity(after.len());
    for name in after {
        let place = *names.get(name).with_context(|| unknown(names, name))?;
        ensure!(!places.contains(&place), "`after` names `{name}` twice");
        ensure!(
            !ordered || place <= idx,
            "`after`: `{name}` stands below; put it above, as `ordered` keeps the order of the job"
        );
        places.push(place);
    }
    Ok(places)
}

fn unknown(names: &Names, name: &str) -> String {
    let mut known: Vec<&str> = names.keys().map(String::as_str).collect();
    known.sort_unstable();
    let way_out = match complaint::did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "give that table a `name`".to_owned(),
        None => format!("there are {}", complaint::listed(known)),
    };
    format!("`after`: no table has the name `{name}`; {way_out}")
}

/// A circle, if there is one: one of its tables, and its names in a row.
fn circle(linked: &[Linked]) -> Option<(usize, String)> {
    let mut is_free = vec![false; linked.len()];
    loop {
        let mut waiting = (0..linked.len()).filter(|&idx| !is_free[idx]);
        let Some(next) =
            waiting.find(|&idx| linked[idx].places.iter().all(|&place| is_free[place]))
        else {
            break;
        };
        is_free[next] = true;
    }
    // Each that is left runs after another that is left: whoever goes back comes round.
    let is_left = |idx: &usize| !is_free[*idx];
    let mut way = vec![(0..linked.len()).find(is_left)?];
    loop {
        let last = *way.last().expect("it begins with one");
        let before = linked[last].places.iter().copied().find(is_left);
        let before = before.expect("it waits for one");
        if let Some(start) = way.iter().position(|&idx| idx == before) {
            let names = way[start..].iter().chain([&before]);
            let names =
                names.map(|&idx| format!("`{}`", linked[idx].name.as_deref().unwrap_or("")));
            return Some((before, names.collect::<Vec<_>>().join(" after ")));
        }
        way.push(before);
    }
}

/// Has the first of the `tables`, which are the job file's, wait for each other.
pub(super) fn link(
    tables: &mut [TableSpec],
    linked: Vec<Linked>,
    shard: Option<Shard>,
) -> Result<()> {
    if linked.iter().all(|table| table.after.is_empty()) {
        tables.iter_mut().zip(linked).for_each(|(table, linked)| table.linked = linked);
        return Ok(());
    }
    ensure!(
        shard.is_none(),
        "`after` waits for all tasks of a table, and a part of the job has not all of them; leave \
         `--shard` out"
    );
    let links = linked.iter().map(|table| Link {
        name: table.name.clone().unwrap_or_default(),
        after: table.places.clone(),
    });
    let sources = tables.iter_mut().take(linked.len()).map(|table| &mut table.plan.source);
    link_sources(links.collect(), sources);
    tables.iter_mut().zip(linked).for_each(|(table, linked)| table.linked = linked);
    Ok(())
}
