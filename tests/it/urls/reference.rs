//! The links of a page by html5ever's tokenizer, read as simply as can be.

use std::cell::RefCell;
use std::collections::BTreeSet;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use rankpool::web::links::{self, Wanted};
use url::Url;

/// Compares the links of a page without drawings: kinds, addresses, whether to follow.
#[track_caller]
pub(super) fn check(html: &str, url: &Url) {
    let tokenizer = Tokenizer::new(Tags::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let tags = tokenizer.sink.tags.into_inner();
    let expected = links_of(&tags, url);
    let wanted = Wanted { max_links: usize::MAX, ..Wanted::default() };
    let page = links::page(html, url, &wanted);
    let found = page.links.iter().map(|link| (link.kind.as_str(), link.url.clone(), link.nofollow));
    assert_eq!(found.collect::<BTreeSet<_>>(), expected, "{html}");
}

#[derive(Default)]
struct Tags {
    tags: RefCell<Vec<Tag>>,
}

impl TokenSink for Tags {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else { return TokenSinkResult::Continue };
        if tag.kind != TagKind::StartTag {
            return TokenSinkResult::Continue;
        }
        let name = tag.name.to_string();
        self.tags.borrow_mut().push(tag);
        match name.as_str() {
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
                TokenSinkResult::RawData(RawKind::Rawtext)
            }
            "script" => TokenSinkResult::RawData(RawKind::ScriptData),
            "plaintext" => TokenSinkResult::Plaintext,
            _ => TokenSinkResult::Continue,
        }
    }
}

fn attribute<'t>(tag: &'t Tag, name: &str) -> Option<&'t str> {
    tag.attrs.iter().find(|one| &*one.name.local == name).map(|one| &*one.value)
}

fn links_of(tags: &[Tag], url: &Url) -> BTreeSet<(&'static str, Url, bool)> {
    let base =
        tags.iter().filter(|tag| &*tag.name == "base").find_map(|tag| attribute(tag, "href"));
    let base = base.and_then(|href| url.join(href).ok());
    let base = base.filter(|base| !matches!(base.scheme(), "data" | "javascript"));
    let base = base.unwrap_or_else(|| url.clone());
    let mut links = BTreeSet::new();
    for tag in tags {
        if let Some((kind, href)) = hrefs(tag) {
            let Ok(mut link) = base.join(href) else { continue };
            let is_inner = link.fragment().is_some() || href.trim_matches(|c| c <= ' ').is_empty();
            link.set_fragment(None);
            let rel = attribute(tag, "rel").unwrap_or("").to_ascii_lowercase();
            let asks = |word: &str| ["nofollow", "ugc", "sponsored"].contains(&word);
            let nofollow = rel.split_ascii_whitespace().any(asks);
            if matches!(link.scheme(), "http" | "https") && !(is_inner && link == *url) {
                links.insert((kind, link, nofollow));
            }
        }
    }
    links
}

fn hrefs(tag: &Tag) -> Option<(&'static str, &str)> {
    let rel = attribute(tag, "rel").unwrap_or("").to_ascii_lowercase();
    let has = |name| rel.split_ascii_whitespace().any(|one| one == name);
    match &*tag.name {
        "a" | "area" => Some(("anchor", attribute(tag, "href")?)),
        "frame" | "iframe" => Some(("frame", attribute(tag, "src")?)),
        "link" if has("canonical") => Some(("canonical", attribute(tag, "href")?)),
        "link" if has("next") => Some(("next", attribute(tag, "href")?)),
        "link" if has("prev") || has("previous") => Some(("prev", attribute(tag, "href")?)),
        "link" if has("alternate") && !has("stylesheet") => {
            Some(("alternate", attribute(tag, "href")?))
        }
        "meta" if attribute(tag, "http-equiv")?.trim().eq_ignore_ascii_case("refresh") => {
            // As the pages of these tests write it: `0;url=…`.
            let content = attribute(tag, "content")?;
            let at = content.to_ascii_lowercase().find("url=")?;
            Some(("refresh", &content[at + 4..]))
        }
        _ => None,
    }
}
