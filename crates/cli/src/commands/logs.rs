//! `logs [-f]`.

use anyhow::Result;
use jiff::tz::TimeZone;
use reqwest::Method;
use velodrome_types::{Level, LogLine};

use super::field;
use crate::args::{Global, Logs};
use crate::client::{Client, segment};
use crate::follow::{From, Seen, Then, follow, parse, pin_since};
use crate::out;
use crate::terminal::{Colour, Layout};

/// Lines shown when nothing else is said.
const TAIL: u32 = 50;
/// Lines asked for at a time.
const CHUNK: usize = 1000;

pub(super) async fn run(global: &Global, args: Logs) -> Result<()> {
    let client = Client::new(global)?;
    let mut filter = filter(global, &args);
    let mut layout = Layout::new(Colour::of_stdout(global.no_color), TimeZone::system());
    let show = |layout: &mut Layout, text: &str, line: &LogLine| {
        if global.json {
            out::json_text(text)
        } else {
            out::line(&layout.show(line))
        }
    };
    let from = match (args.tail, &args.since) {
        (None, Some(_)) => From::After(0),
        (tail, _) => From::Tail(tail.unwrap_or(TAIL)),
    };
    if args.follow {
        resolve(&client, &mut filter).await?;
        return follow(&client, &filter, from, |seen| {
            match seen {
                Seen::Line(text, line) => show(&mut layout, text, &line)?,
                Seen::Away => eprintln!("the server is away: waiting for it to come back"),
            }
            Ok(Then::On)
        })
        .await;
    }
    match from {
        From::Tail(lines) => {
            let mut query = filter;
            query.push(("tail", lines.to_string()));
            let texts = lines_of(&client, &mut query).await?;
            let lines: Vec<LogLine> = texts
                .iter()
                .map(|text| parse(text))
                .collect::<Result<_>>()?;
            lines.iter().for_each(|line| layout.widen(line));
            for (text, line) in texts.iter().zip(&lines) {
                show(&mut layout, text, line)?;
            }
            Ok(())
        }
        From::After(_) => all(&client, &filter, |text, line| show(&mut layout, text, line)).await,
    }
}

/// Looks up which loop and which run are meant: after a restart of the server `last` is another, and the end of an
/// id may be that of two.
async fn resolve(client: &Client, filter: &mut [(&str, String)]) -> Result<()> {
    for (name, value) in filter {
        let listing = match *name {
            "loop" => "loops",
            "run" => "runs",
            _ => continue,
        };
        let path = format!("/{listing}/{}", segment(value)?);
        let seen = client.json(Method::GET, &path, &[]).await?;
        *value = field(&seen, "id");
    }
    Ok(())
}

fn filter(global: &Global, args: &Logs) -> Vec<(&'static str, String)> {
    // What is only for those who look closely is shown to those who ask for it.
    let level = match (args.level, args.event) {
        (Some(level), _) => Some(level),
        (None, None) if !global.json => Some(Level::Info),
        (None, _) => None,
    };
    let wanted = [
        ("cycle", args.cycle.clone()),
        ("loop", args.loop_id.clone()),
        ("run", args.run.clone()),
        ("step", args.step.clone()),
        ("level", level.map(|level| level.as_str().to_owned())),
        ("event", args.event.map(|event| event.to_string())),
        ("since", args.since.clone()),
    ];
    wanted
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Gives every matching line, oldest first, however many there are.
pub(super) async fn all(
    client: &Client,
    filter: &[(&str, String)],
    mut see: impl FnMut(&str, &LogLine) -> Result<()>,
) -> Result<()> {
    let mut after = 0;
    let mut query = filter.to_vec();
    query.extend([("limit", CHUNK.to_string()), ("after", String::new())]);
    loop {
        if let Some((_, place)) = query.last_mut() {
            *place = after.to_string();
        }
        let chunk = lines_of(client, &mut query).await?;
        for text in &chunk {
            let line = parse(text)?;
            after = line.seq;
            see(text, &line)?;
        }
        if chunk.is_empty() {
            return Ok(());
        }
    }
}

/// The lines of one answer. The next of the same begins at the same moment.
async fn lines_of(client: &Client, query: &mut [(&str, String)]) -> Result<Vec<String>> {
    let response = client.ask(Method::GET, "/log", query, None).await?;
    pin_since(query, &response);
    let text = client.text(response).await?;
    Ok(text
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use velodrome_types::Event;

    use super::*;

    #[test]
    fn details_are_for_those_who_ask() {
        let check = |global: &Global, args: Logs, expect: Option<&str>| {
            let filter = filter(global, &args);
            let level = filter.iter().find(|(name, _)| *name == "level");
            assert_eq!(level.map(|(_, level)| level.as_str()), expect);
        };
        let people = Global::default();
        check(&people, Logs::default(), Some("info"));
        let debug = Logs {
            level: Some(Level::Debug),
            ..Logs::default()
        };
        check(&people, debug, Some("debug"));
        let event = Logs {
            event: Some(Event::RunSucceeded),
            ..Logs::default()
        };
        check(&people, event, None);
        let programs = Global {
            json: true,
            ..Global::default()
        };
        check(&programs, Logs::default(), None);
    }
}
