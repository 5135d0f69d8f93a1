//! What a crash leaves, and a sled that is missing, damaged, behind, ahead or another's.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use velodrome_store::testkit::{storage_write, wait};
use velodrome_store::{Namespace, ScriptStorage as _, StorageOp, Store as _, Unit};
use velodrome_store_embedded::EmbeddedStore;

use crate::contents::{
    check, close, closed_store, contents, fill, open, open_in, set, set_aside, shared_storage, unit,
};
use crate::in_folder::{copy_all, crash_image};

#[test]
fn a_store_that_was_dropped_has_all_that_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, 0..300);
    let before = contents(&store);
    drop(store);
    check(folder.path(), &before);
    assert_eq!(set_aside(folder.path()), [""; 0]);
}

#[test]
fn a_missing_sled_is_built_anew() {
    let (folder, before) = closed_store(1000);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    check(folder.path(), &before);
    assert_eq!(set_aside(folder.path()), [""; 0]);
}

#[test]
fn a_sled_of_another_boot_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_in(folder.path(), "one");
    fill(&store, 0..1000);
    let before = contents(&store);
    let image = crash_image(folder.path());
    drop(store);
    let store = open_in(image.path(), "two");
    assert_eq!(contents(&store), before);
    assert_eq!(set_aside(image.path()), ["sled.set-aside-1"]);
    drop(store);
    let store = open_in(image.path(), "three");
    assert_eq!(contents(&store), before);
    assert_eq!(set_aside(image.path()), ["sled.set-aside-2"]);
    close(store);
    let store = open_in(image.path(), "four");
    assert_eq!(contents(&store), before);
    assert_eq!(set_aside(image.path()), ["sled.set-aside-2"]);
}

#[test]
fn a_sled_that_is_garbage_is_set_aside() {
    let (folder, before) = closed_store(500);
    let db = folder.path().join("sled/db");
    let length = fs::metadata(&db).unwrap().len() as usize;
    fs::write(&db, vec![0xa5; length]).unwrap();
    check(folder.path(), &before);
    assert_eq!(set_aside(folder.path()).len(), 1);
}

#[test]
fn damage_anywhere_in_sled_never_changes_what_is_read() {
    let (folder, before) = closed_store(500);
    let length = fs::metadata(folder.path().join("sled/db")).unwrap().len() as usize;
    for part in 0..12 {
        let image = crash_image(folder.path());
        let db = image.path().join("sled/db");
        let mut bytes = fs::read(&db).unwrap();
        let from = length * part / 12;
        for byte in &mut bytes[from..(from + 64).min(length)] {
            *byte ^= 0x5a;
        }
        fs::write(&db, bytes).unwrap();
        check(image.path(), &before);
    }
}

#[test]
fn a_truncated_sled_never_changes_what_is_read() {
    let (folder, before) = closed_store(500);
    let length = fs::metadata(folder.path().join("sled/db")).unwrap().len();
    for part in 0..8 {
        let image = crash_image(folder.path());
        let db = image.path().join("sled/db");
        let file = fs::File::options().write(true).open(&db).unwrap();
        file.set_len(length * part / 8).unwrap();
        drop(file);
        check(image.path(), &before);
    }
}

/// An open store, closed once before with a few keys, and a copy of its sled as it was then.
fn store_with_old_sled() -> (tempfile::TempDir, PathBuf, EmbeddedStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, 0..300);
    close(store);
    let old = folder.path().join("old");
    copy_all(&folder.path().join("sled"), &old);
    let store = open(folder.path());
    (folder, old, store)
}

fn put_back(image: &Path, old: &Path) {
    fs::remove_dir_all(image.join("sled")).unwrap();
    copy_all(old, &image.join("sled"));
}

#[test]
fn a_sled_that_lags_is_caught_up() {
    let (folder, old, store) = store_with_old_sled();
    fill(&store, 250..400);
    let ops = [
        StorageOp::Delete("00001".to_owned()),
        StorageOp::Increment("count".to_owned(), 2.0),
        set("00002", "again"),
    ];
    wait(store.commit(unit(ops))).unwrap();
    let other = Namespace::Cycle("zoho".into(), "alpha".into());
    let writes = [set("a", 1), StorageOp::DeleteAll, set("b", 2)];
    wait(store.commit(Unit {
        storage: writes.map(|op| storage_write(&other, op)).into(),
        ..Unit::default()
    }))
    .unwrap();
    let before = contents(&store);
    let image = crash_image(folder.path());
    put_back(image.path(), &old);
    check(image.path(), &before);
    assert_eq!(set_aside(image.path()), [""; 0]);
    let store = open(image.path());
    assert_eq!(store.list(&other, None, 9).unwrap().len(), 1);
}

#[test]
fn a_sled_that_lags_behind_a_deletion_of_all_is_caught_up() {
    let (folder, old, store) = store_with_old_sled();
    wait(store.commit(unit([StorageOp::DeleteAll, set("00007", 7)]))).unwrap();
    let before = contents(&store);
    assert_eq!(before.len(), 1);
    let image = crash_image(folder.path());
    put_back(image.path(), &old);
    check(image.path(), &before);
    assert_eq!(set_aside(image.path()), [""; 0]);
}

#[test]
fn a_sled_from_before_what_is_forgotten_is_set_aside() {
    let (folder, old, store) = store_with_old_sled();
    wait(store.commit(unit([StorageOp::Delete("00001".to_owned())]))).unwrap();
    let before = contents(&store);
    // Closing forgets deletions.
    close(store);
    put_back(folder.path(), &old);
    check(folder.path(), &before);
    assert_eq!(set_aside(folder.path()).len(), 1);
}

#[test]
fn a_sled_that_is_ahead_of_the_journal_is_set_aside() {
    let (folder, _, store) = store_with_old_sled();
    let earlier = crash_image(folder.path());
    let before = contents(&store);
    wait(store.commit(unit([StorageOp::DeleteAll]))).unwrap();
    close(store);
    put_back(earlier.path(), &folder.path().join("sled"));
    check(earlier.path(), &before);
    assert_eq!(set_aside(earlier.path()).len(), 1);
}

#[test]
fn a_sled_of_another_journal_is_set_aside() {
    let (one, before) = closed_store(50);
    let (other, _) = closed_store(50);
    put_back(one.path(), &other.path().join("sled"));
    check(one.path(), &before);
    assert_eq!(set_aside(one.path()).len(), 1);
}

#[test]
fn commits_and_reads_go_on_while_sled_is_built_anew() {
    let (folder, mut wanted) = closed_store(20_000);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    let store = open(folder.path());
    for n in (0..20_000).step_by(500) {
        let key = format!("{n:05}");
        wait(store.commit(unit([
            set(&key, n),
            StorageOp::Delete(format!("{:05}", n + 1)),
        ])))
        .unwrap();
        wanted.insert(key.clone(), n.into());
        wanted.remove(&format!("{:05}", n + 1));
        let got = store.get(&shared_storage(), &key).unwrap();
        assert_eq!(got.map(|stored| stored.value), Some(n.into()));
    }
    assert_eq!(contents(&store), wanted);
    close(store);
    check(folder.path(), &wanted);
}

#[test]
fn deletions_are_forgotten_when_sled_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for round in 0..15 {
        fill(&store, 0..1000);
        wait(store.commit(unit([StorageOp::DeleteAll]))).unwrap();
        wait(store.commit(unit([set("round", round)]))).unwrap();
    }
    fill(&store, 0..10);
    let wanted = contents(&store);
    let image = crash_image(folder.path());
    check(image.path(), &wanted);
    assert_eq!(set_aside(image.path()), [""; 0]);
    close(store);
    let conn = Connection::open(folder.path().join("journal.db")).unwrap();
    let rows = "SELECT count(*) FROM storage";
    let rows: i64 = conn.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, wanted.len() as i64);
    let free: i64 = conn
        .query_row("PRAGMA freelist_count", [], |row| row.get(0))
        .unwrap();
    assert_eq!(free, 0);
}
