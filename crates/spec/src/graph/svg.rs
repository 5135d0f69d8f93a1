//! A graph as a picture that stands alone: no fonts or styles from elsewhere, light and dark.

use std::fmt::Write as _;

use super::{Graph, layout};

const STYLE: &str = "
    .ground { fill: #ffffff; }
    text { font: 12px system-ui, sans-serif; }
    .uses { font-size: 10.5px; opacity: 0.85; }
    .edge { fill: none; stroke-width: 1.6; }
    .dashed { stroke-dasharray: 5 4; }
    .label { font-size: 11px; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #1f1f1f; }
      .label { stroke: #1f1f1f; }
      .box rect { stroke: #9aa0a6; }
    }
  ";

/// The picture.
pub fn svg(graph: &Graph) -> String {
    let placed = layout(graph);
    let (width, height) = (placed.width, placed.height);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"title\">\n  <title id=\"title\">{}</title>\n  <style>{STYLE}</style>\n",
        escape(&format!("cycle {}: {}", graph.cycle, graph.name))
    );
    out.push_str("  <defs>\n");
    let mut ways = Vec::new();
    for edge in &graph.edges {
        if !ways.contains(&edge.exit) {
            ways.push(edge.exit);
        }
    }
    for way in ways {
        let _ = writeln!(
            out,
            "    <marker id=\"arrow-{}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L10 5L0 10z\" fill=\"{}\"/></marker>",
            way.class(),
            way.colour()
        );
    }
    out.push_str("  </defs>\n");
    let _ = writeln!(
        out,
        "  <rect class=\"ground\" width=\"100%\" height=\"100%\"/>"
    );
    for (edge, line) in graph.edges.iter().zip(&placed.lines) {
        let (class, colour) = (edge.exit.class(), edge.exit.colour());
        let dashed = if edge.exit.is_dashed() { " dashed" } else { "" };
        let _ = writeln!(
            out,
            "  <path class=\"edge {class}{dashed}\" id=\"edge-{}-{class}-{}\" d=\"{}\" stroke=\"{colour}\" marker-end=\"url(#arrow-{class})\"/>",
            escape(&graph.nodes[edge.from].id),
            escape(&graph.nodes[edge.to].id),
            path(&line.points)
        );
        if !edge.label.is_empty() {
            let _ = writeln!(
                out,
                "  <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                line.label.0,
                line.label.1,
                escape(&edge.label)
            );
        }
    }
    for (node, place) in graph.nodes.iter().zip(&placed.boxes) {
        let (fill, text) = node.look.colours();
        let middle = place.x + place.width / 2.0;
        let _ = writeln!(
            out,
            "  <g class=\"box {}\" id=\"step-{}\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"7\" fill=\"{fill}\"/>\
             <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{text}\">{}</text>\
             <text class=\"uses\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{text}\">{}</text></g>",
            node.look.class(),
            escape(&node.id),
            place.x,
            place.y,
            place.width,
            place.height,
            place.y + 19.0,
            escape(&shorten(&node.id)),
            place.y + 34.0,
            escape(&shorten(&node.uses))
        );
    }
    out.push_str("</svg>\n");
    out
}

/// As long as the widest box shows.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    text.chars().take(59).chain(['…']).collect()
}

/// A smooth way through the points, as the `d` of an SVG path: straight down beside boxes, curved between layers.
pub fn path(points: &[(f64, f64)]) -> String {
    let Some(((x, y), rest)) = points.split_first() else {
        return String::new();
    };
    let mut path = format!("M{x:.1} {y:.1}");
    let (mut x, mut y) = (*x, *y);
    for (to_x, to_y) in rest {
        let straight = (x - to_x).abs() < 0.5 || (y - to_y).abs() < 0.5;
        if straight {
            let _ = write!(path, " L{to_x:.1} {to_y:.1}");
        } else {
            let half = (to_y - y) / 2.0;
            let _ = write!(
                path,
                " C{x:.1} {:.1} {to_x:.1} {:.1} {to_x:.1} {to_y:.1}",
                y + half,
                to_y - half
            );
        }
        (x, y) = (*to_x, *to_y);
    }
    path
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
