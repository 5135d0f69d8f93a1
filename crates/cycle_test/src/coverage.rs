//! Which exits of a cycle its tests take.

use std::collections::BTreeSet;

use velodrome_core::Exit;
use velodrome_spec::Plan;
use velodrome_spec::plan::{Step, StepIx, StepKind};
use velodrome_types::StepId;

/// Exits taken, of all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// How many were taken.
    pub taken: usize,
    /// How many there are.
    pub all: usize,
    /// Those that never were, in file order.
    pub never: Vec<NeverTaken>,
}

/// An exit that no test took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverTaken {
    /// The step.
    pub step: StepId,
    /// `then`, `else`, `catch` or `end`.
    pub exit: &'static str,
    /// Where it leads; `None` ends the run.
    pub to: Option<StepId>,
    /// The step's 1-based line in the cycle's file.
    pub line: u32,
}

impl Coverage {
    pub(crate) fn of(plan: &Plan, taken: &BTreeSet<(StepIx, Exit)>) -> Self {
        let mut all = 0;
        let mut never = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            for (exit, to) in exits(step) {
                all += 1;
                if !taken.contains(&(StepIx(at as u16), exit)) {
                    never.push(NeverTaken {
                        step: step.id.clone(),
                        exit: exit.as_str(),
                        to: to.map(|to| plan.step(to).id.clone()),
                        line: step.line,
                    });
                }
            }
        }
        Self {
            taken: all - never.len(),
            all,
            never,
        }
    }

    /// The part taken, from 0 to 100; all of nothing is 100.
    pub fn percent(&self) -> f64 {
        if self.all == 0 {
            return 100.0;
        }
        self.taken as f64 * 100.0 / self.all as f64
    }
}

/// Every way out of a step, with where it leads.
fn exits(step: &Step) -> Vec<(Exit, Option<StepIx>)> {
    let mut exits = match &step.kind {
        StepKind::Stop { .. } => vec![(Exit::End, None)],
        StepKind::Decision(_) => vec![(Exit::Then, step.then), (Exit::Else, step.otherwise)],
        StepKind::Switch(switch) => {
            let cases = switch.cases.iter().zip(0..);
            cases
                .map(|((_, to), at)| (Exit::Case(at), Some(*to)))
                .chain([(Exit::Else, step.otherwise)])
                .collect()
        }
        StepKind::List(_) | StepKind::Send(_) if step.has_two_exits() => {
            vec![(Exit::Then, step.then), (Exit::Else, step.otherwise)]
        }
        _ => vec![(Exit::Then, step.then)],
    };
    exits.extend(step.catch.map(|catch| (Exit::Catch, Some(catch))));
    exits
}

impl NeverTaken {
    /// `contacts: else → remember`.
    pub fn shown(&self) -> String {
        let to = self.to.as_ref().map_or("end", StepId::as_str);
        if self.exit == "end" {
            return format!("`{}`", self.step);
        }
        format!("`{}` {} → {to}", self.step, self.exit)
    }
}
