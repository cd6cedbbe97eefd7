//! Machines that announce themselves, and the hostfile that comes of it: on hosts of one machine,
//! from which no packet gets out.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU16;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mdns_sd::{DaemonEvent, ServiceDaemon, ServiceEvent, ServiceInfo, TxtProperty};
use rankpool::discover::SERVICE;
use rankpool::discover::record::{Record, Txt};
use rankpool::discover::secret::Secret;
use rustix::process::{Pid, Signal, kill_process};

use crate::netns::Network;
use crate::util::{Dir, Ran, Running, rankpool};

/// For what takes milliseconds; without a goodbye a record is forgotten after two minutes.
const LIMIT: Duration = Duration::from_secs(30);

const OURS: &str = "a secret of these machines\n";

fn secret_file(dir: &Dir, name: &str, text: &str) -> String {
    let path = dir.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// rankpool says on a host that it is there; waits until it has.
#[track_caller]
fn announce(network: &Network, host: &str, flags: &[&str]) -> Running {
    let mut running =
        network.rankpool_on(host).args(["announce"]).args(flags.iter().copied()).start();
    let said = format!("announcing `{host}` at ");
    running.poll("the announcement", |running| running.dir.read("stderr").contains(&said));
    running
}

fn signal(running: &Running, signal: Signal) {
    let pid = Pid::from_raw(running.child.id().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn discover(network: &Network, host: &str, flags: &[&str]) -> (Ran, Dir) {
    network.rankpool_on(host).args(["discover"]).args(flags.iter().copied()).run()
}

/// The lines that mpirun reads.
fn hosts(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().filter(|line| !line.starts_with('#')).collect()
}

/// What this rankpool would say in the name of a host.
fn record(host: &str, address: &str) -> Record {
    let mpi = rankpool::world::library();
    let mut record = Record::take(&mpi, Some(host), NonZeroU16::MIN).unwrap();
    record.addresses = vec![address.parse().unwrap()];
    record
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A stranger's service, as any program can make one; waits until it is out.
#[track_caller]
fn stranger(daemon: &ServiceDaemon, label: &str, txt: &Txt, address: &str) {
    let txt: Vec<TxtProperty> =
        txt.iter().map(|(key, value)| (key, value.as_slice()).into()).collect();
    let host = format!("{label}.local.");
    let mut service = ServiceInfo::new(SERVICE, label, &host, address, 9, txt).unwrap();
    service.set_requires_probe(false);
    let events = daemon.monitor().unwrap();
    daemon.register(service).unwrap();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), DaemonEvent::Announce(..)) {}
}

#[test]
fn machines_are_found_run_a_job_and_go_away() {
    let Some(network) = Network::new(4) else { return };
    let dir = Dir::new();
    let ours = secret_file(&dir, "ours", OURS);
    let theirs = secret_file(&dir, "theirs", "a secret of other machines\n");
    let h1 = announce(&network, "h1", &["--secret-file", &ours]);
    let h2 = announce(&network, "h2", &["--secret-file", &ours, "--slots", "2"]);
    let mut h3 = announce(&network, "h3", &["--secret-file", &ours, "--interface", "eth0"]);
    let _h4 = announce(&network, "h4", &["--secret-file", &theirs, "--slots", "99"]);
    let flags = ["--secret-file", &ours];

    let (ran, _) = discover(&network, "h1", &flags);
    assert_eq!(hosts(ran.code(0)), ["h1 slots=1", "h2 slots=2", "h3 slots=1"]);
    ran.says("# left out: `h4` (10.98.0.4): it has another secret\n");
    run_a_job(&network, &dir.write("hostfile", &ran.stdout));

    signal(&h2, Signal::TERM);
    h2.wait().0.code(0);
    let (ran, _) = discover(&network, "h1", &flags);
    assert_eq!(hosts(ran.code(0)), ["h1 slots=1", "h3 slots=1"]);
    h3.child.kill().unwrap();
    h3.child.wait().unwrap();
    let (ran, _) = discover(&network, "h4", &["--secret-file", &ours, "--format", "mpich"]);
    assert_eq!(hosts(ran.code(0)), ["h1:1"]);
    signal(&h1, Signal::INT);
    h1.wait().0.code(0);
    let (ran, _) = discover(&network, "h1", &flags);
    ran.code(2).says("left out: `h4` (10.98.0.4): it has another secret\n");
    ran.says("no machine that fits announced itself within 3s; run `rankpool announce`");
    assert_eq!(ran.stdout, "");
}

/// Four ranks on three hosts, by the hostfile as it was written.
#[track_caller]
fn run_a_job(network: &Network, hostfile: &Path) {
    let agent = network.agent().display().to_string();
    let hostfile = hostfile.display().to_string();
    let mut job = network.on("h1").args(["mpirun", "-n", "4", "--hostfile", &hostfile]);
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        job = job.env(name, "1").env(&format!("{name}_CONFIRM"), "1");
    }
    for name in ["PRTE_MCA_plm_ssh_agent", "OMPI_MCA_plm_rsh_agent"] {
        job = job.env(name, &agent);
    }
    let job = job
        .env("OMPI_MCA_mpi_yield_when_idle", "1")
        .env("OMPI_MCA_hwloc_base_binding_policy", "none");
    let job = job.args([env!("CARGO_BIN_EXE_rankpool"), "fib", "1..=400", "--schedule", "static"]);
    let (ran, dir) = job.line("--output out.jsonl --quiet").run();
    ran.code(0);
    let records = dir.records("out.jsonl");
    let by: BTreeSet<_> = records.iter().map(|record| record["host"].as_str().unwrap()).collect();
    assert_eq!((records.len(), Vec::from_iter(by)), (400, vec!["h1", "h2", "h3"]));
}

#[test]
fn strangers_and_others_are_left_out() {
    let Some(network) = Network::new(2) else { return };
    let dir = Dir::new();
    let ours = secret_file(&dir, "ours", OURS);
    let secret = Secret::new(OURS.as_bytes()).unwrap();
    let signed = |record: &Record| {
        let mut txt = record.to_txt();
        secret.sign(&mut txt);
        txt
    };
    let good = record("h2", "10.98.0.2");
    let other = Record { version: "9.9.9".into(), ..record("h2", "10.98.0.2") };
    let old = Record { time: now() - 3600, ..good.clone() };
    let mut broken = good.to_txt();
    broken.insert("name".into(), b"h2\n10.6.6.6 slots=9".to_vec());
    let daemon = network.within("h2", || ServiceDaemon::new().unwrap());
    stranger(&daemon, "bare", &good.to_txt(), "10.98.0.2");
    stranger(&daemon, "other", &signed(&other), "10.98.0.2");
    stranger(&daemon, "old", &signed(&old), "10.98.0.2");
    stranger(&daemon, "broken", &broken, "10.98.0.2");
    // What h1 said was sent again, with another address.
    stranger(&daemon, "again", &signed(&record("h1", "10.98.0.1")), "10.98.0.2");
    let _h1 = announce(&network, "h1", &["--secret-file", &ours]);

    let (ran, _) = discover(&network, "h1", &["--secret-file", &ours]);
    assert_eq!(hosts(ran.code(0)), ["h1 slots=1"], "{}", ran.stdout);
    let version = env!("CARGO_PKG_VERSION");
    for why in [
        "`h2` (10.98.0.2): it is not signed; name the secret there too".to_owned(),
        format!("`h2` (10.98.0.2): it runs rankpool 9.9.9, not {version}"),
        "`h2` (10.98.0.2): its time stamp is 36".to_owned(),
        "`h2?10.6.6.6 slots=9` (10.98.0.2): it is not signed".to_owned(),
        "`h1` (10.98.0.2): the network gives other addresses than it tells itself".to_owned(),
    ] {
        ran.says(&format!("# left out: {why}"));
    }
    assert!(!ran.stderr.contains("--secret-file"), "{}", ran.stderr);

    let (ran, _) = discover(&network, "h1", &[]);
    assert_eq!(hosts(ran.code(0)), ["h1 slots=1", "h2 slots=1"], "{}", ran.stdout);
    ran.says("without `--secret-file` anybody on this network can enter the hostfile");
    ran.says("# left out: `h2?10.6.6.6 slots=9` (10.98.0.2): its name is no host name");
    let (ran, _) = discover(&network, "h2", &["--min-cores", "9999", "--min-memory", "1KiB"]);
    ran.code(2).says("`h1` (10.98.0.1): it has ").says(" cores, not 9999");
}

#[test]
fn the_end_of_an_announcement_is_said() {
    let Some(network) = Network::new(2) else { return };
    let h1 = announce(&network, "h1", &[]);
    let daemon = network.within("h2", || ServiceDaemon::new().unwrap());
    let events = daemon.browse(SERVICE).unwrap();
    let next = || events.recv_timeout(LIMIT).expect("there is another event");
    while !matches!(next(), ServiceEvent::ServiceResolved(_)) {}
    signal(&h1, Signal::TERM);
    h1.wait().0.code(0);
    while !matches!(next(), ServiceEvent::ServiceRemoved(..)) {}
}

#[test]
fn a_machine_without_a_network_finds_itself_on_loopback() {
    let Some(network) = Network::new(1) else { return };
    let lo = ["--interface", "lo"];
    let _h1 = announce(&network, "h1", &lo);
    let (ran, _) = discover(&network, "h1", &lo);
    // Its name leads to its other address.
    assert_eq!(hosts(ran.code(0)), ["127.0.0.1 slots=1"]);
    // Nothing of that got onto the other interface.
    let (ran, _) = discover(&network, "h1", &["--interface", "eth0"]);
    ran.code(2).says("no machine announced itself within 3s");
}

#[track_caller]
fn check_error(line: &str, expected: &str) {
    let pool = rankpool();
    let path = pool.dir().write("open", OURS);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    secret_file(pool.dir(), "empty", "\n");
    let (ran, _) = pool.line(line).run();
    ran.code(2);
    assert_eq!((ran.stdout.as_str(), ran.stderr.trim_end()), ("", expected));
}

#[test]
fn bad_usage_is_told_before_anything_is_sent() {
    for command in ["announce", "discover"] {
        check_error(
            &format!("{command} --secret-file open"),
            "rankpool: the secret `open` is open to others than its owner (mode 0644); \
             close it by `chmod 600 open`",
        );
        check_error(
            &format!("{command} --secret-file empty"),
            "rankpool: the secret `empty` does not do: it has 0 bytes, and can be guessed; \
             use at least 16, such as those of `head -c 32 /dev/urandom | base64`",
        );
        check_error(
            &format!("{command} --secret-file none"),
            "rankpool: cannot read the secret `none`; `(umask 077; head -c 32 /dev/urandom | \
             base64 > none)` makes one: No such file or directory (os error 2)",
        );
    }
    check_error(
        "announce --name h_1",
        "rankpool: `h_1` is no host name; `--name NAME` gives one of letters, digits, `-` and dots",
    );
    check_error(
        "announce --slots 0",
        "rankpool: invalid value `0` for `--slots <N>`: use a whole number from 1 to 65535; \
         see `rankpool --help`",
    );
    let (ran, _) = rankpool().line("announce --interface nope").run();
    ran.code(2).says("no network interface `nope` with an address; there are `");
}
