//! Synchronous webhooks: a caller is held until the run reaches a `respond`, and hears what that says.
//!
//! ```text
//! request ─▶ commit ─▶ held ──▶ respond, committed ──▶ its answer
//!                       ├─────▶ the run is over without one ──▶ 202, or 500 where it failed
//!                       └─────▶ `respond_within` is over ──▶ 504, and the run goes on
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use velodrome_core::{Finish, Held, HeldKey, Reply, Run, State, waits_at};
use velodrome_spec::Plan;
use velodrome_store::IdempotencyRow;
use velodrome_types::{Json, RunId};

use crate::accept::accepted_answer;
use crate::api::{HookAnswer, Problem, Written};
use crate::records::run_of;
use crate::shared::Shared;
use crate::webhook;

/// What a caller who is held hears.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// What a `respond` says.
    Answer(HookAnswer),
    /// The run has ended without one.
    Over(Box<Run>),
}

impl Told {
    /// As it goes out.
    pub(crate) fn answer(self, shared: &Shared) -> HookAnswer {
        match self {
            Self::Answer(answer) => answer,
            Self::Over(run) => over(shared, &run),
        }
    }
}

/// How long callers of this plan's webhook are held; `None` where they are not.
pub(crate) fn within(plan: &Plan) -> Option<Duration> {
    webhook::trigger(plan).and_then(|webhook| webhook.respond_within)
}

/// What a run keeps of a caller who is held, and of the key that the request came with.
pub(crate) fn keep(row: Option<&IdempotencyRow>) -> Held {
    Held {
        key: row.map(|row| HeldKey {
            hook: Some(row.hook.clone()),
            key: row.key.clone(),
            body_hash: row
                .body_hash
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            expires: row.expires,
        }),
    }
}

/// What a `respond` says, and what is remembered of it.
pub(crate) fn answered(run: &Run, reply: Reply) -> (Option<IdempotencyRow>, HookAnswer) {
    let answer = HookAnswer {
        status: reply.status,
        headers: reply.headers,
        body: reply.body,
        written: Written::Plain,
    };
    let row = reply.key.map(|key| row_of(run, key, &answer));
    (row, answer)
}

/// That a run has ended without an answer. Where it failed, the caller hears a 500, and a repeat under the
/// same key is a request of its own.
pub(crate) fn ended(run: &mut Run) -> Option<(Option<IdempotencyRow>, Told)> {
    let waits = waits_at(run).is_some();
    let held = run
        .held
        // One that waits for another request answers whoever sends that.
        .take_if(|_| matches!(run.state, State::Finished { .. }) || waits)?;
    let failed = matches!(
        run.state,
        State::Finished {
            how: Finish::Failed(_)
        }
    );
    let told = HookAnswer {
        status: 500,
        headers: Vec::new(),
        body: Json::Null,
        written: Written::Plain,
    };
    let key = held.key.filter(|_| failed);
    let row = key.map(|key| row_of(run, key, &told));
    Some((row, Told::Over(Box::new(run.clone()))))
}

/// Under the same key the same answer, if it is below 500: what is not is forgotten at once.
fn row_of(run: &Run, key: HeldKey, answer: &HookAnswer) -> IdempotencyRow {
    IdempotencyRow {
        hook: key.hook.unwrap_or_else(|| run.cycle.to_string()),
        body_hash: hash_of(&key.body_hash),
        key: key.key,
        status: answer.status,
        answer: remembered(answer),
        expires: if answer.status < 500 {
            key.expires
        } else {
            run.updated
        },
    }
}

fn hash_of(hex: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        let digits = hex.get(2 * at..2 * at + 2).unwrap_or("00");
        *byte = u8::from_str_radix(digits, 16).unwrap_or(0);
    }
    hash
}

/// The first item of a remembered answer that says more than a body: a list, where the engine's own answers
/// are objects.
const MARK: &str = "velodrome.answer";

/// An answer as it is remembered.
pub(crate) fn remembered(answer: &HookAnswer) -> Vec<u8> {
    match answer.written {
        Written::Json => answer.body.to_string().into_bytes(),
        Written::Plain => serde_json::json!([MARK, answer.headers, answer.body])
            .to_string()
            .into_bytes(),
    }
}

/// A remembered answer, read again.
pub(crate) fn recalled(row: &IdempotencyRow) -> HookAnswer {
    let stored = serde_json::from_slice(&row.answer).unwrap_or(Json::Null);
    let plain = || {
        let [mark, headers, body] = stored.as_array()?.as_slice() else {
            return None;
        };
        (mark == MARK).then_some(())?;
        let headers = serde_json::from_value(headers.clone()).ok()?;
        Some((headers, body.clone()))
    };
    let (headers, body, written) = match plain() {
        Some((headers, body)) => (headers, body, Written::Plain),
        None => (Vec::new(), stored, Written::Json),
    };
    HookAnswer {
        status: row.status,
        headers,
        body,
        written,
    }
}

/// A caller who is held. Dropped without an answer, nobody waits any more.
#[derive(Debug)]
pub(crate) struct Holding {
    shared: Arc<Shared>,
    run: RunId,
    answered: oneshot::Receiver<HookAnswer>,
    within: Duration,
}

impl Holding {
    /// Waits for what this run answers from now on.
    pub(crate) fn of(shared: &Arc<Shared>, run: RunId, within: Duration) -> Self {
        Self {
            shared: Arc::clone(shared),
            run,
            answered: shared.replies.of(run),
            within,
        }
    }

    /// What the run answers, or how it has ended; refused once the time is up.
    pub(crate) async fn answer(mut self) -> Result<HookAnswer, Problem> {
        let shared = Arc::clone(&self.shared);
        let until = shared.clock.now().plus(self.within);
        let answer = tokio::select! {
            biased;
            answer = &mut self.answered => answer.ok(),
            () = shared.clock.sleep_until(until) => None,
            () = shared.draining.cancelled() => None,
        };
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let mut problem = if shared.draining.is_cancelled() {
            Problem::new(
                503,
                "server.shutting_down",
                "the server is shutting down: the run goes on when it is back",
            )
        } else {
            let within = velodrome_types::format_duration(self.within);
            let what = format!("the run has not answered within {within}: it goes on");
            Problem::new(504, "respond.late", what)
        };
        let run = Json::String(self.run.to_string());
        problem.more.insert("run".to_owned(), run);
        Err(problem)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.answered.close();
        self.shared.replies.forget(self.run);
    }
}

/// A repeat of a request whose first caller is still held waits for the same answer; any other gets what
/// is remembered.
pub(crate) async fn repeated(
    shared: &Arc<Shared>,
    within: Option<Duration>,
    known: HookAnswer,
) -> Result<HookAnswer, Problem> {
    let run = known.body["run"].as_str().and_then(|run| run.parse().ok());
    let (Some(within), Some(run), 202) = (within, run, known.status) else {
        return Ok(known);
    };
    // Asked for before the look at the run: an answer in between is not missed.
    let holding = Holding::of(shared, run, within);
    let row = shared
        .store
        .run(run)
        .map_err(|error| Problem::new(503, "store.unavailable", error.to_string()))?;
    let open = row
        .and_then(|row| run_of(&shared.vault, &row).ok())
        .is_some_and(|run| run.held.is_some() && !matches!(run.state, State::Finished { .. }));
    if !open {
        return Ok(known);
    }
    let mut answer = holding.answer().await?;
    answer.headers.extend(known.headers);
    Ok(answer)
}

/// What a caller hears of a run that has ended and answered nothing.
fn over(shared: &Shared, run: &Run) -> HookAnswer {
    let State::Finished {
        how: Finish::Failed(failure),
    } = &run.state
    else {
        return accepted_answer(shared, run);
    };
    // Not what failed: the caller is a stranger.
    let mut problem = Problem::new(
        500,
        "respond.run_failed",
        format!(
            "the run failed before it answered: `velodrome run show {}` says why",
            run.id.tail()
        ),
    );
    problem
        .more
        .insert("run".to_owned(), Json::String(run.id.to_string()));
    tracing::debug!(run = %run.id, code = %failure.error.code, "a held caller hears that the run failed");
    HookAnswer {
        status: problem.status,
        headers: Vec::new(),
        body: serde_json::to_value(&problem).unwrap_or(Json::Null),
        written: Written::Json,
    }
}
