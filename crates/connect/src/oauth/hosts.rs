//! Which hosts a callback or a token answer may name.
//!
//! What comes back from a browser or a token endpoint decides where codes and tokens are sent next,
//! so a URL is taken only as one of the definition's own hosts, by TLS, or as one that the
//! connection's setting `hosts` lists. Nothing but an origin is taken: no path, no query, no user.

use url::Url;
use velodrome_spec::connector::OAuth2Def;

use crate::connection::Connection;
use crate::error::RequestError;

/// The most characters of a kept value.
const KEPT_LIMIT: usize = 2_048;

/// A value to keep under a name: an origin where the name has allowed hosts, else any plain text.
pub(super) fn kept(
    connection: &Connection,
    oauth: &OAuth2Def,
    name: &str,
    value: &str,
) -> Result<String, RequestError> {
    let refused = |why: &str| {
        RequestError::permanent(
            "auth.host_refused",
            format!("sign-in named `{name}` as a place that is not taken: {why}"),
        )
    };
    if value.len() > KEPT_LIMIT || value.chars().any(char::is_control) {
        return Err(refused("it is too long or holds control characters"));
    }
    let Some((_, allowed)) = oauth.hosts_allowed.iter().find(|(known, _)| known == name) else {
        return Ok(value.to_owned());
    };
    let url = Url::parse(value.trim()).map_err(|_| refused("it is no URL"))?;
    let bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare {
        return Err(refused("it is more than a scheme and a host"));
    }
    let known = url.scheme() == "https" && allowed.iter().any(|entry| is_entry(&url, entry));
    if !known && !is_own_host(connection, &url) {
        return Err(refused(
            "neither the connector nor the connection's setting `hosts` lists its host",
        ));
    }
    Ok(url.origin().ascii_serialization())
}

/// A URL that codes, tokens and secrets may be sent to: by TLS, or to a host of the setting `hosts`.
pub(super) fn endpoint(connection: &Connection, text: &str) -> Result<Url, RequestError> {
    let url = crate::request::parse_target(text)?;
    if url.scheme() != "https" && !is_own_host(connection, &url) {
        let message = format!(
            "`{}` is no place for secrets: it must be `https`, or the connection's setting `hosts` must list its host",
            crate::request::shown(text)
        );
        return Err(RequestError::permanent("auth.host_refused", message));
    }
    Ok(url)
}

/// Whether the connection's setting `hosts` lists the URL's host, with its port where that is not
/// the scheme's own.
pub(crate) fn is_own_host(connection: &Connection, url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && connection
            .own_hosts()
            .iter()
            .any(|entry| is_entry(url, entry))
}

fn is_entry(url: &Url, entry: &str) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let named = match url.port() {
        None => entry.eq_ignore_ascii_case(host),
        Some(_) => false,
    };
    let with_port = url
        .port_or_known_default()
        .is_some_and(|port| entry.eq_ignore_ascii_case(&format!("{host}:{port}")));
    named || with_port
}
