//! Rendered records, kept: one text per contact and selection of fields, so that a page is 200
//! copies and no serialising. A text is made anew when its contact's revision has moved.

use std::collections::HashMap;

use crate::contacts::{Contacts, Slot};
use crate::fields::Field;

/// Bytes of rendered records kept before all are dropped: 100,000 contacts of a usual selection
/// need about 40 MB.
const KEPT_BYTES: usize = 128 << 20;

/// Selections kept; a new one beyond them drops the rest.
const KEPT_SELECTIONS: usize = 16;

/// The value of `fields`, or its absence, which means all of them.
pub(crate) type Selection<'a> = Option<&'a str>;

#[derive(Debug, Default)]
pub(crate) struct Renders {
    selections: HashMap<Option<String>, Rendered>,
    bytes: usize,
}

#[derive(Debug)]
struct Rendered {
    fields: Vec<Field>,
    texts: Vec<Option<(u32, Box<str>)>>,
}

impl Renders {
    /// Appends the records, separated by commas.
    pub(crate) fn write(
        &mut self,
        contacts: &Contacts,
        selection: Selection<'_>,
        slots: &[Slot],
        out: &mut String,
    ) {
        self.make_room(selection);
        let rendered = self
            .selections
            .entry(selection.map(str::to_owned))
            .or_insert_with(|| Rendered {
                fields: select(selection),
                texts: Vec::new(),
            });
        for (nth, slot) in slots.iter().enumerate() {
            if nth > 0 {
                out.push(',');
            }
            let revision = contacts.get(*slot).revision;
            if rendered.texts.len() <= slot.0 {
                rendered.texts.resize(slot.0 + 1, None);
            }
            let text = &mut rendered.texts[slot.0];
            match text {
                Some((made_at, text)) if *made_at == revision => out.push_str(text),
                _ => {
                    let made = contacts.portrait(*slot).render(&rendered.fields);
                    out.push_str(&made);
                    self.bytes += made.len();
                    *text = Some((revision, made.into_boxed_str()));
                }
            }
        }
    }

    fn make_room(&mut self, selection: Selection<'_>) {
        let known = self
            .selections
            .keys()
            .any(|key| key.as_deref() == selection);
        let full = !known && self.selections.len() >= KEPT_SELECTIONS;
        if full || self.bytes > KEPT_BYTES {
            self.selections.clear();
            self.bytes = 0;
        }
    }
}

/// The fields asked for, in Zoho's order; names it does not know are passed over and `id` is
/// always there.
fn select(selection: Selection<'_>) -> Vec<Field> {
    match selection {
        None => Field::all().collect(),
        Some(names) => {
            let asked: Vec<&str> = names.split(',').map(str::trim).collect();
            Field::all()
                .filter(|field| field.name() == "id" || asked.contains(&field.name()))
                .collect()
        }
    }
}
