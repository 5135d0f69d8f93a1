//! Loops and runs in lists, newest first, with filters; a page at a time.

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use velodrome_runtime::api::{LoopView, RunView};
use velodrome_store::{LoopFilter, RunFilter};
use velodrome_types::{LoopStatus, Role, RunStatus, Timestamp};

use super::layout::{Page, Part, Seen, Wrong, live_sign};
use super::shown::{
    ago, count, loop_link, loop_status, query, run_link, run_status, segment, took,
};
use crate::access::{Caller, Guarded};
use crate::api::Parameters;
use crate::app::App;
use crate::blocking::blocking;

const PARAMETERS: &[&str] = &["cycle", "status", "since", "cursor"];

pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/loops", loops)
        .get(Role::Read, "/runs", runs)
}

async fn loops(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(asked): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(asked.as_deref(), PARAMETERS)?;
    let page = parameters.page()?;
    let (seen, now) = (Seen::now(&app), app.options.now.read());
    let filter = LoopFilter {
        cycle: parameters.name("cycle")?,
        status: parameters.each("status")?,
        since: parameters.since(now)?,
    };
    let found = blocking(&app, move |engine| engine.loops(&filter, page)).await?;
    let body = html! {
        div.head { h1 { "Loops" } @if page.after.is_none() { (live_sign()) } }
        section.card.flush aria-label="Loops" { (loop_table(&found.items, true, now)) (pager("/loops", &parameters, page.after.is_some(), found.next.as_deref())?) }
    };
    let mut shown = Page::new("Loops", Part::Loops, body);
    shown.top = filters("/loops", &parameters, LoopStatus::ALL)?;
    shown.live = page
        .after
        .is_none()
        .then(|| of_cycle(&parameters, seen))
        .transpose()?;
    Ok(shown.show(&caller))
}

async fn runs(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(asked): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(asked.as_deref(), PARAMETERS)?;
    let page = parameters.page()?;
    let (seen, now) = (Seen::now(&app), app.options.now.read());
    let filter = RunFilter {
        cycle: parameters.name("cycle")?,
        loop_id: None,
        status: parameters.each("status")?,
        since: parameters.since(now)?,
    };
    let found = blocking(&app, move |engine| engine.runs(&filter, page)).await?;
    let body = html! {
        div.head { h1 { "Runs" } @if page.after.is_none() { (live_sign()) } }
        section.card.flush aria-label="Runs" { (run_table(&found.items, now)) (pager("/runs", &parameters, page.after.is_some(), found.next.as_deref())?) }
    };
    let mut shown = Page::new("Runs", Part::Runs, body);
    shown.top = filters("/runs", &parameters, RunStatus::ALL)?;
    shown.live = page
        .after
        .is_none()
        .then(|| of_cycle(&parameters, seen))
        .transpose()?;
    Ok(shown.show(&caller))
}

/// What a list's changes are asked for by.
fn of_cycle(parameters: &Parameters, seen: Seen) -> Result<String, Wrong> {
    let cycle = parameters.text("cycle")?.unwrap_or("");
    Ok(seen.then(&query(&[("cycle", cycle)])))
}

fn filters<S: Display>(at: &str, parameters: &Parameters, states: &[S]) -> Result<Markup, Wrong> {
    let (cycle, status) = (parameters.text("cycle")?, parameters.text("status")?);
    let since = parameters.text("since")?;
    Ok(html! {
        form.card.fields method="get" action=(at) role="search" aria-label="Filter" {
            label { "Cycle" input name="cycle" value=[cycle] autocomplete="off"; }
            label {
                "State"
                select name="status" {
                    option value="" { "any" }
                    @for state in states {
                        @let state = state.to_string();
                        option value=(state) selected[status == Some(state.as_str())] { (state) }
                    }
                }
            }
            label { "Since" input name="since" value=[since] placeholder="2h, or a date" size="12"; }
            button { "Filter" }
        }
    })
}

fn pager(
    at: &str,
    parameters: &Parameters,
    later: bool,
    next: Option<&str>,
) -> Result<Markup, Wrong> {
    let with = |cursor: &str| -> Result<String, Wrong> {
        let text = |name| Ok::<_, Wrong>(parameters.text(name)?.unwrap_or(""));
        let pairs = [
            ("cycle", text("cycle")?),
            ("status", text("status")?),
            ("since", text("since")?),
            ("cursor", cursor),
        ];
        Ok(format!("{at}?{}", query(&pairs)))
    };
    let (first, next) = (with("")?, next.map(with).transpose()?);
    Ok(html! {
        @if later || next.is_some() {
            div.pager {
                @if later { a.button href=(first) { "Newest" } }
                @if let Some(next) = next { a.button href=(next) { "Older" } }
            }
        }
    })
}

/// Loops as a table.
pub(super) fn loop_table(loops: &[LoopView], with_cycle: bool, now: Timestamp) -> Markup {
    html! {
        @if loops.is_empty() {
            p.empty { "None." }
        } @else {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Loop" }
                            @if with_cycle { th scope="col" { "Cycle" } }
                            th scope="col" { "State" }
                            th.num scope="col" { "Laps" }
                            th.num scope="col" { "Records" }
                            th.num scope="col" { "Elapsed" }
                            th scope="col" { "Began" }
                        }
                    }
                    tbody {
                        @for view in loops {
                            tr id={ "row-" (view.id) } {
                                td { (loop_link(view.id)) }
                                @if with_cycle { td { a href={ "/cycles/" (segment(view.cycle.as_str())) } { (view.cycle) } } }
                                td { (loop_status(view.status)) }
                                td.num { (count(view.laps)) }
                                td.num { (count(view.records)) }
                                td.num { (took(view.elapsed_ms)) }
                                td { (ago(view.started, now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn run_table(runs: &[RunView], now: Timestamp) -> Markup {
    let code = |run: &RunView| {
        let error = run.error.as_ref();
        let code = error.and_then(|error| error.get("code")?.as_str());
        code.unwrap_or("").to_owned()
    };
    html! {
        @if runs.is_empty() {
            p.empty { "None." }
        } @else {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Run" }
                            th scope="col" { "Cycle" }
                            th scope="col" { "Loop" }
                            th.num scope="col" { "Lap" }
                            th scope="col" { "State" }
                            th scope="col" { "Step" }
                            th scope="col" { "Code" }
                            th scope="col" { "Accepted" }
                        }
                    }
                    tbody {
                        @for run in runs {
                            tr id={ "row-" (run.id) } {
                                td { (run_link(run.id)) }
                                td { a href={ "/cycles/" (segment(run.cycle.as_str())) } { (run.cycle) } }
                                td { (loop_link(run.loop_id)) }
                                td.num { (count(run.lap)) }
                                td { (run_status(run.status)) }
                                td { @if let Some(step) = &run.step { (step) } }
                                td { code { (code(run)) } }
                                td { (ago(run.created, now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
