//! Durations to the millisecond, as a test file can say them.

use std::time::Duration;

/// `120 ms`, `2.12 s`, `30 d`, `1 h 30 m 5 s`.
pub fn exact(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    if millis < 60_000 {
        let fraction = format!("{:03}", millis % 1_000);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        return format!("{}{point}{fraction} s", millis / 1_000);
    }
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut left = millis;
    let mut parts = Vec::new();
    for (unit, each) in units {
        if left >= each {
            parts.push(format!("{} {unit}", left / each));
            left %= each;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_rounded() {
        let check = |millis, expect: &str| {
            assert_eq!(exact(Duration::from_millis(millis)), expect);
        };
        check(0, "0 ms");
        check(999, "999 ms");
        check(2_000, "2 s");
        check(2_120, "2.12 s");
        check(59_999, "59.999 s");
        check(60_000, "1 m");
        check(5_405_000, "1 h 30 m 5 s");
        check(30 * 86_400_000 + 120, "30 d 120 ms");
    }
}
