//! `run retry|replay`, `loop retry`: going on where something failed, or beginning anew.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::{confirm, field, short};
use crate::args::{Global, Retry, Version};
use crate::client::{Client, segment};
use crate::exit::Ended;
use crate::out;
use crate::terminal::count;

/// Failed runs asked for at a time.
const PART: u32 = 200;

pub(super) async fn run(global: &Global, client: &Client, args: &Retry) -> Result<()> {
    match &args.run {
        Some(run) => one(global, client, run, args.version).await,
        None => many(global, client, args).await,
    }
}

/// What the API is told of the version.
pub(super) fn body(version: Version) -> Option<String> {
    match (version.latest, version.original) {
        (true, _) => Some(json!({"version": "latest"}).to_string()),
        (_, true) => Some(json!({"version": "original"}).to_string()),
        _ => None,
    }
}

async fn ask(client: &Client, run: &str, version: Version) -> Result<Value> {
    let path = format!("/runs/{}/retry", segment(run)?);
    client.post(&path, body(version)).await
}

async fn one(global: &Global, client: &Client, run: &str, version: Version) -> Result<()> {
    let seen = ask(client, run, version).await?;
    if global.json {
        return out::json(&seen);
    }
    let step = match field(&seen, "step") {
        step if step.is_empty() => String::new(),
        step => format!(" at `{step}`"),
    };
    out::line(&format!(
        "{} is {}{step}",
        short(&seen, "id"),
        field(&seen, "status")
    ))
}

/// Every failed run that fits, oldest first; one that is refused does not stop the others.
async fn many(global: &Global, client: &Client, args: &Retry) -> Result<()> {
    let runs = failed(client, args).await?;
    if runs.is_empty() {
        return Err(Ended::Refused("no failed run fits".to_owned()).into());
    }
    let number = count(runs.len() as u64, "failed run");
    confirm(global, &format!("Take up {number} again?"))?;
    let (mut refused, mut told) = (0_u64, Vec::new());
    for run in runs.iter().rev() {
        let id = field(run, "id");
        let said = match ask(client, &id, args.version).await {
            Ok(seen) => field(&seen, "status"),
            Err(error) => {
                refused += 1;
                format!("refused: {error:#}")
            }
        };
        if global.json {
            told.push(json!({"run": id, "outcome": said}));
        } else {
            out::line(&format!("{}  {said}", short(run, "id")))?;
        }
    }
    if global.json {
        out::json(&Value::Array(told))?;
    }
    let taken = runs.len() as u64 - refused;
    let summary = format!("{taken} of {number} taken up again");
    if refused > 0 {
        return Err(Ended::Refused(summary).into());
    }
    if !global.json {
        out::line(&summary)?;
    }
    Ok(())
}

/// Failed runs that fit, newest first: what is needed of each, page by page.
async fn failed(client: &Client, args: &Retry) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("status", "failed".to_owned()), ("limit", PART.to_string())];
        query.extend(args.cycle.clone().map(|cycle| ("cycle", cycle)));
        query.extend(args.since.clone().map(|since| ("since", since)));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.json(Method::GET, "/runs", &query).await?;
        for run in page["items"].as_array().into_iter().flatten() {
            let code = field(&run["error"], "code");
            if args.code.as_ref().is_none_or(|wanted| *wanted == code) {
                found.push(json!({"id": run["id"]}));
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(found),
        }
    }
}

pub(super) async fn replay(global: &Global, client: &Client, run: &str) -> Result<()> {
    let path = format!("/runs/{}/replay", segment(run)?);
    let seen = client.post(&path, None).await?;
    if global.json {
        return out::json(&seen);
    }
    out::line(&format!(
        "{}: {}, lap 1 of {}",
        field(&seen, "status"),
        short(&seen, "run"),
        short(&seen, "loop")
    ))
}
