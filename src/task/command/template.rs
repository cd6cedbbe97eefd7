//! Texts with placeholders, as GNU parallel writes them: `{}`, `{.}`, `{/}`, `{//}`, `{/.}`, the
//! same of one list (`{1}`, `{2/.}`, `{name.}`), and `{#}`, the task's number.
//!
//! **Invariant:** a value is put in as it is, or quoted as one word for a shell, and never looked
//! at again: no value is a placeholder, a word's end or a command.

use anyhow::{Context as _, Result, bail, ensure};

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The value of one list, or of all.
    Value(Option<usize>, Form),
    /// The task's number.
    Number,
}

/// What of a value is taken, as of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    /// `{.}`: without its extension.
    Stem,
    /// `{/}`: without its folders.
    Name,
    /// `{//}`: its folders.
    Folder,
    /// `{/.}`: without folders and extension.
    NameStem,
}

/// The lists that placeholders may name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    /// The name of each, where it has one.
    pub(super) lists: &'a [Option<String>],
    /// Whether `${…}` is the shell's own.
    pub(super) shell: bool,
}

/// What is put in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) args: &'a [String],
    /// The task's number in its table, from 1.
    pub(super) number: u64,
}

impl Template {
    /// Reads a text. What is in braces and no placeholder stays as it is.
    pub(super) fn parse(text: &str, names: Names<'_>) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let is_shells = names.shell && rest[..start].ends_with('$');
            let end = rest[start..].find('}').map(|length| start + length);
            let piece = end.filter(|_| !is_shells).map(|end| piece(&rest[start + 1..end], names));
            let Some(piece) = piece.transpose()?.flatten() else {
                plain.push_str(&rest[..=start]);
                rest = &rest[start + 1..];
                continue;
            };
            plain.push_str(&rest[..start]);
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
            rest = &rest[end.expect("a piece has an end") + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// A text in which nothing is a placeholder.
    pub(super) fn plain(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    /// `{}`.
    pub(super) fn all() -> Self {
        Self(vec![Piece::Value(None, Form::Whole)])
    }

    /// Adds `{}`, after a blank.
    pub(super) fn append_all(&mut self) {
        self.0.extend([Piece::Text(" ".to_owned()), Piece::Value(None, Form::Whole)]);
    }

    /// The text, if it has no placeholder.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it names this list by itself.
    pub(super) fn names_list(&self, list: usize) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, Piece::Value(of, _) if of.is_none_or(|of| of == list)))
    }

    /// The text with values put in; those of several lists are parted by blanks.
    pub(super) fn text(&self, values: Values<'_>) -> String {
        self.fill(values, |value| value)
    }

    /// The same for a shell: each value is one word of it, whatever it is.
    pub(super) fn script(&self, values: Values<'_>) -> String {
        self.fill(values, |value| {
            shlex::try_quote(&value).expect("arguments have no zero byte").into_owned()
        })
    }

    /// The words of an argument list that it stands for: one, and as many as there are lists
    /// where it is a placeholder for all of them.
    pub(super) fn words(&self, values: Values<'_>, words: &mut Vec<String>) {
        match &self.0[..] {
            [Piece::Value(None, form)] => {
                words.extend(values.args.iter().map(|value| form.of(value).to_owned()));
            }
            _ => words.push(self.text(values)),
        }
    }

    fn fill(&self, values: Values<'_>, quoted: impl Fn(String) -> String) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Value(Some(list), form) => {
                    text.push_str(&quoted(form.of(&values.args[*list]).to_owned()));
                }
                Piece::Value(None, form) => {
                    let of = |value: &String| quoted(form.of(value).to_owned());
                    text.push_str(&values.args.iter().map(of).collect::<Vec<_>>().join(" "));
                }
                Piece::Number => text.push_str(&values.number.to_string()),
            }
        }
        text
    }
}

/// What stands for `{inside}`, if it is a placeholder.
fn piece(inside: &str, names: Names<'_>) -> Result<Option<Piece>> {
    if inside == "#" {
        return Ok(Some(Piece::Number));
    }
    let end = inside.find(['.', '/']).unwrap_or(inside.len());
    let (list, form) = inside.split_at(end);
    let Some(form) = Form::parse(form) else { return Ok(None) };
    let n_lists = names.lists.len();
    if n_lists == 0 {
        return Ok(None);
    }
    if list.is_empty() {
        return Ok(Some(Piece::Value(None, form)));
    }
    if let Some(named) = names.lists.iter().position(|name| name.as_deref() == Some(list)) {
        return Ok(Some(Piece::Value(Some(named), form)));
    }
    if !list.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let number: usize = list.parse().with_context(|| format!("`{{{inside}}}` names no list"))?;
    let number = number.checked_sub(1).filter(|&number| number < n_lists);
    let Some(number) = number else {
        bail!("`{{{inside}}}` names list {list}, and there are lists 1 to {n_lists}");
    };
    Ok(Some(Piece::Value(Some(number), form)))
}

impl Form {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" => Self::Whole,
            "." => Self::Stem,
            "/" => Self::Name,
            "//" => Self::Folder,
            "/." => Self::NameStem,
            _ => return None,
        })
    }

    fn of(self, value: &str) -> &str {
        match self {
            Self::Whole => value,
            Self::Stem => stem(value),
            Self::Name => name(value),
            Self::Folder => folder(value),
            Self::NameStem => stem(name(value)),
        }
    }
}

/// GNU parallel's `s:\.[^/.]+$::`.
fn stem(value: &str) -> &str {
    match value.rsplit_once('.') {
        Some((stem, extension)) if !extension.is_empty() && !extension.contains('/') => stem,
        _ => value,
    }
}

fn name(value: &str) -> &str {
    value.rsplit_once('/').map_or(value, |(_, name)| name)
}

/// As dirname(1) has it.
fn folder(value: &str) -> &str {
    match value.trim_end_matches('/').rsplit_once('/') {
        Some((folder, _)) if !folder.trim_end_matches('/').is_empty() => {
            folder.trim_end_matches('/')
        }
        Some(_) => "/",
        None if value.starts_with('/') => "/",
        None => ".",
    }
}

/// Splits a command line as a shell splits words, quotes taken away and nothing expanded.
pub(super) fn split(line: &str) -> Result<Vec<String>> {
    let words = shlex::split(line).context("a quote is not closed, or a `\\` ends the line")?;
    ensure!(!words.is_empty(), "it is empty; name a program");
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(args: &[&str]) -> Vec<String> {
        args.iter().map(|&arg| arg.to_owned()).collect()
    }

    #[track_caller]
    fn check(text: &str, args: &[&str], expected: &str) {
        let lists = vec![None; args.len()];
        let template = Template::parse(text, Names { lists: &lists, shell: false }).unwrap();
        let args = values(args);
        assert_eq!(template.text(Values { args: &args, number: 7 }), expected, "{text}");
    }

    /// As GNU parallel 20221122 puts them in.
    #[test]
    fn placeholders_are_those_of_gnu_parallel() {
        for (value, stem, name, folder, name_stem) in [
            ("d/a.txt", "d/a", "a.txt", "d", "a"),
            ("a.tar.gz", "a.tar", "a.tar.gz", ".", "a.tar"),
            (".hid", "", ".hid", ".", ""),
            ("d.x/f", "d.x/f", "f", "d.x", "f"),
            ("./a", "./a", "a", ".", "a"),
            ("/r", "/r", "r", "/", "r"),
            ("d/", "d/", "", ".", ""),
            ("a//b", "a//b", "b", "a", "b"),
            ("/", "/", "", "/", ""),
            ("a.", "a.", "a.", ".", "a."),
        ] {
            for (text, expected) in
                [("{}", value), ("{.}", stem), ("{/}", name), ("{//}", folder), ("{/.}", name_stem)]
            {
                check(text, &[value], expected);
                check(&text.replace('{', "{1"), &[value], expected);
                check(&text.replace('{', "{2"), &["x", value], expected);
            }
        }
        check("x{}y{#}", &["a"], "xay7");
        check("{1}-{2}-{1/}", &["d/a", "b"], "d/a-b-a");
        check("x{}y", &["a", "b"], "xa by");
        check("{{}}", &["a"], "{a}");
        for plain in
            ["{", "}", "{ }", "{x}", "{print $1}", "{1,2}", "{...}", "${HOME}", "{a.b}", ""]
        {
            check(plain, &["a"], plain);
        }
        check("{}", &["{1}{#}"], "{1}{#}");
        check("{}{1}", &[], "{}{1}");
    }

    #[test]
    fn lists_have_names_and_numbers() {
        let lists = [Some("in".to_owned()), None];
        let names = Names { lists: &lists, shell: true };
        let args = values(&["d/a b.c", "it's"]);
        let values = Values { args: &args, number: 1 };
        let template = Template::parse("f {in} {in/.} ${in} {2} {}", names).unwrap();
        let expected = "f 'd/a b.c' 'a b' ${in} \"it's\" 'd/a b.c' \"it's\"";
        assert_eq!(template.script(values), expected);
        for (text, part) in [
            ("{3}", "`{3}` names list 3, and there are lists 1 to 2"),
            ("{0/}", "`{0/}` names list 0"),
            ("{99999999999999999999}", "`{99999999999999999999}` names no list"),
        ] {
            let error = Template::parse(text, names).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_word_is_a_word_whatever_is_put_in() {
        let lists = [None, None];
        let args = values(&["a b", "$x;'\"\n"]);
        let mut words = Vec::new();
        for word in split("p '{}' {} x{1}y {2}").unwrap() {
            let template = Template::parse(&word, Names { lists: &lists, shell: false }).unwrap();
            template.words(Values { args: &args, number: 1 }, &mut words);
        }
        let (a, b) = (&args[0], &args[1]);
        assert_eq!(words, ["p", a, b, a, b, &format!("x{a}y"), b]);
        assert!(split("a 'b").is_err() && split("  ").is_err());
    }
}
