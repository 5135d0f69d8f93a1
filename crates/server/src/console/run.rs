//! A run: what it was given, what each of its steps did, and where it failed.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use velodrome_runtime::Engine;
use velodrome_runtime::api::{CycleView, Problem, RunView, remedy};
use velodrome_store::LogFilter;
use velodrome_types::{Json, LogLine, Role, RunStatus, Timestamp};

use super::lap_chart::{bar, legend};
use super::laps::{Lap, laps};
use super::layout::{Page, Part, Seen, Wrong, csrf, live_sign};
use super::shown::{ago, count, loop_link, pretty, run_link, run_status, segment, tail, took};
use super::time_line::time_line;
use crate::access::{Caller, Guarded};
use crate::api::{Parameters, Segments, bad_parameter};
use crate::app::App;
use crate::blocking::{blocking, unreadable};

/// How many lines a page of the time line has: most runs have a dozen.
const LINES: usize = 200;

pub(super) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/runs/{id}", show)
}

struct Shown {
    view: RunView,
    /// None where its file is gone.
    cycle: Option<CycleView>,
    lines: Vec<LogLine>,
    /// The `seq` that the next page goes on behind.
    next: Option<u64>,
    /// The `seq` that this page begins behind.
    after: u64,
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(query.as_deref(), &["after"])?;
    let after: u64 = match parameters.text("after")? {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| bad_parameter("after", format!("`{text}` is no `seq`")))?,
    };
    let (seen, now) = (Seen::now(&app), app.options.now.read());
    let shown = blocking(&app, move |engine| read(engine, &id, after)).await?;
    let id = shown.view.id;
    let mut page = Page::new(
        format!("Run …{} {}", tail(&id.to_string()), shown.view.status),
        Part::Runs,
        body(&shown, &caller, now),
    );
    page.live = (!shown.view.status.is_final()).then(|| seen.then(&format!("run={id}")));
    Ok(page.show(&caller))
}

fn read(engine: &Engine, id: &str, after: u64) -> Result<Shown, Problem> {
    let view = engine.run(engine.find_run(id)?)?;
    let filter = LogFilter {
        loop_id: Some(view.loop_id),
        run: Some(view.id),
        since: Some(view.created),
        ..LogFilter::default()
    };
    let store = engine.store();
    let newest = store.last_seq();
    let (mut lines, mut place) = (Vec::new(), after);
    // One more than is shown tells whether there is a next page.
    while lines.len() <= LINES && place < newest {
        let (found, searched) = store
            .log_after(place, &filter, LINES + 1 - lines.len())
            .map_err(unreadable)?;
        lines.extend(found);
        if searched <= place {
            break;
        }
        place = searched;
    }
    let more = lines.len() > LINES;
    lines.truncate(LINES);
    Ok(Shown {
        cycle: engine.cycle(&view.cycle),
        next: lines.last().filter(|_| more).map(|line| line.seq),
        view,
        lines,
        after,
    })
}

fn body(shown: &Shown, caller: &Caller, now: Timestamp) -> Markup {
    let view = &shown.view;
    let id = view.id.to_string();
    let whole = shown.after == 0 && shown.next.is_none();
    html! {
        p.trail {
            a href="/" { "Overview" } " › "
            a href={ "/cycles/" (segment(view.cycle.as_str())) } { (view.cycle) } " › "
            (loop_link(view.loop_id))
        }
        div.head {
            h1 { "Run …" (tail(&id)) }
            (run_status(view.status))
            @if !view.status.is_final() { (live_sign()) }
            div.actions { (actions(view, caller)) }
        }
        @if view.error.is_some() && view.status == RunStatus::Failed { (failure(shown, caller)) }
        div.card {
            dl.facts {
                div.big { dt { "Lap" } dd { (count(view.lap)) } }
                @if let Some(step) = &view.step { div { dt { "Step" } dd { (step) } } }
                div { dt { "Accepted" } dd { (ago(view.created, now)) } }
                div { dt { "Changed" } dd { (ago(view.updated, now)) } }
                @if let Some(due) = view.due { div { dt { "Goes on" } dd { (ago(due, now)) } } }
                div { dt { "Version" } dd { code { (view.version) } @if is_older(shown) { span.soft.small { " an older one" } } } }
                @if let Some(parent) = view.parent { div { dt { "Handed off by" } dd { (run_link(parent)) } } }
                @if view.root != view.id { div { dt { "First of all" } dd { (run_link(view.root)) } } }
                div { dt { "Id" } dd { code { (id) } } }
                div { dt { "Log" } dd { a href={ "/log?run=" (id) } { "of this run" } } }
            }
            @if whole { (times(shown, now)) }
        }
        section.card.flush aria-labelledby="time-line" {
            h2 #time-line { "What it did" }
            @if shown.lines.is_empty() {
                p.empty { "Nothing of it is kept in the log any more." }
            } @else {
                (time_line(&shown.lines, view))
            }
            @if shown.after > 0 || shown.next.is_some() {
                div.pager {
                    @if shown.after > 0 { a.button href={ "/runs/" (id) } { "From its beginning" } }
                    @if let Some(next) = shown.next { a.button href={ "/runs/" (id) "?after=" (next) } { "Later" } }
                }
            }
        }
    }
}

/// The run's own bar, as its loop's chart has it.
fn times(shown: &Shown, now: Timestamp) -> Markup {
    let laps: Vec<Lap> = laps(vec![shown.view.clone()], &shown.lines, now);
    html! {
        @for lap in laps.iter().filter(|lap| !lap.pieces.is_empty()) {
            div.alone {
                (legend(&laps))
                (bar(lap, lap.took.max(1)))
                p.soft.small { (took(lap.took)) " in all" }
            }
        }
    }
}

/// Whether the cycle's file has changed since the run was accepted.
fn is_older(shown: &Shown) -> bool {
    let present = shown
        .cycle
        .as_ref()
        .and_then(|cycle| cycle.version.as_ref());
    present.is_some_and(|present| *present != shown.view.version)
}

fn actions(view: &RunView, caller: &Caller) -> Markup {
    html! {
        @if caller.role.allows(Role::Operate) {
            form.inline method="post" action={ "/runs/" (view.id) "/replay" }
                data-confirm="Begin a new loop with what this run was given?" {
                (csrf(caller)) button { "Replay" }
            }
            @if !view.status.is_final() {
                form.inline method="post" action={ "/runs/" (view.id) "/stop" }
                    data-confirm="Stop this run? What it waits for ends with it." {
                    (csrf(caller)) button.bad { "Stop" }
                }
            }
        }
    }
}

/// What failed, where, and what to do.
fn failure(shown: &Shown, caller: &Caller) -> Markup {
    let run = &shown.view;
    let error = run.error.as_ref();
    let value = |name: &str| error.and_then(|error| error.get(name));
    let text = |name: &str| value(name).and_then(Json::as_str).unwrap_or("");
    let number = |name: &str| value(name).and_then(Json::as_u64);
    let step = run.step.as_ref();
    let line = shown.cycle.as_ref().and_then(|cycle| {
        let known = cycle.steps.iter().find(|known| Some(&known.id) == step)?;
        Some(format!("{}:{}", cycle.file, known.line))
    });
    html! {
        div.note.bad role="alert" {
            p { strong { "Failed" } @if let Some(step) = step { " at " code { (step) } } ": " (text("message")) }
            dl.facts {
                div { dt { "Code" } dd { code { (text("code")) } } }
                @if let Some(line) = line { div { dt { "Where" } dd { code { (line) } } } }
                @if let Some(status) = number("status") { div { dt { "Status" } dd { (status) } } }
                @if let Some(attempts) = number("attempts") { div { dt { "Attempts" } dd { (attempts) } } }
            }
            @match value("body") {
                None | Some(Json::Null) => {}
                Some(Json::String(body)) => details { summary { "What the API answered" } pre { (body) } },
                Some(body) => details { summary { "What the API answered" } pre { (pretty(body)) } },
            }
            p { strong { "To do: " } (remedy(text("code"))) "; then resume it: it goes on at this step, and what is done stays done." }
            @if caller.role.allows(Role::Operate) { (resume(&format!("/runs/{}/retry", run.id), is_older(shown), caller)) }
            @else { p.soft { "Resuming needs the role " code { "operate" } "." } }
        }
    }
}

/// The buttons that take up what failed; where the file has changed since, on which version is asked.
pub(super) fn resume(at: &str, is_older: bool, caller: &Caller) -> Markup {
    let button = |class: &str, version: &str, text: &str| {
        html! { button class=(class) name="version" value=(version) { (text) } }
    };
    html! {
        form.inline method="post" action=(at) {
            (csrf(caller))
            @if is_older {
                (button("main", "latest", "Resume on the present version")) " "
                (button("", "original", "Resume on the version it began with"))
            } @else {
                (button("main", "original", "Resume"))
            }
        }
    }
}
