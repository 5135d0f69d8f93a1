//! The link of a run that waits for a request: a page with a button for people, a POST for programs.
//!
//! Looking changes nothing: mail scanners open every link. Who has the link may answer, so nothing else is asked.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::time::Instant;
use velodrome_runtime::HANDOFF_HEADER;
use velodrome_runtime::api::{LinkField, LinkInput, Problem, WaitView};

use super::answer::hook_response;
use super::format::body_format;
use super::receive::{Target, hook_request, not_read, unreadable_path};
use crate::app::App;
use crate::body::read_body;
use crate::openapi::{
    Accepted, AnyJson, Conflict, CycleOfPath, IdempotencyKey, LinkInPath, MediaType, NoAnswer,
    NotFound, OfBody, StepInPath, Unacceptable,
};
use crate::page::{escape, form_page, page};
use crate::problem::Refusal;

type Link = Path<(String, String, String)>;

/// What a run waits for, as a page with a button.
#[utoipa::path(
    get,
    path = "/hooks/{cycle}/{step}/{link}",
    operation_id = "look_at_link",
    tag = "webhooks",
    params(CycleOfPath, StepInPath, LinkInPath),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 404, description = "There is no such link.", body = String, content_type = "text/html"),
        (status = 409, description = "The run does not wait yet, or waits no more.", body = String, content_type = "text/html"),
    )
)]
pub(super) async fn look(
    State(app): State<Arc<App>>,
    path: Result<Link, PathRejection>,
) -> Result<Response, Refusal> {
    let Path((cycle, step, link)) = path.map_err(|_| unreadable_path())?;
    Ok(match app.engine.waiting(&cycle, &step, &link) {
        Ok(wait) => shown(&wait, &app.options.service_url),
        Err(problem) => refused(&problem),
    })
}

/// A run that waits goes on.
#[utoipa::path(
    post,
    path = "/hooks/{cycle}/{step}/{link}",
    operation_id = "answer_link",
    tag = "webhooks",
    params(CycleOfPath, StepInPath, LinkInPath, IdempotencyKey),
    request_body(
        content((AnyJson = "application/json"), (AnyJson = "application/x-www-form-urlencoded")),
        description = "What the run is given."
    ),
    responses(
        (status = 200, description = "`ignored`, or what a `respond` says.", body = AnyJson),
        (status = 202, description = "Accepted: on disk, durably.", body = Accepted),
        (status = "default", description = "What the cycle answers itself."),
        OfBody, NotFound, Conflict, MediaType, Unacceptable, NoAnswer,
    )
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    path: Result<Link, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((cycle, step, link)) = path.map_err(|_| unreadable_path())?;
    let (of, begun) = (cycle.clone(), Instant::now());
    let response = resumed(&app, (cycle, step, link), request).await;
    let response = response.unwrap_or_else(IntoResponse::into_response);
    let status = response.status().as_u16();
    app.engine.webhook_answered(&of, status, begun.elapsed());
    Ok(response)
}

async fn resumed(
    app: &App,
    (cycle, step, link): (String, String, String),
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let limit = app.options.body_limit;
    let answered = async {
        let body = read_body(&head.headers, body, limit)
            .await
            .map_err(|why| not_read(&why, limit))?;
        let format = body_format(&head.headers, &body)?;
        let body = match is_of_page(&head) {
            true => {
                let wait = app.engine.waiting(&cycle, &step, &link);
                without_empty(&body, &wait.map_or_else(|_| Vec::new(), |wait| wait.fields))
            }
            false => body,
        };
        let target = Target {
            cycle,
            step: Some(step),
            resume: Some(link),
        };
        let mut request = hook_request(target, &head, body, format);
        request.headers.shift_remove(HANDOFF_HEADER);
        app.engine.receive(request).await
    };
    let answered = answered.await;
    if !is_of_page(&head) {
        return Ok(hook_response(&answered?));
    }
    Ok(match answered {
        // What the cycle says itself is shown as it says it.
        Ok(answer) if answer.status != 202 => hook_response(&answer),
        Ok(_) => {
            let text = "It goes on. You can close this page.";
            page(StatusCode::OK, "Thank you", text, None)
        }
        Err(problem) => refused(&problem),
    })
}

/// Whether the page's own form sends it.
fn is_of_page(head: &Parts) -> bool {
    let is_form = head.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.starts_with(b"application/x-www-form-urlencoded")
    });
    is_form && wants_page(&head.headers)
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).iter();
    accepts
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

/// A form without what was left empty: that is no value, unless it is a text in place of the one that stood there.
fn without_empty(body: &[u8], fields: &[LinkField]) -> Bytes {
    let was_cleared = |name: &[u8]| {
        fields.iter().any(|field| {
            let is_text = field.input == LinkInput::Text && field.default.is_some();
            is_text && field.name.as_bytes() == name
        })
    };
    let given: Vec<&[u8]> = body
        .split(|byte| *byte == b'&')
        .filter(|field| field.strip_suffix(b"=").is_none_or(was_cleared))
        .collect();
    given.join(&b'&').into()
}

fn refused(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = match problem.code.as_str() {
        "wait.over" => "Nothing to do",
        "wait.not_yet" => "Not yet",
        "webhook.unknown" => "No such link",
        _ => "Not taken",
    };
    page(status, title, &problem.detail, Some(problem.code.as_str()))
}

fn shown(wait: &WaitView, service_url: &str) -> Response {
    let mut form = String::new();
    if let Some(until) = &wait.until {
        let _ = write!(
            form,
            "<p>It waits until {}.</p>",
            escape(&until.to_string())
        );
    }
    for field in &wait.fields {
        input(&mut form, field);
    }
    let title = format!("{}: {}", wait.cycle, wait.step);
    form_page(&title, &form, wait.by_hand, service_url)
}

fn input(form: &mut String, field: &LinkField) {
    let name = escape(&field.name);
    let required = if field.required { " required" } else { "" };
    let value = escape(field.default.as_deref().unwrap_or_default());
    let _ = write!(form, "<p><label>{name}<br>");
    let _ = match &field.input {
        LinkInput::Text => write!(
            form,
            "<input type=\"text\" name=\"{name}\" value=\"{value}\"{required}>"
        ),
        LinkInput::Number => write!(
            form,
            "<input type=\"text\" inputmode=\"decimal\" name=\"{name}\" value=\"{value}\"{required}>"
        ),
        LinkInput::Choice(values) => {
            let _ = write!(form, "<select name=\"{name}\"{required}>");
            if field.default.is_none() {
                form.push_str("<option></option>");
            }
            for one in values {
                let selected = match field.default.as_ref() == Some(one) {
                    true => " selected",
                    false => "",
                };
                let _ = write!(form, "<option{selected}>{}</option>", escape(one));
            }
            form.write_str("</select>")
        }
    };
    form.push_str("</label></p>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_empty_is_no_value() {
        let field = |name: &str, default: Option<&str>| LinkField {
            name: name.to_owned(),
            input: LinkInput::Text,
            required: false,
            default: default.map(str::to_owned),
        };
        let fields = [field("reason", None), field("by", Some("me"))];
        let check = |body: &str, expect: &str| {
            assert_eq!(without_empty(body.as_bytes(), &fields), expect);
        };
        check("", "");
        check("reason=", "");
        check("approved=true&reason=&by=a%3D", "approved=true&by=a%3D");
        check("reason=&by=&approved=", "by=");
    }

    #[tokio::test]
    async fn what_the_cycle_calls_things_stays_text() {
        let hostile = "<script>\"'&";
        let field = |input| LinkField {
            name: hostile.to_owned(),
            input,
            required: true,
            default: Some(hostile.to_owned()),
        };
        let wait = WaitView {
            cycle: hostile.to_owned(),
            step: hostile.to_owned(),
            fields: vec![
                field(LinkInput::Text),
                field(LinkInput::Number),
                field(LinkInput::Choice(vec![hostile.to_owned()])),
            ],
            by_hand: true,
            until: None,
        };
        let response = shown(&wait, "http://127.0.0.1:7300");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
        assert!(!body.contains("<script") && !body.contains("\"'"), "{body}");
    }

    #[test]
    fn only_a_browsers_form_is_answered_with_a_page() {
        let check = |pairs: &[(&str, &str)], expect: bool| {
            let mut request = Request::builder();
            for (name, value) in pairs {
                request = request.header(*name, *value);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(is_of_page(&head), expect, "{pairs:?}");
        };
        let form = ("content-type", "application/x-www-form-urlencoded");
        check(&[form, ("accept", "text/html,*/*;q=0.8")], true);
        check(&[form, ("accept", "*/*")], false);
        check(
            &[
                ("content-type", "application/json"),
                ("accept", "text/html"),
            ],
            false,
        );
        check(&[], false);
    }
}
