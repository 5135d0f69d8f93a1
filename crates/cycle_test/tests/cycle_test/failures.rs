//! Failures: by their code, with a place in the test file.

use crate::bench::{FIRST_LOOP, ZOHO, faults, tested};

/// Code, line and a part of the words of every failure.
fn fails(cycle: &str, tests: &str, expect: &[(&str, u32, &str)]) {
    let report = tested(&[cycle], tests);
    let failures: Vec<_> = report
        .tests
        .iter()
        .flat_map(|test| &test.failures)
        .chain(&report.failures)
        .collect();
    let told: Vec<(&str, u32)> = failures
        .iter()
        .map(|failure| (failure.code.as_str(), failure.span.line))
        .collect();
    let wanted: Vec<(&str, u32)> = expect
        .iter()
        .map(|(code, line, _)| (*code, *line))
        .collect();
    assert_eq!(told, wanted, "{failures:#?}");
    for (failure, (.., part)) in failures.iter().zip(expect) {
        let words = format!(
            "{} {}",
            failure.message,
            failure.hint.as_deref().unwrap_or("")
        );
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn each_expectation_that_is_missed_is_pointed_at() {
    let tests = "\
coverage: 100%
tests:
  wrong:
    body: {page: 1}
    answers:
      contacts:
        - {records: 2, body: {info: {more_records: true}}}
        - {status: 204}
        - {status: 204}
    expect:
      answer: {status: 200}
      status: failed
      laps: 3
      records: 1
      elapsed: 2.5 seconds
      requests:
        - {step: contacts, query: {page: 2}, at: 1 s}
      handoffs: [{page: 3}]
      storage: {generic_webhook: {pageNumber: 9}}
      log: [handoff.sent, decision.taken]
      error: {code: request.status}
      watermark: {contacts: none}
";
    fails(
        ZOHO,
        tests,
        &[
            ("test.unused_answer", 9, "was never asked for"),
            (
                "test.expected",
                11,
                "`answer.status`: expected `200`, got `202`",
            ),
            (
                "test.expected",
                12,
                "`status`: expected `failed`, got `succeeded`",
            ),
            ("test.expected", 13, "`laps`: expected 3, got 2"),
            ("test.expected", 14, "`records`: expected 1, got 2"),
            ("test.expected", 15, "`elapsed`: expected 2.5 s, got 2 s"),
            (
                "test.expected",
                17,
                "number of `requests`: expected 1, got 2",
            ),
            (
                "test.expected",
                17,
                "`requests[0].query.page`: expected `2`, got `\"1\"`",
            ),
            (
                "test.expected",
                17,
                "`requests[0].at`: expected 1 s, got 0 ms",
            ),
            (
                "test.expected",
                18,
                "`handoffs[0].page`: expected `3`, got `2`",
            ),
            ("test.expected", 19, "expected `9`, got `2`"),
            ("test.expected", 20, "only before the one above"),
            ("test.expected", 21, "expected a failed run, got none"),
            (
                "test.expected",
                22,
                "expected none, got `\"2025-12-31T23:59:58Z\"`",
            ),
            ("test.coverage", 1, "`more_records` else → remember"),
        ],
    );
}

#[test]
fn a_request_without_an_answer_says_what_to_add() {
    let tests = "tests:\n  a:\n    body: {page: 1}\n    answers:\n      contacts:\n        - {records: 1, body: {info: {more_records: true}}}\n    expect: {laps: 9}\n";
    let said = "page=2 in lap 2, and its answers are used up";
    fails(ZOHO, tests, &[("test.no_answer", 5, said)]);
    fails(
        ZOHO,
        "tests:\n  a:\n    body: {page: 1}\n",
        &[(
            "test.no_answer",
            2,
            "add `answers: {contacts: [{status: 200, body: {}}]}`",
        )],
    );
}

#[test]
fn what_never_ends_is_bounded() {
    // Zoho's page numbers reach ten pages; behind them a token is asked for.
    let answers = "answers: {contacts: {records: 1, body: {info: {more_records: true}}}}";
    let laps = format!("tests:\n  a: {{body: {{page: 1}}, limits: {{laps: 9}}, {answers}}}\n");
    fails(ZOHO, &laps, &[("test.endless", 2, "more than 9 laps")]);
    let time = format!("tests:\n  a: {{body: {{page: 1}}, limits: {{time: 3 s}}, {answers}}}\n");
    let said = "lap 2 of `zoho_incremental` still waits at `pause`";
    fails(ZOHO, &time, &[("test.endless", 2, said)]);
    let cycle = r#"
cycle: runaway
loop: {max_laps: none}
steps:
  webhook: {use: generic_webhook.webhook, then: next}
  next: {use: generic_webhook.post, url: "${webhook.url}"}
"#;
    let tests = "tests:\n  a: {limits: {laps: 100}}\n";
    fails(cycle, tests, &[("test.endless", 2, "more than 100 laps")]);
}

#[test]
fn a_test_that_expects_nothing_expects_success() {
    fails(
        ZOHO,
        "tests:\n  a: {body: {page: 1}, answers: {contacts: {status: 400}}}\n",
        &[(
            "test.loop_failed",
            2,
            "at `contacts`, lap 1: `request.status`",
        )],
    );
    fails(
        FIRST_LOOP,
        "tests:\n  a: {body: {page: x}}\n",
        &[("test.refused", 2, "422, webhook.field_invalid")],
    );
}

#[test]
fn names_that_the_cycle_does_not_have_are_faults_of_the_file() {
    let tests = "\
settings: {generic_webhok: {x: 1}, generic_webhook: {y: 1}}
tests:
  a:
    storage: {generik: {a: 1}}
    answers:
      paus: {}
      next_page: {}
      other.x: {}
    expect:
      error: {step: paws}
      watermark: {pause: none}
";
    let found: Vec<(String, u32)> = faults(FIRST_LOOP, tests)
        .iter()
        .map(|fault| (fault.code.to_string(), fault.span.line))
        .collect();
    let wanted = [
        ("test.unknown_connection", 1),
        ("test.unknown_setting", 1),
        ("test.unknown_connection", 4),
        ("test.unknown_step", 6),
        ("test.no_request", 7),
        ("test.unknown_cycle", 8),
        ("test.unknown_step", 10),
        ("test.unknown_step", 11),
    ];
    assert_eq!(found, wanted.map(|(code, line)| (code.to_owned(), line)));
}
