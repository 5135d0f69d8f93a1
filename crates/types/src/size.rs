//! Sizes as people read them.

/// So many bytes as a log shows them: `512 B`, `41 kB`, `1.2 MB`.
pub fn format_bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{} kB", (count + 500) / 1_000),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let check = |count: u64, expect: &str| assert_eq!(format_bytes(count), expect);
        check(0, "0 B");
        check(999, "999 B");
        check(41_499, "41 kB");
        check(1_250_000, "1.2 MB");
    }
}
