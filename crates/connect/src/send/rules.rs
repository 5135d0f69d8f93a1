//! What an answer means: the method's rules, the connector's, then the usual ones (SPEC §6). Pure.

use std::time::Duration;

use velodrome_spec::connector::{ConnectorDef, ErrorAction, ErrorRule, MethodDef};
use velodrome_types::Timestamp;

use super::hops::Answer;
use super::said::Said;
use super::{Response, Verdict, retry_after};
use crate::connection::Connection;
use crate::error::{ErrorKind, RequestError};
use crate::request::HttpRequest;

/// The first rule that matches; `None` leaves it to the status. Without `may_refresh` a rule to
/// refresh is passed over, so that what stands after it decides.
pub(super) fn judge<'a>(
    answer: &Answer,
    method: &'a MethodDef,
    connector: &'a ConnectorDef,
    may_refresh: bool,
) -> Option<&'a ErrorRule> {
    let status = answer.status;
    let good = (200..300).contains(&status);
    let said = Said::of(&answer.body, &connector.error_fields);
    let matches = |rule: &&ErrorRule| {
        let status_fits = match rule.status.as_slice() {
            [] => !good,
            wanted => wanted.iter().any(|wanted| wanted.matches(status)),
        };
        let headers_fit = rule.header.iter().all(|(name, wanted)| {
            let found = answer.header(name).map(str::trim);
            found.is_some_and(|found| wanted == "*" || found.eq_ignore_ascii_case(wanted))
        });
        status_fits
            && headers_fit
            && (rule.code.is_empty() || said.has_code(&rule.code))
            && (rule.message.is_empty() || said.has_message(&rule.message))
    };
    method
        .errors
        .iter()
        .chain(&connector.errors)
        .filter(|rule| may_refresh || rule.action != ErrorAction::RefreshThenRetry)
        .find(|rule| matches(rule))
}

/// The other side asks to wait.
pub(super) struct Pause<'a> {
    /// So long, where it says so.
    pub(super) said: Option<Duration>,
    /// Else so long, by how often it has asked.
    pub(super) gaps: &'a [Duration],
}

/// Whether the answer asks all of the connection's requests to wait.
pub(super) fn pause<'a>(
    answer: &Answer,
    rule: Option<&'a ErrorRule>,
    now: Timestamp,
) -> Option<Pause<'a>> {
    let gaps = match rule.map(|rule| &rule.action) {
        Some(ErrorAction::Wait(gaps)) => gaps.as_slice(),
        Some(ErrorAction::Retry) | None if answer.status == 429 => &[],
        _ => return None,
    };
    let said = asked(answer, rule, now);
    (said.is_some() || !gaps.is_empty()).then_some(Pause { said, gaps })
}

/// How long the answer asks to wait: by the rule's header, else by `Retry-After`.
fn asked(answer: &Answer, rule: Option<&ErrorRule>, now: Timestamp) -> Option<Duration> {
    let until = rule
        .and_then(|rule| rule.until_header.as_deref())
        .and_then(|name| answer.header(name))
        .and_then(|text| retry_after::until(text, answer.date(), now));
    until.or_else(|| retry_after::parse(answer.header("retry-after")?, answer.date(), now))
}

/// The answer, or the error it is.
pub(super) fn outcome(
    answer: Answer,
    rule: Option<&ErrorRule>,
    connection: &Connection,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<Response, RequestError> {
    let action = rule.map(|rule| &rule.action);
    let kind = match action {
        Some(ErrorAction::Empty) => return Ok(answer.into_response(Verdict::Empty)),
        Some(ErrorAction::RestartPaging) => {
            return Ok(answer.into_response(Verdict::RestartPaging));
        }
        None if (200..300).contains(&answer.status) => {
            return Ok(answer.into_response(Verdict::Ok));
        }
        Some(ErrorAction::Fail | ErrorAction::Reconnect) => ErrorKind::Permanent,
        Some(ErrorAction::Retry | ErrorAction::Wait(_)) => ErrorKind::Transient,
        Some(ErrorAction::RefreshThenRetry) | None => match answer.status {
            408 | 425 | 429 | 500..=599 => ErrorKind::Transient,
            _ => ErrorKind::Permanent,
        },
    };
    let error = match action {
        Some(ErrorAction::Reconnect) => {
            let why = format!("was refused by the API (status {})", answer.status);
            RequestError::needs_connection(connection.id.as_str(), &why)
        }
        _ => RequestError::new(
            kind,
            "request.status",
            message(&answer, &connection.def, request),
        ),
    };
    let asked = asked(&answer, rule, now);
    Err(RequestError {
        status: Some(answer.status),
        headers: answer.header_list(),
        retry_after: asked.filter(|_| kind == ErrorKind::Transient),
        gaps: match action {
            Some(ErrorAction::Wait(gaps)) if !gaps.is_empty() => Some(gaps.clone()),
            _ => None,
        },
        body: {
            let kept = answer.body.len().min(RequestError::BODY_LIMIT);
            Some(answer.body.slice(..kept))
        },
        ..error
    })
}

fn message(answer: &Answer, connector: &ConnectorDef, request: &HttpRequest) -> String {
    let said = Said::of(&answer.body, &connector.error_fields);
    let code = said
        .code()
        .map(|code| {
            let shown: String = code.chars().take(80).flat_map(char::escape_debug).collect();
            format!(", code `{shown}`")
        })
        .unwrap_or_default();
    let reason = answer.reason();
    let space = if reason.is_empty() { "" } else { " " };
    format!(
        "{} `{}` was answered with {}{space}{reason}{code}",
        request.verb, answer.shown, answer.status
    )
}
