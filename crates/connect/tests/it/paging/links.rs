//! Links to the next page, in a header or in the body.

use super::*;

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
