//! Secrets: what reads them sees them as they are now, nothing else ever shows them, and the key that
//! seals them can be changed at any moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use velodrome_store::{SealKey, Secrets as _};
use velodrome_store_embedded::{EmbeddedStore, OpenOptions};
use velodrome_tests::{Folder, Server, Sink, ZOHO_INCREMENTAL, sign_in};
use velodrome_zoho_sim::SimOptions;

/// Answers with what it was sent, body and headers: `/fail` with 400, `/slow` after a while the first time.
async fn echo() -> Result<Sink> {
    Sink::start(|came, _| {
        let status = if came.path.starts_with("/fail") {
            400
        } else {
            200
        };
        let takes = if came.path.starts_with("/slow") { 2 } else { 0 };
        let told = json!({ "head": came.head, "sent": came.body, "path": came.path });
        (status, told, Duration::from_secs(takes))
    })
    .await
}

/// `velodrome secret …` on the server's folder.
async fn secret(server: &Server, arguments: &[&str]) -> Result<String> {
    let line = [&["secret"], arguments].concat();
    let (code, output, error) = server.folder().command(&line).await?;
    ensure!(code == 0, "{line:?}: {code} {error}");
    Ok(output)
}

/// Runs a cycle to its end.
async fn run(server: &Server, cycle: &str, body: &str) -> Result<Value> {
    let accepted = server.hook(cycle, body).await?;
    ensure!(accepted.status == 202, "{cycle}: {}", accepted.text);
    let told = accepted.json();
    server
        .loop_over(told["loop"].as_str().unwrap_or_default())
        .await?;
    let run = told["run"].as_str().unwrap_or_default();
    server.get(&format!("/runs/{run}")).await
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    head.lines()
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
        .unwrap_or_default()
}

fn calling(url: &str) -> String {
    format!(
        "cycle: calls\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: ask}}\n  ask:\n    \
         use: generic_webhook.post\n    url: {url}/ok\n    headers: {{X-Key: \"Bearer ${{secret:shop_key}}\"}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_takes_effect_at_once_and_its_absence_fails_the_step() -> Result<()> {
    let sink = echo().await?;
    let settings = format!("egress:\n  allow: [\"{}\"]\n", sink.host());
    let folder = Folder::new(&[("calls.yaml", &calling(sink.url()))], &settings)?;
    // Nobody can be asked: nothing is said of it.
    let (code, output, error) = folder.command(&["check"]).await?;
    assert_eq!(
        (code, output.as_str(), error.as_str()),
        (0, "1 cycle checked, all good\n", "")
    );
    let mut server = folder.serve().await?;

    let (code, output, error) = server.folder().command(&["check"]).await?;
    assert_eq!(
        (code, output.as_str()),
        (0, "1 cycle checked, 1 warning\n"),
        "{error}"
    );
    for told in [
        "warning[secret.unset]",
        "calls.yaml:7:",
        "velodrome secret set shop_key",
    ] {
        assert!(error.contains(told), "{told}: {error}");
    }
    let failed = run(&server, "calls", "{}").await?;
    assert_eq!(failed["error"]["code"], "secret.unset", "{failed}");
    let message = failed["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("velodrome secret set shop_key"),
        "{message}"
    );

    for value in ["the first value", "another value"] {
        secret(&server, &["set", "shop_key", value]).await?;
        assert_eq!(run(&server, "calls", "{}").await?["status"], "succeeded");
        let came = sink.came().pop().context("a request")?;
        assert_eq!(header(&came.head, "x-key"), format!("Bearer {value}"));
    }
    // The failed run goes on with what is set now.
    let id = failed["id"].as_str().unwrap_or_default();
    let (code, _, error) = server.folder().command(&["run", "retry", id]).await?;
    assert_eq!(code, 0, "{error}");
    server
        .loop_over(failed["loop"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(sink.came().len(), 3);

    let listed = secret(&server, &["list"]).await?;
    assert!(
        listed.contains("shop_key") && !listed.contains("value"),
        "{listed}"
    );
    let listed = secret(&server, &["list", "--json"]).await?;
    let listed: Value = serde_json::from_str(&listed)?;
    assert_eq!(listed[0]["name"], "shop_key");
    assert_eq!(
        listed[0].as_object().map(serde_json::Map::len),
        Some(2),
        "{listed}"
    );
    // It is there after a restart, and nobody deletes it by mistake.
    server.stop().await?;
    server.start().await?;
    let (code, ..) = server
        .folder()
        .command(&["secret", "delete", "shop_key"])
        .await?;
    assert_eq!(code, 2);
    assert_eq!(run(&server, "calls", "{}").await?["status"], "succeeded");
    secret(&server, &["delete", "shop_key", "--yes"]).await?;
    assert_eq!(
        run(&server, "calls", "{}").await?["error"]["code"],
        "secret.unset"
    );
    let (code, _, error) = server
        .folder()
        .command(&["secret", "delete", "shop_key", "--yes"])
        .await?;
    assert_eq!(code, 1);
    assert!(error.contains("secret.unknown"), "{error}");
    for (name, value) in [("a b", "value"), ("a", "")] {
        let (code, _, error) = server
            .folder()
            .command(&["secret", "set", name, value])
            .await?;
        assert!(
            code != 0 && error.contains("api.bad_parameter"),
            "{name}: {code} {error}"
        );
    }
    // Nobody types it, and it does not stand there.
    let (code, _, error) = server.folder().command(&["secret", "set", "a"]).await?;
    assert!(
        code == 2 && error.contains("standard input"),
        "{code} {error}"
    );
    Ok(())
}

const CONNECTOR: &str = "connector: shop
title: Shop
settings:
  url: {title: URL}
  key: {title: Key, secret: true}
auth:
  type: bearer
  token: ${settings.key}
base_url: ${settings.url}
methods:
  ask:
    kind: request
    verb: POST
    path: /ok
    open_body: true
  refuse:
    kind: request
    verb: POST
    path: /fail
    open_body: true
";

fn with_connector(settings: &str, cycles: &[(&str, &str)]) -> Result<Folder> {
    let folder = Folder::new(cycles, &format!("connectors: ./connectors\n{settings}"))?;
    std::fs::create_dir(folder.path().join("connectors"))?;
    std::fs::write(folder.path().join("connectors/shop.yaml"), CONNECTOR)?;
    Ok(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_reads_secrets_and_files_as_they_are_now() -> Result<()> {
    let sink = echo().await?;
    let cycle = "cycle: shops\nsteps:\n  webhook: {use: generic_webhook.webhook, then: ask}\n  ask:\n    \
        use: shop.ask\n    map: {greeting: \"${file:texts/greeting.txt}\"}\n";
    let settings = format!(
        "connections:\n  shop:\n    connector: shop\n    settings:\n      url: \"http://${{file:host.txt}}\"\n      \
         key: k-${{secret:shop_key}}\negress:\n  allow: [\"{}\"]\n",
        sink.host()
    );
    let folder = with_connector(&settings, &[])?;
    std::fs::write(folder.path().join("host.txt"), sink.host())?;
    std::fs::create_dir(folder.path().join("cycles/texts"))?;
    let greeting = folder.path().join("cycles/texts/greeting.txt");
    std::fs::write(&greeting, "good day\n")?;
    folder.write_cycle("shops.yaml", cycle)?;
    let server = folder.serve().await?;

    let failed = run(&server, "shops", "{}").await?;
    assert_eq!(failed["error"]["code"], "secret.unset", "{failed}");
    let message = failed["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("connection `shop`"), "{message}");
    secret(&server, &["set", "shop_key", "swordfish"]).await?;
    assert_eq!(run(&server, "shops", "{}").await?["status"], "succeeded");
    let came = sink.came().pop().context("a request")?;
    assert_eq!(header(&came.head, "authorization"), "Bearer k-swordfish");
    assert_eq!(came.body, json!({"greeting": "good day\n"}));

    // A file is part of the version, as the cycle's own text is.
    let before = server.get("/cycles/shops").await?["version"].clone();
    std::fs::write(&greeting, "good night\n")?;
    server
        .wait_for("/cycles/shops", |seen| seen["version"] != before)
        .await?;
    run(&server, "shops", "{}").await?;
    let came = sink.came().pop().context("a request")?;
    assert_eq!(came.body, json!({"greeting": "good night\n"}));

    // A link that leads out is refused; the last good version stays.
    std::fs::remove_file(&greeting)?;
    std::os::unix::fs::symlink(server.folder().path().join("data/admin.token"), &greeting)?;
    let lines = server.log_of("event=cycle.rejected", 1).await?;
    let told = lines[0]["data"]["problems"].as_str().unwrap_or_default();
    assert!(
        told.contains("file.unreadable") && told.contains("leads out"),
        "{told}"
    );
    Ok(())
}

/// Every planted value and what it stands for.
const PLANTED: &[(&str, &str)] = &[
    ("secret in a header", "pl4nted+head/er=1"),
    ("secret in a body", "pl4nted+bo/dy=\"2\""),
    ("secret in a path", "pl4nted+pa/th=3"),
    ("secret in a query", "pl4nted que/ry=4"),
    ("secret that a decision compares", "pl4nted+deci/sion=5"),
    ("secret of a connection", "pl4nted+connec/tion=6"),
    ("setting that is secret", "pl4nted+set/ting=7"),
    ("client secret", "pl4nted+cli/ent=8"),
    ("header of a webhook's caller", "pl4nted+call/er=9"),
    ("a value that was a secret before", "pl4nted+be/fore=10"),
];

fn planted(what: &str) -> &'static str {
    let found = PLANTED.iter().find(|(known, _)| *known == what);
    found.map(|(_, value)| *value).expect("a planted value")
}

/// The value as it is, in JSON, in a URL, and what base64 makes of it wherever it begins.
fn forms(value: &str) -> Vec<String> {
    let percent = |lower: bool| -> String {
        value
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                other if lower => format!("%{other:02x}"),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    let quoted = json!(value).to_string();
    let mut forms = vec![
        value.to_owned(),
        quoted[1..quoted.len() - 1].to_owned(),
        percent(false),
        percent(true),
        percent(false).replace("%20", "+"),
    ];
    for before in ["", "-", "--"] {
        let encoded = STANDARD.encode(format!("{before}{value}--"));
        // The groups at both ends hold bits of what stands around it.
        forms.push(encoded[4..encoded.len() - 8].to_owned());
    }
    forms
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Nothing planted is in these bytes.
fn clean(place: &str, bytes: &[u8], planted: &[(&str, &str)]) {
    // Every form is ASCII, which this leaves as it is.
    let text = String::from_utf8_lossy(bytes);
    for (what, value) in planted {
        for form in forms(value) {
            if let Some(at) = text.find(&form) {
                let before: String = text[..at].chars().rev().take(200).collect();
                let before: String = before.chars().rev().collect();
                panic!("{what} is in {place}, as {form}, behind {before:?}");
            }
        }
    }
}

/// Nothing planted is in the data folder, but for what is sealed, nor in the server's log.
fn clean_folder(folder: &Path, planted: &[(&str, &str)]) -> Result<()> {
    let mut all = Vec::new();
    files(&folder.join("data"), &mut all)?;
    assert!(all.iter().any(|path| path.ends_with("journal.db")));
    all.push(folder.join("server.log"));
    for path in all {
        let bytes = std::fs::read(&path).unwrap_or_default();
        clean(&path.display().to_string(), &bytes, planted);
    }
    Ok(())
}

fn cycles(url: &str) -> Vec<(&'static str, String)> {
    let fails = format!(
        r#"cycle: fails
log: {{payloads: full}}
steps:
  webhook: {{use: generic_webhook.webhook, then: send}}
  send:
    use: generic_webhook.post
    url: {url}/fail/${{secret:in_path}}/x
    query: {{q: "${{secret:in_query}}"}}
    headers: {{X-Key: "Bearer ${{secret:in_header}}"}}
    map: {{token: "${{secret:in_body}}"}}
    retry: 0
    script: |
      fn before_action() {{
          log("sending " + method_request.token + method_request_headers["X-Key"]);
          return true;
      }}
      fn after_error() {{
          log(method_error.content);
          return true;
      }}
    catch: told
  told:
    use: generic_webhook.post
    url: {url}/fail
    map: {{message: "${{send.error.message}}", body: "${{send.error.body}}"}}
    retry: 0
"#
    );
    let keeps = r#"cycle: keeps
log: {payloads: full}
steps:
  webhook: {use: generic_webhook.webhook, then: ask}
  ask:
    use: shop.ask
    map: {token: "${secret:in_body}"}
    then: pause
  pause: {use: delay, for: 50 ms, then: same}
  same:
    use: decision
    if:
      all:
        - {left: "${ask.sent.token}", is: equals, right: "${secret:in_body}"}
        - {left: "${webhook.token}", is: equals, right: "${secret:compared}"}
    then: refuse
    else: wrong
  refuse: {use: shop.refuse, map: {given: "${webhook.token}"}, retry: 0}
  wrong: {use: stop, as: failed, message: not the same}
"#;
    let built = format!(
        r#"cycle: built
concurrency: 1
steps:
  webhook: {{use: generic_webhook.webhook, then: send}}
  send:
    use: generic_webhook.post
    url: {url}/slow
    map: {{token: "${{secret:in_body}}"}}
    script: |
      fn before_action() {{
          let mixed = "";
          for c in method_request.token {{ mixed = c + mixed; }}
          method_request_headers["X-Mixed"] = mixed;
          method_request.token = "as the header says";
          return true;
      }}
"#
    );
    vec![
        ("fails.yaml", fails),
        ("keeps.yaml", keeps.to_owned()),
        ("built.yaml", built),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_left_in_clear() -> Result<()> {
    let sink = echo().await?;
    let options = SimOptions {
        records: 250,
        client_secret: planted("client secret").to_owned(),
        ..SimOptions::default()
    };
    let client_id = options.client_id.clone();
    let sim = velodrome_zoho_sim::start(options).await?;
    let sim_host = sim.url().trim_start_matches("http://").to_owned();
    let settings = format!(
        "connections:\n  zoho:\n    connector: zoho_crm\n    settings:\n      accounts_url: {}\n      hosts: {sim_host}\n    \
         auth:\n      client_id: {client_id}\n      client_secret: ${{secret:zoho}}\n  \
         shop:\n    connector: shop\n    settings:\n      url: {}\n      key: ${{secret:shop}}\n  \
         other:\n    connector: shop\n    settings:\n      url: {}\n      key: {}\n\
         egress:\n  allow: [\"{sim_host}\", \"{}\"]\n",
        sim.url(),
        sink.url(),
        sink.url(),
        planted("setting that is secret"),
        sink.host(),
    );
    let mut all = cycles(sink.url());
    let zoho = ZOHO_INCREMENTAL.replace("for: 2 seconds", "for: 10 ms");
    all.push(("zoho_incremental.yaml", zoho));
    let keeps = &all[1].1;
    let other = keeps
        .replace("shop.", "other.")
        .replace("cycle: keeps", "cycle: others");
    all.push(("others.yaml", other));
    let all: Vec<(&str, &str)> = all
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let mut server = with_connector(&settings, &all)?.serve().await?;
    let compared = planted("secret that a decision compares");
    for (name, value) in [
        ("in_header", planted("a value that was a secret before")),
        ("in_header", planted("secret in a header")),
        ("in_body", planted("secret in a body")),
        ("in_path", planted("secret in a path")),
        ("in_query", planted("secret in a query")),
        ("compared", compared),
        ("shop", planted("secret of a connection")),
        ("zoho", planted("client secret")),
    ] {
        secret(&server, &["set", name, value]).await?;
    }
    sign_in(&server, "zoho").await?;

    // The requests carry what is secret, and what comes back is told without it.
    let failed = run(&server, "fails", "{}").await?;
    assert_eq!(failed["error"]["code"], "request.status", "{failed}");
    let first = sink.came().first().cloned().context("a request")?;
    assert_eq!(
        header(&first.head, "x-key"),
        format!("Bearer {}", planted("secret in a header"))
    );
    assert_eq!(first.body["token"], planted("secret in a body"));
    let told = &sink.came()[1].body["body"]["head"];
    assert!(
        told.as_str().unwrap_or_default().contains("Bearer •••"),
        "{told}"
    );
    let body = json!({ "token": compared }).to_string();
    for cycle in ["keeps", "others"] {
        let failed = run(&server, cycle, &body).await?;
        assert_eq!(
            failed["step"], "refuse",
            "a kept value is still the same: {failed}"
        );
    }
    let hook = format!("{}/hooks/keeps", server.url());
    let caller = format!("Bearer {}", planted("header of a webhook's caller"));
    let headers = [
        ("authorization", caller.as_str()),
        ("content-type", "application/json"),
    ];
    let body = body.into_bytes();
    let accepted = server
        .client()
        .send("POST", &hook, &headers, body.clone())
        .await?;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    server
        .loop_over(accepted.json()["loop"].as_str().unwrap_or_default())
        .await?;
    let zoho = run(&server, "zoho_incremental", r#"{"page": 1}"#).await?;
    assert_eq!(zoho["status"], "succeeded", "{zoho}");

    // A request that was built with a secret is on disk now, and another run waits with what it was given.
    let sent = |sink: &Sink| -> Vec<_> {
        let came = sink.came().into_iter();
        came.filter(|came| came.path == "/slow").collect()
    };
    let body = String::from_utf8(body)?;
    for _ in 0..2 {
        assert_eq!(server.hook("built", &body).await?.status, 202);
    }
    server.log_of("event=request.sent&cycle=built", 1).await?;
    let until = Duration::from_secs(30);
    tokio::time::timeout(until, async {
        while sent(&sink).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await?;
    server.kill().await?;
    let mixed: String = planted("secret in a body").chars().rev().collect();
    let made = [PLANTED, &[("what a script made", mixed.as_str())]].concat();
    clean_folder(server.folder().path(), &made)?;
    server.start().await?;
    let loops = server
        .wait_for("/loops?cycle=built", |seen| {
            let ended = |one: &Value| one["status"] == "succeeded";
            seen["items"]
                .as_array()
                .is_some_and(|all| all.iter().all(ended))
        })
        .await?;
    assert_eq!(loops["items"].as_array().map(Vec::len), Some(2));
    let requests = sent(&sink);
    assert_eq!(requests.len(), 3, "one was sent again");
    for request in &requests {
        assert_eq!(header(&request.head, "x-mixed"), mixed);
        assert_eq!(request.body["token"], "as the header says");
    }
    assert_eq!(requests[0].key, requests[1].key);

    // All that is told.
    for path in [
        "/runs?limit=1000",
        "/loops?limit=1000",
        "/cycles",
        "/connections",
        "/secrets",
        "/watermarks",
        "/status",
        "/log?limit=1000",
        "/storage/generic_webhook",
        "/storage/zoho",
    ] {
        let answer = server.api("GET", path).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        clean(path, answer.text.as_bytes(), PLANTED);
    }
    for item in server.get("/runs?limit=1000").await?["items"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let id = item["id"].as_str().unwrap_or_default();
        let (code, output, error) = server.folder().command(&["run", "show", id]).await?;
        assert_eq!(code, 0, "{error}");
        clean("run show", format!("{output}{error}").as_bytes(), PLANTED);
    }
    let backup = server.folder().path().join("kept.backup");
    let name = backup.display().to_string();
    let (code, _, error) = server.folder().command(&["backup", &name]).await?;
    assert_eq!(code, 0, "{error}");
    clean("the backup", &std::fs::read(&backup)?, PLANTED);
    let key = std::fs::read(server.folder().path().join("data/secret.key"))?;
    clean_bytes("the backup", &std::fs::read(&backup)?, &key);
    server.stop().await?;
    clean_folder(server.folder().path(), PLANTED)?;

    // Tokens are there, sealed, and nowhere else.
    let data = server.folder().path().join("data");
    let tokens = opened(&data, "token/zoho")?;
    let tokens: Value = serde_json::from_slice(&tokens)?;
    let token = |name: &str| tokens[name].as_str().unwrap_or_default().to_owned();
    let (access, refresh) = (token("access_token"), token("refresh_token"));
    assert!(access.len() > 20 && refresh.len() > 20);
    let tokens = [
        ("the access token", access.as_str()),
        ("the refresh token", refresh.as_str()),
    ];
    clean_folder(server.folder().path(), &tokens)?;
    clean("the backup", &std::fs::read(&backup)?, &tokens);
    private(&data.join("secret.key"))?;
    private(&data.join("admin.token"))?;
    Ok(())
}

fn clean_bytes(place: &str, bytes: &[u8], secret: &[u8]) {
    assert!(
        !bytes.windows(secret.len()).any(|part| part == secret),
        "{place}"
    );
}

/// What the data folder of a server that does not run holds sealed under this name.
fn opened(data: &Path, name: &str) -> Result<Vec<u8>> {
    let key = SealKey::load_or_create(&data.join("secret.key"))?;
    let store = EmbeddedStore::open(OpenOptions::new(data))?;
    let sealed = store.secret(name)?.context("a sealed row")?;
    Ok(key.open(name, &sealed)?)
}

fn private(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{} is {mode:o}", file.display());
    Ok(())
}

/// Runs the cycle and tells what key it sent.
async fn sends(server: &Server, sink: &Sink) -> Result<String> {
    let done = run(server, "calls", "{}").await?;
    ensure!(done["status"] == "succeeded", "{done}");
    let came = sink.came().pop().context("a request")?;
    Ok(header(&came.head, "x-key").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_and_wherever_the_process_ends_secrets_open() -> Result<()> {
    let sink = echo().await?;
    let settings = format!("egress:\n  allow: [\"{}\"]\n", sink.host());
    let folder = Folder::new(&[("calls.yaml", &calling(sink.url()))], &settings)?;
    let mut server = folder.serve().await?;
    secret(&server, &["set", "shop_key", "swordfish"]).await?;
    let data = server.folder().path().join("data");
    let (file, next) = (data.join("secret.key"), data.join("secret.key.next"));
    let first = std::fs::read(&file)?;

    // It ended before everything was sealed anew: the old key stays.
    server.kill().await?;
    std::fs::write(&next, [7; 32])?;
    server.start().await?;
    assert_eq!(sends(&server, &sink).await?, "Bearer swordfish");
    assert_eq!(
        (std::fs::read(&file)?, next.exists()),
        (first.clone(), false)
    );

    let (code, output, error) = server.folder().command(&["key", "rotate"]).await?;
    assert_eq!(code, 0, "{error}");
    // The secret, the key of links and that of records.
    assert!(output.contains("seals 3 values"), "{output}");
    let second = std::fs::read(&file)?;
    assert!(second != first && !next.exists());
    private(&file)?;
    assert_eq!(sends(&server, &sink).await?, "Bearer swordfish");
    assert!(!server.log_text().contains("swordfish"));

    // It ended behind the commit, before the new key took the old one's place.
    server.kill().await?;
    std::fs::rename(&file, &next)?;
    std::fs::write(&file, &first)?;
    server.start().await?;
    assert_eq!(sends(&server, &sink).await?, "Bearer swordfish");
    assert_eq!(
        (std::fs::read(&file)?, next.exists()),
        (second.clone(), false)
    );

    // It ends at any moment.
    let mut random = velodrome_tests::Random::new(11);
    for round in 0..12 {
        let rotate = server.api("POST", "/key/rotate");
        let moment = Duration::from_micros(random.below(20_000));
        tokio::select! {
            answer = rotate => assert_eq!(answer?.status, 200, "round {round}"),
            () = tokio::time::sleep(moment) => {}
        }
        server.kill().await?;
        server.start().await?;
        assert_eq!(
            sends(&server, &sink).await?,
            "Bearer swordfish",
            "round {round}"
        );
        assert!(!next.exists(), "round {round}");
    }
    let last = std::fs::read(&file)?;
    assert!(last != second, "no rotation came to its end");
    server.stop().await?;
    assert!(String::from_utf8(opened(&data, "secret/shop_key")?)?.contains("swordfish"));
    Ok(())
}
