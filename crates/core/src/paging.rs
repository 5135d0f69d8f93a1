//! A list that pages itself: one page after the other, each a commit, so that a crash repeats one page.
//!
//! ```text
//! begin ─▶ page asked ──Listed, more──▶ progress and records kept, the next page asked
//!              ▲  │                └──▶ the last: records of all pages together, next steps
//!              │  └──Failed──▶ waits and is asked again │ fails, and can be resumed at this page
//!              └──── the token is void: from the first page again, repeats dropped
//! ```
//!
//! As with items the run's own row stays as it is meanwhile; what changes is written beside it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use velodrome_types::{Code, Json, StepId, Timestamp};

use crate::each::ItemWrites;
use crate::input::{Action, ListAnswer, Scripted, StepFailure, TimerChange};
use crate::machine::Moving;
use crate::run::State;
use crate::{exits, fail, steps};

/// How often a list begins again because the API no longer takes its token; once more fails it.
pub const MAX_RESTARTS: u32 = 5;

/// How far a list has come with its pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pages {
    /// Where the next page is asked, as whoever asks wrote it down; null is the first.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub cursor: Json,
    /// Which attempt at that page is under way, or comes next.
    pub attempt: u32,
    /// When that attempt begins; `None` while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Records of this walk so far, as the API sent them.
    pub count: u64,
    /// Pages that have been answered, of all walks.
    pub answered: u64,
    /// How often the walk began again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
    /// How many records `action_condition` let pass so far, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u64>,
    /// What the handlers of one page hand on to those of the next.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub action_data: Json,
    /// The hash of the last page that held records, and how many in a row had the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<(u64, u32)>,
    /// The records of each page, where something reads them. Stored page by page, not with the rest.
    #[serde(skip)]
    pub read: Vec<Arc<Vec<Json>>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if gives a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The first page is asked.
pub(crate) fn begin(moving: &mut Moving<'_>, id: StepId, attempt: u32) {
    let pages = Pages {
        attempt,
        ..Pages::default()
    };
    moving.run.fence += 1;
    ask(moving, id, pages);
}

/// The page at which it failed is asked again.
pub(crate) fn resume(moving: &mut Moving<'_>, id: StepId, pages: Pages) {
    moving.run.fence += 1;
    let pages = Pages {
        attempt: 1,
        due: None,
        restarts: 0,
        ..pages
    };
    moving.items.pages = Some(pages.clone());
    ask(moving, id, pages);
}

/// A wait is over.
pub(crate) fn due(moving: &mut Moving<'_>, id: StepId, pages: Pages) {
    if pages.due.is_some_and(|due| due <= moving.facts.now) {
        moving.timer = TimerChange::Clear;
        let pages = Pages { due: None, ..pages };
        moving.items.pages = Some(pages.clone());
        ask(moving, id, pages);
    }
}

/// The process began again: the page that was under way is asked again, a wait goes on.
pub(crate) fn recover(moving: &mut Moving<'_>, id: StepId, pages: Pages) {
    if pages.due.is_none() {
        ask(moving, id, pages);
    }
}

fn ask(moving: &mut Moving<'_>, id: StepId, pages: Pages) {
    moving.action = Some(Action::List {
        step: id.clone(),
        attempt: pages.attempt,
        fence: moving.run.fence,
    });
    moving.run.state = State::Paging {
        step: id,
        pages: Box::new(pages),
    };
}

/// A page has come.
pub(crate) fn listed(moving: &mut Moving<'_>, id: StepId, mut pages: Pages, answer: ListAnswer) {
    let mut answer = answer;
    let Some(ix) = moving.plan.find(id.as_str()) else {
        return steps::act(moving, &id, pages.attempt);
    };
    exits::heard(moving, ix, pages.attempt, &mut answer);
    let scripted = answer.scripted.take().unwrap_or_default();
    pages.action_data = scripted.action_data;
    if answer.restarted.is_some() {
        if pages.restarts >= MAX_RESTARTS {
            let message = format!(
                "the API refused the paging token of `{id}` after {MAX_RESTARTS} new beginnings"
            );
            let failure = StepFailure::permanent(Code::new("paging.token_expired"), message);
            return failed(moving, id, pages, failure);
        }
        // The records so far stay: those that come again are known as repeats.
        let pages = Pages {
            cursor: Json::Null,
            attempt: 1,
            count: 0,
            restarts: pages.restarts + 1,
            last: None,
            ..pages
        };
        moving.items.pages = Some(pages.clone());
        return ask(moving, id, pages);
    }
    if answer.count > 0 {
        let same = match pages.last {
            Some((hash, same)) if hash == answer.page_hash => same + 1,
            _ => 0,
        };
        let limit = moving.plan.limits.same_page_limit;
        if limit.is_some_and(|limit| same >= limit) {
            let message = format!(
                "{same} pages in a row of `{id}` held the same records as the one before: does the request say which page it asks?"
            );
            let failure = StepFailure::permanent(Code::new("paging.repeated"), message);
            return failed(moving, id, pages, failure);
        }
        pages.last = Some((answer.page_hash, same));
    }
    pages.count += answer.count;
    pages.passed = match (pages.passed, scripted.passed) {
        (None, None) => None,
        (before, here) => Some(before.unwrap_or(0) + here.unwrap_or(0)),
    };
    let more = answer.next.is_some() && !answer.cut;
    if let Some(records) = answer.records.take() {
        if more {
            let page = Json::Array(records.clone());
            moving.items.results.push((pages.answered, page));
        }
        pages.read.push(Arc::new(records));
    }
    pages.answered += 1;
    match answer.next.take() {
        Some(cursor) if more => {
            let pages = Pages {
                cursor,
                attempt: 1,
                ..pages
            };
            moving.items.pages = Some(pages.clone());
            ask(moving, id, pages);
        }
        _ => {
            let reads = moving.plan.step(ix).live.has("records");
            let records = reads.then(|| pages.read.iter().flat_map(|page| page.iter().cloned()));
            let answer = ListAnswer {
                count: pages.count,
                scripted: pages.passed.map(|passed| {
                    Box::new(Scripted {
                        passed: Some(passed),
                        ..Scripted::default()
                    })
                }),
                records: records.map(Iterator::collect),
                ..answer
            };
            moving.items = ItemWrites {
                clear: true,
                ..ItemWrites::default()
            };
            exits::list_over(moving, ix, answer);
        }
    }
}

/// A page did not come: it is asked again, or the step has failed, to be resumed at this page.
pub(crate) fn failed(moving: &mut Moving<'_>, id: StepId, pages: Pages, failure: StepFailure) {
    let mut failure = failure;
    moving.script_logs(&id, std::mem::take(&mut failure.logs));
    let Some(ix) = moving.plan.find(id.as_str()) else {
        return fail::fail_run(moving, id, &failure, pages.attempt, None);
    };
    let step = moving.plan.step(ix);
    if let Some(gap) = fail::gap(moving, &failure, pages.attempt, step) {
        let due = moving.facts.now.plus(gap);
        fail::told_retry(moving, step, pages.attempt, &failure, (gap, due), None);
        let pages = Pages {
            attempt: pages.attempt + 1,
            due: Some(due),
            ..pages
        };
        moving.timer = TimerChange::Set(due);
        moving.items.pages = Some(pages.clone());
        moving.run.state = State::Paging {
            step: id,
            pages: Box::new(pages),
        };
        return;
    }
    let attempt = pages.attempt;
    moving.items.pages = Some(pages.clone());
    moving.failed_pages = Some(Box::new(pages));
    fail::for_good(moving, ix, attempt, None, failure);
    if moving.failed_pages.take().is_some() {
        // It was caught: nothing of the pages is needed again.
        moving.items = ItemWrites {
            clear: true,
            ..ItemWrites::default()
        };
    }
}
