//! What a robots.txt says to a crawler about addresses, for people.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use url::{Position, Url};

use super::{MAX_BYTES, Robots, line, product_token};

/// Reads as much of a file as counts; `-` is standard input.
pub fn read(file: &Path) -> Result<Vec<u8>> {
    // One byte more, so that whoever parses sees that there is more.
    let limit = MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| file.display().to_string())?;
    Ok(bytes)
}

/// A line for each address (a URL, or a path that begins with `/`): `allowed` or `denied`, the
/// address, and the line of the file that decided. Also whether any is denied.
pub fn explain(bytes: &[u8], agent: &str, addresses: &[String]) -> Result<(String, bool)> {
    ensure!(
        !product_token(agent).is_empty(),
        "`{agent}` is no crawler's name; begin it with letters, such as `rankpool`"
    );
    let robots = Robots::parse(bytes, agent);
    let (mut text, mut some_denied) = (String::new(), false);
    for address in addresses {
        let decision = robots.decide(&path_and_query(address)?);
        let verdict = if decision.allowed { "allowed" } else { "denied " };
        let why = match decision.line.and_then(|number| Some((number, line(bytes, number)?))) {
            Some((number, line)) => format!("line {number}: {line}"),
            None => "no rule matches".to_owned(),
        };
        writeln!(text, "{verdict} {address} ({why})")?;
        some_denied |= !decision.allowed;
    }
    Ok((text, some_denied))
}

fn path_and_query(address: &str) -> Result<String> {
    if address.starts_with('/') {
        return Ok(address.split('#').next().unwrap_or_default().to_owned());
    }
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.with_context(|| {
        format!("`{address}` is no web address; write `https://HOST/PATH` or `/PATH`")
    })?;
    Ok(url[Position::BeforePath..Position::AfterQuery].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"User-agent: *\nDisallow: /private/ # keep out\nAllow: /private/open\n\
        \nUser-agent: other\nDisallow: /\n";

    #[track_caller]
    fn check(agent: &str, address: &str, expected: &str) {
        let (text, some_denied) = explain(FILE, agent, &[address.to_owned()]).unwrap();
        assert_eq!(text.trim_end(), expected);
        assert_eq!(some_denied, text.starts_with("denied "));
    }

    #[test]
    fn names_the_line_that_decided() {
        check(
            "rankpool",
            "http://h/private/x",
            "denied  http://h/private/x (line 2: Disallow: /private/ # keep out)",
        );
        check("rankpool", "/private/open", "allowed /private/open (line 3: Allow: /private/open)");
        check("rankpool", "http://h", "allowed http://h (no rule matches)");
        check("rankpool/1.0", "/robots.txt?", "allowed /robots.txt? (no rule matches)");
        check(
            "other",
            "https://h:8443/a?b#c",
            "denied  https://h:8443/a?b#c (line 6: Disallow: /)",
        );
        check("Other/2", "/robots.txt#c", "allowed /robots.txt#c (no rule matches)");
        check("other", "/private/open", "denied  /private/open (line 6: Disallow: /)");
    }

    #[test]
    fn refuses_what_is_no_address_or_name() {
        let error = |agent: &str, address: &str| {
            explain(FILE, agent, &[address.to_owned()]).unwrap_err().to_string()
        };
        for address in ["", "private", "ftp://h/private/", "mailto:a@b", "http://"] {
            assert_eq!(
                error("rankpool", address),
                format!("`{address}` is no web address; write `https://HOST/PATH` or `/PATH`")
            );
        }
        assert!(error("*", "/").starts_with("`*` is no crawler's name; "));
    }
}
