//! Browsers, over the real binary: the sign-in, its links and limits, sessions and what is asked with their cookie.

use anyhow::{Context, Result};
use serde_json::Value;
use velodrome_tests::{
    FORM, Folder, Server, Session, admin_token, cookie, make_token, post_sign_in,
};

const CYCLE: &str = "cycle: waits\nsteps:\n  webhook: {use: generic_webhook.webhook, then: pause}\n  \
                     pause: {use: delay, for: 1 hour}\n";

async fn server() -> Result<Server> {
    Folder::new(&[("waits.yaml", CYCLE)], "")?.serve().await
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// A change: its headers and body, and the status and code that it is answered.
type Change<'a> = (Vec<(&'a str, String)>, String, u16, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_a_token_and_ends_with_it() -> Result<()> {
    let mut server = server().await?;
    let nobody = server.ask("GET", "/?a=b", &[], "").await?;
    assert_eq!(
        (nobody.status, nobody.header("location")),
        (303, "/sign-in?to=%2F%3Fa%3Db")
    );
    let page = server
        .ask("GET", "/sign-in?to=%2F%3Fa%3Db", &[], "")
        .await?;
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

    let made = make_token(&server, &["--role", "operate"]).await?;
    let (id, made) = (text(&made, "id"), text(&made, "token"));
    let answer = post_sign_in(&server, &format!("token={made}&to=%2F%3Fa%3Db")).await?;
    assert_eq!((answer.status, answer.header("location")), (303, "/?a=b"));
    let set = answer.header("set-cookie");
    assert!(
        set.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"),
        "{set}"
    );
    assert!(!set.contains(&made), "{set}");

    let Session { cookie, csrf } = Session::begin(&server, &made).await?;
    // It opens the API too, and survives a restart; the role is the token's.
    server.kill().await?;
    server.start().await?;
    let of = |more: &[(&'static str, String)]| {
        let mut headers = vec![("cookie", cookie.clone())];
        headers.extend_from_slice(more);
        headers
    };
    let get = async |server: &Server, path: &str| {
        server.ask("GET", path, &[("cookie", &cookie)], "").await
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
        let answer = server.ask("POST", path, &headers, body).await?;
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
async fn a_person_who_is_refused_reads_it_on_a_page() -> Result<()> {
    let server = server().await?;
    let Session { cookie, .. } = Session::begin(&server, &admin_token(&server)?).await?;
    let browser = ("accept", "text/html,*/*;q=0.8");
    let gone = server.ask("POST", "/sign-out", &[browser], "").await?;
    let csrf = [browser, ("cookie", cookie.as_str())];
    let csrf = server.ask("POST", "/sign-out", &csrf, "").await?;
    let metrics = make_token(&server, &["--role", "metrics"]).await?;
    let bearer = format!("Bearer {}", text(&metrics, "token"));
    let role = [browser, ("authorization", bearer.as_str())];
    let role = server.ask("GET", "/", &role, "").await?;
    let host = [browser, ("host", "evil.example")];
    let host = server.ask("GET", "/sign-in", &host, "").await?;
    for (page, status, code, to) in [
        (gone, 401, "api.unauthenticated", "/sign-in"),
        (csrf, 403, "api.csrf_refused", "/"),
        (role, 403, "api.forbidden", "/"),
        (host, 403, "api.host_refused", "/"),
    ] {
        assert_eq!(page.status, status, "{}", page.text);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(
            page.text.contains(&format!("<code>{code}</code>")),
            "{}",
            page.text
        );
        assert!(
            page.text.contains(&format!("<a href=\"{to}\">")),
            "{}",
            page.text
        );
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_for_good() -> Result<()> {
    let mut server = server().await?;
    let Session { cookie, csrf } = Session::begin(&server, &admin_token(&server)?).await?;
    let Session { cookie: other, .. } = Session::begin(&server, &admin_token(&server)?).await?;
    let form = format!("csrf={csrf}");
    let answer = server
        .ask("POST", "/sign-out", &[FORM, ("cookie", &cookie)], &form)
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
        let gone = server
            .ask("GET", "/api/v1/cycles", &[("cookie", &cookie)], "")
            .await?;
        assert_eq!(gone.status, 401, "{}", gone.text);
        let stays = server
            .ask("GET", "/api/v1/cycles", &[("cookie", &other)], "")
            .await?;
        assert_eq!(stays.status, 200, "{}", stays.text);
        server.kill().await?;
        server.start().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once_and_only_by_its_button() -> Result<()> {
    let server = server().await?;
    // It is ready before it says so.
    let link = server.log_from("console: ").await?;
    let link = link.split_whitespace().nth(1).unwrap_or_default();
    let path = link
        .strip_prefix(&server.url())
        .context("a link of this server")?;
    let ticket = path.strip_prefix("/sign-in?ticket=").context("a ticket")?;
    // Previews of it change nothing.
    for _ in 0..3 {
        let page = server.ask("GET", path, &[], "").await?;
        assert_eq!(page.status, 200);
        assert!(
            page.text.contains("<button autofocus>Sign in</button>"),
            "{}",
            page.text
        );
        assert_eq!(server.ask("HEAD", path, &[], "").await?.status, 200);
    }
    let form = format!("ticket={ticket}&to=%2F");
    let answer = post_sign_in(&server, &form).await?;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let page = server
        .ask("GET", "/", &[("cookie", &cookie(&answer))], "")
        .await?;
    assert!(page.text.contains("admin"), "{}", page.text);
    let again = post_sign_in(&server, &form).await?;
    assert_eq!((again.status, again.header("set-cookie")), (401, ""));
    assert!(
        again.text.contains("This link has been used"),
        "{}",
        again.text
    );

    // Whoever may come in can have another, which signs in as it does.
    let made = make_token(&server, &["--name", "night_shift", "--role", "read"]).await?;
    let made = text(&made, "token");
    let link = server
        .ask_with("POST", "/api/v1/sign-in-links", &made)
        .await?;
    assert_eq!(link.status, 200, "{}", link.text);
    let url = text(&link.json(), "url");
    let ticket = url.split_once("ticket=").context("a ticket")?.1.to_owned();
    let answer = post_sign_in(&server, &format!("ticket={ticket}")).await?;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    let page = server
        .ask("GET", "/", &[("cookie", &cookie(&answer))], "")
        .await?;
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
    let right = format!("token={}", admin_token(&server)?);
    for _ in 0..10 {
        let answer = server
            .ask("POST", "/sign-in", &from("192.0.2.7"), "token=vdt_wrong")
            .await?;
        assert_eq!(answer.status, 401, "{}", answer.text);
    }
    for form in ["token=vdt_wrong", &right] {
        let answer = server
            .ask("POST", "/sign-in", &from("192.0.2.7"), form)
            .await?;
        assert_eq!(answer.status, 429, "{}", answer.text);
        let wait: u64 = answer.header("retry-after").parse()?;
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(answer.header("set-cookie"), "");
    }
    let elsewhere = server
        .ask("POST", "/sign-in", &from("192.0.2.8"), &right)
        .await?;
    assert_eq!(elsewhere.status, 303, "{}", elsewhere.text);

    for expected in [vec![401; 10], vec![429; 2]].concat() {
        let answer = server
            .ask_with("GET", "/api/v1/cycles", "vdt_wrong")
            .await?;
        assert_eq!(answer.status, expected, "{}", answer.text);
    }
    let answer = server
        .ask_with("GET", "/api/v1/cycles", &admin_token(&server)?)
        .await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_in_by_a_page_of_another_server() -> Result<()> {
    let server = server().await?;
    let form = format!("token={}", admin_token(&server)?);
    let own = server.url();
    for headers in [
        [FORM, ("origin", "https://evil.example")],
        [FORM, ("origin", "null")],
        [FORM, ("sec-fetch-site", "cross-site")],
    ] {
        let answer = server.ask("POST", "/sign-in", &headers, &form).await?;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "api.origin_refused")
        );
        assert_eq!(answer.header("set-cookie"), "");
    }
    let foreign = [FORM, ("origin", own.as_str()), ("host", "evil.example")];
    let answer = server.ask("POST", "/sign-in", &foreign, &form).await?;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "api.host_refused")
    );
    // Nor is one sent elsewhere.
    let answer = post_sign_in(&server, &format!("{form}&to=%2F%2Fevil.example")).await?;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    let metrics = make_token(&server, &["--role", "metrics"]).await?;
    let answer = post_sign_in(&server, &format!("token={}", text(&metrics, "token"))).await?;
    assert_eq!((answer.status, answer.header("set-cookie")), (403, ""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_carry_a_policy_that_lets_nothing_in() -> Result<()> {
    let server = server().await?;
    let Session { cookie, .. } = Session::begin(&server, &admin_token(&server)?).await?;
    for path in ["/", "/sign-in"] {
        let page = server.ask("GET", path, &[("cookie", &cookie)], "").await?;
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
    let answer = server
        .ask("GET", "/api/v1/cycles", &[("cookie", &cookie)], "")
        .await?;
    let policy = answer.header("content-security-policy");
    assert_eq!(
        policy,
        "default-src 'none'; frame-ancestors 'none'; sandbox"
    );
    Ok(())
}
