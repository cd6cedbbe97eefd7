//! The XML form: `urlset` with `url` entries, `sitemapindex` with `sitemap` entries; names are
//! taken without their namespaces.
//!
//! As real sitemaps are: a lone `&`, an entity of nobody's and an end tag of another name are no
//! errors; what is broken beyond that ends the reading, and what came before counts.

use std::io::BufRead;

use quick_xml::errors::Error;
use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

use super::{List, MAX_ADDRESS, Reading, explain};

/// The elements of an entry whose text is wanted.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    Loc,
    Lastmod,
}

/// Where in the document reading is.
#[derive(Default)]
struct State {
    depth: usize,
    list: Option<List>,
    /// Inside an entry of the list.
    is_entry: bool,
    field: Option<Field>,
    loc: String,
    lastmod: String,
}

pub(super) fn read(text: impl BufRead, reading: &mut Reading<'_>) -> Result<(), String> {
    let mut reader = Reader::from_reader(text);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    let (mut state, mut buffer) = (State::default(), Vec::new());
    loop {
        match reader.read_event_into(&mut buffer).map_err(|error| why(&error))? {
            Event::Start(tag) => state.open(tag.local_name().as_ref())?,
            Event::Empty(tag) => {
                state.open(tag.local_name().as_ref())?;
                state.close(reading)?;
            }
            Event::End(_) => state.close(reading)?,
            Event::Text(text) => state.text(&text),
            Event::CData(text) => state.text(&text),
            Event::GeneralRef(entity) => state.entity(&entity),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        buffer.clear();
    }
    if state.depth > 0 || state.list.is_none() {
        return Err("ends in the middle".to_owned());
    }
    Ok(())
}

fn why(error: &Error) -> String {
    match error {
        Error::Io(error) => explain(error),
        error => format!("broken XML: {error}"),
    }
}

impl State {
    fn open(&mut self, name: &str) -> Result<(), String> {
        self.depth += 1;
        match (self.depth, self.list) {
            (1, None) => self.list = Some(list(name)?),
            (2, Some(list)) => {
                let entry = if list == List::Urls { "url" } else { "sitemap" };
                self.is_entry = name == entry;
                self.loc.clear();
                self.lastmod.clear();
            }
            (3, _) if self.is_entry => {
                self.field = match name {
                    "loc" if self.loc.is_empty() => Some(Field::Loc),
                    "lastmod" if self.lastmod.is_empty() => Some(Field::Lastmod),
                    _ => None,
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, reading: &mut Reading<'_>) -> Result<(), String> {
        match self.depth {
            3 => self.field = None,
            2 if std::mem::take(&mut self.is_entry) => {
                let list = self.list.expect("an entry is in a list");
                let lastmod = self.lastmod.trim();
                let lastmod = (!lastmod.is_empty()).then(|| lastmod.into());
                reading.add(list, self.loc.trim(), lastmod)?;
            }
            _ => {}
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// Keeps a text as far as it matters: one that is too long to be an address is known by that.
    fn text(&mut self, text: &str) {
        let wanted = match self.field {
            Some(Field::Loc) => &mut self.loc,
            Some(Field::Lastmod) => &mut self.lastmod,
            None => return,
        };
        // White space around an address is not part of it.
        let text = if wanted.is_empty() { text.trim_start() } else { text };
        if wanted.len() <= MAX_ADDRESS {
            wanted.extend(text.chars().take(2 * MAX_ADDRESS));
        }
    }

    /// An entity that is not one of XML's stays as it is written.
    fn entity(&mut self, entity: &BytesRef<'_>) {
        if let Ok(Some(c)) = entity.resolve_char_ref() {
            self.text(c.encode_utf8(&mut [0; 4]));
        } else if let Some(text) = quick_xml::escape::resolve_xml_entity(entity) {
            self.text(text);
        } else {
            self.text("&");
            self.text(entity);
            self.text(";");
        }
    }
}

fn list(root: &str) -> Result<List, String> {
    match root {
        "urlset" => Ok(List::Urls),
        "sitemapindex" => Ok(List::Sitemaps),
        _ => {
            let name: String = root.chars().filter(|c| !c.is_control()).take(40).collect();
            Err(format!("no sitemap: its root is `{name}`"))
        }
    }
}
