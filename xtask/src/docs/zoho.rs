//! `docs/zoho.md` is written by hand; what it names must be there.
//!
//! Of each known fact: the test, or the recorded answer, that shows it, and the files that use it.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::shown::find;

const PAGE: &str = "docs/zoho.md";
const HEADER: &str = "| fact | grade | where it is used | test |";
/// Where its tests are.
const TESTS: &[&str] = &[
    "crates/connect/tests/it",
    "crates/zoho_sim/tests",
    "tests/tests",
];
/// Where its answers are.
const ANSWERS: &str = "crates/connect/tests/zoho/answers";
/// What stands in place of a name where the row before, or every answer of a kind, shows it.
const WORDS: &[&str] = &["the same", "the answers that are errors"];

pub(super) fn check() -> Result<()> {
    let page = std::fs::read_to_string(PAGE).context(PAGE)?;
    let facts = facts(&page)?;
    for fact in &facts {
        look(fact).with_context(|| format!("{PAGE}: \"{}\"", fact.what))?;
    }
    Ok(())
}

/// A row of the table of what is known.
#[derive(Debug, PartialEq)]
struct Fact<'p> {
    what: &'p str,
    used: &'p str,
    shown: &'p str,
}

fn facts(page: &str) -> Result<Vec<Fact<'_>>> {
    let mut lines = page
        .lines()
        .skip_while(|line| *line != HEADER)
        .skip(2)
        .peekable();
    ensure!(lines.peek().is_some(), "{PAGE} has no table `{HEADER}`");
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [what, _, used, shown] = cells[..] else {
            anyhow::bail!("{PAGE}: four cells are wanted in {row}");
        };
        Ok(Fact { what, used, shown })
    })
    .collect()
}

fn look(fact: &Fact<'_>) -> Result<()> {
    for path in quoted(fact.used).filter(|name| name.starts_with("crates/")) {
        ensure!(Path::new(path).exists(), "there is no {path}");
    }
    let mut named = 0;
    for name in quoted(fact.shown) {
        named += 1;
        match fact.shown.contains("among the answers") {
            true => answer(name)?,
            false => {
                find(TESTS, name)?;
            }
        }
    }
    let word = WORDS.iter().any(|word| fact.shown.contains(word));
    ensure!(named > 0 || word, "no test is named");
    Ok(())
}

/// Whether there is a recorded answer of this name; `…` stands for any end.
fn answer(name: &str) -> Result<()> {
    let begins = name.strip_suffix('…');
    for entry in std::fs::read_dir(ANSWERS)? {
        let file = entry?.file_name();
        let stem = file.to_string_lossy().trim_end_matches(".json").to_owned();
        if begins.map_or(stem == name, |begins| stem.starts_with(begins)) {
            return Ok(());
        }
    }
    anyhow::bail!("{ANSWERS} has no `{name}`")
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_or_file_that_is_not_there_is_an_error() {
        // Tests run in the folder of their package.
        std::env::set_current_dir("..").expect("the workspace");
        let check = |used: &str, shown: &str, expect: bool| {
            let page = format!(
                "a\n\n{HEADER}\n|---|---|---|---|\n| f | A | {used} | {shown} |\n\n| x |\n"
            );
            let facts = facts(&page).expect("a table");
            assert_eq!(facts.len(), 1);
            let got = look(&facts[0]);
            assert_eq!(got.is_ok(), expect, "{used} {shown}: {got:?}");
        };
        check("`paging`", "`look_alike_hosts_are_refused`", true);
        check("`paging`", "`look_alike_hosts_are_taken`", false);
        check("", "`look_alike_hosts_are_refused`, `no_such_test`", false);
        check("`crates/connect/src/oauth/ask.rs`", "the same", true);
        check("`crates/connect/src/oauth/asked.rs`", "the same", false);
        check("", "`expired_value` among the answers", true);
        check("", "`too_many_requests_…` among the answers", true);
        check("", "`too_few_requests_…` among the answers", false);
        check("", "nothing", false);
        assert!(facts("no table").is_err());
    }
}
