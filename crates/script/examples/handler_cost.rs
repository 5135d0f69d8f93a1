//! Prints what a call of the two handlers of the paging loop costs.
//!
//! `cargo run --release -p velodrome-script --example handler_cost`

use std::hint::black_box;
use std::time::Duration;

use velodrome_script::{Call, Family, ScriptHost, ScriptLimits, StorageFault, StorageView, Vars};
use velodrome_spec::plan::Language;
use velodrome_types::{Json, Timestamp};

const SCRIPT: &str = r#"
fn after_webhook() { cyclr_storage_set("pageNumber", method_response.page); return true; }
fn before_action() { method_request.page = cyclr_storage_get("pageNumber") + 1; return true; }
fn after_action() {
    let names = [];
    for record in method_response.data { names.push(record.Last_Name); }
    action_data.names = names;
}
"#;
const CALLS: u32 = 200_000;

/// One number: what is measured is the host.
#[derive(Debug)]
struct Page(Json);

impl StorageView for Page {
    fn get(&mut self, _: Family, _: &str) -> Result<Option<Json>, StorageFault> {
        Ok(Some(self.0.clone()))
    }
    fn set(&mut self, _: Family, _: &str, value: Json) -> Result<(), StorageFault> {
        self.0 = value;
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
    fn increment(&mut self, _: Family, _: &str, _: f64) -> Result<Json, StorageFault> {
        Ok(self.0.clone())
    }
    fn decrement(&mut self, _: Family, _: &str, _: f64) -> Result<Json, StorageFault> {
        Ok(self.0.clone())
    }
}

#[expect(clippy::disallowed_methods, reason = "this program measures time")]
fn time(work: impl FnOnce()) -> Duration {
    let began = std::time::Instant::now();
    work();
    began.elapsed()
}

fn report(host: &ScriptHost, handler: &str, vars: &Vars, calls: u32) {
    let script = host
        .compile(Language::Rhai, SCRIPT)
        .expect("the script above compiles");
    let took = time(|| {
        for _ in 0..calls {
            let finished = host.call(
                &script,
                handler,
                Call {
                    vars: vars.clone(),
                    storage: Box::new(Page(Json::from(1))),
                    now: Timestamp::from_millis(0),
                    seed: [0; 16],
                },
            );
            assert!(black_box(finished).result.is_ok());
        }
    });
    let clones = time(|| {
        for _ in 0..calls {
            black_box(vars.clone());
        }
    });
    let net = took.saturating_sub(clones).as_nanos() / u128::from(calls);
    println!("{handler:<16} {net:>9} ns a call");
}

fn main() {
    let host = ScriptHost::new(ScriptLimits::default());
    let page = serde_json::json!({"page": 1});
    let records: Vec<Json> = (0..200)
        .map(|id| {
            serde_json::json!({
                "id": id.to_string(), "First_Name": "Ada", "Last_Name": "Lovelace",
                "Email": "ada@example.com", "Phone": "+44 20 7946 0000", "Owner": {"id": 7},
                "Modified_Time": "2026-11-23T12:00:00+00:00", "Tags": ["a", "b"],
            })
        })
        .collect();
    let vars = |method_response| Vars {
        method_response,
        ..Vars::default()
    };
    report(&host, "after_webhook", &vars(page), CALLS);
    report(&host, "before_action", &Vars::default(), CALLS);
    report(
        &host,
        "after_action",
        &vars(serde_json::json!({"data": records})),
        2_000,
    );
    let compile = time(|| {
        for number in 0..1_000 {
            let code = format!("{SCRIPT}// {number}");
            assert!(black_box(host.compile(Language::Rhai, &code)).is_ok());
        }
    });
    println!("{:<16} {:>9} ns", "compile", compile.as_nanos() / 1_000);
}
