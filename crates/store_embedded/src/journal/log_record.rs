//! A stretch of log lines as one stored row.
//!
//! What the lines share stands once: cycle and loop are columns of the row, version, run and lap are
//! its head. A line is two flags, its event and what it has beside them; times are differences.
//! Format 1, all numbers as in `packed.rs`:
//!
//! ```text
//! 1 · count · time · shared (version, run, lap) · line…
//! shared: a byte that says which follow · version's name · run's 16 bytes · lap
//! line: event · flags · level in the flags' lowest two bits · time since the line before · fields
//! ```

use serde_json::Value;
use velodrome_store::{StoreError, nested_deeper};
use velodrome_types::{Code, CycleId, Event, Level, LogLine, LoopId, RunId, StepId, Timestamp};

use super::error::damaged;
use super::names::NameTable;
use super::packed::{Packer, Unpacker};

const FORMAT: u8 = 1;

/// Deeper data are kept as text.
const DEEPEST_DATA: usize = 120;

const LEVEL: u64 = 0b11;
const OWN_SHARED: u64 = 1 << 2;
const STEP: u64 = 1 << 3;
const ATTEMPT: u64 = 1 << 4;
const ITEM: u64 = 1 << 5;
const CODE: u64 = 1 << 6;
const MS: u64 = 1 << 7;
const STATUS: u64 = 1 << 8;
const RECORDS: u64 = 1 << 9;
const URL: u64 = 1 << 10;
const TO_TEXT: u64 = 1 << 11;
const TO_RUN: u64 = 1 << 12;
const DATA: u64 = 1 << 13;
const KNOWN: u64 = (1 << 14) - 1;

/// The columns that a stretch's row has beside the packed lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StretchHead {
    /// The `seq` of its last line.
    pub(crate) last_seq: u64,
    /// The cycle of all its lines.
    pub(crate) cycle: Option<CycleId>,
    /// The loop of all its lines.
    pub(crate) loop_id: Option<LoopId>,
}

/// What most lines of a stretch have in common.
#[derive(PartialEq)]
struct Shared<'a> {
    version: Option<&'a str>,
    run: Option<RunId>,
    lap: Option<u64>,
}

impl<'a> Shared<'a> {
    fn of(line: &'a LogLine) -> Self {
        Self {
            version: line.version.as_deref(),
            run: line.run,
            lap: line.lap,
        }
    }
}

type Intern<'a> = &'a mut dyn FnMut(&str) -> rusqlite::Result<i64>;

/// Packs lines that are about one cycle and loop. Names get their numbers from `intern`.
pub(crate) fn pack(lines: &[LogLine], intern: Intern<'_>) -> rusqlite::Result<Vec<u8>> {
    let mut packer = Packer::with_capacity(64 + 96 * lines.len());
    packer.byte(FORMAT);
    packer.number(lines.len() as u64);
    let Some(first) = lines.first() else {
        return Ok(packer.into_bytes());
    };
    let shared = Shared::of(first);
    let mut time = first.time.as_millis();
    packer.signed(time);
    pack_shared(&mut packer, &shared, intern)?;
    for line in lines {
        let own = Shared::of(line);
        let own = (own != shared).then_some(own);
        pack_line(&mut packer, line, own, &mut time, intern)?;
    }
    Ok(packer.into_bytes())
}

fn pack_shared(
    packer: &mut Packer,
    shared: &Shared<'_>,
    intern: Intern<'_>,
) -> rusqlite::Result<()> {
    let has = |bit, there: bool| if there { bit } else { 0 };
    packer.byte(
        has(1, shared.version.is_some())
            | has(2, shared.run.is_some())
            | has(4, shared.lap.is_some()),
    );
    if let Some(version) = shared.version {
        packer.number(intern(version)?.cast_unsigned());
    }
    if let Some(run) = shared.run {
        packer.id(run.as_bytes());
    }
    if let Some(lap) = shared.lap {
        packer.number(lap);
    }
    Ok(())
}

fn pack_line(
    packer: &mut Packer,
    line: &LogLine,
    own: Option<Shared<'_>>,
    time: &mut i64,
    intern: Intern<'_>,
) -> rusqlite::Result<()> {
    let to_run = line.to.as_deref().and_then(|to| to.parse::<RunId>().ok());
    packer.byte(line.event.number());
    packer.number(flags(line, own.is_some(), to_run.is_some()));
    packer.signed(line.time.as_millis().wrapping_sub(*time));
    *time = line.time.as_millis();
    if let Some(own) = own {
        pack_shared(packer, &own, intern)?;
    }
    if let Some(step) = &line.step {
        packer.number(intern(step.as_str())?.cast_unsigned());
    }
    packer.text(&line.message);
    let numbers = [
        line.attempt.map(u64::from),
        line.item,
        line.ms,
        line.status.map(u64::from),
        line.records,
    ];
    for number in numbers.into_iter().flatten() {
        packer.number(number);
    }
    if let Some(code) = &line.code {
        packer.text(code.as_str());
    }
    if let Some(url) = &line.url {
        packer.text(url);
    }
    match (&line.to, to_run) {
        (_, Some(run)) => packer.id(run.as_bytes()),
        (Some(to), None) => packer.text(to),
        (None, None) => {}
    }
    if let Some(data) = &line.data {
        let text = data.to_string();
        // What could not be read back would take the other lines of the row with it.
        if nested_deeper(data, DEEPEST_DATA) {
            packer.text(&Value::String(text).to_string());
        } else {
            packer.text(&text);
        }
    }
    Ok(())
}

fn flags(line: &LogLine, own_shared: bool, to_run: bool) -> u64 {
    let has = |bit, there: bool| if there { bit } else { 0 };
    level_number(line.level)
        | has(OWN_SHARED, own_shared)
        | has(STEP, line.step.is_some())
        | has(ATTEMPT, line.attempt.is_some())
        | has(ITEM, line.item.is_some())
        | has(CODE, line.code.is_some())
        | has(MS, line.ms.is_some())
        | has(STATUS, line.status.is_some())
        | has(RECORDS, line.records.is_some())
        | has(URL, line.url.is_some())
        | has(TO_RUN, to_run)
        | has(TO_TEXT, line.to.is_some() && !to_run)
        | has(DATA, line.data.is_some())
}

const fn level_number(level: Level) -> u64 {
    match level {
        Level::Debug => 0,
        Level::Info => 1,
        Level::Warn => 2,
        Level::Error => 3,
    }
}

const fn level(number: u64) -> Level {
    match number & LEVEL {
        0 => Level::Debug,
        1 => Level::Info,
        2 => Level::Warn,
        _ => Level::Error,
    }
}

/// The lines of a stored row.
pub(crate) fn unpack(
    head: &StretchHead,
    bytes: &[u8],
    names: &NameTable,
) -> Result<Vec<LogLine>, StoreError> {
    unpack_lines(head, bytes, names).map_err(|why| {
        damaged(
            "log record",
            format!("the one up to line {}: {why}", head.last_seq),
        )
    })
}

struct StoredShared {
    version: Option<String>,
    run: Option<RunId>,
    lap: Option<u64>,
}

fn unpack_lines(
    head: &StretchHead,
    bytes: &[u8],
    names: &NameTable,
) -> Result<Vec<LogLine>, String> {
    let mut unpacker = Unpacker::new(bytes);
    let format = unpacker.byte()?;
    if format != FORMAT {
        return Err(format!("it is of format {format}"));
    }
    let count = unpacker.number()?;
    if count == 0 || count > head.last_seq || count > bytes.len() as u64 {
        return Err(format!("it tells of {count} lines"));
    }
    let mut time = unpacker.signed()?;
    let shared = unpack_shared(&mut unpacker, names)?;
    let mut lines = Vec::with_capacity(count as usize);
    for seq in head.last_seq - count + 1..=head.last_seq {
        let mut line = unpack_line(&mut unpacker, names, &shared, &mut time)?;
        line.seq = seq;
        line.cycle.clone_from(&head.cycle);
        line.loop_id = head.loop_id;
        lines.push(line);
    }
    if unpacker.is_empty() {
        Ok(lines)
    } else {
        Err("it goes on behind its end".to_owned())
    }
}

fn unpack_shared(unpacker: &mut Unpacker<'_>, names: &NameTable) -> Result<StoredShared, String> {
    let has = unpacker.byte()?;
    if has > 7 {
        return Err(format!("its head has the flags {has}"));
    }
    let version = if has & 1 == 0 {
        None
    } else {
        Some(name(unpacker, names)?.to_string())
    };
    let run = if has & 2 == 0 {
        None
    } else {
        Some(RunId::from_bytes(unpacker.id()?))
    };
    let lap = if has & 4 == 0 {
        None
    } else {
        Some(unpacker.number()?)
    };
    Ok(StoredShared { version, run, lap })
}

fn name(unpacker: &mut Unpacker<'_>, names: &NameTable) -> Result<std::sync::Arc<str>, String> {
    let number = unpacker.number()?.cast_signed();
    names.text(number).map_err(|error| error.to_string())
}

fn unpack_line(
    unpacker: &mut Unpacker<'_>,
    names: &NameTable,
    shared: &StoredShared,
    time: &mut i64,
) -> Result<LogLine, String> {
    let number = unpacker.byte()?;
    let event = Event::from_number(number).ok_or_else(|| format!("event {number} is unknown"))?;
    let flags = unpacker.number()?;
    if flags > KNOWN {
        return Err(format!("a line has the flags {flags}"));
    }
    let has = |bit| flags & bit != 0;
    *time = time.wrapping_add(unpacker.signed()?);
    let mut line = LogLine::new(Timestamp::from_millis(*time), level(flags), event, "");
    let own = if has(OWN_SHARED) {
        Some(unpack_shared(unpacker, names)?)
    } else {
        None
    };
    let shared = own.as_ref().unwrap_or(shared);
    line.version.clone_from(&shared.version);
    line.run = shared.run;
    line.lap = shared.lap;
    if has(STEP) {
        line.step = Some(StepId::new(name(unpacker, names)?));
    }
    unpacker.text()?.clone_into(&mut line.message);
    let mut wanted = |bit| has(bit).then(|| unpacker.number()).transpose();
    let too_large = |_| "a number in it is too large".to_owned();
    let attempt = wanted(ATTEMPT)?;
    line.attempt = attempt.map(u32::try_from).transpose().map_err(too_large)?;
    line.item = wanted(ITEM)?;
    line.ms = wanted(MS)?;
    let status = wanted(STATUS)?;
    line.status = status.map(u16::try_from).transpose().map_err(too_large)?;
    line.records = wanted(RECORDS)?;
    if has(CODE) {
        line.code = Some(Code::from_text(unpacker.text()?));
    }
    if has(URL) {
        line.url = Some(unpacker.text()?.to_owned());
    }
    if has(TO_RUN) {
        line.to = Some(RunId::from_bytes(unpacker.id()?).to_string());
    }
    if has(TO_TEXT) {
        line.to = Some(unpacker.text()?.to_owned());
    }
    if has(DATA) {
        let data: Value = serde_json::from_str(unpacker.text()?)
            .map_err(|error| format!("the data of a line: {error}"))?;
        line.data = Some(data);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use serde_json::json;

    use super::*;

    /// A table of names, and the database it stands on.
    fn names() -> (Connection, NameTable) {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
            .unwrap();
        let names = NameTable::load(&conn).unwrap();
        (conn, names)
    }

    fn line(message: &str) -> LogLine {
        let at = Timestamp::from_millis(1_795_435_200_000);
        let mut line = LogLine::new(at, Level::Warn, Event::RetryScheduled, message);
        line.run = Some(RunId::from_bytes([7; 16]));
        line.version = Some("0123456789ab".to_owned());
        line.lap = Some(3);
        line.step = Some("contacts".into());
        line.to = Some("pause".to_owned());
        line
    }

    fn packed(lines: &[LogLine], table: &(Connection, NameTable)) -> Vec<u8> {
        pack(lines, &mut |name| table.1.intern(&table.0, name)).unwrap()
    }

    fn head(last_seq: u64) -> StretchHead {
        StretchHead {
            last_seq,
            cycle: None,
            loop_id: None,
        }
    }

    #[test]
    fn damaged_rows_are_refused_and_never_panic() {
        let table = names();
        let mut second = line("again");
        second.data = Some(json!({"a": [1]}));
        let whole = packed(&[line("first"), second], &table);
        let read = |bytes: &[u8]| unpack(&head(9), bytes, &table.1);
        assert_eq!(read(&whole).unwrap().len(), 2);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes were taken");
        }
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[place] ^= 1 << bit;
                drop(read(&damaged));
            }
        }
        assert!(unpack(&head(1), &whole, &table.1).is_err());
    }

    #[test]
    fn data_that_could_not_be_read_back_become_text() {
        let table = names();
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let of = |data: Value| {
            let mut line = line("x");
            line.data = Some(data);
            let bytes = packed(&[line], &table);
            unpack(&head(1), &bytes, &table.1).unwrap().remove(0).data
        };
        assert_eq!(of(nested(120)), Some(nested(120)));
        assert_eq!(
            of(nested(500)),
            Some(Value::String(nested(500).to_string()))
        );
    }

    #[test]
    fn a_line_of_a_lap_is_small() {
        let table = names();
        let first = packed(&[line("true → pause")], &table);
        let both = packed(&[line("true → pause"), line("true → pause")], &table);
        assert!(
            both.len() - first.len() < 32,
            "{}",
            both.len() - first.len()
        );
    }
}
