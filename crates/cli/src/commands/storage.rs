//! `storage list|get|set|delete`.

use std::io::Write as _;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use super::{confirm, field, print_json, short};
use crate::args::{Global, Scope, Storage};
use crate::client::Client;
use crate::exit::Ended;
use crate::{table, terminal};

pub(super) async fn run(global: &Global, args: Storage) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Storage::List { connection, scope } => list(global, &client, &connection, &scope).await,
        Storage::Get {
            connection,
            key,
            scope,
        } => {
            let seen = client
                .json(Method::GET, &path(&connection, &key), &query(&scope))
                .await?;
            if global.json {
                // The value alone: for programs.
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", seen["value"])?;
                return Ok(());
            }
            match &seen["value"] {
                Value::String(text) => println!("{}", terminal::escape(text)),
                other => println!("{other:#}"),
            }
            Ok(())
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
                    &path(&connection, &key),
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
                    &path(&connection, &key),
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

/// The path of a key: whatever is in it, it is one segment.
fn path(connection: &str, key: &str) -> String {
    let mut segment = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("/storage/{connection}/{segment}")
}

async fn list(global: &Global, client: &Client, connection: &str, scope: &Scope) -> Result<()> {
    let mut rows = Vec::new();
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut query = query(scope);
        query.push(("limit", "1000".to_owned()));
        query.extend(after.take().map(|after| ("after", after)));
        let seen = client
            .json(Method::GET, &format!("/storage/{connection}"), &query)
            .await?;
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
        return print_json(&Value::Array(items));
    }
    table::print(&["KEY", "VALUE", "WRITTEN BY"], &rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_segment_whatever_is_in_it() {
        assert_eq!(
            path("generic_webhook", "a/b c?é"),
            "/storage/generic_webhook/a%2Fb%20c%3F%C3%A9"
        );
    }
}
