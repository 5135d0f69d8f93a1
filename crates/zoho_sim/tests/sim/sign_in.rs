//! Signing in: the page, the way back, and what a code is good for.

use std::collections::HashMap;

use serde_json::{Value, json};
use url::Url;
use velodrome_zoho_sim::SimOptions;

use crate::client::{CALLBACK, Reply, Zoho, form};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn request<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", "1000.SIMULATEDCLIENT0000000000000000"),
        ("redirect_uri", CALLBACK),
        ("scope", "ZohoCRM.modules.ALL,ZohoCRM.users.ALL"),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("state", "st&te \"1\""),
    ];
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    pairs
}

async fn ask(zoho: &Zoho, changes: &[(&str, &str)]) -> Reply {
    let path = format!("/oauth/v2/auth?{}", form(&request(changes)));
    zoho.send(zoho.request("GET", &path)).await
}

async fn decide(zoho: &Zoho, decision: &str, changes: &[(&str, &str)]) -> Reply {
    let mut pairs = request(changes);
    pairs.push(("decision", decision));
    zoho.send(zoho.request("POST", "/oauth/v2/auth").body(form(&pairs)))
        .await
}

fn back(reply: &Reply) -> HashMap<String, String> {
    assert_eq!(reply.status, 302, "{}", reply.text);
    let to = Url::parse(reply.header("location")).expect("an address");
    assert!(to.as_str().starts_with(CALLBACK));
    to.query_pairs().into_owned().collect()
}

async fn code(zoho: &Zoho, changes: &[(&str, &str)]) -> String {
    back(&decide(zoho, "accept", changes).await)["code"].clone()
}

async fn exchange(zoho: &Zoho, code: &str, more: &[(&str, &str)]) -> Value {
    let mut pairs = vec![("grant_type", "authorization_code"), ("code", code)];
    if !more.iter().any(|(name, _)| *name == "redirect_uri") {
        pairs.push(("redirect_uri", CALLBACK));
    }
    pairs.extend(more);
    let reply = zoho.token(&pairs).await;
    assert_eq!(reply.status, 200);
    reply.json()
}

#[tokio::test]
async fn the_page_offers_to_accept_and_deny_and_its_form_works() {
    let zoho = Zoho::with(1).await;
    let page = ask(&zoho, &[]).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html;charset=UTF-8")
    );
    assert!(page.text.contains("value=\"accept\"") && page.text.contains("value=\"deny\""));
    assert!(page.text.contains("<li>ZohoCRM.users.ALL</li>"));
    assert!(
        page.text.contains("value=\"st&amp;te &quot;1&quot;\""),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn accepting_leads_back_with_a_code_that_buys_tokens() {
    let mut zoho = Zoho::with(1).await;
    let answer = back(&decide(&zoho, "accept", &[]).await);
    assert_eq!(answer["state"], "st&te \"1\"");
    assert_eq!(answer["location"], "us");
    assert_eq!(answer["accounts-server"], zoho.sim.url());
    let code = &answer["code"];
    let parts: Vec<&str> = code.split('.').collect();
    assert!(matches!(parts[..], ["1000", one, other] if one.len() == 32 && other.len() == 32));

    let body = exchange(&zoho, code, &[]).await;
    assert_eq!(body["api_domain"], zoho.sim.url());
    let text = |name: &str| body[name].as_str().expect("a token").to_owned();
    (zoho.access_token, zoho.refresh_token) = (text("access_token"), text("refresh_token"));
    assert_eq!(zoho.list("").await.status, 200);
    assert_eq!(zoho.refresh().await.status, 200);
}

#[tokio::test]
async fn denying_leads_back_with_access_denied() {
    let zoho = Zoho::with(1).await;
    let answer = back(&decide(&zoho, "deny", &[]).await);
    assert_eq!(answer["error"], "access_denied");
    assert_eq!(answer["state"], "st&te \"1\"");
    assert!(!answer.contains_key("code"));
}

#[tokio::test]
async fn faulty_requests_stay_on_the_page() {
    let zoho = Zoho::with(1).await;
    for (change, word) in [
        (("response_type", "token"), "invalid_response_type"),
        (("client_id", "1000.OTHER"), "invalid_client"),
        (
            ("redirect_uri", "http://127.0.0.1:9/callback/"),
            "invalid_redirect_uri",
        ),
        (("redirect_uri", ""), "invalid_redirect_uri"),
        (
            ("scope", "ZohoCRM.modules.ALL ZohoCRM.users.ALL"),
            "invalid_scope",
        ),
        (("scope", "everything"), "invalid_scope"),
        (("scope", ""), "invalid_scope"),
    ] {
        for reply in [
            ask(&zoho, &[change]).await,
            decide(&zoho, "accept", &[change]).await,
        ] {
            assert_eq!(reply.status, 400, "{change:?}");
            assert!(reply.text.contains(word), "{change:?}: {}", reply.text);
        }
    }
    let odd = [
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S512"),
    ];
    assert_eq!(ask(&zoho, &odd).await.status, 400);
}

#[tokio::test]
async fn a_code_is_good_once_and_for_two_minutes() {
    let zoho = Zoho::with(1).await;
    let once = code(&zoho, &[]).await;
    assert!(exchange(&zoho, &once, &[]).await["access_token"].is_string());
    assert_eq!(
        exchange(&zoho, &once, &[]).await,
        json!({"error": "invalid_code"})
    );
    let (young, old) = (code(&zoho, &[]).await, code(&zoho, &[]).await);
    zoho.advance("1m 59s").await;
    assert!(exchange(&zoho, &young, &[]).await["access_token"].is_string());
    zoho.advance("1s").await;
    assert_eq!(
        exchange(&zoho, &old, &[]).await,
        json!({"error": "invalid_code"})
    );
}

#[tokio::test]
async fn a_code_belongs_to_its_redirect() {
    let zoho = Zoho::with(1).await;
    let code = code(&zoho, &[]).await;
    let other = [("redirect_uri", "http://127.0.0.1:9/other")];
    assert_eq!(
        exchange(&zoho, &code, &other).await,
        json!({"error": "invalid_redirect_uri"})
    );
}

#[tokio::test]
async fn a_challenge_has_to_be_answered() {
    let zoho = Zoho::with(1).await;
    let s256 = [
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let invalid = json!({"error": "invalid_code"});
    let right = code(&zoho, &s256).await;
    let body = exchange(&zoho, &right, &[("code_verifier", VERIFIER)]).await;
    assert!(body["access_token"].is_string());
    let wrong = code(&zoho, &s256).await;
    assert_eq!(
        exchange(&zoho, &wrong, &[("code_verifier", CHALLENGE)]).await,
        invalid
    );
    let none = code(&zoho, &s256).await;
    assert_eq!(exchange(&zoho, &none, &[]).await, invalid);
    let plain = code(&zoho, &[("code_challenge", "same")]).await;
    let body = exchange(&zoho, &plain, &[("code_verifier", "same")]).await;
    assert!(body["access_token"].is_string());
}

#[tokio::test]
async fn a_refresh_token_comes_offline_and_with_each_prompted_consent() {
    let zoho = Zoho::with(1).await;
    let gives = async |changes: &[(&str, &str)]| {
        let code = code(&zoho, changes).await;
        exchange(&zoho, &code, &[]).await["refresh_token"].is_string()
    };
    assert!(
        !gives(&[("access_type", "")]).await,
        "online is the default"
    );
    let scope = ("scope", "ZohoCRM.modules.contacts.READ");
    let unprompted = [("prompt", ""), scope];
    assert!(gives(&unprompted).await, "the first consent to this");
    assert!(!gives(&unprompted).await, "the second");
    assert!(gives(&[scope]).await, "prompted");
}

#[tokio::test]
async fn a_user_who_agreed_is_not_asked_again_unless_prompted() {
    let zoho = Zoho::with(1).await;
    assert_eq!(ask(&zoho, &[("prompt", "")]).await.status, 200);
    code(&zoho, &[]).await;
    assert!(back(&ask(&zoho, &[("prompt", "")]).await).contains_key("code"));
    assert_eq!(ask(&zoho, &[]).await.status, 200);
    assert_eq!(
        ask(&zoho, &[("prompt", ""), ("scope", "ZohoCRM.org.ALL")])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn ten_codes_in_ten_minutes_and_then_access_denied() {
    let zoho = Zoho::with(1).await;
    for _ in 0..10 {
        code(&zoho, &[]).await;
    }
    let answer = back(&decide(&zoho, "accept", &[]).await);
    assert_eq!(answer["error"], "access_denied");
    zoho.advance("10m").await;
    code(&zoho, &[]).await;
}

#[tokio::test]
async fn the_accounts_location_and_any_redirect_can_be_set() {
    let options = SimOptions {
        location: "eu".to_owned(),
        redirect_uris: Vec::new(),
        ..crate::client::options(1)
    };
    let zoho = Zoho::start(options).await;
    assert_eq!(back(&decide(&zoho, "accept", &[]).await)["location"], "eu");
    let elsewhere = [("redirect_uri", "http://localhost:1234/back?keep=1")];
    let reply = decide(&zoho, "accept", &elsewhere).await;
    assert!(
        reply
            .header("location")
            .starts_with("http://localhost:1234/back?keep=1&state=")
    );
    let script = [("redirect_uri", "javascript:alert(1)")];
    assert_eq!(decide(&zoho, "accept", &script).await.status, 400);
}

#[tokio::test]
async fn ten_refresh_tokens_in_ten_minutes_and_then_access_denied() {
    let zoho = Zoho::with(1).await;
    let mut codes = Vec::new();
    for _ in 0..10 {
        codes.push(code(&zoho, &[]).await);
    }
    zoho.advance("1m").await;
    for code in &codes {
        assert!(exchange(&zoho, code, &[]).await["refresh_token"].is_string());
    }
    // The codes' own ten minutes are over; the refresh tokens' are not.
    zoho.advance("9m").await;
    let one_more = code(&zoho, &[]).await;
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", &one_more),
        ("redirect_uri", CALLBACK),
    ];
    let denied = zoho.token(&pairs).await;
    assert_eq!(
        (denied.status, &denied.json()["error"]),
        (400, &json!("Access Denied"))
    );
    zoho.advance("1m").await;
    assert!(exchange(&zoho, &one_more, &[]).await["refresh_token"].is_string());
}
