//! Statistics and inventories as text for people.
//!
//! **Invariant:** formats and nothing else; whoever calls prints.

mod info;
mod summary;

pub use info::{info, info_json};
pub use summary::{interim, summary};

/// Lays out rows as columns: the last one to the left, the others to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let (last, others) = cells.split_last().expect("a table has columns");
        let others = others.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$} | "));
        format!(" {}{last}\n", others.collect::<String>())
    };
    let rows = rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    line(header) + &rows.collect::<String>()
}

/// Seconds in the unit that fits: `12.3 us`, `4.56 ms`, `7.89 s`, `12 min 3 s`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.2} s"),
        s if s < 7200.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), s % 3600.0 / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(duration(0.000_000_4), "400 ns");
        assert_eq!(duration(0.0123), "12.30 ms");
        assert_eq!(duration(754.0), "12 min 34 s");
        assert_eq!(duration(7260.0), "2 h 1 min");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["1".into(), "a".into()], vec!["22".into(), "bb".into()]];
        assert_eq!(table(&["n", "who"], &rows), "  n | who\n  1 | a\n 22 | bb\n");
    }
}
