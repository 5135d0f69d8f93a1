//! What must hold at the end of every seed.

mod notices;
mod versions;
mod watermarks;

use std::collections::{BTreeMap, BTreeSet};

use velodrome_store::LoopRow;
use velodrome_types::{Event, LogLine, LoopId, LoopStatus, RunId, Timestamp};

use crate::cycles::{FAILING, ITEMS};
use crate::scenario::Ended;

type Checked = Result<(), String>;

pub(crate) fn check(ended: &Ended) -> Checked {
    let check = Check { ended };
    check.every_cycle_was_taken()?;
    check.everything_has_ended()?;
    check.every_acceptance_is_there()?;
    check.lines_are_numbered()?;
    for looped in &ended.loops {
        match looped.cycle.as_str() {
            "in_turn" | "own" | "http" => check.pages(looped)?,
            "items" => check.items(looped)?,
            "marked" => check.marked(looped)?,
            _ => {}
        }
    }
    check.every_lap_asked_its_own_page()?;
    check.one_after_the_other("in_turn")?;
    check.one_after_the_other("child")?;
    check.one_after_the_other("marked")?;
    check.runs_end_on_the_version_they_began_with()?;
    check.watermarks_only_rise()?;
    check.no_change_is_missed()?;
    check.each_failure_was_told_outside()?;
    check.each_alarm_was_told_once()?;
    check.no_timer_was_early()?;
    check.storage_is_as_by_one_pass()
}

struct Check<'a> {
    ended: &'a Ended,
}

fn that(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why()) }
}

impl Check<'_> {
    fn lines_of(&self, id: LoopId) -> impl Iterator<Item = &LogLine> {
        self.ended
            .log
            .iter()
            .filter(move |line| line.loop_id == Some(id))
    }

    /// A cycle that is not taken is not tested.
    fn every_cycle_was_taken(&self) -> Checked {
        let bad = |line: &LogLine| {
            let edits = self.ended.done.edits.iter();
            let mut bad = edits.filter(|edit| edit.number.is_none());
            bad.any(|edit| {
                line.cycle
                    .as_ref()
                    .is_some_and(|id| id.as_str() == edit.cycle)
            })
        };
        let rejected = |line: &&LogLine| line.event == Event::CycleRejected && !bad(line);
        match self.ended.log.iter().find(rejected) {
            Some(line) => Err(format!("{} {:?}", line.message, line.data)),
            None => Ok(()),
        }
    }

    fn everything_has_ended(&self) -> Checked {
        for looped in &self.ended.loops {
            let told = || format!("{} of {} is {}", looped.id, looped.cycle, looped.status);
            match looped.status {
                LoopStatus::Succeeded => {}
                LoopStatus::Failed if FAILING.contains(&looped.cycle.as_str()) => {}
                LoopStatus::Stopped => that(self.ended.stops, told)?,
                _ => return Err(told()),
            }
        }
        Ok(())
    }

    fn every_acceptance_is_there(&self) -> Checked {
        let there: BTreeSet<String> = self
            .ended
            .loops
            .iter()
            .map(|looped| looped.id.to_string())
            .collect();
        for id in &self.ended.done.accepted {
            that(there.contains(id), || {
                format!("{id} was accepted and is not there")
            })?;
        }
        Ok(())
    }

    /// Numbers rise without holes, and time never goes back within a life: it only stands or goes on.
    fn lines_are_numbered(&self) -> Checked {
        for (at, line) in self.ended.log.iter().enumerate() {
            let expected = at as u64 + 1;
            that(line.seq == expected, || {
                format!("line {} where {expected} was due", line.seq)
            })?;
        }
        Ok(())
    }

    /// Every page of a loop that has succeeded was answered once, in order; of one that was stopped a
    /// beginning of them.
    fn pages(&self, looped: &LoopRow) -> Checked {
        let answered: Vec<u64> = self
            .lines_of(looped.id)
            .filter(|line| line.event == Event::ResponseReceived)
            .filter_map(|line| line.lap)
            .collect();
        let expected: Vec<u64> = (1..=answered.len() as u64).collect();
        that(answered == expected, || {
            format!("{} answered laps {answered:?}", looped.id)
        })?;
        if looped.status == LoopStatus::Succeeded {
            let pages = self.ended.pages;
            that(
                looped.laps == pages && answered.len() as u64 == pages,
                || {
                    format!(
                        "{} made {} laps and {} pages of {pages}",
                        looped.id,
                        looped.laps,
                        answered.len()
                    )
                },
            )?;
        }
        let accepted = self
            .lines_of(looped.id)
            .filter(|line| line.event == Event::WebhookAccepted)
            .count() as u64;
        that(accepted == looped.laps, || {
            format!("{} accepted {accepted} laps of {}", looped.id, looped.laps)
        })
    }

    /// A lap's page follows from what the lap before kept: any page that was skipped, repeated or taken
    /// from another loop shows here.
    fn every_lap_asked_its_own_page(&self) -> Checked {
        for asked in &self.ended.world.asked {
            that(asked.lap == asked.page, || format!("{asked:?}"))?;
        }
        Ok(())
    }

    /// Each item of a loop that has succeeded was taken, and again only with its key.
    fn items(&self, looped: &LoopRow) -> Checked {
        if looped.status != LoopStatus::Succeeded {
            return Ok(());
        }
        let run = self.lines_of(looped.id).find_map(|line| line.run);
        let run = run.ok_or_else(|| format!("{} has no run", looped.id))?;
        for item in 0..ITEMS {
            let key = format!("{run}/each/{item}");
            let taken = self.ended.world.taken.contains(&key);
            that(taken, || {
                format!("item {item} of {} was not taken", looped.id)
            })?;
        }
        Ok(())
    }

    /// Loops of a cycle with one place: from its first step to its end none is disturbed by another.
    fn one_after_the_other(&self, cycle: &str) -> Checked {
        let mut spans: Vec<(u64, u64, LoopId)> = Vec::new();
        for looped in self
            .ended
            .loops
            .iter()
            .filter(|looped| looped.cycle.as_str() == cycle)
        {
            // A loop that has failed gives its place back, and has one again when it is taken up.
            let mut span: Option<(u64, u64)> = None;
            for line in self.lines_of(looped.id) {
                match line.event {
                    Event::ResponseReceived
                    | Event::DelayStarted
                    | Event::DelayEnded
                    | Event::HandoffSent => {
                        let first = span.map_or(line.seq, |(first, _)| first);
                        span = Some((first, line.seq));
                    }
                    Event::LoopFailed => {
                        let failed = span.take();
                        spans.extend(failed.map(|(first, last)| (first, last, looped.id)));
                    }
                    _ => {}
                }
            }
            spans.extend(span.map(|(first, last)| (first, last, looped.id)));
        }
        spans.sort_unstable();
        for pair in spans.windows(2) {
            that(pair[0].1 < pair[1].0, || {
                format!("{} and {} of `{cycle}` overlap", pair[0].2, pair[1].2)
            })?;
        }
        Ok(())
    }

    fn no_timer_was_early(&self) -> Checked {
        let mut due: BTreeMap<RunId, Timestamp> = BTreeMap::new();
        for line in &self.ended.log {
            let Some(run) = line.run else { continue };
            match line.event {
                Event::DelayStarted => {
                    let until = line.data.as_ref().and_then(|data| data["until"].as_str());
                    let until = until.and_then(|until| Timestamp::parse(until).ok());
                    due.extend(until.map(|until| (run, until)));
                }
                Event::DelayEnded => {
                    let early = due.get(&run).is_some_and(|due| line.time < *due);
                    that(!early, || {
                        format!("the delay of {run} ended early, line {}", line.seq)
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Each lap and each answered list counted once, however often it was tried. A loop that was stopped may
    /// have been so before its first lap ran.
    fn storage_is_as_by_one_pass(&self) -> Checked {
        if self.ended.stops {
            return Ok(());
        }
        for (cycle, laps, asked) in &self.ended.counted {
            let loops = self
                .ended
                .loops
                .iter()
                .filter(|looped| looped.cycle.as_str() == *cycle);
            let expected: u64 = loops.map(|looped| looped.laps).sum();
            that(laps.as_u64() == Some(expected), || {
                format!("`{cycle}` counted {laps} laps of {expected}")
            })?;
            that(asked.as_u64() == Some(expected), || {
                format!("`{cycle}` counted {asked} lists of {expected}")
            })?;
        }
        Ok(())
    }
}
