//! What tests can say of a cycle.

use crate::bench::{FIRST_LOOP, ZOHO, passes};

#[test]
fn the_shipped_cycles_pass_and_every_exit_is_taken() {
    let tests = include_str!("../../../../cycles/zoho_incremental.test.yaml");
    let zoho = passes(&[ZOHO], tests);
    let tests = include_str!("../../../../cycles/first_loop.test.yaml");
    let first = passes(&[FIRST_LOOP], tests);
    assert!(zoho.passed() && first.passed());
    assert_eq!((zoho.coverage.taken, zoho.coverage.all), (8, 8));
    assert_eq!((first.coverage.taken, first.coverage.all), (5, 5));
}

#[test]
fn two_runs_tell_the_same_to_the_last_id() {
    let tests = include_str!("../../../../cycles/zoho_incremental.test.yaml");
    let told = || {
        let report = passes(&[ZOHO], tests);
        let lines: Vec<_> = report.tests.iter().map(|test| &test.lines).collect();
        serde_json::to_string(&lines).unwrap()
    };
    assert_eq!(told(), told());
}

const SLOW: &str = r#"
cycle: slow
steps:
  webhook: {use: generic_webhook.webhook, then: wait}
  wait: {use: delay, for: 30 days, then: tell}
  tell:
    use: generic_webhook.post
    url: https://api.test/orders?from=velodrome
    headers: {x-order: "${webhook.id}"}
    map: {id: "${webhook.id}", list: [1, {a: true}]}
    retry: {times: 2, first: 1 hour, factor: 3, max: 1 day}
    catch: mourn
    then: more
  more: {use: decision, if: {left: "${tell.more}", is: equals, right: true}, then: big}
  big: {use: stop, message: more}
  mourn: {use: stop, message: gone, as: failed}
"#;

#[test]
fn a_delay_of_thirty_days_is_exact_and_takes_no_time() {
    let report = passes(
        &[SLOW],
        r#"
tests:
  a month later:
    body: {id: 7}
    answers: {tell: [{body: {more: true, other: x}, takes: 250 ms}]}
    expect:
      elapsed: 30 d 250 ms
      requests:
        - step: tell
          method: POST
          url: https://api.test/orders
          query: {from: velodrome}
          headers: {X-Order: 7, content-type: application/json}
          body: {id: 7, list: [1, {a: true}]}
          at: 30 days
      log: [{event: delay.ended, level: debug}, {event: run.succeeded, message: more}]
"#,
    );
    assert_eq!(report.coverage.never.len(), 3, "{:?}", report.coverage);
}

#[test]
fn faults_of_the_network_are_retried_for_days_and_caught() {
    passes(
        &[SLOW],
        r#"
tests:
  nobody is there:
    body: {id: 7}
    answers: {tell: {error: connection_refused}}
    expect:
      status: failed
      elapsed: 30 d 4 h
      error: {code: run.stop_step, step: mourn, message: gone}
      log: [retry.scheduled, retry.scheduled, {event: request.failed, code: request.network}]
  it comes too late:
    start: 2026-06-01T00:00:00Z
    body: {id: 7}
    answers: {tell: [{takes: 31 seconds}, {body: not json}]}
    expect: {status: succeeded, elapsed: 30 d 1 h 30 s}
"#,
    );
}

#[test]
fn storage_of_each_family_is_there_before_and_after() {
    let cycle = r#"
cycle: counts
steps:
  webhook:
    use: generic_webhook.webhook
    script: |
      fn after_webhook() {
          cyclr_storage_increment("all");
          cycle_storage_increment("own");
          loop_storage_set("x", [1, #{y: cyclr_storage_get("kept")}]);
          return method_response.proceed;
      }
"#;
    passes(
        &[cycle],
        r#"
tests:
  goes:
    body: {proceed: true}
    storage: {generic_webhook: {all: 41, kept: old}}
    cycle_storage: {generic_webhook: {own: 1.5}}
    expect:
      storage: {generic_webhook: {all: 42, kept: old, missing: null}}
      cycle_storage: {generic_webhook: {own: 2.5}}
      loop_storage: {generic_webhook: {x: [1, {y: old}]}}
  is ignored:
    body: {proceed: false}
    expect:
      answer: {status: 200, body: {status: ignored}}
      log: [webhook.ignored, loop.succeeded]
"#,
    );
}

#[test]
fn hand_offs_reach_other_cycles_whose_requests_are_answered_too() {
    let first = r#"
cycle: first
steps:
  webhook: {use: generic_webhook.webhook, then: post}
  post: {use: generic_webhook.post, url: "${hook:second}", map: {name: "${webhook.name}"}}
"#;
    let second = r#"
cycle: second
steps:
  webhook: {use: generic_webhook.webhook, fields: {name: text}, then: ask}
  ask: {use: generic_webhook.get, url: "https://api.test/${webhook.name}"}
"#;
    passes(
        &[first, second],
        r#"
tests:
  from one to the other:
    body: {name: Rosa}
    answers: {second.ask: [{status: 200}]}
    expect:
      handoffs: [{name: Rosa}]
      loops: [{cycle: first, laps: 1}, {cycle: second, status: succeeded}]
      requests: [{cycle: second, step: ask, lap: 1, path: /Rosa}]
"#,
    );
}

#[test]
fn a_hand_off_by_http_is_a_lap_too() {
    let http = FIRST_LOOP.replace(
        "url: ${webhook.url} ",
        "handoff: http\n    url: ${webhook.url} ",
    );
    assert_ne!(http, FIRST_LOOP);
    passes(
        &[&http],
        "tests: {x: {body: {page: 3}, expect: {laps: 3, elapsed: 2 s, handoffs: [{page: 4}, {page: 5}], requests: []}}}",
    );
}

#[test]
fn deliveries_come_when_they_are_said_to_and_repeats_are_replayed() {
    passes(
        &[FIRST_LOOP],
        r#"
tests:
  twice:
    send:
      - {body: {page: 5}, headers: {Idempotency-Key: a}}
      - {body: {page: 5}, headers: {Idempotency-Key: a}, after: 1 hour}
      - {body: {page: 4}, after: 2 hours}
    expect:
      answer: [{status: 202}, {status: 202, headers: {idempotency-replayed: "true"}}, {status: 202}]
      loops: [{laps: 1, elapsed: 0s}, {laps: 2, elapsed: 1s}]
      log: [loop.succeeded, webhook.replayed, webhook.accepted, loop.succeeded]
"#,
    );
}

#[test]
fn a_failed_cycle_can_stop_itself() {
    let cycle = ZOHO.replace("concurrency: 1 ", "on_error: stop_cycle\nconcurrency: 1 ");
    assert_ne!(cycle, ZOHO);
    passes(
        &[&cycle],
        r#"
tests:
  stops:
    body: {page: 1}
    answers: {contacts: [{status: 400}]}
    expect: {status: failed, log: [loop.failed, cycle.stopped]}
"#,
    );
}

#[test]
fn a_runaway_loop_without_any_delay_is_bounded_by_its_own_limit() {
    let cycle = r#"
cycle: runaway
loop: {max_laps: 500}
steps:
  webhook: {use: generic_webhook.webhook, then: next}
  next: {use: generic_webhook.post, url: "${webhook.url}"}
"#;
    passes(
        &[cycle],
        "tests: {runs away: {expect: {status: failed, laps: 500, elapsed: 0s, error: {code: loop.max_laps, step: next}}}}",
    );
}

#[test]
fn a_list_that_answers_nothing_has_no_records_whether_a_script_reads_it_or_not() {
    let cycle = |script: &str| {
        format!(
            r#"
cycle: quiet
steps:
  webhook: {{use: generic_webhook.webhook, then: contacts}}
  contacts:
    use: zoho.list_new_updated_contacts_by_page
    map: {{page: 1}}
{script}
    then: found
  found: {{use: stop, as: failed, message: records came}}
"#
        )
    };
    let script = "    script: |\n      fn after_action() { return true; }";
    let tests = r#"
tests:
  nothing at all:
    body: {}
    answers: {contacts: {status: 200}}
    expect: {status: succeeded, records: 0}
"#;
    for script in ["", script] {
        passes(&[&cycle(script)], tests);
    }
}
