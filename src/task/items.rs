//! Lists of inputs, as job files and command lines write them: numbers with ranges, texts,
//! files of lines, standard input.
//!
//! Everything here is lazy: a range of 10^12 numbers costs a few words, a file is checked in
//! one pass and then streamed.
//!
//! **Invariant:** a list or a regular file is checked wholly before its source gives a first
//! item; only what cannot be read twice (standard input, a pipe) may give an item that fails.

mod lines;
mod numbers;
mod product;
mod seen;
#[cfg(test)]
mod tests;
mod texts;

pub use lines::{lines_of, path_in};
pub use numbers::{Cost, LARGEST, NumberItems, NumberRange, NumberSource, number_of};
pub use product::{Column, Combination, List, Product};
pub use seen::{Seen, SeenByContent};
pub use texts::{Check, TextItems, TextSource};
