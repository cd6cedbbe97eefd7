//! The names of tags and attributes that mean something here.

use html5gum::State;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($variant),* }

        impl $name {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            /// Their names, in the same order.
            pub(super) const NAMES: &[&[u8]] = &[$($text),*];

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

impl Attribute {
    /// Whether there are names of so many bytes.
    #[inline]
    pub(super) fn has_length(length: usize) -> bool {
        const LENGTHS: u32 = {
            let (mut lengths, mut idx) = (0, 0);
            while idx < Attribute::NAMES.len() {
                lengths |= 1 << Attribute::NAMES[idx].len();
                idx += 1;
            }
            lengths
        };
        length < 32 && LENGTHS & 1 << length != 0
    }
}

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

    /// What stands in the element, if that is nothing to read.
    pub(super) fn raw_text(self) -> Option<RawText> {
        match self.state_after()? {
            State::ScriptData => Some(RawText::Script),
            State::RawText => Some(RawText::Other),
            _ => None,
        }
    }
}

/// Texts that end with the first end tag of their element's name, whatever else is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RawText {
    /// Up to `<!--`.
    Script,
    /// All of it.
    Other,
}
