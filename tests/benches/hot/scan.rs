//! Reading an answer, by what is wanted of it and by how long it is.

use std::collections::BTreeSet;

use divan::Bencher;
use divan::counter::BytesCount;
use velodrome_connect::{Want, scan};
use velodrome_types::Json;

use crate::shipped;

const RECORDS: [u64; 3] = [20, 200, 2_000];

fn field() -> Want {
    Want {
        fields: BTreeSet::from(["more_records".to_owned()]),
        ..Want::default()
    }
}

fn reads(bencher: Bencher<'_, '_>, records: u64, want: &Want) {
    let connections = shipped::Connections::new();
    let body = shipped::page(records).to_string().into_bytes();
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| scan(connections.list(), divan::black_box(&body), want).expect("a page"));
}

#[divan::bench(args = RECORDS)]
fn scan_one_field(bencher: Bencher<'_, '_>, records: u64) {
    reads(bencher, records, &field());
}

#[divan::bench(args = RECORDS)]
fn scan_with_keys(bencher: Bencher<'_, '_>, records: u64) {
    let want = Want {
        keys: true,
        ..field()
    };
    reads(bencher, records, &want);
}

#[divan::bench(args = RECORDS)]
fn scan_with_records(bencher: Bencher<'_, '_>, records: u64) {
    let want = Want {
        records: true,
        ..field()
    };
    reads(bencher, records, &want);
}

/// What all of it as a tree costs, to hold the others against.
#[divan::bench(args = RECORDS)]
fn tree(bencher: Bencher<'_, '_>, records: u64) {
    let body = shipped::page(records).to_string().into_bytes();
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| serde_json::from_slice::<Json>(divan::black_box(&body)).expect("JSON"));
}
