//! `connect`: signs a connection in by a one-time link for a browser, or out again.
//!
//! What the settings leave blank of its client is asked for first, and kept sealed by the server.

use std::io::{IsTerminal, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use console::Term;
use reqwest::Method;
use serde_json::{Value, json};

use super::{confirm, field};
use crate::args::{Connect, Global};
use crate::client::{Client, segment};
use crate::exit::Ended;
use crate::out;

/// What opens a link on this system.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

pub(super) async fn run(global: &Global, args: Connect) -> Result<()> {
    let client = Client::new(global)?;
    let name = &args.connection;
    let path = format!("/connections/{}", segment(name)?);
    if args.revoke {
        confirm(global, &format!("sign connection `{name}` out?"))?;
        let seen = client.post(&format!("{path}/revoke"), None).await?;
        return told(global, &seen, &format!("connection `{name}` is signed out"));
    }
    let seen = client.json(Method::GET, &path, &[]).await?;
    if let Some(answers) = ask_for_client(name, &seen)? {
        let body = Some(answers.to_string());
        let at = format!("{path}/client");
        client.ask(Method::PUT, &at, &[], body).await?;
    }
    let seen = client.post(&format!("{path}/connect"), None).await?;
    let url = field(&seen, "url");
    if url.is_empty() {
        return told(global, &seen, &format!("connection `{name}` is signed in"));
    }
    if args.open {
        open(&url);
    }
    if global.json {
        return out::json(&seen);
    }
    eprintln!("open this link in a browser on this machine within ten minutes; it works once:");
    out::line(&url)
}

fn told(global: &Global, seen: &Value, message: &str) -> Result<()> {
    if global.json {
        return out::json(seen);
    }
    eprintln!("{message}");
    Ok(())
}

/// Asks for what the settings leave blank. From a terminal the secret is read without an echo; from
/// anything else a line each.
fn ask_for_client(connection: &str, seen: &Value) -> Result<Option<Value>> {
    let asks = |what: &str| {
        let all = seen["asks"].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).any(|known| known == what)
    };
    let mut id = field(seen, "client_id");
    if asks("client_id") {
        id = answer(&format!("client id of `{connection}`: "), false)?.unwrap_or_default();
        if id.is_empty() {
            let message = format!(
                "connection `{connection}` has no client id: write `auth: {{client_id: …}}` into velodrome.yaml, or \
                 give it and the secret on standard input, a line each"
            );
            return Err(Ended::Usage(message).into());
        }
    }
    let mut secret = None;
    if asks("client_secret") {
        let prompt = format!("client secret of `{connection}` (empty for none): ");
        secret = answer(&prompt, true)?;
    }
    if !asks("client_id") && secret.is_none() {
        return Ok(None);
    }
    Ok(Some(json!({ "client_id": id, "client_secret": secret })))
}

/// A line of a person; `None` where nobody is there.
fn answer(prompt: &str, secret: bool) -> Result<Option<String>> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        let read = std::io::BufRead::read_line(&mut stdin.lock(), &mut line);
        let read = read.context("reading standard input")?;
        return Ok((read > 0).then(|| line.trim().to_owned()));
    }
    eprint!("{prompt}");
    std::io::stderr().flush().context("asking")?;
    let line = if secret {
        Term::stderr().read_secure_line()
    } else {
        let mut line = String::new();
        stdin.read_line(&mut line).map(|_| line)
    };
    Ok(Some(line.context("reading the answer")?.trim().to_owned()))
}

/// Opens a link; where that does not work it stands on standard output all the same.
fn open(url: &str) {
    let opened = Command::new(OPENER)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        eprintln!("`{OPENER}` cannot open it: {error}");
    }
}
