//! `rankpool announce` and `rankpool discover`, as typed.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::count;
use crate::units;

pub(super) const ANNOUNCE_EXAMPLES: &str = "\
Examples:
  rankpool announce
  rankpool announce --slots 2 --interface eth0 --secret-file ~/.rankpool-secret

Runs until SIGTERM or SIGINT. Starts no rank, and lets nobody in: mpirun comes by ssh, as always.";

pub(super) const DISCOVER_EXAMPLES: &str = "\
Examples:
  rankpool discover > hostfile && mpirun --hostfile hostfile rankpool run jobs/demo.toml
  rankpool discover --min-cores 8 --min-memory 16GiB --secret-file ~/.rankpool-secret > hostfile
  rankpool discover --format mpich > hosts

Where no machine is found, nothing is written and the exit code is 2.";

/// `rankpool announce`.
#[derive(Clone, Debug, Args)]
pub struct AnnounceArgs {
    /// How many ranks this machine takes; one rank uses all its cores
    #[arg(long, value_name = "N", default_value = "1", value_parser = slots)]
    #[arg(allow_negative_numbers = true)]
    pub slots: NonZeroU16,
    /// The name by which the others reach this machine; default: its host name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Which network.
    #[command(flatten)]
    pub network: NetworkOptions,
}

/// `rankpool discover`.
#[derive(Clone, Debug, Args)]
pub struct DiscoverArgs {
    /// How long to listen
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = units::parse_duration)]
    pub wait: Duration,
    /// Leave out machines with fewer cores
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub min_cores: Option<NonZeroU32>,
    /// Leave out machines with less memory, such as 16GiB
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    #[arg(allow_negative_numbers = true)]
    pub min_memory: Option<u64>,
    /// Leave out what was signed longer ago than this, or is as far ahead of this clock
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = units::parse_duration)]
    pub max_age: Duration,
    /// Whose mpirun is to read the hostfile: openmpi or mpich
    #[arg(long, value_name = "MPI", default_value = "openmpi", hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    pub format: HostfileFormat,
    /// Which network.
    #[command(flatten)]
    pub network: NetworkOptions,
}

/// Where to speak and whom to trust.
#[derive(Clone, Debug, Args)]
pub struct NetworkOptions {
    /// Use this network interface only; default: all but loopback
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// A file with a secret that all machines share, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// How a hostfile is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostfileFormat {
    /// `name slots=N`.
    Openmpi,
    /// `name:N`, also for Intel MPI.
    Mpich,
}

fn slots(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| format!("use a whole number from 1 to {}", u16::MAX))
}
