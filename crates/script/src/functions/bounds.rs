//! How much a function may still make. Each piece is asked for before it is made.

use super::FunctionFault;
use crate::limits::{MAX_NESTING, ScriptLimits};

/// What one result may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    text: usize,
    list: usize,
    memory: usize,
}

impl Bounds {
    /// A value's place in a list or an object, roughly.
    const VALUE: usize = 64;

    pub(super) fn of(limits: &ScriptLimits) -> Self {
        Self {
            text: limits.text,
            list: limits.list,
            memory: limits.memory,
        }
    }

    /// Whether a text of so many bytes would be too long.
    pub(super) fn fits(self, bytes: usize) -> Result<(), FunctionFault> {
        if bytes > self.text {
            return Err(FunctionFault::Text);
        }
        Ok(())
    }

    /// Takes a text of so many bytes.
    pub(super) fn text(&mut self, bytes: usize) -> Result<(), FunctionFault> {
        self.text = self.text.checked_sub(bytes).ok_or(FunctionFault::Text)?;
        self.take(bytes)
    }

    /// Takes so many values of a list or an object.
    pub(super) fn items(&mut self, count: usize) -> Result<(), FunctionFault> {
        self.list = self.list.checked_sub(count).ok_or(FunctionFault::List)?;
        self.take(count.saturating_mul(Self::VALUE))
    }

    /// Takes a field of an object with a name of so many bytes.
    pub(super) fn field(&mut self, name: usize) -> Result<(), FunctionFault> {
        self.items(1)?;
        self.take(name)
    }

    fn take(&mut self, bytes: usize) -> Result<(), FunctionFault> {
        self.memory = self
            .memory
            .checked_sub(bytes)
            .ok_or(FunctionFault::Memory)?;
        Ok(())
    }
}

/// Elements within each other. Each may be a level of its own and of the list it stands in.
pub(super) const MAX_ELEMENTS: usize = MAX_NESTING / 2 - 4;
