//! `docs/tutorial_connector.md`: the files of the page, as they stand in it, against the API that it describes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use velodrome_tests::{Came, Folder, Sink};

const PAGE: &str = include_str!("../../docs/tutorial_connector.md");
/// Where the page's own settings say that the shop and the warehouse are.
const SHOP: &str = "127.0.0.1:8300";
const ORDERS: u64 = 250;

/// The blocks of the page that begin with a comment that names a file.
fn files() -> BTreeMap<&'static str, &'static str> {
    let blocks = PAGE.split("\n```yaml\n").skip(1);
    let texts = blocks.filter_map(|block| block.split("\n```").next());
    texts
        .filter_map(|text| {
            let name = text.lines().next()?.strip_prefix("# ")?;
            name.ends_with(".yaml").then_some((name, text))
        })
        .collect()
}

fn parameters(came: &Came) -> BTreeMap<String, String> {
    let (_, query) = came.path.split_once('?').unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.replace("%3A", ":")))
        .collect()
}

/// As the page says, with what goes wrong on the way: the answer of these cursors, once each.
fn shop(came: &Came, troubles: &mut Vec<(&str, u16, Value)>) -> (u16, Value) {
    if came.path == "/warehouse/parcels" {
        return (201, json!({}));
    }
    let asked = parameters(came);
    let signed = came
        .head
        .lines()
        .any(|line| line.eq_ignore_ascii_case("authorization: Bearer a-key-of-the-tutorial"));
    if !signed {
        return (401, json!({"code": "no_key"}));
    }
    if asked.get("state").map(String::as_str) != Some("paid")
        || !came.path.starts_with("/v2/orders")
    {
        return (404, json!({"code": "not_this"}));
    }
    let after = asked.get("after").map_or("", String::as_str);
    if let Some(at) = troubles.iter().position(|(cursor, ..)| *cursor == after) {
        let (_, status, body) = troubles.remove(at);
        return (status, body);
    }
    // Nothing has changed since the first run.
    let total = if asked.contains_key("changed_since") {
        0
    } else {
        ORDERS
    };
    let first = match after.strip_prefix("c-").map(str::parse::<u64>) {
        None => 0,
        Some(Ok(first)) => first,
        Some(Err(_)) => return (400, json!({"error": {"code": "cursor_expired"}})),
    };
    let limit: u64 = asked
        .get("limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(20);
    let end = (first + limit).min(total);
    let orders: Vec<Value> = (first..end)
        .map(|id| {
            json!({
                "id": format!("o-{id}"), "email": format!("buyer{id}@example.com"),
                "updated_at": "2026-11-23T09:30:00Z",
            })
        })
        .collect();
    let more = end < total;
    let next = more.then(|| format!("c-{end}"));
    (
        200,
        json!({"orders": orders, "meta": {"next": next, "has_more": more}}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_the_page_bring_each_order_once() -> Result<()> {
    let files = files();
    let connector = files
        .get("connectors/velo_parts.yaml")
        .context("the connector")?;
    ensure!(connector.lines().count() < 40, "in under 40 lines");

    let troubles = std::sync::Mutex::new(vec![
        ("c-100", 503, json!({})),
        ("c-200", 400, json!({"error": {"code": "cursor_expired"}})),
    ]);
    let sink = Sink::start(move |came, _| {
        let mut troubles = troubles
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let (status, body) = shop(came, &mut troubles);
        (status, body, Duration::ZERO)
    })
    .await?;
    let settings = files.get("velodrome.yaml").context("the settings")?;
    ensure!(
        settings.contains(SHOP),
        "the settings say where the shop is"
    );
    let folder = Folder::new(&[], &settings.replace(SHOP, sink.host()))?;
    for (name, text) in files.iter().filter(|(name, _)| name.contains('/')) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(path, text.replace(SHOP, sink.host()))?;
    }

    let (code, said, errors) = folder.command(&["check"]).await?;
    assert_eq!(code, 0, "{said}{errors}");
    let (code, said, errors) = folder.command(&["test"]).await?;
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains("3 tests passed"), "{said}");

    let server = folder.serve().await?;
    let set = ["secret", "set", "velo_parts", "a-key-of-the-tutorial"];
    let (code, _, errors) = server.folder().command(&set).await?;
    assert_eq!(code, 0, "{errors}");
    let trigger = ["trigger", "paid_orders", "{}", "--follow"];
    let (code, _, errors) = server.folder().command(&trigger).await?;
    assert_eq!(code, 0, "{errors}");

    let mut parcels: BTreeMap<String, u32> = BTreeMap::new();
    for came in sink
        .came()
        .iter()
        .filter(|came| came.path == "/warehouse/parcels")
    {
        let order = came.body["order"].as_str().context("an order")?;
        *parcels.entry(order.to_owned()).or_default() += 1;
    }
    assert_eq!(parcels.len() as u64, ORDERS);
    assert!(parcels.values().all(|times| *times == 1), "{parcels:?}");

    // The next run asks for what has changed since the first answer, less the overlap, and sends nothing.
    let (code, _, errors) = server.folder().command(&trigger).await?;
    assert_eq!(code, 0, "{errors}");
    let came = sink.came();
    let last = came.last().context("it asked")?;
    let since = parameters(last).remove("changed_since");
    assert_eq!(since.as_deref(), Some("2026-11-23T11:59:55Z"));
    Ok(())
}
