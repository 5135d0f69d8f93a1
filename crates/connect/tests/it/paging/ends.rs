//! Empty pages, lists that are not there, and numbers that end before the list does.

use super::*;

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
