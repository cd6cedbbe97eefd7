//! The file that queued URLs wait in when memory does not hold them.
//!
//! Blocks of one queue are a list: each says where the next one is, so that memory holds two
//! positions a queue and nothing a block or a URL. (Reading URLs back from the journal would
//! need no file of its own, but a position a URL, and a read a URL: a host's URLs lie scattered
//! there.)
//!
//! The file has no name once it is open: whatever ends the process, nothing of it is left.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Bytes of entries in a block, at most, but for an entry that is longer by itself.
const BLOCK: usize = 8 << 10;
/// Before them: where the next block is and how long this one is.
const HEAD: usize = 12;
/// No next block.
const NONE: u64 = u64::MAX;

/// A list of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    first: u64,
    last: u64,
}

/// The file.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    /// Blocks not read back.
    blocks: u64,
    buffer: Vec<u8>,
}

impl Spill {
    /// A file to be made at `path` when it is needed.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, length: 0, blocks: 0, buffer: Vec::new() }
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Writes entries behind those of `chain`; `lengths` are theirs, one after the other.
    pub(super) fn append(
        &mut self,
        chain: Option<Chain>,
        entries: &[u8],
        lengths: impl Iterator<Item = usize>,
    ) -> Result<Chain> {
        let new = self.write(entries, lengths, NONE)?;
        let Some(chain) = chain else { return Ok(new) };
        self.write_at(&new.first.to_le_bytes(), chain.last)?;
        Ok(Chain { first: chain.first, last: new.last })
    }

    /// Writes entries before those of `chain`.
    pub(super) fn prepend(
        &mut self,
        chain: Option<Chain>,
        entries: &[u8],
        lengths: impl Iterator<Item = usize>,
    ) -> Result<Chain> {
        let next = chain.map_or(NONE, |chain| chain.first);
        let new = self.write(entries, lengths, next)?;
        Ok(Chain { first: new.first, last: chain.map_or(new.last, |chain| chain.last) })
    }

    /// Takes the first block out of a list: its entries, and what is left.
    pub(super) fn take(&mut self, chain: Chain, entries: &mut Vec<u8>) -> Result<Option<Chain>> {
        let mut head = [0; HEAD];
        self.read_at(&mut head, chain.first)?;
        let (next, length) = head.split_at(8);
        let next = u64::from_le_bytes(next.try_into().expect("8 bytes"));
        let length = u32::from_le_bytes(length.try_into().expect("4 bytes"));
        entries.resize(length as usize, 0);
        self.read_at(entries, chain.first + HEAD as u64)?;
        self.blocks -= 1;
        if self.blocks == 0 {
            self.clear()?;
        }
        Ok((chain.first != chain.last).then_some(Chain { first: next, last: chain.last }))
    }

    fn write(
        &mut self,
        entries: &[u8],
        mut lengths: impl Iterator<Item = usize>,
        after: u64,
    ) -> Result<Chain> {
        let (first, mut last) = (self.length, self.length);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let (mut from, mut next_length) = (0, lengths.next());
        while let Some(mut size) = next_length.take() {
            for length in lengths.by_ref() {
                if size + length > BLOCK {
                    next_length = Some(length);
                    break;
                }
                size += length;
            }
            last = self.length + buffer.len() as u64;
            let behind = last + (HEAD + size) as u64;
            let next = if next_length.is_some() { behind } else { after };
            buffer.extend_from_slice(&next.to_le_bytes());
            let size_u32 = u32::try_from(size).expect("a URL is no longer");
            buffer.extend_from_slice(&size_u32.to_le_bytes());
            buffer.extend_from_slice(&entries[from..from + size]);
            from += size;
            self.blocks += 1;
        }
        self.write_at(&buffer, first)?;
        self.length += buffer.len() as u64;
        buffer.shrink_to(64 * BLOCK);
        self.buffer = buffer;
        Ok(Chain { first, last })
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        if self.file.is_none() {
            self.file = Some(unnamed(&self.path).with_context(|| self.cannot("create"))?);
        }
        let file = self.file.as_ref().expect("opened above");
        file.write_all_at(bytes, at).with_context(|| self.cannot("write"))
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        let file = self.file.as_ref().expect("a block was written");
        file.read_exact_at(bytes, at).with_context(|| self.cannot("read"))
    }

    /// Everything has been read back: the space is given back.
    fn clear(&mut self) -> Result<()> {
        let file = self.file.as_ref().expect("a block was written");
        file.set_len(0).with_context(|| self.cannot("empty"))?;
        self.length = 0;
        Ok(())
    }

    fn cannot(&self, what: &str) -> String {
        format!("cannot {what} `{}`, where queued URLs wait", self.path.display())
    }
}

/// A new file that has no name any more: it had this one for a moment.
pub(super) fn unnamed(path: &Path) -> io::Result<File> {
    // What a process left that ended in that moment.
    let _ = fs::remove_file(path);
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

/// A path for a file that nobody else is to find.
pub(super) fn unused_path() -> PathBuf {
    static N: AtomicU32 = AtomicU32::new(0);
    let n = N.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("rankpool.{}.{n}.urls", std::process::id()))
}
