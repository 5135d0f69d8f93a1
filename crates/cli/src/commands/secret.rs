//! `secret set|list|delete`: values go in and never come out.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context, Result};
use console::Term;
use reqwest::Method;
use serde_json::{Value, json};

use super::{confirm, date, field};
use crate::args::{Global, Secret};
use crate::client::{Client, segment};
use crate::exit::Ended;
use crate::{out, table};

pub(super) async fn run(global: &Global, args: Secret) -> Result<()> {
    let client = Client::new(global)?;
    match args {
        Secret::Set { name, value } => {
            let path = format!("/secrets/{}", segment(&name)?);
            let body = json!({ "value": given(&name, value)? }).to_string();
            client.ask(Method::PUT, &path, &[], Some(body)).await?;
            Ok(())
        }
        Secret::List => {
            let all = names(&client).await?;
            if global.json {
                return out::json(&Value::Array(all));
            }
            let row = |item: &Value| vec![field(item, "name"), date(item, "changed")];
            table::print(
                &["NAME", "CHANGED"],
                &all.iter().map(row).collect::<Vec<_>>(),
            )
        }
        Secret::Delete { name } => {
            let path = format!("/secrets/{}", segment(&name)?);
            let question = format!("Delete the secret `{name}`? Steps that read it will fail.");
            confirm(global, &question)?;
            client.ask(Method::DELETE, &path, &[], None).await?;
            Ok(())
        }
    }
}

/// Every secret of a server: its name, and when it was set.
pub(super) async fn names(client: &Client) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", "1000".to_owned())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut seen = client.json(Method::GET, "/secrets", &query).await?;
        if let Value::Array(items) = seen["items"].take() {
            all.extend(items);
        }
        match seen["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(all),
        }
    }
}

/// The value: as it is said, from standard input, or typed where nobody sees it.
fn given(name: &str, value: Option<String>) -> Result<String> {
    match value {
        Some(value) if value == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("reading standard input")?;
            // `echo` and editors end a line that is no part of the value.
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
        }
        Some(value) => Ok(value),
        None if std::io::stdin().is_terminal() => {
            eprint!("Value of `{name}`, which is not shown: ");
            let typed = Term::stderr().read_secure_line();
            Ok(typed.context("reading the value")?)
        }
        None => {
            let message =
                "nobody is there to type the value: give it, or `-` to read it from standard input";
            Err(Ended::Usage(message.to_owned()).into())
        }
    }
}
