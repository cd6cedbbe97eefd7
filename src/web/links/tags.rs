//! From the tokenizer's calls to tags with the attributes that somebody wants, and to texts.
//!
//! The work is done while the tokenizer runs, on borrowed slices: nothing is allocated for a tag
//! or text that nobody asks for.

use std::cell::RefCell;
use std::rc::Rc;

use html5gum::{Emitter, Error, State};
use memchr::memchr3;

use super::foreign::Foreign;
use super::name::Name;

/// What is done with a page.
pub(super) trait Hear {
    /// What one tag or text may give.
    type Found;

    /// Whether the attributes of these tags are wanted; [`Self::start`] is called for no others.
    fn wants(&self, tag: Tag) -> bool;

    /// Whether a tag of this name may give something.
    fn gives(&self, tag: Tag) -> bool;

    /// A start tag that is wanted, with its attributes.
    fn start(&mut self, tag: Tag, attributes: &Attributes) -> Option<Self::Found>;

    /// Whether these end tags are wanted; others may be left out.
    fn wants_end(&self, tag: Tag) -> bool;

    /// An end tag, wanted or not.
    fn end(&mut self, tag: Tag) -> Option<Self::Found>;

    /// Whether [`Self::text`] is wanted that is HTML; else it may be left out.
    fn wants_text(&self) -> bool;

    /// A piece of text; `inside`: of the element whose text is no HTML.
    fn text(&mut self, text: &[u8], inside: Option<Tag>);

    /// Any tag ends a word, wanted or not.
    #[inline]
    fn any_tag(&mut self) {}

    /// The page is over.
    fn finish(&mut self) -> Option<Self::Found>;
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($variant),* }

        impl $name {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            #[inline]
            pub(super) fn of(name: &[u8]) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    /// The tags that mean something here.
    Tag {
        A b"a", Area b"area", Audio b"audio", Base b"base", Embed b"embed", Frame b"frame",
        Iframe b"iframe", Img b"img", Input b"input", Link b"link", Meta b"meta",
        Noembed b"noembed", Noframes b"noframes", Object b"object", Plaintext b"plaintext",
        Script b"script", Source b"source", Style b"style", Textarea b"textarea",
        Title b"title", Track b"track", Video b"video", Xmp b"xmp",
    }
}

names! {
    /// The attributes that mean something here.
    Attribute {
        Content b"content", Data b"data", Href b"href", HttpEquiv b"http-equiv",
        ImageSrcset b"imagesrcset", Name b"name", Poster b"poster", Rel b"rel", Src b"src",
        Srcset b"srcset", Type b"type", XlinkHref b"xlink:href",
    }
}

const N_ATTRIBUTES: usize = Attribute::ALL.len();

impl Tag {
    /// How the tokenizer must read what follows the start tag (HTML standard, 13.2.6.4, with
    /// scripting off).
    pub(super) fn state_after(self) -> Option<State> {
        match self {
            Self::Title | Self::Textarea => Some(State::RcData),
            Self::Style | Self::Xmp | Self::Iframe | Self::Noembed | Self::Noframes => {
                Some(State::RawText)
            }
            Self::Script => Some(State::ScriptData),
            Self::Plaintext => Some(State::PlainText),
            _ => None,
        }
    }
}

/// The attributes of one tag.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    values: Vec<u8>,
    /// Where in `values` each is.
    slots: [Option<(usize, usize)>; N_ATTRIBUTES],
    /// Which the tag has had, as bits: of those of one name the first counts.
    had: u16,
    max_length: usize,
    /// Whether one was longer than `max_length`, and is left out.
    pub(super) has_too_long: bool,
}

impl Attributes {
    /// None yet; values longer than `max_length` bytes are left out.
    pub(super) fn new(max_length: usize) -> Self {
        Self { max_length, ..Self::default() }
    }

    /// The value of an attribute, entities decoded, if the tag has it.
    pub(super) fn get(&self, attribute: Attribute) -> Option<&str> {
        let (start, end) = self.slots[attribute as usize]?;
        std::str::from_utf8(&self.values[start..end]).ok()
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.slots = [None; N_ATTRIBUTES];
        self.had = 0;
        self.has_too_long = false;
    }

    /// Begins one, if the tag has not had it.
    fn begin(&mut self, name: &[u8]) -> Option<Attribute> {
        let attribute = Attribute::of(name).filter(|&one| self.had & 1 << one as u16 == 0)?;
        self.had |= 1 << attribute as u16;
        self.slots[attribute as usize] = Some((self.values.len(), self.values.len()));
        Some(attribute)
    }

    /// Takes one as it is written, if it means what is written.
    pub(super) fn add_plain(&mut self, name: &[u8], value: &[u8]) -> bool {
        if name.iter().any(u8::is_ascii_uppercase) {
            return false;
        }
        let Some(attribute) = self.begin(name) else { return true };
        if memchr3(b'&', b'\0', b'\r', value).is_some() {
            return false;
        }
        self.push(attribute, value);
        true
    }

    fn push(&mut self, attribute: Attribute, value: &[u8]) {
        let Some((start, end)) = &mut self.slots[attribute as usize] else { return };
        if *end - *start + value.len() > self.max_length {
            self.has_too_long = true;
            self.slots[attribute as usize] = None;
            return;
        }
        self.values.extend_from_slice(value);
        *end += value.len();
    }
}

/// Who hears of a page, whoever reads it.
pub(super) struct Audience<H: Hear> {
    pub(super) hear: H,
    found: Option<H::Found>,
    /// Whether what comes next is text that is HTML, outside of `<svg>` and `<math>`.
    pub(super) is_plain: bool,
    /// Whether a tag has come since the last text.
    pub(super) has_passed: bool,
}

impl<H: Hear> Audience<H> {
    pub(super) fn new(hear: H) -> Self {
        Self { hear, found: None, is_plain: true, has_passed: false }
    }

    pub(super) fn start(&mut self, tag: Tag, attributes: &Attributes) {
        self.found = self.hear.start(tag, attributes);
    }

    pub(super) fn end(&mut self, tag: Tag) {
        self.found = self.hear.end(tag);
    }

    fn finish(&mut self) {
        self.found = self.hear.finish();
    }

    #[inline]
    fn text(&mut self, text: &[u8], inside: Option<Tag>) {
        if std::mem::take(&mut self.has_passed) {
            self.hear.any_tag();
        }
        self.hear.text(text, inside);
    }
}

/// Where in an attribute of a wanted tag the tokenizer is.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// In none.
    Nothing,
    /// In its name.
    Name,
    /// In its value; `None`: one that does not count.
    Value(Option<Attribute>),
}

/// Collects tags for an [`Audience`].
#[expect(clippy::struct_excessive_bools, reason = "what the tokenizer has said so far")]
pub(super) struct Tags<H: Hear> {
    audience: Rc<RefCell<Audience<H>>>,
    name: Name,
    last_start: Name,
    is_end: bool,
    is_empty: bool,
    /// Of the start tag, once its name is complete.
    tag: Option<Tag>,
    is_named: bool,
    is_wanted: bool,
    attributes: Attributes,
    attribute_name: Name,
    attribute: Reading,
    foreign: Foreign,
    /// The element whose text is no HTML, while in it.
    inside: Option<Tag>,
}

impl<H: Hear> Tags<H> {
    pub(super) fn new(audience: Rc<RefCell<Audience<H>>>, attributes: Attributes) -> Self {
        Self {
            audience,
            name: Name::default(),
            last_start: Name::default(),
            is_end: false,
            is_empty: false,
            tag: None,
            is_named: false,
            is_wanted: false,
            attributes,
            attribute_name: Name::default(),
            attribute: Reading::Nothing,
            foreign: Foreign::default(),
            inside: None,
        }
    }

    fn init_tag(&mut self, is_end: bool) {
        self.name.clear();
        self.is_end = is_end;
        self.is_empty = false;
        self.tag = None;
        self.is_named = false;
        self.is_wanted = false;
        self.attribute = Reading::Nothing;
    }

    /// The name is complete.
    fn end_name(&mut self) {
        if !self.is_named {
            self.is_named = true;
            self.tag = Tag::of(self.name.get());
            self.is_wanted =
                !self.is_end && self.tag.is_some_and(|tag| self.audience.borrow().hear.wants(tag));
            if self.is_wanted {
                self.attributes.clear();
            }
        }
    }

    /// The attribute's name is complete, if there is one.
    #[inline]
    fn begin_value(&mut self) -> Option<Attribute> {
        match self.attribute {
            Reading::Nothing => None,
            Reading::Name => {
                let attribute = self.attributes.begin(self.attribute_name.get());
                self.attribute = Reading::Value(attribute);
                attribute
            }
            Reading::Value(attribute) => attribute,
        }
    }

    fn emit_start(&mut self) -> Option<State> {
        std::mem::swap(&mut self.last_start, &mut self.name);
        let is_foreign = self.foreign.start(self.last_start.get(), self.is_empty);
        let tag = self.tag?;
        if self.is_wanted && (!is_foreign || tag == Tag::A) {
            self.audience.borrow_mut().start(tag, &self.attributes);
        }
        if is_foreign {
            // There these are tokenized like all else, but their text is nothing to read.
            let is_unread = matches!(tag, Tag::Style | Tag::Script) && !self.is_empty;
            self.inside = is_unread.then_some(tag);
            return None;
        }
        let state = tag.state_after();
        self.inside = state.map(|_| tag);
        state
    }

    fn emit_end(&mut self) {
        self.last_start.clear();
        self.inside = None;
        self.foreign.end(self.name.get());
        if let Some(tag) = self.tag {
            self.audience.borrow_mut().end(tag);
        }
    }
}

impl<H: Hear> Emitter for Tags<H> {
    type Token = H::Found;

    fn set_last_start_tag(&mut self, name: Option<&[u8]>) {
        self.last_start.clear();
        self.last_start.push(name.unwrap_or_default());
    }

    fn emit_eof(&mut self) {
        self.audience.borrow_mut().finish();
    }

    fn emit_error(&mut self, _: Error) {}

    #[inline]
    fn should_emit_errors(&mut self) -> bool {
        false
    }

    #[inline]
    fn pop_token(&mut self) -> Option<H::Found> {
        self.audience.borrow_mut().found.take()
    }

    #[inline]
    fn emit_string(&mut self, text: &[u8]) {
        self.audience.borrow_mut().text(text, self.inside);
    }

    #[inline]
    fn init_start_tag(&mut self) {
        self.init_tag(false);
    }

    #[inline]
    fn init_end_tag(&mut self) {
        self.init_tag(true);
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        self.end_name();
        self.begin_value();
        let state = if self.is_end {
            self.emit_end();
            None
        } else {
            self.emit_start()
        };
        let mut audience = self.audience.borrow_mut();
        audience.has_passed = true;
        audience.is_plain = self.inside.is_none() && self.foreign.is_outside();
        drop(audience);
        state
    }

    #[inline]
    fn set_self_closing(&mut self) {
        self.is_empty = true;
    }

    #[inline]
    fn push_tag_name(&mut self, piece: &[u8]) {
        self.name.push(piece);
    }

    #[inline]
    fn init_attribute(&mut self) {
        self.end_name();
        if self.is_wanted {
            self.begin_value();
            self.attribute_name.clear();
            self.attribute = Reading::Name;
        }
    }

    #[inline]
    fn push_attribute_name(&mut self, piece: &[u8]) {
        if self.is_wanted {
            self.attribute_name.push(piece);
        }
    }

    #[inline]
    fn push_attribute_value(&mut self, piece: &[u8]) {
        if self.is_wanted
            && let Some(attribute) = self.begin_value()
        {
            self.attributes.push(attribute, piece);
        }
    }

    #[inline]
    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.is_end && self.last_start.is(&self.name)
    }

    #[inline]
    fn adjusted_current_node_present_but_not_in_html_namespace(&mut self) -> bool {
        self.foreign.is_foreign()
    }

    fn init_comment(&mut self) {}
    fn emit_current_comment(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn emit_current_doctype(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn init_doctype(&mut self) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}
