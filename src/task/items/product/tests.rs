//! Combinations, as a list of their values.

use std::path::PathBuf;

use super::*;

fn texts(values: &str) -> Column {
    Column::Texts(values.split(' ').filter(|value| !value.is_empty()).map(str::to_owned).collect())
}

fn lists(columns: Vec<(Column, bool)>) -> Vec<List> {
    columns.into_iter().map(|(column, linked)| List { column, linked }).collect()
}

fn all(columns: Vec<(Column, bool)>) -> Vec<Combination> {
    let mut product = Product::new(lists(columns)).unwrap();
    let mut found = Vec::new();
    let count = product.remaining();
    while let Poll::Ready(Some(next)) = product.poll().unwrap() {
        found.push(next);
        assert_eq!(product.remaining(), count.map(|count| count - found.len() as u64));
    }
    found
}

#[track_caller]
fn check(columns: Vec<(Column, bool)>, expected: &str) {
    let rows: Vec<String> =
        all(columns).into_iter().map(|row| row.values.unwrap().join("-")).collect();
    assert_eq!(rows.join(" "), expected);
}

#[test]
fn the_last_list_varies_fastest_and_linked_ones_go_side_by_side() {
    let range = |text| Column::Range(NumberRange::parse(text).unwrap());
    check(vec![(texts("a b c"), false)], "a b c");
    check(vec![(texts("a b"), false), (texts("x y"), false)], "a-x a-y b-x b-y");
    check(
        vec![(texts("a b c"), false), (texts("1 2"), true), (texts("x y"), false)],
        "a-1-x a-1-y b-2-x b-2-y",
    );
    check(vec![(range("8..=10"), false), (range("0..=100:50"), true)], "8-0 9-50 10-100");
    check(vec![(texts("x"), false), (range("1..=2"), false)], "x-1 x-2");
    check(vec![(texts("a b"), false), (texts(""), false)], "");
    check(vec![(texts(""), false), (texts("a b"), false)], "");
    assert_eq!(all(Vec::new()), [Combination { values: Ok(Vec::new()), earlier: 0 }]);
}

#[test]
fn a_huge_product_starts_at_once() {
    let range = || (Column::Range(NumberRange::parse("0..100_000").unwrap()), false);
    let mut product = Product::new(lists(vec![range(), range(), range()])).unwrap();
    assert_eq!(product.remaining(), Some(1_000_000_000_000_000));
    for _ in 0..100_001 {
        assert!(product.poll().unwrap().is_ready());
    }
    let Poll::Ready(Some(next)) = product.poll().unwrap() else { panic!("there are more") };
    assert_eq!(next.values.unwrap(), ["0", "1", "1"]);
    assert_eq!(product.remaining(), Some(1_000_000_000_000_000 - 100_002));
}

#[test]
fn equal_combinations_are_counted_as_if_they_were_remembered() {
    let columns = vec![(texts("a b a"), false), (texts("x x y"), false), (texts("1 1"), false)];
    let (mut seen, mut n_repeated) = (Seen::default(), 0);
    for row in all(columns) {
        assert_eq!(row.earlier, seen.text(&row.values.unwrap().join("-")));
        n_repeated += u32::from(row.earlier > 0);
    }
    assert_eq!(n_repeated, 14, "18 combinations of four values");
}

/// A file of this test.
struct File(PathBuf);

fn file(name: &str, text: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("rp-product-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    File(path)
}

impl File {
    fn lines(&self) -> Column {
        Column::Lines(self.0.clone())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn lines_of_files_are_taken_as_they_stand() {
    let file_of_lines = file("lines", b" a b \n\n# c\na\n");
    let lines = || file_of_lines.lines();
    check(vec![(lines(), false), (texts("1 2"), false)], " a b -1  a b -2 # c-1 # c-2 a-1 a-2");
    check(vec![(texts("1"), false), (lines(), false)], "1- a b  1-# c 1-a");
    check(vec![(lines(), false), (texts("1 2"), true)], " a b -1 # c-2");
    check(vec![(texts("1 2"), false), (lines(), true)], "1- a b  2-# c");
    let repeated = file("repeated", b"a\nb\na\n");
    let rows = all(vec![(repeated.lines(), false), (texts("1 1"), false)]);
    let earlier: Vec<u32> = rows.iter().map(|row| row.earlier).collect();
    assert_eq!(earlier, [0, 1, 0, 1, 2, 3]);
}

#[test]
fn what_cannot_be_an_argument_is_refused_before_the_run() {
    for (bytes, expected) in [
        (&b"a\n\xff\n"[..], ":2: the line is not valid UTF-8"),
        (b"a\0b\n", ":1: the line has a zero byte"),
    ] {
        let bad = file("bad", bytes);
        for first in [vec![], vec![(texts("1"), false)]] {
            let columns = [first, vec![(bad.lines(), false)]].concat();
            let error = format!("{:#}", Product::new(lists(columns)).err().unwrap());
            assert!(error.ends_with(expected), "{error}");
        }
    }
    let second = vec![(texts("1"), false), (Column::Lines("-".into()), false)];
    let error = Product::new(lists(second)).err().unwrap().to_string();
    assert!(error.starts_with("only the first list can be a stream"), "{error}");
}
