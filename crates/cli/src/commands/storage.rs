//! `storage list|get|set|delete`.

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use super::{confirm, field, short};
use crate::args::{Global, Scope, Storage};
use crate::client::{Client, segment};
use crate::exit::Ended;
use crate::{out, table, terminal};

pub(super) async fn run(global: &Global, args: Storage) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Storage::List { connection, scope } => match connection {
            Some(connection) => list(global, &client, &connection, &scope).await,
            None => storages(global, &client, &scope).await,
        },
        Storage::Get {
            connection,
            key,
            scope,
        } => {
            let seen = client
                .json(Method::GET, &path(&connection, &key)?, &query(&scope))
                .await?;
            match &seen["value"] {
                // The value alone: for programs.
                value if global.json => out::json_text(&value.to_string()),
                Value::String(text) => out::line(&terminal::escape(text)),
                other => out::json(other),
            }
        }
        Storage::Set {
            connection,
            key,
            value,
            scope,
        } => {
            if let Err(error) = serde_json::from_str::<Value>(&value) {
                let hint = format!("the value is not JSON ({error}): a text is written '\"text\"'");
                return Err(Ended::Usage(hint).into());
            }
            client
                .ask(
                    Method::PUT,
                    &path(&connection, &key)?,
                    &query(&scope),
                    Some(value),
                )
                .await?;
            Ok(())
        }
        Storage::Delete {
            connection,
            key,
            scope,
        } => {
            confirm(global, &format!("Delete `{key}` of `{connection}`?"))?;
            client
                .ask(
                    Method::DELETE,
                    &path(&connection, &key)?,
                    &query(&scope),
                    None,
                )
                .await?;
            Ok(())
        }
    }
}

fn query(scope: &Scope) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    query.extend(scope.cycle.clone().map(|cycle| ("cycle", cycle)));
    query.extend(scope.loop_id.clone().map(|id| ("loop", id)));
    query
}

/// The path of a key.
fn path(connection: &str, key: &str) -> Result<String> {
    Ok(format!(
        "/storage/{}/{}",
        segment(connection)?,
        segment(key)?
    ))
}

/// Which storages hold something.
async fn storages(global: &Global, client: &Client, scope: &Scope) -> Result<()> {
    let (mut items, mut cursor): (_, Option<String>) = (Vec::new(), None);
    loop {
        let mut query = query(scope);
        query.push(("limit", "1000".to_owned()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let seen = client.json(Method::GET, "/storage", &query).await?;
        items.extend(seen["items"].as_array().into_iter().flatten().cloned());
        match seen["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    if global.json {
        return out::json(&Value::Array(items));
    }
    let row = |item: &Value| ["connection", "scope", "cycle", "loop"].map(|name| field(item, name));
    let rows: Vec<Vec<String>> = items.iter().map(|item| row(item).to_vec()).collect();
    table::print(&["CONNECTION", "SCOPE", "CYCLE", "LOOP"], &rows)
}

async fn list(global: &Global, client: &Client, connection: &str, scope: &Scope) -> Result<()> {
    let path = format!("/storage/{}", segment(connection)?);
    let mut rows = Vec::new();
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut query = query(scope);
        query.push(("limit", "1000".to_owned()));
        query.extend(after.take().map(|after| ("after", after)));
        let seen = client.json(Method::GET, &path, &query).await?;
        for item in seen["items"].as_array().into_iter().flatten() {
            rows.push(vec![
                field(item, "key"),
                item["value"].to_string(),
                short(item, "written_by"),
            ]);
            items.push(item.clone());
        }
        match seen["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    if global.json {
        return out::json(&Value::Array(items));
    }
    table::print(&["KEY", "VALUE", "WRITTEN BY"], &rows)
}
