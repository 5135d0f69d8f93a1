//! The pure run machine: what a run does next, decided without a clock, a socket or a store.
//!
//! ```text
//!            Input                    Transition
//!  accepted ──────┐              ┌──▶ run', loop'      ┐
//!  action done ───┤              ├──▶ log lines        │ one commit
//!  timer due ─────┼─▶ advance() ─┼──▶ timer, watermark ┘
//!  stop ──────────┘              └──▶ Action, performed only after the commit
//! ```
//!
//! A run moves only by an [`Input`]; [`advance`] is the one function that changes it. Pure steps
//! (decision, zero delay, stop, watermark) are folded into the transition that reaches them.
//! Recovery is the same function over what was committed.

#![expect(
    clippy::result_large_err,
    reason = "an error is made once a failed request and carries what people need; a box would be one more thing to read past"
)]

mod accept;
mod branches;
mod compare;
mod convert;
mod each;
mod eval;
mod exits;
mod fail;
mod fields;
mod gather;
mod guard;
mod input;
mod lines;
mod looped;
mod machine;
mod midway;
mod notice;
mod paging;
pub mod payload;
mod places;
mod preview;
mod respond;
mod resume;
mod run;
mod steps;

pub use accept::{Acceptance, Delivery, Origin, accept_first_lap, accept_next_lap};
pub use branches::{over_for, with_descendants};
pub use compare::{compare, holds};
pub use each::{Each, ItemWrites, OpenItem, item_of};
pub use eval::{
    EvalError, InlineValues, Scope, Statics, evaluate, evaluate_map, evaluate_static, evaluate_url,
    inline_inputs, text_of,
};
pub use fields::{FieldProblem, convert_fields};
pub use gather::next_of_lap;
pub use guard::{may_begin_lap, may_hop};
pub use input::{
    Action, Exit, Facts, FailureKind, Ids, Input, ItemCall, ItemReport, ListAnswer, RecordKey,
    Rows, Scripted, SendAnswer, StepFailure, TimerChange, Transition, Watermarks,
};
pub use lines::Lines;
pub use looped::{Gathering, Kin, ListState, Loop};
pub use machine::advance;
pub use midway::{Awaited, Call, Fit, waits_at};
pub use notice::{Notice, NoticeTo, notice_to};
pub use paging::{MAX_RESTARTS, Pages};
pub use places::{Admission, Places};
pub use preview::preview;
pub use resume::{NotResumable, may_resume};
pub use run::{
    Beside, Branch, Failure, Finish, Held, HeldKey, Reply, Run, SplitItem, Standing, Start, State,
    StepError, WaitingOn, Whose,
};
pub use steps::first_filter;
