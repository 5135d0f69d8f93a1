//! `for_each` on the real binary: each item once, so many at a time, failures, a crash in the middle.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink};

const NOW: Duration = Duration::ZERO;

/// A cycle that posts each of its body's `items` to the sink, and then what came of them.
fn cycle(sink: &Sink, keys: &str) -> String {
    format!(
        r#"
cycle: items
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{items: {{type: list, required: true}}}}
    then: each
  each:
    use: generic_webhook.post
    url: {url}/item
    for_each: ${{webhook.items}}
    {keys}
    retry: {{times: 3, first: 20 ms}}
    map: {{id: "${{item.id}}", at: "${{index}}"}}
    then: tell
  tell:
    use: generic_webhook.post
    url: {url}/end
    map:
      count: ${{each.count}}
      succeeded: ${{each.succeeded}}
      failed: ${{each.failed}}
      given: ${{each.results[].given}}
"#,
        url = sink.url()
    )
}

async fn serve(sink: &Sink, keys: &str) -> Result<Server> {
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let folder = Folder::new(&[("items.yaml", &cycle(sink, keys))], &settings)?;
    folder.serve().await
}

async fn begin(server: &Server, count: usize) -> Result<String> {
    let items: Vec<Value> = (0..count).map(|id| json!({ "id": id })).collect();
    let body = json!({ "items": items }).to_string();
    let answer = server.hook("items", &body).await?.json();
    Ok(answer["loop"]
        .as_str()
        .context("it is accepted")?
        .to_owned())
}

/// How often each item came.
fn times(sink: &Sink) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for came in sink.came() {
        if let Some(id) = came.body["id"].as_u64() {
            *times.entry(id).or_default() += 1;
        }
    }
    times
}

fn end(sink: &Sink) -> Value {
    let last = sink.came().into_iter().rfind(|came| came.path == "/end");
    last.map_or(Value::Null, |came| came.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_is_sent_once_in_order_with_a_key_of_its_own() -> Result<()> {
    let sink = Sink::start(|came, _| (200, json!({"given": came.body["id"]}), NOW)).await?;
    let server = serve(&sink, "").await?;
    let id = begin(&server, 25).await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let items: Vec<_> = sink
        .came()
        .into_iter()
        .filter(|came| came.path == "/item")
        .collect();
    let order: Vec<_> = items
        .iter()
        .filter_map(|came| came.body["at"].as_u64())
        .collect();
    assert_eq!(order, (0..25).collect::<Vec<_>>());
    let keys: std::collections::BTreeSet<_> = items.iter().map(|came| came.key.clone()).collect();
    assert_eq!(keys.len(), 25);
    assert_eq!(sink.most_at_once(), 1);
    let given: Vec<u64> = (0..25).collect();
    let expect = json!({"count": 25, "succeeded": 25, "failed": 0, "given": given});
    assert_eq!(end(&sink), expect);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_are_under_way_at_once() -> Result<()> {
    let sink = Sink::start(|_, _| (200, json!({}), Duration::from_millis(30))).await?;
    let server = serve(&sink, "parallel: 4").await?;
    let id = begin(&server, 40).await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    assert_eq!(sink.most_at_once(), 4);
    assert!(times(&sink).values().all(|times| *times == 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_failures_are_tried_again_and_lasting_ones_skipped() -> Result<()> {
    let sink = Sink::start(|came, _| match came.body["id"].as_u64() {
        Some(3) => (400, json!({"why": "never"}), NOW),
        _ => (200, json!({"given": 1}), NOW),
    })
    .await?;
    let server = serve(&sink, "skip_failures: true\n    parallel: 2").await?;
    let id = begin(&server, 6).await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let ended = end(&sink);
    assert_eq!(
        (&ended["succeeded"], &ended["failed"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(ended["given"], json!([1, 1, 1, null, 1, 1]));
    let failed = server.log("event=item.failed").await?;
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&failed[0]["item"], &failed[0]["code"]),
        (&json!(3), &json!("request.status"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_fails_for_a_while_keeps_its_key() -> Result<()> {
    let sink = Sink::start(|came, before| {
        let status = if came.body["id"] == 1 && before < 3 {
            503
        } else {
            200
        };
        (status, json!({}), NOW)
    })
    .await?;
    let server = serve(&sink, "").await?;
    let id = begin(&server, 3).await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let second: Vec<_> = sink
        .came()
        .into_iter()
        .filter(|came| came.body["id"] == 1)
        .collect();
    assert!(second.len() > 1, "it was tried again");
    assert!(second.iter().all(|came| came.key == second[0].key));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lasting_failure_fails_the_run_and_names_the_item() -> Result<()> {
    let sink = Sink::start(|came, _| {
        let status = if came.body["id"] == 2 { 422 } else { 200 };
        (status, json!({}), NOW)
    })
    .await?;
    let server = serve(&sink, "").await?;
    let id = begin(&server, 5).await?;
    assert_eq!(server.loop_over(&id).await?["status"], "failed");
    assert_eq!(times(&sink).keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    let run = server.get(&format!("/runs?loop={id}")).await?;
    let message = run["items"][0]["error"]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(message.contains("item 2"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_rest_goes_on_and_at_most_what_was_under_way_is_repeated() -> Result<()> {
    let sink = Sink::start(|_, _| (200, json!({"given": 1}), Duration::from_millis(25))).await?;
    let mut server = serve(&sink, "parallel: 3").await?;
    let id = begin(&server, 60).await?;
    for part in [12, 30] {
        while sink.came().len() < part {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.kill().await?;
        server.start().await?;
    }
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let times = times(&sink);
    assert_eq!(times.len(), 60, "each item came");
    let repeated = times.values().filter(|times| **times > 1).count();
    assert!(
        repeated <= 6,
        "{repeated} items came twice after two kills with three under way"
    );
    let came = sink.came();
    for twice in times.iter().filter(|(_, times)| **times > 1) {
        let keys: std::collections::BTreeSet<_> = came
            .iter()
            .filter(|came| came.body["id"].as_u64() == Some(*twice.0))
            .map(|came| &came.key)
            .collect();
        assert_eq!(keys.len(), 1, "a repeated item keeps its key");
    }
    assert_eq!(end(&sink)["succeeded"], 60);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_may_begin_a_loop_of_another_cycle() -> Result<()> {
    let parent = r#"
cycle: parent
steps:
  webhook: {use: generic_webhook.webhook, then: each}
  each:
    use: generic_webhook.post
    url: ${hook:child}
    for_each: ${webhook.items}
    parallel: 3
    map: {id: "${item}"}
"#;
    let child = r#"
cycle: child
steps:
  webhook: {use: generic_webhook.webhook, fields: {id: integer}, then: end}
  end: {use: stop, message: "child ${webhook.id}"}
"#;
    let folder = Folder::new(&[("parent.yaml", parent), ("child.yaml", child)], "")?;
    let server = folder.serve().await?;
    let answer = server
        .hook("parent", r#"{"items": [1, 2, 3, 4, 5]}"#)
        .await?
        .json();
    let id = answer["loop"].as_str().context("it is accepted")?;
    assert_eq!(server.loop_over(id).await?["status"], "succeeded");
    let loops = server
        .wait_for("/loops?cycle=child", |page| {
            page["items"].as_array().is_some_and(|loops| {
                loops.len() == 5 && loops.iter().all(|one| one["status"] == "succeeded")
            })
        })
        .await?;
    assert_eq!(loops["items"].as_array().map(Vec::len), Some(5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_a_url_leads_nowhere_else() -> Result<()> {
    let sink = Sink::start(|_, _| (200, json!({}), NOW)).await?;
    let cycle = format!(
        "cycle: urls\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: ask}}\n  \
         ask: {{use: generic_webhook.get, url: \"{}/a/${{webhook.id}}/b?q=${{webhook.q}}&r=1\"}}\n",
        sink.url()
    );
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let server = Folder::new(&[("urls.yaml", &cycle)], &settings)?
        .serve()
        .await?;
    let body = json!({"id": "../x?y#z%41 é", "q": "1&r=2"}).to_string();
    let answer = server.hook("urls", &body).await?.json();
    let id = answer["loop"].as_str().context("it is accepted")?;
    assert_eq!(server.loop_over(id).await?["status"], "succeeded");
    let paths: Vec<String> = sink.came().into_iter().map(|came| came.path).collect();
    assert_eq!(paths, ["/a/..%2Fx%3Fy%23z%2541%20%C3%A9/b?q=1%26r%3D2&r=1"]);
    Ok(())
}

/// Pages of five, of what belongs to a customer.
const SHOP: &str = "
connector: shop
base_url: URL
methods:
  orders:
    kind: list
    verb: GET
    path: /orders
    inputs: {of: {type: text, required: true}}
    query: {of: \"${input.of}\"}
    response: {records: data, fields: {total: {type: integer, path: total}}}
    paging: {style: page, send: {query: page}, size: {query: size, value: 5}, short_page: stop}
";

/// Asks for the orders of each customer and tells what came.
fn lists(sink: &Sink, keys: &str) -> String {
    format!(
        r#"
cycle: lists
steps:
  webhook: {{use: generic_webhook.webhook, then: each}}
  each:
    use: shop.orders
    for_each: ${{webhook.customers}}
    map: {{of: "${{item}}"}}
    retry: {{times: 3, first: 20 ms}}
{keys}
    then: tell
    else: none
  tell:
    use: generic_webhook.post
    url: {url}/end
    map:
      succeeded: ${{each.succeeded}}
      totals: ${{each.results[].total}}
      results: ${{each.results}}
  none: {{use: generic_webhook.post, url: "{url}/none"}}
"#,
        url = sink.url()
    )
}

/// An API with so many orders of each customer, by the customer's name; what was told at the end.
async fn told_of(keys: &str, body: Value) -> Result<(Sink, Value, String)> {
    let sink = Sink::start(|came, times| {
        let text = |name: &str| {
            let from = came.path.split(&format!("{name}=")).nth(1)?;
            Some(from.split('&').next().unwrap_or_default().to_owned())
        };
        let (of, page) = (text("of").unwrap_or_default(), text("page"));
        let page: u64 = page.and_then(|page| page.parse().ok()).unwrap_or(1);
        if !came.path.starts_with("/orders") {
            return (200, json!({}), NOW);
        }
        if of == "3" && page == 2 && times == 0 {
            return (503, json!({}), NOW);
        }
        let all: u64 = of.parse().unwrap_or(0);
        let first = (page - 1) * 5;
        let data: Vec<Value> = (first..all.min(first + 5))
            .map(|id| json!({"id": id, "of": of}))
            .collect();
        (200, json!({"data": data, "total": all}), NOW)
    })
    .await?;
    let settings = format!(
        "egress: {{allow: [\"{}\"]}}\nconnectors: ./connectors\n",
        sink.host()
    );
    let folder = Folder::new(&[("lists.yaml", &lists(&sink, keys))], &settings)?;
    let connectors = folder.path().join("connectors");
    std::fs::create_dir(&connectors)?;
    let shop = SHOP.replace("URL", sink.url());
    std::fs::write(connectors.join("shop.yaml"), shop)?;
    let server = folder.serve().await?;
    let begun = server.hook("lists", &body.to_string()).await?;
    let id = begun.json()["loop"]
        .as_str()
        .context(begun.text.clone())?
        .to_owned();
    let over = server.loop_over(&id).await?;
    assert_eq!(over["status"], "succeeded", "{over}");
    let came = sink.came();
    let last = came.last().context("something was told")?;
    let (path, body) = (last.path.clone(), last.body.clone());
    Ok((sink, body, path))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_whole_for_each_item_and_gives_its_records() -> Result<()> {
    let body = json!({"customers": [12, 0, 3]});
    let (sink, told, path) = told_of("    parallel: 2", body).await?;
    assert_eq!((path.as_str(), &told["succeeded"]), ("/end", &json!(3)));
    assert_eq!(told["totals"], json!([12, 0, 3]));
    let results = told["results"].as_array().context("results")?;
    let ids = |at: usize| -> Vec<u64> {
        let records = results[at]["records"].as_array().into_iter().flatten();
        records.filter_map(|record| record["id"].as_u64()).collect()
    };
    assert_eq!(ids(0), (0..12).collect::<Vec<_>>());
    assert_eq!((ids(1), ids(2)), (vec![], vec![0, 1, 2]));
    assert_eq!(results[0]["count"], 12);
    let asked = sink.came();
    let asked = asked.iter().filter(|came| came.path.starts_with("/orders"));
    assert_eq!(asked.count(), 3 + 1 + 1, "five a page");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_drops_what_does_not_pass_and_leaves_by_else_where_nothing_did() -> Result<()> {
    let keys = "    script: |\n      fn action_condition() { method_response.id > 9 }";
    let body = json!({"customers": [12, 4]});
    let (_, told, path) = told_of(keys, body).await?;
    assert_eq!(path, "/end");
    let records = |at: usize| told["results"][at]["records"].clone();
    assert_eq!(
        records(0),
        json!([{"id": 10, "of": "12"}, {"id": 11, "of": "12"}])
    );
    assert_eq!(
        told["results"][1],
        json!(null),
        "none of its records passed"
    );
    let (_, _, path) = told_of(keys, json!({"customers": [4, 5]})).await?;
    assert_eq!(path, "/none");
    // A single request likewise: its answer passes or not.
    let sink = Sink::start(|came, _| (200, json!({"given": came.body["id"]}), NOW)).await?;
    let keys = "script: |\n      fn action_condition() { method_response.given > 1 }";
    let server = serve(&sink, keys).await?;
    let id = begin(&server, 4).await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let came = sink.came();
    let end = came
        .iter()
        .find(|came| came.path == "/end")
        .context("told")?;
    assert_eq!(end.body["succeeded"], 4);
    assert_eq!(end.body["given"], json!([null, null, 2, 3]));
    Ok(())
}
