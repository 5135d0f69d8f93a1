//! `docs/comparisons.md`: what each comparison says of each pair of values, asked of the engine itself.

use std::fmt::Write as _;

use serde_json::{Value, json};
use velodrome_core::compare;
use velodrome_spec::plan::Comparison;

use super::NOTE;

const HEAD: &str = "
Comparison is lenient, as recipes need it: text that a person typed equals the boolean or the number it spells, a date is
ordered as a date, and nothing fails. Left sides stand in the rows, right sides in the columns; `✓` is true, `·` false.

- Two texts are equal only where every character is (`\"7\"` and `\"07\"` are not), but for the spellings of true and
  false, whose case does not count.
- Numbers, and texts that are wholly a JSON number, are compared as numbers where one side is a number, and ordered as
  numbers where both sides are one.
- Texts that are RFC 3339 dates are ordered as moments, other texts by their characters.
- A missing side (null): `exists` false, `equals` false, `not_equals` true, any order false.
- `matches` takes `*` for any characters and `?` for one; `in` looks into a list, `contains` into a text, a list or the
  names of an object.
";

fn samples() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!("true"),
        json!("True"),
        json!(0),
        json!(7),
        json!(7.5),
        json!("7"),
        json!("07"),
        json!("7.0"),
        json!("10"),
        json!(""),
        json!("abc"),
        json!("ABC"),
        json!("a*"),
        json!("2026-01-01T00:00:00Z"),
        json!("2026-01-01T01:00:00+01:00"),
        json!([7, "abc"]),
        json!([]),
        json!({"abc": 7}),
        json!({}),
    ]
}

pub(super) fn page() -> String {
    let mut page = format!("# Comparisons\n\n{NOTE}{HEAD}");
    let samples = samples();
    for (is, name) in Comparison::ALL {
        let _ = write!(page, "\n## `{name}`\n\n");
        if is.takes_right() {
            table(&mut page, *is, &samples);
        } else {
            for (truth, words) in [(true, "true"), (false, "false")] {
                let cells: Vec<String> = samples
                    .iter()
                    .filter(|value| compare(value, *is, &Value::Null) == truth)
                    .map(|value| format!("`{value}`"))
                    .collect();
                let _ = writeln!(page, "- {words}: {}", cells.join(", "));
            }
        }
    }
    page
}

fn table(page: &mut String, is: Comparison, samples: &[Value]) {
    let cells = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head =
        std::iter::once(String::new()).chain(samples.iter().map(|value| format!("`{value}`")));
    page.push_str(&cells(head.collect()));
    page.push_str(&cells(vec!["---".to_owned(); samples.len() + 1]));
    for left in samples {
        let mut row = vec![format!("`{left}`")];
        for right in samples {
            let holds = compare(left, is, right);
            row.push(if holds { "✓" } else { "·" }.to_owned());
        }
        page.push_str(&cells(row));
    }
}
