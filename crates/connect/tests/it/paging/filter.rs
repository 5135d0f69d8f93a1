//! The filter date and a step's inputs, on every page.

use super::*;

#[tokio::test]
async fn the_filter_goes_with_every_page_wherever_it_is_sent() {
    let filter = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
    for (place, method) in [
        (
            "query",
            "incremental: {by: at, query: since, format: iso8601_utc_seconds}",
        ),
        (
            "header",
            "incremental: {by: at, header: If-Modified-Since, format: http_date}",
        ),
        (
            "value",
            "query: {q: \"updated>=${since ?? \\\"1970\\\"}\"}\nincremental: {by: at, format: unix_millis}",
        ),
        (
            "field",
            "verb: POST\nbody: {filter: {kind: x}}\nincremental: {by: at, field: filter.since, format: date}",
        ),
    ] {
        let server = Server::start(|seen| {
            let page = number(seen, "page").unwrap();
            reply_json(200, json!({"data": page_of(page, 1, 2, 4)}))
        })
        .await;
        let method =
            format!("{method}\npaging: {{style: page, send: {{query: page}}, maximum: 2}}");
        let call = MethodCall {
            filter: Some(filter),
            ..MethodCall::default()
        };
        let connection = api(&server, &method);
        walk_with(&connection, call).await.unwrap();
        let told: Vec<String> = server
            .seen()
            .iter()
            .map(|seen| match place {
                "query" => query(seen)["since"].clone(),
                "value" => query(seen)["q"].clone(),
                "header" => seen
                    .header("if-modified-since")
                    .unwrap_or_default()
                    .to_owned(),
                _ => seen.body.clone(),
            })
            .collect();
        let expect = match place {
            "query" => "2026-11-23T12:00:00Z",
            "value" => "updated>=1795435200000",
            "header" => "Mon, 23 Nov 2026 12:00:00 GMT",
            _ => r#"{"filter":{"kind":"x","since":"2026-11-23"}}"#,
        };
        assert_eq!(told, [expect, expect], "{place}");
        // Without a date nothing is sent, or what the text says instead.
        walk(&connection).await.unwrap();
        let first = &server.seen()[2];
        assert_eq!(query(first).get("since"), None);
        assert_eq!(first.header("if-modified-since"), None);
        if place == "value" {
            assert_eq!(query(first)["q"], "updated>=1970");
        }
    }
}

#[tokio::test]
async fn inputs_are_sent_with_every_page_but_links() {
    let server = Server::start(|seen| {
        let page = number(seen, "page").unwrap();
        reply_json(200, json!({"data": page_of(page, 1, 2, 4)}))
    })
    .await;
    let method = "
inputs: {state: {type: text, query: state}}
paging: {style: page, send: {query: page}, maximum: 2}";
    let call = MethodCall {
        inputs: JsonMap::from_iter([("state".to_owned(), json!("open"))]),
        ..MethodCall::default()
    };
    walk_with(&api(&server, method), call).await.unwrap();
    assert_eq!(sent(&server, "state"), texts(&["open", "open"]));
}
