//! `respond`: what the webhook's caller is answered, who has been held since the run was accepted.

use velodrome_spec::plan::{RespondStep, StepIx};
use velodrome_types::{Code, Event, Json, Level};

use crate::eval::{EvalError, evaluate, evaluate_map, text_of};
use crate::input::StepFailure;
use crate::machine::Moving;
use crate::run::Reply;

/// The status where the step says none.
const STATUS: u16 = 200;

/// Gives the caller the step's answer. A caller is answered once: where nobody is held, the log says so.
pub(crate) fn answer(
    moving: &mut Moving<'_>,
    at: StepIx,
    respond: &RespondStep,
) -> Result<(), StepFailure> {
    let failed = |error: EvalError| StepFailure::permanent(error.code(), error.to_string());
    let step = moving.plan.step(at);
    let scope = moving.scope(at);
    let status = match &respond.status {
        Some(status) => evaluate(status, scope).map_err(failed)?,
        None => None,
    };
    let status = match status {
        None | Some(Json::Null) => STATUS,
        Some(value) => status_of(&value).ok_or_else(|| {
            let message = format!("`status` is {value}, not a number from 200 to 599");
            StepFailure::permanent(Code::new("respond.bad_status"), message)
        })?,
    };
    let headers = evaluate_map(&respond.headers, scope).map_err(failed)?;
    if let Some((name, _)) = headers.iter().find(|(_, value)| breaks(value)) {
        let message =
            format!("the header `{name}` would hold a line break or another control character");
        return Err(StepFailure::permanent(
            Code::new("request.bad_header"),
            message,
        ));
    }
    let body = match &respond.body {
        Some(body) => evaluate(body, scope).map_err(failed)?.unwrap_or(Json::Null),
        None => Json::Null,
    };
    let Some(held) = moving.run.held.take() else {
        moving.lines.at(
            &step.id,
            Level::Warn,
            Event::RequestSent,
            format!("{status}, and nobody is there to hear it"),
        );
        return Ok(());
    };
    let line = moving.lines.at(
        &step.id,
        Level::Info,
        Event::RequestSent,
        format!("the answer is {status}"),
    );
    line.status = Some(status);
    let headers = headers.into_iter();
    moving.reply = Some(Reply {
        status,
        headers: headers
            .filter_map(|(name, value)| Some((name, text_of(&value)?)))
            .collect(),
        body,
        key: held.key,
    });
    Ok(())
}

/// Whether a header's value would end it, or holds what no header may.
fn breaks(value: &Json) -> bool {
    text_of(value).is_some_and(|text| text.chars().any(|c| c.is_control() && c != '\t'))
}

fn status_of(value: &Json) -> Option<u16> {
    let number = match value {
        Json::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    number
        .and_then(|number: u64| u16::try_from(number).ok())
        .filter(|status| (200..=599).contains(status))
}
