//! Runs.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use velodrome_runtime::api::{Listing, Problem, RunView, Version};
use velodrome_store::RunFilter;

use velodrome_types::Role;

use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "loop", "status", "since", "limit", "cursor"];

/// `/runs`, `/runs/{id}`, `/runs/{id}/retry`, `/runs/{id}/replay`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/runs", list)
        .get(Role::Read, "/runs/{id}", show)
        .post(Role::Operate, "/runs/{id}/retry", retry)
        .post(Role::Operate, "/runs/{id}/replay", replay)
}

async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<RunView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), PARAMETERS)?;
    let page = parameters.page()?;
    let looped = parameters.text("loop")?.map(str::to_owned);
    let mut filter = RunFilter {
        cycle: parameters.name("cycle")?,
        loop_id: None,
        status: parameters.each("status")?,
        since: parameters.since(app.options.now.read())?,
    };
    let listing = blocking(&app, move |engine| {
        filter.loop_id = looped.map(|id| engine.find_loop(&id)).transpose()?;
        engine.runs(&filter, page)
    });
    Ok(JsonAnswer(listing.await?))
}

async fn show(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<RunView>, Refusal> {
    let view = blocking(&app, move |engine| engine.run(engine.find_run(&id)?));
    Ok(JsonAnswer(view.await?))
}

async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    body: Bytes,
) -> Result<JsonAnswer<RunView>, Refusal> {
    let version = version(&body)?;
    let id = blocking(&app, move |engine| engine.find_run(&id)).await?;
    Ok(JsonAnswer(
        app.engine.by(&caller.name).retry_run(id, version).await?,
    ))
}

async fn replay(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<serde_json::Value>, Refusal> {
    let id = blocking(&app, move |engine| engine.find_run(&id)).await?;
    Ok(JsonAnswer(app.engine.replay_run(id).await?.body))
}

/// `{"version": "original" | "latest"}`; nothing is allowed.
pub(super) fn version(body: &[u8]) -> Result<Option<Version>, Refusal> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    struct Asked {
        version: Option<Word>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Original,
        Latest,
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let asked: Asked = serde_json::from_slice(body).map_err(|error| {
        let what = format!("the body is no `{{\"version\": \"original\"}}` or `latest`: {error}");
        Problem::new(400, "api.bad_body", what)
    })?;
    Ok(asked.version.map(|word| match word {
        Word::Original => Version::Original,
        Word::Latest => Version::Latest,
    }))
}
