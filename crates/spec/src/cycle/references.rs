//! References to steps: whether the step has run by then, whether it has the field, and what of it
//! must be kept.

use std::collections::BTreeSet;

use super::form::{EACH_NAMES, Form};
use super::graph::{Ways, may_come};
use super::names::{ItemRead, StepRead};
use super::step::Draft;
use crate::expr::Segment;
use crate::keys::{Faults, closest, list};
use crate::plan::{Live, StepIx};

/// Checks every reference and tells, step by step, which names something later reads.
///
/// `apart` are steps of which several runs of one lap may have data of their own.
pub(super) fn check(
    drafts: &[Draft],
    ways: &Ways,
    apart: &BTreeSet<StepIx>,
    faults: &mut Faults,
) -> Vec<Live> {
    let mut live = vec![Live::default(); drafts.len()];
    for (at, draft) in drafts.iter().enumerate() {
        watermark(at, drafts, ways, faults);
        item(at, drafts, ways, &mut live, faults);
        if draft.split {
            live[at].names.insert(split_name(&draft.form).to_owned());
        }
        for StepRead {
            step: ix,
            path,
            name,
            span,
            has_default,
        } in &draft.references
        {
            let read = &drafts[ix.0 as usize];
            // A webhook's URLs are known before anything runs: any step may name them.
            if matches!(name.as_str(), "url" | "resume_url") && read.form == Form::Webhook {
                if name == "resume_url" && ways.trigger == Some(*ix) {
                    let message = format!("no run waits at `{}`, which begins them", read.id);
                    faults
                        .error("reference.unknown_field", *span, message)
                        .hint(format!("`${{{}.url}}` is its URL", read.id));
                } else if name == "resume_url"
                    && ways.trigger.is_some()
                    && !may_come(drafts, at, usize::from(ix.0))
                {
                    let message = format!(
                        "a run at `{}` does not itself come to `{}` from there: this link would lead nowhere",
                        draft.id, read.id
                    );
                    faults
                        .error("reference.other_run", *span, message)
                        .hint("name it in a step before that one in the same run: not in another branch of a fork, nor before a step that splits");
                }
                continue;
            }
            if ways.trigger.is_some() && at != ix.0 as usize && !ways.some[at].is_empty() {
                if !ways.some[at].contains(ix) {
                    let message = format!("step `{}` is on no way to `{}`", read.id, draft.id);
                    faults
                        .error("reference.not_passed", *span, message)
                        .hint("only steps that have run can be read");
                    continue;
                }
                if !ways.every[at].contains(ix) && !has_default {
                    let message = format!(
                        "not every way to `{}` passes `{}`: it may be null here",
                        draft.id, read.id
                    );
                    faults
                        .warning("reference.maybe_absent", *span, message)
                        .hint("give a default: `${… ?? …}`");
                }
            }
            if let Some(wait) = parting(at, *ix, drafts, ways, apart) {
                let message = format!(
                    "`{}` joins runs that each have their own `{}`: none of them is read behind it",
                    drafts[wait].id, read.id
                );
                faults
                    .error("reference.past_wait_all", *span, message)
                    .hint("keep what is needed in storage, such as `loop_storage_append`, or read a step before the fork or the split");
                continue;
            }
            if read.split && *name == split_name(&read.form) {
                let message = format!("`{}` splits its list: a run goes on with one item", read.id);
                faults
                    .error("reference.unknown_field", *span, message)
                    .hint("`${item}` is the item, `${index}` its place");
                continue;
            }
            if *ix == StepIx(at as u16) {
                let message = format!("step `{}` reads itself", draft.id);
                faults
                    .error("reference.not_passed", *span, message)
                    .hint("only steps that have run can be read");
                continue;
            }
            if matches!(path.first(), Some(Segment::Key(_))) {
                field(read, name, *span, faults);
                live[ix.0 as usize].names.insert(name.clone());
            } else {
                let message = format!("`${{{}}}` alone is no value", read.id);
                faults
                    .error("reference.unknown_field", *span, message)
                    .hint(format!(
                        "name a field: `${{{}.body}}` is all of it",
                        read.id
                    ));
            }
        }
    }
    live
}

/// What holds the list that a step of this form splits.
fn split_name(form: &Form) -> &'static str {
    match form {
        Form::List { .. } => "records",
        _ => "body",
    }
}

/// The `wait_all` on the way to a step behind which another cannot be read: what goes on there is one run of
/// several, each with data of its own.
fn parting(
    at: usize,
    read: StepIx,
    drafts: &[Draft],
    ways: &Ways,
    apart: &BTreeSet<StepIx>,
) -> Option<usize> {
    let some = ways.some.get(at)?;
    some.iter().map(|wait| usize::from(wait.0)).find(|wait| {
        drafts[*wait].joins_all().is_some_and(|whole_cycle| {
            ways.some[*wait].contains(&read) && (whole_cycle || apart.contains(&read))
        })
    })
}

/// `${item}` and `${index}` outside a `for_each` are those of a step before that splits.
fn item(at: usize, drafts: &[Draft], ways: &Ways, live: &mut [Live], faults: &mut Faults) {
    let draft = &drafts[at];
    let Some(ItemRead { span: first, .. }) = draft.items.first() else {
        return;
    };
    let splits = |passed: &BTreeSet<StepIx>| -> Vec<StepIx> {
        let splits = passed.iter().filter(|ix| drafts[usize::from(ix.0)].split);
        splits.copied().collect()
    };
    let some = ways.some.get(at).map(&splits).unwrap_or_default();
    if some.is_empty() {
        for ItemRead { name, span, .. } in &draft.items {
            let message = format!(
                "`{name}` is there only in a step with `for_each`, and behind a step that splits its list"
            );
            faults.error("reference.no_item", *span, message).hint(
                "add `for_each: ${contacts.records}` to the step, or `split: true` to the list",
            );
        }
        return;
    }
    let joined = |split: &StepIx| {
        ways.some[at].iter().any(|wait| {
            let wait = usize::from(wait.0);
            drafts[wait].joins_all().is_some() && ways.some[wait].contains(split)
        })
    };
    if some.iter().all(joined) {
        let message = "a `wait_all` joins the runs of all items: none of them is read behind it";
        faults
            .error("reference.past_wait_all", *first, message)
            .hint("keep what is needed in storage, such as `loop_storage_append`");
    } else if splits(&ways.every[at]).is_empty()
        && let Some(read) = draft.items.iter().find(|read| !read.has_default)
    {
        let message = format!(
            "not every way to `{}` passes a step that splits: there may be no item here",
            draft.id
        );
        faults
            .warning("reference.maybe_absent", read.span, message)
            .hint("give a default: `${item.id ?? …}`");
    }
    for split in some {
        live[usize::from(split.0)].names.insert("item".to_owned());
    }
}

fn field(read: &Draft, name: &str, span: crate::diagnostic::Span, faults: &mut Faults) {
    let own = if read.is_each {
        EACH_NAMES
    } else {
        read.form.own_names()
    };
    let described: &[String] = match read.form.fields() {
        _ if read.is_each => &[],
        Some(fields) => fields,
        None => return,
    };
    if own.contains(&name) || described.iter().any(|field| field == name) {
        return;
    }
    let message = format!("step `{}` has no field `{name}`", read.id);
    let fault = faults.error("reference.unknown_field", span, message);
    let known: Vec<&str> = described
        .iter()
        .map(String::as_str)
        .chain(own.iter().copied())
        .collect();
    match closest(name, known.iter().copied()) {
        Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
        None => fault.hint(format!("it has {}", list(&known))),
    }
}

/// A watermark step names a list step that has run by then.
fn watermark(at: usize, drafts: &[Draft], ways: &Ways, faults: &mut Faults) {
    let draft = &drafts[at];
    let Some((of, span)) = draft.watermark else {
        return;
    };
    let list = &drafts[of.0 as usize];
    if !matches!(list.form, Form::List { .. } | Form::Unknown) {
        let message = format!("`{}` is no list step: it holds no date", list.id);
        let fault = faults.error("graph.no_list", span, message);
        let lists = drafts
            .iter()
            .filter(|draft| matches!(draft.form, Form::List { .. }));
        let lists: Vec<&str> = lists.map(|draft| draft.id.as_str()).collect();
        if !lists.is_empty() {
            fault.hint(format!("the list steps are {}", crate::keys::list(&lists)));
        }
    } else if ways.trigger.is_some() && !ways.some[at].is_empty() && !ways.some[at].contains(&of) {
        let message = format!("step `{}` is on no way to `{}`", list.id, draft.id);
        faults
            .error("reference.not_passed", span, message)
            .hint("only a list that has run has a date to commit");
    }
}
