//! What went wrong on the wire: whether anything had been sent, and how to say it.

use std::error::Error;

use crate::egress::RefusedAddress;
use crate::error::{ErrorKind, RequestError};

/// The refusal of the guard inside an error of the client, if that is what it is.
pub(crate) fn refused_address(error: &reqwest::Error) -> Option<RequestError> {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<RefusedAddress>() {
            return Some(RequestError::permanent(
                "request.refused_address",
                refused.to_string(),
            ));
        }
        source = inner.source();
    }
    None
}

/// The error in words, with its causes and without the URL, whose query may hold a key.
pub(crate) fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !told.contains(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
        source = inner.source();
    }
    told
}

/// An error before an answer came, or within a good answer.
pub(super) fn classify(error: reqwest::Error, safe: bool, shown: &str) -> RequestError {
    if let Some(refused) = refused_address(&error) {
        return refused;
    }
    if error.is_builder() {
        return RequestError::permanent("request.bad_url", told(error));
    }
    let unsent = error.is_connect();
    let kind = if safe || unsent {
        ErrorKind::Transient
    } else {
        ErrorKind::Unknown
    };
    let failed = if error.is_timeout() {
        let what = if unsent {
            "could not be connected to in time"
        } else {
            "did not answer in time"
        };
        RequestError::new(kind, "request.timeout", format!("`{shown}` {what}"))
    } else {
        let what = format!("`{shown}`: {}", told(error));
        RequestError::new(kind, "request.network", what)
    };
    if unsent { failed } else { failed.having_left() }
}
