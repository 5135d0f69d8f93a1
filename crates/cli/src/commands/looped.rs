//! `loop list|show|stop|retry`.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use velodrome_types::format_duration;

use super::run::{more, query};
use super::{confirm, date, field, short};
use crate::args::{Global, Loop};
use crate::client::{Client, segment};
use crate::{out, table};

pub(super) async fn run(global: &Global, args: Loop) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Loop::List { filter, status } => {
            let query = query(&filter, &status);
            let seen = client.json(Method::GET, "/loops", &query).await?;
            if global.json {
                return out::json(&seen);
            }
            let rows: Vec<Vec<String>> = seen["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|found| {
                    vec![
                        short(found, "id"),
                        field(found, "cycle"),
                        field(found, "status"),
                        field(found, "laps"),
                        field(found, "records"),
                        date(found, "started"),
                        elapsed(found),
                    ]
                })
                .collect();
            table::print(
                &[
                    "LOOP", "CYCLE", "STATUS", "LAPS", "RECORDS", "STARTED", "ELAPSED",
                ],
                &rows,
            )?;
            more(&seen);
            Ok(())
        }
        Loop::Show { id } => {
            let path = format!("/loops/{}", segment(&id)?);
            let seen = client.json(Method::GET, &path, &[]).await?;
            show(global, &seen)
        }
        Loop::Stop { id } => {
            confirm(
                global,
                &format!("Stop loop `{id}`? Its runs end where they are."),
            )?;
            let path = format!("/loops/{}/stop", segment(&id)?);
            let seen = client.json(Method::POST, &path, &[]).await?;
            show(global, &seen)
        }
        Loop::Retry { id, version } => {
            let path = format!("/loops/{}/retry", segment(&id)?);
            let body = super::retry::body(version);
            let seen = client.post(&path, body).await?;
            show(global, &seen)
        }
    }
}

fn elapsed(found: &Value) -> String {
    format_duration(Duration::from_millis(
        found["elapsed_ms"].as_u64().unwrap_or(0),
    ))
}

fn show(global: &Global, found: &Value) -> Result<()> {
    if global.json {
        return out::json(found);
    }
    let names = [
        "id",
        "cycle",
        "status",
        "laps",
        "records",
        "started",
        "updated",
        "parent",
        "first_run",
    ];
    let mut facts: Vec<(&str, String)> = names.map(|name| (name, field(found, name))).into();
    facts.push(("elapsed", elapsed(found)));
    let rate = found["rate"].as_f64().unwrap_or(0.0);
    facts.push(("rate", format!("{rate:.1} laps/s")));
    facts.push(("failed", field(&found["error"], "code")));
    table::facts(&facts)?;
    if let Some(run) = found["error"]["run"].as_str() {
        out::line(&format!("\n`velodrome run show {run}` says where and why"))?;
    }
    Ok(())
}
