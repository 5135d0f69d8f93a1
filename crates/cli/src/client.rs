//! The API's client: requests with the token, problems as errors with exit codes.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::args::Global;
use crate::config;
use crate::exit::Ended;
use crate::terminal::escape;

/// How long a connection may take to come about.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a silent connection is trusted: a followed log may say nothing for hours, and only the
/// system can tell that its server has lost power meanwhile.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long something is waited for that only adds to what is said anyway.
const GLANCE: Duration = Duration::from_secs(2);

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    /// The client of the server that the command line means.
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let (url, token) = config::server(global)?;
        Self::of(url, token)
    }

    /// The client of this server.
    pub(crate) fn of(url: String, token: String) -> Result<Self> {
        let known = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !known {
            let message = format!("`{url}` is no URL of a server, such as http://127.0.0.1:7300");
            return Err(Ended::Usage(message).into());
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .tcp_keepalive(KEEP_ALIVE)
            .build()
            .context("making an HTTP client")?;
        Ok(Self { http, url, token })
    }

    /// The plain HTTP client, for requests that are none of the API's.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Asks the API. What in the path is not fixed goes through [`segment`] first.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<String>,
    ) -> Result<Response> {
        let mut url = Url::parse(&format!("{}/api/v1{path}", self.url))
            .map_err(|_| Ended::Usage(format!("`{}` is no URL", self.url)))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        self.answer(request).await
    }

    /// Asks the API for JSON.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Value> {
        let response = self.ask(method, path, query, None).await?;
        self.read_json(response).await
    }

    /// What is asked, if it comes soon.
    pub(crate) async fn glance<T>(asked: impl Future<Output = Result<T>>) -> Option<T> {
        tokio::time::timeout(GLANCE, asked).await.ok()?.ok()
    }

    /// POSTs to the API, with JSON text or nothing, and reads the JSON it answers.
    pub(crate) async fn post(&self, path: &str, body: Option<String>) -> Result<Value> {
        let response = self.ask(Method::POST, path, &[], body).await?;
        self.read_json(response).await
    }

    /// The JSON of an answer.
    pub(crate) async fn read_json(&self, response: Response) -> Result<Value> {
        let text = self.text(response).await?;
        serde_json::from_str(&text).map_err(|_| {
            let what = "the answer is not JSON: is this a Velodrome server?";
            anyhow::anyhow!("error[server.answer]: {what} ({})", self.url)
        })
    }

    /// POSTs to a webhook: `CYCLE`, or `CYCLE/STEP`.
    pub(crate) async fn hook(&self, hook: &str, body: String) -> Result<Value> {
        let path: Result<Vec<String>> = hook.split('/').map(segment).collect();
        let url = format!("{}/hooks/{}", self.url, path?.join("/"));
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(body);
        let response = self.answer(request).await?;
        let text = self.text(response).await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Calls a webhook as the operator: `CYCLE`, or `CYCLE/STEP`.
    pub(crate) async fn trigger(&self, hook: &str, body: String) -> Result<Value> {
        let path = match hook.split_once('/') {
            Some((cycle, step)) => {
                format!("/cycles/{}/trigger/{}", segment(cycle)?, segment(step)?)
            }
            None => format!("/cycles/{}/trigger", segment(hook)?),
        };
        let response = self.ask(Method::POST, &path, &[], Some(body)).await?;
        let text = self.text(response).await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        Err(problem(status, &text).into())
    }

    /// The whole body.
    pub(crate) async fn text(&self, response: Response) -> Result<String> {
        let text = response.text().await;
        Ok(text.map_err(|error| self.unreachable(&error))?)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Ended {
        let why = if error.is_connect() {
            "nothing answers there"
        } else {
            "the connection broke"
        };
        Ended::Unreachable(format!(
            "the server at {} cannot be reached: {why}; is `velodrome serve` running?",
            self.url
        ))
    }
}

/// A text as one segment of a path, whatever is in it.
///
/// # Errors
///
/// Usage, where no URL can say it: empty, or a path's own `.` and `..`.
pub(crate) fn segment(text: &str) -> Result<String> {
    if matches!(text, "" | "." | "..") {
        return Err(Ended::Usage(format!("`{text}` names nothing")).into());
    }
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(segment)
}

/// An answer that is an error, as what ends the command.
fn problem(status: StatusCode, body: &str) -> Ended {
    let problem: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let code = problem["code"].as_str().unwrap_or("server.answer");
    let detail = problem["detail"]
        .as_str()
        .map_or_else(|| format!("the server answered {status}"), escape);
    let mut message = format!("error[{}]: {detail}", escape(code));
    // Where several fields are wrong the detail names the first.
    for error in problem["errors"].as_array().into_iter().flatten().skip(1) {
        if let Some(text) = error["message"].as_str() {
            message.push_str(&format!("\n  also: {}", escape(text)));
        }
    }
    if let Some(hint) = hint(code).filter(|_| !detail.contains("`velodrome ")) {
        message.push_str(&format!("\n  = help: {hint}"));
    }
    match (status, code) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Ended::NotAllowed(message),
        (StatusCode::SERVICE_UNAVAILABLE, _) => Ended::Unavailable(message),
        (StatusCode::BAD_GATEWAY, _) => Ended::Unreachable(message),
        (_, "api.bad_parameter") => Ended::Usage(message),
        _ => Ended::Refused(message),
    }
}

/// What to do about a code, where the answer does not say it itself.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "api.unauthenticated" => {
            "`--token-file` names the token; the server's is `admin.token` in its data folder"
        }
        "api.forbidden" => {
            "`--token-file` names the token; `velodrome token list` shows what each may"
        }
        "api.host_refused" => "say in the server's `service_url` under which name it is reached",
        "api.unknown_path" | "server.answer" => "is this a Velodrome server, and no older one?",
        "cycle.unknown" | "webhook.unknown" => "`velodrome cycle list` shows the cycles",
        "cycle.stopped" => "`velodrome cycle start CYCLE` takes webhooks again",
        "cycle.queue_full" => "`velodrome loop list --status queued` shows what waits",
        "run.unknown" => "`velodrome run list` shows the newest",
        "loop.unknown" => "`velodrome loop list` shows the newest",
        "token.unknown" => "`velodrome token list` shows them",
        "storage.no_key" => "`velodrome storage list CONNECTION` shows them",
        "store.unavailable" => "the server's own log says more; is its disk full?",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_one_whatever_is_in_it() {
        let check = |text: &str, expect: &str| assert_eq!(segment(text).unwrap(), expect);
        check("a/b c?é", "a%2Fb%20c%3F%C3%A9");
        check(
            "run_01h455vb4pex5vsknk084sn02q",
            "run_01h455vb4pex5vsknk084sn02q",
        );
        for nothing in ["", ".", ".."] {
            assert!(segment(nothing).is_err(), "`{nothing}` was taken");
        }
    }

    #[test]
    fn a_problem_is_shown_with_its_code_and_what_to_do() {
        let check = |status: u16, body: &str, expect: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(problem(status, body).to_string(), expect);
        };
        check(
            404,
            r#"{"code": "run.unknown", "detail": "there is no run `last`"}"#,
            "error[run.unknown]: there is no run `last`\n  = help: `velodrome run list` shows the newest",
        );
        check(
            404,
            r#"{"code": "cycle.unknown", "detail": "no `x`: `velodrome cycle list` shows them"}"#,
            "error[cycle.unknown]: no `x`: `velodrome cycle list` shows them",
        );
        check(
            422,
            r#"{"code": "webhook.field_invalid", "detail": "`a`", "errors": [{"message": "`a`"}, {"message": "`b\u001b`"}]}"#,
            "error[webhook.field_invalid]: `a`\n  also: `b\\x1b`",
        );
        check(
            500,
            "<html>",
            "error[server.answer]: the server answered 500 Internal Server Error\n  = help: is this a Velodrome server, and no older one?",
        );
    }

    #[test]
    fn what_a_problem_is_decides_the_ending() {
        let of = |status: u16, code: &str| {
            let body = serde_json::json!({"code": code, "detail": "d"}).to_string();
            problem(StatusCode::from_u16(status).unwrap(), &body)
        };
        assert!(matches!(
            of(401, "api.unauthenticated"),
            Ended::NotAllowed(_)
        ));
        assert!(matches!(
            of(403, "webhook.origin_refused"),
            Ended::NotAllowed(_)
        ));
        assert!(matches!(of(400, "api.bad_parameter"), Ended::Usage(_)));
        assert!(matches!(
            of(503, "server.shutting_down"),
            Ended::Unavailable(_)
        ));
        assert!(matches!(of(502, "server.answer"), Ended::Unreachable(_)));
        assert!(matches!(of(404, "run.unknown"), Ended::Refused(_)));
    }

    #[test]
    fn only_a_url_names_a_server() {
        for wrong in ["127.0.0.1:7300", "ftp://x", "x"] {
            assert!(
                Client::of(wrong.to_owned(), String::new()).is_err(),
                "{wrong}"
            );
        }
    }
}
