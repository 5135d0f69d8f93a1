//! Taking away what is no longer kept, and giving its space back to the file system.
//!
//! Each [`Forget`] takes a slice; the pages that become free are used again by what is written next, and
//! past a slack given back, a slice with each commit that deletes and further ones while nobody waits, so
//! that no commit waits long for either.

use rusqlite::Connection;
use velodrome_store::{FORGOTTEN_AT_ONCE, Forget};
use velodrome_types::LoopId;

use super::storage::give_back;
use super::unit::{Refusal, UnitWriter};
use crate::journal::{StretchHead, loop_parts_key, unpack};

/// Free pages that are left in the file for what is written next: 4 MiB.
const SLACK_PAGES: u64 = 1024;
/// Pages that one commit gives back. Each is a page written twice.
const GIVEN_BACK_AT_ONCE: u64 = 256;

const AT_ONCE: i64 = FORGOTTEN_AT_ONCE as i64;
/// What is below the laps of every loop.
const ALL_LAPS: u64 = i64::MAX as u64;

impl UnitWriter<'_> {
    pub(super) fn forget(&self, forget: Forget) -> Result<(), Refusal> {
        match forget {
            Forget::Laps { of, below } => {
                self.forget_runs(of, below)?;
                self.forget_laps_lines(of, below)
            }
            Forget::Loop(id) => self.forget_loop(id),
            Forget::Lines { before } => {
                self.conn
                    .prepare_cached(
                        "DELETE FROM log WHERE last_seq IN
                         (SELECT last_seq FROM log INDEXED BY log_of_none
                          WHERE loop IS NULL AND time < ?1 LIMIT ?2)",
                    )?
                    .execute((before.as_millis(), AT_ONCE))?;
                Ok(())
            }
        }
    }

    fn forget_loop(&self, id: LoopId) -> Result<(), Refusal> {
        let ended = self
            .conn
            .prepare_cached("SELECT 1 FROM loops WHERE id = ?1 AND status >= 3")?
            .exists([id.as_bytes()])?;
        if !ended || self.forget_runs(id, ALL_LAPS)? == FORGOTTEN_AT_ONCE {
            return Ok(());
        }
        let lines = self
            .conn
            .prepare_cached(
                "DELETE FROM log WHERE last_seq IN
                 (SELECT last_seq FROM log WHERE loop = ?1 ORDER BY last_seq LIMIT ?2)",
            )?
            .execute((id.as_bytes(), AT_ONCE))?;
        if lines < FORGOTTEN_AT_ONCE {
            self.conn
                .prepare_cached("DELETE FROM parts WHERE run = ?1")?
                .execute([loop_parts_key(id)])?;
            self.conn
                .prepare_cached("DELETE FROM loops WHERE id = ?1")?
                .execute([id.as_bytes()])?;
        }
        Ok(())
    }

    /// Gives how many there were.
    fn forget_runs(&self, of: LoopId, below: u64) -> Result<usize, Refusal> {
        let mut statement = self.conn.prepare_cached(
            "SELECT id FROM runs WHERE loop = ?1 AND lap < ?2 AND status >= 3 ORDER BY place LIMIT ?3",
        )?;
        let old = statement
            .query_map((of.as_bytes(), below.cast_signed(), AT_ONCE), |row| {
                row.get(0)
            })?
            .collect::<rusqlite::Result<Vec<[u8; 16]>>>()?;
        for id in &old {
            for sql in [
                "DELETE FROM parts WHERE run = ?1",
                "DELETE FROM timers WHERE run = ?1",
                "DELETE FROM waits WHERE run = ?1",
                "DELETE FROM runs WHERE id = ?1",
            ] {
                self.conn.prepare_cached(sql)?.execute([id])?;
            }
        }
        Ok(old.len())
    }

    /// A row of the log that is about a lap which is kept, with others, is kept whole. One that cannot be
    /// read tells nobody anything.
    fn forget_laps_lines(&self, of: LoopId, below: u64) -> Result<(), Refusal> {
        let mut statement = self.conn.prepare_cached(
            "SELECT last_seq, lines FROM log WHERE loop = ?1 ORDER BY last_seq LIMIT ?2",
        )?;
        let mut rows = statement.query((of.as_bytes(), AT_ONCE))?;
        let mut up_to: Option<i64> = None;
        while let Some(row) = rows.next()? {
            let last_seq: i64 = row.get(0)?;
            let head = StretchHead {
                last_seq: last_seq.cast_unsigned(),
                cycle: None,
                loop_id: Some(of),
            };
            let lines = unpack(
                &head,
                row.get_ref(1)?.as_blob().unwrap_or_default(),
                self.names,
            );
            let newest = lines.iter().flatten().filter_map(|line| line.lap).max();
            if newest.is_some_and(|lap| lap >= below) {
                break;
            }
            up_to = Some(last_seq);
        }
        drop(rows);
        if let Some(up_to) = up_to {
            self.conn
                .prepare_cached("DELETE FROM log WHERE loop = ?1 AND last_seq <= ?2")?
                .execute((of.as_bytes(), up_to))?;
        }
        Ok(())
    }
}

/// Gives some of the free pages back, if there are more than are soon used again; says how many.
pub(super) fn give_some_back(conn: &Connection) -> rusqlite::Result<u64> {
    give_back_up_to(conn, SLACK_PAGES)
}

/// Gives free pages back until so many are left, but no more than one commit should; says how many.
pub(super) fn give_back_up_to(conn: &Connection, left: u64) -> rusqlite::Result<u64> {
    let before = free_pages(conn)?;
    let pages = before.saturating_sub(left).min(GIVEN_BACK_AT_ONCE);
    if pages == 0 {
        return Ok(0);
    }
    give_back(conn, Some(pages))?;
    Ok(before.saturating_sub(free_pages(conn)?))
}

fn free_pages(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached("PRAGMA freelist_count")?
        .query_row([], |row| row.get(0))
        .map(i64::cast_unsigned)
}
