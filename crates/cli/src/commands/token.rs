//! `token create|list|revoke`: who may use the server, and for what.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::{confirm, date, field, short};
use crate::args::{Global, Token};
use crate::client::{Client, segment};
use crate::{out, table};

pub(super) async fn run(global: &Global, args: Token) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Token::Create {
            name,
            role,
            expires,
        } => {
            let asked = json!({ "name": name, "role": role.as_str(), "expires": expires });
            let made = client.post("/tokens", Some(asked.to_string())).await?;
            if global.json {
                return out::json(&made);
            }
            let until = match made["expires"].is_null() {
                true => "does not expire".to_owned(),
                false => format!("until {}", date(&made, "expires")),
            };
            eprintln!(
                "{}: `{}`, role {}, {until}; it is shown this once:",
                short(&made, "id"),
                field(&made, "name"),
                field(&made, "role"),
            );
            out::line(&field(&made, "token"))
        }
        Token::List => {
            let all = all(&client).await?;
            if global.json {
                return out::json(&Value::Array(all));
            }
            let row = |item: &Value| {
                let name = match item["name"].is_null() {
                    true => "(does not open with the present key)".to_owned(),
                    false => field(item, "name"),
                };
                vec![
                    field(item, "id"),
                    name,
                    field(item, "role"),
                    date(item, "created"),
                    date(item, "expires"),
                ]
            };
            table::print(
                &["ID", "NAME", "ROLE", "CREATED", "EXPIRES"],
                &all.iter().map(row).collect::<Vec<_>>(),
            )
        }
        Token::Revoke { id } => {
            let path = format!("/tokens/{}", segment(&id)?);
            let question = format!(
                "Revoke the token `{id}`? Whoever uses it is let in no more, browsers that signed in with it included."
            );
            confirm(global, &question)?;
            client.ask(Method::DELETE, &path, &[], None).await?;
            Ok(())
        }
    }
}

/// Every token of a server.
async fn all(client: &Client) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", "1000".to_owned())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut seen = client.json(Method::GET, "/tokens", &query).await?;
        if let Value::Array(items) = seen["items"].take() {
            all.extend(items);
        }
        match seen["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(all),
        }
    }
}
