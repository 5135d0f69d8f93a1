//! Listings for people: aligned columns, nothing cut.

use crate::terminal::escape;

/// Prints rows under their headings.
pub(crate) fn print(headings: &[&str], rows: &[Vec<String>]) {
    print!("{}", layout(headings, rows));
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
