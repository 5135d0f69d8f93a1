//! What a step test sees of an exchange: the request as it left, and all that came.

use std::time::Duration;

use bytes::Bytes;
use velodrome_connect::{AsSent, RequestError, Response};
use velodrome_types::Json;

/// One request and what came of it.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// The request as it left; `None` where nothing did.
    pub(crate) asked: Option<AsSent>,
    /// What came; `None` where nothing did.
    pub(crate) brought: Option<Brought>,
    /// The body as a handler left it, where one ran.
    pub(crate) left: Option<Json>,
}

/// An answer, good or not.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) status: u16,
    /// How long it took; of a bad answer with the wait for its turn.
    pub(crate) millis: u64,
    pub(crate) headers: Vec<(String, String)>,
    /// All of a good one, the beginning of a bad one.
    pub(crate) body: Bytes,
}

impl Exchanged {
    pub(super) fn new(
        asked: Option<AsSent>,
        sent: &Result<Response, RequestError>,
        took: Duration,
    ) -> Self {
        let brought = match sent {
            Ok(response) => Some(Brought {
                status: response.status,
                millis: response.millis,
                headers: response.headers.clone(),
                body: response.body.clone(),
            }),
            Err(error) => error.status.map(|status| Brought {
                status,
                millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                headers: error.headers.clone(),
                body: error.body.clone().unwrap_or_default(),
            }),
        };
        Self {
            asked,
            brought,
            left: None,
        }
    }
}
