//! Credentials: there for the connector's own hosts, gone elsewhere.

use std::time::Duration;

use serde_json::json;
use velodrome_spec::connector::AuthDef;

use crate::support::*;

#[tokio::test]
async fn each_kind_of_sign_in_adds_its_own() {
    let server = Server::start(|_| reply(200, "{}")).await;
    let rig = rig();
    for (auth, header, value, query) in [
        (
            AuthDef::Bearer {
                token: text("${settings.key}"),
            },
            "authorization",
            "Bearer hush",
            "a=1",
        ),
        (
            AuthDef::Basic {
                user: text("user"),
                password: text("${settings.key}"),
            },
            "authorization",
            "Basic dXNlcjpodXNo",
            "a=1",
        ),
        (
            AuthDef::ApiKey {
                headers: vec![("X-Key".to_owned(), text("${settings.key}"))],
                query: vec![("key".to_owned(), text("${settings.key}&"))],
                body: Vec::new(),
            },
            "x-key",
            "hush",
            "a=1&key=hush%26",
        ),
    ] {
        let mut def = connector(auth, Some(&server.url("/v1")));
        def.settings
            .insert("key".to_owned(), setting(json!("hush"), true));
        let connection = connection(def);
        let request = request("GET", &server.url("/v1/x?a=1"));
        let sent = rig.ask(&connection, &request, how()).await;
        let response = sent.unwrap();
        assert!(!format!("{response:?} {}", response.url_shown).contains("hush"));
        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.header(header), Some(value));
        assert_eq!(seen.query, query);
    }
}

#[tokio::test]
async fn a_url_elsewhere_is_asked_without_credentials() {
    let home = Server::start(|_| reply(200, "{}")).await;
    let other = Server::start(|_| reply(200, "{}")).await;
    let rig = rig();
    let auth = AuthDef::Bearer {
        token: text("hush"),
    };
    let mut def = connector(auth, Some(&home.url("")));
    for url in [home.url("/"), other.url("/")] {
        let sent = connection(def.clone());
        let request = request("GET", &url);
        let sent = rig.ask(&sent, &request, how()).await;
        sent.unwrap();
    }
    assert!(home.seen()[0].header("authorization").is_some());
    assert!(other.seen()[0].header("authorization").is_none());

    let hosts = setting(json!([other.at.to_string()]), false);
    def.settings.insert("hosts".to_owned(), hosts);
    let named = connection(def);
    let request = request("GET", &other.url("/"));
    let sent = rig.ask(&named, &request, how()).await;
    sent.unwrap();
    assert!(other.seen()[1].header("authorization").is_some());
}

#[tokio::test]
async fn a_redirect_elsewhere_takes_nothing_along() {
    let other = Server::start(|_| reply(200, "{}")).await;
    let to = other.url("/elsewhere");
    let home = Server::start(move |seen| match seen.path.as_str() {
        "/near" => reply(302, "").header("location", "/away?hop=1"),
        _ => reply(302, "").header("location", to.clone()),
    })
    .await;
    let rig = rig();
    let auth = AuthDef::ApiKey {
        headers: vec![("X-Key".to_owned(), text("hush"))],
        query: vec![("key".to_owned(), text("hush"))],
        body: Vec::new(),
    };
    let mut def = connector(auth, Some(&home.url("")));
    // Even a host that may have credentials gets none by a redirect.
    let hosts = setting(json!(other.at.to_string()), false);
    def.settings.insert("hosts".to_owned(), hosts);
    let mut request = request("GET", &home.url("/near"));
    for (name, value) in [
        ("Cookie", "hush"),
        ("Authorization", "hush"),
        ("X-Custom-Secret", "hush"),
        ("Accept", "application/json"),
    ] {
        request.headers.insert(name.to_owned(), json!(value));
    }
    let sent = rig.ask(&connection(def), &request, how()).await;
    let response = sent.unwrap();
    assert_eq!(response.url_shown, other.url("/elsewhere"));
    let near = home.seen();
    assert_eq!(near[0].header("x-key"), Some("hush"));
    assert_eq!(
        near[1].header("x-key"),
        Some("hush"),
        "the same origin keeps them"
    );
    let away = other.seen().pop().unwrap();
    assert!(!format!("{away:?}").contains("hush"), "{away:?}");
    assert_eq!(away.header("accept"), Some("application/json"));
}

#[tokio::test]
async fn oauth_tokens_go_to_the_kept_domain_only() {
    let server = Server::start(|_| reply(200, "{}")).await;
    let other = Server::start(|_| reply(200, "{}")).await;
    let rig = rig();
    signed_in(&rig, &server, Duration::from_secs(3_600));
    let connection = connection(zoho_like(&server));
    for url in [
        server.url("/crm/v8/Contacts"),
        other.url("/crm/v8/Contacts"),
    ] {
        let request = request("GET", &url);
        let sent = rig.ask(&connection, &request, how()).await;
        sent.unwrap();
    }
    assert_eq!(
        server.seen()[0].header("authorization"),
        Some("Zoho-oauthtoken access-0")
    );
    assert_eq!(other.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_key_in_the_body_goes_home_only() {
    let home = Server::start(|_| reply(200, "{}")).await;
    let other = Server::start(|_| reply(200, "{}")).await;
    let rig = rig();
    let auth = AuthDef::ApiKey {
        headers: Vec::new(),
        query: Vec::new(),
        body: vec![("api_key".to_owned(), text("${settings.key}"))],
    };
    let mut def = connector(auth, Some(&home.url("")));
    let key = setting(json!("hush"), true);
    def.settings.insert("key".to_owned(), key);
    let connection = connection(def);
    for (verb, url, kind, body, expect) in [
        (
            "POST",
            home.url("/"),
            None,
            Some(json!({"a": 1})),
            r#"{"a":1,"api_key":"hush"}"#,
        ),
        ("POST", home.url("/"), None, None, r#"{"api_key":"hush"}"#),
        (
            "POST",
            home.url("/"),
            Some("application/x-www-form-urlencoded"),
            Some(json!({"a": "1"})),
            "a=1&api_key=hush",
        ),
        ("POST", home.url("/"), None, Some(json!([1])), "[1]"),
        ("GET", home.url("/"), None, None, ""),
        (
            "POST",
            other.url("/"),
            None,
            Some(json!({"a": 1})),
            r#"{"a":1}"#,
        ),
    ] {
        let mut request = request(verb, &url);
        request.body = body;
        if let Some(kind) = kind {
            let name = "Content-Type".to_owned();
            request.headers.insert(name, json!(kind));
        }
        let sent = rig.ask(&connection, &request, how()).await;
        sent.unwrap();
        let server = if url == other.url("/") { &other } else { &home };
        assert_eq!(server.seen().pop().unwrap().body, expect, "{verb} {url}");
    }
}
