//! What serde and TOML say about a wrong key or value, said in one line and in our voice.
//!
//! Kinds read their tables with `deny_unknown_fields` and pass serde's errors on; this is the
//! one place that turns them into `unknown key …; did you mean …?`.

/// The known word that `word` was probably meant to be.
pub(super) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&word.to_lowercase(), known), known))
        .filter(|&(likeness, _)| likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// `a`, `b`, `c`: each in backticks.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The whole chain of an error as one line, serde's sentences translated.
pub(super) fn explain(error: &anyhow::Error) -> String {
    let parts: Vec<_> = error.chain().map(|cause| translate(&cause.to_string())).collect();
    parts.join(": ")
}

/// One sentence of serde's or TOML's, with or without TOML's picture of the line above it and
/// its ``in `key` `` below.
pub(super) fn translate(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.first().is_some_and(|line| line.starts_with("TOML parse error at line")) {
        lines.drain(..lines.len().min(4));
    }
    let path = lines.last().and_then(|line| quoted_after(line, "in "));
    if path.is_some() {
        lines.pop();
    }
    let sentence = lines.join(", ");
    reword(&sentence, path).unwrap_or_else(|| match path {
        Some(path) => format!("`{path}`: {sentence}"),
        None => sentence,
    })
}

fn reword(sentence: &str, path: Option<&str>) -> Option<String> {
    if let Some(word) = quoted_after(sentence, "unknown field ") {
        return Some(unknown("key", word, &names_after_expected(sentence), path));
    }
    if let Some(word) = quoted_after(sentence, "unknown variant ") {
        return Some(unknown("value", word, &names_after_expected(sentence), path));
    }
    if let Some(word) = quoted_after(sentence, "missing field ") {
        return Some(format!("no `{word}`{}; add it", place(path)));
    }
    let rest =
        ["invalid type: ", "invalid value: "].iter().find_map(|p| sentence.strip_prefix(p))?;
    let (found, expected) = rest.split_once(", expected ")?;
    let subject = path.map_or_else(|| "it".to_owned(), |path| format!("`{path}`"));
    Some(format!("{subject} is {found}; use {}", in_words(expected)))
}

fn unknown(what: &str, word: &str, known: &[&str], path: Option<&str>) -> String {
    let place = place(path);
    if let Some(meant) = did_you_mean(word, known.iter().copied()) {
        return format!("unknown {what} `{word}`{place}; did you mean `{meant}`?");
    }
    if known.is_empty() {
        return format!("unknown {what} `{word}`{place}; leave it out");
    }
    format!("unknown {what} `{word}`{place}; use one of {}", listed(known.iter().copied()))
}

fn place(path: Option<&str>) -> String {
    path.map(|path| format!(" in `{path}`")).unwrap_or_default()
}

/// Rust's names of types in words.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list `[…]`",
        "a map" => "a table `{ … }`",
        "path string" => "a string",
        other => other,
    }
}

/// What stands in backticks right after `start`, if the text begins with it.
fn quoted_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(start)?.strip_prefix('`')?;
    rest.split_once('`').map(|(name, _)| name)
}

/// The names in ``…, expected one of `a`, `b` `` or ``…, expected `a` or `b` ``.
fn names_after_expected(sentence: &str) -> Vec<&str> {
    let list = sentence.split_once("`, expected ").map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors of reading it matter")]
    struct Table {
        depth: u32,
        delay: Option<f64>,
        mode: Option<Mode>,
        links: Option<Vec<String>>,
        #[serde(default)]
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {}

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Full,
        Summary,
    }

    #[track_caller]
    fn check(table: &str, expected: &str) {
        let error = table.parse::<toml::Table>().unwrap().try_into::<Table>().unwrap_err();
        assert_eq!(translate(&error.to_string()), expected, "from a table");
        let error = toml::from_str::<Table>(table).unwrap_err();
        let one_line = translate(&error.to_string());
        assert!(!one_line.contains('\n') && !one_line.contains('|'), "from a text: {one_line}");
    }

    #[test]
    fn sentences_of_serde_are_translated() {
        check("dept = 2", "unknown key `dept`; did you mean `depth`?");
        check(
            "colour = 2",
            "unknown key `colour`; use one of `depth`, `delay`, `mode`, `links`, `inner`",
        );
        check("", "no `depth`; add it");
        check("depth = -1", "`depth` is integer `-1`; use a whole number from 0");
        check("depth = 'two'", "`depth` is string \"two\"; use a whole number from 0");
        check("depth = 1\ndelay = true", "`delay` is boolean `true`; use a number");
        check("depth = 1\nmode = 'ful'", "unknown value `ful` in `mode`; did you mean `full`?");
        check("depth = 1\nmode = 'x'", "unknown value `x` in `mode`; use one of `full`, `summary`");
        check("depth = 1\nlinks = 3", "`links` is integer `3`; use a list `[…]`");
        check("depth = 1\ninner.x = 3", "unknown key `x` in `inner`; leave it out");
    }

    #[test]
    fn other_sentences_pass_and_chains_are_joined() {
        assert_eq!(translate("`-5` is negative"), "`-5` is negative");
        let error = anyhow::anyhow!("unknown field `n`, expected `m`").context("cannot read it");
        assert_eq!(explain(&error), "cannot read it: unknown key `n`; use one of `m`");
    }

    #[test]
    fn a_word_too_far_from_all_known_ones_suggests_nothing() {
        assert_eq!(did_you_mean("Urls_form", ["urls", "urls_from"]), Some("urls_from"));
        assert_eq!(did_you_mean("fib", ["fetch", "fibonacci"]), Some("fibonacci"));
        assert_eq!(did_you_mean("colour", ["depth", "urls"]), None);
    }
}
