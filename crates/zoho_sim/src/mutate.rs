//! Changes to order: by place or id, now or between two pages of a walk.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::contacts::Slot;
use crate::record::find;
use crate::world::World;
use crate::write::writable;

/// Contacts that one order may add.
const MOST_ADDED: u32 = 100_000;

/// A change as it is ordered over HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    Edit {
        position: Option<usize>,
        id: Option<Value>,
        #[serde(default = "one")]
        count: u32,
        #[serde(default)]
        set: Map<String, Value>,
        at: Option<Timestamp>,
        between_pages: Option<u32>,
    },
    Add {
        #[serde(default = "one")]
        count: u32,
        #[serde(default)]
        set: Map<String, Value>,
        at: Option<Timestamp>,
        between_pages: Option<u32>,
    },
    Delete {
        position: Option<usize>,
        id: Option<Value>,
        #[serde(default = "one")]
        count: u32,
        #[serde(default)]
        permanent: bool,
        at: Option<Timestamp>,
        between_pages: Option<u32>,
    },
}

const fn one() -> u32 {
    1
}

/// A change that waits for a page to be served.
#[derive(Debug)]
pub(crate) struct Planned {
    after_page: u32,
    change: Change,
}

/// What came of an order.
#[derive(Debug)]
pub(crate) enum Done {
    Planned,
    Changed(Vec<u64>),
}

/// Performs a change, or keeps it for the page it waits for; the reason where it cannot be.
pub(crate) fn order(world: &mut World, change: Change) -> Result<Done, &'static str> {
    let (Change::Edit { between_pages, .. }
    | Change::Add { between_pages, .. }
    | Change::Delete { between_pages, .. }) = &change;
    match *between_pages {
        Some(0) => Err("`between_pages` counts from 1: 1 is between pages 1 and 2"),
        Some(after_page) => {
            world.planned.push(Planned { after_page, change });
            Ok(Done::Planned)
        }
        None => perform(world, change).map(Done::Changed),
    }
}

/// A list page with records was answered: what waited for it happens now.
pub(crate) fn after_page(world: &mut World, page: u32) {
    if world.planned.is_empty() {
        return;
    }
    let planned = std::mem::take(&mut world.planned);
    let (due, waiting): (Vec<_>, Vec<_>) = planned
        .into_iter()
        .partition(|planned| planned.after_page == page);
    world.planned = waiting;
    for Planned { change, .. } in due {
        if let Err(reason) = perform(world, change) {
            tracing::warn!(page, reason, "a planned change could not be made");
        }
    }
}

fn perform(world: &mut World, change: Change) -> Result<Vec<u64>, &'static str> {
    let now = world.now();
    let slots = match change {
        Change::Edit {
            position,
            id,
            count,
            set,
            at,
            ..
        } => {
            let slots = choose(world, position, id, count)?;
            let set = writable(set);
            for slot in &slots {
                world.contacts.edit(*slot, set.clone(), at.unwrap_or(now));
            }
            slots
        }
        Change::Add { count, set, at, .. } => {
            if count > MOST_ADDED {
                return Err("`count` may be 100000 at most");
            }
            let set = writable(set);
            (0..count)
                .map(|_| world.contacts.add_generated(set.clone(), at.unwrap_or(now)))
                .collect()
        }
        Change::Delete {
            position,
            id,
            count,
            permanent,
            at,
            ..
        } => {
            let slots = choose(world, position, id, count)?;
            let at = at.unwrap_or(now);
            for slot in &slots {
                if permanent {
                    world.contacts.delete_for_good(*slot, at);
                } else {
                    world.contacts.delete_to_recycle_bin(*slot, at);
                }
            }
            slots
        }
    };
    Ok(slots
        .into_iter()
        .map(|slot| world.contacts.get(slot).id)
        .collect())
}

/// Contacts by their place among those that are there, lowest id first, or one by its id.
fn choose(
    world: &mut World,
    position: Option<usize>,
    id: Option<Value>,
    count: u32,
) -> Result<Vec<Slot>, &'static str> {
    match (position, id) {
        (Some(position), None) => {
            let all = world.contacts.in_id_order();
            let end = position.saturating_add(count as usize);
            all.get(position..end)
                .map(<[Slot]>::to_vec)
                .ok_or("there are not so many contacts; `position` counts from 0 in id order")
        }
        (None, Some(id)) => find(&world.contacts, &id)
            .map(|slot| vec![slot])
            .ok_or("there is no contact of this id"),
        _ => Err("give either `position` or `id`"),
    }
}
