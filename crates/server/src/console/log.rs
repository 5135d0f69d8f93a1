//! The log read backwards, a bounded piece at a time.

use velodrome_store::{LogFilter, LogRead, StoreError};
use velodrome_types::LogLine;

/// How many lines the first look goes back; each further one twice as many.
const FIRST: u64 = 2_000;
/// The most that one look goes back.
const WIDEST: u64 = 64_000;
/// How far one answer looks back in all: a filter that little matches must not hold up a page.
const REACH: u64 = 500_000;
/// Lines read at once.
const CHUNK: usize = 1_000;

/// A piece of the log.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    /// Matching lines, newest first.
    pub(super) lines: Vec<LogLine>,
    /// The `seq` before which older ones may be; none at the log's beginning.
    pub(super) before: Option<u64>,
}

/// The newest `count` matching lines before `before`.
pub(super) fn older<L: LogRead + ?Sized>(
    log: &L,
    filter: &LogFilter,
    before: Option<u64>,
    count: usize,
) -> Result<Piece, StoreError> {
    let newest = log.last_seq();
    // The last `seq` that is still to be looked at.
    let mut to = before.map_or(newest, |before| before.saturating_sub(1).min(newest));
    let end = to.saturating_sub(REACH);
    let mut wide = FIRST;
    let mut lines = Vec::new();
    while to > end && lines.len() < count {
        let from = to.saturating_sub(wide).max(end);
        let found = between(log, filter, (from, to), count - lines.len())?;
        lines.extend(found.into_iter().rev());
        to = from;
        wide = (wide * 2).min(WIDEST);
    }
    lines.truncate(count);
    let last = lines.last().filter(|_| lines.len() == count);
    let before = last.map_or(to + 1, |line| line.seq);
    Ok(Piece {
        lines,
        before: (before > 1).then_some(before),
    })
}

/// The last `count` matching lines behind the first `seq`, up to the second, oldest first.
fn between<L: LogRead + ?Sized>(
    log: &L,
    filter: &LogFilter,
    (from, to): (u64, u64),
    count: usize,
) -> Result<Vec<LogLine>, StoreError> {
    let mut lines: Vec<LogLine> = Vec::new();
    let mut place = from;
    while place < to {
        let (found, searched) = log.log_after(place, filter, CHUNK)?;
        lines.extend(found.into_iter().filter(|line| line.seq <= to));
        lines.drain(..lines.len().saturating_sub(count));
        if searched <= place {
            break;
        }
        place = searched;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use velodrome_types::{CycleId, Event, Level, Timestamp};

    use super::*;

    /// So many lines; every seventh is about `rare`.
    #[derive(Debug)]
    struct Lines(u64);

    impl LogRead for Lines {
        fn log_after(
            &self,
            after: u64,
            filter: &LogFilter,
            limit: usize,
        ) -> Result<(Vec<LogLine>, u64), StoreError> {
            let line = |seq| {
                let mut line = LogLine::new(
                    Timestamp::from_millis(0),
                    Level::Info,
                    Event::RunStarted,
                    "",
                );
                line.seq = seq;
                line.cycle = Some(CycleId::from(if seq % 7 == 0 { "rare" } else { "often" }));
                line
            };
            let lines: Vec<LogLine> = (after + 1..=self.0)
                .map(line)
                .filter(|line| filter.matches(line))
                .take(limit)
                .collect();
            let searched = match lines.last().filter(|_| lines.len() == limit) {
                Some(last) => last.seq,
                None => self.0,
            };
            Ok((lines, searched))
        }

        fn log_tail(&self, _: usize, _: &LogFilter) -> Result<Vec<LogLine>, StoreError> {
            unreachable!("it looks through the whole log")
        }

        fn last_seq(&self) -> u64 {
            self.0
        }
    }

    fn seqs(
        log: &Lines,
        cycle: Option<&str>,
        before: Option<u64>,
        count: usize,
    ) -> (Vec<u64>, Option<u64>) {
        let filter = LogFilter {
            cycle: cycle.map(CycleId::from),
            ..LogFilter::default()
        };
        let piece = older(log, &filter, before, count).unwrap();
        (
            piece.lines.iter().map(|line| line.seq).collect(),
            piece.before,
        )
    }

    #[test]
    fn pieces_go_back_to_the_beginning_without_a_gap() {
        let log = Lines(5);
        assert_eq!(seqs(&log, None, None, 2), (vec![5, 4], Some(4)));
        assert_eq!(seqs(&log, None, Some(4), 2), (vec![3, 2], Some(2)));
        assert_eq!(seqs(&log, None, Some(2), 2), (vec![1], None));
        assert_eq!(seqs(&Lines(0), None, None, 2), (vec![], None));
    }

    #[test]
    fn what_is_rare_is_looked_for_further_back() {
        let log = Lines(100_000);
        let all: Vec<u64> = (1..=100_000).rev().filter(|seq| seq % 7 == 0).collect();
        let mut found = Vec::new();
        let mut before = None;
        loop {
            let (seqs, next) = seqs(&log, Some("rare"), before, 3_000);
            found.extend(seqs);
            match next {
                None => break,
                next => before = next,
            }
        }
        assert_eq!(found, all);
    }

    #[test]
    fn one_look_has_an_end_and_says_where_to_go_on() {
        let log = Lines(REACH + 10);
        assert_eq!(seqs(&log, Some("none"), None, 5), (vec![], Some(11)));
        assert_eq!(seqs(&log, Some("none"), Some(11), 5), (vec![], None));
    }
}
