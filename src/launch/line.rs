//! The line that starts a world: which flags which MPI needs.
//!
//! **Invariant:** functions over data.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::hosts::Hosts;
use super::mpirun::{Family, Mpi};

/// What a world is to be.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) ranks: u32,
    /// How many ranks its hosts take; `None`: a batch system knows.
    pub(super) slots: Option<u32>,
    /// How many ranks find a core of their own; `None`: a batch system knows.
    pub(super) cores: Option<u32>,
    /// The hosts, with the file that lists them.
    pub(super) hosts: Option<(&'a Path, &'a Hosts)>,
    /// Whether the superuser starts it.
    pub(super) as_root: bool,
    /// Environment variables that ranks on other hosts need too.
    pub(super) variables: &'a [&'a str],
}

/// The flags for `world`.
pub(super) fn flags(mpi: &Mpi, world: &World<'_>) -> Vec<OsString> {
    match mpi.family {
        Family::OpenMpi => open_mpi(mpi, world),
        Family::Mpich => mpich(world),
    }
}

fn open_mpi(mpi: &Mpi, world: &World<'_>) -> Vec<OsString> {
    let mut flags = Words::default();
    if world.as_root {
        flags.line("--allow-run-as-root");
    }
    // With these a rank's death ends neither the others nor MPI_Finalize.
    let survive = if mpi.major() >= 5 { "--with-ft ulfm" } else { "--enable-recovery" };
    flags.line(survive).line("--mca async_mpi_finalize 1");
    if world.cores.is_some_and(|cores| world.ranks > cores) {
        // Ranks that share a core would otherwise wait for each other's time slices.
        flags.line("--mca mpi_yield_when_idle 1");
    }
    // A rank runs tasks on all cores it may.
    flags.line("--bind-to none");
    if world.slots.is_some_and(|slots| world.ranks > slots) {
        flags.line(if mpi.major() >= 5 { "--map-by :OVERSUBSCRIBE" } else { "--oversubscribe" });
    }
    flags.line(&format!("-n {}", world.ranks));
    if let Some((file, _)) = world.hosts {
        flags.line("--hostfile").0.push(file.into());
    }
    for name in world.variables {
        flags.line(&format!("-x {name}"));
    }
    flags.0
}

/// Hydra passes the whole environment, binds nothing and counts no slots against a rank.
fn mpich(world: &World<'_>) -> Vec<OsString> {
    let mut flags = Words::default();
    flags.line(&format!("-n {}", world.ranks));
    if let Some((_, hosts)) = world.hosts {
        // Its hostfiles are written differently: the list needs no second file.
        flags.line("-hosts").0.push(hosts.as_list().into());
    }
    flags.0
}

#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn line(&mut self, words: &str) -> &mut Self {
        self.0.extend(words.split(' ').map(OsString::from));
        self
    }
}

/// A command as a shell would read it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) mpirun: PathBuf,
    pub(super) flags: Vec<OsString>,
    /// rankpool and its arguments.
    pub(super) program: Vec<OsString>,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.flags.iter().chain(&self.program).map(OsString::as_os_str);
        f.write_str(&quoted(std::iter::once(self.mpirun.as_os_str()).chain(words)))
    }
}

/// Words for a shell, parted by blanks.
pub(super) fn quoted<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> String {
    let words: Vec<String> = words.into_iter().map(quote).collect();
    words.join(" ")
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A rankpool command that goes on with what an earlier one has done.
pub(super) fn resumed(command: &[OsString]) -> Vec<OsString> {
    let is_there = |flag: &str| command.iter().any(|word| word == flag);
    let mut resumed: Vec<_> =
        command.iter().filter(|word| *word != "--overwrite").cloned().collect();
    if !is_there("--resume") && !is_there("--retry-failed") {
        // Right after the subcommand: it has to stand before a `--`.
        resumed.insert(1.min(resumed.len()), "--resume".into());
    }
    resumed
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: World<'_> = World {
        ranks: 2,
        slots: Some(4),
        cores: Some(4),
        hosts: None,
        as_root: false,
        variables: &[],
    };

    fn shown(version: &str, world: &World<'_>) -> String {
        let mpi = Mpi::parse(version).unwrap();
        let flags = flags(&mpi, world);
        quoted(flags.iter().map(OsString::as_os_str))
    }

    #[test]
    fn open_mpi_5_gets_its_flags() {
        let five = "mpirun (Open MPI) 5.0.11";
        let usual = "--with-ft ulfm --mca async_mpi_finalize 1";
        assert_eq!(shown(five, &HERE), format!("{usual} --bind-to none -n 2"));
        let hosts = Hosts::parse("h1 slots=2\nh2 slots=2\n").unwrap();
        let crowded = World {
            ranks: 5,
            hosts: Some((Path::new("my hosts"), &hosts)),
            as_root: true,
            variables: &["https_proxy"],
            ..HERE
        };
        assert_eq!(
            shown(five, &crowded),
            format!(
                "--allow-run-as-root {usual} --mca mpi_yield_when_idle 1 --bind-to none \
                 --map-by :OVERSUBSCRIBE -n 5 --hostfile 'my hosts' -x https_proxy"
            )
        );
    }

    #[test]
    fn open_mpi_4_gets_its_flags() {
        let four = "mpirun (Open MPI) 4.1.4";
        let usual = "--enable-recovery --mca async_mpi_finalize 1";
        assert_eq!(shown(four, &HERE), format!("{usual} --bind-to none -n 2"));
        let crowded = World { ranks: 5, ..HERE };
        assert_eq!(
            shown(four, &crowded),
            format!("{usual} --mca mpi_yield_when_idle 1 --bind-to none --oversubscribe -n 5")
        );
    }

    #[test]
    fn mpich_gets_next_to_none() {
        let hosts = Hosts::parse("h1 slots=2\nh2\n").unwrap();
        let world = World {
            ranks: 9,
            hosts: Some((Path::new("hosts"), &hosts)),
            as_root: true,
            variables: &["https_proxy"],
            ..HERE
        };
        assert_eq!(shown("HYDRA build details:\n Version: 4.0.2", &world), "-n 9 -hosts h1:2,h2:1");
    }

    #[test]
    fn where_a_batch_system_knows_the_hosts_nothing_is_crowded() {
        let world = World { ranks: 64, slots: None, cores: None, ..HERE };
        let line = shown("mpirun (Open MPI) 5.0.11", &world);
        assert!(!line.contains("OVERSUBSCRIBE") && !line.contains("yield"), "{line}");
    }

    #[test]
    fn words_survive_a_shell() {
        let words = ["a", "", "a b", "it's", "$x", "jobs/x.toml"].map(OsStr::new);
        assert_eq!(quoted(words), r"a '' 'a b' 'it'\''s' '$x' jobs/x.toml");
    }

    #[test]
    fn a_command_is_resumed_once_and_overwrites_nothing() {
        let resumed = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            quoted(resumed(&words).iter().map(OsString::as_os_str))
        };
        assert_eq!(resumed("run j.toml --overwrite"), "run --resume j.toml");
        assert_eq!(resumed("run --resume j.toml"), "run --resume j.toml");
        assert_eq!(resumed("run j.toml --retry-failed"), "run j.toml --retry-failed");
        assert_eq!(resumed("fib --output x -- 3"), "fib --resume --output x -- 3");
    }
}
