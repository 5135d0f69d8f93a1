//! What can go wrong with a script, and what the engine's errors are called in our words.

use std::fmt;

use rhai::{Dynamic, EvalAltResult, ParseErrorType, Position};
use thiserror::Error;
use velodrome_spec::ScriptFault;
use velodrome_types::Code;

use crate::convert::to_json;
use crate::hints;
use crate::meter::Stop;
use crate::storage::StorageFault;

/// The script threw.
pub(crate) const THREW: &str = "script.threw";
/// The script did something that cannot be done.
pub(crate) const FAILED: &str = "script.failed";
/// The text is no script.
pub(crate) const SYNTAX: &str = "script.syntax";
/// Past `script_limits.time`.
pub(crate) const TIME: &str = "script.time";
/// Past `script_limits.operations`.
pub(crate) const OPERATIONS: &str = "script.operations";
/// Past `script_limits.memory`, `text` or `list`.
pub(crate) const MEMORY: &str = "script.memory";
/// Past `script_limits.depth`.
pub(crate) const DEPTH: &str = "script.depth";
/// The process that ran a script has ended.
pub(crate) const CRASHED: &str = "script.crashed";
/// There is no process to run a script.
pub(crate) const NO_WORKER: &str = "script.no_worker";
/// The script threw [`AUTH_REFRESH_NAME`]: whoever called it refreshes the tokens and sends again.
pub(crate) const AUTH_REFRESH: &str = "script.auth_refresh";
/// The script threw [`AUTH_SESSION_NAME`].
pub(crate) const AUTH_SESSION: &str = "script.auth_session";
/// As Cyclr calls it.
pub(crate) const AUTH_REFRESH_NAME: &str = "AuthRefreshException";
/// As Cyclr calls it.
pub(crate) const AUTH_SESSION_NAME: &str = "AuthSessionException";

/// What an exception of Cyclr's means: its code and its message.
pub(crate) fn auth_exception(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        AUTH_REFRESH_NAME => Some((AUTH_REFRESH, "the script asks for new tokens")),
        AUTH_SESSION_NAME => Some((
            AUTH_SESSION,
            "`AuthSessionException` has nothing to do here: no setting is looked up when a connection is made, so none can be looked up again",
        )),
        _ => None,
    }
}

/// Why a script could not be compiled or a handler did not end well.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ScriptError {
    /// `script.threw`, `.failed`, `.syntax`, `.time`, `.operations`, `.memory`, `.depth`, in
    /// JavaScript `.crashed` and `.no_worker`, those of
    /// [`ScriptAnalyser`](velodrome_spec::ScriptAnalyser), or the storage's own.
    pub code: Code,
    /// What happened; of a throw, exactly what was thrown: text, or anything else as JSON.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
    /// 1-based, within the script's own text.
    pub line: Option<u32>,
    /// 1-based, in characters.
    pub column: Option<u32>,
}

impl From<ScriptFault> for ScriptError {
    fn from(fault: ScriptFault) -> Self {
        Self {
            code: Code::new(fault.code),
            message: fault.message,
            hint: fault.hint,
            line: Some(fault.line),
            column: Some(fault.column),
        }
    }
}

/// A fault on its way through the engine, where a script may catch it and read `code` and `message`.
#[derive(Clone, Debug)]
pub(crate) struct Raised(pub(crate) StorageFault);

impl Raised {
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Box<EvalAltResult> {
        let message = message.into();
        Self(StorageFault { code, message }).into()
    }
}

impl From<Raised> for Box<EvalAltResult> {
    fn from(raised: Raised) -> Self {
        EvalAltResult::ErrorRuntime(Dynamic::from(raised), Position::NONE).into()
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// A value was to grow past `script_limits.text` or `list`; scripts cannot catch it.
pub(crate) fn too_large(what: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into()
}

/// Line and column where there are any.
pub(crate) fn place(position: Position) -> Option<(u32, u32)> {
    let line = u32::try_from(position.line()?).ok()?;
    let column = u32::try_from(position.position().unwrap_or(1)).ok()?;
    Some((line, column.max(1)))
}

/// Our error for the engine's. `missed` are the storage keys that the call asked for and did not find.
pub(crate) fn translate(error: EvalAltResult, missed: &[String]) -> ScriptError {
    let (error, position) = innermost(error);
    let mut hint = None;
    let (code, message) = match error {
        EvalAltResult::ErrorRuntime(value, _) => match value.try_cast_result::<Raised>() {
            Ok(Raised(fault)) => (fault.code, fault.message),
            Err(value) => (THREW, thrown(&value)),
        },
        EvalAltResult::ErrorTerminated(token, _) => {
            let stop = Stop::from_token(&token);
            (stop.code(), stop.message().to_owned())
        }
        EvalAltResult::ErrorTooManyOperations(_) => (
            OPERATIONS,
            "the script took more steps than `script_limits.operations` allows".to_owned(),
        ),
        EvalAltResult::ErrorStackOverflow(_) => (DEPTH, Stop::Depth.message().to_owned()),
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            hint = Some(hints::for_large_value());
            let limit = if what.contains("string") {
                "a value holds more text than `script_limits.text` allows"
            } else {
                "a value holds more items than `script_limits.list` allows"
            };
            (MEMORY, limit.to_owned())
        }
        EvalAltResult::ErrorTooManyVariables(_) => {
            (MEMORY, "a function holds too many variables".to_owned())
        }
        // The text has compiled; this is the name of a function that was put together as it ran.
        EvalAltResult::ErrorParsing(kind, _) => (FAILED, syntax_message(&kind)),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            hint = hints::for_missing_function(&signature, missed);
            (FAILED, hints::no_such_function(&signature))
        }
        EvalAltResult::ErrorVariableNotFound(name, _) => {
            (FAILED, format!("there is no variable `{name}`"))
        }
        EvalAltResult::ErrorAssignmentToConstant(name, _) => {
            (FAILED, format!("`{name}` cannot be changed"))
        }
        EvalAltResult::ErrorMismatchDataType(wanted, given, _) => {
            if given == "()" {
                hint = Some(hints::for_unit(missed));
            }
            (FAILED, format!("`{wanted}` is wanted here, not `{given}`"))
        }
        EvalAltResult::ErrorDotExpr(text, _) | EvalAltResult::ErrorIndexingType(text, _) => {
            if text.contains("()") {
                hint = Some(hints::for_unit(missed));
            }
            (FAILED, hints::no_such_part(&text))
        }
        other => {
            let mut other = other;
            let _ = other.take_position();
            (FAILED, lower_first(&other.to_string()))
        }
    };
    let (line, column) = place(position).unzip();
    ScriptError {
        code: Code::new(code),
        message,
        hint,
        line,
        column,
    }
}

/// The cause within calls of functions, at its own place or else at the nearest call that has one.
fn innermost(error: EvalAltResult) -> (EvalAltResult, Position) {
    let mut error = error;
    let mut outer = Position::NONE;
    loop {
        let position = error.position();
        if !position.is_none() {
            outer = position;
        }
        error = match error {
            EvalAltResult::ErrorInFunctionCall(_, _, inner, _)
            | EvalAltResult::ErrorInModule(_, inner, _) => *inner,
            cause => return (cause, outer),
        };
    }
}

/// What was thrown: text as it stands, anything else as JSON.
fn thrown(value: &Dynamic) -> String {
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.as_str().to_owned();
    }
    match to_json(value) {
        Ok(json) => json.to_string(),
        Err(error) => format!("something was thrown that cannot be shown: {error}"),
    }
}

/// A parse error as a lower-case fragment.
pub(crate) fn syntax_message(kind: &ParseErrorType) -> String {
    match kind {
        ParseErrorType::ExprTooDeep => "the script is nested too deep here".to_owned(),
        ParseErrorType::Reserved(word) => format!("`{word}` is reserved"),
        ParseErrorType::UnexpectedEOF => "the script ends too early".to_owned(),
        ParseErrorType::AssignmentToConstant(name) => format!("`{name}` cannot be changed"),
        other => lower_first(&other.to_string()),
    }
}

/// The engine's messages are sentences; ours are fragments.
pub(crate) fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}
