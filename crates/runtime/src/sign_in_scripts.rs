//! The handlers of a connector around its sign-in: `before_oauth2_authorise` and its like.
//!
//! They run for no run: there is no cycle, no storage, and what they log is not kept, for it may be a token.
//! What they throw is told without the secrets that they were given.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use velodrome_connect::{Connection, HookFault, HookFuture, Said, SignInEvent, SignInHooks};
use velodrome_script::{
    Call, Family, Finished, Returned, ScriptError, ScriptHost, StorageFault, StorageView, Vars,
};
use velodrome_types::{Code, Json};

use crate::clock::Clock;
use crate::handlers::{Threads, failure};

/// Runs them.
#[derive(Debug)]
pub(crate) struct SignInScripts {
    pub(crate) host: Arc<ScriptHost>,
    pub(crate) threads: Threads,
    pub(crate) clock: Clock,
}

/// The shortest text that is taken for a secret: shorter ones stand in every message.
const SECRET: usize = 4;

impl SignInHooks for SignInScripts {
    fn call<'a>(
        &'a self,
        connection: &'a Connection,
        event: SignInEvent,
        said: Said,
    ) -> HookFuture<'a> {
        Box::pin(self.called(connection, event, said))
    }
}

impl SignInScripts {
    async fn called(
        &self,
        connection: &Connection,
        event: SignInEvent,
        said: Said,
    ) -> Result<Said, HookFault> {
        let Some(script) = &connection.def.script else {
            return Ok(said);
        };
        let secrets = secrets(&said);
        let fault = |error| {
            let failure = failure(script, error, Vec::new());
            let message = without(failure.message, &secrets);
            let message = match failure.at {
                Some(at) => format!("{message} ({at})"),
                None => message,
            };
            HookFault {
                code: failure.code,
                message,
            }
        };
        let now = self.clock.now();
        let call = Call {
            outside: Box::new(velodrome_script::NoOutside),
            vars: Vars {
                method_endpoint: said.endpoint,
                method_request: said.request,
                method_request_headers: said.headers,
                method_response: said.response,
                status_code: said.status,
                action_data: said.action_data,
                script_execution_context: "RUNNING_TRANSACTION".to_owned(),
                ..Vars::default()
            },
            storage: Box::new(NoStorage),
            now,
            seed: seed(connection, event, now.to_string()),
        };
        let (host, handler) = (Arc::clone(&self.host), event.as_str());
        let (language, code) = (script.language, Arc::clone(&script.code));
        let run = move || Ok(host.call(&*host.compile(language, &code)?, handler, call));
        let finished: Result<Finished, ScriptError> = match &self.threads {
            Threads::Pool(threads) if !script.analysis.short => {
                let of = format!("connection/{}", connection.id);
                threads.run(&of, run).await.map_err(|_| HookFault {
                    code: Code::new("engine.fault"),
                    message: format!("the script in `{}` was lost", script.path),
                })?
            }
            _ => run(),
        };
        let finished = finished.map_err(fault)?;
        let vars = finished.vars;
        match finished.result.map_err(fault)? {
            Returned::False => Err(HookFault {
                code: Code::new("script.aborted"),
                message: format!("{handler} returned false: the sign-in does not go on"),
            }),
            _ => Ok(Said {
                endpoint: vars.method_endpoint,
                headers: vars.method_request_headers,
                request: vars.method_request,
                response: vars.method_response,
                status: vars.status_code,
                action_data: vars.action_data,
            }),
        }
    }
}

/// Every text of what is sent and answered: any may be a secret or a token.
fn secrets(said: &Said) -> Vec<String> {
    fn texts(value: &Json, found: &mut Vec<String>) {
        match value {
            Json::String(text) if text.len() >= SECRET => found.push(text.clone()),
            Json::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Json::Object(fields) => fields.values().for_each(|value| texts(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    texts(&said.request, &mut found);
    texts(&said.response, &mut found);
    said.headers
        .values()
        .for_each(|value| texts(value, &mut found));
    // The longest first: one may be a part of another.
    found.sort_by_key(|text| std::cmp::Reverse(text.len()));
    found
}

fn without(message: String, secrets: &[String]) -> String {
    let hide = |message: String, secret: &String| message.replace(secret, "•••");
    secrets.iter().fold(message, hide)
}

fn seed(connection: &Connection, event: SignInEvent, now: String) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update(connection.id.as_str())
        .chain_update(event.as_str())
        .chain_update(now)
        .finalize();
    let mut seed = [0; 16];
    seed.copy_from_slice(&hash[..16]);
    seed
}

/// The storage of a script that runs for no run.
struct NoStorage;

fn none<T>() -> Result<T, StorageFault> {
    Err(StorageFault {
        code: "storage.no_run",
        message: "there is no storage while a connection signs in: hand on in `action_data`"
            .to_owned(),
    })
}

impl StorageView for NoStorage {
    fn get(&mut self, _: Family, _: &str) -> Result<Option<Json>, StorageFault> {
        none()
    }

    fn set(&mut self, _: Family, _: &str, _: Json) -> Result<(), StorageFault> {
        none()
    }

    fn append(&mut self, _: Family, _: &str, _: Json) -> Result<(), StorageFault> {
        none()
    }

    fn delete(&mut self, _: Family, _: &str) -> Result<(), StorageFault> {
        none()
    }

    fn delete_all(&mut self, _: Family) -> Result<(), StorageFault> {
        none()
    }

    fn list_keys(&mut self, _: Family) -> Result<Vec<String>, StorageFault> {
        none()
    }

    fn list_values(&mut self, _: Family) -> Result<Vec<Json>, StorageFault> {
        none()
    }

    fn increment(&mut self, _: Family, _: &str, _: f64) -> Result<Json, StorageFault> {
        none()
    }

    fn decrement(&mut self, _: Family, _: &str, _: f64) -> Result<Json, StorageFault> {
        none()
    }
}
