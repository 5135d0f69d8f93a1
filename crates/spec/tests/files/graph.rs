//! Cycles as pictures: every step and exit is there, boxes stand apart, lines join them.

use velodrome_spec::graph::{Graph, Layout, Look, Way, dot, layout, mermaid, svg};

use crate::world::{World, files};

fn graph(text: &str) -> Graph {
    let checked = World::new().check("x.yaml", text);
    checked.graph.expect("its steps can be read")
}

/// Thirty steps: a chain of decisions, each false exit leading far down.
fn large() -> String {
    let mut text =
        "cycle: large\nsteps:\n  webhook: {use: generic_webhook.webhook, then: s0}\n".to_owned();
    for at in 0..28 {
        let far = (at + 5).min(28);
        text.push_str(&format!(
            "  s{at}:\n    use: decision\n    if: {{left: \"${{webhook.a}}\", is: exists}}\n    then: s{}\n    else: s{far}\n",
            at + 1
        ));
    }
    text.push_str("  s28: {use: generic_webhook.post, url: \"${webhook.url}\"}\n");
    text
}

#[track_caller]
fn check(name: &str, graph: &Graph, placed: &Layout) {
    for (at, one) in placed.boxes.iter().enumerate() {
        let inside = one.x >= 0.0
            && one.y >= 0.0
            && one.x + one.width <= placed.width
            && one.y + one.height <= placed.height;
        assert!(
            inside,
            "{name}: {one:?} of {} by {}",
            placed.width, placed.height
        );
        for other in &placed.boxes[at + 1..] {
            let apart = one.x + one.width <= other.x
                || other.x + other.width <= one.x
                || one.y + one.height <= other.y
                || other.y + other.height <= one.y;
            assert!(apart, "{name}: {one:?} and {other:?}");
        }
    }
    for (edge, line) in graph.edges.iter().zip(&placed.lines) {
        let (from, to) = (&placed.boxes[edge.from], &placed.boxes[edge.to]);
        let (first, last) = (line.points[0], line.points[line.points.len() - 1]);
        assert!(
            (first.1 - (from.y + from.height)).abs() < 0.01,
            "{name}: it leaves below"
        );
        assert!(
            first.0 > from.x && first.0 < from.x + from.width,
            "{name}: {edge:?}"
        );
        if edge.exit == Way::NextLap {
            assert!(
                (last.0 - to.x).abs() < 0.01,
                "{name}: it comes from the side"
            );
        } else {
            assert!((last.1 - to.y).abs() < 0.01, "{name}: it comes from above");
            assert!(
                last.0 > to.x && last.0 < to.x + to.width,
                "{name}: {edge:?}"
            );
        }
        for (x, y) in &line.points {
            let inside = (0.0..=placed.width).contains(x) && (0.0..=placed.height).contains(y);
            assert!(inside, "{name}: {edge:?} leaves the picture");
        }
    }
}

#[test]
fn boxes_stand_apart_and_lines_join_them() {
    let shipped = files("../../../cycles")
        .into_iter()
        .filter(|(path, _)| !path.to_string_lossy().ends_with(".test.yaml"));
    for (path, text) in shipped.chain([("large".into(), large())]) {
        let graph = graph(&text);
        let placed = layout(&graph);
        assert_eq!(placed, layout(&graph), "the same graph has the same places");
        check(&path.display().to_string(), &graph, &placed);
    }
}

#[test]
fn every_exit_is_there_with_its_kind() {
    let graph = graph(include_str!("../../../../cycles/zoho_incremental.yaml"));
    let edge = |from: &str, to: &str| {
        graph.edges.iter().find_map(|edge| {
            let fits = graph.nodes[edge.from].id == from && graph.nodes[edge.to].id == to;
            fits.then_some(edge.exit)
        })
    };
    assert_eq!(edge("webhook", "contacts"), Some(Way::Only));
    assert_eq!(edge("contacts", "more_records"), Some(Way::Then));
    assert_eq!(edge("contacts", "remember"), Some(Way::Else));
    assert_eq!(edge("next_page", "webhook"), Some(Way::NextLap));
    assert_eq!(graph.edges.len(), 7);
    let looks: Vec<Look> = graph.nodes.iter().map(|node| node.look).collect();
    assert_eq!(
        looks,
        [
            Look::Trigger,
            Look::Action,
            Look::Decision,
            Look::Delay,
            Look::Action,
            Look::Action
        ]
    );
}

#[test]
fn every_tool_is_drawn_and_other_cycles_are_named() {
    let graph = graph(include_str!("../good/everything.yaml"));
    assert!(graph.nodes.iter().any(|node| node.look == Look::WaitAll));
    assert!(
        graph
            .edges
            .iter()
            .any(|edge| edge.exit == Way::Case && edge.label == "open")
    );
    let start = include_str!("../../../../cycles/export_start.yaml");
    let graph = self::graph(start);
    assert!(
        graph
            .nodes
            .iter()
            .any(|node| node.look == Look::Outside && node.id == "export_poll")
    );
}

#[test]
fn markup_and_quotes_are_text_in_every_language() {
    let text = "cycle: odd\nname: \"<script>alert('x')</script> & \\\"q\\\"\"\nsteps:\n  \
                webhook: {use: generic_webhook.webhook, then: by}\n  by: {use: switch, value: a, cases: {\"<b>|\\\"\": end}}\n  \
                end: {use: stop}\n";
    let graph = graph(text);
    let picture = svg(&graph);
    assert!(
        !picture.contains("<script>") && !picture.contains("<b>"),
        "{picture}"
    );
    assert!(picture.contains("&lt;script&gt;"));
    let flow = mermaid(&graph);
    assert!(
        !flow.contains("<b>") && flow.contains("#60;b#62;#124;#34;"),
        "{flow}"
    );
    assert!(
        dot(&graph).contains("label=\"<b>|\\\"\""),
        "{}",
        dot(&graph)
    );
}
