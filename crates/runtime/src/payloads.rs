//! What the log tells of requests and of writes to storage: from what the engine has to what
//! [`velodrome_core::payload`] decides over.

use velodrome_connect::{Connect, Connection, HttpRequest, RequestError, Response, SendOptions};
use velodrome_core::Delivery;
use velodrome_core::payload::{self, Answered, Asked, Body, Written};
use velodrome_spec::Plan;
use velodrome_spec::plan::{LogPolicy, Payloads};
use velodrome_store::{Namespace, StorageOp, StorageWrite};
use velodrome_types::{Event, Json, JsonMap, LogLine, StepId};

use crate::overlay::Overlay;

/// Which request an exchange began with.
pub(crate) struct Sending<'a> {
    pub(crate) connect: &'a Connect,
    pub(crate) connection: &'a Connection,
    pub(crate) request: &'a HttpRequest,
    /// How it was sent; only `full` asks.
    pub(crate) how: Option<&'a SendOptions>,
}

/// What the log keeps of a request that left, and of what came of it.
pub(crate) fn exchanged(
    policy: &LogPolicy,
    sending: &Sending<'_>,
    sent: &Result<Response, RequestError>,
) -> Option<Box<JsonMap>> {
    let (status, headers, body) = match sent {
        Ok(response) => (
            Some(response.status),
            response.headers.as_slice(),
            Some(&response.body),
        ),
        Err(error) => (error.status, error.headers.as_slice(), error.body.as_ref()),
    };
    let answered = status.map(|status| Answered {
        status,
        headers,
        body: body.map_or(Body::None, |body| Body::Bytes(body)),
    });
    let request = sending.request;
    let as_sent = sending.how.and_then(|how| {
        let connect = sending.connect;
        connect.as_sent(sending.connection, request, how).ok()
    });
    let no_query = JsonMap::new();
    let asked = match &as_sent {
        Some(sent) => Asked {
            method: &sent.verb,
            url: &sent.url,
            query: &no_query,
            headers: &sent.headers,
            body: sent.body.as_ref().map_or(Body::None, Body::Tree),
        },
        None => Asked {
            method: &request.verb,
            url: &request.url,
            query: &request.query,
            headers: &[],
            body: request.body.as_ref().map_or(Body::None, Body::Tree),
        },
    };
    payload::exchange(policy, Some(asked), answered)
}

/// What the log keeps of what a step posts to a webhook of this server, without a socket.
pub(crate) fn posted(
    policy: &LogPolicy,
    url: &str,
    delivery: &Delivery,
    answered: Option<(u16, &Json)>,
) -> Option<Box<JsonMap>> {
    let headers = match policy.payloads {
        Payloads::Full => texts(&delivery.headers),
        Payloads::Preview | Payloads::None => Vec::new(),
    };
    let asked = Asked {
        method: "POST",
        url,
        query: &delivery.query,
        headers: &headers,
        body: Body::Tree(&delivery.body),
    };
    let answered = answered.map(|(status, body)| Answered {
        status,
        headers: &[],
        body: Body::Tree(body),
    });
    payload::exchange(policy, Some(asked), answered)
}

fn texts(headers: &JsonMap) -> Vec<(String, String)> {
    let text = |(name, value): (&String, &Json)| {
        let value = velodrome_core::text_of(value)?;
        Some((name.to_ascii_lowercase(), value))
    };
    headers.iter().filter_map(text).collect()
}

/// What the log keeps of writes that it does not tell yet.
pub(crate) fn written(plan: &Plan, overlay: &mut Overlay) -> Option<Box<JsonMap>> {
    let writes = overlay.untold();
    // A number that was added has no tree of its own.
    let added: Vec<Json> = writes
        .iter()
        .map(|write| match &write.op {
            StorageOp::Increment(_, by) if by.fract() == 0.0 && by.abs() < 9e15 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a whole number within 53 bits"
                )]
                let whole = *by as i64;
                Json::from(whole)
            }
            StorageOp::Increment(_, by) => Json::from(*by),
            _ => Json::Null,
        })
        .collect();
    let told = writes
        .iter()
        .zip(&added)
        .map(|(write, added)| one(write, added));
    payload::storage(&plan.log, told)
}

fn one<'w>(write: &'w StorageWrite, added: &'w Json) -> Written<'w> {
    let (scope, connection) = match &write.namespace {
        Namespace::Connection(connection) => ("cyclr", connection),
        Namespace::Cycle(connection, _) => ("cycle", connection),
        Namespace::Loop(connection, _) => ("loop", connection),
    };
    let (op, value) = match &write.op {
        StorageOp::Set(_, value) => ("set", Body::Tree(value)),
        StorageOp::Append(_, value) => ("append", Body::Tree(value)),
        StorageOp::Increment(..) => ("increment", Body::Tree(added)),
        StorageOp::Delete(_) => ("delete", Body::None),
        StorageOp::DeleteAll => ("delete_all", Body::None),
    };
    Written {
        op,
        scope,
        connection: connection.as_str(),
        key: write.op.key(),
        value,
    }
}

/// The line that says what became of a step: the last of its lines that is not a script's own, else the last of
/// them, else the last of all.
pub(crate) fn line_of<'l>(lines: &'l mut [LogLine], step: &StepId) -> Option<&'l mut LogLine> {
    let is_outcome = |line: &LogLine| {
        matches!(
            line.event,
            Event::WebhookAccepted
                | Event::WebhookIgnored
                | Event::RequestSent
                | Event::RequestFailed
                | Event::ResponseReceived
                | Event::RetryScheduled
                | Event::HandoffSent
                | Event::HandoffFailed
                | Event::ItemFailed
                | Event::ScriptFailed
                | Event::DecisionTaken
        )
    };
    let of_step = |line: &LogLine| line.step.as_ref() == Some(step);
    let at = lines
        .iter()
        .rposition(|line| of_step(line) && is_outcome(line))
        .or_else(|| lines.iter().rposition(of_step))
        .or(lines.len().checked_sub(1));
    lines.get_mut(at?)
}
