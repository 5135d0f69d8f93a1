//! Script storage: what scripts keep, as a person sees and changes it.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use velodrome_runtime::Engine;
use velodrome_runtime::api::{Listing, Problem};
use velodrome_store::{Namespace, StoredValue};
use velodrome_types::{ConnectionId, CycleId, Json, LoopId, Role};

use super::json_body::json_body;
use super::listing::part;
use super::parameters::{Parameters, bad_parameter};
use super::segments::Segments;
use crate::access::Guarded;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::{blocking, unreadable};
use crate::openapi::{
    AfterKey, AnyJson, BadRequest, Conflict, ConnectionOfPath, KeyInPath, Limit, NotFound, OfBody,
    OfConnection, OfCycle, OfLoop, PlaceByName, Unacceptable,
};
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "loop"];
const STORAGES_PARAMETERS: &[&str] = &["connection", "cycle", "loop", "limit", "cursor"];
const LIST_PARAMETERS: &[&str] = &["cycle", "loop", "after", "cursor", "limit"];

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(storages, list, show, set, delete))]
pub(super) struct Operations;

/// `/storage`, `/storage/{connection}`, `/storage/{connection}/{key}`; a slash in a key is written `%2F`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/storage", storages)
        .get(Role::Read, "/storage/{connection}", list)
        .get(Role::Read, "/storage/{connection}/{key}", show)
        .put(Role::Operate, "/storage/{connection}/{key}", set)
        .delete(Role::Operate, "/storage/{connection}/{key}", delete)
}

/// A value as the API shows it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = StoredItem)]
struct Item {
    key: String,
    value: Json,
    #[schema(required)]
    written_by: Option<LoopId>,
}

impl Item {
    fn new(key: String, stored: StoredValue) -> Self {
        Self {
            key,
            value: stored.value,
            written_by: stored.written_by,
        }
    }
}

/// A storage that holds something, as the API shows it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Storage {
    connection: ConnectionId,
    scope: ScopeName,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cycle: Option<CycleId>,
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    loop_id: Option<LoopId>,
}

/// Who shares a storage: all cycles on its connection, one cycle on it, or one loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = StorageScope)]
#[serde(rename_all = "snake_case")]
enum ScopeName {
    Connection,
    Cycle,
    Loop,
}

impl From<Namespace> for Storage {
    fn from(namespace: Namespace) -> Self {
        let (connection, scope, cycle, loop_id) = match namespace {
            Namespace::Connection(connection) => (connection, ScopeName::Connection, None, None),
            Namespace::Cycle(connection, cycle) => {
                (connection, ScopeName::Cycle, Some(cycle), None)
            }
            Namespace::Loop(connection, id) => (connection, ScopeName::Loop, None, Some(id)),
        };
        Self {
            connection,
            scope,
            cycle,
            loop_id,
        }
    }
}

impl Storage {
    /// What orders it: a connection's own, its cycles', its loops', those by age.
    fn place(&self) -> String {
        match (&self.cycle, &self.loop_id) {
            (None, None) => self.connection.to_string(),
            (Some(cycle), _) => format!("{}/cycle/{cycle}", self.connection),
            (None, Some(id)) => format!("{}/loop/{id}", self.connection),
        }
    }
}

/// Which storage is meant, before its loop is looked up.
#[derive(Debug, PartialEq)]
enum Scope {
    Connection,
    Cycle(String),
    Loop(String),
}

impl Scope {
    fn of(parameters: &Parameters) -> Result<Self, Problem> {
        match (parameters.text("cycle")?, parameters.text("loop")?) {
            (None, None) => Ok(Self::Connection),
            (Some(cycle), None) => Ok(Self::Cycle(cycle.to_owned())),
            (None, Some(id)) => Ok(Self::Loop(id.to_owned())),
            (Some(_), Some(_)) => {
                let why = "a loop has its own storage: give either `cycle` or `loop`";
                Err(bad_parameter("loop", why))
            }
        }
    }

    fn namespace(self, engine: &Engine, connection: &str) -> Result<Namespace, Problem> {
        let connection = ConnectionId::from(connection);
        Ok(match self {
            Self::Connection => Namespace::Connection(connection),
            Self::Cycle(cycle) => Namespace::Cycle(connection, cycle.as_str().into()),
            Self::Loop(id) => Namespace::Loop(connection, engine.find_loop(&id)?),
        })
    }
}

/// Which storages hold something.
#[utoipa::path(
    get,
    path = "/storage",
    operation_id = "list_storages",
    tag = "storage",
    params(OfConnection, OfCycle, OfLoop, Limit, PlaceByName),
    responses((status = 200, description = "As asked.", body = Listing<Storage>), BadRequest, NotFound, Conflict)
)]
async fn storages(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<Storage>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), STORAGES_PARAMETERS)?;
    let connection: Option<ConnectionId> = parameters.name("connection")?;
    let cycle: Option<CycleId> = parameters.name("cycle")?;
    let looped = parameters.text("loop")?.map(str::to_owned);
    let found = blocking(&app, move |engine| {
        let looped = looped.map(|id| engine.find_loop(&id)).transpose()?;
        let found = engine.store().namespaces().map_err(unreadable)?;
        let mut found: Vec<Storage> = found.into_iter().map(Storage::from).collect();
        found.retain(|storage| {
            let of_connection = |wanted: &ConnectionId| storage.connection == *wanted;
            connection.as_ref().is_none_or(of_connection)
                && (cycle.is_none() || storage.cycle == cycle)
                && (looped.is_none() || storage.loop_id == looped)
        });
        Ok(found)
    })
    .await?;
    Ok(JsonAnswer(part(found, &parameters, Storage::place)?))
}

#[utoipa::path(
    get,
    path = "/storage/{connection}",
    operation_id = "list_keys",
    tag = "storage",
    summary = "The keys of a storage with their values, in byte order",
    params(ConnectionOfPath, OfCycle, OfLoop, AfterKey, Limit, PlaceByName),
    responses((status = 200, description = "As asked.", body = Listing<Item>), BadRequest, NotFound, Conflict)
)]
async fn list(
    State(app): State<Arc<App>>,
    Segments(connection): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<Item>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), LIST_PARAMETERS)?;
    let scope = Scope::of(&parameters)?;
    let limit = parameters.limit()?;
    let after = match (parameters.text("after")?, parameters.text("cursor")?) {
        (Some(_), Some(_)) => {
            return Err(bad_parameter("after", "give either `after` or `cursor`").into());
        }
        (after, cursor) => after.or(cursor).map(str::to_owned),
    };
    let listing = blocking(&app, move |engine| {
        let namespace = scope.namespace(engine, &connection)?;
        // One more than asked for tells whether there is a next part.
        let found = engine.store().list(&namespace, after.as_deref(), limit + 1);
        Ok(listing(found.map_err(unreadable)?, limit))
    });
    Ok(JsonAnswer(listing.await?))
}

fn listing(mut found: Vec<(String, StoredValue)>, limit: usize) -> Listing<Item> {
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(key, _)| key.clone());
    let items = found
        .into_iter()
        .map(|(key, stored)| Item::new(key, stored))
        .collect();
    Listing { items, next }
}

#[utoipa::path(
    get,
    path = "/storage/{connection}/{key}",
    operation_id = "show_key",
    tag = "storage",
    summary = "One value",
    params(ConnectionOfPath, KeyInPath, OfCycle, OfLoop),
    responses((status = 200, description = "As asked.", body = Item), BadRequest, NotFound, Conflict)
)]
async fn show(
    State(app): State<Arc<App>>,
    Segments((connection, key)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Item>, Refusal> {
    let scope = Scope::of(&Parameters::read(query.as_deref(), PARAMETERS)?)?;
    let item = blocking(&app, move |engine| {
        let namespace = scope.namespace(engine, &connection)?;
        let stored = stored(engine, &namespace, &key)?;
        Ok(Item::new(key, stored))
    });
    Ok(JsonAnswer(item.await?))
}

fn stored(engine: &Engine, namespace: &Namespace, key: &str) -> Result<StoredValue, Problem> {
    engine
        .store()
        .get(namespace, key)
        .map_err(unreadable)?
        .ok_or_else(|| {
            let what = format!("there is no key `{key}` in this storage: list it to see the keys");
            Problem::new(404, "storage.no_key", what)
        })
}

#[utoipa::path(
    put,
    path = "/storage/{connection}/{key}",
    operation_id = "set_key",
    tag = "storage",
    summary = "Sets a value",
    params(ConnectionOfPath, KeyInPath, OfCycle, OfLoop),
    request_body(content = AnyJson, description = "The value."),
    responses((status = 204, description = "Done."), OfBody, NotFound, Conflict, Unacceptable)
)]
async fn set(
    State(app): State<Arc<App>>,
    Segments((connection, key)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let scope = Scope::of(&Parameters::read(query.as_deref(), PARAMETERS)?)?;
    let what = "the value as JSON, a text in quotes";
    let value: Json = json_body(&app, request, what).await?;
    let namespace = blocking(&app, move |engine| scope.namespace(engine, &connection)).await?;
    app.engine.storage_set(namespace, key, value).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    delete,
    path = "/storage/{connection}/{key}",
    operation_id = "delete_key",
    tag = "storage",
    summary = "Removes a key",
    params(ConnectionOfPath, KeyInPath, OfCycle, OfLoop),
    responses((status = 204, description = "Done."), BadRequest, NotFound, Conflict)
)]
async fn delete(
    State(app): State<Arc<App>>,
    Segments((connection, key)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Refusal> {
    let scope = Scope::of(&Parameters::read(query.as_deref(), PARAMETERS)?)?;
    let (namespace, key) = blocking(&app, move |engine| {
        let namespace = scope.namespace(engine, &connection)?;
        stored(engine, &namespace, &key)?;
        Ok((namespace, key))
    })
    .await?;
    app.engine.storage_delete(namespace, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_storage() {
        let scope = |query| {
            Scope::of(&Parameters::read(Some(query), PARAMETERS).unwrap())
                .map_err(|problem| problem.code.to_string())
        };
        assert_eq!(scope(""), Ok(Scope::Connection));
        assert_eq!(scope("cycle=zoho"), Ok(Scope::Cycle("zoho".to_owned())));
        assert_eq!(scope("loop=last"), Ok(Scope::Loop("last".to_owned())));
        assert_eq!(
            scope("cycle=zoho&loop=last"),
            Err("api.bad_parameter".to_owned())
        );
    }

    #[test]
    fn a_listing_goes_on_behind_its_last_key() {
        let found = |keys: &[&str]| {
            let stored = StoredValue {
                value: Json::Null,
                written_by: None,
            };
            keys.iter()
                .map(|key| ((*key).to_owned(), stored.clone()))
                .collect::<Vec<_>>()
        };
        let part = listing(found(&["a", "b", "c"]), 2);
        assert_eq!((part.items.len(), part.next.as_deref()), (2, Some("b")));
        let part = listing(found(&["a", "b"]), 2);
        assert_eq!((part.items.len(), part.next), (2, None));
        assert_eq!(
            serde_json::to_string(&part.items[0]).unwrap(),
            r#"{"key":"a","value":null,"written_by":null}"#
        );
    }

    #[test]
    fn a_storage_says_whose_it_is() {
        let id: LoopId = "loop_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let shown = |namespace| {
            let storage = Storage::from(namespace);
            (serde_json::to_string(&storage).unwrap(), storage.place())
        };
        for (namespace, json, place) in [
            (
                Namespace::Connection("zoho".into()),
                r#"{"connection":"zoho","scope":"connection"}"#,
                "zoho",
            ),
            (
                Namespace::Cycle("zoho".into(), "pages".into()),
                r#"{"connection":"zoho","scope":"cycle","cycle":"pages"}"#,
                "zoho/cycle/pages",
            ),
            (
                Namespace::Loop("zoho".into(), id),
                r#"{"connection":"zoho","scope":"loop","loop":"loop_01h455vb4pex5vsknk084sn02q"}"#,
                "zoho/loop/loop_01h455vb4pex5vsknk084sn02q",
            ),
        ] {
            assert_eq!(shown(namespace), (json.to_owned(), place.to_owned()));
        }
    }
}
