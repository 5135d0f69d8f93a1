//! Replaces the engine's own functions that would outgrow a limit inside one single operation, or that
//! have no place in a handler.
//!
//! The engine looks at sizes after a function has returned, and at the clock between operations. That is
//! enough for nearly all of its functions, whose results are no larger than their arguments. These are
//! the exceptions; registered here they win over the packages'.

use std::cmp::Ordering;
use std::fmt::Display;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Map, NativeCallContext};
use velodrome_types::Json;

use crate::convert::{to_dynamic, to_json};
use crate::errors::{FAILED, Raised, too_large};

type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// Registers them all.
pub(crate) fn register(engine: &mut Engine) {
    no_sleep(engine);
    replace(engine);
    sort(engine);
    text_of_values(engine);
    equality(engine);
}

/// A handler that wants to wait is a `delay` step; a thread that sleeps is lost to all other runs.
fn no_sleep(engine: &mut Engine) {
    let refuse = || -> Outcome<()> {
        Err(Raised::error(
            FAILED,
            "a script cannot `sleep`: use a step with `use: delay`",
        ))
    };
    engine.register_fn("sleep", move |_: i64| refuse());
    engine.register_fn("sleep", move |_: f64| refuse());
}

/// One megabyte of `a`, each replaced by a megabyte, is a terabyte.
fn replace(engine: &mut Engine) {
    fn replaced(
        context: &NativeCallContext<'_>,
        text: &mut ImmutableString,
        find: &str,
        with: &str,
    ) -> Outcome<()> {
        let found = text.matches(find).count();
        let length = found
            .checked_mul(with.len())
            .and_then(|added| added.checked_add(text.len() - found * find.len()));
        let limit = context.engine().max_string_size();
        if length.is_none_or(|length| length > limit) {
            return Err(too_large("string"));
        }
        if found > 0 {
            *text = text.replace(find, with).into();
        }
        Ok(())
    }
    engine.register_fn(
        "replace",
        |context: NativeCallContext, text: &mut ImmutableString, find: &str, with: &str| {
            replaced(&context, text, find, with)
        },
    );
    engine.register_fn(
        "replace",
        |context: NativeCallContext, text: &mut ImmutableString, find: &str, with: char| {
            replaced(&context, text, find, with.encode_utf8(&mut [0; 4]))
        },
    );
    engine.register_fn(
        "replace",
        |context: NativeCallContext, text: &mut ImmutableString, find: char, with: &str| {
            replaced(&context, text, find.encode_utf8(&mut [0; 4]), with)
        },
    );
    engine.register_fn(
        "replace",
        |context: NativeCallContext, text: &mut ImmutableString, find: char, with: char| {
            let (find, with) = (find.to_string(), with.to_string());
            replaced(&context, text, &find, &with)
        },
    );
}

/// The engine sorts with the standard library, which may panic where a comparison contradicts itself,
/// and goes on comparing after the comparison has failed. This one does neither.
fn sort(engine: &mut Engine) {
    fn sorted(
        context: &NativeCallContext<'_>,
        items: &[Dynamic],
        compare: &FnPtr,
    ) -> Outcome<Array> {
        let mut runs: Vec<Array> = items.iter().map(|item| vec![item.clone()]).collect();
        while runs.len() > 1 {
            let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
            let mut pairs = runs.into_iter();
            while let Some(left) = pairs.next() {
                merged.push(match pairs.next() {
                    Some(right) => merge(context, left, right, compare)?,
                    None => left,
                });
            }
            runs = merged;
        }
        Ok(runs.pop().unwrap_or_default())
    }
    fn merge(
        context: &NativeCallContext<'_>,
        left: Array,
        right: Array,
        compare: &FnPtr,
    ) -> Outcome<Array> {
        let mut merged = Array::with_capacity(left.len() + right.len());
        let mut left = left.into_iter().peekable();
        let mut right = right.into_iter().peekable();
        while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
            let order: Dynamic = compare.call_within_context(context, (l.clone(), r.clone()))?;
            let right_first = match order.as_int() {
                Ok(number) => number > 0,
                Err(_) => order.as_bool().is_ok_and(|goes_first| !goes_first),
            };
            merged.extend(if right_first {
                right.next()
            } else {
                left.next()
            });
        }
        merged.extend(left);
        merged.extend(right);
        Ok(merged)
    }
    for name in ["sort", "sort_by"] {
        engine.register_fn(
            name,
            |context: NativeCallContext, items: &mut Array, compare: FnPtr| -> Outcome<()> {
                *items = sorted(&context, items, &compare)?;
                Ok(())
            },
        );
    }
    for name in ["order", "order_by"] {
        engine.register_fn(
            name,
            |context: NativeCallContext, items: &mut Array, compare: FnPtr| -> Outcome<Array> {
                sorted(&context, items, &compare)
            },
        );
    }
}

/// Values as text, and text as values. The engine's own go through a call of its own for each level of
/// nesting, and its reader of JSON takes only objects.
fn text_of_values(engine: &mut Engine) {
    fn text(value: Dynamic) -> Outcome<String> {
        let json = to_json(&value).map_err(no_text)?;
        Ok(json.to_string())
    }
    fn no_text(error: impl Display) -> Box<EvalAltResult> {
        Raised::error(FAILED, format!("this has no text: {error}"))
    }
    for name in ["to_json", "to_string", "to_debug", "print", "debug"] {
        engine.register_fn(name, |map: Map| text(map.into()));
        engine.register_fn(name, |array: Array| text(array.into()));
    }
    engine.register_fn("to_json", text);
    engine.register_fn("parse_json", |text: &str| -> Outcome<Dynamic> {
        let json: Json = serde_json::from_str(text)
            .map_err(|error| Raised::error(FAILED, format!("`parse_json`: no JSON: {error}")))?;
        Ok(to_dynamic(&json))
    });
}

/// The engine compares lists and objects through a call of its own for each value in them.
fn equality(engine: &mut Engine) {
    engine.register_fn("==", |left: Map, right: Map| same_maps(&left, &right));
    engine.register_fn("!=", |left: Map, right: Map| !same_maps(&left, &right));
    engine.register_fn("==", |left: Array, right: Array| same_arrays(&left, &right));
    engine.register_fn("!=", |left: Array, right: Array| {
        !same_arrays(&left, &right)
    });
}

fn same_maps(left: &Map, right: &Map) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|((l_name, l), (r_name, r))| l_name == r_name && same(l, r))
}

fn same_arrays(left: &Array, right: &Array) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
}

/// Equal as `==` has it: 1 equals 1.0, values of other different types are different.
fn same(left: &Dynamic, right: &Dynamic) -> bool {
    if let (Ok(l), Ok(r)) = (left.as_map_ref(), right.as_map_ref()) {
        return same_maps(&l, &r);
    }
    if let (Ok(l), Ok(r)) = (left.as_array_ref(), right.as_array_ref()) {
        return same_arrays(&l, &r);
    }
    if let (Ok(l), Ok(r)) = (
        left.as_immutable_string_ref(),
        right.as_immutable_string_ref(),
    ) {
        return *l == *r;
    }
    if let (Ok(l), Ok(r)) = (left.as_int(), right.as_int()) {
        return l == r;
    }
    if let (Some(l), Some(r)) = (number(left), number(right)) {
        return l.partial_cmp(&r) == Some(Ordering::Equal);
    }
    if let (Ok(l), Ok(r)) = (left.as_bool(), right.as_bool()) {
        return l == r;
    }
    if let (Ok(l), Ok(r)) = (left.as_char(), right.as_char()) {
        return l == r;
    }
    left.is_unit() && right.is_unit()
}

fn number(value: &Dynamic) -> Option<f64> {
    value
        .as_float()
        .or_else(|_| value.as_int().map(|whole| whole as f64))
        .ok()
}
