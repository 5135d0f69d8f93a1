//! What a run did, line by line: messages, and what was kept of requests, answers and writes to storage.

use maud::{Markup, html};
use velodrome_runtime::api::RunView;
use velodrome_types::{Event, Json, JsonMap, LogLine};

use super::shown::{count, level, pretty, time_of_day, took};

/// Lines that are about a request or a body that came: of these it is told when nothing was kept.
const EXCHANGES: [Event; 6] = [
    Event::WebhookAccepted,
    Event::ResponseReceived,
    Event::RequestFailed,
    Event::RetryScheduled,
    Event::HandoffSent,
    Event::HandoffFailed,
];
/// Data that have a place of their own.
const PLACED: [&str; 5] = ["kept", "request", "response", "storage", "storage_more"];

/// The lines, oldest first.
pub(super) fn time_line(lines: &[LogLine], run: &RunView) -> Markup {
    html! {
        ol.line {
            @for line in lines {
                li class=(level(line)) id={ "seq-" (line.seq) } {
                    div { (time_of_day(line.time)) }
                    div.step { @if let Some(step) = &line.step { (step) } }
                    div {
                        div.what {
                            (line.message) " "
                            (marks(line))
                            @if let Some(to) = leads_to(line, run) { " " a href={ "/runs/" (to) } { "the next run" } }
                        }
                        (kept(line))
                    }
                }
            }
        }
    }
}

/// The run that a hand-off began, where the line names one.
fn leads_to<'a>(line: &'a LogLine, run: &RunView) -> Option<&'a str> {
    let to = line.to.as_deref().filter(|to| to.starts_with("run_"))?;
    (to != run.id.to_string()).then_some(to)
}

/// The line's facts, as far as its message does not tell them.
pub(super) fn marks(line: &LogLine) -> Markup {
    let untold = |fact: String| (!line.message.contains(&fact)).then_some(fact);
    let status = line.status.and_then(|status| untold(status.to_string()));
    let records = line.records.filter(|records| {
        let told = |text: String| line.message.contains(&format!("{text} records"));
        !told(records.to_string()) && !told(count(*records))
    });
    let ms = line.ms.and_then(|ms| untold(took(ms)));
    html! {
        @if let Some(code) = &line.code { code.soft { (code) } " " }
        @if let Some(attempt) = line.attempt.filter(|attempt| *attempt > 1) { span.badge.warn { "attempt " (attempt) } " " }
        @if let Some(item) = line.item { span.badge { "item " (item) } " " }
        @if let Some(status) = status { span.badge { (status) } " " }
        @if let Some(records) = records { span.badge { (count(records)) " records" } " " }
        @if let Some(ms) = ms { span.badge { (ms) } }
    }
}

/// What was kept beside the message, folded.
fn kept(line: &LogLine) -> Markup {
    let none = JsonMap::new();
    let data = line
        .data
        .as_ref()
        .and_then(Json::as_object)
        .unwrap_or(&none);
    let of = |name: &str| data.get(name).and_then(Json::as_object);
    let rest: JsonMap = data
        .iter()
        .filter(|(name, _)| !PLACED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let preview = data.get("kept").and_then(Json::as_str) == Some("preview");
    let received = line.event == Event::WebhookAccepted;
    html! {
        @if EXCHANGES.contains(&line.event) && !data.contains_key("kept") {
            p.soft.small { "What was sent and answered is not kept: the cycle says " code { "log: {payloads: none}" } ", or it did then." }
        }
        @if let Some(request) = of("request") {
            (side(if received { "What came" } else { "Request" }, request, preview))
        }
        @if let Some(response) = of("response") { (side("Answer", response, preview)) }
        @if let Some(writes) = data.get("storage").and_then(Json::as_array) {
            (storage(writes, data.get("storage_more").and_then(Json::as_u64)))
        }
        @if !rest.is_empty() {
            details { summary { "More" } pre { (pretty(&Json::Object(rest))) } }
        }
    }
}

fn side(name: &str, told: &JsonMap, preview: bool) -> Markup {
    let text = |name: &str| told.get(name).and_then(Json::as_str).unwrap_or("");
    let cut = told.get("cut").and_then(Json::as_u64).unwrap_or(0);
    html! {
        details {
            summary { (name) @if cut > 0 { " (" (count(cut)) " bytes more are not kept)" } }
            @if told.contains_key("method") || told.contains_key("url") {
                pre { (text("method")) " " (text("url")) }
            }
            @match told.get("headers") {
                Some(headers) => { h3 { "Headers" } pre { (header_lines(headers)) } }
                None if preview => p.soft.small { "Headers are not kept: " code { "log: {payloads: full}" } " keeps them." },
                None => {}
            }
            @match told.get("body") {
                None | Some(Json::Null) => p.soft.small { "No body." },
                Some(Json::String(body)) => { h3 { "Body" } pre { (readable(body)) } }
                Some(body) => { h3 { "Body" } pre { (pretty(body)) } }
            }
        }
    }
}

fn changes(number: u64) -> String {
    match number {
        1 => "1 change of storage".to_owned(),
        number => format!("{} changes of storage", count(number)),
    }
}

fn header_lines(headers: &Json) -> String {
    let lines = headers.as_object().into_iter().flatten();
    let lines = lines.map(|(name, value)| match value {
        Json::String(value) => format!("{name}: {value}"),
        other => format!("{name}: {other}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A body that is JSON as people read it; any other as it is.
fn readable(body: &str) -> String {
    match serde_json::from_str::<Json>(body) {
        Ok(value @ (Json::Object(_) | Json::Array(_))) => pretty(&value),
        _ => body.to_owned(),
    }
}

fn storage(writes: &[Json], more: Option<u64>) -> Markup {
    let text = |write: &Json, name: &str| {
        let text = write.get(name).and_then(Json::as_str);
        text.unwrap_or("").to_owned()
    };
    let value = |write: &Json| match write.get("value") {
        None => String::new(),
        Some(Json::String(value)) => value.clone(),
        Some(other) => other.to_string(),
    };
    html! {
        details {
            summary { (changes(writes.len() as u64 + more.unwrap_or(0))) }
            div.scroll {
                table {
                    thead { tr { th scope="col" { "Change" } th scope="col" { "Storage" } th scope="col" { "Key" } th scope="col" { "Value" } } }
                    tbody {
                        @for write in writes {
                            tr {
                                td { (text(write, "op")) }
                                td { (text(write, "connection")) @if text(write, "scope") != "cyclr" { " · " (text(write, "scope")) } }
                                td { code { (text(write, "key")) } }
                                td.wrap { code { (value(write)) } }
                            }
                        }
                    }
                }
            }
            @if let Some(more) = more { p.soft.small { (count(more)) " more are not kept." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use velodrome_types::{Level, Timestamp};

    use super::*;

    fn told(event: Event, data: Option<Json>) -> String {
        let mut line = LogLine::new(Timestamp::from_millis(0), Level::Info, event, "");
        line.data = data;
        kept(&line).into_string()
    }

    #[test]
    fn what_was_not_kept_is_told() {
        assert!(told(Event::ResponseReceived, None).contains("not kept"));
        assert!(!told(Event::DelayStarted, None).contains("not kept"));
        let cut = json!({"kept": "preview", "response": {"body": "{\"a\":…", "cut": 1200}});
        let shown = told(Event::ResponseReceived, Some(cut));
        assert!(shown.contains("1,200 bytes more are not kept"), "{shown}");
        assert!(shown.contains("Headers are not kept"), "{shown}");
    }

    #[test]
    fn markup_of_a_body_is_text() {
        let data = json!({"kept": "full", "request": {"headers": {"x": "<i>"}, "body": "<script>alert(1)</script>"}});
        let shown = told(Event::WebhookAccepted, Some(data));
        assert!(
            shown.contains("&lt;script&gt;") && shown.contains("x: &lt;i&gt;"),
            "{shown}"
        );
        assert!(
            !shown.contains("<script") && !shown.contains("<i>"),
            "{shown}"
        );
    }

    #[test]
    fn a_change_of_storage_names_its_key_and_value() {
        let data = json!({"kept": "preview", "storage_more": 2, "storage": [
            {"op": "set", "scope": "cyclr", "connection": "zoho", "key": "pageNumber", "value": "3"}
        ]});
        let shown = told(Event::RunSucceeded, Some(data));
        for part in ["3 changes of storage", "pageNumber", "2 more are not kept"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
