//! The world of a test: answers its requests from the file and keeps what was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use velodrome_connect::{Asker, Carrying, Errand, Incoming, Outgoing, Transport, TransportFault};
use velodrome_runtime::simulated::VirtualTime;
use velodrome_spec::Span;
use velodrome_spec::connector::MethodDef;
use velodrome_spec::plan::StepKind;
use velodrome_spec::test_file::{Answers, Canned, CannedAnswer, CycleTest};
use velodrome_types::{CycleId, Json, JsonMap, StepId, Timestamp};

use crate::bench::Bench;
use crate::record::with_records;

type Asked = (CycleId, StepId);

/// Canned answers, and what was asked for them.
#[derive(Debug)]
pub(crate) struct World {
    time: VirtualTime,
    start: Timestamp,
    answers: HashMap<Asked, Answers>,
    bench: Arc<Bench>,
    state: Mutex<State>,
}

/// What a test's requests are answered, as whoever else plays the test asks it. Where the file has no
/// answer time stands still.
pub fn world(bench: &Arc<Bench>, test: &CycleTest, time: VirtualTime) -> Arc<dyn Transport> {
    Arc::new(World::new(bench, test, time))
}

/// What happened so far.
#[derive(Debug, Default)]
struct State {
    requests: Vec<Json>,
    asked: HashMap<Asked, usize>,
    /// The first request that there was no answer for.
    unanswered: Option<Unanswered>,
    /// Records made up.
    made: u64,
}

/// A request without an answer.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    pub(crate) asker: Option<Asker>,
    pub(crate) verb: String,
    pub(crate) url: String,
}

impl World {
    pub(crate) fn new(bench: &Arc<Bench>, test: &CycleTest, time: VirtualTime) -> Self {
        let own = &bench.plan.cycle;
        let answers = test.answers.iter().map(|step| {
            let cycle = step.cycle.as_ref().unwrap_or(own).clone();
            ((cycle, step.step.clone()), step.answers.clone())
        });
        Self {
            start: time.now(),
            time,
            answers: answers.collect(),
            bench: Arc::clone(bench),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every request that left, in order.
    pub(crate) fn requests(&self) -> Vec<Json> {
        self.lock().requests.clone()
    }

    pub(crate) fn unanswered(&self) -> Option<Unanswered> {
        self.lock().unanswered.clone()
    }

    /// Answers that nobody asked for: cycle, step, how many, and where the first stands.
    pub(crate) fn left_over(&self) -> Vec<(CycleId, StepId, usize, Span)> {
        let state = self.lock();
        let mut left = Vec::new();
        for (key, answers) in &self.answers {
            let asked = state.asked.get(key).copied().unwrap_or(0);
            if let Answers::InOrder(all) = answers
                && let Some(first) = all.get(asked)
            {
                let (cycle, step) = key.clone();
                left.push((cycle, step, all.len() - asked, first.span));
            }
        }
        left.sort_by_key(|(.., span)| span.start);
        left
    }

    /// The next answer for whoever asks.
    fn next(&self, request: &Outgoing) -> Option<CannedAnswer> {
        let now = self.time.now();
        let mut state = self.lock();
        state.requests.push(told(request, now.since(self.start)));
        if request.errand == Errand::Notice {
            return Some(taken());
        }
        let key = request
            .asker
            .as_ref()
            .map(|asker| (asker.cycle.clone(), asker.step.clone()));
        let found = key.and_then(|key| {
            let asked = state.asked.entry(key.clone()).or_default();
            *asked += 1;
            match self.answers.get(&key)? {
                Answers::Always(answer) => Some(answer.clone()),
                Answers::InOrder(all) => all.get(*asked - 1).cloned(),
            }
        });
        if found.is_none() && state.unanswered.is_none() {
            state.unanswered = Some(Unanswered {
                asker: request.asker.clone(),
                verb: request.verb.clone(),
                url: request.url.to_string(),
            });
        }
        found
    }

    fn method(&self, asker: &Asker) -> Option<&MethodDef> {
        let plan = self.bench.plans().find(|plan| plan.cycle == asker.cycle)?;
        let step = plan.step(plan.find(asker.step.as_str())?);
        match &step.kind {
            StepKind::List(list) => Some(list.method.def()),
            _ => None,
        }
    }

    fn incoming(
        &self,
        asker: Option<&Asker>,
        status: u16,
        mut headers: Vec<(String, String)>,
        body: Option<&Json>,
        records: Option<u64>,
    ) -> Incoming {
        let now = self.time.now();
        let made_up = match (records, asker.and_then(|asker| self.method(asker))) {
            (Some(many), Some(method)) => {
                Some(with_records(body, method, many, &mut self.lock().made, now))
            }
            _ => None,
        };
        let (kind, bytes) = match made_up.as_ref().or(body) {
            None => (None, Bytes::new()),
            Some(Json::String(text)) => (Some("text/plain"), Bytes::from(text.clone())),
            Some(value) => (Some("application/json"), Bytes::from(value.to_string())),
        };
        let said = |headers: &[(String, String)], name: &str| {
            headers
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        if !said(&headers, "date") {
            headers.push(("date".to_owned(), now.to_http_date()));
        }
        if let Some(kind) = kind.filter(|_| !said(&headers, "content-type")) {
            headers.push(("content-type".to_owned(), kind.to_owned()));
        }
        Incoming {
            status,
            headers,
            body: bytes,
        }
    }
}

impl Transport for World {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            let Some(answer) = self.next(&request) else {
                // The test is over: what a made-up answer would lead to says nothing.
                self.time.stand_still();
                return std::future::pending().await;
            };
            if answer.takes >= request.timeout {
                self.time.sleep(request.timeout).await;
                return Err(TransportFault::Timeout);
            }
            match answer.outcome {
                Canned::Timeout => {
                    self.time.sleep(request.timeout).await;
                    Err(TransportFault::Timeout)
                }
                Canned::ConnectionRefused => {
                    self.time.sleep(answer.takes).await;
                    Err(TransportFault::ConnectionRefused)
                }
                Canned::Answer {
                    status,
                    headers,
                    body,
                    records,
                } => {
                    self.time.sleep(answer.takes).await;
                    let asker = request.asker.as_ref();
                    Ok(self.incoming(asker, status, headers, body.as_ref(), records))
                }
            }
        })
    }
}

/// Whoever is told of a failed run takes it: no test says so.
fn taken() -> CannedAnswer {
    CannedAnswer {
        outcome: Canned::Answer {
            status: 200,
            headers: Vec::new(),
            body: None,
            records: None,
        },
        takes: std::time::Duration::ZERO,
        span: Span::default(),
    }
}

/// A request as expectations see it.
fn told(request: &Outgoing, at: std::time::Duration) -> Json {
    let mut bare = request.url.clone();
    bare.set_query(None);
    let mut query = JsonMap::new();
    for (name, value) in request.url.query_pairs() {
        add(&mut query, &name, Json::String(value.into_owned()));
    }
    let mut headers = JsonMap::new();
    for (name, value) in &request.headers {
        add(&mut headers, name, Json::String(value.clone()));
    }
    let asker = request.asker.as_ref();
    serde_json::json!({
        "cycle": asker.map(|asker| &asker.cycle),
        "step": asker.map(|asker| &asker.step),
        "lap": asker.map(|asker| asker.lap),
        "method": request.verb,
        "url": bare.as_str(),
        "path": bare.path(),
        "query": query,
        "body": body(request),
        "headers": headers,
        "at": u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
    })
}

/// A value under a name; the second under one name makes a list of them.
fn add(map: &mut JsonMap, name: &str, value: Json) {
    match map.get_mut(name) {
        None => {
            map.insert(name.to_owned(), value);
        }
        Some(Json::Array(all)) => all.push(value),
        Some(first) => *first = Json::Array(vec![first.take(), value]),
    }
}

fn body(request: &Outgoing) -> Json {
    let Some(bytes) = &request.body else {
        return Json::Null;
    };
    let is_form = request.headers.iter().any(|(name, value)| {
        name == "content-type" && value.starts_with("application/x-www-form-urlencoded")
    });
    if is_form {
        let mut fields = JsonMap::new();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            add(&mut fields, &name, Json::String(value.into_owned()));
        }
        return Json::Object(fields);
    }
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(bytes).into_owned()))
}
