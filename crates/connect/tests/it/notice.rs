//! Telling somebody something: its key, its guard, and what of a URL an error may show.

use std::time::Duration;

use velodrome_connect::{ConnectOptions, ErrorKind};
use velodrome_types::Json;

use crate::support::*;

const PATIENCE: Duration = Duration::from_secs(30);

async fn notify(rig: &Rig, url: &str) -> Result<u16, velodrome_connect::RequestError> {
    let body = serde_json::json!({"Code": "request.status"});
    rig.connect
        .notify(url, body, "run/failed/3", PATIENCE)
        .await
}

#[tokio::test]
async fn it_is_posted_as_json_with_its_key() {
    let server = Server::start(|_| reply(204, "")).await;
    let told = notify(&rig(), &server.url("/secret/path?token=1")).await;
    assert_eq!(told.unwrap(), 204);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("idempotency-key"), Some("run/failed/3"));
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    let body: Json = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!(body["Code"], "request.status");
}

#[tokio::test]
async fn any_other_answer_is_an_error_that_names_the_origin_only() {
    for (status, kind) in [
        (500, ErrorKind::Transient),
        (429, ErrorKind::Transient),
        (404, ErrorKind::Permanent),
        (410, ErrorKind::Permanent),
        (307, ErrorKind::Permanent),
    ] {
        let server = Server::start(move |_| {
            reply(status, "no")
                .header("retry-after", "120")
                .header("location", "/elsewhere")
        })
        .await;
        let error = notify(&rig(), &server.url("/secret/path?token=1"))
            .await
            .unwrap_err();
        assert_eq!((error.status, error.kind), (Some(status), kind));
        assert_eq!(error.retry_after, Some(Duration::from_secs(120)));
        let origin = server.url("");
        assert!(error.message.contains(&origin), "{}", error.message);
        assert!(!error.message.contains("secret"), "{}", error.message);
        assert_eq!(server.seen().len(), 1, "a redirect is not followed");
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_said_without_the_path() {
    let gone = {
        let server = Server::start(|_| reply(200, "")).await;
        server.url("/secret/path")
    };
    let error = notify(&rig(), &gone).await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.status),
        ("request.network", None)
    );
    assert!(!error.message.contains("secret"), "{}", error.message);
    let server = Server::start(|_| reply(200, "")).await;
    let guarded = rig_with(ConnectOptions::default());
    let error = notify(&guarded, &server.url("/secret/path"))
        .await
        .unwrap_err();
    assert_eq!(error.code.as_str(), "request.refused_address");
    assert!(!error.message.contains("secret"), "{}", error.message);
    assert!(server.seen().is_empty());
}
