//! Stripe's charges and customers: docs.stripe.com/api/charges/list, docs.stripe.com/api/pagination,
//! docs.stripe.com/api/idempotent_requests.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::{Api, Asked, Reply, size};

/// The secret key that it takes.
pub const KEY: &str = "sk_test_of_a_test";

/// What the first charge was created at; each other a minute later.
const FIRST: u64 = 1_748_779_200;

/// An account.
#[derive(Debug, Default)]
pub struct Stripe {
    /// Oldest first.
    charges: Vec<Value>,
    customers: Vec<Value>,
    /// What was answered to each idempotency key, and to which body.
    answered: BTreeMap<String, (String, Value)>,
}

impl Stripe {
    /// So many charges.
    pub fn with_charges(many: u64) -> Self {
        let charge = |number: u64| {
            json!({
                "id": format!("ch_{number:05}"),
                "object": "charge",
                "amount": 100 * number,
                "currency": "eur",
                "status": "succeeded",
                "created": FIRST + 60 * number,
            })
        };
        Self {
            charges: (1..=many).map(charge).collect(),
            ..Self::default()
        }
    }

    /// The customers that were made.
    pub fn customers(&self) -> &[Value] {
        &self.customers
    }

    fn list(&self, asked: &Asked) -> Reply {
        let since = asked.number("created[gte]").unwrap_or(0);
        let mut newest_first = self
            .charges
            .iter()
            .rev()
            .filter(|charge| charge["created"].as_u64().unwrap_or(0) >= since);
        if let Some(after) = asked.query.get("starting_after")
            && !newest_first.any(|charge| charge["id"] == *after)
        {
            return refused(400, "resource_missing");
        }
        let limit = size(asked.number("limit"), 10, 100);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let data: Vec<&Value> = newest_first.by_ref().take(limit).collect();
        let more = newest_first.next().is_some();
        let list = json!({"object": "list", "url": "/v1/charges", "has_more": more, "data": data});
        Reply::new(200, list)
    }

    fn one(&self, id: &str) -> Reply {
        match self.charges.iter().find(|charge| charge["id"] == id) {
            Some(charge) => Reply::new(200, charge.clone()),
            None => refused(404, "resource_missing"),
        }
    }

    /// The same key gets the same answer; with another body it is refused.
    fn create(&mut self, asked: &Asked) -> Reply {
        let form = asked.form();
        if form.is_empty() {
            return refused(400, "parameter_unknown");
        }
        let key = asked.header("idempotency-key").to_owned();
        if let Some((body, answer)) = self.answered.get(&key) {
            return match *body == asked.body {
                true => Reply::new(200, answer.clone()).with("idempotent-replayed", "true"),
                false => Reply::new(400, json!({"error": {"type": "idempotency_error"}})),
            };
        }
        let customer = json!({"id": format!("cus_{}", self.customers.len()), "form": form});
        self.customers.push(customer.clone());
        self.answered
            .insert(key, (asked.body.clone(), customer.clone()));
        Reply::new(200, customer)
    }
}

fn refused(status: u16, code: &str) -> Reply {
    let error = json!({"error": {"type": "invalid_request_error", "code": code}});
    Reply::new(status, error)
}

impl Api for Stripe {
    fn answer(&mut self, asked: &Asked) -> Reply {
        // The key is the user, the password is empty.
        let wanted = format!("Basic {}", BASE64_STANDARD.encode(format!("{KEY}:")));
        if asked.header("authorization") != wanted {
            return refused(401, "api_key_invalid");
        }
        match (asked.verb.as_str(), asked.path.as_str()) {
            ("GET", "/v1/charges") => self.list(asked),
            ("POST", "/v1/customers") => self.create(asked),
            ("GET", path) => self.one(path.trim_start_matches("/v1/charges/")),
            _ => refused(404, "resource_missing"),
        }
    }
}
