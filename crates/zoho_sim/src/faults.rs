//! Faults to order: what the next answers suffer instead of, or on top of, the truth.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;

use crate::errors::{CrmError, Limit, envelope};

/// Which requests a fault waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Anything under `/crm`.
    #[default]
    Crm,
    /// `GET …/Contacts` only.
    List,
    /// `POST /oauth/v2/token`.
    Token,
}

/// A fault as it is ordered over HTTP.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultOrder {
    #[serde(default)]
    on: Target,
    #[serde(default = "one")]
    times: u32,
    #[serde(default)]
    after: u32,
    status: Option<u16>,
    code: Option<String>,
    retry_after: Option<u32>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    html: bool,
    #[serde(default)]
    cut: bool,
}

const fn one() -> u32 {
    1
}

/// What one answer suffers.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) delay: Duration,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) cut: bool,
}

/// An answer given in place of the truth.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: Option<String>,
    retry_after: Option<u32>,
    html: bool,
}

#[derive(Debug)]
struct Queued {
    on: Target,
    times: u32,
    after: u32,
    fault: Fault,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    queue: VecDeque<Queued>,
}

impl Faults {
    /// Queues a fault; the reason where the order makes no sense.
    pub(crate) fn order(&mut self, order: FaultOrder) -> Result<(), &'static str> {
        let refusal = match order.status {
            Some(status) => Some(Refusal {
                status: StatusCode::from_u16(status)
                    .ok()
                    .filter(|status| status.is_client_error() || status.is_server_error())
                    .ok_or("`status` must be from 400 to 599")?,
                code: order.code,
                retry_after: order.retry_after,
                html: order.html,
            }),
            None if order.html || order.code.is_some() || order.retry_after.is_some() => {
                return Err("`html`, `code` and `retry_after` need a `status`");
            }
            None => None,
        };
        if refusal.is_none() && order.delay_ms == 0 && !order.cut {
            return Err("give at least one of `status`, `delay_ms` and `cut`");
        }
        if order.times == 0 {
            return Err("`times` must be at least 1");
        }
        let delay = Duration::from_millis(order.delay_ms);
        let fault = Fault {
            delay,
            refusal,
            cut: order.cut,
        };
        self.queue.push_back(Queued {
            on: order.on,
            times: order.times,
            after: order.after,
            fault,
        });
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.queue
            .iter()
            .map(|queued| u64::from(queued.times))
            .sum()
    }

    /// The fault for a request that is all of these targets. The first that matches counts down.
    pub(crate) fn take(&mut self, targets: &[Target]) -> Option<Fault> {
        let place = self
            .queue
            .iter()
            .position(|queued| targets.contains(&queued.on))?;
        let queued = &mut self.queue[place];
        if queued.after > 0 {
            queued.after -= 1;
            return None;
        }
        queued.times -= 1;
        let fault = queued.fault.clone();
        if queued.times == 0 {
            self.queue.remove(place);
        }
        Some(fault)
    }
}

impl Refusal {
    pub(crate) fn answer(&self) -> Response {
        let mut response = if self.html {
            let title = self.status.canonical_reason().unwrap_or("Error");
            let page =
                format!("<html><head><title>{title}</title></head><body>{title}</body></html>");
            (
                self.status,
                [(header::CONTENT_TYPE, "text/html;charset=UTF-8")],
                page,
            )
                .into_response()
        } else {
            let usual = usual(self.status);
            let code = self.code.as_deref().unwrap_or(usual.code());
            let body = envelope(code, json!({}), usual.message()).to_string();
            let kind = [(header::CONTENT_TYPE, "application/json;charset=UTF-8")];
            (self.status, kind, body).into_response()
        };
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The refusal that Zoho would give with this status.
fn usual(status: StatusCode) -> CrmError {
    match status.as_u16() {
        401 => CrmError::InvalidToken,
        404 => CrmError::InvalidUrlPattern,
        429 => CrmError::TooManyRequests(Limit::Concurrency),
        502..=504 => CrmError::Unavailable,
        _ => CrmError::Internal,
    }
}

/// Sends half of the body and drops the connection. An answer without a body stays as it is.
pub(crate) async fn cut(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = axum::body::to_bytes(body, usize::MAX).await else {
        return parts.status.into_response();
    };
    if whole.is_empty() {
        return Response::from_parts(parts, Body::empty());
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let half = whole.slice(..whole.len() / 2);
    let broken =
        stream::once(async { Ok::<Bytes, std::io::Error>(half) }).chain(stream::once(async {
            // Lets the first half leave before the connection goes.
            tokio::task::yield_now().await;
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
        }));
    Response::from_parts(parts, Body::from_stream(broken))
}
