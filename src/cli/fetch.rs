//! `rankpool fetch`, as typed.

use clap::Args;

use super::RunOptions;

pub(super) const FETCH_EXAMPLES: &str = "\
Examples:
  rankpool fetch https://example.org/ https://example.com/
  rankpool fetch https://example.org/ --links 3 --extract 'title=<title>(.*?)</title>'
  rankpool fetch - --timeout 10s --output pages.jsonl < urls.txt";

/// `rankpool fetch`.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// Addresses, - for lines of standard input
    #[arg(value_name = "URL", required = true)]
    pub urls: Vec<String>,
    /// Keep the first K links of each page
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub links: Option<String>,
    /// Keep what this pattern finds in each page, under this name; may be repeated
    #[arg(long, value_name = "NAME=REGEX", value_parser = extract)]
    pub extract: Vec<(String, String)>,
    /// Limit for one page as a whole, such as 30s
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub timeout: Option<String>,
    /// Limit for reaching a server
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub connect_timeout: Option<String>,
    /// Limit for a server's silence
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub read_timeout: Option<String>,
    /// Largest body, decoded, such as 10MiB
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub max_body: Option<String>,
    /// How many redirects to follow
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub redirects: Option<String>,
    /// What to call ourselves
    #[arg(long, value_name = "TEXT")]
    pub user_agent: Option<String>,
    /// Send requests through this proxy
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// How the run goes.
    #[command(flatten)]
    pub run: RunOptions,
}

fn extract(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, pattern)) if !name.is_empty() => Ok((name.to_owned(), pattern.to_owned())),
        _ => Err("write NAME=REGEX, such as title=<h1>(.*?)</h1>".to_owned()),
    }
}
