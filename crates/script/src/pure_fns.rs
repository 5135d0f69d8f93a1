//! The functions of `functions` in Rhai: arguments to JSON, the result back, faults as the engine's errors.

use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, Position};

use crate::convert::{to_dynamic, to_json};
use crate::errors::{FAILED, Raised, too_large};
use crate::functions::{FUNCTIONS, FunctionFault, call};
use crate::limits::ScriptLimits;
use crate::meter::{self, Stop};

type Outcome = Result<Dynamic, Box<EvalAltResult>>;

/// Registers them all.
pub(crate) fn register(engine: &mut Engine, limits: &ScriptLimits) {
    let limits = Arc::new(limits.clone());
    for (name, least, most) in FUNCTIONS {
        for count in least..=most {
            let limits = Arc::clone(&limits);
            match count {
                1 => engine.register_fn(name, move |a: Dynamic| run(name, &[a], &limits)),
                2 => engine.register_fn(name, move |a: Dynamic, b: Dynamic| {
                    run(name, &[a, b], &limits)
                }),
                3 => engine.register_fn(name, move |a: Dynamic, b: Dynamic, c: Dynamic| {
                    run(name, &[a, b, c], &limits)
                }),
                _ => engine.register_fn(
                    name,
                    move |a: Dynamic, b: Dynamic, c: Dynamic, d: Dynamic| {
                        run(name, &[a, b, c, d], &limits)
                    },
                ),
            };
        }
    }
}

fn run(name: &'static str, args: &[Dynamic], limits: &ScriptLimits) -> Outcome {
    // Any of them may take milliseconds: the clock is looked at after each.
    meter::look_at_clock();
    let args: Vec<_> = args
        .iter()
        .map(to_json)
        .collect::<Result<_, _>>()
        .map_err(|error| Raised::error(FAILED, format!("`{name}`: {error}")))?;
    match call(name, &args, limits) {
        Some(Ok(value)) => Ok(to_dynamic(&value)),
        Some(Err(fault)) => Err(raised(fault)),
        None => Err(Raised::error(
            FAILED,
            format!("there is no function `{name}`"),
        )),
    }
}

/// What a script may catch, and limits, which it may not.
fn raised(fault: FunctionFault) -> Box<EvalAltResult> {
    match fault {
        FunctionFault::Refused(_) => Raised::error(fault.code(), fault.to_string()),
        FunctionFault::Text => too_large("string"),
        FunctionFault::List => too_large("array"),
        FunctionFault::Memory => {
            EvalAltResult::ErrorTerminated(Stop::Memory.token(), Position::NONE).into()
        }
    }
}
