//! The closed lists as the small numbers that are stored. A number is never given another meaning.
//!
//! For runs and loops the numbers below 3 are those that have not ended: the partial indexes say
//! `status < 3` and `status > 3`.

use velodrome_store::StoreError;
use velodrome_types::{CycleState, LoopStatus, RunStatus};

use super::error::damaged;

pub(crate) const fn run_status_number(status: RunStatus) -> i64 {
    match status {
        RunStatus::Queued => 0,
        RunStatus::Running => 1,
        RunStatus::Waiting => 2,
        RunStatus::Succeeded => 3,
        RunStatus::Failed => 4,
        RunStatus::Stopped => 5,
        RunStatus::Ignored => 6,
    }
}

pub(crate) fn run_status(number: i64) -> Result<RunStatus, StoreError> {
    let same = |status: &&RunStatus| run_status_number(**status) == number;
    let found = RunStatus::ALL.iter().find(same).copied();
    found.ok_or_else(|| damaged("run", format!("it has status {number}")))
}

pub(crate) const fn loop_status_number(status: LoopStatus) -> i64 {
    match status {
        LoopStatus::Queued => 0,
        LoopStatus::Running => 1,
        LoopStatus::Waiting => 2,
        LoopStatus::Succeeded => 3,
        LoopStatus::Failed => 4,
        LoopStatus::Stopped => 5,
    }
}

pub(crate) fn loop_status(number: i64) -> Result<LoopStatus, StoreError> {
    let same = |status: &&LoopStatus| loop_status_number(**status) == number;
    let found = LoopStatus::ALL.iter().find(same).copied();
    found.ok_or_else(|| damaged("loop", format!("it has status {number}")))
}

pub(crate) const fn cycle_state_number(state: CycleState) -> i64 {
    match state {
        CycleState::Running => 0,
        CycleState::Finishing => 1,
        CycleState::Paused => 2,
        CycleState::Stopped => 3,
        CycleState::NeedsConnection => 4,
        CycleState::Invalid => 5,
    }
}

pub(crate) fn cycle_state(number: i64) -> Result<CycleState, StoreError> {
    let same = |state: &&CycleState| cycle_state_number(**state) == number;
    let found = CycleState::ALL.iter().find(same).copied();
    found.ok_or_else(|| damaged("cycle", format!("it has state {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_leads_back_and_the_open_ones_are_below_3() {
        for status in RunStatus::ALL {
            let number = run_status_number(*status);
            assert_eq!(run_status(number).unwrap(), *status);
            assert_eq!(number < 3, !status.is_final());
        }
        for status in LoopStatus::ALL {
            let number = loop_status_number(*status);
            assert_eq!(loop_status(number).unwrap(), *status);
            assert_eq!(number < 3, !status.is_final());
        }
        for state in CycleState::ALL {
            assert_eq!(cycle_state(cycle_state_number(*state)).unwrap(), *state);
        }
        assert!(run_status(7).is_err());
        assert!(loop_status(-1).is_err());
        assert!(cycle_state(6).is_err());
    }
}
