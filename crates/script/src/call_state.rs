//! What belongs to one call while the engine runs it: its variables, its storage, its time and seed.
//!
//! Functions registered in the shared engine need `'static` access, so the state travels as the call's
//! tag and is taken apart again when the call has ended.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rhai::{Dynamic, EvalAltResult, NativeCallContext};
use velodrome_types::Timestamp;

use crate::errors::{FAILED, Raised};
use crate::outside::Requests;
use crate::script::Facts;
use crate::storage::{Family, StorageView};
use crate::vars::{Var, Vars};

/// How many missed keys are remembered for hints.
const MISSED: usize = 16;

/// The tag. Cloning it is cloning a pointer.
#[derive(Clone)]
pub(crate) struct CallTag(pub(crate) Arc<CallState>);

/// One call's state.
pub(crate) struct CallState {
    /// The variables as given. What the script touches is converted on first use.
    pub(crate) vars: Vars,
    pub(crate) slots: [OnceLock<Dynamic>; Var::COUNT],
    pub(crate) facts: Arc<Facts>,
    pub(crate) now: Timestamp,
    pub(crate) seed: [u8; 16],
    changing: Mutex<Changing>,
}

/// What native functions change.
pub(crate) struct Changing {
    pub(crate) storage: Option<Box<dyn StorageView>>,
    pub(crate) requests: Requests,
    pub(crate) uuids: u64,
    pub(crate) missed: Vec<String>,
}

impl CallState {
    pub(crate) fn new(
        vars: Vars,
        (storage, requests): (Box<dyn StorageView>, Requests),
        facts: Arc<Facts>,
        now: Timestamp,
        seed: [u8; 16],
    ) -> Self {
        Self {
            vars,
            slots: [const { OnceLock::new() }; Var::COUNT],
            facts,
            now,
            seed,
            changing: Mutex::new(Changing {
                storage: Some(storage),
                requests,
                uuids: 0,
                missed: Vec::new(),
            }),
        }
    }

    /// The script's value of a variable, converted on first use.
    pub(crate) fn variable(&self, var: Var) -> Dynamic {
        self.slots[var as usize]
            .get_or_init(|| var.load(&self.vars))
            .clone()
    }

    /// What native functions change. A lock that a panic poisoned is still this call's alone.
    pub(crate) fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a key that storage does not have.
    pub(crate) fn miss(&self, family: Family, key: &str) {
        let mut changing = self.changing();
        let shown: String = key.chars().take(128).collect();
        let line = format!("`{shown}` is not in {family}_storage");
        changing.missed.retain(|known| *known != line);
        if changing.missed.len() >= MISSED {
            changing.missed.remove(0);
        }
        changing.missed.push(line);
    }
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallState").finish_non_exhaustive()
    }
}

/// Runs `work` on the state of the call that `context` belongs to.
///
/// A constant is evaluated before there is any call: a function that needs one cannot stand there.
pub(crate) fn with_state<T>(
    context: &NativeCallContext<'_>,
    work: impl FnOnce(&CallState) -> Result<T, Box<EvalAltResult>>,
) -> Result<T, Box<EvalAltResult>> {
    match context.tag().and_then(|tag| tag.read_lock::<CallTag>()) {
        Some(tag) => work(&tag.0),
        None => Err(Raised::error(
            FAILED,
            format!("`{}` works only inside a handler", context.fn_name()),
        )),
    }
}
