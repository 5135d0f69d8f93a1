//! A storage in memory, and one call of one handler.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::json;
use velodrome_script::{
    Call, Family, Finished, ScriptError, ScriptHost, ScriptLimits, StorageFault, StorageView, Vars,
    Workers,
};
use velodrome_spec::plan::Language;
use velodrome_types::{Json, Timestamp};

/// 2026-11-23T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_000);
/// Every call's seed unless a test says otherwise.
pub(crate) const SEED: [u8; 16] = [7; 16];

/// One host for all tests, as one serves all runs.
pub(crate) static HOST: LazyLock<ScriptHost> =
    LazyLock::new(|| ScriptHost::new(ScriptLimits::default(), workers()));

/// Workers as a server has them: processes.
pub(crate) fn workers() -> Workers {
    Workers::program(env!("CARGO_BIN_EXE_velodrome-script-worker"), [""; 0])
}

/// Storage in memory. What it holds is looked at through its own interface.
#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<(Family, String), Json>);

impl Memory {
    fn add(&mut self, family: Family, key: &str, by: f64) -> Result<Json, StorageFault> {
        let entry = self.0.entry((family, key.to_owned())).or_insert(json!(0));
        let sum = entry.as_f64().ok_or(StorageFault {
            code: "storage.not_a_number",
            message: format!("`{key}` is no number"),
        })? + by;
        *entry = if sum.fract() == 0.0 {
            json!(sum as i64)
        } else {
            json!(sum)
        };
        Ok(entry.clone())
    }
}

impl StorageView for Memory {
    fn get(&mut self, family: Family, key: &str) -> Result<Option<Json>, StorageFault> {
        Ok(self.0.get(&(family, key.to_owned())).cloned())
    }

    fn set(&mut self, family: Family, key: &str, value: Json) -> Result<(), StorageFault> {
        if key.len() > 128 {
            return Err(StorageFault {
                code: "storage.key_too_long",
                message: format!("a key of {} characters is too long", key.len()),
            });
        }
        self.0.insert((family, key.to_owned()), value);
        Ok(())
    }

    fn append(&mut self, family: Family, key: &str, value: Json) -> Result<(), StorageFault> {
        let entry = self.0.entry((family, key.to_owned())).or_insert(json!([]));
        if let Json::Array(items) = entry {
            items.push(value);
        }
        Ok(())
    }

    fn delete(&mut self, family: Family, key: &str) -> Result<(), StorageFault> {
        self.0.remove(&(family, key.to_owned()));
        Ok(())
    }

    fn delete_all(&mut self, family: Family) -> Result<(), StorageFault> {
        self.0.retain(|(of, _), _| *of != family);
        Ok(())
    }

    fn list_keys(&mut self, family: Family) -> Result<Vec<String>, StorageFault> {
        let keys = self.0.keys().filter(|(of, _)| *of == family);
        Ok(keys.map(|(_, key)| key.clone()).collect())
    }

    fn list_values(&mut self, family: Family) -> Result<Vec<Json>, StorageFault> {
        let entries = self.0.iter().filter(|((of, _), _)| *of == family);
        Ok(entries.map(|(_, value)| value.clone()).collect())
    }

    fn increment(&mut self, family: Family, key: &str, by: f64) -> Result<Json, StorageFault> {
        self.add(family, key, by)
    }

    fn decrement(&mut self, family: Family, key: &str, by: f64) -> Result<Json, StorageFault> {
        self.add(family, key, -by)
    }
}

/// Compiles and calls, on empty storage.
pub(crate) fn call(code: &str, handler: &str, vars: Vars) -> Finished {
    call_with(code, handler, vars, Box::new(Memory::default()))
}

/// Compiles and calls, on this storage.
pub(crate) fn call_with(
    code: &str,
    handler: &str,
    vars: Vars,
    storage: Box<dyn StorageView>,
) -> Finished {
    let script = HOST
        .compile(Language::Rhai, code)
        .unwrap_or_else(|error| panic!("{code}\n{error:?}"));
    let (now, seed) = (NOW, SEED);
    HOST.call(
        &script,
        handler,
        Call {
            outside: Box::new(velodrome_script::NoOutside),
            vars,
            storage,
            now,
            seed,
        },
    )
}

/// The error that a call of `run`, or the compiler before it, ends with.
pub(crate) fn error_of(code: &str) -> ScriptError {
    error_on(&HOST, code)
}

/// As [`error_of`], on another host.
pub(crate) fn error_on(host: &ScriptHost, code: &str) -> ScriptError {
    let script = match host.compile(Language::Rhai, code) {
        Err(error) => return error,
        Ok(script) => script,
    };
    let call = Call {
        vars: Vars::default(),
        outside: Box::new(velodrome_script::NoOutside),
        storage: Box::new(Memory::default()),
        now: NOW,
        seed: SEED,
    };
    match host.call(&script, "run", call).result {
        Err(error) => error,
        Ok(returned) => panic!("{code:.200}\nended well: {returned:?}"),
    }
}

/// Variables with a response.
pub(crate) fn responding(response: Json) -> Vars {
    Vars {
        method_response: response,
        ..Vars::default()
    }
}

/// Runs `body` in a handler and expects this JSON of the value it ends with.
pub(crate) fn check_value(body: &str, vars: Vars, expect: Json) {
    let code = format!("fn run() {{ method_response = {{ {body} }}; }} fn double(n) {{ n * 2 }}");
    let finished = call(&code, "run", vars);
    assert!(finished.result.is_ok(), "{body}\n{:?}", finished.result);
    assert_eq!(finished.vars.method_response, expect, "{body}");
}
