//! Scripts that try to hang, exhaust or leave their host. Each must end with the code of the limit it
//! meets, on a thread's usual stack, and leave the host as it was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::json;
use velodrome_script::{Call, Returned, ScriptHost, ScriptLimits, Vars};
use velodrome_spec::plan::Language;

use crate::support::{HOST, Memory, NOW, SEED, call, error_of, error_on, workers};

/// A clock that moves a millisecond each time it is read: the time limit without waiting for it.
fn stepping_host(limits: ScriptLimits) -> ScriptHost {
    let reads = AtomicU64::new(0);
    let clock = move || Duration::from_millis(reads.fetch_add(1, Ordering::Relaxed));
    ScriptHost::new_with_clock(limits, workers(), Box::new(clock))
}

/// The default limits, with time enough for a busy machine to come to the limit that is meant.
static PATIENT: LazyLock<ScriptHost> = LazyLock::new(|| {
    let limits = ScriptLimits {
        time: Duration::from_secs(300),
        ..ScriptLimits::default()
    };
    ScriptHost::new(limits, workers())
});

/// Ends with `code`, and then the host still works.
fn check(name: &str, body: &str, code: &str) {
    check_all(name, &format!("fn run() {{ {body} }}"), code);
}

fn check_all(name: &str, script: &str, code: &str) {
    let error = error_on(&PATIENT, script);
    assert_eq!(error.code.as_str(), code, "{name}: {error:?}");
    assert!(!error.message.is_empty(), "{name}");
    let after = call("fn run() { 1 > 2 }", "run", Vars::default());
    assert_eq!(after.result, Ok(Returned::False), "{name}");
}

#[test]
fn loops_without_end() {
    check("empty loop", "loop { }", "script.operations");
    check("empty while", "while true { }", "script.operations");
    check(
        "counting",
        "let x = 0; loop { x += 1; }",
        "script.operations",
    );
    check(
        "endless range",
        "for i in 0..9223372036854775807 { }",
        "script.operations",
    );
    check(
        "range with a step",
        "for i in range(0, 1000000000000, 1) { }",
        "script.operations",
    );
    check("do until", "do { } until false;", "script.operations");
    check(
        "catching the limit",
        "loop { try { loop { } } catch { } }",
        "script.operations",
    );
    check_all(
        "catching the limit around a call",
        "fn run() { loop { try { spin() } catch { } } } fn spin() { loop { } }",
        "script.operations",
    );
    check_all(
        "doubling calls",
        "fn run() { f(40) } fn f(n) { if n > 0 { f(n - 1); f(n - 1); } }",
        "script.operations",
    );
}

#[test]
fn calls_without_end() {
    check_all("recursion", "fn run() { run() }", "script.depth");
    check_all(
        "mutual recursion",
        "fn run() { a() } fn a() { b() } fn b() { a() }",
        "script.depth",
    );
    check_all(
        "recursion in a callback",
        "fn run() { [1].map(|x| run()) }",
        "script.depth",
    );
    check_all(
        "recursion through a function's name",
        "fn run() { Fn(\"run\").call() }",
        "script.depth",
    );
    check_all(
        "recursion in a comparison",
        "fn run() { let l = [1, 2]; l.sort(|a, b| run()); }",
        "script.depth",
    );
    // Caught each time, it goes on until its operations are used up.
    check_all(
        "recursion that is caught",
        "fn run() { loop { try { f() } catch { } } } fn f() { f() }",
        "script.depth",
    );
}

#[test]
fn recursion_through_deep_expressions_ends_before_the_stack_does() {
    let open = "[".repeat(12);
    let close = "]".repeat(12);
    let script = format!("fn run() {{ if true {{ if true {{ return {open} run() {close}; }} }} }}");
    check_all("nested recursion", &script, "script.depth");
}

#[test]
fn texts_without_end() {
    check(
        "doubling",
        "let t = \"x\"; loop { t += t; }",
        "script.memory",
    );
    check(
        "padding",
        "let t = \"x\"; t.pad(1000000000000, 'x');",
        "script.memory",
    );
    check(
        "padding with text",
        "let t = \"x\"; t.pad(1000000000000, \"xy\");",
        "script.memory",
    );
    check(
        "replacing",
        "let t = \"x\"; t.pad(1000000, 'x'); let u = t; t.replace(\"x\", u);",
        "script.memory",
    );
    check(
        "replacing nothing",
        "let t = \"x\"; t.pad(1000000, 'x'); let u = t; t.replace(\"\", u);",
        "script.memory",
    );
    check(
        "replacing letters",
        "let t = \"x\"; t.pad(1000000, 'x'); let u = t; t.replace('x', u);",
        "script.memory",
    );
    check(
        "many texts in a list",
        "let t = \"x\"; t.pad(1000000, 'x'); let l = []; loop { l.push(t); }",
        "script.memory",
    );
    check("a product", "\"x\" * 1000000000", "script.failed");
    check(
        "interpolation",
        "let t = \"x\"; loop { t = `${t}${t}`; }",
        "script.memory",
    );
    check(
        "splitting",
        "let t = \"x\"; t.pad(1000000, 'x'); t.split(\"\")",
        "script.memory",
    );
    check(
        "letters",
        "let t = \"x\"; t.pad(1000000, 'x'); t.to_chars()",
        "script.memory",
    );
}

#[test]
fn lists_and_objects_without_end() {
    // Each push is looked at with all before it, so the last ones are reached in a leap.
    check(
        "pushing",
        "let l = []; l.pad(99000, 0); loop { l.push(0); }",
        "script.memory",
    );
    check("doubling", "let l = [0]; loop { l += l; }", "script.memory");
    check(
        "padding",
        "let l = []; l.pad(1000000000000, 0);",
        "script.memory",
    );
    check(
        "padding with lists",
        "let l = [0]; l.pad(10000, 0); let m = []; m.pad(10000, l);",
        "script.memory",
    );
    check("bytes", "blob(1000000000000, 0)", "script.unknown_function");
    check(
        "bytes by name",
        "Fn(\"blob\").call(1000000000000, 0)",
        "script.failed",
    );
    let fields: String = (0..200).map(|number| format!("k{number}: l, ")).collect();
    check(
        "fields",
        &format!("let l = []; l.pad(900, 0); let m = #{{ {fields} }};"),
        "script.memory",
    );
    check(
        "fields, one by one",
        "let l = []; l.pad(90000, 0); let m = #{}; \
           for i in 0..10000 { m[`k${i}`] = l; }",
        "script.memory",
    );
    check(
        "fields of a variable",
        "let l = []; l.pad(90000, 0); \
           for i in 0..10000 { method_request[`k${i}`] = l; }",
        "script.memory",
    );
    check(
        "merging",
        "let l = [[]]; loop { l = [l, l]; }",
        "script.memory",
    );
    check(
        "reading JSON",
        "let t = \"[0\"; t.pad(1000000, \",0\"); t += \"]\"; parse_json(t)",
        "script.memory",
    );
}

#[test]
fn values_without_bottom() {
    check(
        "lists in lists",
        "let l = []; loop { l = [l]; }",
        "script.memory",
    );
    check(
        "moved lists",
        "let l = []; loop { l = [take(l)]; }",
        "script.memory",
    );
    check(
        "popped lists",
        "let l = [[]]; loop { l.push([l.pop()]); }",
        "script.memory",
    );
    check(
        "objects in objects",
        "let m = #{}; loop { m = #{m: take(m)}; }",
        "script.memory",
    );
    check(
        "a variable in itself",
        "loop { method_request = #{a: method_request}; }",
        "script.memory",
    );
    check(
        "put into each other",
        "let a = [0]; let b = [0]; loop { b[0] = take(a); a = [0]; a[0] = take(b); b = [0]; }",
        "script.memory",
    );
    check(
        "put into each other beside much else",
        "let w = []; w.pad(90000, 0); let x = w; let y = w; let z = w; let a = [0]; let b = [0]; \
         loop { b[0] = take(a); a = [0]; a[0] = take(b); b = [0]; }",
        "script.memory",
    );
    check_all(
        "through a function",
        "fn run() { let l = []; loop { l = f(l); } } fn f(x) { [x] }",
        "script.memory",
    );
    check(
        "in a variable, by turns",
        "let l = []; loop { method_response = [l]; l = [method_response]; }",
        "script.memory",
    );
    check(
        "stored",
        "let l = []; for i in 0..200 { l = [l]; } cyclr_storage_set(\"k\", l);",
        "script.failed",
    );
    check(
        "left behind",
        "let l = []; for i in 0..200 { l = [l]; } method_response = l;",
        "script.failed",
    );
    check(
        "as text",
        "let l = []; for i in 0..200 { l = [l]; } l.to_json()",
        "script.failed",
    );
    check(
        "JSON",
        "let t = \"[\"; t.pad(100000, '['); parse_json(t)",
        "script.failed",
    );
}

#[test]
fn memory_of_many_variables() {
    check_all(
        "held by each call",
        "fn run() { f(0) }
         fn f(n) { let l = []; l.pad(90000, 0); let m = l; let o = l; let p = l;
                   for i in 0..6000 { if i == n { } }
                   f(n + 1) }",
        "script.memory",
    );
    let mut lists = String::from("let l = []; l.pad(90000, 0);");
    for number in 0..80 {
        lists.push_str(&format!("let l{number} = l;"));
    }
    lists.push_str("for i in 0..10000 { if i == 0 { } }");
    check("held by one", &lists, "script.memory");
    let many: String = (0..300)
        .map(|number| format!("let v{number} = 0;"))
        .collect();
    check("too many", &many, "script.memory");
}

#[test]
fn functions_that_hold_themselves() {
    check(
        "in itself",
        "let x = 0; let f = || x; x = f;",
        "script.closure",
    );
    check("in a list", "let x = []; x.push(|| x);", "script.closure");
    check("in an object", "let x = #{f: || 1};", "script.closure");
    check("in an argument of our own", "log(|| 1)", "script.closure");
    check("returned", "let x = 1; return || x;", "script.closure");
    check("by a break", "loop { break || 1; }", "script.closure");
    check(
        "given back",
        "let x = 0; x = [].reduce(|a, b| a, || x);",
        "script.closure",
    );
    check(
        "doubled",
        "let f = Fn(\"run\"); loop { f = f.curry(f); }",
        "script.syntax",
    );
    check(
        "doubled by name",
        "Fn(\"curry\").call(Fn(\"run\"), 1)",
        "script.failed",
    );
    check_all(
        "through a function of the script with a list's name",
        "fn run() { let x = 1; keep(map([1], |y| x)) } fn map(a, f) { f } fn keep(f) { f }",
        "script.closure",
    );
}

#[test]
fn ways_out() {
    check("eval", "eval(\"1\")", "script.syntax");
    check("eval by name", "Fn(\"eval\").call(\"1\")", "script.failed");
    check("import", "import \"os\" as os;", "script.syntax");
    check_all(
        "import at the top",
        "import \"os\" as os; fn run() { }",
        "script.syntax",
    );
    check("a module", "os::exit(1)", "script.unknown_function");
    check(
        "a file",
        "open_file(\"/etc/passwd\")",
        "script.unknown_function",
    );
    check(
        "the environment",
        "env(\"HOME\")",
        "script.unknown_function",
    );
    check("sleep", "sleep(1000000)", "script.unknown_function");
    check(
        "sleep by name",
        "Fn(\"sleep\").call(1000000)",
        "script.failed",
    );
    check(
        "sleep by name, in parts",
        "Fn(\"sle\" + \"ep\").call(1.5)",
        "script.failed",
    );
    check("the clock", "timestamp()", "script.unknown_function");
    check(
        "the clock by name",
        "Fn(\"timestamp\").call()",
        "script.failed",
    );
    check("this", "this.x = 1;", "script.syntax");
    check(
        "the host's own types",
        "type_of(now()).nothing()",
        "script.unknown_function",
    );
    check(
        "the network",
        "http_request(#{url: \"http://169.254.169.254/\"})",
        "script.no_http",
    );
}

#[test]
fn a_variable_is_measured_while_a_method_works_on_it() {
    let body = "method_request.list = method_request.list.map(|x| { let n = 0; for i in 0..40000 { n += i % 7; } n + x });";
    let vars = Vars {
        method_request: json!({"list": [1, 2, 3]}),
        ..Vars::default()
    };
    let finished = call(&format!("fn run() {{ {body} }}"), "run", vars);
    assert_eq!(finished.result, Ok(Returned::True));
    assert_eq!(finished.vars.method_request["list"][2], json!(119_998));
}

#[test]
fn comparisons_that_contradict_themselves() {
    let body = "let l = []; for i in 0..1000 { l.push(i * 7919 % 1000); } let n = 0; \
                l.sort(|a, b| { if (a * b) % 3 == 0 { 1 } else { -1 } }); \
                let f = []; for i in 0..1000 { f.push(if i % 3 == 0 { 0.0 / 0.0 } else { i * 7.0 % 13.0 }); } \
                f.sort(); method_response = [l.len(), f.len()];";
    let finished = call(&format!("fn run() {{ {body} }}"), "run", Vars::default());
    assert_eq!(finished.result, Ok(Returned::True));
    assert_eq!(finished.vars.method_response, json!([1000, 1000]));
}

#[test]
fn texts_that_are_no_scripts() {
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(5_000), close.repeat(5_000));
        format!("fn run() {{ {open} 1 {close} }}")
    };
    for text in [
        deep("(", ")"),
        deep("[", "]"),
        deep("{", "}"),
        deep("#{a:", "}"),
        deep("!", ""),
        deep("-", ""),
        deep("if true {", "}"),
        deep("`${", "}`"),
        deep("|x| ", ""),
        deep("a.", ""),
        deep("x[", "]"),
        deep("1 +", ""),
        deep("2 **", ""),
        deep("a = ", ""),
        deep("switch 1 { 1 => ", "}"),
        deep("try {", "} catch { }"),
        deep("f(", ")"),
        deep("if false { } else ", ""),
        deep("a ?? ", ""),
        deep("true && ", ""),
        format!("fn run() {{ x{} }}", ".a".repeat(5_000)),
        format!("fn run() {{ x{} }}", "[0]".repeat(5_000)),
        format!("fn run() {{ x{} }}", ".f()".repeat(5_000)),
        "\"".to_owned(),
        "fn".to_owned(),
        "fn run(".to_owned(),
        "`${".to_owned(),
        "\u{0}\u{feff}".to_owned(),
        "fn run() { 'ab' }".to_owned(),
        "x".repeat(2_000_000),
    ] {
        let name: String = text.chars().take(40).collect();
        let error = error_of(&text);
        let code = error.code.as_str();
        assert!(code.starts_with("script."), "{name}: {error:?}");
        assert!(error.line.is_some(), "{name}: {error:?}");
    }
}

#[test]
fn the_time_limit_ends_what_operations_allow() {
    let limits = ScriptLimits {
        time: Duration::from_millis(500),
        operations: u64::MAX,
        ..ScriptLimits::default()
    };
    let host = stepping_host(limits);
    let code = "fn run() { log(\"begun\"); loop { try { for i in 0..1000000 { } } catch { } } }";
    let script = host.compile(Language::Rhai, code).unwrap();
    let finished = host.call(
        &script,
        "run",
        Call {
            vars: Vars::default(),
            outside: Box::new(velodrome_script::NoOutside),
            storage: Box::new(Memory::default()),
            now: NOW,
            seed: SEED,
        },
    );
    let error = finished.result.unwrap_err();
    assert_eq!(error.code.as_str(), "script.time");
    assert_eq!(finished.logs, ["begun"]);
}

#[test]
fn a_log_without_end_is_cut() {
    let finished = call(
        "fn run() { for i in 0..5000 { log(`line ${i}`); } }",
        "run",
        Vars::default(),
    );
    assert_eq!(finished.result, Ok(Returned::True));
    assert_eq!(finished.logs.len(), 1_001);
    assert_eq!(finished.logs[0], "line 0");
    assert!(finished.logs[1_000].contains("dropped"));
}

#[test]
fn hostile_neighbours_do_not_disturb() {
    let hostile = Arc::new("fn run() { let l = []; loop { l.push([l.pop()]); } }");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let hostile = Arc::clone(&hostile);
            scope.spawn(move || assert_eq!(error_of(&hostile).code.as_str(), "script.memory"));
        }
        scope.spawn(|| {
            let script = HOST.compile(Language::Rhai, "fn run() { 1 > 2 }").unwrap();
            for _ in 0..1_000 {
                let call = Call {
                    vars: Vars::default(),
                    outside: Box::new(velodrome_script::NoOutside),
                    storage: Box::new(Memory::default()),
                    now: NOW,
                    seed: SEED,
                };
                assert_eq!(HOST.call(&script, "run", call).result, Ok(Returned::False));
            }
        });
    });
}

#[test]
fn functions_given_what_they_are_not_for() {
    let large = |unit: &str| format!("let t = \"{unit}\"; t.pad(1000000, \"{unit}\");");
    check(
        "unfolding entities",
        "cyclr_xml_deserialize(`<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>`)",
        "script.failed",
    );
    check(
        "an entity that is a file",
        "cyclr_xml_deserialize(`<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>`)",
        "script.failed",
    );
    check(
        "an entity of nobody",
        "cyclr_xml_deserialize(\"<a>&b;</a>\")",
        "script.failed",
    );
    check(
        "deep XML",
        &format!("{} cyclr_xml_deserialize(t)", large("<a>")),
        "script.failed",
    );
    check(
        "XML without an end",
        &format!(
            "{} cyclr_xml_deserialize(\"<a \" + t.sub_string(0, 900000))",
            large("a")
        ),
        "script.failed",
    );
    check(
        "many elements",
        &format!(
            "{} t.crop(0, 999996); cyclr_xml_deserialize(\"<b>\" + t + \"</b>\")",
            large("<a/>")
        ),
        "script.memory",
    );
    check(
        "deep values as XML",
        "let m = #{}; for i in 0..100 { m = #{a: m}; } cyclr_xml_serialize(m)",
        "script.failed",
    );
    check(
        "a long name for each of many",
        "let n = \"n\"; n.pad(10000, 'n'); let l = []; l.pad(10000, 0); let m = #{}; m[n] = l; cyclr_xml_serialize(#{a: m})",
        "script.memory",
    );
    check(
        "markup as a name",
        "cyclr_xml_serialize(#{\"a/><b\": 1})",
        "script.failed",
    );
    check(
        "many values of CSV",
        &format!("{} cyclr_csv_parse(t)", large(",")),
        "script.memory",
    );
    check(
        "many lines of CSV",
        &format!("{} cyclr_csv_parse(t)", large("1\\n")),
        "script.memory",
    );
    check(
        "a long header for each line",
        "let h = \"h\"; h.pad(500000, 'h'); let t = \"1\\n\"; t.pad(60000, \"1\\n\"); cyclr_csv_parse(h + \"\\n\" + t, \",\", true)",
        "script.memory",
    );
    check(
        "a line end for a delimiter",
        "cyclr_csv_parse(\"a\", \"\\n\")",
        "script.failed",
    );
    check(
        "base64 that outgrows its text",
        &format!("{} btoa(t)", large("x")),
        "script.memory",
    );
    check(
        "wide base64",
        &format!("{} btoa(t.sub_string(0, 300000), \"UTF-32\")", large("x")),
        "script.memory",
    );
    check(
        "no base64",
        &format!("{} atob(t)", large("?")),
        "script.failed",
    );
    check(
        "half of a pair",
        "atob(\"2AA=\", \"UTF-16BE\")",
        "script.failed",
    );
    check(
        "no key",
        "cyclr_sign(\"RSA-SHA256\", \"\", \"x\")",
        "script.failed",
    );
    check(
        "a key of garbage",
        &format!(
            "{} cyclr_sign(\"RSA-SHA256\", \"-----BEGIN PRIVATE KEY-----\" + t.sub_string(0, 4000) + \"-----END PRIVATE KEY-----\", \"x\")",
            large("A")
        ),
        "script.failed",
    );
    check(
        "a key without end",
        &format!(
            "{} cyclr_sign(\"RSA-SHA256\", \"-----BEGIN RSA PRIVATE KEY-----\" + t.sub_string(0, 900000), \"x\")",
            large("A")
        ),
        "script.failed",
    );
    check(
        "a function for a text",
        "btoa(Fn(\"run\"))",
        "script.failed",
    );
    check(
        "caught for ever",
        "loop { try { atob(\"?\") } catch { } }",
        "script.operations",
    );
}
