//! Lists of many contacts at the simulator, paged by the shipped cycle, on the real binary.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, ZOHO_INCREMENTAL, sign_in};
use velodrome_zoho_sim::{Sim, SimOptions};

async fn serve(sim: &Sim) -> Result<Server> {
    let options = SimOptions::default();
    let host = sim.url().trim_start_matches("http://");
    let settings = format!(
        "connections:\n  zoho:\n    connector: zoho_crm\n    settings:\n      accounts_url: {}\n      hosts: {host}\n    \
         auth:\n      client_id: {}\n      client_secret: {}\negress:\n  allow: [\"{host}\"]\n",
        sim.url(),
        options.client_id,
        options.client_secret,
    );
    let cycle = ZOHO_INCREMENTAL
        .replace("for: 2 seconds", "for: 0 seconds")
        .replace(
            "    then: more_records\n",
            "    retry: 0\n    then: more_records\n",
        );
    let folder = Folder::new(&[("zoho_incremental.yaml", &cycle)], &settings)?;
    let server = folder.serve().await?;
    sign_in(&server, "zoho").await?;
    Ok(server)
}

async fn order(server: &Server, sim: &Sim, path: &str, body: Value) -> Result<()> {
    let url = format!("{}/_sim/{path}", sim.url());
    let answer = server.client().post(&url, &body.to_string()).await?;
    ensure!(answer.status == 200, "{}", answer.text);
    Ok(())
}

/// Starts the loop, and how it ended.
async fn run(server: &Server) -> Result<Value> {
    let told = server.hook("zoho_incremental", r#"{"page": 1}"#).await?;
    let accepted = told.json();
    let id = accepted["loop"].as_str().context(told.text)?;
    server.loop_over(id).await
}

fn shown(over: &Value) -> (&Value, &Value, &Value) {
    (&over["status"], &over["laps"], &over["records"])
}

#[tokio::test(flavor = "multi_thread")]
async fn six_thousand_over_many_runs_and_three_that_come_between_come_once_each() -> Result<()> {
    let sim = velodrome_zoho_sim::start(SimOptions {
        records: 6_000,
        ..SimOptions::default()
    })
    .await?;
    let server = serve(&sim).await?;
    let added = json!({"op": "add", "count": 3, "between_pages": 12});
    order(&server, &sim, "mutate", added).await?;
    let over = run(&server).await?;
    assert_eq!(
        shown(&over),
        (&json!("succeeded"), &json!(31), &json!(6_003))
    );
    let stats = sim.stats();
    assert_eq!(stats.distinct_records, 6_003);
    assert!(stats.repeated_records.is_empty(), "{stats:?}");

    // They changed after the walk began, so the next loop must ask for them again; the one after it has
    // nothing left.
    order(&server, &sim, "clock", json!({"advance": "1h"})).await?;
    let over = run(&server).await?;
    assert_eq!(shown(&over), (&json!("succeeded"), &json!(1), &json!(3)));
    order(&server, &sim, "clock", json!({"advance": "1h"})).await?;
    let over = run(&server).await?;
    assert_eq!(shown(&over), (&json!("succeeded"), &json!(1), &json!(0)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_thousand_of_one_second_come_once_each() -> Result<()> {
    let sim = velodrome_zoho_sim::start(SimOptions {
        records: 12_000,
        spread_days: 0,
        ..SimOptions::default()
    })
    .await?;
    let server = serve(&sim).await?;
    let over = run(&server).await?;
    assert_eq!(
        shown(&over),
        (&json!("succeeded"), &json!(60), &json!(12_000))
    );
    let stats = sim.stats();
    assert_eq!(stats.distinct_records, 12_000);
    assert!(stats.repeated_records.is_empty(), "{stats:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_records_without_a_token_to_them_fail_and_are_no_end() -> Result<()> {
    let sim = velodrome_zoho_sim::start(SimOptions {
        records: 2_500,
        ..SimOptions::default()
    })
    .await?;
    let server = serve(&sim).await?;
    let withhold = |truth: bool| json!({ "withhold_page_token": truth });
    order(&server, &sim, "options", withhold(true)).await?;
    let over = run(&server).await?;
    // The page before the one that only a token leads to, and not the one behind it.
    assert_eq!(shown(&over), (&json!("failed"), &json!(10), &json!(1_800)));
    let failed = server.log("event=run.failed").await?;
    assert_eq!(failed[0]["code"], "paging.no_next", "{failed:?}");
    assert_eq!(server.log("event=watermark.moved").await?.len(), 0);
    // The page is asked again, now with a token in its answer, and the loop goes on behind it.
    order(&server, &sim, "options", withhold(false)).await?;
    let id = over["id"].as_str().context("its id")?;
    let (code, _, errors) = server.folder().command(&["loop", "retry", id]).await?;
    assert_eq!(code, 0, "{errors}");
    let over = server
        .wait_for(&format!("/loops/{id}"), |seen| {
            seen["status"] == "succeeded"
        })
        .await?;
    assert_eq!(
        shown(&over),
        (&json!("succeeded"), &json!(13), &json!(2_500))
    );
    Ok(())
}
