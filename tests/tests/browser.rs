//! What a person meets in a browser: headless Chromium on the real binary.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use velodrome_tests::{Browser, Folder, Sink, View, ZOHO_INCREMENTAL, ZohoBinary};

/// Tells its link and waits for whoever has it.
const ASK: &str = r#"
cycle: ask
steps:
  webhook:
    use: generic_webhook.webhook
    then: tell
  tell:
    use: generic_webhook.post
    url: SINK/tell
    map: {link: "${asked.resume_url}"}
    then: asked
  asked:
    use: generic_webhook.webhook
    name: "May <b>it</b> & go?"
    fields:
      why: {type: text, max_length: 40}
    then: heard
  heard: {use: stop, message: "heard ${asked.why}"}
"#;

/// Nothing, for tests that say so.
const NONE: [String; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn without_a_browser_the_packages_are_named() {
    let missing = Browser::start_with("/nowhere/chromedriver").await;
    let error = missing.expect_err("there is no driver").to_string();
    for package in ["`chromium`", "`chromium-driver`", "`fonts-dejavu-core`"] {
        assert!(error.contains(package), "{package}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_link_signs_in_at_the_simulator() -> Result<()> {
    let zoho = ZohoBinary::start(1).await?;
    let cycles = [("zoho_incremental.yaml", ZOHO_INCREMENTAL)];
    let server = Folder::new(&cycles, &zoho.settings)?.serve().await?;
    let (code, link, error) = server.folder().command(&["connect", "zoho"]).await?;
    assert_eq!(code, 0, "{error}");

    let browser = Browser::start().await?;
    browser.goto(link.trim()).await?;
    browser.text_of("h1", "Simulated Zoho").await?;
    browser.labelled("Accept").await?.click().await?;
    browser.text_of("main", "Signed in").await?;
    let running = |seen: &Value| seen["state"] == "running";
    server.wait_for("/cycles/zoho_incremental", running).await?;
    for view in [View::DESKTOP, View::NARROW] {
        for view in [view, view.dark()] {
            browser.look(view).await?;
            assert_eq!(browser.barriers().await?, NONE, "{view:?}");
            assert_eq!(browser.overhang().await?, 0, "{view:?}");
        }
    }
    assert_eq!(browser.complaints().await?, NONE);

    // A second time it says no, on a page that says why.
    browser.goto(link.trim()).await?;
    browser.text_of("main", "auth.ticket_used").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_a_run_that_waits_is_answered_with_the_keyboard() -> Result<()> {
    let sink = Sink::start(|_, _| (200, json!({}), Duration::ZERO)).await?;
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let cycle = ASK.replace("SINK", sink.url());
    let server = Folder::new(&[("ask.yaml", &cycle)], &settings)?
        .serve()
        .await?;
    let answer = server.hook("ask", "{}").await?.json();
    let run = format!("/runs/{}", answer["run"].as_str().context("a run")?);
    let waits = |seen: &Value| seen["status"] == "waiting";
    server.wait_for(&run, waits).await?;
    let link = sink.came()[0].body["link"].clone();
    let link = link.as_str().context("a link")?;

    let browser = Browser::start().await?;
    browser.goto(link).await?;
    assert_eq!(
        browser.find("h1").await?.text().await?,
        "ask: May <b>it</b> & go?"
    );
    browser.look(View::NARROW).await?;
    assert_eq!(browser.overhang().await?, 0);
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("resume_link.png");
    browser.screenshot(&target).await?;
    let png = std::fs::read(&target)?;
    let size: Vec<u32> = png[16..24]
        .chunks(4)
        .map(|four| four.iter().fold(0, |all, &byte| all << 8 | u32::from(byte)))
        .collect();
    assert_eq!(size, [View::NARROW.width, View::NARROW.height]);

    browser.press(&["Tab"]).await?;
    let focused = browser.focused().await?;
    assert!(focused.contains("name=\"why\""), "{focused}");
    browser.press(&["s", "o", "Tab"]).await?;
    let focused = browser.focused().await?;
    assert!(focused.starts_with("<button"), "{focused}");
    browser.press(&["Enter"]).await?;
    browser.text_of("h1", "Thank you").await?;
    server
        .wait_for(&run, |seen| seen["status"] == "succeeded")
        .await?;
    let said = server.log("event=run.succeeded").await?;
    assert_eq!(said[0]["message"], "heard so", "{said:?}");
    assert_eq!(browser.complaints().await?, NONE);
    Ok(())
}
