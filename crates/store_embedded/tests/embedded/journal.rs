//! The folder's lock, the journal's format, damaged records and a full disk.

use std::fs;

use rusqlite::Connection;
use velodrome_store::testkit::{line, run_id, run_row, wait};
use velodrome_store::{
    CommitError, LogFilter, LogRead as _, Runs as _, ScriptStorage as _, SecretRow, StorageOp,
    Store as _, StoreError, Unit,
};
use velodrome_store_embedded::{EmbeddedStore, OpenOptions};
use velodrome_types::{Level, RunStatus};

use crate::contents::{close, closed_store, open, set, shared_storage, unit};

#[test]
fn a_second_store_in_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let second = EmbeddedStore::open(OpenOptions::new(folder.path()));
    assert!(
        matches!(second, Err(StoreError::Locked { .. })),
        "{second:?}"
    );
    wait(store.close()).unwrap();
    // The handle may outlive the closing.
    let second = open(folder.path());
    assert!(store.run(run_id(1)).is_err());
    drop(second);
    drop(store);
    close(open(folder.path()));
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let (folder, _) = closed_store(10);
    let path = folder.path().join("journal.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute("UPDATE meta SET value = 1000 WHERE key = 'format'", [])
        .unwrap();
    drop(conn);
    let before = fs::read(&path).unwrap();
    let opened = EmbeddedStore::open(OpenOptions::new(folder.path()));
    assert!(
        matches!(opened, Err(StoreError::Newer { found: 1000, .. })),
        "{opened:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_journal_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("journal.db"), vec![7; 8192]).unwrap();
    let opened = EmbeddedStore::open(OpenOptions::new(folder.path()));
    assert!(
        matches!(opened, Err(StoreError::Damaged { .. })),
        "{opened:?}"
    );
}

#[test]
fn the_last_lines_are_found_however_long_ago_they_were() {
    // Twice what one look reads, and more.
    const ROWS: u64 = 45_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    // Lines of two loops in turn: each is a row of its own.
    let lines = (1..=ROWS).map(|seq| {
        let mut line = line(u8::try_from(seq % 2).unwrap() + 1, "m");
        line.level = match seq {
            1..=3 | 20_000 => Level::Error,
            _ => Level::Info,
        };
        line
    });
    wait(store.commit(Unit {
        lines: lines.collect(),
        ..Unit::default()
    }))
    .unwrap();
    let tail = |count: usize, level: Level| -> Vec<u64> {
        let filter = LogFilter {
            level: Some(level),
            ..LogFilter::default()
        };
        let lines = store.log_tail(count, &filter).unwrap();
        lines.iter().map(|line| line.seq).collect()
    };
    assert_eq!(tail(3, Level::Error), [2, 3, 20_000]);
    assert_eq!(tail(9, Level::Error), [1, 2, 3, 20_000]);
    assert_eq!(tail(2, Level::Info), [ROWS - 1, ROWS]);
    let all: Vec<u64> = (1..=ROWS).collect();
    assert_eq!(tail(usize::MAX, Level::Debug), all);
    close(store);
    let conn = Connection::open(folder.path().join("journal.db")).unwrap();
    let rows = conn.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0));
    assert_eq!(rows.unwrap().unsigned_abs(), ROWS, "it was one look");
}

#[test]
fn a_damaged_record_is_an_error_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for n in [1, 2] {
        wait(store.commit(Unit {
            runs: vec![run_row(n, RunStatus::Running)],
            lines: vec![line(n, "accepted")],
            storage: unit([set(&n.to_string(), n)]).storage,
            ..Unit::default()
        }))
        .unwrap();
    }
    close(store);
    let conn = Connection::open(folder.path().join("journal.db")).unwrap();
    conn.execute_batch(
        "UPDATE runs SET status = 99 WHERE lap = 1;
         UPDATE log SET lines = x'01ff' WHERE last_seq = 1;
         UPDATE storage SET value = '{' WHERE key = '1';",
    )
    .unwrap();
    drop(conn);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    let store = open(folder.path());
    let is_damaged = |error: Option<StoreError>| {
        assert!(
            matches!(error, Some(StoreError::Damaged { .. })),
            "{error:?}"
        );
    };
    is_damaged(store.run(run_id(1)).err());
    assert!(store.run(run_id(2)).unwrap().is_some());
    is_damaged(store.log_after(0, &Default::default(), 9).err());
    assert_eq!(
        store.log_after(1, &Default::default(), 9).unwrap().0.len(),
        1
    );
    assert_eq!(store.log_tail(1, &Default::default()).unwrap().len(), 1);
    is_damaged(store.get(&shared_storage(), "1").err());
    assert!(store.get(&shared_storage(), "2").unwrap().is_some());
    let increment = StorageOp::Increment("1".to_owned(), 1.0);
    let refused = wait(store.commit(unit([increment])));
    assert!(
        matches!(refused, Err(CommitError::Refused(_))),
        "{refused:?}"
    );
    wait(store.commit(unit([set("1", 1)]))).unwrap();
    assert!(store.get(&shared_storage(), "1").unwrap().is_some());
}

#[test]
fn a_full_disk_refuses_what_needs_room_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::new(folder.path());
    options.max_journal_bytes = Some(1 << 20);
    let store = EmbeddedStore::open(options).unwrap();
    let run = |n: u8, size: usize| {
        let mut row = run_row(n, RunStatus::Running);
        row.record = vec![n; size];
        Unit {
            runs: vec![row],
            lines: vec![line(n, "accepted")],
            ..Unit::default()
        }
    };
    wait(store.commit(run(1, 1000))).unwrap();
    let commits: Vec<_> = [(2, 1000), (3, 4 << 20), (4, 1000)]
        .map(|(n, size)| store.commit(run(n, size)))
        .into_iter()
        .map(wait)
        .collect();
    assert!(commits[0].is_ok(), "{:?}", commits[0]);
    assert!(matches!(commits[1], Err(CommitError::Refused(_))));
    assert!(commits[2].is_ok(), "{:?}", commits[2]);
    assert_eq!(store.last_seq(), 3);
    close(store);
    let store = open(folder.path());
    let stored = [1, 2, 3, 4].map(|n| store.run(run_id(n)).unwrap().is_some());
    assert_eq!(stored, [true, true, false, true]);
    wait(store.commit(run(3, 4 << 20))).unwrap();
    assert!(store.size_bytes().unwrap() > 4 << 20);
}

#[test]
fn a_commit_that_fails_is_unknown_and_the_store_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    close(open(folder.path()));
    let path = folder.path().join("journal.db");
    // A constraint that is looked at by COMMIT stands for a disk that fails there.
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER fail AFTER INSERT ON secrets BEGIN INSERT INTO child VALUES (1); END;",
    )
    .unwrap();
    drop(conn);
    let store = open(folder.path());
    wait(store.commit(unit([set("before", 1)]))).unwrap();
    let failing = Unit {
        secrets: vec![SecretRow {
            name: "secret/a".to_owned(),
            sealed: vec![1],
        }],
        ..unit([set("lost", 1)])
    };
    let result = wait(store.commit(failing));
    assert!(matches!(result, Err(CommitError::Unknown(_))), "{result:?}");
    let later = wait(store.commit(unit([set("later", 1)])));
    assert!(matches!(later, Err(CommitError::Closed)), "{later:?}");
    assert!(wait(store.close()).is_err());
    drop(store);
    let store = open(folder.path());
    let there = |key| store.get(&shared_storage(), key).unwrap().is_some();
    assert_eq!(["before", "lost", "later"].map(there), [true, false, false]);
}

#[cfg(unix)]
#[test]
fn the_files_are_their_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let store = open(&folder);
    wait(store.commit(unit([set("a", 1)]))).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.clone()), 0o700);
    for file in ["journal.db", "journal.db-wal"] {
        assert_eq!(mode(folder.join(file)), 0o600, "{file}");
    }
}
