//! The value of an expression in a connector definition: `${settings.x}`, `${auth.x}`, `${input.x}`,
//! `${last.x}`, `${since}`.
//!
//! Credentials (secret settings, the access token) are read only where the expression belongs to
//! sign-in; a request as built cannot hold one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::expr::{Expr, Piece, Reference, Root, Segment, follow};
use velodrome_types::{Code, Json, JsonMap};

use crate::connection::Connection;
use crate::error::RequestError;

/// What may stand in a URL as it is (RFC 3986, *unreserved*).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What an expression may read.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    connection: &'a Connection,
    kept: Option<&'a BTreeMap<String, String>>,
    inputs: Option<&'a JsonMap>,
    /// Fields of the last record of the page before.
    last: Option<&'a JsonMap>,
    /// The filter date, as it is written.
    since: Option<&'a Json>,
    credentials: Credentials<'a>,
}

#[derive(Clone, Copy)]
enum Credentials<'a> {
    Withheld,
    Given { access_token: Option<&'a str> },
}

impl<'a> Scope<'a> {
    /// The connection's plain settings and nothing else.
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            kept: None,
            inputs: None,
            last: None,
            since: None,
            credentials: Credentials::Withheld,
        }
    }

    /// The connector's definition.
    pub(crate) fn definition(self) -> &'a ConnectorDef {
        &self.connection.def
    }

    /// With what sign-in kept.
    pub(crate) fn kept(self, kept: Option<&'a BTreeMap<String, String>>) -> Self {
        Self { kept, ..self }
    }

    /// With a method's inputs.
    pub(crate) fn inputs(self, inputs: &'a JsonMap) -> Self {
        Self {
            inputs: Some(inputs),
            ..self
        }
    }

    /// With where a list stands.
    pub(crate) fn page(self, last: Option<&'a JsonMap>, since: Option<&'a Json>) -> Self {
        Self {
            last,
            since,
            ..self
        }
    }

    /// With secret settings and the access token; for what is added as a request leaves.
    pub(crate) fn credentials(self, access_token: Option<&'a str>) -> Self {
        Self {
            credentials: Credentials::Given { access_token },
            ..self
        }
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum EvalError {
    #[error("`{0}` is null, and a text cannot hold a null")]
    NullInText(String),
    #[error("`{0}` is a secret and may only stand in the definition's `auth`")]
    Secret(String),
    #[error("`{0}` cannot be resolved in a connector definition")]
    Unresolved(String),
    #[error("`{0}` would be a `.` or `..` in a path")]
    DotSegment(String),
}

impl From<EvalError> for RequestError {
    fn from(error: EvalError) -> Self {
        let code = match error {
            EvalError::NullInText(_) => Code::new("reference.null_in_text"),
            EvalError::Secret(_) => Code::new("connector.secret_in_request"),
            EvalError::Unresolved(_) => Code::new("reference.unresolved"),
            EvalError::DotSegment(_) => Code::new("request.bad_url"),
        };
        Self {
            code,
            ..Self::permanent("request.bad_url", error.to_string())
        }
    }
}

/// The value; `None` for `ignore`.
pub(crate) fn evaluate(expr: &Expr, scope: Scope<'_>) -> Result<Option<Json>, EvalError> {
    Ok(Some(match expr {
        // A definition has no inline scripts: nothing runs them here.
        Expr::Ignore | Expr::Script(_) => return Ok(None),
        Expr::Literal(value) => value.clone(),
        Expr::Ref(reference) => resolve(reference, scope)?.into_owned(),
        Expr::Text(pieces) => Json::String(join(pieces, scope, |_, value| Ok(value.to_owned()))?),
        Expr::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.extend(evaluate(item, scope)?);
            }
            Json::Array(list)
        }
        Expr::Object(fields) => {
            let mut map = JsonMap::new();
            for (name, field) in fields {
                if let Some(value) = evaluate(field, scope)? {
                    map.insert(name.clone(), value);
                }
            }
            Json::Object(map)
        }
    }))
}

/// The value as text; null is an error.
pub(crate) fn text(expr: &Expr, scope: Scope<'_>) -> Result<String, EvalError> {
    let value = evaluate(expr, scope)?.unwrap_or(Json::Null);
    text_of(&value).ok_or_else(|| EvalError::NullInText(source(expr)))
}

/// A URL that begins here: each reference is percent-encoded for its place unless it stands first.
pub(crate) fn url(expr: &Expr, scope: Scope<'_>) -> Result<String, EvalError> {
    match expr {
        Expr::Text(pieces) => join(pieces, scope, |before, value| {
            if before.is_empty() {
                return Ok(value.to_owned());
            }
            encode(before, value)
        }),
        other => text(other, scope),
    }
}

/// What is appended to a URL: every reference is percent-encoded for its place.
pub(crate) fn path(expr: &Expr, scope: Scope<'_>) -> Result<String, EvalError> {
    match expr {
        Expr::Text(pieces) => join(pieces, scope, encode),
        Expr::Ref(reference) => join(&[Piece::Ref(reference.clone())], scope, encode),
        other => text(other, scope),
    }
}

/// Encodes a value for its place. A path segment that begins with it may not turn into `.` or `..`.
fn encode(before: &str, value: &str) -> Result<String, EvalError> {
    let in_path = !before.contains(['?', '#']);
    if in_path && matches!(value, "." | "..") && (before.is_empty() || before.ends_with(['/', '.']))
    {
        return Err(EvalError::DotSegment(value.to_owned()));
    }
    Ok(utf8_percent_encode(value, ENCODED).to_string())
}

fn join(
    pieces: &[Piece],
    scope: Scope<'_>,
    place: impl Fn(&str, &str) -> Result<String, EvalError>,
) -> Result<String, EvalError> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Ref(reference) => {
                let value = resolve(reference, scope)?;
                let value = text_of(&value)
                    .ok_or_else(|| EvalError::NullInText(reference.source.clone()))?;
                let placed = place(&text, &value)?;
                text.push_str(&placed);
            }
        }
    }
    Ok(text)
}

/// A value as text inside a text: `None` for null; lists and objects as their JSON.
pub(crate) fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn source(expr: &Expr) -> String {
    match expr {
        Expr::Ref(reference) => reference.source.clone(),
        _ => "null".to_owned(),
    }
}

fn resolve<'a>(reference: &'a Reference, scope: Scope<'a>) -> Result<Cow<'a, Json>, EvalError> {
    let secret = || EvalError::Secret(reference.source.clone());
    let unresolved = || EvalError::Unresolved(reference.source.clone());
    if reference.root == Root::Since {
        let found = scope.since.or(reference.default.as_ref());
        return Ok(Cow::Borrowed(found.unwrap_or(&Json::Null)));
    }
    let Some((Segment::Key(name), rest)) = reference.path.split_first() else {
        return Err(unresolved());
    };
    let found: Option<Cow<'a, Json>> = match &reference.root {
        Root::Settings => {
            if scope.connection.is_secret(name)
                && matches!(scope.credentials, Credentials::Withheld)
            {
                return Err(secret());
            }
            scope.connection.settings.get(name).map(Cow::Borrowed)
        }
        Root::Auth => match (name.as_str(), scope.credentials) {
            ("access_token", Credentials::Given { access_token }) => {
                access_token.map(|token| Cow::Owned(Json::String(token.to_owned())))
            }
            ("access_token" | "refresh_token", _) => return Err(secret()),
            _ => scope
                .kept
                .and_then(|kept| kept.get(name))
                .map(|value| Cow::Owned(Json::String(value.clone()))),
        },
        Root::Input => scope
            .inputs
            .and_then(|inputs| inputs.get(name))
            .map(Cow::Borrowed),
        Root::Last => scope
            .last
            .and_then(|fields| fields.get(name))
            .map(Cow::Borrowed),
        _ => return Err(unresolved()),
    };
    let value = match found {
        Some(value) if rest.is_empty() => value,
        Some(value) => Cow::Owned(follow(&value, rest)),
        None => Cow::Owned(Json::Null),
    };
    Ok(match (&*value, &reference.default) {
        (Json::Null, Some(default)) => Cow::Borrowed(default),
        _ => value,
    })
}
