//! Lists that the engine pages, against servers that page in every way there is.
//!
//! Each behaviour stands for one that another tool's tests have: dlt's `rest_client`, airbyte's declarative
//! paginators, Meltano's SDK, Nango's paginators.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use velodrome_connect::{
    Connection, ErrorKind, MethodCall, PageCursor, PageSeen, RequestError, Verdict, Want,
    next_page, scan,
};
use velodrome_spec::check_connector;
use velodrome_types::{ConnectionId, Json, JsonMap, Timestamp};

use crate::support::*;

/// A connection to this server whose one method pages as `method` says.
fn api(server: &Server, method: &str) -> Connection {
    let method = method.trim().replace('\n', "\n    ");
    let text = format!(
        "connector: api\nbase_url: {}\nmethods:\n  list:\n    kind: list\n    verb: GET\n    path: /list\n    response: {{records: data}}\n    {method}\n",
        server.url("")
    );
    let text = match method.contains("response:") {
        true => text.replace("    response: {records: data}\n", ""),
        false => text,
    };
    let text = match method.contains("verb:") {
        true => text.replace("    verb: GET\n", ""),
        false => text,
    };
    let (def, faults) = check_connector("api", &text);
    let def = def.unwrap_or_else(|| panic!("{faults:#?}\n{text}"));
    Connection::with_defaults(ConnectionId::from("api"), Arc::new(def))
}

/// Pages that may be asked before a test gives up.
const PATIENCE: usize = 200;

#[derive(Debug)]
struct Walked {
    ids: Vec<Json>,
    pages: usize,
}

async fn walk_with(connection: &Connection, call: MethodCall) -> Result<Walked, RequestError> {
    let rig = rig();
    let method = &connection.def.methods["list"];
    let pager = method.paging.pager().expect("it pages");
    let mut cursor = PageCursor::default();
    let mut walked = Walked {
        ids: Vec::new(),
        pages: 0,
    };
    loop {
        assert!(walked.pages < PATIENCE, "it never ends");
        let call = MethodCall {
            page: Some(cursor.at.clone()),
            ..call.clone()
        };
        let request = rig.connect.build(connection, None, method, call)?;
        let response = rig
            .connect
            .send(connection, method, &request, how())
            .await?;
        let want = Want {
            records: true,
            ..Want::default()
        };
        let scanned = scan(method, &response.body, &want.of_page(pager))?;
        walked.pages += 1;
        for record in scanned.records.iter().flatten() {
            walked
                .ids
                .push(record.get("id").cloned().unwrap_or(Json::Null));
        }
        let seen = PageSeen {
            scanned: &scanned,
            headers: &response.headers,
            url: &request.url,
            nothing: response.verdict == Verdict::Empty,
        };
        // What is stored between two pages is all that a walk needs.
        let stored = serde_json::to_value(&cursor).unwrap();
        cursor = serde_json::from_value(stored).unwrap();
        let next = next_page(&connection.def, &connection.settings, pager, &cursor, seen)?;
        match next {
            Some(next) => cursor = next,
            None => return Ok(walked),
        }
    }
}

async fn walk(connection: &Connection) -> Result<Walked, RequestError> {
    walk_with(connection, MethodCall::default()).await
}

fn query(seen: &Seen) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&seen.query).unwrap();
    pairs.into_iter().collect()
}

fn number(seen: &Seen, name: &str) -> Option<u64> {
    query(seen).get(name).and_then(|text| text.parse().ok())
}

/// Records of this range, as a body's `data`.
fn records(range: std::ops::Range<u64>) -> Json {
    range.map(|id| json!({ "id": id })).collect()
}

/// The page `number`, from `start`, of `total` records in pages of `size`.
fn page_of(number: u64, start: u64, size: u64, total: u64) -> Json {
    let first = (number - start) * size;
    records(first.min(total)..(first + size).min(total))
}

fn ids(range: std::ops::Range<u64>) -> Vec<Json> {
    range.map(Json::from).collect()
}

/// What each request sent under this name.
fn sent(server: &Server, name: &str) -> Vec<Option<String>> {
    let seen = server.seen();
    seen.iter()
        .map(|seen| query(seen).get(name).cloned())
        .collect()
}

fn texts(of: &[&str]) -> Vec<Option<String>> {
    of.iter()
        .map(|text| (!text.is_empty()).then(|| (*text).to_owned()))
        .collect()
}

async fn refused(connection: &Connection) -> (String, ErrorKind) {
    let error = walk(connection).await.expect_err("it is refused");
    (error.code.to_string(), error.kind)
}

// Page numbers.

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

// Offsets.

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

// Cursors.

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

// The last record.

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

// Links.

/// Two pages; the first names the second as `link` says.
async fn linked(link: &str, in_header: bool) -> Server {
    let link = link.to_owned();
    Server::start(move |seen| {
        if seen.query.contains("second") {
            return reply_json(200, json!({"data": records(2..4)}));
        }
        let host = seen.header("host").unwrap();
        let link = link.replace("HOST", host);
        if in_header {
            let reply = reply_json(200, json!({"data": records(0..2), "next": "/list?wrong=1"}));
            reply.header("Link", link)
        } else {
            let body = json!({"data": records(0..2), "@odata.nextLink": link});
            reply_json(200, body)
        }
    })
    .await
}

#[tokio::test]
async fn a_link_is_whole_or_relative_and_replaces_the_query() {
    for (link, path, query) in [
        ("http://HOST/list?second=1", "/list", "second=1"),
        ("//HOST/list?second=1", "/list", "second=1"),
        ("/list?second=1", "/list", "second=1"),
        ("?second=1", "/list", "second=1"),
        ("more?second=1", "/more", "second=1"),
        (
            "./more?second=1&x=%2F%20%C3%A9",
            "/more",
            "second=1&x=%2F%20%C3%A9",
        ),
        ("/list?second=a+b&second=c", "/list", "second=a+b&second=c"),
        ("/list?second", "/list", "second"),
        ("  /list?second=1  ", "/list", "second=1"),
        ("/list?second=1#part", "/list", "second=1"),
    ] {
        for in_header in [false, true] {
            let written = match in_header {
                true => format!("</first>; rel=\"first\", <{link}>; rel=\"next\""),
                false => link.to_owned(),
            };
            let server = linked(&written, in_header).await;
            let style = match in_header {
                true => "style: link_header",
                false => "style: next_url, next: '[\"@odata.nextLink\"]'",
            };
            let method = format!(
                "query: {{limit: 2, state: all}}\nheaders: {{X-Kept: here}}\npaging: {{{style}}}"
            );
            let walked = walk(&api(&server, &method)).await.unwrap();
            assert_eq!((walked.ids, walked.pages), (ids(0..4), 2), "{link}");
            let seen = server.seen();
            assert_eq!(seen[0].query, "limit=2&state=all");
            assert_eq!(
                (seen[1].path.as_str(), seen[1].query.as_str()),
                (path, query),
                "{link}"
            );
            assert_eq!(seen[1].header("x-kept"), Some("here"), "{link}");
        }
    }
}

#[tokio::test]
async fn the_header_is_preferred_and_the_body_asked_where_it_has_none() {
    for (header, pages, second) in [
        ("</list?second=1>; rel=next", 2, "second=1"),
        ("</list?x=1>; rel=back", 2, "wrong=1"),
        ("", 2, "wrong=1"),
    ] {
        let server = linked(header, true).await;
        let with_body = "paging: {style: link_header, next: next}";
        let got = walk(&api(&server, with_body)).await;
        // `wrong` leads to the first page's answer again, and so to itself.
        assert_eq!(got.is_err(), second == "wrong=1", "{header}");
        assert_eq!(server.seen()[1].query, second, "{header}");
        assert_eq!(server.seen().len(), pages, "{header}");
    }
    let server = linked("</list?x=1>; rel=back", true).await;
    let walked = walk(&api(&server, "paging: {style: link_header}"))
        .await
        .unwrap();
    assert_eq!(walked.pages, 1, "only `rel=back`");
    let server = linked("</list?second=1>; rel=more", true).await;
    let walked = walk(&api(&server, "paging: {style: link_header, rel: more}"))
        .await
        .unwrap();
    assert_eq!(walked.pages, 2);
}

#[tokio::test]
async fn a_link_elsewhere_is_refused_before_anything_is_asked() {
    let elsewhere = Server::start(|_| reply_json(200, json!({"data": []}))).await;
    let there = elsewhere.url("/list");
    for link in [
        there.as_str(),
        "https://HOST/list",
        "http://HOST.evil.test/list",
        "http://evil.test/list",
        "//evil.test/list",
        "http://user@evil.test/list",
        "http://HOST@evil.test/list",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
    ] {
        let server = linked(link, false).await;
        let paging = "paging: {style: next_url, next: '[\"@odata.nextLink\"]'}";
        let (code, kind) = refused(&api(&server, paging)).await;
        // `127.0.0.1:80.evil.test` is no URL at all.
        let expect = match link.contains("HOST.evil") {
            true => "paging.bad_answer",
            false => "paging.other_origin",
        };
        assert_eq!(
            (code.as_str(), kind),
            (expect, ErrorKind::Permanent),
            "{link}"
        );
        assert_eq!(server.seen().len(), 1, "{link}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_key_in_a_link_is_not_kept_with_it() {
    let server = Server::start(|seen| match query(seen).contains_key("second") {
        true => reply_json(200, json!({"data": records(2..4)})),
        false => {
            let link = format!("/list?second=1&{}", seen.query);
            reply_json(200, json!({"data": records(0..2), "next": link}))
        }
    })
    .await;
    let mut connection = api(&server, "paging: {style: next_url, next: next}");
    let mut def = (*connection.def).clone();
    def.auth = velodrome_spec::connector::AuthDef::ApiKey {
        headers: Vec::new(),
        query: vec![("api_key".to_owned(), text("hush"))],
        body: Vec::new(),
    };
    connection.def = Arc::new(def);
    let method = &connection.def.methods["list"];
    let pager = method.paging.pager().unwrap();
    let scanned = scan(
        method,
        br#"{"data": [1], "next": "/list?second=1&api_key=hush"}"#,
        &Want::default().of_page(pager),
    )
    .unwrap();
    let url = server.url("/list");
    let seen = PageSeen {
        scanned: &scanned,
        headers: &[],
        url: &url,
        nothing: false,
    };
    let cursor = PageCursor::default();
    let next = next_page(&connection.def, &connection.settings, pager, &cursor, seen).unwrap();
    let stored = serde_json::to_string(&next).unwrap();
    assert!(!stored.contains("hush"), "{stored}");
    assert_eq!(walk(&connection).await.unwrap().ids, ids(0..4));
    assert!(
        server.seen()[1].query.ends_with("api_key=hush"),
        "and it is sent all the same"
    );
}

// Empty pages, and lists that are not there.

#[tokio::test]
async fn pages_without_records_are_passed_while_the_api_tells_of_more_but_not_for_ever() {
    let server = Server::start(|seen| {
        let at = number(seen, "after").unwrap_or(0);
        let data = if at == 3 { records(0..2) } else { json!([]) };
        let next = if at == 4 {
            json!(null)
        } else {
            json!((at + 1).to_string())
        };
        reply_json(200, json!({"data": data, "next": next}))
    })
    .await;
    let paging = "paging: {style: cursor, next: next, send: {query: after}}";
    let walked = walk(&api(&server, paging)).await.unwrap();
    assert_eq!((walked.ids, walked.pages), (ids(0..2), 5));
    let stop = "paging: {style: cursor, next: next, send: {query: after}, empty_page: stop}";
    assert_eq!(walk(&api(&server, stop)).await.unwrap().pages, 1);

    let endless = Server::start(|_| reply_json(200, json!({"data": [], "more": true}))).await;
    let paging = "paging: {style: page, send: {query: page}, more: more}";
    assert_eq!(
        refused(&api(&endless, paging)).await.0,
        "paging.empty_pages"
    );
    assert_eq!(endless.seen().len(), 20);
}

#[tokio::test]
async fn an_answer_without_a_list_is_an_empty_page_and_one_that_is_none_an_error() {
    for body in [json!({}), json!({"data": null}), json!({"data": []})] {
        let told = body.clone();
        let server = Server::start(move |_| reply_json(200, told.clone())).await;
        let paging = "paging: {style: page, send: {query: page}, empty_page: stop}";
        let walked = walk(&api(&server, paging)).await.unwrap();
        assert_eq!((walked.ids.len(), walked.pages), (0, 1), "{body}");
    }
    let server = Server::start(|_| reply_json(200, json!({"data": {"id": 1}}))).await;
    let paging = "paging: {style: page, send: {query: page}, empty_page: stop}";
    assert_eq!(refused(&api(&server, paging)).await.0, "response.records");
}

#[tokio::test]
async fn an_empty_answer_ends_the_walk_whatever_the_end_test() {
    for status in [204, 304] {
        let server = Server::start(move |seen| match number(seen, "page") {
            Some(1) => reply_json(200, json!({"data": records(0..2), "more": true})),
            _ => reply(status, ""),
        })
        .await;
        let method = "
errors: [{status: [204, 304], do: empty}]
paging: {style: page, send: {query: page}, more: more}";
        let walked = walk(&api(&server, method)).await.unwrap();
        assert_eq!((walked.ids, walked.pages), (ids(0..2), 2), "{status}");
    }
}

#[tokio::test]
async fn a_handoff_goes_from_numbers_to_tokens_where_numbers_end() {
    // Zoho's from version 3 on: page 11 of 200 is refused, and page and token together are.
    let server = Server::start(|seen| {
        let query = query(seen);
        let page = match (query.get("page"), query.get("page_token")) {
            (Some(page), None) => page.parse().unwrap(),
            (None, Some(token)) => token.trim_start_matches('t').parse().unwrap(),
            other => {
                return reply_json(
                    400,
                    json!({"code": "AMBIGUITY", "of": format!("{other:?}")}),
                );
            }
        };
        if query.contains_key("page") && page * 2 > 6 {
            return reply_json(400, json!({"code": "DISCRETE_PAGINATION_LIMIT_EXCEEDED"}));
        }
        let more = page < 7;
        let next = more.then(|| format!("t{}", page + 1));
        let info = json!({"more_records": more, "next_page_token": next, "page": 1});
        reply_json(200, json!({"data": page_of(page, 1, 2, 13), "info": info}))
    })
    .await;
    let method = "
paging:
  style: handoff
  send: {query: page}
  size: {query: per_page, value: 2}
  more: info.more_records
  handoff: {reach: 6, token: info.next_page_token, send: page_token}";
    let walked = walk(&api(&server, method)).await.unwrap();
    assert_eq!((walked.ids, walked.pages), (ids(0..13), 7));
    assert_eq!(
        sent(&server, "page"),
        texts(&["1", "2", "3", "", "", "", ""])
    );
    let tokens = texts(&["", "", "", "t4", "t5", "t6", "t7"]);
    assert_eq!(sent(&server, "page_token"), tokens);
}

// The filter date.

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
