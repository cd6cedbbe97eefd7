//! `rankpool explain`: why a crawl does what it does, one question a subcommand.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Not a doc comment, where the brackets would be links.
pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  rankpool explain robots --file robots.txt https://example.org/a
  curl -s https://example.org/robots.txt | rankpool explain robots --file - /a /b?c";

const ROBOTS_EXAMPLES: &str = "\
Examples:
  rankpool explain robots --file robots.txt https://example.org/a https://example.org/b?c
  rankpool explain robots --file robots.txt --agent otherbot /a
  curl -s https://example.org/robots.txt | rankpool explain robots --file - /a

Exit code 0: all are allowed; 1: some are denied.";

/// `rankpool explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// What to explain.
    #[command(subcommand)]
    pub what: Explain,
}

/// What can be explained, one variant a subcommand.
#[derive(Clone, Debug, Subcommand)]
pub enum Explain {
    /// Whether a robots.txt allows addresses, and which of its lines decides
    #[command(after_help = ROBOTS_EXAMPLES)]
    Robots(ExplainRobotsArgs),
}

/// `rankpool explain robots`.
#[derive(Clone, Debug, Args)]
pub struct ExplainRobotsArgs {
    /// The robots.txt; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// The crawler's name, or its whole `User-Agent`
    #[arg(long, value_name = "NAME", default_value = "rankpool")]
    pub agent: String,
    /// Addresses, or only their paths and queries
    #[arg(value_name = "URL", required = true)]
    pub addresses: Vec<String>,
}
