//! The run log of the real binary: what it keeps, that nothing secret is in it, and that a follower misses and
//! repeats nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink};

/// Answers with what it was sent, but for `Authorization`: a password that stands in the file itself is no secret
/// that the engine could know again in an answer.
async fn echo() -> Result<Sink> {
    Sink::start(|came, _| {
        let is_told = |line: &&str| !line.to_ascii_lowercase().starts_with("authorization:");
        let head: Vec<&str> = came.head.lines().filter(is_told).collect();
        let told = json!({ "head": head, "sent": came.body, "path": came.path });
        (200, told, Duration::ZERO)
    })
    .await
}

async fn run(server: &Server, cycle: &str, body: &str) -> Result<Vec<Value>> {
    let accepted = server.hook(cycle, body).await?;
    ensure!(accepted.status == 202, "{cycle}: {}", accepted.text);
    let looped = accepted.json()["loop"].clone();
    let looped = looped.as_str().context("a loop")?;
    server.loop_over(looped).await?;
    server.log(&format!("loop={looped}")).await
}

fn data(lines: &[Value], event: &str) -> Result<Value> {
    let line = lines.iter().find(|line| line["event"] == event);
    Ok(line.context(event.to_owned())?["data"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_shows_all_but_secrets_and_what_is_redacted() -> Result<()> {
    const SECRET: &str = "pla/nted+se\"cret";
    let sink = echo().await?;
    let settings = format!("egress:\n  allow: [\"{}\"]\n", sink.host());
    let cycle = |name: &str, log: &str| {
        format!(
            "cycle: {name}\nlog: {log}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: ask}}\n  ask:\n    \
             use: generic_webhook.post\n    url: {}/ok?fixed=1\n    query: {{k: \"${{secret:planted}}\"}}\n    \
             headers: {{X-Key: \"Bearer ${{secret:planted}}\", Authorization: \"Basic abcdefgh\"}}\n    \
             map: {{a: \"${{webhook.a}}\", email: \"${{webhook.email}}\", deep: {{key: \"${{secret:planted}}\"}}}}\n",
            sink.url()
        )
    };
    let full = cycle("full", "{payloads: full, redact: [email]}");
    let preview = cycle("preview", "{redact: [email]}");
    let none = cycle("none", "{payloads: none}");
    let cycles = [
        ("full.yaml", full.as_str()),
        ("preview.yaml", &preview),
        ("none.yaml", &none),
    ];
    let server = Folder::new(&cycles, &settings)?.serve().await?;
    let (code, _, error) = server
        .folder()
        .command(&["secret", "set", "planted", SECRET])
        .await?;
    ensure!(code == 0, "{error}");
    let body = r#"{"a": 7, "email": "rosa@velo.example"}"#;

    let lines = run(&server, "full", body).await?;
    let came = sink.came().pop().context("a request")?;
    assert!(
        came.body.to_string().contains("rosa@velo.example"),
        "it was sent"
    );
    let answered = data(&lines, "response.received")?;
    assert_eq!(answered["kept"], "full");
    let asked = &answered["request"];
    assert_eq!(asked["method"], "POST");
    let url = asked["url"].as_str().unwrap_or_default();
    assert!(url.ends_with("/ok?fixed=1&k=•••"), "{url}");
    assert_eq!(asked["headers"]["x-key"], "Bearer •••");
    assert_eq!(asked["headers"]["authorization"], "•••");
    assert_eq!(
        asked["body"],
        json!({"a": 7, "email": "[redacted]", "deep": {"key": "•••"}})
    );
    assert_eq!(answered["response"]["body"]["sent"]["email"], "[redacted]");
    let preview = run(&server, "preview", body).await?;
    let previewed = data(&preview, "response.received")?;
    assert_eq!(
        previewed["request"]["body"],
        "{\"a\":7,\"email\":\"[redacted]\",\"deep\":{\"key\":\"•••\"}}"
    );
    assert!(previewed["response"]["cut"].is_u64(), "{previewed}");
    let none = run(&server, "none", body).await?;
    assert_eq!(data(&none, "response.received")?, Value::Null);
    let all = format!("{lines:?}{preview:?}{none:?}");
    for hidden in [
        "pla/nted",
        "nted+se",
        "nted%2Bse",
        "Basic abcdefgh",
        "rosa@velo",
    ] {
        assert!(!all.contains(hidden), "{hidden}: {all}");
    }
    Ok(())
}

/// Moves the cursor, begins a window's title, is one byte on some terminals, turns what follows around, begins a line.
const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;mine\u{7}\u{9b}31m\u{202e}txt.exe\u{2066}\u{2028}\u{7f}\r\nforged  accepted";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_comes_from_outside_controls_a_terminal() -> Result<()> {
    let cycle = "cycle: echo\nsteps:\n  webhook:\n    use: generic_webhook.webhook\n    script: |\n      \
                 fn after_webhook() {\n          log(method_response.text);\n          \
                 cyclr_storage_set(\"text\", method_response.text);\n          return true;\n      }\n    then: fails\n  \
                 fails:\n    use: stop\n    as: failed\n    message: ${webhook.text}\n";
    let server = Folder::new(&[("echo.yaml", cycle)], "")?.serve().await?;
    let body = json!({ "text": HOSTILE }).to_string();
    // Raw, not as JSON's own escapes, as far as JSON allows it.
    let body = body.replace("\\u009b", "\u{9b}");
    run(&server, "echo", &body).await?;
    let commands: [&[&str]; 8] = [
        &["logs"],
        &["logs", "--json"],
        &["run", "show", "last"],
        &["run", "show", "last", "--json"],
        &["run", "list", "--json"],
        &["storage", "list", "generic_webhook"],
        &["storage", "get", "generic_webhook", "text"],
        &["storage", "get", "generic_webhook", "text", "--json"],
    ];
    for command in commands {
        let (code, out, err) = server.folder().command(command).await?;
        assert_eq!(code, 0, "{command:?}: {out}{err}");
        let is_hostile = |c: &char| {
            (c.is_control() && *c != '\n')
                || ('\u{2028}'..='\u{202e}').contains(c)
                || ('\u{2066}'..='\u{2069}').contains(c)
        };
        let found: Vec<char> = out.chars().chain(err.chars()).filter(is_hostile).collect();
        assert!(found.is_empty(), "{command:?}: {found:?} in {out}");
        assert!(
            !out.lines().any(|line| line.starts_with("forged")),
            "{command:?}: {out}"
        );
    }
    let (_, out, _) = server
        .folder()
        .command(&["logs", "--json", "--event", "script.logged"])
        .await?;
    let line: Value = serde_json::from_str(out.trim())?;
    assert_eq!(line["message"], HOSTILE, "to a program it says the same");
    let (_, out, _) = server
        .folder()
        .command(&["storage", "get", "generic_webhook", "text", "--json"])
        .await?;
    assert_eq!(serde_json::from_str::<Value>(&out)?, HOSTILE);
    Ok(())
}
