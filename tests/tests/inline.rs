//! Inline scripts on the real binary, in both languages: what they read, where they may stand, and where their
//! faults are.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink};

/// The same cycle in both languages: values, conditions, a loop by the page alone, one for each item, an answer.
fn cycles(sink: &Sink) -> [(&'static str, String); 2] {
    let url = sink.url();
    let rhai = format!(
        r#"
cycle: in_rhai
steps:
  webhook: {{use: generic_webhook.webhook, fields: {{page: integer, items: list}}, then: each}}
  each:
    use: generic_webhook.post
    for_each: ${{webhook.items}}
    url: {url}/each
    map:
      place: = index + 1
      twice: "= item.n * 2"
      of: "= `${{cycle.id}} ${{webhook.page}}`"
    then: more
  more:
    use: decision
    if: = webhook.page < 3 && each.failed == 0
    then: next
    else: bad
  next:
    use: generic_webhook.post
    url: ${{webhook.url}}
    map:
      page: = webhook.page + 1
      items: = webhook.items.filter(|one| one.n > 1)
  bad:
    use: decision
    if: = webhook.page == 3
    then: faulty
  faulty:
    use: generic_webhook.post
    url: {url}/faulty
    map:
      a: 1
      b: = webhook.items[9].n
"#
    );
    let javascript = rhai
        .replace(
            "cycle: in_rhai",
            "cycle: in_javascript\nscript_language: javascript",
        )
        .replace(
            "= webhook.items.filter(|one| one.n > 1)",
            "= webhook.items.filter(one => one.n > 1);",
        )
        .replace("each.failed == 0", "each.failed === 0");
    [("in_rhai", rhai), ("in_javascript", javascript)]
}

async fn begin(server: &Server, cycle: &str, body: Value) -> Result<String> {
    let answer = server.hook(cycle, &body.to_string()).await?.json();
    let id = answer["loop"]
        .as_str()
        .with_context(|| answer.to_string())?;
    Ok(id.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_and_conditions_compute_and_a_fault_is_told_in_the_file() -> Result<()> {
    let sink = Sink::start(|_, _| (200, json!({}), Duration::ZERO)).await?;
    let cycles = cycles(&sink);
    let files = cycles
        .each_ref()
        .map(|(name, text)| (format!("{name}.yaml"), text.as_str()));
    let files = files.each_ref().map(|(file, text)| (file.as_str(), *text));
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let server = Folder::new(&files, &settings)?.serve().await?;
    for (name, text) in &cycles {
        let before = sink.came().len();
        let id = begin(
            &server,
            name,
            json!({"page": 1, "items": [{"n": 1}, {"n": 2}]}),
        )
        .await?;
        let over = server.loop_over(&id).await?;
        assert_eq!(
            (&over["laps"], &over["status"]),
            (&json!(3), &json!("failed")),
            "{over:#}"
        );
        let sent: Vec<Value> = sink.came()[before..]
            .iter()
            .map(|came| came.body.clone())
            .collect();
        let of = |page: u32| format!("{name} {page}");
        let expect = [
            json!({"place": 1, "twice": 2, "of": of(1)}),
            json!({"place": 2, "twice": 4, "of": of(1)}),
            json!({"place": 1, "twice": 4, "of": of(2)}),
            json!({"place": 1, "twice": 4, "of": of(3)}),
        ];
        assert_eq!(sent, expect, "{name}");

        let line = 1 + text
            .lines()
            .position(|line| line.contains("items[9]"))
            .context("the fault")?;
        let runs = server
            .get(&format!("/runs?loop={id}&status=failed"))
            .await?;
        let error = &runs["items"][0]["error"];
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(&format!("{name}.yaml:{line}")),
            "{error:#}"
        );
        assert!(
            ["script.failed", "script.unknown_function"]
                .contains(&error["code"].as_str().unwrap_or_default()),
            "{error:#}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_inline_script_built_is_sent_again_as_it_was_after_a_kill() -> Result<()> {
    let cycle = |url: &str| {
        format!(
            r#"
cycle: built
steps:
  webhook: {{use: generic_webhook.webhook, then: send}}
  send:
    use: generic_webhook.post
    url: {url}/send
    map: {{at: "= now()", id: "= uuid()"}}
"#
        )
    };
    let slow = |_: &velodrome_tests::Came, before: usize| {
        let takes = if before == 0 {
            Duration::from_secs(20)
        } else {
            Duration::ZERO
        };
        (200, json!({}), takes)
    };
    let sink = Sink::start(slow).await?;
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let mut server = Folder::new(&[("built.yaml", &cycle(sink.url()))], &settings)?
        .serve()
        .await?;
    let id = begin(&server, "built", json!({})).await?;
    while sink.came().is_empty() {
        server.get("/loops").await?;
    }
    server.kill().await?;
    server.start().await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let came = sink.came();
    let [first, second] = &came[..] else {
        panic!("{came:#?}");
    };
    assert_eq!((&first.body, &first.key), (&second.body, &second.key));
    assert!(
        first.body["at"].is_string() && first.body["id"].is_string(),
        "{}",
        first.body
    );
    Ok(())
}
