//! `step test`: one method of a step for real, on the running server.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use velodrome_runtime::api::remedy;
use velodrome_types::{format_bytes, format_duration};

use super::{field, given_json};
use crate::args::{Global, Step, StepTest};
use crate::client::{Client, segment};
use crate::exit::Ended;
use crate::terminal::{count, escape};
use crate::{out, table};

pub(super) async fn run(global: &Global, args: Step) -> Result<()> {
    let Step::Test(args) = args;
    test(global, &args).await
}

async fn test(global: &Global, args: &StepTest) -> Result<()> {
    let (inputs, data) = (args.inputs.as_deref(), args.data.as_deref());
    if inputs == Some("-") && data == Some("-") {
        let what =
            "standard input can be read once: give the inputs or `--data` as JSON or `@file`";
        return Err(Ended::Usage(what.to_owned()).into());
    }
    let given = json!({
        "inputs": object("the inputs", inputs)?,
        "data": object("`--data`", data)?,
    });
    let client = Client::new(global)?;
    let path = format!(
        "/cycles/{}/steps/{}/test",
        segment(&args.cycle)?,
        segment(&args.step)?
    );
    let seen = client.post(&path, Some(given.to_string())).await?;
    match global.json {
        true => out::json(&seen)?,
        false => show(&seen)?,
    }
    match seen["status"].as_str() {
        Some("succeeded") => Ok(()),
        _ => Err(Ended::Failed.into()),
    }
}

/// What was given, which must be an object.
fn object(what: &str, written: Option<&str>) -> Result<Value> {
    let text = given_json(what, written)?;
    match serde_json::from_str::<Value>(&text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(Ended::Usage(format!("{what} must be an object, such as {{\"page\": 1}}")).into()),
    }
}

fn show(seen: &Value) -> Result<()> {
    table::facts(&facts(seen))?;
    for (at, record) in list(&seen["records"]).enumerate() {
        out::line(&format!("\nrecord {}", at + 1))?;
        out::line(&pretty(record))?;
    }
    if !seen["body"].is_null() {
        out::line("\nbody")?;
        out::line(&pretty(&seen["body"]))?;
    }
    if list(&seen["logs"]).next().is_some() {
        out::line("\nlog")?;
        for line in list(&seen["logs"]) {
            out::line(&format!("  {}", escape(line.as_str().unwrap_or_default())))?;
        }
    }
    if seen["error"].is_object() {
        out::line("")?;
        table::facts(&failure(&seen["error"]))?;
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// JSON over several lines, a text as it is; nothing in it controls the terminal.
fn pretty(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    };
    let lines: Vec<String> = text
        .lines()
        .map(|line| format!("  {}", escape(line)))
        .collect();
    lines.join("\n")
}

/// What was asked, what came, and what was not kept.
fn facts(seen: &Value) -> Vec<(&'static str, String)> {
    let request = &seen["request"];
    let asked = match request.is_object() {
        true => format!("{} {}", field(request, "method"), field(request, "url")),
        false => "nothing".to_owned(),
    };
    let headers = request["headers"].as_object().into_iter().flatten();
    let headers: Vec<String> = headers
        .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default()))
        .collect();
    let fields = seen["fields"].as_object().into_iter().flatten();
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    vec![
        (
            "step",
            format!("{}.{}", field(seen, "cycle"), field(seen, "step")),
        ),
        ("version", field(seen, "version")),
        ("method", field(seen, "method")),
        ("asked", asked),
        ("headers", headers.join(", ")),
        ("sent", field(request, "body")),
        ("answered", answered(seen)),
        ("fields", fields.join(" ")),
        ("pages", pages(seen)),
        ("watermark", watermark(seen)),
        ("storage", storage(seen)),
    ]
}

/// `200 · 200 records · 41 kB · 112 ms`, as the log has it.
fn answered(seen: &Value) -> String {
    let response = &seen["response"];
    if !response.is_object() {
        return "nothing came".to_owned();
    }
    let mut parts = vec![field(response, "status")];
    parts.extend(
        seen["count"]
            .as_u64()
            .map(|records| count(records, "record")),
    );
    parts.extend(response["bytes"].as_u64().map(format_bytes));
    let ms = response["ms"].as_u64();
    parts.extend(ms.map(|ms| format_duration(Duration::from_millis(ms))));
    parts.join(" · ")
}

fn pages(seen: &Value) -> String {
    match seen["more_pages"].as_bool() {
        Some(true) => "the first only; a run asks for those behind it".to_owned(),
        _ => String::new(),
    }
}

fn watermark(seen: &Value) -> String {
    match (seen["count"].is_null(), &seen["last_successful_run_date"]) {
        (_, Value::String(date)) => format!("read as {date}, not moved"),
        (false, _) => "not moved".to_owned(),
        (true, _) => String::new(),
    }
}

fn storage(seen: &Value) -> String {
    let writes: Vec<String> = list(&seen["not_stored"])
        .map(|write| {
            let key = field(write, "key");
            let key = if key.is_empty() {
                key
            } else {
                format!(" `{key}`")
            };
            format!(
                "{}_storage_{}{key}",
                field(write, "storage"),
                field(write, "does")
            )
        })
        .collect();
    match writes.is_empty() {
        true => String::new(),
        false => format!("not written: {}", writes.join(", ")),
    }
}

/// Why it failed, where, and what to do.
fn failure(error: &Value) -> Vec<(&'static str, String)> {
    let again = match error["kind"].as_str() {
        Some("transient") => "a run tries it again",
        Some("held") => "nothing left; a run waits for its turn",
        Some("unknown") => "nobody knows whether it arrived",
        _ => "",
    };
    vec![
        ("failed", field(error, "message")),
        ("code", field(error, "code")),
        ("where", field(error, "at")),
        ("status", field(error, "status")),
        ("answer", field(error, "body")),
        ("in a run", again.to_owned()),
        ("to do", remedy(&field(error, "code")).to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(facts: Vec<(&str, String)>) -> Vec<String> {
        let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
        facts
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    #[test]
    fn a_list_that_answered_is_told_in_short() {
        let seen = json!({
            "cycle": "pages", "version": "0a1b", "step": "contacts", "method": "zoho.list", "status": "succeeded",
            "request": {"method": "GET", "url": "https://a.test/x?page=1", "headers": {"authorization": "•••"}},
            "response": {"status": 200, "ms": 112, "bytes": 41_000, "headers": {}},
            "count": 200, "more_pages": true, "fields": {"more_records": true}, "logs": [],
            "not_stored": [{"storage": "cyclr", "does": "set", "key": "page"}, {"storage": "loop", "does": "delete_all"}],
            "last_successful_run_date": "2026-01-01T00:00:00Z",
        });
        let expect = [
            "step: pages.contacts",
            "version: 0a1b",
            "method: zoho.list",
            "asked: GET https://a.test/x?page=1",
            "headers: authorization: •••",
            "answered: 200 · 200 records · 41 kB · 112 ms",
            "fields: more_records=true",
            "pages: the first only; a run asks for those behind it",
            "watermark: read as 2026-01-01T00:00:00Z, not moved",
            "storage: not written: cyclr_storage_set `page`, loop_storage_delete_all",
        ];
        assert_eq!(shown(facts(&seen)), expect);
    }

    #[test]
    fn a_failure_says_where_and_what_to_do() {
        let error = json!({
            "kind": "permanent", "code": "script.failed", "message": "no such thing", "at": "cycles/a.yaml:12",
        });
        let expect = [
            "failed: no such thing",
            "code: script.failed",
            "where: cycles/a.yaml:12",
            "to do: mend the script; a running server takes the file as it is saved",
        ];
        assert_eq!(shown(failure(&error)), expect);
    }

    #[test]
    fn inputs_are_an_object() {
        assert_eq!(object("the inputs", None).unwrap(), json!({}));
        assert!(object("the inputs", Some("[1]")).is_err());
        assert!(object("the inputs", Some("{page: 1}")).is_err());
    }

    #[test]
    fn a_record_cannot_control_the_terminal() {
        assert_eq!(pretty(&json!("a\u{1b}[2J\nb")), "  a\\x1b[2J\n  b");
    }
}
