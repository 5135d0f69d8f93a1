//! Everything a store answers, as text that two stores can be compared by.

use std::fmt::Debug;

use velodrome_types::{Event, Level, LoopStatus, RunStatus};

use super::build::{at, loop_id, run_id};
use super::random::{CYCLES, FIELDS, HOOKS, KEYS, LOOPS, RUNS, STEPS, namespaces};
use crate::{CommitError, Committed, LogFilter, LoopFilter, PageRequest, RunFilter, Store};

/// What a commit came to, without what backends may word as they like.
pub fn outcome(result: &Result<Committed, CommitError>) -> String {
    match result {
        Ok(committed) => format!("committed up to line {}", committed.last_seq),
        Err(CommitError::Conflict(_)) => "conflict".to_owned(),
        Err(CommitError::Storage { code, .. }) => (*code).to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

/// Every read there is, over the names that [`super::Random`] makes units of.
pub fn everything(store: &dyn Store) -> Vec<String> {
    let mut all = Vec::new();
    let mut note = |what: &str, value: &dyn Debug| all.push(format!("{what}: {value:?}"));
    rows(store, &mut note);
    listings(store, &mut note);
    log(store, &mut note);
    storage(store, &mut note);
    small(store, &mut note);
    all
}

type Note<'a> = &'a mut dyn FnMut(&str, &dyn Debug);

fn rows(store: &dyn Store, note: Note<'_>) {
    for n in 0..RUNS {
        note("run", &store.run(run_id(n)));
        note("parts", &store.parts(run_id(n)));
        let text = run_id(n).to_string();
        for from in [0, 10, 25, 29] {
            note("ending", &store.runs_ending(&text[from..]));
        }
    }
    for n in 0..LOOPS {
        note("loop", &store.loop_row(loop_id(n)));
        note("parts", &store.loop_parts(loop_id(n)));
        note("ending", &store.loops_ending(&loop_id(n).to_string()[29..]));
    }
    let mut after = 0;
    loop {
        let part = store.unfinished(after, 3).expect("the store reads");
        let Some((last, _)) = part.last() else { break };
        after = *last;
        for (_, row) in part {
            note("unfinished", &row);
        }
    }
    let standing = store.standing().expect("the store reads");
    note(
        "standing",
        &(standing.runs, standing.loops, standing.notices),
    );
    for until in [0, 50, 1000] {
        note("due", &store.due(at(until), 1000));
        note("due", &store.due(at(until), 2));
    }
}

fn listings(store: &dyn Store, note: Note<'_>) {
    let cycles = || CYCLES.iter().map(|c| Some((*c).into())).chain([None]);
    for cycle in cycles() {
        for since in [None, Some(at(40))] {
            for status in RunStatus::ALL.iter().map(Some).chain([None]) {
                for loop_id in [None, Some(loop_id(1))] {
                    let filter = RunFilter {
                        cycle: cycle.clone(),
                        loop_id,
                        status: status.into_iter().copied().collect(),
                        since,
                    };
                    all_runs(store, &filter, note);
                }
            }
            for status in LoopStatus::ALL.iter().map(Some).chain([None]) {
                let filter = LoopFilter {
                    cycle: cycle.clone(),
                    status: status.into_iter().copied().collect(),
                    since,
                };
                all_loops(store, &filter, note);
            }
        }
    }
    for cycle in CYCLES {
        note("queued", &store.first_queued(&(*cycle).into()));
        note("open", &store.open_loops(&(*cycle).into()));
    }
}

fn all_runs(store: &dyn Store, filter: &RunFilter, note: Note<'_>) {
    let mut after = None;
    loop {
        let page = store.runs(filter, PageRequest { after, limit: 4 });
        let page = page.expect("the store reads");
        note("runs", &page.items);
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}

fn all_loops(store: &dyn Store, filter: &LoopFilter, note: Note<'_>) {
    let mut after = None;
    loop {
        let page = store.loops(filter, PageRequest { after, limit: 3 });
        let page = page.expect("the store reads");
        note("loops", &page.items);
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}

fn log(store: &dyn Store, note: Note<'_>) {
    let none = LogFilter::default;
    let mut filters = vec![none()];
    filters.extend(CYCLES.iter().map(|cycle| LogFilter {
        cycle: Some((*cycle).into()),
        ..none()
    }));
    filters.extend((0..LOOPS).map(|n| LogFilter {
        loop_id: Some(loop_id(n)),
        ..none()
    }));
    filters.extend((0..RUNS).map(|n| LogFilter {
        run: Some(run_id(n)),
        ..none()
    }));
    filters.push(LogFilter {
        step: Some(STEPS[0].into()),
        level: Some(Level::Warn),
        ..none()
    });
    filters.push(LogFilter {
        event: Some(Event::ALL[1]),
        since: Some(at(30)),
        ..none()
    });
    for filter in &filters {
        note("tail", &store.log_tail(5, filter));
        let (mut searched, mut found) = (0, Vec::new());
        while searched < store.last_seq() {
            let read = store.log_after(searched, filter, 7);
            let (lines, next) = read.expect("the store reads");
            assert!(next > searched);
            searched = next;
            found.extend(lines);
        }
        note("log", &found);
    }
    note("last", &store.last_seq());
}

fn storage(store: &dyn Store, note: Note<'_>) {
    for namespace in namespaces() {
        for key in KEYS {
            note("value", &store.get(&namespace, key));
        }
        note("list", &store.list(&namespace, None, 1000));
        note("list", &store.list(&namespace, Some("b"), 2));
    }
    note("namespaces", &store.namespaces());
    note("of a", &store.connection_namespaces(&"a".into()));
}

fn small(store: &dyn Store, note: Note<'_>) {
    for until in [0, 40, 1000] {
        note("notices", &store.outbox_heads(at(until)));
        note("next notice", &store.outbox_next(at(until)));
    }
    for hook in HOOKS {
        note("fields", &store.waited_fields(hook));
        for fields in FIELDS {
            for key in 0..2 {
                // Places are each store's own: the fields and the run say enough.
                let found = store.waiting(hook, fields, &[key; 16]);
                let found = found.map(|found| found.map(|f| (f.run, f.loop_id, f.open)));
                note("waiting", &found);
            }
        }
    }
    note("watermarks", &store.watermarks());
    note("cycles", &store.cycle_rows());
    note("schedules", &store.schedule_rows());
    note("secrets", &store.secret_names("s"));
    for n in ["0", "1", "2", "3"] {
        note("secret", &store.secret(&format!("secret/{n}")));
        note("plan", &store.plan(n));
        for hook in CYCLES {
            note("answer", &store.answer(hook, n, at(50)));
        }
        for step in STEPS {
            note("mark", &store.watermark(&CYCLES[0].into(), &(*step).into()));
        }
    }
}
