//! What a walk through a list that changes meanwhile can lose: cycles of the real binary walk the simulator.
//! The last table of `docs/incremental.md` is what this finds.
//!
//! 23 contacts in pages of 5 and six that changed before the watermark; one event, or two, between two pages of
//! a loop; then a second loop, from the watermark that the first one left. Lost is a contact, as it is at the
//! end, that neither loop brought.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use velodrome_connect::BUILT_IN;
use velodrome_tests::{Folder, Server, Sink, sign_in};
use velodrome_types::Timestamp;
use velodrome_zoho_sim::{Sim, SimOptions};

/// Rounds for each cell of the table.
const ROUNDS: usize = 4;
const LISTED: usize = 23;
const OUTSIDE: usize = 6;
const SIZE: usize = 5;
/// From one round to the next, and from a round's first loop to its second.
const STEP: Duration = Duration::from_secs(600);
const LATER: Duration = Duration::from_secs(60);

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

/// A cycle and its list: what the table calls it, the order, how it pages.
struct Walk {
    title: &'static str,
    name: &'static str,
    order: (&'static str, &'static str),
    way: Way,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    ByHand,
    Numbers,
    Tokens,
    /// By numbers, then once more where something was deleted meanwhile.
    Again,
}

const fn walk(
    title: &'static str,
    name: &'static str,
    order: (&'static str, &'static str),
    way: Way,
) -> Walk {
    Walk {
        title,
        name,
        order,
        way,
    }
}

const WALKS: [Walk; 7] = [
    walk(
        "by hand, as shipped: `id asc`, numbers, then tokens",
        "by_hand",
        ("id", "asc"),
        Way::ByHand,
    ),
    walk(
        "in one step, numbers, `id asc`",
        "numbers",
        ("id", "asc"),
        Way::Numbers,
    ),
    walk(
        "in one step, tokens, `id asc`",
        "tokens",
        ("id", "asc"),
        Way::Tokens,
    ),
    walk(
        "in one step, numbers, `id desc`",
        "id_desc",
        ("id", "desc"),
        Way::Numbers,
    ),
    walk(
        "in one step, numbers, `Modified_Time asc`",
        "modified_asc",
        ("Modified_Time", "asc"),
        Way::Numbers,
    ),
    walk(
        "in one step, numbers, `Modified_Time desc`",
        "modified_desc",
        ("Modified_Time", "desc"),
        Way::Numbers,
    ),
    walk(
        "`id asc`, and again where something was deleted",
        "again",
        ("id", "asc"),
        Way::Again,
    ),
];

/// The built-in definition with a list for each walk, five records a page.
fn connector() -> Result<String> {
    let (_, text) = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "zoho_crm")
        .context("it is built in")?;
    let (head, _) = text.split_once("\nmethods:\n").context("it has methods")?;
    let mut text = head.replace("connector: zoho_crm", "connector: zoho_walks") + "\nmethods:\n";
    for Walk {
        name, order, way, ..
    } in &WALKS
    {
        let (by, direction) = order;
        let (more, paging, advance) = match way {
            Way::ByHand => (
                "    inputs: {page: {type: integer, required: true, query: page}}\n",
                "{style: by_hand, handoff: {page: page, reach: 10, per_page: 5, token: info.next_page_token, send: page_token}}",
                ", advance: by_step",
            ),
            Way::Numbers | Way::Again => (
                "",
                "{style: page, send: {query: page}, more: info.more_records}",
                "",
            ),
            Way::Tokens => (
                "",
                "{style: cursor, next: info.next_page_token, send: {query: page_token}, more: info.more_records}",
                "",
            ),
        };
        let _ = write!(
            text,
            "  {name}:\n    kind: list\n    verb: GET\n    path: /Contacts\n{more}    \
             query: {{per_page: 5, sort_by: {by}, sort_order: {direction}, fields: \"id,Modified_Time\"}}\n    \
             response: {{records: data, fields: {{more_records: {{path: info.more_records, when_empty: false}}}}}}\n    \
             paging: {paging}\n    \
             incremental: {{by: Modified_Time, header: If-Modified-Since, format: iso8601_offset_seconds, key: [id, Modified_Time], overlap: 2 seconds{advance}}}\n"
        );
    }
    text.push_str(
        "  deleted:\n    kind: list\n    verb: GET\n    path: /Contacts/deleted\n    query: {type: all}\n    \
         response: {records: data}\n    paging: {style: page, send: {query: page}, more: info.more_records}\n    \
         incremental: {by: deleted_time, header: If-Modified-Since, format: iso8601_offset_seconds, key: [id, deleted_time], overlap: 2 seconds}\n  \
         remember: {kind: update_watermark}\n",
    );
    Ok(text)
}

/// A cycle that posts what its list brings.
fn cycle(walk: &Walk, sink: &str) -> String {
    let name = walk.name;
    let tell = |from: &str, then: &str| {
        format!(
            "    use: generic_webhook.post\n    url: {sink}/{name}\n    map: {{rows: \"${{{from}.records}}\"}}\n{then}"
        )
    };
    let webhook = "  webhook:\n    use: generic_webhook.webhook\n    fields: {page: {type: integer, default: 1}}\n";
    let steps = match walk.way {
        Way::ByHand => format!(
            "{webhook}    script: |\n      fn after_webhook() {{ loop_storage_set(\"page\", method_response.page); return true; }}\n    then: contacts\n  \
             contacts: {{use: zoho.{name}, map: {{page: \"${{webhook.page}}\"}}, then: tell, else: remember}}\n  \
             tell:\n{}  \
             more: {{use: decision, if: {{left: \"${{contacts.more_records}}\", is: equals, right: true}}, then: next, else: remember}}\n  \
             next:\n    use: generic_webhook.post\n    url: ${{webhook.url}}\n    map: {{page: ignore}}\n    script: |\n      \
             fn before_action() {{ method_request.page = loop_storage_get(\"page\") + 1; return true; }}\n  \
             remember: {{use: zoho.remember, of: contacts}}\n",
            tell("contacts", "    then: more\n")
        ),
        Way::Numbers | Way::Tokens => format!(
            "{webhook}    then: contacts\n  contacts: {{use: zoho.{name}, then: tell}}\n  tell:\n{}",
            tell("contacts", "")
        ),
        Way::Again => format!(
            "{webhook}    then: contacts\n  contacts: {{use: zoho.{name}, then: tell, else: deleted}}\n  tell:\n{}  \
             deleted: {{use: zoho.deleted, then: again}}\n  again: {{use: zoho.{name}, then: tell_again}}\n  tell_again:\n{}",
            tell("contacts", "    then: deleted\n"),
            tell("again", "")
        ),
    };
    format!("cycle: {name}\nconcurrency: 1\nsteps:\n{steps}")
}

/// A contact as it was at a moment: its id and `Modified_Time`.
type Row = (String, String);

struct Bench {
    sim: Sim,
    sink: Sink,
    server: Server,
    /// Looks at the contacts beside the walks.
    token: String,
    /// When the round began, by the simulator's clock.
    now: Timestamp,
}

/// What a round came to.
#[derive(Debug, PartialEq)]
struct Came {
    lost: bool,
    repeats: bool,
}

impl Bench {
    async fn start() -> Result<Self> {
        let options = SimOptions::default();
        let sim = velodrome_zoho_sim::start(SimOptions {
            records: 1,
            ..SimOptions::default()
        })
        .await?;
        let sink = Sink::start(|_, _| (200, json!({}), Duration::ZERO)).await?;
        let host = sim.url().trim_start_matches("http://");
        let settings = format!(
            "connectors: ./connectors\nconnections:\n  zoho:\n    connector: zoho_walks\n    settings:\n      accounts_url: {}\n      \
             hosts: {host}\n    auth:\n      client_id: {}\n      client_secret: {}\negress:\n  allow: [\"{host}\", \"{}\"]\n",
            sim.url(),
            options.client_id,
            options.client_secret,
            sink.host(),
        );
        let folder = Folder::new(&[], &settings)?;
        for walk in &WALKS {
            let name = format!("{}.yaml", walk.name);
            folder.write_cycle(&name, &cycle(walk, sink.url()))?;
        }
        std::fs::create_dir(folder.path().join("connectors"))?;
        std::fs::write(
            folder.path().join("connectors/zoho_walks.yaml"),
            connector()?,
        )?;
        let mut bench = Self {
            sim,
            sink,
            server: folder.serve().await?,
            token: String::new(),
            now: Timestamp::parse("2026-03-12T08:00:00Z")?,
        };
        bench
            .turn("tokens", json!({"expires_in": 30_000_000}))
            .await?;
        sign_in(&bench.server, "zoho").await?;
        let granted = bench
            .turn("tokens", json!({"grant": "ZohoCRM.modules.ALL"}))
            .await?;
        bench.token = granted["access_token"]
            .as_str()
            .context("a token")?
            .to_owned();
        Ok(bench)
    }

    async fn turn(&self, switch: &str, order: Value) -> Result<Value> {
        let url = format!("{}/_sim/{switch}", self.sim.url());
        let answer = self.server.client().post(&url, &order.to_string()).await?;
        ensure!(answer.status == 200, "{switch} {order}: {}", answer.text);
        Ok(answer.json())
    }

    /// The contacts that are there.
    async fn contacts(&self) -> Result<Vec<Row>> {
        let url = format!(
            "{}/crm/v8/Contacts?fields=id,Modified_Time&per_page=200",
            self.sim.url()
        );
        let signed = format!("Zoho-oauthtoken {}", self.token);
        let client = self.server.client();
        let answer = client
            .send("GET", &url, &[("authorization", &signed)], Vec::new())
            .await?;
        ensure!(matches!(answer.status, 200 | 204), "{}", answer.text);
        Ok(rows(&answer.json()["data"]))
    }

    /// Other contacts in place of those that are there, made at these moments; their ids.
    async fn fill(&self, made: &[Timestamp]) -> Result<Vec<String>> {
        let there = self.contacts().await?.len();
        if there > 0 {
            let long_ago = self.now.minus(STEP).minus(STEP);
            let all = json!({
                "op": "delete", "position": 0, "count": there, "permanent": true, "at": long_ago.to_string(),
            });
            self.turn("mutate", all).await?;
        }
        let add = |at: &Timestamp| json!({"op": "add", "at": at.to_string()});
        let added = self.turn("mutate", made.iter().map(add).collect()).await?;
        let ids = added["ids"].as_array().context("ids")?;
        Ok(ids
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    /// One loop of this walk: what it brought, and whether something came twice.
    async fn run(&self, walk: &Walk) -> Result<(BTreeSet<Row>, bool)> {
        let before = self.sink.came().len();
        let told = self.server.hook(walk.name, "{}").await?;
        let accepted = told.json();
        let id = accepted["loop"]
            .as_str()
            .with_context(|| told.text.clone())?;
        let over = self.server.loop_over(id).await?;
        ensure!(over["status"] == "succeeded", "{over}");
        let path = format!("/{}", walk.name);
        let came = self.sink.came();
        let ours = came[before..].iter().filter(|came| came.path == path);
        let brought = ours.flat_map(|came| rows(&came.body["rows"])).collect();
        let lines = self
            .server
            .log(&format!("loop={id}&event=response.received"))
            .await?;
        let repeats = lines
            .iter()
            .any(|line| line["data"]["repeats"].as_u64() > Some(0));
        Ok((brought, repeats))
    }

    /// A loop that finds nothing, so that there is a watermark.
    async fn begin(&mut self, walk: &Walk) -> Result<()> {
        self.now = self.now.plus(STEP);
        self.turn("clock", json!({"set": self.now.to_string()}))
            .await?;
        self.fill(&[]).await?;
        let (brought, _) = self.run(walk).await?;
        ensure!(brought.is_empty(), "{brought:?}");
        Ok(())
    }

    async fn round(&mut self, walk: &Walk, events: &[Event], seed: usize) -> Result<Came> {
        // The watermark lies before the last round's second loop.
        let edge = self.now.plus(LATER);
        self.now = self.now.plus(STEP);
        self.turn("clock", json!({"set": self.now.to_string()}))
            .await?;
        let outside = edge.minus(Duration::from_secs(120));
        let at = |place: usize| {
            // In another order than the ids, and each at a second of its own.
            let shuffled = (place * 9 + seed * 4) % LISTED;
            edge.plus(Duration::from_secs(10 + 10 * shuffled as u64))
        };
        let listed_at: Vec<Timestamp> = (0..LISTED).map(at).collect();
        // The others have lower ids in one round, higher ones in the next.
        let mut made = listed_at.clone();
        let first = if seed.is_multiple_of(2) { 0 } else { LISTED };
        made.splice(first..first, [outside; OUTSIDE]);
        let mut listed = self.fill(&made).await?;
        let others: Vec<String> = listed.drain(first..first + OUTSIDE).collect();
        let mut order: Vec<usize> = (0..LISTED).collect();
        if walk.order.0 == "Modified_Time" {
            order.sort_by_key(|place| listed_at[*place]);
        }
        if walk.order.1 == "desc" {
            order.reverse();
        }
        let begin = 1 + seed % (LISTED / SIZE + 1 - events.len());
        for (at, event) in events.iter().enumerate() {
            let page = begin + at;
            let (read, unread) = order.split_at(page * SIZE);
            // What is unread at a later page may have moved up by one for each event before it.
            let unread = &unread[at.min(unread.len() - 1)..];
            let pick = |from: &[usize]| listed[from[(seed * 7 + 3) % from.len()]].clone();
            let when = self
                .now
                .plus(Duration::from_secs(1 + at as u64))
                .to_string();
            let change = match event {
                Event::New => json!({"op": "add", "at": when}),
                Event::EditOutside => {
                    json!({"op": "edit", "id": others[seed % OUTSIDE], "at": when})
                }
                Event::EditRead => json!({"op": "edit", "id": pick(read), "at": when}),
                Event::EditUnread => json!({"op": "edit", "id": pick(unread), "at": when}),
                Event::DeleteRead => json!({"op": "delete", "id": pick(read), "at": when}),
                Event::DeleteUnread => json!({"op": "delete", "id": pick(unread), "at": when}),
            };
            let mut change = change;
            change["between_pages"] = json!(page);
            self.turn("mutate", change).await?;
        }
        let (mut brought, repeats) = self.run(walk).await?;
        let advance = format!("{}s", LATER.as_secs());
        self.turn("clock", json!({ "advance": advance })).await?;
        brought.extend(self.run(walk).await?.0);
        let there = self.contacts().await?;
        let count = match events {
            [Event::New] => LISTED + OUTSIDE + 1,
            [Event::DeleteRead | Event::DeleteUnread] => LISTED + OUTSIDE - 1,
            _ => LISTED + OUTSIDE,
        };
        ensure!(
            there.len() == count,
            "{events:?} happened: {} contacts",
            there.len()
        );
        let mut lost = false;
        for row in &there {
            let changed = Timestamp::parse(&row.1)?;
            lost |= changed > outside && !brought.contains(row);
        }
        Ok(Came { lost, repeats })
    }
}

fn rows(of: &Value) -> Vec<Row> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = of.as_array().into_iter().flatten();
    rows.map(|row| (text(row, "id"), text(row, "Modified_Time")))
        .collect()
}

fn cell(rounds: &[Came]) -> String {
    let lost = rounds.iter().filter(|came| came.lost).count();
    let repeats = rounds.iter().filter(|came| came.repeats).count();
    match (lost, repeats) {
        (0, 0) => "ok".to_owned(),
        (0, _) => format!("ok, repeat {repeats} of {ROUNDS}"),
        _ => format!("**lost {lost} of {ROUNDS}**"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_what_our_walks_lose_is_what_the_page_says() -> Result<()> {
    let mut bench = Bench::start().await?;
    let mut table = "| walk |".to_owned();
    for (event, _) in EVENTS {
        let _ = write!(table, " {event} |");
    }
    let _ = write!(table, "\n|---|{}\n", "---|".repeat(EVENTS.len()));
    for walk in &WALKS {
        bench.begin(walk).await?;
        let _ = write!(table, "| {} |", walk.title);
        for (event, events) in EVENTS {
            let mut rounds = Vec::new();
            for seed in 0..ROUNDS {
                let came = bench.round(walk, events, seed).await;
                rounds.push(came.with_context(|| format!("{}, {event}, {seed}", walk.title))?);
            }
            let lost = rounds.iter().any(|came| came.lost);
            // Numbers and tokens that stand for a place have one hole in `id` order, and no other.
            let hole = events == [Event::DeleteRead] && walk.way != Way::Again;
            if walk.order.0 == "id" {
                assert_eq!(lost, hole, "{}: {event}", walk.title);
            }
            let _ = write!(table, " {} |", cell(&rounds));
        }
        table.push('\n');
    }
    println!("{table}");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/incremental.md");
    let page = std::fs::read_to_string(page)?;
    ensure!(
        page.contains(table.trim()),
        "docs/incremental.md has another table than this:\n{table}"
    );
    Ok(())
}
