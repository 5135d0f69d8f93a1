//! Canned answers.

use velodrome_types::{CycleId, StepId};

use super::read::{entries, texts};
use super::{Answers, Canned, CannedAnswer, StepAnswers};
use crate::format::ANSWER;
use crate::keys::{Faults, Keys, choice, duration, whole};
use crate::yaml::{Node, Value};

/// Records that one answer can be asked to make up: far past what any API gives.
const RECORDS: u64 = 100_000;

/// The faults of the network, by name.
const FAULTS: &[(&str, Canned)] = &[
    ("timeout", Canned::Timeout),
    ("connection_refused", Canned::ConnectionRefused),
];

pub(super) fn read(node: &Node, faults: &mut Faults) -> Vec<StepAnswers> {
    let mut all = Vec::new();
    for entry in entries(node, "`answers`", faults) {
        let (cycle, step) = match entry.key.split_once('.') {
            Some((cycle, step)) => (Some(CycleId::from(cycle)), step),
            None => (None, entry.key.as_str()),
        };
        let answers = match &entry.value.value {
            Value::List(items) => {
                let read: Vec<_> = items.iter().map(|item| answer(item, faults)).collect();
                read.into_iter()
                    .collect::<Option<_>>()
                    .map(Answers::InOrder)
            }
            _ => answer(&entry.value, faults).map(Answers::Always),
        };
        if let Some(answers) = answers {
            all.push(StepAnswers {
                cycle,
                step: StepId::from(step),
                span: entry.key_span,
                answers,
            });
        }
    }
    all
}

fn answer(node: &Node, faults: &mut Faults) -> Option<CannedAnswer> {
    let mut keys = Keys::in_table(node, &ANSWER, "an answer", faults)?;
    let takes = keys
        .get("takes")
        .and_then(|node| duration(node, "`takes`", faults))
        .unwrap_or_default();
    let fault = keys.get("error").and_then(|node| {
        let words: Vec<(&str, usize)> = FAULTS
            .iter()
            .enumerate()
            .map(|(at, (word, _))| (*word, at))
            .collect();
        choice(node, "`error`", &words, faults)
    });
    let said = ["status", "headers", "body", "records"].map(|key| keys.entry(key));
    if let (Some(_), Some(entry)) = (fault, said.iter().flatten().next()) {
        let message = format!("`{}` stands beside `error`: nothing comes then", entry.key);
        faults.error("field.alone", entry.key_span, message);
    }
    let [status, headers, body, records] = said.map(|entry| entry.map(|entry| &entry.value));
    let status = match status {
        Some(node) => self::status(node, faults).unwrap_or(200),
        None => 200,
    };
    let headers = headers.map_or_else(Vec::new, |node| texts(node, "`headers`", faults));
    let records = match records {
        Some(node) => {
            let many = whole(node, "`records`", 0, faults);
            if let Some(many) = many.filter(|many| *many > RECORDS) {
                let message = format!("`records` must be at most {RECORDS}, not {many}");
                faults.error("value.type", node.span, message);
            }
            many
        }
        None => None,
    };
    keys.finish("an answer", faults);
    let outcome = match fault {
        Some(at) => FAULTS[at].1.clone(),
        None => Canned::Answer {
            status,
            headers,
            body: body.map(Node::to_json).filter(|body| !body.is_null()),
            records,
        },
    };
    Some(CannedAnswer {
        span: node.span,
        takes,
        outcome,
    })
}

fn status(node: &Node, faults: &mut Faults) -> Option<u16> {
    let number = whole(node, "`status`", 100, faults)?;
    match u16::try_from(number).ok().filter(|status| *status < 600) {
        Some(status) => Some(status),
        None => {
            let message = format!("`status` must be an HTTP status from 100 to 599, not {number}");
            faults.error("value.type", node.span, message);
            None
        }
    }
}
