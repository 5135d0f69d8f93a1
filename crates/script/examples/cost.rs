//! What a call of a handler in JavaScript costs: `cargo run --release -p velodrome-script --example cost`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use velodrome_script::{
    Call, Family, ScriptHost, ScriptLimits, StorageFault, StorageView, Vars, Workers, run_worker,
};
use velodrome_spec::plan::Language;
use velodrome_types::{Json, Timestamp};

const WORKER: &str = "script-worker";
const CALLS: usize = 2_000;
const PAGE: &str = "function before_action() { \
    method_request.page = (+cyclr_storage_get('pageNumber') + 1); return true; }";
const RECORDS: &str = "function before_action() { \
    var sum = 0; method_response.data.forEach(function (r) { sum += r.id; }); return sum > 0; }";

/// A storage that answers at once.
struct Always;

impl StorageView for Always {
    fn get(&mut self, _: Family, _: &str) -> Result<Option<Json>, StorageFault> {
        Ok(Some(3.into()))
    }

    fn set(&mut self, _: Family, _: &str, _: Json) -> Result<(), StorageFault> {
        Ok(())
    }

    fn append(&mut self, _: Family, _: &str, _: Json) -> Result<(), StorageFault> {
        Ok(())
    }

    fn delete(&mut self, _: Family, _: &str) -> Result<(), StorageFault> {
        Ok(())
    }

    fn delete_all(&mut self, _: Family) -> Result<(), StorageFault> {
        Ok(())
    }

    fn list_keys(&mut self, _: Family) -> Result<Vec<String>, StorageFault> {
        Ok(Vec::new())
    }

    fn list_values(&mut self, _: Family) -> Result<Vec<Json>, StorageFault> {
        Ok(Vec::new())
    }

    fn increment(&mut self, _: Family, _: &str, by: f64) -> Result<Json, StorageFault> {
        Ok(by.into())
    }

    fn decrement(&mut self, _: Family, _: &str, by: f64) -> Result<Json, StorageFault> {
        Ok((-by).into())
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == WORKER) {
        return run_worker();
    }
    let own = std::env::current_exe().expect("a program has a path");
    let host = ScriptHost::new(ScriptLimits::default(), Workers::program(own, [WORKER]));
    let records: Vec<Json> = (0..200).map(record).collect();
    measure(&host, "before_action of the page loop", PAGE, &Json::Null);
    let response = serde_json::json!({ "data": records });
    measure(
        &host,
        "a handler that reads 200 records of 11 fields",
        RECORDS,
        &response,
    );
    ExitCode::SUCCESS
}

fn record(id: u32) -> Json {
    serde_json::json!({
        "id": id, "First_Name": "Rosa", "Last_Name": "Example", "Email": "rosa@example.com",
        "Phone": "+49 000", "Modified_Time": "2026-11-23T12:00:00+01:00", "a": 1, "b": true, "c": null,
        "d": "x", "e": 2.5,
    })
}

fn measure(host: &ScriptHost, name: &str, code: &str, response: &Json) {
    let (read, script) = timed(|| {
        host.compile(Language::JavaScript, code)
            .expect("it is a script")
    });
    let mut all: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let vars = Vars {
                method_response: response.clone(),
                ..Vars::default()
            };
            let call = Call {
                vars,
                outside: Box::new(velodrome_script::NoOutside),
                storage: Box::new(Always),
                now: Timestamp::from_millis(0),
                seed: [1; 16],
            };
            let (took, finished) = timed(|| host.call(&script, "before_action", call));
            assert!(finished.result.is_ok(), "{:?}", finished.result);
            took
        })
        .collect();
    all.sort();
    let (fastest, median, slow) = (all[0], all[CALLS / 2], all[CALLS * 99 / 100]);
    println!("{name}: read in {read:?}; fastest {fastest:?}, median {median:?}, p99 {slow:?}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement; no decision of a run depends on it"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}
