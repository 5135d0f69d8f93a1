//! What a trace of a loop looks like: one trace over laps, a delay, a crash, and a hand-off to another cycle.

use std::collections::HashMap;

use super::collector::{Collector, Span};
use super::server::Server;

/// Three laps with a request and a delay each, then a hand-off to `report`.
const PAGES: &str = r#"
cycle: pages
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {page: {type: integer, required: true}}
    then: ask
  ask:
    use: generic_webhook.get
    url: API/things
    then: more
  more:
    use: decision
    if: {left: "${webhook.page}", is: less_than, right: 3}
    then: pause
    else: tell
  pause: {use: delay, for: 2 seconds, then: next}
  next:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: "= webhook.page + 1"}
  tell:
    use: generic_webhook.post
    url: ${hook:report}
    map: {pages: "${webhook.page}"}
"#;
const REPORT: &str = r#"
cycle: report
steps:
  webhook: {use: generic_webhook.webhook, then: done}
  done: {use: stop}
"#;
const FAILS: &str = r#"
cycle: fails
steps:
  webhook: {use: generic_webhook.webhook, then: ask}
  ask: {use: generic_webhook.get, url: API/things, retry: {times: 1, first: 50 ms}}
"#;

const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;

const CAME: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn serve(collector: &Collector, api: &Collector, more: &[(&'static str, &str)]) -> Server {
    let host = api.url.trim_start_matches("http://");
    let mut environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
    ];
    environment.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let (pages, fails) = (
        PAGES.replace("API", &api.url),
        FAILS.replace("API", &api.url),
    );
    let cycles = [
        ("pages", pages.as_str()),
        ("report", REPORT),
        ("fails", &fails),
    ];
    Server::start(&cycles, host, environment).await
}

/// The spans of this name, in the order in which they began, each once: what was sent again is the same again.
fn named(spans: &[Span], name: &str) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    for span in spans.iter().filter(|span| span.name == name) {
        match found.iter().find(|known| known.id == span.id) {
            Some(known) => assert_eq!(known, span, "a span changed"),
            None => found.push(span.clone()),
        }
    }
    found.sort_by_key(|span| span.start);
    found
}

fn over(cycle: &'static str) -> impl Fn(&[Span]) -> bool {
    move |spans| spans.iter().any(|span| span.name == cycle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_one_trace_over_its_laps_a_crash_and_a_hand_off() {
    let (collector, api) = (Collector::start(&[]), Collector::start(&[]));
    let mut server = serve(&collector, &api, &[("OTEL_SERVICE_NAME", "night")]).await;
    let told = server.hook("pages", r#"{"page": 1}"#, &[]).await;
    let path = format!("/loops/{}", told["loop"].as_str().expect("a loop"));
    // In the second lap's delay, which began before the crash and ends behind it.
    let waits = |seen: &serde_json::Value| seen["laps"] == 2 && seen["status"] == "waiting";
    server.wait_for(&path, waits).await;
    server.kill();
    server.again().await;

    let spans = collector.spans(|spans| over("pages")(spans) && over("report")(spans));
    let traces: HashMap<&str, usize> = spans.iter().fold(HashMap::new(), |mut traces, span| {
        *traces.entry(span.trace.as_str()).or_default() += 1;
        traces
    });
    assert_eq!(traces.len(), 1, "{traces:?}");
    assert!(spans.iter().all(|span| span.service == "night"));

    let [looped] = &named(&spans, "pages")[..] else {
        panic!("one loop: {spans:#?}");
    };
    assert_eq!((looped.parent.as_str(), looped.kind), ("", SERVER));
    assert_eq!(looped.attribute("velodrome.laps"), "3");
    assert_eq!(
        looped.attribute("velodrome.loop"),
        told["loop"].as_str().unwrap()
    );
    let laps = named(&spans, "pages lap");
    let numbers: Vec<&str> = laps
        .iter()
        .map(|lap| lap.attribute("velodrome.lap"))
        .collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    assert_eq!(
        laps[0].attribute("velodrome.run"),
        told["run"].as_str().unwrap()
    );
    assert!(
        laps.iter()
            .all(|lap| lap.parent == looped.id && lap.kind == CONSUMER)
    );
    assert!(looped.start <= laps[0].start && laps[2].end <= looped.end);

    let below = |name: &str, count: usize| {
        let found = named(&spans, name);
        assert_eq!(found.len(), count, "{name}: {found:#?}");
        for (span, lap) in found.iter().zip(&laps) {
            assert_eq!(span.parent, lap.id, "{name}");
            assert!(lap.start <= span.end && span.end <= lap.end, "{name}");
        }
        found
    };
    let asked = below("ask", 3);
    for span in &asked {
        assert_eq!((span.kind, span.status), (CLIENT, 0));
        assert_eq!(span.attribute("http.response.status_code"), "200");
        assert_eq!(span.attribute("url.full"), format!("{}/things", api.url));
    }
    for span in below("pause", 2) {
        let millis = span.millis();
        assert!((2_000..30_000).contains(&millis), "a delay of {millis} ms");
    }
    for (handed_off, next) in below("next", 2).iter().zip(&laps[1..]) {
        assert_eq!(handed_off.kind, PRODUCER);
        assert_eq!(handed_off.links, [next.id.as_str()]);
    }

    let [report] = &named(&spans, "report")[..] else {
        panic!("one loop of the other cycle");
    };
    assert_eq!(report.parent, looped.id);
    let told_on = named(&spans, "tell");
    let report_laps = named(&spans, "report lap");
    assert_eq!(told_on[0].links, [report_laps[0].id.as_str()]);
    assert_eq!(
        (told_on[0].parent.as_str(), report_laps[0].parent.as_str()),
        (laps[2].id.as_str(), report.id.as_str())
    );

    // Nobody outside is told, unless the setting says so.
    let asked = api.heads();
    assert!(asked.len() >= 3 && asked.iter().all(|head| !head.contains("traceparent")));
    assert!(server.folder().join("data/traces.position").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_s_trace_goes_on_through_laps_and_out_to_hosts_that_are_named() {
    let (collector, api) = (Collector::start(&[]), Collector::start(&[]));
    let host = api.url.trim_start_matches("http://").to_owned();
    let mut server = serve(&collector, &api, &[("VELODROME_TRACEPARENT_TO", &host)]).await;
    let came = [
        ("traceparent", CAME),
        ("tracestate", "rojo=00f067aa0ba902b7"),
    ];
    let told = server.hook("pages", r#"{"page": 2}"#, &came).await;
    let path = format!("/loops/{}", told["loop"].as_str().expect("a loop"));
    server
        .wait_for(&path, |seen| seen["status"] == "waiting")
        .await;
    server.kill();
    server.again().await;

    let spans = collector.spans(|spans| over("pages")(spans) && over("report")(spans));
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    assert!(
        spans
            .iter()
            .all(|span| span.state == "rojo=00f067aa0ba902b7")
    );
    assert!(spans.iter().all(|span| span.service == "velodrome"));
    let looped = &named(&spans, "pages")[0];
    assert_eq!(looped.parent, "b7ad6b7169203331");
    assert_eq!(named(&spans, "report")[0].parent, looped.id);
    let heads = api.heads();
    for lap in named(&spans, "pages lap") {
        let parent = format!("traceparent: 00-{TRACE}-{}-01\r\n", lap.id);
        let told = heads.iter().find(|head| head.contains(&parent));
        let told = told.unwrap_or_else(|| panic!("{parent} in {heads:#?}"));
        assert!(told.contains("tracestate: rojo=00f067aa0ba902b7\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_fail_are_spans_and_a_collector_that_is_busy_loses_none() {
    let collector = Collector::start(&[503, 429]);
    let api = Collector::start(&[503, 503, 503]);
    let server = serve(&collector, &api, &[]).await;
    let not_recorded = [(
        "traceparent",
        CAME.strip_suffix("01")
            .map(|head| format!("{head}00"))
            .unwrap(),
    )];
    let silent = [(not_recorded[0].0, not_recorded[0].1.as_str())];
    let told = server.hook("fails", "{}", &[]).await;
    server.hook("report", "{}", &silent).await;

    let spans = collector.spans(over("fails"));
    let attempts = named(&spans, "ask");
    let said = |span: &Span| {
        let attribute = |name: &str| span.attribute(name).to_owned();
        (
            span.status,
            attribute("http.response.status_code"),
            attribute("error.type"),
        )
    };
    let failed = (2, "503".to_owned(), "request.status".to_owned());
    assert_eq!(
        attempts.iter().map(said).collect::<Vec<_>>(),
        [failed.clone(), failed]
    );
    assert!(attempts[0].end <= attempts[1].start, "{attempts:#?}");
    let lap = &named(&spans, "fails lap")[0];
    assert_eq!(
        (lap.status, lap.attribute("velodrome.status")),
        (2, "failed")
    );
    assert_eq!(
        lap.attribute("velodrome.run"),
        told["run"].as_str().unwrap()
    );
    assert!(lap.links.is_empty());
    // A caller that does not record its trace is not overruled.
    let last = server.hook("report", "{}", &[]).await;
    let of_last = |span: &Span| span.attribute("velodrome.loop") == last["loop"].as_str().unwrap();
    let spans = collector.spans(|spans| spans.iter().any(of_last));
    assert_eq!(named(&spans, "report").len(), 1, "{spans:#?}");
}
