//! What script storage promises.

use serde_json::json;
use velodrome_types::Json;

use crate::testkit::{Bench, loop_id, storage_write};
use crate::{Namespace, StorageOp, StorageRefusal, StorageWrite, Store, StoredValue, Unit};

fn shared() -> Namespace {
    Namespace::Connection("zoho".into())
}

fn set(key: &str, value: impl Into<Json>) -> StorageOp {
    StorageOp::Set(key.to_owned(), value.into())
}

fn unit(namespace: &Namespace, ops: Vec<StorageOp>) -> Unit {
    let writes = ops.into_iter().map(|op| storage_write(namespace, op));
    Unit {
        storage: writes.collect(),
        ..Unit::default()
    }
}

fn get(store: &dyn Store, namespace: &Namespace, key: &str) -> Option<Json> {
    let stored = store.get(namespace, key).expect("the store reads");
    stored.map(|stored| stored.value)
}

fn keys(store: &dyn Store, namespace: &Namespace) -> Vec<String> {
    let all = store.list(namespace, None, 1000).expect("the store reads");
    all.into_iter().map(|(key, _)| key).collect()
}

/// Any JSON comes back as it was, to the order of its fields and the last bit of its numbers.
pub fn values_keep_their_type(bench: &mut Bench) {
    let values = [
        json!(null),
        json!(true),
        json!(1),
        json!(1.0),
        json!(-0.1),
        json!(0.1 + 0.2),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("1"),
        json!(""),
        json!("\u{0}\u{1f6b4}\""),
        json!([]),
        json!({"z": 1, "a": {"b": [1, "2", null]}}),
    ];
    let numbered = || values.iter().enumerate();
    let ops = numbered().map(|(n, value)| set(&n.to_string(), value.clone()));
    bench.ok(unit(&shared(), ops.collect()));
    bench.holds(|store| {
        for (n, value) in numbered() {
            let stored = get(store, &shared(), &n.to_string()).expect("it is there");
            assert_eq!(stored.to_string(), value.to_string());
            assert_eq!(&stored, value);
        }
        assert_eq!(get(store, &shared(), "missing"), None);
    });
}

/// Who wrote last.
pub fn a_value_tells_who_wrote_it(bench: &mut Bench) {
    let by = |by, op| Unit {
        storage: vec![StorageWrite {
            namespace: shared(),
            by,
            op,
        }],
        ..Unit::default()
    };
    let writers = [Some(loop_id(1)), None, Some(loop_id(2))];
    for written_by in writers {
        bench.ok(by(written_by, StorageOp::Increment("n".into(), 1.0)));
        bench.holds(|store| {
            let stored = store.get(&shared(), "n").expect("the store reads");
            let listed = store.list(&shared(), None, 9).expect("the store reads");
            let found = stored.as_ref().map(|stored| stored.written_by);
            assert_eq!(found, Some(written_by));
            assert_eq!(listed.into_iter().next().map(|item| item.1), stored);
        });
    }
}

fn look_alikes() -> Vec<Namespace> {
    vec![
        Namespace::Connection("a".into()),
        Namespace::Connection("ab".into()),
        Namespace::Connection(String::new().as_str().into()),
        Namespace::Cycle("a".into(), "b".into()),
        Namespace::Cycle("ab".into(), "".into()),
        Namespace::Loop("a".into(), loop_id(1)),
        Namespace::Loop("a".into(), loop_id(2)),
        Namespace::Loop("ab".into(), loop_id(1)),
    ]
}

/// The same key in namespaces that look alike.
pub fn namespaces_are_apart(bench: &mut Bench) {
    for (n, namespace) in look_alikes().iter().enumerate() {
        let ops = vec![set("b", n), set("", n), set("k", n)];
        bench.ok(unit(namespace, ops));
    }
    let fourth = &look_alikes()[3];
    bench.ok(unit(fourth, vec![StorageOp::Delete("k".into())]));
    bench.holds(|store| {
        for (n, namespace) in look_alikes().iter().enumerate() {
            assert_eq!(get(store, namespace, "b"), Some(json!(n)), "{namespace:?}");
            let wanted: &[&str] = if n == 3 { &["", "b"] } else { &["", "b", "k"] };
            assert_eq!(keys(store, namespace), wanted, "{namespace:?}");
        }
    });
}

/// Increments sent at the same time all count.
pub fn increments_lose_nothing(bench: &mut Bench) {
    let increment = |by| unit(&shared(), vec![StorageOp::Increment("n".into(), by)]);
    for result in bench.together((1..=50).map(|n| increment(f64::from(n))).collect()) {
        result.expect("each is committed");
    }
    bench.holds(|store| assert_eq!(get(store, &shared(), "n"), Some(json!(1275))));
    bench.ok(increment(0.5));
    bench.holds(|store| assert_eq!(get(store, &shared(), "n"), Some(json!(1275.5))));
    bench.ok(unit(&shared(), vec![set("n", "no number")]));
    bench.refused(increment(1.0), StorageRefusal::NOT_A_NUMBER);
    bench.holds(|store| assert_eq!(get(store, &shared(), "n"), Some(json!("no number"))));
}

/// Appended items all arrive, in the order of commits.
pub fn appends_lose_nothing(bench: &mut Bench) {
    let append = |key: &str, value: Json| {
        let op = StorageOp::Append(key.to_owned(), value);
        unit(&shared(), vec![op])
    };
    bench.ok(unit(&shared(), vec![set("list", json!([]))]));
    let units = (0..30).map(|n| append("list", json!(n)));
    for result in bench.together(units.collect()) {
        result.expect("each is committed");
    }
    for part in ["a", "b", "c"] {
        bench.ok(append("text", json!(part)));
    }
    bench.ok(append("text", json!([1])));
    bench.holds(|store| {
        let all: Vec<i32> = (0..30).collect();
        assert_eq!(get(store, &shared(), "list"), Some(json!(all)));
        assert_eq!(get(store, &shared(), "text"), Some(json!("abc[1]")));
    });
}

/// Each write of a unit applies to what those before it made.
pub fn writes_of_a_unit_apply_in_order(bench: &mut Bench) {
    bench.ok(unit(&shared(), vec![set("gone", 1), set("kept", 1)]));
    let ops = vec![
        StorageOp::DeleteAll,
        set("kept", 2),
        StorageOp::Increment("kept".into(), 3.0),
        StorageOp::Append("kept".into(), json!("x")),
        set("brief", 1),
        StorageOp::Delete("brief".into()),
        StorageOp::Increment("brief".into(), 1.0),
        StorageOp::Delete("brief".into()),
    ];
    bench.ok(unit(&shared(), ops));
    bench.holds(|store| {
        assert_eq!(keys(store, &shared()), ["kept"]);
        assert_eq!(get(store, &shared(), "kept"), Some(json!("5x")));
    });
}

/// [`StorageOp::DeleteAll`] is about its own namespace.
pub fn deleting_all_leaves_other_namespaces(bench: &mut Bench) {
    for namespace in look_alikes() {
        bench.ok(unit(&namespace, vec![set("a", 1), set("b", 2)]));
    }
    let emptied = &look_alikes()[0];
    bench.ok(unit(emptied, vec![StorageOp::DeleteAll]));
    bench.ok(unit(emptied, vec![StorageOp::DeleteAll]));
    bench.holds(|store| {
        for namespace in &look_alikes() {
            let left = if namespace == emptied { 0 } else { 2 };
            assert_eq!(keys(store, namespace).len(), left, "{namespace:?}");
        }
        let listed = store.namespaces().expect("the store reads");
        assert!(!listed.contains(emptied));
    });
}

/// A deletion is not remembered longer than it should be.
pub fn what_was_deleted_can_be_set_again(bench: &mut Bench) {
    bench.ok(unit(&shared(), vec![set("a", 1), set("b", 1)]));
    bench.ok(unit(&shared(), vec![StorageOp::Delete("a".into())]));
    bench.ok(unit(&shared(), vec![StorageOp::Delete("a".into())]));
    bench.holds(|store| assert_eq!(keys(store, &shared()), ["b"]));
    bench.ok(unit(&shared(), vec![StorageOp::Increment("a".into(), 4.0)]));
    bench.holds(|store| assert_eq!(get(store, &shared(), "a"), Some(json!(4))));
    bench.ok(unit(&shared(), vec![StorageOp::DeleteAll, set("b", 9)]));
    bench.holds(|store| {
        assert_eq!(keys(store, &shared()), ["b"]);
        assert_eq!(get(store, &shared(), "b"), Some(json!(9)));
    });
}

/// Bytes, not letters; from any key on, there or not.
pub fn keys_come_in_byte_order_some_at_a_time(bench: &mut Bench) {
    let sorted = ["", "A", "B", "a", "a\u{0}", "aa", "b", "é", "\u{1f6b4}"];
    let ops = sorted.iter().rev().map(|key| set(key, *key));
    bench.ok(unit(&shared(), ops.collect()));
    let other = Namespace::Connection("zohp".into());
    bench.ok(unit(&other, vec![set("x", 1)]));
    bench.holds(|store| {
        let list = |after: Option<&str>, limit| -> Vec<(String, StoredValue)> {
            let list = store.list(&shared(), after, limit);
            list.expect("the store reads")
        };
        assert_eq!(keys(store, &shared()), sorted);
        for limit in 1..=9 {
            let (mut found, mut after) = (Vec::new(), None::<String>);
            loop {
                let part = list(after.as_deref(), limit);
                assert!(part.len() <= limit);
                let Some((last, _)) = part.last() else { break };
                after = Some(last.clone());
                found.extend(part.into_iter().map(|(key, _)| key));
            }
            assert_eq!(found, sorted, "{limit} at a time");
        }
        assert_eq!(list(Some("C"), 1)[0].0, "a");
        assert_eq!(list(Some("\u{10ffff}"), 9), []);
        assert_eq!(list(None, 0), []);
    });
}

/// The limits of SPEC §4; the bench's store takes 50 items.
pub fn storage_limits_are_kept(bench: &mut Bench) {
    let items = |from: u32, to: u32| {
        let ops = (from..to).map(|n| set(&format!("{n:03}"), n));
        unit(&shared(), ops.collect())
    };
    let refuse = |op, code| bench.refused(unit(&shared(), vec![op]), code);
    refuse(set(&"k".repeat(129), 1), StorageRefusal::KEY_TOO_LONG);
    let long = "x".repeat(50_000);
    refuse(set("k", long), StorageRefusal::VALUE_TOO_LONG);
    bench.ok(items(0, 50));
    let full = StorageRefusal::TOO_MANY_ITEMS;
    bench.refused(items(50, 51), full);
    bench.ok(items(10, 30));
    bench.ok(unit(&Namespace::Connection("b".into()), vec![set("k", 1)]));
    let swap = vec![StorageOp::Delete("000".into()), set("050", 1)];
    bench.ok(unit(&shared(), swap));
    bench.refused(items(51, 52), full);
    bench.reopen(crate::testkit::Reopen::Crash);
    bench.refused(items(51, 52), full);
    bench.ok(unit(&shared(), vec![StorageOp::DeleteAll]));
    bench.ok(items(100, 150));
    bench.refused(items(150, 151), full);
}

/// Values at the limit, longer in bytes than sled is given.
pub fn long_values_are_kept(bench: &mut Bench) {
    let long = "\u{1f6b4}".repeat(40_000);
    let ops = vec![set("a", 1), set("long", long.clone()), set("z", 2)];
    bench.ok(unit(&shared(), ops));
    bench.holds(|store| {
        assert_eq!(get(store, &shared(), "long"), Some(json!(long)));
        assert_eq!(keys(store, &shared()), ["a", "long", "z"]);
        let list = store.list(&shared(), Some("a"), 1);
        let list = list.expect("the store reads");
        assert_eq!(list[0].1.value, json!(long));
    });
    bench.ok(unit(&shared(), vec![set("long", "short")]));
    bench.holds(|store| assert_eq!(get(store, &shared(), "long"), Some(json!("short"))));
    bench.ok(unit(&shared(), vec![StorageOp::Delete("long".into())]));
    bench.holds(|store| assert_eq!(get(store, &shared(), "long"), None));
}

/// Those that hold something, in order; and those of one connection.
pub fn namespaces_are_listed(bench: &mut Bench) {
    for namespace in look_alikes().iter().rev() {
        bench.ok(unit(namespace, vec![set("k", 1)]));
    }
    let emptied = look_alikes().remove(1);
    bench.ok(unit(&emptied, vec![StorageOp::Delete("k".into())]));
    let mut wanted = look_alikes();
    wanted.remove(1);
    wanted.sort_unstable();
    bench.holds(|store| {
        assert_eq!(store.namespaces().expect("the store reads"), wanted);
        let of_ab = store.connection_namespaces(&"ab".into());
        assert_eq!(of_ab.expect("the store reads").len(), 2);
        let mut walked: Vec<Namespace> = Vec::new();
        loop {
            let next = store.namespaces_after(walked.last(), 2);
            let next = next.expect("the store reads");
            assert!(next.len() <= 2);
            if next.is_empty() {
                break;
            }
            walked.extend(next);
        }
        walked.sort_unstable();
        assert_eq!(walked, wanted);
    });
}
