//! Lists of inputs, as job files and command lines write them: numbers with ranges, texts,
//! files of lines, standard input.

/// Placeholder until the lists land.
#[derive(Debug, Default)]
pub struct SeenByContent;
