//! Tokens, over the real binary: what each may do, how it is kept, when it ends, and what the log says of it.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Session, make_token};

const CYCLE: &str = "cycle: waits\nsteps:\n  webhook: {use: generic_webhook.webhook, then: pause}\n  \
                     pause: {use: delay, for: 1 hour}\n";

async fn server() -> Result<Server> {
    Folder::new(&[("waits.yaml", CYCLE)], "")?.serve().await
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_what_its_role_says_and_is_kept_as_a_hash_alone() -> Result<()> {
    let mut server = server().await?;
    let mut tokens = Vec::new();
    for role in ["metrics", "read", "operate", "admin"] {
        let made = make_token(&server, &["--name", &format!("the_{role}"), "--role", role]).await?;
        assert!(text(&made, "id").starts_with("token_"), "{made}");
        assert!(text(&made, "token").starts_with("vdt_"), "{made}");
        assert_eq!(
            (text(&made, "role"), &made["expires"]),
            (role.to_owned(), &Value::Null)
        );
        tokens.push(text(&made, "token"));
    }
    // It is the same after a restart.
    server.kill().await?;
    server.start().await?;
    let routes = [
        ("GET", "/api/v1/cycles", [403, 200, 200, 200]),
        ("POST", "/api/v1/cycles/waits/pause", [403, 403, 200, 200]),
        ("POST", "/api/v1/cycles/waits/start", [403, 403, 200, 200]),
        ("GET", "/api/v1/secrets", [403, 403, 403, 200]),
        ("GET", "/api/v1/tokens", [403, 403, 403, 200]),
        ("GET", "/api/v1/nothing", [404, 404, 404, 404]),
        ("GET", "/", [403, 200, 200, 200]),
    ];
    for (verb, path, expected) in routes {
        for (token, expected) in tokens.iter().zip(expected) {
            let answer = server.ask_with(verb, path, token).await?;
            assert_eq!(answer.status, expected, "{verb} {path}: {}", answer.text);
            if expected == 403 {
                assert_eq!(answer.code(), "api.forbidden");
                let needed = answer.json()["role"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                assert!(
                    answer.text.contains(&format!("role `{needed}`")),
                    "{}",
                    answer.text
                );
            }
        }
    }
    let journal = std::fs::read(server.folder().path().join("data/journal.sqlite"));
    let log = server.log_text();
    for token in &tokens {
        assert!(!log.contains(token.as_str()), "{log}");
        if let Ok(journal) = &journal {
            let found = journal
                .windows(token.len())
                .any(|part| part == token.as_bytes());
            assert!(!found, "the token stands in the journal");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn token_commands_make_list_and_revoke() -> Result<()> {
    let server = server().await?;
    let folder = server.folder();
    let (code, out, err) = folder
        .command(&[
            "token",
            "create",
            "--role",
            "operate",
            "--name",
            "ci",
            "--expires",
            "30d",
        ])
        .await?;
    assert_eq!(code, 0, "{err}");
    let token = out.trim_end();
    assert_eq!(out.lines().count(), 1, "the token alone: {out}");
    assert!(token.starts_with("vdt_") && token.len() == 47, "{token}");
    assert!(err.contains("`ci`, role operate, until 20"), "{err}");
    let (code, _, err) = folder
        .command(&["token", "create", "--role", "read", "--name", "ci"])
        .await?;
    assert_eq!(
        (code, err.contains("error[token.name_taken]")),
        (1, true),
        "{err}"
    );
    let (code, _, err) = folder
        .command(&["token", "create", "--role", "owner"])
        .await?;
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = folder
        .command(&["token", "create", "--role", "read", "--expires", "soon"])
        .await?;
    assert_eq!(
        (code, err.contains("`soon` is neither a duration")),
        (1, true),
        "{err}"
    );
    // Nobody is asked for a name.
    let (code, _, err) = folder
        .command(&["token", "create", "--role", "read"])
        .await?;
    assert!(code == 0 && err.contains("`read-"), "{err}");

    // By its name it goes too.
    let made = make_token(&server, &["--role", "admin", "--name", "spare"]).await?;
    let spare = text(&made, "token");
    assert_eq!(server.ask_with("GET", "/", &spare).await?.status, 200);
    let (code, _, err) = folder
        .command(&["token", "revoke", "spare", "--yes"])
        .await?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(server.ask_with("GET", "/", &spare).await?.status, 401);

    let (code, out, _) = folder.command(&["token", "list"]).await?;
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    assert!(
        out.starts_with("ID ") && out.contains("  ci  ") && !out.contains(token),
        "{out}"
    );
    let (_, out, _) = folder.command(&["token", "list", "--json"]).await?;
    let listed: Value = serde_json::from_str(&out)?;
    let ci = listed
        .as_array()
        .into_iter()
        .flatten()
        .find(|item| item["name"] == "ci");
    let id = text(ci.context("it is listed")?, "id");

    // With the token's own file.
    std::fs::write(folder.path().join("ci.token"), token)?;
    let by = |rest: &[&'static str]| [&["--token-file", "ci.token"], rest].concat();
    let (code, _, err) = folder.command(&by(&["cycle", "pause", "waits"])).await?;
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = folder.command(&by(&["token", "list"])).await?;
    assert_eq!(
        (code, err.contains("error[api.forbidden]")),
        (5, true),
        "{err}"
    );

    let (code, _, err) = folder.command(&["token", "revoke", &id]).await?;
    assert_eq!((code, err.contains("say `--yes`")), (2, true), "{err}");
    let (code, _, err) = folder
        .command(&["token", "revoke", &id[id.len() - 7..], "--yes"])
        .await?;
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = folder.command(&by(&["cycle", "list"])).await?;
    assert_eq!(
        (code, err.contains("error[api.unauthenticated]")),
        (5, true),
        "{err}"
    );
    let (code, _, err) = folder.command(&["token", "revoke", &id, "--yes"]).await?;
    assert_eq!(
        (code, err.contains("error[token.unknown]")),
        (1, true),
        "{err}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_change_keeps_tokens_and_they_are_no_secrets() -> Result<()> {
    let mut server = server().await?;
    let made = make_token(&server, &["--role", "read"]).await?;
    let (code, out, _) = server
        .folder()
        .command(&["secret", "list", "--json"])
        .await?;
    assert_eq!((code, out.trim()), (0, "[]"));
    let (code, _, err) = server.folder().command(&["key", "rotate"]).await?;
    assert_eq!(code, 0, "{err}");
    for _ in 0..2 {
        let answer = server
            .ask_with("GET", "/api/v1/cycles", &text(&made, "token"))
            .await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        server.kill().await?;
        server.start().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_lets_nobody_in() -> Result<()> {
    let server = server().await?;
    let made = make_token(&server, &["--role", "read", "--expires", "2s"]).await?;
    let made = text(&made, "token");
    let Session { cookie, .. } = Session::begin(&server, &made).await?;
    let mut answer = server.ask_with("GET", "/api/v1/cycles", &made).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // The clock is the server's: it is asked until it says so.
    while answer.status == 200 {
        answer = server.ask_with("GET", "/api/v1/cycles", &made).await?;
    }
    assert_eq!(answer.code(), "api.unauthenticated");
    let page = server
        .ask("GET", "/api/v1/cycles", &[("cookie", &cookie)], "")
        .await?;
    assert_eq!(page.status, 401, "{}", page.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_with_who_asked_for_it() -> Result<()> {
    let mut server = server().await?;
    let made = make_token(&server, &["--name", "night_shift", "--role", "operate"]).await?;
    let made = text(&made, "token");
    for (verb, path) in [
        ("GET", "/api/v1/cycles"),
        ("POST", "/api/v1/cycles/waits/trigger"),
        ("DELETE", "/api/v1/secrets/shop_key"),
    ] {
        server.ask_with(verb, path, &made).await?;
    }
    // What was told is on disk when the server has ended.
    server.stop().await?;
    let log = server.log_text();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("asked for") && line.contains("night_shift"))
        .collect();
    assert_eq!(told.len(), 2, "{log}");
    let parts = [
        ["POST", "/api/v1/cycles/waits/trigger", "202", "127.0.0.1"],
        ["DELETE", "/api/v1/secrets/shop_key", "403", "127.0.0.1"],
    ];
    for (line, parts) in told.iter().zip(parts) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_log_says_on_whose_word_something_was_done() -> Result<()> {
    let server = server().await?;
    let made = make_token(&server, &["--name", "night_shift", "--role", "operate"]).await?;
    let made = text(&made, "token");
    let accepted = server.hook("waits", "{}").await?.json();
    let loop_id = text(&accepted, "loop");
    server
        .wait_for(&format!("/loops/{loop_id}"), |seen| {
            seen["status"] == "waiting"
        })
        .await?;
    for path in [
        "/cycles/waits/pause".to_owned(),
        format!("/loops/{loop_id}/stop"),
        "/cycles/waits/purge".to_owned(),
        "/cycles/waits/finish".to_owned(),
        "/cycles/waits/start".to_owned(),
    ] {
        let answer = server
            .ask_with("POST", &format!("/api/v1{path}"), &made)
            .await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    server.api("POST", "/cycles/waits/stop").await?;
    let log = server.log("").await?;
    let by = |event: &str| -> Vec<Value> {
        let lines = log.iter().filter(|line| line["event"] == event);
        lines.map(|line| line["data"]["by"].clone()).collect()
    };
    for event in [
        "cycle.paused",
        "cycle.purged",
        "cycle.finishing",
        "cycle.started",
        "run.stopped",
        "loop.stopped",
    ] {
        assert_eq!(by(event), [json!("night_shift")], "{event}");
    }
    // Finishing with nothing in progress is a stop, on the same word; then the admin's.
    assert_eq!(by("cycle.stopped"), [json!("night_shift"), json!("admin")]);
    Ok(())
}
