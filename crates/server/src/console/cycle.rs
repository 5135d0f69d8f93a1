//! A cycle: its graph with live counts, what a person may do with it, and its loops.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use velodrome_runtime::api::graph::Graph;
use velodrome_runtime::api::{CycleView, FlowView, Listing, LoopView, Problem};
use velodrome_store::{LoopFilter, PageRequest};
use velodrome_types::{CycleId, CycleState, Role, Timestamp};

use super::graph::picture;
use super::layout::{Page, Part, Seen, Wrong, csrf, live_sign};
use super::list::loop_table;
use super::shown::{ago, count, cycle_state, query as query_of, segment};
use crate::access::{Caller, Guarded};
use crate::api::{Parameters, Segments};
use crate::app::App;
use crate::blocking::blocking;

/// How many of its loops are shown.
const LOOPS: usize = 10;
/// What a start by hand sends where nobody writes something else.
const FIRST_BODY: &str = "{\"page\": 1}";

pub(super) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/cycles/{id}", show)
}

struct Shown {
    view: CycleView,
    graph: Option<Arc<Graph>>,
    flows: Option<FlowView>,
    loops: Listing<LoopView>,
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    Parameters::read(query.as_deref(), &[])?;
    let (seen, now) = (Seen::now(&app), app.options.now.read());
    let shown = blocking(&app, move |engine| {
        let id = CycleId::from(id.as_str());
        let view = engine.cycle(&id).ok_or_else(|| {
            let what = format!("there is no cycle `{id}`: its file may be gone");
            Problem::new(404, "cycle.unknown", what)
        })?;
        let filter = LoopFilter {
            cycle: Some(id.clone()),
            ..LoopFilter::default()
        };
        let newest = PageRequest {
            after: None,
            limit: LOOPS,
        };
        Ok(Shown {
            graph: engine.graph(&id),
            flows: engine.flows(&id),
            loops: engine.loops(&filter, newest)?,
            view,
        })
    })
    .await?;
    let id = shown.view.id.clone();
    let mut page = Page::new(
        format!("{id} {}", shown.view.state),
        Part::Overview,
        body(&shown, &caller, now),
    );
    page.live = Some(seen.then(&query_of(&[("cycle", id.as_str())])));
    page.bottom = html! {
        div.two {
            (start_form(&shown.view, &caller))
            (webhook(&shown.view))
        }
    };
    Ok(page.show(&caller))
}

fn body(shown: &Shown, caller: &Caller, now: Timestamp) -> Markup {
    let view = &shown.view;
    html! {
        p.trail { a href="/" { "Overview" } }
        div.head {
            h1 { (view.name) }
            (cycle_state(view.state))
            (live_sign())
            div.actions { (actions(view, caller)) }
        }
        @if let Some(reason) = &view.reason {
            div.note.bad role="alert" { pre { (reason) } }
        }
        div.two {
            section.card aria-labelledby="graph" {
                h2 #graph { "Steps" }
                @match &shown.graph {
                    Some(graph) => (picture(graph, shown.flows.as_ref())),
                    None => p.soft { "The file cannot be drawn as it is." },
                }
                p.soft.small {
                    "Beside an exit: how many runs have left by it since the server started. On a box: how many are at it now, "
                    "and below, how many have failed at it."
                }
            }
            div {
                section.card aria-label="Facts" {
                    dl.facts {
                        div.big { dt { "Loops running" } dd { (count(view.running)) } }
                        div.big { dt { "Queued" } dd { (count(view.queued)) } }
                        div { dt { "At a time" } dd { @match view.concurrency { Some(loops) => (loops), None => "any number" } } }
                        div { dt { "Id" } dd { code { (view.id) } } }
                        @if let Some(version) = &view.version { div { dt { "Version" } dd { code { (version) } } } }
                        div { dt { "File" } dd { code { (view.file) } } }
                        @if let Some(schedule) = &view.schedule {
                            div { dt { "Starts by itself" } dd { (schedule.when) } }
                            @if let Some(next) = schedule.next { div { dt { "Next start" } dd { (ago(next, now)) } } }
                        }
                        div { dt { "Log" } dd { a href={ "/log?cycle=" (segment(view.id.as_str())) } { "of this cycle" } } }
                    }
                }
                section.card.flush aria-labelledby="loops" {
                    h2 #loops { "Newest loops" }
                    (loop_table(&shown.loops.items, false, now))
                    @if shown.loops.next.is_some() {
                        div.pager { a.button href={ "/loops?cycle=" (segment(view.id.as_str())) } { "All loops" } }
                    }
                }
            }
        }
    }
}

/// What a person may do with a cycle in this state.
fn actions(view: &CycleView, caller: &Caller) -> Markup {
    let command = |name: &str, text: &str, class: &str, confirm: Option<&str>| {
        html! {
            form.inline method="post" action={ "/cycles/" (segment(view.id.as_str())) "/" (name) } data-confirm=[confirm] {
                (csrf(caller)) button class=(class) { (text) }
            }
        }
    };
    let takes = matches!(
        view.state,
        CycleState::Running | CycleState::NeedsConnection
    );
    html! {
        @if caller.role.allows(Role::Operate) {
            @if !matches!(view.state, CycleState::Running | CycleState::Invalid | CycleState::NeedsConnection) {
                (command("start", "Start", "main", None))
            }
            @if takes { (command("pause", "Pause", "", None)) }
            @if takes || view.state == CycleState::Paused {
                (command("finish", "Finish", "", None))
            }
            @if view.state != CycleState::Stopped {
                (command("stop", "Stop", "bad", Some("Stop this cycle? Runs in progress end where they are; what queues stays.")))
            }
            @if view.queued > 0 {
                (command("purge", "Purge the queue", "bad", Some("Empty the queue? What waits in it is gone.")))
            }
        }
    }
}

fn start_form(view: &CycleView, caller: &Caller) -> Markup {
    html! {
        @if caller.role.allows(Role::Operate) {
            section.card aria-labelledby="start" {
                h2 #start { "Start it by hand" }
                form method="post" action={ "/cycles/" (segment(view.id.as_str())) "/trigger" } {
                    (csrf(caller))
                    label.field {
                        "What the trigger gets, as JSON"
                        textarea name="body" spellcheck="false" rows="3" { (FIRST_BODY) }
                    }
                    p { button.main { "Start" } }
                }
            }
        }
    }
}

fn webhook(view: &CycleView) -> Markup {
    html! {
        @if let Some(url) = &view.webhook {
            section.card aria-labelledby="webhook" {
                h2 #webhook { "Its webhook" }
                div.copy { code #webhook-url { (url) } button type="button" data-copy="webhook-url" { "Copy" } }
                p.soft.small { "From a terminal:" }
                div.copy {
                    code #webhook-curl { "curl -X POST '" (url.replace('\'', "%27")) "' -H 'content-type: application/json' -d '" (FIRST_BODY) "'" }
                    button type="button" data-copy="webhook-curl" { "Copy" }
                }
            }
        }
    }
}
