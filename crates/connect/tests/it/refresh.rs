//! Tokens that end: one refresh for all, and what its failures mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use velodrome_connect::{Connection, ErrorKind, RequestError, Response};
use velodrome_spec::connector::{
    AuthDef, ClientAuth, ConnectorDef, ErrorAction, ErrorRule, Grant, StatusMatch,
};
use velodrome_types::Json;

use crate::support::*;

const TOKEN: &str = "/oauth/v2/token";
const API: &str = "/crm/x";

/// An API that knows only the newest token, and a token endpoint that answers in turn as told; past
/// the end of the list it grants.
async fn zoho(answers: Vec<Reply>) -> Server {
    let turn = AtomicUsize::new(0);
    let newest = AtomicUsize::new(0);
    Server::start(move |seen| {
        if seen.path != TOKEN {
            let wanted = format!("Zoho-oauthtoken access-{}", newest.load(Ordering::SeqCst));
            return match seen.header("authorization") == Some(&wanted) {
                true => reply_json(200, json!({"data": []})),
                false => reply_json(401, json!({"code": "INVALID_TOKEN"})),
            };
        }
        let at = turn.fetch_add(1, Ordering::SeqCst);
        answers.get(at).cloned().unwrap_or_else(|| {
            let n = newest.fetch_add(1, Ordering::SeqCst) + 1;
            reply_json(
                200,
                json!({"access_token": format!("access-{n}"), "expires_in": 3600}),
            )
        })
    })
    .await
}

fn definition(server: &Server) -> ConnectorDef {
    let rule = |code: &[&str], action| ErrorRule {
        status: vec![StatusMatch::Is(401)],
        code: code.iter().map(|code| (*code).to_owned()).collect(),
        message: Vec::new(),
        header: Vec::new(),
        action,
        until_header: None,
    };
    let mut def = zoho_like(server);
    def.errors = vec![
        rule(&["INVALID_TOKEN"], ErrorAction::RefreshThenRetry),
        rule(&[], ErrorAction::Reconnect),
    ];
    def
}

async fn ask(
    rig: &Rig,
    connection: &Connection,
    server: &Server,
) -> Result<Response, RequestError> {
    let request = request("GET", &server.url(API));
    let method = method("GET", None);
    rig.connect.send(connection, &method, &request, how()).await
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn twenty_callers_at_once_refresh_once() {
    let server = zoho(Vec::new()).await;
    let rig = Arc::new(rig());
    signed_in(&rig, &server, Duration::ZERO);
    let server = Arc::new(server);
    let connection = Arc::new(connection(definition(&server)));
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let (rig, connection, server) = (rig.clone(), connection.clone(), server.clone());
        callers.spawn(async move { ask(&rig, &connection, &server).await });
    }
    for got in callers.join_all().await {
        assert_eq!(got.unwrap().status, 200);
    }
    assert_eq!(server.count(TOKEN), 1);
    assert_eq!(server.count(API), 20);
    let asked = server
        .seen()
        .into_iter()
        .find(|seen| seen.path == TOKEN)
        .unwrap();
    assert_eq!(asked.verb, "POST");
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(
        asked.body,
        "grant_type=refresh_token&refresh_token=refresh-0&client_id=1000.CLIENT&client_secret=hush-client"
    );
    assert_eq!(asked.query, "");
    let kept = rig.tokens.kept.lock().unwrap()["api"].clone();
    assert_eq!(kept.access_token, "access-1");
    assert_eq!(
        kept.refresh_token.as_deref(),
        Some("refresh-0"),
        "the old one stays"
    );
    assert_eq!(
        kept.kept["api_domain"],
        server.url(""),
        "what an answer omits stays"
    );
    assert_eq!(kept.expires_at, rig.clock.now().plus(HOUR));
}

#[tokio::test]
async fn twenty_callers_at_once_share_a_failure() {
    let refusal = reply_json(400, json!({"error": "Access Denied"}));
    let server = Arc::new(zoho(vec![refusal]).await);
    let rig = Arc::new(rig());
    signed_in(&rig, &server, Duration::ZERO);
    let connection = Arc::new(connection(definition(&server)));
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let (rig, connection, server) = (rig.clone(), connection.clone(), server.clone());
        callers.spawn(async move { ask(&rig, &connection, &server).await });
    }
    for got in callers.join_all().await {
        assert_eq!(got.unwrap_err().kind, ErrorKind::Transient);
    }
    assert_eq!((server.count(TOKEN), server.count(API)), (1, 0));
}

#[tokio::test]
async fn a_token_is_refreshed_before_it_ends() {
    let server = zoho(Vec::new()).await;
    let rig = rig();
    signed_in(&rig, &server, HOUR);
    let connection = connection(definition(&server));
    ask(&rig, &connection, &server).await.unwrap();
    rig.clock.advance(HOUR - Duration::from_secs(61));
    ask(&rig, &connection, &server).await.unwrap();
    assert_eq!(server.count(TOKEN), 0);
    rig.clock.advance(Duration::from_secs(2));
    ask(&rig, &connection, &server).await.unwrap();
    assert_eq!(server.count(TOKEN), 1);
}

#[tokio::test]
async fn the_life_of_a_token_counts_from_before_it_was_asked_for() {
    let rig = rig();
    let clock = rig.clock.clone();
    let slow = Duration::from_secs(20);
    let server = Server::start(move |seen| {
        if seen.path == TOKEN {
            // The endpoint takes its time; the token may have begun to age at once.
            clock.advance(slow);
            return reply_json(200, json!({"access_token": "access-1", "expires_in": 3600}));
        }
        reply_json(200, json!({}))
    })
    .await;
    signed_in(&rig, &server, Duration::ZERO);
    let asked = rig.clock.now();
    let connection = connection(definition(&server));
    ask(&rig, &connection, &server).await.unwrap();
    assert_eq!(rig.clock.now(), asked.plus(slow));
    let kept = rig.tokens.kept.lock().unwrap()["api"].clone();
    assert_eq!(kept.expires_at, asked.plus(HOUR));
}

#[tokio::test]
async fn a_refused_token_is_refreshed_and_the_request_sent_once_more() {
    let server = zoho(Vec::new()).await;
    let rig = rig();
    let mut tokens = signed_in(&rig, &server, HOUR);
    tokens.access_token = "access-stale".to_owned();
    rig.tokens
        .kept
        .lock()
        .unwrap()
        .insert("api".to_owned(), tokens);
    let connection = connection(definition(&server));
    assert_eq!(ask(&rig, &connection, &server).await.unwrap().status, 200);
    assert_eq!((server.count(TOKEN), server.count(API)), (1, 2));
}

#[tokio::test]
async fn a_token_refused_again_goes_on_to_the_next_rule() {
    let server = Server::start(|seen| match seen.path.as_str() {
        TOKEN => reply_json(200, json!({"access_token": "access-1", "expires_in": 3600})),
        _ => reply_json(401, json!({"code": "INVALID_TOKEN"})),
    })
    .await;
    let rig = rig();
    signed_in(&rig, &server, HOUR);
    let connection = connection(definition(&server));
    let error = ask(&rig, &connection, &server).await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.kind),
        ("auth.needs_connection", ErrorKind::Permanent)
    );
    assert_eq!((server.count(TOKEN), server.count(API)), (1, 2));
}

#[tokio::test]
async fn access_denied_waits_and_does_not_ask_again() {
    let refusal = json!({
        "error_description": "You have made too many requests", "error": "Access Denied", "status": "failure",
    });
    for status in [200, 400] {
        let server = zoho(vec![reply_json(status, refusal.clone())]).await;
        let rig = rig();
        signed_in(&rig, &server, Duration::ZERO);
        let connection = connection(definition(&server));
        let error = ask(&rig, &connection, &server).await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.kind),
            ("auth.refresh_failed", ErrorKind::Transient)
        );
        assert_eq!(error.retry_after, Some(Duration::from_secs(600)));
        rig.clock.advance(Duration::from_secs(200));
        let error = ask(&rig, &connection, &server).await.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_secs(400)));
        assert_eq!(server.count(TOKEN), 1, "asking again would prolong the ban");
        rig.clock.advance(Duration::from_secs(401));
        assert_eq!(ask(&rig, &connection, &server).await.unwrap().status, 200);
        assert_eq!(server.count(TOKEN), 2);
    }
}

#[tokio::test]
async fn what_the_token_endpoint_says_decides() {
    let cases: Vec<(u16, Json, &str, ErrorKind)> = vec![
        (
            200,
            json!({"error": "invalid_code"}),
            "auth.needs_connection",
            ErrorKind::Permanent,
        ),
        (
            400,
            json!({"error": "invalid_grant"}),
            "auth.needs_connection",
            ErrorKind::Permanent,
        ),
        (
            200,
            json!({"error": "invalid_client"}),
            "auth.refresh_failed",
            ErrorKind::Permanent,
        ),
        (
            200,
            json!({"error": "general_error"}),
            "auth.refresh_failed",
            ErrorKind::Permanent,
        ),
        (200, json!({}), "auth.refresh_failed", ErrorKind::Permanent),
        (
            200,
            json!({"access_token": ""}),
            "auth.refresh_failed",
            ErrorKind::Permanent,
        ),
        (
            200,
            json!({"access_token": "a\nb"}),
            "auth.refresh_failed",
            ErrorKind::Permanent,
        ),
        (
            200,
            json!({"access_token": "hush", "expires_in": 0}),
            "auth.refresh_failed",
            ErrorKind::Permanent,
        ),
        (
            200,
            json!({"access_token": "hush", "expires_in": -5}),
            "auth.refresh_failed",
            ErrorKind::Permanent,
        ),
        (
            200,
            json!({"access_token": "hush", "expires_in": 1e18}),
            "auth.refresh_failed",
            ErrorKind::Permanent,
        ),
        (
            200,
            json!({"access_token": "hush", "expires_in": "x"}),
            "auth.refresh_failed",
            ErrorKind::Permanent,
        ),
        (
            200,
            json!({"access_token": "hush", "expires_in": 60, "api_domain": "https://evil.test"}),
            "auth.host_refused",
            ErrorKind::Permanent,
        ),
        (
            429,
            json!({"error": "slow"}),
            "auth.refresh_failed",
            ErrorKind::Transient,
        ),
        (503, json!({}), "auth.refresh_failed", ErrorKind::Transient),
        (
            503,
            json!("<html>"),
            "auth.refresh_failed",
            ErrorKind::Transient,
        ),
        (
            200,
            json!("<html>"),
            "auth.refresh_failed",
            ErrorKind::Transient,
        ),
        (302, json!({}), "auth.refresh_failed", ErrorKind::Permanent),
    ];
    for (status, body, code, kind) in cases {
        let server = zoho(vec![reply_json(status, body.clone())]).await;
        let rig = rig();
        let before = signed_in(&rig, &server, Duration::ZERO);
        let connection = connection(definition(&server));
        let error = ask(&rig, &connection, &server).await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.kind),
            (code, kind),
            "{status} {body}"
        );
        let told = format!("{error} {error:?}");
        assert!(
            !told.contains("hush") && !told.contains("refresh-0"),
            "{told}"
        );
        let mut after = rig.tokens.kept.lock().unwrap()["api"].clone();
        let refused = std::mem::take(&mut after.refused);
        assert_eq!(refused, code == "auth.needs_connection", "{status} {body}");
        assert_eq!(after, before, "a failure keeps what there was");
    }
}

#[tokio::test]
async fn a_void_refresh_token_is_not_sent_again_until_somebody_signs_in() {
    let server = zoho(vec![reply_json(200, json!({"error": "invalid_code"}))]).await;
    let rig = rig();
    signed_in(&rig, &server, Duration::ZERO);
    let connection = connection(definition(&server));
    for _ in 0..3 {
        let error = ask(&rig, &connection, &server).await.unwrap_err();
        assert_eq!(error.code.as_str(), "auth.needs_connection");
    }
    assert_eq!(server.count(TOKEN), 1);
    let mut tokens = signed_in(&rig, &server, Duration::ZERO);
    tokens.refresh_token = Some("refresh-1".to_owned());
    rig.tokens
        .kept
        .lock()
        .unwrap()
        .insert("api".to_owned(), tokens);
    assert_eq!(ask(&rig, &connection, &server).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_token_that_still_works_is_used_when_the_refresh_fails() {
    let server = zoho(vec![reply(503, "")]).await;
    let rig = rig();
    signed_in(&rig, &server, Duration::from_secs(30));
    let connection = connection(definition(&server));
    assert_eq!(ask(&rig, &connection, &server).await.unwrap().status, 200);
    assert_eq!((server.count(TOKEN), server.count(API)), (1, 1));
    let seen = server.seen().pop().unwrap();
    assert_eq!(
        seen.header("authorization"),
        Some("Zoho-oauthtoken access-0")
    );
}

#[tokio::test]
async fn without_a_refresh_token_the_end_is_the_end() {
    let server = zoho(Vec::new()).await;
    let rig = rig();
    let mut tokens = signed_in(&rig, &server, Duration::from_secs(30));
    tokens.refresh_token = None;
    rig.tokens
        .kept
        .lock()
        .unwrap()
        .insert("api".to_owned(), tokens);
    let connection = connection(definition(&server));
    assert_eq!(ask(&rig, &connection, &server).await.unwrap().status, 200);
    rig.clock.advance(Duration::from_secs(31));
    let error = ask(&rig, &connection, &server).await.unwrap_err();
    assert_eq!(error.code.as_str(), "auth.needs_connection");
    assert_eq!(server.count(TOKEN), 0);
}

#[tokio::test]
async fn what_another_process_refreshed_is_taken_from_the_store() {
    let server = zoho(Vec::new()).await;
    let rig = rig();
    let mut tokens = signed_in(&rig, &server, HOUR);
    let connection = connection(definition(&server));
    ask(&rig, &connection, &server).await.unwrap();
    rig.clock.advance(HOUR);
    tokens.expires_at = rig.clock.now().plus(HOUR);
    rig.tokens
        .kept
        .lock()
        .unwrap()
        .insert("api".to_owned(), tokens);
    ask(&rig, &connection, &server).await.unwrap();
    assert_eq!(server.count(TOKEN), 0);
}

#[tokio::test]
async fn tokens_that_could_not_be_saved_are_saved_before_they_are_used() {
    let server = zoho(Vec::new()).await;
    let rig = rig();
    signed_in(&rig, &server, Duration::ZERO);
    let connection = connection(definition(&server));
    *rig.tokens.broken.lock().unwrap() = true;
    for _ in 0..2 {
        let error = ask(&rig, &connection, &server).await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.kind),
            ("auth.store_failed", ErrorKind::Transient)
        );
    }
    assert_eq!((server.count(TOKEN), server.count(API)), (1, 0));
    *rig.tokens.broken.lock().unwrap() = false;
    assert_eq!(ask(&rig, &connection, &server).await.unwrap().status, 200);
    assert_eq!(
        server.count(TOKEN),
        1,
        "the tokens of the first refresh are used"
    );
    assert_eq!(
        rig.tokens.kept.lock().unwrap()["api"].access_token,
        "access-1"
    );
}

#[tokio::test]
async fn nobody_signed_in_is_told_so() {
    let server = zoho(Vec::new()).await;
    let rig = rig();
    let connection = connection(definition(&server));
    let error = ask(&rig, &connection, &server).await.unwrap_err();
    assert_eq!(error.code.as_str(), "auth.needs_connection");
    assert!(error.message.contains("velodrome connect api"));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_becomes_of_a_refresh_is_heard() {
    let refusal = reply_json(200, json!({"error": "invalid_code"}));
    let server = zoho(vec![reply(503, ""), refusal]).await;
    let rig = rig();
    signed_in(&rig, &server, Duration::ZERO);
    let connection = connection(definition(&server));
    for _ in 0..3 {
        ask(&rig, &connection, &server).await.unwrap_err();
    }
    signed_in(&rig, &server, Duration::ZERO);
    ask(&rig, &connection, &server).await.unwrap();
    assert_eq!(
        *rig.process.heard.lock().unwrap(),
        [
            "api failed auth.refresh_failed",
            "api failed auth.needs_connection",
            "api refreshed until 2026-11-23T13:00:00.000Z"
        ]
    );
}

#[tokio::test]
async fn an_api_that_refuses_the_sign_in_is_not_asked_again_also_after_a_restart() {
    let server = Server::start(|_| reply_json(401, json!({"code": "OAUTH_SCOPE_MISMATCH"}))).await;
    let rig = rig();
    signed_in(&rig, &server, HOUR);
    let connection = connection(definition(&server));
    let error = ask(&rig, &connection, &server).await.unwrap_err();
    assert_eq!(error.code.as_str(), "auth.needs_connection");
    assert_eq!(
        *rig.process.heard.lock().unwrap(),
        ["api failed auth.needs_connection"]
    );
    let again = rig_on(options(), Arc::clone(&rig.tokens));
    let error = ask(&again, &connection, &server).await.unwrap_err();
    assert_eq!(error.code.as_str(), "auth.needs_connection");
    assert_eq!((server.count(API), server.count(TOKEN)), (1, 0));
}

/// An endpoint that gives another refresh token with each refresh. `grace` tells whether it takes one
/// again whose successor nobody has used.
async fn rotating(grace: bool) -> Server {
    let used = std::sync::Mutex::new((0, 0));
    Server::start(move |seen| {
        let mut state = used.lock().unwrap();
        let (newest, known_to_be_held) = &mut *state;
        if seen.path != TOKEN {
            return reply_json(200, json!({}));
        }
        let sent = seen.body.split("refresh-").nth(1).unwrap();
        let sent: u32 = sent.split('&').next().unwrap().parse().unwrap();
        let again = grace && sent + 1 == *newest && *known_to_be_held <= sent;
        if sent != *newest && !again {
            return reply_json(400, json!({"error": "invalid_grant"}));
        }
        *known_to_be_held = sent;
        *newest += u32::from(!again);
        reply_json(
            200,
            json!({
                "access_token": format!("access-{newest}"), "expires_in": 3600,
                "refresh_token": format!("refresh-{newest}"),
            }),
        )
    })
    .await
}

#[tokio::test]
async fn a_rotated_token_that_a_crash_lost_is_asked_for_again_with_the_old_one() {
    for grace in [true, false] {
        let server = rotating(grace).await;
        let rig = rig();
        signed_in(&rig, &server, Duration::ZERO);
        let connection = connection(definition(&server));
        // The answer came, and the process dies before it is durable.
        *rig.tokens.broken.lock().unwrap() = true;
        let lost = ask(&rig, &connection, &server).await.unwrap_err();
        assert_eq!(lost.code.as_str(), "auth.store_failed");
        assert_eq!(server.count(API), 0, "nothing is used that is not durable");
        *rig.tokens.broken.lock().unwrap() = false;
        let again = rig_on(options(), Arc::clone(&rig.tokens));
        drop(rig);
        let got = ask(&again, &connection, &server).await;
        if grace {
            assert_eq!(got.unwrap().status, 200);
            let kept = again.tokens.kept.lock().unwrap()["api"].clone();
            assert_eq!(kept.refresh_token.as_deref(), Some("refresh-1"));
        } else {
            assert_eq!(got.unwrap_err().code.as_str(), "auth.needs_connection");
            let kept = again.tokens.kept.lock().unwrap()["api"].clone();
            assert!(kept.refused, "a person must know, also after a restart");
        }
    }
}

#[tokio::test]
async fn a_refresh_goes_on_when_whoever_asked_for_it_is_stopped() {
    let (asked, let_go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (inside, wait) = (Arc::clone(&asked), Arc::clone(&let_go));
    let app = axum::Router::new().fallback(move || {
        let (inside, wait) = (Arc::clone(&inside), Arc::clone(&wait));
        async move {
            inside.notify_one();
            wait.notified().await;
            r#"{"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 3600}"#
        }
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let server = Server::start(|_| reply(200, "{}")).await;
    let rig = Arc::new(rig());
    let mut tokens = signed_in(&rig, &server, Duration::ZERO);
    let accounts = format!("http://{at}");
    tokens.kept.insert("accounts_server".to_owned(), accounts);
    rig.tokens
        .kept
        .lock()
        .unwrap()
        .insert("api".to_owned(), tokens);
    let mut connection = connection(definition(&server));
    let hosts = json!([server.at.to_string(), at.to_string()]);
    connection.settings.insert("hosts".to_owned(), hosts);
    let mut stopped = JoinSet::new();
    let (asks, asked_with) = (Arc::clone(&rig), connection.clone());
    stopped.spawn(async move { asks.connect.current_tokens(&asked_with).await });
    asked.notified().await;
    stopped.shutdown().await;
    let_go.notify_one();
    let got = rig.connect.current_tokens(&connection).await.unwrap();
    assert_eq!(got.unwrap().access_token, "access-1");
    assert_eq!(*rig.tokens.saves.lock().unwrap(), 1, "one refresh for both");
}

#[tokio::test]
async fn a_client_in_its_own_name_needs_nobody() {
    for (place, form, header) in [
        (
            ClientAuth::Body,
            "grant_type=client_credentials&scope=a.READ%2Cb.READ&access_type=offline&client_id=1000.CLIENT&client_secret=hush-client",
            None,
        ),
        (
            ClientAuth::Basic,
            "grant_type=client_credentials&scope=a.READ%2Cb.READ&access_type=offline",
            Some("Basic MTAwMC5DTElFTlQ6aHVzaC1jbGllbnQ="),
        ),
    ] {
        let server = Server::start(|seen| match seen.path.as_str() {
            TOKEN => reply_json(
                200,
                json!({"access_token": "own-1", "expires_in": 600, "scope": "a.READ"}),
            ),
            _ => match seen.header("authorization") {
                Some("Zoho-oauthtoken own-1") => reply_json(200, json!({})),
                _ => reply(401, ""),
            },
        })
        .await;
        let mut def = definition(&server);
        let AuthDef::OAuth2(oauth) = &mut def.auth else {
            panic!("another definition");
        };
        oauth.grant = Grant::ClientCredentials;
        oauth.client_auth = place;
        oauth.token_url = text("${settings.accounts_url}/oauth/v2/token");
        def.base_url = Some(text("${settings.accounts_url}/crm"));
        let connection = connection(def);
        let rig = rig();
        for _ in 0..2 {
            assert_eq!(ask(&rig, &connection, &server).await.unwrap().status, 200);
        }
        rig.clock.advance(Duration::from_secs(541));
        ask(&rig, &connection, &server).await.unwrap();
        assert_eq!((server.count(TOKEN), server.count(API)), (2, 3));
        let asked = server.seen().remove(0);
        assert_eq!(asked.body, form);
        assert_eq!(asked.header("authorization"), header);
        let kept = rig.tokens.kept.lock().unwrap()["api"].clone();
        assert_eq!(kept.scope.as_deref(), Some("a.READ"));
        rig.connect.sign_in_by_itself(&connection).await.unwrap();
        assert_eq!(server.count(TOKEN), 3, "asked for by a person");
    }
}
