//! What many seeds came to: whether each kind of trouble happened often enough for them to mean something.

use std::collections::{BTreeMap, BTreeSet};

use velodrome_types::{Event, LoopId};

use crate::scenario::Ended;

/// What many seeds came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    seeds: u64,
    loops: u64,
    crashes: u64,
    refused: u64,
    faults: u64,
    stops: u64,
    /// Stops that were said while a commit was under way.
    stopped_in_between: u64,
    /// Loops with laps on more than one version.
    edited_in_mid_loop: u64,
    watermarks_moved: u64,
    /// Watermarks that stayed because a list had failed for good.
    watermarks_kept: u64,
    /// Failed runs that somebody was told of, outside and by a webhook of the server itself.
    told: u64,
    told_itself: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, ended: &Ended) {
        self.seeds += 1;
        self.loops += ended.loops.len() as u64;
        self.crashes += ended.crashes;
        self.refused += ended.refused;
        self.faults += ended.world.faults;
        self.stops += u64::from(ended.stops);
        self.stopped_in_between += ended.done.stopped_in_between;
        self.told += ended.world.told.len() as u64;
        self.told_itself += ended.told.as_u64().unwrap_or(0);
        let mut versions: BTreeMap<LoopId, BTreeSet<&str>> = BTreeMap::new();
        for line in &ended.log {
            match line.event {
                Event::WatermarkMoved => self.watermarks_moved += 1,
                Event::WatermarkKept => self.watermarks_kept += 1,
                _ => {}
            }
            if let (Some(id), Some(version)) = (line.loop_id, line.version.as_deref()) {
                versions.entry(id).or_default().insert(version);
            }
        }
        let edited = versions.values().filter(|versions| versions.len() > 1);
        self.edited_in_mid_loop += edited.count() as u64;
    }

    /// Whether each kind of trouble happened often enough for the seeds to mean something.
    pub(crate) fn is_rich(&self) -> bool {
        let often = |count: u64| count * 4 >= self.seeds;
        let now_and_then = |count: u64| count * 100 >= self.seeds;
        often(self.loops)
            && often(self.crashes)
            && often(self.faults)
            && often(self.watermarks_moved)
            && often(self.told)
            && often(self.told_itself)
            && now_and_then(self.edited_in_mid_loop)
            && now_and_then(self.watermarks_kept)
            && now_and_then(self.stopped_in_between)
            && self.refused > 0
            && self.stops > 0
    }
}
