//! The cycles and settings that the scenarios run on.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use velodrome_tests::{Folder, Server};

/// The list API of `pages.rs` as a connector.
const CONNECTOR: &str = "connector: pages
title: Pages of 200 records
settings:
  base: {title: Where it is}
base_url: \"${settings.base}\"
limits: {concurrent: 1000}
methods:
  list:
    title: One page
    kind: list
    verb: GET
    path: /records
    query: {per_page: 200}
    inputs:
      page: {title: Page, type: integer, required: true, query: page}
      walk: {title: Which loop asks, type: integer, query: walk}
    response:
      records: data
      fields:
        more_records: {title: More records, path: info.more_records, when_empty: false}
    paging: {style: by_hand}
";

/// A server with this cycle, speaking to a list API at `host`.
pub(crate) async fn serve(cycle: &str, host: &str) -> Result<Server> {
    let settings = format!(
        "connectors: ./connectors\nconnections:\n  pages:\n    connector: pages\n    settings: {{base: \"http://{host}\"}}\negress:\n  allow: [\"{host}\"]\n"
    );
    let folder = Folder::new(&[("load.yaml", cycle)], &settings)?;
    let connectors = folder.path().join("connectors");
    std::fs::create_dir(&connectors)?;
    std::fs::write(connectors.join("pages.yaml"), CONNECTOR)?;
    let server = folder.serve().await?;
    let cycle = server.get("/cycles/load").await?;
    ensure!(
        cycle["state"] == "running",
        "the cycle does not run: {cycle:#}"
    );
    Ok(server)
}

/// The page loop with a delay of so long, keeping its page in the loop's own storage.
pub(crate) fn page_loop(delay: &str) -> String {
    format!(
        "cycle: load
log: {{payloads: none}}
loop: {{max_laps: none}}
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {{type: integer, required: true, minimum: 1}}
      walk: {{type: integer, default: 0}}
    script: |
      fn after_webhook() {{
          loop_storage_set(\"page\", method_response.page);
          return true;
      }}
    then: records
  records:
    use: pages.list
    map:
      page: ${{webhook.page}}
      walk: ${{webhook.walk}}
    then: more_records
  more_records:
    use: decision
    if: {{left: \"${{records.more_records}}\", is: equals, right: true}}
    then: pause
  pause:
    use: delay
    for: {delay}
    then: next_page
  next_page:
    use: generic_webhook.post
    url: ${{webhook.url}}
    map:
      page: ignore
      walk: ${{webhook.walk}}
    script: |
      fn before_action() {{
          method_request.page = loop_storage_get(\"page\") + 1;
          return true;
      }}
"
    )
}

/// How many loops of the listing have this status; the listing ends at `limit`.
pub(crate) async fn loops(server: &Server, status: &str, limit: usize) -> Result<usize> {
    let seen = server
        .get(&format!("/loops?status={status}&limit={limit}"))
        .await?;
    let items = seen["items"].as_array().map(Vec::len);
    items.context("no items")
}

/// The newest log line's `seq`.
pub(crate) async fn last_seq(server: &Server) -> Result<u64> {
    let answer = server.api("GET", "/log?tail=1").await?;
    let line: Value = serde_json::from_str(answer.text.lines().next().unwrap_or("{}"))?;
    Ok(line["seq"].as_u64().unwrap_or(0))
}
