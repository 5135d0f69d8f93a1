//! The lap chart: one bar a lap, its time split by what was done, all on one scale.

use std::fmt::Write as _;

use maud::{Markup, html};
use velodrome_types::Timestamp;

use super::laps::{Doing, Lap, Piece};
use super::shown::{ago, count, run_link, run_status, took};

/// How many units a bar is wide.
const WIDTH: f64 = 1000.0;
/// The least that a piece is wide, so that it is seen.
const LEAST: f64 = 2.0;

/// The laps as rows, in the order they come in.
pub(super) fn chart(laps: &[Lap], now: Timestamp) -> Markup {
    let longest = laps.iter().map(|lap| lap.took).max().unwrap_or(0).max(1);
    html! {
        (legend(laps))
        p.soft.small.scale { "A bar's full width is " (took(longest)) "." }
        div.scroll {
            table.laps {
                thead {
                    tr {
                        th.num scope="col" { "Lap" }
                        th scope="col" { "Time" }
                        th.num scope="col" { "Took" }
                        th.num scope="col" { "Records" }
                        th scope="col" { "State" }
                        th scope="col" { "Run" }
                        th scope="col" { "Began" }
                    }
                }
                tbody {
                    @for lap in laps {
                        tr id={ "lap-" (lap.run.id) } {
                            th.num scope="row" { (count(lap.run.lap)) }
                            td.bar { (bar(lap, longest)) }
                            td.num { (took(lap.took)) }
                            td.num { (count(lap.records)) }
                            td {
                                (run_status(lap.run.status))
                                @if lap.retries > 0 { " " span.badge.warn { (lap.retries) " retried" } }
                            }
                            td { (run_link(lap.run.id)) }
                            td { (ago(lap.run.created, now)) }
                        }
                    }
                }
            }
        }
    }
}

/// What the colours of these laps mean.
pub(super) fn legend(laps: &[Lap]) -> Markup {
    let there = |doing: Doing| {
        let mut pieces = laps.iter().flat_map(|lap| &lap.pieces);
        pieces.any(|piece| piece.doing == doing)
    };
    html! {
        ul.legend aria-hidden="true" {
            @for doing in Doing::ALL.into_iter().filter(|doing| there(*doing)) {
                li {
                    svg viewBox="0 0 10 10" { rect class=(doing.class()) width="10" height="10" rx="2" {} }
                    (doing.name())
                }
            }
        }
    }
}

/// One lap on a scale whose full width is `longest` milliseconds.
pub(super) fn bar(lap: &Lap, longest: u64) -> Markup {
    let unit = WIDTH / longest as f64;
    html! {
        svg.bar viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label=(told(lap)) {
            @for piece in &lap.pieces {
                @let x = (piece.from as f64 * unit).min(WIDTH - LEAST);
                @let width = ((piece.to - piece.from) as f64 * unit).max(LEAST);
                rect class=(class(piece)) x=(format!("{x:.1}")) y="2" height="16" width=(format!("{width:.1}")) {
                    title { (told_piece(piece)) }
                }
            }
        }
    }
}

fn class(piece: &Piece) -> String {
    let open = if piece.open { " p-open" } else { "" };
    format!("{}{open}", piece.doing.class())
}

fn told_piece(piece: &Piece) -> String {
    let step = piece.step.as_deref().unwrap_or("start");
    let so_far = if piece.open { " so far" } else { "" };
    let took = took(piece.to - piece.from);
    format!("{step}: {}, {took}{so_far}", piece.doing.name())
}

/// The bar in words.
fn told(lap: &Lap) -> String {
    let mut text = format!("lap {}", lap.run.lap);
    for piece in &lap.pieces {
        write!(text, "; {}", told_piece(piece)).expect("a text takes all");
    }
    text
}
