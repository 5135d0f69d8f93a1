//! Handlers at the connector, the method and the step, in virtual time: their order, what each return value
//! does, what they hand on to each other, and where an error is told to be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use velodrome_connect::{BUILT_IN, Carrying, Incoming, Outgoing, Transport};
use velodrome_runtime::api::{BodyFormat, HookRequest};
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, HeldFiles};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::{ConnectorInput, check_connector_file};
use velodrome_store::{LogFilter, LogRead as _, MemoryStore};
use velodrome_types::{Event, LogLine, Timestamp};

/// A request as it left.
#[derive(Clone, Debug)]
struct Asked {
    url: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Answers in turn; past the end of its list with the last answer.
#[derive(Debug)]
struct World {
    answers: Vec<(u16, Value)>,
    asked: Mutex<Vec<Asked>>,
}

impl Transport for World {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        let mut asked = self.asked.lock().expect("a fixture");
        let at = asked.len().min(self.answers.len() - 1);
        let (status, body) = &self.answers[at];
        asked.push(Asked {
            url: request.url.to_string(),
            headers: request.headers,
            body: request
                .body
                .and_then(|body| serde_json::from_slice(&body).ok())
                .unwrap_or_default(),
        });
        let answer = Incoming {
            status: *status,
            headers: Vec::new(),
            body: body.to_string().into(),
        };
        Box::pin(async move { Ok(answer) })
    }
}

/// What came of one run.
struct Outcome {
    asked: Vec<Asked>,
    lines: Vec<LogLine>,
    /// What the webhook answered before the run.
    status: u16,
}

impl Outcome {
    /// What scripts said, in order.
    fn said(&self) -> Vec<&str> {
        self.of(Event::ScriptLogged)
    }

    fn of(&self, event: Event) -> Vec<&str> {
        let lines = self.lines.iter().filter(|line| line.event == event);
        lines.map(|line| line.message.as_str()).collect()
    }

    /// The code and the message that the run failed with.
    fn failure(&self) -> (&str, &str) {
        let failed = |line: &&LogLine| line.event == Event::RunFailed;
        let line = self.lines.iter().find(failed).expect("the run failed");
        let code = line.code.as_ref().map_or("", |code| code.as_str());
        (code, &line.message)
    }
}

fn connector(text: &str, hooks: &'static str, host: &ScriptHost) -> (Arc<ConnectorDef>, String) {
    let (def, faults) = check_connector_file(ConnectorInput {
        path: "shop.yaml",
        text,
        analyser: host,
        script_file: &|path| match path {
            "hooks.js" => Ok(hooks.to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        },
    });
    let def = def.unwrap_or_else(|| panic!("{faults:#?}"));
    (Arc::new(def), text.to_owned())
}

const HOOKS: &str = "
function before_action() {
    console.log('file ' + cycle_step_id);
    return true;
}
";

/// Runs a cycle once over an API that answers like this.
fn play(shop: &str, cycle: &str, answers: &[(u16, Value)]) -> Outcome {
    life(&Arc::default(), (shop, HOOKS), cycle, answers, 0)
}

/// One life of the process on what is in the store: an hour, the first, which POSTs, or a later one.
fn life(
    store: &Arc<MemoryStore>,
    (shop, hooks): (&str, &'static str),
    cycle: &str,
    answers: &[(u16, Value)],
    number: u64,
) -> Outcome {
    let host = Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads()));
    let all = BUILT_IN.iter().map(|(_, text)| *text).chain([shop]);
    let connectors = all.map(|text| connector(text, hooks, &host)).collect();
    let mut held = HeldFiles::default();
    held.cycles.insert("c.yaml".to_owned(), cycle.to_owned());
    let hour = Duration::from_secs(3_600);
    let first = Timestamp::parse("2026-01-01T00:00:00Z").expect("a fixture");
    let start = first.plus(hour * u32::try_from(number).expect("a fixture"));
    let world = Arc::new(World {
        answers: answers.to_vec(),
        asked: Mutex::default(),
    });
    let simulated = Simulated::start(SimulatedOptions {
        error_webhook: None,
        store: Arc::clone(store) as _,
        files: CycleFiles::Held(Arc::new(held)),
        connectors,
        connections: Vec::new(),
        egress: Default::default(),
        response_limit: 1 << 20,
        env: Default::default(),
        host,
        world: Arc::clone(&world) as _,
        time: VirtualTime::new(start),
        seed: number + 1,
        jitter: None,
        horizon: Duration::from_secs(60),
        schedules: false,
    })
    .expect("a fixture");
    let engine = simulated.engine().clone();
    let posted = simulated.add(async move {
        if number > 0 {
            return 0;
        }
        let request = HookRequest {
            cycle: "c".into(),
            step: None,
            resume: None,
            by_operator: false,
            format: BodyFormat::Json,
            body: r#"{"n": 1}"#.into(),
            headers: Default::default(),
            query: Default::default(),
            idempotency_key: None,
        };
        match engine.receive(request).await {
            Ok(answer) => answer.status,
            Err(problem) => problem.status,
        }
    });
    simulated.run_until(start.plus(hour));
    let lines = store.log_after(0, &LogFilter::default(), 10_000);
    Outcome {
        asked: world.asked.lock().expect("a fixture").clone(),
        lines: lines.expect("a fixture").0,
        status: simulated.outcome(posted).expect("it is answered"),
    }
}

/// Every event at three levels, each saying where it is.
fn script(level: &str, rhai: bool) -> String {
    let events = [
        "before_webhook",
        "after_webhook",
        "before_action",
        "after_action",
        "after_action_paging",
    ];
    let (word, end) = if rhai {
        ("fn", "true")
    } else {
        ("function", "true")
    };
    events
        .map(|event| format!("{word} {event}() {{ log(\"{event} {level}\"); return {end}; }}\n"))
        .concat()
}

fn indented(code: &str, by: usize) -> String {
    let space = " ".repeat(by);
    code.lines()
        .map(|line| format!("{space}{line}\n"))
        .collect()
}

#[test]
fn before_goes_from_the_method_to_the_connector_to_the_step_and_after_from_the_connector() {
    for (rhai, language) in [(true, "rhai"), (false, "javascript")] {
        let of = |level: &str, by: usize| indented(&script(level, rhai), by);
        let shop = format!(
            "connector: shop\nbase_url: https://shop.test\n\
             script:\n  language: {language}\n  code: |\n{}methods:\n\
             \x20 hook:\n    kind: webhook\n    script:\n      language: {language}\n      code: |\n{}\
             \x20 list:\n    kind: list\n    verb: GET\n    path: /list\n    response: {{records: data}}\n\
             \x20   script:\n      language: {language}\n      code: |\n{}",
            of("connector", 4),
            of("method", 8),
            of("method", 8),
        );
        // The method's script of a webhook is told that two of its handlers are never called; so is a list's.
        let cycle = format!(
            "cycle: c\nscript_language: {language}\nsteps:\n\
             \x20 webhook:\n    use: shop.hook\n    script: |\n{}    then: list\n\
             \x20 list:\n    use: shop.list\n    script: |\n{}",
            of("step", 6),
            of("step", 6),
        );
        let outcome = play(&shop, &cycle, &[(200, json!({"data": [{"id": 1}]}))]);
        let after =
            |event: &str| ["connector", "method", "step"].map(|level| format!("{event} {level}"));
        let before =
            |event: &str| ["method", "connector", "step"].map(|level| format!("{event} {level}"));
        let expect = [
            after("after_webhook"),
            before("before_action"),
            after("after_action"),
            after("after_action_paging"),
        ];
        assert_eq!(outcome.said(), expect.concat(), "{language}");
    }
}

/// A shop whose one method has this script, and whose connector has that.
fn shop(of_connector: &str, of_method: &str) -> String {
    let part = |code: &str, by: usize| match code {
        "" => String::new(),
        code => format!("{0}script: |\n{1}", " ".repeat(by), indented(code, by + 2)),
    };
    format!(
        "connector: shop\nbase_url: https://shop.test\n{}methods:\n  order:\n    kind: request\n    verb: POST\n\
         \x20   path: /orders\n    open_body: true\n    inputs:\n      mode: {{type: text, default: slow, script: mode}}\n{}",
        part(of_connector, 0),
        part(of_method, 4),
    )
}

/// A cycle with one order, and this in its step.
fn order(step: &str) -> String {
    format!(
        "cycle: c\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: order}}\n  order:\n    use: shop.order\n\
         \x20   map: {{n: \"${{webhook.n}}\"}}\n    retry: 0\n{}",
        indented(step, 4)
    )
}

const OK: &[(u16, Value)] = &[(200, Value::Null)];

#[test]
fn the_first_false_before_an_action_ends_it_and_the_later_levels_are_not_called() {
    let shop = shop(
        "fn before_action() { log(\"connector\"); return false; }",
        "fn before_action() { log(\"method\"); }",
    );
    let cycle = order("script: |\n  fn before_action() { log(\"step\"); }\n");
    let outcome = play(&shop, &cycle, OK);
    assert_eq!(outcome.said(), ["method", "connector"]);
    assert_eq!(outcome.failure().0, "script.aborted");
    assert!(outcome.asked.is_empty());
}

#[test]
fn a_false_after_an_action_means_nothing_and_silences_no_level() {
    let shop = shop(
        "fn after_action() { log(\"connector\"); return false; }",
        "fn after_action() { log(\"method\"); return false; }",
    );
    let cycle = order("script: |\n  fn after_action() { log(\"step\"); return false; }\n");
    let outcome = play(&shop, &cycle, OK);
    assert_eq!(outcome.said(), ["connector", "method", "step"]);
    assert_eq!(outcome.of(Event::RunSucceeded).len(), 1);
}

#[test]
fn an_error_names_the_file_and_the_line_of_its_level() {
    let throws = "fn before_action() {\n  throw \"no\";\n}";
    let at_connector = play(&shop(throws, ""), &order(""), OK);
    assert!(
        at_connector.failure().1.contains("no (shop.yaml:5)"),
        "{:?}",
        at_connector.failure()
    );
    let at_method = play(&shop("", throws), &order(""), OK);
    assert!(
        at_method.failure().1.contains("no (shop.yaml:13)"),
        "{:?}",
        at_method.failure()
    );
    let step = format!("script: |\n{}", indented(throws, 2));
    let at_step = play(&shop("", ""), &order(&step), OK);
    assert!(
        at_step.failure().1.contains("no (c.yaml:10)"),
        "{:?}",
        at_step.failure()
    );
    // What the levels before it said stays in the log.
    let said = play(
        &shop(throws, "fn before_action() { log(\"method\"); }"),
        &order(""),
        OK,
    );
    assert_eq!(said.said(), ["method"]);
}

#[test]
fn a_script_file_of_a_connector_stands_below_its_folder_and_may_be_javascript() {
    let shop = shop("", "").replace("methods:", "script: {file: hooks.js}\nmethods:");
    let outcome = play(&shop, &order(""), OK);
    assert_eq!(outcome.said(), ["file order"]);
}

#[test]
fn action_data_mergefields_and_parameters_reach_from_before_to_after_over_the_commit_of_a_request()
{
    let shop = shop(
        "fn before_action() {\n  action_data.mode = script_parameters.mode;\n  method_request_mergefields.extra = 1;\n}\n\
         fn after_action() {\n  log(`${action_data.mode} ${method_request_mergefields.n} ${method_request_mergefields.extra} ${script_parameters.mode}`);\n  action_data.seen = true;\n}",
        "",
    );
    let cycle = order("script: |\n  fn after_action() { log(action_data); }\n");
    let outcome = play(&shop, &cycle, OK);
    let shown = r#"{"mode":"slow","seen":true}"#;
    assert_eq!(outcome.said(), ["slow 1 1 slow", shown]);
    // To scripts alone.
    assert_eq!(outcome.asked[0].body, json!({"n": 1}));
    assert_eq!(outcome.asked[0].url, "https://shop.test/orders");
}

#[test]
fn a_condition_of_a_request_chooses_the_exit() {
    let shop = shop(
        "",
        "fn action_condition() { return method_response.state == \"paid\"; }",
    );
    let cycle = format!(
        "{}    then: paid\n    else: unpaid\n  paid: {{use: stop, message: paid}}\n  unpaid: {{use: stop, message: unpaid}}\n",
        order("")
    );
    for (state, expect) in [("paid", "paid"), ("open", "unpaid")] {
        let outcome = play(&shop, &cycle, &[(200, json!({"state": state}))]);
        let ended = outcome.of(Event::RunSucceeded);
        assert!(ended[0].contains(expect), "{ended:?}");
    }
    // An error is no answer: it leaves by the false exit only where a script made a success of it.
    let failed = play(&shop, &cycle, &[(404, json!({}))]);
    assert_eq!(failed.failure().0, "request.status");
    let forgiving = shop.replace(
        "fn action_condition",
        "fn after_error() { method_error.isError = false; method_error.isSuccess = true; method_error.content = \"{}\"; }\n      fn action_condition",
    );
    let outcome = play(&forgiving, &cycle, &[(404, json!({}))]);
    assert!(outcome.of(Event::RunSucceeded)[0].contains("unpaid"));
}

const WALK: &str = "
connector: shop
base_url: https://shop.test
methods:
  list:
    kind: list
    verb: GET
    path: /list
    response: {records: data}
    paging: {style: page, send: {query: page}, empty_page: stop}
    script: |
      fn before_action() { action_data.pages = (action_data.pages ?? 0) + 1; }
      fn action_condition() { action_data.asked = (action_data.asked ?? 0) + 1; return method_response.ok; }
      fn after_action_paging() { log(action_data); }
";

fn pages(ok: [bool; 3]) -> Vec<(u16, Value)> {
    let [a, b, c] = ok;
    vec![
        (
            200,
            json!({"data": [{"id": 1, "ok": a}, {"id": 2, "ok": b}]}),
        ),
        (200, json!({"data": [{"id": 3, "ok": c}]})),
        (200, json!({"data": []})),
    ]
}

#[test]
fn a_condition_of_a_list_is_asked_of_each_record_and_action_data_goes_from_page_to_page() {
    let cycle = "cycle: c\nsteps:\n  webhook: {use: generic_webhook.webhook, then: list}\n  list:\n    use: shop.list\n\
                 \x20   then: some\n    else: none\n  some: {use: stop, message: \"${list.count} ${list.records[].id}\"}\n\
                 \x20 none: {use: stop, message: \"none of ${list.count}\"}\n";
    let outcome = play(WALK, cycle, &pages([true, false, true]));
    assert_eq!(outcome.of(Event::RunSucceeded), ["2 [1,3]"]);
    assert_eq!(outcome.said(), [r#"{"asked":3,"pages":3}"#]);
    // What the API sent counts for the loop, whatever passes.
    let outcome = play(WALK, cycle, &pages([false, false, false]));
    assert_eq!(outcome.of(Event::RunSucceeded), ["none of 0"]);
    assert_eq!(outcome.asked.len(), 3);
}

#[test]
fn a_warning_is_told_as_one_and_the_run_goes_on() {
    let shop = shop(
        "",
        "fn after_error() { method_error.isError = false; method_error.isWarning = true; }",
    );
    let outcome = play(&shop, &order(""), &[(404, json!({"why": "gone"}))]);
    let warned = outcome
        .lines
        .iter()
        .find(|line| line.event == Event::RequestFailed);
    let warned = warned.expect("a line");
    assert_eq!(warned.level, velodrome_types::Level::Warn);
    assert_eq!(warned.status, Some(404));
    assert_eq!(outcome.of(Event::RunSucceeded).len(), 1);
}

#[test]
fn new_tokens_are_not_for_connections_without() {
    for code in ["script.auth_refresh", "script.auth_session"] {
        let name = match code {
            "script.auth_refresh" => "AuthRefreshException",
            _ => "AuthSessionException",
        };
        let outcome = play(
            &shop("", &format!("fn after_action() {{ throw {name}(); }}")),
            &order(""),
            OK,
        );
        assert_eq!(outcome.failure().0, code);
        assert_eq!(outcome.asked.len(), 1);
    }
}

#[test]
fn a_connectors_script_that_breaks_a_header_or_never_ends_fails_its_step_alone() {
    let breaks = "fn before_action() { method_request_headers[\"x-sign\"] = \"a\\r\\nb: c\"; }";
    let outcome = play(&shop(breaks, ""), &order(""), OK);
    assert_eq!(outcome.failure().0, "request.bad_header");
    assert!(outcome.asked.is_empty());
    let endless = "fn before_action() { loop {} }";
    let outcome = play(&shop(endless, ""), &order(""), OK);
    assert_eq!(outcome.failure().0, "script.operations");
    assert_eq!(outcome.status, 202);
}

#[test]
fn a_signature_of_the_method_is_what_leaves() {
    let signs = "fn before_action() { method_request_headers[\"x-sign\"] = cyclr_sign(\"HMAC-SHA256\", \"k\", method_request.n.to_string()); }";
    let outcome = play(&shop("", signs), &order(""), OK);
    let sign = outcome.asked[0].header("x-sign").unwrap_or_default();
    assert_eq!(sign.len(), 44, "{sign}");
}

#[test]
fn a_run_ends_with_the_connectors_scripts_that_it_began_with() {
    let shop = shop("", "").replace("methods:", "script: {file: hooks.js}\nmethods:");
    let cycle = order("").replace(
        "then: order}",
        "then: pause}\n  pause: {use: delay, for: 90 minutes, then: order}",
    );
    let store = Arc::default();
    let begun = life(&store, (&shop, HOOKS), &cycle, OK, 0);
    assert!(begun.asked.is_empty());
    // Edited while the run waits: the file it began with is in the store.
    let edited = "function before_action() { throw 'edited'; }";
    let ended = life(&store, (&shop, edited), &cycle, OK, 1);
    assert_eq!(ended.said(), ["file order"]);
    assert_eq!(ended.of(Event::RunSucceeded).len(), 1);
}

#[test]
fn the_last_handler_of_a_single_answer_may_change_it() {
    let shop = shop(
        "fn after_action() { method_response.a = 1; }\nfn after_action_paging() { method_response.b = method_response.a + 1; }",
        "",
    );
    let cycle = format!(
        "{}    then: end\n  end: {{use: stop, message: \"${{order.b}}\"}}\n",
        order("")
    );
    let outcome = play(&shop, &cycle, &[(200, json!({}))]);
    assert_eq!(outcome.of(Event::RunSucceeded), ["2"]);
}

#[test]
fn a_retry_begins_with_what_was_handed_on_when_the_request_was_built() {
    let shop = shop(
        "",
        "fn before_action() { action_data.built = true; }\nfn after_error() { log(action_data); action_data.seen = true; }",
    );
    let cycle = order("").replace("retry: 0", "retry: {times: 1, first: 1 second}");
    let outcome = play(&shop, &cycle, &[(503, json!({})), (503, json!({}))]);
    assert_eq!(outcome.said(), [r#"{"built":true}"#; 2]);
    assert_eq!(outcome.asked.len(), 2);
}
