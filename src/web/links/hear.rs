//! What is heard of a page, and by whom: the tokenizer and what reads in its place tell the same.

use super::attributes::Attributes;
use super::vocabulary::Tag;

/// What is done with a page.
pub(super) trait Hear {
    /// What one tag or text may give.
    type Found;

    /// Whether the attributes of these tags are wanted; [`Self::start`] is called for no others.
    fn wants(&self, tag: Tag) -> bool;

    /// Whether a tag of this name may give something: the tokenizer reads it, which stops there.
    fn gives(&self, tag: Tag) -> bool;

    /// A start tag that is wanted, with its attributes.
    fn start(&mut self, tag: Tag, attributes: &Attributes<'_>) -> Option<Self::Found>;

    /// Whether these end tags are wanted; others may be left out.
    fn wants_end(&self, tag: Tag) -> bool;

    /// An end tag, wanted or not.
    fn end(&mut self, tag: Tag) -> Option<Self::Found>;

    /// Whether [`Self::text`] that is HTML is wanted; else it may be left out.
    fn wants_text(&self) -> bool;

    /// A piece of text; `inside`: of the title, the text area or the plain text that it is in. What
    /// is [`Tag::raw_text`] is left out.
    fn text(&mut self, text: &[u8], inside: Option<Tag>);

    /// Any tag ends a word, wanted or not.
    #[inline]
    fn any_tag(&mut self) {}

    /// The page is over.
    fn finish(&mut self) -> Option<Self::Found>;
}

/// Who hears of a page, whoever reads it.
pub(super) struct Audience<H: Hear> {
    pub(super) hear: H,
    pub(super) found: Option<H::Found>,
    /// Whether what comes next is text that is HTML, outside of `<svg>` and `<math>`.
    pub(super) is_plain: bool,
    /// Whether a tag has come since the last text.
    pub(super) has_passed: bool,
}

impl<H: Hear> Audience<H> {
    pub(super) fn new(hear: H) -> Self {
        Self { hear, found: None, is_plain: true, has_passed: false }
    }

    pub(super) fn start(&mut self, tag: Tag, attributes: &Attributes<'_>) {
        self.found = self.hear.start(tag, attributes);
    }

    pub(super) fn end(&mut self, tag: Tag) {
        self.found = self.hear.end(tag);
    }

    pub(super) fn finish(&mut self) {
        self.found = self.hear.finish();
    }

    #[inline]
    pub(super) fn text(&mut self, text: &[u8], inside: Option<Tag>) {
        if std::mem::take(&mut self.has_passed) {
            self.hear.any_tag();
        }
        self.hear.text(text, inside);
    }
}
