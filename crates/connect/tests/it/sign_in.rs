//! Signing in: the URL, the callback, the hosts it may name.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Digest;
use velodrome_connect::{ErrorKind, RequestError, TokenSet};
use velodrome_spec::connector::AuthDef;
use velodrome_types::Json;

use crate::support::*;

fn query(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// The pairs of a URL's query or of a form.
fn pairs(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

async fn accounts(answer: Json) -> Server {
    Server::start(move |_| reply_json(200, answer.clone())).await
}

async fn finish(
    rig: &Rig,
    server: &Server,
    callback: &[(&str, &str)],
) -> Result<TokenSet, RequestError> {
    let connection = connection(zoho_like(server));
    let verifier = SecretString::from("verifier-verifier-verifier-verifier-verifier");
    rig.connect
        .finish_sign_in(&connection, &verifier, query(callback))
        .await
}

#[tokio::test]
async fn a_sign_in_goes_out_and_comes_back() {
    let server = accounts(json!({"error": "unset"})).await;
    let domain = server.url("");
    let server = Server::start(move |_| {
        reply_json(
            200,
            json!({
                "access_token": "hush-access", "refresh_token": "hush-refresh",
                "api_domain": domain, "token_type": "Bearer", "expires_in": 3600,
            }),
        )
    })
    .await;
    let rig = rig();
    let mut def = zoho_like(&server);
    // The API's domain in the answer is that of the first server.
    let hosts = setting(json!("127.0.0.1:1, 127.0.0.1:2"), false);
    def.settings.insert("hosts".to_owned(), hosts);
    let mut connection = connection(def);
    let answer = rig.connect.begin_sign_in(&connection).await;
    assert_eq!(
        answer.unwrap_err().code.as_str(),
        "auth.host_refused",
        "http needs `hosts`"
    );
    let listed = json!([server.at.to_string(), "127.0.0.1:2"]);
    connection.settings.insert("hosts".to_owned(), listed);

    let sign_in = rig.connect.begin_sign_in(&connection).await.unwrap();
    let again = rig.connect.begin_sign_in(&connection).await.unwrap();
    assert_ne!(sign_in.state, again.state);
    assert!(!format!("{sign_in:?}").contains(&sign_in.state));
    let (base, sent) = sign_in.url.split_once('?').unwrap();
    assert_eq!(base, server.url("/oauth/v2/auth"));
    let sent = pairs(sent);
    let verifier = sign_in.verifier.expose_secret();
    let digest = sha2::Sha256::digest(verifier.as_bytes());
    let challenge = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, digest);
    let expect = BTreeMap::from([
        ("response_type", "code"),
        ("client_id", "1000.CLIENT"),
        ("redirect_uri", "http://127.0.0.1:7300/connector/callback"),
        ("scope", "a.READ,b.READ"),
        ("state", &sign_in.state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("access_type", "offline"),
    ]);
    let sent: BTreeMap<&str, &str> = sent.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(sent, expect);

    let here = server.url("");
    let callback = query(&[
        ("code", "1000.abc"),
        ("state", &sign_in.state),
        ("accounts-server", &here),
        ("location", "us"),
    ]);
    let got = rig
        .connect
        .finish_sign_in(&connection, &sign_in.verifier, callback.clone())
        .await;
    assert_eq!(
        got.unwrap_err().code.as_str(),
        "auth.host_refused",
        "a foreign API domain"
    );
    assert!(rig.tokens.kept.lock().unwrap().is_empty());

    let form = pairs(&server.seen()[0].body);
    let form: BTreeMap<&str, &str> = form.iter().map(|(k, v)| (&**k, &**v)).collect();
    let expect = BTreeMap::from([
        ("grant_type", "authorization_code"),
        ("code", "1000.abc"),
        ("redirect_uri", "http://127.0.0.1:7300/connector/callback"),
        ("code_verifier", verifier),
        ("client_id", "1000.CLIENT"),
        ("client_secret", "hush-client"),
    ]);
    assert_eq!(form, expect);
    assert_eq!(server.seen()[0].path, "/oauth/v2/token");
}

#[tokio::test]
async fn good_tokens_are_kept_and_saved() {
    let server = accounts(json!({
        "access_token": "hush-access", "refresh_token": "hush-refresh",
        "api_domain": "https://www.zohoapis.test/", "expires_in_sec": 3600, "expires_in": 3_600_000,
    }))
    .await;
    let rig = rig();
    let here = server.url("/");
    let callback = [
        ("code", "c"),
        ("accounts-server", here.as_str()),
        ("location", "us"),
    ];
    let tokens = finish(&rig, &server, &callback).await.unwrap();
    assert_eq!(tokens.access_token, "hush-access");
    assert_eq!(
        tokens.expires_at,
        rig.clock.now().plus(Duration::from_secs(3_600))
    );
    assert_eq!(tokens.kept["accounts_server"], server.url(""));
    assert_eq!(tokens.kept["api_domain"], "https://www.zohoapis.test");
    assert_eq!(tokens.kept["location"], "us");
    assert!(!format!("{tokens:?} {rig:?}").contains("hush"));
    assert_eq!(rig.tokens.kept.lock().unwrap()["api"], tokens);
    let text = serde_json::to_string(&tokens).unwrap();
    assert_eq!(serde_json::from_str::<TokenSet>(&text).unwrap(), tokens);
}

#[tokio::test]
async fn look_alike_hosts_are_refused() {
    let server = accounts(json!({"access_token": "a", "expires_in": 60})).await;
    let rig = rig();
    for foreign in [
        "http://accounts.zoho.test",
        "https://accounts.zoho.test.evil.test",
        "https://evil-accounts.zoho.test",
        "https://x.accounts.zoho.test",
        "https://zoho.test",
        "https://evil.test/accounts.zoho.test",
        "https://accounts.zoho.test/evil",
        "https://accounts.zoho.test:8443",
        "https://accounts.zoho.test@evil.test",
        "https://user@accounts.zoho.test",
        "https://accounts.zoho.test?x=1",
        "https://accounts.zoho.test#x",
        "https://accounts.zoho.test\\.evil.test",
        "//accounts.zoho.test",
        "accounts.zoho.test",
        "ftp://accounts.zoho.test",
        "javascript://accounts.zoho.test",
        "https://www.zohoapis.test",
        "https://\u{430}ccounts.zoho.test",
        "https://127.0.0.1",
        "http://127.0.0.1:1",
        "https://accounts.zoho.test\r\n",
    ] {
        let got = finish(
            &rig,
            &server,
            &[("code", "c"), ("accounts-server", foreign)],
        )
        .await;
        assert_eq!(
            got.unwrap_err().code.as_str(),
            "auth.host_refused",
            "{foreign:?}"
        );
    }
    assert!(server.seen().is_empty(), "no code was sent anywhere");
}

#[tokio::test]
async fn api_domains_are_held_to_the_same_list() {
    for (domain, expect) in [
        ("https://www.zohoapis.test", true),
        ("https://WWW.zohoapis.test:443/", true),
        ("https://alt.zohoapis.test:8443", true),
        ("https://alt.zohoapis.test", false),
        ("http://www.zohoapis.test", false),
        ("https://www.zohoapis.test.evil.test", false),
        ("https://evil.test/www.zohoapis.test", false),
        ("https://www.zohoapis.test/crm", false),
    ] {
        let answer = json!({"access_token": "a", "expires_in": 60, "api_domain": domain});
        let server = accounts(answer).await;
        let rig = rig();
        let here = server.url("");
        let got = finish(&rig, &server, &[("code", "c"), ("accounts-server", &here)]).await;
        assert_eq!(got.is_ok(), expect, "{domain}: {got:?}");
        assert_eq!(
            rig.tokens.kept.lock().unwrap().len(),
            usize::from(expect),
            "{domain}"
        );
    }
}

#[tokio::test]
async fn a_sign_in_that_was_not_granted_says_why() {
    let server = accounts(json!({"error": "invalid_code"})).await;
    let rig = rig();
    let here = server.url("");
    for (callback, code) in [
        (&[("error", "access_denied")][..], "auth.denied"),
        (&[("state", "x")], "auth.sign_in_failed"),
        (&[("code", "")], "auth.sign_in_failed"),
        (&[("code", "c")], "reference.null_in_text"),
        (
            &[("code", "c"), ("accounts-server", &here)],
            "auth.needs_connection",
        ),
    ] {
        let error = finish(&rig, &server, callback).await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.kind),
            (code, ErrorKind::Permanent),
            "{callback:?}"
        );
    }
    let mut nobody = connection(zoho_like(&server));
    nobody.client_id = Some("  ".to_owned());
    let error = rig.connect.begin_sign_in(&nobody).await.unwrap_err();
    assert_eq!(error.code.as_str(), "auth.missing_client");
}

/// A callback that does not name the accounts server is of the one that the browser was sent to.
#[tokio::test]
async fn where_the_callback_names_no_accounts_server_the_declared_one_is_asked() {
    let server = accounts(json!({"access_token": "a", "expires_in": 60})).await;
    let foreign = Server::start(|_| reply(200, "")).await;
    let here = server.url("");
    let elsewhere = "https://accounts.zoho.test";
    for (declared, named, expect) in [
        (here.as_str(), None, Ok(here.as_str())),
        (&here, Some(""), Ok(here.as_str())),
        (elsewhere, Some(here.as_str()), Ok(here.as_str())),
        // Neither in the definition's list nor in the setting `hosts`.
        (&foreign.url(""), None, Err("auth.host_refused")),
        ("https://evil.test", None, Err("auth.host_refused")),
    ] {
        let rig = rig();
        let mut def = zoho_like(&server);
        if let AuthDef::OAuth2(oauth) = &mut def.auth {
            oauth.callback_keep[0].default = Some(text("${settings.accounts_url}"));
        }
        let mut connection = connection(def);
        connection
            .settings
            .insert("accounts_url".to_owned(), json!(declared));
        let mut callback = vec![("code", "c")];
        callback.extend(named.map(|named| ("accounts-server", named)));
        let verifier = SecretString::from("verifier-verifier-verifier-verifier-verifier");
        let got = rig
            .connect
            .finish_sign_in(&connection, &verifier, query(&callback))
            .await;
        let got = got
            .as_ref()
            .map(|tokens| tokens.kept["accounts_server"].as_str())
            .map_err(|error| error.code.as_str());
        assert_eq!(got, expect, "{declared} {named:?}");
    }
    assert_eq!(server.seen().len(), 3);
    assert!(foreign.seen().is_empty(), "no code was sent there");
}

#[tokio::test]
async fn signing_out_revokes_and_forgets() {
    let server = accounts(json!({"status": "success"})).await;
    let rig = rig();
    signed_in(&rig, &server, Duration::from_secs(3_600));
    let connection = connection(zoho_like(&server));
    rig.connect.sign_out(&connection).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].path, "/oauth/v2/token/revoke");
    assert_eq!(pairs(&seen[0].body)["token"], "refresh-0");
    assert!(rig.tokens.kept.lock().unwrap().is_empty());
    let request = request("GET", &server.url("/crm/x"));
    let sent = rig.ask(&connection, &request, how()).await;
    assert_eq!(sent.unwrap_err().code.as_str(), "auth.needs_connection");
}
