//! An answer of the CRM API, and the headers that Zoho's recordings show with it.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::{Value, json};

use crate::errors::CrmError;

/// What a CRM request comes to, before it is dressed in headers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// 304 or 204: no body.
    Nothing(StatusCode),
    /// A body, and the ids of the listed records in it.
    Json {
        status: StatusCode,
        text: String,
        listed: Vec<u64>,
    },
}

impl Answer {
    /// No records: 304 where `If-Modified-Since` was sent, 204 where not.
    pub(crate) fn nothing(conditional: bool) -> Self {
        Self::Nothing(if conditional {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::NO_CONTENT
        })
    }

    pub(crate) fn records(text: String, listed: Vec<u64>) -> Self {
        Self::Json {
            status: StatusCode::OK,
            text,
            listed,
        }
    }

    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::Json {
            status,
            text: body.to_string(),
            listed: Vec::new(),
        }
    }

    pub(crate) fn refusal(error: &CrmError) -> Self {
        Self::json(error.status(), &error.envelope())
    }

    /// The shape of refusals by writes and by `/deleted`.
    pub(crate) fn refusal_in_data(error: &CrmError) -> Self {
        Self::json(error.status(), &json!({"data": [error.envelope()]}))
    }
}

/// The ids of the listed records, as they ride on the response to the place that counts them.
#[derive(Clone, Debug)]
pub(crate) struct Listed(pub(crate) Vec<u64>);

/// What the headers tell besides the fixed ones.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// When the access token dies.
    pub(crate) token_reset: Option<String>,
    /// Shown once half the credits are gone.
    pub(crate) credits_remaining: Option<u64>,
}

const FIXED: [(HeaderName, &str); 7] = [
    (
        header::CACHE_CONTROL,
        "no-store, no-cache, must-revalidate, private",
    ),
    (header::PRAGMA, "no-cache"),
    (header::EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT"),
    (header::REFERRER_POLICY, "strict-origin"),
    (header::VARY, "accept-encoding"),
    (header::CONTENT_LANGUAGE, "en-US"),
    (
        header::SET_COOKIE,
        "crmcsr=5f1e7a30-simulated;path=/;SameSite=None;Secure",
    ),
];

pub(crate) fn dress(answer: Answer, telling: &Telling) -> Response {
    let mut response = match answer {
        Answer::Nothing(status) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
        Answer::Json {
            status,
            text,
            listed,
        } => {
            // A stream of unknown length goes out chunked, as Zoho's answers do.
            let once = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(text))]);
            let mut response = Response::new(Body::from_stream(once));
            *response.status_mut() = status;
            response.extensions_mut().insert(Listed(listed));
            let headers = response.headers_mut();
            put(
                headers,
                header::CONTENT_TYPE,
                "application/json;charset=UTF-8",
            );
            put(
                headers,
                header::CONTENT_DISPOSITION,
                "attachment; filename=response.json",
            );
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        put(headers, name, value);
    }
    let told = telling.token_reset.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(reset)) = told {
        headers.insert("x-accesstoken-reset", reset);
    }
    if let Some(remaining) = telling.credits_remaining {
        headers.insert("x-api-credits-remaining", remaining.into());
    }
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
