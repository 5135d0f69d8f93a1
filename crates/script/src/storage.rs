//! What a script may do with storage, as the runtime provides it.

use std::fmt;

use velodrome_types::Json;

/// Whose storage a function reads and writes: the part of its name before `_storage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Shared by all cycles on one connection.
    Cyclr,
    /// Of one cycle on a connection.
    Cycle,
    /// Of one loop.
    Loop,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 3] = [Self::Cyclr, Self::Cycle, Self::Loop];

    /// The family's name, as in [`velodrome_spec::plan::ScriptAnalysis::reads`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cyclr => "cyclr",
            Self::Cycle => "cycle",
            Self::Loop => "loop",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why storage refused; a script may catch it, and one that does not fails with this code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageFault {
    /// The stable code, such as `storage.key_too_long`.
    pub code: &'static str,
    /// What is wrong, naming the key.
    pub message: String,
}

/// One handler's view of storage: what is committed, and over it what the handler itself has written.
///
/// The host calls it on the thread that called [`ScriptHost::call`](crate::ScriptHost::call), one call
/// at a time. It should not block for long: the script's clock goes on meanwhile.
pub trait StorageView: Send + Sync {
    /// The value of a key, or `None`.
    fn get(&mut self, family: Family, key: &str) -> Result<Option<Json>, StorageFault>;
    /// Puts a value.
    fn set(&mut self, family: Family, key: &str, value: Json) -> Result<(), StorageFault>;
    /// Adds to the end of a value.
    fn append(&mut self, family: Family, key: &str, value: Json) -> Result<(), StorageFault>;
    /// Removes a key; one that is not there is fine.
    fn delete(&mut self, family: Family, key: &str) -> Result<(), StorageFault>;
    /// Removes every key of the family.
    fn delete_all(&mut self, family: Family) -> Result<(), StorageFault>;
    /// Every key of the family.
    fn list_keys(&mut self, family: Family) -> Result<Vec<String>, StorageFault>;
    /// Every value of the family, in the order of [`list_keys`](Self::list_keys).
    fn list_values(&mut self, family: Family) -> Result<Vec<Json>, StorageFault>;
    /// Adds to a number, a missing one being 0, and gives the new one.
    fn increment(&mut self, family: Family, key: &str, by: f64) -> Result<Json, StorageFault>;
    /// Takes from a number, a missing one being 0, and gives the new one.
    fn decrement(&mut self, family: Family, key: &str, by: f64) -> Result<Json, StorageFault>;
}
