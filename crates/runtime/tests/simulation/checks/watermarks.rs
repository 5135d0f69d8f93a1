//! Lists of what has changed: the filter of a loop, the date that it holds, and the step that commits it.

use std::collections::BTreeMap;
use std::time::Duration;

use velodrome_store::LoopRow;
use velodrome_types::{Event, LogLine, LoopStatus, Timestamp};

use super::{Check, Checked, that};

/// What the connector says of its incremental lists.
const OVERLAP: Duration = Duration::from_secs(2);

fn moved_to(line: &LogLine) -> Option<Timestamp> {
    let to = (line.event == Event::WatermarkMoved).then_some(line.data.as_ref()?)?;
    Timestamp::parse(to["to"].as_str()?).ok()
}

impl Check<'_> {
    /// A loop of `marked`: one filter, its pages in order, and its own date or none.
    pub(super) fn marked(&self, looped: &LoopRow) -> Checked {
        let id = looped.id;
        let asked = || {
            let asked = self.ended.world.changed.iter();
            asked.filter(|asked| asked.of == id.to_string())
        };
        for asked in asked() {
            that(asked.lap == asked.page, || format!("{id}: {asked:?}"))?;
        }
        let since = asked().next().and_then(|asked| asked.since);
        that(asked().all(|asked| asked.since == since), || {
            format!("{id} asked with more than one filter")
        })?;
        let began = self
            .lines_of(id)
            .filter(|line| matches!(line.event, Event::WebhookAccepted | Event::LoopStarted))
            .filter(|line| line.lap == Some(1))
            .map(|line| line.seq)
            .max();
        let began = began.ok_or_else(|| format!("{id} never began"))?;
        let before = self.ended.log.iter().filter(|line| line.seq < began);
        let stored = before.filter_map(moved_to).next_back();
        that(asked().next().is_none() || since == stored, || {
            format!("{id} asked since {since:?}, the watermark was {stored:?}")
        })?;

        let answered: Vec<u64> = self
            .lines_of(id)
            .filter(|line| line.event == Event::ResponseReceived)
            .filter_map(|line| line.lap)
            .collect();
        let expected: Vec<u64> = (1..=answered.len() as u64).collect();
        that(answered == expected, || {
            format!("{id} answered laps {answered:?}")
        })?;
        if looped.status == LoopStatus::Succeeded {
            that(answered.len() as u64 == looped.laps, || {
                format!("{id} made {} laps and answered {answered:?}", looped.laps)
            })?;
        }
        self.its_date_or_none(looped)
    }

    /// The step moves the watermark to the date that the first answer gave, once; a list that failed for
    /// good moves nothing.
    fn its_date_or_none(&self, looped: &LoopRow) -> Checked {
        let id = looped.id;
        let of = |event: Event| self.lines_of(id).filter(move |line| line.event == event);
        let moves: Vec<Timestamp> = self.lines_of(id).filter_map(moved_to).collect();
        let kept = of(Event::WatermarkKept).count();
        let ended = looped.status == LoopStatus::Succeeded;
        that(moves.len() + kept == usize::from(ended), || {
            format!("{id} is {} and moved {moves:?}, kept {kept}", looped.status)
        })?;
        let refused = of(Event::RequestFailed).count();
        that(refused == 0 || moves.is_empty(), || {
            format!("a list of {id} failed for good and it moved {moves:?}")
        })?;
        let first = of(Event::ResponseReceived).next();
        for to in moves {
            let first = first.ok_or_else(|| format!("{id} moved and answered nothing"))?;
            let latest = first.time.minus(OVERLAP);
            that(to <= latest, || {
                format!(
                    "{id} moved to {to}, its first answer came at {}",
                    first.time
                )
            })?;
            let held = format!("date {} held for the loop", to.to_iso8601_utc_seconds());
            let holds = of(Event::WatermarkHeld).any(|line| line.message == held);
            that(holds, || {
                format!("{id} moved to {to}, which it did not hold")
            })?;
        }
        Ok(())
    }

    pub(super) fn watermarks_only_rise(&self) -> Checked {
        let mut last = None;
        for line in &self.ended.log {
            let Some(to) = moved_to(line) else { continue };
            that(last.is_none_or(|last| to > last), || {
                format!(
                    "the watermark went from {last:?} to {to}, line {}",
                    line.seq
                )
            })?;
            last = Some(to);
        }
        that(self.ended.watermark == last, || {
            format!("{:?} is stored, {last:?} was told", self.ended.watermark)
        })
    }

    /// Whatever changed before the watermark has been seen as it was then, or newer.
    pub(super) fn no_change_is_missed(&self) -> Checked {
        let Some(watermark) = self.ended.watermark else {
            return Ok(());
        };
        let saw: BTreeMap<&str, i64> = self
            .ended
            .saw
            .iter()
            .map(|(id, at)| (id.as_str(), *at))
            .collect();
        for (at, id) in &self.ended.world.changes {
            let seen = saw.get(id.as_str()).copied();
            let missed = *at < watermark && seen.is_none_or(|seen| seen < at.as_millis());
            that(!missed, || {
                format!("record {id} changed at {at}, before {watermark}, and was seen at {seen:?}")
            })?;
        }
        Ok(())
    }
}
