//! The overview: every cycle with what it does, and what failed last.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use velodrome_runtime::Engine;
use velodrome_runtime::api::{CycleView, Listing, RunView};
use velodrome_store::{LoopFilter, PageRequest, RunFilter};
use velodrome_types::{Role, RunStatus, Timestamp};

use super::layout::{Page, Part, Seen, Wrong, live_sign};
use super::list::loop_table;
use super::shown::{ago, count, cycle_state, exact, rate, run_link, segment};
use crate::access::{Caller, Guarded};
use crate::api::{Parameters, part};
use crate::app::App;
use crate::blocking::blocking;

/// How many of the newest failures are shown.
const FAILURES: usize = 10;
/// And of the newest loops.
const LOOPS: usize = 8;

pub(super) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/", overview)
}

async fn overview(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(query.as_deref(), &["cursor", "limit"])?;
    let (seen, now) = (Seen::now(&app), app.options.now.read());
    let (cycles, failures, loops) = blocking(&app, |engine| {
        let cycles = engine.cycles();
        let filter = RunFilter {
            status: vec![RunStatus::Failed],
            ..RunFilter::default()
        };
        let failures = engine.runs(&filter, newest(FAILURES))?;
        let loops = engine.loops(&LoopFilter::default(), newest(LOOPS))?;
        Ok((cycles, failures, loops))
    })
    .await?;
    let cycles = part(cycles, &parameters, |view| view.id.to_string())?;
    let rates: Vec<Option<f64>> = cycles
        .items
        .iter()
        .map(|view| app.pace.of(&view.id, begun(&app.engine, view), now))
        .collect();
    let mut page = Page::new(
        "Overview",
        Part::Overview,
        html! {
            div.head { h1 { "Overview" } (live_sign()) }
            (cycle_table(&cycles, &rates))
            (failure_table(&failures, now))
            section.card.flush aria-labelledby="loops" {
                h2 #loops { "Newest loops" }
                (loop_table(&loops.items, true, now))
                @if loops.next.is_some() { div.pager { a.button href="/loops" { "All loops" } } }
            }
        },
    );
    page.live = Some(seen.then(""));
    Ok(page.show(&caller))
}

const fn newest(limit: usize) -> PageRequest {
    PageRequest { after: None, limit }
}

/// How many runs have left the cycle's trigger since the server started.
fn begun(engine: &Engine, view: &CycleView) -> u64 {
    let Some(flows) = engine.flows(&view.id) else {
        return 0;
    };
    let trigger = view.steps.iter().find(|step| {
        let leads = |to: &Option<_>| to.as_ref() == Some(&step.id);
        !view
            .steps
            .iter()
            .any(|other| leads(&other.then) || leads(&other.otherwise) || leads(&other.catch))
    });
    let edges = flows.edges.iter();
    edges
        .filter(|edge| trigger.is_some_and(|step| step.id == edge.step))
        .map(|edge| edge.runs)
        .sum()
}

fn cycle_table(cycles: &Listing<CycleView>, rates: &[Option<f64>]) -> Markup {
    html! {
        section.card.flush aria-labelledby="cycles" {
            h2 #cycles { "Cycles" }
            @if cycles.items.is_empty() {
                p.empty { "There is no cycle yet: a file put into the cycles folder is taken as it comes." }
            } @else {
                div.scroll {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Cycle" }
                                th scope="col" { "State" }
                                th.num scope="col" { "Running" }
                                th.num scope="col" { "Queued" }
                                th.num scope="col" title="runs begun, over the last half minute" { "Rate" }
                                th scope="col" { "Starts" }
                            }
                        }
                        tbody {
                            @for (view, rate) in cycles.items.iter().zip(rates) { (cycle_row(view, *rate)) }
                        }
                    }
                }
            }
            @if let Some(next) = &cycles.next {
                div.pager { a.button href={ "/?cursor=" (segment(next)) } { "More cycles" } }
            }
        }
    }
}

fn cycle_row(view: &CycleView, pace: Option<f64>) -> Markup {
    html! {
        tr id={ "row-" (segment(view.id.as_str())) } {
            th scope="row" {
                a href={ "/cycles/" (segment(view.id.as_str())) } { (view.id) }
                @if view.name != view.id.as_str() { div.soft.small { (view.name) } }
            }
            td.wrap {
                (cycle_state(view.state))
                @if let Some(reason) = &view.reason { div.soft.small { (reason.lines().next().unwrap_or("")) } }
            }
            td.num { (count(view.running)) }
            td.num { (count(view.queued)) }
            td.num {
                @match pace {
                    Some(pace) if pace > 0.0 => (rate(pace)),
                    Some(_) => "–",
                    None => span title="measured while this page is open" { "…" },
                }
            }
            td {
                @match (&view.schedule, &view.webhook) {
                    (Some(schedule), _) => span title=[schedule.next.map(exact)] { (schedule.when) },
                    (None, Some(_)) => "by its webhook",
                    (None, None) => "by hand",
                }
            }
        }
    }
}

fn failure_table(failures: &Listing<RunView>, now: Timestamp) -> Markup {
    html! {
        section.card.flush aria-labelledby="failures" {
            h2 #failures { "Failed last" }
            @if failures.items.is_empty() {
                p.empty { "Nothing that is kept has failed." }
            } @else {
                div.scroll {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Run" }
                                th scope="col" { "Cycle" }
                                th scope="col" { "Step" }
                                th scope="col" { "What failed" }
                                th scope="col" { "When" }
                            }
                        }
                        tbody {
                            @for run in &failures.items { (failure_row(run, now)) }
                        }
                    }
                }
            }
            @if failures.next.is_some() {
                div.pager { a.button href="/runs?status=failed" { "All failed runs" } }
            }
        }
    }
}

fn failure_row(run: &RunView, now: Timestamp) -> Markup {
    let text = |name: &str| {
        let error = run.error.as_ref();
        error
            .and_then(|error| error.get(name)?.as_str())
            .unwrap_or("")
    };
    html! {
        tr id={ "row-" (run.id) } {
            td { (run_link(run.id)) }
            td { a href={ "/cycles/" (segment(run.cycle.as_str())) } { (run.cycle) } }
            td { @if let Some(step) = &run.step { (step) } }
            td.wrap { (text("message")) " " code.soft { (text("code")) } }
            td { (ago(run.updated, now)) }
        }
    }
}
