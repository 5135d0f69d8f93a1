//! `loop list|show|stop`.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use velodrome_types::format_duration;

use super::run::{more, query};
use super::{confirm, date, field, print_json, short};
use crate::args::{Global, Loop};
use crate::client::Client;
use crate::{table, terminal};

pub(super) async fn run(global: &Global, args: Loop) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Loop::List { filter } => {
            let seen = client.json(Method::GET, "/loops", &query(&filter)).await?;
            if global.json {
                return print_json(&seen);
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
            );
            more(&seen);
            Ok(())
        }
        Loop::Show { id } => {
            let seen = client
                .json(Method::GET, &format!("/loops/{id}"), &[])
                .await?;
            show(global, &seen)
        }
        Loop::Stop { id } => {
            confirm(
                global,
                &format!("Stop loop `{id}`? Its runs end where they are."),
            )?;
            let seen = client
                .json(Method::POST, &format!("/loops/{id}/stop"), &[])
                .await?;
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
        return print_json(found);
    }
    for name in [
        "id",
        "cycle",
        "status",
        "laps",
        "records",
        "started",
        "updated",
        "parent",
        "first_run",
    ] {
        let value = field(found, name);
        if !value.is_empty() {
            println!("{name:<9} {}", terminal::escape(&value));
        }
    }
    println!(
        "elapsed   {}  ({} laps/s)",
        elapsed(found),
        field(found, "rate")
    );
    if found["error"].is_object() {
        let run = &found["error"]["run"];
        println!(
            "failed    {}: `velodrome run show {}`",
            field(&found["error"], "code"),
            run.as_str().unwrap_or_default()
        );
    }
    Ok(())
}
