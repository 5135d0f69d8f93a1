//! `cycle list|show|start|pause|stop|purge|delete`.

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use super::{confirm, field};
use crate::args::{Cycle, Global};
use crate::client::{Client, segment};
use crate::terminal::count;
use crate::{out, table, terminal};

pub(super) async fn run(global: &Global, args: Cycle) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Cycle::List => list(global, &client).await,
        Cycle::Show { cycle } => {
            let path = format!("/cycles/{}", segment(&cycle)?);
            let seen = client.json(Method::GET, &path, &[]).await?;
            show(global, &seen)
        }
        Cycle::Start { cycle } => act(global, &client, &cycle, "start").await,
        Cycle::Pause { cycle } => act(global, &client, &cycle, "pause").await,
        Cycle::Stop {
            cycle,
            finish: true,
        } => act(global, &client, &cycle, "finish").await,
        Cycle::Stop {
            cycle,
            finish: false,
        } => {
            confirm(
                global,
                &format!("Stop `{cycle}`? Runs in progress end where they are."),
            )?;
            act(global, &client, &cycle, "stop").await
        }
        Cycle::Purge { cycle } => {
            confirm(
                global,
                &format!("Empty the queue of `{cycle}`? Queued loops end as stopped."),
            )?;
            act(global, &client, &cycle, "purge").await
        }
        Cycle::Delete { cycle } => {
            let question = format!(
                "Delete all that is kept of `{cycle}`: its queue, runs, loops and their log, watermarks, storage?"
            );
            confirm(global, &question)?;
            delete(global, &client, &cycle).await
        }
    }
}

async fn list(global: &Global, client: &Client) -> Result<()> {
    let seen = client.json(Method::GET, "/cycles", &[]).await?;
    if global.json {
        return out::json(&seen);
    }
    let rows: Vec<Vec<String>> = seen["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cycle| {
            ["id", "state", "running", "queued", "version", "webhook"]
                .map(|name| field(cycle, name))
                .to_vec()
        })
        .collect();
    table::print(
        &["CYCLE", "STATE", "RUNNING", "QUEUED", "VERSION", "WEBHOOK"],
        &rows,
    )
}

async fn delete(global: &Global, client: &Client, cycle: &str) -> Result<()> {
    let path = format!("/cycles/{}/delete", segment(cycle)?);
    let seen = client.json(Method::POST, &path, &[]).await?;
    if global.json {
        return out::json(&seen);
    }
    let number = |name: &str, what: &str| count(seen[name].as_u64().unwrap_or(0), what);
    out::line(&format!(
        "{} is deleted: {}, {}, {}",
        field(&seen, "cycle"),
        number("loops", "loop"),
        number("watermarks", "watermark"),
        number("storages", "storage")
    ))
}

async fn act(global: &Global, client: &Client, cycle: &str, action: &str) -> Result<()> {
    let path = format!("/cycles/{}/{action}", segment(cycle)?);
    let seen = client.json(Method::POST, &path, &[]).await?;
    if global.json {
        return out::json(&seen);
    }
    out::line(&format!(
        "{} is {}",
        field(&seen, "id"),
        field(&seen, "state")
    ))
}

fn show(global: &Global, cycle: &Value) -> Result<()> {
    if global.json {
        return out::json(cycle);
    }
    let facts = [
        ("cycle", "id"),
        ("name", "name"),
        ("state", "state"),
        ("file", "file"),
        ("version", "version"),
        ("webhook", "webhook"),
        ("running", "running"),
        ("queued", "queued"),
        ("places", "concurrency"),
    ];
    let mut facts = facts
        .map(|(title, name)| (title, field(cycle, name)))
        .to_vec();
    let schedule = &cycle["schedule"];
    if !schedule.is_null() {
        facts.push(("schedule", field(schedule, "when")));
        facts.push(("next", field(schedule, "next")));
    }
    table::facts(&facts)?;
    if let Some(reason) = cycle["reason"].as_str() {
        out::line("")?;
        for line in reason.trim_end().lines() {
            out::line(&terminal::escape(line))?;
        }
    }
    let rows: Vec<Vec<String>> = cycle["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| {
            ["id", "kind", "then", "else", "catch"]
                .map(|name| field(step, name))
                .to_vec()
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    out::line("")?;
    table::print(&["STEP", "KIND", "THEN", "ELSE", "CATCH"], &rows)
}
