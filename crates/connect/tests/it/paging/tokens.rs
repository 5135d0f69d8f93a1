//! Tokens, the last record, keysets.

use super::*;

/// A list of three pages whose tokens are `t1`, `t2`, given by `told`.
async fn tokens(told: fn(Option<&str>, Json) -> Reply) -> Server {
    Server::start(move |seen| {
        let body: Json = serde_json::from_str(&seen.body).unwrap_or(Json::Null);
        let form = query(&Seen {
            query: seen.body.clone(),
            ..seen.clone()
        });
        let token = query(seen)
            .get("after")
            .cloned()
            .or_else(|| seen.header("x-after").map(str::to_owned))
            .or_else(|| body["page"]["after"].as_str().map(str::to_owned))
            .or_else(|| form.get("after").cloned());
        let page = match token.as_deref() {
            None => 0,
            Some("t1") => 1,
            Some("t2") => 2,
            other => panic!("{other:?}"),
        };
        let next = ["t1", "t2"].get(page).copied();
        let first = page as u64 * 2;
        told(next, records(first..first + 2))
    })
    .await
}

#[tokio::test]
async fn a_token_comes_in_the_body_or_a_header_and_goes_anywhere() {
    fn in_body(next: Option<&str>, data: Json) -> Reply {
        reply_json(
            200,
            json!({"data": data, "paging": {"next": {"after": next}}}),
        )
    }
    fn in_header(next: Option<&str>, data: Json) -> Reply {
        let reply = reply_json(200, json!({ "data": data }));
        match next {
            Some(next) => reply.header("X-Next-Token", next),
            None => reply,
        }
    }
    for send in ["query: after", "header: X-After"] {
        let server = tokens(in_body).await;
        let paging =
            format!("paging: {{style: cursor, next: paging.next.after, send: {{{send}}}}}");
        let walked = walk(&api(&server, &paging)).await.unwrap();
        assert_eq!((walked.ids, walked.pages), (ids(0..6), 3), "{send}");

        let server = tokens(in_header).await;
        let paging =
            format!("paging: {{style: cursor, next: {{header: x-next-token}}, send: {{{send}}}}}");
        let walked = walk(&api(&server, &paging)).await.unwrap();
        assert_eq!(walked.ids, ids(0..6), "{send}");
    }
    let nested = "
verb: POST
body: {page: {size: 2}}
paging: {style: cursor, next: paging.next.after, send: {field: page.after}}";
    let form = "
verb: POST
headers: {Content-Type: application/x-www-form-urlencoded}
body: {q: \"a&b\"}
paging: {style: cursor, next: paging.next.after, send: {field: after}}";
    for method in [nested, form] {
        let server = tokens(in_body).await;
        let walked = walk(&api(&server, method)).await.unwrap();
        assert_eq!(walked.ids, ids(0..6));
    }
}

#[tokio::test]
async fn no_token_is_the_end_unless_there_is_more() {
    for (token, ends) in [
        (json!(null), true),
        (json!(""), true),
        (json!("  "), true),
        (json!(17), false),
    ] {
        let told = token.clone();
        let server = Server::start(move |seen| {
            let last = query(seen).contains_key("after");
            let next = if last { json!(null) } else { told.clone() };
            reply_json(200, json!({"data": [{"id": 1}], "next": next}))
        })
        .await;
        let paging = "paging: {style: cursor, next: next, send: {query: after}}";
        let walked = walk(&api(&server, paging)).await.unwrap();
        assert_eq!(walked.pages == 1, ends, "{token}");
    }
    for (more, expect) in [(false, Ok(1)), (true, Err("paging.no_next"))] {
        let server = Server::start(move |_| {
            reply_json(
                200,
                json!({"data": [{"id": 1}], "more": more, "next": null}),
            )
        })
        .await;
        let paging = "paging: {style: cursor, next: next, send: {query: after}, more: more}";
        let got = walk(&api(&server, paging)).await;
        if let Err(error) = &got {
            assert_eq!(
                error.kind,
                ErrorKind::Transient,
                "asked again, it may be there"
            );
        }
        let got = got
            .map(|walked| walked.pages)
            .map_err(|error| error.code.to_string());
        assert_eq!(got, expect.map_err(str::to_owned));
    }
    // More is true and a token is there: it goes on. That `more` is missing is no end.
    let server = Server::start(|seen| {
        let at = number(seen, "after").unwrap_or(0);
        let next = (at + 1).to_string();
        reply_json(
            200,
            json!({"data": [{"id": at}], "more": at < 2, "next": next}),
        )
    })
    .await;
    let paging = "paging: {style: cursor, next: next, send: {query: after}, more: more}";
    assert_eq!(walk(&api(&server, paging)).await.unwrap().ids, ids(0..3));
    let silent =
        Server::start(|_| reply_json(200, json!({"data": [{"id": 1}], "next": "t"}))).await;
    let expect = ("paging.bad_answer".to_owned(), ErrorKind::Permanent);
    assert_eq!(refused(&api(&silent, paging)).await, expect);
    // A body that says nothing of a token has none.
    let plain = Server::start(|_| reply_json(200, json!({"data": [{"id": 1}]}))).await;
    let paging = "paging: {style: cursor, next: paging.next.after, send: {query: after}}";
    assert_eq!(walk(&api(&plain, paging)).await.unwrap().pages, 1);
    // More is false although a token is there.
    let server = Server::start(|_| {
        reply_json(
            200,
            json!({"data": [{"id": 1}], "more": false, "next": "t"}),
        )
    })
    .await;
    let paging = "paging: {style: cursor, next: next, send: {query: after}, more: more}";
    assert_eq!(walk(&api(&server, paging)).await.unwrap().pages, 1);
}

#[tokio::test]
async fn a_token_or_link_that_leads_back_is_an_error() {
    for lead in [0, 1, 4] {
        let server = Server::start(move |seen| {
            let at = number(seen, "after").unwrap_or(0);
            // 0, 1, … lead, then lead and the two behind it again and again.
            let next = if at + 1 > lead + 2 {
                lead.max(1)
            } else {
                at + 1
            };
            let body = json!({
                "data": [{"id": at}], "next": next.to_string(),
                "url": format!("/list?after={next}"),
            });
            reply_json(200, body)
        })
        .await;
        for paging in [
            "paging: {style: cursor, next: next, send: {query: after}}",
            "paging: {style: next_url, next: url}",
        ] {
            let expect = ("paging.repeated".to_owned(), ErrorKind::Permanent);
            assert_eq!(refused(&api(&server, paging)).await, expect, "{lead}");
        }
    }
    let server =
        Server::start(|_| reply_json(200, json!({"data": [{"id": 1}], "next": "t"}))).await;
    let paging = "paging: {style: cursor, next: next, send: {query: after}}";
    assert_eq!(refused(&api(&server, paging)).await.0, "paging.repeated");
    assert_eq!(server.count("/list"), 2, "seen at once");
}

#[tokio::test]
async fn the_last_records_field_asks_for_what_is_behind_it() {
    // Stripe's: newest first, `has_more` tells the end.
    let server = Server::start(|seen| {
        let after = number(seen, "starting_after").map_or(0, |id| id + 1);
        let data = records(after..(after + 3).min(8));
        reply_json(200, json!({"data": data, "has_more": after + 3 < 8}))
    })
    .await;
    let paging = "paging: {style: last_record, next: id, send: {query: starting_after}, size: {query: limit, value: 3}, more: has_more}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!((walked.ids, walked.pages), (ids(0..8), 3));
    assert_eq!(sent(&server, "starting_after"), texts(&["", "2", "5"]));

    let nothing = Server::start(|_| reply_json(200, json!({"data": [], "has_more": false}))).await;
    assert_eq!(walk(&api(&nothing, paging)).await.unwrap().pages, 1);
    let lost =
        Server::start(|_| reply_json(200, json!({"data": [{"x": 1}], "has_more": true}))).await;
    assert_eq!(refused(&api(&lost, paging)).await.0, "paging.no_next");
}

#[tokio::test]
async fn a_keyset_goes_on_behind_the_last_records_fields() {
    let server = Server::start(|seen| {
        let body: Json = serde_json::from_str(&seen.body).unwrap();
        let select = body["select_query"].as_str().unwrap();
        let after = select.split("id > ").nth(1).unwrap();
        let after: u64 = after.split(' ').next().unwrap().parse().unwrap();
        let data: Json = (after + 1..(after + 3).min(6))
            .map(|id| json!({"id": id, "at": "T"}))
            .collect();
        reply_json(200, json!({ "data": data }))
    })
    .await;
    let method = "
verb: POST
query: {cursor: \"${last.at}\"}
body: {select_query: \"select id from Contacts where id > ${last.id ?? 0} order by id limit 2\"}
paging: {style: keyset, last: [id, at]}";
    let walked = walk(&api(&server, method)).await.unwrap();
    assert_eq!(
        (walked.ids, walked.pages),
        (ids(1..6), 4),
        "an empty page is the end"
    );
    assert_eq!(sent(&server, "cursor"), texts(&["", "T", "T", "T"]));
}
