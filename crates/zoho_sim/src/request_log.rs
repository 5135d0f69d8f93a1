//! The last requests, kept for a test to look at. No credentials: an `Authorization` header is
//! kept as its scheme, and secrets in a query are blanked.

use std::collections::VecDeque;

use serde::Serialize;

/// Requests kept; the oldest goes first.
const KEPT: usize = 1_000;

/// Query parameters whose value is a credential.
const SECRET: [&str; 6] = [
    "client_secret",
    "code",
    "code_verifier",
    "refresh_token",
    "token",
    "access_token",
];

#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoggedRequest {
    /// Counts from 1 and goes on when old requests fall out.
    pub(crate) seq: u64,
    pub(crate) at: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) status: u16,
    /// Whether a fault had a hand in the answer.
    pub(crate) faulted: bool,
    /// Records in the answer.
    pub(crate) records: usize,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    kept: VecDeque<LoggedRequest>,
    seq: u64,
}

impl RequestLog {
    pub(crate) fn push(&mut self, mut request: LoggedRequest) {
        self.seq += 1;
        request.seq = self.seq;
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(request);
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    pub(crate) fn all(&self) -> Vec<LoggedRequest> {
        self.kept.iter().cloned().collect()
    }
}

/// The query as it came, with the values of credentials blanked.
pub(crate) fn without_secrets(query: &str) -> String {
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRET.contains(&name) => format!("{name}=***"),
        _ => pair.to_owned(),
    });
    shown.collect::<Vec<_>>().join("&")
}
