//! From what was asked and answered to what a person is shown: without what is secret, and short. In this
//! order: what has been cut off has no fields any more, so nothing is cut off before it is hidden.

use velodrome_connect::{AsSent, Want, scan};
use velodrome_core::StepFailure;
use velodrome_spec::Plan;
use velodrome_spec::connector::MethodDef;
use velodrome_spec::plan::Step;
use velodrome_store::{Namespace, StorageOp};
use velodrome_types::{Json, JsonMap};

use super::view::{
    AnsweredView, AskedView, NotStored, StepErrorView, StepTestStatus, StepTestView,
};
use super::{Outcome, asks};
use crate::overlay::Overlay;
use crate::perform::{Brought, Exchanged};
use crate::redact::Redactor;

/// How many records are shown.
const RECORDS: usize = 3;
/// The most bytes of a body that is shown whole, and of all records together.
const SHOWN: usize = 64 * 1024;
/// How much is shown of a longer one, in characters.
const BEGINNING: usize = 2_000;
/// The most bytes of an error's body that are shown whole.
const ERROR_SHOWN: usize = 2_000;
/// What stands in place of a value that `log: {redact}` names.
const REDACTED: &str = "[redacted]";

/// What a test tells.
pub(super) fn view(
    plan: &Plan,
    step: &Step,
    outcome: Outcome,
    exchanged: Option<&Exchanged>,
) -> StepTestView {
    let method = asks(&step.kind);
    let brought = exchanged.and_then(|exchanged| exchanged.brought.as_ref());
    let mut view = StepTestView {
        cycle: plan.cycle.clone(),
        version: plan.version().to_owned(),
        step: step.id.clone(),
        method: method.map_or_else(String::new, |method| {
            format!("{}.{}", method.connection, method.method)
        }),
        status: StepTestStatus::Succeeded,
        request: exchanged.and_then(|exchanged| exchanged.asked.as_ref().map(asked)),
        response: brought.map(answered),
        count: None,
        records: Vec::new(),
        more_pages: false,
        fields: JsonMap::new(),
        body: Json::Null,
        logs: Vec::new(),
        not_stored: Vec::new(),
        last_successful_run_date: None,
        error: None,
    };
    match outcome {
        Outcome::Listed(answer) => {
            let passed = answer
                .scripted
                .as_ref()
                .and_then(|scripted| scripted.passed);
            view.count = Some(passed.unwrap_or(answer.count));
            view.more_pages = answer.next.is_some();
            view.logs = answer.logs;
            if let (Some(method), Some(exchanged)) = (method, exchanged) {
                records(&mut view, method.def(), exchanged);
            }
        }
        Outcome::Sent(answer) => {
            view.logs = answer.logs;
            view.body = exchanged.map_or(answer.body, body);
        }
        Outcome::Failed(failure) => {
            view.status = StepTestStatus::Failed;
            view.logs.clone_from(&failure.logs);
            view.error = Some(error(plan, step, failure, brought));
        }
    }
    view
}

/// Cuts off what is long. Only what is hidden already may come here.
pub(super) fn shorten(view: &mut StepTestView) {
    let mut room = SHOWN;
    let mut records = std::mem::take(&mut view.records).into_iter();
    while let Some(record) = records.next().map(|record| shortened(record, SHOWN)) {
        let length = record.to_string().len();
        if length > room {
            break;
        }
        room -= length;
        view.records.push(record);
    }
    let asked = view.request.iter_mut().flat_map(|asked| &mut asked.body);
    let told = view.error.iter_mut().flat_map(|error| &mut error.body);
    for (value, most) in std::iter::once(&mut view.body)
        .chain(asked)
        .map(|value| (value, SHOWN))
        .chain(told.map(|value| (value, ERROR_SHOWN)))
    {
        *value = shortened(value.take(), most);
    }
}

fn asked(sent: &AsSent) -> AskedView {
    AskedView {
        method: sent.verb.clone(),
        url: sent.url.clone(),
        headers: headers(&sent.headers),
        body: sent.body.clone(),
    }
}

fn answered(brought: &Brought) -> AnsweredView {
    let mut headers = headers(&brought.headers);
    // It would sign somebody in.
    headers.remove("set-cookie");
    AnsweredView {
        status: brought.status,
        ms: brought.millis,
        bytes: brought.body.len() as u64,
        headers,
    }
}

fn headers(headers: &[(String, String)]) -> JsonMap {
    headers
        .iter()
        .map(|(name, value)| (name.clone(), Json::String(value.clone())))
        .collect()
}

/// The first records and the described fields, as later steps would have them.
fn records(view: &mut StepTestView, method: &MethodDef, exchanged: &Exchanged) {
    let want = Want {
        fields: method.response.fields.keys().cloned().collect(),
        records: true,
        ..Want::default()
    };
    let left = exchanged.left.as_ref().map(Json::to_string);
    let brought = exchanged.brought.as_ref();
    let bytes = match &left {
        Some(left) => left.as_bytes(),
        None => brought.map_or(&b""[..], |brought| &brought.body),
    };
    // The step has read it before; what it could not read has failed there.
    let Ok(scanned) = scan(method, bytes, &want) else {
        return;
    };
    view.fields = scanned.fields;
    let records = scanned.records.into_iter().flatten();
    view.records.extend(records.take(RECORDS));
}

/// The body as a handler left it, else as it came.
fn body(exchanged: &Exchanged) -> Json {
    if let Some(left) = &exchanged.left {
        return left.clone();
    }
    match &exchanged.brought {
        Some(brought) if !brought.body.is_empty() => whole(brought),
        _ => Json::Null,
    }
}

/// All that came: JSON, else a text.
fn whole(brought: &Brought) -> Json {
    let text = || Json::String(String::from_utf8_lossy(&brought.body).into_owned());
    serde_json::from_slice(&brought.body).unwrap_or_else(|_| text())
}

/// What is long is cut off, as a text.
fn shortened(value: Json, most: usize) -> Json {
    let text = value.to_string();
    if text.len() <= most {
        return value;
    }
    let text = value.as_str().unwrap_or(&text);
    let mut cut: String = text.chars().take(BEGINNING).collect();
    cut.push('…');
    Json::String(cut)
}

fn error(
    plan: &Plan,
    step: &Step,
    failure: StepFailure,
    brought: Option<&Brought>,
) -> StepErrorView {
    let place = || format!("{}:{}", plan.sources.path, step.line);
    // The failure has a long body as a text already.
    let body = failure.body.map(|told| brought.map_or(told, whole));
    StepErrorView {
        kind: failure.kind.as_str(),
        code: failure.code,
        message: failure.message,
        at: failure.at.unwrap_or_else(place),
        status: failure.status,
        body,
    }
}

/// What was written and is dropped.
pub(super) fn not_stored(overlay: Overlay) -> Vec<NotStored> {
    let of = |write: velodrome_store::StorageWrite| NotStored {
        storage: match write.namespace {
            Namespace::Connection(_) => "cyclr",
            Namespace::Cycle(..) => "cycle",
            Namespace::Loop(..) => "loop",
        },
        does: match &write.op {
            StorageOp::Set(..) => "set",
            StorageOp::Append(..) => "append",
            StorageOp::Increment(..) => "increment",
            StorageOp::Delete(_) => "delete",
            StorageOp::DeleteAll => "delete_all",
        },
        key: write.op.key().map(str::to_owned),
    };
    overlay.into_writes().into_iter().map(of).collect()
}

/// Takes out what is secret, and the values of fields that the cycle never shows.
pub(super) fn hide(view: &mut StepTestView, plan: &Plan, redactor: &Redactor) {
    let fields: &[String] = &plan.log.redact;
    let mut trees: Vec<&mut Json> = view.records.iter_mut().collect();
    trees.push(&mut view.body);
    trees.extend(view.fields.values_mut());
    trees.extend(view.request.iter_mut().flat_map(|asked| &mut asked.body));
    trees.extend(view.error.iter_mut().flat_map(|error| &mut error.body));
    for tree in trees {
        hide_fields(tree, fields);
        redactor.json(tree);
    }
    view.fields
        .iter_mut()
        .filter(|(name, _)| fields.contains(name))
        .for_each(|(_, value)| *value = Json::from(REDACTED));
    let mut texts: Vec<&mut String> = view.logs.iter_mut().collect();
    texts.extend(view.not_stored.iter_mut().flat_map(|write| &mut write.key));
    if let Some(error) = &mut view.error {
        texts.push(&mut error.message);
    }
    if let Some(asked) = &mut view.request {
        asked.url = query_without(&asked.url, fields);
        texts.push(&mut asked.url);
        hide_headers(&mut asked.headers, fields, redactor);
    }
    if let Some(answered) = &mut view.response {
        hide_headers(&mut answered.headers, fields, redactor);
    }
    for text in texts {
        *text = redactor.text(text).into_owned();
    }
}

fn hide_headers(headers: &mut JsonMap, fields: &[String], redactor: &Redactor) {
    for (name, value) in headers {
        match fields.iter().any(|field| field.eq_ignore_ascii_case(name)) {
            true => *value = Json::from(REDACTED),
            false => redactor.json(value),
        }
    }
}

/// A URL, the values of these parameters replaced and the others as they were written.
fn query_without(url: &str, fields: &[String]) -> String {
    let (rest, fragment) = match url.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (url, None),
    };
    let Some((place, query)) = rest.split_once('?') else {
        return url.to_owned();
    };
    let pairs = query.split('&').map(|pair| {
        let written = pair.split_once('=').map_or(pair, |(name, _)| name);
        let named = url::form_urlencoded::parse(written.as_bytes()).next();
        match named.is_some_and(|(name, _)| fields.iter().any(|field| *field == name)) {
            true => format!("{written}={REDACTED}"),
            false => pair.to_owned(),
        }
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    match fragment {
        Some(fragment) => format!("{place}?{query}#{fragment}"),
        None => format!("{place}?{query}"),
    }
}

/// Replaces the values of these fields in a body. One that is a text may hold JSON, whole or cut off;
/// where it cannot be read, nothing of it is shown.
fn hide_fields(body: &mut Json, fields: &[String]) {
    let read = match &*body {
        Json::String(text) if !fields.is_empty() && text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text)
                .map_err(|_| format!("not shown: `log: {{redact}}` names fields, and this is no whole JSON ({} bytes)", text.len()))
        }
        _ => return without(body, fields),
    };
    *body = match read {
        Ok(mut value) => {
            without(&mut value, fields);
            Json::String(value.to_string())
        }
        Err(why) => Json::String(why),
    };
}

/// Replaces the values of these fields, at any depth.
fn without(value: &mut Json, fields: &[String]) {
    match value {
        Json::Object(map) => {
            for (name, value) in map {
                match fields.contains(name) {
                    true => *value = Json::from(REDACTED),
                    false => without(value, fields),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| without(item, fields)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_cycle_never_shows_is_hidden_at_any_depth() {
        let mut value = json!({"email": "a", "in": [{"email": {"x": 1}, "page": 2}]});
        without(&mut value, &["email".to_owned()]);
        let expect = json!({"email": REDACTED, "in": [{"email": REDACTED, "page": 2}]});
        assert_eq!(value, expect);
    }

    #[test]
    fn a_long_value_is_cut_off() {
        let long = shortened(json!({"text": "x".repeat(SHOWN)}), SHOWN);
        let text = long.as_str().unwrap();
        assert_eq!(text.chars().count(), BEGINNING + 1);
        assert!(text.starts_with("{\"text\":\"xx") && text.ends_with('…'));
        assert_eq!(shortened(json!({"a": 1}), SHOWN), json!({"a": 1}));
    }

    #[test]
    fn a_text_that_holds_fields_is_read_or_left_out() {
        let fields = ["email".to_owned()];
        let check = |text: &str, expect: &str| {
            let mut body = json!(text);
            hide_fields(&mut body, &fields);
            let seen = body.as_str().unwrap();
            assert!(seen.starts_with(expect), "{text}: {seen}");
        };
        check("no email", "no email");
        check(r#" {"email": "a"}"#, r#"{"email":"[redacted]"}"#);
        check(r#"[{"email": "a"}, {"em"#, "not shown: ");
        let mut body = json!("{\"email\": ");
        hide_fields(&mut body, &[]);
        assert_eq!(body, json!("{\"email\": "));
    }

    #[test]
    fn parameters_that_a_cycle_never_shows_are_hidden_and_others_left_as_written() {
        let fields = ["e mail".to_owned()];
        let check = |url: &str, expect: &str| assert_eq!(query_without(url, &fields), expect);
        check("https://a.test/e%20mail", "https://a.test/e%20mail");
        check(
            "https://a.test/?a=%2F+b&e+mail=x&e%20mail&key=•••#e mail=1?",
            "https://a.test/?a=%2F+b&e+mail=[redacted]&e%20mail=[redacted]&key=•••#e mail=1?",
        );
    }

    #[test]
    fn headers_are_the_same_in_any_case() {
        let mut headers = JsonMap::new();
        headers.insert("x-email".to_owned(), json!("a"));
        hide_headers(&mut headers, &["X-Email".to_owned()], &Redactor::default());
        assert_eq!(headers["x-email"], REDACTED);
    }
}
