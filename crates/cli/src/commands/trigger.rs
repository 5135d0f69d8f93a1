//! `trigger`: calls a cycle's webhook, and follows the loop that begins.

use std::io::Read as _;

use anyhow::{Context, Result};
use jiff::tz::TimeZone;
use serde_json::Value;
use velodrome_types::{Event, Level, short_id};

use super::{field, print_json};
use crate::args::{Global, Trigger};
use crate::client::Client;
use crate::exit::Ended;
use crate::follow::{From, Then, follow};
use crate::terminal::{Colour, Layout, Live};

pub(super) async fn run(global: &Global, args: Trigger) -> Result<()> {
    let body = body(args.body.as_deref())?;
    let client = Client::new(global)?;
    let answer = client.hook(&args.cycle, body).await?;
    let loop_id = field(&answer, "loop");
    if global.json {
        print_json(&answer)?;
    } else {
        eprintln!(
            "{} {} of {}",
            field(&answer, "status"),
            short_id(&field(&answer, "run")),
            short_id(&loop_id),
        );
    }
    if !args.follow || loop_id.is_empty() {
        return Ok(());
    }
    if follow_loop(global, &client, &loop_id).await? {
        Ok(())
    } else {
        Err(Ended::Failed.into())
    }
}

fn body(written: Option<&str>) -> Result<String> {
    let text = match written {
        None => "{}".to_owned(),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("reading standard input")?;
            text
        }
        Some(written) => match written.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Ended::Invalid(format!("`{path}` cannot be read: {error}")))?,
            None => written.to_owned(),
        },
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Ended::Usage(format!("the body is not JSON: {error}")).into()),
    }
}

/// Follows a loop to its end; whether it succeeded.
pub(super) async fn follow_loop(global: &Global, client: &Client, loop_id: &str) -> Result<bool> {
    let mut layout = Layout::new(Colour::of_stdout(global.no_color), TimeZone::system());
    let mut live = Live::new();
    let mut succeeded = false;
    let filter = [("loop", loop_id.to_owned())];
    let followed = follow(client, &filter, From::After(0), |text, line| {
        live.see(&line);
        if global.json {
            live.print(text);
        } else if line.level > Level::Debug {
            live.print(&layout.show(&line));
        }
        Ok(match line.event {
            Event::LoopSucceeded => {
                succeeded = true;
                Then::Enough
            }
            Event::LoopFailed | Event::LoopStopped => Then::Enough,
            _ => Then::On,
        })
    })
    .await;
    live.finish();
    followed?;
    Ok(succeeded)
}
