//! From a method's definition and a step's values to a request. Pure.

use velodrome_spec::connector::{
    AuthDef, Counted, MethodDef, Pager, PagingDef, PagingStyle, RequestDefaults, SendAs,
    TokenHandoff,
};
use velodrome_types::{Json, JsonMap};

use super::date::filter_date;
use super::{HttpRequest, MethodCall, checked_header, header, input, parse_target, url};
use crate::connection::Connection;
use crate::error::RequestError;
use crate::eval::{self, Scope};
use crate::oauth::TokenSet;
use crate::paging::PageAt;

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
    let since = call
        .filter
        .zip(method.incremental.as_ref())
        .map(|(date, incremental)| filter_date(date, incremental));
    let behind = match &call.page {
        Some(PageAt::Behind(fields)) => Some(fields),
        _ => None,
    };
    let scope = Scope::new(connection)
        .kept(auth.map(|tokens| &tokens.kept))
        .inputs(&inputs)
        .page(behind, since.as_ref());

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
            Some(place) => draft.put(place, value.clone())?,
            None => {
                draft.fields.insert(name.clone(), value.clone());
            }
        }
    }
    if let Some((token, handoff)) = token {
        let place = SendAs::Query(handoff.send.clone());
        draft.put(&place, Json::String(token.to_owned()))?;
    }
    if let Some((date, incremental)) = since.as_ref().zip(method.incremental.as_ref()) {
        draft.put(&incremental.send_as, date.clone())?;
    }
    if let Some(pager) = method.paging.pager() {
        draft.page(pager, call.page.as_ref())?;
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

    fn put(&mut self, place: &SendAs, value: Json) -> Result<(), RequestError> {
        match place {
            SendAs::Query(name) => {
                self.request.query.insert(name.clone(), value);
            }
            SendAs::Header(name) => header::set_header(&mut self.request.headers, name, value),
            SendAs::Body(path) => nest(&mut self.fields, path, value)?,
            // Scripts alone get it; see `script_parameters`.
            SendAs::Script(_) | SendAs::Nowhere => {}
        }
        Ok(())
    }

    /// What asks for this page.
    fn page(&mut self, pager: &Pager, at: Option<&PageAt>) -> Result<(), RequestError> {
        let at = at.unwrap_or(&PageAt::First);
        if let PageAt::Url(url) = at {
            // It is whole: the first request's own query would stand in it twice.
            parse_target(url)?;
            self.request.url.clone_from(url);
            self.request.query.clear();
            return Ok(());
        }
        if let Some((place, size)) = pager
            .size
            .as_ref()
            .and_then(|size| Some((size.send.as_ref()?, size.value)))
        {
            self.put(place, Json::from(size))?;
        }
        match (&pager.style, at) {
            (
                PagingStyle::Page(count)
                | PagingStyle::Offset { count, .. }
                | PagingStyle::Handoff { count, .. },
                PageAt::First,
            ) => self.first(count),
            (
                PagingStyle::Page(count)
                | PagingStyle::Offset { count, .. }
                | PagingStyle::Handoff { count, .. },
                PageAt::Number(number),
            ) => self.put(&count.send, Json::from(*number)),
            (
                PagingStyle::Cursor { send, .. }
                | PagingStyle::LastRecord { send, .. }
                | PagingStyle::Handoff { send, .. },
                PageAt::Token(token),
            ) => self.put(send, Json::String(token.clone())),
            (PagingStyle::Keyset { .. }, PageAt::Behind(_)) | (_, PageAt::First) => Ok(()),
            (_, PageAt::Number(_) | PageAt::Token(_) | PageAt::Behind(_) | PageAt::Url(_)) => {
                Err(RequestError::permanent(
                    "paging.no_next",
                    "the method pages in another way than when this list was begun: begin it again",
                ))
            }
        }
    }

    fn first(&mut self, count: &Counted) -> Result<(), RequestError> {
        if count.first {
            self.put(&count.send, Json::from(count.start))?;
        }
        Ok(())
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
        PagingDef::ByHand { handoff, .. } => handoff.as_ref(),
        PagingDef::None | PagingDef::Whole { .. } | PagingDef::Engine(_) => None,
    }
}

/// Puts a value at a place of the body, `a.b` inside another; what stands beside it stays.
fn nest(fields: &mut JsonMap, path: &str, value: Json) -> Result<(), RequestError> {
    let Some((name, rest)) = path.split_once('.') else {
        fields.insert(path.to_owned(), value);
        return Ok(());
    };
    let inner = fields
        .entry(name)
        .or_insert_with(|| Json::Object(JsonMap::new()));
    match inner {
        Json::Object(inner) => nest(inner, rest, value),
        _ => Err(RequestError::permanent(
            "connector.body",
            format!("`{name}` of the body is no object, so `{rest}` cannot be put into it"),
        )),
    }
}
