//! The file's keys and each test's.

use std::time::Duration;

use velodrome_types::{CycleId, Json, JsonMap, StepId, Timestamp, check_name, parse_duration};

use super::shape::Shape;
use super::{
    CycleTest, Placed, StorageFamily, Stored, TestDelivery, TestFile, TestLimits, TestSettings,
    answers, expect,
};
use crate::diagnostic::Span;
use crate::format::{DELIVERY, LIMITS, TEST, TEST_FILE};
use crate::keys::{Faults, Keys, duration, text, whole};
use crate::yaml::{Entry, Node, Value};

/// What the clock says where a test does not.
const START: &str = "2026-01-01T00:00:00Z";

pub(super) fn file(root: &Node, faults: &mut Faults) -> Option<TestFile> {
    let mut keys = Keys::in_table(root, &TEST_FILE, "a test file", faults)?;
    let cycle = keys.get("cycle").and_then(|node| cycle_id(node, faults));
    let settings = keys
        .get("settings")
        .map_or_else(Vec::new, |node| settings(node, faults));
    let coverage = keys.get("coverage").and_then(|node| percent(node, faults));
    let tests = keys.need("tests", "a test file", faults);
    let tests = tests.map_or_else(Vec::new, |node| {
        let entries = entries(node, "`tests`", faults);
        if entries.is_empty() && matches!(node.value, Value::Map(_)) {
            faults.error("value.type", node.span, "`tests` must hold a test");
        }
        entries
            .iter()
            .filter_map(|entry| test(entry, faults))
            .collect()
    });
    keys.finish("a test file", faults);
    Some(TestFile {
        cycle,
        settings,
        coverage,
        tests,
    })
}

fn test(entry: &Entry, faults: &mut Faults) -> Option<CycleTest> {
    let what = format!("test `{}`", entry.key);
    let mut keys = Keys::in_table(&entry.value, &TEST, &what, faults)?;
    let start = keys
        .get("start")
        .and_then(|node| date(node, "`start`", faults))
        .unwrap_or_else(|| Timestamp::parse(START).expect("it is RFC 3339"));
    let deliveries = deliveries(&mut keys, faults);
    let mut storage = Vec::new();
    for (key, family) in [
        ("storage", StorageFamily::Connection),
        ("cycle_storage", StorageFamily::Cycle),
    ] {
        if let Some(node) = keys.get(key) {
            let found = stored(node, family, &format!("`{key}`"), faults);
            storage.extend(found.into_iter().map(|found| Stored {
                value: found.value.to_json(),
                family: found.family,
                connection: found.connection,
                key: found.key,
            }));
        }
    }
    let watermarks = keys.get("watermark").map_or_else(Vec::new, |node| {
        entries(node, "`watermark`", faults)
            .iter()
            .filter_map(|entry| {
                let at = date(&entry.value, &format!("`{}`", entry.key), faults)?;
                Some((step_of(entry), at))
            })
            .collect()
    });
    let answers = keys
        .get("answers")
        .map_or_else(Vec::new, |node| answers::read(node, faults));
    let limits = keys
        .get("limits")
        .map_or_else(TestLimits::default, |node| limits(node, faults));
    let expect = match keys.get("expect") {
        Some(node) => expect::read(node, deliveries.len(), faults),
        None => Some(super::Expect::default()),
    };
    keys.finish(&what, faults);
    Some(CycleTest {
        name: Placed {
            value: entry.key.clone(),
            span: entry.key_span,
        },
        start,
        deliveries,
        storage,
        watermarks,
        answers,
        limits,
        expect: expect?,
    })
}

fn deliveries(keys: &mut Keys<'_>, faults: &mut Faults) -> Vec<TestDelivery> {
    let one = ["body", "headers", "query"].map(|key| keys.entry(key).map(|entry| entry.key_span));
    let Some(node) = keys.get("send") else {
        return vec![delivery(keys, Duration::ZERO, faults)];
    };
    if let Some(span) = one.into_iter().flatten().next() {
        let message = "it stands beside `send`, which says what is sent";
        faults.error("field.alone", span, message);
    }
    let Value::List(items) = &node.value else {
        let message = format!("`send` must be a list, not {}", node.kind());
        faults.error("value.type", node.span, message);
        return Vec::new();
    };
    if items.is_empty() {
        faults.error("value.type", node.span, "`send` must hold a request");
    }
    let what = "a request of `send`";
    let mut sent = Vec::new();
    for item in items {
        let Some(mut keys) = Keys::in_table(item, &DELIVERY, what, faults) else {
            continue;
        };
        let after = keys
            .get("after")
            .and_then(|node| duration(node, "`after`", faults))
            .unwrap_or_default();
        let step = keys.get("step").and_then(|node| {
            let value = StepId::new(text(node, "`step`", faults)?);
            let span = node.span;
            Some(Placed { value, span })
        });
        sent.push(TestDelivery {
            step,
            ..delivery(&mut keys, after, faults)
        });
        keys.finish(what, faults);
    }
    sent
}

fn delivery(keys: &mut Keys<'_>, after: Duration, faults: &mut Faults) -> TestDelivery {
    let body = keys.get("body").map(Node::to_json);
    let texts = |node: Option<&Node>, what: &str, faults: &mut Faults| {
        node.map_or_else(Vec::new, |node| texts(node, what, faults))
    };
    let headers = texts(keys.get("headers"), "`headers`", faults);
    let query = texts(keys.get("query"), "`query`", faults);
    let json = |(name, value): (String, String)| (name, Json::String(value));
    TestDelivery {
        body: body.unwrap_or_else(|| Json::Object(JsonMap::new())),
        headers: headers
            .into_iter()
            .map(|(name, value)| json((name.to_ascii_lowercase(), value)))
            .collect(),
        query: query.into_iter().map(json).collect(),
        after,
        step: None,
    }
}

fn limits(node: &Node, faults: &mut Faults) -> TestLimits {
    let mut limits = TestLimits::default();
    let Some(mut keys) = Keys::in_table(node, &LIMITS, "`limits`", faults) else {
        return limits;
    };
    if let Some(laps) = keys
        .get("laps")
        .and_then(|node| whole(node, "`laps`", 1, faults))
    {
        limits.laps = laps;
    }
    if let Some(time) = keys
        .get("time")
        .and_then(|node| duration(node, "`time`", faults))
    {
        limits.time = time;
    }
    keys.finish("`limits`", faults);
    limits
}

fn settings(node: &Node, faults: &mut Faults) -> Vec<TestSettings> {
    let mut all = Vec::new();
    for connection in entries(node, "`settings`", faults) {
        let what = format!("the settings of `{}`", connection.key);
        let values = entries(&connection.value, &what, faults)
            .iter()
            .map(|entry| (placed(entry), entry.value.to_json()));
        all.push(TestSettings {
            connection: placed(connection),
            values: values.collect(),
        });
    }
    all
}

/// Connection, key, value.
pub(super) fn stored<'a>(
    node: &'a Node,
    family: StorageFamily,
    what: &str,
    faults: &mut Faults,
) -> Vec<Stored<&'a Node>> {
    let mut all = Vec::new();
    for connection in entries(node, what, faults) {
        let inner = format!("{what} of `{}`", connection.key);
        for entry in entries(&connection.value, &inner, faults) {
            all.push(Stored {
                family,
                connection: placed(connection),
                key: entry.key.clone(),
                value: &entry.value,
            });
        }
    }
    all
}

fn placed(entry: &Entry) -> Placed<String> {
    Placed {
        value: entry.key.clone(),
        span: entry.key_span,
    }
}

pub(super) fn step_of(entry: &Entry) -> Placed<StepId> {
    Placed {
        value: StepId::from(entry.key.as_str()),
        span: entry.key_span,
    }
}

/// The entries of a map.
pub(super) fn entries<'a>(node: &'a Node, what: &str, faults: &mut Faults) -> &'a [Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => {
            let message = format!("{what} must be a map, not {}", node.kind());
            faults.error("value.type", node.span, message);
            &[]
        }
    }
}

/// The items of a list.
pub(super) fn items<'a>(node: &'a Node, what: &str, faults: &mut Faults) -> &'a [Node] {
    match &node.value {
        Value::List(items) => items,
        _ => {
            let message = format!("{what} must be a list, not {}", node.kind());
            faults.error("value.type", node.span, message);
            &[]
        }
    }
}

/// Names with texts; numbers and truth values are the texts that they are written as.
pub(super) fn texts(node: &Node, what: &str, faults: &mut Faults) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in entries(node, what, faults) {
        if let Some(value) = text(&entry.value, &format!("`{}`", entry.key), faults) {
            all.push((entry.key.clone(), value));
        }
    }
    all
}

pub(super) fn cycle_id(node: &Node, faults: &mut Faults) -> Option<Placed<CycleId>> {
    let id = text(node, "`cycle`", faults)?;
    if let Err(error) = check_name(&id) {
        let message = format!("`{id}` cannot name a cycle: {error}");
        faults.error("name.invalid", node.span, message);
        return None;
    }
    Some(Placed {
        value: CycleId::from(id.as_str()),
        span: node.span,
    })
}

pub(super) fn date(node: &Node, what: &str, faults: &mut Faults) -> Option<Timestamp> {
    let written = text(node, what, faults)?;
    match Timestamp::parse(&written) {
        Ok(at) => Some(at),
        Err(error) => {
            faults.error("value.date", node.span, format!("{what}: {error}"));
            None
        }
    }
}

/// A duration that may also have a decimal point, `2.1 seconds`, as the log shows them.
pub(super) fn long(node: &Node, what: &str, faults: &mut Faults) -> Option<Duration> {
    let written = node.scalar().map_or("", |scalar| scalar.text.as_str());
    match decimal(written) {
        Some(found) => Some(found),
        None => duration(node, what, faults),
    }
}

fn decimal(written: &str) -> Option<Duration> {
    let (whole, rest) = written.trim().split_once('.')?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (fraction, unit) = rest.split_at(digits);
    let number = format!("{whole}{fraction}").parse::<u64>().ok()?;
    let of_one = parse_duration(&format!("1 {}", unit.trim())).ok()?;
    let scale = 10_u64.checked_pow(u32::try_from(digits).ok()?)?;
    let millis = u64::try_from(of_one.as_millis()).ok()?;
    let product = number.checked_mul(millis)?;
    // Less than a millisecond cannot be told.
    (digits > 0 && product.is_multiple_of(scale)).then(|| Duration::from_millis(product / scale))
}

/// `100%`, or a number from 0 to 100.
fn percent(node: &Node, faults: &mut Faults) -> Option<Placed<f64>> {
    let written = text(node, "`coverage`", faults)?;
    let number = written.trim().trim_end_matches('%').trim_end().parse();
    match number {
        Ok(value) if (0.0..=100.0).contains(&value) => Some(Placed {
            value,
            span: node.span,
        }),
        _ => {
            let message = format!("`coverage` must be a part such as `100%`, not `{written}`");
            faults.error("value.type", node.span, message);
            None
        }
    }
}

/// A shape whose keys are those of a table.
pub(super) fn shape(
    node: &Node,
    table: &'static crate::format::Table,
    what: &str,
    faults: &mut Faults,
) -> Option<Shape> {
    Keys::in_table(node, table, what, faults)?.finish(what, faults);
    Some(Shape::of(node))
}

pub(super) fn list<T>(value: Vec<T>, span: Span) -> Placed<Vec<T>> {
    Placed { value, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_may_have_a_decimal_point() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(decimal(text), millis.map(Duration::from_millis), "{text}");
        };
        check("2.1 seconds", Some(2_100));
        check("2.12s", Some(2_120));
        check("1.5 h", Some(5_400_000));
        check("0.0001 s", None);
        check("2. s", None);
        check("2 s", None);
        check("2.1", None);
        check("2.1 parsecs", None);
    }
}
