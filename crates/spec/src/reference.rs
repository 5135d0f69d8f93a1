//! The grammar of `${…}` (SPEC §3, *Values*), before names are resolved.
//!
//! ```text
//! text      = { character | "$${" | reference }
//! reference = "${" root { "." name | "[" index "]" } [ "??" json ] "}"
//! root      = name | kind ":" argument
//! ```

use velodrome_types::Json;

use crate::expr::Segment;

/// A part of a written text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Ref(Written),
}

/// A reference as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) root: WrittenRoot,
    pub(crate) path: Vec<Segment>,
    pub(crate) default: Option<Json>,
    pub(crate) source: String,
    /// Byte offset of its `$` within the text.
    pub(crate) offset: usize,
}

/// What a reference begins with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WrittenRoot {
    /// `step.…`, `run.…`, `settings.…`.
    Name(String),
    /// `var:x`, `hook:CYCLE`.
    Kind(String, String),
}

/// What is wrong with a reference, and where in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// Splits a text into what stands as it is and references. `$${` is the text `${`.
pub(crate) fn parts(text: &str) -> Result<Vec<Part>, Wrong> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[..start].ends_with('$') && start > at {
            plain.push_str(&text[at..start - 1]);
            plain.push_str("${");
            at = start + 2;
            continue;
        }
        plain.push_str(&text[at..start]);
        let end = closing(text, start + 2).ok_or_else(|| Wrong {
            offset: start,
            message: "`${` without its `}`".to_owned(),
        })?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Ref(reference(&text[start + 2..end], start)?));
        at = end + 1;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// The `}` that ends a reference: not one inside quotes or a default's own braces.
fn closing(text: &str, from: usize) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, c) in text[from..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted && depth == 0 => return Some(from + at),
            '}' if !quoted => depth -= 1,
            '\n' => return None,
            _ => {}
        }
    }
    None
}

fn reference(inner: &str, offset: usize) -> Result<Written, Wrong> {
    let wrong = |message: String| Wrong { offset, message };
    let source = format!("${{{inner}}}");
    let (path, default) = match split_default(inner) {
        Some((path, default)) => {
            let value = serde_json::from_str(default.trim()).map_err(|_| {
                wrong(format!(
                    "the default of `{source}` must be JSON, such as `\"none\"`, 0 or null"
                ))
            })?;
            (path.trim(), Some(value))
        }
        None => (inner.trim(), None),
    };
    if path.is_empty() {
        return Err(wrong(format!("`{source}` names nothing")));
    }
    let name_end = path.find(['.', '[', ':']).unwrap_or(path.len());
    let (name, rest) = path.split_at(name_end);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(wrong(format!("`{name}` in `{source}` is no name")));
    }
    if let Some(argument) = rest.strip_prefix(':') {
        let (argument, path) =
            if name == "hook" || name == "file" || name == "env" || name == "secret" {
                (argument, "")
            } else {
                argument.split_at(argument.find(['.', '[']).unwrap_or(argument.len()))
            };
        if argument.is_empty() {
            return Err(wrong(format!("`{source}` names nothing behind the colon")));
        }
        let root = WrittenRoot::Kind(name.to_owned(), argument.to_owned());
        return Ok(Written {
            root,
            path: segments(path).map_err(wrong)?,
            default,
            source,
            offset,
        });
    }
    let root = WrittenRoot::Name(name.to_owned());
    Ok(Written {
        root,
        path: segments(rest).map_err(wrong)?,
        default,
        source,
        offset,
    })
}

fn split_default(inner: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (at, c) in inner.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '?' if !quoted && inner[at..].starts_with("??") => {
                return Some((&inner[..at], &inner[at + 2..]));
            }
            _ => {}
        }
    }
    None
}

fn segments(mut rest: &str) -> Result<Vec<Segment>, String> {
    let mut path = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            if name.is_empty()
                || name
                    .chars()
                    .any(|c| c.is_whitespace() || matches!(c, '{' | '}' | '"' | ']'))
            {
                return Err(format!(
                    "`.{name}` is no name: write `[\"{name}\"]` for an odd one"
                ));
            }
            path.push(Segment::Key(name.to_owned()));
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = bracket_end(after).ok_or_else(|| "`[` without its `]`".to_owned())?;
            let inner = after[..end].trim();
            path.push(match inner {
                "" => Segment::Each,
                key if key.starts_with('"') => {
                    let key: String = serde_json::from_str(key)
                        .map_err(|_| format!("`[{key}]` is no text in quotes"))?;
                    Segment::Key(key)
                }
                number => {
                    let index = number.parse().map_err(|_| {
                        format!("`[{number}]` is neither a number, nor a text in quotes, nor `[]`")
                    })?;
                    Segment::Index(index)
                }
            });
            rest = &after[end + 1..];
        } else {
            return Err(format!(
                "`{rest}` cannot stand there: go on with `.name` or `[…]`"
            ));
        }
    }
    Ok(path)
}

fn bracket_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> Written {
        match parts(text).unwrap().as_slice() {
            [Part::Ref(written)] => written.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths_of_every_form() {
        let key = |name: &str| Segment::Key(name.into());
        assert_eq!(one("${a.b}").path, [key("b")]);
        assert_eq!(
            one("${a.list[0].id}").path,
            [key("list"), Segment::Index(0), key("id")]
        );
        assert_eq!(one("${a.list[-1]}").path, [key("list"), Segment::Index(-1)]);
        assert_eq!(
            one("${a.list[].id}").path,
            [key("list"), Segment::Each, key("id")]
        );
        assert_eq!(
            one(r#"${a["odd.key}"].x}"#).path,
            [key("odd.key}"), key("x")]
        );
        assert_eq!(
            one("${hook:other.step}").root,
            WrittenRoot::Kind("hook".into(), "other.step".into())
        );
        assert_eq!(one("${var:limits.page}").path, [key("page")]);
    }

    #[test]
    fn defaults_are_json() {
        assert_eq!(one(r#"${a.b ?? "none"}"#).default, Some(json!("none")));
        assert_eq!(one(r#"${a.b ?? {"x": 1}}"#).default, Some(json!({"x": 1})));
        assert_eq!(one("${a.b ?? null}").default, Some(json!(null)));
        assert!(
            parts("${a.b ?? none}")
                .unwrap_err()
                .message
                .contains("must be JSON")
        );
    }

    #[test]
    fn texts_keep_what_is_no_reference() {
        assert_eq!(
            parts("cost: $5 {x}").unwrap(),
            [Part::Text("cost: $5 {x}".into())]
        );
        assert_eq!(parts("$${a}").unwrap(), [Part::Text("${a}".into())]);
        assert_eq!(parts("").unwrap(), [Part::Text(String::new())]);
        assert_eq!(parts("x ${a.b} y").unwrap().len(), 3);
        for bad in [
            "${", "${}", "${a b}", "${a.b", "${a[}", "${a[x]}", "${a..b}", "${var:}",
        ] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}
