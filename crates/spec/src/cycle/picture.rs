//! The graph of a cycle, out of what was read of it.

use super::form::{ExitDraft, Form};
use super::step::Draft;
use crate::graph::{Edge, Graph, Look, Node, Way};
use crate::plan::{StepIx, StepKind};

/// The picture of these steps. Exits that lead nowhere are left out.
pub(super) fn of(cycle: &str, name: &str, drafts: &[Draft], trigger: Option<StepIx>) -> Graph {
    let mut graph = Graph {
        cycle: cycle.to_owned(),
        name: name.to_owned(),
        nodes: Vec::new(),
        edges: Vec::new(),
    };
    for (at, draft) in drafts.iter().enumerate() {
        let look = if trigger == Some(StepIx(at as u16)) {
            Look::Trigger
        } else {
            look(&draft.form)
        };
        graph.nodes.push(Node {
            id: draft.id.to_string(),
            uses: draft.uses.clone(),
            look,
        });
    }
    for (at, draft) in drafts.iter().enumerate() {
        let exits = &draft.exits;
        let two = draft.form.has_else() && trigger != Some(StepIx(at as u16));
        let mut lead = |ways: &[ExitDraft], exit: Way, label: &str| {
            for way in ways {
                if let Some(to) = way.ix {
                    graph.edges.push(Edge {
                        from: at,
                        to: to.0 as usize,
                        exit,
                        label: label.to_owned(),
                    });
                }
            }
        };
        if two {
            lead(&exits.then, Way::Then, "then");
        } else {
            lead(&exits.then, Way::Only, "");
        }
        lead(&exits.otherwise, Way::Else, "else");
        lead(&exits.catch, Way::Catch, "catch");
        for (case, exit) in &exits.cases {
            lead(std::slice::from_ref(exit), Way::Case, case);
        }
    }
    for (at, draft) in drafts.iter().enumerate() {
        let Some(StepKind::Send(send)) = &draft.kind else {
            continue;
        };
        let Some(target) = &send.target else { continue };
        if target.cycle.as_str() == cycle {
            graph.edges.push(Edge {
                from: at,
                to: trigger.map_or(0, |ix| ix.0 as usize),
                exit: Way::NextLap,
                label: "next lap".to_owned(),
            });
            continue;
        }
        let id = target.cycle.to_string();
        let known = graph
            .nodes
            .iter()
            .position(|node| node.look == Look::Outside && node.id == id);
        let to = known.unwrap_or_else(|| {
            graph.nodes.push(Node {
                id,
                uses: "another cycle".to_owned(),
                look: Look::Outside,
            });
            graph.nodes.len() - 1
        });
        graph.edges.push(Edge {
            from: at,
            to,
            exit: Way::HandOff,
            label: "hands off".to_owned(),
        });
    }
    graph
}

fn look(form: &Form) -> Look {
    match form {
        Form::Unknown | Form::Script | Form::Stop => Look::Other,
        Form::Webhook => Look::Trigger,
        Form::List { .. } | Form::Send { .. } | Form::Watermark => Look::Action,
        Form::Decision | Form::Switch => Look::Decision,
        Form::Wait => Look::Delay,
        Form::WaitAll => Look::WaitAll,
        Form::Respond => Look::Respond,
    }
}
