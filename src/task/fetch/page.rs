//! From a server's answer to the output that stands in the record.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use regex::Regex;
use serde::Serialize;

use crate::web::digest::Digest;
use crate::web::http::Reply;
use crate::web::links::{self, Found};
use crate::web::{charset, mime::ContentType};

/// Captures that are reported for each name of `extract`.
const MAX_CAPTURES: usize = 100;

/// The output of a task, as it is written.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Page<'r> {
    status: u16,
    url: String,
    #[serde(rename = "type")]
    essence: Option<String>,
    charset: Option<&'static str>,
    bytes: usize,
    digest: String,
    title: Option<String>,
    links: Vec<String>,
    redirects: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    extract: Option<BTreeMap<&'r str, Vec<String>>>,
}

/// Reads answers.
#[derive(Debug)]
pub(super) struct Reader {
    links: usize,
    extract: BTreeMap<String, Regex>,
}

impl Reader {
    /// One that reports `links` links and what the expressions find.
    pub(super) fn new(links: usize, extract: &BTreeMap<String, String>) -> Result<Self> {
        let compile = |(name, pattern): (&String, &String)| {
            let regex = Regex::new(pattern).with_context(|| format!("`extract.{name}`"))?;
            Ok((name.clone(), regex))
        };
        Ok(Self { links, extract: extract.iter().map(compile).collect::<Result<_>>()? })
    }

    /// What there is to report of an answer.
    pub(super) fn read(&self, reply: &Reply) -> Page<'_> {
        let declared = reply.content_type.as_deref().and_then(ContentType::parse);
        let content = match declared {
            None if reply.body.is_empty() => ContentType::default(),
            None => ContentType::sniff(&reply.body),
            Some(declared) => declared,
        };
        let host = reply.url.host_str();
        let text = content.is_text().then(|| {
            let label = content.charset.as_deref();
            charset::decode(&reply.body, label, content.is_html(), host)
        });
        let (text, charset) = match &text {
            Some((text, charset)) => (&**text, Some(*charset)),
            None => ("", None),
        };
        let (title, links) =
            if content.is_html() { self.scan(text, &reply.url) } else { Default::default() };
        Page {
            status: reply.status,
            url: reply.url.to_string(),
            charset,
            bytes: reply.body.len(),
            digest: Digest::of(&reply.body).text(),
            title,
            links,
            redirects: reply.redirects,
            extract: self.extract(text),
            essence: Some(content.essence).filter(|essence| !essence.is_empty()),
        }
    }

    /// The title and the first links; reads no further than it must.
    fn scan(&self, html: &str, page: &url::Url) -> (Option<String>, Vec<String>) {
        let mut title = None;
        let mut urls = Vec::new();
        for found in links::scan(html, page) {
            match found {
                Found::Title(text) => title = Some(text),
                Found::Link(url) if urls.len() < self.links => urls.push(url.into()),
                Found::Link(_) => {}
            }
            if title.is_some() && urls.len() >= self.links {
                break;
            }
        }
        (title, urls)
    }

    fn extract(&self, text: &str) -> Option<BTreeMap<&str, Vec<String>>> {
        let find = |(name, regex)| (String::as_str(name), captures(regex, text));
        (!self.extract.is_empty()).then(|| self.extract.iter().map(find).collect())
    }
}

/// The first group where there is one, else the whole match, of the first matches.
fn captures(regex: &Regex, text: &str) -> Vec<String> {
    let group = usize::from(regex.captures_len() > 1);
    let matches = regex.captures_iter(text).take(MAX_CAPTURES);
    matches.filter_map(|all| Some(all.get(group)?.as_str().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn read(
        content_type: Option<&str>,
        body: &[u8],
        extract: &[(&str, &str)],
    ) -> serde_json::Value {
        let owned = |&(name, pattern): &(&str, &str)| (name.to_owned(), pattern.to_owned());
        let reader = Reader::new(2, &extract.iter().map(owned).collect()).unwrap();
        let reply = Reply {
            status: 200,
            url: Url::parse("http://h/d/").unwrap(),
            content_type: content_type.map(str::to_owned),
            body: body.to_vec(),
            redirects: 1,
            again: None,
        };
        serde_json::to_value(reader.read(&reply)).unwrap()
    }

    #[test]
    fn a_page_is_reported_whole() {
        let html = b"<title>T</title><a href=a><a href=b><a href=c>";
        assert_eq!(
            read(Some("text/html"), html, &[]),
            serde_json::json!({
                "status": 200, "url": "http://h/d/", "type": "text/html", "charset": "UTF-8",
                "bytes": 46, "title": "T", "links": ["http://h/d/a", "http://h/d/b"],
                "redirects": 1, "digest": format!("blake3:{}", blake3::hash(html)),
            })
        );
    }

    #[test]
    fn only_html_has_a_title_and_links() {
        let html = b"<title>T</title><a href=a>";
        for (content_type, charset) in [("text/plain", "UTF-8".into()), ("image/png", None)] {
            let page = read(Some(content_type), html, &[]);
            assert_eq!((&page["title"], page["links"][0].as_str()), (&().into(), None));
            assert_eq!(page["charset"], serde_json::json!(charset));
        }
        for content_type in [None, Some("nonsense"), Some("application/xhtml+xml")] {
            assert_eq!(read(content_type, html, &[])["title"], "T", "{content_type:?}");
        }
        let empty = read(None, b"", &[]);
        assert_eq!((&empty["type"], &empty["charset"]), (&().into(), &().into()));
    }

    #[test]
    fn a_title_after_the_last_wanted_link_is_still_found() {
        let page = read(Some("text/html"), b"<a href=a><a href=b><a href=c><title>T</title>", &[]);
        assert_eq!(
            (page["title"].as_str(), page["links"].as_array().unwrap().len()),
            (Some("T"), 2)
        );
    }

    #[test]
    fn expressions_capture_from_the_decoded_text() {
        let patterns =
            [("group", "id=(\\w+)"), ("whole", "id=\\w+"), ("none", "zzz"), ("maybe", "id=(x)?")];
        let page = read(Some("text/plain; charset=latin1"), b"id=caf\xe9 id=xy", &patterns);
        assert_eq!(
            page["extract"],
            serde_json::json!({
                "group": ["café", "xy"], "whole": ["id=café", "id=xy"], "none": [], "maybe": ["x"],
            })
        );
        let many = "a".repeat(MAX_CAPTURES + 1);
        let page = read(Some("text/plain"), many.as_bytes(), &[("a", "a")]);
        assert_eq!(page["extract"]["a"].as_array().unwrap().len(), MAX_CAPTURES);
        assert_eq!(
            read(Some("image/png"), b"a", &[("a", "a")])["extract"]["a"].as_array(),
            Some(&vec![])
        );
    }
}
