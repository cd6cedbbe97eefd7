//! How long a term takes, so that the longest are handed out first.

use super::Value;
use crate::task::items::Cost;

/// Seconds for n = 10^0, 10^1, … with all digits or their summary, on one core of an ordinary
/// machine; from n = 60,000 on they are computed in decimal.
const WITH_DIGITS: &[f32] =
    &[1e-7, 1e-7, 1.5e-7, 1.1e-6, 1.3e-5, 2e-4, 1.9e-3, 0.02, 0.25, 2.9, 33.0];

/// The same without digits.
const WITHOUT_DIGITS: &[f32] =
    &[1e-7, 1e-7, 1e-7, 6e-7, 3.7e-6, 8e-5, 1.8e-3, 0.022, 0.35, 4.7, 60.0];

/// Seconds for a remainder, whatever its n: 57 steps at most.
const RESIDUE: f32 = 4e-7;

/// The cost of a table's terms.
pub(super) fn of(value: Option<Value>, modulus: Option<u64>) -> Cost {
    match (value, modulus) {
        (_, Some(_)) => Box::new(|_| RESIDUE),
        (Some(Value::None), None) => Box::new(|n| between(WITHOUT_DIGITS, n)),
        _ => Box::new(|n| between(WITH_DIGITS, n)),
    }
}

/// Seconds for n between the powers of ten that were measured: a straight line on
/// logarithmic scales.
fn between(measured: &[f32], n: u64) -> f32 {
    if n <= 100 {
        return measured[0];
    }
    #[allow(clippy::cast_possible_truncation, reason = "a cost is a rough figure")]
    let log = (n as f64).log10() as f32;
    let last = measured.len() - 2;
    let decade = (n.ilog10() as usize).min(last);
    let slope = measured[decade + 1] / measured[decade];
    measured[decade] * slope.powf(log - decade as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_terms_never_cost_less() {
        for measured in [WITH_DIGITS, WITHOUT_DIGITS] {
            let costs: Vec<_> = (0..=63).map(|bit| between(measured, 1 << bit)).collect();
            assert!(costs.is_sorted(), "{costs:?}");
            assert!(costs.iter().all(|cost| cost.is_finite() && *cost > 0.0));
        }
    }

    #[test]
    fn the_measured_terms_cost_what_was_measured() {
        let cost = of(None, None);
        assert!((cost(1_000_000) / 1.9e-3 - 1.0).abs() < 1e-3);
        assert!((cost(100_000_000) / 0.25 - 1.0).abs() < 1e-3);
        assert!(of(Some(Value::None), None)(1_000_000) < cost(1_000_000));
        assert!(of(None, Some(7))(1 << 63) < 1e-5);
    }
}
