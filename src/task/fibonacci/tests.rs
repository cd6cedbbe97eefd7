//! Whole tables of terms, and the terms against their recurrence.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use rug::Integer;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::task::items::SeenByContent;
use crate::task::{Item, Next};

const CONTEXT: Context<'_> = Context::new(1 << 30);

fn plan_in(table: &str, seen: &mut SeenByContent) -> Result<Plan> {
    let mut context = PlanContext { folder: Path::new("jobs"), seen };
    Fibonacci.plan(table.parse().unwrap(), &mut context)
}

fn plan(table: &str) -> Plan {
    plan_in(table, &mut SeenByContent::default()).unwrap()
}

fn error(table: &str) -> String {
    match plan_in(table, &mut SeenByContent::default()) {
        Ok(_) => panic!("`{table}` is taken"),
        Err(error) => format!("{error:#}"),
    }
}

fn items(plan: &mut Plan) -> Vec<Item> {
    std::iter::from_fn(|| match plan.source.next(Duration::ZERO).unwrap() {
        Next::Task(item) => Some(item),
        Next::Waiting | Next::Failed(..) => panic!("nobody is waited for"),
        Next::Exhausted => None,
    })
    .collect()
}

/// Inputs and outputs of a whole table.
fn run(table: &str) -> Vec<(String, String)> {
    let mut plan = plan(table);
    let work = Fibonacci.work(&plan.options).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = |item: Item| {
        let (mut input, mut output) = (Vec::new(), Vec::new());
        work.write_input(&item.input, &mut input);
        work.run(&item.input, &CONTEXT, &mut output).unwrap();
        (text(input), text(output))
    };
    items(&mut plan).into_iter().map(run).collect()
}

fn large(n: u64) -> Integer {
    term::large(n, || Ok::<(), Infallible>(())).unwrap()
}

fn output(table: &str) -> serde_json::Value {
    serde_json::from_str(&run(table)[0].1).unwrap()
}

fn failure(table: &str, input: &Input) -> TaskError {
    let work = Fibonacci.work(&plan(table).options).unwrap();
    work.run(input, &CONTEXT, &mut Vec::new()).unwrap_err()
}

#[test]
fn the_example_gives_its_terms() {
    let records = run("n = [4, 3, 8, 6, 10]");
    let values = ["3", "2", "21", "8", "55"];
    for ((_, output), value) in records.iter().zip(values) {
        let digits = value.len();
        assert_eq!(*output, format!("{{\"value\":\"{value}\",\"digits\":{digits}}}"));
    }
    let inputs: Vec<_> = records.iter().map(|(input, _)| input.as_str()).collect();
    assert_eq!(inputs, [r#"{"n":4}"#, r#"{"n":3}"#, r#"{"n":8}"#, r#"{"n":6}"#, r#"{"n":10}"#]);
}

#[test]
fn terms_follow_the_recurrence() {
    let (mut at, mut next) = (Integer::from(0), Integer::from(1));
    for n in 0..=2000 {
        assert_eq!(large(n), at, "F({n}) by doubling");
        if n <= term::LAST_SMALL {
            assert_eq!(term::small(n).map(Integer::from), Some(at.clone()), "F({n}) by table");
        } else {
            assert_eq!(term::small(n), None);
        }
        at += &next;
        std::mem::swap(&mut at, &mut next);
    }
}

#[test]
fn records_follow_the_recurrence() {
    let (mut at, mut next) = (Integer::from(0), Integer::from(1));
    for (n, (_, output)) in run("n = \"0..=300\"").into_iter().enumerate() {
        let value = at.to_string();
        let digits = value.len();
        let expected = format!("{{\"value\":\"{value}\",\"digits\":{digits}}}");
        assert_eq!(output, expected, "F({n})");
        at += &next;
        std::mem::swap(&mut at, &mut next);
    }
}

#[test]
fn large_terms_double() {
    for n in [50_000, 500_000, 499_999] {
        let (at, next) = (large(n), large(n + 1));
        assert_eq!(large(2 * n), at.clone() * (next * 2 - at), "F(2 * {n})");
    }
    assert_eq!(large(1_000_000), Integer::from(Integer::fibonacci(1_000_000)));
}

#[test]
fn estimates_are_those_of_the_terms() {
    for n in [0, 1, 2, 10, 186, 1000, 99_999, 1_000_000] {
        let term = large(n);
        let bits = term.significant_digits::<bool>() as f64;
        assert!((term::bits(n) - bits).abs() <= 1.0, "bits of F({n})");
        let digits = term.to_string().len() as f64;
        assert!((term::digits(n) - digits).abs() <= 1.0, "digits of F({n})");
    }
}

#[test]
fn remainders_are_those_of_the_whole_terms() {
    for m in [1, 2, 7, 10, 1_000_000_007, 1 << 32, u64::MAX] {
        for n in (0..400).chain([1000, 12_345]) {
            let expected = large(n) % m;
            assert_eq!(expected, residue::of(n, m), "F({n}) mod {m}");
        }
    }
}

#[test]
fn remainders_reach_the_largest_index() {
    // Pisano periods: 60 for 10, 16 for 7; 2^63 is 8 mod 60 and 0 mod 16.
    assert_eq!(residue::of(1 << 63, 10), 21 % 10);
    assert_eq!(residue::of(1 << 63, 7), 0);
    let table = "n = \"9223372036854775808\"\nmodulus = \"18446744073709551615\"";
    let (input, output) = run(table).remove(0);
    let expected = r#"{"n":"9223372036854775808","modulus":"18446744073709551615"}"#;
    assert_eq!(input, expected);
    let residue = residue::of(1 << 63, u64::MAX);
    // F(2k) = F(k) (2 F(k+1) - F(k)), with k = 2^62.
    let (at, next) = (residue::of(1 << 62, u64::MAX), residue::of((1 << 62) + 1, u64::MAX));
    let twice_next = Integer::from(next) * 2;
    let product: Integer = (twice_next - at) * at;
    assert_eq!(product.modulo(&Integer::from(u64::MAX)), residue);
    assert_eq!(output, format!("{{\"residue\":\"{residue}\"}}"));
    assert_eq!(
        run("n = 10\nmodulus = 7")[0],
        (r#"{"n":10,"modulus":7}"#.into(), r#"{"residue":6}"#.into())
    );
}

#[test]
fn terms_that_come_again_are_the_same() {
    for value in ["full", "summary", "none"] {
        let once = run(&format!("n = \"0..=1001\"\nvalue = \"{value}\""));
        let twice = run(&format!("n = [\"0..=1001\", \"0..=1001\"]\nvalue = \"{value}\""));
        assert!(twice == [&once[..], &once[..]].concat());
    }
}

#[test]
fn a_summary_agrees_with_the_whole_term() {
    for n in [0, 1, 93, 94, 95, 100, 186, 187, 1000, 1001, 59_999, 60_000, 123_456] {
        let full = output(&format!("n = {n}\nvalue = \"full\""));
        let summary = output(&format!("n = {n}\nvalue = \"summary\""));
        let value = full["value"].as_str().unwrap();
        assert_eq!(full["digits"], value.len());
        assert_eq!(summary["digits"], value.len());
        assert_eq!(summary["first"], value[..value.len().min(20)]);
        assert_eq!(summary["last"], value[value.len().saturating_sub(20)..]);
        assert_eq!(summary["digest"], format!("xxh3:{:032x}", xxh3_128(value.as_bytes())));
        let none = output(&format!("n = {n}\nvalue = \"none\""));
        let bits = value.parse::<Integer>().unwrap().significant_digits::<bool>();
        assert_eq!(none, serde_json::json!({ "bits": bits }), "F({n})");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_tried() {
    let error = failure("n = 1\nvalue = \"none\"", &Input::Number(1_000_000_000_000));
    assert_eq!(error.class, ErrorClass::Memory);
    assert_eq!(
        error.message,
        "F(1000000000000) needs about 607 GB (208987640250 digits and what computing them takes), \
         but integers here end at 17 GB: ask for digits or `modulus`"
    );
    let error = failure("n = 1", &Input::Number(2_000_000_000));
    assert_eq!(
        error.message,
        "F(2000000000) needs about 2.1 GB (417975281 digits and what computing them takes); \
         this rank may use 1.1 GB: raise `memory` or ask for `modulus`"
    );
    failure("n = 1\nvalue = \"none\"", &Input::Number(1 << 63));
}

#[test]
fn a_bad_line_fails_and_says_why() {
    let line = Input::Text("3: -7".into());
    let error = failure("n = 1", &line);
    assert_eq!(error.class, ErrorClass::InvalidInput);
    assert_eq!(error.message, "line 3: `-7` is negative; terms are numbered from 0");
    let mut input = Vec::new();
    Fibonacci.work(&plan("n = 1").options).unwrap().write_input(&line, &mut input);
    assert_eq!(String::from_utf8(input).unwrap(), r#"{"line":"3: -7"}"#);
}

#[test]
fn small_jobs_gather_whole_terms_and_large_ones_summaries() {
    for (table, value) in [
        ("n = []", "full"),
        ("n = \"1..=1000\"", "full"),
        ("n = \"0..=1000\"", "summary"),
        ("n = 100000", "full"),
        ("n = 100001", "summary"),
        ("n = 100001\nvalue = \"full\"", "full"),
        ("n_from = \"-\"", "summary"),
    ] {
        let plan = plan(table);
        assert_eq!(plan.resolved["value"].as_str(), Some(value), "{table}");
        assert_eq!(plan.options, format!("{{\"value\":\"{value}\",\"modulus\":null}}"));
        assert_eq!(plan.pool, Pool::Cpu);
    }
}

#[test]
fn a_resolved_table_is_again_a_table() {
    for table in ["n = [1, \"2..5\"]", "n = 3\nmodulus = 7\nvalue = \"none\""] {
        let first = plan(table);
        let again = plan(&first.resolved.to_string());
        assert_eq!((again.resolved, again.options), (first.resolved, first.options));
    }
    assert_eq!(plan("n = 3\nmodulus = 7").resolved.get("value"), None);
}

#[test]
fn bad_tables_are_refused() {
    let range = "use a whole number from 1 to 18446744073709551615 (2^64 - 1)";
    for (table, expected) in [
        ("n = 1\nmodulus = 0", format!("`modulus` is `0`; {range}")),
        ("n = 1\nmodulus = -7", format!("`modulus` is `-7`; {range}")),
        ("n = 1\nmodulus = \"x\"", format!("`modulus` is `x`; {range}")),
        ("n = 1\nmodulus = 1.5", format!("`modulus` is `1.5`; {range}")),
        ("n = [1, \"x\"]", "n[1]: `x` is not an integer; write `5`, `1..=1000` or `0..=100:5`".into()),
        ("n_from = \"none\"", "cannot read `jobs/none`: No such file or directory (os error 2)".into()),
        (
            "",
            "no `n`; add a number, a range such as `\"1..=1000\"`, a list of these, or `n_from`, a file"
                .into(),
        ),
    ] {
        assert_eq!(error(table), expected, "{table}");
    }
    assert!(error("m = 1").starts_with("unknown field `m`, expected one of `n`, `n_from`"));
    assert!(error("n = 1\nvalue = \"all\"").starts_with("unknown variant `all`"));
}

#[test]
fn a_term_with_another_modulus_is_another_task() {
    let mut seen = SeenByContent::default();
    let mut occurrence = |table| {
        let mut plan = plan_in(table, &mut seen).unwrap();
        items(&mut plan).iter().map(|item| item.occurrence).collect::<Vec<_>>()
    };
    assert_eq!(occurrence("n = [5, 5]"), [0, 1]);
    assert_eq!(occurrence("n = 5\nmodulus = 7"), [0]);
    assert_eq!(occurrence("n = 5\nvalue = \"none\""), [2]);
    assert_eq!(occurrence("n = 5\nmodulus = 7"), [1]);
}

fn described(input: &str, output: &str) -> String {
    let record =
        format!(r#"{{"input":{input},"output":{output},"rank":1,"pid":4242,"host":"h1"}}"#);
    Fibonacci.describe(&serde_json::from_str(&record).unwrap())
}

#[test]
fn records_are_described() {
    let line = |n: &str, result: &str| {
        format!(
            "for input {n}, the fibonacci calculated by rank 1 pid 4242 on host h1 was {result}"
        )
    };
    assert_eq!(described(r#"{"n":10}"#, r#"{"value":"55","digits":2}"#), line("10", "55"));
    assert_eq!(described(r#"{"n":0}"#, r#"{"digits":1,"first":"0","last":"0"}"#), line("0", "0"));
    assert_eq!(
        described(r#"{"n":1000}"#, r#"{"bits":12345}"#),
        line("1000", "a number of 12,345 bits")
    );
    assert_eq!(
        described(
            r#"{"n":"9223372036854775808","modulus":"18446744073709551615"}"#,
            r#"{"residue":"7"}"#
        ),
        "for input 9223372036854775808, the fibonacci modulo 18446744073709551615 calculated by \
         rank 1 pid 4242 on host h1 was 7"
    );
    let (_, whole) = run("n = 1000\nvalue = \"full\"").remove(0);
    let (_, summary) = run("n = 1000\nvalue = \"summary\"").remove(0);
    let expected = line("1000", "4346655768…6849228875 (209 digits)");
    assert_eq!(described(r#"{"n":1000}"#, &whole), expected);
    assert_eq!(described(r#"{"n":1000}"#, &summary), expected);
    let long =
        r#"{"digits":20898764,"first":"47371034730000000000","last":"00000000007760546875"}"#;
    let expected = line("100000000", "4737103473…7760546875 (20,898,764 digits)");
    assert_eq!(described(r#"{"n":100000000}"#, long), expected);
}
