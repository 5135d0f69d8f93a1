//! Calling a step's handlers: what goes in, what comes out, and where a fault stands in the file.
//!
//! An event is heard at three levels, one after the other with the same variables: `before_*` at the method,
//! the connector, the step; all others at the connector, the method, the step. Where false means something it
//! ends that; where it means nothing the next level is called all the same.
//!
//! Each handler sees the storage of its step's connection through an [`Overlay`]; what it writes there
//! travels on in the overlay and is committed with its step's outcome (I6).

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use velodrome_connect::Asker;
use velodrome_core::{FailureKind, StepFailure};
use velodrome_script::{
    Call, Finished, NoOutside, Outside, RUN, Returned, ScriptError, ScriptHost, Vars,
};
use velodrome_spec::Plan;
use velodrome_spec::plan::{ScriptLevel, Step, StepScript};
use velodrome_store::Store;
use velodrome_types::{Code, CycleId, Json, JsonMap, LoopId, RunId, Timestamp};

use crate::overlay::{Overlay, Reach, View};
use crate::script_requests::ScriptRequests;
use crate::script_threads::ScriptThreads;
use crate::shared::Shared;

/// What handlers are called with.
#[derive(Clone, Debug)]
pub(crate) struct Handlers {
    pub(crate) host: Arc<ScriptHost>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) threads: Threads,
}

/// Where a script runs that may take its time.
#[derive(Clone, Debug)]
pub(crate) enum Threads {
    /// On the caller's thread, the only one: in virtual time nothing happens meanwhile.
    Own,
    /// On threads beside the engine's, so many at once: past them calls wait for their turn, and
    /// whatever scripts do, the engine's own threads go on.
    Pool(ScriptThreads),
}

impl Threads {
    /// Threads beside the engine's, on whose runtime this is called.
    pub(crate) fn pool() -> Self {
        Self::Pool(ScriptThreads::beside(Handle::current()))
    }
}

/// Whom a handler runs for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) plan: &'a Plan,
    pub(crate) step: &'a Step,
    pub(crate) run: RunId,
    pub(crate) loop_id: LoopId,
    pub(crate) lap: u64,
    pub(crate) now: Timestamp,
    /// Which item or page of the step it is about, from 0.
    pub(crate) at: u64,
    /// What it runs for.
    pub(crate) purpose: Purpose,
}

/// What a step is performed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A run.
    Run,
    /// A person who wants to see what it does; no run is there, and nothing is kept.
    Test,
}

impl Purpose {
    /// As scripts read it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "RUNNING_TRANSACTION",
            Self::Test => "STEP_TESTING",
        }
    }
}

/// A handler that ran to its end.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) passed: bool,
    /// What a `script` step's function gave; null of any other handler.
    pub(crate) value: Json,
    pub(crate) vars: Vars,
    pub(crate) overlay: Overlay,
    pub(crate) logs: Vec<String>,
    /// Keys it read whose value another loop wrote.
    pub(crate) foreign: Vec<(String, LoopId)>,
}

/// Events whose false is an answer: nobody is asked after it.
const ASKED: [&str; 4] = [
    "before_webhook",
    "after_webhook",
    "before_action",
    "action_condition",
];

impl Handlers {
    /// Calls a handler at every level that defines it; where none does, that counts as true. On a fault
    /// the writes of all levels are dropped with the overlay.
    pub(crate) async fn call(
        &self,
        caller: Caller<'_>,
        handler: &'static str,
        vars: Vars,
        overlay: Overlay,
    ) -> Result<Called, Box<StepFailure>> {
        let mut all = Called {
            passed: true,
            value: Json::Null,
            vars,
            overlay,
            logs: Vec::new(),
            foreign: Vec::new(),
        };
        let mut is_filled = false;
        for (level, script) in caller.step.handlers(handler) {
            if !is_filled {
                fill(&mut all.vars, caller);
                is_filled = true;
            }
            let vars = std::mem::take(&mut all.vars);
            let overlay = std::mem::take(&mut all.overlay);
            // Boxed: most steps have no script, and would carry room for one all the same.
            let one = self.call_one((level, script), caller, handler, vars, overlay);
            let called = Box::pin(one).await.map_err(|mut failure| {
                let mut logs = std::mem::take(&mut all.logs);
                logs.append(&mut failure.logs);
                failure.logs = logs;
                failure
            })?;
            all.passed &= called.passed;
            all.value = called.value;
            all.vars = called.vars;
            all.overlay = called.overlay;
            all.logs.extend(called.logs);
            all.foreign.extend(called.foreign);
            if !all.passed && ASKED.contains(&handler) {
                break;
            }
        }
        Ok(all)
    }

    /// Calls a handler of one script.
    pub(crate) async fn call_one(
        &self,
        (level, script): (ScriptLevel, &StepScript),
        caller: Caller<'_>,
        handler: &'static str,
        vars: Vars,
        overlay: Overlay,
    ) -> Result<Called, Box<StepFailure>> {
        let reach = Reach {
            connection: caller.step.connection(),
            cycle: CycleId::clone(&caller.plan.cycle),
            loop_id: caller.loop_id,
        };
        let view = View::new(Arc::clone(&self.store), reach, overlay);
        let long = is_long(script, &vars);
        let call = Call {
            vars,
            storage: Box::new(view.clone()),
            outside: self.outside(caller, long),
            now: caller.now,
            seed: seed(caller, (level, script), handler),
        };
        // What is not compiled yet may wait for a worker: it is part of the call.
        let (language, code) = (script.language, Arc::clone(&script.code));
        let called = move |host: &ScriptHost, call| {
            let compiled = host.compile(language, &code)?;
            Ok(match handler {
                RUN => host.run_step(&compiled, call),
                handler => host.call(&compiled, handler, call),
            })
        };
        let watch = caller.shared.clock.stopwatch();
        let finished: Result<Finished, ScriptError> = match &self.threads {
            Threads::Pool(threads) if long => {
                let host = Arc::clone(&self.host);
                let of = caller.plan.cycle.as_str();
                let running = threads.run(of, move || called(&host, call));
                running.await.map_err(|_| Box::new(lost(script)))?
            }
            _ => called(&self.host, call),
        };
        let well = matches!(&finished, Ok(finished) if finished.result.is_ok());
        let metrics = &caller.shared.metrics;
        metrics.script_called(script.language, well, watch.elapsed());
        let finished = finished.map_err(|error| Box::new(failure(script, error, Vec::new())))?;
        let (overlay, foreign) = view.take();
        match finished.result {
            Ok(returned) => Ok(Called {
                passed: returned != Returned::False,
                value: match returned {
                    Returned::Value(value) => value,
                    Returned::True | Returned::False => Json::Null,
                },
                vars: finished.vars,
                overlay,
                logs: finished.logs,
                foreign,
            }),
            Err(error) => Err(Box::new(failure(script, error, finished.logs))),
        }
    }
}

impl Handlers {
    /// The world as this call reaches it: none where a script runs on the only thread there is.
    fn outside(&self, caller: Caller<'_>, long: bool) -> Box<dyn Outside> {
        if matches!(self.threads, Threads::Own) || !long {
            return Box::new(NoOutside);
        }
        let asker = Asker {
            cycle: caller.plan.cycle.clone(),
            step: caller.step.id.clone(),
            loop_id: caller.loop_id,
            lap: caller.lap,
        };
        Box::new(ScriptRequests::of(
            caller.shared,
            caller.step,
            (caller.run, asker),
        ))
    }
}

/// Values that a short script may be given on a thread of the engine's: copying and comparing so many takes
/// some ten microseconds.
const FEW: usize = 1_000;

/// Whether it may run for longer than a thread of the engine's can be spared: by what it does, or by what it is
/// given.
fn is_long(script: &StepScript, vars: &Vars) -> bool {
    let mut room = FEW;
    !script.analysis.short
        || [&vars.method_request, &vars.method_response]
            .into_iter()
            .any(|value| !fits(value, &mut room))
}

/// Whether a value has no more parts than there is room for; a long text counts for many.
fn fits(value: &Json, room: &mut usize) -> bool {
    let own = match value {
        Json::String(text) => 1 + text.len() / 64,
        Json::Array(items) => 1 + items.len(),
        Json::Object(fields) => 1 + fields.len(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 1,
    };
    let Some(left) = room.checked_sub(own) else {
        return false;
    };
    *room = left;
    match value {
        Json::Array(items) => items.iter().all(|item| fits(item, room)),
        Json::Object(fields) => fields.values().all(|field| fits(field, room)),
        _ => true,
    }
}

/// The thread it ran on is gone, which nothing a script does brings about.
fn lost(script: &StepScript) -> StepFailure {
    StepFailure::permanent(
        Code::new("engine.fault"),
        format!("the script in `{}` was lost", script.path),
    )
}

fn fill(vars: &mut Vars, caller: Caller<'_>) {
    vars.cycle_id = caller.plan.cycle.to_string();
    vars.cycle_step_id = caller.step.id.to_string();
    vars.transaction_id = caller.run.to_string();
    vars.script_execution_context = caller.purpose.as_str().to_owned();
    vars.cycle_variables = caller.plan.variables.iter().cloned().collect::<JsonMap>();
    vars.method_response_fields_in_use = caller.step.live.names.iter().cloned().collect();
}

/// The same for an event of a run's step, and for each item or page of it, whenever its handler runs, so that
/// `uuid()` is the same after a crash; another for every other event, level and inline script.
fn seed(
    caller: Caller<'_>,
    (level, script): (ScriptLevel, &StepScript),
    handler: &str,
) -> [u8; 16] {
    let level = match level {
        ScriptLevel::Step => 0_u8,
        ScriptLevel::Method => 1,
        ScriptLevel::Connector => 2,
    };
    let hash = Sha256::new()
        .chain_update(caller.run.as_bytes())
        .chain_update(caller.step.id.as_str())
        .chain_update([0, level])
        .chain_update(handler)
        .chain_update(script.line.to_be_bytes())
        .chain_update(caller.at.to_be_bytes())
        .finalize();
    let mut seed = [0; 16];
    seed.copy_from_slice(&hash[..16]);
    seed
}

/// What a script's fault is to the step, or the sign-in, that it ran for.
pub(crate) fn failure(script: &StepScript, error: ScriptError, logs: Vec<String>) -> StepFailure {
    let mut message = error.message;
    if let Some(hint) = error.hint {
        message = format!("{message}: {hint}");
    }
    StepFailure {
        kind: FailureKind::Permanent,
        at: error.line.map(|line| {
            format!(
                "{}:{}",
                script.path,
                script.line.saturating_add(line).saturating_sub(1)
            )
        }),
        logs,
        ..StepFailure::permanent(error.code, message)
    }
}
