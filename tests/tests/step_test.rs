//! `step test`: a method is asked for real, and nothing else has happened.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink, ZOHO_INCREMENTAL, sign_in};
use velodrome_zoho_sim::{Sim, SimOptions};

/// The shipped cycle; its list step writes and logs what it sees.
fn cycle() -> String {
    let scripted = "  contacts:
    use: zoho.list_new_updated_contacts_by_page
    script: |
      fn before_action() {
          cyclr_storage_set(\"asked\", method_request_parameters.page);
          log(\"as \" + script_execution_context);
          return true;
      }
      fn after_action() {
          cyclr_storage_increment(\"answers\");
          log(\"asked for page \" + cyclr_storage_get(\"asked\"));
          return true;
      }
";
    let plain = "  contacts:\n    use: zoho.list_new_updated_contacts_by_page\n";
    assert!(ZOHO_INCREMENTAL.contains(plain));
    ZOHO_INCREMENTAL
        .replace(plain, scripted)
        .replace("for: 2 seconds", "for: 0 seconds")
}

async fn serve(sim: &Sim) -> Result<Server> {
    let options = SimOptions::default();
    let host = sim.url().trim_start_matches("http://");
    let settings = format!(
        "connections:\n  zoho:\n    connector: zoho_crm\n    settings:\n      accounts_url: {}\n      hosts: {host}\n    \
         auth:\n      client_id: {}\n      client_secret: {}\negress:\n  allow: [\"{host}\"]\n",
        sim.url(),
        options.client_id,
        options.client_secret,
    );
    let folder = Folder::new(&[("zoho_incremental.yaml", &cycle())], &settings)?;
    folder.serve().await
}

/// `velodrome step test …`: the exit code and both outputs.
async fn step_test(server: &Server, arguments: &[&str]) -> Result<(i32, String, String)> {
    let line = [&["step", "test"], arguments].concat();
    server.folder().command(&line).await
}

/// The same as JSON, which must have succeeded or failed as the test expects.
async fn tested(server: &Server, code: i32, arguments: &[&str]) -> Result<Value> {
    let line = [arguments, &["--json"]].concat();
    let (seen, output, error) = step_test(server, &line).await?;
    ensure!(seen == code, "{arguments:?}: {seen} {output} {error}");
    Ok(serde_json::from_str(&output)?)
}

/// All that a test must leave as it is.
async fn kept(server: &Server) -> Result<Value> {
    Ok(json!({
        "watermarks": server.get("/watermarks").await?,
        "storage": server.get("/storage/zoho").await?,
        "runs": server.get("/runs").await?,
        "loops": server.get("/loops").await?,
        "log": server.log("").await?.len(),
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_asked_by_its_watermark_and_neither_it_nor_storage_moves() -> Result<()> {
    let sim = velodrome_zoho_sim::start(SimOptions {
        records: 250,
        ..SimOptions::default()
    })
    .await?;
    let server = serve(&sim).await?;

    // Nobody has signed in yet.
    let seen = tested(
        &server,
        1,
        &["zoho_incremental", "contacts", r#"{"page": 1}"#],
    )
    .await?;
    assert_eq!(seen["error"]["code"], "auth.needs_connection", "{seen}");
    assert!(
        seen["error"]["at"]
            .as_str()
            .unwrap_or_default()
            .ends_with("zoho_incremental.yaml:20"),
        "{seen}"
    );
    sign_in(&server, "zoho").await?;
    // The log tells of it when the browser has its answer already.
    server.log_of("event=connection.refreshed", 1).await?;

    let before = kept(&server).await?;
    assert_eq!(before["watermarks"]["items"], json!([]));
    let seen = tested(
        &server,
        0,
        &["zoho_incremental", "contacts", r#"{"page": 1}"#],
    )
    .await?;
    assert_eq!(
        (
            &seen["status"],
            &seen["count"],
            &seen["fields"]["more_records"]
        ),
        (&json!("succeeded"), &json!(200), &json!(true)),
        "{seen}"
    );
    assert_eq!(seen["request"]["method"], "GET");
    let url = seen["request"]["url"].as_str().unwrap_or_default();
    assert!(
        url.starts_with(sim.url()) && url.contains("page=1"),
        "{url}"
    );
    assert_eq!(seen["request"]["headers"]["authorization"], "•••", "{seen}");
    assert_eq!(seen["request"]["headers"]["if-modified-since"], Value::Null);
    assert_eq!(seen["response"]["status"], 200);
    assert!(seen["response"]["ms"].is_u64() && seen["response"]["bytes"].as_u64() > Some(1_000));
    assert_eq!(seen["records"].as_array().map(Vec::len), Some(3), "{seen}");
    assert!(seen["records"][0]["Email"].is_string(), "{seen}");
    assert_eq!(seen["logs"], json!(["as STEP_TESTING", "asked for page 1"]));
    let not_stored = json!([
        {"storage": "cyclr", "does": "set", "key": "asked"},
        {"storage": "cyclr", "does": "increment", "key": "answers"},
    ]);
    assert_eq!(seen["not_stored"], not_stored);
    assert_eq!(kept(&server).await?, before);

    // A loop moves the date; the next test asks by it and leaves it.
    let accepted = server.hook("zoho_incremental", r#"{"page": 1}"#).await?;
    let looped = server
        .loop_over(accepted.json()["loop"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(looped["status"], "succeeded", "{looped}");
    let before = kept(&server).await?;
    let date = before["watermarks"]["items"][0]["last_successful_run_date"].clone();
    assert!(date.is_string(), "{before}");
    let (code, output, error) =
        step_test(&server, &["zoho_incremental", "contacts", r#"{"page": 1}"#]).await?;
    assert_eq!(code, 0, "{output}{error}");
    let date = date.as_str().unwrap_or_default();
    for told in [
        "asked      GET ",
        "answered   304 · 0 records",
        &format!("watermark  read as {date}, not moved"),
        "storage    not written: cyclr_storage_set `asked`",
        "  as STEP_TESTING",
    ] {
        assert!(output.contains(told), "{told}: {output}");
    }
    assert!(output.contains("if-modified-since: 20"), "{output}");
    let asked = sim.url().to_owned() + "/_sim/requests";
    let asked = server.client().send("GET", &asked, &[], Vec::new()).await?;
    let lists = asked.text.matches("/crm/v8/Contacts").count();
    // One before the loop, two laps, one after.
    assert_eq!(lists, 4, "{}", asked.text);
    assert_eq!(kept(&server).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_nothing_or_lacks_an_input_is_refused_before_anything_is_asked() -> Result<()> {
    let sim = velodrome_zoho_sim::start(SimOptions::default()).await?;
    let server = serve(&sim).await?;
    for (step, code, told) in [
        ("more_records", "step.not_testable", "is a tool"),
        ("pause", "step.not_testable", "is a tool"),
        (
            "webhook",
            "step.not_testable",
            "`velodrome trigger zoho_incremental`",
        ),
        (
            "next_page",
            "step.not_testable",
            "hands off to `zoho_incremental`",
        ),
        ("remember", "step.not_testable", "moves a watermark"),
        ("contcts", "step.unknown", "`contacts`"),
        ("contacts", "step.test_input", "give it as {\"page\": …}"),
    ] {
        let (exit, output, error) = step_test(&server, &["zoho_incremental", step]).await?;
        assert_eq!((exit, output.as_str()), (1, ""), "{step}: {error}");
        let code = format!("error[{code}]");
        assert!(
            error.contains(&code) && error.contains(told),
            "{step}: {error}"
        );
    }
    let (exit, _, error) = step_test(&server, &["nothing", "contacts"]).await?;
    assert!(exit == 1 && error.contains("cycle.unknown"), "{error}");
    // An input that the method does not have fails as it would in a run.
    let seen = tested(
        &server,
        1,
        &["zoho_incremental", "contacts", r#"{"page": 1, "pge": 2}"#],
    );
    assert_eq!(seen.await?["status"], "failed");

    for wrong in ["[1]", "{page: 1}"] {
        let (exit, _, error) = step_test(&server, &["zoho_incremental", "contacts", wrong]).await?;
        assert_eq!(exit, 2, "{wrong}: {error}");
    }
    let token = server.folder().path().join("wrong.token");
    std::fs::write(&token, "vdt_wrong")?;
    let token = token.display().to_string();
    let line = [
        "zoho_incremental",
        "contacts",
        r#"{"page": 1}"#,
        "--token-file",
        &token,
    ];
    let (exit, _, error) = step_test(&server, &line).await?;
    assert_eq!(exit, 5, "{error}");
    let line = [
        "zoho_incremental",
        "contacts",
        "{}",
        "--server",
        "http://127.0.0.1:9",
        "--token-file",
        &token,
    ];
    let (exit, _, error) = step_test(&server, &line).await?;
    assert_eq!(exit, 4, "{error}");
    assert_eq!(sim.stats().list_requests, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_as_a_run_would_and_its_faults_are_placed() -> Result<()> {
    let sink = Sink::start(|came, _| {
        let status = if came.path.starts_with("/bad") {
            422
        } else {
            200
        };
        let told = json!({"sent": came.body, "path": came.path, "email": "rosa@shop.example"});
        (status, told, Duration::ZERO)
    })
    .await?;
    let url = sink.url();
    let cycle = format!(
        r#"cycle: sends
log: {{redact: [email]}}
steps:
  webhook: {{use: generic_webhook.webhook, then: order}}
  order:
    use: generic_webhook.post
    url: {url}/orders/${{webhook.id}}
    headers: {{X-Key: "Bearer ${{secret:shop_key}}"}}
    map: {{name: "${{webhook.name}}", kind: test}}
    script: |
      fn before_action() {{
          cyclr_storage_set("tries", 1);
          method_request.more = "from a script";
          return true;
      }}
      fn after_action() {{
          cyclr_storage_increment("tries");
          log("tries " + cyclr_storage_get("tries") + " for {{}}");
          return true;
      }}
    then: each
  each:
    use: generic_webhook.post
    url: {url}/items
    for_each: ${{webhook.items}}
    map: {{sku: "${{item.sku}}", at: "${{index}}"}}
    then: bad
  bad:
    use: generic_webhook.get
    url: {url}/bad
    then: throws
  throws:
    use: generic_webhook.get
    url: {url}/never
    script: |
      fn before_action() {{
          log("on the way");
          throw "no order";
      }}
"#
    );
    let settings = format!("egress:\n  allow: [\"{}\"]\n", sink.host());
    let folder = Folder::new(&[("sends.yaml", &cycle)], &settings)?;
    let server = folder.serve().await?;
    let (code, _, error) = server
        .folder()
        .command(&["secret", "set", "shop_key", "very secret"])
        .await?;
    assert_eq!(code, 0, "{error}");

    // What only a run has is asked for, by name and in the form that gives it.
    let (code, _, error) = step_test(&server, &["sends", "order", r#"{"name": "Rosa"}"#]).await?;
    assert!(
        code == 1 && error.contains(r#"--data`, as {"webhook": {"id": …}}"#),
        "{error}"
    );
    assert!(sink.came().is_empty());

    let data = r#"{"webhook": {"id": "a/7"}}"#;
    let line = ["sends", "order", r#"{"name": "Rosa"}"#, "--data", data];
    let seen = tested(&server, 0, &line).await?;
    let came = sink.came().pop().context("a request")?;
    assert_eq!(came.path, "/orders/a%2F7");
    assert_eq!(
        came.body,
        json!({"name": "Rosa", "kind": "test", "more": "from a script"})
    );
    assert!(
        came.head.contains("Bearer very secret") && !came.key.is_empty(),
        "{}",
        came.head
    );
    assert_eq!(seen["request"]["headers"]["x-key"], "Bearer •••", "{seen}");
    assert_eq!(seen["request"]["body"], came.body);
    assert_eq!(seen["body"]["sent"], came.body);
    assert_eq!(seen["body"]["email"], "[redacted]", "{seen}");
    assert_eq!(
        seen["logs"][0]
            .as_str()
            .unwrap_or_default()
            .split(" for")
            .next(),
        Some("tries 2")
    );
    assert_eq!(
        seen["not_stored"].as_array().map(Vec::len),
        Some(2),
        "{seen}"
    );
    let stored = server.get("/storage/generic_webhook").await?;
    assert_eq!(stored["items"], json!([]), "{stored}");

    // One call of a `for_each`.
    let line = ["sends", "each", "--data", r#"{"item": {"sku": "x-1"}}"#];
    tested(&server, 0, &line).await?;
    assert_eq!(
        sink.came().pop().context("a request")?.body,
        json!({"sku": "x-1", "at": 0})
    );

    // A cycle that runs nothing can be tried out all the same.
    let stopped = server.api("POST", "/cycles/sends/stop").await?;
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    let before = sink.came().len();
    let seen = tested(&server, 1, &["sends", "bad"]).await?;
    assert!(seen["response"]["ms"].is_u64(), "{seen}");
    assert_eq!(
        (
            &seen["error"]["code"],
            &seen["error"]["status"],
            &seen["response"]["status"]
        ),
        (&json!("request.status"), &json!(422), &json!(422)),
        "{seen}"
    );
    assert_eq!(seen["error"]["body"]["email"], "[redacted]", "{seen}");
    // Nothing is tried again.
    assert_eq!(sink.came().len(), before + 1);

    let (code, output, error) = step_test(&server, &["sends", "throws"]).await?;
    assert_eq!(code, 1, "{error}");
    for told in [
        "asked     nothing",
        "no order",
        "script.threw",
        "sends.yaml:38",
        "to do",
        "  on the way",
    ] {
        assert!(output.contains(told), "{told}: {output}");
    }
    assert_eq!(sink.came().len(), before + 1);
    assert_eq!(server.get("/runs").await?["items"], json!([]));
    Ok(())
}
