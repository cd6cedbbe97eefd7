//! Goes on with the journal of an earlier run: one pass over the fates, one over the URLs.
//!
//! A URL is done if it has its record, or a fate that has none. Everything else is queued again:
//! what was in flight, what a budget left (the budget may be another now), and what failed where
//! the caller says that failures have no record. Robots and addresses are asked again.
//!
//! **Invariant:** beside what the frontier keeps anyway, memory holds one byte for each URL while
//! the journal is read.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use xxhash_rust::xxh3::xxh3_64;

use super::journal::{FateLine, PageLine, SimhashLine};
use super::tally;
use super::types::Found;
use super::{Frontier, host};

const READ: usize = 1 << 20;
const PAGE: &[u8] = b",\"url\":";
const FATE: &[u8] = b",\"fate\":";
const SIMHASH: &[u8] = b",\"simhash\":";

/// The fate of each URL as its place in a short list: `ok` and the like, and one text each for
/// the failures and budgets.
#[derive(Debug)]
struct Fates {
    names: Vec<String>,
    by_page: Vec<u8>,
}

/// No fate yet.
const OPEN: u8 = 0;
/// Added to the place: the page has its record.
const DONE: u8 = 0x80;

impl Fates {
    fn set(&mut self, page: u64, fate: &str) -> Result<()> {
        let name = tally::name(fate);
        let known = self.names.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let page = usize::try_from(page)?;
        if self.by_page.len() <= page {
            self.by_page.resize(page + 1, OPEN);
        }
        let place = u8::try_from(place).ok().filter(|place| *place < DONE);
        self.by_page[page] = place.context("the journal has too many sorts of fates")?;
        Ok(())
    }

    fn get(&self, page: u64) -> &str {
        let place = usize::try_from(page).ok().and_then(|page| self.by_page.get(page));
        &self.names[usize::from(place.copied().unwrap_or(OPEN) & !DONE)]
    }

    fn set_done(&mut self, page: u64) {
        let place = usize::try_from(page).ok().and_then(|page| self.by_page.get_mut(page));
        if let Some(place) = place {
            *place |= DONE;
        }
    }

    fn is_done(&self, page: u64) -> bool {
        let place = usize::try_from(page).ok().and_then(|page| self.by_page.get(page));
        place.is_some_and(|place| place & DONE != 0)
    }
}

/// The lines of a journal, each whole.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    line: Vec<u8>,
    number: u64,
    position: u64,
}

impl<'a> Lines<'a> {
    fn new(file: &'a File, path: &'a Path) -> Result<Self> {
        let mut reader = BufReader::with_capacity(READ, file);
        reader.rewind().with_context(|| cannot_read(path))?;
        Ok(Self { path, reader, line: Vec::new(), number: 0, position: 0 })
    }

    /// Goes on to the next whole line.
    fn advance(&mut self) -> Result<bool> {
        self.line.clear();
        let n = self.reader.read_until(b'\n', &mut self.line);
        n.with_context(|| cannot_read(self.path))?;
        if self.line.last() != Some(&b'\n') {
            return Ok(false); // nothing, or what a crash left of a line
        }
        self.number += 1;
        self.position += self.line.len() as u64;
        Ok(true)
    }

    /// Whether what follows the number is `what`.
    fn is(&self, what: &[u8]) -> bool {
        let comma = self.line.iter().position(|&byte| byte == b',');
        comma.is_some_and(|comma| self.line[comma..].starts_with(what))
    }

    fn parse<'l, T: serde::Deserialize<'l>>(&'l self) -> Result<T> {
        serde_json::from_slice(&self.line).map_err(anyhow::Error::from).with_context(|| {
            format!("{}:{}: not of a journal of URLs", self.path.display(), self.number)
        })
    }
}

impl Frontier {
    /// Rebuilds everything from the journal.
    pub(super) fn resume(&mut self, is_done: &mut dyn FnMut(&str) -> bool) -> Result<()> {
        let file = self.journal.file().try_clone().context("cannot open the journal again")?;
        let path = self.journal.path().to_owned();
        let mut fates = self.read_fates(Lines::new(&file, &path)?)?;
        let mut lines = Lines::new(&file, &path)?;
        while lines.advance()? {
            let start = lines.position - lines.line.len() as u64;
            if lines.is(PAGE) {
                let line: PageLine<'_> = lines.parse()?;
                if line.n != self.journal.last() + 1 {
                    bail!("{}:{}: URL {} is out of turn", path.display(), lines.number, line.n)
                }
                self.journal.know(Some(line.n), start, lines.position);
                if self.know(&line, fates.get(line.n), is_done)? {
                    fates.set_done(line.n);
                }
                continue;
            }
            self.journal.know(None, start, lines.position);
            if lines.is(SIMHASH) {
                self.know_simhash(&lines.parse()?, &fates)?;
            } else {
                self.know_digest(&lines.parse()?, &fates)?;
            }
        }
        self.superseded.clear();
        self.journal.cut()
    }

    fn read_fates(&mut self, mut lines: Lines<'_>) -> Result<Fates> {
        let mut fates = Fates { names: vec![String::new()], by_page: Vec::new() };
        while lines.advance()? {
            if lines.is(FATE) {
                let line: FateLine<'_> = lines.parse()?;
                fates.set(line.n, &line.fate)?;
            } else if !(lines.is(PAGE) || lines.is(SIMHASH))
                || lines.line.ends_with(b",\"nearer\":true}\n")
            {
                let line: PageLine<'_> = lines.parse()?;
                self.superseded.insert(xxh3_64(line.url.as_bytes()), line.depth);
            }
        }
        Ok(fates)
    }

    /// Takes up a digest: of a page with a record, so that what others are duplicates of is
    /// there.
    fn know_digest(&mut self, line: &FateLine<'_>, fates: &Fates) -> Result<()> {
        if let Some(digest) = line.digest.filter(|_| fates.is_done(line.n)) {
            let digest = u128::from_str_radix(digest, 16);
            self.digests.insert(digest.context("the journal has a digest that is none")?, line.n);
        }
        Ok(())
    }

    /// The same of a fingerprint of words.
    fn know_simhash(&mut self, line: &SimhashLine<'_>, fates: &Fates) -> Result<()> {
        if fates.is_done(line.n) {
            let print = u64::from_str_radix(line.simhash, 16);
            self.near.insert(print.context("the journal has a fingerprint that is none")?, line.n);
        }
        Ok(())
    }

    /// Takes up a URL that an earlier run has seen; whether it is done.
    fn know(
        &mut self,
        line: &PageLine<'_>,
        fate: &str,
        is_done: &mut dyn FnMut(&str) -> bool,
    ) -> Result<bool> {
        let is_new = self.is_new(&line.url, line.depth);
        if is_new {
            self.totals.found(line.from == 0);
        }
        if !line.nearer && self.superseded.contains_key(&xxh3_64(line.url.as_bytes())) {
            return Ok(false);
        }
        if let Some(mut known) = self.seen.insert(&line.url, line.depth).filter(|_| !is_new) {
            known.set_depth(line.depth);
        }
        let refused = line.skip.as_deref().filter(|reason| !tally::is_open_again(reason));
        let found = Found { url: &line.url, pattern: 0, refused, hops: line.hops };
        let pattern = line.pattern.and_then(|pattern| u64::from_str_radix(pattern, 16).ok());
        let refusal = self.refusal(&found, line.depth, pattern);
        let is_done = fate == "robots" || (refused.is_none() && is_done(&line.url));
        if !is_done {
            match refusal {
                Some(reason) => self.totals.fate(&reason),
                None => self.enqueue(line)?,
            }
            return Ok(false);
        }
        let fate = if fate.is_empty() { "ok" } else { fate };
        self.totals.fate(fate);
        if fate == "ok" || fate == "duplicate" {
            self.n_fetched += 1;
            let (key, _) = host::split(&line.url).expect("others are refused");
            let id = self.hosts.of(key);
            self.hosts[id].n_fetched += 1;
            self.place_again(id);
        }
        Ok(true)
    }
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read `{}`, the journal of URLs", path.display())
}
