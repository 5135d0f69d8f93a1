//! Lists that page themselves, and lists paged by hand whose token goes void, on the real binary.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Came, Folder, Server, Sink};

const NOW: Duration = Duration::ZERO;

/// Pages by number and by token; `limited` ends at its maximum, `by_hand` hands off to tokens behind page 2.
const CONNECTOR: &str = r#"
connector: shop
base_url: URL
errors:
  - {status: 400, code: EXPIRED, do: restart_paging}
methods:
  orders:
    kind: list
    verb: GET
    path: /orders
    response: {records: data, fields: {total: {path: total}}}
    paging: {style: page, send: {query: page}, size: {query: size, value: 10}, more: more}
    incremental: {by: changed, query: since, format: iso8601_utc_seconds, key: [id, changed], overlap: 1 second}
  limited:
    kind: list
    verb: GET
    path: /orders
    response: {records: data}
    paging: {style: page, send: {query: page}, more: more, max_records: 15}
    incremental: {by: changed, query: since, format: iso8601_utc_seconds, key: [id, changed]}
  by_token:
    kind: list
    verb: GET
    path: /tokens
    response: {records: data}
    paging: {style: cursor, next: next, send: {query: token}}
  by_hand:
    kind: list
    verb: GET
    path: /tokens
    inputs: {page: {type: integer, required: true, query: page}}
    response: {records: data, fields: {more: {path: more, when_empty: false}}}
    paging: {style: by_hand, handoff: {page: page, reach: 20, per_page: 10, token: next, send: token}}
    incremental: {by: changed, query: since, format: unix_seconds, key: [id, changed], advance: by_step}
  whole:
    kind: list
    verb: GET
    path: /orders
    response: {records: data}
    paging: {style: none, more: more}
    incremental: {by: changed, query: since, format: iso8601_utc_seconds, key: [id, changed]}
  numbered:
    kind: list
    verb: GET
    path: /orders
    inputs: {page: {type: integer, default: 1, query: page}}
    response: {records: data}
    paging: {style: by_hand, more: more}
    incremental: {by: changed, query: since, format: iso8601_utc_seconds, key: [id, changed]}
"#;

/// Asks the list, then posts each of its records, then tells how many there were.
fn cycle(sink: &Sink, method: &str) -> String {
    format!(
        r#"
cycle: orders
concurrency: 1
steps:
  webhook: {{use: generic_webhook.webhook, then: list}}
  list:
    use: shop.{method}
    retry: {{times: 3, first: 20 ms}}
    then: each
    else: tell
  each:
    use: generic_webhook.post
    url: {url}/item
    for_each: ${{list.records}}
    parallel: 8
    map: {{id: "${{item.id}}"}}
    then: tell
  tell:
    use: generic_webhook.post
    url: {url}/end
    map: {{count: "${{list.count}}"}}
"#,
        url = sink.url()
    )
}

async fn serve(sink: &Sink, cycle: &str) -> Result<Server> {
    let settings = format!(
        "egress: {{allow: [\"{}\"]}}\nconnectors: ./connectors\n",
        sink.host()
    );
    let folder = Folder::new(&[("orders.yaml", cycle)], &settings)?;
    let connectors = folder.path().join("connectors");
    std::fs::create_dir(&connectors)?;
    std::fs::write(
        connectors.join("shop.yaml"),
        CONNECTOR.replace("URL", sink.url()),
    )?;
    folder.serve().await
}

fn parameter(came: &Came, name: &str) -> Option<String> {
    let (_, query) = came.path.split_once('?')?;
    let pair = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    Some(pair.to_owned())
}

fn page(came: &Came) -> u64 {
    let page = parameter(came, "page").and_then(|page| page.parse().ok());
    page.unwrap_or(1)
}

/// Ten records of this page, of `pages` in all.
fn body(page: u64, pages: u64) -> Value {
    let first = (page - 1) * 10;
    let data: Vec<Value> = (first..first + 10)
        .map(|id| json!({"id": id, "changed": "2026-11-23T12:00:00Z"}))
        .collect();
    json!({"data": data, "more": page < pages, "total": pages * 10})
}

/// A shop with so many pages; what is posted to it is taken.
async fn shop(pages: u64, takes: Duration) -> Result<Sink> {
    Sink::start(move |came, _| match came.path.starts_with("/orders") {
        true => (200, body(page(came), pages), takes),
        false => (200, json!({}), NOW),
    })
    .await
}

async fn begin(server: &Server) -> Result<String> {
    let answer = server.hook("orders", "{}").await?.json();
    let id = answer["loop"].as_str().context("it is accepted")?;
    Ok(id.to_owned())
}

/// How often each page was asked.
fn asked(sink: &Sink) -> BTreeMap<u64, usize> {
    let mut asked = BTreeMap::new();
    for came in sink.came() {
        if came.path.starts_with("/orders") {
            *asked.entry(page(&came)).or_default() += 1;
        }
    }
    asked
}

/// How often each record was posted.
fn posted(sink: &Sink) -> BTreeMap<u64, usize> {
    let mut posted = BTreeMap::new();
    for came in sink.came() {
        if let Some(id) = came.body["id"].as_u64() {
            *posted.entry(id).or_default() += 1;
        }
    }
    posted
}

fn each_once(of: &BTreeMap<u64, usize>, expect: std::ops::Range<u64>) {
    let ids: Vec<u64> = of.keys().copied().collect();
    assert_eq!(ids, expect.collect::<Vec<_>>());
    assert!(of.values().all(|times| *times == 1), "{of:?}");
}

fn end(sink: &Sink) -> Value {
    let last = sink.came().into_iter().rfind(|came| came.path == "/end");
    last.map_or(Value::Null, |came| came.body["count"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_pages_itself_and_each_record_goes_on() -> Result<()> {
    let sink = shop(5, NOW).await?;
    let server = serve(&sink, &cycle(&sink, "orders")).await?;
    let id = begin(&server).await?;
    let over = server.loop_over(&id).await?;
    assert_eq!(
        (&over["status"], &over["records"]),
        (&json!("succeeded"), &json!(50))
    );
    each_once(&asked(&sink), 1..6);
    each_once(&posted(&sink), 0..50);
    assert_eq!(end(&sink), json!(50));
    let lines = server.log("event=response.received&step=list").await?;
    let told: Vec<(Value, Value)> = lines
        .iter()
        .map(|line| (line["data"]["page"].clone(), line["records"].clone()))
        .collect();
    let expect: Vec<_> = (1..6).map(|page| (json!(page), json!(10))).collect();
    assert_eq!(told, expect);
    let message = lines[2]["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("200 · 10 records · page 3 · "),
        "{message}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_repeats_one_page_at_the_most() -> Result<()> {
    let sink = shop(12, Duration::from_millis(40)).await?;
    let mut server = serve(&sink, &cycle(&sink, "orders")).await?;
    let id = begin(&server).await?;
    for wanted in [3, 7, 10] {
        while !asked(&sink).contains_key(&wanted) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.kill().await?;
        server.start().await?;
    }
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let asked = asked(&sink);
    assert_eq!(asked.len(), 12);
    let again = asked.values().filter(|times| **times > 1).count();
    assert!(
        again <= 3 && asked.values().all(|times| *times <= 2),
        "{asked:?}"
    );
    each_once(&posted(&sink), 0..120);
    assert_eq!(end(&sink), json!(120));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_fails_is_tried_again_and_the_run_resumed_there() -> Result<()> {
    let broken = Arc::new(AtomicU64::new(2));
    let state = Arc::clone(&broken);
    let sink = Sink::start(move |came, _| {
        if !came.path.starts_with("/orders") {
            return (200, json!({}), NOW);
        }
        match page(came) {
            // Page 2 passes at its third attempt; page 4 is refused until it is mended.
            2 if state
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
                    1 | 2 => Some(left - 1),
                    _ => None,
                })
                .is_ok() =>
            {
                (503, json!({}), NOW)
            }
            4 if state.load(Ordering::SeqCst) < 9 => (400, json!({"code": "NO"}), NOW),
            page => (200, body(page, 6), NOW),
        }
    })
    .await?;
    let server = serve(&sink, &cycle(&sink, "orders")).await?;
    let id = begin(&server).await?;
    let over = server.loop_over(&id).await?;
    assert_eq!(over["status"], "failed");
    let told = asked(&sink);
    assert_eq!(told, BTreeMap::from([(1, 1), (2, 3), (3, 1), (4, 1)]));

    broken.store(9, Ordering::SeqCst);
    let (code, _, errors) = server.folder().command(&["loop", "retry", &id]).await?;
    assert_eq!(code, 0, "{errors}");
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let told = asked(&sink);
    assert_eq!(
        told,
        BTreeMap::from([(1, 1), (2, 3), (3, 1), (4, 2), (5, 1), (6, 1)])
    );
    each_once(&posted(&sink), 0..60);
    // A request of the list failed for good in this loop, so its date is void.
    let kept = server.log("event=watermark.kept").await?;
    assert!(
        kept[0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("failed for good"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_at_max_records_and_keeps_its_watermark() -> Result<()> {
    let sink = shop(9, NOW).await?;
    let server = serve(&sink, &cycle(&sink, "limited")).await?;
    let id = begin(&server).await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    each_once(&asked(&sink), 1..3);
    each_once(&posted(&sink), 0..15);
    assert_eq!(end(&sink), json!(15));
    let kept = server.log("event=watermark.kept").await?;
    let message = kept[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("max_records"), "{message}");
    assert_eq!(server.log("event=watermark.moved").await?.len(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_moves_with_success_and_by_hand() -> Result<()> {
    let sink = shop(2, NOW).await?;
    let server = serve(&sink, &cycle(&sink, "orders")).await?;
    let command = async |arguments: &[&str]| server.folder().command(arguments).await;
    let first = begin(&server).await?;
    server.loop_over(&first).await?;
    let since = |sink: &Sink| {
        let came = sink.came();
        let last = came.iter().rfind(|came| came.path.starts_with("/orders"));
        last.and_then(|came| parameter(came, "since"))
    };
    assert_eq!(since(&sink), None, "the first run reads everything");
    let moved = server.log_of("event=watermark.moved", 1).await?;
    assert_eq!(moved.len(), 1);
    // The API's own clock, less the overlap.
    assert_eq!(moved[0]["data"]["to"], "2026-11-23T11:59:59.000Z");

    let (code, listed, errors) = command(&["watermark", "list", "--json"]).await?;
    assert_eq!(code, 0, "{errors}");
    let listed: Value = serde_json::from_str(&listed)?;
    assert_eq!(listed[0]["step"], "list");
    let date = listed[0]["last_successful_run_date"]
        .as_str()
        .context("a date")?;
    let second = begin(&server).await?;
    server.loop_over(&second).await?;
    let sent = since(&sink).context("the second run has a date")?;
    assert_eq!(sent.replace("%3A", ":"), format!("{}Z", &date[..19]));

    let set = ["watermark", "set", "orders", "list", "2020-01-02T03:04:05Z"];
    assert_eq!(command(&set).await?.0, 0);
    let shown = command(&["watermark", "list"]).await?.1;
    assert!(shown.contains("2020-01-02 03:04:05"), "{shown}");
    let third = begin(&server).await?;
    server.loop_over(&third).await?;
    assert_eq!(since(&sink).as_deref(), Some("2020-01-02T03%3A04%3A05Z"));

    // Nobody is there to ask: `--yes` says it.
    assert_eq!(
        command(&["watermark", "unset", "orders", "list"]).await?.0,
        2
    );
    assert_eq!(
        command(&["watermark", "unset", "orders", "list", "--yes"])
            .await?
            .0,
        0
    );
    assert_eq!(
        command(&["watermark", "list", "--json"]).await?.1.trim(),
        "[]"
    );
    let fourth = begin(&server).await?;
    server.loop_over(&fourth).await?;
    assert_eq!(since(&sink), None);
    let by_hand: Vec<Value> = server
        .log("event=watermark.moved")
        .await?
        .into_iter()
        .filter(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains("by hand"))
        })
        .collect();
    assert_eq!(by_hand.len(), 2);
    assert_eq!(by_hand[1]["data"]["to"], Value::Null);

    for (arguments, code) in [
        (
            ["orders", "tell", "2020-01-02T03:04:05Z"],
            "watermark.unknown_step",
        ),
        (["others", "list", "2020-01-02T03:04:05Z"], "cycle.unknown"),
        (["orders", "list", "yesterday"], "api.bad_body"),
    ] {
        let all = ["watermark", "set", arguments[0], arguments[1], arguments[2]];
        let (_, _, errors) = command(&all).await?;
        assert!(errors.contains(code), "{errors}");
    }
    Ok(())
}

/// A list behind tokens: `t2`, `t3`, … lead to pages; the first time page 4 is asked its token is void.
async fn with_tokens(pages: u64) -> Result<Sink> {
    let refused = AtomicU64::new(0);
    Sink::start(move |came, _| {
        if !came.path.starts_with("/tokens") {
            return (200, json!({}), NOW);
        }
        let token = parameter(came, "token").and_then(|token| token[1..].parse().ok());
        let page = token.unwrap_or_else(|| page(came));
        if token.is_none() && page > 2 {
            return (400, json!({"code": "ONLY_2_PAGES"}), NOW);
        }
        if page == 4 && refused.fetch_add(1, Ordering::SeqCst) == 0 {
            return (400, json!({"code": "EXPIRED"}), NOW);
        }
        let mut body = body(page, pages);
        if page < pages {
            body["next"] = json!(format!("t{}", page + 1));
        }
        (200, body, NOW)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_token_begins_a_list_that_pages_itself_again_without_repeats() -> Result<()> {
    let sink = with_tokens(6).await?;
    let server = serve(&sink, &cycle(&sink, "by_token")).await?;
    let id = begin(&server).await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    each_once(&posted(&sink), 0..60);
    assert_eq!(end(&sink), json!(60));
    let asked = sink
        .came()
        .iter()
        .filter(|came| came.path.starts_with("/tokens"))
        .count();
    assert_eq!(asked, 3 + 1 + 6);
    let told = server.log("step=list&event=request.failed").await?;
    assert_eq!(told[0]["code"], "paging.token_expired");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_token_begins_a_list_paged_by_hand_again_without_repeats() -> Result<()> {
    let sink = with_tokens(6).await?;
    let cycle = format!(
        r#"
cycle: orders
concurrency: 1
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{page: {{type: integer, default: 1}}}}
    script: |
      fn after_webhook() {{ loop_storage_set("page", method_response.page); return true; }}
    then: list
  list:
    use: shop.by_hand
    map: {{page: "${{webhook.page}}"}}
    then: each
    else: remember
  each:
    use: generic_webhook.post
    url: {url}/item
    for_each: ${{list.records}}
    map: {{id: "${{item.id}}"}}
    then: more
  more:
    use: decision
    if: {{left: "${{list.more}}", is: equals, right: true}}
    then: next
    else: remember
  next:
    use: generic_webhook.post
    url: ${{webhook.url}}
    map: {{page: ignore}}
    script: |
      fn before_action() {{ method_request.page = loop_storage_get("page") + 1; return true; }}
  remember: {{use: stop, message: "done"}}
"#,
        url = sink.url()
    );
    let mut server = serve(&sink, &cycle).await?;
    let id = begin(&server).await?;
    // The records that were seen survive a crash as well.
    while posted(&sink).len() < 15 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.kill().await?;
    server.start().await?;
    let over = server.loop_over(&id).await?;
    assert_eq!(over["status"], "succeeded", "{over}");
    let posted = posted(&sink);
    assert_eq!(posted.len(), 60);
    let twice = posted.values().filter(|times| **times > 1).count();
    assert!(
        twice <= 1,
        "only what was under way when it was killed: {posted:?}"
    );
    // Laps 1 to 3, then the fourth asks page 1 again, and so on to page 6.
    assert_eq!(over["laps"], json!(9));
    let dropped: u64 = server
        .log("event=response.received&step=list")
        .await?
        .iter()
        .filter_map(|line| line["data"]["repeats"].as_u64())
        .sum();
    assert_eq!(dropped, 30);
    Ok(())
}

/// A page that the engine does not go on from, though the API says that there is more.
#[tokio::test(flavor = "multi_thread")]
async fn more_that_nothing_leads_to_fails_the_list_and_keeps_its_date() -> Result<()> {
    // The whole list in one page; a page without records, whose step would leave by the exit for the end.
    for (method, records, more, expect) in [
        ("whole", 10, json!(true), Some("paging.no_next")),
        ("whole", 10, json!(false), None),
        ("whole", 10, json!("perhaps"), Some("paging.bad_answer")),
        ("numbered", 0, json!(true), Some("paging.no_next")),
        ("numbered", 10, json!(true), None),
        ("numbered", 0, json!(false), None),
        ("numbered", 10, json!(null), None),
    ] {
        let page = move |more: Value| {
            let mut body = body(1, 1);
            body["more"] = more;
            if let Some(data) = body["data"].as_array_mut() {
                data.truncate(records);
            }
            body
        };
        let said = more.clone();
        let sink = Sink::start(move |came, _| match came.path.starts_with("/orders") {
            true => (200, page(said.clone()), NOW),
            false => (200, json!({}), NOW),
        })
        .await?;
        let cycle = cycle(&sink, method).replace("retry: {times: 3, first: 20 ms}", "retry: 0");
        let server = serve(&sink, &cycle).await?;
        let over = server.loop_over(&begin(&server).await?).await?;
        let wanted = expect.map_or("succeeded", |_| "failed");
        assert_eq!(over["status"], wanted, "{method} {records} {more}: {over}");
        let failed = server.log("event=run.failed").await?;
        let code = failed.first().and_then(|line| line["code"].as_str());
        assert_eq!(code, expect, "{method} {records} {more}");
        let moved = server.log("event=watermark.moved").await?.len();
        assert_eq!(moved, usize::from(expect.is_none()), "{method} {more}");
    }
    Ok(())
}
