//! Get Records: one page of contacts.
//!
//! The order and the filter are applied anew at each request, whether the page is named by number
//! or by token, so a change in the middle of a walk can repeat or lose a row as it does with Zoho.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::clock::{plus, zoho_time};
use crate::contacts::{Slot, View};
use crate::crm::Call;
use crate::errors::CrmError;
use crate::mutate;
use crate::params::{self, ListParams, Place};
use crate::world::World;

/// Records that a walk by tokens reaches.
const WALKED_RECORDS: u64 = 100_000;

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Result<Answer, CrmError> {
    let params = ListParams::read(call.version, &call.query, call.if_modified_since)?;
    let page = Page::find(world, call, &params)?;
    if page.slots.is_empty() {
        return Ok(Answer::nothing(params.since.is_some()));
    }
    let info = info(world, call, &params, &page);
    let mut text = String::with_capacity(page.slots.len() * 512 + 512);
    text.push_str("{\"data\":[");
    world
        .renders
        .write(&world.contacts, params.selection, &page.slots, &mut text);
    text.push_str("],\"info\":");
    text.push_str(&info.to_string());
    text.push('}');
    let served = page
        .slots
        .iter()
        .map(|slot| world.contacts.get(*slot).id)
        .collect();
    mutate::after_page(world, page.offset / params.per_page + 1);
    Ok(Answer::records(text, served))
}

struct Page {
    offset: u32,
    slots: Vec<Slot>,
    more: bool,
}

impl Page {
    fn find(world: &mut World, call: &Call<'_>, params: &ListParams<'_>) -> Result<Self, CrmError> {
        let per_page = params.per_page;
        let offset = match params.place {
            Place::Page(page) => (page - 1).saturating_mul(per_page),
            Place::Token(token) => {
                let binding = params::binding(&call.query, bound_header(world, call));
                let offset = world.page_tokens.read(token, world.now(), binding)?;
                if u64::from(offset) + u64::from(per_page) > WALKED_RECORDS {
                    return Err(CrmError::WalkTooLong);
                }
                offset
            }
        };
        let view = View {
            order: params.order.clone(),
            descending: params.descending,
            since: params.since,
        };
        let all = world.contacts.view(&view);
        let chosen: Option<Vec<Slot>> = params.ids.as_ref().map(|ids| {
            let wanted = |slot: &&Slot| ids.contains(&world.contacts.get(**slot).id);
            all.iter().filter(wanted).copied().collect()
        });
        let rows = chosen.as_deref().unwrap_or(&all);
        let rest = rows.get(offset as usize..).unwrap_or_default();
        let slots: Vec<Slot> = rest.iter().take(per_page as usize).copied().collect();
        Ok(Self {
            offset,
            more: rest.len() > slots.len(),
            slots,
        })
    }
}

fn bound_header<'a>(world: &World, call: &Call<'a>) -> Option<&'a str> {
    call.if_modified_since
        .filter(|_| world.switches.bind_header)
}

fn info(world: &World, call: &Call<'_>, params: &ListParams<'_>, page: &Page) -> Value {
    let sort_order = if params.descending { "desc" } else { "asc" };
    // Under a token Zoho's own sample shows page 1 again.
    let number = match params.place {
        Place::Page(page) => page,
        Place::Token(_) => 1,
    };
    let count = page.slots.len();
    if !call.version.has_page_tokens() {
        return json!({
            "per_page": params.per_page,
            "count": count,
            "page": number,
            "sort_by": params.sort_by,
            "sort_order": sort_order,
            "more_records": page.more,
        });
    }
    let binding = params::binding(&call.query, bound_header(world, call));
    let expires = plus(world.now(), world.switches.page_token_life);
    let token = |offset| world.page_tokens.make(offset, expires, binding);
    let withheld = world.switches.withhold_page_token;
    let next = (page.more && !withheld).then(|| token(page.offset.saturating_add(params.per_page)));
    let previous = (page.offset > 0).then(|| token(page.offset.saturating_sub(params.per_page)));
    let expiry = next.is_some() || previous.is_some();
    json!({
        "per_page": params.per_page,
        "next_page_token": next,
        "count": count,
        "sort_by": params.sort_by,
        "page": number,
        "previous_page_token": previous,
        "page_token_expiry": expiry.then(|| zoho_time(expires, world.contacts.zone())),
        "sort_order": sort_order,
        "more_records": page.more || withheld,
    })
}
