//! `http_request` of scripts: through the connection's guard, its limits and its credentials, which go to its own
//! hosts only.
//!
//! A script waits for the answer on its own thread, one of those for scripts that may take their time
//! (`crates/runtime/src/handlers.rs`), never on one of the engine's. In virtual time nothing may wait, so that there a
//! script reaches nothing.

use std::sync::{Arc, LazyLock};

use tokio::runtime::Handle;
use velodrome_connect::{Asker, BUILT_IN, Connection, HttpRequest, SendOptions};
use velodrome_script::{HttpAnswered, HttpAsked, Outside, StorageFault};
use velodrome_spec::check_connector;
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::plan::{Step, StepKind};
use velodrome_types::{Json, JsonMap, RunId};

use crate::metrics::Outcome;
use crate::shared::Shared;

/// What metrics call such a request in place of a method.
const HTTP_REQUEST: &str = "http_request";

/// The code of a request that came to no answer.
const FAILED: &str = "script.request_failed";

/// What steps ask with that have no connection to an API: no credentials, no limits.
static PLAIN: LazyLock<Arc<ConnectorDef>> = LazyLock::new(|| {
    let built_in = BUILT_IN.iter().find(|(name, _)| *name == "generic_webhook");
    let (name, text) = built_in.expect("it is built in");
    Arc::new(
        check_connector(name, text)
            .0
            .expect("what is built in is good"),
    )
});

/// The world as one call of a script reaches it.
pub(crate) struct ScriptRequests {
    shared: Arc<Shared>,
    connection: Result<Arc<Connection>, String>,
    /// The run whose script asks.
    run: RunId,
    asker: Asker,
    runtime: Handle,
}

impl ScriptRequests {
    /// The world as a step's script reaches it, with the step's connection.
    ///
    /// # Panics
    ///
    /// Outside the async runtime, on which the requests are made.
    pub(crate) fn of(shared: &Arc<Shared>, step: &Step, (run, asker): (RunId, Asker)) -> Self {
        let method = match &step.kind {
            StepKind::List(list) => Some(&list.method),
            StepKind::Send(send) => Some(&send.method),
            _ => None,
        };
        let connection = match method {
            Some(method) => shared
                .connections
                .get(&method.connection, &method.connector)
                .map_err(|unset| unset.to_string())
                .and_then(|known| {
                    let gone = || {
                        format!(
                            "connection `{}` is not declared any more",
                            method.connection
                        )
                    };
                    known.ok_or_else(gone)
                }),
            None => Ok(Arc::new(Connection::with_defaults(
                step.connection(),
                Arc::clone(&PLAIN),
            ))),
        };
        Self {
            shared: Arc::clone(shared),
            connection,
            run,
            asker,
            runtime: Handle::current(),
        }
    }
}

impl Outside for ScriptRequests {
    fn http_request(&mut self, asked: &HttpAsked) -> Result<HttpAnswered, StorageFault> {
        let connection = self
            .connection
            .as_ref()
            .map_err(|why| failed(why.clone()))?;
        let request = HttpRequest {
            verb: asked.method.clone(),
            url: asked.url.clone(),
            query: asked.parameters.clone(),
            headers: asked.headers.clone(),
            body: asked.data.clone(),
        };
        let how = SendOptions {
            timeout: asked.within,
            idempotency_key: Some(asked.key.clone()),
            ok: Vec::new(),
            asker: Some(self.asker.clone()),
            trace: self
                .shared
                .trace_for(&asked.url, self.run, self.asker.loop_id),
        };
        let (connect, clock) = (&self.shared.connect, &self.shared.clock);
        let until = clock.now().plus(asked.within);
        let watch = clock.stopwatch();
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = connect.fetch(connection, &request, how) => Some(answer),
                // Waiting for its turn counts too.
                () = clock.sleep_until(until) => None,
            }
        });
        let outcome = answer.as_ref().map_or(Outcome::None, Outcome::of);
        let metrics = &self.shared.metrics;
        metrics.request(&connection.id, HTTP_REQUEST, outcome, watch.elapsed());
        let answer = match answer {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => return Err(failed(format!("{} ({})", error.message, error.code))),
            None => {
                return Err(failed(
                    "no answer within the time that a script has: `script_limits.time` (request.timeout)".to_owned(),
                ));
            }
        };
        if answer.body.len() > asked.most {
            return Err(failed(format!(
                "the answer is larger than the {} bytes that a script takes (request.too_large)",
                asked.most
            )));
        }
        let content = match serde_json::from_slice(&answer.body) {
            Ok(json) => json,
            Err(_) if answer.body.is_empty() => Json::Null,
            Err(_) => Json::String(String::from_utf8_lossy(&answer.body).into_owned()),
        };
        let headers = answer.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), Json::String(value.clone())));
        Ok(HttpAnswered {
            status_code: answer.status,
            headers: headers.collect::<JsonMap>(),
            content,
        })
    }
}

fn failed(message: String) -> StorageFault {
    StorageFault {
        code: FAILED,
        message: format!("http_request: {message}"),
    }
}
