//! Sending one request that leaves this process.

use velodrome_connect::{Connection, HttpRequest, MethodCall};
use velodrome_core::{EvalError, Input, SendAnswer, StepFailure, evaluate_map, evaluate_url};
use velodrome_spec::connector::MethodDef;
use velodrome_spec::expr::Expr;
use velodrome_spec::plan::{IfUnknown, SendStep, Step};
use velodrome_types::{Code, Json, JsonMap};

use super::carried::Carried;
use super::request::Exchange;
use super::{Gathered, Job, eval_failure, headers_of, home, request_failure};
use crate::vault::RequestOwner;

pub(super) async fn send(
    job: &Job,
    step: &Step,
    send: &SendStep,
    gathered: &mut Gathered,
) -> Result<Input, Box<StepFailure>> {
    let method = send.method.def();
    let connection = job.connection(&send.method)?;
    let request = match &job.built {
        Some(built) => {
            let unreadable = |error: String| {
                Box::new(StepFailure::permanent(
                    Code::new("engine.fault"),
                    format!(
                        "the stored request of `{}` cannot be read: {error}",
                        step.id
                    ),
                ))
            };
            let opened = job.shared.vault.open_request(&owner(job, step), built);
            let mut opened = opened.map_err(|error| unreadable(error.to_string()))?;
            gathered.carried =
                Carried::of_stored(&mut opened).map_err(|error| unreadable(error.to_string()))?;
            serde_json::from_value(opened).map_err(|error| unreadable(error.to_string()))?
        }
        None => {
            let request = loop {
                match build(job, send, gathered).await {
                    Ok(request) => break request,
                    Err(failure) => job.refreshed(&connection, failure, gathered).await?,
                }
            };
            if must_commit_first(step, &request) {
                let logs = std::mem::take(&mut gathered.logs);
                let mut request = serde_json::to_value(&request).unwrap_or(Json::Null);
                gathered.carried.store(step, &mut request);
                if reads_secret(send) {
                    // What a script made of a secret is not found by looking for its value.
                    let owner = owner(job, step);
                    request = job.shared.vault.close_request(&owner, request);
                }
                return Ok(Input::Built {
                    fence: job.fence,
                    request,
                    logs,
                });
            }
            request
        }
    };

    if send.target.is_some() {
        return home::ask(job, (step, send), &request, gathered).await;
    }
    let answer = loop {
        match asked(job, step, method, (&connection, &request), gathered).await {
            Ok(answer) => break answer,
            Err(failure) => job.refreshed(&connection, failure, gathered).await?,
        }
    };
    let logs = std::mem::take(&mut gathered.logs);
    let warning = gathered.warning.take();
    Ok(Input::Sent {
        fence: job.fence,
        answer: SendAnswer {
            logs,
            warning,
            kept: gathered.kept.take(),
            ..answer
        },
    })
}

/// Sends a request as it was built and lets the handlers see what comes.
async fn asked(
    job: &Job,
    step: &Step,
    method: &MethodDef,
    (connection, request): (&Connection, &HttpRequest),
    gathered: &mut Gathered,
) -> Result<SendAnswer, Box<StepFailure>> {
    let decides = step.handles("action_condition");
    let exchange = job.exchange(connection, method, request, gathered).await?;
    let (mut answer, headers) = match exchange {
        Exchange::Answered(response) => {
            let handlers = ["after_action", "after_action_paging"];
            let scripted = handlers.iter().any(|handler| step.handles(handler));
            let needs_body = scripted || decides || reads_body(step);
            let mut body = if needs_body && !response.body.is_empty() {
                serde_json::from_slice(&response.body).unwrap_or_else(|_| {
                    Json::String(String::from_utf8_lossy(&response.body).into_owned())
                })
            } else {
                Json::Null
            };
            // One answer is all pages: both see it, one after the other.
            for handler in handlers {
                if step.handles(handler) {
                    let of = (request, &response);
                    body = job.after(handler, of, body, None, gathered).await?;
                }
            }
            let headers = match decides || step.live.has("http") {
                true => headers_of(&response.headers),
                false => JsonMap::new(),
            };
            let answer = SendAnswer {
                status: response.status,
                bytes: response.body.len() as u64,
                ms: response.millis,
                url: response.url_shown,
                body,
                ..SendAnswer::default()
            };
            (answer, headers)
        }
        Exchange::Forgiven { status, body } => {
            let answer = SendAnswer {
                status,
                body,
                url: request.url.clone(),
                ..SendAnswer::default()
            };
            (answer, JsonMap::new())
        }
    };
    if decides {
        let came = (answer.status, &headers);
        let body = answer.body.clone();
        let passed = job.condition(request, came, body, gathered).await?;
        answer.passed = Some(passed);
        // Of many items those that do not pass give nothing.
        if job.item.is_some() && !passed {
            answer.body = Json::Null;
        }
    }
    if step.live.has("http") {
        answer.headers = headers;
    }
    Ok(answer)
}

/// I6: a request that changes something is committed as built where building it again could give
/// another one, or where it may be sent once only.
fn must_commit_first(step: &Step, request: &HttpRequest) -> bool {
    let changes = !matches!(request.verb.as_str(), "GET" | "HEAD");
    changes
        && (step.handles("before_action")
            || !step.inlines().is_empty()
            || step.if_unknown == IfUnknown::Fail)
}

fn reads_secret(send: &SendStep) -> bool {
    let named = [&send.map, &send.query, &send.headers];
    let named = named.into_iter().flatten().map(|(_, expr)| expr);
    named.chain(&send.url).any(Expr::reads_secret)
}

fn owner<'a>(job: &Job, step: &'a Step) -> RequestOwner<'a> {
    RequestOwner {
        run: job.run.id,
        step: &step.id,
        item: job.item.as_ref().map(|item| item.index),
    }
}

pub(super) fn reads_body(step: &Step) -> bool {
    step.live.names.iter().any(|name| {
        let of_items = matches!(name.as_str(), "count" | "succeeded" | "failed");
        !(matches!(name.as_str(), "http" | "error") || (step.each.is_some() && of_items))
    })
}

async fn build(
    job: &Job,
    send: &SendStep,
    gathered: &mut Gathered,
) -> Result<HttpRequest, Box<StepFailure>> {
    let failed = |error: EvalError| eval_failure(&error);
    let connection = job.connection(&send.method)?;
    let url = match &send.url {
        Some(url) => evaluate_url(url, job.scope()).map_err(failed)?,
        None => None,
    };
    let inputs = evaluate_map(&send.map, job.scope()).map_err(failed)?;
    gathered.carried = Carried::begin(job.step(), send.method.def(), &inputs, Json::Null);
    let call = MethodCall {
        inputs,
        url,
        query: evaluate_map(&send.query, job.scope())
            .map_err(failed)?
            .into_iter()
            .collect(),
        headers: evaluate_map(&send.headers, job.scope())
            .map_err(failed)?
            .into_iter()
            .collect(),
        ..MethodCall::default()
    };
    let tokens = job
        .shared
        .connect
        .current_tokens(&connection)
        .await
        .map_err(request_failure)?;
    gathered.signed.clone_from(&tokens);
    let mut request = job
        .shared
        .connect
        .build(&connection, tokens.as_ref(), send.method.def(), call)
        .map_err(request_failure)?;
    job.before_action(&mut request, None, gathered).await?;
    Ok(request)
}
