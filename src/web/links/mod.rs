//! What a page says about itself and where it leads, in the order of the document.
//!
//! Found with a tokenizer that follows the HTML standard: entities are decoded, and neither
//! comments nor scripts, styles, titles, text areas or attributes yield links. There is no tree
//! and no backtracking, so the time is linear in the page's length. `<noscript>` is read as a
//! browser without scripts reads it, and `<svg>` and `<math>` as what they are.
//!
//! Most of a page is plain, and read in the tokenizer's place ([`skim`]). Who hears of it ([`hear`])
//! is one of two: [`scan()`] yields titles and links one at a time, for those who stop early;
//! [`page()`] reads all that a crawler needs.
//!
//! **Invariant:** pure; but for what is given back, what is kept at a time is one tag, one bounded
//! text, a few addresses and a hash of each.

mod attributes;
mod collect;
mod foreign;
mod hear;
mod markup;
mod meta;
mod name;
mod page;
mod reader;
mod scan;
mod skim;
mod srcset;
mod tags;
mod text;
mod vocabulary;
mod written;

use url::Url;

pub use meta::Refresh;
pub use page::{Known, Link, LinkKind, Page, Wanted, page, page_without};
pub use scan::{Found, Scan, scan};

/// Longer addresses are junk; without a bound, a long base would multiply with every link.
const MAX_URL: usize = 16 << 10;

/// Characters of a title that are kept.
const MAX_TITLE: usize = 1000;

/// Whether an address has nothing but what URL parsers drop, control characters and blanks: it
/// leads to the page itself.
fn is_blank(href: &str) -> bool {
    href.bytes().all(|byte| byte <= b' ')
}

fn without_fragment(mut url: Url) -> Url {
    url.set_fragment(None);
    url
}
