//! Scripts in JavaScript, by workers in processes of their own.

use serde_json::json;
use velodrome_script::{
    Call, Family, Finished, Returned, ScriptError, ScriptHost, ScriptLimits, StorageView, Vars,
    Workers,
};
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
        outside: Box::new(velodrome_script::NoOutside),
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

#[test]
fn handlers_are_functions_at_the_top_however_they_are_written() {
    for code in [
        "function run() { return false; }",
        "var run = function () { return false; };",
        "let run = () => false;",
        "const run = function run() { return false; };",
        "run = function () { return false; };",
        "this.run = function () { return false; };",
        "'use strict';\nfunction run() { return false; }",
        "async function run() { return await Promise.resolve(false); }",
    ] {
        let finished = call(code, "run", Vars::default());
        assert_eq!(finished.result, Ok(Returned::False), "{code}");
    }
    let undefined = call("function run() { }", "before_action", Vars::default());
    assert_eq!(undefined.result, Ok(Returned::True));
    let error = error_of("var run = 5;");
    assert_eq!(error.message, "`run` is no function");
    let error = error_of("function run() { return new Promise(() => { }); }");
    assert_eq!(error.message, "`run` waits for something that never comes");
    let error = error_of("async function run() {\n  throw new Error('late');\n}");
    assert_eq!((error.message.as_str(), error.line), ("late", Some(2)));
}

#[test]
fn time_and_chance_are_those_of_the_call() {
    let value = |body: &str, seed: [u8; 16]| {
        let code = format!("function run() {{ method_response = {body}; }}");
        let script = HOST.compile(Language::JavaScript, &code).unwrap();
        let call = Call {
            vars: Vars::default(),
            outside: Box::new(velodrome_script::NoOutside),
            storage: Box::new(Memory::default()),
            now: NOW,
            seed,
        };
        HOST.call(&script, "run", call).vars.method_response
    };
    let now = json!("2026-11-23T12:00:00.000Z");
    for body in [
        "new Date()",
        "new Date(Date.now()).toISOString()",
        "new Date().toISOString()",
        "new Date(new Date().constructor.now())",
        "new (class extends Date { })()",
        "new Date(Date()).toISOString()",
    ] {
        assert_eq!(value(body, SEED), now, "{body}");
    }
    for (body, expect) in [
        ("new Date(2020, 1, 2).getFullYear()", json!(2020)),
        (
            "new Date('2020-01-02').getTime()",
            json!(1_577_923_200_000_i64),
        ),
        ("Date.UTC(1970, 0, 1)", json!(0)),
        ("new Date() instanceof Date", json!(true)),
        ("typeof Date()", json!("string")),
        ("new Date(2020, 0, 1).getTimezoneOffset()", json!(0)),
        ("(() => { }) instanceof Function", json!(true)),
    ] {
        assert_eq!(value(body, SEED), expect, "{body}");
    }
    let numbers = "[Math.random(), Math.random()]";
    let first = value(numbers, SEED);
    assert_eq!(first, value(numbers, SEED));
    assert_ne!(first, value(numbers, [8; 16]));
    assert_ne!(first[0], first[1]);
    let number = first[0].as_f64().unwrap();
    assert!((0.0..1.0).contains(&number), "{number}");
}

#[test]
fn a_call_begins_anew() {
    let code = "var seen = 0; function run() { seen += 1; globalThis.left = (globalThis.left || 0) + 1; \
                Array.prototype.left = 1; method_response = [seen, left]; }";
    for _ in 0..5 {
        let finished = call(code, "run", Vars::default());
        assert_eq!(finished.vars.method_response, json!([1, 1]));
    }
}

#[test]
fn the_console_says_everything_in_one_line() {
    let code = "function run() { console.log('a', 1, {b: [null]}, undefined, new Error('e')); \
                console.warn(); console.error('x'); log(new Date(0)); log(true); }";
    let finished = call(code, "run", Vars::default());
    assert_eq!(finished.result, Ok(Returned::True));
    assert_eq!(
        finished.logs,
        [
            r#"a 1 {"b":[null]} undefined Error: e"#,
            "",
            "x",
            "\"1970-01-01T00:00:00.000Z\"",
            "true"
        ]
    );
}

#[test]
fn what_a_script_names_is_known_before_it_runs() {
    let code = r#"
        const KEY = 'from_const';
        var after_action = function () {
            // cyclr_storage_get("comment") method_error
            var text = "cyclr_storage_get('text')", re = /cyclr_storage_get("re") reasonPhrase/;
            if (statusCode / 2 == 100) { `${loop_storage_get("inside")} action_data` }
            cycle_storage_increment('n');
            other.method_request = 1;
            this['method_response'].data.map(x => cyclr_storage_set("k" + x, x));
            try { loop_storage_delete(`gone`); } catch (e) { cyclr_storage_get(KEY); }
        };
        function helper() { function before_action() { } }
    "#;
    let script = HOST.compile(Language::JavaScript, code).unwrap();
    let analysis = script.analysis();
    let all =
        |set: &std::collections::BTreeSet<String>| -> Vec<String> { set.iter().cloned().collect() };
    assert_eq!(all(&analysis.handlers), ["after_action"]);
    assert_eq!(all(&analysis.names), ["method_response", "statusCode"]);
    let keys = |set: &std::collections::BTreeSet<(String, String)>| -> Vec<String> {
        set.iter()
            .map(|(family, key)| format!("{family} {key}"))
            .collect()
    };
    assert_eq!(
        keys(&analysis.reads),
        ["cycle n", "cyclr from_const", "loop inside"]
    );
    assert_eq!(keys(&analysis.writes), ["cycle n", "loop gone"]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let check = |code: &str, expect: &str, place: (u32, u32), part: &str| {
        let error = HOST.compile(Language::JavaScript, code).expect_err(code);
        assert_eq!(error.code.as_str(), expect, "{code}\n{error:?}");
        assert_eq!(
            (error.line, error.column),
            (Some(place.0), Some(place.1)),
            "{code}\n{error:?}"
        );
        let said = format!("{} {}", error.message, error.hint.unwrap_or_default());
        assert!(said.contains(part), "{code}\n{said}");
    };
    check(
        "function run() {\n  var x = ;\n}",
        "script.syntax",
        (2, 11),
        "unexpected token",
    );
    check(
        "function run() { var é = 'é', y = ; }",
        "script.syntax",
        (1, 35),
        "unexpected token",
    );
    check("fn run() { }", "script.syntax", (1, 4), "looks like Rhai");
    check("import x from 'y';", "script.syntax", (1, 8), "no modules");
    check(
        "'use strict';\nwith (x) { }",
        "script.syntax",
        (2, 1),
        "with",
    );
    check(
        "function run() {\n  cyclr_storage_sett('a', 1);\n}",
        "script.unknown_function",
        (2, 3),
        "did you mean `cyclr_storage_set`?",
    );
    check(
        "function before_acton() { }",
        "script.handler",
        (1, 10),
        "did you mean the handler `before_action`?",
    );
}

#[test]
fn an_error_says_what_to_do() {
    let check = |body: &str, message: &str, hint: &str| {
        let error = error_of(&format!("function run() {{ {body} }}"));
        assert_eq!(error.message, message, "{body}");
        let given = error.hint.unwrap_or_default();
        assert!(given.contains(hint), "{body}: {given}");
    };
    check(
        "status_code = status_code + 1;",
        "there is no variable or function `status_code`",
        "did you mean `statusCode`?",
    );
    check(
        "require('moment')",
        "there is no variable or function `require`",
        "no modules",
    );
    check(
        "setTimeout(run, 1)",
        "there is no variable or function `setTimeout`",
        "`delay` step",
    );
    check(
        "method_response.data.length",
        "cannot read property `data` of null",
        "ask first",
    );
    check(
        "method_response = run;",
        "`method_response` cannot be taken over: a function is no JSON",
        "",
    );
    check(
        "method_request_headers = 1;",
        "`method_request_headers` must be an object: write `{name: value}`",
        "",
    );
}

#[test]
fn places_are_those_of_the_script_where_it_throws() {
    let error = error_of("function run() { try { throw 'é'; } catch (e) { } throw 'b'; }");
    assert_eq!((error.line, error.column), (Some(1), Some(51)), "{error:?}");
    // A note stands before what is thrown; places behind it are told as they were.
    let error = error_of("function run() {\n  if (1) throw 'a' + method_response.b.c;\n}");
    assert_eq!(error.code.as_str(), "script.failed");
    assert_eq!((error.line, error.column), (Some(2), Some(22)), "{error:?}");
    for body in [
        "try { throw 'é'; } catch (e) { } const o = { throw(e) { return e; } }; method_response = o.throw(1);",
        "const o = { throw: 1 }; method_response = o.throw;",
        "class T { throw(e) { return e; } } method_response = new T().throw(1);",
        "method_response = /throw 'x'/.test(\"throw 'x'\") ? 1 : 0;",
    ] {
        let finished = call(
            &format!("function run() {{ {body} }}"),
            "run",
            Vars::default(),
        );
        assert_eq!(
            finished.vars.method_response,
            json!(1),
            "{body}\n{:?}",
            finished.result
        );
    }
}

#[test]
fn handlers_run_side_by_side() {
    let script = HOST.compile(Language::JavaScript, BEFORE_ACTION).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let script = &script;
            scope.spawn(move || {
                for turn in 0..100 {
                    let page = thread * 1_000 + turn;
                    let mut storage = Memory::default();
                    storage
                        .set(Family::Cyclr, "pageNumber", json!(page))
                        .unwrap();
                    let call = Call {
                        vars: Vars::default(),
                        outside: Box::new(velodrome_script::NoOutside),
                        storage: Box::new(storage),
                        now: NOW,
                        seed: SEED,
                    };
                    let finished = HOST.call(script, "before_action", call);
                    assert_eq!(finished.vars.method_request, json!({"page": page + 1}));
                }
            });
        }
    });
}

#[test]
fn threads_answer_as_processes_do() {
    let host = ScriptHost::new(ScriptLimits::default(), Workers::threads());
    let script = host.compile(Language::JavaScript, AFTER_WEBHOOK).unwrap();
    let call = Call {
        outside: Box::new(velodrome_script::NoOutside),
        vars: responding(json!({"page": 7})),
        storage: Box::new(Memory::default()),
        now: NOW,
        seed: SEED,
    };
    let mut finished = host.call(&script, "after_webhook", call);
    assert_eq!(finished.result, Ok(Returned::True));
    assert_eq!(
        finished.storage.get(Family::Cyclr, "pageNumber"),
        Ok(Some(json!(7)))
    );
}
