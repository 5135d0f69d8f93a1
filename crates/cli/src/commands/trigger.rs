//! `trigger`: calls a cycle's webhook as the operator, by the API, and follows the loop that begins.

use anyhow::Result;
use jiff::tz::TimeZone;
use serde_json::Value;
use velodrome_types::{Event, Level, LogLine, short_id};

use super::{field, given_json};
use crate::args::{Global, Trigger};
use crate::client::Client;
use crate::exit::Ended;
use crate::follow::{From, Seen, Then, follow};
use crate::out;
use crate::terminal::{Colour, Layout, Live, escape, escape_json};

pub(super) async fn run(global: &Global, args: Trigger) -> Result<()> {
    let body = given_json("the body", args.body.as_deref())?;
    let client = Client::new(global)?;
    let answer = client.trigger(&args.cycle, body).await?;
    let loop_id = field(&answer, "loop");
    match (global.json, args.follow) {
        // One document a line, as the log that comes behind it.
        (true, true) => out::json_text(&answer.to_string())?,
        (true, false) => out::json(&answer)?,
        (false, _) => out::line(&shown(&answer))?,
    }
    if !args.follow || loop_id.is_empty() {
        return Ok(());
    }
    if follow_loop(global, &client, &loop_id).await?.succeeded {
        Ok(())
    } else {
        Err(Ended::Failed.into())
    }
}

/// An answer in short: of a run, or whatever the cycle itself said.
fn shown(answer: &Value) -> String {
    let id = |name: &str| short_id(&field(answer, name));
    match answer {
        Value::Object(fields) if fields.contains_key("run") => format!(
            "{}: {}, lap {} of {}",
            field(answer, "status"),
            id("run"),
            field(answer, "lap"),
            id("loop")
        ),
        Value::String(text) => escape(text),
        other => escape_json(&format!("{other:#}")).into_owned(),
    }
}

/// What a followed loop's log told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Followed {
    /// Whether the loop succeeded.
    pub(super) succeeded: bool,
    /// Pages that list steps got, with records or without.
    pub(super) pages: u64,
    /// Records in them.
    pub(super) records: u64,
}

impl Followed {
    fn see(&mut self, line: &LogLine) -> Then {
        match line.event {
            Event::ResponseReceived if line.records.is_some() => {
                self.pages += 1;
                self.records += line.records.unwrap_or(0);
                Then::On
            }
            Event::LoopSucceeded => {
                self.succeeded = true;
                Then::Enough
            }
            Event::LoopFailed | Event::LoopStopped => Then::Enough,
            _ => Then::On,
        }
    }
}

/// Follows a loop to its end.
pub(super) async fn follow_loop(
    global: &Global,
    client: &Client,
    loop_id: &str,
) -> Result<Followed> {
    let mut layout = Layout::new(Colour::of_stdout(global.no_color), TimeZone::system());
    let mut live = Live::new();
    let mut told = Followed::default();
    let filter = [("loop", loop_id.to_owned())];
    let followed = follow(client, &filter, From::After(0), |seen| {
        let Seen::Line(text, line) = seen else {
            live.away();
            return Ok(Then::On);
        };
        live.see(&line);
        if global.json {
            live.print(&escape_json(text))?;
        } else if line.level > Level::Debug {
            live.print(&layout.show(&line))?;
        }
        Ok(told.see(&line))
    })
    .await;
    live.finish();
    followed?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_short_where_it_is_of_a_run() {
        let accepted = json!({
            "run": "run_01h455vb4pex5vsknk084sn02q", "cycle": "c", "loop": "loop_01h455vb4pex5vsknk084sn02r",
            "lap": 1, "status": "accepted",
        });
        assert_eq!(
            shown(&accepted),
            "accepted: run_…84sn02q, lap 1 of loop_…84sn02r"
        );
        assert_eq!(shown(&json!("a\u{1b}b")), "a\\x1bb");
        assert_eq!(shown(&json!({"a": 1})), "{\n  \"a\": 1\n}");
    }

    #[test]
    fn a_loop_is_followed_to_its_end() {
        let mut told = Followed::default();
        let mut see = |event: &str, records: Option<u64>| {
            let mut line = json!({
                "seq": 1, "time": "2026-11-23T12:00:00Z", "level": "info", "event": event, "message": "m",
            });
            if let Some(records) = records {
                line["records"] = records.into();
            }
            told.see(&serde_json::from_value(line).unwrap())
        };
        assert_eq!(see("response.received", Some(200)), Then::On);
        assert_eq!(see("response.received", None), Then::On);
        assert_eq!(see("response.received", Some(0)), Then::On);
        assert_eq!(see("run.failed", None), Then::On);
        assert_eq!(see("loop.failed", None), Then::Enough);
        assert_eq!(see("loop.stopped", None), Then::Enough);
        assert_eq!(see("loop.succeeded", None), Then::Enough);
        let expect = Followed {
            succeeded: true,
            pages: 2,
            records: 200,
        };
        assert_eq!(told, expect);
    }
}
