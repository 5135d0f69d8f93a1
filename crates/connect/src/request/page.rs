//! Page numbers that end before the list does.

use std::collections::BTreeMap;

use velodrome_spec::connector::TokenHandoff;
use velodrome_types::{Json, JsonMap};

/// Whether the page so many behind the one that these inputs ask for lies past what page numbers reach,
/// so that the token of the answer before must be sent in its place (Zoho: from record 2,001 on).
pub fn page_asks_token(
    handoff: &TokenHandoff,
    settings: &BTreeMap<String, Json>,
    inputs: &JsonMap,
    behind: u64,
) -> bool {
    let meant = handoff.when.as_ref().is_none_or(|(setting, values)| {
        settings
            .get(setting)
            .is_some_and(|value| values.contains(value))
    });
    let page = asked_page(handoff, inputs);
    let beyond = |page: u64| {
        let page = page.saturating_add(behind);
        page.saturating_mul(handoff.per_page) > handoff.reach
    };
    meant && page.is_some_and(beyond)
}

/// The number of the page that these inputs ask for.
pub fn asked_page(handoff: &TokenHandoff, inputs: &JsonMap) -> Option<u64> {
    match inputs.get(&handoff.page) {
        Some(Json::Number(number)) => number
            .as_u64()
            .or_else(|| number.as_f64().map(|float| float as u64)),
        Some(Json::String(text)) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn page_eleven_of_two_hundred_asks_the_token() {
        let handoff = TokenHandoff {
            page: "page".into(),
            reach: 2_000,
            per_page: 200,
            token: "info.next_page_token".into(),
            send: "page_token".into(),
            when: Some(("api_version".into(), vec![json!("v3"), json!("v8")])),
        };
        let check = |version: Json, page: Json, expect: bool| {
            let settings = BTreeMap::from([("api_version".to_owned(), version.clone())]);
            let inputs = JsonMap::from_iter([("page".to_owned(), page.clone())]);
            let got = page_asks_token(&handoff, &settings, &inputs, 0);
            assert_eq!(got, expect, "{version} {page}");
        };
        check(json!("v8"), json!(10), false);
        check(json!("v8"), json!(11), true);
        check(json!("v8"), json!("11"), true);
        check(json!("v8"), json!(11.0), true);
        check(json!("v8"), json!(u64::MAX), true);
        check(json!("v8"), json!("junk"), false);
        check(json!("v8"), json!(null), false);
        check(json!("v2"), json!(11), false);
        let settings = BTreeMap::from([("api_version".to_owned(), json!("v8"))]);
        let of = |page: u64| JsonMap::from_iter([("page".to_owned(), json!(page))]);
        assert!(page_asks_token(&handoff, &settings, &of(10), 1));
        assert!(!page_asks_token(&handoff, &settings, &of(9), 1));
    }
}
