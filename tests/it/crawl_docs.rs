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

/// Every page that links lead to from `/`, by Servo's parser.
fn walk(folder: &Path) -> BTreeSet<String> {
    let base = Url::parse("http://a.test/").unwrap();
    let (links, bases) = (
        Selector::parse("a[href], area[href], iframe[src], frame[src], link[href]").unwrap(),
        Selector::parse("base[href]").unwrap(),
    );
    let mut found = BTreeSet::from(["/".to_owned()]);
    let mut queue = VecDeque::from(["/".to_owned()]);
    while let Some(path) = queue.pop_front() {
        let Some((file, "text/html")) = file(folder, &path) else { continue };
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        let page = Html::parse_document(&text);
        let own = base.join(&path).unwrap();
        let own = page
            .select(&bases)
            .next()
            .and_then(|tag| own.join(tag.attr("href")?).ok())
            .unwrap_or(own);
        for link in page.select(&links) {
            let rel = link.attr("rel").unwrap_or_default().to_lowercase();
            let of_page = ["next", "prev", "alternate", "canonical"];
            let is_resource = link.value().name() == "link"
                && !of_page.iter().any(|kind| rel.split(' ').any(|word| word == *kind));
            if is_resource || rel.split(' ').any(|word| word == "nofollow") {
                continue;
            }
            let to = link.attr("href").or(link.attr("src")).and_then(|to| own.join(to).ok());
            let Some(to) = to.filter(|to| to.origin() == base.origin()) else { continue };
            let path = to[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
            if found.insert(path.clone()) {
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
