//! The graph: exits that lead somewhere, one trigger, no way back, nothing out of reach.

use std::collections::BTreeSet;

use super::form::{ExitDraft, Form};
use super::step::Draft;
use crate::diagnostic::Span;
use crate::keys::{Faults, closest};
use crate::plan::StepIx;

/// What the graph tells about which steps a run has passed.
#[derive(Debug, Default)]
pub(super) struct Ways {
    pub(super) trigger: Option<StepIx>,
    /// For each step: steps that some way to it passes.
    pub(super) some: Vec<BTreeSet<StepIx>>,
    /// For each step: steps that every way to it passes.
    pub(super) every: Vec<BTreeSet<StepIx>>,
}

pub(super) fn check(drafts: &[Draft], steps: Span, faults: &mut Faults) -> Ways {
    let mut ways = Ways {
        trigger: None,
        some: vec![BTreeSet::new(); drafts.len()],
        every: vec![BTreeSet::new(); drafts.len()],
    };
    let edges = edges(drafts, faults);
    if drafts.is_empty() {
        faults.error("graph.no_steps", steps, "a cycle needs steps");
        return ways;
    }
    let mut incoming = vec![0_usize; drafts.len()];
    for to in edges.iter().flatten() {
        incoming[to.0 as usize] += 1;
    }
    let Some(order) = order(&edges, incoming.clone()) else {
        way_back(drafts, &edges, faults);
        return ways;
    };
    let starts: Vec<usize> = (0..drafts.len()).filter(|at| incoming[*at] == 0).collect();
    ways.trigger = trigger(drafts, &starts, faults);
    let Some(trigger) = ways.trigger else {
        return ways;
    };
    for at in &order {
        let passed: BTreeSet<StepIx> = ways.some[*at]
            .iter()
            .copied()
            .chain([StepIx(*at as u16)])
            .collect();
        let always: BTreeSet<StepIx> = ways.every[*at]
            .iter()
            .copied()
            .chain([StepIx(*at as u16)])
            .collect();
        for to in &edges[*at] {
            let to = to.0 as usize;
            let first = ways.some[to].is_empty();
            ways.some[to].extend(passed.iter().copied());
            ways.every[to] = if first {
                always.clone()
            } else {
                ways.every[to].intersection(&always).copied().collect()
            };
        }
    }
    for (at, draft) in drafts.iter().enumerate() {
        let webhook = draft.form == Form::Webhook;
        if StepIx(at as u16) != trigger {
            if webhook {
                draft.check_midway(faults);
            }
            continue;
        }
        if webhook {
            draft.check_trigger(faults);
        }
    }
    runs_twice(drafts, &edges, faults);
    ways
}

fn edges(drafts: &[Draft], faults: &mut Faults) -> Vec<Vec<StepIx>> {
    drafts
        .iter()
        .map(|draft| {
            if let Some(exit) = draft
                .exits
                .otherwise
                .first()
                .filter(|_| !draft.form.has_else())
            {
                let message = format!("step `{}` has no false exit", draft.id);
                faults
                    .error("graph.no_else", exit.span, message)
                    .hint("`else` is for decisions and lists; `catch` is the error exit");
            }
            if let Some(exit) = draft
                .exits
                .all()
                .next()
                .filter(|_| draft.form == Form::Stop)
            {
                let message = format!("step `{}` ends the run and has no exits", draft.id);
                faults
                    .error("graph.after_stop", exit.span, message)
                    .hint("remove the exit, or the `stop`");
            }
            draft
                .exits
                .all()
                .filter_map(|exit| find(drafts, exit, faults))
                .collect()
        })
        .collect()
}

/// Branches of one fork that meet at a step which does not join them: it runs once for each.
fn runs_twice(drafts: &[Draft], edges: &[Vec<StepIx>], faults: &mut Faults) {
    let mut told = BTreeSet::new();
    for draft in drafts {
        for fork in [
            &draft.exits.then,
            &draft.exits.otherwise,
            &draft.exits.catch,
        ] {
            let branches: Vec<BTreeSet<usize>> = fork
                .iter()
                .filter_map(|exit| exit.ix)
                .map(|ix| reach(ix.0 as usize, drafts, edges))
                .collect();
            let meets = |at: usize| {
                branches
                    .iter()
                    .filter(|branch| branch.contains(&at))
                    .count()
                    > 1
            };
            for (at, met) in drafts.iter().enumerate() {
                // The first step that branches share; what follows it runs twice for that reason only.
                let first = meets(at)
                    && met.form != Form::WaitAll
                    && (0..drafts.len())
                        .filter(|from| edges[*from].contains(&StepIx(at as u16)))
                        .any(|from| !meets(from));
                if first && told.insert(at) {
                    let message = format!(
                        "branches of the fork at `{}` meet at `{}`: it runs once for each",
                        draft.id, met.id
                    );
                    faults.warning("graph.runs_twice", met.span, message).hint(
                        "let them meet at a `wait_all` step before it, if it should run once",
                    );
                }
            }
        }
    }
}

/// A `respond` that a child may come to: the caller waits for the run that the webhook began, and for none that
/// another one begins.
pub(super) fn answers(drafts: &[Draft], faults: &mut Faults) {
    let leads: Vec<Vec<StepIx>> = drafts
        .iter()
        .map(|draft| draft.exits.all().filter_map(|exit| exit.ix).collect())
        .collect();
    let mut open = Vec::new();
    for draft in drafts {
        let exits = &draft.exits;
        for exit in [&exits.then, &exits.otherwise, &exits.catch] {
            // Of a fork the first goes on in the run itself; of a split list nothing does.
            let splits = draft.split && std::ptr::eq(exit, &exits.then);
            let children = exit.iter().skip(usize::from(!splits));
            open.extend(children.filter_map(|exit| exit.ix));
        }
    }
    let mut reached = BTreeSet::new();
    while let Some(at) = open.pop() {
        // Whoever calls a webhook in the middle of a cycle waits for the run that goes on from there.
        let calls = drafts[usize::from(at.0)].form == Form::Webhook;
        if !calls && reached.insert(at) {
            open.extend(&leads[usize::from(at.0)]);
        }
    }
    for at in reached {
        let draft = &drafts[usize::from(at.0)];
        if draft.form == Form::Respond {
            let message = format!(
                "`{}` may be reached by a run that a fork or a split begins, and nobody waits for that one's answer",
                draft.id
            );
            faults
                .error("graph.respond_apart", draft.span, message)
                .hint("answer before the fork, or in its first branch before a `wait_all`");
        }
    }
}

/// Steps that several runs of one lap may have passed, each with data of its own: what lies between a fork or a
/// split and the `wait_all` behind it.
pub(super) fn apart(drafts: &[Draft]) -> BTreeSet<StepIx> {
    let leads: Vec<Vec<StepIx>> = drafts
        .iter()
        .map(|draft| draft.exits.all().filter_map(|exit| exit.ix).collect())
        .collect();
    let mut apart = BTreeSet::new();
    for (at, draft) in drafts.iter().enumerate() {
        let exits = &draft.exits;
        for exit in [&exits.then, &exits.otherwise, &exits.catch] {
            let splits = (draft.split || draft.repeats()) && std::ptr::eq(exit, &exits.then);
            if exit.len() < 2 && !splits {
                continue;
            }
            for to in exit.iter().filter_map(|exit| exit.ix) {
                apart.extend(reach(to.0 as usize, drafts, &leads));
            }
            // Each request that comes there is another's.
            apart.extend(Some(at).filter(|_| draft.repeats()));
        }
    }
    apart.retain(|at| drafts[*at].form != Form::WaitAll);
    apart.into_iter().map(|at| StepIx(at as u16)).collect()
}

/// Whether a run that is at one step may come to another itself, and not only a run that it begins.
pub(super) fn may_come(drafts: &[Draft], from: usize, to: usize) -> bool {
    let goes_on_with = |at: usize| {
        let draft = &drafts[at];
        let apart = draft.split || draft.repeats();
        let exits = &draft.exits;
        let then = exits.then.first().filter(|_| !apart);
        let others = [exits.otherwise.first(), exits.catch.first()];
        let cases = exits.cases.iter().map(|(_, exit)| exit);
        let all = then
            .into_iter()
            .chain(others.into_iter().flatten())
            .chain(cases);
        all.filter_map(|exit| exit.ix)
            .map(|ix| usize::from(ix.0))
            .collect::<Vec<_>>()
    };
    let mut open = goes_on_with(from);
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        if seen.insert(at) {
            open.extend(goes_on_with(at));
        }
    }
    seen.contains(&to)
}

/// Steps that a branch reaches before it is joined with others.
fn reach(from: usize, drafts: &[Draft], edges: &[Vec<StepIx>]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if found.insert(at) && drafts[at].form != Form::WaitAll {
            open.extend(edges[at].iter().map(|to| to.0 as usize));
        }
    }
    found
}

fn find(drafts: &[Draft], exit: &ExitDraft, faults: &mut Faults) -> Option<StepIx> {
    if let Some(at) = drafts.iter().position(|draft| draft.id.as_str() == exit.to) {
        return Some(StepIx(at as u16));
    }
    let fault = faults.error(
        "graph.unknown_step",
        exit.span,
        format!("there is no step `{}`", exit.to),
    );
    if let Some(meant) = closest(&exit.to, drafts.iter().map(|draft| draft.id.as_str())) {
        fault.hint(format!("did you mean `{meant}`?"));
    }
    None
}

/// Steps in an order in which each stands behind those that lead to it; `None` if there is a way back.
fn order(edges: &[Vec<StepIx>], mut incoming: Vec<usize>) -> Option<Vec<usize>> {
    let mut ready: Vec<usize> = (0..edges.len()).filter(|at| incoming[*at] == 0).collect();
    let mut order = Vec::new();
    while let Some(at) = ready.pop() {
        order.push(at);
        for to in &edges[at] {
            let to = to.0 as usize;
            incoming[to] -= 1;
            if incoming[to] == 0 {
                ready.push(to);
            }
        }
    }
    (order.len() == edges.len()).then_some(order)
}

/// Points at an exit that leads back.
fn way_back(drafts: &[Draft], edges: &[Vec<StepIx>], faults: &mut Faults) {
    // 0 not seen, 1 on the present way, 2 done.
    let mut state = vec![0_u8; drafts.len()];
    for start in 0..drafts.len() {
        let mut stack = vec![(start, 0)];
        if state[start] == 0 {
            state[start] = 1;
        } else {
            continue;
        }
        while let Some((at, next)) = stack.pop() {
            let Some(to) = edges[at].get(next).map(|to| to.0 as usize) else {
                state[at] = 2;
                continue;
            };
            stack.push((at, next + 1));
            match state[to] {
                0 => {
                    state[to] = 1;
                    stack.push((to, 0));
                }
                1 => {
                    let draft = &drafts[at];
                    let exit = draft
                        .exits
                        .all()
                        .find(|exit| exit.to == drafts[to].id.as_str());
                    let span = exit.map_or(draft.span, |exit| exit.span);
                    let message = format!("this exit leads back to `{}`", drafts[to].id);
                    faults
                        .error("graph.back_edge", span, message)
                        .hint("to loop, post to the cycle's own webhook: `use: generic_webhook.post` with `url: ${webhook.url}`");
                    return;
                }
                _ => {}
            }
        }
    }
}

fn trigger(drafts: &[Draft], starts: &[usize], faults: &mut Faults) -> Option<StepIx> {
    match starts {
        [only] => Some(StepIx(*only as u16)),
        many => {
            // One that no exit leads to is meant where it is the only webhook: the others are out of reach.
            let webhooks: Vec<usize> = many
                .iter()
                .copied()
                .filter(|at| drafts[*at].form == Form::Webhook)
                .collect();
            if let [trigger] = webhooks.as_slice() {
                // Where an exit could not be read, it may have led there.
                let unread = faults.0.iter().any(|fault| {
                    matches!(fault.code.as_str(), "graph.unknown_step" | "field.unknown")
                });
                for at in many.iter().filter(|at| *at != trigger && !unread) {
                    let draft = &drafts[*at];
                    let message = format!("no exit leads to step `{}`", draft.id);
                    faults
                        .error("graph.unreachable", draft.span, message)
                        .hint(format!(
                            "the trigger is `{}`: lead an exit here, or remove the step",
                            drafts[*trigger].id
                        ));
                }
                return Some(StepIx(*trigger as u16));
            }
            let names: Vec<&str> = many.iter().map(|at| drafts[*at].id.as_str()).collect();
            let span = many.first().map(|at| drafts[*at].span).unwrap_or_default();
            let message = format!(
                "a cycle has one trigger, and no exit leads to any of {}",
                crate::keys::list(&names)
            );
            faults
                .error("graph.triggers", span, message)
                .hint("lead exits to all steps but one");
            None
        }
    }
}
