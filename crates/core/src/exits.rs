//! Outcomes that went well: what is kept of them and which exit they lead to.

use std::sync::Arc;

use velodrome_spec::plan::{Live, StepIx, StepKind};
use velodrome_types::{Code, Event, Json, JsonMap, Level, StepId, format_bytes, format_duration};

use crate::fail;
use crate::guard;
use crate::input::{Exit, ListAnswer, SendAnswer};
use crate::machine::Moving;
use crate::midway;
use crate::payload;
use crate::steps;

/// Keeps what later steps read of the webhook's body.
pub(crate) fn keep_webhook(moving: &mut Moving<'_>, trigger: StepIx, body: Json) {
    let step = moving.plan.step(trigger);
    let data = match &moving.run.state {
        crate::run::State::Queued { delivery } => midway::data_of(&step.live, delivery, body),
        _ => return,
    };
    store(moving, &step.id, data);
}

/// A list has answered: true when records came back, as the API sent them.
pub(crate) fn listed(moving: &mut Moving<'_>, id: &StepId, attempt: u32, answer: ListAnswer) {
    let Some(ix) = moving.plan.find(id.as_str()) else {
        return steps::act(moving, id, attempt);
    };
    if !matches!(moving.plan.step(ix).kind, StepKind::List(_)) {
        return steps::act(moving, id, attempt);
    }
    let mut answer = answer;
    heard(moving, ix, attempt, &mut answer);
    if let Err(failure) = guard::note_page(
        moving.plan,
        &mut moving.looped,
        id,
        &answer.asked,
        answer.page_hash,
        answer.count,
    ) {
        return fail::fail_run(moving, id.clone(), &failure, attempt, None);
    }
    list_over(moving, ix, answer);
}

/// What an answer of a list tells, whether or not it was the last: the log, the loop's records, the date
/// that is held.
pub(crate) fn heard(moving: &mut Moving<'_>, ix: StepIx, attempt: u32, answer: &mut ListAnswer) {
    let step = moving.plan.step(ix);
    let id = &step.id;
    moving.script_logs(id, std::mem::take(&mut answer.logs));
    let scripted = answer.scripted.as_mut();
    let warning = scripted.and_then(|scripted| scripted.warning.take());
    told_warning(moving, id, answer.status, warning);
    if answer.restarted.is_some() {
        let line = moving.lines.at(
            id,
            Level::Warn,
            Event::RequestFailed,
            "the API no longer took the paging token: the list begins again at its first page",
        );
        line.code = Some(Code::new("paging.token_expired"));
    }
    let line = moving
        .lines
        .at(id, Level::Info, Event::ResponseReceived, told(answer));
    line.status = Some(answer.status);
    line.records = Some(answer.count);
    line.ms = Some(answer.ms);
    line.url = Some(answer.url.clone());
    line.attempt = (attempt > 1).then_some(attempt);
    let mut data = JsonMap::new();
    if answer.page > 0 {
        data.insert("page".to_owned(), Json::from(answer.page));
    }
    if answer.repeats > 0 {
        data.insert("repeats".to_owned(), Json::from(answer.repeats));
    }
    line.data = (!data.is_empty()).then_some(Json::Object(data));
    payload::add(line, answer.kept.take());

    moving.looped.records += answer.count;
    if !answer.keys.is_empty() {
        moving.keys = Some((id.clone(), std::mem::take(&mut answer.keys)));
    }
    let state = moving.looped.lists.entry(id.clone()).or_default();
    state.token = answer.token.take();
    state.cut |= answer.cut;
    if let Some(before) = answer.restarted {
        state.before = before;
        state.restarts += 1;
    }
    let incremental = match &step.kind {
        StepKind::List(list) => list.method.def().incremental.is_some(),
        _ => false,
    };
    let held = answer.date.filter(|_| state.pending.is_none());
    let date = answer.next_date.or(held);
    if let (true, Some(date)) = (incremental, date) {
        state.pending = Some(date);
        let held = format!("date {} held for the loop", date.to_iso8601_utc_seconds());
        moving
            .lines
            .at(id, Level::Debug, Event::WatermarkHeld, held);
    }
}

/// The last page of a list, or its only one: what later steps read of it is kept.
pub(crate) fn list_over(moving: &mut Moving<'_>, ix: StepIx, mut answer: ListAnswer) {
    let step = moving.plan.step(ix);
    let StepKind::List(list) = &step.kind else {
        return;
    };
    let id = &step.id;
    let filter = moving.looped.lists.get(id).and_then(|state| state.filter);
    let passed = answer.passed();
    let mut data = JsonMap::new();
    for name in &step.live.names {
        let value = match name.as_str() {
            "count" => Json::from(passed.unwrap_or(answer.count)),
            "records" => answer.records.take().map_or(Json::Null, Json::Array),
            "last_successful_run_date" => {
                filter.map_or(Json::Null, |date| Json::String(date.to_string()))
            }
            "http" => serde_json::json!({ "status": answer.status, "headers": answer.headers }),
            "error" => Json::Null,
            field => answer.fields.get(field).cloned().unwrap_or(Json::Null),
        };
        keep(&mut data, name, value);
    }
    store(moving, id, data);
    let exit = match passed {
        Some(0) => Exit::Else,
        Some(_) => Exit::Then,
        None if list.method.def().two_exits && answer.count == 0 => Exit::Else,
        None => Exit::Then,
    };
    steps::leave(moving, ix, exit);
}

/// A request was answered, or a hand-off accepted.
pub(crate) fn sent(moving: &mut Moving<'_>, id: &StepId, attempt: u32, answer: SendAnswer) {
    let Some(ix) = moving.plan.find(id.as_str()) else {
        return steps::act(moving, id, attempt);
    };
    let step = moving.plan.step(ix);
    let mut answer = answer;
    moving.script_logs(id, std::mem::take(&mut answer.logs));
    told_warning(moving, id, answer.status, answer.warning.take());
    told_sent(moving, id, attempt, &mut answer, None);
    let data = sent_data(&step.live, &answer);
    store(moving, id, data);
    let exit = match answer.passed {
        Some(false) => Exit::Else,
        Some(true) | None => Exit::Then,
    };
    steps::leave(moving, ix, exit);
}

/// Says that a request failed, and that a script took it for a warning.
pub(crate) fn told_warning(
    moving: &mut Moving<'_>,
    id: &StepId,
    status: u16,
    warning: Option<Box<str>>,
) {
    let Some(warning) = warning else { return };
    let line = moving
        .lines
        .at(id, Level::Warn, Event::RequestFailed, warning);
    line.status = Some(status);
}

/// Says that a request was answered, or a hand-off accepted.
pub(crate) fn told_sent(
    moving: &mut Moving<'_>,
    id: &StepId,
    attempt: u32,
    answer: &mut SendAnswer,
    item: Option<u64>,
) {
    // Of many items each is told, but only to those who ask for more.
    let level = if item.is_some() {
        Level::Debug
    } else {
        Level::Info
    };
    if let Some((run, loop_id, lap, shown)) = &answer.handoff {
        let elapsed = moving.facts.now.since(moving.looped.started);
        let message = if answer.own {
            format!("→ lap {lap}  {shown}")
        } else {
            format!("→ {} {}  {shown}", answer.url, run.tail())
        };
        let (records, laps) = (moving.looped.records, moving.looped.laps);
        let line = moving
            .lines
            .at(id, level, Event::HandoffSent, message.trim_end().to_owned());
        line.item = item;
        line.to = Some(run.to_string());
        line.status = Some(answer.status);
        line.data = Some(if answer.own {
            serde_json::json!({
                "loop": loop_id, "lap": lap, "records": records,
                "laps": laps.saturating_sub(1), "ms": elapsed.as_millis() as u64,
            })
        } else {
            serde_json::json!({ "loop": loop_id, "lap": lap })
        });
        payload::add(line, answer.kept.take());
        moving.run.handed_off |= answer.own;
    } else if let Some((event, message)) = &answer.computed {
        let line = moving.lines.at(id, level, *event, message.clone());
        line.item = item;
        payload::add(line, answer.kept.take());
    } else {
        let message = format!(
            "{} · {} · {}",
            answer.status,
            format_bytes(answer.bytes),
            format_duration(std::time::Duration::from_millis(answer.ms))
        );
        let line = moving.lines.at(id, level, Event::ResponseReceived, message);
        line.item = item;
        line.status = Some(answer.status);
        line.ms = Some(answer.ms);
        line.url = Some(answer.url.clone());
        line.attempt = (attempt > 1).then_some(attempt);
        payload::add(line, answer.kept.take());
    }
}

fn sent_data(live: &Live, answer: &SendAnswer) -> JsonMap {
    let mut data = JsonMap::new();
    for name in &live.names {
        let value = match name.as_str() {
            "body" => answer.body.clone(),
            "http" => serde_json::json!({ "status": answer.status, "headers": answer.headers }),
            "error" => Json::Null,
            field => answer.body.get(field).cloned().unwrap_or(Json::Null),
        };
        keep(&mut data, name, value);
    }
    data
}

/// A null is what a missing name reads as anyway.
pub(crate) fn keep(data: &mut JsonMap, name: &str, value: Json) {
    if !value.is_null() {
        data.insert(name.to_owned(), value);
    }
}

pub(crate) fn store(moving: &mut Moving<'_>, id: &StepId, data: JsonMap) {
    if data.is_empty() {
        moving.run.data.remove(id);
    } else {
        moving.run.data.insert(id.clone(), Arc::new(data));
    }
}

fn told(answer: &ListAnswer) -> String {
    let records = if answer.count == 1 {
        "1 record".to_owned()
    } else {
        format!("{} records", answer.count)
    };
    let repeats = match answer.repeats {
        0 => String::new(),
        1 => ", 1 repeat dropped".to_owned(),
        repeats => format!(", {repeats} repeats dropped"),
    };
    let passed = match answer.passed() {
        None => String::new(),
        Some(passed) => format!(", {passed} passed"),
    };
    let page = match answer.page {
        0 => String::new(),
        page => format!(" · page {page}"),
    };
    format!(
        "{} · {records}{repeats}{passed}{page} · {} · {}",
        answer.status,
        format_bytes(answer.bytes),
        format_duration(std::time::Duration::from_millis(answer.ms))
    )
}
