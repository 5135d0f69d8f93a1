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
    let shipped = include_str!("../../cycles/zoho_incremental.yaml");
    let line = shipped.lines().position(|line| line == "  contacts:");
    let place = format!("zoho_incremental.yaml:{}", line.context("the step")? + 1);
    let at = seen["error"]["at"].as_str().unwrap_or_default();
    assert!(at.ends_with(&place), "{seen}");
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

/// A list whose records and errors are long, and a request that carries what is never shown.
async fn serve_private(sink: &Sink) -> Result<Server> {
    let url = sink.url();
    let cycle = format!(
        r#"cycle: quiet
log: {{redact: [email]}}
steps:
  webhook: {{use: generic_webhook.webhook, then: people}}
  people: {{use: shop.people, then: post}}
  post:
    use: generic_webhook.post
    url: {url}/post?email=rosa%40shop.example#top
    query: {{page: "a b", email: "${{webhook.email}}"}}
    headers: {{Email: "${{webhook.email}}", X-Page: "7"}}
    map: {{email: "${{webhook.email}}"}}
    then: bad
  bad:
    use: generic_webhook.get
    url: {url}/bad
    then: cut
  cut:
    use: generic_webhook.get
    url: {url}/cut
    then: elsewhere
  elsewhere:
    use: generic_webhook.get
    url: http://127.0.0.1:9/never
    then: waits
  waits:
    use: generic_webhook.get
    url: {url}/wait
"#
    );
    let connector = format!(
        "connector: shop\nbase_url: {url}\nmethods:\n  people:\n    kind: list\n    verb: GET\n    path: /people\n    \
         response: {{records: data}}\n"
    );
    let settings = format!(
        "egress: {{allow: [\"{}\"]}}\nconnectors: ./connectors\n",
        sink.host()
    );
    let folder = Folder::new(&[("quiet.yaml", &cycle)], &settings)?;
    let connectors = folder.path().join("connectors");
    std::fs::create_dir(&connectors)?;
    std::fs::write(connectors.join("shop.yaml"), connector)?;
    folder.serve().await
}

/// The sink behind it: each path answers in its own way.
async fn private_sink() -> Result<Sink> {
    let person = |bytes: usize| json!({"email": "rosa@shop.example", "note": "x".repeat(bytes)});
    Sink::raw(move |came, _| {
        let path = came.path.split('?').next().unwrap_or_default();
        let (status, body) = match path {
            "/people" => (200, json!({"data": [person(70 * 1024), person(1)]})),
            "/post" => (200, person(70 * 1024)),
            "/bad" => (422, person(3 * 1024)),
            // More than what is kept of a bad answer.
            "/cut" => (422, person(70 * 1024)),
            "/wait" => (429, person(1)),
            _ => (404, Value::Null),
        };
        let headers = [
            ("content-type", "application/json"),
            ("email", "rosa@shop.example"),
            ("retry-after", "600"),
        ];
        let answer = Sink::answer(status, &headers, body.to_string().as_bytes());
        (answer, Duration::ZERO)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_a_cycle_never_shows_is_hidden_however_long_what_holds_it_is() -> Result<()> {
    let sink = private_sink().await?;
    let server = serve_private(&sink).await?;

    let seen = tested(&server, 0, &["quiet", "people"]).await?;
    let records = seen["records"].as_array().context("records")?;
    let long = records[0].as_str().context("a long record is cut off")?;
    assert!(
        long.starts_with(r#"{"email":"[redacted]","note":"xx"#) && long.ends_with('…'),
        "{long}"
    );
    assert_eq!(records[1], json!({"email": "[redacted]", "note": "x"}));
    assert!(!seen.to_string().contains("rosa"), "{seen}");

    // The request's URL, headers and body, and the answer's headers and body.
    let data = r#"{"webhook": {"email": "rosa@shop.example"}}"#;
    let seen = tested(&server, 0, &["quiet", "post", "--data", data]).await?;
    let came = sink.came().pop().context("a request")?;
    assert!(
        came.path.contains("page=a+b&email=rosa%40"),
        "{}",
        came.path
    );
    let url = seen["request"]["url"].as_str().unwrap_or_default();
    let expect = "/post?email=[redacted]&page=a+b&email=[redacted]";
    assert!(url.trim_end_matches("#top").ends_with(expect), "{url}");
    let headers = &seen["request"]["headers"];
    assert_eq!(
        (&headers["email"], &headers["x-page"]),
        (&json!("[redacted]"), &json!("7")),
        "{seen}"
    );
    assert_eq!(seen["request"]["body"], json!({"email": "[redacted]"}));
    assert_eq!(seen["response"]["headers"]["email"], "[redacted]");
    let long = seen["body"].as_str().context("a long body is cut off")?;
    assert!(long.starts_with(r#"{"email":"[redacted]","#), "{long}");
    assert!(!seen.to_string().contains("rosa"), "{seen}");

    let seen = tested(&server, 1, &["quiet", "bad"]).await?;
    let body = seen["error"]["body"].as_str().context("its beginning")?;
    assert!(
        body.starts_with(r#"{"email":"[redacted]","note":"xx"#) && body.ends_with('…'),
        "{body}"
    );
    assert!(!seen.to_string().contains("rosa"), "{seen}");

    // What no longer is JSON has no fields to hide: nothing of it is shown.
    let seen = tested(&server, 1, &["quiet", "cut"]).await?;
    let body = seen["error"]["body"].as_str().context("a word")?;
    assert!(body.starts_with("not shown: "), "{body}");
    assert!(!seen.to_string().contains("rosa"), "{seen}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_left_is_not_shown_as_asked() -> Result<()> {
    let sink = private_sink().await?;
    let server = serve_private(&sink).await?;
    let shown = |seen: &Value| {
        let code = seen["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (code, seen["request"].is_object())
    };

    let seen = tested(&server, 1, &["quiet", "elsewhere"]).await?;
    let expect = ("request.refused_address".to_owned(), false);
    assert_eq!(shown(&seen), expect, "{seen}");
    let (_, output, _) = step_test(&server, &["quiet", "elsewhere"]).await?;
    assert!(output.contains("asked     nothing"), "{output}");

    // The first is asked to wait; the second waits, here as in a run.
    let seen = tested(&server, 1, &["quiet", "waits"]).await?;
    assert_eq!(shown(&seen), ("request.status".to_owned(), true), "{seen}");
    let seen = tested(&server, 1, &["quiet", "waits"]).await?;
    assert_eq!(shown(&seen), ("request.held".to_owned(), false), "{seen}");
    assert_eq!(sink.came().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_and_data_come_in_the_body_and_nothing_else_does() -> Result<()> {
    let sink = private_sink().await?;
    let server = serve_private(&sink).await?;
    let token = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
    let bearer = format!("Bearer {}", token.trim());
    let ask = async |path: &str, body: &str| {
        let url = format!("{}/api/v1/cycles/quiet/steps/{path}", server.url());
        let headers = [("authorization", bearer.as_str())];
        let client = server.client();
        client.send("POST", &url, &headers, body.into()).await
    };

    // Neither must be there, nor a body.
    for body in ["", "{}", r#"{"inputs": {}}"#, r#"{"data": {}}"#] {
        let answer = ask("people/test", body).await?;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    }
    let body = r#"{"inputs": {"size": 7}, "data": {"webhook": {"email": "rosa@shop.example"}}}"#;
    let answer = ask("post/test", body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let came = sink.came().pop().context("a request")?;
    let expect = json!({"email": "rosa@shop.example", "size": 7});
    assert_eq!(came.body, expect);

    let before = sink.came().len();
    for (path, body, code, told) in [
        ("people/test", r#"{"page": 1}"#, "api.bad_body", "`page`"),
        (
            "people/test",
            r#"{"inputs": 7}"#,
            "api.bad_body",
            "`inputs`",
        ),
        ("people/test", r#"{"data": [1]}"#, "api.bad_body", "`data`"),
        ("people/test", "[1]", "api.bad_body", r#"{"inputs": "#),
        ("people/test", "{", "api.bad_body", "line 1, column 1"),
        (
            "people/test?data=%7B%7D",
            "{}",
            "api.bad_parameter",
            "`data`",
        ),
        (
            "people/test",
            r#"{"data": {"webhook": 7}}"#,
            "step.test_input",
            r#"{"webhook": {…}}"#,
        ),
        (
            "people/test",
            r#"{"data": {"nobody": {}}}"#,
            "step.test_input",
            "`nobody`",
        ),
    ] {
        let answer = ask(path, body).await?;
        let status = if code == "step.test_input" { 422 } else { 400 };
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{body}: {}",
            answer.text
        );
        assert!(
            answer.text.contains(&told.replace('"', "\\\"")),
            "{told}: {}",
            answer.text
        );
    }
    assert_eq!(sink.came().len(), before);

    // More than any URL holds, from a file and from standard input.
    let pad = "r".repeat(200 * 1024);
    let data = json!({"webhook": {"email": "rosa@shop.example", "pad": &pad}}).to_string();
    std::fs::write(server.folder().path().join("data.json"), &data)?;
    let inputs = json!({"note": &pad}).to_string();
    let line = ["step", "test", "quiet", "post", "-", "--data", "@data.json"];
    let (code, output, error) = server.folder().command_told(&line, &inputs).await?;
    assert_eq!(code, 0, "{output}{error}");
    let came = sink.came().pop().context("a request")?;
    assert_eq!(came.body["note"], json!(pad));

    // Standard input can be read once.
    let both = ["step", "test", "quiet", "bad", "-", "--data", "-"];
    let (code, _, error) = server.folder().command_told(&both, "{}").await?;
    assert!(
        code == 2 && error.contains("standard input"),
        "{code} {error}"
    );
    Ok(())
}
