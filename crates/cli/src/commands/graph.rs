//! `graph`: a cycle as a picture.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use velodrome_spec::graph::{Graph, dot, mermaid, svg};
use velodrome_spec::{Severity, render};

use crate::args::{Global, GraphFormat};
use crate::config::Settings;
use crate::exit::Ended;
use crate::out;
use crate::shelf::{Shelf, Source};

pub(super) fn run(global: &Global, cycle: &str, format: GraphFormat) -> Result<()> {
    let settings = Settings::read(global)?;
    let path = PathBuf::from(cycle);
    let named = if path.is_file() {
        vec![Source::read(path)?]
    } else {
        Vec::new()
    };
    let shelf = Shelf::new(&settings, &named)?;
    let source = match named.first() {
        Some(source) => source,
        None => shelf
            .declaring(cycle)
            .ok_or_else(|| unknown(&settings, &shelf, cycle))?,
    };
    let checked = shelf.check(source);
    // What does not run yet can be drawn all the same.
    let faults: Vec<_> = checked
        .diagnostics
        .iter()
        .filter(|found| {
            found.severity == Severity::Error && found.code.as_str() != "feature.not_yet"
        })
        .cloned()
        .collect();
    match checked.graph {
        Some(graph) if faults.is_empty() => draw(global, &graph, format),
        _ => {
            let said = render(&faults, &source.shown, &source.text);
            Err(Ended::Invalid(said.trim_end().to_owned()).into())
        }
    }
}

fn draw(global: &Global, graph: &Graph, format: GraphFormat) -> Result<()> {
    if global.json {
        let nodes: Vec<_> = graph
            .nodes
            .iter()
            .map(|node| json!({"id": node.id, "uses": node.uses, "kind": node.look.class()}))
            .collect();
        let edges: Vec<_> = graph
            .edges
            .iter()
            .map(|edge| {
                json!({
                    "from": graph.nodes[edge.from].id, "to": graph.nodes[edge.to].id,
                    "exit": edge.exit.class(), "label": edge.label,
                })
            })
            .collect();
        return out::json(&json!({"cycle": graph.cycle, "nodes": nodes, "edges": edges}));
    }
    out::write(&match format {
        GraphFormat::Mermaid => mermaid(graph),
        GraphFormat::Dot => dot(graph),
        GraphFormat::Svg => svg(graph),
    })
}

fn unknown(settings: &Settings, shelf: &Shelf, cycle: &str) -> Ended {
    let mut ids = shelf.ids();
    ids.sort();
    let there = if ids.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}", ids.join(", "))
    };
    Ended::Invalid(format!(
        "no file of `{}` declares the cycle `{cycle}`: {there}",
        settings.cycles().display()
    ))
}
