//! The console's pages as they are sent, over the real binary: what they show of runs, loops, storage and the log,
//! and what their forms do. `browser.rs` looks at the same pages with a browser.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use velodrome_tests::{Answer, Folder, Server, Sink};

/// Asks wherever the webhook's body says, which no request may go to.
const ASKS: &str = r#"
cycle: asks
steps:
  webhook: {use: generic_webhook.webhook, fields: {to: {type: text}}, then: get}
  get: {use: generic_webhook.get, url: "${webhook.to}", retry: 0}
"#;
/// The same, mended.
const MENDED: &str = r#"
cycle: asks
steps:
  webhook: {use: generic_webhook.webhook, fields: {to: {type: text}}, then: get}
  get: {use: stop}
"#;
const WAITS: &str = r#"
cycle: waits
name: "It <waits> & waits"
steps:
  webhook: {use: generic_webhook.webhook, then: pause}
  pause: {use: delay, for: 1 hour}
"#;

const FORBIDDEN: &str = "http://169.254.1.1/secret";

async fn serve() -> Result<Server> {
    let cycles = [("asks.yaml", ASKS), ("waits.yaml", WAITS)];
    Folder::new(&cycles, "")?.serve().await
}

/// Asks as the administrator's token does; a form where there is a body.
async fn ask(server: &Server, verb: &str, path: &str, form: &str) -> Result<Answer> {
    let token = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
    ask_with(server, verb, path, form, token.trim()).await
}

async fn ask_with(
    server: &Server,
    verb: &str,
    path: &str,
    form: &str,
    token: &str,
) -> Result<Answer> {
    let url = format!("{}{path}", server.url());
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = form.as_bytes().to_vec();
    server.client().send(verb, &url, &headers, body).await
}

async fn page(server: &Server, path: &str) -> Result<String> {
    let answer = ask(server, "GET", path, "").await?;
    ensure!(
        answer.status == 200,
        "{path}: {} {}",
        answer.status,
        answer.text
    );
    Ok(answer.text)
}

/// Begins a run; gives its id and its loop's.
async fn begin(server: &Server, cycle: &str, body: &Value) -> Result<(String, String)> {
    let told = server.hook(cycle, &body.to_string()).await?.json();
    let id = |name: &str| Some(told[name].as_str()?.to_owned());
    id("run").zip(id("loop")).with_context(|| told.to_string())
}

async fn failed(server: &Server) -> Result<(String, String)> {
    let (run, looped) = begin(server, "asks", &json!({"to": FORBIDDEN})).await?;
    let over = server.loop_over(&looped).await?;
    ensure!(over["status"] == "failed", "{over}");
    Ok((run, looped))
}

fn shows(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "`{part}` is not in {page}");
    }
}

#[tokio::test]
async fn a_failed_run_says_what_where_and_what_to_do_and_is_resumed_on_the_mended_version()
-> Result<()> {
    let mut server = serve().await?;
    let (run, looped) = failed(&server).await?;
    let link = format!("href=\"/runs/{run}\"");
    let overview = page(&server, "/").await?;
    shows(
        &overview,
        &[&link, "request.refused_address", "/cycles/asks"],
    );
    shows(
        &page(&server, &format!("/loops/{looped}")).await?,
        &[&link, "Resume"],
    );
    let at = format!("/runs/{run}");
    let before = page(&server, &at).await?;
    let told = [
        "asks.yaml:5",
        "request.refused_address",
        "egress: allow",
        ">Resume<",
    ];
    shows(&before, &told);
    assert!(!before.contains("present version"), "{before}");

    server.folder().write_cycle("asks.yaml", MENDED)?;
    let version = server.get("/cycles/asks").await?["version"].clone();
    let newer = |cycle: &Value| cycle["version"] != version;
    server.wait_for("/cycles/asks", newer).await?;
    shows(
        &page(&server, &at).await?,
        &["Resume on the present version", "an older one"],
    );
    let resumed = ask(&server, "POST", &format!("{at}/retry"), "version=latest").await?;
    assert_eq!(
        (resumed.status, resumed.header("location")),
        (303, at.as_str())
    );
    let over = server.loop_over(&looped).await?;
    assert_eq!(over["status"], "succeeded", "{over}");
    shows(&page(&server, &at).await?, &["succeeded", "loop succeeded"]);
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn markup_that_came_from_outside_is_text_on_every_page() -> Result<()> {
    let server = serve().await?;
    let hostile = "\"><script>alert(1)</script><img src=x onerror=alert(2)>";
    let (run, looped) = begin(&server, "asks", &json!({ "to": hostile })).await?;
    server.loop_over(&looped).await?;
    begin(&server, "waits", &json!({ "page": hostile })).await?;
    let form = "connection=a&key=%3Cb%3Ek%3C%2Fb%3E&value=%22%3Ci%3Ev%3C%2Fi%3E%22";
    assert_eq!(
        ask(&server, "POST", "/storage/set", form).await?.status,
        303
    );
    let run_page = format!("/runs/{run}");
    shows(
        &page(&server, &run_page).await?,
        &["&lt;script&gt;alert(1)"],
    );
    shows(
        &page(&server, "/storage/keys?connection=a").await?,
        &["&lt;b&gt;k&lt;/b&gt;"],
    );
    shows(
        &page(&server, "/cycles/waits").await?,
        &["It &lt;waits&gt; &amp; waits"],
    );
    let loop_page = format!("/loops/{looped}");
    let cycle = format!("/log?cycle={}", "%3Cscript%3Ealert(1)%3C%2Fscript%3E");
    for path in [
        &run_page,
        &loop_page,
        "/",
        "/log",
        "/runs",
        "/cycles/asks",
        &cycle,
        "/storage/keys?connection=a",
    ] {
        let page = page(&server, path).await?;
        for markup in ["<script>", "<img src=x", "<b>", "<i>", "<waits>"] {
            assert!(!page.contains(markup), "{markup} stands in {path}: {page}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_runs_answer_is_shown_as_far_as_its_cycle_lets_it_be() -> Result<()> {
    let answer = json!({"email": "eve@example.com", "why": "twice"});
    let api = Sink::start(move |_, _| (422, answer.clone(), std::time::Duration::ZERO)).await?;
    let cycle = |name: &str, log: &str| {
        format!(
            "cycle: {name}\nlog: {log}\n{}",
            ASKS.replace("\ncycle: asks\n", "")
        )
    };
    let (masks, keeps_none) = (
        cycle("masks", "{redact: [email]}"),
        cycle("keeps_none", "{payloads: none}"),
    );
    let cycles = [("masks.yaml", masks.as_str()), ("none.yaml", &keeps_none)];
    let settings = "egress: {allow: [127.0.0.1]}\n";
    let server = Folder::new(&cycles, settings)?.serve().await?;
    for (cycle, body) in [
        ("masks", json!({"email": "[redacted]", "why": "twice"})),
        ("keeps_none", Value::Null),
    ] {
        let (run, looped) = begin(&server, cycle, &json!({"to": api.url()})).await?;
        server.loop_over(&looped).await?;
        let seen = server.get(&format!("/runs/{run}")).await?;
        assert_eq!(
            (&seen["error"]["status"], &seen["error"]["body"]),
            (&json!(422), &body)
        );
        let page = page(&server, &format!("/runs/{run}")).await?;
        assert!(!page.contains("eve@example.com"), "{page}");
    }
    Ok(())
}

/// What attributes of this name say.
fn attributes<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let begins = format!(" {name}=\"");
    let parts = page.split(begins.as_str()).skip(1);
    parts
        .filter_map(|part| Some(part.split_once('"')?.0))
        .collect()
}

#[tokio::test]
async fn pages_need_no_other_host_and_their_links_lead_somewhere() -> Result<()> {
    let server = serve().await?;
    let (run, looped) = failed(&server).await?;
    let (run, looped) = (format!("/runs/{run}"), format!("/loops/{looped}"));
    let mut seen = Vec::new();
    for path in [
        "/",
        "/loops",
        "/runs",
        "/log",
        "/connections",
        "/storage",
        "/cycles/asks",
        &run,
        &looped,
    ] {
        let answer = ask(&server, "GET", path, "").await?;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").to_owned();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{policy}"
        );
        for script in ["<style", "style=\"", "onclick=", "javascript:"] {
            assert!(!answer.text.contains(script), "{script} in {path}");
        }
        for name in ["href", "src", "action", "sse-connect"] {
            for place in attributes(&answer.text, name) {
                let own = place.starts_with('/') && !place.starts_with("//");
                assert!(own || place.starts_with('#'), "{path} leads to {place}");
                if own && name != "action" && name != "sse-connect" {
                    seen.push(place.replace("&amp;", "&"));
                }
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    for place in seen {
        let answer = ask(&server, "GET", &place, "").await?;
        assert_eq!(answer.status, 200, "{place}: {}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn long_lists_come_in_parts() -> Result<()> {
    let server = serve().await?;
    for page in 0..60 {
        begin(&server, "waits", &json!({ "page": page })).await?;
    }
    for list in ["/loops", "/runs"] {
        let first = page(&server, list).await?;
        assert_eq!(first.matches("<tr id=\"row-").count(), 50, "{first}");
        let links = attributes(&first, "href");
        let older = links.iter().find(|link| link.contains("cursor="));
        let older = older.context("a link to the older ones")?;
        let rest = page(&server, &older.replace("&amp;", "&")).await?;
        assert_eq!(rest.matches("<tr id=\"row-").count(), 10, "{rest}");
    }
    let mut before = String::new();
    let mut lines = 0;
    loop {
        let shown = page(&server, &format!("/log?level=debug&{before}")).await?;
        lines += shown.matches("id=\"seq-").count();
        let links = attributes(&shown, "href");
        let older = links
            .iter()
            .find_map(|link| Some(link.split_once("before=")?.1));
        match older {
            Some(older) => before = format!("before={older}"),
            None => break,
        }
    }
    assert_eq!(lines, server.log("level=debug").await?.len());
    Ok(())
}

#[tokio::test]
async fn forms_start_stop_and_keep_and_lead_back() -> Result<()> {
    let server = serve().await?;
    let location = async |path: &str, form: &str| -> Result<(u16, String)> {
        let answer = ask(&server, "POST", path, form).await?;
        Ok((answer.status, answer.header("location").to_owned()))
    };
    let (status, looped) = location("/cycles/waits/trigger", "body=%7B%22page%22%3A+7%7D").await?;
    assert!(
        status == 303 && looped.starts_with("/loops/loop_"),
        "{status} {looped}"
    );
    let waiting = |looped: &Value| looped["status"] == "waiting";
    server.wait_for(&looped, waiting).await?;
    shows(
        &page(&server, &looped).await?,
        &["waiting", "p-delay", "Stop"],
    );
    assert_eq!(
        location(&format!("{looped}/stop"), "").await?,
        (303, looped.clone())
    );
    assert_eq!(server.get(&looped).await?["status"], "stopped");

    let (run, looped) = begin(&server, "waits", &json!({"page": 8})).await?;
    let run = format!("/runs/{run}");
    server
        .wait_for(&run, |run| run["status"] == "waiting")
        .await?;
    assert_eq!(
        location(&format!("{run}/stop"), "").await?,
        (303, run.clone())
    );
    assert_eq!(server.get(&run).await?["status"], "stopped");
    assert_eq!(
        server.get(&format!("/loops/{looped}")).await?["status"],
        "stopped"
    );
    assert_eq!(location(&format!("{run}/stop"), "").await?.0, 409);

    let back = |to: &str| (303, to.to_owned());
    assert_eq!(
        location("/cycles/waits/pause", "").await?,
        back("/cycles/waits")
    );
    shows(&page(&server, "/cycles/waits").await?, &["paused"]);
    assert_eq!(
        location("/cycles/waits/start", "").await?,
        back("/cycles/waits")
    );
    assert_eq!(location("/cycles/waits/explode", "").await?.0, 404);
    let bad = ask(&server, "POST", "/cycles/waits/trigger", "body=%7Bpage").await?;
    assert_eq!(bad.status, 400);
    shows(&bad.text, &["api.bad_body", "no JSON", "<nav"]);

    let keys = "/storage/keys?connection=zoho&cycle=waits";
    let of = "connection=zoho&cycle=waits&key=a%2Fb";
    assert_eq!(
        location("/storage/set", &format!("{of}&value=%5B1%5D")).await?,
        back(keys)
    );
    shows(
        &page(&server, "/storage").await?,
        &["zoho", "/cycles/waits"],
    );
    shows(&page(&server, keys).await?, &["a/b", "[1]", "a person"]);
    assert_eq!(
        location("/storage/set", &format!("{of}&value=one"))
            .await?
            .0,
        400
    );
    assert_eq!(location("/storage/delete", of).await?, back(keys));
    shows(&page(&server, keys).await?, &["It holds nothing."]);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_told_on_a_page() -> Result<()> {
    let server = serve().await?;
    for (path, status, code) in [
        ("/runs/run_01m8ckxrr7efhtgb8vkxrm44qe", 404, "run.unknown"),
        ("/loops/last", 404, "loop.unknown"),
        ("/cycles/nobody", 404, "cycle.unknown"),
        ("/loops?status=broken", 400, "api.bad_parameter"),
        ("/runs?cursor=next", 400, "api.bad_parameter"),
        ("/log?before=now", 400, "api.bad_parameter"),
        ("/storage/keys", 400, "api.bad_parameter"),
        ("/?page=2", 400, "api.bad_parameter"),
    ] {
        let answer = ask(&server, "GET", path, "").await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        shows(&answer.text, &[code, "<h1>", "To the overview"]);
    }
    Ok(())
}

#[tokio::test]
async fn whoever_may_only_look_is_shown_no_buttons() -> Result<()> {
    let server = serve().await?;
    let (run, _) = failed(&server).await?;
    let (code, out, err) = server
        .folder()
        .command(&["token", "create", "--role", "read", "--json"])
        .await?;
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out)?;
    let token = made["token"].as_str().context("the token")?;
    for path in [
        "/".to_owned(),
        "/cycles/waits".to_owned(),
        format!("/runs/{run}"),
    ] {
        let shown = ask_with(&server, "GET", &path, "", token).await?;
        assert_eq!(shown.status, 200, "{path}");
        let buttons = shown
            .text
            .replace("type=\"button\"", "")
            .matches("<form")
            .count();
        // Only the way out.
        assert_eq!(buttons, 1, "{path}: {}", shown.text);
    }
    let retry = ask_with(&server, "POST", &format!("/runs/{run}/retry"), "", token).await?;
    assert_eq!(retry.status, 403);
    Ok(())
}
