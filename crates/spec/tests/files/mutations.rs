//! Files that were damaged at random: the checker never panics, always ends, and names a line that is there.

use velodrome_spec::Severity;

use crate::world::{World, files};

/// Mutations in a usual run; `VELODROME_MUTATIONS` asks for more.
const USUAL: u64 = 10_000;

#[test]
fn damaged_files_are_refused_with_a_place_or_are_good() {
    let count = std::env::var("VELODROME_MUTATIONS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(USUAL);
    let world = World::new();
    let texts: Vec<String> = files("good").into_iter().map(|(_, text)| text).collect();
    assert!(texts.len() > 3, "there are good files to damage");
    let mut refused = 0_u64;
    for seed in 0..count {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let at = random.below(texts.len());
        let mut text = texts[at].clone();
        for _ in 0..=random.below(3) {
            text = damage(&text, &texts, &mut random);
        }
        let checked = world.check("x.yaml", &text);
        let lines = text.split('\n').count() as u32;
        for found in &checked.diagnostics {
            let span = found.span;
            assert!(
                (1..=lines).contains(&span.line),
                "seed {seed}: {found:?}\n{text}"
            );
            assert!(
                text.get(span.start..span.end).is_some(),
                "seed {seed}: {found:?}\n{text}"
            );
            assert!(!found.message.is_empty(), "seed {seed}");
        }
        let error = checked
            .diagnostics
            .iter()
            .any(|found| found.severity == Severity::Error);
        assert_eq!(checked.plan.is_none(), error, "seed {seed}:\n{text}");
        refused += u64::from(error);
    }
    assert!(
        refused > count / 4,
        "only {refused} of {count} were refused: the damage is too mild"
    );
}

/// SplitMix64, enough to damage text the same way each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

const PIECES: &[&str] = &[
    "${",
    "}",
    "{",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    "#",
    " #",
    "&a ",
    "*a",
    "!!str ",
    "|",
    ">",
    "\"",
    "'",
    "\\",
    "\t",
    "\r\n",
    "\n",
    "%",
    "? ",
    "<<: ",
    "---\n",
    "...\n",
    "null",
    "é",
    "\u{feff}",
    "\u{2028}",
    "\0",
    "= 1",
    "${webhook.page}",
    "${a",
    "=",
];

fn damage(text: &str, texts: &[String], random: &mut Random) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = random.below(chars.len());
    let end = (at + 1 + random.below(8)).min(chars.len());
    let (before, after) = chars.split_at(at);
    let join = |parts: &[&[char]]| parts.concat().into_iter().collect::<String>();
    match random.below(7) {
        0 => join(&[before, &chars[end..]]),
        1 => {
            let piece: Vec<char> = PIECES[random.below(PIECES.len())].chars().collect();
            join(&[before, &piece, after])
        }
        2 => join(&[&chars[..end], &chars[at..]]),
        3 => {
            let other: Vec<char> = texts[random.below(texts.len())].chars().collect();
            let from = random.below(other.len());
            let to = (from + random.below(60)).min(other.len());
            join(&[before, &other[from..to], after])
        }
        4 => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            let line = random.below(lines.len());
            lines.remove(line);
            lines.join("\n")
        }
        5 => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            let (a, b) = (random.below(lines.len()), random.below(lines.len()));
            lines.swap(a, b);
            lines.join("\n")
        }
        _ => join(&[before]),
    }
}
