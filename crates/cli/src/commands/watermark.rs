//! `watermark list|set|unset`.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::{confirm, date, field};
use crate::args::{Global, Watermark};
use crate::client::{Client, segment};
use crate::{out, table};

pub(super) async fn run(global: &Global, args: Watermark) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Watermark::List { cycle } => list(global, &client, cycle).await,
        Watermark::Set {
            cycle,
            step,
            date: wanted,
        } => {
            let body = json!({ "last_successful_run_date": wanted }).to_string();
            let path = path(&cycle, &step)?;
            client.ask(Method::PUT, &path, &[], Some(body)).await?;
            Ok(())
        }
        Watermark::Unset { cycle, step } => {
            let question = format!(
                "Forget the date of `{step}` in `{cycle}`? The next loop may read everything anew."
            );
            confirm(global, &question)?;
            let path = path(&cycle, &step)?;
            client.ask(Method::DELETE, &path, &[], None).await?;
            Ok(())
        }
    }
}

fn path(cycle: &str, step: &str) -> Result<String> {
    Ok(format!(
        "/watermarks/{}/{}",
        segment(cycle)?,
        segment(step)?
    ))
}

async fn list(global: &Global, client: &Client, cycle: Option<String>) -> Result<()> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", "1000".to_owned())];
        query.extend(cycle.clone().map(|cycle| ("cycle", cycle)));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let seen = client.json(Method::GET, "/watermarks", &query).await?;
        items.extend(seen["items"].as_array().into_iter().flatten().cloned());
        match seen["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    if global.json {
        return out::json(&Value::Array(items));
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            vec![
                field(item, "cycle"),
                field(item, "step"),
                date(item, "last_successful_run_date"),
            ]
        })
        .collect();
    table::print(&["CYCLE", "STEP", "LAST SUCCESSFUL RUN"], &rows)
}
