//! `rankpool explain`: why a crawl does what it does, one question a subcommand.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Not a doc comment, where the brackets would be links.
pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  rankpool explain robots --file robots.txt https://example.org/a
  rankpool explain url ../c --base https://example.org/a/b
  curl https://example.org/ | rankpool explain links - --base https://example.org/ --long";

const URL_EXAMPLES: &str = "\
Examples:
  rankpool explain url 'HTTP://Example.org:80/a/../b?utm_source=x#top' --drop-query @tracking
  rankpool explain url ../c --base https://example.org/a/b";

const LINKS_EXAMPLES: &str = "\
Examples:
  rankpool explain links page.html --base https://example.org/a/b
  curl https://example.org/ | rankpool explain links - --base https://example.org/ --long";

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
    /// Print the links of a page, one a line
    #[command(after_help = LINKS_EXAMPLES)]
    Links(ExplainLinks),
    /// Print the one spelling of a URL, or why it is refused (exit code 1)
    #[command(after_help = URL_EXAMPLES)]
    Url(ExplainUrl),
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

/// `rankpool explain links`.
#[derive(Clone, Debug, Args)]
pub struct ExplainLinks {
    /// The page (HTML), - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where the page is from: what its links are relative to
    #[arg(long, value_name = "URL")]
    pub base: String,
    /// Also print what the page is made of: images, scripts, style sheets
    #[arg(long)]
    pub resources: bool,
    /// Print each link's kind, whether it may be followed, and its text behind it
    #[arg(long)]
    pub long: bool,
}

/// `rankpool explain url`.
#[derive(Clone, Debug, Args)]
pub struct ExplainUrl {
    /// The URL
    #[arg(value_name = "URL")]
    pub url: String,
    /// What it is relative to
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,
    /// Drop this parameter of the query: NAME, NAME*, @session (the default) or @tracking; may be
    /// repeated
    #[arg(long, value_name = "NAME")]
    pub drop_query: Vec<String>,
    /// Drop no parameter of the query
    #[arg(long, conflicts_with = "drop_query")]
    pub keep_query: bool,
    /// Sort the query's parameters
    #[arg(long)]
    pub sort_query: bool,
    /// The longest URL, in bytes; default: 2048
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// The most segments of a path; default: 20
    #[arg(long, value_name = "N")]
    pub max_depth: Option<usize>,
}
