//! Before the first task of a run that has a folder for values: whether every rank can write
//! there, and whether all of them see the same one.

use anyhow::Result;

use super::start::Setup;
use super::to_json;
use crate::inventory::Inventory;
use crate::transport::Transport;
use crate::values::{Marker, View};

/// Asks every rank, as rank 0. The inner error says why the run cannot begin, and every rank knows.
pub(super) fn ask(
    transport: &mut impl Transport,
    setup: &Setup,
    world: &[Inventory],
    mut warn: impl FnMut(&str),
) -> Result<Result<()>> {
    let Some(values) = &setup.values else { return Ok(Ok(())) };
    let marker = Marker::put(&values.folder);
    let path = marker.as_ref().ok().map(Marker::path);
    transport.broadcast(to_json(&path)?)?;
    let judged = match (&marker, path) {
        (Ok(_), Some(path)) => {
            let views = transport.gather(to_json(&View::take(path))?)?;
            let views = views.iter().map(|view| serde_json::from_slice(view));
            View::judge(&views.collect::<Result<Vec<_>, _>>()?, world, &values.folder)
        }
        _ => Ok(None),
    };
    if path.is_some() {
        transport.broadcast(to_json(&judged.is_ok())?)?;
    }
    let judged = marker.map(drop).and(judged);
    Ok(judged.map(|warning| warning.iter().for_each(|warning| warn(warning))))
}

/// Answers as a worker; whether the run begins.
pub(super) fn answer(transport: &mut impl Transport, setup: &Setup) -> Result<bool> {
    if setup.values.is_none() {
        return Ok(true);
    }
    let path: Option<std::path::PathBuf> =
        serde_json::from_slice(&transport.broadcast(Vec::new())?)?;
    let Some(path) = path else { return Ok(false) };
    transport.gather(to_json(&View::take(&path))?)?;
    Ok(serde_json::from_slice(&transport.broadcast(Vec::new())?)?)
}
