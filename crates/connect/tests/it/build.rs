//! From definitions and values to requests.

use std::collections::BTreeMap;

use serde_json::json;
use velodrome_connect::{MethodCall, TokenSet};
use velodrome_spec::connector::{
    Advance, AuthDef, DateFormat, IncrementalDef, InputDef, MethodDef, PagingDef, SendAs,
    TokenHandoff,
};
use velodrome_spec::expr::Expr;
use velodrome_spec::plan::FieldKind;
use velodrome_types::{Json, JsonMap, Timestamp};

use crate::support::*;

fn input(kind: FieldKind, send_as: SendAs) -> InputDef {
    InputDef {
        title: String::new(),
        kind,
        required: false,
        default: None,
        send_as,
    }
}

fn call(inputs: Json) -> MethodCall {
    MethodCall {
        inputs: inputs.as_object().cloned().unwrap_or_default(),
        ..MethodCall::default()
    }
}

fn tokens() -> TokenSet {
    TokenSet {
        access_token: "hush-access".to_owned(),
        refresh_token: Some("hush-refresh".to_owned()),
        expires_at: Timestamp::from_millis(0),
        kept: BTreeMap::from([(
            "api_domain".to_owned(),
            "https://www.zohoapis.test".to_owned(),
        )]),
        scope: None,
        refused: false,
    }
}

#[tokio::test]
async fn a_page_of_contacts_is_asked_as_the_api_wants_it() {
    let server = Server::start(|_| reply(200, "")).await;
    let connection = connection(zoho_like(&server));
    let mut list = method("GET", Some("/v8/Contacts"));
    list.request.query = vec![
        ("per_page".to_owned(), Expr::Literal(json!(200))),
        ("fields".to_owned(), text("id,Email")),
    ];
    let mut page = input(FieldKind::Integer, SendAs::Query("page".to_owned()));
    page.default = Some(json!(1));
    list.inputs.insert("page".to_owned(), page);
    list.paging = PagingDef::ByHand {
        handoff: Some(TokenHandoff {
            page: "page".to_owned(),
            reach: 2_000,
            per_page: 200,
            token: "info.next_page_token".to_owned(),
            send: "page_token".to_owned(),
            when: None,
        }),
        more: None,
    };
    list.incremental = Some(IncrementalDef {
        field: "Modified_Time".to_owned(),
        send_as: SendAs::Header("If-Modified-Since".to_owned()),
        format: DateFormat::Iso8601OffsetSeconds,
        key: Vec::new(),
        inclusive: true,
        overlap: std::time::Duration::ZERO,
        advance: Advance::ByStep,
    });
    let rig = rig();
    let build = |call| rig.connect.build(&connection, Some(&tokens()), &list, call);

    let built = build(call(json!({"page": "3"}))).unwrap();
    assert_eq!(built.url, "https://www.zohoapis.test/crm/v8/Contacts");
    assert_eq!(
        json!(built.query),
        json!({"per_page": 200, "fields": "id,Email", "page": 3})
    );
    assert_eq!(json!(built.headers), json!({}));
    assert_eq!((built.verb.as_str(), &built.body), ("GET", &None));
    assert!(!serde_json::to_string(&built).unwrap().contains("hush"));

    let built = build(call(json!({}))).unwrap();
    assert_eq!(built.query["page"], json!(1));

    let later = MethodCall {
        filter: Some(Timestamp::parse("2026-11-23T12:00:00.5Z").unwrap()),
        page_token: Some("abc".to_owned()),
        query: vec![("per_page".to_owned(), json!(5))],
        headers: vec![("if-modified-SINCE".to_owned(), Json::Null)],
        ..call(json!({"page": 11}))
    };
    let built = build(MethodCall {
        headers: Vec::new(),
        ..later.clone()
    })
    .unwrap();
    assert_eq!(
        json!(built.query),
        json!({"per_page": 5, "fields": "id,Email", "page_token": "abc"})
    );
    assert_eq!(
        json!(built.headers),
        json!({"If-Modified-Since": "2026-11-23T12:00:00+00:00"})
    );
    let built = build(later).unwrap();
    assert_eq!(
        json!(built.headers),
        json!({"If-Modified-Since": null}),
        "a step's own wins"
    );

    let error = rig
        .connect
        .build(&connection, None, &list, call(json!({})))
        .unwrap_err();
    assert_eq!(error.code.as_str(), "auth.needs_connection");
    assert!(error.message.contains("velodrome connect api"));
}

#[test]
fn an_open_body_takes_any_name() {
    let connection = connection(connector(AuthDef::None, None));
    let open = |verb: &str| MethodDef {
        open_body: true,
        ..method(verb, None)
    };
    let build = |verb: &str, inputs: Json| {
        let call = MethodCall {
            url: Some("https://a.test/x?y=1".to_owned()),
            ..call(inputs)
        };
        rig()
            .connect
            .build(&connection, None, &open(verb), call)
            .map(|built| built.body)
    };
    assert_eq!(
        build("POST", json!({"b": 1, "a": null})),
        Ok(Some(json!({"b": 1, "a": null})))
    );
    assert_eq!(build("POST", json!({})), Ok(Some(json!({}))));
    assert_eq!(build("GET", json!({})), Ok(None));
    assert_eq!(build("DELETE", json!({"a": 1})), Ok(Some(json!({"a": 1}))));
    let error = rig()
        .connect
        .build(&connection, None, &open("POST"), call(json!({})))
        .unwrap_err();
    assert_eq!(error.code.as_str(), "request.missing_url");
}

#[test]
fn inputs_are_looked_at() {
    let connection = connection(connector(AuthDef::None, Some("https://a.test")));
    let build = |kind: FieldKind, value: Json| {
        let mut one = method("POST", Some("/x"));
        one.inputs
            .insert("v".to_owned(), input(kind, SendAs::Body("v".to_owned())));
        rig()
            .connect
            .build(&connection, None, &one, call(json!({ "v": value })))
            .map(|built| built.body.map_or(Json::Null, |body| body["v"].clone()))
            .map_err(|error| error.code.to_string())
    };
    let wrong = || Err("request.input_type".to_owned());
    for (kind, value, expect) in [
        (FieldKind::Integer, json!("7"), Ok(json!(7))),
        (FieldKind::Integer, json!(7.5), wrong()),
        (FieldKind::Integer, json!("7x"), wrong()),
        (FieldKind::Integer, json!([1]), wrong()),
        (FieldKind::Number, json!("7.5"), Ok(json!(7.5))),
        (FieldKind::Number, json!(true), wrong()),
        (FieldKind::Boolean, json!("true"), Ok(json!(true))),
        (FieldKind::Boolean, json!("yes"), wrong()),
        (FieldKind::Text, json!(7), Ok(json!("7"))),
        (FieldKind::Text, json!(["a"]), wrong()),
        (
            FieldKind::Datetime,
            json!("2026-11-23T12:00:00Z"),
            Ok(json!("2026-11-23T12:00:00Z")),
        ),
        (FieldKind::Datetime, json!("soon"), wrong()),
        (FieldKind::List, json!([1]), Ok(json!([1]))),
        (FieldKind::Object, json!([1]), wrong()),
        (FieldKind::Any, json!([{}]), Ok(json!([{}]))),
        (FieldKind::Text, json!(null), Ok(json!(null))),
    ] {
        assert_eq!(build(kind, value.clone()), expect, "{kind:?} {value}");
    }
    let mut needs = method("POST", Some("/x"));
    needs.inputs.insert(
        "v".to_owned(),
        InputDef {
            required: true,
            ..input(FieldKind::Text, SendAs::Nowhere)
        },
    );
    for (inputs, code) in [
        (json!({}), "request.missing_input"),
        (json!({"v": null}), "request.missing_input"),
        (json!({"v": "x", "w": 1}), "request.unknown_input"),
    ] {
        let error = rig()
            .connect
            .build(&connection, None, &needs, call(inputs))
            .unwrap_err();
        assert_eq!(error.code.as_str(), code);
    }
}

#[test]
fn references_in_urls_are_encoded_for_their_place() {
    let mut def = connector(AuthDef::None, Some("${settings.base}/v1"));
    def.settings
        .insert("base".to_owned(), setting(json!("https://a.test"), false));
    let connection = connection(def);
    let url = |path: &str, id: Json| {
        let mut one = method("GET", Some(path));
        one.inputs
            .insert("id".to_owned(), input(FieldKind::Any, SendAs::Nowhere));
        rig()
            .connect
            .build(&connection, None, &one, call(json!({ "id": id })))
            .map(|built| built.url)
            .map_err(|error| error.code.to_string())
    };
    for (path, id, expect) in [
        (
            "/c/${input.id}",
            json!("a b"),
            Ok("https://a.test/v1/c/a%20b"),
        ),
        (
            "/c/${input.id}/d",
            json!("../admin"),
            Ok("https://a.test/v1/c/..%2Fadmin/d"),
        ),
        (
            "/c/${input.id}",
            json!("x?y=1#z"),
            Ok("https://a.test/v1/c/x%3Fy%3D1%23z"),
        ),
        (
            "/c?q=${input.id}",
            json!("a&b=c+d"),
            Ok("https://a.test/v1/c?q=a%26b%3Dc%2Bd"),
        ),
        ("/c/${input.id}", json!(7), Ok("https://a.test/v1/c/7")),
        ("${input.id}", json!("a/b"), Ok("https://a.test/v1/a%2Fb")),
        (
            "/c/${input.missing ?? \"none\"}",
            json!(1),
            Ok("https://a.test/v1/c/none"),
        ),
        ("/c/${input.id}", json!(".."), Err("request.bad_url")),
        ("/c/${input.id}/d", json!("."), Err("request.bad_url")),
        ("${input.id}", json!(".."), Err("request.bad_url")),
        ("/c/${input.id}", json!(null), Err("reference.null_in_text")),
        (
            "/c/${input.missing}",
            json!(1),
            Err("reference.null_in_text"),
        ),
        ("/c/${var.x}", json!(1), Err("reference.unresolved")),
    ] {
        let expect = expect.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(url(path, id.clone()), expect, "{path} {id}");
    }
}

#[test]
fn urls_and_headers_from_outside_are_checked() {
    let connection = connection(connector(AuthDef::None, None));
    for (url, headers, code) in [
        ("ftp://a.test/", json!({}), "request.bad_url"),
        ("https://u:hush@a.test/", json!({}), "request.bad_url"),
        (
            "https://a.test/",
            json!({"x-a": "1\r\nx-b: 2"}),
            "request.bad_header",
        ),
        (
            "https://a.test/",
            json!({"x-a": "1\nx-b: 2"}),
            "request.bad_header",
        ),
        (
            "https://a.test/",
            json!({"x\r\n": "1"}),
            "request.bad_header",
        ),
        ("https://a.test/", json!({"x-a": {}}), "request.bad_header"),
    ] {
        let headers: JsonMap = headers.as_object().cloned().unwrap();
        let call = MethodCall {
            url: Some(url.to_owned()),
            headers: headers.into_iter().collect(),
            ..MethodCall::default()
        };
        let got = rig()
            .connect
            .build(&connection, None, &method("GET", None), call);
        let error = got.unwrap_err();
        assert_eq!(error.code.as_str(), code, "{url}");
        assert!(!error.message.contains("hush"));
    }
}

#[test]
fn a_secret_cannot_get_into_a_request_as_built() {
    let mut def = connector(AuthDef::None, Some("https://a.test"));
    def.settings
        .insert("key".to_owned(), setting(json!("hush"), true));
    let connection = connection(def);
    assert!(!format!("{connection:?}").contains("hush"));
    for path in [
        "/${settings.key}",
        "/${auth.access_token}",
        "/${auth.refresh_token}",
    ] {
        let got = rig().connect.build(
            &connection,
            Some(&tokens()),
            &method("GET", Some(path)),
            MethodCall::default(),
        );
        assert_eq!(
            got.unwrap_err().code.as_str(),
            "connector.secret_in_request",
            "{path}"
        );
    }
    assert!(!format!("{:?}", tokens()).contains("hush"));
}

#[test]
fn a_body_is_made_of_its_template_and_the_inputs() {
    let connection = connection(connector(AuthDef::None, Some("https://a.test")));
    let mut one = method("POST", Some("/x"));
    one.body = Some(Expr::Object(vec![
        ("fixed".to_owned(), Expr::Literal(json!(true))),
        ("typed".to_owned(), text("${input.n}")),
        ("said".to_owned(), text("n is ${input.n}")),
        ("left_out".to_owned(), Expr::Ignore),
    ]));
    one.inputs
        .insert("n".to_owned(), input(FieldKind::Integer, SendAs::Nowhere));
    one.inputs.insert(
        "name".to_owned(),
        input(FieldKind::Text, SendAs::Body("Name".to_owned())),
    );
    let built = rig()
        .connect
        .build(&connection, None, &one, call(json!({"n": 7, "name": "x"})))
        .unwrap();
    assert_eq!(
        built.body,
        Some(json!({"fixed": true, "typed": 7, "said": "n is 7", "Name": "x"}))
    );
}
