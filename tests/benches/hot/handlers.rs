//! A call of a script's handler, the variables made anew for each.

use divan::Bencher;
use serde_json::json;
use velodrome_script::{Call, Family, StorageFault, StorageView, Vars};
use velodrome_spec::plan::Language;
use velodrome_types::{Json, Timestamp};

use crate::shipped;

const SCRIPT: &str = r#"
fn after_webhook() { cyclr_storage_set("pageNumber", method_response.page); return true; }
fn before_action() { method_request.page = cyclr_storage_get("pageNumber") + 1; return true; }
fn after_action() {
    let names = [];
    for record in method_response.data { names.push(record.Last_Name); }
    action_data.names = names;
}
"#;

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

fn call(bencher: Bencher<'_, '_>, handler: &str, vars: &Vars) {
    let host = shipped::host();
    let script = host
        .compile(Language::Rhai, SCRIPT)
        .expect("the script above compiles");
    bencher.with_inputs(|| vars.clone()).bench_values(|vars| {
        let finished = host.call(
            &script,
            handler,
            Call {
                vars,
                outside: Box::new(velodrome_script::NoOutside),
                storage: Box::new(Page(Json::from(1))),
                now: Timestamp::from_millis(0),
                seed: [0; 16],
            },
        );
        assert!(finished.result.is_ok());
        finished
    });
}

#[divan::bench]
fn handler_after_webhook(bencher: Bencher<'_, '_>) {
    let vars = Vars {
        method_response: json!({"page": 1}),
        ..Vars::default()
    };
    call(bencher, "after_webhook", &vars);
}

#[divan::bench]
fn handler_before_action(bencher: Bencher<'_, '_>) {
    call(bencher, "before_action", &Vars::default());
}

/// One that looks at each record of a page.
#[divan::bench]
fn handler_reads_200_records(bencher: Bencher<'_, '_>) {
    let vars = Vars {
        method_response: shipped::page(200),
        ..Vars::default()
    };
    call(bencher, "after_action", &vars);
}

#[divan::bench]
fn handlers_compile(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(shipped::host).bench_refs(|host| {
        host.compile(Language::Rhai, SCRIPT)
            .expect("the script above compiles")
    });
}
