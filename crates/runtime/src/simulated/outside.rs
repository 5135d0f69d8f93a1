//! The world of a simulation: requests to its own server are taken in process, all others go to
//! whoever plays the world.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use velodrome_connect::{Carrying, Errand, Incoming, Outgoing, Transport, TransportFault};
use velodrome_types::{Json, JsonMap};

use crate::accept;
use crate::api::{BodyFormat, HookAnswer, HookRequest, Problem};
use crate::shared::Shared;

#[derive(Debug)]
pub(super) struct Outside {
    pub(super) world: Arc<dyn Transport>,
    /// The engine itself, once it is there. Weak: the engine holds this.
    pub(super) home: OnceLock<Weak<Shared>>,
}

impl Transport for Outside {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        if request.errand != Errand::Home {
            return self.world.carry(request);
        }
        Box::pin(async move {
            let home = self.home.get().and_then(Weak::upgrade);
            let shared = home.ok_or(TransportFault::ConnectionRefused)?;
            Ok(
                match accept::receive(&shared, hook_request(request), None).await {
                    Ok(answer) => answered(&answer),
                    Err(problem) => refused(&problem),
                },
            )
        })
    }
}

fn hook_request(request: Outgoing) -> HookRequest {
    let mut path = request.url.path_segments().into_iter().flatten();
    let cycle = path.find(|part| *part == "hooks").and_then(|_| path.next());
    let text = |(name, value): (String, String)| (name.to_ascii_lowercase(), Json::String(value));
    let mut headers: JsonMap = request.headers.into_iter().map(text).collect();
    let key = headers.shift_remove("idempotency-key");
    HookRequest {
        cycle: cycle.unwrap_or_default().to_owned(),
        resume: None,
        step: path.next().map(str::to_owned),
        format: BodyFormat::Json,
        body: request.body.unwrap_or(Bytes::from_static(b"{}")),
        headers,
        query: request
            .url
            .query_pairs()
            .map(|(name, value)| (name.into_owned(), Json::String(value.into_owned())))
            .collect(),
        idempotency_key: key.and_then(|key| key.as_str().map(str::to_owned)),
        by_operator: false,
    }
}

fn answered(answer: &HookAnswer) -> Incoming {
    incoming(answer.status, answer.body.to_string())
}

fn refused(problem: &Problem) -> Incoming {
    incoming(
        problem.status,
        serde_json::to_string(problem).unwrap_or_default(),
    )
}

fn incoming(status: u16, body: String) -> Incoming {
    Incoming {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from(body),
    }
}
