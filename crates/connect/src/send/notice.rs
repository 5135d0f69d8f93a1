//! A POST that tells somebody something: through the guard, without credentials, with a key.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use url::Url;
use velodrome_types::{Json, JsonMap, Timestamp};

use super::{read_at_most, retry_after, wire};
use crate::connect::Connect;
use crate::error::{ErrorKind, RequestError};
use crate::request::{HttpRequest, shown};

/// As much of an answer as is read, so that its connection can be used again. Nothing in it counts.
const ANSWER_LIMIT: u64 = 64 * 1024;

impl Connect {
    /// POSTs `body` to `url` and gives the status of a 2xx answer. Every other answer is an error, a
    /// redirect too: it is not followed.
    ///
    /// Errors name the URL's origin only: its path is what keeps strangers from posting there.
    ///
    /// # Errors
    ///
    /// `request.status` with the status and what `Retry-After` asks; what sending any request gives.
    pub async fn notify(
        &self,
        url: &str,
        body: Json,
        key: &str,
        timeout: Duration,
    ) -> Result<u16, RequestError> {
        let request = HttpRequest {
            verb: "POST".to_owned(),
            url: url.to_owned(),
            query: JsonMap::new(),
            headers: JsonMap::new(),
            body: Some(body),
        };
        let wire = wire::write(&request, Some(key))?;
        let origin = origin(&wire.url);
        let sent = self.leave_with_notice(&wire, timeout).await;
        let answer = sent.map_err(|error| RequestError {
            message: error.message.replace(&shown(wire.url.as_str()), &origin),
            ..error
        })?;
        let status = answer.status();
        let header = |name| answer.headers().get(name)?.to_str().ok();
        let date = header(reqwest::header::DATE).and_then(Timestamp::parse_http_date);
        let wait = header(RETRY_AFTER).and_then(|text| retry_after::parse(text, date, self.now()));
        // It has been taken or refused by now, whatever becomes of the rest.
        drop(read_at_most(answer, ANSWER_LIMIT).await);
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let kind = match status.as_u16() {
            408 | 425 | 429 | 500..=599 => ErrorKind::Transient,
            _ => ErrorKind::Permanent,
        };
        Err(RequestError {
            status: Some(status.as_u16()),
            retry_after: wait,
            ..RequestError::new(
                kind,
                "request.status",
                format!("`{origin}` answered {status}"),
            )
        })
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
