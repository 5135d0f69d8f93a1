//! What a list brings and where its date goes when its pages, records and neighbours are not as usual, on the
//! real binary.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Came, Folder, Server, Sink};

const NOW: Duration = Duration::ZERO;

/// Three lists that page alike; a page with fewer than ten records is the last.
const CONNECTOR: &str = "
connector: shop
base_url: URL
methods:
";

fn connector(url: &str) -> String {
    let mut text = CONNECTOR.replace("URL", url);
    for name in ["orders", "returns", "refunds"] {
        text.push_str(&format!(
            "  {name}:\n    kind: list\n    verb: GET\n    path: /{name}\n    response: {{records: data}}\n    \
             paging: {{style: page, send: {{query: page}}, size: {{query: size, value: 10}}, short_page: stop}}\n    \
             incremental: {{by: changed, query: since, format: iso8601_utc_seconds, key: [id, changed], overlap: 1 second}}\n"
        ));
    }
    text
}

/// Reads the orders and posts each. `more` are further keys of the list step.
fn cycle(sink: &Sink, more: &str) -> String {
    format!(
        r#"
cycle: orders
steps:
  webhook: {{use: generic_webhook.webhook, then: list}}
  list:
    use: shop.orders
{more}
    then: each
  each:
    use: generic_webhook.post
    url: {url}/item
    for_each: ${{list.records}}
    map: {{id: "${{item.id}}"}}
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
    std::fs::write(connectors.join("shop.yaml"), connector(sink.url()))?;
    folder.serve().await
}

/// Posts to the cycle's webhook, and how its loop ended.
async fn run(server: &Server) -> Result<Value> {
    let answer = server.hook("orders", "{}").await?;
    let told = answer.json();
    let id = told["loop"].as_str().context(answer.text)?;
    server.loop_over(id).await
}

fn parameter(came: &Came, name: &str) -> Option<String> {
    let (_, query) = came.path.split_once('?')?;
    let mut pairs = query.split('&');
    let value = pairs.find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    Some(value.replace("%3A", ":"))
}

fn page(came: &Came) -> u64 {
    let page = parameter(came, "page").and_then(|page| page.parse().ok());
    page.unwrap_or(0)
}

/// Records of these ids that changed at one moment.
fn records(ids: std::ops::Range<u64>) -> Value {
    ids.map(|id| json!({"id": id, "changed": "2026-11-23T10:00:00Z"}))
        .collect()
}

fn posted(sink: &Sink) -> Vec<u64> {
    let came = sink.came();
    came.iter()
        .filter_map(|came| came.body["id"].as_u64())
        .collect()
}

fn pages_asked(sink: &Sink) -> Vec<u64> {
    let came = sink.came();
    let lists = came.iter().filter(|came| came.path.starts_with("/orders"));
    lists.map(page).collect()
}

/// The last filter date that the orders were asked with.
fn since(sink: &Sink) -> Option<String> {
    let came = sink.came();
    let last = came.iter().rfind(|came| came.path.starts_with("/orders"))?;
    parameter(last, "since")
}

/// The watermark of each step that has one.
async fn watermarks(server: &Server) -> Result<BTreeMap<String, String>> {
    let listed = server.get("/watermarks").await?;
    let items = listed["items"].as_array().context("a listing")?.clone();
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    Ok(items
        .iter()
        .map(|item| (text(item, "step"), text(item, "last_successful_run_date")))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_which_nothing_is_left_is_followed_by_the_next() -> Result<()> {
    let emptied = "    script: |
      fn after_action() {
          method_response.data = method_response.data.filter(|record| record.id >= 10);
          return true;
      }";
    // Page 2 brings what page 1 brought; a script leaves nothing of both.
    for (script, first) in [("", 0), (emptied, 10)] {
        let sink = Sink::start(|came, _| {
            let data = match (came.path.starts_with("/orders"), page(came)) {
                (false, _) => return (200, json!({}), NOW),
                (true, 1 | 2) => records(0..10),
                (true, 3) => records(10..20),
                (true, _) => records(20..23),
            };
            (200, json!({ "data": data }), NOW)
        })
        .await?;
        let server = serve(&sink, &cycle(&sink, script)).await?;
        let over = run(&server).await?;
        assert_eq!(over["status"], "succeeded", "{over}");
        assert_eq!(pages_asked(&sink), [1, 2, 3, 4]);
        assert_eq!(posted(&sink), (first..23).collect::<Vec<_>>());
        assert_eq!(over["records"], json!(33), "what the API sent");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_no_order_and_without_a_date_come_and_do_not_move_the_watermark() -> Result<()> {
    let sink = Sink::start(|came, _| match came.path.starts_with("/orders") {
        true => {
            let data = json!([
                {"id": 0, "changed": "2026-11-22T10:00:00Z"},
                {"id": 1, "changed": "2026-11-25T10:00:00+02:00"},
                {"id": 2},
                {"id": 3, "changed": null},
                {"id": 4, "changed": "not a date"},
                {"id": 5, "changed": "2026-11-20T10:00:00Z"},
            ]);
            (200, json!({ "data": data }), NOW)
        }
        false => (200, json!({}), NOW),
    })
    .await?;
    let server = serve(&sink, &cycle(&sink, "")).await?;
    let over = run(&server).await?;
    assert_eq!(over["status"], "succeeded", "{over}");
    assert_eq!(posted(&sink), [0, 1, 2, 3, 4, 5]);
    // The API's clock, less the overlap: neither the last record's date nor the greatest.
    let expect = BTreeMap::from([("list".to_owned(), "2026-11-23T11:59:59.000Z".to_owned())]);
    assert_eq!(watermarks(&server).await?, expect);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_are_moments_whatever_their_offset() -> Result<()> {
    let sink = Sink::start(|_, _| (200, json!({"data": []}), NOW)).await?;
    let with = |date: &str| {
        format!(
            "    script: |\n      fn after_action_paging() {{ next_last_successful_run_date = \"{date}\"; return true; }}"
        )
    };
    // As texts these would be ordered the other way round.
    let earlier = cycle(&sink, &with("2026-11-23T13:30:00+02:00"));
    let server = serve(&sink, &earlier).await?;
    let set = [
        "watermark",
        "set",
        "orders",
        "list",
        "2026-11-23T05:00:00-07:00",
    ];
    let (code, _, errors) = server.folder().command(&set).await?;
    assert_eq!(code, 0, "{errors}");
    run(&server).await?;
    // The same moment and second, not one later.
    assert_eq!(since(&sink).as_deref(), Some("2026-11-23T12:00:00Z"));
    let date = |text: &str| BTreeMap::from([("list".to_owned(), text.to_owned())]);
    assert_eq!(
        watermarks(&server).await?,
        date("2026-11-23T12:00:00.000Z"),
        "11:30 is before 12:00"
    );
    let later = cycle(&sink, &with("2026-11-23T10:30:00-02:00"));
    server.folder().write_cycle("orders.yaml", &later)?;
    server.log_of("event=cycle.loaded", 2).await?;
    run(&server).await?;
    assert_eq!(watermarks(&server).await?, date("2026-11-23T12:30:00.000Z"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_list_that_fails_keeps_its_date_and_the_others_move_theirs() -> Result<()> {
    let sink = Sink::start(|came, _| match came.path.starts_with("/returns") {
        true => (400, json!({"code": "NO"}), NOW),
        false => (200, json!({"data": records(0..3)}), NOW),
    })
    .await?;
    let cycle = "
cycle: orders
steps:
  webhook: {use: generic_webhook.webhook, then: orders}
  orders: {use: shop.orders, then: returns, else: returns}
  returns: {use: shop.returns, then: refunds, else: refunds, catch: refunds}
  refunds: {use: shop.refunds, then: done, else: done}
  done: {use: stop, message: done}
";
    let server = serve(&sink, cycle).await?;
    let over = run(&server).await?;
    assert_eq!(over["status"], "succeeded", "{over}");
    let moved = "2026-11-23T11:59:59.000Z".to_owned();
    let expect = ["orders", "refunds"].map(|step| (step.to_owned(), moved.clone()));
    assert_eq!(watermarks(&server).await?, BTreeMap::from(expect));
    let kept = server.log("event=watermark.kept").await?;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["step"], "returns");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retries_one_failure_is_the_end() -> Result<()> {
    let sink = Sink::start(|_, _| (503, json!({}), NOW)).await?;
    let server = serve(&sink, &cycle(&sink, "    retry: 0")).await?;
    let over = run(&server).await?;
    assert_eq!(over["status"], "failed");
    assert_eq!(pages_asked(&sink), [1]);
    assert_eq!(server.log("event=retry.scheduled").await?.len(), 0);
    Ok(())
}
