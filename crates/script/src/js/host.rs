//! The engine's side of a script in JavaScript: has it compiled, calls its handlers, answers its questions.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use velodrome_spec::ScriptFault;
use velodrome_spec::plan::ScriptAnalysis;
use velodrome_types::{Code, Json};

use crate::clock::{Clock, monotonic};
use crate::errors::{
    AUTH_REFRESH, AUTH_SESSION, CRASHED, DEPTH, FAILED, MEMORY, NO_WORKER, OPERATIONS, SYNTAX,
    ScriptError, THREW, TIME,
};
use crate::functions;
use crate::hints;
use crate::host::{Call, Finished, Returned};
use crate::js::analyse::{self, Read};
use crate::js::frame::{
    Answer, Failure, FromWorker, Gave, Kind, Left, Place, Request, ToWorker, Wanted,
};
use crate::js::launch::Workers;
use crate::js::pool::{Lent, Pool};
use crate::js::tokens::{Shifts, in_characters};
use crate::js::vars;
use crate::js::worker::{Lost, Worker};
use crate::limits::ScriptLimits;
use crate::meter::{self, Metered, Stop};
use crate::outside::{HTTP_REQUEST, Requests};
use crate::storage::{Family, StorageFault, StorageView};
use crate::storage_calls;
use crate::storage_fns;
use crate::vars::{Var, Vars};

/// How long a worker may take past the limit of time, to see it itself and say so. One that hangs in a
/// built-in function sees nothing, and ends then.
const GRACE: Duration = Duration::from_millis(400);
/// How many missed keys are remembered for hints.
const MISSED: usize = 16;

/// Runs JavaScript.
#[derive(Debug)]
pub(crate) struct JavaScript {
    pool: Pool,
    limits: ScriptLimits,
    clock: Clocked,
    ids: AtomicU64,
}

struct Clocked(Clock);

/// A script in JavaScript.
#[derive(Debug)]
pub(crate) struct Source {
    /// What workers know it by.
    id: u64,
    /// Its text, with notes of where it throws.
    text: String,
    /// How these moved it.
    shifts: Shifts,
    /// The text as it was written, where its characters are not all of one byte.
    wide: Option<String>,
    /// The variables that it names.
    vars: Vec<Var>,
}

impl JavaScript {
    pub(crate) fn new(limits: &ScriptLimits, workers: Workers) -> Self {
        Self {
            pool: Pool::new(workers, limits.into()),
            limits: limits.clone(),
            clock: Clocked(monotonic()),
            ids: AtomicU64::new(0),
        }
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.pool.len()
    }

    /// Reads a text, or tells what is wrong with it; after a syntax error only that.
    pub(crate) fn read(&self, code: &str) -> Result<(Source, ScriptAnalysis), Vec<ScriptFault>> {
        if code.len() > self.limits.text {
            let message = "the script is longer than `script_limits.text` allows";
            return Err(vec![fault(SYNTAX, message, 1, 1)]);
        }
        self.compile(code)
            .map_err(|fault| vec![analyse::with_hint(fault, code)])?;
        let Read {
            analysis,
            faults,
            noted,
            shifts,
        } = analyse::read(code);
        if !faults.is_empty() {
            return Err(faults);
        }
        // The notes are put in by a reader that knows less of the language than the engine.
        let (text, shifts) = match noted {
            Some(noted) if self.compile(&noted).is_ok() => (noted, shifts),
            _ => (code.to_owned(), Shifts::default()),
        };
        let vars = analysis.names.iter();
        let source = Source {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            text,
            shifts,
            wide: (!code.is_ascii()).then(|| code.to_owned()),
            vars: vars.filter_map(|name| Var::find(name)).collect(),
        };
        Ok((source, analysis))
    }

    fn compile(&self, code: &str) -> Result<(), ScriptFault> {
        let failed = |code, lost: &Lost| fault(code, self.lost(code, lost).message, 1, 1);
        let mut lent = self
            .pool
            .lend(&self.clock.0, None)
            .map_err(|lost| failed(NO_WORKER, &lost))?;
        let request = ToWorker::Compile(code.to_owned());
        let ask = |worker: &mut Worker| {
            let until = self.until();
            worker.say(&request, until)?;
            worker.hear(until)
        };
        let mut answer = ask(lent.worker());
        if matches!(answer, Err(Lost::Dead(_))) && lent.was_idle() {
            lent.replace(&self.clock.0)
                .map_err(|lost| failed(NO_WORKER, &lost))?;
            answer = ask(lent.worker());
        }
        match answer {
            Ok(FromWorker::Compiled) => {
                lent.give_back();
                Ok(())
            }
            Ok(FromWorker::Refused(place)) => {
                lent.give_back();
                let (line, column) = (place.line.unwrap_or(1), place.column.unwrap_or(1));
                let column = in_characters(code, line, column);
                Err(fault(
                    SYNTAX,
                    analyse::message(&place.message),
                    line,
                    column,
                ))
            }
            Ok(_) => Err(failed(
                CRASHED,
                &Lost::Dead("it does not answer".to_owned()),
            )),
            Err(Lost::Late) => Err(fault(SYNTAX, "the script takes too long to be read", 1, 1)),
            Err(lost) => Err(failed(CRASHED, &lost)),
        }
    }

    fn until(&self) -> Duration {
        (self.clock.0)()
            .saturating_add(self.limits.time)
            .saturating_add(GRACE)
    }

    /// Calls a handler that the script defines.
    pub(crate) fn call(
        &self,
        source: &Source,
        handler: &str,
        call: Call,
        (metered, wanted): (&Metered, Wanted),
    ) -> Finished {
        let mut conversation = Conversation {
            limits: &self.limits,
            storage: call.storage,
            requests: Requests::new(call.outside, call.seed, handler, &self.limits),
            faults: Vec::new(),
            missed: Vec::new(),
            heard: false,
        };
        let mut vars = call.vars;
        let request = source
            .vars
            .iter()
            .map(|var| vars::given(*var, &vars))
            .collect::<Result<_, _>>()
            .map(|given| Request {
                script: source.id,
                handler: handler.to_owned(),
                wanted,
                vars: given,
                now: call.now.to_string(),
                millis: call.now.as_millis(),
                seed: call.seed,
            });
        let result = request
            .map_err(|error| plain(FAILED, error.to_string()))
            .and_then(|request| {
                let mut lent = self
                    .pool
                    .lend(&self.clock.0, Some(source.id))
                    .map_err(|lost| self.lost(NO_WORKER, &lost))?;
                let request = ToWorker::Call(request);
                let mut end = self.converse(&mut lent, source, &request, &mut conversation);
                // One that ended while nobody used it may look alive for a moment. It has begun nothing.
                if matches!(end, Err(Lost::Dead(_))) && lent.was_idle() && !conversation.heard {
                    lent.replace(&self.clock.0)
                        .map_err(|lost| self.lost(NO_WORKER, &lost))?;
                    end = self.converse(&mut lent, source, &request, &mut conversation);
                }
                match end {
                    Ok((end, usable)) => {
                        if usable {
                            lent.give_back();
                        }
                        self.finish(end, source, &conversation, &mut vars)
                    }
                    // A worker that is late or dead ends with its loan.
                    Err(lost) => Err(self.lost(CRASHED, &lost)),
                }
            });
        Finished {
            result,
            vars,
            storage: conversation.storage,
            logs: metered.take_log(),
        }
    }

    /// One call, to its end; and whether the worker can take another.
    fn converse(
        &self,
        lent: &mut Lent<'_>,
        source: &Source,
        request: &ToWorker,
        conversation: &mut Conversation<'_>,
    ) -> Result<(End, bool), Lost> {
        let until = self.until();
        let worker = lent.worker();
        worker.keep(source.id, &source.text, until)?;
        worker.say(request, until)?;
        loop {
            let frame = worker.hear(until)?;
            conversation.heard = true;
            match frame {
                FromWorker::Said(line) => meter::log(&line),
                FromWorker::Ask { name, args } => {
                    let answer = conversation.answer(&name, &args);
                    worker.say(&ToWorker::Answer(answer), until)?;
                }
                FromWorker::Done {
                    returned,
                    vars,
                    peak,
                } => {
                    return Ok((Ok((returned, vars)), worker.called(peak)));
                }
                FromWorker::Failed { failure, peak } => {
                    return Ok((Err(failure), worker.called(peak)));
                }
                _ => return Err(Lost::Dead("it does not speak as it should".to_owned())),
            }
        }
    }

    fn finish(
        &self,
        end: End,
        source: &Source,
        conversation: &Conversation<'_>,
        vars: &mut Vars,
    ) -> Result<Returned, ScriptError> {
        let (returned, left) = end.map_err(|failure| failed(failure, source, conversation))?;
        for left in left {
            if let Some(var) = Var::find(&left.name).filter(|var| var.is_writable()) {
                vars::take(var, &left.value, vars, &self.limits)?;
            }
        }
        match returned {
            Gave::True => Ok(Returned::True),
            Gave::False => Ok(Returned::False),
            Gave::Value(value) => vars::returned(&value, &self.limits).map(Returned::Value),
        }
    }

    fn lost(&self, code: &'static str, lost: &Lost) -> ScriptError {
        match lost {
            Lost::Late if code == CRASHED => ScriptError {
                hint: Some(
                    "it hung inside one function of the language, such as a search in a long text".to_owned(),
                ),
                ..plain(TIME, Stop::Time.message().to_owned())
            },
            lost if code == NO_WORKER => plain(
                code,
                format!("the process that runs JavaScript cannot be started: {lost}"),
            ),
            lost => ScriptError {
                hint: Some(
                    "the engine goes on with a new process; keep less in memory, or lower `script_limits.memory`"
                        .to_owned(),
                ),
                ..plain(
                    code,
                    format!("the process that ran the script ended: {lost}"),
                )
            },
        }
    }
}

/// How a call ended.
type End = Result<(Gave, Vec<Left>), Failure>;

/// The questions of one call.
struct Conversation<'h> {
    limits: &'h ScriptLimits,
    storage: Box<dyn StorageView>,
    requests: Requests,
    /// Faults that the script was given: what it does not catch is its end, with its code.
    faults: Vec<StorageFault>,
    /// Keys that storage did not have, as hints call them.
    missed: Vec<String>,
    /// Whether the worker has said anything: what came of it must not come twice.
    heard: bool,
}

impl Conversation<'_> {
    fn answer(&mut self, name: &str, args: &RawValue) -> Answer {
        if vars::items(args.get()) > self.limits.list {
            let fault = StorageFault {
                code: MEMORY,
                message: vars::MORE_ITEMS.to_owned(),
            };
            return self.refused(fault);
        }
        let args: Result<Vec<Json>, _> = serde_json::from_str(args.get());
        let outcome = match args {
            Ok(args) => self.function(name, &args),
            Err(error) => Err(StorageFault {
                code: FAILED,
                message: format!("`{name}` cannot take this: {error}"),
            }),
        };
        let outcome = outcome.and_then(|value| {
            to_raw_value(&value).map_err(|error| StorageFault {
                code: FAILED,
                message: error.to_string(),
            })
        });
        match outcome {
            Ok(value) => Answer::Value(value),
            Err(fault) => self.refused(fault),
        }
    }

    fn refused(&mut self, fault: StorageFault) -> Answer {
        let answer = Answer::Fault {
            code: fault.code.to_owned(),
            message: fault.message.clone(),
        };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
        answer
    }

    /// Every function that a worker does not answer itself.
    fn function(&mut self, name: &str, args: &[Json]) -> Result<Json, StorageFault> {
        if let Some((family, _)) = storage_fns::of_name(name)
            && let Some((_, operation)) = name.split_once("_storage_")
        {
            return self.storage(family, operation, args);
        }
        if let Some(result) = functions::call(name, args, self.limits) {
            return result.map_err(|fault| StorageFault {
                code: fault.code(),
                message: fault.to_string(),
            });
        }
        if name == HTTP_REQUEST {
            let (value, line) = self.requests.perform(args)?;
            meter::log(&line);
            return Ok(value);
        }
        Err(StorageFault {
            code: FAILED,
            message: format!("there is no function `{name}`"),
        })
    }

    fn storage(
        &mut self,
        family: Family,
        operation: &str,
        args: &[Json],
    ) -> Result<Json, StorageFault> {
        let value = storage_calls::perform(&mut *self.storage, family, operation, args)?;
        if operation == "get"
            && value.is_null()
            && let Ok(key) = storage_calls::key_text(args.first())
        {
            let shown: String = key.chars().take(128).collect();
            let line = format!("`{shown}` is not in {family}_storage");
            self.missed.retain(|known| *known != line);
            if self.missed.len() >= MISSED {
                self.missed.remove(0);
            }
            self.missed.push(line);
        }
        Ok(value)
    }
}

/// The error of a call that did not come to its end.
fn failed(failure: Failure, source: &Source, conversation: &Conversation<'_>) -> ScriptError {
    let Place {
        message,
        line,
        column,
    } = failure.place;
    let limit = |code, message: &str| plain(code, message.to_owned());
    let error = match failure.kind {
        Kind::Time => limit(TIME, Stop::Time.message()),
        Kind::Memory => limit(MEMORY, Stop::Memory.message()),
        Kind::Depth => limit(DEPTH, Stop::Depth.message()),
        Kind::Operations => limit(
            OPERATIONS,
            "the script took more steps than `script_limits.operations` allows",
        ),
        Kind::Threw => plain(THREW, message),
        Kind::Variable => plain(FAILED, message),
        Kind::Host { code } => {
            let known = conversation.faults.iter().find(|fault| fault.code == code);
            let known = known.map(|fault| fault.code);
            let mut thrown = [AUTH_REFRESH, AUTH_SESSION].into_iter();
            let known = known.or_else(|| thrown.find(|thrown| *thrown == code));
            plain(known.unwrap_or(FAILED), message)
        }
        Kind::Failed => ScriptError {
            hint: hints::for_javascript(&message, &conversation.missed),
            ..plain(FAILED, analyse::message(&message))
        },
    };
    let (line, column) = source.shifts.back(line, column);
    let column = match (&source.wide, line, column) {
        (Some(text), Some(line), Some(column)) => Some(in_characters(text, line, column)),
        _ => column,
    };
    ScriptError {
        line,
        column,
        ..error
    }
}

fn plain(code: &'static str, message: String) -> ScriptError {
    ScriptError {
        code: Code::new(code),
        message,
        hint: None,
        line: None,
        column: None,
    }
}

fn fault(code: &'static str, message: impl Into<String>, line: u32, column: u32) -> ScriptFault {
    ScriptFault {
        code,
        message: message.into(),
        hint: None,
        line,
        column,
    }
}

impl fmt::Debug for Clocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clocked")
    }
}
