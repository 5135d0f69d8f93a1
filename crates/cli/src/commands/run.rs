//! `run list|show|stop`; `retry` and `replay` have a file of their own.

use std::fmt::Display;

use anyhow::Result;
use jiff::tz::TimeZone;
use reqwest::Method;
use serde_json::Value;

use super::{confirm, date, field, logs, retry, short};
use crate::args::{Filter, Global, Run};
use crate::client::{Client, segment};
use crate::terminal::{Colour, Layout};
use crate::{out, table};
use velodrome_runtime::api::remedy;

/// The most of an API's answer that is shown.
const ANSWER: usize = 500;

pub(super) async fn run(global: &Global, args: Run) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Run::List {
            filter,
            status,
            loop_id,
        } => {
            let mut query = query(&filter, &status);
            query.extend(loop_id.map(|id| ("loop", id)));
            list(global, &client, &query).await
        }
        Run::Show { run } => show(global, &client, &run).await,
        Run::Retry(args) => retry::run(global, &client, &args).await,
        Run::Replay { run } => retry::replay(global, &client, &run).await,
        Run::Stop { run } => stop(global, &client, &run).await,
    }
}

async fn list(global: &Global, client: &Client, query: &[(&str, String)]) -> Result<()> {
    let seen = client.json(Method::GET, "/runs", query).await?;
    if global.json {
        return out::json(&seen);
    }
    let rows: Vec<Vec<String>> = seen["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|run| {
            vec![
                short(run, "id"),
                field(run, "cycle"),
                field(run, "lap"),
                field(run, "status"),
                field(run, "step"),
                date(run, "created"),
                field(&run["error"], "code"),
            ]
        })
        .collect();
    table::print(
        &["RUN", "CYCLE", "LAP", "STATUS", "STEP", "ACCEPTED", "ERROR"],
        &rows,
    )?;
    more(&seen);
    Ok(())
}

async fn stop(global: &Global, client: &Client, run: &str) -> Result<()> {
    confirm(
        global,
        &format!("Stop run `{run}`? It ends where it is, with the runs that it began."),
    )?;
    let path = format!("/runs/{}/stop", segment(run)?);
    let seen = client.json(Method::POST, &path, &[]).await?;
    if global.json {
        return out::json(&seen);
    }
    out::line(&format!(
        "{} is {}",
        short(&seen, "id"),
        field(&seen, "status")
    ))
}

/// A listing's filters as the API takes them.
pub(super) fn query(filter: &Filter, status: &[impl Display]) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", filter.limit.to_string())];
    query.extend(filter.cycle.clone().map(|cycle| ("cycle", cycle)));
    query.extend(status.iter().map(|status| ("status", status.to_string())));
    query.extend(filter.since.clone().map(|since| ("since", since)));
    query.extend(filter.cursor.clone().map(|cursor| ("cursor", cursor)));
    query
}

/// Says that there is more than was shown.
pub(super) fn more(seen: &Value) {
    if let Some(next) = seen["next"].as_str() {
        eprintln!("there are more: `--cursor {next}` goes on");
    }
}

async fn show(global: &Global, client: &Client, id: &str) -> Result<()> {
    let path = format!("/runs/{}", segment(id)?);
    let run = client.json(Method::GET, &path, &[]).await?;
    if global.json {
        return out::json(&run);
    }
    let names = [
        "id", "cycle", "version", "loop", "lap", "parent", "status", "step", "created", "updated",
        "due",
    ];
    table::facts(&names.map(|name| (name, field(&run, name))))?;
    out::line("")?;
    let mut layout = Layout::new(Colour::of_stdout(global.no_color), TimeZone::system());
    let filter = [("run", field(&run, "id"))];
    let mut lines = Vec::new();
    logs::all(client, &filter, |_, line| {
        layout.widen(line);
        lines.push(line.clone());
        Ok(())
    })
    .await?;
    for line in &lines {
        out::line(&layout.show(line))?;
    }
    if run["error"].is_object() {
        // The cycle may be gone meanwhile; what failed is known without it.
        let path = format!("/cycles/{}", segment(&field(&run, "cycle"))?);
        let cycle = client.json(Method::GET, &path, &[]).await;
        out::line("")?;
        table::facts(&failure(&run, &cycle.unwrap_or(Value::Null)))?;
    }
    Ok(())
}

/// What failed, where, and what to do.
fn failure(run: &Value, cycle: &Value) -> Vec<(&'static str, String)> {
    let error = &run["error"];
    let step = field(run, "step");
    let mut answer = match &error["body"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Some((end, _)) = answer.char_indices().nth(ANSWER) {
        answer.truncate(end);
        answer.push('…');
    }
    vec![
        ("failed", field(error, "message")),
        ("code", field(error, "code")),
        ("where", place(&step, cycle)),
        ("status", field(error, "status")),
        ("attempts", field(error, "attempts")),
        ("answer", answer),
        ("to do", to_do(&field(error, "code"), run)),
    ]
}

/// The step, and where the cycle's file has it.
fn place(step: &str, cycle: &Value) -> String {
    let line = cycle["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|known| known["id"] == step)
        .and_then(|known| known["line"].as_u64());
    match (cycle["file"].as_str(), line) {
        (Some(file), Some(line)) => format!("step `{step}`, {file}:{line}"),
        (Some(file), None) => format!("step `{step}` of {file}"),
        (None, _) => format!("step `{step}`"),
    }
}

/// What a person does next.
fn to_do(code: &str, run: &Value) -> String {
    let cause = remedy(code);
    let id = field(run, "id");
    format!("{cause}; then `velodrome run retry {id}` goes on there, `run replay {id}` begins anew")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_says_what_where_and_what_to_do() {
        let run = json!({
            "id": "run_1", "cycle": "pages", "step": "contacts",
            "error": {"code": "request.status", "message": "the API answered 400", "status": 400,
                "attempts": 1, "body": {"code": "INVALID"}},
        });
        let cycle = json!({"file": "pages.yaml", "steps": [{"id": "contacts", "line": 12}]});
        let facts: Vec<String> = failure(&run, &cycle)
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            facts,
            [
                "failed: the API answered 400",
                "code: request.status",
                "where: step `contacts`, pages.yaml:12",
                "status: 400",
                "attempts: 1",
                "answer: {\"code\":\"INVALID\"}",
                "to do: look at the API's answer; mend the step, or the API; then `velodrome run retry run_1` goes on there, `run replay run_1` begins anew",
            ]
        );
    }

    #[test]
    fn without_its_cycle_the_step_is_still_named() {
        assert_eq!(place("x", &Value::Null), "step `x`");
        assert_eq!(place("x", &json!({"file": "a.yaml"})), "step `x` of a.yaml");
    }
}
