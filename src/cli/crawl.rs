//! `rankpool crawl`, as typed.

use std::path::PathBuf;

use clap::Args;

use super::RunOptions;

pub(super) const CRAWL_EXAMPLES: &str = "\
Examples:
  rankpool crawl https://example.org/docs/ --scope path --contact me@example.org
  mpirun -n 4 rankpool crawl https://example.org/ --depth 3 --delay 2s --contact me@example.org
  rankpool crawl http://127.0.0.1:8000/ --allow-private --anonymous --delay 0s --per-host 16

Follows links from the URLs, politely: one connection and one fetch a second for each host unless
told otherwise, over all ranks. Every URL ever seen, with its fate, stands in a file beside the
results (`*.urls.jsonl`), from which --resume goes on.";

/// `rankpool crawl`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the command line")]
pub struct CrawlArgs {
    /// Where to begin, - for lines of standard input
    #[arg(value_name = "URL", required_unless_present = "sitemaps")]
    pub urls: Vec<String>,
    /// Begin with the pages that this sitemap lists; may be repeated
    #[arg(long = "sitemap", value_name = "URL", id = "sitemaps")]
    pub sitemaps: Vec<String>,
    /// How far from its seeds: page, path, host, domain or any
    #[arg(long, value_name = "S")]
    pub scope: Option<String>,
    /// Links from a seed, at most
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub depth: Option<String>,
    /// Pages, at most
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_pages: Option<String>,
    /// Pages of each host, at most
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_pages_per_host: Option<String>,
    /// Start no further page after this time, such as 55m
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub time: Option<String>,
    /// Only URLs that this regular expression finds something in; may be repeated
    #[arg(long, value_name = "REGEX")]
    pub include: Vec<String>,
    /// No URL that this regular expression finds something in; may be repeated
    #[arg(long, value_name = "REGEX")]
    pub exclude: Vec<String>,
    /// Keep pages of this content type only; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// From the end of a fetch to the start of the next one at the same host, such as 2s
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub delay: Option<String>,
    /// Connections to a host at the same time
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub per_host: Option<String>,
    /// Do not ask for robots.txt: for your own hosts only
    #[arg(long)]
    pub ignore_robots: bool,
    /// A URL or mail address at which site owners reach you
    #[arg(long, value_name = "WHO")]
    pub contact: Option<String>,
    /// Crawl without a contact
    #[arg(long)]
    pub anonymous: bool,
    /// What to call ourselves
    #[arg(long, value_name = "TEXT")]
    pub user_agent: Option<String>,
    /// Also hosts with private and loopback addresses
    #[arg(long)]
    pub allow_private: bool,
    /// Also what `rel=nofollow` and robots `nofollow` ask not to follow
    #[arg(long)]
    pub follow_nofollow: bool,
    /// Also the pages that sitemaps list
    #[arg(long)]
    pub follow_sitemaps: bool,
    /// Archive every exchange in `PREFIX-r0000-00000.warc.gz` and so on
    #[arg(long, value_name = "PREFIX")]
    pub warc: Option<PathBuf>,
    /// Write every link to `FILE-r0000.jsonl` (or .csv) and so on
    #[arg(long, value_name = "FILE")]
    pub edges: Option<PathBuf>,
    /// Also write each link's text there
    #[arg(long)]
    pub anchor_text: bool,
    /// Limit for one page as a whole, such as 30s
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub timeout: Option<String>,
    /// Largest body, decoded, such as 10MiB
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub max_body: Option<String>,
    /// Send requests through this proxy
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// How the run goes.
    #[command(flatten)]
    pub run: RunOptions,
}
