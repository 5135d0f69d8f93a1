//! Performing actions: what a transition asked for, done once it is committed.
//!
//! A job knows the run as it was committed and reports one [`Input`] back; it changes nothing itself.

mod carried;
mod compute;
mod home;
mod list;
mod page;
mod request;
mod send;
mod watch;

use std::sync::Arc;

use velodrome_connect::{Connection, ErrorKind, RequestError, TokenSet};
use velodrome_core::{
    FailureKind, InlineValues, Input, ItemCall, ItemReport, ListState, Pages, Run, Scope, State,
    StepFailure, item_of,
};
use velodrome_spec::Plan;
use velodrome_spec::plan::{MethodUse, Step, StepIx, StepKind};
use velodrome_types::{Code, Json, JsonMap, LoopId, RunId, StepId};

use crate::handlers::Purpose;
use crate::inline::prepared;
use crate::overlay::Overlay;
use crate::seen::SeenKeys;
use crate::shared::Shared;
use carried::Carried;
pub(crate) use page::drops_repeats;
pub(crate) use watch::{Brought, Exchanged};

/// An action to be performed.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) shared: Arc<Shared>,
    pub(crate) plan: Arc<Plan>,
    /// The run as it was committed.
    pub(crate) run: Run,
    /// What the loop keeps for the step, where it is a list.
    pub(crate) list: ListState,
    /// The records it has seen, where it drops repeats; or why they cannot be read.
    pub(crate) seen: Result<SeenKeys, String>,
    pub(crate) step: StepIx,
    pub(crate) fence: u64,
    /// The request as it was built before.
    pub(crate) built: Option<Json>,
    /// The item of a `for_each` that it is for.
    pub(crate) item: Option<Item>,
    /// What the step's inline scripts gave; filled in when it is performed.
    pub(crate) inline: InlineValues,
    /// What it is performed for.
    pub(crate) purpose: Purpose,
}

/// An item of a `for_each`.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) value: Json,
    pub(crate) index: u64,
    pub(crate) attempt: u32,
}

impl Item {
    /// The item that is called for, out of what the run keeps.
    pub(crate) fn of(
        shared: &Shared,
        plan: &Plan,
        run: &Run,
        step: &StepId,
        call: &ItemCall,
    ) -> Option<Self> {
        let step = plan.step(plan.find(step.as_str())?);
        let list = &step.each.as_ref()?.list;
        Some(Self {
            value: item_of(plan, run, list, call.index, shared),
            index: call.index,
            attempt: call.attempt,
        })
    }

    /// What became of it, as the run hears it.
    pub(crate) fn report(&self, input: Input) -> Input {
        let (fence, report) = match input {
            Input::Built {
                fence,
                request,
                logs,
            } => (fence, ItemReport::Built { request, logs }),
            Input::Sent { fence, answer } => (fence, ItemReport::Sent(answer)),
            Input::Failed { fence, failure } => (fence, ItemReport::Failed(failure)),
            other => return other,
        };
        Input::Item {
            fence,
            index: self.index,
            attempt: self.attempt,
            report,
        }
    }
}

/// What became of an action.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) run: RunId,
    pub(crate) input: Input,
    /// What its handlers wrote.
    pub(crate) overlay: Overlay,
    /// What its handlers read that another loop wrote.
    pub(crate) foreign: Vec<(String, LoopId)>,
    /// Where it happened.
    pub(crate) step: StepId,
}

/// What an action gathers on its way.
#[derive(Debug, Default)]
struct Gathered {
    overlay: Overlay,
    foreign: Vec<(String, LoopId)>,
    logs: Vec<String>,
    /// What its handlers hand on to each other.
    carried: Carried,
    /// An error that a script made a warning.
    warning: Option<Box<str>>,
    /// The tokens that its request is signed with.
    signed: Option<TokenSet>,
    /// Whether a script has had them refreshed.
    refreshed: bool,
    /// What the log keeps of the last exchange.
    kept: Option<Box<JsonMap>>,
    /// What went out and came in, of a step test.
    watched: Vec<Exchanged>,
}

impl Job {
    /// Performs the action and reports.
    pub(crate) async fn perform(self) -> Report {
        self.watched(Overlay::default()).await.0
    }

    /// The same over writes that are still to be committed, with the exchanges that a step test looks at; a
    /// run keeps none.
    pub(crate) async fn watched(mut self, overlay: Overlay) -> (Report, Vec<Exchanged>) {
        let (run, id, fence) = (self.run.id, self.step().id.clone(), self.fence);
        let item = self.item.clone();
        let mut gathered = Gathered {
            overlay,
            ..Gathered::default()
        };
        let evaluated = self.evaluate_inline(&mut gathered.logs).await;
        let outcome = match evaluated {
            Ok(values) => {
                self.inline = values;
                self.perform_step(&mut gathered).await
            }
            Err(failure) => Err(failure),
        };
        let input = outcome.unwrap_or_else(|mut failure| {
            let mut logs = std::mem::take(&mut gathered.logs);
            logs.append(&mut failure.logs);
            failure.logs = logs;
            failure.kept = gathered.kept.take();
            Input::Failed {
                fence,
                failure: *failure,
            }
        });
        let input = match &item {
            Some(item) => item.report(input),
            None => input,
        };
        let report = Report {
            run,
            input,
            overlay: gathered.overlay,
            foreign: gathered.foreign,
            step: id,
        };
        (report, gathered.watched)
    }

    /// Runs the step's inline scripts. A request that has been built was built with what they gave then.
    async fn evaluate_inline(
        &self,
        logs: &mut Vec<String>,
    ) -> Result<InlineValues, Box<StepFailure>> {
        if self.built.is_some() || self.step().inlines().is_empty() {
            return Ok(InlineValues::new());
        }
        let prepared = prepared(self.step(), self.scope());
        let handlers = &self.shared.handlers;
        handlers.inline(self.caller(), prepared, logs).await
    }

    async fn perform_step(&self, gathered: &mut Gathered) -> Result<Input, Box<StepFailure>> {
        let step = self.step();
        match &step.kind {
            // What asks an API is large: a step that computes is not to carry room for it.
            StepKind::List(list) => Box::pin(list::ask(self, step, list, gathered)).await,
            StepKind::Send(send) => Box::pin(send::send(self, step, send, gathered)).await,
            StepKind::Script { map } => self.run_script(map, gathered).await,
            StepKind::Storage(storage) => self.use_storage(storage, gathered).await,
            StepKind::Decision(_)
            | StepKind::Switch(_)
            | StepKind::WaitUntil(_)
            | StepKind::Respond(_)
            | StepKind::Stop { .. } => Ok(Input::Evaluated {
                fence: self.fence,
                values: self.inline.clone(),
                logs: std::mem::take(&mut gathered.logs),
            }),
            _ => Err(Box::new(StepFailure::permanent(
                Code::new("engine.fault"),
                format!("`{}` has nothing to perform", step.id),
            ))),
        }
    }

    fn step(&self) -> &Step {
        self.plan.step(self.step)
    }

    /// How far it is with its pages, where it is a list that pages itself.
    fn pages(&self) -> Option<&Pages> {
        match &self.run.state {
            State::Paging { pages, .. } => Some(pages),
            _ => None,
        }
    }

    fn scope(&self) -> Scope<'_> {
        let scope = Scope::new(&self.plan, &self.run, &*self.shared).with_inline(&self.inline);
        match &self.item {
            Some(item) => scope.with_item(&item.value, item.index),
            None => scope,
        }
    }

    fn connection(&self, method: &MethodUse) -> Result<Arc<Connection>, Box<StepFailure>> {
        self.shared
            .connections
            .get(&method.connection, &method.connector)
            .map_err(|unset| {
                let code = Code::new("secret.unset");
                Box::new(StepFailure::permanent(code, unset.to_string()))
            })?
            .ok_or_else(|| {
                Box::new(StepFailure::permanent(
                    Code::new("connection.unknown"),
                    format!(
                        "connection `{}` is not declared any more: put it back into velodrome.yaml",
                        method.connection
                    ),
                ))
            })
    }
}

fn eval_failure(error: &velodrome_core::EvalError) -> Box<StepFailure> {
    Box::new(StepFailure::permanent(error.code(), error.to_string()))
}

fn headers_of(headers: &[(String, String)]) -> JsonMap {
    headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), Json::String(value.clone())))
        .collect()
}

/// How much of an error's body is kept for the log and `${step.error}`.
const BODY_KEPT: usize = 2_000;

fn body_of(body: &[u8]) -> Json {
    match serde_json::from_slice(body) {
        Ok(value) if body.len() <= BODY_KEPT => value,
        _ => Json::String(String::from_utf8_lossy(&body[..body.len().min(BODY_KEPT)]).into_owned()),
    }
}

fn request_failure(error: RequestError) -> Box<StepFailure> {
    Box::new(StepFailure {
        kind: match error.kind {
            ErrorKind::Transient => FailureKind::Transient,
            ErrorKind::Permanent => FailureKind::Permanent,
            ErrorKind::Unknown => FailureKind::Unknown,
            ErrorKind::Held => FailureKind::Held,
        },
        status: error.status,
        headers: headers_of(&error.headers),
        body: error
            .body
            .as_deref()
            .filter(|body| !body.is_empty())
            .map(body_of),
        retry_after: error.retry_after,
        gaps: error.gaps.clone(),
        ..StepFailure::permanent(error.code.clone(), error.message.clone())
    })
}
