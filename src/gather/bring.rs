//! One file of values: whether it is here, and whole; else it is copied.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use xxhash_rust::xxh3::Xxh3Default;

use super::find::{Piece, Source};

const CHUNK: usize = 1 << 20;
/// So often in a row an agent may bring nothing of what is missing.
const TRIES: u32 = 5;

/// What came of one file.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// Tasks whose values are not here.
    pub(super) lost: Vec<u128>,
    /// Why the file could not be copied.
    pub(super) why: Option<String>,
    pub(super) is_new: bool,
}

/// Makes sure that the values of a file are in `target` here, as far as they can be had. An error
/// is one of this host.
pub(super) fn bring(
    source: &Source,
    pieces: &[Piece],
    target: &Path,
    agent: impl Fn() -> Result<Command>,
) -> Result<Brought> {
    let mut brought = Brought { lost: wrong(target, pieces), ..Brought::default() };
    if brought.lost.is_empty() {
        return Ok(brought);
    }
    let cannot =
        || format!("cannot write `{}`; `--into DIR` names another place", target.display());
    fs::create_dir_all(target.parent().unwrap_or(Path::new("."))).with_context(cannot)?;
    let part = PathBuf::from(format!("{}.part", target.display()));
    let mut to = File::create(&part).with_context(cannot)?;
    // The folder of values may be one that this host sees as well.
    let why = if wrong(&source.path, pieces).is_empty() {
        io::copy(&mut File::open(&source.path)?, &mut to).with_context(cannot)?;
        None
    } else {
        copy(source, pieces, &to, agent)?
    };
    let lost = wrong(&part, pieces);
    if lost.len() < brought.lost.len() {
        to.sync_all().with_context(cannot)?;
        fs::rename(&part, target).with_context(cannot)?;
        (brought.lost, brought.is_new) = (lost, true);
    } else {
        fs::remove_file(&part).with_context(cannot)?;
    }
    Ok(Brought { why, ..brought })
}

/// Copies a file of another host, as far as it has values; why that could not be done.
///
/// srun (seen with Slurm 22.05) ends with success where the end of the output got lost, so what is
/// missing is asked for again.
fn copy(
    source: &Source,
    pieces: &[Piece],
    mut to: &File,
    agent: impl Fn() -> Result<Command>,
) -> Result<Option<String>> {
    let end = pieces.iter().map(|piece| piece.offset + piece.bytes).max().unwrap_or_default();
    let (mut length, mut tries) = (0, 0);
    while length < end && tries < TRIES {
        if let Some(why) = append(source, length, to, agent()?)? {
            return Ok(Some(why));
        }
        let before = std::mem::replace(&mut length, to.seek(SeekFrom::End(0))?);
        tries = if length > before { 0 } else { tries + 1 };
    }
    Ok((length < end).then(|| format!("{length} bytes are there, {end} were written")))
}

/// Appends what a file of another host has from a position on.
fn append(source: &Source, from: u64, to: &File, mut agent: Command) -> Result<Option<String>> {
    let path = source.path.to_string_lossy();
    let path = shlex::try_quote(&path).context("a path with a zero in it")?;
    let from = format!("+{}", from + 1);
    agent.args([source.host.as_str(), "tail", "-c", &from, &path]).stdin(Stdio::null());
    let output = agent.stdout(to.try_clone()?).stderr(Stdio::piped()).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let program = agent.get_program().to_string_lossy();
            return Ok(Some(format!("cannot run `{program}`: {error}")));
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    let said = said.map_or_else(|| format!("it ended with {}", output.status), str::to_owned);
    Ok((!output.status.success()).then_some(said))
}

/// The tasks whose values are not in the file at `path`.
fn wrong(path: &Path, pieces: &[Piece]) -> Vec<u128> {
    let mut file = File::open(path);
    let mut is_wrong = |piece: &&Piece| {
        let digest =
            file.as_mut().map_err(|_| ()).and_then(|file| digest(file, piece).map_err(drop));
        digest != Ok(piece.digest)
    };
    pieces.iter().filter(|piece| is_wrong(piece)).map(|piece| piece.task).collect()
}

fn digest(file: &mut File, piece: &Piece) -> io::Result<u128> {
    file.seek(SeekFrom::Start(piece.offset))?;
    let (mut hash, mut left) = (Xxh3Default::new(), piece.bytes);
    let mut buffer = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..most])?;
        hash.update(&buffer[..most]);
        left -= most as u64;
    }
    Ok(hash.digest128())
}
