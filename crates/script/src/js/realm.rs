//! Runs one call: a new QuickJS, the variables and functions, the script, the handler, and what is left.
//!
//! Each call has a runtime of its own. It costs some hundred microseconds, and nothing that a script does,
//! to the language's own objects or to memory, reaches the next.

use std::rc::Rc;

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::promise::PromiseState;
use rquickjs::{Context, Ctx, Function, Object, Runtime, Value};
use serde_json::value::RawValue;

use crate::clock::Clock;
use crate::js::failure;
use crate::js::frame::{Failure, Gave, Kind, Left, LeftValue, Place, Request, Wanted};
use crate::js::limits::Allowances;
use crate::js::natives;
use crate::js::serve::Line;
use crate::js::state::CallState;
use crate::js::watch::Watch;

/// What places in a script are called in stacks.
pub(crate) const SCRIPT: &str = "velodrome:script";
const PRELUDE: &str = include_str!("prelude.js");
/// Memory that a new context takes itself, with room for the prelude.
const CONTEXT: usize = 1024 * 1024;
/// What is given may take so many times its text, where it is too little to be worth measuring.
const A_BYTE_OF_JSON: usize = 48;
const LITTLE: usize = 64 * 1024;

/// Without what would tell one time from another: `performance`, and references that say when memory is
/// tidied up.
type Language = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

/// A call that came to its end.
pub(crate) struct Done {
    pub(crate) returned: Gave,
    pub(crate) vars: Vec<Left>,
}

/// Whether a text is a script, without running any of it.
pub(crate) fn compile(clock: &Clock, allowances: &Allowances, text: &str) -> Result<(), Place> {
    let watch = Rc::new(Watch::begin(Clock::clone(clock), allowances));
    let failed = |message: &str| Place {
        message: message.to_owned(),
        ..Place::default()
    };
    let too_little = |_| failed("there is too little memory to read the script");
    let (runtime, context) = engine(allowances, &watch).map_err(too_little)?;
    runtime.set_memory_limit(allowances.memory.saturating_add(CONTEXT));
    // The whole text is parsed before its first statement ends it. What stands before must not be the
    // first statement of a script that says `"use strict"` first.
    let strict = ["\"use strict\"", "'use strict'"];
    let strict = strict
        .iter()
        .any(|said| text.trim_start().starts_with(said));
    let before = if strict {
        "'use strict';throw 0;"
    } else {
        "throw 0;"
    };
    context.with(|ctx| {
        let Err(error) =
            ctx.eval_with_options::<Value<'_>, _>(format!("{before}{text}"), options())
        else {
            return Ok(());
        };
        if watch.stopped().is_some() {
            return Err(failed("the script takes too long to be read"));
        }
        let thrown = ctx.catch();
        if thrown.as_int() == Some(0) {
            return Ok(());
        }
        if error.is_exception() {
            drop(ctx.throw(thrown));
        }
        let mut place = failure::syntax(&ctx, &error);
        if place.line == Some(1) {
            let shift = u32::try_from(before.len()).unwrap_or(0);
            place.column = place
                .column
                .map(|column| column.saturating_sub(shift).max(1));
        }
        Err(place)
    })
}

/// Calls a handler.
pub(crate) fn run(
    line: &Rc<Line>,
    clock: &Clock,
    allowances: &Allowances,
    text: &str,
    request: &Request,
) -> Result<Done, Failure> {
    let watch = Rc::new(Watch::begin(Clock::clone(clock), allowances));
    let state = Rc::new(CallState::new(line, &watch, request));
    let Ok((runtime, context)) = engine(allowances, &watch) else {
        return Err(Failure {
            kind: Kind::Memory,
            place: Place::default(),
        });
    };
    // The runtime cannot be reached from within its context.
    context.with(|ctx| {
        prepare(&ctx, &state, request).map_err(|error| failure::read(&ctx, &error, &state))
    })?;
    limit_memory(&runtime, allowances, request);
    context.with(|ctx| {
        let outcome = ctx
            .eval_with_options::<(), _>(text, options())
            .and_then(|()| call(&ctx, &watch, &request.handler));
        let returned = outcome.map_err(|error| failure::read(&ctx, &error, &state))?;
        let vars = request.vars.iter().filter(|var| var.writable);
        let vars: Result<Vec<Left>, Failure> = vars
            .map(|var| {
                left(&ctx, &var.name)
                    .map_err(|error| variable(&var.name, failure::read(&ctx, &error, &state)))
            })
            .collect();
        let vars = vars?;
        match watch.stopped() {
            Some(kind) => Err(Failure {
                kind,
                place: Place::default(),
            }),
            None => Ok(Done {
                returned: match request.wanted {
                    Wanted::Value => Gave::Value(
                        json_of(&ctx, returned)
                            .map_err(|error| failure::read(&ctx, &error, &state))?,
                    ),
                    Wanted::Verdict if returned.as_bool() == Some(false) => Gave::False,
                    Wanted::Verdict => Gave::True,
                },
                vars,
            }),
        }
    })
}

fn engine(allowances: &Allowances, watch: &Rc<Watch>) -> rquickjs::Result<(Runtime, Context)> {
    let runtime = Runtime::new()?;
    runtime.set_max_stack_size(allowances.stack);
    let watch = Rc::clone(watch);
    runtime.set_interrupt_handler(Some(Box::new(move || watch.must_end())));
    let context = Context::custom::<Language>(&runtime)?;
    Ok((runtime, context))
}

/// What the call is given does not count, what the script makes of it does.
fn limit_memory(runtime: &Runtime, allowances: &Allowances, request: &Request) {
    let given: usize = request.vars.iter().map(|var| var.value.get().len()).sum();
    let own = if given < LITTLE {
        given * A_BYTE_OF_JSON + CONTEXT
    } else {
        usize::try_from(runtime.memory_usage().malloc_size).unwrap_or(0)
    };
    runtime.set_memory_limit(allowances.memory.saturating_add(own).max(1));
}

/// A script's own mode, and its own name.
fn options() -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(SCRIPT.to_owned());
    options
}

fn prepare(ctx: &Ctx<'_>, state: &Rc<CallState>, request: &Request) -> rquickjs::Result<()> {
    let globals = ctx.globals();
    let fixed = Object::new(ctx.clone())?;
    for var in &request.vars {
        let value = ctx.json_parse(var.value.get())?;
        let place = if var.writable { &globals } else { &fixed };
        place.set(var.name.as_str(), value)?;
    }
    natives::install(ctx, state)?;
    let mut options = EvalOptions::default();
    options.filename = Some("prelude.js".to_owned());
    let prelude: Function<'_> = ctx.eval_with_options(PRELUDE, options)?;
    let random = natives::random(ctx, state)?;
    let console = natives::console(ctx, state)?;
    prelude.call((request.millis as f64, random, console, fixed))
}

/// Calls the handler and gives what it returned; of a promise, what came of it.
fn call<'js>(ctx: &Ctx<'js>, watch: &Watch, handler: &str) -> rquickjs::Result<Value<'js>> {
    let mut function: Value<'js> = ctx.globals().get(handler)?;
    if !function.is_function() {
        // `let` and `const` make no property of the global object.
        let text = format!("typeof {handler} === 'function' ? {handler} : undefined");
        function = ctx.eval_with_options(text, EvalOptions::default())?;
    }
    let Some(function) = function.as_function() else {
        let message = format!("`{handler}` is no function");
        return Err(rquickjs::Exception::throw_type(ctx, &message));
    };
    let returned: Value<'js> = function.call(())?;
    // A job that has to end does not end those behind it.
    while watch.stopped().is_none() && ctx.execute_pending_job() {}
    let Some(promise) = returned.as_promise() else {
        return Ok(returned);
    };
    match promise.state() {
        PromiseState::Pending => {
            let message = format!("`{handler}` waits for something that never comes");
            Err(rquickjs::Exception::throw_type(ctx, &message))
        }
        _ => promise
            .result()
            .unwrap_or_else(|| Ok(Value::new_undefined(ctx.clone()))),
    }
}

/// What the script left in a variable.
/// A value as JSON; `undefined` is null.
fn json_of<'js>(ctx: &Ctx<'js>, value: Value<'js>) -> rquickjs::Result<LeftValue> {
    let value = if value.is_undefined() {
        Value::new_null(ctx.clone())
    } else {
        value
    };
    Ok(match ctx.json_stringify(value)? {
        Some(json) => {
            RawValue::from_string(json.to_string()?).map_or(LeftValue::NoJson, LeftValue::Json)
        }
        None => LeftValue::NoJson,
    })
}

fn left(ctx: &Ctx<'_>, name: &str) -> rquickjs::Result<Left> {
    Ok(Left {
        name: name.to_owned(),
        value: json_of(ctx, ctx.globals().get(name)?)?,
    })
}

fn variable(name: &str, failure: Failure) -> Failure {
    match failure.kind {
        Kind::Threw | Kind::Failed => Failure {
            kind: Kind::Variable,
            place: Place {
                message: format!("`{name}` cannot be taken over: {}", failure.place.message),
                ..Place::default()
            },
        },
        _ => failure,
    }
}
