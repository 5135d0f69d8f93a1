//! Signing in and out over the real binary, against `velodrome sim zoho`: `velodrome connect` prints a link
//! that works once, in one browser, and cycles run when somebody has signed in.

use anyhow::{Context as _, Result, ensure};
use reqwest::Url;
use serde_json::{Value, json};
use velodrome_tests::{
    Answer, Folder, Opened, Server, ZOHO_INCREMENTAL, ZohoBinary, come_back, decide, open,
};

fn cycle() -> String {
    ZOHO_INCREMENTAL.replace("for: 2 seconds", "for: 0 seconds")
}

/// The printed settings without the client, and the client.
fn without_client(settings: &str) -> Result<(String, String, String)> {
    let of = |name: &str| {
        let found = settings
            .lines()
            .find_map(|line| line.trim().strip_prefix(name));
        found
            .map(str::to_owned)
            .with_context(|| format!("{name} in {settings}"))
    };
    let (id, secret) = (of("client_id: ")?, of("client_secret: ")?);
    let kept = |line: &&str| !line.contains("auth:") && !line.contains("client_");
    let blank: Vec<&str> = settings.lines().filter(kept).collect();
    Ok((blank.join("\n") + "\n", id, secret))
}

async fn state(server: &Server) -> Result<Value> {
    let seen = server.get("/cycles/zoho_incremental").await?;
    Ok(seen["state"].clone())
}

/// `velodrome connect zoho`: the link that it prints.
async fn link(server: &Server) -> Result<String> {
    let (code, output, error) = server.folder().command(&["connect", "zoho"]).await?;
    ensure!(code == 0, "{code}: {output}{error}");
    ensure!(error.contains("it works once"), "{error}");
    Ok(output.trim().to_owned())
}

fn parameter(url: &str, name: &str) -> Result<String> {
    let url = Url::parse(url)?;
    let found = url.query_pairs().find(|(known, _)| known == name);
    Ok(found
        .with_context(|| format!("`{name}` in {url}"))?
        .1
        .into_owned())
}

/// A page that says no, with its code.
fn says_no(answer: &Answer, code: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert!(answer.text.contains(code), "{code}: {}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_works_once_and_its_answer_in_the_browser_that_opened_it() -> Result<()> {
    let zoho = ZohoBinary::start(250).await?;
    let folder = Folder::new(&[("zoho_incremental.yaml", &cycle())], &zoho.settings)?;
    let mut server = folder.serve().await?;
    let client = server.client().clone();

    // Nobody has signed in: the cycle says what helps, and takes nothing.
    let (code, output, error) = server
        .folder()
        .command(&["cycle", "show", "zoho_incremental"])
        .await?;
    assert_eq!(code, 0, "{error}");
    for told in [
        "needs_connection",
        "nobody has signed in",
        "velodrome connect zoho",
    ] {
        assert!(output.contains(told), "{told}: {output}");
    }
    let refused = server.hook("zoho_incremental", r#"{"page": 1}"#).await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "cycle.needs_connection")
    );

    let first = link(&server).await?;
    assert!(
        first.starts_with(&format!("{}/connector/start?ticket=", server.url())),
        "{first}"
    );
    // A look without opening it, as previews of links make it, uses nothing up.
    let look = client.send("HEAD", &first, &[], Vec::new()).await?;
    assert_eq!(look.status, 405);
    let raw = client.send("GET", &first, &[], Vec::new()).await?;
    let set = raw.header("set-cookie");
    assert!(
        set.contains("; HttpOnly") && set.contains("; SameSite=Lax"),
        "{set}"
    );
    let mine = Opened {
        cookie: set.split(';').next().unwrap_or_default().to_owned(),
        away: raw.header("location").to_owned(),
    };
    says_no(
        &client.send("GET", &first, &[], Vec::new()).await?,
        "auth.ticket_used",
    );
    let guessed = format!("{}/connector/start?ticket={}", server.url(), "0".repeat(64));
    says_no(
        &client.send("GET", &guessed, &[], Vec::new()).await?,
        "auth.ticket_used",
    );

    // PKCE, a state, the one redirect URL; another of each for each sign-in.
    let theirs = open(&client, &link(&server).await?).await?;
    assert!(
        mine.away
            .starts_with(&format!("{}/oauth/v2/auth?", zoho.url)),
        "{}",
        mine.away
    );
    assert_eq!(parameter(&mine.away, "response_type")?, "code");
    assert_eq!(parameter(&mine.away, "code_challenge_method")?, "S256");
    let callback = format!("{}/connector/callback", server.url());
    assert_eq!(parameter(&mine.away, "redirect_uri")?, callback);
    for name in ["state", "code_challenge"] {
        let (mine, theirs) = (parameter(&mine.away, name)?, parameter(&theirs.away, name)?);
        assert!(
            mine.len() >= 22 && mine != theirs,
            "{name}: {mine} {theirs}"
        );
    }
    assert_ne!(mine.cookie, theirs.cookie);

    // An answer is taken from the browser that opened the link, with its own state, once.
    let back = decide(&client, &mine.away, "accept").await?;
    assert!(back.starts_with(&callback), "{back}");
    let bare = client.send("GET", &back, &[], Vec::new()).await?;
    says_no(&bare, "auth.state");
    says_no(
        &come_back(&client, &back, &theirs.cookie).await?,
        "auth.state",
    );
    let swapped = back.replace(
        &parameter(&mine.away, "state")?,
        &parameter(&theirs.away, "state")?,
    );
    assert_ne!(swapped, back);
    says_no(
        &come_back(&client, &swapped, &mine.cookie).await?,
        "auth.state",
    );
    assert_eq!(state(&server).await?, "needs_connection");
    let done = come_back(&client, &back, &mine.cookie).await?;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(done.text.contains("Signed in"), "{}", done.text);
    says_no(
        &come_back(&client, &back, &mine.cookie).await?,
        "auth.state",
    );
    assert_eq!(state(&server).await?, "running");

    // Somebody who says no changes nothing.
    let no = decide(&client, &theirs.away, "deny").await?;
    let no = come_back(&client, &no, &theirs.cookie).await?;
    assert!(
        no.status >= 400 && no.text.contains("auth.denied"),
        "{} {}",
        no.status,
        no.text
    );
    assert_eq!(state(&server).await?, "running");

    // It runs, also after a restart.
    let trigger = ["trigger", "zoho_incremental", r#"{"page": 1}"#, "--follow"];
    let (code, output, error) = server.folder().command(&trigger).await?;
    assert_eq!(code, 0, "{output}{error}");
    assert!(output.contains("200 · 200 records"), "{output}");
    server.stop().await?;
    server.start().await?;
    assert_eq!(state(&server).await?, "running");
    let (code, output, error) = server.folder().command(&trigger).await?;
    assert_eq!(code, 0, "{output}{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_given_to_another_sign_in_is_worth_nothing() -> Result<()> {
    let zoho = ZohoBinary::start(1).await?;
    let folder = Folder::new(&[("zoho_incremental.yaml", &cycle())], &zoho.settings)?;
    let server = folder.serve().await?;
    let client = server.client();
    let mine = open(client, &link(&server).await?).await?;
    let theirs = open(client, &link(&server).await?).await?;
    let given_to_them = decide(client, &theirs.away, "accept").await?;
    // Their code, with my state and my cookie: the accounts server asks for the verifier of their challenge.
    let state_of_mine = parameter(&mine.away, "state")?;
    let injected = given_to_them.replace(&parameter(&theirs.away, "state")?, &state_of_mine);
    let answer = come_back(client, &injected, &mine.cookie).await?;
    assert!(
        answer.status == 409 && answer.text.contains("(invalid_code)"),
        "{} {}",
        answer.status,
        answer.text
    );
    assert_eq!(state(&server).await?, "needs_connection");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_client_is_asked_for_kept_sealed_and_signed_out_again() -> Result<()> {
    let zoho = ZohoBinary::start(250).await?;
    let (settings, id, secret) = without_client(&zoho.settings)?;
    let folder = Folder::new(&[("zoho_incremental.yaml", &cycle())], &settings)?;
    let mut server = folder.serve().await?;
    let seen = server.get("/cycles/zoho_incremental").await?;
    let reason = seen["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("it has no client id") && reason.contains("velodrome connect zoho"),
        "{reason}"
    );

    // Nobody is there to ask.
    let (code, output, error) = server.folder().command(&["connect", "zoho"]).await?;
    assert_eq!((code, output.as_str()), (2, ""), "{error}");
    assert!(
        error.contains("has no client id") && error.contains("a line each"),
        "{error}"
    );

    let answers = format!("{id}\n{secret}\n");
    let (code, output, error) = server
        .folder()
        .command_told(&["connect", "zoho"], &answers)
        .await?;
    assert_eq!(code, 0, "{error}");
    for place in [&output, &error] {
        assert!(!place.contains(&secret), "{place}");
    }
    let opened = open(server.client(), output.trim()).await?;
    assert_eq!(parameter(&opened.away, "client_id")?, id);
    let back = decide(server.client(), &opened.away, "accept").await?;
    let done = come_back(server.client(), &back, &opened.cookie).await?;
    assert_eq!(done.status, 200, "{}", done.text);

    // It is known after a restart; nobody is asked again, and the secret stands nowhere in clear.
    server.stop().await?;
    server.start().await?;
    assert_eq!(state(&server).await?, "running");
    let connections = server.api("GET", "/connections").await?;
    assert!(!connections.text.contains(&secret), "{}", connections.text);
    let zoho_seen = &connections.json()["items"];
    let zoho_seen = zoho_seen
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["id"] == "zoho");
    let zoho_seen = zoho_seen.context("the connection")?;
    assert_eq!(
        (
            &zoho_seen["state"],
            &zoho_seen["asks"],
            &zoho_seen["client_id"]
        ),
        (&json!("ready"), &json!([]), &json!(id)),
        "{zoho_seen}"
    );
    assert!(zoho_seen["expires"].is_string(), "{zoho_seen}");
    let journal = std::fs::read(server.folder().path().join("data/journal.db"))?;
    assert!(!String::from_utf8_lossy(&journal).contains(&secret));
    let trigger = ["trigger", "zoho_incremental", r#"{"page": 1}"#, "--follow"];
    let (code, output, error) = server.folder().command(&trigger).await?;
    assert_eq!(code, 0, "{output}{error}");

    // Signing out asks first, tells the accounts server, and stops the cycle.
    let revoke = ["connect", "zoho", "--revoke"];
    let (code, _, error) = server.folder().command(&revoke).await?;
    assert!(code == 2 && error.contains("--yes"), "{code} {error}");
    assert_eq!(state(&server).await?, "running");
    let (code, _, error) = server
        .folder()
        .command(&[&revoke[..], &["--yes"]].concat())
        .await?;
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("connection `zoho` is signed out"), "{error}");
    assert_eq!(state(&server).await?, "needs_connection");
    let asked = server
        .client()
        .send(
            "GET",
            &format!("{}/_sim/requests", zoho.url),
            &[],
            Vec::new(),
        )
        .await?;
    let revoked = asked.json()["requests"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|one| one["path"] == "/oauth/v2/token/revoke" && one["status"] == 200);
    assert!(revoked, "{}", asked.text);
    let refused = server.hook("zoho_incremental", r#"{"page": 1}"#).await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "cycle.needs_connection")
    );
    server.stop().await?;
    server.start().await?;
    assert_eq!(state(&server).await?, "needs_connection");

    for (connection, code) in [
        ("nothing", "connection.unknown"),
        ("generic_webhook", "connection."),
    ] {
        let (exit, _, error) = server.folder().command(&["connect", connection]).await?;
        assert!(
            exit == 1 && error.contains(code),
            "{connection}: {exit} {error}"
        );
    }
    Ok(())
}
