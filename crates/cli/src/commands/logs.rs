//! `logs [-f]`.

use anyhow::Result;
use jiff::tz::TimeZone;
use reqwest::Method;
use velodrome_types::{Level, LogLine};

use crate::args::{Global, Logs};
use crate::client::Client;
use crate::follow::{From, Then, follow};
use crate::terminal::{Colour, Layout};

/// Lines shown when nothing else is said.
const TAIL: u32 = 50;
/// Lines asked for at a time.
const CHUNK: &str = "1000";

pub(super) async fn run(global: &Global, args: Logs) -> Result<()> {
    let client = Client::new(global)?;
    let mut filter: Vec<(&str, String)> = Vec::new();
    let wanted = [
        ("cycle", &args.cycle),
        ("loop", &args.loop_id),
        ("run", &args.run),
        ("step", &args.step),
        ("level", &args.level),
        ("event", &args.event),
        ("since", &args.since),
    ];
    filter.extend(
        wanted
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?))),
    );
    // What is only for those who look closely is shown to those who ask for it.
    let level = if args.level.is_some() || args.event.is_some() {
        Level::Debug
    } else {
        Level::Info
    };
    if args.level.is_none() && args.event.is_none() && !global.json {
        filter.push(("level", "info".to_owned()));
    }
    let mut layout = Layout::new(Colour::of_stdout(global.no_color), TimeZone::system());
    let mut show = |text: &str, line: LogLine| {
        if global.json {
            println!("{text}");
        } else if line.level >= level {
            println!("{}", layout.show(&line));
        }
        Ok(Then::On)
    };
    let tail = args.tail.unwrap_or(TAIL);
    if args.follow {
        return follow(&client, &filter, From::Tail(tail), show).await;
    }
    if args.since.is_none() || args.tail.is_some() {
        filter.push(("tail", tail.to_string()));
        for text in lines(&client, &filter).await? {
            show(&text, serde_json::from_str(&text)?)?;
        }
        return Ok(());
    }
    let mut after = 0;
    loop {
        let mut query = filter.clone();
        query.extend([("after", after.to_string()), ("limit", CHUNK.to_owned())]);
        let chunk = lines(&client, &query).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        for text in chunk {
            let line: LogLine = serde_json::from_str(&text)?;
            after = line.seq;
            show(&text, line)?;
        }
    }
}

async fn lines(client: &Client, query: &[(&str, String)]) -> Result<Vec<String>> {
    let text = client
        .ask(Method::GET, "/log", query, None)
        .await?
        .text()
        .await?;
    Ok(text
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}
