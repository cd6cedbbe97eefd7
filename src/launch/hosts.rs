//! A hostfile: which hosts take how many ranks, and which of them answer.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{here, now};

/// How long a host may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

fn parse_slots(host: &str, slots: &str) -> Result<u32> {
    let parsed = slots.parse().ok().filter(|&slots| slots > 0);
    parsed.with_context(|| {
        format!(
            "host `{host}` takes `{slots}` ranks; write a whole number from 1, such as \
             `{host} slots=2`, or leave it out"
        )
    })
}

/// The hosts of a hostfile, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hosts(Vec<Host>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    name: String,
    slots: Option<u32>,
    /// As it was written.
    line: String,
}

impl Host {
    /// `name slots=4`, or `name:4` as MPICH writes it; `None`: nothing but a comment.
    fn parse(line: &str) -> Result<Option<Self>> {
        let said = line.split('#').next().unwrap_or_default();
        let said = said.replace(" =", "=").replace("= ", "=");
        let mut words = said.split_whitespace();
        let Some(name) = words.next() else { return Ok(None) };
        let name = name.rsplit('@').next().unwrap_or(name);
        let slots = words.find_map(|word| word.strip_prefix("slots="));
        let (name, slots) = match name.split_once(':') {
            Some((name, count)) => (name, slots.or(Some(count))),
            None => (name, slots),
        };
        let slots = slots.map(|slots| parse_slots(name, slots)).transpose()?;
        Ok(Some(Self { name: name.to_owned(), slots, line: line.to_owned() }))
    }

    /// A host that does not say counts its cores; of another one than this, one is known.
    fn slots(&self) -> u32 {
        self.slots.unwrap_or_else(|| if here::is(&self.name) { here::cores() } else { 1 })
    }
}

impl Hosts {
    /// This one alone.
    pub(super) fn one(name: String) -> Self {
        Self(vec![Host { line: name.clone(), name, slots: None }])
    }

    /// Reads a hostfile.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| {
            format!("cannot read the hostfile `{shown}`; `--hostfile FILE` names a list of hosts")
        })?;
        let hosts = Self::parse(&text).map_err(|error| anyhow!("`{shown}`: {error:#}"))?;
        ensure!(!hosts.0.is_empty(), "`{shown}` lists no host; write `localhost slots=4` into it");
        Ok(hosts)
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let hosts = text.lines().filter_map(|line| Host::parse(line).transpose());
        Ok(Self(hosts.collect::<Result<_>>()?))
    }

    /// How many ranks they take.
    pub(super) fn slots(&self) -> u32 {
        self.0.iter().fold(0, |sum, host| sum.saturating_add(host.slots()))
    }

    /// Whether none of them is another machine.
    pub(super) fn are_here(&self) -> bool {
        self.0.iter().all(|host| here::is(&host.name))
    }

    /// `h1:2,h2:2`.
    pub(super) fn as_list(&self) -> String {
        let hosts = self.0.iter().map(|host| format!("{}:{}", host.name, host.slots()));
        hosts.collect::<Vec<_>>().join(",")
    }

    /// As a hostfile, each host with all that was written of it.
    pub(super) fn as_file(&self) -> String {
        let lines: Vec<&str> = self.0.iter().map(|host| host.line.as_str()).collect();
        lines.join("\n") + "\n"
    }

    /// Leaves out those on which `command` does not print `expected`; returns each with what was
    /// heard instead.
    pub(super) fn leave_out_silent(
        &mut self,
        command: &str,
        expected: &str,
    ) -> Vec<(String, String)> {
        let asked: Vec<_> = self.0.iter().map(|host| Asked::new(&host.name, command)).collect();
        let deadline = now() + ANSWER_LIMIT;
        let mut silent = Vec::new();
        let mut asked = asked.into_iter();
        self.0.retain(|host| {
            let reason = asked.next().and_then(|asked| asked.reason(expected, deadline));
            let answers = reason.is_none();
            silent.extend(reason.map(|reason| (host.name.clone(), reason)));
            answers
        });
        silent
    }
}

/// A host that was asked for a sign of life; this one is not asked.
struct Asked(Option<std::io::Result<Child>>);

impl Asked {
    fn new(name: &str, line: &str) -> Self {
        if here::is(name) {
            return Self(None);
        }
        let mut command = agent(|variable| std::env::var(variable).ok());
        command.args([name, line]).stdin(Stdio::null());
        Self(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()))
    }

    /// Why the host does not take part.
    fn reason(self, expected: &str, deadline: std::time::Instant) -> Option<String> {
        let mut child = match self.0? {
            Ok(child) => child,
            Err(error) => return Some(format!("it cannot be asked: {error}")),
        };
        while let Ok(None) = child.try_wait() {
            if now() > deadline {
                // Ended by itself in the meantime: all the same.
                let _ = child.kill();
                let _ = child.wait();
                return Some(format!("no answer within {} s", ANSWER_LIMIT.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().ok()?;
        let (said, error) = (last_line(&output.stdout), last_line(&output.stderr));
        match (output.status.success(), said, error) {
            (true, Some(said), _) if said == expected => None,
            (true, Some(said), _) => Some(format!("it has {said}, and this host has {expected}")),
            (_, _, Some(error)) => Some(error),
            (_, _, None) => Some("it does not let a command run".to_owned()),
        }
    }
}

fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

/// What reaches other hosts: what mpirun was told to use, else ssh.
pub(super) fn agent(get: impl Fn(&str) -> Option<String>) -> Command {
    let named = [
        "PRTE_MCA_plm_ssh_agent",
        "OMPI_MCA_plm_ssh_agent",
        "OMPI_MCA_plm_rsh_agent",
        "HYDRA_LAUNCHER_EXEC",
    ];
    let named = named.into_iter().find_map(get).unwrap_or_default();
    // Several are parted by colons; the first one there is used, and the first one is there.
    let mut words = named.split(':').next().unwrap_or_default().split_whitespace();
    let program = words.next().unwrap_or("ssh");
    let mut command = Command::new(program);
    command.args(words);
    if Path::new(program).file_name().is_some_and(|name| name == "ssh") {
        command.args([
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=5",
            "-o",
            "ServerAliveInterval=5",
        ]);
    }
    command
}

/// How many of `ranks` are left for `left` of `all` slots.
pub(super) fn fewer(ranks: u32, all: u32, left: u32) -> u32 {
    if ranks <= all {
        return ranks.min(left).max(1);
    }
    // They were more than the slots: they stay so by as much.
    let scaled = u64::from(ranks) * u64::from(left) / u64::from(all.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostfiles_of_both_families_are_read() {
        let text = "# all\nroot@h1 slots=2 max_slots=4 # one\n\nh2:3\nh3 slots = 4\nh4\n";
        let hosts = Hosts::parse(text).unwrap();
        assert_eq!(hosts.as_list(), "h1:2,h2:3,h3:4,h4:1");
        assert_eq!(hosts.slots(), 10);
        assert!(!hosts.are_here());
        assert!(hosts.as_file().starts_with("root@h1 slots=2 max_slots=4 # one\nh2:3\n"));
        assert!(Hosts::parse("localhost slots=2\n127.0.0.1\n").unwrap().are_here());
        assert_eq!(Hosts::parse("# nobody\n").unwrap(), Hosts(Vec::new()));
    }

    #[test]
    fn slots_are_a_number_from_1() {
        for (line, typed) in [("h1 slots=0", "0"), ("h1:x", "x"), ("h1 slots=-3", "-3")] {
            let error = Hosts::parse(line).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("host `h1` takes `{typed}` ranks; write")),
                "{error}"
            );
        }
    }

    #[test]
    fn ranks_shrink_with_their_slots() {
        assert_eq!(fewer(4, 8, 6), 4);
        assert_eq!(fewer(8, 8, 6), 6);
        assert_eq!(fewer(16, 8, 6), 12);
        assert_eq!(fewer(2, 8, 0), 1);
    }

    #[test]
    fn the_agent_is_what_mpirun_was_told() {
        let told = |command: &Command| {
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        let ssh = "ssh -o BatchMode=yes -o ConnectTimeout=5 -o ServerAliveInterval=5";
        assert_eq!(told(&agent(|_| None)), ssh);
        let named = |name: &str| (name == "OMPI_MCA_plm_rsh_agent").then(|| "my -q : rsh".into());
        assert_eq!(told(&agent(named)), "my -q");
    }
}
