//! Insert, update and delete: so that a test can change the data as a user would.
//!
//! A reply says for each record how it went. All well: 201 or 200; some: 207; none: 400. Fields
//! that are not known or not for users to write are passed over. `Modified_Time` moves.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::clock::zoho_time;
use crate::contacts::Slot;
use crate::crm::Call;
use crate::errors::{CrmError, envelope};
use crate::fields::{Field, short_user};
use crate::params;
use crate::record::{find, parse_id};
use crate::world::World;

/// Records that one call may write.
const BATCH: usize = 100;

/// How one record of a batch went: its reply, by outcome.
type Item = Result<Value, Value>;

pub(crate) fn insert(world: &mut World, call: &Call<'_>) -> Result<Answer, CrmError> {
    let items = batch(call.body)?.into_iter().enumerate();
    let done = items
        .map(|(nth, values)| insert_one(world, nth, values))
        .collect();
    Ok(reply(done, StatusCode::CREATED))
}

pub(crate) fn update_many(world: &mut World, call: &Call<'_>) -> Result<Answer, CrmError> {
    let done = batch(call.body)?
        .into_iter()
        .enumerate()
        .map(|(nth, values)| {
            let Some(id) = values.get("id") else {
                return Err(missing("id", nth));
            };
            match find(&world.contacts, id) {
                Some(slot) => update_one(world, slot, nth, values),
                None => Err(unknown_id(id)),
            }
        })
        .collect();
    Ok(reply(done, StatusCode::OK))
}

pub(crate) fn update(world: &mut World, call: &Call<'_>, id: &str) -> Result<Answer, CrmError> {
    let slot = world
        .contacts
        .find(parse_id(id)?)
        .ok_or(CrmError::InvalidId)?;
    let values = batch(call.body)?
        .into_iter()
        .next()
        .ok_or(CrmError::InvalidBody)?;
    Ok(reply(
        vec![update_one(world, slot, 0, values)],
        StatusCode::OK,
    ))
}

pub(crate) fn delete_many(world: &mut World, call: &Call<'_>) -> Result<Answer, CrmError> {
    let ids = params::ids(&call.query)?.ok_or(CrmError::MissingParam("ids"))?;
    let done = ids.into_iter().map(|id| delete_one(world, id)).collect();
    Ok(reply(done, StatusCode::OK))
}

pub(crate) fn delete(world: &mut World, id: &str) -> Result<Answer, CrmError> {
    let id = parse_id(id)?;
    Ok(reply(vec![delete_one(world, id)], StatusCode::OK))
}

fn batch(body: &[u8]) -> Result<Vec<Map<String, Value>>, CrmError> {
    let body: Value = serde_json::from_slice(body).map_err(|_| CrmError::InvalidBody)?;
    let records = body
        .get("data")
        .and_then(Value::as_array)
        .ok_or(CrmError::InvalidBody)?;
    if records.is_empty() {
        return Err(CrmError::InvalidBody);
    }
    if records.len() > BATCH {
        return Err(CrmError::TooManyRecords { limit: BATCH });
    }
    let maps = records.iter().map(|record| record.as_object().cloned());
    maps.collect::<Option<_>>().ok_or(CrmError::InvalidBody)
}

fn insert_one(world: &mut World, nth: usize, values: Map<String, Value>) -> Item {
    if is_blank(values.get("Last_Name")) {
        return Err(missing("Last_Name", nth));
    }
    let now = world.now();
    let slot = world.contacts.add(writable(values), now);
    Ok(success(details(world, slot), "record added"))
}

fn update_one(world: &mut World, slot: Slot, nth: usize, values: Map<String, Value>) -> Item {
    if values.contains_key("Last_Name") && is_blank(values.get("Last_Name")) {
        return Err(missing("Last_Name", nth));
    }
    let now = world.now();
    world.contacts.edit(slot, writable(values), now);
    Ok(success(details(world, slot), "record updated"))
}

fn delete_one(world: &mut World, id: u64) -> Item {
    let text = json!(id.to_string());
    let Some(slot) = world.contacts.find(id) else {
        return Err(unknown_id(&text));
    };
    let now = world.now();
    world.contacts.delete_to_recycle_bin(slot, now);
    Ok(success(json!({"id": text}), "record deleted"))
}

/// The values that a user may write.
pub(crate) fn writable(values: Map<String, Value>) -> Map<String, Value> {
    let allowed = |name: &str| Field::named(name).is_some_and(Field::is_writable);
    values
        .into_iter()
        .filter(|(name, _)| allowed(name))
        .collect()
}

fn is_blank(value: Option<&Value>) -> bool {
    value
        .and_then(Value::as_str)
        .is_none_or(|text| text.trim().is_empty())
}

fn details(world: &World, slot: Slot) -> Value {
    let contact = world.contacts.get(slot);
    let zone = world.contacts.zone();
    json!({
        "Modified_Time": zoho_time(contact.modified, zone),
        "Modified_By": short_user(),
        "Created_Time": zoho_time(contact.created, zone),
        "id": contact.id.to_string(),
        "Created_By": short_user(),
    })
}

fn success(details: Value, message: &str) -> Value {
    json!({"code": "SUCCESS", "details": details, "message": message, "status": "success"})
}

fn missing(name: &str, nth: usize) -> Value {
    let details = json!({"api_name": name, "json_path": format!("$.data[{nth}].{name}")});
    envelope("MANDATORY_NOT_FOUND", details, "required field not found")
}

fn unknown_id(id: &Value) -> Value {
    envelope(
        "INVALID_DATA",
        json!({"id": id}),
        "the id given seems to be invalid",
    )
}

fn reply(done: Vec<Item>, all_well: StatusCode) -> Answer {
    let failed = done.iter().filter(|item| item.is_err()).count();
    let status = match failed {
        0 => all_well,
        some if some < done.len() => StatusCode::MULTI_STATUS,
        _ => StatusCode::BAD_REQUEST,
    };
    let items: Vec<Value> = done
        .into_iter()
        .map(|item| item.unwrap_or_else(|refused| refused))
        .collect();
    Answer::json(status, &json!({"data": items}))
}
