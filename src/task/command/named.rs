//! The tasks that a command names: `{"then":["fib 10", {"kind":"fetch","url":"…"}]}` as the last
//! line of its standard output. Each stands there in a form of a stream's lines.

use serde_json::{Map, Value};

use super::capture::Capture;
use crate::task::stream::LONGEST_LINE;
use crate::task::{ErrorClass, TaskError};

/// The key of a table that asks for them, of the line, and of the record's output.
pub(super) const KEY: &str = "then";

/// As much of the end of an output is looked at.
pub(super) const END: usize = LONGEST_LINE + 1;

/// What the last line of an output names: nothing where it is no JSON object, or one that says
/// nothing of tasks.
pub(super) fn of(stdout: &Capture<'_>) -> Result<Vec<Value>, TaskError> {
    named(stdout.last()).map_err(|wrong| {
        let message = format!("the last line of its standard output {wrong}");
        TaskError::new(ErrorClass::Failed, message)
    })
}

fn named(output: &[u8]) -> Result<Vec<Value>, String> {
    let output = output.trim_ascii_end();
    let start = output.iter().rposition(|&byte| byte == b'\n').map_or(0, |place| place + 1);
    let line = output[start..].trim_ascii_start();
    if line.len() > LONGEST_LINE {
        return Err("is longer than 1 MiB".to_owned());
    }
    if !line.starts_with(b"{") {
        return Ok(Vec::new());
    }
    let members: Result<Map<String, Value>, _> = serde_json::from_slice(line);
    let mut members =
        members.map_err(|error| format!("begins with `{{` and is no JSON: {error}"))?;
    let tasks = match members.remove(KEY) {
        None => return Ok(Vec::new()),
        Some(Value::Array(tasks)) => tasks,
        Some(other) => return Err(format!("has `{KEY}`: `{other}`; use a list of tasks")),
    };
    match tasks.iter().find(|task| !task.is_string() && !task.is_object()) {
        None => Ok(tasks),
        Some(task) => Err(format!("names the task `{task}`; use a text or an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_names_tasks() {
        let check = |output: &str, expected: &str| {
            let named = named(output.as_bytes()).map(|tasks| Value::from(tasks).to_string());
            assert_eq!(named.unwrap_or_else(|wrong| wrong), expected, "{output}");
        };
        check("", "[]");
        check("text\n", "[]");
        check("{\"then\":[\"fib 1\"]}\nmore\n", "[]");
        check("{\"other\":1}", "[]");
        check(
            "a\n {\"then\":[\"fib 1\",{\"kind\":\"probe\",\"n\":2}]} \r\n\n",
            "[\"fib 1\",{\"kind\":\"probe\",\"n\":2}]",
        );
        check("{\"then\":[]}", "[]");
        check("{\"then\":3}", "has `then`: `3`; use a list of tasks");
        check("{\"then\":[3]}", "names the task `3`; use a text or an object");
        check(
            "{\"then",
            "begins with `{` and is no JSON: EOF while parsing a string at line 1 column 6",
        );
        let long = format!("{{\"then\":[\"{}\"]}}", "x".repeat(LONGEST_LINE));
        check(&long, "is longer than 1 MiB");
        check(&long[10..], "is longer than 1 MiB");
    }
}
