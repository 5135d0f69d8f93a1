//! The short form of a payload in a log line: `page=3 name="Rosa"`.

use velodrome_spec::plan::{LogPolicy, Payloads};
use velodrome_types::Json;

use crate::payload::{REDACTED, is_redacted};

/// How many fields a preview shows.
const FIELDS: usize = 4;
/// How many characters of a text it shows.
const CHARS: usize = 40;

/// The first few scalar fields of an object, as far as the cycle's `log:` lets them be shown.
pub fn preview(body: &Json, policy: &LogPolicy) -> String {
    let Json::Object(fields) = body else {
        return String::new();
    };
    if policy.payloads == Payloads::None {
        return String::new();
    }
    let mut shown = Vec::new();
    for (name, value) in fields {
        if shown.len() == FIELDS {
            shown.push("…".to_owned());
            break;
        }
        let text = if is_redacted(name, &policy.redact) {
            REDACTED.to_owned()
        } else {
            match value {
                Json::String(text) if text.chars().count() > CHARS => {
                    let cut: String = text.chars().take(CHARS).collect();
                    format!("{cut:?}…")
                }
                Json::String(text) => format!("{text:?}"),
                Json::Object(inner) => format!("{{{} fields}}", inner.len()),
                Json::Array(items) => format!("[{} items]", items.len()),
                other => other.to_string(),
            }
        };
        shown.push(format!("{name}={text}"));
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shows_scalars_and_hides_what_is_redacted() {
        let policy = LogPolicy {
            payloads: Payloads::Preview,
            redact: vec!["email".into()],
        };
        let body = json!({"page": 3, "email": "a@b.example", "items": [1, 2]});
        assert_eq!(
            preview(&body, &policy),
            "page=3 email=[redacted] items=[2 items]"
        );
        let none = LogPolicy {
            payloads: Payloads::None,
            redact: vec![],
        };
        assert_eq!(preview(&body, &none), "");
    }
}
