//! A graph in Graphviz's language.

use std::fmt::Write as _;

use super::{Graph, Look};

/// The digraph.
pub fn dot(graph: &Graph) -> String {
    let mut out = format!("digraph \"{}\" {{\n", escape(&graph.cycle));
    out.push_str("  rankdir=TB;\n  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", fontsize=11];\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for node in &graph.nodes {
        let (fill, text) = node.look.colours();
        let shape = if node.look == Look::Decision {
            ", shape=hexagon, style=filled"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "  \"{}\" [label=\"{}\\n{}\", fillcolor=\"{fill}\", fontcolor=\"{text}\"{shape}];",
            name(node.look, &node.id),
            escape(&node.id),
            escape(&node.uses)
        );
    }
    for edge in &graph.edges {
        let (from, to) = (&graph.nodes[edge.from], &graph.nodes[edge.to]);
        let mut style = format!("color=\"{0}\", fontcolor=\"{0}\"", edge.exit.colour());
        if edge.exit.is_dashed() {
            style.push_str(", style=dashed");
        }
        if edge.exit == super::Way::NextLap {
            style.push_str(", constraint=false");
        }
        if !edge.label.is_empty() {
            let _ = write!(style, ", label=\"{}\"", escape(&edge.label));
        }
        let _ = writeln!(
            out,
            "  \"{}\" -> \"{}\" [{style}];",
            name(from.look, &from.id),
            name(to.look, &to.id)
        );
    }
    out.push_str("}\n");
    out
}

/// Another cycle may be called as a step is.
fn name(look: Look, id: &str) -> String {
    let prefix = if look == Look::Outside { "cycle:" } else { "" };
    format!("{prefix}{}", escape(id))
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
