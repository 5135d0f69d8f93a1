//! The guard, with real connections: names, redirects, ports.

use velodrome_connect::{ConnectOptions, EgressRules};
use velodrome_spec::connector::AuthDef;

use crate::support::*;

fn allowing(allow: &[&str]) -> Rig {
    rig_with(ConnectOptions {
        egress: EgressRules {
            allow: allow.iter().map(|entry| (*entry).to_owned()).collect(),
            ..EgressRules::default()
        },
        ..ConnectOptions::default()
    })
}

async fn ask(rig: &Rig, verb: &str, url: &str) -> Result<u16, String> {
    let connection = connection(connector(AuthDef::None, None));
    let sent = rig.ask(&connection, &request(verb, url), how()).await;
    let got = sent;
    got.map(|response| response.status)
        .map_err(|error| error.code.to_string())
}

#[tokio::test]
async fn loopback_is_refused_by_literal_and_by_name() {
    let server = Server::start(|_| reply(200, "")).await;
    let port = server.at.port();
    let rig = allowing(&[]);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
    ] {
        let got = ask(&rig, "GET", &format!("http://{host}:{port}/")).await;
        assert_eq!(got, Err("request.refused_address".to_owned()), "{host}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_allowed_name_reaches_its_port_and_no_other() {
    let server = Server::start(|_| reply(200, "")).await;
    let other = Server::start(|_| reply(200, "")).await;
    let entry = format!("localhost:{}", server.at.port());
    let rig = allowing(&[&entry]);
    let at = |server: &Server| format!("http://localhost:{}/", server.at.port());
    assert_eq!(ask(&rig, "GET", &at(&server)).await, Ok(200));
    let refused = Err("request.refused_address".to_owned());
    assert_eq!(ask(&rig, "GET", &at(&other)).await, refused);
    assert_eq!(ask(&rig, "GET", &server.url("/")).await, refused);
    assert!(other.seen().is_empty());
    let ranged = allowing(&["127.0.0.0/8"]);
    assert_eq!(ask(&ranged, "GET", &at(&other)).await, Ok(200));
}

#[tokio::test]
async fn a_name_outside_the_allowed_ranges_is_refused_as_it_is_resolved() {
    let server = Server::start(|_| reply(200, "")).await;
    let url = format!("http://localhost:{}/", server.at.port());
    let rules = |allow: &[&str], only: &[&str]| {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        rig_with(ConnectOptions {
            egress: EgressRules {
                allow: texts(allow),
                only: texts(only),
                proxy: None,
            },
            ..ConnectOptions::default()
        })
    };
    let refused = Err("request.refused_address".to_owned());
    assert_eq!(
        ask(&rules(&["localhost"], &["10.0.0.0/8"]), "GET", &url).await,
        refused
    );
    assert_eq!(
        ask(&rules(&["localhost"], &["api.test"]), "GET", &url).await,
        refused
    );
    assert_eq!(
        ask(&rules(&["10.0.0.0/8"], &[]), "GET", &url).await,
        refused
    );
    assert_eq!(
        ask(
            &rules(&["localhost"], &["127.0.0.0/8", "::1/128"]),
            "GET",
            &url
        )
        .await,
        Ok(200)
    );
    assert!(server.seen().len() == 1);
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused() {
    let inner = Server::start(|_| reply(200, "secret")).await;
    let port = inner.at.port();
    let outer = Server::start(move |seen| {
        let host = seen.path.trim_start_matches('/').to_owned();
        reply(302, "").header("location", format!("http://{host}:{port}/"))
    })
    .await;
    let rig = allowing(&[&outer.at.to_string()]);
    for host in [
        "127.0.0.1",
        "0x7f.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
    ] {
        let got = ask(&rig, "GET", &outer.url(&format!("/{host}"))).await;
        assert_eq!(got, Err("request.refused_address".to_owned()), "{host}");
    }
    assert!(inner.seen().is_empty());
}

#[tokio::test]
async fn redirects_are_followed_where_that_is_harmless() {
    let server = Server::start(|seen| {
        let Some((status, rest)) = seen.path[1..].split_once('/') else {
            return reply(200, seen.body.clone());
        };
        let next = match rest.parse::<u32>() {
            Ok(0) | Err(_) => "/end?x=1".to_owned(),
            Ok(n) => format!("/{status}/{}", n - 1),
        };
        reply(status.parse().unwrap(), "").header("location", next)
    })
    .await;
    let rig = allowing(&["127.0.0.1"]);
    for (verb, path, expect) in [
        ("GET", "/301/0", Ok(200)),
        ("GET", "/302/4", Ok(200)),
        ("GET", "/303/0", Ok(200)),
        ("GET", "/307/0", Ok(200)),
        ("HEAD", "/308/0", Ok(200)),
        ("GET", "/302/5", Err("request.redirects")),
        ("GET", "/302/999", Err("request.redirects")),
        ("POST", "/301/0", Err("request.status")),
        ("POST", "/302/0", Err("request.status")),
        ("POST", "/303/0", Err("request.status")),
        ("POST", "/307/0", Ok(200)),
        ("DELETE", "/308/0", Ok(200)),
    ] {
        let got = ask(&rig, verb, &server.url(path)).await;
        assert_eq!(got, expect.map_err(str::to_owned), "{verb} {path}");
    }
    for location in [
        "ftp://a.test/",
        "http://",
        "http://u:p@127.0.0.1/",
        "javascript:1",
    ] {
        let server = Server::start(move |_| reply(302, "").header("location", location)).await;
        let got = ask(&rig, "GET", &server.url("/")).await;
        assert_eq!(got, Err("request.bad_url".to_owned()), "{location}");
    }
}

#[tokio::test]
async fn a_post_is_not_repeated_at_another_origin() {
    let other = Server::start(|_| reply(200, "")).await;
    let to = other.url("/");
    let server = Server::start(move |_| reply(307, "").header("location", to.clone())).await;
    let rig = allowing(&["127.0.0.1"]);
    let got = ask(&rig, "POST", &server.url("/")).await;
    assert_eq!(got, Err("request.status".to_owned()));
    assert!(other.seen().is_empty());
}
