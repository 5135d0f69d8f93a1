//! From what was asked and answered to what a person is shown: short, and without what is secret.

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
            view.count = Some(answer.count);
            view.more_pages = answer.next.is_some();
            view.logs = answer.logs;
            if let (Some(method), Some(exchanged)) = (method, exchanged) {
                records(&mut view, method.def(), exchanged);
            }
        }
        Outcome::Sent(answer) => {
            view.logs = answer.logs;
            view.body = exchanged.map_or(Json::Null, body);
        }
        Outcome::Failed(failure) => {
            view.status = StepTestStatus::Failed;
            view.logs.clone_from(&failure.logs);
            view.error = Some(error(plan, step, failure));
        }
    }
    view
}

fn asked(sent: &AsSent) -> AskedView {
    AskedView {
        method: sent.verb.clone(),
        url: sent.url.clone(),
        headers: headers(&sent.headers),
        body: sent.body.clone().map(shortened),
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
    let mut room = SHOWN;
    for record in scanned.records.into_iter().flatten().take(RECORDS) {
        let record = shortened(record);
        let length = record.to_string().len();
        if length > room {
            break;
        }
        room -= length;
        view.records.push(record);
    }
}

/// The body as a handler left it, else as it came.
fn body(exchanged: &Exchanged) -> Json {
    if let Some(left) = &exchanged.left {
        return shortened(left.clone());
    }
    let bytes = match &exchanged.brought {
        Some(brought) if !brought.body.is_empty() => &brought.body,
        _ => return Json::Null,
    };
    if bytes.len() > SHOWN {
        return beginning(&String::from_utf8_lossy(bytes));
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(_) => shortened(Json::String(String::from_utf8_lossy(bytes).into_owned())),
    }
}

/// What is long is cut off, as a text.
fn shortened(value: Json) -> Json {
    let text = value.to_string();
    match text.len() > SHOWN {
        true => beginning(value.as_str().unwrap_or(&text)),
        false => value,
    }
}

fn beginning(text: &str) -> Json {
    let mut cut: String = text.chars().take(BEGINNING).collect();
    cut.push('…');
    Json::String(cut)
}

fn error(plan: &Plan, step: &Step, failure: StepFailure) -> StepErrorView {
    let place = || format!("{}:{}", plan.sources.path, step.line);
    StepErrorView {
        kind: failure.kind.as_str(),
        code: failure.code,
        message: failure.message,
        at: failure.at.unwrap_or_else(place),
        status: failure.status,
        body: failure.body,
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
        without(tree, fields);
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
        texts.push(&mut asked.url);
        asked
            .headers
            .values_mut()
            .for_each(|value| redactor.json(value));
    }
    if let Some(answered) = &mut view.response {
        answered
            .headers
            .values_mut()
            .for_each(|value| redactor.json(value));
    }
    for text in texts {
        *text = redactor.text(text).into_owned();
    }
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
        let long = shortened(json!({"text": "x".repeat(SHOWN)}));
        let text = long.as_str().unwrap();
        assert_eq!(text.chars().count(), BEGINNING + 1);
        assert!(text.starts_with("{\"text\":\"xx") && text.ends_with('…'));
        assert_eq!(shortened(json!({"a": 1})), json!({"a": 1}));
    }
}
