//! `GET /metrics` of the real binary: its numbers are those of what happened, its series those of the files, and
//! Prometheus' own tool has nothing to say of it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use velodrome_tests::{
    Folder, Scrape, Server, Sink, ZOHO_INCREMENTAL, make_token, promtool, sign_in, velodrome,
};
use velodrome_types::{Metric, MetricKind};
use velodrome_zoho_sim::{Sim, SimOptions};

/// Asks the sink, then waits.
fn asks(sink: &Sink) -> String {
    format!(
        r#"
cycle: asks
concurrency: 1
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{path: {{type: text, required: true}}}}
    then: ask
  ask:
    use: generic_webhook.get
    url: {}/${{webhook.path}}
    retry: {{times: 3, first: 10 ms, max: 20 ms}}
    then: pause
  pause: {{use: delay, for: 1 hour}}
"#,
        sink.url()
    )
}

/// One request at a time.
const NARROW: &str = r#"
connector: narrow
settings:
  url: {title: Where it is}
base_url: "${settings.url}"
limits: {concurrent: 1}
methods:
  slow: {kind: request, verb: GET, path: /slow}
"#;

/// Asks what is not answered soon.
const SLOW: &str = "cycle: slow\nsteps:\n  webhook: {use: generic_webhook.webhook, then: ask}\n  \
                    ask: {use: narrow.slow, timeout: 5 minutes}\n";

/// Refuses `/bad`, `/failed` and the first two of `/flaky`; takes its time with `/slow`.
async fn sink() -> Result<Sink> {
    let flaky = std::sync::atomic::AtomicUsize::new(0);
    Sink::start(move |came, _| {
        let (status, takes) = match came.path.as_str() {
            "/bad" => (400, Duration::ZERO),
            "/failed" => (500, Duration::ZERO),
            "/slow" => (200, Duration::from_secs(300)),
            "/flaky" => match flaky.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 | 1 => (503, Duration::ZERO),
                _ => (200, Duration::ZERO),
            },
            _ => (200, Duration::ZERO),
        };
        (status, json!({}), takes)
    })
    .await
}

async fn serve(sink: &Sink) -> Result<Server> {
    let settings = format!(
        "egress: {{allow: [\"{}\"]}}\nerror_webhook: {}/failed\nconnectors: ./connectors\nconnections:\n  \
         narrow: {{connector: narrow, settings: {{url: {}}}}}\n",
        sink.host(),
        sink.url(),
        sink.url(),
    );
    let asks = asks(sink);
    let cycles = [("asks.yaml", asks.as_str()), ("slow.yaml", SLOW)];
    let folder = Folder::new(&cycles, &settings)?;
    std::fs::create_dir(folder.path().join("connectors"))?;
    std::fs::write(folder.path().join("connectors/narrow.yaml"), NARROW)?;
    folder.serve().await
}

async fn post(server: &Server, cycle: &str, body: Value) -> Result<String> {
    let answer = server.hook(cycle, &body.to_string()).await?;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let told = answer.json();
    Ok(told["loop"].as_str().context("a loop")?.to_owned())
}

/// A series and its number.
type Expected<'a> = (Metric, &'a [(&'a str, &'a str)], f64);

/// Each of these series has this number.
fn check(scrape: &Scrape, expected: &[Expected<'_>]) {
    for (metric, labels, value) in expected {
        let name = metric.def().name;
        let found = scrape.get(name, labels);
        let lines = scrape.text.lines();
        let near: Vec<&str> = lines.filter(|line| line.starts_with(name)).collect();
        assert_eq!(found, Some(*value), "{metric} {labels:?} in {near:#?}");
    }
}

/// What is shown is listed, with the labels of the list, and every family is shown or has nothing yet to show.
fn as_listed(scrape: &Scrape) {
    for sample in &scrape.samples {
        let listed = Metric::ALL.iter().find(|metric| {
            let def = metric.def();
            let ends = match def.kind {
                MetricKind::Histogram(_) => &["_bucket", "_sum", "_count"][..],
                MetricKind::Counter | MetricKind::Gauge => &[""],
            };
            ends.iter()
                .any(|end| sample.name.strip_suffix(end) == Some(def.name))
        });
        let def = listed
            .unwrap_or_else(|| panic!("{sample:?} is not listed"))
            .def();
        let mut known: Vec<&str> = def.labels.iter().map(|label| label.as_str()).collect();
        let mut has: Vec<&str> = sample.labels.iter().map(|(name, _)| &**name).collect();
        has.retain(|name| *name != "le");
        known.sort_unstable();
        has.sort_unstable();
        assert_eq!(has, known, "{sample:?}");
    }
}

async fn walk(records: u32) -> Result<(Sim, Server)> {
    let options = SimOptions {
        records,
        ..SimOptions::default()
    };
    let (id, secret) = (options.client_id.clone(), options.client_secret.clone());
    let sim = velodrome_zoho_sim::start(options).await?;
    let host = sim.url().trim_start_matches("http://").to_owned();
    let settings = format!(
        "connections:\n  zoho:\n    connector: zoho_crm\n    settings:\n      accounts_url: {}\n      hosts: {host}\n    \
         auth:\n      client_id: {id}\n      client_secret: {secret}\negress:\n  allow: [\"{host}\"]\n",
        sim.url(),
    );
    let cycle = ZOHO_INCREMENTAL.replace("for: 2 seconds", "for: 0 seconds");
    let folder = Folder::new(&[("zoho_incremental.yaml", &cycle)], &settings)?;
    Ok((sim, folder.serve().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_loop_is_counted_as_it_went() -> Result<()> {
    let (_sim, server) = walk(2_500).await?;
    let of = ("cycle", "zoho_incremental");
    let refused = server.hook("zoho_incremental", r#"{"page": 1}"#).await?;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let before = Scrape::of(&server).await?;
    check(
        &before,
        &[
            (Metric::ConnectionReady, &[("connection", "zoho")], 0.0),
            (
                Metric::CycleState,
                &[of, ("state", "needs_connection")],
                1.0,
            ),
            (Metric::CycleState, &[of, ("state", "running")], 0.0),
            (Metric::Webhooks, &[of, ("status", "4xx")], 1.0),
            // It is there before there is anything to count, so that the first is a rise.
            (Metric::Laps, &[of], 0.0),
        ],
    );

    sign_in(&server, "zoho").await?;
    let id = post(&server, "zoho_incremental", json!({"page": 1})).await?;
    let over = server.loop_over(&id).await?;
    assert_eq!(
        (&over["status"], &over["laps"], &over["records"]),
        (&json!("succeeded"), &json!(13), &json!(2_500))
    );

    let scrape = Scrape::of(&server).await?;
    let pages = [
        ("connection", "zoho"),
        ("method", "list_new_updated_contacts_by_page"),
        ("status", "2xx"),
    ];
    let step = |step, exit| [of, ("step", step), ("exit", exit)];
    let rhai = ("language", "rhai");
    check(
        &scrape,
        &[
            (Metric::ConnectionReady, &[("connection", "zoho")], 1.0),
            (Metric::CycleState, &[of, ("state", "running")], 1.0),
            // The other twelve laps are hand-offs, not requests.
            (Metric::Webhooks, &[of, ("status", "2xx")], 1.0),
            (Metric::Laps, &[of], 13.0),
            (Metric::Handoffs, &[of], 12.0),
            (Metric::Records, &[of], 2_500.0),
            (Metric::Runs, &[of, ("end", "succeeded")], 13.0),
            (Metric::Runs, &[of, ("end", "failed")], 0.0),
            (Metric::LoopsEnded, &[of, ("end", "succeeded")], 1.0),
            (Metric::Loops, &[of, ("state", "running")], 0.0),
            (Metric::Requests, &pages, 13.0),
            (Metric::StepExits, &step("contacts", "then"), 13.0),
            (Metric::StepExits, &step("more_records", "then"), 12.0),
            (Metric::StepExits, &step("more_records", "else"), 1.0),
            (Metric::RequestsQueued, &[], 0.0),
            // `after_webhook` of each lap, `before_action` of each but the last.
            (Metric::ScriptCalls, &[rhai, ("result", "ok")], 25.0),
            (Metric::ScriptCalls, &[rhai, ("result", "failed")], 0.0),
            (Metric::Commits, &[("result", "unknown")], 0.0),
        ],
    );
    let count =
        |metric: Metric, labels: &[(&str, &str)]| scrape.get(&format!("{metric}_count"), labels);
    let zoho = [("connection", "zoho")];
    assert_eq!(count(Metric::RequestDuration, &zoho), Some(13.0));
    assert_eq!(count(Metric::ScriptDuration, &[rhai]), Some(25.0));
    assert_eq!(count(Metric::WebhookDuration, &[of]), Some(2.0));
    let commits = scrape.get(Metric::Commits.def().name, &[("result", "done")]);
    assert!(commits >= Some(13.0), "one a lap at the least: {commits:?}");
    // The store's own histogram tells of the same commits, and of those that are made beside them.
    let batches = scrape.get("velodrome_commit_batch_units_sum", &[]);
    assert!(batches >= commits, "{batches:?} {commits:?}");
    let lines = server.log("").await?.len() as f64;
    let levels = ["debug", "info", "warn", "error"].map(|level| {
        let of = [("level", level)];
        scrape.get(Metric::LogLines.def().name, &of).unwrap_or(0.0)
    });
    assert_eq!(levels.iter().sum::<f64>(), lines, "{levels:?}");

    as_listed(&scrape);
    promtool(&["metrics"], &scrape.text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_retries_and_what_waits_are_told_also_after_a_kill() -> Result<()> {
    let sink = sink().await?;
    let mut server = serve(&sink).await?;
    let of = ("cycle", "asks");
    let failed = post(&server, "asks", json!({"path": "bad"})).await?;
    assert_eq!(server.loop_over(&failed).await?["status"], "failed");
    post(&server, "asks", json!({"path": "flaky"})).await?;
    for _ in 0..3 {
        post(&server, "asks", json!({"path": "well"})).await?;
    }
    let waits = [of, ("step", "pause"), ("state", "waiting")];
    let pending = Metric::NoticesPending.def().name;
    let told = [("result", "failed")];
    let scrape = Scrape::until(&server, |scrape| {
        let notices = scrape.get(Metric::Notices.def().name, &told);
        scrape.get(Metric::RunsAtStep.def().name, &waits) == Some(1.0) && notices >= Some(1.0)
    })
    .await?;
    let asked = |status| {
        [
            ("connection", "generic_webhook"),
            ("method", "get"),
            ("status", status),
        ]
    };
    let code = ("code", "request.status");
    let stand: [Expected<'_>; 4] = [
        (Metric::Loops, &[of, ("state", "waiting")], 1.0),
        (Metric::Loops, &[of, ("state", "queued")], 3.0),
        (Metric::RunsAtStep, &waits, 1.0),
        (Metric::NoticesPending, &[], 1.0),
    ];
    check(&scrape, &stand);
    check(
        &scrape,
        &[
            (Metric::Laps, &[of], 5.0),
            (Metric::Runs, &[of, ("end", "failed")], 1.0),
            (Metric::RunFailures, &[of, code], 1.0),
            (Metric::LoopsEnded, &[of, ("end", "failed")], 1.0),
            (Metric::Retries, &[of, code], 2.0),
            (Metric::Requests, &asked("5xx"), 2.0),
            (Metric::Requests, &asked("4xx"), 1.0),
            (Metric::Requests, &asked("2xx"), 1.0),
        ],
    );
    let late = scrape.get("velodrome_timer_lateness_seconds_count", &[]);
    assert!(late >= Some(2.0), "both retries waited: {late:?}");
    promtool(&["metrics"], &scrape.text).await?;

    // What stands is what is stored; what is counted begins anew, as Prometheus takes it.
    server.kill().await?;
    server.start().await?;
    let scrape = Scrape::until(&server, |scrape| {
        scrape.get(pending, &[]) == Some(1.0)
            && scrape.get(Metric::RunsAtStep.def().name, &waits) == Some(1.0)
    })
    .await?;
    check(&scrape, &stand);
    check(&scrape, &[(Metric::Laps, &[of], 0.0)]);
    as_listed(&scrape);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_their_turn_and_viewers_are_told() -> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink).await?;
    for _ in 0..3 {
        post(&server, "slow", json!({})).await?;
    }
    let queued = Metric::RequestsQueued.def().name;
    Scrape::until(&server, |scrape| scrape.get(queued, &[]) == Some(2.0)).await?;
    let viewers = Metric::LogViewers.def().name;
    assert_eq!(Scrape::of(&server).await?.get(viewers, &[]), Some(0.0));

    let mut follower = Command::new(velodrome())
        .args(["logs", "-f"])
        .current_dir(server.folder().path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = follower.stdout.take().context("its output")?;
    let mut lines = BufReader::new(stdout).lines();
    lines.next_line().await?.context("a line")?;
    Scrape::until(&server, |scrape| scrape.get(viewers, &[]) == Some(1.0)).await?;
    follower.kill().await?;
    Scrape::until(&server, |scrape| scrape.get(viewers, &[]) == Some(0.0)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_arrives_makes_a_series() -> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink).await?;
    let id = post(&server, "asks", json!({"path": "bad"})).await?;
    server.loop_over(&id).await?;
    server.hook("not_there", "{}").await?;
    server.hook("asks", "{").await?;
    // Once each notice of the failed run has its series.
    let notices = Metric::Notices.def().name;
    let first = Scrape::until(&server, |scrape| {
        scrape.get(notices, &[("result", "failed")]) >= Some(1.0)
    })
    .await?;
    for n in 0..30 {
        let id = post(&server, "asks", json!({"path": "bad", "more": n})).await?;
        server.loop_over(&id).await?;
        let hostile = format!("x{n}\"}} 1");
        for (path, body) in [
            (format!("/hooks/not_there_{n}"), "{}".to_owned()),
            (format!("/hooks/%22%7D%0A{n}"), "{}".to_owned()),
            (format!("/hooks/asks/step_{n}"), "{}".to_owned()),
            (format!("/hooks/asks/ask/token_{n}"), "{}".to_owned()),
            ("/hooks/asks".to_owned(), json!(hostile).to_string()),
        ] {
            let kind = [("content-type", "application/json")];
            let answer = server.ask("POST", &path, &kind, &body).await?;
            assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
        }
    }
    let last = Scrape::of(&server).await?;
    let (before, after) = (first.series(), last.series());
    let new: Vec<&String> = after.difference(&before).collect();
    assert_eq!(new, Vec::<&String>::new());
    for sample in &last.samples {
        for (label, value) in &sample.labels {
            let known = match label.as_str() {
                "cycle" => ["asks", "slow", ""].contains(&value.as_str()),
                "step" => ["webhook", "ask", "pause"].contains(&value.as_str()),
                "connection" => {
                    ["generic_webhook", "narrow", "data_storage"].contains(&value.as_str())
                }
                _ => !value.contains("run_") && !value.contains("loop_"),
            };
            assert!(known, "{sample:?}");
        }
    }
    let nobody = [("cycle", ""), ("status", "4xx")];
    let unknown = last.get(Metric::Webhooks.def().name, &nobody);
    assert!(unknown >= Some(61.0), "{unknown:?}");
    promtool(&["metrics"], &last.text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_metrics_may_scrape_and_do_nothing_else() -> Result<()> {
    let server = Folder::new(&[], "")?.serve().await?;
    let made = make_token(&server, &["--role", "metrics"]).await?;
    let token = made["token"].as_str().context("a token")?;
    let answer = server.ask_with("GET", "/metrics", token).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let kind = answer.header("content-type");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.text.contains("velodrome_build_info{version="));
    let other = server.ask_with("GET", "/api/v1/cycles", token).await?;
    assert_eq!(other.status, 403, "{}", other.text);
    let nobody = server.ask("GET", "/metrics", &[], "").await?;
    assert_eq!(nobody.code(), "api.unauthenticated", "{}", nobody.text);
    promtool(&["metrics"], &answer.text).await
}
