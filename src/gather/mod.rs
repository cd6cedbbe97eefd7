//! Brings values to this host that a run left in files on other hosts, once it has ended.
//!
//! Files are copied whole, by whatever reaches the other hosts (ssh, or `srun` within an
//! allocation), and each value is compared with the digest in its record. It can be done again:
//! what is here already is not copied.
//!
//! **Invariant:** a value counts as here only when its bytes have been read here and have the
//! digest of its record.

mod bring;
mod find;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{launch, sink};
use find::{Piece, Source};

/// What to bring, and where to.
#[derive(Clone, Debug)]
pub struct Gather {
    /// The results file whose records name values.
    pub results: PathBuf,
    /// The folder to bring files to; `None`: to the paths that the records name.
    pub into: Option<PathBuf>,
    /// What runs a command on another host; `None`: what mpirun would use, else ssh.
    pub agent: Option<String>,
    /// Whether records whose values are lost are taken out of the results.
    pub forget_lost: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Values that are here, of all.
    pub here: [usize; 2],
    /// Files that were brought now.
    pub brought: usize,
    /// Tasks of which a value is lost.
    pub lost: BTreeSet<u128>,
}

impl fmt::Display for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([here, all], brought) = (self.here, self.brought);
        write!(f, "{here} of {all} values are here; {brought} files brought")
    }
}

impl Gather {
    /// Brings what is not here; what cannot be brought goes to `say`, a line a file.
    pub fn run(&self, say: &mut dyn FnMut(&str)) -> Result<Gathered> {
        let mut gathered = Gathered::default();
        let sources = find::find(&self.results)?;
        let targets = self.targets(&sources)?;
        for ((source, pieces), target) in sources.iter().zip(targets) {
            let brought = bring::bring(source, pieces, &target, || self.agent())?;
            gathered.here[0] += pieces.len() - brought.lost.len();
            gathered.here[1] += pieces.len();
            gathered.brought += usize::from(brought.is_new);
            if !brought.lost.is_empty() {
                let (path, n, host) = (source.path.display(), brought.lost.len(), &source.host);
                let why = brought.why.unwrap_or_else(|| "other bytes than were written".into());
                say(&format!("host {host}: {n} values in `{path}` are lost: {why}"));
            }
            gathered.lost.extend(brought.lost);
        }
        if !gathered.lost.is_empty() {
            self.lose(&gathered.lost, say)?;
        }
        Ok(gathered)
    }

    fn lose(&self, lost: &BTreeSet<u128>, say: &mut dyn FnMut(&str)) -> Result<()> {
        let (n, results) = (lost.len(), self.results.display());
        if self.forget_lost {
            sink::forget(&self.results, lost)?;
            say(&format!("{n} records taken out of `{results}`; `--resume` runs their tasks"));
        } else {
            say(&format!(
                "values of {n} tasks are lost; once more with `--forget-lost`, `{results}` no \
                 longer has their records, and `--resume` runs these tasks again"
            ));
        }
        Ok(())
    }

    /// Where each file is to be.
    fn targets(&self, sources: &BTreeMap<Source, Vec<Piece>>) -> Result<Vec<PathBuf>> {
        let target = |source: &Source| match &self.into {
            None => source.path.clone(),
            Some(folder) => folder.join(source.path.file_name().unwrap_or_default()),
        };
        let targets: Vec<_> = sources.keys().map(target).collect();
        let mut seen = BTreeSet::new();
        let twice = targets.iter().find(|target| !seen.insert(target.as_path()));
        let into = self.into.as_deref().unwrap_or(Path::new("/")).display();
        ensure!(
            twice.is_none(),
            "two files of values would be `{}` below `{into}`; bring them to another folder with \
             `--into`",
            twice.map(|path| path.display().to_string()).unwrap_or_default()
        );
        Ok(targets)
    }

    fn agent(&self) -> Result<Command> {
        let Some(line) = &self.agent else { return Ok(launch::agent()) };
        let words = shlex::split(line).filter(|words| !words.is_empty());
        let words = words.with_context(|| {
            format!("`--agent {line}` is no command; write one such as `srun -N1 -n1 -w`")
        })?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        Ok(command)
    }
}
