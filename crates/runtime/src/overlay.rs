//! What a handler sees of script storage: the committed values under the writes that are still to be
//! committed, its own and those of the handlers before it in the same unit (I6).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use velodrome_script::{Family, StorageFault, StorageView};
use velodrome_store::{
    Namespace, StorageLimits, StorageOp, StorageWrite, Store, StoreError, apply,
};
use velodrome_types::{ConnectionId, CycleId, Json, LoopId};

/// How many items one `list_keys`, `list_values` or `get_all` gives at the most: where there are more, it is
/// an error, never a part of them.
const LIST_LIMIT: usize = 100_000;

/// Writes that are to be committed, and what is known of values because of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    writes: Vec<StorageWrite>,
    /// How many of them the log tells.
    told: usize,
    values: BTreeMap<(Namespace, String), Option<Json>>,
    emptied: Vec<Namespace>,
    /// What the writes take, about, in bytes.
    bytes: usize,
}

/// Bytes that are written in one commit at the most, about, and those that one `list_values` gives: whatever a
/// script does in its time, the engine holds it in memory.
const MOST_BYTES: usize = 32 * 1024 * 1024;

impl Overlay {
    /// The writes that the log does not tell yet; from now on it does.
    pub(crate) fn untold(&mut self) -> &[StorageWrite] {
        let from = std::mem::replace(&mut self.told, self.writes.len());
        &self.writes[from.min(self.writes.len())..]
    }

    /// The writes, in the order they were made.
    pub(crate) fn into_writes(self) -> Vec<StorageWrite> {
        self.writes
    }
}

/// Whose storage a handler reaches.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) connection: ConnectionId,
    pub(crate) cycle: CycleId,
    pub(crate) loop_id: LoopId,
}

/// A handler's view: the store under an overlay. The engine keeps one handle and gives the script
/// host the other.
#[derive(Clone, Debug)]
pub(crate) struct View(Arc<Mutex<Inner>>);

impl View {
    pub(crate) fn new(store: Arc<dyn Store>, reach: Reach, overlay: Overlay) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            store,
            reach,
            overlay,
            foreign: Vec::new(),
        })))
    }

    /// The overlay as the handler left it, and the values it read that another loop wrote: key, loop.
    pub(crate) fn take(&self) -> (Overlay, Vec<(String, LoopId)>) {
        let mut inner = self.lock();
        (
            std::mem::take(&mut inner.overlay),
            std::mem::take(&mut inner.foreign),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    reach: Reach,
    overlay: Overlay,
    foreign: Vec<(String, LoopId)>,
}

impl Inner {
    fn namespace(&self, family: Family) -> Namespace {
        let Reach {
            connection,
            cycle,
            loop_id,
        } = &self.reach;
        match family {
            Family::Cyclr => Namespace::Connection(connection.clone()),
            Family::Cycle => Namespace::Cycle(connection.clone(), cycle.clone()),
            Family::Loop => Namespace::Loop(connection.clone(), *loop_id),
        }
    }

    fn value(&mut self, namespace: &Namespace, key: &str) -> Result<Option<Json>, StorageFault> {
        if let Some(known) = self
            .overlay
            .values
            .get(&(namespace.clone(), key.to_owned()))
        {
            return Ok(known.clone());
        }
        if self.overlay.emptied.contains(namespace) {
            return Ok(None);
        }
        let stored = self.store.get(namespace, key).map_err(fault)?;
        Ok(stored.map(|stored| {
            if let Some(writer) = stored
                .written_by
                .filter(|writer| *writer != self.reach.loop_id)
            {
                self.foreign.push((key.to_owned(), writer));
            }
            stored.value
        }))
    }

    fn write(&mut self, family: Family, op: StorageOp) -> Result<Option<Json>, StorageFault> {
        let namespace = self.namespace(family);
        self.overlay.bytes += weight(&op);
        if self.overlay.bytes > MOST_BYTES {
            return Err(StorageFault {
                code: "storage.too_much",
                message: "a step writes more than 32 MiB to storage before it is committed"
                    .to_owned(),
            });
        }
        let after = match op.key().map(str::to_owned) {
            Some(key) => {
                let needs_current = matches!(op, StorageOp::Increment(..) | StorageOp::Append(..));
                let current = if needs_current {
                    self.value(&namespace, &key)?
                } else {
                    None
                };
                let after =
                    apply(&op, current.as_ref(), &StorageLimits::default()).map_err(|refusal| {
                        StorageFault {
                            code: refusal.code,
                            message: refusal.message,
                        }
                    })?;
                self.overlay
                    .values
                    .insert((namespace.clone(), key), after.clone());
                after
            }
            None => {
                self.overlay
                    .values
                    .retain(|(in_namespace, _), _| *in_namespace != namespace);
                self.overlay.emptied.push(namespace.clone());
                None
            }
        };
        let write = StorageWrite {
            namespace,
            by: Some(self.reach.loop_id),
            op,
        };
        match self.overlay.writes.last_mut() {
            // What is set over and over is written once.
            Some(last) if sets_again(last, &write) => {
                self.overlay.bytes -= weight(&last.op);
                *last = write;
                // Told with the value that it has now.
                self.overlay.told = self.overlay.told.min(self.overlay.writes.len() - 1);
            }
            _ => self.overlay.writes.push(write),
        }
        Ok(after)
    }

    fn all(&mut self, family: Family) -> Result<BTreeMap<String, Json>, StorageFault> {
        let namespace = self.namespace(family);
        let mut all = BTreeMap::new();
        if !self.overlay.emptied.contains(&namespace) {
            let (mut bytes, mut after) = (0, None);
            loop {
                let some = self.store.list(&namespace, after.as_deref(), LIST_PART);
                let some = some.map_err(fault)?;
                let is_last = some.len() < LIST_PART;
                after = some.last().map(|(key, _)| key.clone());
                for (key, stored) in some {
                    bytes += key.len() + weight_of(&stored.value);
                    all.insert(key, stored.value);
                }
                if is_last && bytes <= MOST_BYTES {
                    break;
                }
                if bytes > MOST_BYTES || all.len() >= LIST_LIMIT {
                    return Err(StorageFault {
                        code: "storage.too_much",
                        message: format!(
                            "storage holds more than {LIST_LIMIT} items or 32 MiB here: read its keys one by one"
                        ),
                    });
                }
            }
        }
        for ((in_namespace, key), value) in &self.overlay.values {
            if *in_namespace == namespace {
                match value {
                    Some(value) => all.insert(key.clone(), value.clone()),
                    None => all.remove(key),
                };
            }
        }
        Ok(all)
    }
}

/// How many items are read at once for a list.
const LIST_PART: usize = 1_000;

/// Whether a write takes the place of the one before it.
fn sets_again(last: &StorageWrite, write: &StorageWrite) -> bool {
    let both_set = matches!(
        (&last.op, &write.op),
        (StorageOp::Set(..), StorageOp::Set(..))
    );
    both_set && last.namespace == write.namespace && last.op.key() == write.op.key()
}

/// What a write takes, about.
fn weight(op: &StorageOp) -> usize {
    let value = match op {
        StorageOp::Set(_, value) | StorageOp::Append(_, value) => weight_of(value),
        _ => 0,
    };
    64 + op.key().map_or(0, str::len) + value
}

/// What a value takes, about.
fn weight_of(value: &Json) -> usize {
    let inside = match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(weight_of).sum(),
        Json::Object(fields) => fields
            .iter()
            .map(|(name, field)| name.len() + weight_of(field))
            .sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    };
    size_of::<Json>() + inside
}

fn fault(error: StoreError) -> StorageFault {
    StorageFault {
        code: "storage.unreadable",
        message: error.to_string(),
    }
}

impl StorageView for View {
    fn get(&mut self, family: Family, key: &str) -> Result<Option<Json>, StorageFault> {
        let mut inner = self.lock();
        let namespace = inner.namespace(family);
        inner.value(&namespace, key)
    }

    fn set(&mut self, family: Family, key: &str, value: Json) -> Result<(), StorageFault> {
        self.lock()
            .write(family, StorageOp::Set(key.to_owned(), value))
            .map(drop)
    }

    fn append(&mut self, family: Family, key: &str, value: Json) -> Result<(), StorageFault> {
        self.lock()
            .write(family, StorageOp::Append(key.to_owned(), value))
            .map(drop)
    }

    fn delete(&mut self, family: Family, key: &str) -> Result<(), StorageFault> {
        self.lock()
            .write(family, StorageOp::Delete(key.to_owned()))
            .map(drop)
    }

    fn delete_all(&mut self, family: Family) -> Result<(), StorageFault> {
        self.lock().write(family, StorageOp::DeleteAll).map(drop)
    }

    fn list_keys(&mut self, family: Family) -> Result<Vec<String>, StorageFault> {
        Ok(self.lock().all(family)?.into_keys().collect())
    }

    fn list_values(&mut self, family: Family) -> Result<Vec<Json>, StorageFault> {
        Ok(self.lock().all(family)?.into_values().collect())
    }

    fn increment(&mut self, family: Family, key: &str, by: f64) -> Result<Json, StorageFault> {
        let after = self
            .lock()
            .write(family, StorageOp::Increment(key.to_owned(), by))?;
        Ok(after.unwrap_or(Json::Null))
    }

    fn decrement(&mut self, family: Family, key: &str, by: f64) -> Result<Json, StorageFault> {
        self.increment(family, key, -by)
    }
}
