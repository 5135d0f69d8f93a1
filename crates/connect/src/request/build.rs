//! From a method's definition and a step's values to a request. Pure.

use velodrome_spec::connector::{
    AuthDef, DateFormat, MethodDef, PagingDef, RequestDefaults, SendAs, TokenHandoff,
};
use velodrome_types::{Json, JsonMap, Timestamp};

use super::{HttpRequest, MethodCall, checked_header, header, input, parse_target, url};
use crate::connection::Connection;
use crate::error::RequestError;
use crate::eval::{self, Scope};
use crate::oauth::TokenSet;

/// Builds the request. `auth` gives only what sign-in kept, such as the API's domain.
pub(crate) fn build(
    connection: &Connection,
    auth: Option<&TokenSet>,
    method: &MethodDef,
    call: MethodCall,
) -> Result<HttpRequest, RequestError> {
    if matches!(connection.def.auth, AuthDef::OAuth2(_)) && auth.is_none() {
        return Err(RequestError::needs_connection(
            connection.id.as_str(),
            "is not signed in",
        ));
    }
    let inputs = input::inputs(method, &call.inputs)?;
    let scope = Scope::new(connection)
        .kept(auth.map(|tokens| &tokens.kept))
        .inputs(&inputs);

    let mut draft = Draft::new(method, target(method, call.url, scope)?);
    draft.defaults(&connection.def.request, scope)?;
    draft.defaults(&method.request, scope)?;
    if let Some(body) = &method.body {
        draft.body_of(eval::evaluate(body, scope)?);
    }
    let token = call.page_token.as_deref().zip(handoff(method));
    for (name, value) in &inputs {
        match method.inputs.get(name).map(|def| &def.send_as) {
            _ if token.is_some_and(|(_, handoff)| handoff.page == *name) => {}
            Some(place) => draft.put(place, value.clone()),
            None => draft.put(&SendAs::Body(name.clone()), value.clone()),
        }
    }
    if let Some((token, handoff)) = token {
        let place = SendAs::Query(handoff.send.clone());
        draft.put(&place, Json::String(token.to_owned()));
    }
    if let Some((date, incremental)) = call.filter.zip(method.incremental.as_ref()) {
        draft.put(&incremental.send_as, written(date, incremental.format));
    }
    for (name, value) in call.query {
        draft.request.query.insert(name, value);
    }
    for (name, value) in call.headers {
        header::set_header(&mut draft.request.headers, &name, value);
    }
    draft.finish()
}

/// A request in the making.
struct Draft {
    request: HttpRequest,
    fields: JsonMap,
    whole_body: Option<Json>,
    always_body: bool,
}

impl Draft {
    fn new(method: &MethodDef, url: String) -> Self {
        let verb = method.verb.to_ascii_uppercase();
        let carries = matches!(verb.as_str(), "POST" | "PUT" | "PATCH");
        Self {
            always_body: carries && method.open_body,
            request: HttpRequest {
                verb,
                url,
                query: JsonMap::new(),
                headers: JsonMap::new(),
                body: None,
            },
            fields: JsonMap::new(),
            whole_body: None,
        }
    }

    fn defaults(
        &mut self,
        defaults: &RequestDefaults,
        scope: Scope<'_>,
    ) -> Result<(), RequestError> {
        for (name, expr) in &defaults.query {
            if let Some(value) = eval::evaluate(expr, scope)? {
                self.request.query.insert(name.clone(), value);
            }
        }
        for (name, expr) in &defaults.headers {
            if let Some(value) = eval::evaluate(expr, scope)? {
                header::set_header(&mut self.request.headers, name, value);
            }
        }
        Ok(())
    }

    fn body_of(&mut self, body: Option<Json>) {
        match body {
            Some(Json::Object(fields)) => {
                self.always_body = true;
                self.fields = fields;
            }
            Some(Json::Null) | None => {}
            Some(other) => self.whole_body = Some(other),
        }
    }

    fn put(&mut self, place: &SendAs, value: Json) {
        match place {
            SendAs::Query(name) => {
                self.request.query.insert(name.clone(), value);
            }
            SendAs::Header(name) => header::set_header(&mut self.request.headers, name, value),
            SendAs::Body(name) => {
                self.fields.insert(name.clone(), value);
            }
            SendAs::Nowhere => {}
        }
    }

    fn finish(mut self) -> Result<HttpRequest, RequestError> {
        for (name, value) in &self.request.headers {
            checked_header(name, value)?;
        }
        self.request.body = match self.whole_body {
            Some(body) if self.fields.is_empty() => Some(body),
            Some(_) => {
                return Err(RequestError::permanent(
                    "connector.body",
                    "the method's body is no object, so nothing can be mapped into it",
                ));
            }
            None => {
                (self.always_body || !self.fields.is_empty()).then_some(Json::Object(self.fields))
            }
        };
        Ok(self.request)
    }
}

/// Where the request goes: the connector's base URL and the method's path, or the step's own URL.
fn target(
    method: &MethodDef,
    given: Option<String>,
    scope: Scope<'_>,
) -> Result<String, RequestError> {
    let def = scope.definition();
    let text = match (&method.path, &def.base_url, given) {
        (Some(path), Some(base), _) => {
            url::join(&eval::url(base, scope)?, &eval::path(path, scope)?)
        }
        (Some(path), None, _) => eval::url(path, scope)?,
        (None, _, Some(given)) => given,
        (None, Some(base), None) => eval::url(base, scope)?,
        (None, None, None) => {
            return Err(RequestError::permanent(
                "request.missing_url",
                "the step gives no `url`",
            ));
        }
    };
    parse_target(&text)?;
    Ok(text.trim().to_owned())
}

fn handoff(method: &MethodDef) -> Option<&TokenHandoff> {
    match &method.paging {
        PagingDef::ByHand { handoff } => handoff.as_ref(),
        PagingDef::None => None,
    }
}

fn written(date: Timestamp, format: DateFormat) -> Json {
    match format {
        DateFormat::Iso8601OffsetSeconds => Json::String(date.to_iso8601_offset_seconds()),
        DateFormat::Iso8601UtcSeconds => Json::String(date.to_iso8601_utc_seconds()),
        DateFormat::UnixSeconds => Json::from(date.as_millis().div_euclid(1_000)),
    }
}
