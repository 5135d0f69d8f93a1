//! The CRM API's door: who calls, for what, and which file answers.
//!
//! Checked in this order, one fault at a time: token, scope, limits, address, module, parameters.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::Response;

use crate::answer::{Answer, Telling, dress};
use crate::clock::zoho_time;
use crate::errors::{CrmError, Limit};
use crate::query::Pairs;
use crate::version::Version;
use crate::world::{App, World};
use crate::{deleted, list, record, write};

/// A request as the answering files see it.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) version: Version,
    pub(crate) query: Pairs,
    pub(crate) if_modified_since: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// What a method and path ask for, once both are known to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation<'a> {
    List,
    Get(&'a str),
    Deleted,
    Insert,
    UpdateMany,
    Update(&'a str),
    DeleteMany,
    Delete(&'a str),
}

/// Below these, Zoho keeps endpoints that the simulator does not have.
const NOT_SERVED: [&str; 3] = ["search", "upsert", "actions"];

pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let entered = Entered::new(&app);
    let latency = app.world().switches.latency_ms;
    if latency > 0 && is_list(&method, uri.path()) {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    let mut telling = Telling::default();
    let mut world = app.world();
    let answer = answer(
        &mut world,
        &entered,
        &mut telling,
        &Asked {
            method,
            uri,
            headers,
            body,
        },
    );
    drop(world);
    dress(answer, &telling)
}

struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

fn answer(
    world: &mut World,
    entered: &Entered<'_>,
    telling: &mut Telling,
    asked: &Asked,
) -> Answer {
    let (version, operation) = match admit(world, entered, telling, asked) {
        Ok(admitted) => admitted,
        Err(refusal) => return Answer::refusal(&refusal),
    };
    let since = asked.headers.get(header::IF_MODIFIED_SINCE);
    let call = Call {
        version,
        query: Pairs::parse(asked.uri.query().unwrap_or_default().as_bytes()),
        if_modified_since: since.map(|value| value.to_str().unwrap_or("not text")),
        body: &asked.body,
    };
    perform(world, operation, &call)
}

fn perform(world: &mut World, operation: Operation<'_>, call: &Call<'_>) -> Answer {
    let done = match operation {
        Operation::List => list::list(world, call),
        Operation::Get(id) => record::get(world, call, id),
        Operation::Deleted => deleted::deleted(world, call),
        Operation::Insert => write::insert(world, call),
        Operation::UpdateMany => write::update_many(world, call),
        Operation::Update(id) => write::update(world, call, id),
        Operation::DeleteMany => write::delete_many(world, call),
        Operation::Delete(id) => write::delete(world, id),
    };
    done.unwrap_or_else(|error| match operation {
        Operation::List | Operation::Get(_) => Answer::refusal(&error),
        _ => Answer::refusal_in_data(&error),
    })
}

fn admit<'a>(
    world: &mut World,
    entered: &Entered<'_>,
    telling: &mut Telling,
    asked: &'a Asked,
) -> Result<(Version, Operation<'a>), CrmError> {
    let token = token(&asked.headers).ok_or(CrmError::AuthenticationFailure)?;
    let now = world.now();
    let access = world
        .grants
        .access(token, now)
        .cloned()
        .ok_or(CrmError::InvalidToken)?;
    telling.token_reset = Some(zoho_time(access.expires, world.contacts.zone()));
    let needed = match asked.method {
        Method::POST => "CREATE",
        Method::PUT => "UPDATE",
        Method::DELETE => "DELETE",
        _ => "READ",
    };
    if !access.scopes.iter().any(|scope| allows(scope, needed)) {
        return Err(CrmError::ScopeMismatch);
    }
    if entered.one_too_many {
        return Err(CrmError::TooManyRequests(Limit::Concurrency));
    }
    let routed = route(&asked.method, asked.uri.path());
    let cost = match routed {
        Ok((_, Operation::Deleted)) => 2,
        _ => 1,
    };
    telling.credits_remaining = world.limits.spend(cost, now)?;
    routed
}

fn route<'a>(method: &Method, path: &'a str) -> Result<(Version, Operation<'a>), CrmError> {
    let mut segments = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .skip(1);
    let version = segments
        .next()
        .and_then(Version::named)
        .ok_or(CrmError::InvalidUrlPattern)?;
    let module = segments.next().ok_or(CrmError::InvalidUrlPattern)?;
    if module != "Contacts" {
        return Err(CrmError::InvalidModule);
    }
    let (below, deeper) = (segments.next(), segments.next());
    if deeper.is_some() || below.is_some_and(|name| NOT_SERVED.contains(&name)) {
        return Err(CrmError::InvalidUrlPattern);
    }
    let operation = match (below, method) {
        (None, &Method::GET) => Operation::List,
        (None, &Method::POST) => Operation::Insert,
        (None, &Method::PUT) => Operation::UpdateMany,
        (None, &Method::DELETE) => Operation::DeleteMany,
        (Some("deleted"), &Method::GET) => Operation::Deleted,
        (Some("deleted"), _) => return Err(CrmError::InvalidRequestMethod),
        (Some(id), &Method::GET) => Operation::Get(id),
        (Some(id), &Method::PUT) => Operation::Update(id),
        (Some(id), &Method::DELETE) => Operation::Delete(id),
        _ => return Err(CrmError::InvalidRequestMethod),
    };
    Ok((version, operation))
}

/// Whether a request is for the list of contacts.
pub(crate) fn is_list(method: &Method, path: &str) -> bool {
    matches!(route(method, path), Ok((_, Operation::List)))
}

/// The scheme of `Authorization`, and what follows it.
pub(crate) fn authorization(headers: &HeaderMap) -> Option<(&str, &str)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    text.split_once(' ')
        .map(|(scheme, token)| (scheme, token.trim()))
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = authorization(headers)?;
    let known = ["zoho-oauthtoken", "bearer"];
    let known = known.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    (known && !token.is_empty()).then_some(token)
}

/// `ZohoCRM.modules.ALL`, `ZohoCRM.modules.contacts.READ` and their kin, in any case.
fn allows(scope: &str, needed: &str) -> bool {
    let scope = scope.to_ascii_lowercase();
    let Some(rest) = scope.strip_prefix("zohocrm.modules.") else {
        return false;
    };
    let operation = rest.strip_prefix("contacts.").unwrap_or(rest);
    let writes = needed != "READ" && operation == "write";
    operation == "all" || writes || operation.eq_ignore_ascii_case(needed)
}

/// A place among the calls at once, given back when the answer is made or the caller has gone.
struct Entered<'a> {
    app: &'a App,
    one_too_many: bool,
}

impl<'a> Entered<'a> {
    fn new(app: &'a App) -> Self {
        let one_too_many = !app.world().limits.enter();
        Self { app, one_too_many }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.app.world().limits.leave();
    }
}
