//! The log: its newest lines as they come, with filters, and back through the older ones.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use velodrome_store::LogFilter;
use velodrome_types::{Event, Level, LogLine, Role};

use super::layout::{Page, Part, Seen, Wrong, live_sign};
use super::log::{Piece, older};
use super::shown::{count, level, query, run_link, segment, time_of_day};
use super::time_line::marks;
use crate::access::{Caller, Guarded};
use crate::api::{Parameters, bad_parameter};
use crate::app::App;
use crate::blocking::{blocking, unreadable};

/// How many lines a page has.
const LINES: usize = 100;
/// What narrows the log, in the order of the form.
const FILTERS: [&str; 7] = ["cycle", "loop", "run", "step", "level", "event", "since"];
const PARAMETERS: &[&str] = &[
    "cycle", "loop", "run", "step", "level", "event", "since", "before",
];

pub(super) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/log", show)
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(asked): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(asked.as_deref(), PARAMETERS)?;
    let text = |name| Ok::<_, Wrong>(parameters.text(name)?.unwrap_or("").to_owned());
    let before: Option<u64> = match parameters.text("before")? {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| bad_parameter("before", format!("`{text}` is no `seq`")))?,
        ),
    };
    let seen = Seen::now(&app);
    let event: Option<Event> = parameters.one("event")?;
    // As `logs` has it: what is only for those who look closely is shown to those who ask for it.
    let level = parameters
        .one("level")?
        .or(event.is_none().then_some(Level::Info));
    let filter = LogFilter {
        cycle: parameters.name("cycle")?,
        loop_id: None,
        run: None,
        step: parameters.name("step")?,
        level,
        event,
        since: parameters.since(app.options.now.read())?,
    };
    let (looped, run) = (text("loop")?, text("run")?);
    let asked_for = (looped.clone(), run.clone());
    let piece = blocking(&app, move |engine| {
        let (looped, run) = asked_for;
        let loop_id = (!looped.is_empty())
            .then(|| engine.find_loop(&looped))
            .transpose()?;
        let run = (!run.is_empty())
            .then(|| engine.find_run(&run))
            .transpose()?;
        let filter = LogFilter {
            loop_id,
            run,
            ..filter
        };
        older(engine.store().as_ref(), &filter, before, LINES).map_err(unreadable)
    })
    .await?;
    let mut page = Page::new(
        "Log",
        Part::Log,
        body(&piece, &parameters, before.is_some())?,
    );
    page.top = filters(&parameters)?;
    if before.is_none() {
        let (cycle, step) = (text("cycle")?, text("step")?);
        let level = level.map_or("", Level::as_str);
        let event = event.map_or("", Event::as_str);
        let about = query(&[
            ("cycle", cycle.as_str()),
            ("loop", looped.as_str()),
            ("run", run.as_str()),
            ("step", step.as_str()),
            ("level", level),
            ("event", event),
        ]);
        page.live = Some(seen.then(&about));
    }
    Ok(page.show(&caller))
}

fn body(piece: &Piece, parameters: &Parameters, back: bool) -> Result<Markup, Wrong> {
    let with = |before: &str| -> Result<String, Wrong> {
        let mut pairs = Vec::new();
        for name in FILTERS {
            pairs.push((name, parameters.text(name)?.unwrap_or("")));
        }
        pairs.push(("before", before));
        Ok(format!("/log?{}", query(&pairs)))
    };
    let newest = with("")?;
    let older = piece
        .before
        .map(|before| with(&before.to_string()))
        .transpose()?;
    Ok(html! {
        div.head { h1 { "Log" } @if !back { (live_sign()) } }
        section.card.flush aria-label="Lines, newest first" {
            @if piece.lines.is_empty() {
                p.empty {
                    @if piece.before.is_some() { "Nothing matches in the part that was looked through." }
                    @else { "Nothing matches." }
                }
            } @else { (table(&piece.lines)) }
            @if back || older.is_some() {
                div.pager {
                    @if back { a.button href=(newest) { "Newest" } }
                    @if let Some(older) = older { a.button href=(older) { "Older" } }
                }
            }
        }
    })
}

fn table(lines: &[LogLine]) -> Markup {
    html! {
        div.scroll {
            table.log {
                thead {
                    tr {
                        th scope="col" { "Time" }
                        th scope="col" { "Cycle" }
                        th.num scope="col" { "Lap" }
                        th scope="col" { "Step" }
                        th scope="col" { "What" }
                        th scope="col" { "Run" }
                    }
                }
                tbody {
                    @for line in lines {
                        tr id={ "seq-" (line.seq) } class=(level(line)) {
                            td { (time_of_day(line.time)) }
                            td { @if let Some(cycle) = &line.cycle { a href={ "/cycles/" (segment(cycle.as_str())) } { (cycle) } } }
                            td.num { @if let Some(lap) = line.lap { (count(lap)) } }
                            td { @if let Some(step) = &line.step { (step) } }
                            td.wrap.what { (line.message) " " (marks(line)) }
                            td { @if let Some(run) = line.run { (run_link(run)) } }
                        }
                    }
                }
            }
        }
    }
}

fn filters(parameters: &Parameters) -> Result<Markup, Wrong> {
    let input = |name: &str, label: &str, size: &str| -> Result<Markup, Wrong> {
        let value = parameters.text(name)?;
        Ok(
            html! { label { (label) input name=(name) value=[value] size=(size) autocomplete="off"; } },
        )
    };
    let (level, event) = (parameters.text("level")?, parameters.text("event")?);
    let levels = [
        ("", "info and above"),
        ("debug", "all"),
        ("warn", "warnings and errors"),
        ("error", "errors"),
    ];
    Ok(html! {
        form.card.fields method="get" action="/log" role="search" aria-label="Filter" {
            (input("cycle", "Cycle", "16")?)
            (input("loop", "Loop", "10")?)
            (input("run", "Run", "10")?)
            (input("step", "Step", "12")?)
            label {
                "Level"
                select name="level" {
                    @for (value, text) in levels { option value=(value) selected[level.unwrap_or("") == value] { (text) } }
                }
            }
            label {
                "Event"
                select name="event" {
                    option value="" { "any" }
                    @for known in Event::ALL { option value=(known) selected[event == Some(known.as_str())] { (known) } }
                }
            }
            (input("since", "Since", "8")?)
            button { "Filter" }
        }
    })
}
