//! What a token endpoint says. Pure.
//!
//! Success is an `access_token`, never a status: Zoho reports failures with 200 (facts: Zoho §1.5).

use std::time::Duration;

use velodrome_spec::connector::{OAuth2Def, TokenErrorAction};
use velodrome_types::{Json, JsonMap};

/// The longest life that is believed; beyond it the number is a mistake of the other side.
const LONGEST: u64 = 366 * 24 * 3_600;
/// The life of a token that can be refreshed and comes without one.
const ASSUMED: u64 = 3_600;

/// A good answer.
#[derive(Clone, PartialEq)]
pub(super) struct Granted {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) life: Duration,
    pub(super) fields: JsonMap,
}

/// A bad one. The text is the answer's `error`, harmless and short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Passes by itself; so long if that is known.
    Passes(Option<Duration>, String),
    /// A person must sign in again.
    Reconnect(String),
    /// The settings are wrong, or nobody knows.
    Fails(String),
}

/// Reads an answer. `has_refresh` tells whether an earlier sign-in gave a refresh token.
pub(super) fn read(
    oauth: &OAuth2Def,
    status: u16,
    body: &[u8],
    has_refresh: bool,
) -> Result<Granted, Refusal> {
    let passing = matches!(status, 408 | 425 | 429) || status >= 500;
    let Ok(Json::Object(fields)) = serde_json::from_slice::<Json>(body) else {
        // A page of a proxy or of a service that is down; it says nothing of the tokens.
        return Err(Refusal::Passes(
            None,
            format!("status {status} and no JSON object"),
        ));
    };
    let text = |name: &str| match fields.get(name) {
        Some(Json::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let Some(access_token) = text("access_token") else {
        return Err(refusal(oauth, status, passing, text("error")));
    };
    if access_token.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Refusal::Fails(
            "an access token that no header can hold".to_owned(),
        ));
    }
    let refresh_token = text("refresh_token");
    let life = life(&fields, has_refresh || refresh_token.is_some())
        .ok_or_else(|| Refusal::Fails("a life of the token that cannot be".to_owned()))?;
    Ok(Granted {
        access_token,
        refresh_token,
        life,
        fields,
    })
}

fn refusal(oauth: &OAuth2Def, status: u16, passing: bool, error: Option<String>) -> Refusal {
    let Some(error) = error else {
        let told = format!("status {status} and no `access_token`");
        return if passing {
            Refusal::Passes(None, told)
        } else {
            Refusal::Fails(told)
        };
    };
    let lower = error.to_lowercase();
    let shown: String = error
        .chars()
        .take(80)
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect();
    let action = oauth
        .errors
        .iter()
        .find(|(names, _)| names.iter().any(|name| name.to_lowercase() == lower))
        .map(|(_, action)| *action);
    match action {
        Some(TokenErrorAction::Wait(wait)) => Refusal::Passes(Some(wait), shown),
        Some(TokenErrorAction::Reconnect) => Refusal::Reconnect(shown),
        Some(TokenErrorAction::Fail) => Refusal::Fails(shown),
        None if passing => Refusal::Passes(None, shown),
        // RFC 6749 §5.2: the refresh token is invalid, expired or revoked.
        None if lower == "invalid_grant" => Refusal::Reconnect(shown),
        None => Refusal::Fails(shown),
    }
}

/// `expires_in_sec` before `expires_in`, which an old form gave in milliseconds (facts: Zoho §1.4).
fn life(fields: &JsonMap, refreshable: bool) -> Option<Duration> {
    let said = fields
        .get("expires_in_sec")
        .or_else(|| fields.get("expires_in"))
        .filter(|value| !value.is_null());
    let seconds = match said {
        Some(Json::Number(number)) => number
            .as_u64()
            .or_else(|| number.as_f64().filter(|f| *f >= 1.0).map(|f| f as u64))?,
        Some(Json::String(text)) => text.trim().parse().ok()?,
        Some(_) => return None,
        // A token without an end; if it can be refreshed, an hour is a careful guess.
        None if refreshable => ASSUMED,
        None => LONGEST,
    };
    (1..=LONGEST)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}
