//! The parts that are run for every task or every link, each by itself, on one core:
//! `cargo bench --bench parts`. How they work together is measured by `scripts/bench`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rankpool::message::{
    Outcomes, OutcomesBuilder, Span, Status, Task, Told, decode_chunk, encode_chunk,
};
use rankpool::schedule::{Schedule, View, hold};
use rankpool::task::{Done, Input};
use rankpool::web::frontier::{Found, Frontier, Settings};
use rankpool::web::links::{Wanted, page};
use rankpool::web::robots::Robots;
use url::Url;

/// Tasks in a chunk, outcomes in a message, links on a page, rules in a file.
const MANY: u32 = 1000;

fn schedule(c: &mut Criterion) {
    let view = View {
        threads: 8,
        all_threads: 64,
        task_seconds: Some(1e-3),
        remaining: Some(1_000_000),
        remaining_seconds: Some(1000.0),
    };
    c.bench_function("schedule: room and the next chunk", |b| {
        b.iter(|| (hold(black_box(&view)), Schedule::Auto.chunk(black_box(&view))));
    });
}

fn messages(c: &mut Criterion) {
    let task = |n| Task { input: Input::Number(n), ..Task::default() };
    let spans: Vec<Span> = (0..u64::from(MANY)).map(task).map(Span::from).collect();
    let payload = encode_chunk(7, spans.iter());
    let mut group = c.benchmark_group("messages");
    group.throughput(Throughput::Elements(MANY.into()));
    group.bench_function("encode a chunk", |b| b.iter(|| encode_chunk(7, spans.iter())));
    group.bench_function("decode a chunk", |b| b.iter(|| decode_chunk(black_box(&payload))));
    group.bench_function("encode outcomes", |b| b.iter(outcomes));
    let payload = outcomes();
    group.bench_function("decode outcomes", |b| b.iter(|| n_outcomes(black_box(&payload))));
    group.finish();
}

fn outcomes() -> Vec<u8> {
    let mut builder = OutcomesBuilder::new(7);
    for index in 0..MANY {
        builder.begin().extend_from_slice(&[b'x'; 200]);
        builder.end(index, Status::Ok, 1000, &Done::default());
    }
    builder.finish()
}

fn n_outcomes(payload: &[u8]) -> usize {
    let mut outcomes = Outcomes::decode(payload).expect("it was just encoded");
    let mut n = 0;
    while let Some(told) = outcomes.take().expect("it was just encoded") {
        n += usize::from(matches!(told, Told::One(_)));
    }
    n
}

fn links(c: &mut Criterion) {
    let link =
        |n| format!("<p>Some words, <a href=\"../a/{n}.html?x=1&amp;y=2\">a link</a>.</p>\n");
    let html: String = (0..MANY).map(link).collect();
    let url = Url::parse("http://h.example/b/c").expect("it is one");
    let mut group = c.benchmark_group("links");
    group.throughput(Throughput::Bytes(html.len() as u64));
    group.bench_function("read a page", |b| b.iter(|| page(&html, &url, &Wanted::default())));
    group.finish();
}

fn robots(c: &mut Criterion) {
    let rules: Vec<String> = (0..MANY).map(|n| format!("Disallow: /a*b{n}/*.php$\n")).collect();
    let file = format!("User-agent: *\n{}", rules.concat());
    let robots = Robots::parse(file.as_bytes(), "rankpool");
    let mut group = c.benchmark_group("robots");
    group.bench_function("read a file of 1,000 rules", |b| {
        b.iter(|| Robots::parse(black_box(file.as_bytes()), "rankpool"));
    });
    group.bench_function("decide by 1,000 rules", |b| {
        b.iter(|| robots.decide(black_box("/aaaaaaaab/x/y/z/index.html?q=1")));
    });
    group.finish();
}

fn frontier(c: &mut Criterion) {
    let mut frontier = Frontier::open(Settings::default(), None, None).expect("it has no file");
    let urls: Vec<String> =
        (0..1_000_000).map(|n| format!("http://h{}.example/a/{n}.html", n % 1000)).collect();
    let mut report = |idx: usize| {
        let found = Found { url: &urls[idx * 7919 % urls.len()], ..Found::default() };
        frontier.found(&found, None, 0).expect("its journal can be written")
    };
    let mut next = 0;
    c.bench_function("frontier: a link that is reported, soon known", |b| {
        b.iter(|| {
            next += 1;
            report(next)
        });
    });
}

criterion_group!(parts, schedule, messages, links, robots, frontier);
criterion_main!(parts);
