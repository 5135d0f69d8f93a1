//! Scripts in JavaScript that try to hang, exhaust or leave their worker. Each ends with the code of the
//! limit it meets, within its time, and the next call finds everything as it was.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;
use velodrome_script::{
    Call, Family, Finished, Returned, ScriptHost, ScriptLimits, StorageView, Vars,
};
use velodrome_spec::plan::Language;

use crate::support::{HOST, Memory, NOW, SEED, workers};

/// How long a call takes that hangs.
const TIME: Duration = Duration::from_millis(600);

/// Little time, for what hangs.
static SHORT: LazyLock<ScriptHost> = LazyLock::new(|| {
    let limits = ScriptLimits {
        time: TIME,
        operations: u64::MAX,
        ..ScriptLimits::default()
    };
    ScriptHost::new(limits, workers())
});

/// The default limits, with time enough for a busy machine to come to the limit that is meant.
static PATIENT: LazyLock<ScriptHost> = LazyLock::new(|| {
    let limits = ScriptLimits {
        time: Duration::from_secs(60),
        ..ScriptLimits::default()
    };
    ScriptHost::new(limits, workers())
});

fn run(host: &ScriptHost, code: &str) -> Finished {
    let storage: Box<dyn StorageView> = Box::new(Memory::default());
    let (now, seed, vars) = (NOW, SEED, Vars::default());
    match host.compile(Language::JavaScript, code) {
        Ok(script) => host.call(
            &script,
            "run",
            Call {
                outside: Box::new(velodrome_script::NoOutside),
                vars,
                storage,
                now,
                seed,
            },
        ),
        Err(error) => Finished {
            result: Err(error),
            vars,
            storage,
            logs: Vec::new(),
        },
    }
}

/// Ends with `code`, and then the host still works, and nothing of before is left.
fn check_on(host: &ScriptHost, name: &str, script: &str, code: &str) {
    let error = match run(host, script).result {
        Err(error) => error,
        Ok(returned) => panic!("{name}: ended well: {returned:?}"),
    };
    assert_eq!(error.code.as_str(), code, "{name}: {error:?}");
    assert!(!error.message.is_empty(), "{name}");
    let after = run(
        host,
        "function run() { if ([].evil || this.evil) throw 'left behind'; return 1 > 2; }",
    );
    assert_eq!(after.result, Ok(Returned::False), "{name}");
}

fn check(name: &str, body: &str, code: &str) {
    check_on(
        &PATIENT,
        name,
        &format!("function run() {{ {body} }}"),
        code,
    );
}

/// Ends because it takes too long, inside the language's own functions or not.
fn hangs(name: &str, body: &str) {
    check_on(
        &SHORT,
        name,
        &format!("function run() {{ log('begun'); {body} }}"),
        "script.time",
    );
}

#[test]
fn loops_without_end() {
    check("while", "while (true) { }", "script.operations");
    check("for", "for (;;) { }", "script.operations");
    check(
        "counting",
        "let x = 0; while (true) { x += 1; }",
        "script.operations",
    );
    check(
        "catching the limit",
        "while (true) { try { while (true) { } } catch (e) { } finally { } }",
        "script.operations",
    );
    check(
        "generators",
        "function* g() { while (true) yield 1; } for (const x of g()) { }",
        "script.operations",
    );
    check(
        "doubling calls",
        "function f(n) { if (n > 0) { f(n - 1); f(n - 1); } } f(60);",
        "script.operations",
    );
    check(
        "promises",
        "function again() { return Promise.resolve().then(again); } again();",
        "script.operations",
    );
    check(
        "a getter",
        "method_response = { get a() { while (true) { } } };",
        "script.operations",
    );
    check(
        "a stack",
        "Error.prepareStackTrace = () => { while (true) { } }; throw new Error('x');",
        "script.operations",
    );
    check(
        "toJSON",
        "method_response = { toJSON() { while (true) { } } };",
        "script.operations",
    );
    check(
        "a proxy",
        "const p = new Proxy({}, { get() { while (true) { } } }); p.x;",
        "script.operations",
    );
    check_on(
        &PATIENT,
        "outside functions",
        "while (true) { } function run() { }",
        "script.operations",
    );
    hangs("the clock", "while (Date.now() < Infinity) { }");
}

#[test]
fn hanging_inside_functions_of_the_language() {
    hangs(
        "indexOf",
        "const t = 'a'.repeat(2e7); t.indexOf('a'.repeat(1e7) + 'b');",
    );
    hangs(
        "split",
        "const t = 'a'.repeat(2e7); t.split('a'.repeat(1e7) + 'b');",
    );
    hangs(
        "a regular expression",
        "/^(a+)+$/.test('a'.repeat(40) + 'b');",
    );
    hangs("nested quantifiers", "/(x+x+)+y/.test('x'.repeat(60));");
    hangs(
        "searching a list",
        "const l = []; l.length = 4e9; l.indexOf(1); l.lastIndexOf(1); l.includes(1);",
    );
    hangs(
        "reversing",
        "const l = []; l.length = 4e9; Array.prototype.reverse.call(l);",
    );
    hangs(
        "joining",
        "const l = []; l.length = 4e9; while (true) { l.join(''); }",
    );
    hangs(
        "a sort that never agrees",
        "const l = Array.from({length: 3000}, (_, i) => i); while (true) { l.sort(() => 1); }",
    );
    check(
        "large numbers",
        "let n = 3n; while (true) { n = n * n; }",
        "script.failed",
    );
}

#[test]
fn memory_without_end() {
    check(
        "doubling a text",
        "let t = 'x'; while (true) { t += t; }",
        "script.memory",
    );
    check("repeat", "'x'.repeat(1e9);", "script.memory");
    check("padEnd", "'x'.padEnd(1e9);", "script.memory");
    check(
        "a list",
        "const l = []; while (true) { l.push(new Array(1000).fill(0)); }",
        "script.memory",
    );
    check("a large list", "new Array(1e8).fill(0);", "script.memory");
    check("bytes", "new ArrayBuffer(1e9);", "script.memory");
    check(
        "bytes by halves",
        "const l = []; while (true) { l.push(new Uint8Array(1e6)); }",
        "script.memory",
    );
    check(
        "a map",
        "const m = new Map(); let n = 0; while (true) { m.set({}, 'x'.repeat(1000) + n++); }",
        "script.memory",
    );
    check(
        "closures",
        "const l = []; while (true) { const t = 'x'.repeat(1e4); l.push(() => t); }",
        "script.memory",
    );
    check(
        "rings",
        "let l = []; while (true) { const a = { l }; a.a = a; l = a; a.t = 'x'.repeat(1000) + Math.random(); }",
        "script.memory",
    );
    check(
        "JSON.stringify",
        "let o = { t: 'x'.repeat(1000) }; for (let i = 0; i < 25; i++) { o = { a: o, b: o }; } JSON.stringify(o);",
        "script.memory",
    );
    check(
        "replace",
        "'x'.repeat(1e5).replace(/x/g, 'y'.repeat(1e5));",
        "script.memory",
    );
    check(
        "caught and tried again",
        "const l = []; while (true) { try { l.push('x'.repeat(1e6) + l.length); } catch (e) { } }",
        "script.operations",
    );
    check(
        "what is left behind",
        "method_response = 'x'.repeat(2e6);",
        "script.memory",
    );
    check(
        "items left behind",
        "method_response = new Array(200000).fill(1);",
        "script.memory",
    );
    // Small in QuickJS, for its parts are one list: as a tree it would be twenty million values.
    let many = "const row = new Array(1000).fill(0); const all = new Array(20000).fill(row);";
    check(
        "a tree left behind",
        &format!("{many} method_response = all;"),
        "script.memory",
    );
    check(
        "a tree in storage",
        &format!("{many} cyclr_storage_set('k', all);"),
        "script.memory",
    );
}

#[test]
fn a_text_of_a_million_words_is_read_at_once() {
    let words = "a;".repeat(500_000);
    let code = format!("{words}\nfunction run() {{ }}");
    let read = HOST
        .compile(Language::JavaScript, &code)
        .expect("it is a script");
    assert!(read.analysis().has("run"));
    let throws = "if (a) throw 'x';\n".repeat(50_000);
    let code = format!("var a;\nfunction run() {{ {throws} }}");
    let read = HOST
        .compile(Language::JavaScript, &code)
        .expect("it is a script");
    assert!(read.analysis().has("run"));
}

#[test]
fn calls_without_end() {
    check("recursion", "run();", "script.depth");
    check("through a list", "[1].map(run);", "script.depth");
    check(
        "through a getter",
        "const o = { get a() { return this.a; } }; o.a;",
        "script.depth",
    );
    check(
        "through toString",
        "const o = { toString() { return '' + this; } }; '' + o;",
        "script.depth",
    );
    check(
        "through a sort",
        "function f() { [2, 1].sort(f); } f();",
        "script.depth",
    );
    check(
        "nested JSON",
        "JSON.parse('['.repeat(1e5) + ']'.repeat(1e5));",
        "script.depth",
    );
    check(
        "nested values left behind",
        "let l = []; for (let i = 0; i < 200; i++) { l = [l]; } method_response = l;",
        "script.failed",
    );
    check(
        "a value in itself left behind",
        "method_response = {}; method_response.me = method_response;",
        "script.failed",
    );
}

#[test]
fn ways_out() {
    for name in [
        "process.exit(1)",
        "require('fs')",
        "import_('os')",
        "std.exit(1)",
        "os.exec(['ls'])",
        "Deno.env",
        "fetch('http://169.254.169.254/')",
        "new XMLHttpRequest()",
        "new Worker('x')",
        "scriptArgs[0]",
        "loadScript('/etc/passwd')",
        "setTimeout(run, 1)",
        "performance.now()",
        "new WeakRef({})",
        "gc()",
    ] {
        check(name, &format!("{name};"), "script.failed");
    }
    check("import", "return import('os');", "script.failed");
    check_on(
        &PATIENT,
        "a module",
        "import * as os from 'os'; function run() { }",
        "script.syntax",
    );
    check(
        "waiting",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1e6);",
        "script.failed",
    );
    check(
        "the network",
        "globalThis['http_' + 'request']({url: 'http://169.254.169.254/'});",
        "script.no_http",
    );
}

#[test]
fn text_never_becomes_code() {
    for body in [
        "eval('1')",
        "(0, eval)('1')",
        "globalThis['ev' + 'al']('1')",
        "Function('return 1')()",
        "new Function('return 1')()",
        "run.constructor('return 1')()",
        "(() => 1).constructor('return 1')()",
        "Object.getPrototypeOf(function* () { }).constructor('yield 1')()",
        "Object.getPrototypeOf(async function () { }).constructor('return 1')()",
        "Object.getPrototypeOf(async function* () { }).constructor('yield 1')()",
        "Reflect.construct(log.constructor, ['return 1'])()",
        "new (class extends Function { })('return 1')()",
        "Date.constructor('return 1')()",
        "console.log.constructor('return 1')()",
    ] {
        check(body, &format!("{body};"), "script.failed");
    }
}

#[test]
fn what_is_changed_for_all_is_changed_for_one_call() {
    for body in [
        "Array.prototype.evil = 1",
        "Object.prototype.evil = 1",
        "globalThis.evil = 1",
        "JSON.stringify = () => 'evil'; Object.prototype.toJSON = () => 1",
        "Object.defineProperty(Object.prototype, 'evil', { get() { return 1; } })",
        "cyclr_storage_get = () => 1; log = null; Promise.prototype.then = null",
        "Object.freeze(globalThis); Object.freeze(Array.prototype)",
        "delete globalThis.method_response; delete globalThis.cyclr_storage_get",
    ] {
        check(body, &format!("{body}; throw 'end';"), "script.threw");
    }
}

#[test]
fn a_fault_thrown_by_hand_is_no_fault_of_the_engine() {
    check(
        "a code of ours",
        "throw Object.assign(new Error('x'), { code: 'storage.key_too_long' });",
        "script.threw",
    );
    check(
        "a name of the language's",
        "const e = new Error('out of memory'); e.name = 'Other'; throw e;",
        "script.threw",
    );
    check(
        "a message that throws",
        "throw { toJSON() { throw { toString() { throw 1; } }; } };",
        "script.threw",
    );
    check(
        "a name that throws",
        "const e = new Error('x'); Object.defineProperty(e, 'name', { get() { throw 1; } }); throw e;",
        "script.threw",
    );
    check(
        "a stack of its own",
        "const e = new Error('x'); e.stack = 'velodrome:script:99999999999:1)'; throw e;",
        "script.threw",
    );
}

#[test]
fn storage_is_flooded_within_its_own_limits() {
    let code = "function run() { for (let i = 0; i < 20000; i++) cyclr_storage_set('k' + i, i); }";
    let mut finished = run(&PATIENT, code);
    assert_eq!(finished.result, Ok(Returned::True));
    let keys = finished.storage.list_keys(Family::Cyclr).unwrap();
    assert_eq!(keys.len(), 20_000);
    hangs(
        "without end",
        "for (let i = 0; ; i++) cyclr_storage_set('k' + i % 10, i);",
    );
    check(
        "a key too long",
        "cyclr_storage_set('k'.repeat(1e6), 1);",
        "storage.key_too_long",
    );
    check(
        "a function",
        "cyclr_storage_set('k', run);",
        "script.failed",
    );
    check("no key", "cyclr_storage_set();", "script.failed");
}

#[test]
fn a_log_without_end_is_cut() {
    let finished = run(
        &PATIENT,
        "function run() { for (let i = 0; i < 5000; i++) console.log('line', i); }",
    );
    assert_eq!(finished.result, Ok(Returned::True));
    assert_eq!(finished.logs.len(), 1_001);
    assert_eq!(finished.logs[0], "line 0");
    assert!(finished.logs[1_000].contains("dropped"));
    let huge = run(&PATIENT, "function run() { log('x'.repeat(1e7)); }");
    assert_eq!(huge.logs.len(), 1);
    assert!(huge.logs[0].contains("dropped"));
}

#[test]
fn what_was_said_before_the_end_is_kept() {
    let finished = run(
        &SHORT,
        "function run() { log('begun'); const t = 'a'.repeat(2e7); t.indexOf('a'.repeat(1e7) + 'b'); }",
    );
    assert_eq!(finished.result.unwrap_err().code.as_str(), "script.time");
    assert_eq!(finished.logs, ["begun"]);
}

#[test]
fn texts_that_are_no_scripts() {
    for text in [
        "function run() {".to_owned(),
        "function".to_owned(),
        "\"".to_owned(),
        "`${".to_owned(),
        "\u{0}\u{feff}".to_owned(),
        "}); while (true) { } (function () {".to_owned(),
        format!("function run() {{ {} }}", "(".repeat(50_000)),
        format!("function run() {{ {} }}", "[".repeat(50_000)),
        format!("function run() {{ {} }}", "{".repeat(50_000)),
        format!("function run() {{ return {}1; }}", "!".repeat(200_000)),
        format!("function run() {{ /{}/; }}", "(".repeat(50_000)),
        "x".repeat(2_000_000),
        "fn run() { }".to_owned(),
    ] {
        let name: String = text.chars().take(40).collect();
        let error = run(&PATIENT, &text).result.expect_err(&name);
        assert_eq!(error.code.as_str(), "script.syntax", "{name}: {error:?}");
        assert!(error.line.is_some(), "{name}: {error:?}");
    }
}

#[test]
fn nothing_that_stands_outside_functions_runs_while_it_is_read() {
    let code = "while (true) { } function before_action() { }";
    let script = PATIENT.compile(Language::JavaScript, code).unwrap();
    assert!(script.analysis().has("before_action"));
}

#[test]
fn hostile_neighbours_do_not_disturb() {
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| hangs("a neighbour", "/(x+x+)+y/.test('x'.repeat(60));"));
        }
        scope.spawn(|| {
            for _ in 0..50 {
                let finished = run(&PATIENT, "function run() { return 1 > 2; }");
                assert_eq!(finished.result, Ok(Returned::False));
            }
        });
    });
}

#[test]
fn a_worker_that_is_none_is_told() {
    let host = ScriptHost::new(
        ScriptLimits::default(),
        velodrome_script::Workers::program("/bin/does-not-exist", [""; 0]),
    );
    let error = run(&host, "function run() { }").result.unwrap_err();
    assert_eq!(error.code.as_str(), "script.no_worker");
    let host = ScriptHost::new(
        ScriptLimits::default(),
        velodrome_script::Workers::program("/bin/true", [""; 0]),
    );
    let error = run(&host, "function run() { }").result.unwrap_err();
    assert_eq!(error.code.as_str(), "script.no_worker");
}

#[test]
fn a_call_finds_what_it_is_given_and_nothing_else() {
    let finished = run(
        &PATIENT,
        "function run() { method_response = [typeof process, typeof require, typeof Date.now(), \
         Object.keys(globalThis).filter(k => /env|file|socket|spawn/i.test(k))]; }",
    );
    assert_eq!(
        finished.vars.method_response,
        json!(["undefined", "undefined", "number", []])
    );
}
