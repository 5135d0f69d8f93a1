//! The browser of script storage: which storages hold something, and the keys of one.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use velodrome_runtime::Engine;
use velodrome_runtime::api::Problem;
use velodrome_store::{Namespace, StoredValue};
use velodrome_types::{ConnectionId, CycleId, Json, Role};

use super::actions::back_to;
use super::form::Fields;
use super::layout::{Page, Part, Wrong, csrf};
use super::shown::{loop_link, pretty, query, segment, tail};
use crate::access::{Caller, Guarded};
use crate::api::{Parameters, bad_parameter};
use crate::app::App;
use crate::blocking::{blocking, unreadable};

/// How many storages, or keys, a page has.
const SHOWN: usize = 100;
/// Characters of a value that the list shows unfolded.
const SHORT: usize = 120;

/// What names a storage in a query or a form: a connection, and of it a cycle's or a loop's own.
const OF: [&str; 3] = ["connection", "cycle", "loop"];

pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/storage", storages)
        .get(Role::Read, "/storage/keys", keys)
        .post(Role::Operate, "/storage/set", set)
        .post(Role::Operate, "/storage/delete", delete)
}

/// The storage that these texts name.
fn named(engine: &Engine, [connection, cycle, looped]: [&str; 3]) -> Result<Namespace, Problem> {
    let id = ConnectionId::from(connection);
    match (connection, cycle, looped) {
        ("", _, _) => Err(bad_parameter("connection", "say whose storage")),
        (_, "", "") => Ok(Namespace::Connection(id)),
        (_, cycle, "") => Ok(Namespace::Cycle(id, CycleId::from(cycle))),
        (_, "", looped) => Ok(Namespace::Loop(id, engine.find_loop(looped)?)),
        _ => Err(bad_parameter("loop", "give either `cycle` or `loop`")),
    }
}

/// The texts that name a storage.
fn names(namespace: &Namespace) -> [String; 3] {
    let none = String::new;
    match namespace {
        Namespace::Connection(connection) => [connection.to_string(), none(), none()],
        Namespace::Cycle(connection, cycle) => [connection.to_string(), cycle.to_string(), none()],
        Namespace::Loop(connection, id) => [connection.to_string(), none(), id.to_string()],
    }
}

/// The query that names a storage, with what else stands in it.
fn query_of(names: &[String; 3], more: &[(&str, &str)]) -> String {
    let of = OF
        .iter()
        .zip(names)
        .map(|(name, value)| (*name, value.as_str()));
    let pairs: Vec<(&str, &str)> = of.chain(more.iter().copied()).collect();
    query(&pairs)
}

fn keys_of(names: &[String; 3]) -> String {
    format!("/storage/keys?{}", query_of(names, &[]))
}

fn texts(parameters: &Parameters) -> Result<[String; 3], Problem> {
    let text = |name| Ok::<_, Problem>(parameters.text(name)?.unwrap_or("").to_owned());
    Ok([text(OF[0])?, text(OF[1])?, text(OF[2])?])
}

async fn storages(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(asked): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(asked.as_deref(), &OF)?;
    let after = texts(&parameters)?;
    let mut found = blocking(&app, move |engine| {
        let after = match after[0].as_str() {
            "" => None,
            _ => Some(named(engine, after.each_ref().map(String::as_str))?),
        };
        let found = engine.store().namespaces_after(after.as_ref(), SHOWN + 1);
        found.map_err(unreadable)
    })
    .await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let body = html! {
        div.head { h1 { "Storage" } }
        section.card.flush aria-label="Storages that hold something" {
            @if found.is_empty() {
                p.empty { "No script has kept anything yet." }
            } @else {
                div.scroll {
                    table {
                        thead { tr { th scope="col" { "Connection" } th scope="col" { "Shared by" } th scope="col" { span.visually-hidden { "What it holds" } } } }
                        tbody { @for namespace in &found { (storage_row(namespace)) } }
                    }
                }
            }
            @if let Some(last) = found.last().filter(|_| more) {
                div.pager { a.button href={ "/storage?" (query_of(&names(last), &[])) } { "More storages" } }
            }
        }
    };
    Ok(Page::new("Storage", Part::Storage, body).show(&caller))
}

fn storage_row(namespace: &Namespace) -> Markup {
    let names = names(namespace);
    html! {
        tr {
            th scope="row" { (names[0]) }
            td {
                @match namespace {
                    Namespace::Connection(_) => "all cycles on it",
                    Namespace::Cycle(_, cycle) => { "the cycle " a href={ "/cycles/" (segment(cycle.as_str())) } { (cycle) } }
                    Namespace::Loop(_, id) => { "the " (loop_link(*id)) }
                }
            }
            td { a href=(keys_of(&names)) { "Keys" span.visually-hidden { " of " (names.join(" ")) } } }
        }
    }
}

async fn keys(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(asked): RawQuery,
) -> Result<Response, Wrong> {
    let parameters = Parameters::read(asked.as_deref(), &["connection", "cycle", "loop", "after"])?;
    let of = texts(&parameters)?;
    let after = parameters.text("after")?.map(str::to_owned);
    let later = after.is_some();
    let names = of.clone();
    let mut found = blocking(&app, move |engine| {
        let namespace = named(engine, of.each_ref().map(String::as_str))?;
        let found = engine.store().list(&namespace, after.as_deref(), SHOWN + 1);
        found.map_err(unreadable)
    })
    .await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let [connection, cycle, looped] = &names;
    let title = match (cycle.as_str(), looped.as_str()) {
        ("", "") => connection.clone(),
        (cycle, "") => format!("{connection} of {cycle}"),
        (_, looped) => format!("{connection} of loop …{}", tail(looped)),
    };
    let body = html! {
        p.trail { a href="/storage" { "Storage" } }
        div.head { h1 { (title) } }
        section.card.flush aria-label="Keys" {
            @if found.is_empty() {
                p.empty { "It holds nothing." }
            } @else {
                div.scroll {
                    table {
                        thead { tr { th scope="col" { "Key" } th scope="col" { "Value" } th scope="col" { "Written by" } th scope="col" { span.visually-hidden { "Deleting" } } } }
                        tbody { @for (key, stored) in &found { (key_row(key, stored, &names, &caller)) } }
                    }
                }
            }
            @if later || more {
                div.pager {
                    @if later { a.button href=(keys_of(&names)) { "First keys" } }
                    @if let Some((last, _)) = found.last().filter(|_| more) {
                        a.button href={ "/storage/keys?" (query_of(&names, &[("after", last)])) } { "More keys" }
                    }
                }
            }
        }
    };
    let mut page = Page::new(format!("Storage {title}"), Part::Storage, body);
    page.bottom = set_form(&names, &caller);
    Ok(page.show(&caller))
}

fn key_row(key: &str, stored: &StoredValue, names: &[String; 3], caller: &Caller) -> Markup {
    let value = stored.value.to_string();
    html! {
        tr {
            th scope="row" { code { (key) } }
            td.wrap {
                @if value.chars().count() <= SHORT {
                    code { (value) }
                } @else {
                    details {
                        summary { code { (value.chars().take(SHORT).collect::<String>()) "…" } }
                        pre { (pretty(&stored.value)) }
                    }
                }
            }
            td {
                @match stored.written_by {
                    Some(id) => (loop_link(id)),
                    None => span.soft { "a person" },
                }
            }
            td {
                @if caller.role.allows(Role::Operate) {
                    form.inline method="post" action="/storage/delete"
                        data-confirm={ "Delete the key “" (key) "”? Scripts will find nothing there." } {
                        (csrf(caller)) (hidden(names))
                        input type="hidden" name="key" value=(key);
                        button.plain { "Delete" span.visually-hidden { " " (key) } }
                    }
                }
            }
        }
    }
}

fn hidden(names: &[String; 3]) -> Markup {
    html! {
        @for (name, value) in OF.iter().zip(names) {
            @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
        }
    }
}

fn set_form(names: &[String; 3], caller: &Caller) -> Markup {
    html! {
        @if caller.role.allows(Role::Operate) {
            section.card aria-labelledby="set" {
                h2 #set { "Set a key" }
                form method="post" action="/storage/set" {
                    (csrf(caller)) (hidden(names))
                    div.fields { label { "Key" input name="key" required autocomplete="off"; } }
                    label.field { "Value, as JSON: a text in quotes" textarea name="value" required rows="3" spellcheck="false" {} }
                    p { button.main { "Set" } }
                }
            }
        }
    }
}

/// The storage and the key that a form names.
async fn target(
    app: &Arc<App>,
    fields: &Fields,
) -> Result<(Namespace, [String; 3], String), Problem> {
    let of = OF.map(|name| fields.text(name).to_owned());
    let key = fields.text("key").to_owned();
    if key.is_empty() {
        return Err(bad_parameter("key", "say which key"));
    }
    let asked = of.clone();
    let named = move |engine: &Engine| named(engine, asked.each_ref().map(String::as_str));
    Ok((blocking(app, named).await?, of, key))
}

async fn set(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Wrong> {
    let fields = Fields::read(&body)?;
    let value: Json = serde_json::from_str(fields.text("value")).map_err(|error| {
        let what = format!("the value is no JSON: {error}; put a text in quotes");
        Problem::new(400, "api.bad_body", what)
    })?;
    let (namespace, of, key) = target(&app, &fields).await?;
    app.engine.storage_set(namespace, key, value).await?;
    Ok(back_to(&keys_of(&of)))
}

async fn delete(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Wrong> {
    let fields = Fields::read(&body)?;
    let (namespace, of, key) = target(&app, &fields).await?;
    app.engine.storage_delete(namespace, key).await?;
    Ok(back_to(&keys_of(&of)))
}
