//! A loop: its lap chart, what it has brought so far, and stopping it or taking it up again.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use velodrome_runtime::Engine;
use velodrome_runtime::api::{LoopView, Problem, RunView};
use velodrome_store::{LogFilter, PageRequest, RunFilter};
use velodrome_types::{LogLine, LoopStatus, Role, Timestamp};

use super::lap_chart::chart;
use super::laps::{Lap, laps};
use super::layout::{Page, Part, Seen, Wrong, csrf, live_sign};
use super::log::older;
use super::run::resume;
use super::shown::{ago, count, loop_link, loop_status, rate, run_link, segment, tail, took};
use crate::access::{Caller, Guarded};
use crate::api::{Parameters, Segments};
use crate::app::App;
use crate::blocking::{blocking, unreadable};

/// How many runs a page of the chart has.
const LAPS: usize = 50;
/// How many of the loop's lines are read for them at the most: a lap of the page loop has eight or nine.
const LINES: usize = 5_000;
/// How many are read at once.
const CHUNK: usize = 1_000;

pub(super) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/loops/{id}", show)
}

/// What a page of a loop shows.
struct Shown {
    view: LoopView,
    /// The run that it failed with.
    failed: Option<RunView>,
    /// Whether that run is on another version than the file's present one.
    is_older: bool,
    laps: Vec<Lap>,
    next: Option<String>,
    /// Whether laps before the first one shown are there to go back to.
    later: bool,
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(query.as_deref(), &["cursor"])?;
    let mut page = parameters.page()?;
    page.limit = LAPS;
    let (seen, now) = (Seen::now(&app), app.options.now.read());
    let shown = blocking(&app, move |engine| read(engine, &id, page, now)).await?;
    let view = &shown.view;
    let live = !shown.later;
    let mut page = Page::new(
        format!("Loop …{} {}", tail(&view.id.to_string()), view.status),
        Part::Loops,
        body(&shown, &caller, now),
    );
    page.live = live.then(|| seen.then(&format!("loop={}", view.id)));
    Ok(page.show(&caller))
}

fn read(engine: &Engine, id: &str, page: PageRequest, now: Timestamp) -> Result<Shown, Problem> {
    let id = engine.find_loop(id)?;
    let view = engine.loop_view(id)?;
    let filter = RunFilter {
        loop_id: Some(id),
        ..RunFilter::default()
    };
    let runs = engine.runs(&filter, page)?;
    let lines = lines_of(engine, &runs.items, page.after.is_none())?;
    let failed = view
        .error
        .as_ref()
        .and_then(|error| error.get("run")?.as_str()?.parse().ok());
    // The run may have been deleted since.
    let failed = failed.and_then(|run| engine.run(run).ok());
    let present = engine.cycle(&view.cycle).and_then(|cycle| cycle.version);
    let is_older = failed
        .as_ref()
        .zip(present)
        .is_some_and(|(failed, present)| failed.version != present);
    Ok(Shown {
        view,
        is_older,
        failed,
        laps: laps(runs.items, &lines, now),
        next: runs.next,
        later: page.after.is_some(),
    })
}

/// The log of these runs, as far as [`LINES`] go: of the newest runs the newest lines.
fn lines_of(
    engine: &Engine,
    runs: &[RunView],
    newest_first: bool,
) -> Result<Vec<LogLine>, Problem> {
    let (Some(first), Some(oldest)) = (runs.first(), runs.iter().map(|run| run.created).min())
    else {
        return Ok(Vec::new());
    };
    let newest = runs.iter().map(|run| run.updated).max();
    let filter = LogFilter {
        loop_id: Some(first.loop_id),
        since: Some(oldest),
        ..LogFilter::default()
    };
    if newest_first {
        let piece = older(engine.store().as_ref(), &filter, None, LINES).map_err(unreadable)?;
        return Ok(piece.lines.into_iter().rev().collect());
    }
    let mut found: Vec<LogLine> = Vec::new();
    let mut place = 0;
    while found.len() < LINES {
        let (lines, searched) = engine
            .store()
            .log_after(place, &filter, CHUNK)
            .map_err(unreadable)?;
        let over = lines
            .last()
            .is_none_or(|line| newest.is_some_and(|newest| line.time > newest));
        found.extend(lines);
        if over || searched <= place {
            break;
        }
        place = searched;
    }
    Ok(found)
}

fn body(shown: &Shown, caller: &Caller, now: Timestamp) -> Markup {
    let view = &shown.view;
    let id = view.id.to_string();
    html! {
        p.trail { a href="/" { "Overview" } " › " a href={ "/cycles/" (segment(view.cycle.as_str())) } { (view.cycle) } }
        div.head {
            h1 { "Loop …" (tail(&id)) }
            (loop_status(view.status))
            @if !shown.later && !view.status.is_final() { (live_sign()) }
            div.actions { (actions(view, shown.is_older, caller)) }
        }
        @if let Some(run) = &shown.failed { (failure(run)) }
        div.card {
            dl.facts {
                div.big { dt { "Laps" } dd { (count(view.laps)) } }
                div.big { dt { "Records" } dd { (count(view.records)) } }
                div.big { dt { "Elapsed" } dd { (took(view.elapsed_ms)) } }
                div.big { dt { "Rate" } dd { (rate(view.rate)) } }
                div { dt { "Records a second" } dd { (rate(per_second(view))) } }
                div { dt { "Began" } dd { (ago(view.started, now)) } }
                div { dt { "Changed" } dd { (ago(view.updated, now)) } }
                div { dt { "First run" } dd { (run_link(view.first_run)) } }
                @if let Some(parent) = view.parent { div { dt { "Handed off by" } dd { (loop_link(parent)) } } }
                div { dt { "Log" } dd { a href={ "/log?loop=" (id) } { "of this loop" } } }
            }
        }
        section.card.flush aria-labelledby="laps" {
            h2 #laps { "Laps, newest first" }
            @if shown.laps.is_empty() {
                p.empty { "None is kept any more: retention has deleted them. The totals stay." }
            } @else {
                (chart(&shown.laps, now))
            }
            @if shown.later || shown.next.is_some() {
                div.pager {
                    @if shown.later { a.button href={ "/loops/" (id) } { "Newest" } }
                    @if let Some(next) = &shown.next { a.button href={ "/loops/" (id) "?cursor=" (next) } { "Older laps" } }
                }
            }
        }
    }
}

fn per_second(view: &LoopView) -> f64 {
    match view.elapsed_ms {
        0 => 0.0,
        millis => view.records as f64 * 1000.0 / millis as f64,
    }
}

fn actions(view: &LoopView, is_older: bool, caller: &Caller) -> Markup {
    let at = format!("/loops/{}", view.id);
    html! {
        @if !caller.role.allows(Role::Operate) {
        } @else if view.status == LoopStatus::Failed {
            (resume(&format!("{at}/retry"), is_older, caller))
        } @else if !view.status.is_final() {
            form.inline method="post" action={ (at) "/stop" }
                data-confirm="Stop this loop? Its timers and children end with it." {
                (csrf(caller)) button.bad { "Stop" }
            }
        }
    }
}

/// Why a loop failed, and the run that did.
fn failure(run: &RunView) -> Markup {
    let error = run.error.as_ref();
    let text = |name: &str| {
        error
            .and_then(|error| error.get(name)?.as_str())
            .unwrap_or("")
    };
    html! {
        div.note.bad role="alert" {
            p { strong { "Failed" } @if let Some(step) = &run.step { " at " code { (step) } } ": " (text("message")) }
            p.small { code { (text("code")) } " in " (run_link(run.id)) " of lap " (count(run.lap)) }
        }
    }
}
