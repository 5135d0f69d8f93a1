//! The host: one engine, shared by all threads; compiles scripts and calls their handlers.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult, Position, Scope};
use velodrome_spec::plan::{Language, ScriptAnalysis};
use velodrome_spec::{ScriptAnalyser, ScriptFault};
use velodrome_types::{Code, Json, Timestamp};

use crate::analyse::Reader;
use crate::call_state::{CallState, CallTag};
use crate::clock::{Clock, monotonic};
use crate::convert::to_json;
use crate::errors::{FAILED, ScriptError, translate};
use crate::js::{JavaScript, Wanted, Workers};
use crate::limits::{ScriptLimits, bounded_engine};
use crate::meter::{self, Allowance, Metered};
use crate::outside::{Outside, Requests};
use crate::script::{Body, Cache, Facts, Script};
use crate::storage::StorageView;
use crate::vars::{Var, Vars};
use crate::{bounded_fns, general_fns, pure_fns, storage_fns};

/// What a handler is called with.
pub struct Call {
    /// Its variables.
    pub vars: Vars,
    /// Its view of storage.
    pub storage: Box<dyn StorageView>,
    /// The world that it may ask.
    pub outside: Box<dyn Outside>,
    /// What `now()` gives, however often it is asked.
    pub now: Timestamp,
    /// What `uuid()` is derived from: the same seed gives the same ids in the same order.
    pub seed: [u8; 16],
}

/// What a handler left.
pub struct Finished {
    /// How it ended.
    pub result: Result<Returned, ScriptError>,
    /// The variables as the script left them. After an error they mean nothing: the handler did not
    /// get to its end.
    pub vars: Vars,
    /// The view of storage, given back in every case.
    pub storage: Box<dyn StorageView>,
    /// What the script said with `log`, `print` and `debug`, also before an error.
    pub logs: Vec<String>,
}

/// What a handler returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Returned {
    /// True, nothing, or anything that is not `false`.
    True,
    /// `false` itself.
    False,
    /// What a step's [`RUN`] gave, whatever it is.
    Value(Json),
}

/// The function of a `script` step.
pub const RUN: &str = "run";

/// Compiles scripts and runs their handlers. Shared between threads; holds no lock while a script runs.
pub struct ScriptHost {
    engine: Engine,
    reader: Reader,
    limits: ScriptLimits,
    clock: Clock,
    scripts: Cache,
    javascript: JavaScript,
}

impl ScriptHost {
    /// A host with these limits for every call, timed by the machine's monotonic clock. JavaScript runs in
    /// `workers`; none is started before it is needed.
    pub fn new(limits: ScriptLimits, workers: Workers) -> Self {
        Self::with(limits, workers, monotonic())
    }

    /// As [`new`](Self::new) with another clock for Rhai: time since some fixed moment, never going back.
    pub fn new_with_clock(
        limits: ScriptLimits,
        workers: Workers,
        clock: Box<dyn Fn() -> Duration + Send + Sync>,
    ) -> Self {
        Self::with(limits, workers, clock.into())
    }

    fn with(limits: ScriptLimits, workers: Workers, clock: Clock) -> Self {
        let mut engine = bounded_engine(&limits);
        general_fns::register(&mut engine);
        pure_fns::register(&mut engine, &limits);
        storage_fns::register(&mut engine);
        bounded_fns::register(&mut engine);
        engine.on_print(meter::log);
        engine.on_debug(|text, _, _| meter::log(text));
        resolve_variables(&mut engine, Arc::clone(&clock));
        let progress_clock = Arc::clone(&clock);
        engine.on_progress(move |operations| meter::progress(operations, &*progress_clock));
        Self {
            reader: Reader::new(&engine),
            engine,
            javascript: JavaScript::new(&limits, workers),
            limits,
            clock,
            scripts: Cache::default(),
        }
    }

    /// How many workers for JavaScript there are.
    pub fn workers(&self) -> usize {
        self.javascript.workers()
    }

    /// Compiles a script, or finds it compiled. Of several faults the error is the first.
    pub fn compile(&self, language: Language, code: &str) -> Result<Arc<Script>, ScriptError> {
        self.read(language, code).map_err(|faults| {
            faults.into_iter().next().map_or_else(
                || failed("the script cannot be read".to_owned()),
                ScriptError::from,
            )
        })
    }

    fn read(&self, language: Language, code: &str) -> Result<Arc<Script>, Vec<ScriptFault>> {
        if let Some(script) = self.scripts.get(language, code) {
            return Ok(script);
        }
        let script = match language {
            Language::Rhai => {
                self.reader
                    .read(&self.engine, &self.limits, self.allowance(), code)?
            }
            Language::JavaScript => {
                let (source, analysis) = self.javascript.read(code)?;
                Script {
                    analysis,
                    body: Body::JavaScript(source),
                }
            }
        };
        Ok(self.scripts.put(language, code, Arc::new(script)))
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            now: (self.clock)(),
            time: self.limits.time,
            memory: self.limits.memory,
        }
    }

    /// Calls a handler and waits for its end, and in JavaScript for a free worker before. A handler that
    /// the script does not define counts as true.
    ///
    /// Every error comes back in [`Finished::result`]; nothing a script does makes this panic.
    pub fn call(&self, script: &Script, handler: &str, call: Call) -> Finished {
        self.finish(script, handler, call, Wanted::Verdict)
    }

    /// Calls the function of a `script` step, [`RUN`], as [`call`](Self::call) does a handler, and gives what
    /// it returns.
    pub fn run_step(&self, script: &Script, call: Call) -> Finished {
        self.finish(script, RUN, call, Wanted::Value)
    }

    fn finish(&self, script: &Script, handler: &str, call: Call, wanted: Wanted) -> Finished {
        if !script.analysis.has(handler) {
            return Finished {
                result: Ok(Returned::True),
                vars: call.vars,
                storage: call.storage,
                logs: Vec::new(),
            };
        }
        let Some(metered) = Metered::begin(self.allowance()) else {
            return Finished {
                result: Err(failed(
                    "a script cannot be called from within another's storage".to_owned(),
                )),
                vars: call.vars,
                storage: call.storage,
                logs: Vec::new(),
            };
        };
        match &script.body {
            Body::Rhai { ast, facts } => {
                self.call_rhai((ast, facts), handler, call, (&metered, wanted))
            }
            Body::JavaScript(source) => {
                let of_call = (&metered, wanted);
                self.javascript.call(source, handler, call, of_call)
            }
        }
    }

    fn call_rhai(
        &self,
        (ast, facts): (&AST, &Arc<Facts>),
        handler: &str,
        call: Call,
        (metered, wanted): (&Metered, Wanted),
    ) -> Finished {
        let requests = Requests::new(call.outside, call.seed, handler, &self.limits);
        let state = Arc::new(CallState::new(
            call.vars,
            (call.storage, requests),
            Arc::clone(facts),
            call.now,
            call.seed,
        ));
        let outcome = self.run(ast, handler, &state);
        let logs = metered.take_log();
        let (storage, missed) = {
            let mut changing = state.changing();
            (
                changing.storage.take(),
                std::mem::take(&mut changing.missed),
            )
        };
        let (mut vars, slots) = match Arc::try_unwrap(state) {
            Ok(CallState { vars, slots, .. }) => (vars, slots),
            Err(shared) => (shared.vars.clone(), shared.slots.clone()),
        };
        let result = match outcome {
            Some(Ok(value)) => Var::ALL
                .iter()
                .zip(slots)
                .filter(|(var, _)| facts.changes[**var as usize])
                .try_for_each(|(var, slot)| match slot.into_inner() {
                    Some(value) => var.store(&value.flatten(), &mut vars),
                    None => Ok(()),
                })
                .and_then(|()| match wanted {
                    Wanted::Verdict => Ok(verdict(&value)),
                    Wanted::Value => given(&value),
                }),
            Some(Err(error)) => Err(translate(*error, &missed)),
            None => Err(failed("the script made its engine fail".to_owned())),
        };
        Finished {
            result,
            vars,
            storage: storage.expect("nothing else takes a call's storage"),
            logs,
        }
    }

    /// `None` is a panic inside the engine: a defect there must not take other runs down.
    fn run(
        &self,
        ast: &AST,
        handler: &str,
        state: &Arc<CallState>,
    ) -> Option<Result<Dynamic, Box<EvalAltResult>>> {
        let options = CallFnOptions::new()
            .eval_ast(false)
            .with_tag(Dynamic::from(CallTag(Arc::clone(state))));
        catch_unwind(AssertUnwindSafe(|| {
            self.engine.call_fn_with_options::<Dynamic>(
                options,
                &mut Scope::new(),
                ast,
                handler,
                (),
            )
        }))
        .ok()
    }
}

impl ScriptAnalyser for ScriptHost {
    fn analyse(
        &self,
        language: Language,
        source: &str,
    ) -> Result<ScriptAnalysis, Vec<ScriptFault>> {
        self.read(language, source)
            .map(|script| script.analysis.clone())
    }
}

/// Lets functions see Cyclr's variables and the script's constants, and the meter see their scope.
fn resolve_variables(engine: &mut Engine, clock: Clock) {
    #[expect(
        deprecated,
        reason = "the engine's mark for an interface that may change"
    )]
    engine.on_var(move |name, local, context| {
        if meter::look_is_due() {
            let tag = context.tag().read_lock::<CallTag>();
            let changed = tag.iter().flat_map(|tag| {
                let state = &tag.0;
                let slots = state.slots.iter().zip(state.facts.changes);
                slots.filter_map(|(slot, changes)| changes.then(|| slot.get()).flatten())
            });
            meter::look(context.call_level(), context.scope(), changed, &*clock)
                .map_err(|stop| EvalAltResult::ErrorTerminated(stop.token(), Position::NONE))?;
        }
        if local > 0 {
            return Ok(None);
        }
        let Some(tag) = context.tag().read_lock::<CallTag>() else {
            return Ok(None);
        };
        Ok(match Var::find(name) {
            Some(var) => Some(tag.0.variable(var)),
            None => tag.0.facts.constant(name),
        })
    });
}

fn verdict(value: &Dynamic) -> Returned {
    match value.as_bool() {
        Ok(false) => Returned::False,
        _ => Returned::True,
    }
}

fn given(value: &Dynamic) -> Result<Returned, ScriptError> {
    to_json(value)
        .map(Returned::Value)
        .map_err(|error| failed(format!("what `{RUN}` returns cannot be kept: {error}")))
}

fn failed(message: String) -> ScriptError {
    ScriptError {
        code: Code::new(FAILED),
        message,
        hint: None,
        line: None,
        column: None,
    }
}

impl fmt::Debug for ScriptHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptHost")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("vars", &self.vars)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("result", &self.result)
            .field("vars", &self.vars)
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}
