//! Whether all ranks see one and the same folder: told before the first task.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::inventory::Inventory;

/// A file of rank 0 that the others look for; gone with this.
#[derive(Debug)]
pub struct Marker(PathBuf);

impl Marker {
    /// Makes the folder, if it is not there, and a file in it.
    pub fn put(folder: &Path) -> Result<Self> {
        let cannot = || {
            let folder = folder.display();
            format!("cannot write to `{folder}`; name another folder for values")
        };
        fs::create_dir_all(folder).with_context(cannot)?;
        let path = folder.join(format!(".rankpool-{}", uuid::Uuid::new_v4().simple()));
        File::create_new(&path).with_context(cannot)?;
        Ok(Self(path))
    }

    /// Its name, for the others.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        // Left behind, it is a file without a value.
        let _ = fs::remove_file(&self.0);
    }
}

/// What a rank finds of the folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    /// The one that rank 0 has.
    Same,
    /// One of its own.
    Own,
    /// It cannot write there, for this reason.
    None(String),
}

impl View {
    /// Looks for rank 0's marker, and tries to write beside it.
    pub fn take(marker: &Path) -> Self {
        let sees = marker.exists();
        let folder = marker.parent().unwrap_or(Path::new("/"));
        match Marker::put(folder) {
            Err(error) => Self::None(format!("{error:#}")),
            Ok(_) if sees => Self::Same,
            Ok(_) => Self::Own,
        }
    }

    /// What all of them found, by rank: an error where one cannot write, a warning where the
    /// folder is not shared.
    pub fn judge(views: &[Self], world: &[Inventory], folder: &Path) -> Result<Option<String>> {
        let mut apart = BTreeSet::new();
        for (view, rank) in views.iter().zip(world) {
            match view {
                Self::None(why) => bail!("host {}: {why}", rank.host),
                Self::Own => drop(apart.insert(rank.host.as_str())),
                Self::Same => {}
            }
        }
        let hosts = apart.into_iter().collect::<Vec<_>>().join(", ");
        Ok((!hosts.is_empty()).then(|| {
            format!(
                "`{}` is not shared: what host {} writes there is not seen on {hosts}, whose \
                 values stay there until `rankpool gather RESULTS` brings them here; or name a \
                 folder that all hosts see",
                folder.display(),
                world[0].host
            )
        }))
    }
}
