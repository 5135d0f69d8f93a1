//! What leaves: headers, keys, bodies, places among the connection's requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinSet;
use velodrome_connect::HttpRequest;
use velodrome_spec::connector::AuthDef;

use crate::support::*;

#[tokio::test]
async fn a_stored_request_leaves_as_it_was_built() {
    let server = Server::start(|_| reply(200, "{}")).await;
    let rig = rig();
    let connection = connection(connector(AuthDef::None, None));
    let mut built = request("POST", &server.url("/a?x=1"));
    built.query.insert("y".to_owned(), json!(["1", 2]));
    built.headers.insert("X-Trace".to_owned(), json!("t1"));
    built.body = Some(json!({"b": 1, "a": "é"}));
    let stored: HttpRequest =
        serde_json::from_str(&serde_json::to_string(&built).unwrap()).unwrap();
    assert_eq!(stored, built);
    let mut options = how();
    options.idempotency_key = Some("key-1".to_owned());
    for verb in ["POST", "GET", "DELETE"] {
        let mut request = stored.clone();
        verb.clone_into(&mut request.verb);
        let sent = rig.ask(&connection, &request, options.clone()).await;
        sent.unwrap();
    }
    let seen = server.seen();
    assert_eq!(seen[0].query, "x=1&y=1&y=2");
    assert_eq!(seen[0].body, r#"{"b":1,"a":"é"}"#);
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[0].header("x-trace"), Some("t1"));
    assert!(
        seen[0]
            .header("user-agent")
            .unwrap()
            .starts_with("Velodrome/")
    );
    let keys: Vec<_> = seen
        .iter()
        .map(|one| one.header("idempotency-key"))
        .collect();
    assert_eq!(keys, [Some("key-1"), None, Some("key-1")]);
}

#[tokio::test]
async fn a_header_that_a_script_broke_never_leaves() {
    let server = Server::start(|_| reply(200, "{}")).await;
    let rig = rig();
    let connection = connection(connector(AuthDef::None, None));
    for (name, value) in [
        ("x-a", json!("1\r\nx-b: 2")),
        ("x-a\r\nx-b", json!("2")),
        ("content-length", json!(0)),
        ("transfer-encoding", json!("chunked")),
    ] {
        let mut request = request("POST", &server.url("/"));
        request.headers.insert(name.to_owned(), value);
        let sent = rig.ask(&connection, &request, how()).await;
        assert_eq!(
            sent.unwrap_err().code.as_str(),
            "request.bad_header",
            "{name}"
        );
    }
    let mut options = how();
    options.idempotency_key = Some("a\r\nb: c".to_owned());
    let request = request("POST", &server.url("/"));
    let sent = rig.ask(&connection, &request, options).await;
    assert_eq!(sent.unwrap_err().code.as_str(), "request.bad_header");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn bodies_follow_their_content_type() {
    let server = Server::start(|_| reply(200, "{}")).await;
    let rig = rig();
    let connection = connection(connector(AuthDef::None, None));
    for (kind, body, expect) in [
        (None, json!("text"), Ok("\"text\"")),
        (
            Some("application/vnd.api+json"),
            json!({"a": 1}),
            Ok("{\"a\":1}"),
        ),
        (
            Some("application/json; charset=utf-8"),
            json!([1]),
            Ok("[1]"),
        ),
        (
            Some("application/x-www-form-urlencoded"),
            json!({"a": "x y&z", "b": 1, "c": null}),
            Ok("a=x+y%26z&b=1"),
        ),
        (
            Some("application/x-www-form-urlencoded"),
            json!({"a": {"b": "x", "c": {"d": true}}, "e": [{"f": 1}, {"f": 2}], "g": {}, "h": {"i": null}}),
            Ok("a%5Bb%5D=x&a%5Bc%5D%5Bd%5D=true&e%5B0%5D%5Bf%5D=1&e%5B1%5D%5Bf%5D=2"),
        ),
        (Some("text/xml"), json!("<a/>"), Ok("<a/>")),
        (Some("text/xml"), json!({"a": 1}), Err("request.bad_body")),
    ] {
        let mut request = request("POST", &server.url("/"));
        request.body = Some(body);
        if let Some(kind) = kind {
            request
                .headers
                .insert("Content-Type".to_owned(), json!(kind));
        }
        let sent = rig.ask(&connection, &request, how()).await;
        let got = sent.map(|_| server.seen().pop().unwrap().body);
        let got = got.map_err(|error| error.code.to_string());
        assert_eq!(
            got,
            expect.map(str::to_owned).map_err(str::to_owned),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_has_no_more_requests_under_way_than_it_may() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (inside, peak) = (Arc::clone(&now), Arc::clone(&most));
    let app = axum::Router::new().fallback(move || {
        let (inside, peak) = (Arc::clone(&inside), Arc::clone(&peak));
        async move {
            let here = inside.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(here, Ordering::SeqCst);
            // Lets the others in, if anything would.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let rig = Arc::new(rig());
    let mut def = connector(AuthDef::None, None);
    def.limits.concurrent = Some(3);
    let connection = Arc::new(connection(def));
    let mut callers = JoinSet::new();
    for _ in 0..30 {
        let (rig, connection) = (Arc::clone(&rig), Arc::clone(&connection));
        callers.spawn(async move {
            let request = request("GET", &format!("http://{at}/"));
            let method = method("GET", None);
            rig.connect
                .send(&connection, &method, &request, how())
                .await
                .map(|_| ())
        });
    }
    for done in callers.join_all().await {
        done.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
}
