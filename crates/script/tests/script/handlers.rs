use serde_json::json;
use velodrome_script::{Call, Family, Returned, StorageView, Vars};
use velodrome_spec::plan::Language;
use velodrome_types::Json;

use crate::support::{HOST, Memory, NOW, SEED, call, call_with, check_value, error_of, responding};

const SEED_SCRIPT: &str = r#"
fn after_webhook() { cyclr_storage_set("pageNumber", method_response.page); return true; }
fn before_action() { method_request.page = cyclr_storage_get("pageNumber") + 1; return true; }
"#;

/// Runs `handler` and compares the variables that it leaves.
fn check(code: &str, handler: &str, vars: Vars, expect: Vars) {
    let finished = call(code, handler, vars);
    assert_eq!(finished.result, Ok(Returned::True), "{code}");
    assert_eq!(finished.vars, expect, "{code}");
}

fn object(value: Json) -> velodrome_types::JsonMap {
    match value {
        Json::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

#[test]
fn the_paging_loop_turns() {
    let mut storage: Box<dyn StorageView> = Box::new(Memory::default());
    for page in 1..=3 {
        let vars = responding(json!({"page": page}));
        let webhook = call_with(SEED_SCRIPT, "after_webhook", vars.clone(), storage);
        assert_eq!(webhook.result, Ok(Returned::True));
        assert_eq!(webhook.vars, vars);
        let action = call_with(
            SEED_SCRIPT,
            "before_action",
            Vars::default(),
            webhook.storage,
        );
        assert_eq!(action.result, Ok(Returned::True));
        assert_eq!(action.vars.method_request, json!({"page": page + 1}));
        storage = action.storage;
    }
    assert_eq!(storage.get(Family::Cyclr, "pageNumber"), Ok(Some(json!(3))));
}

#[test]
fn a_missing_page_says_which_key_is_missing() {
    let finished = call(SEED_SCRIPT, "before_action", Vars::default());
    let error = finished.result.unwrap_err();
    assert_eq!(error.code.as_str(), "script.failed");
    assert_eq!(error.message, "`+` cannot take `()` and `integer`");
    let hint = error.hint.unwrap();
    assert!(
        hint.contains("`pageNumber` is not in cyclr_storage"),
        "{hint}"
    );
    assert_eq!((error.line, error.column), (Some(3), Some(76)));
}

#[test]
fn variables_are_changed_inside_functions() {
    let code = r#"
        fn run() {
            method_request.page = 2;
            method_request.deep.list[1].x = "y";
            method_response = #{ok: true};
            statusCode = 404;
            reasonPhrase = "Not Found";
            method_request_headers["X-Id"] = "7";
            method_endpoint += "?q=1";
            helper();
        }
        fn helper() {
            method_request.from_helper = method_request.page + statusCode;
            action_data.seen = [1];
            action_data.seen.push(2);
            method_request_parameters.remove("gone");
            next_last_successful_run_date = now();
        }
    "#;
    let vars = Vars {
        method_request: json!({"z": 1, "deep": {"list": [0, {"x": 1}]}, "a": 1}),
        method_request_parameters: object(json!({"kept": "k", "gone": "g"})),
        method_endpoint: "https://example.com/".to_owned(),
        method_response: json!([1, 2]),
        ..Vars::default()
    };
    let expect = Vars {
        method_request: json!({
            "z": 1, "deep": {"list": [0, {"x": "y"}]}, "a": 1, "from_helper": 406, "page": 2
        }),
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
    check(code, "run", vars, expect);
}

#[test]
fn a_variable_put_into_another_is_a_copy() {
    let check = |body: &str, expect: Json| check_value(body, Vars::default(), expect);
    check(
        "method_request.me = method_request; method_request.x = 1; method_request.me.x = 2; method_request",
        json!({"me": {"x": 2}, "x": 1}),
    );
    check(
        "let l = [method_request]; l[0].x = 1; [l, method_request]",
        json!([[{"x": 1}], {}]),
    );
    check(
        "let l = []; l.push(method_request); method_request.l = l; method_request.x = 1; l",
        json!([{}]),
    );
    check(
        "action_data.r = method_request; method_request.a = action_data; action_data.r.x = 1; method_request",
        json!({"a": {"r": {}}}),
    );
    check(
        "let x = #{}; [1, 2].map(|n| { x.me = x; x.n = n; }); x",
        json!({"me": {"me": {}, "n": 1}, "n": 2}),
    );
    check(
        "let x = []; [1].map(|n| { x.push(x); x += [x]; }); x.len()",
        json!(2),
    );
    check(
        "let x = #{}; [1].map(|n| { method_request.x = x; x.r = method_request; }); \
           method_request.x.y = 1; [x, method_request]",
        json!([{"r": {"x": {}}}, {"x": {"y": 1}}]),
    );
    check(
        "let x = #{}; let l = [1].map(|n| x); x.y = 1; l",
        json!([{}]),
    );
    check(
        "[3, 1].filter(|n| { method_request.last = n; true }); method_request",
        json!({"last": 1}),
    );
}

#[test]
fn values_are_those_of_json() {
    let check = |body: &str, expect: Json| check_value(body, Vars::default(), expect);
    check("1 + 1", json!(2));
    check("7 / 2.0", json!(3.5));
    check("0.0 / 0.0", json!(null));
    check("()", json!(null));
    check(
        "[1, [2.5, \"x\"], #{a: ()}]",
        json!([1, [2.5, "x"], {"a": null}]),
    );
    check("'c'", json!("c"));
    check("method_response ?? 5", json!(5));
    check("type_of(method_request)", json!("map"));
    check(
        "[3, 1, 2].filter(|n| n > 1).map(|n| n * 10)",
        json!([30, 20]),
    );
    check(
        "let least = 1; [3, 1, 2].filter(|n| n > least)",
        json!([3, 2]),
    );
    check(
        "let l = [3, 1, 2]; l.sort(|a, b| b - a); l",
        json!([3, 2, 1]),
    );
    check("[\"b\", \"a\"].order_by(|a, b| a < b)", json!(["a", "b"]));
    check("[1, #{a: [2.0]}] == [1.0, #{a: [2]}]", json!(true));
    check("#{a: 1} != #{a: 2}", json!(true));
    check("`n ${[1, #{b: \"x\"}]}`", json!(r#"n [1,{"b":"x"}]"#));
    check("\"m \" + #{b: ()}", json!(r#"m {"b":null}"#));
    check("#{b: [1]}.to_json()", json!(r#"{"b":[1]}"#));
    check("parse_json(`[1, {\"a\": null}]`)", json!([1, {"a": null}]));
    check("let t = \"a-b\"; t.replace(\"-\", \"+\"); t", json!("a+b"));
    check("btoa(\"Grüße\")", json!("R3LDvMOfZQ=="));
    check(
        "atob(\"R3LDvMOfZQ\") + atob(\"R3LD\\nvMOfZQ==\")",
        json!("GrüßeGrüße"),
    );
    check("now()", json!("2026-11-23T12:00:00.000Z"));
    check(
        "method_response = 1; let x = method_response; x += 1; method_response",
        json!(1),
    );
    check(
        "(loop { break method_request; }) + #{b: 1}",
        json!({"b": 1}),
    );
    check("[1, 2, 3].reduce(|sum, n| sum + n, 10)", json!(16));
    check("[1, 2].zip([3, 4], |a, b| a * b)", json!([3, 8]));
    check("map([1, 2], |n| n + 1)", json!([2, 3]));
    check("Fn(\"double\").call(4)", json!(8));
}

#[test]
fn an_answer_larger_than_any_value_of_a_script_can_be_read() {
    let records: Vec<Json> = (0..30_000)
        .map(|id| json!({"id": id, "name": "x".repeat(100)}))
        .collect();
    let vars = responding(json!({"data": records}));
    let code = r#"
        fn run() {
            let sum = 0;
            for record in method_response.data { sum += record.id; }
            method_response.data[1].name = method_response.data[29999].id;
            if method_response.data[1].name != 29999 { throw "not changed"; }
            method_response = sum;
        }
    "#;
    let finished = call(code, "run", vars.clone());
    assert_eq!(finished.result, Ok(Returned::True));
    assert_eq!(finished.vars.method_response, json!(449_985_000));
    let refused = call("fn run() { method_response.data.push(1); }", "run", vars);
    let error = refused.result.unwrap_err();
    assert_eq!(error.code.as_str(), "script.memory");
    assert!(error.hint.unwrap().contains("script_limits"));
}

#[test]
fn constants_at_the_top_are_seen_in_functions() {
    let code = "const LIMIT = 2 * 100;\nconst NAMES = [\"a\", `b${LIMIT}`];\n\
                fn run() { method_response = helper(); }\n\
                fn helper() { [LIMIT, NAMES[1]] }";
    let finished = call(code, "run", Vars::default());
    assert_eq!(finished.vars.method_response, json!([200, "b200"]));
}

#[test]
fn only_false_is_false() {
    let check = |body: &str, expect: Returned| {
        let code = format!("fn run() {{ {body} }}");
        assert_eq!(
            call(&code, "run", Vars::default()).result,
            Ok(expect),
            "{body}"
        );
    };
    check("return false;", Returned::False);
    check("1 > 2", Returned::False);
    check("true", Returned::True);
    check("", Returned::True);
    check("()", Returned::True);
    check("0", Returned::True);
    check("\"\"", Returned::True);
    let undefined = call("fn run() { false }", "before_action", Vars::default());
    assert_eq!(undefined.result, Ok(Returned::True));
}

#[test]
fn a_throw_is_told_as_it_was_thrown() {
    let check = |body: &str, code: &str, message: &str, place: (u32, u32)| {
        let error = error_of(&format!("fn run() {{\n{body}\n}}"));
        assert_eq!(error.code.as_str(), code, "{body}");
        assert_eq!(error.message, message, "{body}");
        assert_eq!(
            (error.line, error.column),
            (Some(place.0), Some(place.1)),
            "{body}"
        );
    };
    check("  throw \"No page.\";", "script.threw", "No page.", (2, 3));
    check(
        "throw #{b: 1, a: [true]};",
        "script.threw",
        r#"{"a":[true],"b":1}"#,
        (2, 1),
    );
    check("throw;", "script.threw", "null", (2, 1));
    check(
        "deep(3);\n}\nfn deep(n) {\nif n == 0 { throw `at ${n}` } else { deep(n - 1) }",
        "script.threw",
        "at 0",
        (5, 13),
    );
    check(
        "let x = 1;\n  x.push(2);",
        "script.failed",
        "there is no function `push` that takes `integer`, `integer`",
        (3, 5),
    );
    check(
        "let l = [1]; l[3]",
        "script.failed",
        "array index 3 out of bounds: only 1 element in array",
        (2, 16),
    );
    check("1 / 0", "script.failed", "division by zero: 1 / 0", (2, 3));
}

#[test]
fn a_missing_value_gets_a_hint_whatever_is_done_with_it() {
    let check = |body: &str, message: &str, hint: &str| {
        let error = error_of(&format!("fn run() {{ {body} }}"));
        assert_eq!(error.message, message, "{body}");
        let given = error.hint.unwrap_or_default();
        assert!(given.contains(hint), "{body}: {given}");
    };
    check(
        "loop_storage_get(\"a\") * 2",
        "`*` cannot take `()` and `integer`",
        "`a` is not in loop_storage",
    );
    check(
        "-cycle_storage_get(7)",
        "`-` cannot take `()`",
        "`7` is not in cycle_storage",
    );
    check(
        "cyclr_storage_get(\"a\"); cyclr_storage_get(\"b\") > 1.5; let c = cyclr_storage_get(\"b\"); c.d",
        "`()` has no field `d`",
        "`b` is not in cyclr_storage",
    );
    check(
        "method_request.none + 1",
        "`+` cannot take `()` and `integer`",
        "a value that is not there",
    );
    check(
        "method_request.none.deeper",
        "`()` has no field `deeper`",
        "`x ?? 0`",
    );
    check(
        "method_request.none[0]",
        "`()` has no places to take one from",
        "`x ?? 0`",
    );
    check(
        "if method_request.none { }",
        "`bool` is wanted here, not `()`",
        "`x ?? 0`",
    );
    check("let n = 5; n.x", "`integer` has no field `x`", "");
}

#[test]
fn variables_must_end_as_what_they_are() {
    let check = |body: &str, message: &str| {
        let error = error_of(&format!("fn run() {{ {body} }}"));
        assert_eq!(error.code.as_str(), "script.failed", "{body}");
        assert_eq!(error.message, message, "{body}");
    };
    check(
        "statusCode = 20;",
        "`statusCode` must be a whole number from 100 to 999",
    );
    check(
        "method_request_headers = 1;",
        "`method_request_headers` must be an object: write `#{name: value}`",
    );
    check("method_endpoint = 5;", "`method_endpoint` must be text");
    check(
        "next_last_successful_run_date = \"soon\";",
        "`next_last_successful_run_date` is wrong: `soon` is no date: write RFC 3339 such as \
           `2026-11-23T12:00:00Z`",
    );
    check(
        "method_response = Fn(\"run\");",
        "`method_response` cannot be taken over: a value of type `Fn` is no JSON",
    );
}

#[test]
fn logs_are_kept_in_order_also_before_an_error() {
    let code =
        "fn run() { log(\"a\"); print(1.5); log(2.5); log(#{x: [()]}); debug(\"d\"); throw 1; }";
    let finished = call(code, "run", Vars::default());
    assert_eq!(
        finished.logs,
        ["a", "1.5", "2.5", r#"{"x":[null]}"#, "\"d\""]
    );
    assert!(finished.result.is_err());
    let next = call("fn run() { log(\"next\"); }", "run", Vars::default());
    assert_eq!(next.logs, ["next"]);
}

#[test]
fn uuids_are_the_same_again_and_differ_from_each_other() {
    let code = "fn run() { method_response = [uuid(), uuid()]; }";
    let script = HOST.compile(Language::Rhai, code).unwrap();
    let ids = |seed| {
        let call = Call {
            vars: Vars::default(),
            outside: Box::new(velodrome_script::NoOutside),
            storage: Box::new(Memory::default()),
            now: NOW,
            seed,
        };
        HOST.call(&script, "run", call).vars.method_response
    };
    let first = ids(SEED);
    assert_eq!(first, ids(SEED));
    assert_ne!(first, ids([8; 16]));
    assert_ne!(first[0], first[1]);
    let text = first[0].as_str().unwrap();
    assert_eq!((text.len(), &text[14..15]), (36, "4"));
    assert!("89ab".contains(&text[19..20]), "{text}");
}

#[test]
fn handlers_run_side_by_side() {
    let script = HOST.compile(Language::Rhai, SEED_SCRIPT).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let script = &script;
            scope.spawn(move || {
                for turn in 0..200 {
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
