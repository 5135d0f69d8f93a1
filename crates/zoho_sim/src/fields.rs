//! The Contacts module's fields: their order, who may write them, and how each is rendered.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::clock::zoho_time;
use crate::contacts::Contact;
use crate::generate::{LAYOUT_ID, Person, USER_ID};

/// A place in the table of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field(usize);

impl Field {
    pub(crate) fn named(name: &str) -> Option<Self> {
        FIELDS.iter().position(|spec| spec.name == name).map(Self)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..FIELDS.len()).map(Self)
    }

    pub(crate) fn name(self) -> &'static str {
        FIELDS[self.0].name
    }

    pub(crate) fn is_writable(self) -> bool {
        FIELDS[self.0].writable
    }
}

/// One contact with what its values are made of.
#[derive(Debug)]
pub(crate) struct Portrait<'a> {
    contact: &'a Contact,
    person: Option<Person>,
    zone: &'a TimeZone,
}

impl<'a> Portrait<'a> {
    pub(crate) fn new(contact: &'a Contact, seed: u64, zone: &'a TimeZone) -> Self {
        let person = contact
            .ordinal
            .map(|ordinal| Person::generate(seed, ordinal));
        Self {
            contact,
            person,
            zone,
        }
    }

    pub(crate) fn value(&self, field: Field) -> Value {
        let spec = &FIELDS[field.0];
        match self.contact.edits.get(spec.name) {
            Some(edited) => edited.clone(),
            None => (spec.render)(self),
        }
    }

    /// The record as Zoho sends it, with these fields only. `id` is always among them.
    pub(crate) fn render(&self, fields: &[Field]) -> String {
        let mut text = String::with_capacity(fields.len() * 40);
        for field in fields {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push('"');
            text.push_str(field.name());
            text.push_str("\":");
            text.push_str(&self.value(*field).to_string());
        }
        text.push('}');
        text
    }

    pub(crate) fn full_name(&self) -> String {
        let part = |name| Field::named(name).map_or(Value::Null, |field| self.value(field));
        let (first, last) = (part("First_Name"), part("Last_Name"));
        [first.as_str(), last.as_str()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn of_person(&self, read: impl Fn(&Person) -> Value) -> Value {
        self.person.as_ref().map_or(Value::Null, read)
    }
}

/// The user that owns and edits everything.
pub(crate) fn user() -> Value {
    json!({"name": "Asha Menon", "id": USER_ID.to_string(), "email": "asha@brightwell.example"})
}

/// The same user in the shorter shape of write replies and `/deleted`.
pub(crate) fn short_user() -> Value {
    json!({"name": "Asha Menon", "id": USER_ID.to_string()})
}

struct Spec {
    name: &'static str,
    writable: bool,
    render: fn(&Portrait<'_>) -> Value,
}

const fn own(name: &'static str, render: fn(&Portrait<'_>) -> Value) -> Spec {
    Spec {
        name,
        writable: true,
        render,
    }
}

const fn system(name: &'static str, render: fn(&Portrait<'_>) -> Value) -> Spec {
    Spec {
        name,
        writable: false,
        render,
    }
}

const fn blank(name: &'static str) -> Spec {
    own(name, |_| Value::Null)
}

/// Every field, in the order in which Zoho's recordings show them.
static FIELDS: &[Spec] = &[
    system("Owner", |_| user()),
    own("Email", |p| p.of_person(|who| json!(who.email))),
    system("$currency_symbol", |_| json!("€")),
    system("$field_states", |_| Value::Null),
    system("$state", |_| json!("save")),
    system("$process_flow", |_| json!(false)),
    system("$locked_for_me", |_| json!(false)),
    system("$approved", |_| json!(true)),
    system("$editable", |_| json!(true)),
    system("$in_merge", |_| json!(false)),
    system("$approval_state", |_| json!("approved")),
    system("$orchestration", |_| json!(false)),
    system("$is_duplicate", |_| json!(false)),
    system("$review", |_| Value::Null),
    system("$approval", |_| {
        json!({
            "delegate": false, "takeover": false, "approve": false, "reject": false,
            "resubmit": false
        })
    }),
    system(
        "$review_process",
        |_| json!({"approve": false, "reject": false, "resubmit": false}),
    ),
    system(
        "$layout_id",
        |_| json!({"display_label": "Standard", "name": "Standard", "id": LAYOUT_ID.to_string()}),
    ),
    system("$zia_owner_assignment", |_| {
        json!("owner_recommendation_unavailable")
    }),
    own("First_Name", |p| p.of_person(|who| json!(who.first_name))),
    own("Last_Name", |p| p.of_person(|who| json!(who.last_name))),
    system("Full_Name", |p| json!(p.full_name())),
    blank("Salutation"),
    own("Account_Name", |p| {
        p.of_person(|who| json!({"name": who.account.0, "id": who.account.1.to_string()}))
    }),
    blank("Vendor_Name"),
    own("Title", |p| p.of_person(|who| json!(who.title))),
    blank("Department"),
    own("Lead_Source", |p| p.of_person(|who| json!(who.lead_source))),
    blank("Reporting_To"),
    own("Phone", |p| p.of_person(|who| json!(who.phone))),
    own("Mobile", |p| p.of_person(|who| json!(who.mobile))),
    blank("Home_Phone"),
    blank("Other_Phone"),
    blank("Asst_Phone"),
    blank("Assistant"),
    blank("Fax"),
    blank("Secondary_Email"),
    blank("Skype_ID"),
    blank("Twitter"),
    own("Email_Opt_Out", |_| json!(false)),
    own("Date_of_Birth", |p| p.of_person(|who| json!(who.born))),
    blank("Description"),
    system("Record_Image", |_| Value::Null),
    own("Mailing_Street", |p| p.of_person(|who| json!(who.street))),
    own("Mailing_City", |p| p.of_person(|who| json!(who.city))),
    blank("Mailing_State"),
    own("Mailing_Zip", |p| p.of_person(|who| json!(who.zip))),
    own("Mailing_Country", |p| p.of_person(|who| json!(who.country))),
    blank("Other_Street"),
    blank("Other_City"),
    blank("Other_State"),
    blank("Other_Zip"),
    blank("Other_Country"),
    system("Last_Activity_Time", |_| Value::Null),
    system("Unsubscribed_Mode", |_| Value::Null),
    system("Unsubscribed_Time", |_| Value::Null),
    system("Tag", |_| json!([])),
    system("Locked__s", |_| json!(false)),
    system("Created_Time", |p| {
        json!(zoho_time(p.contact.created, p.zone))
    }),
    system("Modified_Time", |p| {
        json!(zoho_time(p.contact.modified, p.zone))
    }),
    system("Created_By", |_| user()),
    system("Modified_By", |_| user()),
    system("id", |p| json!(p.contact.id.to_string())),
];
