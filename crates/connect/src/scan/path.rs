//! The tree of paths that are wanted of a body.

use velodrome_spec::connector::MethodDef;
use velodrome_types::Json;

use super::Want;
use crate::error::RequestError;

/// What a built value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The wanted field at this place of `Want::fields`.
    Field(usize),
    /// The paging token.
    Token,
    /// What stands at this place of `Want::probes`.
    Probe(usize),
    /// The whole body.
    Body,
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Key(String),
    Index(usize),
}

/// A place in the body and what is wanted at it and below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) slots: Vec<Slot>,
    pub(super) records: bool,
    pub(super) children: Vec<(Part, Node)>,
}

impl Node {
    /// The tree for one method and one wish.
    pub(super) fn of(method: &MethodDef, want: &Want) -> Result<Self, RequestError> {
        let mut root = Self::default();
        for (at, name) in want.fields.iter().enumerate() {
            let slot = Slot::Field(at);
            match method.response.fields.get(name) {
                Some(field) => root.reach(parse(&field.path)?).slots.push(slot),
                None => root.reach(vec![Part::Key(name.clone())]).slots.push(slot),
            }
        }
        if let Some(path) = &method.response.records {
            root.reach(parse(path)?).records = true;
        }
        if let Some(path) = &want.token_path {
            root.reach(parse(path)?).slots.push(Slot::Token);
        }
        for (at, path) in want.probes.iter().enumerate() {
            root.reach(parse(path)?).slots.push(Slot::Probe(at));
        }
        if want.raw {
            root.slots.push(Slot::Body);
        }
        Ok(root)
    }

    /// Whether nothing is wanted here.
    pub(super) fn is_leaf(&self) -> bool {
        self.slots.is_empty() && !self.records && self.children.is_empty()
    }

    pub(super) fn key(&self, name: &str) -> Option<&Self> {
        self.children.iter().find_map(|(part, node)| match part {
            Part::Key(key) if key == name => Some(node),
            _ => None,
        })
    }

    pub(super) fn index(&self, at: usize) -> Option<&Self> {
        self.children
            .iter()
            .find_map(|(part, node)| (*part == Part::Index(at)).then_some(node))
    }

    fn reach(&mut self, path: Vec<Part>) -> &mut Self {
        let mut node = self;
        for part in path {
            let at = match node.children.iter().position(|(known, _)| *known == part) {
                Some(at) => at,
                None => {
                    node.children.push((part, Self::default()));
                    node.children.len() - 1
                }
            };
            node = &mut node.children[at].1;
        }
        node
    }
}

/// What stands at a path of a value; null where it leads nowhere.
pub(crate) fn value_at(value: &Json, path: &str) -> Result<Json, RequestError> {
    let mut value = value;
    for part in parse(path)? {
        let inner = match part {
            Part::Key(name) => value.get(name),
            Part::Index(at) => value.get(at),
        };
        match inner {
            Some(inner) => value = inner,
            None => return Ok(Json::Null),
        }
    }
    Ok(value.clone())
}

/// The place at a path of a value, if it leads somewhere.
pub(super) fn value_at_mut<'v>(
    value: &'v mut Json,
    path: &str,
) -> Result<Option<&'v mut Json>, RequestError> {
    let mut value = value;
    for part in parse(path)? {
        let inner = match part {
            Part::Key(name) => value.get_mut(name),
            Part::Index(at) => value.get_mut(at),
        };
        match inner {
            Some(inner) => value = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// Reads `a.b`, `a[0].b`, `["odd.key"]`. `[]` at the end, or alone, is the list itself.
fn parse(text: &str) -> Result<Vec<Part>, RequestError> {
    let wrong = || {
        RequestError::permanent(
            "connector.path",
            format!("`{text}` is no path such as `info.more_records`"),
        )
    };
    let mut rest = text.strip_suffix("[]").unwrap_or(text);
    let mut parts = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[\"") {
            let (key, after) = inner.split_once("\"]").ok_or_else(wrong)?;
            parts.push(Part::Key(key.to_owned()));
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']').ok_or_else(wrong)?;
            parts.push(Part::Index(index.parse().map_err(|_| wrong())?));
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return Err(wrong());
            }
            parts.push(Part::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        if let Some(after) = rest.strip_prefix('.') {
            if after.is_empty() {
                return Err(wrong());
            }
            rest = after;
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths() {
        let key = |name: &str| Part::Key(name.to_owned());
        let check =
            |text: &str, expect: &[Part]| assert_eq!(parse(text).unwrap(), expect, "{text}");
        check("info.more_records", &[key("info"), key("more_records")]);
        check("[\"@odata.nextLink\"]", &[key("@odata.nextLink")]);
        check("a[\"b.c\"].d", &[key("a"), key("b.c"), key("d")]);
        check(
            "data[0].details.id",
            &[key("data"), Part::Index(0), key("details"), key("id")],
        );
        check("", &[]);
        check("[]", &[]);
        check("data[]", &[key("data")]);
        for bad in ["a..b", ".a", "a.", "a[", "a[x]", "a[-1]", "[\"a"] {
            assert!(parse(bad).is_err(), "{bad} was taken");
        }
    }
}
