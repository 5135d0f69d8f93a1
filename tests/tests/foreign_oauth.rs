//! OAuth against a server that others wrote, through a connector that a user wrote: the code flow with PKCE,
//! refreshes, an end of the sign-in, and a client that signs in by itself.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use velodrome_tests::{Folder, ForeignOAuth, Server, come_back, open};

const CONNECTOR: &str = r#"
connector: notes
title: Notes
settings:
  issuer: {title: Where it signs in}
  api: {title: Where the API is}
  hosts: {title: Hosts without TLS}
auth:
  type: oauth2
  GRANT
  scopes: notes.read notes.write
  token_url: "${settings.issuer}/token"
  revoke_url: "${settings.issuer}/revoke"
  headers: {Authorization: "Bearer ${auth.access_token}"}
  refresh_before: 30 seconds
base_url: "${settings.api}"
errors:
  - {status: 401, do: refresh_then_retry}
  - {status: 401, do: reconnect}
methods:
  list_notes:
    kind: list
    verb: GET
    path: /notes
    response:
      records: notes
      fields:
        of: {path: of}
        scope: {path: scope}
"#;

const CYCLE: &str = r#"
cycle: notes
steps:
  webhook: {use: generic_webhook.webhook, then: list}
  list: {use: notes.list_notes, retry: 0}
"#;

const BY_A_PERSON: &str = "authorize_url: \"${settings.issuer}/authorize\"";
const BY_ITSELF: &str = "grant: client_credentials\n  client_auth: basic";

async fn serve(foreign: &ForeignOAuth, grant: &str) -> Result<Server> {
    let hosts: Vec<&str> = [&foreign.issuer, &foreign.api]
        .into_iter()
        .map(|url| url.trim_start_matches("http://"))
        .collect();
    let settings = format!(
        "connectors: ./connectors\nconnections:\n  notes:\n    connector: notes\n    settings:\n      issuer: {}\n      \
         api: {}\n      hosts: \"{}\"\n    auth: {{client_id: the-client, client_secret: \"s3cret & more\"}}\n\
         egress:\n  allow: [\"{}\", \"{}\"]\n",
        foreign.issuer,
        foreign.api,
        hosts.join(","),
        hosts[0],
        hosts[1],
    );
    let folder = Folder::new(&[("notes.yaml", CYCLE)], &settings)?;
    let connectors = folder.path().join("connectors");
    std::fs::create_dir(&connectors)?;
    let text = CONNECTOR.replace("GRANT", grant);
    std::fs::write(connectors.join("notes.yaml"), text)?;
    folder.serve().await
}

/// Runs the cycle to its end.
async fn run(server: &Server) -> Result<Value> {
    let accepted = server.hook("notes", "{}").await?;
    ensure!(accepted.status == 202, "{}", accepted.text);
    let told = accepted.json();
    server
        .loop_over(told["loop"].as_str().unwrap_or_default())
        .await?;
    let run = told["run"].as_str().unwrap_or_default();
    server.get(&format!("/runs/{run}")).await
}

/// What the foreign server was asked for tokens, oldest first.
async fn seen(server: &Server, foreign: &ForeignOAuth) -> Result<Vec<Value>> {
    let answer = server
        .client()
        .send("GET", &format!("{}/seen", foreign.api), &[], Vec::new())
        .await?;
    Ok(answer.json().as_array().context("a list")?.clone())
}

/// How it behaves from now on.
async fn behave(server: &Server, foreign: &ForeignOAuth, how: Value) -> Result<()> {
    let url = format!("{}/behave", foreign.api);
    let answer = server.client().post(&url, &how.to_string()).await?;
    ensure!(answer.status == 200, "{}", answer.text);
    Ok(())
}

fn grants(seen: &[Value]) -> Vec<&str> {
    let grants = seen.iter().filter(|one| one["at"] == "token");
    grants
        .filter_map(|one| one["asked"]["grant_type"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_tokens_are_refreshed_until_the_server_says_no() -> Result<()> {
    let foreign = ForeignOAuth::start().await?;
    let server = serve(&foreign, BY_A_PERSON).await?;
    let client = server.client();
    assert_eq!(
        server.get("/cycles/notes").await?["state"],
        "needs_connection"
    );

    // A token that ends within `refresh_before`: the next request must refresh it.
    behave(&server, &foreign, json!({"expires_in": 20})).await?;
    let (code, output, error) = server.folder().command(&["connect", "notes"]).await?;
    assert_eq!(code, 0, "{error}");
    let opened = open(client, output.trim()).await?;
    assert!(
        opened
            .away
            .starts_with(&format!("{}/authorize?", foreign.issuer)),
        "{}",
        opened.away
    );
    // This server asks nobody and sends the browser back at once.
    let agreed = client.send("GET", &opened.away, &[], Vec::new()).await?;
    let done = come_back(client, agreed.header("location"), &opened.cookie).await?;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(server.get("/cycles/notes").await?["state"], "running");
    let asked = seen(&server, &foreign).await?;
    assert_eq!(grants(&asked), ["authorization_code"]);
    // It has checked the verifier against the challenge; without one it would not have.
    let verifier = asked[0]["asked"]["code_verifier"]
        .as_str()
        .unwrap_or_default();
    assert!((43..=128).contains(&verifier.len()), "{asked:?}");
    assert_eq!(asked[0]["asked"]["client_secret"], "s3cret & more");

    behave(&server, &foreign, json!({})).await?;
    let seen_run = run(&server).await?;
    assert_eq!(seen_run["status"], "succeeded", "{seen_run}");
    let asked = seen(&server, &foreign).await?;
    assert_eq!(grants(&asked), ["authorization_code", "refresh_token"]);
    // The sign-in is told too.
    let told = server.log_of("event=connection.refreshed", 2).await?;
    assert_eq!(told[1]["message"], "connection `notes` has a new token");

    // The token is good for an hour now: no refresh, and the API lets it in.
    assert_eq!(run(&server).await?["status"], "succeeded");
    assert_eq!(grants(&seen(&server, &foreign).await?).len(), 2);

    // The API turns a token away: it is refreshed with the newest refresh token, which works once, and asked again.
    behave(&server, &foreign, json!({"turn_away": 1})).await?;
    let seen_run = run(&server).await?;
    assert_eq!(seen_run["status"], "succeeded", "{seen_run}");
    assert_eq!(grants(&seen(&server, &foreign).await?).len(), 3);

    // The server takes the sign-in back: a person must sign in again, and the log says so.
    behave(
        &server,
        &foreign,
        json!({"turn_away": 1, "refuse": "invalid_grant"}),
    )
    .await?;
    let seen_run = run(&server).await?;
    assert_eq!(
        (&seen_run["status"], &seen_run["error"]["code"]),
        (&json!("failed"), &json!("auth.needs_connection")),
        "{seen_run}"
    );
    assert_eq!(
        server.get("/cycles/notes").await?["state"],
        "needs_connection"
    );
    let refused = server.hook("notes", "{}").await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "cycle.needs_connection")
    );
    let told = server.log_of("event=connection.failed", 1).await?;
    assert_eq!(told[0]["code"], "auth.needs_connection", "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_signs_in_by_itself_with_basic_authentication() -> Result<()> {
    let foreign = ForeignOAuth::start().await?;
    let server = serve(&foreign, BY_ITSELF).await?;
    // Nobody is asked.
    assert_eq!(server.get("/cycles/notes").await?["state"], "running");
    assert_eq!(run(&server).await?["status"], "succeeded");
    let asked = seen(&server, &foreign).await?;
    assert_eq!(grants(&asked), ["client_credentials"]);
    // `the-client:s3cret+%26+more`: id and secret are form-encoded before they are joined (RFC 6749 §2.3.1).
    let expect = format!("Basic {}", base64("the-client:s3cret+%26+more"));
    assert_eq!(asked[0]["authorization"], json!(expect), "{asked:?}");
    assert_eq!(asked[0]["asked"]["client_secret"], Value::Null);
    assert_eq!(asked[0]["asked"]["scope"], "notes.read notes.write");

    // The token is kept: the step is tested with it, and its scope came back in what the server signed.
    let (code, output, error) = server
        .folder()
        .command(&["step", "test", "notes", "list", "--json"])
        .await?;
    assert_eq!(code, 0, "{output}{error}");
    let tested: Value = serde_json::from_str(&output)?;
    assert_eq!(
        (&tested["count"], &tested["fields"]["scope"]),
        (&json!(2), &json!("notes.read notes.write")),
        "{tested}"
    );
    assert_eq!(tested["request"]["headers"]["authorization"], "•••");
    assert_eq!(grants(&seen(&server, &foreign).await?).len(), 1);

    // Turned away it signs in anew: there is no refresh token.
    behave(&server, &foreign, json!({"turn_away": 1})).await?;
    assert_eq!(run(&server).await?["status"], "succeeded");
    assert_eq!(
        grants(&seen(&server, &foreign).await?),
        ["client_credentials"; 2]
    );
    Ok(())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
