//! Files that are edited while loops run: each lap takes the version that is current when it is accepted,
//! and ends on it.

use std::collections::BTreeMap;

use velodrome_types::{Event, LogLine, RunId, Timestamp};

use super::{Check, Checked, that};

/// A run of an edited cycle, as its lines tell.
struct Ran<'a> {
    cycle: &'a str,
    accepted: Timestamp,
    version: &'a str,
    /// The edition that its handlers told; none where none ran.
    edition: Option<u64>,
}

impl Check<'_> {
    pub(super) fn runs_end_on_the_version_they_began_with(&self) -> Checked {
        let mut ran: BTreeMap<RunId, Ran<'_>> = BTreeMap::new();
        for line in &self.ended.log {
            let (Some(run), Some(version)) = (line.run, line.version.as_deref()) else {
                continue;
            };
            let known = ran.entry(run).or_insert_with(|| Ran {
                cycle: line.cycle.as_ref().map_or("", |cycle| cycle.as_str()),
                accepted: line.time,
                version,
                edition: None,
            });
            that(known.version == version, || {
                format!(
                    "{run} changed from {} to {version}, line {}",
                    known.version, line.seq
                )
            })?;
            if let Some(edition) = told(line) {
                let same = known.edition.is_none_or(|known| known == edition);
                that(same, || {
                    format!(
                        "{run} ran on {:?} and {edition}, line {}",
                        known.edition, line.seq
                    )
                })?;
                known.edition = Some(edition);
            }
        }
        let mut versions: BTreeMap<(&str, u64), &str> = BTreeMap::new();
        for (run, ran) in &ran {
            let Some(edition) = ran.edition else { continue };
            let version = *versions.entry((ran.cycle, edition)).or_insert(ran.version);
            that(version == ran.version, || {
                format!(
                    "edition {edition} is {version} and, for {run}, {}",
                    ran.version
                )
            })?;
            self.current_when_accepted(*run, ran, edition)?;
        }
        let mut labels: Vec<_> = versions.values().collect();
        labels.sort_unstable();
        labels.dedup();
        that(labels.len() == versions.len(), || {
            format!("two editions are one version: {versions:?}")
        })
    }

    /// The edition that had been saved last when the run was accepted. While the file has a fault the last
    /// good one stays, and a loop whose server starts meanwhile stays on what it has: an older one.
    fn current_when_accepted(&self, run: RunId, ran: &Ran<'_>, edition: u64) -> Checked {
        let edits = || {
            let edits = self.ended.done.edits.iter();
            edits.filter(|edit| edit.cycle == ran.cycle)
        };
        let good = |until: Timestamp| {
            let good = edits().filter(|edit| edit.at <= until);
            good.filter_map(|edit| edit.number).max().unwrap_or(1)
        };
        let newest = good(ran.accepted);
        // What is saved in the same millisecond may come before or after.
        let oldest = good(Timestamp::from_millis(ran.accepted.as_millis() - 1));
        let last = edits().rfind(|edit| edit.at <= ran.accepted);
        let is_bad = last.is_some_and(|edit| edit.number.is_none());
        let fits = edition <= newest && (edition >= oldest || is_bad);
        that(fits, || {
            format!(
                "{run}, accepted at {}, ran on edition {edition} of {oldest} to {newest}",
                ran.accepted
            )
        })
    }
}

/// The edition that a handler told.
fn told(line: &LogLine) -> Option<u64> {
    let told = (line.event == Event::ScriptLogged).then_some(line.message.as_str())?;
    told.strip_prefix("edition ")?.parse().ok()
}
