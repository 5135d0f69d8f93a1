//! Asking a list: one page an action, reduced at once to what somebody reads (I9).
//!
//! Whether the page before was asked by the engine itself or by another lap, an action asks for one page and
//! reports it. Only where a page number's token is void are there two requests: the refused one, and that
//! for the first page of the new walk.

use velodrome_connect::{
    Behind, Connection, HttpRequest, MethodCall, PageCursor, Verdict, asked_page, page_asks_token,
};
use velodrome_core::{
    Input, ListAnswer, MAX_RESTARTS, Scripted, SendAnswer, StepFailure, evaluate_map,
};
use velodrome_spec::connector::{MethodDef, Pager, PagingDef, TokenHandoff};
use velodrome_spec::plan::{ListStep, Step};
use velodrome_types::{Code, Event, Json, JsonMap};

use super::carried::Carried;
use super::page::{Came, Reading};
use super::request::Exchange;
use super::{Gathered, Job, eval_failure, request_failure};

pub(super) async fn ask(
    job: &Job,
    step: &Step,
    list: &ListStep,
    gathered: &mut Gathered,
) -> Result<Input, Box<StepFailure>> {
    let method = list.method.def();
    let connection = job.connection(&list.method)?;
    let inputs = evaluate_map(&list.map, job.scope()).map_err(|error| eval_failure(&error))?;
    let data = job.pages().map(|pages| pages.action_data.clone());
    gathered.carried = Carried::begin(step, method, &inputs, data.unwrap_or_default());
    let asking = Asking {
        job,
        step,
        method,
        connection: &connection,
    };
    if let Some(item) = &job.item {
        let answer = asking.whole(inputs, gathered).await?;
        let fence = job.fence;
        return Ok(item.report(Input::Sent { fence, answer }));
    }
    let answer = match &method.paging {
        PagingDef::Engine(pager) => {
            let cursor = asking.cursor()?;
            let before = job.pages().map_or(0, |pages| pages.count);
            asking
                .next_page(pager, (&cursor, before), inputs, gathered)
                .await?
        }
        PagingDef::ByHand {
            handoff: Some(handoff),
            ..
        } => asking.by_hand(handoff, inputs, gathered).await?,
        PagingDef::ByHand { handoff: None, .. } => {
            asking.one_page(inputs, Behind::Number, gathered).await?
        }
        PagingDef::None | PagingDef::Whole { .. } => {
            asking.one_page(inputs, Behind::Nobody, gathered).await?
        }
    };
    Ok(Input::Listed {
        fence: job.fence,
        answer: ListAnswer {
            logs: std::mem::take(&mut gathered.logs),
            kept: gathered.kept.take(),
            scripted: said(step, answer.scripted, gathered),
            ..answer
        },
    })
}

/// What the scripts of the step said of a page, beside what passed.
fn said(
    step: &Step,
    passed: Option<Box<Scripted>>,
    gathered: &mut Gathered,
) -> Option<Box<Scripted>> {
    if !step.is_scripted() {
        return None;
    }
    let mut said = passed.unwrap_or_default();
    said.action_data = gathered.carried.take_data();
    said.warning = gathered.warning.take();
    Some(said)
}

/// What came of one request for a page.
enum Got {
    Page(Box<ListAnswer>),
    /// The token that asked for it is void.
    Void {
        status: u16,
        ms: u64,
        url: String,
    },
}

struct Asking<'a> {
    job: &'a Job,
    step: &'a Step,
    method: &'a MethodDef,
    connection: &'a Connection,
}

impl Asking<'_> {
    /// All of a list at once, as one item of a `for_each`: its records and its fields, where something reads them.
    /// A list that is paged by hand is asked for one page.
    async fn whole(
        &self,
        inputs: JsonMap,
        gathered: &mut Gathered,
    ) -> Result<SendAnswer, Box<StepFailure>> {
        let PagingDef::Engine(pager) = &self.method.paging else {
            let behind = match &self.method.paging {
                PagingDef::ByHand { .. } => Behind::Number,
                _ => Behind::Nobody,
            };
            let page = self.one_page(inputs, behind, gathered).await?;
            return Ok(self.item(vec![page], gathered));
        };
        let mut pages: Vec<ListAnswer> = Vec::new();
        let mut cursor = PageCursor::default();
        let mut restarts = 0;
        loop {
            let before = pages.iter().map(|page| page.count).sum();
            if let Some(last) = pages.last() {
                let data = last.scripted.as_ref();
                let data = data.map_or(Json::Null, |said| said.action_data.clone());
                gathered.carried = Carried::begin(self.step, self.method, &inputs, data);
            }
            let asked = self.next_page(pager, (&cursor, before), inputs.clone(), gathered);
            let mut page = asked.await?;
            if page.restarted.is_some() {
                restarts += 1;
                if restarts > MAX_RESTARTS {
                    return Err(token_expired(page.status));
                }
                pages.clear();
                cursor = PageCursor::default();
                continue;
            }
            page.scripted = said(self.step, page.scripted.take(), gathered);
            let next = page.next.take().filter(|_| !page.cut);
            pages.push(page);
            match next {
                Some(next) => cursor = self.cursor_of(&next)?,
                None => return Ok(self.item(pages, gathered)),
            }
        }
    }

    /// What an item gives of its pages.
    fn item(&self, pages: Vec<ListAnswer>, gathered: &mut Gathered) -> SendAnswer {
        let count: u64 = pages.iter().map(|page| page.count).sum();
        let passed = pages
            .iter()
            .filter_map(|page| page.scripted.as_ref()?.passed)
            .reduce(|all, passed| all + passed);
        let bytes = pages.iter().map(|page| page.bytes).sum();
        let ms = pages.iter().map(|page| page.ms).sum();
        let number = pages.len();
        let (mut fields, mut records) = (JsonMap::new(), Vec::new());
        let (mut status, mut url) = (200, String::new());
        for page in pages {
            records.extend(page.records.into_iter().flatten());
            fields.extend(page.fields);
            (status, url) = (page.status, page.url);
        }
        fields.insert("count".to_owned(), Json::from(passed.unwrap_or(count)));
        fields.insert("records".to_owned(), Json::Array(records));
        let said = match number {
            1 => format!("{status} · {count} records"),
            pages => format!("{status} · {count} records · {pages} pages"),
        };
        SendAnswer {
            status,
            bytes,
            ms,
            url,
            computed: Some((Event::ResponseReceived, said)),
            passed: match (passed, self.method.two_exits) {
                (Some(passed), _) => Some(passed > 0),
                (None, true) => Some(count > 0),
                (None, false) => None,
            },
            body: match self.step.live.has("results") && passed != Some(0) {
                true => Json::Object(fields),
                false => Json::Null,
            },
            logs: std::mem::take(&mut gathered.logs),
            kept: gathered.kept.take(),
            warning: gathered.warning.take(),
            ..SendAnswer::default()
        }
    }

    async fn one_page(
        &self,
        inputs: JsonMap,
        behind: Behind,
        gathered: &mut Gathered,
    ) -> Result<ListAnswer, Box<StepFailure>> {
        let asked = Json::Object(inputs.clone());
        let call = MethodCall {
            inputs,
            ..MethodCall::default()
        };
        match self.page(call, Place::Alone(behind), gathered).await? {
            Got::Page(answer) => Ok(ListAnswer { asked, ..*answer }),
            Got::Void { status, .. } => Err(token_expired(status)),
        }
    }

    /// The page whose number is mapped. Where the API no longer takes the token that leads to it, the list
    /// begins again: this number and those after it are counted from here.
    async fn by_hand(
        &self,
        handoff: &TokenHandoff,
        inputs: JsonMap,
        gathered: &mut Gathered,
    ) -> Result<ListAnswer, Box<StepFailure>> {
        let list = &self.job.list;
        let asked = Json::Object(inputs.clone());
        let number = asked_page(handoff, &inputs);
        let (mut before, mut restarted) = (list.before, None);
        loop {
            let mut inputs = inputs.clone();
            if let Some(number) = number.filter(|number| before > 0 && *number > before) {
                inputs.insert(handoff.page.clone(), Json::from(number - before));
            }
            let settings = &self.connection.settings;
            let by_token = page_asks_token(handoff, settings, &inputs, 0);
            let behind = match page_asks_token(handoff, settings, &inputs, 1) {
                true => Behind::Token,
                false => Behind::Number,
            };
            let call = MethodCall {
                inputs,
                page_token: list.token.clone().filter(|_| by_token),
                ..MethodCall::default()
            };
            match self.page(call, Place::Alone(behind), gathered).await? {
                Got::Page(answer) => {
                    return Ok(ListAnswer {
                        asked,
                        restarted,
                        ..*answer
                    });
                }
                Got::Void { status, .. } => {
                    let Some(number) = number.filter(|_| {
                        by_token && restarted.is_none() && list.restarts < MAX_RESTARTS
                    }) else {
                        return Err(token_expired(status));
                    };
                    before = number.saturating_sub(1);
                    restarted = Some(before);
                }
            }
        }
    }

    /// Where the walk of the run's list stands.
    fn cursor(&self) -> Result<PageCursor, Box<StepFailure>> {
        match self.job.pages().map(|pages| &pages.cursor) {
            None | Some(Json::Null) => Ok(PageCursor::default()),
            Some(stored) => self.cursor_of(stored),
        }
    }

    fn cursor_of(&self, stored: &Json) -> Result<PageCursor, Box<StepFailure>> {
        serde_json::from_value(stored.clone()).map_err(|error| {
            let message = format!(
                "the stored place of `{}` in its list cannot be read: {error}",
                self.step.id
            );
            Box::new(StepFailure::permanent(Code::new("engine.fault"), message))
        })
    }

    /// The next page of a list that pages itself; `before` are the records of those before it.
    async fn next_page(
        &self,
        pager: &Pager,
        (cursor, before): (&PageCursor, u64),
        inputs: JsonMap,
        gathered: &mut Gathered,
    ) -> Result<ListAnswer, Box<StepFailure>> {
        let call = MethodCall {
            inputs,
            page: Some(cursor.at.clone()),
            ..MethodCall::default()
        };
        let walk = Walk {
            pager,
            cursor,
            before,
        };
        Ok(
            match self.page(call, Place::Walked(walk), gathered).await? {
                Got::Page(answer) => ListAnswer {
                    page: cursor.page,
                    ..*answer
                },
                // Refused on its first page it would be refused for ever.
                Got::Void { status, .. } if cursor.page == 1 => return Err(token_expired(status)),
                Got::Void { status, ms, url } => ListAnswer {
                    status,
                    ms,
                    url,
                    page: cursor.page,
                    restarted: Some(0),
                    ..ListAnswer::default()
                },
            },
        )
    }

    async fn page(
        &self,
        call: MethodCall,
        place: Place<'_>,
        gathered: &mut Gathered,
    ) -> Result<Got, Box<StepFailure>> {
        let filter = self.job.list.filter;
        let call = MethodCall { filter, ..call };
        let request = loop {
            match self.build(call.clone(), gathered).await {
                Ok(request) => break request,
                Err(failure) => self.renewed(failure, gathered).await?,
            }
        };
        loop {
            match self.asked(&request, place, gathered).await {
                Ok(got) => return Ok(got),
                Err(failure) => self.renewed(failure, gathered).await?,
            }
        }
    }

    async fn renewed(
        &self,
        failure: Box<StepFailure>,
        gathered: &mut Gathered,
    ) -> Result<(), Box<StepFailure>> {
        let job = self.job;
        job.refreshed(self.connection, failure, gathered).await
    }

    /// Sends a request as it was built and reads what comes.
    async fn asked(
        &self,
        request: &HttpRequest,
        place: Place<'_>,
        gathered: &mut Gathered,
    ) -> Result<Got, Box<StepFailure>> {
        let exchange = self
            .job
            .exchange(self.connection, self.method, request, gathered)
            .await?;
        let came = match exchange {
            Exchange::Answered(response) if response.verdict == Verdict::RestartPaging => {
                return Ok(Got::Void {
                    status: response.status,
                    ms: response.millis,
                    url: response.url_shown,
                });
            }
            Exchange::Answered(response) => Came::Answer(response),
            Exchange::Forgiven { status, body } => Came::Forgiven { status, body },
        };
        let reading = Reading {
            job: self.job,
            step: self.step,
            method: self.method,
            connection: self.connection,
            request,
            place,
        };
        Ok(Got::Page(Box::new(reading.read(came, gathered).await?)))
    }

    async fn build(
        &self,
        call: MethodCall,
        gathered: &mut Gathered,
    ) -> Result<HttpRequest, Box<StepFailure>> {
        let connect = &self.job.shared.connect;
        let tokens = connect
            .current_tokens(self.connection)
            .await
            .map_err(request_failure)?;
        gathered.signed.clone_from(&tokens);
        let mut request = connect
            .build(self.connection, tokens.as_ref(), self.method, call)
            .map_err(request_failure)?;
        let filter = self.job.list.filter;
        self.job
            .before_action(&mut request, filter, gathered)
            .await?;
        Ok(request)
    }
}

/// What comes behind a page.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// The next one of a walk that the engine does.
    Walked(Walk<'a>),
    /// What another run asks for, or nobody.
    Alone(Behind),
}

impl<'a> Place<'a> {
    pub(super) const fn walk(self) -> Option<Walk<'a>> {
        match self {
            Self::Walked(walk) => Some(walk),
            Self::Alone(_) => None,
        }
    }
}

/// A walk that the engine does, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub(super) pager: &'a Pager,
    pub(super) cursor: &'a PageCursor,
    /// Records of the pages before.
    pub(super) before: u64,
}

fn token_expired(status: u16) -> Box<StepFailure> {
    Box::new(StepFailure {
        status: Some(status),
        ..StepFailure::permanent(
            Code::new("paging.token_expired"),
            "the API does not take this list's paging token, and beginning again did not help: begin a new loop with `{\"page\": 1}`",
        )
    })
}
