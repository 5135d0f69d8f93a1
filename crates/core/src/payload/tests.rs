use serde_json::json;
use velodrome_types::{Event, Level, Timestamp};

use super::*;

fn policy(payloads: Payloads, redact: &[&str]) -> LogPolicy {
    LogPolicy {
        payloads,
        redact: redact.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn line(kept: Option<Box<JsonMap>>) -> Json {
    let mut line = LogLine::new(
        Timestamp::from_millis(0),
        Level::Info,
        Event::ResponseReceived,
        "x",
    );
    add(&mut line, kept);
    shorten(&mut line);
    line.data.unwrap_or(Json::Null)
}

fn sent(policy: &LogPolicy, url: &str, query: Json, body: Body<'_>) -> Json {
    let query = query.as_object().cloned().unwrap_or_default();
    let headers = [
        ("authorization".to_owned(), "Bearer abc".to_owned()),
        ("x-email".to_owned(), "a@b.example".to_owned()),
        ("accept".to_owned(), "text/html".to_owned()),
    ];
    let asked = Asked {
        method: "POST",
        url,
        query: &query,
        headers: &headers,
        body,
    };
    line(exchange(policy, Some(asked), None))["request"].take()
}

fn answered(policy: &LogPolicy, body: &[u8]) -> Json {
    let answered = Answered {
        status: 200,
        headers: &[],
        body: Body::Bytes(body),
    };
    line(exchange(policy, None, Some(answered)))["response"].take()
}

#[test]
fn nothing_is_kept_with_none() {
    let none = policy(Payloads::None, &[]);
    let body = json!({"a": 1});
    assert_eq!(
        sent(&none, "https://a.example", json!({}), Body::Tree(&body)),
        Json::Null
    );
    assert_eq!(answered(&none, b"{}"), Json::Null);
    let write = Written {
        op: "set",
        scope: "loop",
        connection: "generic_webhook",
        key: Some("page"),
        value: Body::Tree(&body),
    };
    assert_eq!(storage(&none, [write].into_iter()), None);
}

#[test]
fn a_preview_is_the_beginning_of_what_is_there() {
    let preview = policy(Payloads::Preview, &[]);
    let check = |body: &str, expect: Json| assert_eq!(answered(&preview, body.as_bytes()), expect);
    check("", json!({}));
    check("{ \"a\" : [ 1,\n2 ] }", json!({"body": "{\"a\":[1,2]}"}));
    check("plain text", json!({"body": "plain text"}));
    check("{not json}", json!({"body": "{not json}"}));
    let long = format!("{{\"data\":\"{}\"}}", "x".repeat(5_000));
    let kept = answered(&preview, long.as_bytes());
    let body = kept["body"].as_str().unwrap();
    assert!(
        body.starts_with("{\"data\":\"xxx") && body.ends_with("x…"),
        "{body}"
    );
    assert_eq!(body.len() - '…'.len_utf8(), PREVIEW_BODY);
    assert_eq!(kept["cut"], json!(long.len() - PREVIEW_BODY));
    // Of what is no text nothing is kept but how much there was.
    assert_eq!(answered(&preview, b"\x00\x01\xff"), json!({"cut": 3}));
    // A character is not cut in two.
    let wide = format!("[\"{}\"]", "ü".repeat(4_000));
    assert!(
        answered(&preview, wide.as_bytes())["body"]
            .as_str()
            .unwrap()
            .ends_with("ü…")
    );
    let tree = json!({"list": vec![7; 3_000]});
    let kept = sent(&preview, "", json!({}), Body::Tree(&tree));
    let all = tree.to_string().len() as u64;
    let body = kept["body"].as_str().unwrap();
    assert_eq!(kept["cut"].as_u64().unwrap(), all - PREVIEW_BODY as u64);
    assert!(body.starts_with("{\"list\":[7,7,"), "{body}");
}

#[test]
fn a_line_is_bounded_however_much_there_was() {
    let big = json!({"a": "x".repeat(1_000_000)});
    let query = json!({"q": "y".repeat(100_000)});
    for (payloads, most) in [(Payloads::Preview, 1_000), (Payloads::Full, 128 * 1024)] {
        let policy = policy(payloads, &[]);
        let bytes = big.to_string();
        let query = query.as_object().unwrap();
        let headers = vec![("h".to_owned(), "z".repeat(5_000)); 10];
        let asked = Asked {
            method: "POST",
            url: "https://a.example/",
            query,
            headers: &headers,
            body: Body::Tree(&big),
        };
        let came = Answered {
            status: 200,
            headers: &headers,
            body: Body::Bytes(bytes.as_bytes()),
        };
        let kept = line(exchange(&policy, Some(asked), Some(came)));
        assert!(kept.to_string().len() < most, "{}", kept.to_string().len());
        let gone = kept["response"]["cut"].as_u64().unwrap();
        let shown = kept["response"]["body"].as_str().unwrap().len() as u64;
        assert_eq!(gone + shown - '…'.len_utf8() as u64, bytes.len() as u64);
    }
}

#[test]
fn full_keeps_all_but_credentials() {
    let full = policy(Payloads::Full, &[]);
    let tree = json!({"a": [1, {"b": null}]});
    let kept = sent(
        &full,
        "https://user:word@a.example/x?fixed=1",
        json!({"page": 3, "tags": ["a", "b c"], "none": null}),
        Body::Tree(&tree),
    );
    assert_eq!(
        kept,
        json!({
            "method": "POST",
            "url": "https://a.example/x?fixed=1&page=3&tags=a&tags=b%20c",
            "headers": {"authorization": "•••", "x-email": "a@b.example", "accept": "text/html"},
            "body": tree,
        })
    );
    assert_eq!(
        answered(&full, b"{\"a\": 1}"),
        json!({"status": 200, "body": {"a": 1}})
    );
    assert_eq!(
        answered(&full, b"text"),
        json!({"status": 200, "body": "text"})
    );
    // Too deep for the log's rows: as text.
    let deep = format!("{}1{}", "[".repeat(110), "]".repeat(110));
    assert_eq!(answered(&full, deep.as_bytes())["body"], json!(deep));
}

#[test]
fn what_is_redacted_is_shown_nowhere() {
    let secret = "rosa@velo.example";
    let bodies = [
        json!({"email": secret, "n": 1}).to_string(),
        json!({"a": [{"b": {"Email": secret}}], "n": 1}).to_string(),
        json!({"email": {"deep": [secret, {"x": secret}]}, "n": 1}).to_string(),
        format!("{{ \"email\" :\n \"{secret}\" , \"n\" : 1 }}"),
        format!("{{\"\\u0065mail\": \"{secret}\", \"n\": 1}}"),
        format!("email={secret}&n=1"),
        format!("n=1&contact%5Bemail%5D={secret}"),
        // It cannot be told what belongs to the name.
        format!("<email>{secret}</email>"),
        format!("email,n\n{secret},1"),
        format!("{{email: '{secret}'}}"),
    ];
    for payloads in [Payloads::Preview, Payloads::Full] {
        let policy = policy(payloads, &["email", "x-email"]);
        for body in &bodies {
            let shown = answered(&policy, body.as_bytes()).to_string();
            assert!(!shown.contains(secret), "{payloads:?} {body}: {shown}");
            assert!(shown.contains(REDACTED), "{payloads:?} {body}: {shown}");
            let text = Json::from(body.clone());
            let tree = serde_json::from_str(body).unwrap_or(text);
            let query = json!({"email": secret, "n": 1});
            let url = format!("https://a.example/?email={secret}&m=2");
            let shown = sent(&policy, &url, query, Body::Tree(&tree)).to_string();
            assert!(!shown.contains(secret), "{payloads:?} {body}: {shown}");
            assert!(!shown.contains("a@b.example"), "{shown}");
            assert!(shown.contains("n=1") && shown.contains("m=2"), "{shown}");
        }
    }
}

#[test]
fn hostile_bytes_are_no_trouble() {
    let policy = policy(Payloads::Preview, &["a"]);
    let bodies: [&[u8]; 9] = [
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":{",
        b"{\"\\",
        b"[\"\\\"",
        b"}}}]]]",
        b"{\"a\":1]}}]",
        b"{\"\xff\":\"\xff\"}",
        b"{\"a\\ud800\":1}",
    ];
    for body in bodies {
        drop(answered(&policy, body));
    }
    let deep = "[".repeat(100_000);
    assert_eq!(
        answered(&policy, deep.as_bytes())["cut"],
        json!(100_000 - PREVIEW_BODY)
    );
}

#[test]
fn writes_are_told_as_far_as_there_is_room() {
    let values: Vec<Json> = (0..300)
        .map(|n| json!({"n": n, "email": "x@y.example"}))
        .collect();
    let keys: Vec<String> = (0..300).map(|n| format!("key {n}")).collect();
    let writes = || {
        keys.iter().zip(&values).map(|(key, value)| Written {
            op: "set",
            scope: "loop",
            connection: "generic_webhook",
            key: Some(key),
            value: Body::Tree(value),
        })
    };
    let preview = policy(Payloads::Preview, &["email", "key 1"]);
    let told = line(storage(&preview, writes()));
    assert_eq!(told["kept"], json!("preview"));
    assert_eq!(told["storage"].as_array().unwrap().len(), PREVIEW_WRITES);
    assert_eq!(told["storage_more"], json!(300 - PREVIEW_WRITES));
    assert_eq!(
        told["storage"][0],
        json!({
            "op": "set", "scope": "loop", "connection": "generic_webhook", "key": "key 0",
            "value": "{\"n\":0,\"email\":\"[redacted]\"}",
        })
    );
    assert_eq!(told["storage"][1]["value"], json!(REDACTED));
    let full = policy(Payloads::Full, &["email"]);
    let told = line(storage(&full, writes()));
    assert_eq!(
        told["storage"][2]["value"],
        json!({"n": 2, "email": REDACTED})
    );
    assert_eq!(told["storage_more"], json!(300 - FULL_WRITES));
    assert_eq!(storage(&full, writes().take(0)), None);
}
