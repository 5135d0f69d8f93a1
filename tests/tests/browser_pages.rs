//! How the console's pages look and read, each in light and dark, wide and on a small telephone: nothing scrolls
//! sideways, the browser complains of nothing, axe-core finds no barrier. What they do is in `browser_console.rs`.
//!
//! The pictures of the documentation are taken here:
//!
//! ```sh
//! VELODROME_PICTURES=docs/images cargo test -p velodrome-tests --test browser_pages
//! ```

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use velodrome_tests::{Browser, Folder, Server, Sink, View, ZOHO_INCREMENTAL, ZohoBinary};

/// A shop that takes no order.
const ORDERS: &str = r#"
cycle: orders
name: Orders to the shop
log: {payloads: full}
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      order: {type: integer, required: true}
    script: |
      fn after_webhook() {
          cyclr_storage_set("lastOrder", method_response.order);
          return true;
      }
    then: paid
  paid:
    use: decision
    if: {left: "${webhook.paid}", is: equals, right: true}
    then: send
  send:
    use: generic_webhook.post
    name: Send the order to the shop
    url: SINK/orders
    retry: {times: 1, first: 1 second}
    map: {order: "${webhook.order}", customer: "${webhook.customer}"}
"#;

/// So many contacts has the simulator: eight pages.
const CONTACTS: u32 = 1_500;

/// A server with what an evening leaves: a loop that goes on, failed runs, something in storage.
struct Evening {
    server: Server,
    running: String,
    failed: String,
    _zoho: ZohoBinary,
    _shop: Sink,
}

async fn evening(browser: &Browser) -> Result<Evening> {
    let zoho = ZohoBinary::start(CONTACTS).await?;
    let shop = Sink::start(|_, _| {
        let answer = json!({"error": "maintenance", "until": "06:00"});
        (503, answer, Duration::ZERO)
    })
    .await?;
    // The simulator's settings end with what requests may reach.
    let settings = zoho
        .settings
        .replace("allow: [", &format!("allow: [\"{}\", ", shop.host()));
    let orders = ORDERS.replace("SINK", shop.url());
    let cycles = [
        ("zoho_incremental.yaml", ZOHO_INCREMENTAL),
        ("orders.yaml", &orders),
    ];
    let server = Folder::new(&cycles, &settings)?.serve().await?;
    browser.sign_in(&server).await?;
    browser.click("Connections").await?;
    browser.click("Sign in").await?;
    browser.text_of("h1", "Simulated Zoho").await?;
    browser.click("Accept").await?;
    browser.text_of("main", "Signed in").await?;
    server
        .wait_for("/cycles/zoho_incremental", |seen| {
            seen["state"] == "running"
        })
        .await?;
    let mut failed = String::new();
    for order in 4711..4714 {
        let body = json!({"order": order, "paid": true, "customer": {"name": "Ada"}});
        let answer = server.hook("orders", &body.to_string()).await?.json();
        failed = answer["run"].as_str().context("a run")?.to_owned();
    }
    server.log_of("event=run.failed", 3).await?;
    let answer = server
        .hook("zoho_incremental", r#"{"page": 1}"#)
        .await?
        .json();
    let running = answer["loop"].as_str().context("a loop")?.to_owned();
    Ok(Evening {
        server,
        running,
        failed,
        _zoho: zoho,
        _shop: shop,
    })
}

/// Where pictures go, if they are asked for. Cargo runs tests in their package's folder.
fn pictures() -> Option<PathBuf> {
    let folder = std::env::var_os("VELODROME_PICTURES")?;
    Some(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(folder),
    )
}

async fn picture(browser: &Browser, name: &str) -> Result<()> {
    match pictures() {
        Some(folder) => browser.screenshot(&folder.join(name)).await,
        None => Ok(()),
    }
}

/// Looks at the page in every way there is.
async fn look_at(browser: &Browser, page: &str, wrong: &mut Vec<String>) -> Result<()> {
    for view in [View::DESKTOP, View::NARROW] {
        for view in [view, view.dark()] {
            browser.look(view).await?;
            let mut found = browser.barriers().await?;
            let wider = browser.overhang().await?;
            if wider > 0 {
                found.push(format!("it is {wider} pixels wider than the window"));
            }
            found.extend(browser.complaints().await?);
            let (width, scheme) = (view.width, view.scheme);
            wrong.extend(
                found
                    .into_iter()
                    .map(|what| format!("{page} ({width}, {scheme:?}): {what}")),
            );
        }
    }
    browser.look(View::DESKTOP).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_for_everybody_in_light_and_dark_on_wide_and_narrow_screens() -> Result<()> {
    let browser = Browser::start().await?;
    let evening = evening(&browser).await?;
    let (server, mut wrong) = (&evening.server, Vec::new());
    let at = |page: &str| format!("{}{page}", server.url());
    let live = "return document.body.dataset.live === 'on'";

    // While the loop goes on: five of its laps are there.
    let looped = format!("/loops/{}", evening.running);
    browser.goto(&at(&looped)).await?;
    browser
        .wait_for("return document.querySelectorAll('tr[id^=lap-]').length >= 5")
        .await?;
    picture(&browser, "loop.png").await?;
    browser.look(View::DESKTOP.dark()).await?;
    picture(&browser, "loop_dark.png").await?;
    browser.look(View::NARROW).await?;
    picture(&browser, "loop_narrow.png").await?;
    browser.look(View::DESKTOP).await?;
    for (page, name) in [
        ("/", "overview.png"),
        ("/cycles/zoho_incremental", "cycle.png"),
        ("/log", "log.png"),
    ] {
        browser.goto(&at(page)).await?;
        browser.wait_for(live).await?;
        picture(&browser, name).await?;
    }
    server.loop_over(&evening.running).await?;

    let failed = format!("/runs/{}", evening.failed);
    let mut pages = vec![
        "/",
        "/cycles/zoho_incremental",
        "/cycles/orders",
        "/loops",
        &looped,
        "/runs",
        "/runs?status=failed",
        &failed,
        "/connections",
        "/storage",
        "/storage/keys?connection=generic_webhook",
        "/log",
        "/log?level=error",
    ];
    // What is no page, and the sign-in, look as they do for a person who goes astray.
    pages.push("/cycles/nowhere");
    pages.push("/sign-in");
    for page in pages {
        browser.goto(&at(page)).await?;
        if page == failed {
            picture(&browser, "run.png").await?;
            let unfold = "document.querySelectorAll('details').forEach(one => { one.open = true })";
            browser.script(unfold, json!([])).await?;
        }
        if page == "/connections" {
            picture(&browser, "connections.png").await?;
        }
        if page == "/cycles/nowhere" {
            // That it answers 404 is what the browser complains of.
            browser.complaints().await?;
        }
        look_at(&browser, page, &mut wrong).await?;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
