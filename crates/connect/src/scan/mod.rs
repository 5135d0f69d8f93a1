//! Reads an answer's body once and builds only what is wanted (DESIGN, I9).
//!
//! The described paths form a small tree. One pass of the parser walks the body beside it: where the
//! tree ends the text is skipped, where it leads to a wanted value that value is built, and records
//! are counted as slices of the body without building them.

mod depth;
mod path;
mod records;
mod value;
mod walk;

use std::collections::BTreeSet;

use velodrome_spec::connector::{MethodDef, Pager, PagingStyle, TokenAt};
use velodrome_types::{Json, JsonMap};

use crate::error::RequestError;
pub(crate) use path::value_at;
use path::{Node, Slot};
pub(crate) use value::token;
use walk::Walk;

/// What is wanted of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Names of described fields; of a method that describes nothing, top-level names of the body.
    pub fields: BTreeSet<String>,
    /// Whether the records themselves are wanted.
    pub records: bool,
    /// Whether a key of each record is wanted, to drop repeats.
    pub keys: bool,
    /// Dotted path of the paging token.
    pub token_path: Option<String>,
    /// Whether the whole body is wanted as a tree.
    pub raw: bool,
    /// Dotted paths of what tells whether there are more pages.
    pub probes: Vec<String>,
    /// Whether the last record is wanted, to go on behind it.
    pub last: bool,
}

impl Want {
    /// The same, with what leads to the next page.
    #[must_use]
    pub fn of_page(self, pager: &Pager) -> Self {
        let end = &pager.end;
        let probes = [&end.more, &end.total, &end.total_pages];
        let token_path = match &pager.style {
            PagingStyle::Cursor {
                next: TokenAt::Body(path),
                ..
            }
            | PagingStyle::NextUrl { next: path }
            | PagingStyle::LinkHeader {
                next: Some(path), ..
            }
            | PagingStyle::Handoff { token: path, .. } => Some(path.clone()),
            _ => None,
        };
        Self {
            probes: probes.into_iter().flatten().cloned().collect(),
            last: matches!(
                pager.style,
                PagingStyle::LastRecord { .. } | PagingStyle::Keyset { .. }
            ),
            token_path,
            ..self
        }
    }
}

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scanned {
    /// Every wanted field; what the answer lacks is the definition's `when_empty`, else null.
    pub fields: JsonMap,
    /// How many records came, as the API sent them.
    pub count: u64,
    /// XXH3-64 of the body's text from the first record to the last: equal for pages that are equal
    /// byte for byte. Meaningless where `count` is 0.
    pub page_hash: u64,
    /// The records, if wanted.
    pub records: Option<Vec<Json>>,
    /// A key of each record, if wanted: the first 12 bytes of SHA-256 over the JSON texts of the
    /// fields in `incremental.key`; over the whole record where it lacks one of them.
    pub keys: Vec<[u8; 12]>,
    /// The paging token; `None` where it is missing, null or blank.
    pub token: Option<String>,
    /// The whole body, if wanted: a tree, or a text where it is no JSON. Null where it is empty.
    pub body: Option<Json>,
    /// What stands at each of `probes`.
    pub probes: Vec<Option<Json>>,
    /// The last record, if wanted and there is one.
    pub last: Option<Json>,
}

/// Reads a body.
///
/// An empty one is an answer without records. A body that is no JSON is `response.not_json` where
/// the method describes its answer, transient if a GET was cut off. Depth over 128 is
/// `response.too_deep`, a list of records that is no list `response.records`, a field of another type
/// than described `response.field_type`.
pub fn scan(method: &MethodDef, body: &[u8], want: &Want) -> Result<Scanned, RequestError> {
    let tree = Node::of(method, want)?;
    let mut walk = Walk::new(method, want);
    let text = text_of(body);
    if text.is_some_and(|text| text.trim_ascii().is_empty()) || (tree.is_leaf() && !want.raw) {
        return finish(method, want, walk, want.raw.then_some(Json::Null));
    }
    let parsed = match text {
        Some(text) => walk.run(&tree, text),
        None => Err(walk::Fault::NotJson {
            cut: false,
            why: "it is not UTF-8".to_owned(),
        }),
    };
    match parsed {
        Ok(()) => {}
        Err(walk::Fault::NotJson { .. }) if method.response.open => {
            let lossy = || Json::String(String::from_utf8_lossy(body).into_owned());
            let body = want.raw.then(lossy);
            return finish(method, want, Walk::new(method, want), body);
        }
        Err(fault) => return Err(fault.into_error(method)),
    }
    let whole = walk.take(Slot::Body);
    finish(method, want, walk, whole)
}

/// Removes records from a body that has been parsed: those that `keep` says no to, by their place.
pub fn retain_records(method: &MethodDef, body: &mut Json, keep: &dyn Fn(usize) -> bool) {
    let Some(path) = &method.response.records else {
        return;
    };
    let Ok(Some(Json::Array(records))) = path::value_at_mut(body, path) else {
        return;
    };
    let mut at = 0;
    records.retain(|_| {
        at += 1;
        keep(at - 1)
    });
}

fn text_of(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn finish(
    method: &MethodDef,
    want: &Want,
    mut walk: Walk<'_>,
    body: Option<Json>,
) -> Result<Scanned, RequestError> {
    let mut fields = JsonMap::new();
    for (at, name) in want.fields.iter().enumerate() {
        let found = walk.take(Slot::Field(at));
        let value = match method.response.fields.get(name) {
            Some(described) => value::as_described(name, described, found)?,
            None => found.unwrap_or(Json::Null),
        };
        fields.insert(name.clone(), value);
    }
    let token = walk.take(Slot::Token).and_then(token);
    let probes = (0..want.probes.len())
        .map(|at| walk.take(Slot::Probe(at)))
        .collect();
    let records = walk.records;
    Ok(Scanned {
        fields,
        count: records.count,
        page_hash: records.hash,
        records: want.records.then_some(records.built),
        keys: records.keys,
        token,
        body,
        probes,
        last: records.last,
    })
}

#[cfg(test)]
mod tests;
