//! The step as a run would have it: its inputs are those that were given, and what only a run has must be
//! given too.

use velodrome_spec::Plan;
use velodrome_spec::expr::{Expr, Reference, Root, Segment};
use velodrome_spec::plan::{StepIx, StepKind};
use velodrome_types::{Json, JsonMap};

use crate::api::Problem;

/// The name of a `for_each`'s item among what a run would have.
pub(super) const ITEM: &str = "item";

/// The plan with these inputs of one step.
///
/// # Errors
///
/// `step.test_input`: what names all that is missing, or what is given under a name or in a form that no
/// step has.
pub(super) fn filled(
    plan: &Plan,
    ix: StepIx,
    inputs: JsonMap,
    data: &JsonMap,
) -> Result<Plan, Problem> {
    let known = |name: &str| name == ITEM || plan.find(name).is_some();
    if let Some(name) = data.keys().find(|name| !known(name)) {
        let what = format!(
            "`{name}` is no step of `{}`: what a run would have stands under a step's id, or under `{ITEM}`",
            plan.cycle
        );
        return Err(Problem::new(422, "step.test_input", what));
    }
    let of_step = |(name, value): &(&String, &Json)| *name != ITEM && !value.is_object();
    if let Some((name, _)) = data.iter().find(of_step) {
        let what = format!(
            "`{name}` is a step, and what a run would have of it has names: give it as {{\"{name}\": {{…}}}}"
        );
        return Err(Problem::new(422, "step.test_input", what));
    }
    let mut filled = plan.clone();
    let step = &mut filled.steps[usize::from(ix.0)];
    // One call is tested; which item it is for was given.
    step.each = None;
    let map = match &mut step.kind {
        StepKind::List(list) => &mut list.map,
        StepKind::Send(send) => &mut send.map,
        StepKind::Storage(storage) => &mut storage.map,
        StepKind::Script { map } => map,
        _ => return Ok(filled),
    };
    for (name, value) in inputs {
        let value = Expr::Literal(value);
        match map.iter_mut().find(|(known, _)| *known == name) {
            Some((_, expr)) => *expr = value,
            None => map.push((name, value)),
        }
    }
    let missing = missing(&filled, ix, data);
    match missing.is_empty() {
        true => Ok(filled),
        false => Err(Problem::new(422, "step.test_input", missing.join("; "))),
    }
}

/// What the step reads of a run that nobody gave, in words.
fn missing(plan: &Plan, ix: StepIx, data: &JsonMap) -> Vec<String> {
    let step = plan.step(ix);
    let (mut inputs, mut others): (Vec<(&str, &Expr)>, Vec<&Expr>) = (Vec::new(), Vec::new());
    match &step.kind {
        StepKind::List(list) => {
            inputs.extend(list.map.iter().map(|(name, expr)| (name.as_str(), expr)))
        }
        StepKind::Send(send) => {
            inputs.extend(send.map.iter().map(|(name, expr)| (name.as_str(), expr)));
            others.extend(&send.url);
            others.extend(send.query.iter().chain(&send.headers).map(|(_, expr)| expr));
        }
        StepKind::Storage(step) => {
            inputs.extend(step.map.iter().map(|(name, expr)| (name.as_str(), expr)));
        }
        StepKind::Script { map } => {
            inputs.extend(map.iter().map(|(name, expr)| (name.as_str(), expr)));
        }
        _ => {}
    }
    let mut told: Vec<String> = Vec::new();
    let mut tell = |what: String| {
        if !told.contains(&what) {
            told.push(what);
        }
    };
    for (name, expr) in inputs {
        expr.each_reference(&mut |reference| {
            if is_missing(plan, reference, data) {
                tell(format!(
                    "`{name}` is `{}`, which only a run has: give it as {{\"{name}\": …}}",
                    reference.source
                ));
            }
        });
    }
    for expr in others {
        expr.each_reference(&mut |reference| {
            if is_missing(plan, reference, data) {
                tell(format!(
                    "`{}` is what only a run has: give it with `--data`, as {}",
                    reference.source,
                    form(plan, reference)
                ));
            }
        });
    }
    told
}

fn is_missing(plan: &Plan, reference: &Reference, data: &JsonMap) -> bool {
    if reference.default.is_some() {
        return false;
    }
    match &reference.root {
        Root::Item | Root::Index => !data.contains_key(ITEM),
        Root::Step(ix) => {
            let step = plan.step(*ix);
            let given = data.get(step.id.as_str());
            match reference.path.first() {
                // The URL of a webhook is known without a run.
                Some(Segment::Key(name))
                    if name == "url" && matches!(step.kind, StepKind::Webhook(_)) =>
                {
                    false
                }
                Some(Segment::Key(name)) => given.is_none_or(|fields| fields.get(name).is_none()),
                _ => given.is_none(),
            }
        }
        _ => false,
    }
}

/// How `--data` gives what a reference reads.
fn form(plan: &Plan, reference: &Reference) -> String {
    match (&reference.root, reference.path.first()) {
        (Root::Step(ix), Some(Segment::Key(name))) => {
            format!("{{\"{}\": {{\"{name}\": …}}}}", plan.step(*ix).id)
        }
        (Root::Step(ix), _) => format!("{{\"{}\": {{…}}}}", plan.step(*ix).id),
        _ => format!("{{\"{ITEM}\": …}}"),
    }
}
