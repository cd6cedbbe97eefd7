//! What a term needs of memory, told before it is tried: the process ends when an allocation
//! fails.

use super::{FIRST_IN_DECIMAL, Value, decimal, term};

/// Peak of the doubling over the term's own size; measured from n = 10^7 to 3 * 10^9: 4.5 to
/// 5.7, for GMP's multiplication works on several copies.
const DOUBLING: f64 = 7.0;

/// Peak with the conversion to decimal digits by GMP, and the digits in a string and a record;
/// measured from n = 10^4 to 10^9: 7.0 to 8.4.
const WITH_DIGITS: f64 = 10.0;

/// Peak of the computation in decimal, in bytes for each limb of the term: two transforms of 8
/// bytes, and limbs of 4 for what they are made of; measured from n = 10^8 to 10^9: 21
/// to 24.3.
const LIMB: f64 = 25.0;

/// Largest integer that GMP knows, in bytes: its sizes are 31-bit counts of 64-bit limbs. A
/// little is left for its own roundings.
const GMP_LARGEST: f64 = (((1_u64 << 31) - 64) * 8) as f64;

/// Bytes that the computation of F(n) needs at its peak, a cautious estimate.
fn needed(n: u64, value: Value) -> f64 {
    match value {
        Value::None => term::bits(n) / 8.0 * DOUBLING,
        _ if n < FIRST_IN_DECIMAL => term::bits(n) / 8.0 * WITH_DIGITS,
        _ => term::digits(n) / f64::from(decimal::limb_digits(n)) * LIMB,
    }
}

/// The same in whole bytes; nothing for a term of machine words.
pub(super) fn footprint(n: u64, value: Value) -> u64 {
    if n <= term::LAST_SMALL {
        return 0;
    }
    #[allow(clippy::cast_possible_truncation, reason = "a cast of floats ends at the limits")]
    #[allow(clippy::cast_sign_loss, reason = "a number of bytes has no sign")]
    let bytes = needed(n, value).ceil() as u64;
    bytes
}

/// Refuses a term that would not fit into `memory` bytes; says why.
pub(super) fn check(n: u64, value: Value, memory: u64) -> Result<(), String> {
    let needed = needed(n, value);
    let digits = term::digits(n);
    let needs = || {
        format!(
            "F({n}) needs about {} ({digits:.0} digits and what computing them takes)",
            bytes(needed)
        )
    };
    if value == Value::None && term::bits(n) / 8.0 > GMP_LARGEST {
        let largest = bytes(GMP_LARGEST);
        return Err(format!(
            "{}, but integers here end at {largest}: ask for digits or `modulus`",
            needs()
        ));
    }
    if needed > memory as f64 {
        let memory = bytes(memory as f64);
        let way_out = "raise `memory` or ask for `modulus`";
        return Err(format!("{}; this rank may use {memory}: {way_out}", needs()));
    }
    Ok(())
}

/// A number of bytes for people: `868 GB`.
fn bytes(bytes: f64) -> String {
    let mut amount = bytes;
    let mut unit = "B";
    for larger in ["KB", "MB", "GB", "TB", "PB", "EB"] {
        if amount < 999.5 {
            break;
        }
        (amount, unit) = (amount / 1000.0, larger);
    }
    if amount < 9.95 && unit != "B" {
        format!("{amount:.1} {unit}")
    } else {
        format!("{amount:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_tried() {
        assert_eq!(check(1_000_000, Value::Full, 1_100_000), Ok(()));
        // Without decimal digits less is needed.
        check(1_000_000, Value::Full, 800_000).unwrap_err();
        assert_eq!(check(1_000_000, Value::None, 800_000), Ok(()));
        assert_eq!(check(10_000_000_000, Value::Full, 13_100_000_000), Ok(()));
        assert_eq!(check(50_000, Value::Full, 50_000), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_way_out() {
        assert_eq!(
            check(100_000_000_000, Value::Summary, 12_000_000_000).unwrap_err(),
            "F(100000000000) needs about 131 GB (20898764025 digits and what computing them \
             takes); this rank may use 12 GB: raise `memory` or ask for `modulus`"
        );
    }

    #[test]
    fn nothing_overflows_up_to_the_largest_index() {
        assert_eq!(
            check(1 << 63, Value::None, u64::MAX).unwrap_err(),
            "F(9223372036854775808) needs about 5.6 EB (1927570757129919488 digits and what \
             computing them takes), but integers here end at 17 GB: ask for digits or `modulus`"
        );
        check(1 << 63, Value::Full, 0).unwrap_err();
    }

    #[test]
    fn bytes_are_rounded() {
        for (n, expected) in [(0.0, "0 B"), (999.4, "999 B"), (999.6, "1.0 KB"), (12e9, "12 GB")] {
            assert_eq!(bytes(n), expected);
        }
        assert_eq!(bytes(9.96e18), "10 EB");
    }
}
