//! Script storage and watermarks against what is expected of them.

use velodrome_spec::test_file::{StorageFamily, shown};
use velodrome_store::{Namespace, Store};
use velodrome_types::{ConnectionId, Json};

use super::Judge;

impl Judge<'_> {
    pub(super) fn storage(&mut self, store: &dyn Store) {
        for expected in &self.test.expect.storage {
            let connection = ConnectionId::from(expected.connection.value.as_str());
            let cycle = self.bench.plan.cycle.clone();
            let (family, namespace) = match expected.family {
                StorageFamily::Connection => ("storage", Some(Namespace::Connection(connection))),
                StorageFamily::Cycle => {
                    ("cycle_storage", Some(Namespace::Cycle(connection, cycle)))
                }
                StorageFamily::Loop => {
                    let first = self.outcome.loops.first();
                    let of = first.map(|looped| Namespace::Loop(connection, looped.id));
                    ("loop_storage", of)
                }
            };
            let stored = namespace
                .and_then(|namespace| store.get(&namespace, &expected.key).ok().flatten())
                .map_or(Json::Null, |stored| stored.value);
            let what = format!("{family}.{}.{}", expected.connection.value, expected.key);
            self.fits(&expected.value, &stored, &what);
        }
    }

    pub(super) fn watermarks(&mut self, store: &dyn Store) {
        for (step, expected) in &self.test.expect.watermarks {
            let cycle = &self.bench.plan.cycle;
            let got = store.watermark(cycle, &step.value).ok().flatten();
            if got != expected.value {
                let told = |date: Option<velodrome_types::Timestamp>| match date {
                    Some(date) => shown(&Json::String(date.to_iso8601_utc_seconds())),
                    None => "none".to_owned(),
                };
                let what = format!("`watermark.{}`", step.value);
                self.missed(expected.span, &what, &told(expected.value), &told(got));
            }
        }
    }
}
