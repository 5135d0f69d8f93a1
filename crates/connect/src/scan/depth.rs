//! How deep a text is nested, without parsing it where that is plain.

/// The most nesting that is read; what the parser itself takes for trees.
const DEEPEST: usize = 127;

/// Whether this JSON text, itself so deep in the body, reaches too deep.
///
/// A text with few opening brackets cannot be deep, and counting bytes is an order of magnitude
/// cheaper than parsing. Only a text with many is walked.
pub(super) fn too_deep(text: &str, above: usize) -> bool {
    above + openings(text.as_bytes()) > DEEPEST && above + depth(text.as_bytes()) > DEEPEST
}

fn openings(text: &[u8]) -> usize {
    // Chunks of 255 keep each sum in a byte, which lets the compiler use vectors of bytes.
    text.chunks(255)
        .map(|chunk| {
            let sum: u8 = chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum();
            usize::from(sum)
        })
        .sum()
}

/// The nesting of a well-formed JSON text.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut most): (usize, usize) = (0, 0);
    let mut in_string = false;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match (in_string, byte) {
            (true, b'\\') => {
                bytes.next();
            }
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                now += 1;
                most = most.max(now);
            }
            (false, b'}' | b']') => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_do_not_count() {
        assert_eq!(openings(b"[{\"a[\": {}}]"), 4);
        assert_eq!(depth(b"[{\"a[\\\"[\": {}}, [[]]]"), 3);
        let wide = format!("[{}]", vec!["[]"; 1000].join(","));
        assert!(!too_deep(&wide, 0) && openings(wide.as_bytes()) == 1001);
        let text = format!("\"{}\"", "[".repeat(1000));
        assert!(!too_deep(&text, 1));
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(!too_deep(&deep(127), 0) && too_deep(&deep(128), 0) && too_deep(&deep(127), 1));
    }
}
