//! The addresses in a `srcset` (HTML standard, 4.8.4.2.1).

/// The addresses, without their descriptors; nothing is checked.
pub(super) fn addresses(srcset: &str) -> impl Iterator<Item = &str> {
    let mut rest = srcset;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (address, after) = rest.split_at(end);
        let bare = address.trim_end_matches(',');
        // A comma at its end ends the candidate; else it has descriptors.
        rest = if bare.len() < address.len() { after } else { after_descriptors(after) };
        (!bare.is_empty()).then_some(bare)
    })
}

/// What follows the comma that ends the descriptors: one outside of parentheses.
fn after_descriptors(text: &str) -> &str {
    let mut in_parentheses = false;
    let end = text.find(|c| {
        match c {
            '(' => in_parentheses = true,
            ')' => in_parentheses = false,
            _ => {}
        }
        c == ',' && !in_parentheses
    });
    end.map_or("", |end| &text[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_among_descriptors_and_commas() {
        for (srcset, expected) in [
            ("a", &["a"][..]),
            ("a 1x, b 2x", &["a", "b"]),
            ("a, b", &["a", "b"]),
            ("a,b 2x", &["a,b"]),
            ("a,, b", &["a", "b"]),
            (" ,, a 480w 20h ,\n\tb 800w,", &["a", "b"]),
            ("a (x, y) 1x, b", &["a", "b"]),
            ("a (x, y, b", &["a"]),
            ("data:,x 1x, b", &["data:,x", "b"]),
            ("/i?w=1,2 1x,/j", &["/i?w=1,2", "/j"]),
            ("", &[]),
            (" , ,", &[]),
        ] {
            assert_eq!(addresses(srcset).collect::<Vec<_>>(), expected, "{srcset}");
        }
    }
}
