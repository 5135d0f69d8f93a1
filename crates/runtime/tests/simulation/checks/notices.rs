//! Failed runs and who was told of them.

use velodrome_types::{Event, LogLine};

use super::{Check, Checked, that};

fn of(line: &LogLine, wanted: &str) -> bool {
    line.cycle
        .as_ref()
        .is_some_and(|cycle| cycle.as_str() == wanted)
}

impl Check<'_> {
    /// Failed runs of the cycle that tells another one, or of all the others.
    fn failures(&self, of_alarms: bool) -> impl Iterator<Item = &LogLine> {
        let failed = self.ended.log.iter();
        let failed = failed.filter(|line| line.event == Event::RunFailed);
        failed.filter(move |line| of(line, "alarms") == of_alarms)
    }

    /// Outside hears of each failed run that is to be told there, first in the order of their commits, and
    /// again only with the same key. It hears of no other.
    pub(super) fn each_failure_was_told_outside(&self) -> Checked {
        let mut told: Vec<&str> = Vec::new();
        for key in &self.ended.world.told {
            if !told.contains(&key.as_str()) {
                told.push(key);
            }
        }
        let failed = self.failures(false);
        let failed: Vec<String> = failed
            .filter_map(|line| Some(format!("{}/failed/", line.run?)))
            .collect();
        let same = told.len() == failed.len()
            && told
                .iter()
                .zip(&failed)
                .all(|(key, run)| key.starts_with(run));
        that(same, || format!("{failed:?} failed, told was {told:?}"))
    }

    /// A webhook of this server takes each notice exactly once, whatever went wrong.
    pub(super) fn each_alarm_was_told_once(&self) -> Checked {
        let failed = self.failures(true).count() as u64;
        let accepted = self.ended.log.iter();
        let accepted = accepted
            .filter(|line| line.event == Event::WebhookAccepted && of(line, "alerts"))
            .count() as u64;
        that(failed == accepted, || {
            format!("{failed} runs of `alarms` failed, {accepted} were told")
        })?;
        that(self.ended.told.as_u64() == Some(failed), || {
            format!("`alerts` counted {} of {failed}", self.ended.told)
        })
    }
}
