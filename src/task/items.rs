//! Lists of inputs, as job files and command lines write them: numbers with ranges, texts,
//! files of lines, standard input.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::BufRead;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Input, Item, Next, Source};

/// How often each input was named, by kind.
#[derive(Debug, Default)]
pub struct SeenByContent(HashMap<String, Rc<RefCell<Seen>>>);

impl SeenByContent {
    /// The inputs of one kind.
    pub fn of(&mut self, content: &str) -> Rc<RefCell<Seen>> {
        Rc::clone(self.0.entry(content.to_owned()).or_default())
    }
}

/// How often each input was named.
#[derive(Debug, Default)]
pub struct Seen(HashMap<String, u32>);

/// Texts named in a list or read from a file, lazily.
#[derive(Debug)]
pub struct TextItems {
    /// Named in the table.
    pub list: Vec<String>,
    /// A file of lines; `-` is standard input.
    pub from: Option<PathBuf>,
}

/// Makes an entry its final text, or says what is wrong with it.
pub type Check = Box<dyn Fn(&str) -> Result<String>>;

impl TextItems {
    /// The source of these texts.
    pub fn source(
        self,
        key: &str,
        cost: f32,
        seen: Rc<RefCell<Seen>>,
        check: Check,
    ) -> Result<TextSource> {
        let mut texts = VecDeque::new();
        for (i, entry) in self.list.iter().enumerate() {
            texts.push_back(check(entry).with_context(|| format!("`{key}[{i}]`"))?);
        }
        let stdin = self.from.as_ref().is_some_and(|path| path.as_os_str() == "-");
        if let Some(path) = self.from.filter(|_| !stdin) {
            let content = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            for (i, line) in content.lines().enumerate() {
                let line = line.trim();
                if !line.is_empty() && !line.starts_with('#') {
                    let at = || format!("{}:{}", path.display(), i + 1);
                    texts.push_back(check(line).with_context(at)?);
                }
            }
        }
        Ok(TextSource { texts, stdin, cost, seen, check })
    }
}

/// A source of texts.
pub struct TextSource {
    texts: VecDeque<String>,
    stdin: bool,
    cost: f32,
    seen: Rc<RefCell<Seen>>,
    check: Check,
}

impl std::fmt::Debug for TextSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextSource").finish_non_exhaustive()
    }
}

impl Source for TextSource {
    fn next(&mut self, _: Duration) -> Result<Next> {
        let text = match self.texts.pop_front() {
            Some(text) => text,
            None if self.stdin => {
                let mut line = String::new();
                if std::io::stdin().lock().read_line(&mut line)? == 0 {
                    return Ok(Next::Exhausted);
                }
                let raw = line.trim().to_owned();
                (self.check)(&raw).unwrap_or(raw)
            }
            None => return Ok(Next::Exhausted),
        };
        let mut seen = self.seen.borrow_mut();
        let count = seen.0.entry(text.clone()).or_insert(0);
        let occurrence = *count;
        *count += 1;
        Ok(Next::Task(Item { input: Input::Text(text.into()), occurrence, cost: self.cost }))
    }

    fn remaining(&self) -> Option<u64> {
        (!self.stdin).then_some(self.texts.len() as u64)
    }
}
