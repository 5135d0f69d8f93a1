//! Test files, bad and good, and the page that says how to write them.

use velodrome_spec::format::{
    ANSWER, DELIVERY, EXPECT, EXPECTED_ANSWER, EXPECTED_ERROR, EXPECTED_LINE, EXPECTED_LOOP,
    EXPECTED_REQUEST, LIMITS, TEST, TEST_FILE, Table,
};
use velodrome_spec::test_file::{Answers, Canned, check_test_file};

/// Code, line and a part of the words or the hint of each fault.
fn check(text: &str, expect: &[(&str, u32, &str)]) {
    let (file, faults) = check_test_file(text);
    assert_eq!(file.is_none(), !expect.is_empty(), "{faults:#?}");
    let told: Vec<(&str, u32)> = faults
        .iter()
        .map(|fault| (fault.code.as_str(), fault.span.line))
        .collect();
    let wanted: Vec<(&str, u32)> = expect
        .iter()
        .map(|(code, line, _)| (*code, *line))
        .collect();
    assert_eq!(told, wanted, "{faults:#?}");
    for (fault, (.., part)) in faults.iter().zip(expect) {
        let words = format!("{} {}", fault.message, fault.hint.as_deref().unwrap_or(""));
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let text = "\
cycel: x
coverage: most
tests:
  a:
    start: yesterday
    answer: {contacts: {}}
    answers:
      pause: {status: 9000}
      next_page: {error: gone}
      other: [{takes: 3}, {error: timeout, body: {}}]
    expect:
      lapps: 3
      elapsed: 3
      log: [webhook.acepted, {evnt: x}]
      status: suceeded
";
    check(
        text,
        &[
            ("field.unknown", 1, "did you mean `cycle`?"),
            ("value.type", 2, "`100%`"),
            ("value.date", 5, "RFC 3339"),
            ("field.unknown", 6, "did you mean `answers`?"),
            ("value.type", 8, "from 100 to 599"),
            ("value.choice", 9, "`timeout`, `connection_refused`"),
            ("value.duration", 10, "3 seconds"),
            ("field.alone", 10, "nothing comes then"),
            ("field.unknown", 12, "did you mean `laps`?"),
            ("value.duration", 13, "3 seconds"),
            ("value.choice", 14, "did you mean `webhook.accepted`?"),
            ("field.unknown", 14, "did you mean `event`?"),
            ("value.choice", 15, "did you mean `succeeded`?"),
        ],
    );
}

#[test]
fn what_is_sent_is_said_once() {
    let both = "tests:\n  a:\n    body: {}\n    send: [{body: {}}]\n";
    check(both, &[("field.alone", 3, "beside `send`")]);
    check(
        "tests: {a: {send: []}}\n",
        &[("value.type", 1, "must hold a request")],
    );
    let two = "tests:\n  a:\n    send: [{}, {after: 1s}]\n    expect: {answer: [{status: 202}]}\n";
    check(two, &[("value.type", 4, "2 requests are sent")]);
}

#[test]
fn a_file_without_tests_is_none() {
    check("cycle: x\n", &[("field.missing", 1, "`tests`")]);
    check("tests: {}\n", &[("value.type", 1, "must hold a test")]);
    check("", &[("yaml.empty", 1, "empty")]);
    check("tests: [\n", &[("yaml.syntax", 1, "unclosed")]);
}

#[test]
fn an_answer_is_one_for_all_or_one_for_each() {
    let text = "\
tests:
  a:
    answers:
      always: {status: 204}
      in_order: [{body: [1]}, {error: timeout}]
";
    let file = check_test_file(text).0.expect("a good file");
    let answers = &file.tests[0].answers;
    assert!(matches!(answers[0].answers, Answers::Always(_)));
    let Answers::InOrder(all) = &answers[1].answers else {
        panic!("{answers:?}");
    };
    assert!(matches!(
        &all[0].outcome,
        Canned::Answer { status: 200, .. }
    ));
    assert_eq!(all[1].outcome, Canned::Timeout);
}

#[test]
fn the_shipped_tests_are_good() {
    check(include_str!("../../../../cycles/first_loop.test.yaml"), &[]);
    check(
        include_str!("../../../../cycles/zoho_incremental.test.yaml"),
        &[],
    );
}

#[test]
fn every_key_stands_in_the_documentation() {
    let page = include_str!("../../../../docs/testing.md");
    let tables: [&Table; 11] = [
        &TEST_FILE,
        &TEST,
        &DELIVERY,
        &ANSWER,
        &LIMITS,
        &EXPECT,
        &EXPECTED_ANSWER,
        &EXPECTED_LOOP,
        &EXPECTED_ERROR,
        &EXPECTED_REQUEST,
        &EXPECTED_LINE,
    ];
    for table in tables {
        for key in table.keys {
            let row = format!("| `{}` | {}", key.name, key.doc);
            assert!(
                page.contains(&row),
                "docs/testing.md has no row for `{}` of {}: {row}",
                key.name,
                table.name
            );
        }
    }
}
