//! A request that was not sent because its connection waits.

use std::time::Duration;

use velodrome_core::{FailureKind, Input, State, StepFailure, TimerChange, WaitingOn};
use velodrome_types::{Code, Event, Level};

use crate::common::{Stored, asking, later, moved, moved_at, page_loop};

fn held(seconds: u64) -> StepFailure {
    StepFailure {
        kind: FailureKind::Held,
        retry_after: Some(Duration::from_secs(seconds)),
        ..StepFailure::permanent(Code::new("request.held"), "connection `zoho` waits")
    }
}

#[test]
fn waiting_for_a_turn_is_no_attempt_however_often() {
    let plan = page_loop(Duration::from_secs(2));
    let mut now = asking(&plan);
    for _ in 0..50 {
        let input = Input::Failed {
            fence: now.run.fence,
            failure: held(60),
        };
        let waits = moved(&plan, now.run, now.looped, input).expect("it is awaited");
        let State::Waiting { on, .. } = &waits.run.state else {
            panic!("{:?}", waits.run.state);
        };
        assert!(
            matches!(on, WaitingOn::Retry { due, attempt: 1, .. } if *due == later(60)),
            "{on:?}"
        );
        assert_eq!(waits.timer, TimerChange::Set(later(60)));
        let line = waits.lines.last().expect("it is told");
        assert_eq!(
            (line.event, line.level),
            (Event::RetryScheduled, Level::Info)
        );
        assert_eq!(line.code.as_ref().map(Code::as_str), Some("request.held"));
        let fence = waits.run.fence;
        let (due, stored) = (Input::Due { fence }, Stored::default());
        now = moved_at(&plan, waits.run, waits.looped, due, later(60), &stored).expect("it is due");
        // The clock of these tests goes back; what counts is the attempt.
        assert!(matches!(&now.run.state, State::Running { attempt: 1, .. }));
    }
}
