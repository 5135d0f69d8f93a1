//! `http_request` of scripts on the real binary: where it may go, what it takes along, and how long it may take.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink};

/// An API of which scripts ask more than its methods do.
fn connector(own: &Sink) -> String {
    format!(
        r#"
connector: shop
settings: {{token: {{title: Token, secret: true}}}}
auth: {{type: bearer, token: "${{settings.token}}"}}
base_url: {}
methods:
  order: {{title: Order, kind: request, verb: POST, path: /orders, inputs: {{note: {{title: Note, type: any, field: note}}}}}}
"#,
        own.url()
    )
}

/// Each cycle's script, in Rhai and in JavaScript: one behind the other it asks its own host, another's, one
/// that nobody may ask, and says what came of each.
const RHAI: &str = r#"
          fn ask(url) {
              if url.ends_with("/slow") { http_request(#{url: url}); }
              let headers = #{"x-for": if url.ends_with("/header") { "a\r\nx-evil: b" } else { "a" }};
              try {
                  if url.ends_with("/moved") { return http_request(#{url: url}).content.said; }
                  return http_request(#{url: url, method: "post", data: #{ask: 1}, headers: headers}).content.said;
              } catch (error) { return error.message; }
          }
          fn before_action() {
              method_request.note = method_request.note.map(|url| ask(url));
              return true;
          }"#;
const JAVASCRIPT: &str = r"
          function ask(url) {
              if (url.endsWith('/slow')) { http_request({url}); }
              const headers = {'x-for': url.endsWith('/header') ? 'a\r\nx-evil: b' : 'a'};
              try {
                  if (url.endsWith('/moved')) { return http_request({url}).content.said; }
                  return http_request({url: url, method: 'post', data: {ask: 1}, headers}).content.said;
              } catch (error) { return error.message; }
          }
          function before_action() {
              method_request.note = method_request.note.map(ask);
              return true;
          }";

fn cycle(name: &str, language: &str, code: &str) -> String {
    format!(
        r#"
cycle: {name}
steps:
  webhook: {{use: generic_webhook.webhook, fields: {{urls: list}}, then: order}}
  order:
    use: shop.order
    map: {{note: "${{webhook.urls}}"}}
    retry: 0
    script:
      language: {language}
      code: |{code}
"#
    )
}

async fn serve(own: &Sink, other: &Sink, more: &str) -> Result<Server> {
    let settings = format!(
        "connectors: ./connectors\negress: {{allow: [\"{}\", \"{}\"]}}\nconnections:\n  shop: {{connector: shop, settings: {{token: tops3cret}}}}\n{more}",
        own.host(),
        other.host()
    );
    let cycles = [
        ("rhai.yaml", cycle("in_rhai", "rhai", RHAI)),
        (
            "javascript.yaml",
            cycle("in_javascript", "javascript", JAVASCRIPT),
        ),
    ];
    let cycles = cycles.each_ref().map(|(file, text)| (*file, text.as_str()));
    let folder = Folder::new(&cycles, &settings)?;
    let connectors = folder.path().join("connectors");
    std::fs::create_dir_all(&connectors)?;
    std::fs::write(connectors.join("shop.yaml"), connector(own))?;
    folder.serve().await
}

async fn sink(said: &'static str, takes: Duration) -> Result<Sink> {
    Sink::start(move |_, _| (200, json!({"said": said}), takes)).await
}

async fn run(server: &Server, cycle: &str, urls: Value) -> Result<Value> {
    let answer = server
        .hook(cycle, &json!({ "urls": urls }).to_string())
        .await?
        .json();
    let id = answer["loop"]
        .as_str()
        .with_context(|| answer.to_string())?
        .to_owned();
    server.loop_over(&id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_to_the_own_hosts_only_and_the_guard_holds() -> Result<()> {
    for name in ["in_rhai", "in_javascript"] {
        let own = sink("own", Duration::ZERO).await?;
        let other = sink("other", Duration::ZERO).await?;
        let private = sink("private", Duration::ZERO).await?;
        let server = serve(&own, &other, "").await?;
        let urls = json!([
            format!("{}/more?a=b", own.url()),
            format!("{}/elsewhere", other.url()),
            format!("{}/inside", private.url()),
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            format!("{}/hooks/in_rhai", server.url()),
        ]);
        let over = run(&server, name, urls).await?;
        let log = server.log_text();
        assert_eq!(over["status"], "succeeded", "{over:#}\n{log}");

        let came = own.came();
        let [asked, sent] = &came[..] else {
            panic!("{name}: {came:#?}");
        };
        assert_eq!(
            (asked.path.as_str(), &asked.body),
            ("/more?a=b", &json!({"ask": 1}))
        );
        assert!(
            asked.head.contains("tops3cret") && !asked.key.is_empty(),
            "{}",
            asked.head
        );
        let said = sent.body["note"].as_array().context("a list")?.clone();
        assert_eq!(said[..2], [json!("own"), json!("other")], "{name}");
        for refused in &said[2..4] {
            assert!(
                refused.to_string().contains("request.refused_address"),
                "{name}: {refused}"
            );
        }
        assert!(
            said[4].to_string().contains("request.bad_url"),
            "{name}: {}",
            said[4]
        );
        assert!(
            said[5].to_string().contains("request.refused_address"),
            "{name}: {}",
            said[5]
        );

        let elsewhere = other.came();
        assert_eq!(elsewhere.len(), 1);
        assert!(
            !elsewhere[0].head.contains("tops3cret"),
            "{}",
            elsewhere[0].head
        );
        assert_eq!(private.came().len(), 0);
        // The log says what was asked, without the query.
        let lines = server.log("event=script.logged").await?;
        let told: Vec<&str> = lines
            .iter()
            .filter_map(|line| line["message"].as_str())
            .collect();
        let expect = [
            format!("http_request: POST {}/more → 200", own.url()),
            format!("http_request: POST {}/elsewhere → 200", other.url()),
        ];
        assert_eq!(told, expect, "{name}");
    }
    Ok(())
}

/// More than an eighth of the memory that a script has, and less than `response_limit`.
const HUGE: usize = 9_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_redirect_nor_a_header_nor_a_huge_answer_gets_past() -> Result<()> {
    for name in ["in_rhai", "in_javascript"] {
        let private = sink("private", Duration::ZERO).await?;
        let inside = format!("{}/inside", private.url());
        let own = Sink::raw(move |came, _| {
            let answer = match came.path.as_str() {
                "/moved" => Sink::answer(302, &[("location", inside.as_str())], b""),
                "/huge" => {
                    let body = json!({"said": "x".repeat(HUGE)}).to_string();
                    Sink::answer(
                        200,
                        &[("content-type", "application/json")],
                        body.as_bytes(),
                    )
                }
                _ => Sink::answer(
                    200,
                    &[("content-type", "application/json")],
                    br#"{"said": "own"}"#,
                ),
            };
            (answer, Duration::ZERO)
        })
        .await?;
        let other = sink("other", Duration::ZERO).await?;
        let server = serve(&own, &other, "").await?;
        let urls = ["moved", "header", "huge", "more"].map(|path| format!("{}/{path}", own.url()));
        let over = run(&server, name, json!(urls)).await?;
        assert_eq!(
            over["status"],
            "succeeded",
            "{over:#}\n{}",
            server.log_text()
        );

        let came = own.came();
        let paths: Vec<&str> = came.iter().map(|came| came.path.as_str()).collect();
        assert_eq!(paths, ["/moved", "/huge", "/more", "/orders"], "{name}");
        let said = came[3].body["note"].as_array().context("a list")?;
        let codes = [
            "request.refused_address",
            "request.bad_header",
            "request.too_large",
        ];
        for (said, code) in said.iter().zip(codes) {
            let said = said.as_str().context("text")?;
            assert!(said.len() < 1000 && said.contains(code), "{name}: {said}");
        }
        // The script goes on after each, and asks as before.
        assert_eq!(said[3], "own", "{name}");
        assert_eq!(private.came().len(), 0, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_ends_the_script_and_keeps_nobody_waiting() -> Result<()> {
    for name in ["in_rhai", "in_javascript"] {
        let own = sink("own", Duration::ZERO).await?;
        let slow = sink("slow", Duration::from_secs(20)).await?;
        let server = serve(&own, &slow, "script_limits: {time: 500 ms}\n").await?;
        let urls = json!([format!("{}/slow", slow.url())]);
        let others = async {
            for _ in 0..10 {
                let over = run(&server, "in_rhai", json!([format!("{}/quick", own.url())])).await?;
                assert_eq!(over["status"], "succeeded", "{over:#}");
            }
            anyhow::Ok(())
        };
        let (over, others) = tokio::join!(run(&server, name, urls), others);
        others?;
        let over = over?;
        assert_eq!(over["status"], "failed", "{over:#}");
        // Whichever sees it first: the request, or the clock of the script.
        let code = over["error"]["code"].as_str().unwrap_or_default();
        assert!(
            ["script.time", "script.request_failed"].contains(&code),
            "{over:#}"
        );
    }
    Ok(())
}

/// The handlers of a webhook, in Rhai and in JavaScript: before anything is accepted, and as a run begins.
const HEARD_IN_RHAI: &str = r#"
          fn before_webhook() {
              method_request.known = http_request(#{url: `${method_request.ask}/before`}).content.said;
              return true;
          }
          fn after_webhook() {
              method_response.seen = http_request(#{url: `${method_response.ask}/after`}).content.said;
              return true;
          }"#;
const HEARD_IN_JAVASCRIPT: &str = r"
          function before_webhook() {
              method_request.known = http_request({url: `${method_request.ask}/before`}).content.said;
              return true;
          }
          function after_webhook() {
              method_response.seen = http_request({url: `${method_response.ask}/after`}).content.said;
              return true;
          }";

fn heard(name: &str, language: &str, code: &str) -> String {
    format!(
        r#"
cycle: {name}
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{ask: text, known: text, seen: text}}
    script:
      language: {language}
      code: |{code}
    then: keep
  keep: {{use: data_storage.set, map: {{key: told, value: "${{webhook.known}} ${{webhook.seen}}"}}}}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhooks_handlers_ask_too_and_one_that_fails_accepts_nothing() -> Result<()> {
    let api = sink("own", Duration::ZERO).await?;
    let cycles = [
        ("rhai.yaml", heard("in_rhai", "rhai", HEARD_IN_RHAI)),
        (
            "javascript.yaml",
            heard("in_javascript", "javascript", HEARD_IN_JAVASCRIPT),
        ),
    ];
    let cycles = cycles.each_ref().map(|(file, text)| (*file, text.as_str()));
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", api.host());
    let server = Folder::new(&cycles, &settings)?.serve().await?;
    for (count, name) in ["in_rhai", "in_javascript"].into_iter().enumerate() {
        let body = json!({ "ask": api.url() }).to_string();
        let answer = server.hook(name, &body).await?.json();
        let id = answer["loop"]
            .as_str()
            .with_context(|| answer.to_string())?;
        let over = server.loop_over(id).await?;
        assert_eq!(over["status"], "succeeded", "{over:#}");
        let paths: Vec<String> = api.came().into_iter().map(|came| came.path).collect();
        assert_eq!(paths[2 * count..], ["/before", "/after"], "{name}");
        let lines = server.log(&format!("cycle={name}")).await?;
        let told = lines
            .iter()
            .any(|line| line.to_string().contains("own own"));
        assert!(told, "{name}: {lines:#?}");

        // The cloud's own address for its machines: nobody may ask it.
        let body = json!({"ask": "http://169.254.169.254"}).to_string();
        let answer = server.hook(name, &body).await?;
        assert_eq!(answer.status, 500, "{name}: {}", answer.text);
        assert!(
            answer.text.contains("request.refused_address"),
            "{name}: {}",
            answer.text
        );
        let loops = server
            .api("GET", &format!("/loops?cycle={name}"))
            .await?
            .json();
        assert_eq!(
            loops["items"].as_array().map(Vec::len),
            Some(1),
            "{loops:#}"
        );
    }
    Ok(())
}
