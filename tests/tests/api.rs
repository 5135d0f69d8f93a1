//! The HTTP API's listings and its document, over the real binary.

use anyhow::Result;
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server};

const ENDS: &str = "cycle: ends\nsteps:\n  webhook: {use: generic_webhook.webhook}\n";
const WAITS: &str = "cycle: waits\nsteps:\n  webhook: {use: generic_webhook.webhook, then: pause}\n  \
                     pause: {use: delay, for: 1 hour}\n";

async fn server() -> Result<Server> {
    Folder::new(&[("ends.yaml", ENDS), ("waits.yaml", WAITS)], "")?
        .serve()
        .await
}

/// Calls a cycle, and gives the run and loop that begin.
async fn begin(server: &Server, cycle: &str) -> Result<(String, String)> {
    let answer = server.hook(cycle, "{}").await?;
    anyhow::ensure!(answer.status == 202, "{}", answer.text);
    let told = answer.json();
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    Ok((text("run"), text("loop")))
}

fn ids(listing: &Value) -> Vec<String> {
    let items = listing["items"].as_array().into_iter().flatten();
    items
        .map(|item| item["id"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Every page of a listing.
async fn pages(server: &Server, path: &str) -> Result<Vec<Vec<String>>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let listing = server.get(&format!("{path}{cursor}")).await?;
        pages.push(ids(&listing));
        match listing["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(pages),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_loops_are_listed_newest_first_in_pages_that_miss_nothing() -> Result<()> {
    let server = server().await?;
    let mut begun = Vec::new();
    for cycle in ["ends", "waits", "ends", "waits", "ends"] {
        begun.insert(0, (cycle, begin(&server, cycle).await?));
    }
    let runs: Vec<&str> = begun.iter().map(|(_, (run, _))| run.as_str()).collect();
    let loops: Vec<&str> = begun.iter().map(|(_, (_, id))| id.as_str()).collect();
    for (path, all) in [("/runs", &runs), ("/loops", &loops)] {
        let expected: Vec<Vec<String>> = all
            .chunks(2)
            .map(|page| page.iter().map(|id| (*id).to_owned()).collect())
            .collect();
        assert_eq!(pages(&server, &format!("{path}?limit=2")).await?, expected);
        let of_waits = pages(&server, &format!("{path}?cycle=waits&limit=1")).await?;
        assert_eq!(of_waits, [[all[1]], [all[3]]], "{path}");
        let one = server.get(&format!("{path}?loop={}", loops[2])).await?;
        assert_eq!(ids(&one), [all[2]], "{path}");
        let waiting = server
            .get(&format!("{path}?status=waiting,failed&since=1h"))
            .await?;
        assert_eq!(ids(&waiting), [all[1], all[3]], "{path}");
        let later = server
            .get(&format!("{path}?since=2999-01-01T00:00:00Z"))
            .await?;
        assert_eq!(later, json!({"items": [], "next": null}), "{path}");
    }
    // What is added meanwhile moves no page.
    let first = server.get("/runs?limit=2").await?;
    begin(&server, "ends").await?;
    let cursor = first["next"].as_str().unwrap_or_default();
    let second = server
        .get(&format!("/runs?limit=2&cursor={cursor}"))
        .await?;
    assert_eq!(ids(&second), [runs[2], runs[3]]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_and_names_what_runs_and_loops_have() -> Result<()> {
    let server = server().await?;
    let url = format!("{}/openapi.json", server.url());
    let nobody = server.client().send("GET", &url, &[], Vec::new()).await?;
    assert_eq!(nobody.status, 401);
    let token = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("authorization", bearer.as_str())];
    let answer = server
        .client()
        .send("GET", &url, &headers, Vec::new())
        .await?;
    let served = answer.json();
    assert_eq!(served["openapi"], "3.1.0");
    let kept = include_str!("../../docs/openapi.json");
    assert_eq!(served, serde_json::from_str::<Value>(kept)?);

    begin(&server, "waits").await?;
    for (name, path, least) in [
        (
            "Run",
            "/runs",
            "id cycle loop lap parent root status step created updated error",
        ),
        (
            "Loop",
            "/loops",
            "id cycle laps records status started updated",
        ),
    ] {
        let described = &served["components"]["schemas"][name];
        let item = &server.get(path).await?["items"][0];
        for key in least.split(' ') {
            let required = described["required"].as_array().into_iter().flatten();
            assert!(required.into_iter().any(|one| one == key), "{name}: {key}");
            assert!(item.get(key).is_some(), "{name}: {key} in {item}");
        }
        for key in item.as_object().into_iter().flatten().map(|(key, _)| key) {
            let known = described["properties"].get(key);
            assert!(known.is_some(), "{name}: `{key}` is not described");
        }
    }
    Ok(())
}
