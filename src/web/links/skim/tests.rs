use proptest::prelude::*;

use super::super::vocabulary::Attribute;
use super::*;

/// Writes down what it hears of a page.
#[derive(Default)]
struct Log {
    wants_text: bool,
    has_gap: bool,
    heard: Vec<String>,
}

impl Hear for Log {
    type Found = Vec<String>;

    fn wants(&self, tag: Tag) -> bool {
        matches!(tag, Tag::A | Tag::Base | Tag::Img | Tag::Script | Tag::Title)
    }

    fn gives(&self, _: Tag) -> bool {
        false
    }

    fn start(&mut self, tag: Tag, attributes: &Attributes<'_>) -> Option<Vec<String>> {
        let values: Vec<_> = Attribute::ALL.iter().map(|&one| attributes.get(one)).collect();
        self.heard.push(format!("<{tag:?}> {values:?} {}", attributes.has_too_long));
        None
    }

    fn wants_end(&self, tag: Tag) -> bool {
        matches!(tag, Tag::A | Tag::Title)
    }

    fn end(&mut self, tag: Tag) -> Option<Vec<String>> {
        if self.wants_end(tag) {
            self.heard.push(format!("</{tag:?}>"));
        }
        None
    }

    fn wants_text(&self) -> bool {
        self.wants_text
    }

    fn text(&mut self, text: &[u8], inside: Option<Tag>) {
        let text = text.iter().map(|&byte| char::from(byte)).filter(|&one| one != '\n');
        if !self.wants_text && inside.is_none() {
            return;
        }
        let text: String = text.collect();
        let start = format!("{inside:?}: ");
        match self.heard.last_mut().filter(|last| !self.has_gap && last.starts_with(&start)) {
            Some(last) => last.push_str(&text),
            None if text.is_empty() => {}
            None => {
                self.heard.push(start + &text);
                self.has_gap = false;
            }
        }
    }

    fn any_tag(&mut self) {
        self.has_gap = true;
    }

    fn finish(&mut self) -> Option<Vec<String>> {
        Some(std::mem::take(&mut self.heard))
    }
}

/// What is heard of a page, read as ever, and by the tokenizer alone.
fn heard(html: &str, wants_text: bool) -> [Vec<String>; 2] {
    const MAX_ATTRIBUTE: usize = 8;
    let log = || Log { wants_text, ..Log::default() };
    let skimmed = tokens(html, log(), MAX_ATTRIBUTE).next().unwrap().unwrap();
    let audience = Rc::new(RefCell::new(Audience::new(log())));
    let tags = Tags::new(audience, Attributes::new(MAX_ATTRIBUTE));
    let tokenized = Tokenizer::new_with_emitter(html, tags).next().unwrap().unwrap();
    [skimmed, tokenized]
}

/// Pages in which anything may stand anywhere.
fn page() -> impl Strategy<Value = String> {
    let whole = prop::sample::select(vec![
        "<a href=x>",
        "<a href='x' rel=\"y\">",
        "<A HREF=x>",
        "<a title='<b>' href=y class>",
        "<a href = x rel>",
        "<a HREF=x href=y>",
        "<a href=x&amp;y>",
        "<a href='&amp;amp;' rel=&amp>",
        "<a href='12345&amp;67' src='123&amp;&amp;456789'>",
        "<a href='&lt;' rel=r>",
        "<a href='longer than that'>",
        "</a>",
        "</A>",
        "</a href=x>",
        "</svg>",
        "<title>",
        "</title>",
        "<title>t</title>",
        "<TITLE>t</title>",
        "<title>t</TITLE >",
        "<title>&amp;</title>",
        "<title a=b>t<u</title/>",
        "<!--",
        "-->",
        "<!doctype html>",
        "<!DOCTYPE html PUBLIC ''>",
        "<script>",
        "<script src=s>",
        "</script>",
        "<style>",
        "</style>",
        "<textarea>",
        "</textarea>",
        "<svg>",
        "<path/>",
        "<math>",
        "<p>",
        "<p a=\"<a href=x>\">",
        "<p a='>",
        "<img src=i/>",
        "<base href=b>",
        "<h2 id=1>",
        "<x-y>",
        "<plaintext>",
        "<iframe>",
    ]);
    let part = prop::sample::select(vec![
        "<", "</", "<!", "<a ", ">", "/>", "=", "\"", "'", " ", "\t", "href", "src=", "--", "&",
        "\0", "a", "B", "é", "word ", "\n", "\u{c}", "/", "-",
    ]);
    let piece = prop_oneof![3 => whole, 2 => part];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_heard_is_what_the_tokenizer_says(html in page(), wants_text: bool) {
        let [skimmed, tokenized] = heard(&html, wants_text);
        prop_assert_eq!(skimmed, tokenized, "{}", html);
    }
}

#[test]
fn whole_titles_are_heard_as_others() {
    for title in ["<title>a b</title>", "<title></title>", "<title lang=en>a</title>"] {
        let [skimmed, tokenized] = heard(title, false);
        assert_eq!(skimmed, tokenized, "{title}");
        assert!(skimmed.len() >= 2, "{skimmed:?}");
    }
}
