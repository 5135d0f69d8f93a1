//! Requests to webhooks of this server that are no commit of two loops: `handoff: http`, and those whose answer
//! only the other side's run gives: it waits there, or it responds.
//!
//! Each carries the loop in a signed header, and with it the engine's own key: sent again after a crash or a failure
//! it hears the answer of the first, and begins nothing twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use velodrome_connect::{HttpRequest, SendOptions};
use velodrome_core::{Delivery, FailureKind, Input, SendAnswer, StepFailure};
use velodrome_spec::plan::{Handoff, SendStep, Step};
use velodrome_types::{Code, Json, JsonMap};

use super::send::reads_body;
use super::{Gathered, Job, request_failure};
use crate::accept;
use crate::actor::refused;
use crate::api::{BodyFormat, HookRequest, Problem};
use crate::handoff::{HANDOFF_HEADER, SignedOrigin, is_to_waiting};
use crate::payloads;
use crate::simulated::HandedOff;
use crate::tasks::Task;

/// What came back.
struct Came {
    status: u16,
    bytes: u64,
    ms: u64,
    headers: JsonMap,
    body: Json,
}

/// Asks a webhook of this server.
pub(super) async fn ask(
    job: &Job,
    (step, send): (&Step, &SendStep),
    request: &HttpRequest,
    gathered: &mut Gathered,
) -> Result<Input, Box<StepFailure>> {
    let target = send.target.as_ref().expect("only such requests come here");
    let origin = SignedOrigin {
        to: target.cycle.clone(),
        run: job.run.id,
        loop_id: job.run.loop_id,
        root: job.run.root,
        hops: job.run.hops,
        step: step.id.clone(),
        item: job.item.as_ref().map(|item| item.index),
        of_notice: job.run.of_notice,
    };
    let signed = origin.sign(job.shared.handoff_key());
    let mut request = request.clone();
    request
        .headers
        .insert(HANDOFF_HEADER.to_owned(), Json::String(signed));
    gathered.kept = payloads::posted(&job.plan.log, "", &delivered(&request), None);
    let came = match send.handoff {
        Handoff::Http => over_http(job, (step, send), &request).await?,
        Handoff::Direct => in_process(job, send, &request).await?,
    };
    // Where a run that waited goes on none has begun, and where one responds nothing is told of it.
    let accepted = (|| {
        (!is_to_waiting(&job.shared, &job.plan, send)).then_some(())?;
        let text = |name: &str| came.body.get(name).and_then(Json::as_str);
        let run = text("run")?.parse().ok()?;
        let loop_id = text("loop")?.parse().ok()?;
        Some((run, loop_id, came.body.get("lap")?.as_u64()?))
    })();
    let preview = request
        .body
        .as_ref()
        .map(|body| velodrome_core::preview(body, &job.plan.log))
        .unwrap_or_default();
    // What a run answers that goes back to no other is told where it was asked.
    let answered = accepted.is_none().then_some((came.status, &came.body));
    let kept = payloads::posted(&job.plan.log, "", &delivered(&request), answered);
    let own = accepted.is_some_and(|(_, loop_id, _)| loop_id == job.run.loop_id);
    if let Some(witness) = &job.shared.witness {
        let handed_off = HandedOff {
            cycle: job.plan.cycle.clone(),
            step: step.id.clone(),
            lap: job.run.lap,
            to: target.cycle.clone(),
            body: request.body.clone().unwrap_or(Json::Null),
        };
        witness.saw(&[], vec![handed_off]);
    }
    let answer = SendAnswer {
        status: came.status,
        bytes: came.bytes,
        ms: came.ms,
        url: target.cycle.to_string(),
        handoff: accepted.map(|(run, loop_id, lap)| (run, loop_id, lap, preview)),
        own,
        body: if reads_body(step) {
            came.body
        } else {
            Json::Null
        },
        headers: match step.live.has("http") {
            true => came.headers,
            false => JsonMap::new(),
        },
        logs: std::mem::take(&mut gathered.logs),
        kept,
        ..SendAnswer::default()
    };
    Ok(Input::Sent {
        fence: job.fence,
        answer,
    })
}

/// What the request brings to the webhook.
fn delivered(request: &HttpRequest) -> Delivery {
    Delivery {
        body: request.body.clone().unwrap_or(Json::Null),
        headers: request.headers.clone(),
        query: request.query.clone(),
    }
}

/// Through a socket, as anybody would.
async fn over_http(
    job: &Job,
    (step, send): (&Step, &SendStep),
    request: &HttpRequest,
) -> Result<Came, Box<StepFailure>> {
    let connection = job.connection(&send.method)?;
    let how = SendOptions {
        ok: Vec::new(),
        timeout: step.timeout,
        idempotency_key: None,
        asker: Some(job.asker()),
        // Whose loop it is says the signed header, and with it which trace.
        trace: None,
    };
    let sent = job
        .shared
        .connect
        .send_home(&connection, send.method.def(), request, how)
        .await;
    let response = sent.map_err(|error| {
        let mut failure = request_failure(job.told(error));
        // It is this server's own refusal, which the step sees as that of a hand-off without a socket.
        let code = failure.body.as_ref().and_then(|body| body["code"].as_str());
        if let Some(code) = code.filter(|code| is_code(code)) {
            failure.code = Code::from_text(code);
        }
        // The server remembers the engine's key: sending again cannot make a second lap.
        if failure.kind == FailureKind::Unknown {
            failure.kind = FailureKind::Transient;
        }
        failure
    })?;
    Ok(Came {
        status: response.status,
        bytes: response.body.len() as u64,
        ms: response.millis,
        headers: JsonMap::new(),
        body: serde_json::from_slice(&response.body).unwrap_or(Json::Null),
    })
}

/// Inside this process, by a task of its own: what it begins is not cut short where the run that asks is stopped.
async fn in_process(
    job: &Job,
    send: &SendStep,
    request: &HttpRequest,
) -> Result<Came, Box<StepFailure>> {
    let target = send.target.as_ref().expect("only such requests come here");
    let named = |(name, value): (&String, &Json)| (name.to_ascii_lowercase(), value.clone());
    let body = request.body.as_ref().unwrap_or(&Json::Null);
    let request = HookRequest {
        cycle: target.cycle.to_string(),
        step: target.step.as_ref().map(ToString::to_string),
        resume: None,
        format: BodyFormat::Json,
        body: Bytes::from(body.to_string()),
        headers: request.headers.iter().map(named).collect(),
        query: request.query.clone(),
        idempotency_key: None,
        by_operator: false,
    };
    let began = job.shared.clock.now();
    let receiving = accept::receive_own(Arc::clone(&job.shared), request);
    let answered = job.shared.tasks.start(Task::Acceptance, receiving).await;
    let answer = answered
        .unwrap_or_else(|_| Err(Problem::new(500, "engine.fault", "it was not answered")))
        .map_err(|problem| match job.shared.draining.is_cancelled() {
            true => not_now(&problem),
            false => refused(problem),
        })?;
    let good = (200..300).contains(&answer.status);
    let text = answer.body.to_string();
    let headers = answer
        .headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), Json::String(value)))
        .collect();
    if !good && !send.ok.iter().any(|ok| ok.matches(answer.status)) {
        let message = format!("the webhook answered {}", answer.status);
        return Err(Box::new(StepFailure {
            kind: match answer.status {
                408 | 425 | 429 | 500..=599 => FailureKind::Transient,
                _ => FailureKind::Permanent,
            },
            status: Some(answer.status),
            headers,
            body: Some(answer.body),
            ..StepFailure::permanent(Code::new("request.status"), message)
        }));
    }
    let ms = job.shared.clock.now().since(began).as_millis();
    Ok(Came {
        status: answer.status,
        bytes: text.len() as u64,
        ms: u64::try_from(ms).unwrap_or(u64::MAX),
        headers,
        body: answer.body,
    })
}

/// The process is ending: nothing was refused, and the next start asks again.
fn not_now(problem: &Problem) -> Box<StepFailure> {
    Box::new(StepFailure {
        kind: FailureKind::Held,
        retry_after: Some(Duration::from_secs(1)),
        ..StepFailure::permanent(problem.code.clone(), problem.detail.clone())
    })
}

/// Whether it looks like one of the engine's codes: `area.reason`.
fn is_code(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    text.split_once('.')
        .is_some_and(|(area, reason)| word(area) && word(reason))
}
