//! The token endpoint: its two hundred errors, its limits, revocation.

use serde_json::{Value, json};
use velodrome_zoho_sim::SimOptions;

use crate::client::{Reply, Zoho, form};

fn error(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "failure comes with 200");
    let body = reply.json();
    assert!(body.get("access_token").is_none());
    body["error"].clone()
}

fn denied(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert_eq!(
        reply.json(),
        json!({
            "error_description":
                "You have made too many requests continuously. Please try again after some time.",
            "error": "Access Denied", "status": "failure",
        })
    );
}

#[tokio::test]
async fn a_refresh_gives_an_access_token_and_no_refresh_token() {
    let mut zoho = Zoho::with(1).await;
    let body = zoho.refresh().await.json();
    let names: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(
        names,
        ["access_token", "api_domain", "token_type", "expires_in"]
    );
    assert_eq!(body["api_domain"], zoho.sim.url());
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&json!("Bearer"), &json!(3600))
    );
    zoho.access_token = body["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(zoho.list("").await.status, 200);
}

#[tokio::test]
async fn the_query_and_basic_serve_as_well_as_the_form() {
    let zoho = Zoho::with(1).await;
    let options = SimOptions::default();
    let pairs = [
        ("client_id", options.client_id.as_str()),
        ("client_secret", options.client_secret.as_str()),
        ("grant_type", "refresh_token"),
        ("refresh_token", &zoho.refresh_token),
    ];
    let by_query = zoho.request("POST", &format!("/oauth/v2/token?{}", form(&pairs)));
    assert!(zoho.send(by_query).await.json()["access_token"].is_string());
    let by_basic = zoho
        .request("POST", &format!("/oauth/v2/token?{}", form(&pairs[2..])))
        .basic_auth(&options.client_id, Some(&options.client_secret));
    assert!(zoho.send(by_basic).await.json()["access_token"].is_string());
}

#[tokio::test]
async fn failures_come_with_200_and_their_own_word() {
    let zoho = Zoho::with(1).await;
    let options = SimOptions::default();
    let (id, secret) = (options.client_id.as_str(), options.client_secret.as_str());
    let token = zoho.refresh_token.as_str();
    for (id, secret, grant, token, expected) in [
        (
            "1000.WRONG",
            secret,
            "refresh_token",
            token,
            "invalid_client",
        ),
        (id, "wrong", "refresh_token", token, "invalid_client_secret"),
        (id, secret, "refresh_token", "1000.wrong", "invalid_code"),
        (id, secret, "password", token, "unsupported_grant_type"),
    ] {
        let pairs = [
            ("client_id", id),
            ("client_secret", secret),
            ("grant_type", grant),
            ("refresh_token", token),
        ];
        assert_eq!(error(&zoho.token_form(&form(&pairs)).await), expected);
    }
    let body = json!({
        "client_id": id, "client_secret": secret, "grant_type": "refresh_token",
        "refresh_token": token,
    });
    let json = zoho
        .request("POST", "/oauth/v2/token")
        .header("Content-Type", "application/json");
    assert_eq!(
        error(&zoho.send(json.body(body.to_string())).await),
        "invalid_client"
    );
    assert_eq!(error(&zoho.token_form("").await), "invalid_client");
    assert_eq!(
        zoho.send(zoho.request("GET", "/oauth/v2/token"))
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn ten_access_tokens_in_ten_minutes_and_then_access_denied() {
    let zoho = Zoho::with(1).await;
    for nth in 2..=10 {
        assert_eq!(
            zoho.refresh().await.status,
            200,
            "number {nth}, the sign-in's being the first"
        );
    }
    denied(&zoho.refresh().await, 400);
    zoho.advance("9m 59s").await;
    denied(&zoho.refresh().await, 400);
    zoho.advance("1s").await;
    denied(&zoho.refresh().await, 400);
    zoho.turn("tokens", json!({"access_denied_status": 200}))
        .await;
    denied(&zoho.refresh().await, 200);
    zoho.advance("10m").await;
    assert!(
        zoho.refresh().await.json()["access_token"].is_string(),
        "silence ends the block"
    );
}

#[tokio::test]
async fn the_window_slides() {
    let zoho = Zoho::with(1).await;
    for _ in 0..5 {
        zoho.refresh().await;
    }
    zoho.advance("6m").await;
    for _ in 0..4 {
        zoho.refresh().await;
    }
    zoho.advance("4m").await;
    for _ in 0..6 {
        assert_eq!(zoho.refresh().await.status, 200);
    }
    denied(&zoho.refresh().await, 400);
}

#[tokio::test]
async fn a_throttle_can_be_ordered() {
    let zoho = Zoho::with(1).await;
    zoho.turn("tokens", json!({"throttle_after": 1})).await;
    assert_eq!(zoho.refresh().await.status, 200);
    denied(&zoho.refresh().await, 400);
    zoho.advance("10m").await;
    assert_eq!(zoho.refresh().await.status, 200);
}

#[tokio::test]
async fn the_sixteenth_token_alive_kills_the_oldest() {
    let mut zoho = Zoho::with(1).await;
    let oldest = zoho.access_token.clone();
    for _ in 0..8 {
        zoho.refresh().await;
    }
    zoho.advance("10m").await;
    for _ in 0..6 {
        zoho.refresh().await;
    }
    assert_eq!(zoho.list("").await.status, 200, "fifteen are alive");
    let newest = zoho.refresh().await.json()["access_token"].clone();
    assert_eq!(zoho.list("").await.json()["code"], "INVALID_TOKEN");
    assert_eq!(zoho.access_token, oldest);
    zoho.access_token = newest.as_str().expect("a token").to_owned();
    assert_eq!(zoho.list("").await.status, 200);
}

#[tokio::test]
async fn the_twenty_first_refresh_token_deletes_the_first_with_its_access_tokens() {
    let mut zoho = Zoho::with(1).await;
    let (access, refresh) = (zoho.access_token.clone(), zoho.refresh_token.clone());
    for _ in 0..20 {
        zoho.grant("ZohoCRM.modules.ALL").await;
    }
    assert_eq!(zoho.list("").await.status, 200);
    (zoho.access_token, zoho.refresh_token) = (access, refresh);
    assert_eq!(zoho.list("").await.json()["code"], "INVALID_TOKEN");
    assert_eq!(error(&zoho.refresh().await), "invalid_code");
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_access_tokens() {
    let zoho = Zoho::with(1).await;
    let path = format!("/oauth/v2/token/revoke?token={}", zoho.refresh_token);
    let revoked = zoho.send(zoho.request("POST", &path)).await;
    assert_eq!(
        (revoked.status, revoked.json()),
        (200, json!({"status": "success"}))
    );
    assert_eq!(zoho.list("").await.json()["code"], "INVALID_TOKEN");
    assert_eq!(error(&zoho.refresh().await), "invalid_code");
    assert_eq!(zoho.send(zoho.request("POST", &path)).await.status, 400);
}

#[tokio::test]
async fn an_access_token_is_revoked_alone() {
    let zoho = Zoho::with(1).await;
    let request = zoho.request("POST", "/oauth/v2/token/revoke");
    let revoked = zoho
        .send(request.body(form(&[("token", zoho.access_token.as_str())])))
        .await;
    assert_eq!(revoked.status, 200);
    assert_eq!(zoho.list("").await.json()["code"], "INVALID_TOKEN");
    assert_eq!(zoho.refresh().await.status, 200);
}

#[tokio::test]
async fn switches_expire_and_revoke_everything() {
    let mut zoho = Zoho::with(1).await;
    assert_eq!(
        zoho.turn("tokens", json!({"expire": "all"})).await["expired"],
        1
    );
    assert_eq!(zoho.list("").await.json()["code"], "INVALID_TOKEN");
    let fresh = zoho.refresh().await.json()["access_token"].clone();
    zoho.access_token = fresh.as_str().expect("a token").to_owned();
    assert_eq!(zoho.list("").await.status, 200);
    assert_eq!(
        zoho.turn("tokens", json!({"revoke": "refresh"})).await["revoked"],
        1
    );
    assert_eq!(zoho.list("").await.json()["code"], "INVALID_TOKEN");
    assert_eq!(error(&zoho.refresh().await), "invalid_code");
}

#[tokio::test]
async fn the_life_of_tokens_can_be_set() {
    let mut zoho = Zoho::with(1).await;
    zoho.turn("tokens", json!({"expires_in": 30})).await;
    let body = zoho.refresh().await.json();
    assert_eq!(body["expires_in"], 30);
    zoho.access_token = body["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(
        zoho.list("").await.header("x-accesstoken-reset"),
        "2026-03-12T14:00:30+02:00"
    );
    zoho.advance("30s").await;
    assert_eq!(zoho.list("").await.status, 401);
}

#[tokio::test]
async fn token_requests_are_counted() {
    let zoho = Zoho::with(1).await;
    zoho.refresh().await;
    zoho.token_form("").await;
    let stats = zoho.sim.stats();
    assert_eq!((stats.token_requests, stats.access_tokens_issued), (2, 1));
}

#[tokio::test]
async fn the_data_centres_are_all_here() {
    let zoho = Zoho::with(1).await;
    let info = zoho
        .send(zoho.request("GET", "/oauth/serverinfo"))
        .await
        .json();
    assert_eq!(info["result"], "success");
    assert_eq!(info["locations"]["eu"], zoho.sim.url());
}
