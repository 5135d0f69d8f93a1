//! What reading a page costs: microseconds for 200 records in 77 kB, by what is wanted.
//!
//! `cargo run --release -p velodrome-connect --example scan_cost`

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;

use serde_json::json;
use tokio::time::Instant;
use velodrome_connect::{Want, scan};
use velodrome_spec::connector::{
    Advance, DateFormat, IncrementalDef, MethodDef, MethodKind, PagingDef, RequestDefaults,
    ResponseDef, ResponseField, SendAs,
};
use velodrome_types::Json;

const ROUNDS: u32 = 2_000;

fn main() {
    let method = method();
    let body = page();
    println!(
        "{} bytes, 200 records, best of 5 × {ROUNDS} rounds",
        body.len()
    );
    let field = Want {
        fields: BTreeSet::from(["more_records".to_owned()]),
        ..Want::default()
    };
    let keys = Want {
        keys: true,
        ..field.clone()
    };
    let records = Want {
        records: true,
        ..field.clone()
    };
    for (name, want) in [
        ("one field", &field),
        ("with keys", &keys),
        ("with records", &records),
    ] {
        report(name, || {
            black_box(scan(&method, black_box(&body), want)).is_ok()
        });
    }
    report("a tree", || {
        black_box(serde_json::from_slice::<Json>(black_box(&body))).is_ok()
    });
}

fn report(name: &str, mut once: impl FnMut() -> bool) {
    let best = (0..5)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..ROUNDS {
                assert!(once());
            }
            began.elapsed() / ROUNDS
        })
        .min()
        .unwrap_or_default();
    println!("{name:>14}  {:.1} µs", best.as_secs_f64() * 1e6);
}

/// A page as Zoho's v8 sends it.
fn page() -> Vec<u8> {
    let record = |n: u64| {
        json!({
            "id": format!("55555500000{n:07}"),
            "First_Name": format!("First{n}"), "Last_Name": format!("Last{n}"),
            "Full_Name": format!("First{n} Last{n}"),
            "Email": format!("person{n}@example.test"), "Phone": "+49 30 1234567", "Mobile": null,
            "Account_Name": {"name": "Example GmbH", "id": "5555550000009999999"},
            "Owner": {"name": "A User", "id": "5555550000000001", "email": "user@example.test"},
            "Created_Time": "2026-05-14T14:37:59+03:00",
            "Modified_Time": "2026-11-14T14:37:59+03:00",
        })
    };
    let data: Vec<Json> = (0..200).map(record).collect();
    let page = json!({
        "data": data,
        "info": {
            "per_page": 200, "next_page_token": "c8582xx9e7c7", "count": 200, "page": 1,
            "more_records": true,
        },
    });
    page.to_string().into_bytes()
}

fn method() -> MethodDef {
    MethodDef {
        title: "List".to_owned(),
        kind: MethodKind::List,
        verb: "GET".to_owned(),
        path: None,
        request: RequestDefaults::default(),
        body: None,
        inputs: BTreeMap::new(),
        open_body: false,
        response: ResponseDef {
            records: Some("data".to_owned()),
            fields: BTreeMap::from([(
                "more_records".to_owned(),
                ResponseField {
                    title: "More".to_owned(),
                    path: "info.more_records".to_owned(),
                    when_empty: json!(false),
                },
            )]),
            open: false,
        },
        paging: PagingDef::None,
        incremental: Some(IncrementalDef {
            field: "Modified_Time".to_owned(),
            send_as: SendAs::Header("If-Modified-Since".to_owned()),
            format: DateFormat::Iso8601OffsetSeconds,
            key: vec!["id".to_owned(), "Modified_Time".to_owned()],
            inclusive: true,
            overlap: std::time::Duration::from_secs(2),
            advance: Advance::ByStep,
        }),
        errors: Vec::new(),
        two_exits: true,
    }
}
