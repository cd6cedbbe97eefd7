//! What `rankpool explain` says: the decisions of a crawl, made for one page or address.

use std::fmt::{Display, Write as _};
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use url::Url;

use super::address::{Normalizer, Rules};
use super::trap::Limits;
use super::{charset, links};

/// The bytes of a file; `-` is standard input.
pub fn read(file: &Path) -> Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))
}

/// A whole URL, as it stands behind `--base`.
fn base(text: &str) -> Result<Url> {
    let base = Url::parse(text);
    let base = base.map_err(|error| anyhow!("`--base {text}`: {error}; write `https://…`"))?;
    anyhow::ensure!(!base.cannot_be_a_base(), "`--base {text}`: nothing is relative to such a URL");
    Ok(base)
}

/// The links of the page `body` at `url`, one a line; `long`: with their kinds, whether they may
/// be followed and their texts behind them, parted by tabs.
pub fn links(body: &[u8], url: &str, wanted: &links::Wanted, long: bool) -> Result<String> {
    let url = base(url)?;
    let (html, _) = charset::decode(body, None, true, url.host_str());
    let mut text = String::new();
    for link in links::page(&html, &url, wanted).links {
        text.push_str(link.url.as_str());
        if long {
            let follow = if link.nofollow { "nofollow" } else { "follow" };
            // Its white space is collapsed; what else a terminal would obey goes too.
            let label = link.text.unwrap_or_default().replace(char::is_control, " ");
            write!(text, "\t{}\t{follow}\t{label}", link.kind.as_str())?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// The one spelling of `text`, or why it is refused, as one line.
pub fn url(text: &str, on: Option<&str>, rules: Rules) -> Result<Result<String, String>> {
    let normalizer = Normalizer::new(rules)?;
    let on = on.map(base).transpose()?;
    let refused = |code: &str, why: &dyn Display| format!("refused: {code}: {why}\n");
    Ok(normalizer.parse(text, on.as_ref()).map_err(|why| refused(why.code(), &why)).and_then(
        |url| match Limits::default().check(&url) {
            Ok(()) => Ok(format!("{url}\n")),
            Err(trap) => Err(refused(trap.code(), &trap)),
        },
    ))
}
