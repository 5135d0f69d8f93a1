//! Answers of every kind, hostile ones too.

use std::collections::BTreeMap;

use serde_json::json;
use velodrome_spec::connector::{
    Advance, DateFormat, IncrementalDef, MethodKind, PagingDef, RequestDefaults, ResponseDef,
    ResponseField, SendAs,
};

use super::*;
use crate::error::ErrorKind;

fn method(fields: &[(&str, &str, Json)], records: Option<&str>) -> MethodDef {
    let field = |(name, path, when_empty): &(&str, &str, Json)| {
        let field = ResponseField {
            title: String::new(),
            path: (*path).to_owned(),
            when_empty: when_empty.clone(),
        };
        ((*name).to_owned(), field)
    };
    MethodDef {
        name: String::new(),
        title: String::new(),
        kind: MethodKind::List,
        verb: "GET".to_owned(),
        path: None,
        request: RequestDefaults::default(),
        body: None,
        inputs: BTreeMap::new(),
        open_body: false,
        response: ResponseDef {
            records: records.map(str::to_owned),
            fields: fields.iter().map(field).collect(),
            open: false,
        },
        paging: PagingDef::None,
        incremental: Some(IncrementalDef {
            field: "Modified_Time".to_owned(),
            send_as: SendAs::Nowhere,
            format: DateFormat::UnixSeconds,
            key: vec!["id".to_owned(), "Modified_Time".to_owned()],
            inclusive: true,
            overlap: std::time::Duration::ZERO,
            advance: Advance::ByStep,
        }),
        errors: Vec::new(),
        limits: Default::default(),
        script: None,
        two_exits: true,
    }
}

fn contacts() -> MethodDef {
    method(
        &[
            ("more_records", "info.more_records", json!(false)),
            ("page", "info.page", json!(0)),
            ("note", "info.note", json!(null)),
        ],
        Some("data"),
    )
}

fn want(fields: &[&str]) -> Want {
    Want {
        fields: fields.iter().map(|name| (*name).to_owned()).collect(),
        ..Want::default()
    }
}

fn more(body: &str) -> Result<Json, String> {
    scan(&contacts(), body.as_bytes(), &want(&["more_records"]))
        .map(|scanned| scanned.fields["more_records"].clone())
        .map_err(|error| error.code.to_string())
}

#[test]
fn described_fields_keep_their_type_or_say_so() {
    let check = |body: &str, expect: Result<Json, &str>| {
        assert_eq!(more(body), expect.map_err(str::to_owned), "{body}");
    };
    check(r#"{"info":{"more_records":true}}"#, Ok(json!(true)));
    check(r#"{"info":{"more_records":"true"}}"#, Ok(json!(true)));
    check(r#"{"info":{"more_records":"False"}}"#, Ok(json!(false)));
    check(r#"{"info":{"more_records":null}}"#, Ok(json!(false)));
    check(
        r#"{"info":{"more_records":false,"more_records":true}}"#,
        Ok(json!(true)),
    );
    check(r#"{"info":{"\u006dore_records":true}}"#, Ok(json!(true)));
    check(
        "\u{feff}{\"info\":{\"more_records\":true}}",
        Ok(json!(true)),
    );
    check(r#"{"data":[],"info":{}}"#, Ok(json!(false)));
    check(r#"{"data":[],"info":null}"#, Ok(json!(false)));
    check(r#"{"data":[],"info":[true]}"#, Ok(json!(false)));
    check(r#"{"data":[],"info":"more_records"}"#, Ok(json!(false)));
    check(r#"{"data":null}"#, Ok(json!(false)));
    check("{}", Ok(json!(false)));
    check("[]", Ok(json!(false)));
    check("7", Ok(json!(false)));
    check("", Ok(json!(false)));
    check(" \n", Ok(json!(false)));
    check(
        r#"{"info":{"more_records":"yes"}}"#,
        Err("response.field_type"),
    );
    check(r#"{"info":{"more_records":1}}"#, Err("response.field_type"));
    check(
        r#"{"info":{"more_records":{}}}"#,
        Err("response.field_type"),
    );
}

#[test]
fn numbers_are_taken_from_text_and_the_rest_as_it_comes() {
    let check = |info: Json, expect: Result<Json, &str>| {
        let body = json!({ "info": info }).to_string();
        let got = scan(&contacts(), body.as_bytes(), &want(&["page", "note"]))
            .map(|scanned| Json::Object(scanned.fields))
            .map_err(|error| error.code.to_string());
        assert_eq!(got, expect.map_err(str::to_owned), "{body}");
    };
    check(
        json!({"page": 3, "note": "x"}),
        Ok(json!({"note": "x", "page": 3})),
    );
    check(
        json!({"page": "20", "note": [1]}),
        Ok(json!({"note": [1], "page": 20})),
    );
    check(
        json!({"note": {"a": {"b": 1}}}),
        Ok(json!({"note": {"a": {"b": 1}}, "page": 0})),
    );
    check(json!({"page": "invalid"}), Err("response.field_type"));
    check(json!({"page": true}), Err("response.field_type"));
}

#[test]
fn records_are_counted_wherever_they_stand() {
    let check = |records: &str, body: &str, expect: Result<u64, &str>| {
        let got = scan(
            &method(&[], Some(records)),
            body.as_bytes(),
            &Want::default(),
        )
        .map(|scanned| scanned.count)
        .map_err(|error| error.code.to_string());
        assert_eq!(got, expect.map_err(str::to_owned), "{records} in {body}");
    };
    check("data", r#"{"data":[{"id":1},{"id":2}],"x":[1,2,3]}"#, Ok(2));
    check("data", r#"{"data":[]}"#, Ok(0));
    check("data", r#"{"data":null}"#, Ok(0));
    check("data", "{}", Ok(0));
    check("data", "", Ok(0));
    check("data", r#"{"data":[1],"data":[1,2]}"#, Ok(2));
    check("a.b", r#"{"a":{"b":[1,2,3]},"b":[1]}"#, Ok(3));
    check("a[1].b", r#"{"a":[{"b":[1]},{"b":[1,2]}]}"#, Ok(2));
    check("[]", "[{},{},{}]", Ok(3));
    check("", "[[],[]]", Ok(2));
    check("[\"@odata.value\"]", r#"{"@odata.value":[1]}"#, Ok(1));
    check("data", r#"{"data":{"id":1}}"#, Err("response.records"));
    check("data", r#"{"data":"[1]"}"#, Err("response.records"));
    check("data", r#"{"data":true}"#, Err("response.records"));
}

#[test]
fn fields_may_stand_inside_records_and_be_the_records() {
    let method = method(
        &[
            ("first", "data[0].details.id", json!(null)),
            ("all", "data", json!([])),
            ("body_of", "data[1]", json!(null)),
        ],
        Some("data"),
    );
    let body = br#"{"data":[{"details":{"id":"7"}},{"x":1}]}"#;
    let scanned = scan(&method, body, &want(&["first", "all", "body_of"])).unwrap();
    assert_eq!(scanned.fields["first"], json!("7"));
    assert_eq!(scanned.fields["body_of"], json!({"x": 1}));
    assert_eq!(scanned.fields["all"].as_array().map(Vec::len), Some(2));
    assert_eq!(scanned.count, 2);
}

#[test]
fn the_hash_goes_by_the_records_bytes_alone() {
    let hash = |body: &str| {
        let scanned = scan(&contacts(), body.as_bytes(), &Want::default());
        scanned.unwrap().page_hash
    };
    let one = hash(r#"{"data":[{"id":1}, {"id":2}],"info":{"page":1}}"#);
    assert_eq!(
        one,
        hash(r#"{"info":{"page":2},"data": [ {"id":1}, {"id":2} ]}"#)
    );
    assert_ne!(one, hash(r#"{"data":[{"id":1},{"id":2}]}"#));
    assert_ne!(one, hash(r#"{"data":[{"id":2}, {"id":1}]}"#));
    let bytes = br#"{"id":1}, {"id":2}"#;
    assert_eq!(one, twox_hash::XxHash3_64::oneshot(bytes));
    // The published value for no bytes: hashes of another version must stay comparable.
    assert_eq!(twox_hash::XxHash3_64::oneshot(b""), 0x2d06_8005_38d3_94c2);
}

#[test]
fn keys_tell_states_of_records_apart() {
    let keys = |data: &str| {
        let body = format!("{{\"data\":{data}}}");
        let wanted = Want {
            keys: true,
            ..Want::default()
        };
        scan(&contacts(), body.as_bytes(), &wanted).unwrap().keys
    };
    let of = keys(
        r#"[{"id":"1","Modified_Time":"a","x":1},{"x":2,"Modified_Time":"a","id":"1"},
            {"id":"1","Modified_Time":"b"},{"id":"1a","Modified_Time":""},
            {"id":1,"Modified_Time":"a"}]"#,
    );
    assert_eq!(of[0], of[1]);
    let different: BTreeSet<_> = of.iter().collect();
    assert_eq!(different.len(), 4);
    // The first 12 bytes of SHA-256 over `"1"`, 0, `"a"`, 0.
    let expect = <sha2::Sha256 as sha2::Digest>::digest(b"\"1\"\0\"a\"\0");
    assert_eq!(of[0], expect[..12]);
    // Without a key field only equal texts are repeats.
    let of = keys(r#"[{"id":"1","x":1},{"id":"1","x":2},{"id":"1","x":1},7,null]"#);
    assert!(of[0] != of[1] && of[0] == of[2] && of[3] != of[4]);
}

#[test]
fn records_tokens_and_bodies_are_built_when_wanted() {
    let body = br#"{"data":[{"id":1.5,"t":"\u00e9"}],"info":{"next_page_token":"abc"}}"#;
    let wanted = Want {
        records: true,
        raw: true,
        token_path: Some("info.next_page_token".to_owned()),
        ..Want::default()
    };
    let scanned = scan(&contacts(), body, &wanted).unwrap();
    assert_eq!(scanned.records, Some(vec![json!({"id": 1.5, "t": "é"})]));
    assert_eq!(scanned.token.as_deref(), Some("abc"));
    assert_eq!(
        scanned.body.unwrap()["info"]["next_page_token"],
        json!("abc")
    );
    assert_eq!(scanned.count, 1);

    let empty = scan(&contacts(), b"", &wanted).unwrap();
    assert_eq!(
        (empty.records, empty.token, empty.body),
        (Some(vec![]), None, Some(json!(null)))
    );
    for (token, expect) in [
        ("null", None),
        ("\"\"", None),
        ("\"  \"", None),
        ("17", Some("17")),
        ("{}", None),
    ] {
        let body = format!(r#"{{"info":{{"next_page_token":{token}}}}}"#);
        let scanned = scan(&contacts(), body.as_bytes(), &wanted).unwrap();
        assert_eq!(scanned.token.as_deref(), expect, "{token}");
    }
}

#[test]
fn an_open_answer_takes_any_name_and_any_text() {
    let mut open = method(&[], None);
    open.response.open = true;
    let wanted = Want {
        raw: true,
        ..want(&["ok", "missing"])
    };
    let scanned = scan(&open, br#"{"ok":[1]}"#, &wanted).unwrap();
    assert_eq!(
        Json::Object(scanned.fields),
        json!({"missing": null, "ok": [1]})
    );
    for body in ["<html>", "ok", "{\"ok\":1", "{} trailing"] {
        let scanned = scan(&open, body.as_bytes(), &wanted).unwrap();
        assert_eq!(scanned.fields["ok"], json!(null), "{body}");
        assert_eq!(scanned.body, Some(json!(body)));
    }
    let scanned = scan(&open, b"\xff\xfe", &wanted).unwrap();
    assert_eq!(scanned.body, Some(json!("\u{fffd}\u{fffd}")));
}

#[test]
fn nothing_wanted_of_an_undescribed_answer_reads_nothing() {
    assert_eq!(
        scan(&method(&[], None), b"<html>", &Want::default()),
        Ok(Scanned::default())
    );
}

#[test]
fn hostile_bodies_are_refused_and_never_panic() {
    let deep = |open: &str, close: &str, n: usize| open.repeat(n) + &close.repeat(n);
    let bare = deep("[", "]", 100_000);
    let cases = [
        (format!("{{\"x\":{bare}}}"), "response.too_deep"),
        (format!("{{\"data\":[{bare}]}}"), "response.too_deep"),
        (format!("{{\"data\":{bare}}}"), "response.too_deep"),
        (
            format!("{{\"info\":{{\"more_records\":{bare}}}}}"),
            "response.too_deep",
        ),
        (
            format!(
                "{{\"info\":{{\"more_records\":{}1{}}}}}",
                "{\"a\":".repeat(200),
                "}".repeat(200)
            ),
            "response.too_deep",
        ),
        (bare, "response.too_deep"),
        ("[".repeat(100_000), "response.not_json"),
        (r#"{"data":[{"id":1}"#.to_owned(), "response.not_json"),
        (r#"{"data":[1,]}"#.to_owned(), "response.not_json"),
        (r#"{"data":[1]} x"#.to_owned(), "response.not_json"),
        (r#"{"data":["\ud800"]}{"#.to_owned(), "response.not_json"),
        (r#"{"data":[NaN]}"#.to_owned(), "response.not_json"),
        ("{'data':[]}".to_owned(), "response.not_json"),
        ("<html>503</html>".to_owned(), "response.not_json"),
    ];
    for (body, code) in cases {
        let start: String = body.chars().take(40).collect();
        let wanted = Want {
            keys: true,
            ..want(&["more_records"])
        };
        let got =
            scan(&contacts(), body.as_bytes(), &wanted).map_err(|error| error.code.to_string());
        assert_eq!(got.map(|_| ()), Err(code.to_owned()), "{start}");
    }
    let error = scan(&contacts(), b"\xff{}", &want(&["more_records"])).unwrap_err();
    assert_eq!(error.code.as_str(), "response.not_json");
}

#[test]
fn wide_is_not_deep_and_127_levels_are_taken() {
    let body = |n: usize| format!("{{\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let check = |n| scan(&contacts(), body(n).as_bytes(), &want(&["more_records"])).is_ok();
    assert!(check(126) && !check(127));
    let wide = format!("{{\"x\":[{}]}}", vec!["[{}]"; 10_000].join(","));
    assert!(scan(&contacts(), wide.as_bytes(), &want(&["more_records"])).is_ok());
}

#[test]
fn a_cut_answer_to_a_get_may_be_asked_again() {
    let kind = |verb: &str, body: &[u8]| {
        let mut method = contacts();
        verb.clone_into(&mut method.verb);
        scan(&method, body, &want(&["page"])).unwrap_err().kind
    };
    assert_eq!(kind("GET", b"{\"data\":[1"), ErrorKind::Transient);
    assert_eq!(kind("POST", b"{\"data\":[1"), ErrorKind::Permanent);
    assert_eq!(kind("GET", b"<html>"), ErrorKind::Permanent);
}
