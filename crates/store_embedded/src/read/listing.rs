//! Listings by place, newest first, in parts.

use rusqlite::types::Value;
use velodrome_store::{Cursor, Page, PageRequest};

/// A condition on the status, worded so that the partial indexes apply where they can.
pub(super) struct StatusTerm {
    pub(super) text: Option<String>,
    narrow: bool,
}

impl StatusTerm {
    /// The numbers of the wanted states; none is any.
    pub(super) fn of(wanted: impl Iterator<Item = i64>) -> Self {
        let numbers: Vec<i64> = wanted.collect();
        let range = if numbers.is_empty() {
            return Self {
                text: None,
                narrow: false,
            };
        } else if numbers.iter().all(|number| *number < 3) {
            "status < 3 AND "
        } else if numbers.iter().all(|number| *number > 3) {
            "status > 3 AND "
        } else {
            ""
        };
        let list: Vec<String> = numbers.iter().map(i64::to_string).collect();
        Self {
            text: Some(format!("{range}+status IN ({})", list.join(","))),
            narrow: !range.is_empty(),
        }
    }

    /// Whether a partial index has the few rows that match: those that have not ended, or not well.
    pub(super) fn is_narrow(&self) -> bool {
        self.narrow
    }
}

/// A listing by place, newest first.
pub(super) struct ListQuery<'a> {
    pub(super) columns: &'a str,
    pub(super) table: &'a str,
    pub(super) terms: Vec<String>,
    pub(super) values: Vec<Value>,
    pub(super) page: PageRequest,
}

impl ListQuery<'_> {
    pub(super) fn limit(&self) -> usize {
        self.page.limit.clamp(1, 1000)
    }

    /// One row more than is wanted tells whether there is a next part.
    pub(super) fn build(mut self) -> (String, Vec<Value>) {
        let limit = self.limit();
        if let Some(Cursor(place)) = self.page.after {
            self.terms.push("place < ?".to_owned());
            self.values.push(Value::Integer(place_bound(place)));
        }
        self.values.push(Value::Integer(count_bound(limit + 1)));
        let filter = if self.terms.is_empty() {
            String::new()
        } else {
            format!("WHERE {}", self.terms.join(" AND "))
        };
        let sql = format!(
            "SELECT {} FROM {} {filter} ORDER BY place DESC LIMIT ?",
            self.columns, self.table
        );
        (sql, self.values)
    }
}

pub(super) fn no_page<T>() -> Page<T> {
    Page {
        items: Vec::new(),
        next: None,
    }
}

pub(super) fn cut_page<T>(mut rows: Vec<(u64, T)>, limit: usize) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more);
    Page {
        next: last.map(|(place, _)| Cursor(*place)),
        items: rows.into_iter().map(|(_, row)| row).collect(),
    }
}

/// A place from outside; none is above what SQLite counts to.
pub(super) fn place_bound(place: u64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

pub(super) fn count_bound(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
