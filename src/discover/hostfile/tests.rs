use std::num::NonZeroU16;
use std::time::Duration;

use proptest::prelude::*;

use super::super::choose::{Heard, choose};
use super::super::record::{Txt, is_host_name};
use super::super::secret::Secret;
use super::*;

const NOW: u64 = 1_800_000_000;

fn record(name: &str, address: &str) -> Record {
    Record {
        name: name.to_owned(),
        addresses: vec![address.parse().unwrap()],
        slots: NonZeroU16::new(2).unwrap(),
        cores: 8,
        memory: 16 << 30,
        load: 0.25,
        mpi: "Open MPI v5.0.11".to_owned(),
        version: "0.1.0".to_owned(),
        time: NOW - 10,
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes()).unwrap()
}

fn ours() -> Secret {
    secret("a secret of ours")
}

/// As it is heard from the machine itself, signed with our secret.
fn heard(record: &Record) -> Heard {
    let mut txt = record.to_txt();
    ours().sign(&mut txt);
    Heard { txt, addresses: record.addresses.clone() }
}

fn wanted() -> Wanted {
    Wanted {
        secret: Some(ours()),
        max_age: Duration::from_secs(60),
        now: NOW,
        version: "0.1.0".to_owned(),
        mpi: "Open MPI v5.0.11".to_owned(),
        min_cores: 4,
        min_memory: 1 << 30,
    }
}

fn names(names: &[(&str, &str)]) -> Names {
    let name = |&(name, ip): &(&str, &str)| (name.to_owned(), vec![ip.parse().unwrap()]);
    names.iter().map(name).collect()
}

fn write(heard: &[Heard], wanted: &Wanted, names: &Names, format: Format) -> String {
    let here = Here { name: "here".to_owned(), addresses: vec!["10.0.0.9".parse().unwrap()] };
    let (machines, mut left_out) = choose(heard, wanted);
    let (entries, unnamed) = entries(machines, names, &here, format);
    left_out.extend(unnamed);
    text(&entries, &left_out, wanted, format)
}

/// One record that differs from a good one is left out, for this reason.
#[track_caller]
fn check_left_out(change: impl FnOnce(&mut Heard), why: &str) {
    let mut heard = heard(&record("h1", "10.0.0.1"));
    change(&mut heard);
    let text = write(&[heard], &wanted(), &Names::new(), Format::OpenMpi);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("# rankpool discover: 0 machines"), "{text}");
    assert_eq!(lines[1..], [format!("# left out: {why}")]);
}

/// The same, where the machine itself says something else, and signs it.
#[track_caller]
fn check_unfit(change: impl FnOnce(&mut Record), why: &str) {
    let mut record = record("h1", "10.0.0.1");
    change(&mut record);
    let heard_here = heard(&record);
    check_left_out(|heard| *heard = heard_here, &format!("`h1` (10.0.0.1): {why}"));
}

#[test]
fn machines_are_in_order_by_name_where_it_leads_to_them() {
    let heard: Vec<_> = [("h2", "10.0.0.2"), ("h1", "10.0.0.1"), ("h3", "10.0.0.3")]
        .map(|(name, address)| heard(&record(name, address)))
        .into();
    let names = names(&[("h1", "10.0.0.1"), ("h2", "10.6.6.6")]);
    let rest = "\
# h1: cores 8, memory 16.0 GiB, load 0.25
h1 slots=2
# h2: cores 8, memory 16.0 GiB, load 0.25; the name leads elsewhere from here
10.0.0.2 slots=2
# h3: cores 8, memory 16.0 GiB, load 0.25; the name does not resolve here
10.0.0.3 slots=2
";
    let first = "# rankpool discover: 3 machines with rankpool 0.1.0 and Open MPI v5.0.11";
    let text = write(&heard, &wanted(), &names, Format::OpenMpi);
    assert_eq!(text, format!("{first}, signed with the secret\n{rest}"));
    let text = write(&heard, &Wanted { secret: None, ..wanted() }, &names, Format::Mpich);
    assert_eq!(text, format!("{first}, not signed\n{}", rest.replace(" slots=", ":")));
}

#[test]
fn this_machine_has_its_name_also_where_that_means_loopback() {
    let names = names(&[("here", "127.0.1.1"), ("there", "127.0.0.1")]);
    let heard = [heard(&record("here", "10.0.0.9")), heard(&record("there", "10.0.0.8"))];
    let text = write(&heard, &wanted(), &names, Format::OpenMpi);
    assert!(text.contains("\nhere slots=2\n") && text.contains("\n10.0.0.8 slots=2\n"), "{text}");
}

#[test]
fn what_does_not_fit_is_left_out_with_its_reason() {
    check_unfit(|of| of.version = "9.9".into(), "it runs rankpool 9.9, not 0.1.0");
    check_unfit(|of| of.mpi = "MPICH 5".into(), "it has MPICH 5, not Open MPI v5.0.11");
    check_unfit(|of| of.cores = 3, "it has 3 cores, not 4");
    check_unfit(|of| of.memory = 1 << 29, "it has 0.5 GiB of memory, not 1.0 GiB");
    let clocks = "more than 1m; set the clocks, or `--max-age`";
    check_unfit(|of| of.time = NOW - 61, &format!("its time stamp is 61 s old, {clocks}"));
    check_unfit(|of| of.time = NOW + 99, &format!("its time stamp is 99 s ahead, {clocks}"));
    check_unfit(|of| of.time = 0, &format!("its time stamp is {NOW} s old, {clocks}"));
    check_unfit(
        |of| of.mpi = "\n10.6.6.6 slots=9 `x` \u{1b}[2J\u{202e}".into(),
        "it has ?10.6.6.6 slots=9 ?x? ?[2J?, not Open MPI v5.0.11",
    );
}

#[test]
fn whoever_has_not_the_secret_is_left_out() {
    let why = |why: &str| format!("`h1` (10.0.0.1): {why}");
    let change = |key: &str, value: &str| {
        let (key, value) = (key.to_owned(), value.as_bytes().to_owned());
        move |heard: &mut Heard| {
            heard.txt.insert(key, value);
        }
    };
    check_left_out(
        |heard| drop(heard.txt.remove("mac")),
        &why("it is not signed; name the secret there too"),
    );
    let other = why("it has another secret");
    check_left_out(|heard| secret("a secret of theirs").sign(&mut heard.txt), &other);
    check_left_out(change("slots", "9"), &other);
    check_left_out(change("time", &NOW.to_string()), &other);
    check_left_out(change("addr", "10.6.6.6"), &other);
    check_left_out(change("new", ""), &other);
    check_left_out(change("mac", "00"), &other);
    check_left_out(|heard| drop(heard.txt.remove("load")), &other);
    check_left_out(change("mac", "0"), &why("its signature is not one"));
    check_left_out(change("mac", "zz"), &why("its signature is not one"));
}

#[test]
fn a_record_that_is_sent_again_does_not_lead_elsewhere() {
    check_left_out(
        |heard| heard.addresses = vec!["10.6.6.6".parse().unwrap()],
        "`h1` (10.6.6.6): the network gives other addresses than it tells itself",
    );
    let mut heard = heard(&record("h1", "10.0.0.1"));
    heard.addresses.insert(0, "10.6.6.6".parse().unwrap());
    let text = write(&[heard], &wanted(), &Names::new(), Format::OpenMpi);
    assert!(text.contains("\n10.0.0.1 slots=2\n") && !text.contains("10.6.6.6"), "{text}");
}

#[test]
fn a_machine_that_is_announced_twice_is_one() {
    let old = Record { slots: NonZeroU16::MIN, time: NOW - 20, ..record("h0", "10.0.0.1") };
    let heard = [heard(&old), heard(&record("h1", "10.0.0.1")), heard(&record("h1", "10.0.0.1"))];
    let text = write(&heard, &wanted(), &Names::new(), Format::OpenMpi);
    let rest: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(
        rest,
        [
            "10.0.0.1 slots=2",
            "# left out: `h0` (10.0.0.1): it is announced twice",
            "# left out: `h1` (10.0.0.1): it is announced twice",
        ]
    );
}

#[test]
fn machines_of_one_name_go_by_address() {
    let heard = [heard(&record("h1", "10.0.0.2")), heard(&record("h1", "10.0.0.1"))];
    let text = write(&heard, &wanted(), &names(&[("h1", "10.0.0.1")]), Format::OpenMpi);
    let hosts: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(hosts, ["10.0.0.1 slots=2", "10.0.0.2 slots=2"]);
}

#[test]
fn mpich_gets_no_colons_in_a_host() {
    let heard = [heard(&record("h1", "fd00::1")), heard(&record("h2", "fd00::2"))];
    let text = write(&heard, &wanted(), &names(&[("h1", "fd00::1")]), Format::Mpich);
    let hosts: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(hosts, ["h1:2"]);
    assert!(text.contains("# left out: `h2` (fd00::2): hostfiles of MPICH take"), "{text}");
    let text = write(&heard, &wanted(), &Names::new(), Format::OpenMpi);
    assert!(text.contains("\nfd00::2 slots=2\n"), "{text}");
}

/// No line says more than it may, whoever wrote what it is made of.
#[track_caller]
fn check_lines(text: &str, n_most: usize) {
    assert!(text.ends_with('\n'));
    let is_host = |line: &str| {
        let (host, slots) = line.rsplit_once(" slots=").expect(line);
        let is_host = is_host_name(host) || host.parse::<IpAddr>().is_ok();
        is_host && slots.parse::<NonZeroU16>().is_ok()
    };
    let lines = text.split('\n').filter(|line| !line.is_empty());
    let (comments, hosts): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("# "));
    assert!(hosts.len() <= n_most && hosts.iter().all(|line| is_host(line)), "{text}");
    assert!(comments.iter().all(|line| !line.contains(char::is_control)), "{text}");
}

/// Values that are nearly right, and any others.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let near = [
        "",
        "1",
        "0",
        "h1",
        "-oProxyCommand=x",
        "h1\n10.6.6.6 slots=9",
        "a b",
        "h1#",
        "10.0.0.1",
        "10.0.0.1,fd00::1",
        "::",
        "65536",
        "NaN",
        "inf",
        "-1",
        "0.1.0",
        "Open MPI v5.0.11",
        "1800000000",
        "18446744073709551615",
        "h1..",
        "é",
        "\r",
        "\u{2028}",
        "$(reboot)",
        "a`b",
    ];
    let near = proptest::sample::select(near.to_vec()).prop_map(|near| near.as_bytes().to_owned());
    prop_oneof![near, proptest::collection::vec(any::<u8>(), 0..80)]
}

fn key() -> impl Strategy<Value = String> {
    let keys = ["v", "name", "addr", "slots", "cores", "memory", "load", "mpi", "version", "time"];
    let keys = proptest::sample::select([&keys[..], &["mac"]].concat()).prop_map(str::to_owned);
    prop_oneof![9 => keys, 1 => ".{0,12}"]
}

proptest! {
    #[test]
    fn no_bytes_of_a_stranger_break_a_line(
        changes in proptest::collection::vec(proptest::collection::vec((key(), value()), 0..4), 1..4),
        is_bare in any::<bool>(),
    ) {
        let good = if is_bare { Txt::new() } else { record("h1", "10.0.0.1").to_txt() };
        let heard: Vec<_> = changes.into_iter().map(|changes| {
            let mut txt = good.clone();
            txt.extend(changes);
            Heard { txt, addresses: vec!["10.0.0.1".parse().unwrap()] }
        }).collect();
        let unsigned = Wanted { secret: None, ..wanted() };
        check_lines(&write(&heard, &unsigned, &Names::new(), Format::OpenMpi), heard.len());
        let resolves = heard.iter().filter_map(|heard| heard.txt.get("name"));
        let resolves = resolves.map(|name| String::from_utf8_lossy(name).into_owned());
        let names = resolves.map(|name| (name, vec!["10.0.0.1".parse().unwrap()])).collect();
        check_lines(&write(&heard, &unsigned, &names, Format::OpenMpi), heard.len());
        // Nothing that was not signed gets in.
        check_lines(&write(&heard, &wanted(), &names, Format::OpenMpi), 0);
    }
}
