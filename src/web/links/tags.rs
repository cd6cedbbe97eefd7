//! From the tokenizer's calls to tags with the attributes that somebody wants, and to texts.
//!
//! The work is done while the tokenizer runs, on borrowed slices: nothing is allocated for a tag
//! or text that nobody asks for.

use std::cell::RefCell;
use std::rc::Rc;

use html5gum::{Emitter, Error, State};

use super::attributes::Attributes;
use super::foreign::Foreign;
use super::hear::{Audience, Hear};
use super::name::Name;
use super::vocabulary::{Attribute, Tag};

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
pub(super) struct Tags<'a, H: Hear> {
    audience: Rc<RefCell<Audience<H>>>,
    name: Name,
    last_start: Name,
    is_end: bool,
    is_empty: bool,
    /// Of the start tag, once its name is complete.
    tag: Option<Tag>,
    is_named: bool,
    is_wanted: bool,
    attributes: Attributes<'a>,
    attribute_name: Name,
    attribute: Reading,
    foreign: Foreign,
    /// The element whose text is no HTML, while in it.
    inside: Option<Tag>,
}

impl<'a, H: Hear> Tags<'a, H> {
    pub(super) fn new(audience: Rc<RefCell<Audience<H>>>, attributes: Attributes<'a>) -> Self {
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

impl<H: Hear> Emitter for Tags<'_, H> {
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
        if self.inside.and_then(Tag::raw_text).is_none() {
            self.audience.borrow_mut().text(text, self.inside);
        }
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
