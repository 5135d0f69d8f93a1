//! The real server against the table of every route and every kind of caller, and against paths that are written so
//! as to slip past it.
//!
//! Places in a path name what is not there, so that a caller who is let in is told that, and nothing is changed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use velodrome_server::{Asker, RouteRule, Verdict, Who, route_table};
use velodrome_tests::{Answer, FORM, Folder, Server, Session, admin_token, make_token, raw};
use velodrome_types::Role;

/// The codes of a gate that lets nobody through.
const GATES: [&str; 5] = [
    "api.unauthenticated",
    "api.forbidden",
    "api.csrf_refused",
    "api.origin_refused",
    "api.host_refused",
];
/// Statuses that a request has which reached no route.
const NOWHERE: [u16; 8] = [400, 401, 403, 404, 405, 414, 421, 501];
/// And their codes: of a page, or of what cannot be read as a request at all, none.
const NOWHERE_CODES: [&str; 8] = [
    "",
    "api.unauthenticated",
    "api.forbidden",
    "api.unknown_path",
    "api.method_refused",
    "api.host_refused",
    "webhook.unknown",
    "webhook.method_refused",
];

/// A server, and what every kind of caller has in hand.
struct World {
    server: Server,
    at: SocketAddr,
    /// By role, the least first.
    tokens: Vec<(Role, String)>,
    admin: String,
    callers: AtomicU32,
}

impl World {
    async fn new() -> Result<Self> {
        let settings = "webhooks:\n  trusted_proxies: [127.0.0.1/32]\n";
        let server = Folder::new(&[], settings)?.serve().await?;
        let mut tokens = Vec::new();
        for role in [Role::Metrics, Role::Read, Role::Operate, Role::Admin] {
            let made = make_token(&server, &["--role", role.as_str()]).await?;
            tokens.push((role, made["token"].as_str().unwrap_or_default().to_owned()));
        }
        let at = server.url().trim_start_matches("http://").parse()?;
        let admin = admin_token(&server)?;
        Ok(Self {
            server,
            at,
            tokens,
            admin,
            callers: AtomicU32::new(1),
        })
    }

    fn token(&self, role: Role) -> &str {
        let found = self.tokens.iter().find(|(known, _)| *known == role);
        &found.expect("there is one of each role").1
    }

    /// Asks as whoever has these headers, from an address that nobody else has: wrong tokens are counted by it.
    async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer> {
        let number = self.callers.fetch_add(1, Ordering::Relaxed);
        let from = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).to_string();
        let host = self.at.to_string();
        let mut all = vec![("x-forwarded-for", from.as_str())];
        if !headers.iter().any(|(name, _)| *name == "host") {
            all.push(("host", &host));
        }
        all.extend(headers);
        raw(self.at, method, target, &all, body).await
    }

    async fn ask_as(&self, asker: Asker, rule: &RouteRule) -> Result<Answer> {
        let (method, path) = (rule.method, filled(&rule.path));
        let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
        let session = || Session::begin(&self.server, &self.admin);
        let own = self.server.url();
        let (headers, form) = match asker {
            Asker::Nobody => (vec![], String::new()),
            Asker::WrongToken => (vec![bearer("vdt_wrong")], String::new()),
            Asker::Token(role) => (vec![bearer(self.token(role))], String::new()),
            Asker::OtherHost => {
                let host = ("host", "evil.example".to_owned());
                (vec![bearer(&self.admin), host], String::new())
            }
            Asker::Cookie => (vec![("cookie", session().await?.cookie)], String::new()),
            Asker::CookieAndCsrf | Asker::Elsewhere => {
                let session = session().await?;
                let origin = match asker {
                    Asker::Elsewhere => "https://evil.example".to_owned(),
                    _ => own,
                };
                let headers = vec![("cookie", session.cookie), ("origin", origin)];
                (headers, format!("csrf={}", session.csrf))
            }
        };
        let mut all: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        if !form.is_empty() {
            all.push(FORM);
        }
        self.ask(method, &path, &all, &form).await
    }
}

/// The path with something in each of its places that is not there.
fn filled(path: &str) -> String {
    let places = path.split('/').map(|part| match part {
        "{command}" => "start",
        place if place.starts_with('{') => "not_there",
        part => part,
    });
    places.collect::<Vec<_>>().join("/")
}

/// What became of a request, as the table says it.
fn verdict(answer: &Answer) -> Result<Verdict> {
    let code = answer.code();
    // A route may say of one of its places that nothing is there: it is one for all that.
    let no_route = code == "api.unknown_path" && answer.text.contains("there is nothing at `");
    ensure!(
        !no_route && code != "api.method_refused",
        "there is no such route: {}",
        answer.text
    );
    if let Some(code) = GATES.iter().find(|known| **known == code) {
        return Ok(Verdict::Refused(answer.status, code));
    }
    // Whoever signs out is sent there as well, and loses the cookie.
    let to_the_sign_in = answer.status == 303
        && answer.header("location").starts_with("/sign-in")
        && answer.header("set-cookie").is_empty();
    Ok(match to_the_sign_in {
        true => Verdict::SignIn,
        false => Verdict::In,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_every_kind_of_caller_as_the_table_says() -> Result<()> {
    let world = World::new().await?;
    let mut wrong = Vec::new();
    for rule in route_table() {
        for asker in Asker::ALL {
            // A webhook and the sign-in have rules of their own for these, and tests of their own.
            let own_rules = matches!(asker, Asker::Elsewhere | Asker::OtherHost);
            if own_rules && matches!(rule.who, Who::Anybody(_)) {
                continue;
            }
            let answer = world.ask_as(asker, &rule).await?;
            let expected = rule.verdict(asker);
            match verdict(&answer) {
                Ok(found) if found == expected => {}
                found => wrong.push(format!(
                    "{} {} as {}: {found:?} and not {expected:?}: {} {}",
                    rule.method,
                    rule.path,
                    asker.name(),
                    answer.status,
                    answer.text
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Other ways to write a path, each of which some server takes for the same.
fn written_otherwise(path: &str, own: &str) -> Vec<String> {
    let rest = path.trim_start_matches('/');
    let first = rest.chars().next().unwrap_or('a');
    let encoded = format!("%{:02X}{}", u32::from(first), rest.get(1..).unwrap_or(""));
    let mut all: Vec<String> = ["/", "//", "/.", "%20", "%00", "%2e", "%2F", ";a=b", "\\"]
        .iter()
        .map(|end| format!("{path}{end}"))
        .collect();
    for front in [
        "/",
        "//",
        "/.",
        "/%2e",
        "/%2F",
        "/\\",
        "/..",
        "/hooks/..",
        "/hooks/%2e%2e",
        "/hooks/..%2f..",
        "/hooks/not_there/../..",
        "/hooks/not_there/%2e%2e/%2e%2e",
        "/healthz/..",
        "/healthz/%2E%2E",
        "/healthz;",
        "/assets/..",
        "/assets/%2e%2e",
        "/assets/..%5c",
        "/sign-in/..",
        "/connector/callback/../..",
        "/api/v1/..",
        "/api/v1/../..",
        "/api/v1/%2e%2e/%2e%2e",
    ] {
        all.push(format!("{front}{path}"));
    }
    all.push(format!("/{encoded}"));
    all.push(format!("/{}", rest.to_uppercase()));
    all.push(format!("/{}", rest.replace('/', "//")));
    all.push(format!("/{}", rest.replace('/', "%2F")));
    all.push(format!("/{}", rest.replace('/', "\\")));
    all.push(format!("/{}", rest.replace('/', "/./")));
    all.push(format!("{own}{path}"));
    all.push(format!("http://evil.example{path}"));
    all.retain(|other| other != path);
    all
}

/// Whether the request came to no route of ours, or to nothing behind a gate.
fn is_nowhere(answer: &Answer) -> bool {
    let sent_away = answer.status == 303 && answer.header("location").starts_with("/sign-in");
    // A body that has no length is not read: then the code is not known, and the status must do.
    sent_away
        || (NOWHERE.contains(&answer.status) && NOWHERE_CODES.contains(&answer.code().as_str()))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_is_reached_by_another_way_to_write_its_path() -> Result<()> {
    let world = World::new().await?;
    let own = world.server.url();
    let mut reached = Vec::new();
    for rule in route_table() {
        let Who::Role(_, needed) = rule.who else {
            continue;
        };
        let path = filled(&rule.path);
        let below = world.tokens.iter().rev().find(|(role, _)| *role < needed);
        let below = below.map(|(_, token)| format!("Bearer {token}"));
        for target in written_otherwise(&path, &own) {
            let nobody = world.ask(rule.method, &target, &[], "").await?;
            if !is_nowhere(&nobody) {
                let (status, text) = (nobody.status, &nobody.text);
                reached.push(format!(
                    "{} {target} as nobody: {status} {text}",
                    rule.method
                ));
            }
            if let Some(bearer) = &below {
                let headers = [("authorization", bearer.as_str())];
                let too_low = world.ask(rule.method, &target, &headers, "").await?;
                if !is_nowhere(&too_low) {
                    let (status, text) = (too_low.status, &too_low.text);
                    reached.push(format!(
                        "{} {target} with too low a role: {status} {text}",
                        rule.method
                    ));
                }
            }
        }
    }
    assert!(reached.is_empty(), "{}", reached.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_is_reached_by_another_method_or_by_a_header_that_names_it() -> Result<()> {
    let world = World::new().await?;
    let mut reached = Vec::new();
    for rule in route_table() {
        let Who::Role(..) = rule.who else { continue };
        let path = filled(&rule.path);
        let lower = rule.method.to_lowercase();
        for method in [
            "HEAD", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "FOO", &lower,
        ] {
            let answer = world.ask(method, &path, &[], "").await?;
            if !is_nowhere(&answer) {
                reached.push(format!(
                    "{method} {path}: {} {}",
                    answer.status, answer.text
                ));
            }
        }
        for name in ["x-http-method-override", "x-method-override"] {
            let answer = world.ask("GET", &path, &[(name, rule.method)], "").await?;
            if !is_nowhere(&answer) {
                reached.push(format!("{name} at {path}: {}", answer.status));
            }
        }
        for name in ["x-original-url", "x-rewrite-url", "x-forwarded-prefix"] {
            let answer = world.ask("GET", "/healthz", &[(name, &path)], "").await?;
            if (answer.status, answer.text.as_str()) != (200, r#"{"status":"ok"}"#) {
                reached.push(format!("{name}: {path}: {} {}", answer.status, answer.text));
            }
        }
    }
    assert!(reached.is_empty(), "{}", reached.join("\n"));
    Ok(())
}

/// `POST /api/v1/secrets` and the like do not come to be open by an oversight: whoever changes a role changes this.
#[test]
fn what_is_secret_asks_for_the_highest_role() {
    let table = route_table();
    let of = |part: &str| -> Vec<&RouteRule> {
        let below = table.iter().filter(|rule| rule.path.starts_with("/api/v1"));
        below.filter(|rule| rule.path.contains(part)).collect()
    };
    for part in [
        "/secrets", "/tokens", "/key/", "/revoke", "/client", "/backup",
    ] {
        let rules = of(part);
        assert!(!rules.is_empty(), "{part}");
        for rule in rules {
            assert!(
                matches!(rule.who, Who::Role(_, Role::Admin)),
                "{} {}",
                rule.method,
                rule.path
            );
        }
    }
    for rule in &table {
        let changes = rule.method != "GET";
        if let Who::Role(_, role) = rule.who
            && changes
        {
            // Signing out, and a link to sign in as one may already, change nothing of others'.
            let own = ["/sign-out", "/api/v1/sign-in-links"].contains(&rule.path.as_str());
            assert!(
                own || role >= Role::Operate,
                "{} {}",
                rule.method,
                rule.path
            );
        }
    }
    let open: Vec<&str> = table
        .iter()
        .filter(|rule| matches!(rule.who, Who::Anybody(_)))
        .map(|rule| rule.path.as_str())
        .filter(|path| !path.starts_with("/assets/"))
        .collect();
    assert_eq!(
        open,
        [
            "/connector/callback",
            "/connector/start",
            "/healthz",
            "/hooks/{cycle}",
            "/hooks/{cycle}/{step}",
            "/hooks/{cycle}/{step}/{link}",
            "/hooks/{cycle}/{step}/{link}",
            "/readyz",
            "/sign-in",
            "/sign-in"
        ]
    );
}
