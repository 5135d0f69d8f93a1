//! Where requests may go (SPEC §12), over the real binary: data and redirects lead nowhere that
//! `velodrome.yaml` does not name, credentials stay with their own host, and no answer is larger than said.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use velodrome_tests::{Came, Folder, Server, Sink};

/// Asks wherever the webhook's body says.
const ASKS: &str = r#"
cycle: asks
steps:
  webhook: {use: generic_webhook.webhook, fields: {to: {type: text, required: true}}, then: get}
  get: {use: generic_webhook.get, url: "${webhook.to}", retry: 0}
"#;

/// Sends wherever the webhook's body says.
const SENDS: &str = r#"
cycle: sends
steps:
  webhook: {use: generic_webhook.webhook, fields: {to: {type: text, required: true}}, then: post}
  post: {use: generic_webhook.post, url: "${webhook.to}", map: {order: 7}, retry: 0}
"#;

async fn sink() -> Result<Sink> {
    Sink::start(|_, _| (200, json!({"ok": true}), Duration::ZERO)).await
}

async fn serve(settings: &str) -> Result<Server> {
    let cycles = [("asks.yaml", ASKS), ("sends.yaml", SENDS)];
    // A proxy of the environment would be a way around the guard.
    Folder::new(&cycles, settings)?
        .with_environment("HTTP_PROXY", "http://127.0.0.1:9")
        .with_environment("http_proxy", "http://127.0.0.1:9")
        .serve()
        .await
}

/// Runs a cycle with a URL; gives the run when it is over.
async fn run(server: &Server, cycle: &str, to: &str) -> Result<Value> {
    let body = json!({ "to": to }).to_string();
    let accepted = server.hook(cycle, &body).await?;
    ensure!(accepted.status == 202, "{to}: {}", accepted.text);
    let told = accepted.json();
    server
        .loop_over(told["loop"].as_str().unwrap_or_default())
        .await?;
    let run = told["run"].as_str().unwrap_or_default();
    server.get(&format!("/runs/{run}")).await
}

fn header<'c>(came: &'c Came, name: &str) -> Option<&'c str> {
    came.head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_inside_is_reached_only_where_the_settings_name_it() -> Result<()> {
    let (inside, other) = (sink().await?, sink().await?);
    let port = |sink: &Sink| {
        sink.host()
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let to = port(&inside);
    let mut server = serve("").await?;
    for url in [
        inside.url().to_owned(),
        format!("http://localhost:{to}/"),
        format!("http://any.localhost:{to}/"),
        format!("http://127.1:{to}/"),
        format!("http://2130706433:{to}/"),
        format!("http://0x7f000001:{to}/"),
        format!("http://0177.0.0.1:{to}/"),
        format!("http://0.0.0.0:{to}/"),
        format!("http://[::1]:{to}/"),
        format!("http://[::ffff:127.0.0.1]:{to}/"),
        format!("http://127.0.0.1.:{to}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://192.168.1.1/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        // This server itself, which hand-offs alone reach.
        format!("{}/hooks/asks", server.url()),
        format!("{}/readyz", server.url()),
    ] {
        for cycle in ["asks", "sends"] {
            let seen = run(&server, cycle, &url).await?;
            assert_eq!(
                (
                    &seen["status"],
                    &seen["error"]["code"],
                    &seen["error"]["kind"]
                ),
                (
                    &json!("failed"),
                    &json!("request.refused_address"),
                    &json!("permanent")
                ),
                "{url}: {seen}"
            );
        }
    }
    assert!(inside.came().is_empty(), "{:?}", inside.came());
    let (code, output, error) = server.folder().command(&["run", "show", "last"]).await?;
    assert_eq!(code, 0, "{error}");
    assert!(output.contains("`egress: allow`"), "{output}");

    // A name with a port is allowed on that port.
    server.stop().await?;
    let allow = format!("egress:\n  allow: [\"{}\"]\n", inside.host());
    server.folder().write_settings(&allow)?;
    server.start().await?;
    assert_eq!(
        run(&server, "asks", inside.url()).await?["status"],
        "succeeded"
    );
    assert_eq!(
        run(&server, "sends", inside.url()).await?["status"],
        "succeeded"
    );
    let seen = run(&server, "asks", other.url()).await?;
    assert_eq!(seen["error"]["code"], "request.refused_address", "{seen}");
    assert_eq!((inside.came().len(), other.came().len()), (2, 0));

    // `only` leaves nothing else, and a range allows what a name leads to.
    server.stop().await?;
    let only = format!(
        "egress:\n  allow: [127.0.0.0/8]\n  only: [\"{}\"]\n",
        inside.host()
    );
    server.folder().write_settings(&only)?;
    server.start().await?;
    assert_eq!(
        run(&server, "asks", inside.url()).await?["status"],
        "succeeded"
    );
    for url in [other.url(), "http://example.com/"] {
        let seen = run(&server, "asks", url).await?;
        assert_eq!(
            seen["error"]["code"], "request.refused_address",
            "{url}: {seen}"
        );
    }
    assert!(other.came().is_empty());
    Ok(())
}

/// An API with a key that redirects: `/to/other`, `/to/inside`, `/to/itself`, `/round`.
async fn redirecting(other: &str, inside: &str) -> Result<Sink> {
    let (other, inside) = (other.to_owned(), inside.to_owned());
    Sink::raw(move |came, _| {
        let to = match came.path.as_str() {
            "/to/other" => format!("{other}/taken"),
            "/to/inside" => format!("{inside}/taken"),
            "/to/itself" => "/taken".to_owned(),
            "/round" => "/round".to_owned(),
            _ => {
                return (
                    Sink::answer(200, &[("content-type", "application/json")], b"{}"),
                    Duration::ZERO,
                );
            }
        };
        (Sink::answer(307, &[("location", &to)], b""), Duration::ZERO)
    })
    .await
}

const KEYED: &str = r#"
connector: keyed
title: An API with a key
settings:
  url: {title: Where it is}
  key: {title: Its key, secret: true}
auth: {type: bearer, token: "${settings.key}"}
base_url: "${settings.url}"
request: {headers: {X-Tenant: "tenant seven", Accept: application/json}}
methods:
  ask:
    kind: request
    verb: GET
    path: "/to/${input.where}"
    inputs: {where: {type: text, required: true}}
    response: {open: true}
  tell:
    kind: request
    verb: POST
    path: "/to/${input.where}"
    inputs: {where: {type: text, required: true}, order: {type: integer, field: order}}
    response: {open: true}
"#;

const REDIRECTS: &str = r#"
cycle: redirects
steps:
  webhook: {use: generic_webhook.webhook, then: verb}
  verb: {use: decision, if: {left: "${webhook.verb}", is: equals, right: POST}, then: tell, else: ask}
  ask: {use: api.ask, map: {where: "${webhook.to}"}, retry: 0}
  tell: {use: api.tell, map: {where: "${webhook.to}", order: 7}, retry: 0}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_judged_anew_and_takes_no_credentials_elsewhere() -> Result<()> {
    let (other, inside) = (sink().await?, sink().await?);
    let api = redirecting(other.url(), inside.url()).await?;
    let settings = format!(
        "connectors: ./connectors\nconnections:\n  api: {{connector: keyed, settings: {{url: {}, key: \"${{env:API_KEY}}\"}}}}\n\
         egress:\n  allow: [\"{}\", \"{}\"]\n",
        api.url(),
        api.host(),
        other.host(),
    );
    let cycles = [("redirects.yaml", REDIRECTS), ("asks.yaml", ASKS)];
    let folder = Folder::new(&cycles, &settings)?.with_environment("API_KEY", "a-key-of-the-api");
    std::fs::create_dir(folder.path().join("connectors"))?;
    std::fs::write(folder.path().join("connectors/keyed.yaml"), KEYED)?;
    let server = folder.serve().await?;
    let run_to = async |verb: &str, to: &str| -> Result<Value> {
        let body = json!({ "verb": verb, "to": to }).to_string();
        let accepted = server.hook("redirects", &body).await?;
        ensure!(accepted.status == 202, "{}", accepted.text);
        let told = accepted.json();
        server
            .loop_over(told["loop"].as_str().unwrap_or_default())
            .await?;
        server
            .get(&format!(
                "/runs/{}",
                told["run"].as_str().unwrap_or_default()
            ))
            .await
    };

    // At its own origin the key goes along, and so does a body.
    for verb in ["GET", "POST"] {
        let seen = run_to(verb, "itself").await?;
        assert_eq!(seen["status"], "succeeded", "{seen}");
        let came = api.came().pop().context("a request")?;
        assert_eq!(came.path, "/taken");
        assert_eq!(
            header(&came, "authorization"),
            Some("Bearer a-key-of-the-api")
        );
        assert_eq!(header(&came, "x-tenant"), Some("tenant seven"));
        let body = if verb == "POST" {
            json!({"order": 7})
        } else {
            Value::Null
        };
        assert_eq!(came.body, body);
    }
    // Elsewhere neither the key nor anything else that could be one, whatever is allowed.
    let seen = run_to("GET", "other").await?;
    assert_eq!(seen["status"], "succeeded", "{seen}");
    let came = other.came().pop().context("a request")?;
    assert_eq!(header(&came, "accept"), Some("application/json"));
    for name in ["authorization", "x-tenant", "cookie", "idempotency-key"] {
        assert_eq!(header(&came, name), None, "{}", came.head);
    }
    // A body goes nowhere else: the redirect is the answer, and an error.
    let seen = run_to("POST", "other").await?;
    assert_eq!(
        (&seen["error"]["code"], &seen["error"]["status"]),
        (&json!("request.status"), &json!(307)),
        "{seen}"
    );
    assert_eq!(other.came().len(), 1);
    // To what is not named it is not followed at all.
    let seen = run_to("GET", "inside").await?;
    assert_eq!(seen["error"]["code"], "request.refused_address", "{seen}");
    assert!(inside.came().is_empty());
    // Nor for ever.
    let before = api.came().len();
    let seen = run(&server, "asks", &format!("{}/round", api.url())).await?;
    assert_eq!(seen["error"]["code"], "request.redirects", "{seen}");
    assert_eq!(api.came().len() - before, 6);
    Ok(())
}

/// A body that unpacks to so many bytes.
fn packed(bytes: usize) -> Result<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(format!("\"{}\"", "x".repeat(bytes - 2)).as_bytes())?;
    Ok(gzip.finish()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_no_larger_than_said_packed_or_not() -> Result<()> {
    const LIMIT: usize = 100_000;
    let (fits, bomb) = (packed(LIMIT)?, packed(200_000_000)?);
    assert!(bomb.len() < 1_000_000);
    let api = Sink::raw(move |came, _| {
        let json = ("content-type", "application/json");
        let gzip = ("content-encoding", "gzip");
        let plain = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
        let answer = match came.path.as_str() {
            "/fits" => Sink::answer(200, &[json], &plain(LIMIT)),
            "/large" => Sink::answer(200, &[json], &plain(LIMIT + 1)),
            "/packed/fits" => Sink::answer(200, &[json, gzip], &fits),
            // Nothing says how long it is; it ends with the connection.
            "/endless" => {
                let mut answer = b"HTTP/1.1 200 Said\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n".to_vec();
                answer.extend(plain(LIMIT + 1));
                answer
            }
            _ => Sink::answer(200, &[json, gzip], &bomb),
        };
        (answer, Duration::ZERO)
    })
    .await?;
    let settings = format!(
        "response_limit: {LIMIT}\negress:\n  allow: [\"{}\"]\n",
        api.host()
    );
    let server = serve(&settings).await?;
    for (path, fits) in [
        ("/fits", true),
        ("/packed/fits", true),
        ("/large", false),
        ("/endless", false),
        ("/packed/bomb", false),
    ] {
        let before = peak_memory(&server)?;
        let seen = run(&server, "asks", &format!("{}{path}", api.url())).await?;
        let code = if fits {
            Value::Null
        } else {
            json!("request.too_large")
        };
        assert_eq!(seen["error"]["code"], code, "{path}: {seen}");
        // 200 MB are never in memory.
        let grown = peak_memory(&server)?.saturating_sub(before);
        assert!(grown < 50_000, "{path}: {grown} kB");
    }
    Ok(())
}

/// The most memory that the server had at once, in kB.
fn peak_memory(server: &Server) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.context("VmHWM")
}
