//! What the body of an error says: its codes and messages, at the places that the definition names.
//!
//! Read when a rule first asks, and only along those paths.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use velodrome_spec::connector::ErrorFields;
use velodrome_spec::expr::Segment;
use velodrome_types::Json;

pub(super) struct Said<'a> {
    body: &'a [u8],
    fields: &'a ErrorFields,
    codes: OnceCell<Vec<String>>,
    messages: OnceCell<Vec<String>>,
}

impl<'a> Said<'a> {
    pub(super) const fn of(body: &'a [u8], fields: &'a ErrorFields) -> Self {
        Self {
            body,
            fields,
            codes: OnceCell::new(),
            messages: OnceCell::new(),
        }
    }

    /// The code that a person is shown.
    pub(super) fn code(&self) -> Option<&str> {
        self.codes().first().map(String::as_str)
    }

    /// Whether one of these codes is said anywhere.
    pub(super) fn has_code(&self, wanted: &[String]) -> bool {
        self.codes().iter().any(|code| wanted.contains(code))
    }

    /// Whether one of these parts, in lower case, stands in a message.
    pub(super) fn has_message(&self, parts: &[String]) -> bool {
        let messages = self.messages.get_or_init(|| {
            let said = self.texts(&self.fields.message);
            said.iter().map(|text| text.to_lowercase()).collect()
        });
        let has = |message: &String| parts.iter().any(|part| message.contains(part));
        messages.iter().any(has)
    }

    fn codes(&self) -> &[String] {
        self.codes.get_or_init(|| self.texts(&self.fields.code))
    }

    fn texts(&self, places: &[Vec<Segment>]) -> Vec<String> {
        let mut found = Vec::new();
        for place in places {
            gather(self.body, place, &mut found);
        }
        found
    }
}

/// The texts and numbers at a path; a path that leads nowhere, or to anything else, gives none.
fn gather(text: &[u8], path: &[Segment], found: &mut Vec<String>) {
    let Some((first, rest)) = path.split_first() else {
        match serde_json::from_slice(text) {
            Ok(Json::String(text)) => found.push(text),
            Ok(Json::Number(number)) => found.push(number.to_string()),
            _ => {}
        }
        return;
    };
    let mut onward = |inner: &RawValue| gather(inner.get().as_bytes(), rest, found);
    if let Segment::Key(name) = first {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(text).unwrap_or_default();
        if let Some(inner) = fields.get(name.as_str()) {
            onward(inner);
        }
        return;
    }
    let items: Vec<&RawValue> = serde_json::from_slice(text).unwrap_or_default();
    match first {
        Segment::Each => items.into_iter().for_each(onward),
        Segment::Index(at) => {
            let at = match *at {
                at if at < 0 => at.saturating_add_unsigned(items.len() as u64),
                at => at,
            };
            if let Some(inner) = usize::try_from(at).ok().and_then(|at| items.get(at)) {
                onward(inner);
            }
        }
        Segment::Key(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Segment {
        Segment::Key(name.to_owned())
    }

    #[test]
    fn codes_and_messages_stand_where_the_definition_says() {
        let fields = ErrorFields {
            code: vec![
                vec![key("error"), key("code")],
                vec![key("errors"), Segment::Index(0), key("code")],
                vec![key("error"), key("type")],
            ],
            message: vec![vec![key("errors"), Segment::Each, key("message")]],
        };
        let check =
            |body: &str, code: Option<&str>, wanted: &str, message: &str, expect: (bool, bool)| {
                let said = Said::of(body.as_bytes(), &fields);
                assert_eq!(said.code(), code, "{body}");
                let got = (
                    said.has_code(&[wanted.to_owned()]),
                    said.has_message(&[message.to_owned()]),
                );
                assert_eq!(got, expect, "{body}");
            };
        let stripe = r#"{"error": {"type": "card_error", "code": "lock_timeout"}}"#;
        check(
            stripe,
            Some("lock_timeout"),
            "card_error",
            "x",
            (true, false),
        );
        let github = r#"{"message": "busy", "errors": [{"code": 7, "message": "Is BUSY"}, {"message": "not"}]}"#;
        check(github, Some("7"), "7", "is busy", (true, true));
        check(github, Some("7"), "error", "not", (false, true));
        for nothing in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"error": "lock_timeout"}"#,
            r#"{"error": {"code": null}, "errors": {}}"#,
            r#"{"error": {"code": {"a": 1}}, "errors": []}"#,
            r#"{"error": {"code": "cut off"#,
        ] {
            check(nothing, None, "lock_timeout", "busy", (false, false));
        }
    }

    #[test]
    fn without_a_word_they_stand_at_the_top() {
        let fields = ErrorFields::default();
        let body = br#"{"code": "A", "message": "Secondary Rate limit", "error": {"code": "B"}}"#;
        let said = Said::of(body, &fields);
        assert_eq!(said.code(), Some("A"));
        assert!(said.has_message(&["rate limit".to_owned()]));
        assert!(!said.has_code(&["B".to_owned()]));
    }
}
