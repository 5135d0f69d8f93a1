//! The console as a person uses it: headless Chromium on the real binary. How its pages look is in
//! `browser_pages.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use velodrome_tests::{Browser, Folder, Server, Sink, ZOHO_INCREMENTAL, ZohoBinary};

const NONE: [String; 0] = [];

/// A page loop that nobody ends but a person.
const PAGES: &str = r#"
cycle: pages
name: Page after page
loop: {max_laps: none}
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {type: integer, required: true}
    then: pause
  pause:
    use: delay
    for: 300 ms
    then: next_page
  next_page:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: "= webhook.page + 1"}
"#;

/// Sends what it gets to the sink; the shop is down until the test says otherwise.
const ORDERS: &str = r#"
cycle: orders
name: Orders to the shop
error_webhook: SINK/alert
steps:
  webhook:
    use: generic_webhook.webhook
    then: send
  send:
    use: generic_webhook.post
    url: SINK/order
    retry: 0
    map: {id: "${webhook.id}"}
"#;

/// Shows what came at every place that the console has for it.
const SHOWN: &str = r#"
cycle: shown
log: {payloads: full}
steps:
  webhook:
    use: generic_webhook.webhook
    script: |
      fn after_webhook() {
          cyclr_storage_set("said <b>here</b>", method_response.said);
          log(method_response.said);
          return true;
      }
    then: end
  end: {use: stop, as: failed, message: "${webhook.said}"}
"#;

/// The shop, which is down until the flag is set, and whoever is told of failed runs.
async fn shop() -> Result<(Sink, Arc<AtomicBool>)> {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let sink = Sink::start(move |came, _| {
        let status = match came.path.as_str() {
            "/order" if !is_up.load(Ordering::SeqCst) => 404,
            _ => 200,
        };
        (status, json!({}), Duration::ZERO)
    })
    .await?;
    Ok((sink, up))
}

async fn serve_orders(sink: &Sink) -> Result<Server> {
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let orders = ORDERS.replace("SINK", sink.url());
    Folder::new(&[("orders.yaml", &orders)], &settings)?
        .serve()
        .await
}

/// The number of laps that a loop's page shows.
async fn laps(browser: &Browser) -> Result<u64> {
    let rows = "return document.querySelectorAll('tr[id^=lap-]').length";
    let laps = browser.script(rows, json!([])).await?;
    laps.as_u64().context("a number of laps")
}

/// The end of the page's address.
async fn last_segment(browser: &Browser) -> Result<String> {
    let url = browser.url().await?;
    let id = url.rsplit('/').next().context("an id")?;
    Ok(id.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_started_watched_and_stopped() -> Result<()> {
    let server = Folder::new(&[("pages.yaml", PAGES)], "")?.serve().await?;
    let browser = Browser::start().await?;
    browser.sign_in(&server).await?;
    browser.click("pages").await?;
    browser.text_of("h1", "Page after page").await?;
    browser
        .find("form[action='/cycles/pages/trigger'] button")
        .await?
        .click()
        .await?;
    browser.text_of("h1", "Loop").await?;

    // What a reload would lose.
    browser.script("window.kept = true", json!([])).await?;
    browser
        .wait_for("return document.body.dataset.live === 'on'")
        .await?;
    let first = laps(&browser).await?;
    let more = format!("return document.querySelectorAll('tr[id^=lap-]').length >= {first} + 3");
    browser.wait_for(&more).await?;
    browser
        .wait_for("return document.querySelector('svg.bar rect.p-delay') !== null")
        .await?;
    assert_eq!(
        browser.script("return window.kept", json!([])).await?,
        json!(true)
    );

    let id = last_segment(&browser).await?;
    browser.click_and_confirm("Stop").await?;
    browser.text_of(".head .badge", "stopped").await?;
    let stopped = server.get(&format!("/loops/{id}")).await?;
    assert_eq!(stopped["status"], "stopped");
    assert_eq!(laps(&browser).await?, stopped["laps"].as_u64().unwrap_or(0));
    assert_eq!(browser.complaints().await?, NONE);

    // The server goes away, and the page says so.
    browser.goto(&server.url()).await?;
    browser
        .wait_for("return document.body.dataset.live === 'on'")
        .await?;
    let mut server = server;
    server.kill().await?;
    browser
        .text_of(".live", "not live: the server cannot be reached")
        .await?;
    server.start().await?;
    browser
        .wait_for("return document.body.dataset.live === 'on'")
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_found_and_resumed_in_three_clicks() -> Result<()> {
    let (sink, up) = shop().await?;
    let server = serve_orders(&sink).await?;
    let answer = server.hook("orders", r#"{"id": 7}"#).await?.json();
    let run = answer["run"].as_str().context("a run")?;
    server
        .wait_for(&format!("/runs/{run}"), |seen| seen["status"] == "failed")
        .await?;
    let browser = Browser::start().await?;
    browser.sign_in(&server).await?;
    up.store(true, Ordering::SeqCst);

    // 1: the run, among those that failed last.
    browser
        .find("[aria-labelledby=failures] a[href^='/runs/']")
        .await?
        .click()
        .await?;
    browser.at(run).await?;
    let told = browser.text_of("[role=alert]", "Failed at send").await?;
    for part in ["request.status", "orders.yaml:", "404", "To do"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // 2: it goes on.
    browser.click("Resume").await?;
    browser.at(run).await?;
    browser.text_of(".head .badge", "succeeded").await?;
    // 3: its loop, which goes on with it.
    browser
        .find(".trail a[href^='/loops/']")
        .await?
        .click()
        .await?;
    browser.text_of(".head .badge", "succeeded").await?;

    assert_eq!(
        server.get(&format!("/runs/{run}")).await?["status"],
        "succeeded"
    );
    let orders: Vec<Value> = sink
        .came()
        .into_iter()
        .filter(|came| came.path == "/order")
        .map(|came| came.body)
        .collect();
    assert_eq!(orders, [json!({"id": 7}), json!({"id": 7})]);
    assert_eq!(browser.complaints().await?, NONE);
    Ok(())
}

/// docs/operations.md, "At 3 a.m.".
#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_an_alert_leads_to_a_resumed_run() -> Result<()> {
    let (sink, up) = shop().await?;
    let server = serve_orders(&sink).await?;
    server.hook("orders", r#"{"id": 8}"#).await?;
    server.log_of("event=run.failed", 1).await?;
    let alert = sink.until(|came| came.path == "/alert").await?;
    let link = alert.body["RunUrl"].as_str().context("its RunUrl")?;
    up.store(true, Ordering::SeqCst);

    let browser = Browser::start().await?;
    browser.goto(link).await?;
    browser.text_of("h1", "Sign in to Velodrome").await?;
    browser.give_token(&server).await?;
    browser.text_of("[role=alert]", "Failed at send").await?;
    assert_eq!(browser.url().await?, link);
    browser.click("Resume").await?;
    browser.text_of(".head .badge", "succeeded").await?;
    assert_eq!(browser.url().await?, link);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_signed_in_and_out() -> Result<()> {
    let zoho = ZohoBinary::start(1).await?;
    let cycles = [("zoho_incremental.yaml", ZOHO_INCREMENTAL)];
    let server = Folder::new(&cycles, &zoho.settings)?.serve().await?;
    let browser = Browser::start().await?;
    browser.sign_in(&server).await?;
    browser.text_of(".badge", "needs connection").await?;

    browser.click("Connections").await?;
    let zoho = "[aria-labelledby=connection-zoho]";
    browser.text_of(zoho, "needs sign in").await?;
    browser.click("Sign in").await?;
    browser.text_of("h1", "Simulated Zoho").await?;
    browser.click("Accept").await?;
    browser.text_of("main", "Signed in").await?;
    browser
        .goto(&format!("{}/connections", server.url()))
        .await?;
    let told = browser.text_of(zoho, "ready").await?;
    assert!(told.contains("Token ends"), "{told}");
    let running = |seen: &Value| seen["state"] == "running";
    server.wait_for("/cycles/zoho_incremental", running).await?;

    browser.click_and_confirm("Revoke").await?;
    browser.text_of(zoho, "needs sign in").await?;
    assert_eq!(browser.complaints().await?, NONE);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_that_comes_is_text_wherever_it_is_shown() -> Result<()> {
    const MARKUP: &str =
        "</pre><script>window.ran=1</script><img src=x onerror=window.ran=1><b>bold</b>\"'";
    let server = Folder::new(&[("shown.yaml", SHOWN)], "")?.serve().await?;
    let body = json!({"said": MARKUP, "<i>key</i>": 1}).to_string();
    let answer = server.hook("shown", &body).await?.json();
    let [run, looped] = ["run", "loop"].map(|name| answer[name].as_str().unwrap_or_default());
    server.loop_over(looped).await?;
    let browser = Browser::start().await?;
    browser.sign_in(&server).await?;
    let unfold = "document.querySelectorAll('details').forEach(one => { one.open = true })";
    let ran = "return window.ran === 1 || document.querySelector('main img, main script, main b, main i') !== null";
    for page in [
        "/".to_owned(),
        format!("/runs/{run}"),
        format!("/loops/{looped}"),
        "/cycles/shown".to_owned(),
        "/log".to_owned(),
        "/runs?status=failed".to_owned(),
        "/storage/keys?connection=generic_webhook".to_owned(),
    ] {
        browser.goto(&format!("{}{page}", server.url())).await?;
        browser.script(unfold, json!([])).await?;
        // A list of runs shows no message.
        if !page.starts_with("/cycles") && !page.starts_with("/runs?") {
            browser.text_of("main", "window.ran=1</script>").await?;
        }
        assert_eq!(
            browser.script(ran, json!([])).await?,
            json!(false),
            "{page}"
        );
        assert_eq!(browser.complaints().await?, NONE, "{page}");
    }
    Ok(())
}

/// Signs in, starts a loop, stops it: with keys alone, and the focus is always seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_started_and_stopped_with_the_keyboard() -> Result<()> {
    let server = Folder::new(&[("pages.yaml", PAGES)], "")?.serve().await?;
    let browser = Browser::start().await?;
    browser.goto(&server.url()).await?;
    browser.text_of("h1", "Sign in to Velodrome").await?;
    let token: Vec<String> = server.token().chars().map(String::from).collect();
    let token: Vec<&str> = token.iter().map(String::as_str).collect();
    browser.press(&token).await?;
    browser.press(&["Enter"]).await?;
    browser.text_of("h1", "Overview").await?;

    // The first stop leads past what every page has.
    browser.press(&["Tab"]).await?;
    let first = browser.focused().await?;
    assert!(first.contains("href=\"#main\""), "{first}");
    browser.press(&["Enter"]).await?;
    browser.tab_to("href=\"/cycles/pages\"").await?;
    browser.press(&["Enter"]).await?;
    browser.text_of("h1", "Page after page").await?;
    browser.tab_to("<textarea").await?;
    browser.press(&["Tab", "Enter"]).await?;
    browser.text_of("h1", "Loop").await?;

    // The focus stays where it is while laps arrive.
    browser.tab_to("href=\"/runs/").await?;
    let held = browser.focused().await?;
    let first = laps(&browser).await?;
    let more = format!("return document.querySelectorAll('tr[id^=lap-]').length >= {first} + 2");
    browser.wait_for(&more).await?;
    assert_eq!(browser.focused().await?, held);

    let stop = "return document.activeElement.textContent.trim() === 'Stop'";
    browser.press(&["Escape"]).await?;
    for _ in 0..80 {
        browser.press(&["Shift+Tab"]).await?;
        if browser.script(stop, json!([])).await? == json!(true) {
            break;
        }
    }
    browser.press(&["Enter"]).await?;
    browser.confirm().await?;
    browser.text_of(".head .badge", "stopped").await?;
    assert_eq!(browser.complaints().await?, NONE);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_followed_as_far_as_its_filter_goes() -> Result<()> {
    let asks = PAGES.replace("pages", "others").replace("300 ms", "1 hour");
    let cycles = [("pages.yaml", PAGES), ("others.yaml", &asks)];
    let server = Folder::new(&cycles, "")?.serve().await?;
    let browser = Browser::start().await?;
    browser.sign_in(&server).await?;
    browser.click("Log").await?;
    browser.find("[name=cycle]").await?.fill("pages").await?;
    browser.find("[name=step]").await?.fill("webhook").await?;
    browser.click("Filter").await?;
    browser.text_of("main", "Nothing matches").await?;
    browser
        .wait_for("return document.body.dataset.live === 'on'")
        .await?;
    browser.script("window.kept = true", json!([])).await?;

    server.hook("others", r#"{"page": 40}"#).await?;
    server.hook("pages", r#"{"page": 7}"#).await?;
    for page in 7..10 {
        browser
            .text_of("table.log", &format!("accepted page={page}"))
            .await?;
    }
    let told = browser.find("table.log").await?.text().await?;
    assert!(
        !told.contains("others") && !told.contains("pause"),
        "{told}"
    );
    let kept = browser.script("return window.kept", json!([])).await?;
    assert_eq!(kept, json!(true));
    assert_eq!(browser.complaints().await?, NONE);
    Ok(())
}

/// A page is as new as its last loading then, and everything can be done.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_started_and_stopped_without_a_script() -> Result<()> {
    let server = Folder::new(&[("pages.yaml", PAGES)], "")?.serve().await?;
    let browser = Browser::start().await?;
    browser.without_scripts().await?;
    browser.sign_in(&server).await?;
    browser.click("pages").await?;
    browser
        .find("form[action='/cycles/pages/trigger'] button")
        .await?
        .click()
        .await?;
    browser.text_of("h1", "Loop").await?;
    let id = last_segment(&browser).await?;
    let third = |seen: &Value| seen["laps"].as_u64() >= Some(3);
    server.wait_for(&format!("/loops/{id}"), third).await?;
    browser.goto(&browser.url().await?).await?;
    assert!(laps(&browser).await? >= 3);
    browser.click("Stop").await?;
    browser.text_of(".head .badge", "stopped").await?;
    let live = browser
        .script("return document.body.dataset.live ?? null", json!([]))
        .await?;
    assert_eq!(live, Value::Null, "a script ran");
    Ok(())
}
