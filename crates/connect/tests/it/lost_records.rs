//! What a walk through a list can lose when the list changes meanwhile, measured: the table of
//! `docs/incremental.md`, which this makes and checks.
//!
//! The model: 23 rows in pages of 5, filtered and ordered anew at each request; one event between two
//! random pages; then a second walk from the watermark that the first one left. Lost is a row, as it is at
//! the end, that neither walk delivered. Nothing is asked of the API but that.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use velodrome_connect::{
    Carrying, Connect, ConnectOptions, Connection, Incoming, MethodCall, Outgoing, PageCursor,
    PageSeen, TokenStore, Transport, Verdict, Want, next_page, scan,
};
use velodrome_spec::check_connector;
use velodrome_types::{ConnectionId, Timestamp};

use crate::support::Tokens;

const SEEDS: u64 = 100;
const ROWS: u64 = 23;
const SIZE: usize = 5;
/// Rows whose last change is before the filter date.
const OUTSIDE: u64 = 6;
const FILTER: i64 = 500;
const START: i64 = 1_000;

/// xorshift64*: the same rows and events for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn of(&mut self, from: &BTreeSet<u64>) -> Option<u64> {
        let at = self.below(from.len().max(1) as u64);
        from.iter().nth(at as usize).copied()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    EditUnread,
    EditRead,
    EditOutside,
    New,
    DeleteRead,
    DeleteUnread,
}

const EVENTS: [(&str, &[Event]); 7] = [
    ("edit of a row not yet read", &[Event::EditUnread]),
    ("edit of a row already read", &[Event::EditRead]),
    ("edit of a row outside the list", &[Event::EditOutside]),
    ("new row", &[Event::New]),
    ("delete of a row already read", &[Event::DeleteRead]),
    ("delete of an unread row", &[Event::DeleteUnread]),
    (
        "two edits: a read row, then an unread one",
        &[Event::EditRead, Event::EditUnread],
    ),
];

/// What the second walk may begin at; ours is the first.
const WATERMARKS: [&str; 3] = [
    "the first answer's `Date`: ours",
    "the time when the walk ended",
    "the greatest `modified` seen",
];

/// The API: rows by id with the time of their last change.
#[derive(Debug, Default)]
struct Api {
    rows: BTreeMap<u64, i64>,
    clock: i64,
}

impl Api {
    fn listing(&self, since: i64, sort: &str, after: Option<u64>) -> Vec<(u64, i64)> {
        let mut rows: Vec<(u64, i64)> = self
            .rows
            .iter()
            .map(|(id, at)| (*id, *at))
            .filter(|(id, at)| *at >= since && after.is_none_or(|after| *id > after))
            .collect();
        match sort {
            "modified asc" => rows.sort_by_key(|(id, at)| (*at, *id)),
            "modified desc" => rows.sort_by_key(|(id, at)| std::cmp::Reverse((*at, *id))),
            "id desc" => rows.reverse(),
            _ => {}
        }
        rows
    }

    fn answer(&mut self, query: &BTreeMap<String, String>) -> Incoming {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<i64>().ok());
        let after = number("after").map(|id| id as u64);
        let listing = self.listing(number("since").unwrap_or(0), &query["sort"], after);
        let begin = number("page").map_or(0, |page| (page as usize - 1) * SIZE);
        let rows = listing.iter().skip(begin).take(SIZE);
        let data: Vec<Value> = rows
            .map(|(id, at)| json!({"id": id, "modified": at}))
            .collect();
        let more = begin + SIZE < listing.len();
        let date = Timestamp::from_millis(self.clock * 1_000);
        self.clock += 1;
        Incoming {
            status: 200,
            headers: vec![("date".to_owned(), date.to_http_date())],
            body: Bytes::from(json!({"data": data, "more": more}).to_string()),
        }
    }
}

#[derive(Debug, Default)]
struct Wire(Mutex<Api>);

impl Transport for Wire {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        let query = request.url.query_pairs();
        let query = query.map(|(name, value)| (name.into_owned(), value.into_owned()));
        let answer = self.0.lock().unwrap().answer(&query.collect());
        Box::pin(async move { Ok(answer) })
    }
}

const CONNECTOR: &str = "
connector: rows
base_url: http://rows.test
methods:
  pages:
    kind: list
    verb: GET
    path: /rows
    inputs: {sort: {query: sort}}
    response: {records: data}
    paging: {style: page, send: {query: page}, more: more}
    incremental: {by: modified, query: since, format: unix_seconds, key: [id, modified]}
  keyset:
    kind: list
    verb: GET
    path: /rows
    query: {after: \"${last.id}\"}
    inputs: {sort: {query: sort}}
    response: {records: data}
    paging: {style: keyset, last: id}
    incremental: {by: modified, query: since, format: unix_seconds, key: [id, modified]}
";

struct Bench {
    wire: Arc<Wire>,
    connect: Connect,
    connection: Connection,
}

/// What a walk delivered, and when it began.
#[derive(Default)]
struct Walk {
    rows: BTreeSet<(u64, i64)>,
    began: Option<Timestamp>,
    repeats: u64,
}

impl Bench {
    fn new() -> Self {
        let wire = Arc::new(Wire::default());
        let tokens: Arc<dyn TokenStore> = Arc::new(Tokens::default());
        let clock = Arc::new(|| Timestamp::from_millis(0));
        let connect = Connect::new(ConnectOptions::default(), clock, tokens).unwrap();
        let (def, faults) = check_connector("rows", CONNECTOR);
        let def = def.unwrap_or_else(|| panic!("{faults:#?}"));
        Self {
            connect: connect.carried_by(Arc::clone(&wire) as Arc<dyn Transport>),
            wire,
            connection: Connection::with_defaults(ConnectionId::from("rows"), Arc::new(def)),
        }
    }

    /// Walks the list once; `between` is called behind each page with what has been read so far.
    async fn walk(
        &self,
        (method, sort): (&str, &str),
        since: Timestamp,
        mut between: impl FnMut(u64, &BTreeSet<u64>),
    ) -> Walk {
        let method = &self.connection.def.methods[method];
        let pager = method.paging.pager().unwrap();
        let (mut walk, mut cursor) = (Walk::default(), PageCursor::default());
        let mut known = HashSet::new();
        loop {
            let call = MethodCall {
                inputs: json!({ "sort": sort }).as_object().unwrap().clone(),
                filter: Some(since),
                page: Some(cursor.at.clone()),
                ..MethodCall::default()
            };
            let request = self
                .connect
                .build(&self.connection, None, method, call)
                .unwrap();
            let sent = self
                .connect
                .send(&self.connection, method, &request, crate::support::how());
            let response = sent.await.unwrap();
            walk.began = walk.began.or(response.date);
            let want = Want {
                records: true,
                keys: true,
                ..Want::default()
            };
            let scanned = scan(method, &response.body, &want.of_page(pager)).unwrap();
            for (record, key) in scanned.records.iter().flatten().zip(&scanned.keys) {
                if !known.insert(*key) {
                    walk.repeats += 1;
                    continue;
                }
                let row = (record["id"].as_u64(), record["modified"].as_i64());
                walk.rows.insert((row.0.unwrap(), row.1.unwrap()));
            }
            let read = walk.rows.iter().map(|(id, _)| *id).collect();
            between(cursor.page, &read);
            let seen = PageSeen {
                scanned: &scanned,
                headers: &response.headers,
                url: &request.url,
                nothing: response.verdict == Verdict::Empty,
            };
            let (def, settings) = (&self.connection.def, &self.connection.settings);
            match next_page(def, settings, pager, &cursor, seen).unwrap() {
                Some(next) => cursor = next,
                None => return walk,
            }
        }
    }

    /// How many rows were lost by each watermark, and how many came twice in the first walk.
    async fn lost(&self, how: (&str, &str), events: &[Event], seed: u64) -> ([usize; 3], u64) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut ids: Vec<u64> = (1..=ROWS + OUTSIDE).collect();
        for at in (1..ids.len()).rev() {
            ids.swap(at, random.below(at as u64 + 1) as usize);
        }
        let rows = ids.iter().enumerate().map(|(at, id)| {
            let listed = (at as u64) < ROWS;
            let change = match listed {
                true => FILTER + random.below(499) as i64,
                false => 1 + random.below(498) as i64,
            };
            (*id, change)
        });
        *self.wire.0.lock().unwrap() = Api {
            rows: rows.collect(),
            clock: START,
        };
        let pages = ROWS.div_ceil(SIZE as u64);
        let first = 1 + random.below(pages - events.len() as u64);
        let since = Timestamp::from_millis(FILTER * 1_000);
        let walk = self
            .walk(how, since, |page, read| {
                let at = page.checked_sub(first).map(|at| at as usize);
                if let Some(event) = at.and_then(|at| events.get(at)) {
                    self.happens(*event, read, &mut random);
                }
            })
            .await;
        let ended = self.wire.0.lock().unwrap().clock;
        let highest = walk.rows.iter().map(|(_, at)| *at).max().unwrap();
        let began = walk.began.unwrap();
        let marks = [
            began,
            Timestamp::from_millis(ended * 1_000),
            Timestamp::from_millis(highest * 1_000),
        ];
        let mut lost = [0; 3];
        for (mark, lost) in marks.into_iter().zip(&mut lost) {
            let second = self.walk(how, mark, |_, _| {}).await;
            let api = self.wire.0.lock().unwrap();
            let rows = api.rows.iter().map(|(id, at)| (*id, *at));
            *lost = rows
                .filter(|(_, at)| *at >= FILTER)
                .filter(|row| !walk.rows.contains(row) && !second.rows.contains(row))
                .count();
        }
        (lost, walk.repeats)
    }

    fn happens(&self, event: Event, read: &BTreeSet<u64>, random: &mut Random) {
        let mut api = self.wire.0.lock().unwrap();
        api.clock += 1;
        let now = api.clock;
        let listed: BTreeSet<u64> = api
            .listing(FILTER, "id asc", None)
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let all: BTreeSet<u64> = api.rows.keys().copied().collect();
        let from: BTreeSet<u64> = match event {
            Event::New => {
                let id = all.last().unwrap() + 1;
                api.rows.insert(id, now);
                return;
            }
            Event::EditUnread | Event::DeleteUnread => listed.difference(read).copied().collect(),
            Event::EditRead | Event::DeleteRead => listed.intersection(read).copied().collect(),
            Event::EditOutside => all.difference(&listed).copied().collect(),
        };
        let Some(row) = random.of(&from) else { return };
        match event {
            Event::DeleteRead | Event::DeleteUnread => api.rows.remove(&row),
            _ => api.rows.insert(row, now),
        };
    }

    /// In how many of a hundred walks something was lost, and in how many something came twice.
    async fn percent(&self, how: (&str, &str), events: &[Event]) -> [(u64, u64); 3] {
        let (mut lost, mut twice) = ([0; 3], 0);
        for seed in 1..=SEEDS {
            let (rows, repeats) = self.lost(how, events, seed).await;
            for (lost, rows) in lost.iter_mut().zip(rows) {
                *lost += u64::from(rows > 0);
            }
            twice += u64::from(repeats > 0);
        }
        lost.map(|lost| (lost * 100 / SEEDS, twice * 100 / SEEDS))
    }
}

const WALKS: [(&str, &str, &str); 5] = [
    ("page numbers, `modified asc`", "pages", "modified asc"),
    ("page numbers, `modified desc`", "pages", "modified desc"),
    ("page numbers, `id asc`", "pages", "id asc"),
    ("page numbers, `id desc`", "pages", "id desc"),
    ("keyset, `id > last`", "keyset", "id asc"),
];

fn cell((lost, twice): (u64, u64)) -> String {
    match (lost, twice) {
        (0, 0) => "ok".to_owned(),
        (0, twice) => format!("ok, repeat {twice} %"),
        (lost, _) => format!("**lost {lost} %**"),
    }
}

#[tokio::test]
async fn the_table_of_lost_records_is_what_the_page_says() {
    let bench = Bench::new();
    let mut found = BTreeMap::new();
    for (name, method, sort) in WALKS {
        for (event, events) in EVENTS {
            let percent = bench.percent((method, sort), events).await;
            found.insert((name, event), percent);
        }
    }
    let mut table = String::new();
    for (at, title) in WATERMARKS.iter().enumerate() {
        let _ = write!(table, "\nWatermark: {title}.\n\n| walk |");
        for (event, _) in EVENTS {
            let _ = write!(table, " {event} |");
        }
        let _ = write!(table, "\n|---|{}\n", "---|".repeat(EVENTS.len()));
        for (name, ..) in WALKS {
            let _ = write!(table, "| {name} |");
            for (event, _) in EVENTS {
                let _ = write!(table, " {} |", cell(found[&(name, event)][at]));
            }
            table.push('\n');
        }
    }
    println!("{table}");
    let ours = |name, event| found[&(name, event)][0].0;
    for (name, event) in found.keys() {
        let by_id = name.contains("`id") || name.contains("keyset");
        let deleted = event.starts_with("delete of a row already read");
        if by_id && (!deleted || name.contains("keyset")) {
            assert_eq!(ours(*name, *event), 0, "{name}: {event}");
        }
    }
    let delete = EVENTS[4].0;
    assert_eq!(
        ours(WALKS[2].0, delete),
        100,
        "the hole that page numbers have"
    );
    assert_eq!(ours(WALKS[4].0, delete), 0, "a keyset has none");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/incremental.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    assert!(
        page.contains(table.trim()),
        "docs/incremental.md has another table than this:\n{table}"
    );
}
