//! A compiled script and what is known of it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rhai::{AST, Dynamic, ImmutableString};
use velodrome_spec::plan::ScriptAnalysis;

use crate::vars::Var;

/// A compiled script. Shared between calls and threads.
pub struct Script {
    pub(crate) ast: AST,
    pub(crate) analysis: ScriptAnalysis,
    pub(crate) facts: Arc<Facts>,
}

/// What a call needs to know of its script.
pub(crate) struct Facts {
    /// `const` at the top level, evaluated once.
    pub(crate) constants: Vec<(ImmutableString, Dynamic)>,
    /// The variables that some function may change, by their number.
    pub(crate) changes: [bool; Var::COUNT],
}

impl Facts {
    /// A constant, for reading.
    pub(crate) fn constant(&self, name: &str) -> Option<Dynamic> {
        self.constants
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }
}

impl Script {
    /// What was found in it.
    pub fn analysis(&self) -> &ScriptAnalysis {
        &self.analysis
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("analysis", &self.analysis)
            .finish_non_exhaustive()
    }
}

/// How many scripts are kept compiled: more than a busy server has, and at some 20 kB each no burden.
const KEPT: usize = 1_024;

/// Compiled scripts by their text; the oldest goes first.
#[derive(Default)]
pub(crate) struct Cache {
    inner: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    scripts: HashMap<Arc<str>, Arc<Script>>,
    order: VecDeque<Arc<str>>,
}

impl Cache {
    pub(crate) fn get(&self, code: &str) -> Option<Arc<Script>> {
        let kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        kept.scripts.get(code).cloned()
    }

    /// Keeps a script; gives the one already kept if another thread was faster.
    pub(crate) fn put(&self, code: &str, script: Arc<Script>) -> Arc<Script> {
        let mut kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.scripts.get(code) {
            return Arc::clone(known);
        }
        if kept.order.len() >= KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.scripts.remove(&oldest);
        }
        let code: Arc<str> = code.into();
        kept.order.push_back(Arc::clone(&code));
        kept.scripts.insert(code, Arc::clone(&script));
        script
    }
}
