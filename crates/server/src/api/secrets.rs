//! Secrets by name, and the key that seals them. No value is ever answered.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use velodrome_runtime::api::{KeyView, Listing, SecretView};

use velodrome_types::Role;

use super::json_body::json_body;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::Guarded;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::problem::Refusal;

/// `/secrets`, `/secrets/{name}`, `/key/rotate`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Admin, "/secrets", list)
        .put(Role::Admin, "/secrets/{name}", set)
        .delete(Role::Admin, "/secrets/{name}", delete)
        .post(Role::Admin, "/key/rotate", rotate)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    value: String,
}

async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<SecretView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), &["cursor", "limit"])?;
    let after = parameters.text("cursor")?.map(str::to_owned);
    let limit = parameters.limit()?;
    let all = blocking(&app, |engine| engine.secrets()).await?;
    Ok(JsonAnswer(part(all, after.as_deref(), limit)))
}

/// The names behind `after`, in order.
fn part(all: Vec<SecretView>, after: Option<&str>, limit: usize) -> Listing<SecretView> {
    let behind = |secret: &SecretView| after.is_none_or(|after| secret.name.as_str() > after);
    let mut items: Vec<SecretView> = all.into_iter().filter(behind).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.name.clone());
    Listing { items, next }
}

async fn set(
    State(app): State<Arc<App>>,
    Segments(name): Segments<String>,
    request: Request,
) -> Result<JsonAnswer<SecretView>, Refusal> {
    let given: Given = json_body(&app, request, "`{\"value\": \"…\"}`").await?;
    Ok(JsonAnswer(app.engine.set_secret(name, given.value).await?))
}

async fn delete(
    State(app): State<Arc<App>>,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Refusal> {
    app.engine.delete_secret(name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(State(app): State<Arc<App>>) -> Result<JsonAnswer<KeyView>, Refusal> {
    Ok(JsonAnswer(app.engine.rotate_key().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_goes_on_behind_its_last_name() {
        let all = || {
            let view = |name: &str| SecretView {
                name: name.to_owned(),
                changed: None,
            };
            ["a", "b", "c"].map(view).to_vec()
        };
        let names = |part: Listing<SecretView>| {
            let names: Vec<String> = part.items.into_iter().map(|item| item.name).collect();
            (names.join(""), part.next)
        };
        assert_eq!(names(part(all(), None, 2)), ("ab".into(), Some("b".into())));
        assert_eq!(names(part(all(), Some("b"), 2)), ("c".into(), None));
        assert_eq!(names(part(all(), None, 3)), ("abc".into(), None));
    }
}
