//! Scripts in JavaScript, by workers in processes of their own.

use serde_json::json;
use velodrome_script::{Call, Family, Finished, Returned, ScriptError, StorageView, Vars};
use velodrome_spec::plan::Language;
use velodrome_types::Json;

use crate::support::{HOST, Memory, NOW, SEED, responding};

/// As Cyclr's page has them.
const AFTER_WEBHOOK: &str = "function after_webhook() { cyclr_storage_set('pageNumber', method_response.page); return true; }";
const BEFORE_ACTION: &str = "function before_action() { method_request.page = (+cyclr_storage_get('pageNumber') + 1); return true; }";

fn call_on(code: &str, handler: &str, vars: Vars, storage: Box<dyn StorageView>) -> Finished {
    let script = HOST
        .compile(Language::JavaScript, code)
        .unwrap_or_else(|error| panic!("{code}\n{error:?}"));
    let (now, seed) = (NOW, SEED);
    let call = Call {
        vars,
        storage,
        now,
        seed,
    };
    HOST.call(&script, handler, call)
}

fn call(code: &str, handler: &str, vars: Vars) -> Finished {
    call_on(code, handler, vars, Box::new(Memory::default()))
}

/// The error that a call of `run`, or the compiler before it, ends with.
fn error_of(code: &str) -> ScriptError {
    match HOST.compile(Language::JavaScript, code) {
        Err(error) => error,
        Ok(_) => call(code, "run", Vars::default()).result.expect_err(code),
    }
}

/// Runs an expression in a handler and expects this JSON of it.
fn check_value(body: &str, vars: Vars, expect: Json) {
    let code = format!("function run() {{ method_response = (function () {{ {body} }})(); }}");
    let finished = call(&code, "run", vars);
    assert!(finished.result.is_ok(), "{body}\n{:?}", finished.result);
    assert_eq!(finished.vars.method_response, expect, "{body}");
}

#[test]
fn cyclrs_own_scripts_turn_the_paging_loop() {
    let mut storage: Box<dyn StorageView> = Box::new(Memory::default());
    for page in 1..=3 {
        let vars = responding(json!({"page": page}));
        let webhook = call_on(AFTER_WEBHOOK, "after_webhook", vars.clone(), storage);
        assert_eq!(webhook.result, Ok(Returned::True));
        assert_eq!(webhook.vars, vars);
        let action = call_on(
            BEFORE_ACTION,
            "before_action",
            Vars::default(),
            webhook.storage,
        );
        assert_eq!(action.result, Ok(Returned::True));
        assert_eq!(
            action.vars.method_request.to_string(),
            json!({"page": page + 1}).to_string()
        );
        storage = action.storage;
    }
    assert_eq!(storage.get(Family::Cyclr, "pageNumber"), Ok(Some(json!(3))));
    // A key that is not there reads as null, and null counts as nothing.
    let first = call(BEFORE_ACTION, "before_action", Vars::default());
    assert_eq!(first.vars.method_request, json!({"page": 1}));
}

#[test]
fn a_throw_is_told_as_it_was_thrown() {
    let check = |body: &str, code: &str, message: &str, place: (u32, u32)| {
        let error = error_of(&format!("function run() {{\n{body}\n}}"));
        assert_eq!(error.code.as_str(), code, "{body}\n{error:?}");
        assert_eq!(error.message, message, "{body}");
        assert_eq!(
            (error.line, error.column),
            (Some(place.0), Some(place.1)),
            "{body}"
        );
    };
    check("  throw 'No page.';", "script.threw", "No page.", (2, 3));
    check(
        "  throw new Error('No page.');",
        "script.threw",
        "No page.",
        (2, 13),
    );
    check(
        "throw {b: 1, a: [true]};",
        "script.threw",
        r#"{"b":1,"a":[true]}"#,
        (2, 1),
    );
    check("throw null;", "script.threw", "null", (2, 1));
    check(
        "deep(3);\n}\nfunction deep(n) {\nif (n == 0) { throw `at ${n}`; } deep(n - 1);",
        "script.threw",
        "at 0",
        (5, 15),
    );
    check(
        "throw 'a' + nothing;",
        "script.failed",
        "there is no variable or function `nothing`",
        (2, 13),
    );
    check(
        "let x = null;\n  x.y;",
        "script.failed",
        "cannot read property `y` of null",
        (3, 3),
    );
    check_value("return 1 + 1;", Vars::default(), json!(2));
}
