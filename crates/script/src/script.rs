//! A compiled script and what is known of it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rhai::{AST, Dynamic, ImmutableString};
use velodrome_spec::plan::{Language, ScriptAnalysis};

use crate::js::Source;
use crate::vars::Var;

/// A compiled script. Shared between calls and threads.
pub struct Script {
    pub(crate) analysis: ScriptAnalysis,
    pub(crate) body: Body,
}

/// What runs.
pub(crate) enum Body {
    /// Here.
    Rhai {
        /// Compiled.
        ast: AST,
        /// What a call needs to know.
        facts: Arc<Facts>,
    },
    /// In a worker.
    JavaScript(Source),
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

/// A script's language and text.
type Key = (Language, Arc<str>);

/// Compiled scripts by language and text; the oldest goes first.
#[derive(Default)]
pub(crate) struct Cache {
    inner: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    rhai: HashMap<Arc<str>, Arc<Script>>,
    javascript: HashMap<Arc<str>, Arc<Script>>,
    order: VecDeque<Key>,
}

impl Kept {
    fn of(&mut self, language: Language) -> &mut HashMap<Arc<str>, Arc<Script>> {
        match language {
            Language::Rhai => &mut self.rhai,
            Language::JavaScript => &mut self.javascript,
        }
    }
}

impl Cache {
    pub(crate) fn get(&self, language: Language, code: &str) -> Option<Arc<Script>> {
        let mut kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of(language).get(code).cloned()
    }

    /// Keeps a script; gives the one already kept if another thread was faster.
    pub(crate) fn put(&self, language: Language, code: &str, script: Arc<Script>) -> Arc<Script> {
        let mut kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.of(language).get(code) {
            return Arc::clone(known);
        }
        if kept.order.len() >= KEPT
            && let Some((language, oldest)) = kept.order.pop_front()
        {
            kept.of(language).remove(&oldest);
        }
        let code: Arc<str> = code.into();
        kept.order.push_back((language, Arc::clone(&code)));
        kept.of(language).insert(code, Arc::clone(&script));
        script
    }
}
