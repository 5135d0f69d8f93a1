//! Taking away what is no longer kept.

use velodrome_types::{LogLine, LoopId};

use super::data::Data;
use crate::batch::{FORGOTTEN_AT_ONCE, Forget};

impl Data {
    pub(super) fn forget(&mut self, forget: Forget) {
        match forget {
            Forget::Laps { of, below } => {
                self.forget_runs(of, below);
                self.forget_lines(|line| {
                    line.loop_id == Some(of) && line.lap.is_some_and(|lap| lap < below)
                });
            }
            Forget::Loop(id) => self.forget_loop(id),
            Forget::Lines { before } => {
                self.forget_lines(|line| line.loop_id.is_none() && line.time < before);
            }
        }
    }

    fn forget_loop(&mut self, id: LoopId) {
        if !self.loop_row(id).is_some_and(|row| row.status.is_final()) {
            return;
        }
        if self.forget_runs(id, u64::MAX) == FORGOTTEN_AT_ONCE {
            return;
        }
        if self.forget_lines(|line| line.loop_id == Some(id)) < FORGOTTEN_AT_ONCE {
            self.remove_loop(id);
        }
    }

    /// Gives how many there were.
    fn forget_runs(&mut self, of: LoopId, below: u64) -> usize {
        let old = self
            .runs
            .iter()
            .filter(|(_, row)| row.loop_id == of && row.lap < below && row.status.is_final())
            .take(FORGOTTEN_AT_ONCE);
        let old: Vec<u64> = old.map(|(place, _)| *place).collect();
        for place in &old {
            self.remove_run(*place);
        }
        old.len()
    }

    fn forget_lines(&mut self, old: impl Fn(&LogLine) -> bool) -> usize {
        let mut count = 0;
        self.lines.retain(|line| {
            let goes = count < FORGOTTEN_AT_ONCE && old(line);
            count += usize::from(goes);
            !goes
        });
        count
    }
}
