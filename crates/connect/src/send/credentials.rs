//! Credentials: added as a request leaves, and only for the connector's own hosts.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;
use velodrome_spec::connector::AuthDef;
use velodrome_spec::expr::Expr;
use velodrome_types::{Json, JsonMap};

use crate::connection::Connection;
use crate::error::RequestError;
use crate::eval::{self, Scope};
use crate::oauth::{TokenSet, is_own_host};
use crate::request::{HttpRequest, checked_header, parse_target};

/// A connection's credentials and where they may go.
pub(super) struct Signer<'a> {
    connection: &'a Connection,
    origin: Option<url::Origin>,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    body: Vec<(String, String)>,
}

/// Where credentials stand in a request.
#[derive(Default)]
pub(super) struct Names<'a> {
    pub(super) headers: Vec<&'a HeaderName>,
    pub(super) query: Vec<&'a str>,
    pub(super) body: Vec<&'a str>,
}

impl<'a> Signer<'a> {
    /// Evaluates the definition's `auth`.
    pub(super) fn new(
        connection: &'a Connection,
        tokens: Option<&TokenSet>,
    ) -> Result<Self, RequestError> {
        let kept = tokens.map(|tokens| &tokens.kept);
        let scope = Scope::new(connection).kept(kept);
        let mut signer = Self {
            connection,
            origin: None,
            headers: HeaderMap::new(),
            query: Vec::new(),
            body: Vec::new(),
        };
        let token = tokens.map(|tokens| tokens.access_token.as_str());
        let open = scope.credentials(token);
        match &connection.def.auth {
            AuthDef::None => return Ok(signer),
            AuthDef::Bearer { token } => {
                let token = eval::text(token, open)?;
                signer.put(AUTHORIZATION.as_str(), format!("Bearer {token}"))?;
            }
            AuthDef::Basic { user, password } => {
                let pair = format!(
                    "{}:{}",
                    eval::text(user, open)?,
                    eval::text(password, open)?
                );
                signer.put(
                    AUTHORIZATION.as_str(),
                    format!("Basic {}", BASE64_STANDARD.encode(&pair)),
                )?;
            }
            AuthDef::ApiKey {
                headers,
                query,
                body,
            } => {
                signer.put_all(headers, open)?;
                for (name, expr) in body {
                    signer.body.push((name.clone(), eval::text(expr, open)?));
                }
                for (name, expr) in query {
                    signer.query.push((name.clone(), eval::text(expr, open)?));
                }
            }
            AuthDef::OAuth2(oauth) => signer.put_all(&oauth.headers, open)?,
        }
        // A base URL that needs inputs has no fixed origin: then only `hosts` says where to.
        signer.origin = connection
            .def
            .base_url
            .as_ref()
            .and_then(|base| eval::url(base, scope).ok())
            .and_then(|base| Url::parse(&base).ok())
            .map(|base| base.origin());
        Ok(signer)
    }

    /// Whether a URL is at one of the connection's own hosts.
    fn owns(&self, url: &Url) -> bool {
        self.origin.as_ref().is_some_and(|own| *own == url.origin())
            || is_own_host(self.connection, url)
    }

    /// What signs a request to this URL in; nothing where it leads elsewhere.
    pub(super) fn names(&self, url: &Url) -> Names<'_> {
        if !self.owns(url) {
            return Names::default();
        }
        Names {
            headers: self.headers.keys().collect(),
            query: self.query.iter().map(|(name, _)| name.as_str()).collect(),
            body: self.body.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }

    /// The request with the credentials that stand in a body, where it has fields and goes to one of the
    /// connection's own hosts. A redirect elsewhere takes no body along.
    pub(super) fn with_body<'r>(&self, request: &'r HttpRequest) -> Cow<'r, HttpRequest> {
        let bodyless = matches!(request.verb.as_str(), "GET" | "HEAD");
        let own = || parse_target(&request.url).is_ok_and(|url| self.owns(&url));
        if self.body.is_empty() || bodyless || !own() {
            return Cow::Borrowed(request);
        }
        let mut request = request.clone();
        let body = request
            .body
            .get_or_insert_with(|| Json::Object(JsonMap::new()));
        if let Json::Object(fields) = body {
            for (name, value) in &self.body {
                fields.insert(name.clone(), Json::String(value.clone()));
            }
        }
        Cow::Owned(request)
    }

    /// Adds the credentials, if the URL is one of the connection's own hosts.
    pub(super) fn sign(&self, url: &mut Url, headers: &mut HeaderMap) {
        if !self.owns(url) {
            return;
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
    }

    fn put_all(
        &mut self,
        headers: &[(String, Expr)],
        scope: Scope<'_>,
    ) -> Result<(), RequestError> {
        for (name, expr) in headers {
            self.put(name, eval::text(expr, scope)?)?;
        }
        Ok(())
    }

    fn put(&mut self, name: &str, value: String) -> Result<(), RequestError> {
        let checked: Option<(HeaderName, HeaderValue)> = checked_header(name, &Json::from(value))?;
        if let Some((name, mut value)) = checked {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        Ok(())
    }
}
