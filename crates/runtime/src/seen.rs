//! Records that a loop has seen, so that it drops their repeats (SPEC §8).
//!
//! A key is 12 bytes. Those of one answer are one part of what is kept beside the loop's row, written in the
//! commit of that answer: what a lap writes does not grow with what earlier ones saw. All of them are in
//! memory only while the loop's task is, and only where its lists drop repeats.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use velodrome_core::RecordKey;
use velodrome_store::{PartWrite, Store, StoreError};
use velodrome_types::{LoopId, StepId};

/// The format of the parts written now: the step's name behind its length in a byte, then the keys.
const FORMAT: u8 = 1;
const KEY: usize = size_of::<RecordKey>();

/// What a list step has seen in a loop.
pub(crate) type SeenKeys = Arc<HashSet<RecordKey>>;

/// What a loop has seen, in the order it saw it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    parts: VecDeque<Part>,
    by_step: BTreeMap<StepId, SeenKeys>,
    next: u64,
    count: u64,
}

#[derive(Debug)]
struct Part {
    number: u64,
    step: StepId,
    keys: Vec<RecordKey>,
}

impl Seen {
    /// Reads what is kept of a loop.
    pub(crate) fn load(store: &dyn Store, id: LoopId) -> Result<Self, StoreError> {
        let mut seen = Self::default();
        for (number, body) in store.loop_parts(id)? {
            let (step, keys) = decode(&body).ok_or_else(|| StoreError::Damaged {
                what: format!("the records that loop {id} has seen"),
                why: "a part of them cannot be read".to_owned(),
            })?;
            seen.take_in(number, step, keys);
        }
        Ok(seen)
    }

    /// What this step has seen.
    pub(crate) fn of(&self, step: &StepId) -> SeenKeys {
        self.by_step.get(step).cloned().unwrap_or_default()
    }

    /// What is written to remember these, and to forget the oldest past `limit`.
    pub(crate) fn writes(
        &self,
        id: LoopId,
        step: &StepId,
        keys: &[RecordKey],
        limit: u64,
    ) -> Vec<PartWrite> {
        let put = PartWrite::PutOfLoop(id, self.next, encode(step, keys));
        let below = self.oldest_kept(keys.len() as u64, limit);
        let forget = below.map(|below| PartWrite::ForgetOfLoop(id, below));
        std::iter::once(put).chain(forget).collect()
    }

    /// The same, once it is committed.
    pub(crate) fn remember(&mut self, step: StepId, keys: Vec<RecordKey>, limit: u64) {
        let below = self.oldest_kept(keys.len() as u64, limit);
        let number = self.next;
        self.take_in(number, step, keys);
        while self
            .parts
            .front()
            .is_some_and(|part| below.is_some_and(|below| part.number < below))
        {
            let Some(part) = self.parts.pop_front() else {
                return;
            };
            self.count -= part.keys.len() as u64;
            if let Some(known) = self.by_step.get_mut(&part.step) {
                let known = Arc::make_mut(known);
                for key in &part.keys {
                    known.remove(key);
                }
            }
        }
    }

    /// The number of the oldest part that is still kept when so many keys more are, where any goes.
    fn oldest_kept(&self, more: u64, limit: u64) -> Option<u64> {
        let mut count = self.count + more;
        let mut below = None;
        for part in &self.parts {
            if count <= limit {
                break;
            }
            count -= part.keys.len() as u64;
            below = Some(part.number + 1);
        }
        below
    }

    fn take_in(&mut self, number: u64, step: StepId, keys: Vec<RecordKey>) {
        self.next = self.next.max(number + 1);
        self.count += keys.len() as u64;
        let known = self.by_step.entry(step.clone()).or_default();
        // The job that was given the set has ended, so nothing is copied here.
        Arc::make_mut(known).extend(keys.iter().copied());
        self.parts.push_back(Part { number, step, keys });
    }
}

fn encode(step: &StepId, keys: &[RecordKey]) -> Vec<u8> {
    let name = step.as_str().as_bytes();
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let mut body = Vec::with_capacity(2 + name.len() + keys.len() * KEY);
    body.extend([FORMAT, length]);
    body.extend(&name[..usize::from(length)]);
    keys.iter().for_each(|key| body.extend(key));
    body
}

fn decode(body: &[u8]) -> Option<(StepId, Vec<RecordKey>)> {
    let [FORMAT, length, rest @ ..] = body else {
        return None;
    };
    let (name, keys) = rest.split_at_checked(usize::from(*length))?;
    let (keys, []) = keys.as_chunks::<KEY>() else {
        return None;
    };
    Some((StepId::from(std::str::from_utf8(name).ok()?), keys.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> RecordKey {
        [number; KEY]
    }

    #[test]
    fn the_oldest_are_forgotten_in_parts_and_others_kept() {
        let id = LoopId::new(velodrome_types::Timestamp::from_millis(0), [1; 10]);
        let (a, b) = (StepId::from("a"), StepId::from("b"));
        let mut seen = Seen::default();
        for (step, keys, forgotten) in [
            (&a, vec![key(1), key(2)], None),
            (&b, vec![key(1)], None),
            (&a, vec![key(3), key(4)], None),
            (&a, vec![key(5)], Some(1)),
        ] {
            let writes = seen.writes(id, step, &keys, 5);
            let forgot = writes.iter().find_map(|write| match write {
                PartWrite::ForgetOfLoop(_, below) => Some(*below),
                _ => None,
            });
            assert_eq!(forgot, forgotten);
            seen.remember(step.clone(), keys, 5);
        }
        let known = |step| {
            let mut known: Vec<u8> = seen.of(step).iter().map(|key| key[0]).collect();
            known.sort_unstable();
            known
        };
        assert_eq!((known(&a), known(&b)), (vec![3, 4, 5], vec![1]));
    }

    #[test]
    fn parts_are_read_as_they_were_written_and_damage_is_seen() {
        let step = StepId::from("contacts");
        let body = encode(&step, &[key(1), key(2)]);
        assert_eq!(body.len(), 2 + 8 + 24, "12 bytes a record");
        assert_eq!(decode(&body), Some((step, vec![key(1), key(2)])));
        for bad in [&body[..9], &body[..body.len() - 1], &[2, 0], &[], &[1]] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
