//! What a test expects.

use velodrome_types::{Event, Json, LoopStatus};

use super::read::{cycle_id, date, entries, items, list, long, shape, step_of, stored};
use super::shape::{Shape, ShapeKind};
use super::{Expect, ExpectedLoop, ExpectedWatermark, Placed, StorageFamily, Stored};
use crate::format::{
    EXPECT, EXPECTED_ANSWER, EXPECTED_ERROR, EXPECTED_LINE, EXPECTED_LOOP, EXPECTED_REQUEST,
};
use crate::keys::{Faults, Keys, choice, closest, whole};
use crate::yaml::{Node, Value};

pub(super) fn read(node: &Node, deliveries: usize, faults: &mut Faults) -> Option<Expect> {
    let mut keys = Keys::in_table(node, &EXPECT, "`expect`", faults)?;
    let answers = keys
        .get("answer")
        .and_then(|node| answers(node, deliveries, faults));
    let first = one_loop(&mut keys, faults);
    let loops = keys.get("loops").map(|node| {
        let mut all = Vec::new();
        for item in items(node, "`loops`", faults) {
            let what = "an expected loop";
            if let Some(mut keys) = Keys::in_table(item, &EXPECTED_LOOP, what, faults) {
                let mut expected = one_loop(&mut keys, faults);
                expected.cycle = keys.get("cycle").and_then(|node| cycle_id(node, faults));
                keys.finish(what, faults);
                all.push(expected);
            }
        }
        list(all, node.span)
    });
    let error = keys.get("error").map(|node| Placed {
        value: error(node, faults),
        span: node.span,
    });
    let requests = keys.get("requests").map(|node| {
        let all = items(node, "`requests`", faults)
            .iter()
            .filter_map(|item| request(item, faults))
            .collect();
        list(all, node.span)
    });
    let handoffs = keys.get("handoffs").map(|node| {
        let all = items(node, "`handoffs`", faults);
        list(all.iter().map(Shape::of).collect(), node.span)
    });
    let mut storage = Vec::new();
    for (key, family) in [
        ("storage", StorageFamily::Connection),
        ("cycle_storage", StorageFamily::Cycle),
        ("loop_storage", StorageFamily::Loop),
    ] {
        if let Some(node) = keys.get(key) {
            let found = stored(node, family, &format!("`{key}`"), faults);
            storage.extend(found.into_iter().map(|found| Stored {
                value: Shape::of(found.value),
                family: found.family,
                connection: found.connection,
                key: found.key,
            }));
        }
    }
    let watermarks = keys
        .get("watermark")
        .map_or_else(Vec::new, |node| watermarks(node, faults));
    let log = keys.get("log").map_or_else(Vec::new, |node| {
        items(node, "`log`", faults)
            .iter()
            .filter_map(|item| line(item, faults))
            .collect()
    });
    keys.finish("`expect`", faults);
    Some(Expect {
        answers,
        first,
        loops,
        error,
        requests,
        handoffs,
        storage,
        watermarks,
        log,
    })
}

/// One answer, or a list with one for each delivery.
fn answers(node: &Node, deliveries: usize, faults: &mut Faults) -> Option<Placed<Vec<Shape>>> {
    let what = "an expected answer";
    let one = match &node.value {
        Value::List(items) => {
            if items.len() != deliveries {
                let message = format!(
                    "`answer` has {} items, and {deliveries} requests are sent",
                    items.len()
                );
                faults.error("value.type", node.span, message);
            }
            items.iter().collect()
        }
        _ => vec![node],
    };
    let shapes: Vec<_> = one
        .into_iter()
        .map(|node| shape(node, &EXPECTED_ANSWER, what, faults))
        .collect();
    let shapes = shapes.into_iter().collect::<Option<_>>()?;
    Some(list(shapes, node.span))
}

fn one_loop(keys: &mut Keys<'_>, faults: &mut Faults) -> ExpectedLoop {
    let words: Vec<(&str, LoopStatus)> = LoopStatus::ALL
        .iter()
        .map(|status| (status.as_str(), *status))
        .collect();
    fn placed<T>(node: &Node, value: Option<T>) -> Option<Placed<T>> {
        let span = node.span;
        value.map(|value| Placed { value, span })
    }
    ExpectedLoop {
        cycle: None,
        status: keys
            .get("status")
            .and_then(|node| placed(node, choice(node, "`status`", &words, faults))),
        laps: keys
            .get("laps")
            .and_then(|node| placed(node, whole(node, "`laps`", 0, faults))),
        records: keys
            .get("records")
            .and_then(|node| placed(node, whole(node, "`records`", 0, faults))),
        elapsed: keys
            .get("elapsed")
            .and_then(|node| placed(node, long(node, "`elapsed`", faults))),
    }
}

/// A message is expected to hold a part.
fn part_of_message(shape: &mut Shape) {
    if let Some(message) = shape.field_mut("message")
        && let ShapeKind::Scalar(Json::String(part)) = &message.kind
    {
        message.kind = ShapeKind::Containing(part.clone());
    }
}

fn error(node: &Node, faults: &mut Faults) -> Option<Shape> {
    if node.scalar().is_some_and(|scalar| scalar.text == "none") {
        return None;
    }
    let mut shape = shape(node, &EXPECTED_ERROR, "an expected error", faults)?;
    part_of_message(&mut shape);
    Some(shape)
}

fn request(node: &Node, faults: &mut Faults) -> Option<Shape> {
    let mut shape = shape(node, &EXPECTED_REQUEST, "an expected request", faults)?;
    let Value::Map(written) = &node.value else {
        return None;
    };
    // A time is held against the time, in milliseconds, however it is written.
    if let Some(entry) = written.iter().find(|entry| entry.key == "at") {
        let at = long(&entry.value, "`at`", faults)?;
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        if let Some(field) = shape.field_mut("at") {
            field.kind = ShapeKind::Scalar(Json::from(millis));
        }
    }
    if let Some(headers) = shape.field_mut("headers")
        && let ShapeKind::Object(fields) = &mut headers.kind
    {
        fields
            .iter_mut()
            .for_each(|(name, _)| name.make_ascii_lowercase());
    }
    Some(shape)
}

fn watermarks(node: &Node, faults: &mut Faults) -> Vec<ExpectedWatermark> {
    let mut all = Vec::new();
    for entry in entries(node, "`watermark`", faults) {
        let none = entry
            .value
            .scalar()
            .is_some_and(|scalar| scalar.text == "none");
        let value = if none {
            None
        } else {
            let Some(at) = date(&entry.value, &format!("`{}`", entry.key), faults) else {
                continue;
            };
            Some(at)
        };
        let span = entry.value.span;
        all.push((step_of(entry), Placed { value, span }));
    }
    all
}

/// A line of the log: an event alone, or a map.
fn line(node: &Node, faults: &mut Faults) -> Option<Shape> {
    let mut shape = match node.scalar() {
        Some(_) => Shape {
            span: node.span,
            kind: ShapeKind::Object(vec![("event".to_owned(), Shape::of(node))]),
        },
        None => shape(node, &EXPECTED_LINE, "an expected line of the log", faults)?,
    };
    part_of_message(&mut shape);
    if let Some(event) = shape.field("event") {
        let word = event.text().unwrap_or_default();
        if word.parse::<Event>().is_err() {
            let known = Event::ALL.iter().map(|event| event.as_str());
            let message = format!("`{word}` is no event of the run log");
            let fault = faults.error("value.choice", event.span, message);
            if let Some(meant) = closest(word, known) {
                fault.hint(format!("did you mean `{meant}`?"));
            }
        }
    }
    Some(shape)
}
