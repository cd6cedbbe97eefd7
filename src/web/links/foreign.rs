//! Which namespace a tag is in: whether inside `<svg>` or `<math>`, where `<title>` is a caption,
//! `<style/>` is empty, and CDATA sections are text.
//!
//! There is no tree, so this follows the tags of the two and the elements inside of them that
//! hold HTML again (HTML standard, 13.2.6.5). Markup that leaves them open without one of the
//! tags that end them is read as foreign for longer than a browser would.

/// What is deeper is read as what it is in.
const MAX_DEPTH: usize = 256;

/// The elements that the current tag is in, as far as they change the namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Foreign {
    spaces: Vec<Space>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Space {
    Svg,
    Math,
    /// An element of this name inside of one of them, that holds HTML.
    Html(&'static [u8]),
}

impl Foreign {
    /// Whether neither of them is open.
    #[inline]
    pub(super) fn is_outside(&self) -> bool {
        self.spaces.is_empty()
    }

    /// Whether what comes next is in `<svg>` or `<math>`.
    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.spaces.last(), Some(Space::Svg | Space::Math))
    }

    /// Takes a start tag; whether it belongs to one of them itself.
    pub(super) fn start(&mut self, name: &[u8], is_empty: bool) -> bool {
        if self.is_foreign() && breaks_out(name) {
            self.leave();
        }
        let is_foreign = self.is_foreign();
        if !is_empty
            && self.spaces.len() < MAX_DEPTH
            && let Some(space) = self.begun_by(name)
        {
            self.spaces.push(space);
        }
        is_foreign
    }

    fn begun_by(&self, name: &[u8]) -> Option<Space> {
        let point = |names: &[&'static [u8]]| {
            names.iter().find(|&&point| point == name).map(|point| Space::Html(point))
        };
        match self.spaces.last() {
            Some(Space::Svg) if name == b"svg" => Some(Space::Svg),
            Some(Space::Svg) => point(&[b"foreignobject", b"desc", b"title"]),
            Some(Space::Math) => point(&[b"mi", b"mo", b"mn", b"ms", b"mtext"]),
            _ if name == b"svg" => Some(Space::Svg),
            _ if name == b"math" => Some(Space::Math),
            _ => None,
        }
    }

    /// Takes an end tag.
    pub(super) fn end(&mut self, name: &[u8]) {
        let ends = match self.spaces.last() {
            None => return,
            Some(Space::Svg) => name == b"svg",
            Some(Space::Math) => name == b"math",
            Some(Space::Html(point)) => name == *point,
        };
        if ends {
            self.spaces.pop();
        } else if self.is_foreign() && matches!(name, b"p" | b"br") {
            self.leave();
        }
    }

    fn leave(&mut self) {
        while self.is_foreign() {
            self.spaces.pop();
        }
    }
}

/// Tags that end foreign content wherever they stand.
fn breaks_out(name: &[u8]) -> bool {
    const TAGS: &str = " b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 \
        h6 head hr i img li listing menu meta nobr ol p pre ruby s small span strong strike sub \
        sup table tt u ul var ";
    let mut tags = TAGS.split_ascii_whitespace();
    tags.any(|tag| tag.as_bytes() == name)
}
