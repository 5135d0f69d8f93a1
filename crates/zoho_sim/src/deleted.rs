//! The list of deleted contacts. Pages by number only; a record older than 60 days has left the
//! recycle bin and one older than 120 is forgotten.

use axum::http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::clock::{plus, zoho_time};
use crate::contacts::Deletion;
use crate::crm::Call;
use crate::errors::CrmError;
use crate::fields::short_user;
use crate::params;
use crate::world::World;

/// How long a deletion is told of.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(120 * 24);

pub(crate) fn deleted(world: &mut World, call: &Call<'_>) -> Result<Answer, CrmError> {
    params::one_of(&call.query, "type", &["all", "recycle", "permanent"])?;
    let per_page = params::per_page(&call.query)?;
    let page = params::page(&call.query)?;
    let since = params::since(call.if_modified_since)?;
    let now = world.now();
    let wanted = |deletion: &Deletion| match call.query.get("type") {
        Some("recycle") => !deletion.is_permanent(now),
        Some("permanent") => deletion.is_permanent(now),
        _ => true,
    };
    let contacts = &world.contacts;
    let gone: Vec<_> = contacts
        .deleted()
        .into_iter()
        .filter(|(_, deletion)| now <= plus(deletion.at, REMEMBERED) && wanted(deletion))
        .filter(|(_, deletion)| since.is_none_or(|since| deletion.at >= since))
        .collect();
    let offset = (page - 1).saturating_mul(per_page) as usize;
    let rest = gone.get(offset..).unwrap_or_default();
    let shown = &rest[..rest.len().min(per_page as usize)];
    if shown.is_empty() {
        return Ok(Answer::nothing(since.is_some()));
    }
    let items: Vec<Value> = shown
        .iter()
        .map(|(slot, deletion)| {
            let contact = contacts.get(*slot);
            let at = zoho_time(deletion.at, contacts.zone());
            let id = contact.id.to_string();
            if deletion.is_permanent(now) {
                return json!({
                    "deleted_by": null, "id": id, "display_name": null, "type": "permanent",
                    "created_by": null, "deleted_time": at,
                });
            }
            json!({
                "deleted_by": short_user(), "id": id,
                "display_name": contacts.portrait(*slot).full_name(),
                "type": "recycle", "created_by": short_user(), "deleted_time": at,
            })
        })
        .collect();
    let info = json!({
        "per_page": per_page, "count": shown.len(), "page": page,
        "more_records": rest.len() > shown.len(),
    });
    Ok(Answer::json(
        StatusCode::OK,
        &json!({"data": items, "info": info}),
    ))
}
