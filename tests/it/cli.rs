//! The command line of the real binary, as far as no task runs: one message, one exit code.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A call of the binary, in a folder of its own that is gone at the end.
pub(crate) struct Call {
    folder: PathBuf,
    command: Command,
}

impl Call {
    #[track_caller]
    pub(crate) fn new(line: &str) -> Self {
        let at = std::panic::Location::caller();
        let name = format!(
            "rankpool-cli-{}-{}-{}",
            std::process::id(),
            at.file().replace(['/', '.'], "-"),
            at.line()
        );
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rankpool"));
        command.args(line.split_whitespace()).current_dir(&folder).stdin(Stdio::null());
        for rank in ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"] {
            command.env_remove(rank);
        }
        Self { folder, command }
    }

    pub(crate) fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.folder.join(name);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).expect("a folder can be made");
        fs::write(path, bytes).expect("a file can be written");
        self
    }

    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn output(&mut self) -> Output {
        self.command.output().expect("the binary starts")
    }

    /// Standard output of a call that succeeds and says nothing on standard error.
    #[track_caller]
    pub(crate) fn prints(mut self) -> String {
        let output = self.output();
        assert_eq!(text(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
        text(&output.stdout).to_owned()
    }

    /// Exit code 2, nothing on standard output and exactly this one line on standard error.
    #[track_caller]
    pub(crate) fn refuses(mut self, expected: &str) {
        let output = self.output();
        assert_eq!(text(&output.stderr), format!("rankpool: {expected}\n"));
        assert_eq!(text(&output.stdout), "");
        assert_eq!(output.status.code(), Some(2));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is UTF-8")
}

#[test]
fn help_lists_commands_and_examples() {
    let help = Call::new("--help").prints();
    for word in ["run", "check", "fib", "fetch", "info", "launch", "Examples:"] {
        assert!(help.contains(word), "{word} in:\n{help}");
    }
    for command in ["run", "check", "fib", "fetch", "info", "launch"] {
        let help = Call::new("help").arg(command).prints();
        assert!(help.contains("Examples:\n"), "{help}");
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{widest:?} in:\n{help}");
    }
}

#[test]
fn the_version_is_that_of_the_crate() {
    assert_eq!(
        Call::new("--version").prints(),
        concat!("rankpool ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn without_a_command_the_help_goes_to_standard_error() {
    let output = Call::new("").output();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    assert!(text(&output.stderr).contains("Usage: rankpool <COMMAND>"));
}

#[test]
fn usage_errors_are_one_line() {
    let see = "see `rankpool --help`";
    Call::new("chek j.toml").refuses(&format!(
        "unrecognized subcommand `chek`; a similar subcommand exists: `check`; {see}"
    ));
    Call::new("check")
        .refuses(&format!("the following required arguments were not provided: <JOB.toml>; {see}"));
    Call::new("check j.toml --threads 0").refuses(&format!(
        "invalid value `0` for `--threads <N>`: use a whole number from 1 to 4294967295; {see}"
    ));
    Call::new("check j.toml --io-threads -3").refuses(&format!(
        "invalid value `-3` for `--io-threads <N>`: use a whole number from 1 to 4294967295; {see}"
    ));
}

#[test]
fn a_usage_error_is_told_by_one_rank_of_a_launch() {
    for (rank, n_lines) in [("0", 1), ("1", 0)] {
        for line in ["check", "check missing.toml"] {
            let output = Call::new(line).env("OMPI_COMM_WORLD_RANK", rank).output();
            // A launcher ends the others as soon as one rank fails: it must be the one that tells.
            let code = if rank == "0" { 2 } else { 0 };
            assert_eq!(output.status.code(), Some(code), "{line} on {rank}");
            assert_eq!(text(&output.stderr).lines().count(), n_lines, "{line} on {rank}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_way_out() {
    Call::new("check j.toml")
        .refuses("j.toml: no such file; name a job file, such as `jobs/demo.toml`");
    Call::new("check dem.toml")
        .file("demo.toml", "")
        .refuses("dem.toml: no such file; did you mean `demo.toml`?");
    Call::new("check ..").refuses("..: is a folder; name one job file in it: `../JOB.toml`");
    Call::new("check j.toml")
        .file("j.toml", b"# \n# caf\xe9\n")
        .refuses("j.toml:2: not UTF-8; save the job file as UTF-8");
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_line_and_column() {
    let check = |text: &str, expected: &str| {
        Call::new("check j.toml").file("j.toml", text).refuses(&format!("j.toml:{expected}"));
    };
    check("\nthread = 2", "2:1: unknown key `thread`; did you mean `threads`?");
    check("root_computes = 1", "1:17: `root_computes` is integer `1`; use `true` or `false`");
    check("threads = ", "1:11: string values must be quoted, expected literal string");
}

#[test]
fn an_empty_job_checks_and_its_resolved_form_checks_alike() {
    let resolved = Call::new("check j.toml").file("j.toml", "# nothing\n").prints();
    assert!(resolved.starts_with("# ok: 0 tasks in 0 tables\noutput = \"/"), "{resolved}");
    assert!(resolved.contains("/j.results.jsonl\"\nordered = false\n"), "{resolved}");
    assert_eq!(Call::new("check again.toml").file("again.toml", &resolved).prints(), resolved);
}

#[test]
fn an_existing_results_file_stops_a_run_and_no_check() {
    let call = |line| Call::new(line).file("j.toml", "").file("j.results.jsonl", "old\n");
    call("check j.toml").prints();
    call("run j.toml").refuses(
        "results file `j.results.jsonl` exists; \
         `--overwrite` replaces it, `--resume` goes on with it, `--output FILE` writes elsewhere",
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut call = Call::new("check j.toml").file("j.toml", "");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = call.command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}
