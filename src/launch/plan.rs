//! How a world is started: with which mpirun, on which hosts, with how many ranks.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::attempt::{Attempt, Ended};
use super::hosts::{self, Hosts};
use super::line::{Line, World, flags, quoted};
use super::mpirun::{self, Family, Mpi};
use super::signals::Signals;
use super::{Launch, here, marks};
use crate::values::Marker;

/// Environment variables that change what ranks do; Open MPI takes only its own to other hosts.
const VARIABLES: &[&str] = &[
    "LD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// What `rankpool --version` prints.
const OWN_VERSION: &str = concat!("rankpool ", env!("CARGO_PKG_VERSION"));

/// What to run on a host, to see that it answers and has the same rankpool.
fn ask_version() -> Result<String> {
    let own = std::env::current_exe().context("cannot find rankpool's own program")?;
    let mut words: Vec<OsString> = Vec::new();
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        let mut variable = OsString::from("LD_LIBRARY_PATH=");
        variable.push(path);
        words.extend(["env".into(), variable]);
    }
    words.extend([own.into_os_string(), "--version".into()]);
    Ok(quoted(words.iter().map(OsString::as_os_str)))
}

#[derive(Debug)]
pub(super) struct Plan<'a> {
    launch: &'a Launch,
    mpirun: PathBuf,
    mpi: Mpi,
    ranks: u32,
    hosts: Option<(PathBuf, Hosts)>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(launch: &'a Launch) -> Result<Self> {
        let hosts = match &launch.hostfile {
            Some(path) => Some((path.clone(), Hosts::read(path)?)),
            None => None,
        };
        let ranks = match (launch.ranks, &hosts) {
            (Some(ranks), _) => ranks.get(),
            (None, Some((_, hosts))) => hosts.slots().max(1),
            (None, None) => bail!("how many ranks? `-n 4`, or `--hostfile FILE` with their hosts"),
        };
        let (mpirun, mpi) = mpirun::find(launch.mpirun.as_deref(), &launch.library)?;
        Ok(Self { launch, mpirun, mpi, ranks, hosts })
    }

    /// Whether no other host takes part.
    pub(super) fn all_here(&self) -> bool {
        match &self.hosts {
            Some((_, hosts)) => hosts.are_here(),
            None => !here::has_batch_system(),
        }
    }

    /// The line that starts `command`.
    pub(super) fn line(&self, command: &[OsString]) -> Result<Line> {
        let (slots, cores) = match &self.hosts {
            Some((_, hosts)) if hosts.are_here() => (Some(hosts.slots()), Some(here::threads())),
            Some((_, hosts)) => (Some(hosts.slots()), Some(hosts.slots())),
            None if here::has_batch_system() => (None, None),
            None => (Some(here::cores()), Some(here::threads())),
        };
        let is_set = |name: &&str| std::env::var_os(name).is_some();
        let variables: Vec<&str> = VARIABLES.iter().copied().filter(is_set).collect();
        let world = World {
            ranks: self.ranks,
            slots,
            cores,
            hosts: self.hosts.as_ref().map(|(path, hosts)| (path.as_path(), hosts)),
            as_root: here::is_superuser(),
            variables: if self.all_here() { &[] } else { &variables },
        };
        let own = std::env::current_exe().context("cannot find rankpool's own program")?;
        let mut program = vec![own.into_os_string()];
        program.extend_from_slice(command);
        Ok(Line { mpirun: self.mpirun.clone(), flags: flags(&self.mpi, &world), program })
    }

    /// Runs `command` in a world, whose files are the `number`th of `folder`.
    pub(super) fn attempt(
        &self,
        number: u32,
        command: &[OsString],
        folder: &Path,
        signals: &Signals,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Ended> {
        let mut line = self.line(command)?;
        tell(&line.to_string());
        if self.mpi.family == Family::OpenMpi && !self.all_here() {
            // Not told: whoever pastes the line has no such files.
            for name in [marks::END_FILE, marks::PID_FILE] {
                line.flags.extend(["-x", name].map(OsString::from));
            }
        }
        let heartbeat = self.launch.heartbeat;
        Attempt::start(&line, folder, number, self.all_here(), heartbeat)?.supervise(signals)
    }

    /// The line by which a person goes on with what is done.
    pub(super) fn by_hand(&self, command: &[OsString]) -> String {
        let mut words: Vec<OsString> = ["rankpool", "launch"].map(OsString::from).into();
        if let Some(ranks) = self.launch.ranks {
            words.extend(["-n".into(), ranks.to_string().into()]);
        }
        for (flag, path) in
            [("--hostfile", &self.launch.hostfile), ("--mpirun", &self.launch.mpirun)]
        {
            words.extend(path.iter().flat_map(|path| [flag.into(), path.clone().into()]));
        }
        quoted(words.iter().chain(command).map(OsString::as_os_str))
    }

    /// Refuses hosts that do not answer, before anything waits for them.
    pub(super) fn check_hosts(&mut self, tell: &mut dyn FnMut(&str)) -> Result<()> {
        let Some((path, hosts)) = self.hosts.as_mut() else { return Ok(()) };
        let (path, slots) = (path.display(), hosts.slots());
        if self.ranks > slots {
            let ranks = self.ranks;
            tell(&format!(
                "{ranks} ranks on the {slots} slots of `{path}` share cores; `-n {slots}`, or \
                 more `slots` there"
            ));
        }
        if hosts.are_here() {
            return Ok(());
        }
        let silent = hosts.leave_out_silent(&ask_version()?, OWN_VERSION);
        let silent: Vec<String> =
            silent.into_iter().map(|(name, reason)| format!("host `{name}`: {reason}")).collect();
        ensure!(
            silent.is_empty(),
            "`{path}`: {}; `ssh HOST` from here has to find the same rankpool there without asking \
             for a password: see to it, or leave that host out",
            silent.join("; ")
        );
        Ok(())
    }

    /// Warns of a folder of results that a host does not see: rank 0 may have to start again there.
    pub(super) fn check_shared(&self, tell: &mut dyn FnMut(&str)) -> Result<()> {
        let (Some((_, hosts)), Ok(results)) = (&self.hosts, &self.launch.results) else {
            return Ok(());
        };
        let results = std::path::absolute(results).context("no folder for results")?;
        let folder = results.parent().unwrap_or(Path::new("/"));
        // Where this host cannot write, rank 0 may be on one that can.
        let Some(marker) = Marker::put(folder).ok().filter(|_| !hosts.are_here()) else {
            return Ok(());
        };
        let path = quoted([marker.path().as_os_str()]);
        let ask = format!("test -e {path} && echo shared || echo apart");
        let mut apart = hosts.clone().leave_out_silent(&ask, "shared");
        // One that is slow to answer may see it.
        apart.retain(|(_, heard)| heard.starts_with("it has apart"));
        if !apart.is_empty() {
            let names: Vec<String> = apart.iter().map(|(name, _)| format!("`{name}`")).collect();
            tell(&format!(
                "the results' folder `{}` is not shared, {} see another one: if rank 0's host is \
                 lost, so are they; start from a folder that all hosts see, or name a file in one \
                 with `--output`",
                folder.display(),
                names.join(", ")
            ));
        }
        Ok(())
    }

    /// Leaves out hosts that do not answer, and the ranks that they had.
    pub(super) fn leave_out_silent(
        &mut self,
        folder: &Path,
        tell: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let Some((path, hosts)) = self.hosts.as_mut().filter(|(_, hosts)| !hosts.are_here()) else {
            return Ok(());
        };
        let all = hosts.slots();
        let silent = hosts.leave_out_silent(&ask_version()?, OWN_VERSION);
        for (name, reason) in &silent {
            tell(&format!("left out host `{name}`: {reason}"));
        }
        ensure!(hosts.slots() > 0, "no host of the hostfile answers");
        if !silent.is_empty() {
            *path = folder.join("hostfile");
            std::fs::write(&*path, hosts.as_file())
                .with_context(|| format!("cannot write `{}`", path.display()))?;
            self.ranks = hosts::fewer(self.ranks, all, hosts.slots());
        }
        Ok(())
    }
}
