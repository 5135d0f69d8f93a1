//! What holds in both languages: each behaviour once, with the script in Rhai and in JavaScript.

use std::sync::{Arc, Mutex};

use serde_json::json;
use velodrome_script::{
    Call, Family, Finished, HttpAnswered, HttpAsked, Outside, Returned, ScriptError, StorageFault,
    StorageView, Vars,
};
use velodrome_spec::plan::Language;
use velodrome_types::{Json, JsonMap, Timestamp};

use crate::support::{HOST, Memory, NOW, SEED, responding};

fn call(language: Language, code: &str, vars: Vars, seed: [u8; 16]) -> Finished {
    let script = HOST
        .compile(language, code)
        .unwrap_or_else(|error| panic!("{code}\n{error:?}"));
    let storage: Box<dyn StorageView> = Box::new(Memory::default());
    let now = NOW;
    let call = Call {
        outside: Box::new(velodrome_script::NoOutside),
        vars,
        storage,
        now,
        seed,
    };
    HOST.call(&script, "run", call)
}

/// Both scripts, each with its language.
fn each(rhai: &str, javascript: &str) -> [(Language, String); 2] {
    [
        (Language::Rhai, format!("fn run() {{ {rhai} }}")),
        (
            Language::JavaScript,
            format!("function run() {{ {javascript} }}"),
        ),
    ]
}

/// The same variables after both.
fn check(rhai: &str, javascript: &str, vars: &Vars, expect: &Vars) {
    for (language, code) in each(rhai, javascript) {
        let finished = call(language, &code, vars.clone(), SEED);
        assert_eq!(finished.result, Ok(Returned::True), "{code}");
        assert_eq!(&finished.vars, expect, "{code}");
    }
}

/// The same answer from both, of what is put into `method_response`.
fn check_value(rhai: &str, javascript: &str, vars: &Vars, expect: &Json) {
    let value = |finished: Finished, code: &str| {
        assert!(finished.result.is_ok(), "{code}\n{:?}", finished.result);
        finished.vars.method_response
    };
    let rhai = format!("method_response = {{ {rhai} }};");
    let javascript = format!("method_response = ({javascript});");
    for (language, code) in each(&rhai, &javascript) {
        let finished = call(language, &code, vars.clone(), SEED);
        assert_eq!(&value(finished, &code), expect, "{code}");
    }
}

/// The same error of both: its code and its message.
fn check_error(rhai: &str, javascript: &str, code: &str, message: &str) {
    for (language, script) in each(rhai, javascript) {
        let error = error(language, &script);
        assert_eq!(error.code.as_str(), code, "{script}\n{error:?}");
        assert_eq!(error.message, message, "{script}");
    }
}

fn error(language: Language, code: &str) -> ScriptError {
    match HOST.compile(language, code) {
        Err(error) => error,
        Ok(_) => call(language, code, Vars::default(), SEED)
            .result
            .expect_err(code),
    }
}

fn object(value: Json) -> JsonMap {
    match value {
        Json::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

#[test]
fn variables_are_changed_inside_functions() {
    let vars = Vars {
        method_request: json!({"z": 1, "deep": {"list": [0, {"x": 1}]}, "a": 1}),
        method_request_parameters: object(json!({"kept": "k", "gone": "g"})),
        method_endpoint: "https://example.com/".to_owned(),
        method_response: json!([1, 2]),
        ..Vars::default()
    };
    let expect = Vars {
        method_request: json!({"z": 1, "deep": {"list": [0, {"x": "y"}]}, "a": 1, "page": 2}),
        method_request_parameters: object(json!({"kept": "k"})),
        method_request_headers: object(json!({"X-Id": "7"})),
        method_endpoint: "https://example.com/?q=1".to_owned(),
        method_response: json!({"ok": true}),
        status_code: Some(404),
        reason_phrase: "Not Found".to_owned(),
        action_data: json!({"seen": [1, 2]}),
        next_last_successful_run_date: Some(NOW),
        ..Vars::default()
    };
    check(
        r#"method_request.page = 2;
           method_request.deep.list[1].x = "y";
           method_response = #{ok: true};
           statusCode = 404;
           reasonPhrase = "Not Found";
           method_request_headers["X-Id"] = "7";
           method_endpoint += "?q=1";
           action_data.seen = [1];
           action_data.seen.push(2);
           method_request_parameters.remove("gone");
           next_last_successful_run_date = now();"#,
        r#"method_request.page = 2;
           method_request.deep.list[1].x = "y";
           method_response = {ok: true};
           statusCode = 404;
           reasonPhrase = "Not Found";
           method_request_headers["X-Id"] = "7";
           method_endpoint += "?q=1";
           action_data.seen = [1];
           action_data.seen.push(2);
           delete method_request_parameters.gone;
           next_last_successful_run_date = now();"#,
        &vars,
        &expect,
    );
}

#[test]
fn what_is_left_alone_comes_back_to_the_letter() {
    let text = r#"{"b":1.0,"a":18446744073709551615,"c":{"z":null,"y":[{"k":1e2,"j":-0.0}]},"é":"","7":1}"#;
    let body: Json = serde_json::from_str(text).unwrap();
    for (rhai, javascript) in [
        ("let all = method_response;", "var all = method_response;"),
        (
            "method_response.c.y.push(1); method_response.c.y.pop();",
            "method_response.c.y.push(1); method_response.c.y.pop();",
        ),
        (
            "method_response = method_response;",
            "method_response = JSON.parse(JSON.stringify(method_response));",
        ),
        (
            "method_response.c.x = 1; method_response.c.remove(\"x\");",
            "method_response.c.x = 1; delete method_response.c.x;",
        ),
    ] {
        for (language, code) in each(rhai, javascript) {
            let finished = call(language, &code, responding(body.clone()), SEED);
            assert!(finished.result.is_ok(), "{code} {:?}", finished.result);
            let left = finished.vars.method_response.to_string();
            assert_eq!(left, body.to_string(), "{code}");
        }
    }
}

/// Two ids that are one number to JavaScript: the record that is left must not get the other's.
#[test]
fn an_item_that_moved_is_not_taken_for_the_one_before_it() {
    let body: Json = serde_json::from_str(
        r#"{"records":[{"id":1234567890123456789,"ok":false},{"id":1234567890123456790,"ok":true}]}"#,
    )
    .unwrap();
    for (language, code) in each(
        "method_response.records = method_response.records.filter(|r| r.ok);",
        "method_response.records = method_response.records.filter(r => r.ok);",
    ) {
        let finished = call(language, &code, responding(body.clone()), SEED);
        let id = &finished.vars.method_response["records"][0]["id"];
        assert_ne!(*id, json!(1_234_567_890_123_456_789_u64), "{code}");
        assert_eq!(id.as_f64(), Some(1_234_567_890_123_456_790.0), "{code}");
    }
}

#[test]
fn new_fields_come_last() {
    let vars = responding(json!({"z": 1, "m": 1, "b": 1}));
    for (language, code) in each(
        "method_response.b = 2; method_response.remove(\"m\"); method_response.aa = 1;",
        "method_response.b = 2; delete method_response.m; method_response.aa = 1;",
    ) {
        let finished = call(language, &code, vars.clone(), SEED);
        let text = finished.vars.method_response.to_string();
        assert_eq!(text, r#"{"z":1,"b":2,"aa":1}"#, "{code}");
    }
}

#[test]
fn values_are_those_of_json() {
    let none = Vars::default();
    let check = |rhai, javascript, expect: Json| check_value(rhai, javascript, &none, &expect);
    check("1 + 1", "1 + 1", json!(2));
    check("7 / 2.0", "7 / 2", json!(3.5));
    check("0.0 / 0.0", "0 / 0", json!(null));
    check("()", "null", json!(null));
    check("()", "undefined", json!(null));
    check(
        "[1, [2.5, \"x\"], #{a: ()}]",
        "[1, [2.5, 'x'], {a: null}]",
        json!([1, [2.5, "x"], {"a": null}]),
    );
    check("method_response ?? 5", "method_response ?? 5", json!(5));
    check(
        "type_of(method_request)",
        "{}.toString.call(method_request) == '[object Object]' ? 'map' : 'none'",
        json!("map"),
    );
    check("btoa(\"Grüße\")", "btoa('Grüße')", json!("R3LDvMOfZQ=="));
    check(
        "atob(\"R3LDvMOfZQ\") + atob(\"R3LD\\nvMOfZQ==\")",
        "atob('R3LDvMOfZQ') + atob('R3LD\\nvMOfZQ==')",
        json!("GrüßeGrüße"),
    );
    check("now()", "now()", json!("2026-11-23T12:00:00.000Z"));
    check(
        "2147483648 * 1024",
        "2147483648 * 1024",
        json!(2_199_023_255_552_i64),
    );
}

#[test]
fn storage_keeps_types_and_families_apart() {
    let none = Vars::default();
    let same = |script: &str, expect: Json| {
        let javascript = format!("(function () {{ {script}; }})()");
        let javascript = match script.rsplit_once("; ") {
            Some((before, last)) => format!("(function () {{ {before}; return {last}; }})()"),
            None => javascript.replace("{ ", "{ return "),
        };
        check_value(script, &javascript, &none, &expect);
    };
    same("cyclr_storage_get(\"none\")", json!(null));
    same(
        "cyclr_storage_set(\"k\", [[1.5], true]); cyclr_storage_get(\"k\")",
        json!([[1.5], true]),
    );
    same(
        "cyclr_storage_set(\"k\", 1); cycle_storage_get(\"k\")",
        json!(null),
    );
    same(
        "loop_storage_set(5, \"v\"); loop_storage_get(\"5\")",
        json!("v"),
    );
    same(
        "cycle_storage_append(\"l\", 1); cycle_storage_append(\"l\", \"b\"); \
         cycle_storage_get(\"l\")",
        json!([1, "b"]),
    );
    same(
        "cyclr_storage_increment(\"n\"); cyclr_storage_increment(\"n\", 4); \
         cyclr_storage_decrement(\"n\", 0.5)",
        json!(4.5),
    );
    same("loop_storage_decrement(\"n\")", json!(-1));
    same(
        "loop_storage_set(\"b\", 2); loop_storage_set(\"a\", 1); cyclr_storage_set(\"c\", 3); \
         [loop_storage_list_keys(), loop_storage_list_values()]",
        json!([["a", "b"], [1, 2]]),
    );
    same(
        "loop_storage_set(\"b\", 2); loop_storage_set(\"a\", 1); loop_storage_delete(\"a\"); \
         loop_storage_list_keys()",
        json!(["b"]),
    );
    same(
        "loop_storage_set(\"b\", 2); loop_storage_delete_all(); loop_storage_list_keys()",
        json!([]),
    );
    same(
        "cyclr_storage_set(\"t\", \"3\"); cyclr_storage_get(\"t\") + 1",
        json!("31"),
    );
}

#[test]
fn storage_comes_back_after_an_error_and_with_its_own_code() {
    for (language, code) in each(
        "cyclr_storage_set(\"a\", 1); let k = \"x\"; k.pad(129, 'x'); cyclr_storage_set(k, 1);",
        "cyclr_storage_set('a', 1); cyclr_storage_set('x'.repeat(129), 1);",
    ) {
        let mut finished = call(language, &code, Vars::default(), SEED);
        let error = finished.result.unwrap_err();
        assert_eq!(error.code.as_str(), "storage.key_too_long", "{code}");
        assert_eq!(error.message, "a key of 129 characters is too long");
        assert_eq!(error.line, Some(1), "{code}");
        assert_eq!(finished.storage.get(Family::Cyclr, "a"), Ok(Some(json!(1))));
    }
    check_value(
        "let told = (); \
         try { cyclr_storage_set(\"t\", \"x\"); cyclr_storage_increment(\"t\") } \
         catch (e) { told = `${e.code}: ${e.message}`; } told",
        "(() => { try { cyclr_storage_set('t', 'x'); cyclr_storage_increment('t'); } \
         catch (e) { return `${e.code}: ${e.message}`; } })()",
        &Vars::default(),
        &json!("storage.not_a_number: `t` is no number"),
    );
}

#[test]
fn only_false_is_false() {
    let check = |rhai: &str, javascript: &str, expect: Returned| {
        for (language, code) in each(rhai, javascript) {
            let result = call(language, &code, Vars::default(), SEED).result;
            assert_eq!(result.as_ref(), Ok(&expect), "{code}");
        }
    };
    check("return false;", "return false;", Returned::False);
    check("1 > 2", "return 1 > 2;", Returned::False);
    check("true", "return true;", Returned::True);
    check("", "", Returned::True);
    check("()", "return null;", Returned::True);
    check("0", "return 0;", Returned::True);
    check("\"\"", "return '';", Returned::True);
}

#[test]
fn errors_have_one_code_and_one_text() {
    check_error(
        "throw \"No page.\";",
        "throw 'No page.';",
        "script.threw",
        "No page.",
    );
    check_error(
        "throw #{a: [true]};",
        "throw {a: [true]};",
        "script.threw",
        r#"{"a":[true]}"#,
    );
    check_error(
        "statusCode = 20;",
        "statusCode = 20;",
        "script.failed",
        "`statusCode` must be a whole number from 100 to 999",
    );
    check_error(
        "method_endpoint = 5;",
        "method_endpoint = 5;",
        "script.failed",
        "`method_endpoint` must be text",
    );
    check_error(
        "next_last_successful_run_date = \"soon\";",
        "next_last_successful_run_date = 'soon';",
        "script.failed",
        "`next_last_successful_run_date` is wrong: `soon` is no date: write RFC 3339 such as \
         `2026-11-23T12:00:00Z`",
    );
    check_error(
        "loop { }",
        "for (;;) { }",
        "script.operations",
        "the script took more steps than `script_limits.operations` allows",
    );
    check_error(
        "run()",
        "run()",
        "script.depth",
        "functions call each other deeper than `script_limits.depth` allows",
    );
    check_error(
        "cyclr_storage_sett(\"a\", 1)",
        "cyclr_storage_sett('a', 1)",
        "script.unknown_function",
        "there is no function `cyclr_storage_sett`",
    );
    check_error(
        "http_request(1)",
        "http_request(1)",
        "script.failed",
        "`http_request` takes one object: `{method, url, parameters, headers, data}`",
    );
    check_error(
        "http_request(#{url: \"https://example.com\"})",
        "http_request({url: 'https://example.com'})",
        "script.no_http",
        "`http_request` reaches nothing here: it works in the scripts of a step, outside tests",
    );
}

/// A world that answers what it was asked, and refuses one place.
#[derive(Default)]
struct Echo(Arc<Mutex<Vec<HttpAsked>>>);

impl Outside for Echo {
    fn http_request(&mut self, asked: &HttpAsked) -> Result<HttpAnswered, StorageFault> {
        self.0.lock().expect("a fixture").push(asked.clone());
        if asked.url.contains("refused") {
            return Err(StorageFault {
                code: "script.request_failed",
                message: "http_request: no way there".to_owned(),
            });
        }
        Ok(HttpAnswered {
            status_code: 404,
            headers: [("x-id".to_owned(), json!("7"))].into_iter().collect(),
            content: json!({"got": asked.data, "n": 1}),
        })
    }
}

/// What both ask the world for, and what they make of it.
fn asks(rhai: &str, javascript: &str) -> (Vec<Finished>, Vec<HttpAsked>) {
    let world = Echo::default();
    let asked = Arc::clone(&world.0);
    let finished = each(rhai, javascript).map(|(language, code)| {
        let script = HOST.compile(language, &code).expect("it compiles");
        let call = Call {
            outside: Box::new(Echo(Arc::clone(&asked))),
            vars: Vars::default(),
            storage: Box::new(Memory::default()),
            now: NOW,
            seed: SEED,
        };
        HOST.call(&script, "run", call)
    });
    let asked = asked.lock().expect("a fixture").clone();
    (finished.into(), asked)
}

#[test]
fn a_script_asks_the_world_and_reads_its_answer() {
    let (finished, asked) = asks(
        r#"let a = http_request(#{method: "post", url: "https://example.com/a?b=c", parameters: #{p: 1}, headers: #{"X-A": "1"}, data: #{x: [1]}});
           method_response = [a.status_code, a.headers["x-id"], a.content.got.x[0], a.content.n, a.request.method];"#,
        r"const a = http_request({method: 'post', url: 'https://example.com/a?b=c', parameters: {p: 1}, headers: {'X-A': '1'}, data: {x: [1]}});
           method_response = [a.status_code, a.headers['x-id'], a.content.got.x[0], a.content.n, a.request.method];",
    );
    for finished in finished {
        assert_eq!(finished.result, Ok(Returned::True));
        assert_eq!(
            finished.vars.method_response,
            json!([404, "7", 1, 1, "POST"])
        );
        assert_eq!(
            finished.logs,
            ["http_request: POST https://example.com/a → 404"]
        );
    }
    let [rhai, javascript] = &asked[..] else {
        panic!("two requests: {asked:?}");
    };
    assert_eq!(rhai, javascript, "both ask for the same, with the same key");
    assert_eq!(
        (
            rhai.method.as_str(),
            &rhai.parameters["p"],
            &rhai.headers["X-A"]
        ),
        ("POST", &json!(1), &json!("1"))
    );
    assert_eq!(rhai.data, Some(json!({"x": [1]})));
    assert!(!rhai.within.is_zero() && rhai.most > 0);
}

#[test]
fn what_brings_no_answer_can_be_caught_and_is_else_the_end() {
    let (finished, _) = asks(
        r#"try { http_request(#{url: "https://refused"}) } catch (e) { method_response = [e.code, e.message]; }"#,
        r"try { http_request({url: 'https://refused'}) } catch (e) { method_response = [e.code, e.message]; }",
    );
    for finished in finished {
        assert_eq!(finished.result, Ok(Returned::True));
        assert_eq!(
            finished.vars.method_response,
            json!(["script.request_failed", "http_request: no way there"])
        );
    }
    let (finished, _) = asks(
        r#"http_request(#{url: "https://refused"})"#,
        r"http_request({url: 'https://refused'})",
    );
    for finished in finished {
        let error = finished.result.expect_err("nothing caught it");
        assert_eq!(error.code.as_str(), "script.request_failed");
        assert_eq!(error.line, Some(1));
    }
}

#[test]
fn a_call_sends_so_many_requests_each_with_a_key_of_its_own() {
    let (finished, asked) = asks(
        r#"for i in 0..21 { http_request(#{url: "https://example.com"}); }"#,
        r"for (let i = 0; i < 21; i++) { http_request({url: 'https://example.com'}); }",
    );
    for finished in finished {
        let error = finished.result.expect_err("it is one too many");
        assert_eq!(error.code.as_str(), "script.failed");
        assert!(
            error.message.contains("may send 20 requests"),
            "{}",
            error.message
        );
    }
    let keys: std::collections::BTreeSet<_> = asked.iter().map(|asked| asked.key.clone()).collect();
    assert_eq!(
        (asked.len(), keys.len()),
        (40, 20),
        "the same keys in both, each another"
    );
}

#[test]
fn a_request_that_is_none_says_what_is_wrong() {
    let check = |rhai: &str, javascript: &str, message: &str| {
        let (finished, asked) = asks(rhai, javascript);
        for finished in finished {
            let error = finished.result.expect_err(message);
            assert_eq!(
                (error.code.as_str(), error.message.as_str()),
                ("script.failed", message)
            );
        }
        assert_eq!(asked, []);
    };
    check(
        "http_request(#{})",
        "http_request({})",
        "`http_request` needs a `url`, which must be text",
    );
    check(
        "http_request(#{url: \"https://a\", body: 1})",
        "http_request({url: 'https://a', body: 1})",
        "`http_request` knows no `body`: it takes `method`, `url`, `parameters`, `headers` and `data`",
    );
    check(
        "http_request(#{url: \"https://a\", headers: 1})",
        "http_request({url: 'https://a', headers: 1})",
        "`headers` of `http_request` must be an object",
    );
    check(
        "http_request(#{url: \"https://a\", method: 1})",
        "http_request({url: 'https://a', method: 1})",
        "`method` of `http_request` must be text",
    );
}

#[test]
fn what_the_engine_owns_can_be_read_and_not_changed() {
    let vars = Vars {
        cycle_id: "zoho".to_owned(),
        cycle_step_id: "pause".to_owned(),
        transaction_id: "run_1".to_owned(),
        last_successful_run_date: Some(Timestamp::from_millis(0)),
        script_execution_context: "RUNNING_TRANSACTION".to_owned(),
        method_response_fields_in_use: vec!["page".to_owned()],
        cycle_variables: object(json!({"v": 1})),
        ..Vars::default()
    };
    let all = "[cycle_id, cycle_step_id, transaction_id, last_successful_run_date, \
               next_last_successful_run_date, script_execution_context, \
               method_response_fields_in_use, cycle_variables.v, statusCode]";
    let expect = json!([
        "zoho",
        "pause",
        "run_1",
        "1970-01-01T00:00:00.000Z",
        null,
        "RUNNING_TRANSACTION",
        ["page"],
        1,
        null
    ]);
    check_value(all, all, &vars, &expect);
    for (language, code) in each("cycle_id = \"x\";", "cycle_id = 'x';") {
        let error = error(language, &code);
        assert_eq!(error.message, "`cycle_id` cannot be changed", "{code}");
        assert_eq!(error.line, Some(1), "{code}");
    }
}

#[test]
fn logs_are_kept_in_order_also_before_an_error() {
    for (language, code) in each(
        "log(\"a\"); log(2.5); log(#{x: [()]}); throw 1;",
        "log('a'); log(2.5); log({x: [null]}); throw 1;",
    ) {
        let finished = call(language, &code, Vars::default(), SEED);
        assert_eq!(finished.logs, ["a", "2.5", r#"{"x":[null]}"#], "{code}");
        assert!(finished.result.is_err());
    }
}

#[test]
fn uuids_are_the_same_in_both_and_the_same_again() {
    let ids = |seed| {
        each(
            "method_response = [uuid(), uuid()];",
            "method_response = [uuid(), uuid()];",
        )
        .map(|(language, code)| {
            call(language, &code, Vars::default(), seed)
                .vars
                .method_response
        })
    };
    let [rhai, javascript] = ids(SEED);
    assert_eq!(rhai, javascript);
    assert_ne!(rhai[0], rhai[1]);
    assert_ne!(ids([8; 16])[1], javascript);
}

#[test]
fn a_missing_key_is_named_where_it_is_missed() {
    for (language, code) in each(
        "let page = loop_storage_get(\"page\"); page.number",
        "var page = loop_storage_get('page'); page.number",
    ) {
        let error = error(language, &code);
        assert_eq!(error.code.as_str(), "script.failed", "{code}");
        let hint = error.hint.unwrap_or_default();
        assert!(hint.contains("`page` is not in loop_storage"), "{hint}");
    }
}

#[test]
fn an_answer_larger_than_any_value_of_a_script_can_be_read() {
    let records: Vec<Json> = (0..30_000)
        .map(|id| json!({"id": id, "name": "x".repeat(100)}))
        .collect();
    let vars = responding(json!({"data": records}));
    for (language, code) in each(
        "let sum = 0; for record in method_response.data { sum += record.id; } method_response = sum;",
        "var sum = 0; for (const record of method_response.data) sum += record.id; method_response = sum;",
    ) {
        let finished = call(language, &code, vars.clone(), SEED);
        assert_eq!(finished.result, Ok(Returned::True), "{code}");
        assert_eq!(finished.vars.method_response, json!(449_985_000));
    }
}

/// What a `script` step's function gives, in both languages.
fn gives(rhai: &str, javascript: &str, expect: &Json) {
    for (language, code) in each(rhai, javascript) {
        let script = HOST.compile(language, &code).expect("it compiles");
        let call = Call {
            vars: Vars::default(),
            outside: Box::new(velodrome_script::NoOutside),
            storage: Box::new(Memory::default()),
            now: NOW,
            seed: SEED,
        };
        let given = HOST.run_step(&script, call).result;
        assert_eq!(given, Ok(Returned::Value(expect.clone())), "{code}");
    }
}

#[test]
fn a_steps_function_gives_what_it_returns() {
    gives("7", "return 7;", &json!(7));
    gives(
        "#{a: [1, ()], b: false}",
        "return {a: [1, null], b: false};",
        &json!({"a": [1, null], "b": false}),
    );
    gives("", "", &json!(null));
    gives("false", "return false;", &json!(false));
}

#[test]
fn pure_functions_are_there_in_both() {
    let check = |call: &str, expect: Json| gives(call, &format!("return {call};"), &expect);
    check(r#"btoa("foobar")"#, json!("Zm9vYmFy"));
    check(r#"atob("Zm9vYmFy")"#, json!("foobar"));
    check(r#"btoa("hé", "ISO-8859-1")"#, json!("aOk="));
    check(
        r#"cyclr_csv_parse("a,b\n1,2", ",", true)"#,
        json!([{"a": "1", "b": "2"}]),
    );
    check(
        r#"cyclr_xml_deserialize("<a><b>1</b></a>")"#,
        json!({"a": {"b": "1"}}),
    );
    // RFC 4231, test case 2.
    check(
        r#"cyclr_sign("HMAC-SHA256", "Jefe", "what do ya want for nothing?", "hex")"#,
        json!("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    );
}

#[test]
fn cyclrs_exceptions_have_codes_of_their_own_and_the_place_where_they_were_thrown() {
    for (name, code) in [
        ("AuthRefreshException", "script.auth_refresh"),
        ("AuthSessionException", "script.auth_session"),
    ] {
        for said in ["", "\"old\""] {
            let rhai = format!("\n  throw {name}({said});\n");
            let javascript = format!("\n  throw new {name}({said});\n");
            for (language, script) in each(&rhai, &javascript) {
                let error = error(language, &script);
                assert_eq!(error.code.as_str(), code, "{script}\n{error:?}");
                assert_eq!(error.line, Some(2), "{script}");
            }
        }
    }
}

#[test]
fn an_exception_that_was_caught_is_none() {
    check_value(
        "let seen = 0; try { throw AuthRefreshException(); } catch { seen = 1; } seen",
        "(() => { try { throw new AuthRefreshException('x'); } catch (e) { return e instanceof Error ? 1 : 0; } })()",
        &Vars::default(),
        &json!(1),
    );
}
