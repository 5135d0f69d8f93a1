//! The cycles of the simulation and the connector that they ask.

use std::sync::{Arc, OnceLock};

use velodrome_connect::BUILT_IN;
use velodrome_runtime::HeldFiles;
use velodrome_spec::check_connector;
use velodrome_spec::connector::ConnectorDef;
use velodrome_testkit::Chance;

/// The cycles that are posted to from outside.
pub(crate) const CYCLES: [&str; 8] = [
    "in_turn", "own", "http", "items", "parent", "marked", "fails", "alarms",
];
/// Those whose runs all fail.
pub(crate) const FAILING: [&str; 3] = ["fails", "alarms", "alerts"];
/// Where failures are told of cycles that say nothing.
pub(crate) const TOLD_AT: &str = "https://alerts.test/failed";
/// Those whose files are edited while their loops run.
pub(crate) const EDITED: [&str; 3] = ["in_turn", "own", "http"];
/// Items of one run of `items`.
pub(crate) const ITEMS: u64 = 7;

const CONNECTOR: &str = r#"
connector: pages
base_url: https://api.test
methods:
  list:
    kind: list
    verb: GET
    path: /list
    inputs: {page: {type: integer, required: true, query: page}}
    response: {records: data, fields: {more: {path: more, when_empty: false}}}
    paging: by_hand
  changed:
    kind: list
    verb: GET
    path: /changed
    inputs:
      page: {type: integer, required: true, query: page}
      of: {type: text, required: true, query: loop}
    response: {records: data, fields: {more: {path: more, when_empty: false}}}
    paging: by_hand
    incremental:
      by: at
      header: If-Modified-Since
      format: iso8601_offset_seconds
      key: [id, at]
      overlap: 2 seconds
      advance: by_step
  moved:
    kind: update_watermark
"#;

/// Every connector, with its text.
pub(crate) fn connectors() -> &'static [(Arc<ConnectorDef>, String)] {
    static KNOWN: OnceLock<Vec<(Arc<ConnectorDef>, String)>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let texts = BUILT_IN.iter().chain(&[("pages", CONNECTOR)]);
        let read = texts.map(|(name, text)| {
            let (def, faults) = check_connector(name, text);
            (
                Arc::new(def.unwrap_or_else(|| panic!("{faults:?}"))),
                (*text).to_owned(),
            )
        });
        read.collect()
    })
}

/// The file that an edit leaves: it says in the log which edition each handler ran on, and waits for
/// another time than the one before.
pub(crate) fn edition(cycle: &str, number: u64, delay: &str) -> String {
    match cycle {
        "in_turn" => page_loop(cycle, "cyclr", delay, "direct", "concurrency: 1", number),
        "http" => page_loop(cycle, "loop", delay, "http", "concurrency: 2", number),
        _ => page_loop(cycle, "loop", delay, "direct", "", number),
    }
}

/// A file that no server takes; of the same cycle as far as a glance tells.
pub(crate) fn bad_edit(cycle: &str) -> String {
    format!("cycle: {cycle}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: nowhere}}\n")
}

/// A page loop. `storage` is where it keeps its page, `head` what else the cycle says.
fn page_loop(
    id: &str,
    storage: &str,
    delay: &str,
    handoff: &str,
    head: &str,
    edition: u64,
) -> String {
    format!(
        r#"
cycle: {id}
{head}
retry: {{times: 30, first: 100 ms, max: 2 seconds}}
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{page: {{type: integer, required: true}}}}
    script: |
      fn after_webhook() {{
          log("edition {edition}");
          {storage}_storage_set("page", method_response.page);
          cycle_storage_increment("laps", 1);
          return true;
      }}
    then: list
  list:
    use: pages.list
    map: {{page: "${{webhook.page}}"}}
    script: |
      fn before_action() {{
          log("edition {edition}");
          cycle_storage_increment("asked", 1);
          return true;
      }}
    then: more
  more:
    use: decision
    if: {{left: "${{list.more}}", is: equals, right: true}}
    then: pause
  pause: {{use: delay, for: {delay}, then: next}}
  next:
    use: generic_webhook.post
    url: ${{webhook.url}}
    handoff: {handoff}
    map: {{page: ignore}}
    script: |
      fn before_action() {{
          log("edition {edition}");
          method_request.page = {storage}_storage_get("page") + 1;
          return true;
      }}
"#
    )
}

/// Pages through what has changed since the last time, and keeps of each record the newest state it saw.
fn marked(delay: &str) -> String {
    format!(
        r#"
cycle: marked
concurrency: 1
retry: {{times: 30, first: 100 ms, max: 2 seconds}}
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{page: {{type: integer, default: 1}}}}
    then: changed
  changed:
    use: pages.changed
    map: {{page: "${{webhook.page}}", of: "${{run.loop}}"}}
    script: |
      fn after_action() {{
          for record in method_response.data {{
              cycle_storage_set("seen " + record.id, record.at);
          }}
          return true;
      }}
    then: more
    else: remember
  more:
    use: decision
    if: {{left: "${{changed.more}}", is: equals, right: true}}
    then: pause
    else: remember
  pause: {{use: delay, for: {delay}, then: next}}
  next:
    use: generic_webhook.post
    url: ${{webhook.url}}
    map: {{page: "${{webhook.page}}"}}
    script: |
      fn before_action() {{ method_request.page += 1; return true; }}
  remember:
    use: pages.moved
    of: changed
"#
    )
}

/// How long a page loop waits between pages.
pub(crate) fn delay(chance: &mut Chance) -> &'static str {
    ["0 ms", "40 ms", "3 seconds"][chance.below(3) as usize]
}

/// The files as they are at first.
pub(crate) fn files(chance: &mut Chance) -> HeldFiles {
    let delay = delay(chance);
    let mut files = HeldFiles::default();
    let mut put = |id: &str, text: String| {
        files.cycles.insert(format!("{id}.yaml"), text);
    };
    for cycle in EDITED {
        put(cycle, edition(cycle, 1, delay));
    }
    put("marked", marked(delay));
    put(
        "items",
        format!(
            "cycle: items\nretry: {{times: 30, first: 100 ms, max: 2 seconds}}\nvariables: {{items: {:?}}}\nsteps:\n  \
             webhook: {{use: generic_webhook.webhook, then: each}}\n  \
             each: {{use: generic_webhook.post, url: \"https://api.test/item\", for_each: \"${{var:items}}\", parallel: 3, map: {{n: \"${{item}}\"}}}}\n",
            (0..ITEMS).collect::<Vec<_>>()
        ),
    );
    put(
        "parent",
        "cycle: parent\nsteps:\n  webhook: {use: generic_webhook.webhook, then: each}\n  \
         each: {use: generic_webhook.post, url: \"${hook:child}\", for_each: [1, 2, 3], parallel: 2, map: {n: \"${item}\"}}\n"
            .to_owned(),
    );
    put(
        "child",
        "cycle: child\nconcurrency: 1\nsteps:\n  webhook:\n    use: generic_webhook.webhook\n    script: |\n      \
         fn after_webhook() { return method_response.n != 2; }\n    then: pause\n  pause: {use: delay, for: 200 ms}\n"
            .to_owned(),
    );
    put("fails", failing("fails", ""));
    put(
        "alarms",
        failing("alarms", "error_webhook: \"${hook:alerts}\""),
    );
    put(
        "alerts",
        "cycle: alerts\nsteps:\n  webhook:\n    use: generic_webhook.webhook\n    script: |\n      \
         fn after_webhook() { cycle_storage_increment(\"told\", 1); return true; }\n    then: fails\n  \
         fails: {use: stop, as: failed}\n"
            .to_owned(),
    );
    files
}

/// Waits, and fails: told outside where it says nothing, else where it says.
fn failing(id: &str, head: &str) -> String {
    format!(
        "cycle: {id}\n{head}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: pause}}\n  \
         pause: {{use: delay, for: 300 ms, then: fails}}\n  fails: {{use: stop, as: failed}}\n"
    )
}
