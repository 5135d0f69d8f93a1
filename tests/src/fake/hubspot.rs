//! HubSpot's contacts: developers.hubspot.com/docs/api-reference, crm/objects/contacts and crm/search-the-crm.

use serde_json::{Value, json};

use super::{Api, Asked, Reply, size};

/// The token that it takes.
pub const TOKEN: &str = "pat-eu1-a-token-of-a-test";

/// The last record that a search shows.
const SEARCH_ENDS: usize = 10_000;

/// An account with contacts, in the order of their ids.
#[derive(Debug, Default)]
pub struct HubSpot {
    contacts: Vec<(u64, i64)>,
}

impl HubSpot {
    /// So many contacts, whose ids have gaps; all changed at one moment.
    pub fn with_contacts(many: u64) -> Self {
        let contact = |number: u64| (100 + 7 * number, 1_748_779_200_000);
        Self {
            contacts: (1..=many).map(contact).collect(),
        }
    }

    /// Their ids.
    pub fn ids(&self) -> Vec<String> {
        let ids = self.contacts.iter().map(|(id, _)| id.to_string());
        ids.collect()
    }

    /// All of them, behind the id that `after` says.
    fn list(&self, asked: &Asked) -> Reply {
        let limit = usize::try_from(size(asked.number("limit"), 10, 100)).unwrap_or(usize::MAX);
        let after = asked.number("after").unwrap_or(0);
        let mut rest = self.contacts.iter().filter(|(id, _)| *id > after);
        let page: Vec<&(u64, i64)> = rest.by_ref().take(limit).collect();
        let next = rest.next().and(page.last()).map(|(id, _)| id.to_string());
        Reply::new(200, results(&page, next))
    }

    fn search(&self, asked: &Asked) -> Reply {
        let body = asked.json();
        let groups = body["filterGroups"].as_array().map_or(0, Vec::len);
        let limit = body["limit"].as_u64().unwrap_or(10);
        if !body.is_object() || groups > 5 || limit > 200 {
            return refused(400, "VALIDATION_ERROR");
        }
        let by_id = json!([{"propertyName": "hs_object_id", "direction": "ASCENDING"}]);
        if body["sorts"] != by_id {
            return refused(400, "VALIDATION_ERROR");
        }
        let filters = body["filterGroups"][0]["filters"].as_array();
        let fits = |contact: &&(u64, i64)| {
            let mut all = filters.into_iter().flatten();
            all.all(|filter| holds(filter, contact))
        };
        let found: Vec<&(u64, i64)> = self.contacts.iter().filter(fits).collect();
        let after: usize = match &body["after"] {
            Value::String(text) => text.parse().unwrap_or(0),
            _ => 0,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if after + limit > SEARCH_ENDS {
            return refused(400, "VALIDATION_ERROR");
        }
        let page: Vec<&(u64, i64)> = found.iter().skip(after).take(limit).copied().collect();
        let next = (after + limit < found.len()).then(|| (after + limit).to_string());
        let mut answer = results(&page, next);
        answer["total"] = json!(found.len());
        Reply::new(200, answer)
    }
}

/// Whether a contact fits a filter; values come as numbers or as texts.
fn holds(filter: &Value, (id, changed): &(u64, i64)) -> bool {
    let value = match &filter["value"] {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let own = match filter["propertyName"].as_str() {
        Some("hs_object_id") => i64::try_from(*id).ok(),
        Some("lastmodifieddate") => Some(*changed),
        _ => None,
    };
    let (Some(own), Some(value)) = (own, value) else {
        return false;
    };
    match filter["operator"].as_str() {
        Some("GT") => own > value,
        Some("GTE") => own >= value,
        _ => false,
    }
}

fn results(page: &[&(u64, i64)], next: Option<String>) -> Value {
    let shown: Vec<Value> = page
        .iter()
        .map(|(id, _)| {
            json!({
                "id": id.to_string(),
                "properties": {"email": format!("c{id}@example.com"), "firstname": format!("C{id}")},
                "updatedAt": "2025-06-01T12:00:00.000Z",
                "archived": false,
            })
        })
        .collect();
    match next {
        Some(after) => json!({"results": shown, "paging": {"next": {"after": after}}}),
        None => json!({ "results": shown }),
    }
}

fn refused(status: u16, category: &str) -> Reply {
    let message = "it is refused";
    Reply::new(
        status,
        json!({"status": "error", "message": message, "category": category}),
    )
}

impl Api for HubSpot {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.header("authorization") != format!("Bearer {TOKEN}") {
            return refused(401, "INVALID_AUTHENTICATION");
        }
        match (asked.verb.as_str(), asked.path.as_str()) {
            ("GET", "/crm/v3/objects/contacts") => self.list(asked),
            ("POST", "/crm/v3/objects/contacts/search") => self.search(asked),
            _ => refused(404, "OBJECT_NOT_FOUND"),
        }
    }
}
