//! Error rules, waits, and what nobody answered.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use velodrome_connect::{ConnectOptions, EgressRules, ErrorKind, Verdict};
use velodrome_spec::connector::{AuthDef, ErrorAction, ErrorRule, StatusMatch};

use crate::support::*;

fn rule(status: &[StatusMatch], code: &[&str], action: ErrorAction) -> ErrorRule {
    ErrorRule {
        status: status.to_vec(),
        code: code.iter().map(|code| (*code).to_owned()).collect(),
        message: Vec::new(),
        header: Vec::new(),
        action,
        until_header: None,
    }
}

#[tokio::test]
async fn without_rules_the_status_decides() {
    let server = Server::start(|seen| reply(seen.path[1..].parse().unwrap(), "x")).await;
    let rig = rig();
    let connection = connection(connector(AuthDef::None, None));
    let method = method("GET", None);
    for (status, expect) in [
        (200, None),
        (201, None),
        (204, None),
        (304, Some(ErrorKind::Permanent)),
        (302, Some(ErrorKind::Permanent)),
        (400, Some(ErrorKind::Permanent)),
        (401, Some(ErrorKind::Permanent)),
        (403, Some(ErrorKind::Permanent)),
        (404, Some(ErrorKind::Permanent)),
        (408, Some(ErrorKind::Transient)),
        (409, Some(ErrorKind::Permanent)),
        (410, Some(ErrorKind::Permanent)),
        (422, Some(ErrorKind::Permanent)),
        (425, Some(ErrorKind::Transient)),
        (429, Some(ErrorKind::Transient)),
        (500, Some(ErrorKind::Transient)),
        (501, Some(ErrorKind::Transient)),
        (502, Some(ErrorKind::Transient)),
        (503, Some(ErrorKind::Transient)),
        (599, Some(ErrorKind::Transient)),
    ] {
        let request = request("GET", &server.url(&format!("/{status}")));
        match rig
            .connect
            .send(&connection, &method, &request, how())
            .await
        {
            Ok(response) => {
                assert_eq!((expect, response.status), (None, status));
                assert_eq!(response.verdict, Verdict::Ok);
                assert!(response.date.is_some());
            }
            Err(error) => {
                assert_eq!(Some(error.kind), expect, "{status}");
                assert_eq!(error.code.as_str(), "request.status");
                assert_eq!(error.status, Some(status));
            }
        }
    }
}

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    let server = Server::start(|seen| {
        let (status, code) = seen.path[1..].split_once('/').unwrap();
        let body = match code {
            "-" => json!({}),
            "7" => json!({"code": 7}),
            "html" => return reply(status.parse().unwrap(), "<html>"),
            code => json!({"details": {"code": "NESTED"}, "code": code, "message": "m"}),
        };
        reply_json(status.parse().unwrap(), body)
    })
    .await;
    let rig = rig();
    let gaps = vec![Duration::from_secs(60), Duration::from_secs(120)];
    let mut def = connector(AuthDef::None, None);
    def.errors = vec![
        rule(
            &[StatusMatch::Is(204), StatusMatch::Is(304)],
            &[],
            ErrorAction::Empty,
        ),
        rule(
            &[StatusMatch::Is(400)],
            &["EXPIRED"],
            ErrorAction::RestartPaging,
        ),
        rule(
            &[StatusMatch::Is(401)],
            &["OLD"],
            ErrorAction::RefreshThenRetry,
        ),
        rule(&[StatusMatch::Is(401)], &[], ErrorAction::Reconnect),
        rule(
            &[StatusMatch::Is(429)],
            &[],
            ErrorAction::Wait(gaps.clone()),
        ),
        rule(&[StatusMatch::Is(200)], &["SOFT"], ErrorAction::Retry),
        rule(&[StatusMatch::Is(418)], &["7"], ErrorAction::Retry),
        rule(&[], &["BUSY"], ErrorAction::Retry),
        rule(&[StatusMatch::Is(404)], &["NONE"], ErrorAction::Empty),
        rule(&[StatusMatch::Class(4)], &[], ErrorAction::Fail),
    ];
    let connection = connection(def);
    let mut method = method("GET", None);
    method.errors = vec![rule(&[StatusMatch::Is(409)], &[], ErrorAction::Retry)];
    for (path, expect) in [
        ("/200/-", "Ok"),
        ("/200/BUSY", "Ok"),
        ("/200/SOFT", "request.status Transient"),
        ("/204/-", "Empty"),
        ("/304/-", "Empty"),
        ("/400/EXPIRED", "RestartPaging"),
        ("/400/OTHER", "request.status Permanent"),
        ("/400/BUSY", "request.status Transient"),
        ("/401/OLD", "auth.needs_connection Permanent"),
        ("/401/-", "auth.needs_connection Permanent"),
        ("/404/NONE", "Empty"),
        ("/404/html", "request.status Permanent"),
        ("/409/-", "request.status Transient"),
        ("/418/7", "request.status Transient"),
        ("/418/NESTED", "request.status Permanent"),
        ("/429/-", "request.status Transient"),
        ("/503/html", "request.status Transient"),
    ] {
        // A 429 would hold the others back.
        let mut connection = connection.clone();
        connection.id = path.into();
        let request = request("GET", &server.url(path));
        let got = rig
            .connect
            .send(&connection, &method, &request, how())
            .await;
        let told = match &got {
            Ok(response) => format!("{:?}", response.verdict),
            Err(error) => format!("{} {:?}", error.code, error.kind),
        };
        assert_eq!(told, expect, "{path}");
        let has_gaps = got.as_ref().err().and_then(|error| error.gaps.clone());
        assert_eq!(has_gaps, (path == "/429/-").then(|| gaps.clone()), "{path}");
        if path == "/404/NONE" {
            assert!(
                got.unwrap().body.is_empty(),
                "an empty answer has nothing to read"
            );
        }
    }
}

#[tokio::test]
async fn an_error_tells_what_came() {
    let server = Server::start(|_| {
        reply_json(
            400,
            json!({"code": "INVALID_DATA", "message": "invalid data"}),
        )
        .header("x-request-id", "r1")
    })
    .await;
    let url = server.url("/contacts?key=hush-key");
    let got = rig()
        .connect
        .send(
            &connection(connector(AuthDef::None, None)),
            &method("GET", None),
            &request("GET", &url),
            how(),
        )
        .await;
    let error = got.unwrap_err();
    assert!(error.message.contains("400 Bad Request") && error.message.contains("INVALID_DATA"));
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    assert!(
        error
            .headers
            .contains(&("x-request-id".to_owned(), "r1".to_owned()))
    );
    assert!(error.body.unwrap().starts_with(b"{\"code\""));
}

#[tokio::test]
async fn retry_after_is_passed_on_where_trying_again_helps() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/seconds" => reply(503, "").header("retry-after", "7"),
        "/date" => reply(429, "")
            .header("date", "Mon, 23 Nov 2026 12:00:00 GMT")
            .header("retry-after", "Mon, 23 Nov 2026 12:00:09 GMT"),
        "/junk" => reply(503, "").header("retry-after", "soon"),
        _ => reply(400, "").header("retry-after", "7"),
    })
    .await;
    let rig = rig();
    let connection = connection(connector(AuthDef::None, None));
    for (path, expect) in [
        ("/seconds", Some(7)),
        ("/date", Some(9)),
        ("/junk", None),
        ("/400", None),
    ] {
        // A 429 would hold the others back.
        let mut connection = connection.clone();
        connection.id = path.into();
        let request = request("GET", &server.url(path));
        let sent = rig.ask(&connection, &request, how()).await;
        let error = sent.unwrap_err();
        assert_eq!(
            error.retry_after.map(|wait| wait.as_secs()),
            expect,
            "{path}"
        );
    }
}

/// A listener that does something unfriendly to each connection.
async fn unfriendly(say: &'static [u8], hold: bool) -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(say).await;
            if hold {
                held.push(socket);
            }
        }
    });
    (at, tasks)
}

#[tokio::test]
async fn a_request_without_an_answer_is_unknown_unless_it_only_asks() {
    let rig = rig();
    let connection = connection(connector(AuthDef::None, None));
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":";
    let bad = b"HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\n{\"code\":1}";
    for (say, hold, code, get, post) in [
        (
            &b""[..],
            false,
            "request.network",
            ErrorKind::Transient,
            ErrorKind::Unknown,
        ),
        (
            b"",
            true,
            "request.timeout",
            ErrorKind::Transient,
            ErrorKind::Unknown,
        ),
        (
            cut,
            false,
            "request.network",
            ErrorKind::Transient,
            ErrorKind::Unknown,
        ),
        (
            cut,
            true,
            "request.timeout",
            ErrorKind::Transient,
            ErrorKind::Unknown,
        ),
        // A bad status is an answer, even when its body is cut off.
        (
            bad,
            false,
            "request.status",
            ErrorKind::Transient,
            ErrorKind::Transient,
        ),
        (
            bad,
            true,
            "request.status",
            ErrorKind::Transient,
            ErrorKind::Transient,
        ),
    ] {
        let (at, _tasks) = unfriendly(say, hold).await;
        for (verb, kind) in [("GET", get), ("POST", post)] {
            let mut options = how();
            options.timeout = Duration::from_millis(if hold { 150 } else { 10_000 });
            let request = request(verb, &format!("http://{at}/x?key=hush"));
            let sent = rig.ask(&connection, &request, options).await;
            let error = sent.unwrap_err();
            let what = format!("{verb} {} hold={hold}: {error:?}", say.len());
            assert_eq!((error.code.as_str(), error.kind), (code, kind), "{what}");
            assert!(!what.contains("hush"), "{what}");
        }
    }
}

#[tokio::test]
async fn what_could_not_be_sent_is_transient_for_every_verb() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let plain = Server::start(|_| reply(200, "")).await;
    let rig = rig();
    let connection = connection(connector(AuthDef::None, None));
    for verb in ["GET", "POST"] {
        // Nobody listens; somebody listens who speaks no TLS.
        for url in [format!("http://{at}/"), format!("https://{}/", plain.at)] {
            let error = rig
                .ask(&connection, &request(verb, &url), how())
                .await
                .unwrap_err();
            assert_eq!(error.code.as_str(), "request.network");
            assert_eq!(error.kind, ErrorKind::Transient, "{verb} {url}");
        }
    }
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_stopped_also_when_it_was_packed() {
    let plain = vec![b'a'; 200_000];
    let packed = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 50_000_000]).unwrap();
        encoder.finish().unwrap()
    };
    assert!(packed.len() < 60_000);
    let server = Server::start(move |seen| match seen.path.as_str() {
        "/bomb" => reply(200, packed.clone()).header("content-encoding", "gzip"),
        "/plain" => reply(200, plain.clone()),
        "/error" => reply(500, plain.clone()),
        _ => reply(200, vec![b'a'; 100_000]),
    })
    .await;
    let rig = rig_with(ConnectOptions {
        egress: EgressRules {
            allow: vec!["127.0.0.1".to_owned()],
            ..EgressRules::default()
        },
        response_limit: 100_000,
        ..ConnectOptions::default()
    });
    let connection = connection(connector(AuthDef::None, None));
    for (path, expect) in [
        ("/fits", Ok(100_000)),
        ("/plain", Err("request.too_large")),
        ("/bomb", Err("request.too_large")),
        ("/error", Err("request.status")),
    ] {
        let request = request("GET", &server.url(path));
        let got = rig.ask(&connection, &request, how()).await;
        let told = got.map(|response| response.body.len()).map_err(|error| {
            assert!(error.body.is_none_or(|body| body.len() <= 64 * 1024));
            error.code.to_string()
        });
        assert_eq!(told, expect.map_err(str::to_owned), "{path}");
    }
}

#[tokio::test]
async fn gzip_is_unpacked() {
    let server = Server::start(|seen| {
        use std::io::Write as _;
        assert!(
            seen.header("accept-encoding")
                .is_some_and(|kinds| kinds.contains("gzip"))
        );
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"{\"a\":1}").unwrap();
        reply(200, encoder.finish().unwrap()).header("content-encoding", "gzip")
    })
    .await;
    let connection = connection(connector(AuthDef::None, None));
    let request = request("GET", &server.url("/"));
    let rig = rig();
    let sent = rig.ask(&connection, &request, how()).await;
    assert_eq!(sent.unwrap().body, "{\"a\":1}");
}
