//! `run list|show`.

use anyhow::Result;
use jiff::tz::TimeZone;
use reqwest::Method;
use serde_json::Value;
use velodrome_types::LogLine;

use super::{date, field, print_json, short};
use crate::args::{Filter, Global, Run};
use crate::client::Client;
use crate::table;
use crate::terminal::{Colour, Layout, escape};

pub(super) async fn run(global: &Global, args: Run) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Run::List { filter, loop_id } => {
            let mut query = query(&filter);
            query.extend(loop_id.map(|id| ("loop", id)));
            let seen = client.json(Method::GET, "/runs", &query).await?;
            if global.json {
                return print_json(&seen);
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
                        run["error"]["code"].as_str().unwrap_or_default().to_owned(),
                    ]
                })
                .collect();
            table::print(
                &["RUN", "CYCLE", "LAP", "STATUS", "STEP", "ACCEPTED", "ERROR"],
                &rows,
            );
            more(&seen);
            Ok(())
        }
        Run::Show { run } => show(global, &client, &run).await,
    }
}

/// A listing's filters as the API takes them.
pub(super) fn query(filter: &Filter) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", filter.limit.to_string())];
    query.extend(filter.cycle.clone().map(|cycle| ("cycle", cycle)));
    query.extend(filter.status.clone().map(|status| ("status", status)));
    query.extend(filter.since.clone().map(|since| ("since", since)));
    query
}

/// Says that there is more than was shown.
pub(super) fn more(seen: &Value) {
    if !seen["next"].is_null() {
        eprintln!(
            "there are more: raise `--limit`, or narrow with `--cycle`, `--status`, `--since`"
        );
    }
}

async fn show(global: &Global, client: &Client, id: &str) -> Result<()> {
    let run = client
        .json(Method::GET, &format!("/runs/{id}"), &[])
        .await?;
    if global.json {
        return print_json(&run);
    }
    for name in [
        "id", "cycle", "version", "loop", "lap", "parent", "status", "step", "created", "updated",
        "due",
    ] {
        let value = field(&run, name);
        if !value.is_empty() {
            println!("{name:<8} {}", escape(&value));
        }
    }
    println!();
    let query = [("run", field(&run, "id")), ("limit", "1000".to_owned())];
    let text = client
        .ask(Method::GET, "/log", &query, None)
        .await?
        .text()
        .await?;
    let mut layout = Layout::new(Colour::of_stdout(global.no_color), TimeZone::system());
    for line in text.lines() {
        println!("{}", layout.show(&serde_json::from_str::<LogLine>(line)?));
    }
    if run["error"].is_object() {
        let error = &run["error"];
        println!();
        println!(
            "failed   at `{}`: {}",
            field(&run, "step"),
            escape(&field(error, "message"))
        );
        println!("code     {}", field(error, "code"));
        println!("attempts {}", field(error, "attempts"));
        if !error["body"].is_null() {
            println!("answer   {}", escape(&error["body"].to_string()));
        }
        println!(
            "to do    mend the cause, then start again with `velodrome trigger {} …`",
            field(&run, "cycle")
        );
    }
    Ok(())
}
