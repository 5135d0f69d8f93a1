//! Lists that the engine pages, against servers that page in every way there is.
//!
//! Each behaviour stands for one that another tool's tests have: dlt's `rest_client`, airbyte's declarative
//! paginators, Meltano's SDK, Nango's paginators.

mod ends;
mod filter;
mod links;
mod numbers;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use velodrome_connect::{
    Connection, ErrorKind, MethodCall, PageCursor, PageSeen, RequestError, Verdict, Want,
    next_page, scan,
};
use velodrome_spec::check_connector;
use velodrome_types::{ConnectionId, Json, JsonMap, Timestamp};

use crate::support::*;

/// A connection to this server whose one method pages as `method` says.
fn api(server: &Server, method: &str) -> Connection {
    let method = method.trim().replace('\n', "\n    ");
    let text = format!(
        "connector: api\nbase_url: {}\nmethods:\n  list:\n    kind: list\n    verb: GET\n    path: /list\n    response: {{records: data}}\n    {method}\n",
        server.url("")
    );
    let text = match method.contains("response:") {
        true => text.replace("    response: {records: data}\n", ""),
        false => text,
    };
    let text = match method.contains("verb:") {
        true => text.replace("    verb: GET\n", ""),
        false => text,
    };
    let (def, faults) = check_connector("api", &text);
    let def = def.unwrap_or_else(|| panic!("{faults:#?}\n{text}"));
    Connection::with_defaults(ConnectionId::from("api"), Arc::new(def))
}

/// Pages that may be asked before a test gives up.
const PATIENCE: usize = 200;

#[derive(Debug)]
struct Walked {
    ids: Vec<Json>,
    pages: usize,
}

async fn walk_with(connection: &Connection, call: MethodCall) -> Result<Walked, RequestError> {
    let rig = rig();
    let method = &connection.def.methods["list"];
    let pager = method.paging.pager().expect("it pages");
    let mut cursor = PageCursor::default();
    let mut walked = Walked {
        ids: Vec::new(),
        pages: 0,
    };
    loop {
        assert!(walked.pages < PATIENCE, "it never ends");
        let call = MethodCall {
            page: Some(cursor.at.clone()),
            ..call.clone()
        };
        let request = rig.connect.build(connection, None, method, call)?;
        let response = rig
            .connect
            .send(connection, method, &request, how())
            .await?;
        let want = Want {
            records: true,
            ..Want::default()
        };
        let scanned = scan(method, &response.body, &want.of_page(pager))?;
        walked.pages += 1;
        for record in scanned.records.iter().flatten() {
            walked
                .ids
                .push(record.get("id").cloned().unwrap_or(Json::Null));
        }
        let seen = PageSeen {
            scanned: &scanned,
            headers: &response.headers,
            url: &request.url,
            nothing: response.verdict == Verdict::Empty,
        };
        // What is stored between two pages is all that a walk needs.
        let stored = serde_json::to_value(&cursor).unwrap();
        cursor = serde_json::from_value(stored).unwrap();
        let next = next_page(&connection.def, &connection.settings, pager, &cursor, seen)?;
        match next {
            Some(next) => cursor = next,
            None => return Ok(walked),
        }
    }
}

async fn walk(connection: &Connection) -> Result<Walked, RequestError> {
    walk_with(connection, MethodCall::default()).await
}

fn query(seen: &Seen) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&seen.query).unwrap();
    pairs.into_iter().collect()
}

fn number(seen: &Seen, name: &str) -> Option<u64> {
    query(seen).get(name).and_then(|text| text.parse().ok())
}

/// Records of this range, as a body's `data`.
fn records(range: std::ops::Range<u64>) -> Json {
    range.map(|id| json!({ "id": id })).collect()
}

/// The page `number`, from `start`, of `total` records in pages of `size`.
fn page_of(number: u64, start: u64, size: u64, total: u64) -> Json {
    let first = (number - start) * size;
    records(first.min(total)..(first + size).min(total))
}

fn ids(range: std::ops::Range<u64>) -> Vec<Json> {
    range.map(Json::from).collect()
}

/// What each request sent under this name.
fn sent(server: &Server, name: &str) -> Vec<Option<String>> {
    let seen = server.seen();
    seen.iter()
        .map(|seen| query(seen).get(name).cloned())
        .collect()
}

fn texts(of: &[&str]) -> Vec<Option<String>> {
    of.iter()
        .map(|text| (!text.is_empty()).then(|| (*text).to_owned()))
        .collect()
}

async fn refused(connection: &Connection) -> (String, ErrorKind) {
    let error = walk(connection).await.expect_err("it is refused");
    (error.code.to_string(), error.kind)
}
