//! Several hosts on this machine: each a network and a host name of its own, joined by a bridge
//! from which nothing leads out.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::util::{Dir, Rankpool, program};

/// Hosts `h1`, `h2` … with the addresses 10.98.0.1, 10.98.0.2 …, which know each other's names.
pub(crate) struct Network {
    prefix: String,
    n_hosts: u32,
    dir: Dir,
}

impl Network {
    /// `None` where this machine does not let it be made; standard error says why.
    pub(crate) fn new(n_hosts: u32) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: hosts in network namespaces are for root to make");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("rp{}-{number}", std::process::id());
        let network = Self { prefix, n_hosts, dir: Dir::new() };
        match network.make() {
            Ok(()) => Some(network),
            Err(why) => {
                eprintln!("skipped: no hosts in network namespaces here: {why}");
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        let switch = self.namespace("sw");
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add br0 type bridge stp_state 0 forward_delay 0"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for number in 1..=self.n_hosts {
            let host = self.namespace(&format!("h{number}"));
            ip(&format!("netns add {host}"))?;
            ip(&format!("-n {switch} link add v{number} type veth peer name eth0 netns {host}"))?;
            ip(&format!("-n {switch} link set v{number} master br0 up"))?;
            ip(&format!("-n {host} link set lo up"))?;
            ip(&format!("-n {host} addr add 10.98.0.{number}/24 dev eth0"))?;
            ip(&format!("-n {host} link set eth0 up"))?;
        }
        let hosts = (1..=self.n_hosts).map(|number| format!("10.98.0.{number} h{number}\n"));
        let hosts = format!("127.0.0.1 localhost\n{}", hosts.collect::<String>());
        let hosts = self.dir.write("hosts", &hosts);
        let (hosts, prefix) = (hosts.display(), &self.prefix);
        // Each becomes the next one, so that the first one's pid is the command's.
        let inside = "hostname $0 && mount --bind $HOSTS /etc/hosts && exec \"$@\"";
        let on = format!(
            "#!/bin/sh\nhost=$1; shift\nexport HOSTS={hosts}\n\
             exec nsenter --net=/run/netns/{prefix}-$host unshare --uts --mount \
             sh -c '{inside}' $host \"$@\"\n"
        );
        let on = self.script("on", &on);
        // What ssh is for mpirun.
        let agent = format!(
            "#!/bin/sh\nwhile [ \"${{1#-}}\" != \"$1\" ]; do shift; done\nhost=$1; shift\n\
             exec {} h${{host##*[h.]}} sh -c \"$*\"\n",
            on.display()
        );
        self.script("agent", &agent);
        Ok(())
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A command line that is run on a host; its program is yet to be said.
    pub(crate) fn on(&self, host: &str) -> Rankpool {
        program(self.dir.path().join("on")).args([host])
    }

    /// rankpool on a host.
    pub(crate) fn rankpool_on(&self, host: &str) -> Rankpool {
        self.on(host).args([env!("CARGO_BIN_EXE_rankpool")])
    }

    /// What starts commands on other hosts for mpirun.
    pub(crate) fn agent(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    /// Does something in a host's network, in a thread that stays there.
    pub(crate) fn within<T: Send>(&self, host: &str, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(self.namespace(host))).unwrap();
        let moved = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            act()
        };
        std::thread::scope(|scope| scope.spawn(moved).join().unwrap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let hosts = (1..=self.n_hosts).map(|number| format!("h{number}"));
        for name in hosts.chain(["sw".to_owned()]) {
            // Perhaps it could not be made.
            let _ = ip(&format!("netns del {}", self.namespace(&name)));
        }
    }
}

fn ip(line: &str) -> Result<(), String> {
    let output = Command::new("ip").args(line.split(' ')).output();
    let output = output.map_err(|error| format!("`ip`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`ip {line}`: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
