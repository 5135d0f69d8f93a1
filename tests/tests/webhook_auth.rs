//! Who may call a webhook (SPEC §5), over the real binary: signatures that others made, the order of the
//! checks, addresses, web pages, and what passes without being asked (SPEC §7).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use velodrome_tests::{Answer, Folder, Server, true_time};

/// Requests that others signed.
const SIGNED: &str = include_str!("../../crates/server/tests/signed/requests.json");

type Headers<'a> = &'a [(&'a str, &'a str)];

async fn post(server: &Server, path: &str, headers: Headers<'_>, body: &str) -> Result<Answer> {
    let url = format!("{}/hooks/{path}", server.url());
    let body = body.as_bytes().to_vec();
    server.client().send("POST", &url, headers, body).await
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn loops(server: &Server) -> Result<usize> {
    let listed: Value = server.get("/loops?limit=1000").await?;
    Ok(listed["items"].as_array().map_or(0, Vec::len))
}

/// A cycle that does nothing more than take requests.
fn cycle(id: &str, webhook: &str) -> String {
    format!(
        "cycle: {id}\nsteps:\n  webhook:\n    use: generic_webhook.webhook\n{webhook}    then: end\n  \
         end: {{use: stop}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_senders_own_libraries_sign_is_let_in_and_nothing_else() -> Result<()> {
    let signed: Value = serde_json::from_str(SIGNED)?;
    let signed = signed["requests"].as_array().context("a list")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut secrets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for request in signed {
        let of_kind = secrets.entry(text(&request["kind"])).or_default();
        of_kind.insert(text(&request["secret"]));
    }
    let mut environment = Vec::new();
    let mut cycles = Vec::new();
    for (kind, secrets) in &secrets {
        let mut names = Vec::new();
        for (at, secret) in secrets.iter().enumerate() {
            let name = format!("HOOK_{}_{at}", kind.to_uppercase());
            names.push(format!("\"${{env:{name}}}\""));
            environment.push((name, secret.clone()));
        }
        let auth = format!("    auth: {{{kind}: {{secret: [{}]}}}}\n", names.join(", "));
        cycles.push((format!("{kind}.yaml"), cycle(kind, &auth)));
    }
    let listed: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
    let settings = format!("env_for_cycles: [{}]\n", listed.join(", "));
    let moments: BTreeSet<i64> = signed
        .iter()
        .filter_map(|one| one["now"].as_i64())
        .collect();
    for moment in moments {
        let files: Vec<(&str, &str)> = cycles
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let mut folder = Folder::new(&files, &settings)?.with_faults()?;
        for (name, secret) in &environment {
            folder = folder.with_environment(name, secret);
        }
        let mut server = folder.serve().await?;
        server.kill().await?;
        server.faults()?.move_clock(moment * 1000 - true_time())?;
        server.start().await?;
        let mut accepted = 0;
        for request in signed.iter().filter(|one| one["now"] == json!(moment)) {
            let (kind, body) = (text(&request["kind"]), text(&request["body"]));
            let headers: Vec<(String, String)> = request["headers"]
                .as_object()
                .context("headers")?
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect();
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect();
            let forged = post(&server, &kind, &headers, &format!("{body} ")).await?;
            assert_eq!(
                told(&forged),
                refused(401, "webhook.unauthenticated"),
                "{request:#}"
            );
            let bare = post(&server, &kind, &[], &body).await?;
            assert_eq!(
                told(&bare),
                refused(401, "webhook.unauthenticated"),
                "{request:#}"
            );
            assert_eq!(bare.header("www-authenticate"), "", "{request:#}");
            let answer = post(&server, &kind, &headers, &body).await?;
            assert_eq!(answer.status, 202, "{request:#}\n{}", answer.text);
            accepted += 1;
            if kind == "standard_webhooks" {
                // The id that is signed names the delivery, whatever key is put beside it.
                let again = [&headers[..], &[("idempotency-key", "another")]].concat();
                let again = post(&server, &kind, &again, &body).await?;
                assert_eq!(
                    again.header("idempotency-replayed"),
                    "true",
                    "{}",
                    again.text
                );
                assert_eq!(again.json()["run"], answer.json()["run"]);
            }
        }
        assert_eq!(loops(&server).await?, accepted);
    }
    Ok(())
}

const GUARDED: &str = r#"
cycle: guarded
concurrency: 1
queue_limit: 1
steps:
  webhook:
    use: generic_webhook.webhook
    auth: {bearer: {secret: ["${env:HOOK_NEW}", "${env:HOOK_OLD}"]}}
    allow_ips: [203.0.113.0/24]
    origins: ["https://shop.example.com"]
    fields: {page: {type: integer, required: true}}
    script: |
      fn before_webhook() {
          if method_request_headers["x-throw"] == "yes" { throw "before"; }
          return true;
      }
    then: end
  end: {use: stop}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_check_that_fails_is_the_one_that_answers() -> Result<()> {
    let settings = "env_for_cycles: [HOOK_NEW, HOOK_OLD]\nbody_limit: 200\nwebhooks: {trusted_proxies: [127.0.0.1]}\n";
    let server = Folder::new(&[("guarded.yaml", GUARDED)], settings)?
        .with_environment("HOOK_NEW", "new-secret")
        .with_environment("HOOK_OLD", "old-secret")
        .serve()
        .await?;
    let large = format!("{{\"page\": \"{}\"", "x".repeat(300));
    // Every fault there is; each row mends one more.
    let mut headers = BTreeMap::from([
        ("content-type", "text/plain"),
        ("x-forwarded-for", "198.51.100.1"),
        ("origin", "https://evil.example"),
        ("authorization", "Bearer wrong"),
        ("x-throw", "yes"),
        ("idempotency-key", "used"),
    ]);
    let mut body = large.as_str();
    let good: BTreeMap<&str, &str> = BTreeMap::from([
        ("content-type", "application/json"),
        ("x-forwarded-for", "203.0.113.7"),
        ("origin", "https://shop.example.com"),
        ("authorization", "Bearer old-secret"),
    ]);
    let send = async |headers: &BTreeMap<&str, &str>, body: &str| {
        let pairs: Vec<(&str, &str)> = headers.iter().map(|(a, b)| (*a, *b)).collect();
        post(&server, "guarded", &pairs, body).await
    };
    let mut first = good.clone();
    first.insert("idempotency-key", "used");
    assert_eq!(send(&first, r#"{"page": 1}"#).await?.status, 202);
    server.api("POST", "/cycles/guarded/pause").await?;
    assert_eq!(send(&good, r#"{"page": 2}"#).await?.status, 202, "queued");
    let before = loops(&server).await?;
    let table = [
        ("", "", "{\"page\": \"x\"", 413, "webhook.too_large"),
        (
            "content-type",
            "application/json",
            "{\"page\": \"x\"",
            415,
            "webhook.type_refused",
        ),
        (
            "x-forwarded-for",
            "203.0.113.7",
            "{\"page\": \"x\"",
            403,
            "webhook.address_refused",
        ),
        (
            "origin",
            "https://shop.example.com",
            "{\"page\": \"x\"",
            403,
            "webhook.origin_refused",
        ),
        (
            "authorization",
            "Bearer new-secret",
            "{\"page\": \"x\"",
            401,
            "webhook.unauthenticated",
        ),
        ("", "", "{\"page\": \"x\"}", 400, "webhook.bad_body"),
        (
            "x-throw",
            "no",
            "{\"page\": \"x\"}",
            500,
            "webhook.script_failed",
        ),
        ("", "", "{\"page\": 7}", 422, "webhook.field_invalid"),
        (
            "idempotency-key",
            "unused",
            "{\"page\": 7}",
            422,
            "webhook.key_reused",
        ),
        ("", "", "", 429, "cycle.queue_full"),
    ];
    for (mended, value, then, status, code) in table {
        let answer = send(&headers, body).await?;
        assert_eq!(told(&answer), refused(status, code), "{headers:?} {body}");
        assert_eq!(
            answer.header("content-security-policy"),
            "sandbox",
            "{code}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{code}");
        let challenge = if status == 401 {
            "Bearer realm=\"velodrome\""
        } else {
            ""
        };
        assert_eq!(answer.header("www-authenticate"), challenge, "{code}");
        if !mended.is_empty() {
            headers.insert(mended, value);
        }
        body = then;
    }
    assert_eq!(
        loops(&server).await?,
        before,
        "a refused request began something"
    );
    // Refusals are told, one line a second at the most, and by the server's own log who was not let in.
    let lines = server.log_of("event=webhook.refused", 1).await?;
    assert_eq!(lines[0]["cycle"], "guarded");
    assert!(lines[0]["code"].is_string());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_set_or_empty_lets_nobody_pass_and_the_operator_is_told() -> Result<()>
{
    let bearer = |name: &str| format!("    auth: {{bearer: {{secret: \"${{env:{name}}}\"}}}}\n");
    let cycles = [
        ("unset.yaml", &cycle("unset", &bearer("HOOK_UNSET"))),
        ("empty.yaml", &cycle("empty", &bearer("HOOK_EMPTY"))),
    ];
    let cycles = cycles.map(|(name, text)| (name, text.as_str()));
    let server = Folder::new(&cycles, "env_for_cycles: [HOOK_UNSET, HOOK_EMPTY]\n")?
        .with_environment("HOOK_EMPTY", "")
        .serve()
        .await?;
    for (at, id) in ["unset", "empty"].into_iter().enumerate() {
        for token in ["Bearer ", "Bearer x", "Bearer ${env:HOOK_UNSET}"] {
            let answer = post(&server, id, &[("authorization", token)], "{}").await?;
            assert_eq!(
                told(&answer),
                refused(401, "webhook.unauthenticated"),
                "{token}"
            );
            assert!(!answer.text.contains("HOOK_"), "{}", answer.text);
        }
        let (status, out, err) = server.folder().command(&["trigger", id, "{}"]).await?;
        assert_eq!(status, 0, "the operator may: {out} {err}");
        if at == 0 {
            let lines = server.log_of("event=webhook.refused", 1).await?;
            assert_eq!(lines[0]["code"], "webhook.unauthenticated", "{lines:#?}");
        }
        // Lines about refusals come one a second.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    let answer = post(&server, "unset", &[("authorization", "Bearer x")], "{}").await?;
    assert_eq!(answer.status, 401);
    let log = server.log_text();
    assert!(log.contains("HOOK_UNSET"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_say_who_may_call_where_a_webhook_says_nothing() -> Result<()> {
    let cycles = [
        ("silent.yaml", &cycle("silent", "")),
        ("open.yaml", &cycle("open", "    auth: none\n")),
    ];
    let cycles = cycles.map(|(name, text)| (name, text.as_str()));
    let settings = "webhooks:\n  auth: {basic: {user: caller, secret: \"${env:HOOK_PASSWORD}\"}}\n";
    let server = Folder::new(&cycles, settings)?
        .with_environment("HOOK_PASSWORD", "s3cret")
        .serve()
        .await?;
    let refusal = server.hook("silent", "{}").await?;
    assert_eq!(told(&refusal), refused(401, "webhook.unauthenticated"));
    let challenge = "Basic realm=\"velodrome\", charset=\"UTF-8\"";
    assert_eq!(refusal.header("www-authenticate"), challenge);
    // caller:s3cret, by `printf caller:s3cret | base64`.
    let right = ("authorization", "Basic Y2FsbGVyOnMzY3JldA==");
    assert_eq!(post(&server, "silent", &[right], "{}").await?.status, 202);
    assert_eq!(server.hook("open", "{}").await?.status, 202);
    // A browser adds a password by itself, whichever page makes it send.
    let page = ("origin", "https://evil.example");
    let answer = post(&server, "silent", &[right, page], "a=1").await?;
    assert_eq!(told(&answer), refused(403, "webhook.origin_refused"));
    // A change holds at once.
    server.folder().write_settings("")?;
    for _ in 0..600 {
        if server.hook("silent", "{}").await?.status == 202 {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the settings' change was not taken:\n{}", server.log_text())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_others_reach_the_server_a_webhook_must_say_who_may_call() -> Result<()> {
    let silent = cycle("silent", "");
    let cycles = [
        ("silent.yaml", silent.as_str()),
        ("open.yaml", &cycle("open", "    auth: none\n")),
    ];
    let exposed = "service_url: https://flows.example.com\n";
    let server = Folder::new(&cycles, exposed)?.serve().await?;
    let answer = server.hook("silent", "{}").await?;
    assert_eq!(told(&answer), refused(409, "cycle.invalid"));
    let seen = server.get("/cycles/silent").await?;
    assert_eq!(seen["state"], "invalid");
    let reason = seen["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("auth.unsaid") && reason.contains("auth: none"),
        "{reason}"
    );
    assert_eq!(server.hook("open", "{}").await?.status, 202);
    let folder = server.folder();
    let (status, _, err) = folder.command(&["check"]).await?;
    assert_eq!(status, 3, "{err}");
    assert!(
        err.contains("error[auth.unsaid]") && err.contains("silent.yaml"),
        "{err}"
    );
    // Said for all it is said.
    let said = format!("{exposed}webhooks: {{auth: none}}\n");
    folder.write_settings(&said)?;
    let (status, _, err) = folder.command(&["check"]).await?;
    assert_eq!(status, 0, "{err}");
    server
        .wait_for("/cycles/silent", |seen| seen["state"] == json!("running"))
        .await?;
    assert_eq!(server.hook("silent", "{}").await?.status, 202);
    // Taken back it lets nobody in, though the last good version of the cycle is still there.
    folder.write_settings(exposed)?;
    server
        .wait_for("/cycles/silent", |seen| seen["reason"].is_string())
        .await?;
    let answer = server.hook("silent", "{}").await?;
    assert_eq!(told(&answer), refused(409, "cycle.invalid"));
    // A flag counts as the setting does.
    let local = Folder::new(&[("silent.yaml", &silent)], "")?;
    let listen = ["serve", "--strict", "--listen", "0.0.0.0:0"];
    let (status, _, err) = local.command(&listen).await?;
    assert_eq!(status, 3, "{err}");
    assert!(err.contains("auth.unsaid"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_believed_to_trusted_proxies_only() -> Result<()> {
    let cycles = [
        (
            "near.yaml",
            &cycle("near", "    allow_ips: [\"::ffff:127.0.0.0/104\"]\n"),
        ),
        (
            "far.yaml",
            &cycle(
                "far",
                "    allow_ips: [203.0.113.0/24, \"2001:db8::/32\"]\n",
            ),
        ),
    ];
    let cycles = cycles.map(|(name, text)| (name, text.as_str()));
    let none = Folder::new(&cycles, "")?.serve().await?;
    assert_eq!(post(&none, "near", &[], "{}").await?.status, 202);
    let forged = ("x-forwarded-for", "203.0.113.7");
    let answer = post(&none, "far", &[forged], "{}").await?;
    assert_eq!(told(&answer), refused(403, "webhook.address_refused"));
    assert_eq!(post(&none, "near", &[forged], "{}").await?.status, 202);
    let settings = "webhooks: {trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]}\n";
    let behind = Folder::new(&cycles, settings)?.serve().await?;
    for (headers, may) in [
        (&[forged][..], true),
        (
            &[("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.1.1.1")],
            true,
        ),
        (&[("x-forwarded-for", "203.0.113.7, 198.51.100.1")], false),
        (
            &[("forwarded", "for=\"[2001:db8::1]:4711\";proto=https")],
            true,
        ),
        (
            &[
                ("forwarded", "for=203.0.113.7"),
                ("x-forwarded-for", "198.51.100.1"),
            ],
            false,
        ),
        (&[("x-forwarded-for", "unknown")], false),
        (&[], false),
    ] {
        let answer = post(&behind, "far", headers, "{}").await?;
        let expect = if may { 202 } else { 403 };
        assert_eq!(answer.status, expect, "{headers:?} {}", answer.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_which_pages_may_call() -> Result<()> {
    let shop = "https://shop.example.com";
    let cycles = [
        (
            "shop.yaml",
            &cycle("shop", &format!("    origins: [\"{shop}\"]\n")),
        ),
        ("plain.yaml", &cycle("plain", "")),
    ];
    let cycles = cycles.map(|(name, text)| (name, text.as_str()));
    let server = Folder::new(&cycles, "")?.serve().await?;
    let ask = async |id: &str, origin: &str| {
        let url = format!("{}/hooks/{id}", server.url());
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "content-type,idempotency-key",
            ),
        ];
        server
            .client()
            .send("OPTIONS", &url, &headers, Vec::new())
            .await
    };
    let yes = ask("shop", shop).await?;
    assert_eq!(yes.status, 204, "{}", yes.text);
    assert_eq!(yes.header("access-control-allow-origin"), shop);
    assert_eq!(yes.header("access-control-allow-methods"), "POST");
    assert_eq!(
        yes.header("access-control-allow-headers"),
        "content-type,idempotency-key"
    );
    assert_eq!(yes.header("vary"), "Origin");
    let no = ask("shop", "https://evil.example").await?;
    assert_eq!(told(&no), refused(403, "webhook.origin_refused"));
    assert_eq!(no.header("access-control-allow-origin"), "");
    assert_eq!(no.header("vary"), "Origin");
    let plain = ask("plain", shop).await?;
    assert_eq!(told(&plain), refused(405, "webhook.method_refused"));
    assert_eq!(plain.header("access-control-allow-origin"), "");
    let page = |origin| [("origin", origin), ("sec-fetch-site", "cross-site")];
    let taken = post(&server, "shop", &page(shop), "{}").await?;
    assert_eq!(taken.status, 202, "{}", taken.text);
    assert_eq!(taken.header("access-control-allow-origin"), shop);
    let bad = post(&server, "shop", &page(shop), "{").await?;
    assert_eq!(bad.status, 400);
    assert_eq!(
        bad.header("access-control-allow-origin"),
        shop,
        "a page may read why"
    );
    let evil = post(&server, "shop", &page("https://evil.example"), "{}").await?;
    assert_eq!(told(&evil), refused(403, "webhook.origin_refused"));
    let foreign = post(&server, "shop", &[("host", "evil.example")], "{}").await?;
    assert_eq!(told(&foreign), refused(403, "webhook.host_refused"));
    assert_eq!(post(&server, "shop", &[], "{}").await?.status, 202);
    Ok(())
}

const LOOP: &str = r#"
cycle: laps
concurrency: 1
queue_limit: 1
steps:
  webhook:
    use: generic_webhook.webhook
    auth: {github: {secret: "${env:HOOK_SECRET}"}}
    allow_ips: [203.0.113.7]
    dedupe: order
    fields: {page: {type: integer, required: true}, order: text}
    then: enough
  enough:
    use: decision
    if: {left: "${webhook.page}", is: less_than, right: 3}
    then: next
    else: tell
  next:
    use: generic_webhook.post
    url: ${webhook.url}
    handoff: DIRECT
    map: {page: 3, order: "${webhook.order}"}
  tell:
    use: generic_webhook.post
    url: ${hook:told}
    handoff: DIRECT
    map: {order: "${webhook.order}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_and_hand_offs_of_this_server_are_asked_nothing() -> Result<()> {
    let told_cycle = cycle(
        "told",
        "    auth: {bearer: {secret: \"${env:HOOK_SECRET}\"}}\n    allow_ips: [203.0.113.7]\n    dedupe: order\n",
    );
    for handoff in ["direct", "http"] {
        let laps = LOOP.replace("DIRECT", handoff);
        let cycles = [("laps.yaml", laps.as_str()), ("told.yaml", &told_cycle)];
        let server = Folder::new(&cycles, "env_for_cycles: [HOOK_SECRET]\n")?
            .with_environment("HOOK_SECRET", "s3cret")
            .serve()
            .await?;
        let outside = server.hook("laps", r#"{"page": 1}"#).await?;
        assert_eq!(told(&outside), refused(403, "webhook.address_refused"));
        for round in 1..=2 {
            // The same order each time: outside callers would get the first answer again.
            let body = format!("{{\"page\": 1, \"order\": \"a{round}\"}}");
            let trigger = ["trigger", "laps", &body, "--follow"];
            let (status, out, err) = server.folder().command(&trigger).await?;
            assert_eq!(status, 0, "{handoff}: {out} {err}");
            server
                .wait_for("/loops?cycle=told&status=succeeded", |seen| {
                    seen["items"].as_array().map_or(0, Vec::len) == round
                })
                .await?;
        }
        let listed = server.get("/loops?cycle=laps").await?;
        for seen in listed["items"].as_array().context("loops")? {
            assert_eq!(
                (&seen["laps"], &seen["status"]),
                (&json!(2), &json!("succeeded"))
            );
        }
        // What only says that it is a hand-off is none.
        let claims = "eyJ0byI6ImxhcHMifQ.AAAA";
        let forged = post(&server, "laps", &[("velodrome-handoff", claims)], "{}").await?;
        assert_eq!(told(&forged), refused(401, "handoff.signature"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nobody_is_the_operator() -> Result<()> {
    let text = cycle("silent", "");
    let server = Folder::new(&[("silent.yaml", &text)], "")?.serve().await?;
    let url = format!("{}/api/v1/cycles/silent/trigger", server.url());
    let answer = server.client().post(&url, "{}").await?;
    assert_eq!(told(&answer), refused(401, "api.unauthenticated"));
    let answer = server.api("POST", "/cycles/silent/trigger").await?;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let answer = server.api("POST", "/cycles/silent/trigger/webhook").await?;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let answer = server.api("POST", "/cycles/silent/trigger/end").await?;
    assert_eq!(told(&answer), refused(404, "webhook.unknown"));
    assert_eq!(loops(&server).await?, 2);
    Ok(())
}
