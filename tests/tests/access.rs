//! Who may come in, over the real binary: tokens, roles, the sign-in and its sessions.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Answer, Folder, Server};

const CYCLE: &str = "cycle: waits\nsteps:\n  webhook: {use: generic_webhook.webhook, then: pause}\n  \
                     pause: {use: delay, for: 1 hour}\n";

async fn server() -> Result<Server> {
    Folder::new(&[("waits.yaml", CYCLE)], "")?.serve().await
}

/// Asks with these headers besides `Host`.
async fn ask(
    server: &Server,
    verb: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let url = format!("{}{path}", server.url());
    let body = body.as_bytes().to_vec();
    server.client().send(verb, &url, headers, body).await
}

async fn with_token(server: &Server, verb: &str, path: &str, token: &str) -> Result<Answer> {
    let bearer = format!("Bearer {token}");
    ask(server, verb, path, &[("authorization", &bearer)], "").await
}

fn admin(server: &Server) -> Result<String> {
    let text = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
    Ok(text.trim().to_owned())
}

/// Makes a token by the command line.
async fn token(server: &Server, arguments: &[&str]) -> Result<Value> {
    let mut all = vec!["token", "create", "--json"];
    all.extend(arguments);
    let (code, out, err) = server.folder().command(&all).await?;
    anyhow::ensure!(code == 0, "{out}{err}");
    Ok(serde_json::from_str(&out)?)
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A change: its headers and body, and the status and code that it is answered.
type Change<'a> = (Vec<(&'a str, String)>, String, u16, &'a str);

/// Posts the form of the sign-in as a browser does.
async fn sign_in(server: &Server, form: &str) -> Result<Answer> {
    let own = server.url();
    let headers = [FORM, ("origin", &own), ("sec-fetch-site", "same-origin")];
    ask(server, "POST", "/sign-in", &headers, form).await
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap_or_default().to_owned()
}

/// A browser that has signed in with a token: its cookie and what its forms send.
async fn session(server: &Server, token: &str) -> Result<(String, String)> {
    let answer = sign_in(server, &format!("token={token}&to=%2F")).await?;
    anyhow::ensure!(answer.status == 303, "{} {}", answer.status, answer.text);
    let cookie = cookie(&answer);
    let page = ask(server, "GET", "/", &[("cookie", &cookie)], "").await?;
    let csrf = csrf(&page).context("the page has a form")?;
    Ok((cookie, csrf))
}

fn csrf(page: &Answer) -> Option<String> {
    let rest = page.text.split_once("name=\"csrf\" value=\"")?.1;
    Some(rest.split_once('"')?.0.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_what_its_role_says_and_is_kept_as_a_hash_alone() -> Result<()> {
    let mut server = server().await?;
    let mut tokens = Vec::new();
    for role in ["metrics", "read", "operate", "admin"] {
        let made = token(&server, &[&format!("the_{role}"), "--role", role]).await?;
        assert!(text(&made, "id").starts_with("token_"), "{made}");
        assert!(text(&made, "token").starts_with("vdt_"), "{made}");
        assert_eq!(
            (text(&made, "role"), &made["expires"]),
            (role.to_owned(), &Value::Null)
        );
        tokens.push(text(&made, "token"));
    }
    // It is the same after a restart.
    server.kill().await?;
    server.start().await?;
    let routes = [
        ("GET", "/api/v1/cycles", [403, 200, 200, 200]),
        ("POST", "/api/v1/cycles/waits/pause", [403, 403, 200, 200]),
        ("POST", "/api/v1/cycles/waits/start", [403, 403, 200, 200]),
        ("GET", "/api/v1/secrets", [403, 403, 403, 200]),
        ("GET", "/api/v1/tokens", [403, 403, 403, 200]),
        ("GET", "/api/v1/nothing", [404, 404, 404, 404]),
        ("GET", "/", [403, 200, 200, 200]),
    ];
    for (verb, path, expected) in routes {
        for (token, expected) in tokens.iter().zip(expected) {
            let answer = with_token(&server, verb, path, token).await?;
            assert_eq!(answer.status, expected, "{verb} {path}: {}", answer.text);
            if expected == 403 {
                assert_eq!(answer.code(), "api.forbidden");
                let needed = answer.json()["role"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                assert!(
                    answer.text.contains(&format!("role `{needed}`")),
                    "{}",
                    answer.text
                );
            }
        }
    }
    let journal = std::fs::read(server.folder().path().join("data/journal.sqlite"));
    let log = server.log_text();
    for token in &tokens {
        assert!(!log.contains(token.as_str()), "{log}");
        if let Ok(journal) = &journal {
            let found = journal
                .windows(token.len())
                .any(|part| part == token.as_bytes());
            assert!(!found, "the token stands in the journal");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn token_commands_make_list_and_revoke() -> Result<()> {
    let server = server().await?;
    let folder = server.folder();
    let (code, out, err) = folder
        .command(&[
            "token",
            "create",
            "ci",
            "--role",
            "operate",
            "--expires",
            "30d",
        ])
        .await?;
    assert_eq!(code, 0, "{err}");
    let token = out.trim_end();
    assert_eq!(out.lines().count(), 1, "the token alone: {out}");
    assert!(token.starts_with("vdt_") && token.len() == 47, "{token}");
    assert!(err.contains("`ci`, role operate, until 20"), "{err}");
    let (code, _, err) = folder
        .command(&["token", "create", "ci", "--role", "read"])
        .await?;
    assert_eq!(
        (code, err.contains("error[token.name_taken]")),
        (1, true),
        "{err}"
    );
    let (code, _, err) = folder
        .command(&["token", "create", "--role", "owner"])
        .await?;
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = folder
        .command(&["token", "create", "--role", "read", "--expires", "soon"])
        .await?;
    assert_eq!(
        (code, err.contains("`soon` is neither a duration")),
        (1, true),
        "{err}"
    );
    // Nobody is asked for a name.
    let (code, _, err) = folder
        .command(&["token", "create", "--role", "read"])
        .await?;
    assert!(code == 0 && err.contains("`read-"), "{err}");

    let (code, out, _) = folder.command(&["token", "list"]).await?;
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    assert!(
        out.starts_with("ID ") && out.contains("  ci  ") && !out.contains(token),
        "{out}"
    );
    let (_, out, _) = folder.command(&["token", "list", "--json"]).await?;
    let listed: Value = serde_json::from_str(&out)?;
    let ci = listed
        .as_array()
        .into_iter()
        .flatten()
        .find(|item| item["name"] == "ci");
    let id = text(ci.context("it is listed")?, "id");

    // With the token's own file.
    std::fs::write(folder.path().join("ci.token"), token)?;
    let by = |rest: &[&'static str]| [&["--token-file", "ci.token"], rest].concat();
    let (code, _, err) = folder.command(&by(&["cycle", "pause", "waits"])).await?;
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = folder.command(&by(&["token", "list"])).await?;
    assert_eq!(
        (code, err.contains("error[api.forbidden]")),
        (5, true),
        "{err}"
    );

    let (code, _, err) = folder.command(&["token", "revoke", &id]).await?;
    assert_eq!((code, err.contains("say `--yes`")), (2, true), "{err}");
    let (code, _, err) = folder
        .command(&["token", "revoke", &id[id.len() - 7..], "--yes"])
        .await?;
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = folder.command(&by(&["cycle", "list"])).await?;
    assert_eq!(
        (code, err.contains("error[api.unauthenticated]")),
        (5, true),
        "{err}"
    );
    let (code, _, err) = folder.command(&["token", "revoke", &id, "--yes"]).await?;
    assert_eq!(
        (code, err.contains("error[token.unknown]")),
        (1, true),
        "{err}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_change_keeps_tokens_and_they_are_no_secrets() -> Result<()> {
    let mut server = server().await?;
    let made = token(&server, &["--role", "read"]).await?;
    let (code, out, _) = server
        .folder()
        .command(&["secret", "list", "--json"])
        .await?;
    assert_eq!((code, out.trim()), (0, "[]"));
    let (code, _, err) = server.folder().command(&["key", "rotate"]).await?;
    assert_eq!(code, 0, "{err}");
    for _ in 0..2 {
        let answer = with_token(&server, "GET", "/api/v1/cycles", &text(&made, "token")).await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        server.kill().await?;
        server.start().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_lets_nobody_in() -> Result<()> {
    let server = server().await?;
    let made = token(&server, &["--role", "read", "--expires", "2s"]).await?;
    let made = text(&made, "token");
    let (cookie, _) = session(&server, &made).await?;
    let mut answer = with_token(&server, "GET", "/api/v1/cycles", &made).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // The clock is the server's: it is asked until it says so.
    while answer.status == 200 {
        answer = with_token(&server, "GET", "/api/v1/cycles", &made).await?;
    }
    assert_eq!(answer.code(), "api.unauthenticated");
    let page = ask(&server, "GET", "/api/v1/cycles", &[("cookie", &cookie)], "").await?;
    assert_eq!(page.status, 401, "{}", page.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_log_says_on_whose_word_something_was_done() -> Result<()> {
    let server = server().await?;
    let made = token(&server, &["night_shift", "--role", "operate"]).await?;
    let made = text(&made, "token");
    let accepted = server.hook("waits", "{}").await?.json();
    let loop_id = text(&accepted, "loop");
    server
        .wait_for(&format!("/loops/{loop_id}"), |seen| {
            seen["status"] == "waiting"
        })
        .await?;
    for path in [
        "/cycles/waits/pause".to_owned(),
        format!("/loops/{loop_id}/stop"),
        "/cycles/waits/purge".to_owned(),
        "/cycles/waits/finish".to_owned(),
        "/cycles/waits/start".to_owned(),
    ] {
        let answer = with_token(&server, "POST", &format!("/api/v1{path}"), &made).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    server.api("POST", "/cycles/waits/stop").await?;
    let log = server.log("").await?;
    let by = |event: &str| -> Vec<Value> {
        let lines = log.iter().filter(|line| line["event"] == event);
        lines.map(|line| line["data"]["by"].clone()).collect()
    };
    for event in [
        "cycle.paused",
        "cycle.purged",
        "cycle.finishing",
        "cycle.started",
        "run.stopped",
        "loop.stopped",
    ] {
        assert_eq!(by(event), [json!("night_shift")], "{event}");
    }
    // Finishing with nothing in progress is a stop, on the same word; then the admin's.
    assert_eq!(by("cycle.stopped"), [json!("night_shift"), json!("admin")]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_a_token_and_ends_with_it() -> Result<()> {
    let mut server = server().await?;
    let nobody = ask(&server, "GET", "/?a=b", &[], "").await?;
    assert_eq!(
        (nobody.status, nobody.header("location")),
        (303, "/sign-in?to=%2F%3Fa%3Db")
    );
    let page = ask(&server, "GET", "/sign-in?to=%2F%3Fa%3Db", &[], "").await?;
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("name=\"token\" type=\"password\""),
        "{}",
        page.text
    );
    assert!(
        page.text.contains("name=\"to\" value=\"/?a=b\""),
        "{}",
        page.text
    );
    assert!(!page.text.contains("<script"), "{}", page.text);

    let made = token(&server, &["--role", "operate"]).await?;
    let (id, made) = (text(&made, "id"), text(&made, "token"));
    let answer = sign_in(&server, &format!("token={made}&to=%2F%3Fa%3Db")).await?;
    assert_eq!((answer.status, answer.header("location")), (303, "/?a=b"));
    let set = answer.header("set-cookie");
    assert!(
        set.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"),
        "{set}"
    );
    assert!(!set.contains(&made), "{set}");

    let (cookie, csrf) = session(&server, &made).await?;
    // It opens the API too, and survives a restart; the role is the token's.
    server.kill().await?;
    server.start().await?;
    let of = |more: &[(&'static str, String)]| {
        let mut headers = vec![("cookie", cookie.clone())];
        headers.extend_from_slice(more);
        headers
    };
    let get = async |server: &Server, path: &str| {
        ask(server, "GET", path, &[("cookie", &cookie)], "").await
    };
    assert_eq!(get(&server, "/api/v1/cycles").await?.status, 200);
    assert_eq!(
        get(&server, "/api/v1/secrets").await?.code(),
        "api.forbidden"
    );
    let again = get(&server, "/sign-in?to=%2Fapi").await?;
    assert_eq!((again.status, again.header("location")), (303, "/api"));

    // A change needs what only its pages know, and to come from here.
    let own = server.url();
    let changes: [Change; 8] = [
        (of(&[]), String::new(), 403, "api.csrf_refused"),
        (
            of(&[("x-csrf-token", "wrong".to_owned())]),
            String::new(),
            403,
            "api.csrf_refused",
        ),
        (
            of(&[("x-csrf-token", csrf.clone())]),
            String::new(),
            200,
            "",
        ),
        (
            of(&[(FORM.0, FORM.1.to_owned())]),
            format!("csrf={csrf}"),
            200,
            "",
        ),
        (
            of(&[(FORM.0, FORM.1.to_owned())]),
            "csrf=".to_owned(),
            403,
            "api.csrf_refused",
        ),
        (
            of(&[("x-csrf-token", csrf.clone()), ("origin", own.clone())]),
            String::new(),
            200,
            "",
        ),
        (
            of(&[
                ("x-csrf-token", csrf.clone()),
                ("origin", "https://evil.example".to_owned()),
            ]),
            String::new(),
            403,
            "api.origin_refused",
        ),
        (
            of(&[
                ("x-csrf-token", csrf.clone()),
                ("sec-fetch-site", "same-site".to_owned()),
            ]),
            String::new(),
            403,
            "api.origin_refused",
        ),
    ];
    for (headers, body, status, code) in &changes {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let path = "/api/v1/cycles/waits/pause";
        let answer = ask(&server, "POST", path, &headers, body).await?;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (*status, *code),
            "{headers:?} {body}"
        );
    }

    let revoked = server.api("DELETE", &format!("/tokens/{id}")).await?;
    assert_eq!(revoked.status, 204, "{}", revoked.text);
    assert_eq!(get(&server, "/api/v1/cycles").await?.status, 401);
    assert_eq!(get(&server, "/").await?.status, 303);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_for_good() -> Result<()> {
    let mut server = server().await?;
    let (cookie, csrf) = session(&server, &admin(&server)?).await?;
    let (other, _) = session(&server, &admin(&server)?).await?;
    let form = format!("csrf={csrf}");
    let answer = ask(
        &server,
        "POST",
        "/sign-out",
        &[FORM, ("cookie", &cookie)],
        &form,
    )
    .await?;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/sign-in")
    );
    assert!(
        answer
            .header("set-cookie")
            .starts_with("velodrome_session=;")
    );
    for _ in 0..2 {
        let gone = ask(&server, "GET", "/api/v1/cycles", &[("cookie", &cookie)], "").await?;
        assert_eq!(gone.status, 401, "{}", gone.text);
        let stays = ask(&server, "GET", "/api/v1/cycles", &[("cookie", &other)], "").await?;
        assert_eq!(stays.status, 200, "{}", stays.text);
        server.kill().await?;
        server.start().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once_and_only_by_its_button() -> Result<()> {
    let server = server().await?;
    let log = server.log_text();
    let link = log
        .split_once("console: ")
        .context("the start tells a link")?
        .1;
    let link = link.split_whitespace().next().unwrap_or_default();
    let path = link
        .strip_prefix(&server.url())
        .context("a link of this server")?;
    let ticket = path.strip_prefix("/sign-in?ticket=").context("a ticket")?;
    // Previews of it change nothing.
    for _ in 0..3 {
        let page = ask(&server, "GET", path, &[], "").await?;
        assert_eq!(page.status, 200);
        assert!(
            page.text.contains("<button autofocus>Sign in</button>"),
            "{}",
            page.text
        );
        assert_eq!(ask(&server, "HEAD", path, &[], "").await?.status, 200);
    }
    let form = format!("ticket={ticket}&to=%2F");
    let answer = sign_in(&server, &form).await?;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let page = ask(&server, "GET", "/", &[("cookie", &cookie(&answer))], "").await?;
    assert!(page.text.contains("admin"), "{}", page.text);
    let again = sign_in(&server, &form).await?;
    assert_eq!((again.status, again.header("set-cookie")), (401, ""));
    assert!(
        again.text.contains("This link has been used"),
        "{}",
        again.text
    );

    // Whoever may come in can have another, which signs in as it does.
    let made = token(&server, &["night_shift", "--role", "read"]).await?;
    let made = text(&made, "token");
    let link = with_token(&server, "POST", "/api/v1/sign-in-links", &made).await?;
    assert_eq!(link.status, 200, "{}", link.text);
    let url = text(&link.json(), "url");
    let ticket = url.split_once("ticket=").context("a ticket")?.1.to_owned();
    let answer = sign_in(&server, &format!("ticket={ticket}")).await?;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    let page = ask(&server, "GET", "/", &[("cookie", &cookie(&answer))], "").await?;
    assert!(page.text.contains("night_shift"), "{}", page.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_takes_ten_wrong_tokens_a_minute_and_a_right_bearer_always() -> Result<()> {
    let settings = "webhooks:\n  trusted_proxies: [127.0.0.1/32]\n";
    let server = Folder::new(&[("waits.yaml", CYCLE)], settings)?
        .serve()
        .await?;
    let from = |address: &'static str| [FORM, ("x-forwarded-for", address)];
    let right = format!("token={}", admin(&server)?);
    for _ in 0..10 {
        let answer = ask(
            &server,
            "POST",
            "/sign-in",
            &from("192.0.2.7"),
            "token=vdt_wrong",
        )
        .await?;
        assert_eq!(answer.status, 401, "{}", answer.text);
    }
    for form in ["token=vdt_wrong", &right] {
        let answer = ask(&server, "POST", "/sign-in", &from("192.0.2.7"), form).await?;
        assert_eq!(answer.status, 429, "{}", answer.text);
        let wait: u64 = answer.header("retry-after").parse()?;
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(answer.header("set-cookie"), "");
    }
    let elsewhere = ask(&server, "POST", "/sign-in", &from("192.0.2.8"), &right).await?;
    assert_eq!(elsewhere.status, 303, "{}", elsewhere.text);

    for expected in [vec![401; 10], vec![429; 2]].concat() {
        let answer = with_token(&server, "GET", "/api/v1/cycles", "vdt_wrong").await?;
        assert_eq!(answer.status, expected, "{}", answer.text);
    }
    let answer = with_token(&server, "GET", "/api/v1/cycles", &admin(&server)?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_in_by_a_page_of_another_server() -> Result<()> {
    let server = server().await?;
    let form = format!("token={}", admin(&server)?);
    let own = server.url();
    for headers in [
        [FORM, ("origin", "https://evil.example")],
        [FORM, ("origin", "null")],
        [FORM, ("sec-fetch-site", "cross-site")],
    ] {
        let answer = ask(&server, "POST", "/sign-in", &headers, &form).await?;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "api.origin_refused")
        );
        assert_eq!(answer.header("set-cookie"), "");
    }
    let foreign = [FORM, ("origin", own.as_str()), ("host", "evil.example")];
    let answer = ask(&server, "POST", "/sign-in", &foreign, &form).await?;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "api.host_refused")
    );
    // Nor is one sent elsewhere.
    let answer = sign_in(&server, &format!("{form}&to=%2F%2Fevil.example")).await?;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    let metrics = token(&server, &["--role", "metrics"]).await?;
    let answer = sign_in(&server, &format!("token={}", text(&metrics, "token"))).await?;
    assert_eq!((answer.status, answer.header("set-cookie")), (403, ""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_carry_a_policy_that_lets_nothing_in() -> Result<()> {
    let server = server().await?;
    let (cookie, _) = session(&server, &admin(&server)?).await?;
    for path in ["/", "/sign-in"] {
        let page = ask(&server, "GET", path, &[("cookie", &cookie)], "").await?;
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.header(name), value, "{path} {name}");
        }
        let policy = page.header("content-security-policy");
        if page.status == 200 {
            assert!(policy.starts_with("default-src 'none'; "), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }
    let answer = ask(&server, "GET", "/api/v1/cycles", &[("cookie", &cookie)], "").await?;
    let policy = answer.header("content-security-policy");
    assert_eq!(
        policy,
        "default-src 'none'; frame-ancestors 'none'; sandbox"
    );
    Ok(())
}
