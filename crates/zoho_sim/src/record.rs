//! Get one contact by its id.

use serde_json::Value;

use crate::answer::Answer;
use crate::contacts::{Contacts, Slot};
use crate::crm::Call;
use crate::errors::CrmError;
use crate::params;
use crate::world::World;

pub(crate) fn get(world: &mut World, call: &Call<'_>, id: &str) -> Result<Answer, CrmError> {
    let id = parse_id(id)?;
    let selection = params::selection(&call.query)?;
    let since = params::since(call.if_modified_since)?;
    let Some(slot) = world.contacts.find(id) else {
        return Ok(Answer::nothing(false));
    };
    if since.is_some_and(|since| world.contacts.get(slot).modified < since) {
        return Ok(Answer::nothing(true));
    }
    let mut text = "{\"data\":[".to_owned();
    world
        .renders
        .write(&world.contacts, selection, &[slot], &mut text);
    text.push_str("]}");
    Ok(Answer::records(text, Vec::new()))
}

pub(crate) fn parse_id(text: &str) -> Result<u64, CrmError> {
    text.parse().map_err(|_| CrmError::InvalidId)
}

/// The contact that a JSON id names: a string of digits, or a number where a client lost care.
pub(crate) fn find(contacts: &Contacts, id: &Value) -> Option<Slot> {
    let id = id.as_u64().or_else(|| id.as_str()?.parse().ok())?;
    contacts.find(id)
}
