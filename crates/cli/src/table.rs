//! Listings for people: aligned columns, nothing cut.

use anyhow::Result;

use crate::out;
use crate::terminal::escape;

/// Prints rows under their headings.
pub(crate) fn print(headings: &[&str], rows: &[Vec<String>]) -> Result<()> {
    out::write(&layout(headings, rows))
}

/// Prints facts, each behind its name; those that are empty are left out.
pub(crate) fn facts(facts: &[(&str, String)]) -> Result<()> {
    out::write(&aligned(facts))
}

fn aligned(facts: &[(&str, String)]) -> String {
    let facts = || facts.iter().filter(|(_, value)| !value.is_empty());
    let width = facts().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:<width$}  {}\n", escape(value));
    facts().map(line).collect()
}

fn layout(headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| escape(cell)).collect())
        .collect();
    let mut widths: Vec<usize> = headings
        .iter()
        .map(|heading| heading.chars().count())
        .collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}", width = *width))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut out = line(headings.to_vec());
    for row in &rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_under_each_other_and_empty_ones_nowhere() {
        let facts = [
            ("id", "run_x".to_owned()),
            ("parent", String::new()),
            ("status", "failed\u{7}".to_owned()),
        ];
        assert_eq!(aligned(&facts), "id      run_x\nstatus  failed\\x07\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["run_…84sn02q".to_owned(), "ok".to_owned()],
            vec!["x\u{1b}".to_owned(), String::new()],
        ];
        assert_eq!(
            layout(&["ID", "STATUS"], &rows),
            "ID            STATUS\nrun_…84sn02q  ok\nx\\x1b\n"
        );
    }
}
