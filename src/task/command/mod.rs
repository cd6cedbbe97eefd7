//! The kind `command`: any program as a task.
//!
//! A table's command line has placeholders ([`template`]) for the values of lists ([`lists`]);
//! each combination of values is a task. A line of a stream names a command of its own
//! ([`lines`]). The thread that runs a task waits for the command
//! ([`process`]), so that commands count as what they are: work for the CPU pool.
//!
//! **Invariant:** no command outlives its rank ([`tether`]).

mod capture;
mod ending;
mod lines;
mod lists;
mod named;
mod options;
mod process;
mod template;
#[cfg(test)]
mod tests;
mod tether;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::stream::{self, Streamed};
use super::{
    Context, Done, ErrorClass, Input, Kind, Nothing, Plan, PlanContext, Pool, Source, TaskError,
    Work, id, id_digits,
};
use crate::json;
use capture::Capture;
use ending::{failure, put_ended};
use options::{Options, Planned, Run, Templates};
use process::{Ended, How, Limits, Start, Stdin};
use template::Values;
pub use tether::watch;

const NAME: &str = "command";
const SHELL: &str = "/bin/sh";

/// What launchers tell their ranks about themselves: a command is none of these ranks, and may
/// have a launcher and ranks of its own.
const LAUNCHERS_OWN: &[&str] = &["OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDRA_", "HYDI_"];
/// Of these, what users set.
const USERS_OWN: &[&str] =
    &["OMPI_MCA_", "PRTE_MCA_", "OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"];

/// Any program.
#[derive(Debug)]
pub struct Command;

impl Kind for Command {
    fn name(&self) -> &'static str {
        NAME
    }

    fn plan(&self, table: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan> {
        let mut planned = options::plan(table, context.folder)?;
        let lists = std::mem::take(&mut planned.lists);
        let source = if lists.is_empty() {
            let input = lines::input(&planned.options)?;
            lists::Commands::alone(input, context.seen.of(lines::SEEN))?
        } else {
            // What a task is made of: the same command with the same values is the same task.
            let same = serde_json::to_string(&(&planned.options.run, planned.options.shell))?;
            let seen = Rc::clone(&context.seen.of(&format!("{NAME} {same}")));
            let tables = context.seen.of(&format!("{NAME} tables {same}"));
            lists::Commands::new(lists, seen, tables)?
        };
        plan_of(planned, source)
    }

    fn plan_streamed(&self, table: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan> {
        plan_of(options::plan_streamed(table, context.folder)?, Nothing)
    }

    fn work(&self, options: &str) -> Result<Box<dyn Work>> {
        let options: Options = serde_json::from_str(options)?;
        if options.run == Run::OF_LINES {
            return Ok(Box::new(lines::Commands::new(options)));
        }
        Ok(Box::new(Commands::new(options)?))
    }

    fn streamed(&self) -> Option<&'static dyn Streamed> {
        Some(&Self)
    }

    fn warning(&self, options: &str) -> Option<String> {
        let commands = Commands::new(serde_json::from_str(options).ok()?).ok()?;
        let program = commands.templates.run.first()?.as_text()?;
        let is_missing = !commands.options.shell
            && commands.templates.dir.is_none()
            && commands.program(program, &BTreeMap::new()).is_err();
        is_missing.then(|| format!("`{program}` is no program on this host"))
    }

    fn printed(&self, record: &Value) -> Option<[Vec<u8>; 2]> {
        let from = if record["output"].is_object() { &record["output"] } else { &record["error"] };
        let name = record["input"]["args"].to_string();
        let mut streams = ["stdout", "stderr"].map(|stream| printed(from, stream));
        for stream in ["stdout", "stderr"] {
            let bytes = &from[format!("{stream}_bytes")];
            if !bytes.is_null() {
                let place = from[format!("{stream}_file")].as_str();
                let place = place.map_or("cut".to_owned(), |path| format!("in {path}"));
                let note = format!("rankpool: {name}: {stream} has {bytes} bytes: {place}\n");
                streams[1].extend_from_slice(note.as_bytes());
            }
        }
        Some(streams)
    }

    fn describe(&self, record: &Value) -> String {
        format!(
            "for arguments {}, the command run by rank {} on host {} ended with {}",
            record["input"]["args"], record["rank"], record["host"], record["output"]["exit"]
        )
    }
}

fn plan_of(planned: Planned, source: impl Source + 'static) -> Result<Plan> {
    let options = serde_json::to_string(&planned.options)?;
    let (resolved, limit) = (planned.resolved, planned.limit);
    let source = Box::new(source);
    Ok(Plan { resolved, options, source, pool: Pool::Cpu, limit, own_retries: false })
}

/// What a stream of a record said.
fn printed(from: &Value, stream: &str) -> Vec<u8> {
    match (from[stream].as_str(), from[format!("{stream}_base64")].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(encoded)) => BASE64_STANDARD.decode(encoded).unwrap_or_default(),
        (None, None) => Vec::new(),
    }
}

/// Runs the commands of a table.
struct Commands {
    options: Options,
    templates: Templates,
    /// The members of the input before its arguments.
    head: String,
    env: Arc<Env>,
    /// Where the program is, if it is the same for all.
    program: OnceLock<Option<PathBuf>>,
}

/// The environment that commands get, found out once.
type Env = OnceLock<Vec<(OsString, OsString)>>;

/// The members of an input before its arguments: `{"run":"…","args":[`.
fn head(options: &Options) -> Result<String> {
    let key = if options.shell { "shell" } else { "run" };
    let command = match &options.run {
        Run::Line(line) => serde_json::to_string(line)?,
        Run::Words(words) => serde_json::to_string(words)?,
    };
    Ok(format!("{{\"{key}\":{command},\"args\":["))
}

impl Commands {
    fn new(options: Options) -> Result<Self> {
        let (head, templates) = (head(&options)?, Templates::new(&options)?);
        Ok(Self { head, templates, options, env: Arc::default(), program: OnceLock::new() })
    }

    fn argv(&self, values: Values<'_>) -> Vec<String> {
        if self.options.shell {
            let script = self.templates.run[0].script(values);
            return vec![SHELL.to_owned(), "-c".to_owned(), script];
        }
        let mut words = Vec::new();
        self.templates.run.iter().for_each(|word| word.words(values, &mut words));
        words
    }

    /// The environment of all commands but for what differs.
    fn env(&self, token: &str) -> &[(OsString, OsString)] {
        self.env.get_or_init(|| {
            let is_kept = |name: &OsStr| {
                let begins =
                    |beginning: &&str| name.as_encoded_bytes().starts_with(beginning.as_bytes());
                !LAUNCHERS_OWN.iter().any(begins) || USERS_OWN.iter().any(begins)
            };
            let own = std::env::vars_os().filter(|(name, _)| is_kept(name));
            own.chain([(tether::VARIABLE.into(), token.into())]).collect()
        })
    }

    /// What `name` means, as execvp(3) has it.
    fn program(&self, name: &str, env: &BTreeMap<&str, String>) -> Result<PathBuf, TaskError> {
        if name.contains('/') {
            return Ok(name.into());
        }
        let find = || {
            let own = || std::env::var_os("PATH");
            let path = env.get("PATH").map(OsString::from).or_else(own)?;
            std::env::split_paths(&path)
                .map(
                    |folder| {
                        if folder.as_os_str().is_empty() { Path::new(".").into() } else { folder }
                    },
                )
                .map(|folder| folder.join(name))
                .find(|path| is_program(path))
        };
        let is_constant = self.templates.run[0].as_text().is_some() && !env.contains_key("PATH");
        let found = if is_constant { self.program.get_or_init(find).clone() } else { find() };
        found.ok_or_else(|| {
            let message = format!("`{name}` is no program on this host's PATH");
            TaskError::new(ErrorClass::InvalidInput, message)
        })
    }

    fn stdin(&self, values: Values<'_>, dir: Option<&Path>) -> Result<Stdin, TaskError> {
        if let Some(text) = &self.templates.stdin {
            return Ok(Stdin::Text(text.text(values)));
        }
        let Some(file) = &self.templates.stdin_file else { return Ok(Stdin::Nothing) };
        let path = dir.unwrap_or(Path::new("")).join(file.text(values));
        std::fs::File::open(&path).map(Stdin::File).map_err(|error| {
            let message = format!("cannot read `{}`: {error}", path.display());
            TaskError::new(ErrorClass::InvalidInput, message)
        })
    }

    /// The variables of one task.
    fn more_env(
        &self,
        values: Values<'_>,
        id: &str,
        context: &Context<'_>,
    ) -> BTreeMap<&str, String> {
        let mut env = BTreeMap::from([
            ("RANKPOOL_TASK_ID", id.to_owned()),
            ("RANKPOOL_RANK", context.place.rank.to_string()),
            ("RANKPOOL_ATTEMPT", context.attempt.to_string()),
        ]);
        env.extend(self.templates.env.iter().map(|(name, text)| (&**name, text.text(values))));
        env
    }

    fn id(&self, input: &Input, occurrence: u32) -> String {
        let mut json = Vec::new();
        self.write_input(input, &mut json);
        id_digits(id(NAME, &json, occurrence)).map(char::from).iter().collect()
    }

    /// Starts a command and waits for its end.
    fn process(
        &self,
        input: &Input,
        context: &Context<'_>,
        captures: &mut [Capture<'_>; 2],
    ) -> Result<Ended, TaskError> {
        let invalid = |message: String| TaskError::new(ErrorClass::InvalidInput, message);
        let (number, args) = lists::values(input).map_err(invalid)?;
        if args.len() != self.options.lists.len() {
            let (given, lists) = (args.len(), self.options.lists.len());
            return Err(invalid(format!("{given} arguments, and the command takes {lists}")));
        }
        let values = Values { args: &args, number };
        let words = self.argv(values);
        let more_env = self.more_env(values, &self.id(input, context.occurrence), context);
        let program = self.program(&words[0], &more_env)?;
        let dir = self.templates.dir.as_ref().map(|dir| PathBuf::from(dir.text(values)));
        let failed = |message| TaskError::new(ErrorClass::Failed, message);
        let token = &tether::Tether::get().map_err(failed)?.token;
        let more_env: Vec<_> = more_env.into_iter().collect();
        let start = Start {
            argv: &words,
            program: &program,
            dir: dir.as_deref(),
            env: self.env(token),
            more_env: &more_env,
            stdin: self.stdin(values, dir.as_deref())?,
        };
        let limits = Limits { deadline: context.deadline, kill_after: self.options.kill_after };
        process::run(&start, limits, captures)
    }
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

impl Work for Commands {
    fn write_input(&self, input: &Input, record: &mut Vec<u8>) {
        record.extend_from_slice(self.head.as_bytes());
        let args =
            lists::values(input).map_or_else(|wrong| vec![format!("({wrong})")], |(_, args)| args);
        for (idx, arg) in args.iter().enumerate() {
            if idx > 0 {
                record.push(b',');
            }
            json::put_text(record, arg);
        }
        record.extend_from_slice(b"]}");
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
        let files = context.values.and_then(|values| {
            let own = self.options.outputs.as_deref();
            Some((values, own.or_else(|| values.folder())?))
        });
        let limit = usize::try_from(self.options.max_output).unwrap_or(usize::MAX);
        let n_last = if self.options.then { named::END } else { capture::TAIL };
        let mut captures = [("stdout", n_last), ("stderr", capture::TAIL)]
            .map(|(name, n_last)| Capture::new(name, limit, n_last, files));
        let ended = self.process(input, context, &mut captures)?;
        let is_ok = matches!(ended.how, How::Exit(code) if self.is_ok(code));
        let error = if ended.was_told {
            context.check().err()
        } else {
            (!is_ok).then(|| failure(&ended, &captures[1]))
        };
        let asks = error.is_none() && self.options.then;
        let named = if asks { named::of(&captures[0]) } else { Ok(Vec::new()) };
        let Some(error) = error.or(named.as_ref().err().cloned()) else {
            record.push(b'{');
            put_ended(&ended, &captures, record);
            let report = self.put_named(input, named.unwrap_or_default(), record);
            record.push(b'}');
            return Ok(Done { report, ..Done::default() });
        };
        let mut more = b",".to_vec();
        put_ended(&ended, &captures, &mut more);
        let more = String::from_utf8(more).expect("JSON is text");
        Err(TaskError { more: Some(more.into()), ..error })
    }
}

impl Commands {
    /// Writes down which tasks a command named; what its source is told of them.
    fn put_named(&self, input: &Input, named: Vec<Value>, record: &mut Vec<u8>) -> Vec<u8> {
        if named.is_empty() {
            return Vec::new();
        }
        let named = Value::from(named);
        record.extend_from_slice(format!(",\"{}\":{named}", named::KEY).as_bytes());
        let mut of = Vec::new();
        self.write_input(input, &mut of);
        stream::report(&of, &named)
    }

    fn is_ok(&self, code: i32) -> bool {
        self.options.ok_exit.iter().any(|&ok| i32::from(ok) == code)
    }
}
