//! The API's client: requests with the token, problems as errors with exit codes.

use anyhow::{Context, Result};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::args::Global;
use crate::config;
use crate::exit::Ended;

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
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("making an HTTP client")?;
        Ok(Self { http, url, token })
    }

    /// The plain HTTP client, for requests that are none of the API's.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Asks the API.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<String>,
    ) -> Result<Response> {
        let mut url = url::Url::parse(&format!("{}/api/v1{path}", self.url))
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
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(problem(response).await)
        }
    }

    /// Asks the API for JSON.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Value> {
        let text = self
            .ask(method, path, query, None)
            .await?
            .text()
            .await
            .context("reading the answer")?;
        serde_json::from_str(&text).context("the server's answer is not JSON")
    }

    /// POSTs to a webhook.
    pub(crate) async fn hook(&self, cycle: &str, body: String) -> Result<Value> {
        let url = format!("{}/hooks/{cycle}", self.url);
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(body);
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(problem(response).await);
        }
        let text = response.text().await.context("reading the answer")?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
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

async fn problem(response: Response) -> anyhow::Error {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let problem: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let code = problem["code"].as_str().unwrap_or("server.answer");
    let detail = problem["detail"]
        .as_str()
        .map_or_else(|| format!("the server answered {status}"), str::to_owned);
    let message = format!("error[{code}]: {}", crate::terminal::escape(&detail));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ended::NotAllowed(message).into(),
        _ => anyhow::anyhow!(message),
    }
}
