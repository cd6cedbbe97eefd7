//! Where outcomes go as they arrive: one file a sink.

mod jsonl;
mod ordered;
mod stats;
mod terminal;

use anyhow::Result;

pub use jsonl::JsonLines;
pub use stats::StatsFile;
pub use terminal::{Lines, Terminal};

use crate::job::{Output, Settings};
use crate::root::Heard;
use ordered::Ordered;

/// Results cannot be written any more: what is there is whole, and the run can end in order.
#[derive(Debug)]
pub struct OutputLost(String);

impl OutputLost {
    /// Lost for this reason.
    pub fn because(error: &anyhow::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

impl std::fmt::Display for OutputLost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for OutputLost {}

/// The results file, if one is wanted: records as they arrive, or in the order of the job.
#[derive(Debug)]
pub struct Results {
    file: Option<JsonLines>,
    ordered: Option<Ordered>,
}

impl Results {
    /// Opens what the settings ask for; nothing is replaced unless they say so.
    pub fn open(settings: &Settings) -> Result<Self> {
        let file = match &settings.output {
            Output::Lines | Output::None => None,
            Output::Stdout => Some(JsonLines::stdout()),
            Output::File(path) => Some(JsonLines::create(path, settings.overwrite)?),
        };
        Ok(Self { file, ordered: settings.ordered.then(Ordered::default) })
    }

    /// Takes one outcome's record.
    pub fn put(&mut self, heard: &Heard<'_>) -> Result<()> {
        let Some(file) = &mut self.file else {
            return self
                .ordered
                .as_mut()
                .map_or(Ok(()), |order| order.put(heard.task.seq, &[], |_| Ok(())));
        };
        match &mut self.ordered {
            None => file.put(heard.outcome.record),
            Some(order) => {
                order.put(heard.task.seq, heard.outcome.record, |record| file.put(record))
            }
        }
    }

    /// Gives what has been put to the kernel.
    pub fn flush(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), JsonLines::flush)
    }

    /// Gives everything to the kernel, what still waits for its turn included: the run is over,
    /// and what is missing will not come.
    pub fn finish(&mut self) -> Result<()> {
        if let (Some(file), Some(order)) = (&mut self.file, &mut self.ordered) {
            order.finish(|record| file.put(record))?;
        }
        self.flush()
    }

    /// Where results keep the order of the job: the first place whose record is missing.
    pub fn first_missing(&self) -> Option<u64> {
        self.ordered.as_ref().map(Ordered::first_missing)
    }
}
