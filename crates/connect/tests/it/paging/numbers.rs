//! Page numbers and offsets.

use super::*;

#[tokio::test]
async fn pages_are_counted_from_one_or_zero_and_every_record_comes_once() {
    for start in [0, 1] {
        let server = Server::start(move |seen| {
            let page = number(seen, "page").unwrap();
            reply_json(200, json!({"data": page_of(page, start, 2, 7)}))
        })
        .await;
        let paging = format!(
            "paging: {{style: page, start: {start}, send: {{query: page}}, size: {{query: limit, value: 2}}, empty_page: stop}}"
        );
        let walked = walk(&api(&server, &paging)).await.unwrap();
        assert_eq!(walked.ids, ids(0..7));
        assert_eq!(walked.pages, 5, "the fifth is empty");
        assert_eq!(sent(&server, "limit"), texts(&["2"; 5]));
    }
}

#[tokio::test]
async fn a_short_page_ends_where_the_definition_says_so() {
    let server = Server::start(|seen| {
        let page = number(seen, "page").unwrap();
        reply_json(200, json!({"data": page_of(page, 1, 2, 5)}))
    })
    .await;
    let paging = "paging: {style: page, send: {query: page}, size: \"2\", short_page: stop}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!((walked.ids, walked.pages), (ids(0..5), 3));
    assert_eq!(
        sent(&server, "limit"),
        texts(&["", "", ""]),
        "size is not sent"
    );
}

#[tokio::test]
async fn an_empty_page_ends_without_a_size() {
    let server = Server::start(|seen| {
        let page = number(seen, "page").unwrap();
        reply_json(200, json!({"data": page_of(page, 1, 3, 6)}))
    })
    .await;
    let paging = "paging: {style: page, send: {query: page}, empty_page: stop}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!((walked.ids, walked.pages), (ids(0..6), 3));
}

#[tokio::test]
async fn the_first_number_may_be_left_out() {
    let server = Server::start(|seen| {
        let page = number(seen, "page").unwrap_or(1);
        reply_json(200, json!({"data": page_of(page, 1, 2, 6)}))
    })
    .await;
    let paging = "paging: {style: page, send: {query: page}, first: omit, maximum: 3}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!(walked.ids, ids(0..6));
    assert_eq!(sent(&server, "page"), texts(&["", "2", "3"]));
}

#[tokio::test]
async fn the_number_of_pages_ends_it_also_as_text() {
    for (pages, expect) in [
        (json!(3), Ok(3)),
        (json!("3"), Ok(3)),
        (json!(3.0), Ok(3)),
        (json!(0), Ok(1)),
        (json!("invalid"), Err("paging.bad_answer")),
        (json!(null), Err("paging.bad_answer")),
        (json!(-1), Err("paging.bad_answer")),
    ] {
        let told = pages.clone();
        let server = Server::start(move |seen| {
            let page = number(seen, "page").unwrap();
            reply_json(
                200,
                json!({"data": page_of(page, 1, 2, 100), "pages": told}),
            )
        })
        .await;
        let paging = "paging: {style: page, send: {query: page}, total_pages: pages}";
        let got = walk(&api(&server, paging)).await;
        let got = got
            .map(|walked| walked.pages)
            .map_err(|error| error.code.to_string());
        assert_eq!(got, expect.map_err(str::to_owned), "{pages}");
    }
    let server = Server::start(|_| reply_json(200, json!({"data": [{"id": 1}]}))).await;
    let paging = "paging: {style: page, send: {query: page}, total_pages: pages}";
    let expect = ("paging.bad_answer".to_owned(), ErrorKind::Permanent);
    assert_eq!(refused(&api(&server, paging)).await, expect, "missing");
}

#[tokio::test]
async fn more_wins_over_full_pages_and_is_never_guessed() {
    for (more, expect) in [
        (json!(false), Ok(1)),
        (json!("false"), Ok(1)),
        (json!("FALSE"), Ok(1)),
        (json!("true"), Ok(3)),
        (json!(true), Ok(3)),
        (json!(null), Err("paging.bad_answer")),
        (json!("yes"), Err("paging.bad_answer")),
        (json!(1), Err("paging.bad_answer")),
    ] {
        let told = more.clone();
        let server = Server::start(move |seen| {
            let page = number(seen, "page").unwrap();
            let more = if page == 3 {
                json!(false)
            } else {
                told.clone()
            };
            let body = json!({"data": page_of(page, 1, 2, 100), "info": {"more": more}});
            reply_json(200, body)
        })
        .await;
        let paging = "paging: {style: page, send: {query: page}, more: info.more}";
        let got = walk(&api(&server, paging)).await;
        let got = got
            .map(|walked| walked.pages)
            .map_err(|error| error.code.to_string());
        assert_eq!(got, expect.map_err(str::to_owned), "{more}");
    }
    let server = Server::start(|_| reply_json(200, json!({"data": [{"id": 1}]}))).await;
    let paging = "paging: {style: page, send: {query: page}, more: info.more}";
    let expect = ("paging.bad_answer".to_owned(), ErrorKind::Permanent);
    assert_eq!(refused(&api(&server, paging)).await, expect, "missing");
}

#[tokio::test]
async fn the_greatest_number_ends_it() {
    let server = Server::start(|seen| {
        let page = number(seen, "page").unwrap();
        reply_json(200, json!({"data": page_of(page, 1, 2, 1000)}))
    })
    .await;
    let paging = "paging: {style: page, send: {query: page}, maximum: 4}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!((walked.pages, walked.ids), (4, ids(0..8)));
}

#[tokio::test]
async fn the_page_may_stand_inside_a_json_body_beside_others() {
    let server = Server::start(|seen| {
        let body: Json = serde_json::from_str(&seen.body).unwrap();
        let page = body["options"]["paging"]["page"].as_u64().unwrap();
        reply_json(
            200,
            json!({"data": page_of(page, 1, 2, 4), "more": page < 2}),
        )
    })
    .await;
    let method = "
verb: POST
body: {options: {kind: all, paging: {sort: id}}, q: x}
paging: {style: page, send: {field: options.paging.page}, size: {field: options.paging.size, value: 2}, more: more}";
    let walked = walk(&api(&server, method)).await.unwrap();
    assert_eq!(walked.ids, ids(0..4));
    let body: Json = serde_json::from_str(&server.seen()[1].body).unwrap();
    let expect = json!({
        "options": {"kind": "all", "paging": {"sort": "id", "size": 2, "page": 2}}, "q": "x"
    });
    assert_eq!(body, expect);
}

#[tokio::test]
async fn offsets_grow_by_the_records_that_came() {
    let server = Server::start(|seen| {
        let offset = number(seen, "offset").unwrap();
        let body = json!({"data": records(offset..(offset + 42).min(323)), "total": 200});
        reply_json(200, body)
    })
    .await;
    let paging = "paging: {style: offset, start: 123, send: {query: offset}, size: {query: limit, value: 42}, total: total}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!(walked.ids, ids(123..323));
    let expect = texts(&["123", "165", "207", "249", "291"]);
    assert_eq!(sent(&server, "offset"), expect);
}

#[tokio::test]
async fn the_next_offset_is_behind_the_records_and_the_total_counts_records() {
    // From 123, 42 a page: the next is 165, and the 200th record is the last.
    let server = Server::start(|seen| {
        let offset = number(seen, "offset").unwrap();
        let body = json!({"data": records(offset..offset + 42), "total": "200"});
        reply_json(200, body)
    })
    .await;
    let paging = "paging: {style: offset, start: 123, send: {query: offset}, size: {query: limit, value: 42}, total: total}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!(sent(&server, "offset")[1].as_deref(), Some("165"));
    assert_eq!(walked.pages, 5, "5 times 42 are the first to reach 200");
}

#[tokio::test]
async fn an_api_that_gives_less_than_was_asked_loses_nothing() {
    // 50 were asked, 20 come: by the size asked, 30 of each page would be passed over.
    for (step, lost) in [("records", 0), ("size", 60)] {
        let server = Server::start(|seen| {
            let offset = number(seen, "offset").unwrap();
            reply_json(
                200,
                json!({"data": records(offset.min(100)..(offset + 20).min(100))}),
            )
        })
        .await;
        let paging = format!(
            "paging: {{style: offset, send: {{query: offset}}, step: {step}, size: {{query: limit, value: 50}}, empty_page: stop}}"
        );
        let walked = walk(&api(&server, &paging)).await.unwrap();
        assert_eq!(100 - walked.ids.len(), lost, "{step}");
    }
}

#[tokio::test]
async fn offsets_end_at_an_empty_page_or_at_their_maximum() {
    let serve = || {
        Server::start(|seen| {
            let offset = number(seen, "offset").unwrap_or(0);
            reply_json(
                200,
                json!({"data": records(offset.min(4)..(offset + 2).min(4))}),
            )
        })
    };
    let server = serve().await;
    let paging = "paging: {style: offset, send: {query: offset}, empty_page: stop}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!((walked.ids, walked.pages), (ids(0..4), 3));
    assert_eq!(sent(&server, "offset"), texts(&["0", "2", "4"]));

    let server = serve().await;
    let paging = "paging: {style: offset, send: {query: offset}, first: omit, maximum: 2}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!((walked.ids, walked.pages), (ids(0..4), 2));
    assert_eq!(sent(&server, "offset"), texts(&["", "2"]));
}
