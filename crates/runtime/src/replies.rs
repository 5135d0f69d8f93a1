//! Callers who are held until their run reaches a `respond`.
//!
//! Whoever asks is in this process, so nothing of it is stored: what survives a crash is the run, and, where the
//! request had a key, the answer that is remembered under it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;
use velodrome_types::RunId;

use crate::api::HookAnswer;

/// Those who wait, by run.
#[derive(Debug, Default)]
pub(crate) struct Replies(Mutex<HashMap<RunId, Vec<oneshot::Sender<HookAnswer>>>>);

impl Replies {
    /// Waits for what this run answers.
    pub(crate) fn of(&self, run: RunId) -> oneshot::Receiver<HookAnswer> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_run = waiting.entry(run).or_default();
        of_run.retain(|answer| !answer.is_closed());
        of_run.push(answer);
        answered
    }

    /// Answers all who wait for this run.
    pub(crate) fn give(&self, run: RunId, answer: &HookAnswer) {
        let waiting = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.remove(&run)
        };
        for held in waiting.into_iter().flatten() {
            // Whoever has gone away meanwhile does not hear it.
            let _ = held.send(answer.clone());
        }
    }

    /// Nobody waits for this run any more.
    pub(crate) fn forget(&self, run: RunId) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_run) = waiting.get_mut(&run) {
            of_run.retain(|answer| !answer.is_closed());
            if of_run.is_empty() {
                waiting.remove(&run);
            }
        }
    }
}
