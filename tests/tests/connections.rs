//! Signing in and out as a person does, and what becomes of cycles meanwhile, against the simulator.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, sign_in};
use velodrome_zoho_sim::{Sim, SimOptions};

const LIST: &str = "
cycle: list
concurrency: 1
steps:
  webhook: {use: generic_webhook.webhook, then: contacts}
  contacts: {use: zoho.list_new_updated_contacts_by_page, map: {page: 1}}
";

const MANY: &str = "
cycle: many
steps:
  webhook: {use: generic_webhook.webhook, then: contacts}
  contacts: {use: zoho.list_new_updated_contacts_by_page, map: {page: 1}}
";

async fn simulator() -> Result<Sim> {
    Ok(velodrome_zoho_sim::start(SimOptions {
        records: 300,
        ..SimOptions::default()
    })
    .await?)
}

/// A server with a connection to the simulator; `auth` is its client, as the settings have it.
async fn serve(sim: &Sim, auth: &str) -> Result<Server> {
    let host = sim.url().trim_start_matches("http://");
    let settings = format!(
        "connections:\n  zoho:\n    connector: zoho_crm\n    settings:\n      accounts_url: {}\n      hosts: {host}\n{auth}egress:\n  allow: [\"{host}\"]\n",
        sim.url(),
    );
    Folder::new(&[("list.yaml", LIST), ("many.yaml", MANY)], &settings)?
        .serve()
        .await
}

fn whole_client() -> String {
    let options = SimOptions::default();
    format!(
        "    auth: {{client_id: {}, client_secret: {}}}\n",
        options.client_id, options.client_secret
    )
}

async fn order(server: &Server, sim: &Sim, switch: &str, body: Value) -> Result<()> {
    let url = format!("{}/_sim/{switch}", sim.url());
    let answer = server.client().post(&url, &body.to_string()).await?;
    anyhow::ensure!(answer.status == 200, "{}", answer.text);
    Ok(())
}

async fn begin(server: &Server, cycle: &str) -> Result<String> {
    let accepted = server.hook(cycle, "{}").await?;
    anyhow::ensure!(accepted.status == 202, "{}", accepted.text);
    let told = accepted.json();
    Ok(told["loop"].as_str().context("a loop")?.to_owned())
}

async fn run(server: &Server, cycle: &str) -> Result<Value> {
    let id = begin(server, cycle).await?;
    server.loop_over(&id).await
}

/// Everything below a folder, read.
fn contents(folder: &std::path::Path) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => all.extend(contents(&path)?),
            false => all.extend(std::fs::read(&path)?),
        }
    }
    Ok(all)
}

fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_client_is_asked_for_and_kept_sealed() -> Result<()> {
    let sim = simulator().await?;
    let options = SimOptions::default();
    let mut server = serve(&sim, "").await?;
    let seen = server.get("/connections/zoho").await?;
    assert_eq!(seen["asks"], json!(["client_id", "client_secret"]));
    assert_eq!(seen["state"], "needs_sign_in");
    let refused = server.api("POST", "/connections/zoho/connect").await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "auth.missing_client")
    );

    let (code, _, said) = server.folder().command(&["connect", "zoho"]).await?;
    assert_eq!(code, 2, "nobody is there to ask: {said}");
    let answers = format!("{}\n{}\n", options.client_id, options.client_secret);
    let (code, link, said) = server
        .folder()
        .command_told(&["connect", "zoho"], &answers)
        .await?;
    assert_eq!(code, 0, "{said}");
    assert!(
        link.starts_with(&format!("{}/connector/start?ticket=", server.url())),
        "{link}"
    );

    let seen = server.get("/connections").await?;
    let zoho = &seen["items"][0];
    assert_eq!((&zoho["id"], &zoho["asks"]), (&json!("zoho"), &json!([])));
    assert_eq!(zoho["client_id"], json!(options.client_id));
    sign_in(&server, "zoho").await?;
    assert_eq!(run(&server, "list").await?["status"], "succeeded");

    // It is there after a restart, and nowhere in the open.
    server.stop().await?;
    let kept = contents(&server.folder().path().join("data"))?;
    assert!(
        !holds(&kept, &options.client_secret),
        "the secret lies in the open"
    );
    server.start().await?;
    assert_eq!(run(&server, "list").await?["status"], "succeeded");
    order(&server, &sim, "tokens", json!({"expire": "all"})).await?;
    assert_eq!(
        run(&server, "list").await?["status"],
        "succeeded",
        "refreshed with it"
    );
    let shown = server.get("/connections/zoho").await?;
    assert_eq!(shown["state"], "ready");
    assert!(
        shown["expires"].is_string() && shown["scopes"].is_string(),
        "{shown}"
    );
    for hidden in [
        options.client_secret.as_str(),
        "1000.access",
        "refresh_token",
        "access_token",
    ] {
        assert!(!shown.to_string().contains(hidden), "{shown}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_settings_say_of_a_client_is_not_asked_and_not_written_over() -> Result<()> {
    let sim = simulator().await?;
    let server = serve(&sim, &whole_client()).await?;
    let (code, link, said) = server.folder().command(&["connect", "zoho"]).await?;
    assert_eq!(code, 0, "{said}");
    assert!(link.contains("/connector/start?ticket="), "{link}");
    let token = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
    let bearer = format!("Bearer {}", token.trim());
    let url = format!("{}/api/v1/connections/zoho/client", server.url());
    let body = br#"{"client_id": "other", "client_secret": "x"}"#.to_vec();
    let put = server
        .client()
        .send("PUT", &url, &[("authorization", &bearer)], body)
        .await?;
    assert_eq!(
        (put.status, put.code().as_str()),
        (409, "auth.client_declared")
    );
    let (code, _, said) = server
        .folder()
        .command(&["connect", "generic_webhook"])
        .await?;
    assert_eq!(code, 1, "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_the_api_ends_holds_the_cycle_until_somebody_signs_in() -> Result<()> {
    let sim = simulator().await?;
    let mut server = serve(&sim, &whole_client()).await?;
    sign_in(&server, "zoho").await?;
    assert_eq!(run(&server, "list").await?["status"], "succeeded");
    let signed_in = server.log("event=connection.refreshed").await?;
    assert_eq!(signed_in[0]["data"]["connection"], "zoho");

    // Two loops: the first finds out, the second is queued and stays so.
    order(&server, &sim, "options", json!({"latency_ms": 800})).await?;
    let slow = begin(&server, "list").await?;
    let first = begin(&server, "list").await?;
    let second = begin(&server, "list").await?;
    order(&server, &sim, "tokens", json!({"revoke": "refresh"})).await?;
    server.loop_over(&slow).await?;
    let failed = server.loop_over(&first).await?;
    assert_eq!(failed["status"], "failed", "{failed}");
    order(&server, &sim, "options", json!({"latency_ms": 0})).await?;
    let listed = server.get("/cycles/list").await?;
    assert_eq!(listed["state"], "needs_connection");
    assert!(
        listed["reason"]
            .to_string()
            .contains("velodrome connect zoho"),
        "{listed}"
    );
    let refused = server.hook("list", "{}").await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "cycle.needs_connection")
    );
    let ended = server.log("event=connection.failed").await?;
    assert_eq!(ended[0]["code"], "auth.needs_connection", "{ended:#?}");
    assert_eq!(
        server.get(&format!("/loops/{second}")).await?["status"],
        "queued"
    );

    // Also after a restart: nothing is asked of an API that has said no.
    server.stop().await?;
    server.start().await?;
    assert_eq!(
        server.get("/cycles/list").await?["state"],
        "needs_connection"
    );
    assert_eq!(
        server.get(&format!("/loops/{second}")).await?["status"],
        "queued"
    );

    sign_in(&server, "zoho").await?;
    assert_eq!(server.loop_over(&second).await?["status"], "succeeded");
    let retried = server.folder().command(&["loop", "retry", &first]).await?;
    assert_eq!(retried.0, 0, "{retried:?}");
    let over = server.wait_for(&format!("/loops/{first}"), |seen| {
        seen["status"] == "succeeded"
    });
    over.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_loops_refresh_once_and_a_throttled_refresh_passes() -> Result<()> {
    let sim = simulator().await?;
    let server = serve(&sim, &whole_client()).await?;
    sign_in(&server, "zoho").await?;
    order(&server, &sim, "tokens", json!({"expire": "all"})).await?;
    let mut loops = Vec::new();
    for _ in 0..20 {
        loops.push(begin(&server, "many").await?);
    }
    for id in &loops {
        assert_eq!(server.loop_over(id).await?["status"], "succeeded");
    }
    let refreshed = server.log("event=connection.refreshed").await?;
    assert_eq!(
        refreshed.len(),
        2,
        "the sign-in and one refresh: {refreshed:#?}"
    );

    // The refusal comes with 200 and is no end: the run waits as long as the connector says.
    order(
        &server,
        &sim,
        "tokens",
        json!({"access_denied_status": 200}),
    )
    .await?;
    order(&server, &sim, "tokens", json!({"throttle_after": 0})).await?;
    order(&server, &sim, "tokens", json!({"expire": "all"})).await?;
    let waits = begin(&server, "many").await?;
    let lines = server
        .log_of(&format!("loop={waits}&event=retry.scheduled"), 1)
        .await?;
    assert_eq!(lines[0]["code"], "auth.refresh_failed");
    assert!(
        lines[0]["message"].to_string().contains("10m"),
        "{}",
        lines[0]
    );
    assert_eq!(server.get("/cycles/many").await?["state"], "running");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_signs_out_at_the_api_and_here() -> Result<()> {
    let sim = simulator().await?;
    let server = serve(&sim, &whole_client()).await?;
    sign_in(&server, "zoho").await?;
    let (code, _, _) = server
        .folder()
        .command(&["connect", "zoho", "--revoke"])
        .await?;
    assert_eq!(code, 2, "nobody is there to ask");
    assert_eq!(run(&server, "list").await?["status"], "succeeded");
    let (code, _, said) = server
        .folder()
        .command(&["connect", "zoho", "--revoke", "--yes"])
        .await?;
    assert_eq!(code, 0, "{said}");
    let seen = server.get("/connections/zoho").await?;
    assert_eq!(
        (&seen["state"], &seen["expires"]),
        (&json!("needs_sign_in"), &Value::Null)
    );
    assert_eq!(
        server.hook("list", "{}").await?.code(),
        "cycle.needs_connection"
    );
    let requests = server
        .client()
        .send(
            "GET",
            &format!("{}/_sim/requests", sim.url()),
            &[],
            Vec::new(),
        )
        .await?;
    assert!(
        requests.text.contains("/oauth/v2/token/revoke"),
        "{}",
        requests.text
    );
    Ok(())
}
