//! The data set: contacts, live and deleted, and the order in which a list sees them.
//!
//! A contact keeps its slot for ever, so the caches of rendered records and of sorted views can
//! speak of slots. Ids only grow, so slot order is `id` order.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::clock::{plus, whole_second};
use crate::fields::{Field, Portrait};
use crate::generate::{Dice, FIRST_CONTACT_ID, Purpose};

/// Sorted views kept at once. A walk needs one; a few walks at a time are normal.
const KEPT_VIEWS: usize = 16;

/// Days for which a deleted record can be restored.
const RECYCLE_BIN: SignedDuration = SignedDuration::from_hours(60 * 24);

/// A place in the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) usize);

/// One contact.
#[derive(Debug)]
pub(crate) struct Contact {
    pub(crate) id: u64,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    /// Grows with each edit, so that a cached rendering can tell that it is old.
    pub(crate) revision: u32,
    /// Which generated person this is; none where the contact came through the API.
    pub(crate) ordinal: Option<u32>,
    /// Values written since, by field name.
    pub(crate) edits: Map<String, Value>,
    pub(crate) deleted: Option<Deletion>,
}

/// When and how a contact was deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deletion {
    pub(crate) at: Timestamp,
    permanent: bool,
}

impl Deletion {
    /// Gone from the recycle bin too, by hand or by age.
    pub(crate) fn is_permanent(&self, now: Timestamp) -> bool {
        self.permanent || now > plus(self.at, RECYCLE_BIN)
    }
}

/// What a list asks for, apart from the page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) order: Order,
    pub(crate) descending: bool,
    pub(crate) since: Option<Timestamp>,
}

/// What the rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    Id,
    Created,
    Modified,
    /// v2 sorts by any field.
    Text(&'static str),
}

/// How the first contacts are made.
#[derive(Debug)]
pub(crate) struct Seeding {
    pub(crate) records: u32,
    pub(crate) seed: u64,
    pub(crate) spread_days: u32,
    pub(crate) zone: TimeZone,
}

#[derive(Debug)]
pub(crate) struct Contacts {
    rows: Vec<Contact>,
    seed: u64,
    zone: TimeZone,
    views: HashMap<View, Arc<[Slot]>>,
    generation: u64,
}

impl Contacts {
    pub(crate) fn generate(seeding: Seeding, now: Timestamp) -> Self {
        let Seeding {
            records,
            seed,
            spread_days,
            zone,
        } = seeding;
        let newest = plus(whole_second(now), SignedDuration::from_secs(-1));
        let span = u64::from(spread_days) * 24 * 3600;
        let mut id = FIRST_CONTACT_ID;
        let rows = (0..records)
            .map(|ordinal| {
                id += 1 + Dice::new(seed, ordinal, Purpose::Id).below(7);
                let mut dice = Dice::new(seed, ordinal, Purpose::Times);
                let modified = before(newest, dice.below(span));
                let created = before(modified, dice.below(span.saturating_mul(3)));
                Contact {
                    id,
                    created,
                    modified,
                    revision: 0,
                    ordinal: Some(ordinal),
                    edits: Map::new(),
                    deleted: None,
                }
            })
            .collect();
        Self {
            rows,
            seed,
            zone,
            views: HashMap::new(),
            generation: 0,
        }
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Grows with every change of the data.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn get(&self, slot: Slot) -> &Contact {
        &self.rows[slot.0]
    }

    /// The slot of a contact that is not deleted.
    pub(crate) fn find(&self, id: u64) -> Option<Slot> {
        let slot = self.rows.binary_search_by_key(&id, |row| row.id).ok()?;
        self.rows[slot].deleted.is_none().then_some(Slot(slot))
    }

    pub(crate) fn portrait(&self, slot: Slot) -> Portrait<'_> {
        Portrait::new(self.get(slot), self.seed, &self.zone)
    }

    /// The slots of all contacts that are there, sorted and filtered.
    pub(crate) fn view(&mut self, view: &View) -> Arc<[Slot]> {
        if let Some(known) = self.views.get(view) {
            return Arc::clone(known);
        }
        let made: Arc<[Slot]> = self.make_view(view).into();
        if self.views.len() >= KEPT_VIEWS {
            self.views.clear();
        }
        self.views.insert(view.clone(), Arc::clone(&made));
        made
    }

    fn make_view(&self, view: &View) -> Vec<Slot> {
        let mut slots: Vec<Slot> = (0..self.rows.len())
            .filter(|slot| {
                let row = &self.rows[*slot];
                row.deleted.is_none() && view.since.is_none_or(|since| row.modified >= since)
            })
            .map(Slot)
            .collect();
        match view.order {
            Order::Id => {}
            Order::Created => slots.sort_by_key(|slot| (self.get(*slot).created, *slot)),
            Order::Modified => slots.sort_by_key(|slot| (self.get(*slot).modified, *slot)),
            Order::Text(name) => slots.sort_by_cached_key(|slot| {
                let value = Field::named(name).map(|field| self.portrait(*slot).value(field));
                (value.map(|value| value.to_string()), *slot)
            }),
        }
        if view.descending {
            slots.reverse();
        }
        slots
    }

    /// The contacts there are, oldest id first.
    pub(crate) fn in_id_order(&mut self) -> Arc<[Slot]> {
        self.view(&View {
            order: Order::Id,
            descending: false,
            since: None,
        })
    }

    /// Deleted contacts, the latest first.
    pub(crate) fn deleted(&self) -> Vec<(Slot, Deletion)> {
        let rows = self.rows.iter().enumerate();
        let mut gone: Vec<_> = rows
            .filter_map(|(slot, row)| Some((Slot(slot), row.deleted?)))
            .collect();
        gone.sort_by_key(|(slot, deletion)| std::cmp::Reverse((deletion.at, *slot)));
        gone
    }

    pub(crate) fn add(&mut self, values: Map<String, Value>, at: Timestamp) -> Slot {
        let id = self.rows.last().map_or(FIRST_CONTACT_ID, |row| row.id) + 1;
        self.rows.push(Contact {
            id,
            created: whole_second(at),
            modified: whole_second(at),
            revision: 0,
            ordinal: None,
            edits: values,
            deleted: None,
        });
        self.changed();
        Slot(self.rows.len() - 1)
    }

    /// Adds a made-up contact, as if somebody had typed it in.
    pub(crate) fn add_generated(&mut self, values: Map<String, Value>, at: Timestamp) -> Slot {
        let slot = self.add(values, at);
        self.rows[slot.0].ordinal = u32::try_from(slot.0).ok();
        slot
    }

    pub(crate) fn edit(&mut self, slot: Slot, values: Map<String, Value>, at: Timestamp) {
        let row = &mut self.rows[slot.0];
        row.edits.extend(values);
        row.modified = whole_second(at);
        row.revision += 1;
        self.changed();
    }

    pub(crate) fn delete_to_recycle_bin(&mut self, slot: Slot, at: Timestamp) {
        self.delete(
            slot,
            Deletion {
                at: whole_second(at),
                permanent: false,
            },
        );
    }

    pub(crate) fn delete_for_good(&mut self, slot: Slot, at: Timestamp) {
        self.delete(
            slot,
            Deletion {
                at: whole_second(at),
                permanent: true,
            },
        );
    }

    fn delete(&mut self, slot: Slot, deletion: Deletion) {
        self.rows[slot.0].deleted = Some(deletion);
        self.changed();
    }

    fn changed(&mut self) {
        self.views.clear();
        self.generation += 1;
    }
}

fn before(at: Timestamp, seconds: u64) -> Timestamp {
    plus(
        at,
        SignedDuration::from_secs(-i64::try_from(seconds).unwrap_or(i64::MAX)),
    )
}
