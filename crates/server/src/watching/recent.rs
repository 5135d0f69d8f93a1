//! The newest lines of the log, kept for those who watch.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use velodrome_store::LogFilter;
use velodrome_types::{Json, LogLine};

/// The most lines that are kept: at 30,000 lines a second, twice what a viewer of `/live` leaves between two looks.
const MOST_LINES: usize = 16_384;
/// About the most bytes that they take.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// The most lines of one read. Those of `payloads: full` have up to some 100 kB each, and what a read brings is in
/// memory whole.
const MOST_READ: usize = 500;
/// The fewest.
const LEAST_READ: usize = 16;
/// About the bytes that a read should bring.
const READ_BYTES: usize = 1024 * 1024;

/// A line, and its JSON once a viewer wants it.
#[derive(Debug)]
pub(crate) struct Line {
    line: LogLine,
    json: OnceLock<Bytes>,
}

impl Line {
    pub(crate) fn new(line: LogLine) -> Arc<Self> {
        let json = OnceLock::new();
        Arc::new(Self { line, json })
    }

    /// Its number.
    pub(crate) fn seq(&self) -> u64 {
        self.line.seq
    }

    /// It as JSON: written once, whoever asks.
    pub(crate) fn json(&self) -> Result<&Bytes, serde_json::Error> {
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        let json = Bytes::from(serde_json::to_vec(&self.line)?);
        Ok(self.json.get_or_init(|| json))
    }
}

/// What is to be done for a viewer.
#[derive(Debug)]
pub(super) enum Step {
    /// These lines match, and the log was looked through up to this `seq`.
    Here(Vec<Arc<Line>>, u64),
    /// The viewer's place is not kept any more.
    Behind,
    /// Read at most so many lines behind this `seq`.
    Read(u64, usize),
}

/// The newest lines. Every line above `from` up to `to` is here.
#[derive(Debug)]
pub(super) struct Recent {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
    from: u64,
    to: u64,
    /// Whether it stands somewhere: until then `from` and `to` say nothing.
    begun: bool,
    /// How many lines the next read asks for.
    read: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            from: 0,
            to: 0,
            begun: false,
            read: MOST_READ,
        }
    }
}

impl Recent {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What to do for a viewer at `place`, where `newest` is the newest line there is: up to `most` lines that match.
    pub(super) fn after(
        &mut self,
        place: u64,
        newest: u64,
        filter: &LogFilter,
        most: usize,
    ) -> Step {
        if let Some(step) = self.lacks(place, newest, place) {
            return step;
        }
        let mut found = Vec::new();
        for line in self.lines.range(self.behind(place)..) {
            if !filter.matches(&line.line) {
                continue;
            }
            found.push(Arc::clone(line));
            if found.len() == most {
                let searched = line.seq();
                return Step::Here(found, searched);
            }
        }
        Step::Here(found, self.to)
    }

    /// The same, of which only the newest line that matches is wanted: all there is up to `newest` is looked at.
    pub(super) fn newest_after(&mut self, place: u64, newest: u64, filter: &LogFilter) -> Step {
        if let Some(step) = self.lacks(place, newest, newest.saturating_sub(1)) {
            return step;
        }
        let lines = self.lines.range(self.behind(place)..).rev();
        let found = lines
            .filter(|line| filter.matches(&line.line))
            .take(1)
            .cloned()
            .collect();
        Step::Here(found, self.to)
    }

    /// What a viewer at `place` lacks who wants more than is there up to `at_least`.
    fn lacks(&mut self, place: u64, newest: u64, at_least: u64) -> Option<Step> {
        let stale = newest.saturating_sub(self.to) > MOST_LINES as u64;
        if !self.begun || stale {
            // Nobody has watched for a while: from here on.
            let half = MOST_LINES as u64 / 2;
            self.clear();
            self.begun = true;
            self.from = place.max(newest.saturating_sub(half));
            self.to = self.from;
        }
        if place < self.from {
            return Some(Step::Behind);
        }
        (self.to <= at_least && self.to < newest).then_some(Step::Read(self.to, self.read))
    }

    /// The index of the first line behind a place.
    fn behind(&self, place: u64) -> usize {
        self.lines.partition_point(|line| line.seq() <= place)
    }

    /// Takes what a read behind `from` brought; says whether there may be more at once.
    pub(super) fn extend(
        &mut self,
        from: u64,
        asked: usize,
        lines: Vec<LogLine>,
        searched: u64,
    ) -> bool {
        let is_full = lines.len() >= asked;
        if !self.begun || from != self.to {
            // Cleared meanwhile.
            return false;
        }
        self.to = searched.max(self.to);
        let count = lines.len();
        let before = self.bytes;
        for line in lines {
            self.bytes += weight(&line);
            self.lines.push_back(Line::new(line));
        }
        if let Some(each) = (self.bytes - before).checked_div(count) {
            self.read = (READ_BYTES / each.max(1)).clamp(LEAST_READ, MOST_READ);
        }
        while self.lines.len() > MOST_LINES || (self.bytes > MOST_BYTES && self.lines.len() > 1) {
            if let Some(gone) = self.lines.pop_front() {
                self.bytes -= weight(&gone.line);
                self.from = gone.seq();
            }
        }
        is_full
    }
}

/// About how much memory a line takes, with its JSON.
fn weight(line: &LogLine) -> usize {
    let texts = line.message.len() + line.url.as_ref().map_or(0, String::len);
    let data = line.data.as_ref().map_or(0, value_weight);
    2 * (size_of::<LogLine>() + texts + data)
}

fn value_weight(value: &Json) -> usize {
    let inside = match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(value_weight).sum(),
        Json::Object(fields) => fields
            .iter()
            .map(|(name, field)| name.len() + value_weight(field))
            .sum(),
        _ => 0,
    };
    size_of::<Json>() + inside
}

#[cfg(test)]
mod tests {
    use velodrome_types::{Event, Level, Timestamp};

    use super::*;

    fn line(seq: u64, message: &str) -> LogLine {
        let level = match seq.is_multiple_of(10) {
            true => Level::Warn,
            false => Level::Info,
        };
        let line = LogLine::new(Timestamp::default(), level, Event::ScriptLogged, message);
        LogLine { seq, ..line }
    }

    /// One that has read the lines above `from` up to `to`.
    fn read(from: u64, to: u64) -> Recent {
        let mut recent = Recent::default();
        while recent.to < to {
            let (place, newest) = (from.max(recent.to), to.min(recent.to + 1_000));
            let step = recent.newest_after(place, newest, &LogFilter::default());
            let Step::Read(behind, most) = step else {
                panic!("{step:?}");
            };
            let last = newest.min(behind + most as u64);
            let lines = (behind + 1..=last).map(|seq| line(seq, "m")).collect();
            recent.extend(behind, most, lines, last);
        }
        recent
    }

    fn warnings() -> LogFilter {
        LogFilter {
            level: Some(Level::Warn),
            ..LogFilter::default()
        }
    }

    fn here(step: Step) -> (Vec<u64>, u64) {
        match step {
            Step::Here(lines, searched) => {
                (lines.iter().map(|line| line.seq()).collect(), searched)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_kept_is_given_in_parts_as_it_matches() {
        let mut recent = read(100, 150);
        let mut ask = |place, most| here(recent.after(place, 150, &warnings(), most));
        assert_eq!(ask(100, 2), (vec![110, 120], 120));
        assert_eq!(ask(120, 2), (vec![130, 140], 140));
        assert_eq!(ask(140, 2), (vec![150], 150));
        let mut newest = |place| here(recent.newest_after(place, 150, &warnings()));
        assert_eq!(newest(100), (vec![150], 150));
        assert_eq!(newest(150), (vec![], 150));
    }

    #[test]
    fn who_is_at_the_end_has_it_read_on_and_who_is_too_far_behind_reads_alone() {
        let all = LogFilter::default();
        let mut recent = read(100, 150);
        assert!(matches!(
            recent.after(150, 160, &all, 9),
            Step::Read(150, _)
        ));
        assert!(matches!(recent.after(99, 160, &all, 9), Step::Behind));
        // Who wants lines has some already; who wants the newest has not.
        assert_eq!(here(recent.after(140, 160, &all, 1)), (vec![141], 141));
        assert!(matches!(
            recent.newest_after(140, 160, &all),
            Step::Read(150, _)
        ));
        // Where nobody has watched for long it begins anew, near the end.
        let far = 150 + 2 * MOST_LINES as u64;
        assert!(matches!(recent.after(150, far, &all, 9), Step::Behind));
        let near = far - MOST_LINES as u64 / 2;
        assert!(matches!(recent.after(near, far, &all, 9), Step::Read(at, _) if at == near));
    }

    #[test]
    fn so_many_lines_are_kept_and_so_many_bytes() {
        let recent = read(0, 3 * MOST_LINES as u64 / 2);
        assert_eq!(recent.lines.len(), MOST_LINES);
        assert_eq!(recent.from, MOST_LINES as u64 / 2);

        let mut recent = read(0, 10);
        let long = "x".repeat(100_000);
        for seq in 11..500 {
            recent.extend(seq - 1, 1, vec![line(seq, &long)], seq);
        }
        assert!(recent.bytes <= MOST_BYTES && recent.lines.len() > 50);
        assert_eq!(
            recent.lines.front().map(|line| line.seq()),
            Some(recent.from + 1)
        );
        let Step::Read(499, few) = recent.after(499, 600, &LogFilter::default(), 9) else {
            panic!("it reads on");
        };
        assert_eq!(few, LEAST_READ, "long lines are read few at a time");
    }

    #[test]
    fn json_is_written_once() {
        let line = Line::new(line(7, "m"));
        let (first, second) = (line.json().unwrap(), line.json().unwrap());
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert!(first.starts_with(b"{\"seq\":7,"));
    }
}
