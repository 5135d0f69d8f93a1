//! Asking a list: one page, reduced at once to what somebody reads (I9).

use std::collections::BTreeSet;

use velodrome_connect::{
    HttpRequest, MethodCall, Response, Scanned, Verdict, Want, page_asks_token, scan,
};
use velodrome_core::{Input, ListAnswer, StepFailure, evaluate_map};
use velodrome_spec::connector::{MethodDef, PagingDef};
use velodrome_spec::plan::{ListStep, Step};
use velodrome_types::{Code, Json};

use super::request::Exchange;
use super::{Gathered, Job, eval_failure, headers_of, request_failure};

pub(super) async fn ask(
    job: &Job,
    step: &Step,
    list: &ListStep,
    gathered: &mut Gathered,
) -> Result<Input, Box<StepFailure>> {
    let method = list.method.def();
    let connection = job.connection(&list.method)?;
    let inputs = evaluate_map(&list.map, job.scope()).map_err(|error| eval_failure(&error))?;
    let asked = Json::Object(inputs.clone());
    let page_token = match &method.paging {
        PagingDef::ByHand {
            handoff: Some(handoff),
        } if page_asks_token(handoff, &connection.settings, &inputs) => job.list.token.clone(),
        _ => None,
    };
    let call = MethodCall {
        inputs,
        filter: job.list.filter,
        page_token,
        ..MethodCall::default()
    };
    let tokens = job
        .shared
        .connect
        .current_tokens(&connection)
        .await
        .map_err(request_failure)?;
    let mut request = job
        .shared
        .connect
        .build(&connection, tokens.as_ref(), method, call)
        .map_err(request_failure)?;
    job.before_action(&mut request, job.list.filter, gathered)?;

    let answer = match job
        .exchange(&connection, method, &request, gathered)
        .await?
    {
        Exchange::Answered(response) => {
            let reading = Reading {
                job,
                step,
                method,
                request: &request,
            };
            reading.read(response, asked, gathered)?
        }
        Exchange::Forgiven { status, body } => {
            let bytes = body.to_string();
            let scanned =
                scan(method, bytes.as_bytes(), &want(step, method)).map_err(request_failure)?;
            ListAnswer {
                status,
                url: request.url.clone(),
                ..answer(scanned, asked)
            }
        }
    };
    let mut answer = answer;
    answer.logs = std::mem::take(&mut gathered.logs);
    Ok(Input::Listed {
        fence: job.fence,
        answer,
    })
}

struct Reading<'a> {
    job: &'a Job,
    step: &'a Step,
    method: &'a MethodDef,
    request: &'a HttpRequest,
}

impl Reading<'_> {
    fn read(
        &self,
        response: Response,
        asked: Json,
        gathered: &mut Gathered,
    ) -> Result<ListAnswer, Box<StepFailure>> {
        let want = want(self.step, self.method);
        let scanned = match response.verdict {
            Verdict::Empty => scan(self.method, b"", &want).map_err(request_failure)?,
            Verdict::RestartPaging => {
                return Err(Box::new(StepFailure {
                    status: Some(response.status),
                    ..StepFailure::permanent(
                        Code::new("paging.token_expired"),
                        "the API no longer takes this loop's paging token: begin again with `{\"page\": 1}`",
                    )
                }));
            }
            // Nothing at all is no record, as without a script: there is nothing to give to one.
            Verdict::Ok if self.step.handles("after_action") && !response.body.is_empty() => {
                let tree: Json = serde_json::from_slice(&response.body).map_err(|error| {
                    Box::new(StepFailure::permanent(
                        Code::new("response.not_json"),
                        format!("the answer is not JSON: {error}"),
                    ))
                })?;
                let filter = self.job.list.filter;
                let left =
                    self.job
                        .after_action(self.request, &response, tree, filter, gathered)?;
                scan(self.method, left.to_string().as_bytes(), &want).map_err(request_failure)?
            }
            Verdict::Ok => scan(self.method, &response.body, &want).map_err(request_failure)?,
        };
        let overlap = self
            .method
            .incremental
            .as_ref()
            .map_or(std::time::Duration::ZERO, |found| found.overlap);
        Ok(ListAnswer {
            status: response.status,
            bytes: response.body.len() as u64,
            ms: response.millis,
            date: response.date.map(|date| date.minus(overlap).whole_second()),
            headers: if self.step.live.has("http") {
                headers_of(&response.headers)
            } else {
                Default::default()
            },
            url: response.url_shown,
            ..answer(scanned, asked)
        })
    }
}

fn answer(scanned: Scanned, asked: Json) -> ListAnswer {
    ListAnswer {
        count: scanned.count,
        asked,
        page_hash: scanned.page_hash,
        fields: scanned.fields,
        records: scanned.records,
        token: scanned.token,
        ..ListAnswer::default()
    }
}

/// What somebody reads of this step's answer; nothing else is built.
fn want(step: &Step, method: &MethodDef) -> Want {
    let fields: BTreeSet<String> = step
        .live
        .names
        .iter()
        .filter(|name| method.response.fields.contains_key(*name))
        .cloned()
        .collect();
    let token_path = match &method.paging {
        PagingDef::ByHand {
            handoff: Some(handoff),
        } => Some(handoff.token.clone()),
        _ => None,
    };
    Want {
        fields,
        records: step.live.has("records"),
        token_path,
        ..Want::default()
    }
}
