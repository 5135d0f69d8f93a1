//! The log lines of a unit: each gets its `seq`, and each stretch about one cycle and loop is one row.

use rusqlite::params;
use velodrome_types::LogLine;

use super::unit::{Refusal, UnitWriter};
use crate::journal::pack;

impl UnitWriter<'_> {
    pub(super) fn write_lines(&mut self, lines: &[LogLine]) -> Result<(), Refusal> {
        let about_the_same =
            |a: &LogLine, b: &LogLine| a.cycle == b.cycle && a.loop_id == b.loop_id;
        for stretch in lines.chunk_by(about_the_same) {
            self.write_stretch(stretch)?;
        }
        Ok(())
    }

    fn write_stretch(&mut self, lines: &[LogLine]) -> Result<(), Refusal> {
        let Some(first) = lines.first() else {
            return Ok(());
        };
        let cycle = match &first.cycle {
            Some(cycle) => Some(self.names.intern(self.conn, cycle.as_str())?),
            None => None,
        };
        let packed = pack(lines, &mut |name| self.names.intern(self.conn, name))?;
        let newest = lines.iter().map(|line| line.time).max();
        let first_seq = self.counters.lines + 1;
        self.counters.lines += lines.len() as u64;
        self.conn
            .prepare_cached(
                "INSERT INTO log (last_seq, first_seq, time, cycle, loop, lines)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                self.counters.lines.cast_signed(),
                first_seq.cast_signed(),
                newest.unwrap_or_default().as_millis(),
                cycle,
                first
                    .loop_id
                    .as_ref()
                    .map(velodrome_types::LoopId::as_bytes),
                packed,
            ])?;
        Ok(())
    }
}
