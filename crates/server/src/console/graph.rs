//! A cycle's graph with what goes along it: how many runs have left by each exit, how many are at each step.

use maud::{Markup, html};
use velodrome_runtime::api::FlowView;
use velodrome_runtime::api::graph::{Edge, Graph, Layout, PlacedBox, Way, layout, path};

use super::shown::count;

/// The picture, and the same in words for whoever does not see it.
pub(super) fn picture(graph: &Graph, flows: Option<&FlowView>) -> Markup {
    let placed = layout(graph);
    let ways = [
        Way::Only,
        Way::Then,
        Way::Else,
        Way::Catch,
        Way::Case,
        Way::NextLap,
        Way::HandOff,
    ];
    let (width, height) = (placed.width.ceil(), placed.height.ceil());
    html! {
        div.graph {
            svg width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="img" aria-labelledby="graph-title" {
                title #graph-title { "The steps of " (graph.name) " and the exits between them" }
                defs {
                    @for way in ways.into_iter().filter(|way| graph.edges.iter().any(|edge| edge.exit == *way)) {
                        marker id={ "arrow-" (way.class()) } viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto" {
                            path class={ "head-" (way.class()) } d="M0 0L10 5L0 10z" {}
                        }
                    }
                }
                (lines(graph, &placed, flows))
                @for (node, place) in graph.nodes.iter().zip(&placed.boxes) {
                    @let middle = place.x + place.width / 2.0;
                    g class={ "box " (node.look.class()) } {
                        rect x=(px(place.x)) y=(px(place.y)) width=(px(place.width)) height=(px(place.height)) rx="7" {}
                        text x=(px(middle)) y=(px(place.y + 19.0)) text-anchor="middle" { (shorten(&node.id)) }
                        text.uses x=(px(middle)) y=(px(place.y + 34.0)) text-anchor="middle" { (shorten(&node.uses)) }
                    }
                    (standing(&node.id, place, flows))
                }
            }
            ul.visually-hidden {
                @for edge in &graph.edges {
                    li {
                        (graph.nodes[edge.from].id) " to " (graph.nodes[edge.to].id)
                        @if !edge.label.is_empty() { ", " (edge.label) }
                        ": " (flows.map_or(0, |flows| went(graph, edge, flows))) " runs"
                    }
                }
            }
        }
    }
}

fn lines(graph: &Graph, placed: &Layout, flows: Option<&FlowView>) -> Markup {
    html! {
        @for (edge, line) in graph.edges.iter().zip(&placed.lines) {
            @let way = edge.exit.class();
            @let dashed = if edge.exit.is_dashed() { " dashed" } else { "" };
            path class={ "edge " (way) (dashed) } d=(path(&line.points)) marker-end={ "url(#arrow-" (way) ")" } {}
            @let label = label(graph, edge, flows);
            @if !label.is_empty() {
                text class={ "label " (way) } x=(px(line.label.0)) y=(px(line.label.1)) { (label) }
            }
        }
    }
}

/// What stands beside an edge: its name, and how many went along it.
fn label(graph: &Graph, edge: &Edge, flows: Option<&FlowView>) -> String {
    let went = flows.map_or(0, |flows| went(graph, edge, flows));
    match (edge.label.as_str(), went) {
        (label, 0) => label.to_owned(),
        ("", went) => count(went),
        (label, went) => format!("{label} · {}", count(went)),
    }
}

fn went(graph: &Graph, edge: &Edge, flows: &FlowView) -> u64 {
    let exit = match edge.exit {
        Way::Only | Way::Then => "then",
        Way::Else => "else",
        Way::Catch => "catch",
        Way::Case => "case",
        // What a step posts is no exit of it.
        Way::NextLap | Way::HandOff => return 0,
    };
    let (from, to) = (&graph.nodes[edge.from].id, &graph.nodes[edge.to].id);
    let same = flows.edges.iter().filter(|flow| {
        flow.step.as_str() == from
            && flow.exit == exit
            && flow.to.as_ref().is_some_and(|step| step.as_str() == to)
    });
    let of_case = |case: &Option<String>| {
        edge.exit != Way::Case || case.as_deref().is_none_or(|case| edge.label == case)
    };
    same.filter(|flow| of_case(&flow.case))
        .map(|flow| flow.runs)
        .sum()
}

/// How many runs are at a step, and how many have failed there.
fn standing(step: &str, place: &PlacedBox, flows: Option<&FlowView>) -> Markup {
    let known = flows.and_then(|flows| flows.steps.iter().find(|flow| flow.step.as_str() == step));
    let (here, failed) = known.map_or((0, 0), |flow| (flow.running + flow.waiting, flow.failed));
    html! {
        @if here > 0 { (mark("here", place.x + place.width, place.y, here, "are here now")) }
        @if failed > 0 { (mark("here failed", place.x + place.width, place.y + place.height, failed, "have failed here since the server started")) }
    }
}

fn mark(class: &str, x: f64, y: f64, number: u64, what: &str) -> Markup {
    let text = count(number);
    let radius = 7.0 + 2.6 * text.len() as f64;
    html! {
        g class=(class) {
            title { (text) " " (what) }
            circle cx=(px(x)) cy=(px(y)) r=(px(radius)) {}
            text x=(px(x)) y=(px(y + 3.8)) text-anchor="middle" { (text) }
        }
    }
}

fn px(number: f64) -> String {
    format!("{number:.1}")
}

/// As long as the widest box shows.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    text.chars().take(59).chain(['…']).collect()
}
