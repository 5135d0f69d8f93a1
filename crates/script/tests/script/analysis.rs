use std::collections::BTreeSet;

use velodrome_spec::plan::Language;
use velodrome_spec::{ScriptAnalyser, ScriptFault};

use crate::support::HOST;

fn faults(code: &str) -> Vec<ScriptFault> {
    match HOST.analyse(Language::Rhai, code) {
        Err(faults) => faults,
        Ok(analysis) => panic!("{code}\nis taken: {analysis:?}"),
    }
}

/// The one fault: its code, its place, and a part of its message or hint.
fn check(code: &str, expect: &str, place: (u32, u32), part: &str) {
    let all = faults(code);
    let [fault] = all.as_slice() else {
        panic!("{code}\nhas not one fault: {all:#?}");
    };
    assert_eq!(fault.code, expect, "{code}\n{fault:?}");
    assert_eq!((fault.line, fault.column), place, "{code}\n{fault:?}");
    let said = format!(
        "{} {}",
        fault.message,
        fault.hint.as_deref().unwrap_or_default()
    );
    assert!(said.contains(part), "{code}\n{fault:?}");
}

fn set<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn keys<const N: usize>(words: [(&str, &str); N]) -> BTreeSet<(String, String)> {
    words
        .into_iter()
        .map(|(family, key)| (family.to_owned(), key.to_owned()))
        .collect()
}

#[test]
fn the_paging_loop_is_known() {
    let code = r#"
        fn after_webhook() { cyclr_storage_set("pageNumber", method_response.page); return true; }
        fn before_action() { method_request.page = cyclr_storage_get("pageNumber") + 1; return true; }
    "#;
    let analysis = HOST.analyse(Language::Rhai, code).unwrap();
    assert_eq!(analysis.handlers, set(["after_webhook", "before_action"]));
    assert_eq!(analysis.names, set(["method_request", "method_response"]));
    assert_eq!(analysis.reads, keys([("cyclr", "pageNumber")]));
    assert_eq!(analysis.writes, keys([("cyclr", "pageNumber")]));
    let compiled = HOST.compile(Language::Rhai, code).unwrap();
    assert_eq!(compiled.analysis(), &analysis);
}

#[test]
fn names_and_keys_are_found_wherever_they_stand() {
    let code = r#"
        const KEY = "from_const";
        fn after_action() {
            // cyclr_storage_get("comment") method_error
            let text = "cyclr_storage_get(\"text\")";
            if statusCode == 200 { `${loop_storage_get("inside")}` } else { }
            for r in method_response.data { cycle_storage_increment("n"); }
            switch reasonPhrase { "a" => cycle_storage_append("list", 1), _ => () }
            let other = loop { break cyclr_storage_get(KEY); };
            try { loop_storage_delete("gone"); } catch { log(method_error); }
            [1].map(|x| cyclr_storage_set("k" + x, action_data.x));
            helper();
            cyclr_storage_list_keys();
        }
        fn helper() { let cycle_id = 1; cycle_id + 1; loop_storage_decrement("d", 2) }
    "#;
    let analysis = HOST.analyse(Language::Rhai, code).unwrap();
    assert_eq!(analysis.handlers, set(["after_action"]));
    let names = set([
        "action_data",
        "method_error",
        "method_response",
        "reasonPhrase",
        "statusCode",
    ]);
    assert_eq!(analysis.names, names);
    let reads = keys([
        ("cycle", "n"),
        ("cyclr", "from_const"),
        ("loop", "d"),
        ("loop", "inside"),
    ]);
    assert_eq!(analysis.reads, reads);
    let writes = keys([
        ("cycle", "list"),
        ("cycle", "n"),
        ("loop", "d"),
        ("loop", "gone"),
    ]);
    assert_eq!(analysis.writes, writes);
}

#[test]
fn misspelt_words_are_told_before_anything_runs() {
    check(
        "fn run() { cyclr_storage_sett(\"a\", 1) }",
        "script.unknown_function",
        (1, 12),
        "did you mean `cyclr_storage_set`?",
    );
    check(
        "fn run() {\n  [1].pussh(2)\n}",
        "script.unknown_function",
        (2, 7),
        "did you mean `push`?",
    );
    check(
        "fn run() { helpr() } fn helper() { }",
        "script.unknown_function",
        (1, 12),
        "did you mean `helper`?",
    );
    check(
        "fn run() { moment() }",
        "script.unknown_function",
        (1, 12),
        "no function `moment`",
    );
    check(
        "fn run() { method_reponse.page }",
        "script.unknown_variable",
        (1, 12),
        "did you mean `method_response`?",
    );
    check(
        "fn run() { status_code = 1; }",
        "script.unknown_variable",
        (1, 12),
        "did you mean `statusCode`?",
    );
    check(
        "fn run() { let a = 1; } fn b() { a }",
        "script.unknown_variable",
        (1, 34),
        "`a`",
    );
    check(
        "fn run() { [1].for_each(|n| n) }",
        "script.unknown_function",
        (1, 16),
        "for item in list",
    );
    check(
        "fn before_acton() { }",
        "script.handler",
        (1, 4),
        "did you mean the handler `before_action`?",
    );
    check(
        "// fn before_action(x)\nfn before_action(x) { }",
        "script.handler",
        (2, 4),
        "no parameters",
    );
    assert!(
        HOST.analyse(Language::Rhai, "fn run() { run_() } fn run_() { }")
            .is_ok()
    );
}

#[test]
fn what_cannot_be_is_told_before_anything_runs() {
    check(
        "fn run() { cycle_id = 1; }",
        "script.read_only",
        (1, 12),
        "`cycle_id` cannot be changed",
    );
    check(
        "const A = 1; fn run() { A = 2; }",
        "script.read_only",
        (1, 25),
        "`A` cannot be changed",
    );
    check(
        "let a = 1;\nfn run() { }",
        "script.top_level",
        (1, 1),
        "only functions",
    );
    check(
        "fn run() { }\nlog(1);",
        "script.top_level",
        (2, 1),
        "put it into a handler",
    );
    check(
        "const A = now();",
        "script.failed",
        (1, 11),
        "only inside a handler",
    );
    check(
        "const A = 1 / 0;",
        "script.failed",
        (1, 13),
        "division by zero",
    );
    check(
        "fn run() { let f = |x| x; }",
        "script.closure",
        (1, 20),
        "records.filter",
    );
    check(
        "fn run() { let method_request = 1; [1].map(|x| method_request) }",
        "script.closure",
        (1, 48),
        "another name",
    );
    check(
        "fn run() { this.x }",
        "script.syntax",
        (1, 12),
        "off in handlers",
    );
    check("fn run() { 1 + }", "script.syntax", (1, 16), "");
    check("fn run() {", "script.syntax", (1, 11), "");
}

#[test]
fn every_fault_is_told_in_order() {
    let code = "fn run() {\n  foo();\n  bar = 1;\n  cyclr_strange(1);\n}\nlog(1);";
    let found: Vec<_> = faults(code)
        .into_iter()
        .map(|fault| (fault.line, fault.code))
        .collect();
    assert_eq!(
        found,
        [
            (2, "script.unknown_function"),
            (3, "script.unknown_variable"),
            (4, "script.unknown_function"),
            (6, "script.top_level"),
        ]
    );
}

#[test]
fn javascript_gets_a_hint() {
    let check = |code: &str, place: (u32, u32), sign: &str| {
        check(
            code,
            "script.syntax",
            place,
            &format!("this looks like JavaScript (`{sign}`)"),
        );
    };
    check(
        "function after_webhook() { cyclr_storage_set('pageNumber', method_response.page); return true; }",
        (1, 1),
        "function",
    );
    check(
        "fn run() {\n  if (statusCode === 200) { return true; }\n}",
        (2, 18),
        "===",
    );
    check("fn run() { var x = 1; }", (1, 12), "var");
    check(
        "fn run() { method_response.data.map((r) => r.id); }",
        (1, 41),
        "=>",
    );
    check("fn run() { method_response = null; }", (1, 30), "null");
    check(
        "fn run() { cyclr_storage_get('pageNumber') }",
        (1, 30),
        "'pageNumber'",
    );
    check("fn run() { throw new Error(\"x\"); }", (1, 18), "new");
}

#[test]
fn a_script_is_short_only_where_that_is_certain() {
    let check = |name: &str, code: &str, expect: bool| {
        let analysis = HOST.analyse(Language::Rhai, code).unwrap();
        assert_eq!(analysis.short, expect, "{name}");
    };
    let body = |name: &str, body: &str, expect: bool| {
        check(name, &format!("fn run() {{ {body} }}"), expect);
    };
    check(
        "the paging loop",
        "fn after_webhook() { cyclr_storage_set(\"pageNumber\", method_response.page); return true; }
         fn before_action() { method_request.page = cyclr_storage_get(\"pageNumber\") + 1; return true; }",
        true,
    );
    body(
        "choices",
        "if statusCode == 200 { switch 1 { 1 => 2, _ => 3 } } else { throw \"x\" }",
        true,
    );
    body(
        "texts",
        "let a = `${method_response.a} ${now()}`; log(a.len());",
        true,
    );
    body("while", "while statusCode == 1 { }", false);
    body("loop", "loop { break; }", false);
    body("do", "do { } while false;", false);
    body("for", "for i in 0..3 { }", false);
    body(
        "a loop inside",
        "if true { try { for i in [1] { } } catch { } }",
        false,
    );
    check("its own function", "fn run() { f() } fn f() { 1 }", false);
    check("recursion", "fn run() { run() }", false);
    check(
        "its own function of a quick one's name",
        "fn run() { len(1) } fn len(x) { x }",
        false,
    );
    body("a function without a name", "[1].map(|x| x)", false);
    body("a function by name", "Fn(\"run\").call()", false);
    body("filter", "method_response.filter(|x| true)", false);
    body("sorting", "method_response.sort()", false);
    body("padding", "let t = \"x\"; t.pad(1000000, 'x');", false);
    body(
        "replacing",
        "let t = \"x\"; t.replace(\"x\", \"y\");",
        false,
    );
    body("JSON", "parse_json(\"1\")", false);
    body("signing", "cyclr_sign(\"HMAC-SHA1\", \"k\", \"x\")", false);
    body("XML", "cyclr_xml_deserialize(\"<a/>\")", false);
    body("all keys", "cyclr_storage_list_keys()", false);
    body("all values", "loop_storage_list_values()", false);
    body("much text", &"log(1);".repeat(500), false);
}
