//! Whether a request's sender knows one of a webhook's secrets.
//!
//! Pure: headers, the bytes that came, the time; nothing is parsed of the body. It fails closed: a
//! header that stands twice, a secret that is not set, a time that cannot be read, let nobody pass.
//! Secrets and signatures are compared in constant time, every secret with every signature, so that
//! neither what fits nor how nearly it fits can be measured.

mod credentials;
mod signature;
mod time;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use velodrome_runtime::api::{HmacScheme, HookSecret, Scheme, Signed, TOLERANCE};
use velodrome_types::Timestamp;

use signature::{Mac, base64, hex};

/// Why a request is not authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unauthenticated {
    /// What the caller is told.
    pub(super) told: String,
    /// What the operator is told, where it is more.
    pub(super) why: Option<String>,
}

impl Unauthenticated {
    fn new(told: impl Into<String>) -> Self {
        Self {
            told: told.into(),
            why: None,
        }
    }

    /// Nothing that came fits. What is wrong with the secrets only the operator hears.
    fn unfit(told: impl Into<String>, secrets: &[HookSecret]) -> Self {
        let unusable = secrets.iter().find_map(|secret| secret.as_ref().err());
        Self {
            told: told.into(),
            why: unusable.cloned(),
        }
    }
}

/// A request as far as it is looked at here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// When it came.
    pub(super) now: Timestamp,
}

/// Whether the request shows, in this way, that its sender knows one of these secrets.
pub(super) fn authenticate(
    scheme: &Scheme,
    secrets: &[HookSecret],
    request: Request<'_>,
) -> Result<(), Unauthenticated> {
    let Request { headers, body, .. } = request;
    let tolerance = TOLERANCE;
    match scheme {
        Scheme::Bearer => credentials::bearer(headers, secrets),
        Scheme::Basic { user } => credentials::basic(headers, user, secrets),
        Scheme::Hmac(scheme) => hmac(scheme, secrets, request),
        Scheme::StandardWebhooks => {
            let id = request.header("webhook-id")?;
            let time = request.header("webhook-timestamp")?;
            let signatures = request.header("webhook-signature")?;
            request.near("webhook-timestamp", time::seconds(time), tolerance)?;
            let given = signatures
                .split_ascii_whitespace()
                .filter_map(|part| base64(part.strip_prefix("v1,")?))
                .collect();
            let parts = [id.as_bytes(), b".", time.as_bytes(), b".", body];
            let signed = Signature {
                mac: Mac::Decoded,
                ..Signature::new("webhook-signature", given, &parts)
            };
            signed.fits(&decoded(secrets))
        }
        Scheme::Github => {
            let name = "x-hub-signature-256";
            let given = request.header(name)?.strip_prefix("sha256=").and_then(hex);
            Signature::new(name, given.into_iter().collect(), &[body]).fits(secrets)
        }
        Scheme::Stripe => {
            let name = "stripe-signature";
            let header = request.header(name)?;
            let items = || {
                header
                    .split(',')
                    .filter_map(|item| item.trim().split_once('='))
            };
            let mut times = items().filter(|(key, _)| *key == "t");
            let (Some((_, time)), None) = (times.next(), times.next()) else {
                return Err(Unauthenticated::new(format!(
                    "`{name}` has not one time `t=…`"
                )));
            };
            request.near(name, time::seconds(time), tolerance)?;
            let given = items().filter(|(key, _)| *key == "v1");
            let given = given.filter_map(|(_, value)| hex(value)).collect();
            Signature::new(name, given, &[time.as_bytes(), b".", body]).fits(secrets)
        }
        Scheme::Slack => {
            let name = "x-slack-signature";
            let time = request.header("x-slack-request-timestamp")?;
            let given = request.header(name)?.strip_prefix("v0=").and_then(hex);
            request.near("x-slack-request-timestamp", time::seconds(time), tolerance)?;
            let parts = [b"v0:", time.as_bytes(), b":", body];
            Signature::new(name, given.into_iter().collect(), &parts).fits(secrets)
        }
        Scheme::Shopify => {
            let name = "x-shopify-hmac-sha256";
            let given = base64(request.header(name)?);
            Signature::new(name, given.into_iter().collect(), &[body]).fits(secrets)
        }
    }
}

/// A signature as a cycle's file describes it.
fn hmac(
    scheme: &HmacScheme,
    secrets: &[HookSecret],
    request: Request<'_>,
) -> Result<(), Unauthenticated> {
    let written = request.header(&scheme.header)?;
    let given = written
        .strip_prefix(scheme.prefix.as_str())
        .and_then(|text| signature::read(scheme.encoding, text.trim()));
    let (signed, time) = match &scheme.signed {
        Signed::Body(time) => (false, time.as_ref()),
        Signed::TimestampBody(time) => (true, Some(time)),
    };
    let came = match time {
        Some(time) => {
            let came = request.header(&time.header)?;
            request.near(&time.header, time::any(came), time.tolerance)?;
            came
        }
        None => "",
    };
    let with_time = [came.as_bytes(), b".", request.body];
    let parts = if signed {
        &with_time[..]
    } else {
        &with_time[2..]
    };
    let signed = Signature {
        mac: Mac::Of(scheme.algorithm),
        ..Signature::new(&scheme.header, given.into_iter().collect(), parts)
    };
    signed.fits(secrets)
}

/// Signatures that came, and what they should be of.
struct Signature<'a> {
    header: &'a str,
    given: Vec<Vec<u8>>,
    parts: &'a [&'a [u8]],
    mac: Mac,
}

impl<'a> Signature<'a> {
    fn new(header: &'a str, given: Vec<Vec<u8>>, parts: &'a [&'a [u8]]) -> Self {
        Self {
            header,
            given,
            parts,
            mac: Mac::SHA256,
        }
    }

    /// Whether one of them was made with one of these secrets.
    fn fits(&self, secrets: &[HookSecret]) -> Result<(), Unauthenticated> {
        let mut fits = subtle::Choice::from(0);
        for secret in secrets.iter().flatten() {
            fits |= self.mac.fits(secret, self.parts, &self.given);
        }
        if bool::from(fits) {
            return Ok(());
        }
        let told = if self.given.is_empty() {
            format!("`{}` holds no signature that can be read", self.header)
        } else {
            format!(
                "the signature in `{}` fits no secret of this webhook",
                self.header
            )
        };
        Err(Unauthenticated::unfit(told, secrets))
    }
}

/// Standard Webhooks' keys: Base64 behind `whsec_`.
fn decoded(secrets: &[HookSecret]) -> Vec<HookSecret> {
    secrets
        .iter()
        .map(|secret| match secret {
            Ok(secret) => signature::standard_key(secret),
            Err(why) => Err(why.clone()),
        })
        .collect()
}

impl<'a> Request<'a> {
    /// The header's one value.
    fn header(&self, name: &str) -> Result<&'a str, Unauthenticated> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value
                .to_str()
                .map(str::trim)
                .map_err(|_| Unauthenticated::new(format!("`{name}` is no plain text"))),
            (None, _) => Err(Unauthenticated::new(format!("`{name}` is missing"))),
            (Some(_), Some(_)) => Err(Unauthenticated::new(format!("`{name}` stands twice"))),
        }
    }

    /// Whether a time is near enough to now, either way.
    fn near(
        &self,
        header: &str,
        time: Option<Timestamp>,
        tolerance: Duration,
    ) -> Result<(), Unauthenticated> {
        let Some(time) = time else {
            let told = format!("the time in `{header}` cannot be read");
            return Err(Unauthenticated::new(told));
        };
        // Whole seconds, as senders write them: the last second counts until its end.
        let (time, now) = (time.whole_second(), self.now.whole_second());
        let apart = time.since(now).max(now.since(time));
        if apart <= tolerance {
            return Ok(());
        }
        let way = if time > now { "ahead" } else { "old" };
        let told = format!(
            "the time in `{header}` is {} s {way}: is the clock right?",
            apart.as_secs()
        );
        Err(Unauthenticated::new(told))
    }
}

/// What `WWW-Authenticate` says, where HTTP has a word for the way.
pub(super) fn challenge(scheme: &Scheme) -> Option<HeaderValue> {
    match scheme {
        Scheme::Bearer => Some(HeaderValue::from_static("Bearer realm=\"velodrome\"")),
        Scheme::Basic { .. } => Some(HeaderValue::from_static(
            "Basic realm=\"velodrome\", charset=\"UTF-8\"",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
