//! The kind of lines that cannot be read: they fail, and the stream goes on.

use anyhow::{Result, bail};

use crate::json;
use crate::task::{
    Context, Done, ErrorClass, Input, Kind, Plan, PlanContext, Pool, TaskError, Work,
};

/// The kind `line`; job files cannot name it.
#[derive(Debug)]
pub struct BadLine;

impl BadLine {
    /// The table of such lines.
    pub(super) fn table(source: Box<dyn crate::task::Source>) -> Plan {
        Plan {
            resolved: toml::Table::new(),
            options: String::new(),
            source,
            pool: Pool::Cpu,
            limit: None,
            own_retries: false,
        }
    }
}

impl Kind for BadLine {
    fn name(&self) -> &'static str {
        "line"
    }

    fn plan(&self, _: toml::Table, _: &mut PlanContext<'_>) -> Result<Plan> {
        bail!("the kind `line` is for lines of a stream that cannot be read")
    }

    fn work(&self, _: &str) -> Result<Box<dyn Work>> {
        Ok(Box::new(Lost))
    }

    fn describe(&self, record: &serde_json::Value) -> String {
        format!("a line that cannot be read: {}", record["input"]["line"])
    }
}

/// Writes such lines; none of them ever comes to a rank.
struct Lost;

impl Work for Lost {
    fn write_input(&self, input: &Input, record: &mut Vec<u8>) {
        let Input::Text(line) = input else { return };
        record.extend_from_slice(b"{\"line\":");
        json::put_text(record, line);
        record.push(b'}');
    }

    fn run(&self, _: &Input, _: &Context<'_>, _: &mut Vec<u8>) -> Result<Done, TaskError> {
        Err(TaskError::new(ErrorClass::InvalidInput, "the line cannot be read"))
    }
}
