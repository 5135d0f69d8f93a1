//! What a script threw, in our words, and where.

use rquickjs::{Ctx, Error, Exception, Value};

use crate::errors::auth_exception;
use crate::js::frame::{Failure, Kind, Place};
use crate::js::natives::shown;
use crate::js::realm::SCRIPT;
use crate::js::state::CallState;

/// Errors that the language throws itself. A script that throws one means what the language means.
const LANGUAGE: [&str; 7] = [
    "TypeError",
    "ReferenceError",
    "RangeError",
    "SyntaxError",
    "EvalError",
    "URIError",
    "InternalError",
];

/// What an operation in the context ended with.
pub(crate) fn read(ctx: &Ctx<'_>, error: &Error, state: &CallState) -> Failure {
    // Taken in any case, so that none is left behind.
    let thrown = error.is_exception().then(|| ctx.catch());
    if let Some(kind) = state.watch.stopped() {
        return failure(kind, Place::default());
    }
    match (error, thrown) {
        (_, Some(value)) => exception(ctx, value, state),
        (Error::Allocation, None) => failure(Kind::Memory, Place::default()),
        (other, None) => failure(Kind::Failed, said(other.to_string())),
    }
}

/// What was wrong with a text that does not compile.
pub(crate) fn syntax(ctx: &Ctx<'_>, error: &Error) -> Place {
    if !error.is_exception() {
        return said(error.to_string());
    }
    let Some(exception) = ctx.catch().into_object().and_then(Exception::from_object) else {
        return said("the script cannot be read".to_owned());
    };
    place(&exception, exception.message().unwrap_or_default())
}

fn exception<'js>(ctx: &Ctx<'js>, value: Value<'js>, state: &CallState) -> Failure {
    let Some(exception) = value.clone().into_object().and_then(Exception::from_object) else {
        if value.is_null() && state.threw_at.get().is_none() {
            // The script has thrown nothing: there was no memory left to say so.
            return failure(Kind::Memory, Place::default());
        }
        let message = shown(ctx, &value)
            .unwrap_or_else(|_| "something was thrown that cannot be shown".to_owned());
        // What showing it may have thrown in its turn.
        drop(ctx.catch());
        let (line, column) = state.threw_at.get().unzip();
        let place = Place {
            message,
            line,
            column,
        };
        return failure(Kind::Threw, place);
    };
    let object = exception.as_object();
    let text = |name: &str| object.get::<_, rquickjs::Coerced<String>>(name).ok();
    let name = text("name").map(|name| name.0).unwrap_or_default();
    let message = exception.message().unwrap_or_default();
    let mut place = place(&exception, message);
    if let Some((code, message)) = auth_exception(&name) {
        drop(ctx.catch());
        place.message = message.to_owned();
        let code = code.to_owned();
        return failure(Kind::Host { code }, place);
    }
    let kind = match (name.as_str(), place.message.as_str()) {
        ("InternalError", "out of memory" | "string too long")
        | ("RangeError", "invalid string length") => Kind::Memory,
        ("InternalError", "stack overflow")
        | ("RangeError", "Maximum call stack size exceeded") => Kind::Depth,
        (name, _) if LANGUAGE.contains(&name) => Kind::Failed,
        _ => {
            let code = text("code").map(|code| code.0).unwrap_or_default();
            let known = state.raised.borrow();
            let raised = known
                .iter()
                .find(|(raised, message)| *raised == code && *message == place.message);
            raised.map_or(Kind::Threw, |(code, _)| Kind::Host { code: code.clone() })
        }
    };
    drop(ctx.catch());
    let place = match (place.message.is_empty(), kind == Kind::Threw) {
        // `throw new Error()` says nothing but its name.
        (true, true) => Place {
            message: name,
            ..place
        },
        _ => place,
    };
    failure(kind, place)
}

/// The first frame of the stack that is the script's.
fn place(exception: &Exception<'_>, message: String) -> Place {
    let stack = exception.stack().unwrap_or_default();
    let at = stack.lines().find_map(|frame| {
        let (_, rest) = frame.rsplit_once(SCRIPT)?;
        let rest = rest.strip_prefix(':')?.trim_end_matches(')');
        let (line, column) = rest.split_once(':').unwrap_or((rest, "1"));
        Some((line.parse().ok()?, column.parse().ok()?))
    });
    let (line, column) = at.unzip();
    Place {
        message,
        line,
        column,
    }
}

fn said(message: String) -> Place {
    Place {
        message,
        ..Place::default()
    }
}

fn failure(kind: Kind, place: Place) -> Failure {
    Failure { kind, place }
}
