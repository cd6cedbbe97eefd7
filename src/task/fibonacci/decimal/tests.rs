//! Terms in decimal against GMP's, and what their sizes bring.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use proptest::prelude::*;
use rug::Integer;

use super::*;

fn term(n: u64) -> Decimal {
    Decimal::term(n, &|| Ok::<(), Infallible>(())).unwrap()
}

fn text(number: &Decimal) -> String {
    let mut text = b"x".to_vec();
    number.write(&mut text);
    assert_eq!(text.len(), 1 + number.n_digits());
    String::from_utf8(text.split_off(1)).unwrap()
}

fn gmp(n: u32) -> String {
    Integer::from(Integer::fibonacci(n)).to_string_radix(10)
}

#[test]
fn terms_are_those_of_gmp() {
    for n in (187..1500).chain([2999, 3000, 65_535, 65_536, 99_999, 100_000, 1_234_567]) {
        assert!(text(&term(n.into())) == gmp(n), "F({n})");
    }
}

#[test]
fn terms_of_threads_are_those_of_one() {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let one = pool(1).install(|| text(&term(3_000_001)));
    assert!(one == gmp(3_000_001));
    assert!(pool(3).install(|| text(&term(3_000_001))) == one);
}

#[test]
fn rounding_leaves_a_wide_margin() {
    for n in [1000, 100_000, 2_000_000] {
        let farthest = term(n).farthest();
        assert!(farthest < 0.01, "F({n}) is off by {farthest}");
    }
}

#[test]
fn limbs_of_four_digits_do_as_well() {
    let base = Base { n_digits: 4 };
    let n = 300_000;
    let mut pair = Pair::start(n >> 11, base);
    let mut room = Room::new(Plan::of(base.limbs_of_term(n)).len());
    for step in (1..11).rev() {
        pair.double(n >> step, &mut room, &|| Ok::<(), Infallible>(())).unwrap();
    }
    let number = pair.last(n, room, &|| Ok::<(), Infallible>(())).unwrap();
    assert!(text(&number) == gmp(300_000));
    assert_eq!(Base::of_term(100_000_000_000), base);
}

#[test]
fn every_check_can_end_it() {
    let n_checks = AtomicU32::new(0);
    let ends_after = |limit: u32| {
        n_checks.store(0, Relaxed);
        let check = || if n_checks.fetch_add(1, Relaxed) < limit { Ok(()) } else { Err(()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| Decimal::term(100_000, &check)).is_err()
    };
    assert!(!ends_after(u32::MAX));
    let all = n_checks.load(Relaxed);
    assert!(all >= 100, "only {all} checks");
    for limit in (0..all).step_by(7) {
        assert!(ends_after(limit));
        assert_eq!(n_checks.load(Relaxed), limit + 1);
    }
}

#[test]
fn lengths_are_hardly_more_than_needed() {
    let worst = Cell::new(0.0_f64);
    for n_limbs in (1..4000).chain((0..2000).map(|k| 5000 + 97_003 * k)) {
        let plan = plan::sides(n_limbs);
        let len = plan.0 * plan.1;
        assert!(len >= n_limbs);
        assert!([plan.0, plan.1].iter().all(|side| side.is_multiple_of(plan::SIDE)));
        if n_limbs > 4000 {
            worst.set(worst.get().max(len as f64 / n_limbs as f64));
        }
    }
    assert!(worst.get() < 1.13, "{}", worst.get());
}

proptest! {
    #[test]
    fn limbs_and_digits_are_the_same_number(number in any::<u128>(), zeros in 0..3_usize) {
        for n_digits in [4, 5] {
            let base = Base { n_digits };
            let mut limbs = limbs::of(number, base);
            prop_assert!(limbs.iter().all(|limb| limb.abs() <= base.value() / 2));
            limbs.splice(0..0, vec![0; zeros]);
            let expected = if number == 0 { String::new() } else {
                format!("{number}{}", "0".repeat(zeros * n_digits as usize))
            };
            prop_assert_eq!(text(&Decimal::of(limbs, base)), expected);
        }
    }
}
