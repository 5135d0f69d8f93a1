//! `docs/coverage.md`: every tool, setting, event, variable and function of Cyclr's runtime, what it is here, and the test
//! that shows it.
//!
//! A row says one of four things: it is there, it is there and differs on purpose, another thing does its work,
//! or it is not here, and why. A test that is named and not there is an error.

mod connectors;
mod running;
mod scripts;
mod tools;

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use super::NOTE;
use super::shown::Tests;

const HEAD: &str = "
What Cyclr's runtime has, as its public documents tell, and what each thing is here. Where something differs on purpose,
[Coming from Cyclr](coming_from_cyclr.md) says it at more length. `cargo xtask docs` refuses a test that does not exist.
";

/// What has become of a thing of Cyclr's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There, with the same meaning.
    There,
    /// There, and it differs on purpose.
    Differs,
    /// Something else does its work.
    Instead,
    /// Not here; the row says why.
    Out,
    /// Not yet here.
    Later,
}

impl State {
    const ALL: [Self; 5] = [
        Self::There,
        Self::Differs,
        Self::Instead,
        Self::Out,
        Self::Later,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Differs => "differs",
            Self::Instead => "instead",
            Self::Out => "not here",
            Self::Later => "later",
        }
    }
}

/// A thing of Cyclr's.
struct Row {
    cyclr: &'static str,
    state: State,
    /// What it is here, or why it is not.
    here: &'static str,
    /// Tests that show it, by their names.
    shown: &'static [&'static str],
}

const fn row(
    cyclr: &'static str,
    state: State,
    here: &'static str,
    shown: &'static [&'static str],
) -> Row {
    Row {
        cyclr,
        state,
        here,
        shown,
    }
}

/// A table of the page.
struct Section {
    title: &'static str,
    rows: &'static [Row],
}

pub(super) fn page() -> Result<String> {
    let tests = Tests::below(&["crates", "tests"])?;
    let mut page = format!("# What is covered of Cyclr\n\n{NOTE}{HEAD}");
    let sections = [
        tools::SECTIONS,
        running::SECTIONS,
        scripts::SECTIONS,
        connectors::SECTIONS,
    ];
    let sections = || sections.iter().copied().flatten();
    let all = || sections().flat_map(|section| section.rows);
    let counts = State::ALL.map(|state| {
        let count = all().filter(|row| row.state == state).count();
        format!("{count} {}", state.as_str())
    });
    let _ = writeln!(page, "\n{} rows: {}.", all().count(), counts.join(", "));
    for section in sections() {
        let _ = write!(
            page,
            "\n## {}\n\n| Cyclr | | here | shown by |\n|---|---|---|---|\n",
            section.title
        );
        for row in section.rows {
            line(&mut page, row, &tests).with_context(|| row.cyclr)?;
        }
    }
    Ok(page)
}

fn line(page: &mut String, row: &Row, tests: &Tests) -> Result<()> {
    let runs = matches!(row.state, State::There | State::Differs | State::Instead);
    ensure!(!runs || !row.shown.is_empty(), "nothing shows it");
    ensure!(
        row.state != State::Out || !row.here.is_empty(),
        "it does not say why"
    );
    let mut shown = Vec::new();
    for test in row.shown {
        let (file, name) = tests.find(test)?;
        shown.push(format!("[`{name}`](../{})", file.display()));
    }
    let _ = writeln!(
        page,
        "| {} | {} | {} | {} |",
        row.cyclr,
        row.state.as_str(),
        row.here,
        shown.join(", ")
    );
    Ok(())
}
