//! A running job, controlled by other processes: `run --control DIR` and `rankpool ctl DIR …`.
//!
//! In DIR are `job`, which the run holds locked as long as it lives, and `requests`, a FIFO in
//! which requests come as framed messages, however many ask at once. Whoever asks makes a FIFO
//! of its own for the answer, and names it in the request.
//!
//! **Invariant:** rank 0 never waits for whoever asks; an answer goes to who asked and nobody
//! else.

mod client;
mod command;
mod folder;
mod server;
mod status;

use serde::{Deserialize, Serialize};

pub use client::ask;
pub use command::{COMMANDS, Command, Ranks};
pub use server::{Request, Server};
pub use status::{RankStatus, Status};

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    /// The FIFO for the answer, in the same folder.
    reply: String,
    words: Vec<String>,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    ok: bool,
    text: String,
}
