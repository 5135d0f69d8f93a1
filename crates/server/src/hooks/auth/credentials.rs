//! Secrets that travel themselves: a bearer's token, a user's password.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use velodrome_runtime::api::HookSecret;

use super::Unauthenticated;

pub(super) fn bearer(headers: &HeaderMap, secrets: &[HookSecret]) -> Result<(), Unauthenticated> {
    let Some(token) = authorization(headers, "bearer") else {
        let told = "send the secret as `Authorization: Bearer …`";
        return Err(Unauthenticated::new(told));
    };
    if bool::from(is_one_of(token.as_bytes(), secrets)) {
        return Ok(());
    }
    let told = "the token in `Authorization` is no secret of this webhook";
    Err(Unauthenticated::unfit(told, secrets))
}

pub(super) fn basic(
    headers: &HeaderMap,
    user: &str,
    secrets: &[HookSecret],
) -> Result<(), Unauthenticated> {
    let given = authorization(headers, "basic").and_then(|text| STANDARD.decode(text).ok());
    let colon = given
        .as_ref()
        .and_then(|given| given.iter().position(|byte| *byte == b':'));
    let (Some(given), Some(colon)) = (given, colon) else {
        let told = "send user and password as `Authorization: Basic …`";
        return Err(Unauthenticated::new(told));
    };
    let known = same(&given[..colon], user.as_bytes()) & is_one_of(&given[colon + 1..], secrets);
    if bool::from(known) {
        return Ok(());
    }
    let told = "user and password in `Authorization` are not those of this webhook";
    Err(Unauthenticated::unfit(told, secrets))
}

/// What stands behind the scheme in the one `Authorization` header; the scheme's case does not matter.
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (named, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    (named.eq_ignore_ascii_case(scheme) && !rest.is_empty()).then_some(rest)
}

fn is_one_of(given: &[u8], secrets: &[HookSecret]) -> Choice {
    secrets
        .iter()
        .flatten()
        .fold(Choice::from(0), |fits, secret| {
            fits | same(given, secret.expose_secret().as_bytes())
        })
}

/// By their hashes, so that not even the length shows.
fn same(a: &[u8], b: &[u8]) -> Choice {
    let hash = |bytes: &[u8]| Sha256::digest(bytes);
    hash(a).as_slice().ct_eq(hash(b).as_slice())
}
