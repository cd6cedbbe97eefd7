//! The crawl of documentation that nobody wrote for this, against a walk of its files and links
//! by another parser.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

use scraper::{Html, Selector};
use url::Url;

use crate::crawl::crawl;
use crate::site::{Site, body};

/// Rust's book, as rustup brings it.
fn book() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let root = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let book = root.join("share/doc/rust/html/book");
    book.join("index.html").exists().then_some(book)
}

/// The file of a path, and its type.
fn file(folder: &Path, path: &str) -> Option<(PathBuf, &'static str)> {
    let path = path.split('?').next()?.trim_start_matches('/');
    let path = if path.is_empty() || path.ends_with('/') {
        format!("{path}index.html")
    } else {
        path.to_owned()
    };
    let file = folder.join(&path);
    let kind = match file.extension().and_then(|end| end.to_str()) {
        Some("html") => "text/html",
        Some("css") => "text/css",
        _ => "application/octet-stream",
    };
    file.is_file().then_some((file, kind))
}

/// The links of a page that a reader without scripts can follow, as they are written.
fn links_of(page: &Html, found: &mut Vec<String>) {
    let links = "a[href], area[href], iframe[src], frame[src], link[href]";
    for link in page.select(&Selector::parse(links).unwrap()) {
        let rel = link.attr("rel").unwrap_or_default().to_lowercase();
        let has = |kind: &&str| rel.split(' ').any(|word| word == *kind);
        let is_resource = link.value().name() == "link"
            && !["next", "prev", "alternate", "canonical"].iter().any(has);
        if !is_resource && !has(&"nofollow") {
            found.extend(link.attr("href").or(link.attr("src")).map(str::to_owned));
        }
    }
    // To a parser that knows of scripts, what stands here is a text.
    for text in page.select(&Selector::parse("noscript").unwrap()) {
        links_of(&Html::parse_fragment(&text.text().collect::<String>()), found);
    }
}

/// Every page that links lead to from `/`, by Servo's parser.
fn walk(folder: &Path) -> BTreeSet<String> {
    let base = Url::parse("http://a.test/").unwrap();
    let bases = Selector::parse("base[href]").unwrap();
    let mut found = BTreeSet::from(["/".to_owned()]);
    let mut queue = VecDeque::from(["/".to_owned()]);
    while let Some(path) = queue.pop_front() {
        let Some((file, "text/html")) = file(folder, &path) else { continue };
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        let page = Html::parse_document(&text);
        let own = base.join(&path).unwrap();
        let mut tags = page.select(&bases);
        let own = tags.next().and_then(|tag| own.join(tag.attr("href")?).ok()).unwrap_or(own);
        let mut written = Vec::new();
        links_of(&page, &mut written);
        for to in written.iter().filter_map(|to| own.join(to).ok()) {
            let path = to[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
            if to.origin() == base.origin() && found.insert(path.clone()) {
                queue.push_back(path);
            }
        }
    }
    found
}

#[test]
fn a_book_is_found_whole() {
    let Some(book) = book() else {
        eprintln!("skipped: rustup has brought no documentation (component rust-docs)");
        return;
    };
    let expected = walk(&book);
    assert!(expected.len() > 100, "{}", expected.len());
    for ranks in [1, 2] {
        let folder = book.clone();
        let site = Site::hosts(move |_, path| {
            let (file, kind) = file(&folder, path)?;
            Some(body(std::fs::read(file).unwrap()).with("Content-Type", kind))
        });
        let crawl = crawl(ranks, &site, &["a.test/"], "per_host = 16");
        let found: BTreeSet<_> =
            crawl.pages().iter().map(|url| url["a.test".len()..].to_owned()).collect();
        let missing: Vec<_> = expected.difference(&found).take(9).collect();
        let more: Vec<_> = found.difference(&expected).take(9).collect();
        assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, beyond {more:?}");
    }
}
