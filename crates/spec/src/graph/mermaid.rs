//! A graph in Mermaid's flowchart language.

use std::fmt::Write as _;

use super::{Graph, Look};

/// The flowchart. Nodes are numbered, so that no id can be taken for a word of the language.
pub fn mermaid(graph: &Graph) -> String {
    let mut out = String::from("flowchart TD\n");
    for (at, node) in graph.nodes.iter().enumerate() {
        let (open, close) = match node.look {
            Look::Trigger => ("([", "])"),
            Look::Decision => ("{{", "}}"),
            Look::Outside => ("[[", "]]"),
            _ => ("[", "]"),
        };
        let text = format!("{}<br/>{}", escape(&node.id), escape(&node.uses));
        let _ = writeln!(
            out,
            "  n{at}{open}\"{text}\"{close}:::{}",
            node.look.class()
        );
    }
    for edge in &graph.edges {
        let line = if edge.exit.is_dashed() { "-.->" } else { "-->" };
        let label = match edge.label.as_str() {
            "" => String::new(),
            label => format!("|\"{}\"|", escape(label)),
        };
        let _ = writeln!(out, "  n{} {line}{label} n{}", edge.from, edge.to);
    }
    for (at, edge) in graph.edges.iter().enumerate() {
        let _ = writeln!(out, "  linkStyle {at} stroke:{}", edge.exit.colour());
    }
    let mut looks: Vec<Look> = Vec::new();
    for node in &graph.nodes {
        if !looks.contains(&node.look) {
            looks.push(node.look);
        }
    }
    for look in looks {
        let (fill, text) = look.colours();
        let _ = writeln!(out, "  classDef {} fill:{fill},color:{text}", look.class());
    }
    out
}

/// Text inside quotes: what the language or a browser would read is written as a character's number.
fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '<' | '>' | '&' | '#' | '`' | '|' | ';' => format!("#{};", u32::from(c)),
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
