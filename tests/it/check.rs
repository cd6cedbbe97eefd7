//! `rankpool check` with the real kinds: what it prints can be checked again, what is wrong is
//! named.

use crate::cli::Call;

const JOB: &str = "schedule = 'guided'\nstats = 'stats.json'\n\
    [[task]]\nkind = 'fibonacci'\nn = [4, 3, '1..=1000']\nvalue = 'summary'\n\
    [[task]]\nkind = 'fetch'\nbase = 'http://localhost:8000/'\nurls = ['a.html', 'b.html']\n\
    extract = { title = '<title>(.*?)</title>' }\n";

fn check(flags: &str) -> Call {
    Call::new(&format!("check j.toml {flags}")).file("j.toml", JOB)
}

/// A job of one table with these lines is refused with this text behind the table's place.
#[track_caller]
fn refuses(lines: &str, expected: &str) {
    let text = format!("[[task]]\nkind = 'fetch'\nurls = ['http://h/']\n[[task]]\n{lines}\n");
    let mut call = Call::new("check j.toml").file("j.toml", text);
    let output = call.output();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{error}");
    assert!(error.starts_with("rankpool: j.toml: [[task]] 2: "), "{error}");
    assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
}

#[test]
fn a_job_is_counted_and_printed_with_its_defaults() {
    let resolved = check("").prints();
    assert!(resolved.starts_with("# ok: 1,004 tasks in 2 tables\n"), "{resolved}");
    for line in ["schedule = \"guided,1\"", "io_threads = 64", "kind = \"fetch\"", "links = 3"] {
        assert!(resolved.contains(&format!("\n{line}\n")), "{line} in:\n{resolved}");
    }
}

#[test]
fn what_check_prints_checks_to_the_same_text() {
    for flags in ["", "--value none --modulus 97", "--memory 3GiB --threads 2 --ordered"] {
        let resolved = check(flags).prints();
        assert_eq!(Call::new("check k.toml").file("k.toml", &resolved).prints(), resolved);
    }
}

#[test]
fn overrides_reach_the_tables() {
    for (flags, line) in [
        ("--base http://127.0.0.1:1/x/", "base = \"http://127.0.0.1:1/x/\""),
        ("--value none", "value = \"none\""),
        ("--modulus 7", "modulus = 7"),
    ] {
        let resolved = check(flags).prints();
        assert!(resolved.contains(&format!("\n{line}\n")), "{line} in:\n{resolved}");
    }
    let resolved = check("--urls-from u.txt").file("u.txt", "a\nb\nc\n").prints();
    assert!(resolved.starts_with("# ok: 1,005 tasks in 2 tables\n"), "{resolved}");
    assert!(resolved.contains("urls_from = \"/"), "{resolved}");
    let resolved = check("--urls-from -").prints();
    assert!(resolved.starts_with("# ok: at least 1,002 tasks in 2 tables\n"), "{resolved}");
}

#[test]
fn paths_in_a_job_file_start_at_its_folder() {
    let job = "[[task]]\nkind = 'fetch'\nurls_from = 'urls.txt'\n";
    let call = Call::new("check sub/j.toml");
    let resolved = call.file("sub/j.toml", job).file("sub/urls.txt", "http://h/\n").prints();
    assert!(resolved.starts_with("# ok: 1 task in 1 table\n"), "{resolved}");
    assert!(resolved.contains("/sub/urls.txt\"\n"), "{resolved}");
}

#[test]
fn errors_in_tables_name_the_table_the_key_and_the_way_out() {
    refuses("kind = 'fetch'\nurl = 'http://h/'", "unknown key `url`; did you mean `urls`?");
    refuses(
        "kind = 'fibonacci'\nmodulos = 3\nn = 3",
        "unknown key `modulos`; did you mean `modulus`?",
    );
    refuses("kind = 'fibonacci'\nn = -4", "`-4` is negative");
    refuses("kind = 'fibonacci'\nn = 4\nvalue = 'ful'", "did you mean `full`?");
    refuses("kind = 'fibonaci'", "unknown kind `fibonaci`; did you mean `fibonacci`? there are ");
    refuses("kind = 'fetch'\nurls = ['http://h/']\nextract = { x = 'a(b' }", "unclosed group");
    refuses("kind = 'fetch'\nurls = ['http://h/']\nlinks = -1", "`links`");
    refuses(
        "kind = 'fibonacci'\nn = 4\nthreads = 2",
        "`threads` is a key of the whole job: put it above the first `[[task]]`",
    );
}

#[test]
fn terms_that_are_no_terms_are_refused_before_anything_runs() {
    for (line, expected) in [
        ("fib -5", "`-5` is negative"),
        ("fib 3 1..=-5", "`-5` is negative"),
        ("fib -5..=3", "`-5…` is negative"),
        ("fib 4 3.5", "`3.5` is not an integer"),
        ("fib four", "`four` is not an integer"),
        ("fib 4 --modulus 0", "modulus"),
        ("fetch localhost:8000/a", "only http and https"),
        ("fetch http://h/ --timeout 30", "`30` is no span of time"),
        ("fetch http://h/ --max-body 10M", "`10M` is no size"),
    ] {
        let output = Call::new(line).output();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line}: {error}");
        assert!(error.starts_with("rankpool: ") && error.contains(expected), "{line}: {error}");
        assert_eq!(error.lines().count(), 1, "{line}: {error}");
    }
}

#[test]
fn standard_input_goes_to_one_table() {
    let job =
        "[[task]]\nkind = 'fetch'\nurls_from = '-'\n[[task]]\nkind = 'fibonacci'\nn_from = '-'\n";
    Call::new("check j.toml")
        .file("j.toml", job)
        .refuses("two tables read standard input (`-`); give one of them a file");
}
