//! What a step test sees of an exchange: the request as it left, and all that came.

use bytes::Bytes;
use velodrome_connect::{AsSent, RequestError, Response};
use velodrome_types::Json;

/// One request and what came of it.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// The request as it left; `None` where it could not be written.
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
    /// How long it took; of a bad answer nobody knows.
    pub(crate) millis: Option<u64>,
    pub(crate) headers: Vec<(String, String)>,
    /// All of a good one, the beginning of a bad one.
    pub(crate) body: Bytes,
}

impl Exchanged {
    pub(super) fn new(asked: Option<AsSent>, sent: &Result<Response, RequestError>) -> Self {
        let brought = match sent {
            Ok(response) => Some(Brought {
                status: response.status,
                millis: Some(response.millis),
                headers: response.headers.clone(),
                body: response.body.clone(),
            }),
            Err(error) => error.status.map(|status| Brought {
                status,
                millis: None,
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
