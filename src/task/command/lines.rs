//! Commands as lines of a stream: `exec gzip -k a.txt`, or as JSON
//! `{"kind":"command","run":["gzip","-k","a.txt"]}`. Each names a whole command, in which nothing
//! is a placeholder; options are those of the table.

use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use super::options::{Options, Run, Templates};
use super::{Command, Commands as OneCommand, Env, head, lists};
use crate::task::stream::{self, Line, Streamed};
use crate::task::{Context, Done, ErrorClass, Input, Kind as _, PlanContext, TaskError, Work};

/// The group of all commands without lists, by their inputs as in records.
pub(super) const SEEN: &str = "command alone";

/// Keys of a table that name its own tasks, and not how they run.
const OF_TASKS: &[&str] =
    &["run", "args", "args_from", "glob", "range", "lists", "stdin", "stdin_file"];

impl Streamed for Command {
    fn word(&self) -> &'static str {
        "exec"
    }

    /// What has a placeholder is left out: a line has no values for it.
    fn table(&self, like: Option<&toml::Table>) -> toml::Table {
        let mut table = stream::without(like, OF_TASKS);
        let has_braces =
            |value: &toml::Value| value.as_str().is_some_and(|text| text.contains('{'));
        if table.get("dir").is_some_and(has_braces) {
            table.remove("dir");
        }
        if let Some(env) = table.get_mut("env").and_then(toml::Value::as_table_mut) {
            env.retain(|_, value| !has_braces(value));
        }
        table
    }

    fn lines(
        &self,
        resolved: &toml::Table,
        context: &mut PlanContext<'_>,
    ) -> Result<stream::Lines> {
        let plan = self.plan_streamed(resolved.clone(), context)?;
        let options: Options = serde_json::from_str(&plan.options)?;
        let read = move |line: &Line<'_>| {
            let options = of_line(&options, line)?;
            // What cannot be a command is found out here.
            Templates::of_line(&options)?;
            Ok((Input::Text(input(&options)?.into()), lists::COST))
        };
        Ok(stream::Lines { read: Box::new(read), seen: context.seen.of(SEEN) })
    }
}

/// A table's options with the command of a line.
fn of_line(options: &Options, line: &Line<'_>) -> Result<Options> {
    let (run, shell) = match *line {
        Line::Short("") => bail!("the command is missing"),
        Line::Short(text) => (Run::Line(text.to_owned()), options.shell),
        Line::Json(members) => of_members(members, options.shell)?,
    };
    ensure!(!run.has_zero(), "the command has a zero byte, which no argument can");
    Ok(Options { run, shell, ..options.clone() })
}

fn of_members(members: &Map<String, Value>, shell: bool) -> Result<(Run, bool)> {
    if let Some(other) = members.keys().find(|name| !["run", "shell"].contains(&name.as_str())) {
        bail!("unknown key `{other}`; a line names `run` and `shell`, options stand in a job file");
    }
    let run = members.get("run").context("no `run`")?;
    let read = serde_json::from_value(run.clone()).ok();
    let run = read.with_context(|| format!("`run` is `{run}`; use a text or a list of texts"))?;
    let shell = members.get("shell").map_or(Some(shell), Value::as_bool);
    Ok((run, shell.context("`shell` is neither `true` nor `false`")?))
}

/// The input of a command without lists, as it stands in records.
pub(super) fn input(options: &Options) -> Result<String> {
    Ok(head(options)? + "]}")
}

/// The command of an input.
fn of_input(options: &Options, input: &str) -> Result<Options> {
    let members: Map<String, Value> = serde_json::from_str(input)?;
    let shell = members.contains_key("shell");
    let run = members.get(if shell { "shell" } else { "run" }).context("no command")?;
    Ok(Options { run: serde_json::from_value(run.clone())?, shell, ..options.clone() })
}

/// Runs the commands of a stream.
pub(super) struct Commands {
    options: Options,
    env: Arc<Env>,
}

impl Commands {
    pub(super) fn new(options: Options) -> Self {
        Self { options, env: Arc::default() }
    }

    fn one(&self, input: &Input) -> Result<OneCommand> {
        let Input::Text(text) = input else { bail!("a command takes a text") };
        let options = of_input(&self.options, text)?;
        let (templates, head) = (Templates::of_line(&options)?, head(&options)?);
        let env = Arc::clone(&self.env);
        Ok(OneCommand { options, templates, head, env, program: OnceLock::new() })
    }
}

impl Work for Commands {
    fn write_input(&self, input: &Input, record: &mut Vec<u8>) {
        let Input::Text(text) = input else { return };
        record.extend_from_slice(text.as_bytes());
    }

    fn footprint(&self, _: &Input) -> u64 {
        self.options.memory
    }

    fn cores(&self) -> u32 {
        self.options.cores
    }

    fn run(
        &self,
        input: &Input,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<Done, TaskError> {
        let invalid = |error| TaskError::new(ErrorClass::InvalidInput, format!("{error:#}"));
        let command = self.one(input).map_err(invalid)?;
        command.run(&lists::input(1, &Ok(Vec::new())), context, record)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::task::items::SeenByContent;

    fn read(table: &str, line: &Line<'_>) -> Result<String, String> {
        let mut seen = SeenByContent::default();
        let mut context = PlanContext { folder: Path::new("jobs"), seen: &mut seen };
        let table = Command.table(Some(&table.parse().unwrap()));
        let resolved = Command.plan_streamed(table, &mut context).unwrap().resolved;
        let lines = Command.lines(&resolved, &mut context).unwrap();
        match (lines.read)(line) {
            Ok((Input::Text(text), _)) => Ok(text.into()),
            other => Err(format!("{:#}", other.unwrap_err())),
        }
    }

    fn json(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn lines_name_whole_commands() {
        let check = |table: &str, text: &str, expected: &str| {
            assert_eq!(read(table, &Line::Short(text)).as_deref(), Ok(expected), "{text}");
            // The input is what is run, whatever the options.
            let options = of_input(&serde_json::from_str(OPTIONS).unwrap(), expected).unwrap();
            assert_eq!(input(&options).unwrap(), expected);
        };
        check("", "gzip -k 'a b'", r#"{"run":"gzip -k 'a b'","args":[]}"#);
        let of_tasks = "run = 'x {1}'\nargs = [1]\nstdin = '{}'\ndir = '{}'\nenv = { A = '{}' }";
        check(of_tasks, "echo {} {1} {#}", r#"{"run":"echo {} {1} {#}","args":[]}"#);
        check("run = 'x'\nshell = true", "ls | wc", r#"{"shell":"ls | wc","args":[]}"#);
        for (line, expected) in [
            (r#"{"run":["a b","{}"]}"#, r#"{"run":["a b","{}"],"args":[]}"#),
            (r#"{"run":"ls | wc","shell":true}"#, r#"{"shell":"ls | wc","args":[]}"#),
        ] {
            assert_eq!(read("", &Line::Json(&json(line))).as_deref(), Ok(expected));
        }
    }

    const OPTIONS: &str = r#"{"run":[],"shell":false,"lists":[],"dir":null,"env":{},"stdin":null,
        "stdin_file":null,"max_output":1,"outputs":null,"ok_exit":[0],
        "kill_after":{"secs":1,"nanos":0},"cores":1,"memory":0,"then":false}"#;

    #[test]
    fn what_is_no_command_is_refused() {
        for (line, part) in [("", "the command is missing"), ("a 'b", "a quote is not closed")] {
            let error = read("", &Line::Short(line)).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        for (line, part) in [
            ("{}", "no `run`"),
            (r#"{"run":[]}"#, "it is empty; name a program"),
            (r#"{"run":3}"#, "`run` is `3`; use a text or a list of texts"),
            (r#"{"run":"a","shell":1}"#, "`shell` is neither"),
            (r#"{"run":["a"],"shell":true}"#, "a shell takes one line"),
            (r#"{"run":"a","args":["b"]}"#, "unknown key `args`; a line names `run`"),
            ("{\"run\":\"a\\u0000\"}", "zero byte"),
        ] {
            let error = read("", &Line::Json(&json(line))).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
