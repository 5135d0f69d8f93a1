//! A request for people: as it leaves, its credentials named and never shown.

use serde_json::json;
use velodrome_spec::connector::AuthDef;

use crate::support::*;

#[tokio::test]
async fn what_signs_in_is_named_and_hidden_wherever_it_stands() {
    let rig = rig();
    let key = || text("${settings.key}");
    let auth = AuthDef::ApiKey {
        headers: vec![("X-Key".to_owned(), key())],
        query: vec![("key".to_owned(), key())],
        body: vec![("api_key".to_owned(), key())],
    };
    let mut def = connector(auth, Some("https://api.test/v1"));
    let hush = setting(json!("hush"), true);
    def.settings.insert("key".to_owned(), hush);
    let connection = connection(def);
    let mut asked = request("POST", "https://api.test/v1/x?a=1");
    asked.body = Some(json!({"b": 2}));
    for (name, value) in [
        ("Authorization", "mine"),
        ("Cookie", "mine"),
        ("X-Other", "seen"),
    ] {
        asked.headers.insert(name.to_owned(), json!(value));
    }
    let mut how = how();
    how.idempotency_key = Some("run/step".to_owned());
    let shown = rig.connect.as_sent(&connection, &asked, &how).unwrap();
    assert_eq!(shown.url, "https://api.test/v1/x?a=1&key=•••");
    assert_eq!(shown.body, Some(json!({"b": 2, "api_key": "•••"})));
    let header = |name: &str| {
        let found = shown.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    for name in ["x-key", "authorization", "cookie"] {
        assert_eq!(header(name), Some("•••"), "{name}");
    }
    assert_eq!(header("x-other"), Some("seen"));
    assert_eq!(header("idempotency-key"), Some("run/step"));
    assert_eq!(header("content-type"), Some("application/json"));
    assert!(!format!("{shown:?}").contains("hush"));

    // Elsewhere nothing signs it in, and nothing says so.
    let elsewhere = request("GET", "https://other.test/");
    let shown = rig.connect.as_sent(&connection, &elsewhere, &how).unwrap();
    assert_eq!(
        (shown.url.as_str(), shown.headers.len(), shown.body),
        ("https://other.test/", 0, None)
    );
    // What cannot leave cannot be shown.
    let bad = request("GET", "ftp://api.test/");
    assert!(rig.connect.as_sent(&connection, &bad, &how).is_err());
}
