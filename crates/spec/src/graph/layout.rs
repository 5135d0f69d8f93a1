//! Where boxes and lines of a graph stand: layers from the trigger down, few crossings, no overlaps.
//!
//! A step stands one layer below the lowest step that leads to it. A line over several layers has a
//! waypoint in each, which takes room like a narrow box, so that it runs between the boxes. Hand-offs to
//! the own webhook run up the left side. All numbers are pixels.

use super::{Graph, Way};

const BOX_HEIGHT: f64 = 44.0;
const LAYER_GAP: f64 = 46.0;
const SIDE_GAP: f64 = 28.0;
const WAYPOINT: f64 = 14.0;
const MARGIN: f64 = 24.0;
/// Room for a line up the left side.
const LANE: f64 = 22.0;
/// About how wide a character is at 12 pixels.
const CHARACTER: f64 = 7.2;
const SWEEPS: usize = 8;

/// A graph, placed.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// How wide the picture is.
    pub width: f64,
    /// How high.
    pub height: f64,
    /// A box for each node, in their order.
    pub boxes: Vec<PlacedBox>,
    /// A line for each edge, in their order.
    pub lines: Vec<Line>,
}

/// A box by its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlacedBox {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

/// A line through these points, the first at a box's edge, the last at another's.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its points.
    pub points: Vec<(f64, f64)>,
    /// Where its label stands.
    pub label: (f64, f64),
}

/// What stands in a layer: a node, or a waypoint of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Node(usize),
    Waypoint { edge: usize },
}

/// Places a graph. Same graph, same places.
pub fn layout(graph: &Graph) -> Layout {
    let layers = layers(graph);
    let mut rows = rows(graph, &layers);
    for sweep in 0..SWEEPS {
        order(graph, &mut rows, &layers, sweep % 2 == 0);
    }
    let laps = graph
        .edges
        .iter()
        .filter(|edge| edge.exit == Way::NextLap)
        .count();
    let left = MARGIN
        + if laps > 0 {
            LANE * (laps as f64 + 1.0)
        } else {
            0.0
        };
    let row_width = |row: &Vec<Slot>| {
        let widths: f64 = row.iter().map(|slot| width(graph, *slot)).sum();
        widths + SIDE_GAP * row.len().saturating_sub(1) as f64
    };
    let widest = rows.iter().map(row_width).fold(0.0, f64::max);
    let mut boxes = vec![
        PlacedBox {
            x: 0.0,
            y: 0.0,
            width: 0.0,
            height: BOX_HEIGHT,
        };
        graph.nodes.len()
    ];
    let mut waypoints = vec![Vec::new(); graph.edges.len()];
    for (layer, row) in rows.iter().enumerate() {
        let y = MARGIN + layer as f64 * (BOX_HEIGHT + LAYER_GAP);
        let mut x = left + (widest - row_width(row)) / 2.0;
        for slot in row {
            let wide = width(graph, *slot);
            match slot {
                Slot::Node(node) => {
                    boxes[*node] = PlacedBox {
                        x,
                        y,
                        width: wide,
                        height: BOX_HEIGHT,
                    };
                }
                Slot::Waypoint { edge } => {
                    waypoints[*edge].push((x + wide / 2.0, y, y + BOX_HEIGHT));
                }
            }
            x += wide + SIDE_GAP;
        }
    }
    let lines = lines(graph, &boxes, &waypoints, left);
    let height = MARGIN * 2.0 + rows.len() as f64 * (BOX_HEIGHT + LAYER_GAP) - LAYER_GAP;
    Layout {
        width: left + widest + MARGIN,
        height: height.max(MARGIN * 2.0),
        boxes,
        lines,
    }
}

fn width(graph: &Graph, slot: Slot) -> f64 {
    match slot {
        Slot::Node(node) => {
            let node = &graph.nodes[node];
            let longest = node.id.chars().count().max(node.uses.chars().count());
            (longest.min(60) as f64 * CHARACTER + 24.0).max(96.0)
        }
        Slot::Waypoint { .. } => WAYPOINT,
    }
}

/// The layer of each node: one below the lowest that leads to it.
fn layers(graph: &Graph) -> Vec<usize> {
    let mut layer = vec![0; graph.nodes.len()];
    // Without back edges as many rounds as nodes are enough; a graph with some is drawn all the same.
    for _ in 0..graph.nodes.len() {
        let mut moved = false;
        for edge in down(graph) {
            if layer[edge.1] < layer[edge.0] + 1 && layer[edge.0] + 1 < graph.nodes.len() {
                layer[edge.1] = layer[edge.0] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    layer
}

/// Edges that lead down, as places of nodes.
fn down(graph: &Graph) -> Vec<(usize, usize)> {
    let edges = graph.edges.iter().filter(|edge| edge.exit != Way::NextLap);
    edges.map(|edge| (edge.from, edge.to)).collect()
}

fn rows(graph: &Graph, layers: &[usize]) -> Vec<Vec<Slot>> {
    let count = layers.iter().max().map_or(0, |deepest| deepest + 1);
    let mut rows = vec![Vec::new(); count];
    for (node, layer) in layers.iter().enumerate() {
        rows[*layer].push(Slot::Node(node));
    }
    for (at, edge) in graph.edges.iter().enumerate() {
        if edge.exit == Way::NextLap {
            continue;
        }
        for row in rows
            .iter_mut()
            .take(layers[edge.to])
            .skip(layers[edge.from] + 1)
        {
            row.push(Slot::Waypoint { edge: at });
        }
    }
    rows
}

/// Orders each row by the middle of its neighbours in the row before, or after.
fn order(graph: &Graph, rows: &mut [Vec<Slot>], layers: &[usize], downwards: bool) {
    let count = rows.len();
    let each: Vec<usize> = if downwards {
        (1..count).collect()
    } else {
        (0..count.saturating_sub(1)).rev().collect()
    };
    for at in each {
        let other = if downwards { at - 1 } else { at + 1 };
        let place = |slot: Slot| rows[other].iter().position(|known| *known == slot);
        let mut keyed: Vec<(f64, usize, Slot)> = rows[at]
            .iter()
            .enumerate()
            .map(|(now, slot)| {
                let near: Vec<usize> = neighbours(graph, layers, *slot, other)
                    .into_iter()
                    .filter_map(place)
                    .collect();
                let middle = if near.is_empty() {
                    now as f64
                } else {
                    near.iter().sum::<usize>() as f64 / near.len() as f64
                };
                (middle, now, *slot)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        rows[at] = keyed.into_iter().map(|(.., slot)| slot).collect();
    }
}

/// What a slot is joined to in another row.
fn neighbours(graph: &Graph, layers: &[usize], slot: Slot, row: usize) -> Vec<Slot> {
    let end = |node: usize, edge: usize| {
        if layers[node] == row {
            Slot::Node(node)
        } else {
            Slot::Waypoint { edge }
        }
    };
    let mut found = Vec::new();
    for (at, edge) in graph.edges.iter().enumerate() {
        if edge.exit == Way::NextLap {
            continue;
        }
        match slot {
            Slot::Node(node) if edge.from == node => found.push(end(edge.to, at)),
            Slot::Node(node) if edge.to == node => found.push(end(edge.from, at)),
            Slot::Waypoint { edge: own } if own == at => {
                found.push(end(edge.from, at));
                found.push(end(edge.to, at));
            }
            _ => {}
        }
    }
    found
}

fn lines(
    graph: &Graph,
    boxes: &[PlacedBox],
    waypoints: &[Vec<(f64, f64, f64)>],
    left: f64,
) -> Vec<Line> {
    let mut lane = 0.0;
    graph
        .edges
        .iter()
        .enumerate()
        .map(|(at, edge)| {
            let (from, to) = (&boxes[edge.from], &boxes[edge.to]);
            if edge.exit == Way::NextLap {
                lane += 1.0;
                let x = left - LANE * lane;
                // Below the box, where no other stands, and up the side.
                let leave = from.x + from.width * 0.15;
                let bottom = from.y + from.height;
                let (low, high) = (bottom + 8.0 + 3.0 * lane, to.y + to.height / 2.0);
                return Line {
                    points: vec![
                        (leave, bottom),
                        (leave, low),
                        (x, low),
                        (x, high),
                        (to.x, high),
                    ],
                    label: (x + 5.0, high + (low - high) / 2.0),
                };
            }
            let start = (port(graph, boxes, at), from.y + from.height);
            let end = (landing(graph, boxes, at), to.y);
            let mut points = vec![start];
            for (x, top, bottom) in &waypoints[at] {
                points.extend([(*x, *top), (*x, *bottom)]);
            }
            points.push(end);
            let next = points[1];
            // Beside the line, a little below the box that it leaves.
            let share = 16.0 / (next.1 - start.1).max(16.0);
            let label = (start.0 + (next.0 - start.0) * share + 5.0, start.1 + 16.0);
            Line { points, label }
        })
        .collect()
}

/// Where a line leaves its box: the exits share its lower edge in the order of where they lead.
fn port(graph: &Graph, boxes: &[PlacedBox], at: usize) -> f64 {
    let edge = &graph.edges[at];
    let aims = |edge: &super::Edge| boxes[edge.to].x + boxes[edge.to].width / 2.0;
    shared(
        &boxes[edge.from],
        graph,
        at,
        |other| other.from == edge.from,
        aims,
    )
}

/// Where a line meets its box, likewise.
fn landing(graph: &Graph, boxes: &[PlacedBox], at: usize) -> f64 {
    let edge = &graph.edges[at];
    let comes = |edge: &super::Edge| boxes[edge.from].x + boxes[edge.from].width / 2.0;
    shared(
        &boxes[edge.to],
        graph,
        at,
        |other| other.to == edge.to,
        comes,
    )
}

fn shared(
    of: &PlacedBox,
    graph: &Graph,
    at: usize,
    same: impl Fn(&super::Edge) -> bool,
    aims: impl Fn(&super::Edge) -> f64,
) -> f64 {
    let mut all: Vec<(f64, usize)> = graph
        .edges
        .iter()
        .enumerate()
        .filter(|(_, other)| other.exit != Way::NextLap && same(other))
        .map(|(place, other)| (aims(other), place))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let place = all.iter().position(|(_, place)| *place == at).unwrap_or(0);
    of.x + of.width * (place as f64 + 1.0) / (all.len() as f64 + 1.0)
}
