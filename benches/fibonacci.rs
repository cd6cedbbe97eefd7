//! What the kind `fibonacci` takes for a task, apart from handing it out: prints a line for each
//! sort of term with its name and the seconds a task took, on one core. Run by `cargo bench`, and
//! by `scripts/bench fib`, which compares.

#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use rankpool::task::{Context, Input, Kind as _, Work, fibonacci::Fibonacci};

/// Each figure is the best of so many, for a core that others use now and then …
const ROUNDS: usize = 20;
/// … and so long.
const ROUND: Duration = Duration::from_millis(50);

fn main() {
    small("small terms, summary", "summary");
    small("small terms, full", "full");
    for (name, modulus) in
        [("odd modulus at 2^63", u64::MAX - 58), ("even modulus at 2^63", 1 << 63 | 6)]
    {
        let work = work(&format!(r#"{{"value":"full","modulus":{modulus}}}"#));
        report(name, work.as_ref(), |_| 1 << 63);
    }
}

/// Terms up to F(1000), in no order.
fn small(name: &str, value: &str) {
    let work = work(&format!(r#"{{"value":"{value}","modulus":null}}"#));
    report(name, work.as_ref(), |idx| idx * 7919 % 1001);
}

fn work(options: &str) -> Box<dyn Work> {
    Fibonacci.work(options).expect("the options are right")
}

fn report(name: &str, work: &dyn Work, n_of: impl Fn(u64) -> u64) {
    let context = Context::new(1 << 30);
    let mut record = Vec::new();
    let mut run = |idx| {
        record.clear();
        let input = Input::Number(n_of(black_box(idx)));
        work.run(&input, &context, &mut record).expect("small terms do not fail");
        black_box(&record);
    };
    let best = (0..ROUNDS).map(|_| round(&mut run)).fold(f64::INFINITY, f64::min);
    println!("{name}: {best:e}");
}

/// Seconds for each of the tasks of a round.
#[allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn round(run: &mut impl FnMut(u64)) -> f64 {
    let (start, mut n_run) = (Instant::now(), 0);
    while start.elapsed() < ROUND {
        for idx in n_run..n_run + 1000 {
            run(idx);
        }
        n_run += 1000;
    }
    start.elapsed().as_secs_f64() / n_run as f64
}
