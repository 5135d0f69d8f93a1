//! Asking a list: one page an action, reduced at once to what somebody reads (I9).
//!
//! Whether the page before was asked by the engine itself or by another lap, an action asks for one page and
//! reports it. Only where a page number's token is void are there two requests: the refused one, and that
//! for the first page of the new walk.

use velodrome_connect::{
    Behind, Connection, HttpRequest, MethodCall, PageCursor, Verdict, asked_page, page_asks_token,
};
use velodrome_core::{Input, ListAnswer, MAX_RESTARTS, Scripted, StepFailure, evaluate_map};
use velodrome_spec::connector::{MethodDef, Pager, PagingDef, TokenHandoff};
use velodrome_spec::plan::{ListStep, Step};
use velodrome_types::{Code, Json, JsonMap};

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
    let answer = match &method.paging {
        PagingDef::Engine(pager) => asking.next_page(pager, inputs, gathered).await?,
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

    /// The next page of a list that pages itself.
    async fn next_page(
        &self,
        pager: &Pager,
        inputs: JsonMap,
        gathered: &mut Gathered,
    ) -> Result<ListAnswer, Box<StepFailure>> {
        let cursor = match self.job.pages().map(|pages| &pages.cursor) {
            None | Some(Json::Null) => PageCursor::default(),
            Some(stored) => serde_json::from_value(stored.clone()).map_err(|error| {
                let message = format!(
                    "the stored place of `{}` in its list cannot be read: {error}",
                    self.step.id
                );
                Box::new(StepFailure::permanent(Code::new("engine.fault"), message))
            })?,
        };
        let call = MethodCall {
            inputs,
            page: Some(cursor.at.clone()),
            ..MethodCall::default()
        };
        let walk = Walk {
            pager,
            cursor: &cursor,
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
