//! A `storage` method: its inputs and what it gives follow from what it does, so that a definition says
//! that only.

use std::collections::BTreeMap;

use velodrome_types::Json;

use crate::connector::{InputDef, ResponseDef, ResponseField, SendAs, StorageDoes};
use crate::keys::{Faults, Keys, choice};
use crate::plan::FieldKind;

/// The input that says whose values are meant.
pub(crate) const SCOPE: &str = "scope";

/// `does`, which such a method needs and no other has.
pub(super) fn does(what: &str, keys: &mut Keys<'_>, faults: &mut Faults) -> Option<StorageDoes> {
    let words: Vec<(&str, StorageDoes)> = StorageDoes::ALL
        .iter()
        .map(|(does, name)| (*name, *does))
        .collect();
    for key in [
        "inputs",
        "response",
        "verb",
        "path",
        "body",
        "open_body",
        "paging",
        "incremental",
    ] {
        if let Some(entry) = keys.entry(key) {
            let message = format!("{what} asks no API: `{key}` means nothing there");
            faults
                .error("field.alone", entry.key_span, message)
                .hint("its inputs and what it gives follow from `does`");
        }
    }
    keys.need("does", what, faults)
        .and_then(|node| choice(node, "`does`", &words, faults))
}

/// What a step maps.
pub(super) fn inputs(does: StorageDoes) -> BTreeMap<String, InputDef> {
    let input = |title: &str, kind: FieldKind, default: Option<Json>| InputDef {
        title: title.to_owned(),
        kind,
        required: default.is_none(),
        default,
        send_as: SendAs::Nowhere,
    };
    let mut inputs = BTreeMap::new();
    let mut add = |name: &str, input: InputDef| inputs.insert(name.to_owned(), input);
    if !matches!(does, StorageDoes::GetAll | StorageDoes::DeleteAll) {
        add("key", input("Key", FieldKind::Text, None));
    }
    match does {
        StorageDoes::Set | StorageDoes::Append => {
            add("value", input("Value", FieldKind::Any, None));
        }
        StorageDoes::Increment | StorageDoes::Decrement => {
            add("by", input("By", FieldKind::Number, Some(Json::from(1))));
        }
        _ => {}
    }
    let scope = Some(Json::from("connection"));
    add(SCOPE, input("Scope", FieldKind::Text, scope));
    inputs
}

/// What it gives.
pub(super) fn response(does: StorageDoes) -> ResponseDef {
    let named: &[(&str, &str)] = match does {
        StorageDoes::Set | StorageDoes::Append => &[("value", "Value")],
        StorageDoes::Get => &[("value", "Value"), ("found", "Found")],
        StorageDoes::Delete => &[("found", "Found")],
        StorageDoes::GetAll => &[("items", "Items"), ("values", "Values")],
        StorageDoes::DeleteAll => &[],
        StorageDoes::Increment | StorageDoes::Decrement => &[("value", "Value")],
    };
    let field = |(name, title): &(&str, &str)| {
        let field = ResponseField {
            title: (*title).to_owned(),
            path: (*name).to_owned(),
            when_empty: Json::Null,
        };
        ((*name).to_owned(), field)
    };
    ResponseDef {
        records: None,
        fields: named.iter().map(field).collect(),
        open: false,
    }
}
