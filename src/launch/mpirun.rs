//! Finds the `mpirun` of the MPI that this binary runs with: another one would start worlds of
//! one rank each.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// An MPI, as far as its launcher's flags differ from others'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mpi {
    pub(super) family: Family,
    /// Such as `5.0.11`.
    version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    OpenMpi,
    /// MPICH and what descends from it, all started by the launcher Hydra.
    Mpich,
}

impl Mpi {
    /// Reads what a library or the launcher's `--version` says.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (family, at) = [
            ("Open MPI", Family::OpenMpi),
            ("Intel(R) MPI", Family::Mpich),
            ("MVAPICH", Family::Mpich),
            ("MPICH", Family::Mpich),
            ("HYDRA", Family::Mpich),
        ]
        .into_iter()
        .find_map(|(name, family)| Some((family, text.find(name)? + name.len())))?;
        let words = text[at..].split_whitespace().map(|word| word.trim_start_matches(['v', ')']));
        let version = words
            .map(|word| word.trim_end_matches([',', ';']))
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        Some(Self { family, version: version.to_owned() })
    }

    fn number(&self, idx: usize) -> Option<u32> {
        let part = self.version.split('.').nth(idx)?;
        let digits = part.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    pub(super) fn major(&self) -> u32 {
        self.number(0).unwrap_or(0)
    }

    /// Whether a launcher of this MPI makes worlds of processes of that one. Patch releases of
    /// Open MPI do, and Hydra speaks the same protocol (PMI) in all versions.
    fn fits(&self, other: &Self) -> bool {
        let release = |mpi: &Self| (mpi.number(0), mpi.number(1));
        self.family == other.family
            && (self.family == Family::Mpich || release(self) == release(other))
    }
}

impl std::fmt::Display for Mpi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.family {
            Family::OpenMpi => "Open MPI",
            Family::Mpich => "MPICH or a relative",
        };
        write!(f, "{name} {}", self.version)
    }
}

/// The launcher to use: `asked`, else the one beside the compiler that rankpool was built with,
/// else that on PATH.
pub(super) fn find(asked: Option<&Path>, library: &str) -> Result<(PathBuf, Mpi)> {
    let Some(own) = Mpi::parse(library) else {
        bail!(
            "`{library}` is no MPI that `launch` knows; start `rankpool run …` with its own \
             launcher"
        );
    };
    if let Some(asked) = asked {
        let mpi = version(asked)?;
        return if mpi.fits(&own) { Ok((asked.to_owned(), mpi)) } else { other(asked, &mpi, &own) };
    }
    let mut others = Vec::new();
    for path in candidates() {
        match version(&path) {
            Ok(mpi) if mpi.fits(&own) => return Ok((path, mpi)),
            Ok(mpi) => others.push((path, mpi)),
            Err(_) => {}
        }
    }
    match others.first() {
        Some((path, mpi)) => other(path, mpi, &own),
        None => bail!(
            "no `mpirun` of {own} beside `{MPICC}` nor on PATH; `. scripts/env` puts it there, \
             `--mpirun PATH` names it"
        ),
    }
}

fn other<T>(path: &Path, mpi: &Mpi, own: &Mpi) -> Result<T> {
    bail!(
        "`{}` belongs to {mpi}, but rankpool runs with {own}; name that MPI's mpirun \
         (`--mpirun PATH`), or build rankpool with {mpi}",
        path.display()
    )
}

/// The compiler that rankpool was built with.
const MPICC: &str = env!("RANKPOOL_MPICC");

fn candidates() -> impl Iterator<Item = PathBuf> {
    let mpicc = Path::new(MPICC);
    // `mpicc.openmpi` goes with `mpirun.openmpi`.
    let name = mpicc.file_name().unwrap_or_default().to_string_lossy();
    let beside = [name.replace("mpicc", "mpirun"), "mpirun".into(), "mpiexec".into()];
    let beside = beside.into_iter().filter(move |beside| *beside != name);
    let folder = mpicc.parent().filter(|folder| *folder != Path::new("")).map(Path::to_owned);
    let beside = beside.filter_map(move |name| Some(folder.as_ref()?.join(name)));
    let library = Path::new(env!("RANKPOOL_MPI_LIB")).parent().map(|root| root.join("bin/mpirun"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let on_path =
        folders.into_iter().flat_map(|folder| ["mpirun", "mpiexec"].map(|name| folder.join(name)));
    beside.chain(library).chain(on_path).filter(|path| path.is_file())
}

fn version(path: &Path) -> Result<Mpi> {
    let shown = path.display();
    let output = Command::new(path).arg("--version").output();
    let output = output.with_context(|| {
        format!("cannot start `{shown}`; `--mpirun PATH` names the mpirun to use")
    })?;
    Mpi::parse(&String::from_utf8_lossy(&output.stdout)).with_context(|| {
        format!("`{shown} --version` names no MPI that `launch` knows; `--mpirun PATH` names one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mpi(text: &str) -> Mpi {
        Mpi::parse(text).unwrap()
    }

    #[test]
    fn libraries_and_launchers_tell_who_they_are() {
        let five = mpi("mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/\n");
        assert_eq!(five, mpi("Open MPI v5.0.11"));
        assert_eq!((five.major(), five.to_string()), (5, "Open MPI 5.0.11".to_owned()));
        assert!(five.fits(&mpi("Open MPI v5.0.3")));
        let four = mpi("mpirun (Open MPI) 4.1.4");
        assert!(!five.fits(&four));
        let mpich = mpi("HYDRA build details:\n    Version:              4.0.2\n    CC: gcc\n");
        assert_eq!(mpich.version, "4.0.2");
        assert!(mpich.fits(&mpi("MPICH Version:      5.0.2")) && !mpich.fits(&five));
        let intel = mpi("Intel(R) MPI Library for Linux* OS, Version 2021.9 Build 20230307");
        assert!(mpich.fits(&intel));
        assert_eq!(Mpi::parse("srun 23.02"), None);
    }

    #[test]
    fn a_launcher_of_another_mpi_is_named_with_ours() {
        let error = find(Some(Path::new("/nope/mpirun")), "Open MPI v5.0.11").unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot start `/nope/mpirun`; `--mpirun PATH`"));
        let error = find(None, "Quadrics 1").unwrap_err().to_string();
        assert!(error.starts_with("`Quadrics 1` is no MPI that `launch` knows"), "{error}");
    }
}
