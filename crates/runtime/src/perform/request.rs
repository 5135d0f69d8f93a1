//! The handlers around one request: `before_action`, the sending, `after_error`.

use std::borrow::Cow;

use velodrome_connect::{Asker, Connection, HttpRequest, RequestError, Response, SendOptions};
use velodrome_core::StepFailure;
use velodrome_script::Vars;
use velodrome_spec::connector::MethodDef;
use velodrome_spec::plan::Payloads;
use velodrome_types::{Code, Json, JsonMap, Timestamp};

use super::{Exchanged, Gathered, Job, body_of, headers_of, request_failure};
use crate::handlers::{Called, Caller, Purpose};
use crate::metrics::Outcome;
use crate::payloads::{Sending, exchanged};

/// What a handler fails with that throws an `AuthRefreshException`.
const AUTH_REFRESH: &str = "script.auth_refresh";

impl Job {
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller {
            shared: &self.shared,
            plan: &self.plan,
            step: self.step(),
            run: self.run.id,
            loop_id: self.run.loop_id,
            lap: self.run.lap,
            now: self.shared.clock.now(),
            at: match (&self.item, self.pages()) {
                (Some(item), _) => item.index,
                (None, Some(pages)) => pages.answered,
                (None, None) => 0,
            },
            purpose: self.purpose,
        }
    }

    /// Runs a handler and keeps what it wrote and logged.
    pub(super) async fn handler(
        &self,
        name: &'static str,
        vars: Vars,
        gathered: &mut Gathered,
    ) -> Result<(bool, Vars), Box<StepFailure>> {
        let called = self.called(name, vars, gathered).await?;
        Ok((called.passed, called.vars))
    }

    /// The same, with all that it left.
    pub(super) async fn called(
        &self,
        name: &'static str,
        mut vars: Vars,
        gathered: &mut Gathered,
    ) -> Result<Called, Box<StepFailure>> {
        // Given back where the handler asks for new tokens: what those before it wrote stays.
        let before = gathered.overlay.clone();
        let overlay = std::mem::take(&mut gathered.overlay);
        gathered.carried.lend(&mut vars);
        let handlers = &self.shared.handlers;
        let called = handlers.call(self.caller(), name, vars, overlay).await;
        let mut called = called.inspect_err(|failure| {
            if failure.code.as_str() == AUTH_REFRESH {
                gathered.overlay = before;
            }
        })?;
        gathered.carried.take_back(&mut called.vars);
        gathered.overlay = std::mem::take(&mut called.overlay);
        gathered.logs.append(&mut called.logs);
        gathered.foreign.append(&mut called.foreign);
        Ok(called)
    }

    /// Runs `before_action`, which may change what is sent.
    pub(super) async fn before_action(
        &self,
        request: &mut HttpRequest,
        filter: Option<Timestamp>,
        gathered: &mut Gathered,
    ) -> Result<(), Box<StepFailure>> {
        if !self.step().handles("before_action") {
            return Ok(());
        }
        let vars = Vars {
            method_request: request
                .body
                .take()
                .unwrap_or_else(|| Json::Object(JsonMap::new())),
            method_request_headers: request.headers.clone(),
            method_request_parameters: request.query.clone(),
            method_endpoint: request.url.clone(),
            last_successful_run_date: filter,
            ..Vars::default()
        };
        let (passed, vars) = self.handler("before_action", vars, gathered).await?;
        if !passed {
            return Err(Box::new(StepFailure::permanent(
                Code::new("script.aborted"),
                "before_action returned false: the request was not sent",
            )));
        }
        let empty = vars
            .method_request
            .as_object()
            .is_some_and(JsonMap::is_empty);
        let bodyless = matches!(request.verb.as_str(), "GET" | "HEAD");
        request.body = (!(empty && bodyless)).then_some(vars.method_request);
        request.headers = vars.method_request_headers;
        request.query = vars.method_request_parameters;
        request.url = vars.method_endpoint;
        Ok(())
    }

    /// Whether a handler's failure asks for new tokens, which are there now; any other failure, and a second
    /// such one, is the step's.
    ///
    /// Errors: `script.auth_refresh` where new tokens were asked for twice, or where the connection has
    /// none to refresh; those of the refresh itself.
    pub(super) async fn refreshed(
        &self,
        connection: &Connection,
        mut failure: Box<StepFailure>,
        gathered: &mut Gathered,
    ) -> Result<(), Box<StepFailure>> {
        if failure.code.as_str() != AUTH_REFRESH {
            return Err(failure);
        }
        if gathered.refreshed {
            failure.message = format!(
                "a script asked for new tokens of `{}` again, after they had been refreshed: sign in again with `velodrome connect {}`, or look at what the script takes for a refusal",
                connection.id, connection.id
            );
            return Err(failure);
        }
        gathered.refreshed = true;
        gathered.logs.append(&mut failure.logs);
        let connect = &self.shared.connect;
        let renewed = connect.renew_tokens(connection, gathered.signed.as_ref());
        let renewed = renewed.await;
        renewed.map_err(|error| match error.code.as_str() {
            "auth.no_sign_in" => {
                failure.message = format!(
                    "a script asked for new tokens of `{}`, which has none: `AuthRefreshException` is for connections with OAuth 2.0",
                    connection.id
                );
                failure
            }
            _ => request_failure(error),
        })
    }

    /// Runs `action_condition` on an answer, or on one record of it.
    pub(super) async fn condition(
        &self,
        request: &HttpRequest,
        (status, headers): (u16, &JsonMap),
        body: Json,
        gathered: &mut Gathered,
    ) -> Result<bool, Box<StepFailure>> {
        let vars = Vars {
            method_request: request
                .body
                .clone()
                .unwrap_or_else(|| Json::Object(JsonMap::new())),
            method_request_headers: request.headers.clone(),
            method_request_parameters: request.query.clone(),
            method_response: body,
            method_response_headers: headers.clone(),
            method_endpoint: request.url.clone(),
            status_code: Some(status),
            ..Vars::default()
        };
        Ok(self.handler("action_condition", vars, gathered).await?.0)
    }

    /// In whose turn it is asked.
    pub(super) fn asker(&self) -> Asker {
        Asker {
            cycle: self.plan.cycle.clone(),
            step: self.step().id.clone(),
            loop_id: self.run.loop_id,
            lap: self.run.lap,
        }
    }

    /// The same in every attempt, another for each item.
    fn key(&self) -> String {
        let (run, step) = (&self.run.id, &self.step().id);
        match &self.item {
            Some(item) => format!("{run}/{step}/{}", item.index),
            None => format!("{run}/{step}"),
        }
    }

    /// Sends; where the API answers with an error, `after_error` may make it a success.
    pub(super) async fn exchange(
        &self,
        connection: &Connection,
        method: &MethodDef,
        request: &HttpRequest,
        gathered: &mut Gathered,
    ) -> Result<Exchange, Box<StepFailure>> {
        let read_only = matches!(request.verb.as_str(), "GET" | "HEAD");
        let how = SendOptions {
            ok: match &self.step().kind {
                velodrome_spec::plan::StepKind::Send(send) => send.ok.clone(),
                _ => Vec::new(),
            },
            timeout: self.step().timeout,
            asker: Some(self.asker()),
            idempotency_key: (!read_only).then(|| self.key()),
            trace: self
                .shared
                .trace_for(&request.url, self.run.id, self.run.loop_id),
        };
        let (connect, clock) = (&self.shared.connect, &self.shared.clock);
        if self.step().is_scripted() {
            // A script may find out that they are void. What is wrong with them the sending tells.
            gathered.signed = connect.current_tokens(connection).await.unwrap_or_default();
        }
        let watching = (self.purpose == Purpose::Test).then(|| (how.clone(), clock.now()));
        let policy = &self.plan.log;
        let as_sent = (policy.payloads == Payloads::Full).then(|| how.clone());
        let watch = clock.stopwatch();
        let sent = connect.send(connection, method, request, how).await;
        let (outcome, took) = (Outcome::of(&sent), watch.elapsed());
        let metrics = &self.shared.metrics;
        metrics.request(&connection.id, &method.name, outcome, took);
        let sent = sent.map_err(|error| self.told(error));
        let sending = Sending {
            connect,
            connection,
            request,
            how: as_sent.as_ref(),
        };
        gathered.kept = exchanged(policy, &sending, &sent);
        if let Some((how, begun)) = watching {
            let left = sent.as_ref().map_or_else(RequestError::left, |_| true);
            let asked = left.then(|| connect.as_sent(connection, request, &how).ok());
            let took = clock.now().since(begun);
            let exchanged = Exchanged::new(asked.flatten(), &sent, took);
            gathered.watched.push(exchanged);
        }
        match sent {
            Ok(response) => Ok(Exchange::Answered(response)),
            Err(error) => self.after_error(request, error, gathered).await,
        }
    }

    /// An error as it may be shown: APIs tell back what they were sent. Before anything is cut off, so
    /// that no part of a secret is left.
    pub(super) fn told(&self, mut error: RequestError) -> RequestError {
        let redactor = self.shared.vault.redactor();
        if let Some(body) = &mut error.body
            && let Cow::Owned(hidden) = redactor.bytes(body)
        {
            *body = hidden.into();
        }
        error
    }

    async fn after_error(
        &self,
        request: &HttpRequest,
        error: RequestError,
        gathered: &mut Gathered,
    ) -> Result<Exchange, Box<StepFailure>> {
        let Some(status) = error.status.filter(|_| self.step().handles("after_error")) else {
            return Err(request_failure(error));
        };
        let content = error.body.as_deref().map_or(Json::Null, body_of);
        let vars = Vars {
            method_request: request
                .body
                .clone()
                .unwrap_or_else(|| Json::Object(JsonMap::new())),
            method_request_headers: request.headers.clone(),
            method_request_parameters: request.query.clone(),
            method_endpoint: request.url.clone(),
            method_response_headers: headers_of(&error.headers),
            status_code: Some(status),
            method_error: serde_json::json!({
                "statusCode": status, "reasonPhrase": "", "content": content,
                "isError": true, "isWarning": false, "isSuccess": false,
            }),
            ..Vars::default()
        };
        let (_, vars) = self.handler("after_error", vars, gathered).await?;
        let is_error = vars
            .method_error
            .get("isError")
            .and_then(Json::as_bool)
            .unwrap_or(true);
        if is_error {
            return Err(request_failure(error));
        }
        let body = match vars.method_error.get("content") {
            Some(Json::String(text)) => {
                serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()))
            }
            Some(value) => value.clone(),
            None => Json::Object(JsonMap::new()),
        };
        if let Some(watched) = gathered.watched.last_mut() {
            watched.left = Some(body.clone());
        }
        if vars.method_error.get("isWarning").and_then(Json::as_bool) == Some(true) {
            gathered.warning = Some(error.message.as_str().into());
        }
        Ok(Exchange::Forgiven { status, body })
    }

    /// Runs `after_action` over a body that has been parsed for it.
    pub(super) async fn after_action(
        &self,
        request: &HttpRequest,
        response: &Response,
        body: Json,
        filter: Option<Timestamp>,
        gathered: &mut Gathered,
    ) -> Result<Json, Box<StepFailure>> {
        let of = (request, response);
        self.after("after_action", of, body, filter, gathered).await
    }

    /// Runs a handler behind a good answer and gives the body that it leaves.
    pub(super) async fn after(
        &self,
        handler: &'static str,
        (request, response): (&HttpRequest, &Response),
        body: Json,
        filter: Option<Timestamp>,
        gathered: &mut Gathered,
    ) -> Result<Json, Box<StepFailure>> {
        let vars = Vars {
            method_request: request
                .body
                .clone()
                .unwrap_or_else(|| Json::Object(JsonMap::new())),
            method_request_headers: request.headers.clone(),
            method_request_parameters: request.query.clone(),
            method_response: body,
            method_response_headers: headers_of(&response.headers),
            method_endpoint: request.url.clone(),
            status_code: Some(response.status),
            reason_phrase: response.reason.clone(),
            last_successful_run_date: filter,
            ..Vars::default()
        };
        let left = self.handler(handler, vars, gathered).await?.1;
        if let Some(watched) = gathered.watched.last_mut() {
            watched.left = Some(left.method_response.clone());
        }
        Ok(left.method_response)
    }
}

/// What came of sending.
#[derive(Debug)]
pub(super) enum Exchange {
    /// The API answered well.
    Answered(Response),
    /// It answered with an error that `after_error` made a success.
    Forgiven { status: u16, body: Json },
}
