//! Requests, hand-offs and log lines against what is expected of each.

use velodrome_spec::test_file::{Misfit, Scalars, Shape, ShapeKind};
use velodrome_types::Json;

use super::Judge;
use crate::exact::exact;

impl Judge<'_> {
    /// Every part of a value that does not fit its shape.
    pub(super) fn fits(&mut self, shape: &Shape, got: &Json, what: &str) {
        for misfit in misfits(shape, got) {
            let part = match misfit.path.as_str() {
                "" => what.to_owned(),
                path if path.starts_with('[') => format!("{what}{path}"),
                path => format!("{what}.{path}"),
            };
            let (expected, got) = told(&misfit);
            self.missed(misfit.span, &format!("`{part}`"), &expected, &got);
        }
    }

    pub(super) fn requests(&mut self) {
        let Some(expected) = &self.test.expect.requests else {
            return;
        };
        let got = &self.outcome.requests;
        if expected.value.len() != got.len() {
            let asked: Vec<String> = got.iter().map(summary).collect();
            let (wanted, many) = (expected.value.len().to_string(), got.len().to_string());
            self.missed(expected.span, "number of `requests`", &wanted, &many)
                .hint = (!asked.is_empty()).then(|| format!("asked was {}", cut(&asked)));
        }
        for (at, (shape, got)) in expected.value.iter().zip(got).enumerate() {
            self.fits(shape, got, &format!("requests[{at}]"));
        }
    }

    pub(super) fn handoffs(&mut self) {
        let Some(expected) = &self.test.expect.handoffs else {
            return;
        };
        let got = &self.outcome.seen.handoffs;
        if expected.value.len() != got.len() {
            let posted: Vec<String> = got.iter().map(|posted| posted.body.to_string()).collect();
            let (wanted, many) = (expected.value.len().to_string(), got.len().to_string());
            self.missed(expected.span, "number of `handoffs`", &wanted, &many)
                .hint = (!posted.is_empty()).then(|| format!("posted was {}", cut(&posted)));
        }
        for (at, (shape, got)) in expected.value.iter().zip(got).enumerate() {
            self.fits(shape, &got.body, &format!("handoffs[{at}]"));
        }
    }

    /// Expected lines come in this order; others may stand between.
    pub(super) fn log(&mut self) {
        let lines: Vec<Json> = self
            .outcome
            .lines
            .iter()
            .map(|line| serde_json::to_value(line).unwrap_or(Json::Null))
            .collect();
        let mut from = 0;
        for (at, shape) in self.test.expect.log.iter().enumerate() {
            let fitting = |line: &Json| misfits(shape, line).is_empty();
            match lines[from..].iter().position(fitting) {
                Some(found) => from += found + 1,
                None => {
                    let earlier = lines[..from].iter().any(fitting);
                    let message = match (at, earlier) {
                        (0, _) => "the log has no such line".to_owned(),
                        (_, true) => "the log has such a line only before the one above".to_owned(),
                        (_, false) => "the log has no such line".to_owned(),
                    };
                    let similar = nearest(shape, &lines);
                    self.fail("test.expected", shape.span, message).hint = similar;
                    return;
                }
            }
        }
    }
}

/// The line of the same event, or the same step, that comes nearest.
fn nearest(shape: &Shape, lines: &[Json]) -> Option<String> {
    let wanted = match &shape.kind {
        ShapeKind::Object(fields) => fields.len(),
        _ => return None,
    };
    let (line, off) = lines
        .iter()
        .map(|line| (line, misfits(shape, line)))
        .filter(|(_, off)| off.len() < wanted)
        .min_by_key(|(_, off)| off.len())?;
    let off: Vec<String> = off
        .iter()
        .map(|misfit| format!("`{}` is {}", misfit.path, misfit.got))
        .collect();
    Some(format!(
        "nearest is `{}` in lap {}: {}",
        line["event"].as_str().unwrap_or_default(),
        line["lap"],
        off.join(", ")
    ))
}

/// What does not fit, where queries and headers are held against each other as texts.
fn misfits(shape: &Shape, got: &Json) -> Vec<Misfit> {
    let ShapeKind::Object(fields) = &shape.kind else {
        return shape.misfits(got, Scalars::Typed);
    };
    if !got.is_object() {
        return shape.misfits(got, Scalars::Typed);
    }
    let mut found = Vec::new();
    for (name, field) in fields {
        let scalars = match name.as_str() {
            "query" | "headers" => Scalars::AsText,
            _ => Scalars::Typed,
        };
        let inner = field.misfits(got.get(name).unwrap_or(&Json::Null), scalars);
        found.extend(inner.into_iter().map(|misfit| Misfit {
            path: match misfit.path.as_str() {
                "" => name.clone(),
                path if path.starts_with('[') => format!("{name}{path}"),
                path => format!("{name}.{path}"),
            },
            ..misfit
        }));
    }
    found
}

/// Both sides as people read them; times as durations.
fn told(misfit: &Misfit) -> (String, String) {
    let time = |text: &str| {
        let millis: u64 = text.trim_matches('`').parse().ok()?;
        Some(exact(std::time::Duration::from_millis(millis)))
    };
    if misfit.path == "at"
        && let (Some(expected), Some(got)) = (time(&misfit.expected), time(&misfit.got))
    {
        return (expected, got);
    }
    (misfit.expected.clone(), misfit.got.clone())
}

/// A request in a few words.
fn summary(request: &Json) -> String {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    format!(
        "`{}` {} {} in lap {}",
        text("step"),
        text("method"),
        text("path"),
        request["lap"]
    )
}

/// The first few of a list.
fn cut(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut some = all[..all.len().min(SHOWN)].join(", ");
    if all.len() > SHOWN {
        some.push_str(&format!(" and {} more", all.len() - SHOWN));
    }
    some
}
