//! What Zoho's documents and recordings say it answers, given to the built-in definition: records, ids,
//! tokens, watermarks, and which errors pass.
//!
//! The answers are the files in `tests/zoho`. Each says how well it is known (A: Zoho's documents or SDKs, B:
//! recorded traffic, C: another client's code or tests, D: our own reasoning); values are made up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use velodrome_connect::{
    BUILT_IN, Connection, ErrorKind, MethodCall, PageAt, PageCursor, PageSeen, RequestError,
    Response, Scanned, Verdict, Want, next_page, page_asks_token, scan,
};
use velodrome_spec::check_connector;
use velodrome_spec::connector::{MethodDef, PagingDef};
use velodrome_types::{ConnectionId, Json, JsonMap, Timestamp};

use crate::support::*;

const BY_PAGE: &str = "list_new_updated_contacts_by_page";
const TOKEN: &str = "/oauth/v2/token";
const HOUR: Duration = Duration::from_secs(3_600);

/// A file of `tests/zoho`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    what: String,
    grade: String,
    #[serde(default)]
    method: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Json>,
    text: Option<String>,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// The verdict is that there is nothing.
    #[serde(default)]
    empty: bool,
    /// The verdict is that the paging token is void.
    #[serde(default)]
    restart: bool,
    ids: Option<Vec<Json>>,
    more_records: Option<bool>,
    token: Option<String>,
    /// What `If-Modified-Since` the next loop sends.
    watermark: Option<String>,
    error: Option<String>,
    kind: Option<String>,
    /// How long to wait where the answer does not say it.
    first_gap: Option<u64>,
    /// How long the answer, or the definition for the token endpoint, says to wait.
    retry_after: Option<u64>,
    wait: Option<u64>,
    /// How often the API was asked.
    asked: Option<usize>,
    life: Option<u64>,
    api_domain: Option<String>,
    refresh_token: Option<String>,
    scope: Option<String>,
}

impl Recorded {
    fn reply(&self) -> Reply {
        let body = match (&self.body, &self.text) {
            (Some(body), None) => body.to_string(),
            (None, text) => text.clone().unwrap_or_default(),
            _ => panic!("either `body` or `text`: {self:?}"),
        };
        let mut reply = reply(self.status, body);
        // Names that live as long as the test.
        for (name, value) in &self.headers {
            let name: &'static str = name.clone().leak();
            reply = reply.header(name, value.clone());
        }
        reply
    }

    fn refused(&self) -> (String, ErrorKind) {
        let kind = match self.expect.kind.as_deref() {
            Some("permanent") => ErrorKind::Permanent,
            Some("transient") => ErrorKind::Transient,
            other => panic!("{other:?}: {self:?}"),
        };
        (self.expect.error.clone().unwrap_or_default(), kind)
    }
}

/// Every file of this folder.
fn recorded(folder: &str) -> Vec<(String, Recorded)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/zoho")
        .join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let one: Recorded = serde_json::from_str(&std::fs::read_to_string(path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            matches!(one.grade.as_str(), "A" | "B" | "C" | "D"),
            "{name}"
        );
        (name, one)
    };
    paths.iter().map(read).collect()
}

/// The built-in definition at this server.
fn crm(server: &Server) -> Connection {
    let (_, text) = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "zoho_crm")
        .unwrap();
    let (def, faults) = check_connector("zoho_crm", text);
    let def = def.unwrap_or_else(|| panic!("{faults:#?}"));
    let mut made = Connection::with_defaults(ConnectionId::from("api"), Arc::new(def));
    made.client_id = Some("1000.CLIENT".to_owned());
    made.client_secret = Some(SecretString::from("hush-client"));
    let settings = [
        ("accounts_url", server.url("")),
        ("hosts", server.at.to_string()),
    ];
    for (name, value) in settings {
        made.settings.insert(name.to_owned(), json!(value));
    }
    made
}

struct Asked {
    rig: Rig,
    connection: Connection,
}

impl Asked {
    fn new(server: &Server) -> Self {
        let rig = rig();
        signed_in(&rig, server, HOUR);
        Self {
            rig,
            connection: crm(server),
        }
    }

    fn method(&self, name: &str) -> &MethodDef {
        &self.connection.def.methods[name]
    }

    async fn ask(
        &self,
        method: &str,
        call: MethodCall,
    ) -> Result<(Response, String), RequestError> {
        let tokens = self.rig.tokens.kept.lock().unwrap()["api"].clone();
        let (connect, method) = (&self.rig.connect, self.method(method));
        let request = connect.build(&self.connection, Some(&tokens), method, call)?;
        let response = connect
            .send(&self.connection, method, &request, how())
            .await?;
        Ok((response, request.url))
    }

    fn read(&self, method: &str, response: &Response) -> Scanned {
        let method = self.method(method);
        let fields = method.response.fields.keys().cloned().collect();
        let want = Want {
            fields,
            records: true,
            keys: true,
            token_path: Some("info.next_page_token".to_owned()),
            ..Want::default()
        };
        scan(method, &response.body, &want).unwrap()
    }
}

fn first(method: &str) -> MethodCall {
    match method {
        BY_PAGE => MethodCall {
            inputs: JsonMap::from_iter([("page".to_owned(), json!(1))]),
            ..MethodCall::default()
        },
        _ => MethodCall {
            page: Some(PageAt::First),
            ..MethodCall::default()
        },
    }
}

/// What the next loop would send after an answer of this date.
fn next_filter(asked: &Asked, method: &str, date: Timestamp) -> Json {
    let overlap = asked.method(method).incremental.as_ref().unwrap().overlap;
    let tokens = asked.rig.tokens.kept.lock().unwrap()["api"].clone();
    let call = MethodCall {
        filter: Some(date.minus(overlap)),
        ..first(method)
    };
    let (connect, method) = (&asked.rig.connect, asked.method(method));
    let request = connect.build(&asked.connection, Some(&tokens), method, call);
    request.unwrap().headers["If-Modified-Since"].clone()
}

#[tokio::test]
async fn recorded_answers_mean_what_zoho_says_they_do() {
    let all = recorded("answers");
    assert!(all.len() > 35, "the files are there");
    for (name, one) in all {
        let name = format!("{name}: {}", one.what);
        let told = one.reply();
        let server = Server::start(move |seen| match seen.path.as_str() {
            TOKEN => reply_json(200, json!({"access_token": "access-1", "expires_in": 3600})),
            _ => told.clone(),
        })
        .await;
        let asked = Asked::new(&server);
        let got = asked.ask(&one.method, first(&one.method)).await;
        if let Some(times) = one.expect.asked {
            assert_eq!(server.seen().len() - server.count(TOKEN), times, "{name}");
        }
        let expect = &one.expect;
        let response = match got {
            Ok((response, _)) => response,
            Err(error) => {
                assert_eq!(
                    (error.code.to_string(), error.kind),
                    one.refused(),
                    "{name}"
                );
                assert_eq!(error.status, Some(one.status), "{name}");
                let gap = error.gaps.as_ref().map(|gaps| gaps[0].as_secs());
                assert_eq!(gap, expect.first_gap, "{name}");
                let wait = error.retry_after.map(|wait| wait.as_secs());
                assert_eq!(wait, expect.retry_after, "{name}");
                // What Zoho said can be read from `${step.error}`.
                let body = error.body.unwrap();
                assert_eq!(body, one.reply().body, "{name}");
                continue;
            }
        };
        assert_eq!(expect.error, None, "{name}");
        let verdict = match (expect.empty, expect.restart) {
            (true, _) => Verdict::Empty,
            (_, true) => Verdict::RestartPaging,
            _ => Verdict::Ok,
        };
        assert_eq!(response.verdict, verdict, "{name}");
        if expect.restart {
            continue;
        }
        let read = asked.read(&one.method, &response);
        let ids: Vec<Json> = read
            .records
            .iter()
            .flatten()
            .map(|one| one["id"].clone())
            .collect();
        assert_eq!(Some(&ids), expect.ids.as_ref(), "{name}");
        assert_eq!(read.keys.len(), ids.len(), "{name}");
        assert_eq!(read.token, expect.token, "{name}");
        let more = read.fields.get("more_records").and_then(Json::as_bool);
        assert_eq!(more, expect.more_records, "{name}");
        if let Some(watermark) = &expect.watermark {
            let filter = next_filter(&asked, &one.method, response.date.unwrap());
            assert_eq!(filter, json!(watermark), "{name}");
        }
    }
}

#[tokio::test]
async fn recorded_token_answers_mean_what_zoho_says_they_do() {
    let all = recorded("tokens");
    assert!(all.len() > 15, "the files are there");
    for (name, one) in all {
        let name = format!("{name}: {}", one.what);
        let told = one.reply();
        let server = Server::start(move |_| told.clone()).await;
        let rig = rig();
        let before = signed_in(&rig, &server, Duration::ZERO);
        let connection = crm(&server);
        let asked = rig.clock.now();
        let got = rig.connect.current_tokens(&connection).await;
        let kept = rig.tokens.kept.lock().unwrap()["api"].clone();
        let expect = &one.expect;
        match got {
            Ok(tokens) => {
                assert_eq!(expect.error, None, "{name}");
                let life = Duration::from_secs(expect.life.unwrap());
                assert_eq!(kept.expires_at, asked.plus(life), "{name}");
                assert_eq!(tokens, Some(kept.clone()), "{name}");
                // What an answer leaves out stays as it was.
                let domain = expect.api_domain.as_ref();
                assert_eq!(
                    &kept.kept["api_domain"],
                    domain.unwrap_or(&server.url("")),
                    "{name}"
                );
                let refresh = expect.refresh_token.clone().or(before.refresh_token);
                assert_eq!(kept.refresh_token, refresh, "{name}");
                assert_eq!(kept.scope, expect.scope, "{name}");
            }
            Err(error) => {
                assert_eq!(
                    (error.code.to_string(), error.kind),
                    one.refused(),
                    "{name}"
                );
                let wait = error.retry_after.map(|wait| wait.as_secs());
                assert_eq!(wait, expect.wait, "{name}");
                assert_eq!(kept.refresh_token, before.refresh_token, "{name}");
                assert_eq!(kept.access_token, before.access_token, "{name}");
            }
        }
        let asked = server.seen().remove(0);
        assert_eq!(
            (asked.path.as_str(), asked.query.as_str()),
            (TOKEN, ""),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_walk_in_one_step_follows_recorded_pages_from_numbers_to_tokens() {
    // The recorded first page, told again as pages 1 to 10 and then behind tokens.
    let files: BTreeMap<String, Recorded> = recorded("answers").into_iter().collect();
    let (page, last) = (
        files["v8_first_page_of_two"].body.clone().unwrap(),
        files["v6_last_page"].body.clone().unwrap(),
    );
    let turn = AtomicU64::new(0);
    let server = Server::start(move |_| {
        let at = turn.fetch_add(1, Ordering::SeqCst) + 1;
        let mut body = page.clone();
        // A page has 200 records; `info.page` does not count under tokens.
        body["data"] = (0..200)
            .map(|record| json!({"id": format!("59123450000{:08}", at * 1_000 + record)}))
            .collect();
        body["info"]["next_page_token"] = json!(format!("t{}", at + 1));
        reply_json(200, if at == 12 { last.clone() } else { body })
    })
    .await;
    let asked = Asked::new(&server);
    let name = "list_new_updated_contacts";
    let pager = asked.method(name).paging.pager().unwrap();
    let (mut cursor, mut records) = (PageCursor::default(), 0);
    loop {
        let call = MethodCall {
            page: Some(cursor.at.clone()),
            filter: Some(Timestamp::parse("2026-03-11T16:40:27+01:00").unwrap()),
            ..MethodCall::default()
        };
        let (response, url) = asked.ask(name, call).await.unwrap();
        let scanned = scan(
            asked.method(name),
            &response.body,
            &Want::default().of_page(pager),
        );
        let scanned = scanned.unwrap();
        records += scanned.count;
        let seen = PageSeen {
            scanned: &scanned,
            headers: &response.headers,
            url: &url,
            nothing: response.verdict == Verdict::Empty,
        };
        let (def, settings) = (&asked.connection.def, &asked.connection.settings);
        match next_page(def, settings, pager, &cursor, seen).unwrap() {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(records, 11 * 200 + 1);
    for (at, seen) in server.seen().iter().enumerate() {
        let query: BTreeMap<String, String> = serde_urlencoded::from_str(&seen.query).unwrap();
        let place = (query.get("page").cloned(), query.get("page_token").cloned());
        let number = at + 1;
        let expect = match number {
            1..=10 => (Some(number.to_string()), None),
            _ => (None, Some(format!("t{number}"))),
        };
        assert_eq!(place, expect, "request {number}");
        assert_eq!(query["sort_by"], "id");
        assert_eq!(
            seen.header("if-modified-since"),
            Some("2026-03-11T15:40:27+00:00"),
            "the same second, to the end of the walk"
        );
        assert_eq!(
            seen.header("authorization"),
            Some("Zoho-oauthtoken access-0")
        );
    }
}

#[tokio::test]
async fn page_eleven_goes_by_token_where_the_version_has_tokens() {
    let server = Server::start(|_| reply(204, "")).await;
    let mut asked = Asked::new(&server);
    for (version, expect) in [("v2", false), ("v2.1", false), ("v3", true), ("v8", true)] {
        let version = json!(version);
        asked
            .connection
            .settings
            .insert("api_version".to_owned(), version.clone());
        let PagingDef::ByHand {
            handoff: Some(handoff),
            ..
        } = &asked.method(BY_PAGE).paging
        else {
            panic!("another definition");
        };
        let inputs = JsonMap::from_iter([("page".to_owned(), json!(11))]);
        let got = page_asks_token(handoff, &asked.connection.settings, &inputs, 0);
        assert_eq!(got, expect, "{version}");
    }
}
