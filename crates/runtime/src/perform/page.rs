//! One page as it came: what is counted, what is kept of it, which of its records have come before, and
//! where the next page is.
//!
//! What the list does next goes by what the API sent; repeats, and what lies past `max_records`, are taken
//! away before a script sees the page or a step keeps its records.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use velodrome_connect::{
    Connection, HttpRequest, PageSeen, Response, Scanned, Verdict, Want, next_page, retain_records,
    scan, way_on,
};
use velodrome_core::{ListAnswer, RecordKey, Scripted, StepFailure};
use velodrome_script::Vars;
use velodrome_spec::Plan;
use velodrome_spec::connector::{ErrorAction, MethodDef, PagingDef};
use velodrome_spec::plan::{ListStep, Step};
use velodrome_types::{Code, Json, JsonMap};

use super::list::Place;
use super::{Gathered, Job, headers_of, request_failure};

/// What a request brought.
pub(super) enum Came {
    Answer(Response),
    /// An error that `after_error` made a success, with the body it left.
    Forgiven {
        status: u16,
        body: Json,
    },
}

pub(super) struct Reading<'a> {
    pub(super) job: &'a Job,
    pub(super) step: &'a Step,
    pub(super) method: &'a MethodDef,
    pub(super) connection: &'a Connection,
    pub(super) request: &'a HttpRequest,
    pub(super) place: Place<'a>,
}

/// A page reduced to what somebody reads.
struct Page {
    /// What is kept, and what leads on.
    scanned: Scanned,
    /// Records as the API sent them.
    sent: u64,
    /// Keys of those that are new.
    keys: Vec<RecordKey>,
    repeats: u64,
    /// What a script left of the body, where one ran.
    left: Option<Json>,
}

impl Reading<'_> {
    pub(super) async fn read(
        &self,
        came: Came,
        gathered: &mut Gathered,
    ) -> Result<ListAnswer, Box<StepFailure>> {
        let (answer, mut page, response) = match came {
            Came::Forgiven { status, body } => {
                let page = self.plain(body.to_string().as_bytes())?;
                let answer = ListAnswer {
                    status,
                    url: self.request.url.clone(),
                    ..ListAnswer::default()
                };
                (answer, page, None)
            }
            Came::Answer(response) => {
                let page = match response.verdict {
                    Verdict::Empty => self.plain(b"")?,
                    // Nothing at all is no record, as without a script: there is nothing to give to one.
                    _ if self.step.handles("after_action") && !response.body.is_empty() => {
                        self.scripted(&response, gathered).await?
                    }
                    _ => self.plain(&response.body)?,
                };
                let overlap = match &self.method.incremental {
                    Some(incremental) => incremental.overlap,
                    None => Duration::ZERO,
                };
                let answer = ListAnswer {
                    status: response.status,
                    bytes: response.body.len() as u64,
                    ms: response.millis,
                    date: response.date.map(|date| date.minus(overlap).whole_second()),
                    headers: match self.step.live.has("http") {
                        true => headers_of(&response.headers),
                        false => JsonMap::new(),
                    },
                    url: response.url_shown.clone(),
                    ..ListAnswer::default()
                };
                (answer, page, Some(response))
            }
        };
        let came = response.as_ref();
        let passed = self.conditioned(&mut page, came, gathered).await?;
        let next = self.next(&page, response.as_ref())?;
        let room = self.room();
        let count = page.sent.min(room);
        let cut = page.sent > room || (page.sent == room && next.is_some());
        let mut answer = ListAnswer {
            count,
            scripted: passed.map(|passed| {
                Box::new(Scripted {
                    passed: Some(passed),
                    ..Scripted::default()
                })
            }),
            cut,
            next,
            page_hash: page.scanned.page_hash,
            keys: page.keys,
            repeats: page.repeats,
            fields: page.scanned.fields,
            records: page.scanned.records,
            token: page.scanned.token,
            ..answer
        };
        let last = answer.next.is_none() || answer.cut;
        if last && let Some(response) = &response {
            answer.next_date = self.after_paging(response, page.left, gathered).await?;
        }
        Ok(answer)
    }

    /// How many records more the walk may bring.
    fn room(&self) -> u64 {
        self.place.walk().map_or(u64::MAX, |walk| {
            walk.pager.max_records.saturating_sub(walk.before)
        })
    }

    fn next(
        &self,
        page: &Page,
        response: Option<&Response>,
    ) -> Result<Option<Json>, Box<StepFailure>> {
        let walk = match self.place {
            Place::Walked(walk) => walk,
            Place::Alone(behind) => {
                if let Some(more) = self.more() {
                    way_on(more, behind, page.sent, &page.scanned).map_err(request_failure)?;
                }
                return Ok(None);
            }
        };
        let scanned = Scanned {
            count: page.sent,
            token: page.scanned.token.clone(),
            probes: page.scanned.probes.clone(),
            last: page.scanned.last.clone(),
            ..Scanned::default()
        };
        let seen = PageSeen {
            scanned: &scanned,
            headers: response.map_or(&[], |response| &response.headers),
            url: &self.request.url,
            nothing: response.is_some_and(|response| response.verdict == Verdict::Empty),
        };
        let next = next_page(
            &self.connection.def,
            &self.connection.settings,
            walk.pager,
            walk.cursor,
            seen,
        );
        let next = next.map_err(request_failure)?;
        Ok(next.and_then(|cursor| serde_json::to_value(cursor).ok()))
    }

    /// A page that no script looks at.
    fn plain(&self, body: &[u8]) -> Result<Page, Box<StepFailure>> {
        let drops = self.drops_repeats();
        let want = Want {
            keys: drops,
            ..self.want()
        };
        let mut scanned = scan(self.method, body, &want).map_err(request_failure)?;
        let sent = scanned.count;
        let kept = self.kept(&scanned)?;
        if let Some(records) = &mut scanned.records {
            let mut at = 0;
            records.retain(|_| {
                at += 1;
                kept.has(at - 1)
            });
        }
        Ok(Page {
            keys: kept.keys,
            repeats: kept.repeats,
            sent,
            scanned,
            left: None,
        })
    }

    /// A page that `after_action` sees, and may change: without repeats.
    async fn scripted(
        &self,
        response: &Response,
        gathered: &mut Gathered,
    ) -> Result<Page, Box<StepFailure>> {
        let mut tree: Json = serde_json::from_slice(&response.body).map_err(|error| {
            Box::new(StepFailure::permanent(
                Code::new("response.not_json"),
                format!("the answer is not JSON: {error}"),
            ))
        })?;
        // What a definition cannot read a script may mend: then what it left is what was sent.
        let want = Want {
            keys: self.drops_repeats(),
            last: self.want().last,
            ..Want::default()
        };
        let as_sent = scan(self.method, &response.body, &want).ok();
        let kept = match &as_sent {
            Some(scanned) => self.kept(scanned)?,
            None => Kept::all(),
        };
        if kept.some_go {
            retain_records(self.method, &mut tree, &|at| kept.has(at));
        }
        let filter = self.job.list.filter;
        let left = self
            .job
            .after_action(self.request, response, tree, filter, gathered)
            .await?;
        let mut scanned = scan(self.method, left.to_string().as_bytes(), &self.want())
            .map_err(request_failure)?;
        let mut sent = scanned.count;
        if let Some(as_sent) = as_sent.filter(|as_sent| as_sent.count > 0) {
            sent = as_sent.count;
            scanned.page_hash = as_sent.page_hash;
            scanned.last = as_sent.last;
        }
        Ok(Page {
            keys: kept.keys,
            repeats: kept.repeats,
            sent,
            scanned,
            left: Some(left),
        })
    }

    /// Which records of a page are kept: those that have not come before, as far as there is room.
    fn kept(&self, scanned: &Scanned) -> Result<Kept, Box<StepFailure>> {
        let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
        let count = usize::try_from(scanned.count).unwrap_or(usize::MAX);
        if scanned.keys.is_empty() {
            return Ok(Kept {
                some_go: count > room,
                room,
                ..Kept::all()
            });
        }
        let seen = self.job.seen.as_ref().map_err(|why| {
            let mut failure = StepFailure::permanent(Code::new("store.unavailable"), why.clone());
            failure.kind = velodrome_core::FailureKind::Transient;
            Box::new(failure)
        })?;
        let mut here = HashSet::new();
        let (mut keys, mut gone) = (Vec::new(), BTreeSet::new());
        for (at, key) in scanned.keys.iter().take(room).enumerate() {
            if seen.contains(key) || !here.insert(*key) {
                gone.insert(at);
            } else {
                keys.push(*key);
            }
        }
        Ok(Kept {
            some_go: !gone.is_empty() || count > room,
            repeats: gone.len() as u64,
            keys,
            gone,
            room,
        })
    }

    fn drops_repeats(&self) -> bool {
        let velodrome_spec::plan::StepKind::List(list) = &self.step.kind else {
            return false;
        };
        drops_repeats(&self.job.plan, self.step, list)
    }

    /// `after_action_paging`, once behind the last page; gives the date it wants for the next run.
    async fn after_paging(
        &self,
        response: &Response,
        left: Option<Json>,
        gathered: &mut Gathered,
    ) -> Result<Option<velodrome_types::Timestamp>, Box<StepFailure>> {
        if !self.step.handles("after_action_paging") {
            return Ok(None);
        }
        let body = match left {
            Some(left) => left,
            None => serde_json::from_slice(&response.body).unwrap_or(Json::Null),
        };
        let vars = Vars {
            method_request: self
                .request
                .body
                .clone()
                .unwrap_or_else(|| Json::Object(JsonMap::new())),
            method_request_headers: self.request.headers.clone(),
            method_request_parameters: self.request.query.clone(),
            method_response: body,
            method_response_headers: headers_of(&response.headers),
            method_endpoint: self.request.url.clone(),
            status_code: Some(response.status),
            reason_phrase: response.reason.clone(),
            last_successful_run_date: self.job.list.filter,
            ..Vars::default()
        };
        let (_, vars) = self
            .job
            .handler("after_action_paging", vars, gathered)
            .await?;
        Ok(vars.next_last_successful_run_date)
    }

    /// Asks `action_condition` of each record of the page: those that do not pass are dropped from it. Gives
    /// how many have passed; a repeat, of which nobody is asked again, has.
    async fn conditioned(
        &self,
        page: &mut Page,
        response: Option<&Response>,
        gathered: &mut Gathered,
    ) -> Result<Option<u64>, Box<StepFailure>> {
        if !self.step.handles("action_condition") {
            return Ok(None);
        }
        let headers = response.map_or_else(JsonMap::new, |came| headers_of(&came.headers));
        let status = response.map_or(200, |came| came.status);
        let mut passed = Vec::new();
        for record in page.scanned.records.take().unwrap_or_default() {
            let asked = (status, &headers);
            let body = record.clone();
            if self
                .job
                .condition(self.request, asked, body, gathered)
                .await?
            {
                passed.push(record);
            }
        }
        let count = passed.len() as u64 + page.repeats;
        let of_item = self.job.item.is_some() && self.step.live.has("results");
        let kept = of_item || self.step.live.has("records");
        page.scanned.records = kept.then_some(passed);
        Ok(Some(count))
    }

    /// Where the answer says whether there is more, of a list that the engine does not walk.
    fn more(&self) -> Option<&str> {
        match &self.method.paging {
            PagingDef::Whole { more } => Some(more),
            PagingDef::ByHand { more, .. } => more.as_deref(),
            PagingDef::None | PagingDef::Engine(_) => None,
        }
    }

    /// What somebody reads of this step's answer; nothing else is built.
    fn want(&self) -> Want {
        let live = &self.step.live;
        // What an item gives is one value: whoever reads it reads any of it.
        let of_item = self.job.item.is_some() && live.has("results");
        let described = self.method.response.fields.keys();
        let fields: BTreeSet<String> = described
            .filter(|name| of_item || live.has(name))
            .cloned()
            .collect();
        let want = Want {
            fields,
            records: of_item || live.has("records") || self.step.handles("action_condition"),
            ..Want::default()
        };
        if let Place::Walked(walk) = self.place {
            return want.of_page(walk.pager);
        }
        let token_path = match &self.method.paging {
            PagingDef::ByHand {
                handoff: Some(handoff),
                ..
            } => Some(handoff.token.clone()),
            _ => None,
        };
        Want {
            token_path,
            probes: self.more().into_iter().map(str::to_owned).collect(),
            ..want
        }
    }
}

/// Which records of a page are kept.
struct Kept {
    some_go: bool,
    keys: Vec<RecordKey>,
    repeats: u64,
    gone: BTreeSet<usize>,
    room: usize,
}

impl Kept {
    fn all() -> Self {
        Self {
            some_go: false,
            keys: Vec::new(),
            repeats: 0,
            gone: BTreeSet::new(),
            room: usize::MAX,
        }
    }

    fn has(&self, at: usize) -> bool {
        at < self.room && !self.gone.contains(&at)
    }
}

/// Whether a list step drops repeats: where somebody reads its records, and they can come twice, because its
/// filter goes by a date or because it may have to begin again.
pub(crate) fn drops_repeats(plan: &Plan, step: &Step, list: &ListStep) -> bool {
    let reads = |handler| {
        let mut scripts = step.handlers(handler);
        scripts.any(|(_, script)| script.analysis.names.contains("method_response"))
    };
    let by_script =
        reads("after_action") || reads("after_action_paging") || reads("action_condition");
    let method = list.method.def();
    let restarts = |errors: &[velodrome_spec::connector::ErrorRule]| {
        errors
            .iter()
            .any(|rule| rule.action == ErrorAction::RestartPaging)
    };
    let twice = method.incremental.is_some()
        || (method.paging.has_pages()
            && (restarts(&method.errors) || restarts(&list.method.connector.errors)));
    plan.limits.remember > 0 && (step.live.has("records") || by_script) && twice
}
