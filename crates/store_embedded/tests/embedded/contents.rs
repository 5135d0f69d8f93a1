//! Opening a folder, filling it, and finding everything again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use velodrome_store::testkit::{storage_write, wait};
use velodrome_store::{Namespace, ScriptStorage as _, StorageOp, Store as _, Unit};
use velodrome_store_embedded::{EmbeddedStore, OpenOptions};
use velodrome_types::Json;

pub(crate) fn open_in(folder: &Path, boot: &str) -> EmbeddedStore {
    let mut options = OpenOptions::new(folder);
    options.boot = Some(boot.to_owned());
    EmbeddedStore::open(options).unwrap()
}

pub(crate) fn open(folder: &Path) -> EmbeddedStore {
    open_in(folder, "one")
}

pub(crate) fn close(store: EmbeddedStore) {
    wait(store.close()).unwrap();
}

pub(crate) fn shared_storage() -> Namespace {
    Namespace::Connection("zoho".into())
}

pub(crate) fn unit(ops: impl IntoIterator<Item = StorageOp>) -> Unit {
    let writes = ops
        .into_iter()
        .map(|op| storage_write(&shared_storage(), op));
    Unit {
        storage: writes.collect(),
        ..Unit::default()
    }
}

pub(crate) fn set(key: &str, value: impl Into<Json>) -> StorageOp {
    StorageOp::Set(key.to_owned(), value.into())
}

pub(crate) fn fill(store: &EmbeddedStore, keys: std::ops::Range<u32>) {
    for from in keys.clone().step_by(100) {
        let to = keys.end.min(from + 100);
        let ops = (from..to).map(|n| set(&format!("{n:05}"), format!("value {n}")));
        wait(store.commit(unit(ops))).unwrap();
    }
}

/// Everything that scripts can read, by getting each and by listing all.
pub(crate) fn contents(store: &EmbeddedStore) -> BTreeMap<String, Json> {
    let listed = store.list(&shared_storage(), None, usize::MAX).unwrap();
    for (key, value) in &listed {
        let got = store.get(&shared_storage(), key).unwrap();
        assert_eq!(got.as_ref(), Some(value), "{key}");
    }
    let listed = listed.into_iter();
    listed.map(|(key, stored)| (key, stored.value)).collect()
}

pub(crate) fn set_aside(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("set-aside")).collect()
}

/// A closed store with some content, and that content.
pub(crate) fn closed_store(keys: u32) -> (tempfile::TempDir, BTreeMap<String, Json>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, 0..keys);
    wait(store.commit(unit([StorageOp::Delete("00003".to_owned())]))).unwrap();
    let contents = contents(&store);
    close(store);
    (folder, contents)
}

/// Opens the folder and finds this; also after a close.
pub(crate) fn check(folder: &Path, wanted: &BTreeMap<String, Json>) {
    let store = open(folder);
    assert_eq!(contents(&store), *wanted);
    wait(store.commit(unit([set("later", 1)]))).unwrap();
    let mut more = wanted.clone();
    more.insert("later".to_owned(), 1.into());
    assert_eq!(contents(&store), more);
    close(store);
    let store = open(folder);
    assert_eq!(contents(&store), more);
    close(store);
}
