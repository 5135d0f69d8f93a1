//! What to do about an error, where a script's author can be told.

use crate::errors::lower_first;
use crate::vars::Var;

/// `name (types)` as the engine writes the function it did not find.
fn split_signature(signature: &str) -> (&str, Option<&str>) {
    match signature.split_once(" (") {
        Some((name, types)) => (name, types.strip_suffix(')')),
        None => (signature, None),
    }
}

/// How a value's type is called by people who write JSON.
fn type_name(name: &str) -> &str {
    match name.trim() {
        "i64" => "integer",
        "f64" => "number",
        "string" | "&str" | "String" | "ImmutableString" => "text",
        "()" => "()",
        "map" => "object",
        "array" => "list",
        other => other,
    }
}

fn is_operator(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_alphanumeric() || c == '_')
}

/// The message for a function that is not there with such arguments.
pub(crate) fn no_such_function(signature: &str) -> String {
    let (name, types) = split_signature(signature);
    let types: Vec<&str> = types
        .filter(|types| !types.is_empty())
        .map(|types| types.split(", ").map(type_name).collect())
        .unwrap_or_default();
    match (is_operator(name), types.as_slice()) {
        (true, [left, right]) => format!("`{name}` cannot take `{left}` and `{right}`"),
        (true, [one]) => format!("`{name}` cannot take `{one}`"),
        (_, []) => format!("there is no function `{name}` without arguments"),
        (_, types) => format!("there is no function `{name}` that takes {}", listed(types)),
    }
}

/// The message for a field or a place that a value does not have. The engine writes
/// `Unknown property 'x' - a getter is not registered for type 'T'` for the one and `T [U]` for the other.
pub(crate) fn no_such_part(text: &str) -> String {
    let mut quoted = text.split('\'').skip(1).step_by(2);
    if let (Some(field), Some(of)) = (quoted.next(), quoted.next()) {
        return format!("`{}` has no field `{field}`", type_name(of));
    }
    if let Some((of, _)) = text.split_once(" [") {
        return format!("`{}` has no places to take one from", type_name(of));
    }
    lower_first(text)
}

fn listed(types: &[&str]) -> String {
    types
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The hint for it: a missing value is by far the usual reason.
pub(crate) fn for_missing_function(signature: &str, missed: &[String]) -> Option<String> {
    let (_, types) = split_signature(signature);
    let unit = types?.split(", ").any(|name| name.trim() == "()");
    unit.then(|| for_unit(missed))
}

/// `missed` reads like "`pageNumber` is not in cyclr_storage", the latest last.
pub(crate) fn for_unit(missed: &[String]) -> String {
    match missed.last() {
        Some(latest) => format!(
            "{latest}, so `get` gave `()`: give a value for that case, such as `get(…) ?? 0`"
        ),
        None => "`()` is a value that is not there, such as a field that the object lacks: give a \
                 value for that case, such as `x ?? 0`"
            .to_owned(),
    }
}

/// What to do about an error of JavaScript's, where its message tells.
pub(crate) fn for_javascript(message: &str, missed: &[String]) -> Option<String> {
    if let Some(name) = message.strip_suffix(" is not defined") {
        let name = name.trim_matches('\'');
        if let Some(hint) = javascript_without(name) {
            return Some(hint.to_owned());
        }
        let functions: Vec<String> = crate::js::function_names().collect();
        let known = functions.iter().map(String::as_str);
        let meant = did_you_mean(name, known.chain(Var::ALL.iter().map(|var| var.as_str())));
        return meant.map(|meant| format!("did you mean `{meant}`?"));
    }
    let nothing = message.contains(" of null") || message.contains(" of undefined");
    if !nothing {
        return None;
    }
    Some(match missed.last() {
        Some(latest) => format!(
            "{latest}, so `get` gave null: give a value for that case, such as `get(…) ?? {{}}`"
        ),
        None => "the value is not there, such as a field that the object lacks: ask first, such as `x?.y ?? 0`"
            .to_owned(),
    })
}

/// Names of other places where JavaScript runs.
fn javascript_without(name: &str) -> Option<&'static str> {
    match name {
        "require" | "module" | "exports" | "process" | "Deno" | "Bun" | "Buffer" => Some(
            "scripts reach no modules, files or processes; `btoa`, `atob` and JavaScript's own objects are there",
        ),
        "window" | "document" | "fetch" | "XMLHttpRequest" | "localStorage" => {
            Some("scripts run in no browser; requests go through `http_request`")
        }
        "setTimeout" | "setInterval" | "setImmediate" => {
            Some("scripts do not wait: a `delay` step does")
        }
        _ => None,
    }
}

/// What arrived larger than a script may make it is let in: its parts can be read.
pub(crate) fn for_large_value() -> String {
    "a value that arrived larger can be read by its fields and with `for`; to change it or to call its \
     functions, raise the limit in `script_limits`"
        .to_owned()
}

/// The name in `known` that `word` was probably meant to be.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = match word.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        6..=11 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Edits between two words; letter case is none, two letters that changed places are one.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().flat_map(char::to_lowercase).collect();
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let changed = above[j] + usize::from(l != r);
            let mut best = changed.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        let known = ["cyclr_storage_set", "cyclr_storage_get", "log", "now"];
        let check = |word: &str, meant: Option<&str>| {
            assert_eq!(did_you_mean(word, known), meant, "{word}");
        };
        check("cyclr_storage_sett", Some("cyclr_storage_set"));
        check("cyclr_sotrage_get", Some("cyclr_storage_get"));
        check("Log", Some("log"));
        check("nwo", Some("now"));
        check("n", None);
        check("something_else", None);
    }

    #[test]
    fn says_what_an_operator_cannot_take() {
        assert_eq!(
            no_such_function("+ ((), i64)"),
            "`+` cannot take `()` and `integer`"
        );
        assert_eq!(
            no_such_function("foo (map, &str | ImmutableString | String)"),
            "there is no function `foo` that takes `object`, `&str | ImmutableString | String`"
        );
        assert_eq!(
            no_such_function("foo ()"),
            "there is no function `foo` without arguments"
        );
    }
}
