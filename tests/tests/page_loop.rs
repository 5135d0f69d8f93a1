//! The shipped page loop against the simulator, through the real binary.

use anyhow::Result;
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, ZOHO_INCREMENTAL, sign_in};
use velodrome_zoho_sim::{Sim, SimOptions};

fn with_delay(delay: &str) -> String {
    let text = ZOHO_INCREMENTAL.replace("for: 2 seconds", &format!("for: {delay}"));
    assert!(
        text.contains(&format!("for: {delay}")),
        "the shipped cycle has its delay"
    );
    text
}

async fn simulator(records: u32) -> Result<Sim> {
    Ok(velodrome_zoho_sim::start(SimOptions {
        records,
        ..SimOptions::default()
    })
    .await?)
}

async fn serve(sim: &Sim, cycle: &str) -> Result<Server> {
    let options = SimOptions::default();
    let host = sim.url().trim_start_matches("http://");
    let settings = format!(
        "connections:\n  zoho:\n    connector: zoho_crm\n    settings:\n      accounts_url: {}\n      hosts: {host}\n    \
         auth:\n      client_id: {}\n      client_secret: {}\negress:\n  allow: [\"{host}\"]\n",
        sim.url(),
        options.client_id,
        options.client_secret,
    );
    let server = Folder::new(&[("zoho_incremental.yaml", cycle)], &settings)?
        .serve()
        .await?;
    let refused = server.hook("zoho_incremental", r#"{"page": 1}"#).await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "cycle.needs_connection"),
        "{}",
        refused.text
    );
    sign_in(&server, "zoho").await?;
    Ok(server)
}

async fn kick_off(server: &Server) -> Result<Value> {
    let accepted = server.hook("zoho_incremental", r#"{"page": 1}"#).await?;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    assert!(accepted.header("location").contains("/api/v1/runs/run_"));
    let told = accepted.json();
    assert_eq!(
        (&told["cycle"], &told["lap"], &told["status"]),
        (&json!("zoho_incremental"), &json!(1), &json!("accepted"))
    );
    Ok(told)
}

/// The pages that a loop's accepted webhooks carry, in the order of the log.
async fn pages(server: &Server, loop_id: &Value) -> Result<Vec<String>> {
    let query = format!(
        "loop={}&event=webhook.accepted",
        loop_id.as_str().unwrap_or_default()
    );
    let lines = server.log(&query).await?;
    Ok(lines
        .iter()
        .map(|line| {
            line["message"]
                .as_str()
                .unwrap_or_default()
                .replace("accepted  page=", "")
        })
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_in_one_step_past_record_2000_and_then_only_what_changed() -> Result<()> {
    let sim = simulator(2_600).await?;
    let cycle = r#"
cycle: zoho_incremental
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {page: {type: integer, required: true}}
    then: contacts
  contacts:
    use: zoho.list_new_updated_contacts
    then: done
    else: none
  done: {use: stop, message: "${contacts.count} contacts"}
  none: {use: stop, message: "nothing new"}
"#;
    let server = serve(&sim, cycle).await?;
    let end = async |server: &Server| -> Result<String> {
        let told = kick_off(server).await?;
        let id = told["loop"].as_str().unwrap_or_default();
        let over = server.loop_over(id).await?;
        assert_eq!(over["status"], "succeeded", "{over}");
        let query = format!("loop={id}&event=run.succeeded");
        let lines = server.log(&query).await?;
        Ok(lines[0]["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(end(&server).await?, "2600 contacts");
    let stats = sim.stats();
    assert_eq!(
        (stats.page_tokens_asked, stats.distinct_records),
        (3, 2_600)
    );
    // The generated contacts are older than the walk: 304.
    assert_eq!(end(&server).await?, "nothing new");
    Ok(())
}

fn one_to(last: u32) -> Vec<String> {
    (1..=last).map(|page| page.to_string()).collect()
}

fn each_record_once(sim: &Sim, records: u64) {
    let stats = sim.stats();
    assert_eq!(stats.distinct_records, records, "every record was served");
    assert!(
        stats.repeated_records.is_empty(),
        "served twice: {:?}",
        stats.repeated_records
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_to_the_end_with_each_record_once() -> Result<()> {
    let sim = simulator(2_500).await?;
    let server = serve(&sim, &with_delay("0 seconds")).await?;
    let told = kick_off(&server).await?;
    let over = server
        .loop_over(told["loop"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(
        (&over["status"], &over["laps"], &over["records"]),
        (&json!("succeeded"), &json!(13), &json!(2_500))
    );
    assert_eq!(pages(&server, &told["loop"]).await?, one_to(13));
    each_record_once(&sim, 2_500);
    let moved = server.log("event=watermark.moved").await?;
    assert_eq!(moved.len(), 1, "the last page moved the watermark");
    // Nothing has changed since: the next loop asks with the watermark and brings nothing.
    let again = kick_off(&server).await?;
    let over = server
        .loop_over(again["loop"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(
        (&over["status"], &over["laps"], &over["records"]),
        (&json!("succeeded"), &json!(1), &json!(0))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_delay_misses_and_repeats_no_page() -> Result<()> {
    let sim = simulator(1_000).await?;
    let mut server = serve(&sim, &with_delay("1 second")).await?;
    let told = kick_off(&server).await?;
    let loop_id = told["loop"].as_str().unwrap_or_default().to_owned();
    let path = format!("/loops/{loop_id}");
    server
        .wait_for(&path, |seen| {
            seen["status"] == "waiting" && seen["laps"] == 2
        })
        .await?;
    server.kill().await?;
    server.start().await?;
    let over = server.loop_over(&loop_id).await?;
    assert_eq!(
        (&over["status"], &over["laps"]),
        (&json!("succeeded"), &json!(5))
    );
    assert_eq!(pages(&server, &told["loop"]).await?, one_to(5));
    each_record_once(&sim, 1_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_loops_of_a_cycle_with_one_place_run_one_after_the_other() -> Result<()> {
    let sim = simulator(600).await?;
    let server = serve(&sim, &with_delay("50 ms")).await?;
    let (first, second) = (kick_off(&server).await?, kick_off(&server).await?);
    for told in [&first, &second] {
        let over = server
            .loop_over(told["loop"].as_str().unwrap_or_default())
            .await?;
        assert_eq!(over["status"], "succeeded");
    }
    assert_eq!(pages(&server, &first["loop"]).await?, one_to(3));
    // The first loop moved the watermark, so the second has nothing to page: it ran after it.
    assert_eq!(pages(&server, &second["loop"]).await?, one_to(1));
    let seq = |lines: Vec<Value>| lines[0]["seq"].as_u64().unwrap_or_default();
    let ended = seq(server
        .log(&format!(
            "loop={}&event=loop.succeeded",
            first["loop"].as_str().unwrap_or_default()
        ))
        .await?);
    let began = seq(server
        .log(&format!(
            "loop={}&event=loop.started",
            second["loop"].as_str().unwrap_or_default()
        ))
        .await?);
    assert!(
        ended < began,
        "the second began ({began}) before the first had ended ({ended})"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_off_over_http_pages_alike() -> Result<()> {
    let sim = simulator(1_000).await?;
    let cycle = with_delay("0 seconds").replace(
        "use: generic_webhook.post\n",
        "use: generic_webhook.post\n    handoff: http\n",
    );
    assert!(cycle.contains("handoff: http"));
    let server = serve(&sim, &cycle).await?;
    let told = kick_off(&server).await?;
    let over = server
        .loop_over(told["loop"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(
        (&over["status"], &over["laps"]),
        (&json!("succeeded"), &json!(5)),
        "{over:#}"
    );
    assert_eq!(pages(&server, &told["loop"]).await?, one_to(5));
    each_record_once(&sim, 1_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_loop_ends_at_once_and_its_place_is_free() -> Result<()> {
    let sim = simulator(1_000).await?;
    let server = serve(&sim, &with_delay("1 hour")).await?;
    let told = kick_off(&server).await?;
    let loop_id = told["loop"].as_str().unwrap_or_default();
    server
        .wait_for(&format!("/loops/{loop_id}"), |seen| {
            seen["status"] == "waiting"
        })
        .await?;
    let stopped = server
        .api("POST", &format!("/loops/{loop_id}/stop"))
        .await?;
    assert_eq!(
        (stopped.status, &stopped.json()["status"]),
        (200, &json!("stopped")),
        "{}",
        stopped.text
    );
    let run = server
        .get(&format!(
            "/runs/{}",
            told["run"].as_str().unwrap_or_default()
        ))
        .await?;
    assert_eq!(run["status"], "stopped");
    let next = kick_off(&server).await?;
    server
        .wait_for(
            &format!("/loops/{}", next["loop"].as_str().unwrap_or_default()),
            |seen| seen["status"] == "waiting",
        )
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_api_are_tried_again() -> Result<()> {
    let sim = simulator(600).await?;
    let server = serve(&sim, &with_delay("0 seconds")).await?;
    let faults = json!([{"status": 503}, {"status": 500}]).to_string();
    let set = server
        .client()
        .post(&format!("{}/_sim/faults", sim.url()), &faults)
        .await?;
    assert!(set.status < 300, "{}", set.text);
    let told = kick_off(&server).await?;
    let over = server
        .loop_over(told["loop"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(
        (&over["status"], &over["laps"], &over["records"]),
        (&json!("succeeded"), &json!(3), &json!(600))
    );
    let retries = server.log("event=retry.scheduled").await?;
    assert_eq!(retries.len(), 2);
    each_record_once(&sim, 600);
    Ok(())
}
