//! Routes, each declared with the role that it asks for.
//!
//! What is declared here is what the router has and what `docs/access.md` and the tests list: there is no other
//! way to add a route, and none that leaves the role out.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use velodrome_runtime::api::Problem;
use velodrome_types::{Json, Role};

use super::caller::{Caller, unauthenticated};
use super::refusal::{ForPeople, refusal};
use crate::app::App;

/// A route and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The method; `GET` is `HEAD` too.
    pub method: &'static str,
    /// The path, with its places in braces.
    pub path: String,
    /// Who may use it.
    pub who: Who,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever has this role, or one above it, behind this gate.
    Role(Gate, Role),
    /// Whoever can reach the server; why that is right.
    Anybody(&'static str),
}

/// What stands before a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Answers everybody with problem details.
    Api,
    /// Sends a browser that nobody signed in with to the sign-in.
    Console,
}

/// Routes with their roles.
#[derive(Debug, Default)]
pub(crate) struct Guarded {
    router: Router<Arc<App>>,
    rules: Vec<Rule>,
}

/// A route as it is declared, before it is known what stands before it.
#[derive(Debug)]
struct Rule {
    method: &'static str,
    path: &'static str,
    asks: Asks,
}

#[derive(Debug)]
enum Asks {
    Role(Role),
    Nothing(&'static str),
}

impl Guarded {
    /// No routes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A route that is looked at.
    pub(crate) fn get<H, T>(self, role: Role, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.asking(role, "GET", path, get(handler))
    }

    /// A route that does something.
    pub(crate) fn post<H, T>(self, role: Role, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.asking(role, "POST", path, post(handler))
    }

    /// A route that sets something.
    pub(crate) fn put<H, T>(self, role: Role, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.asking(role, "PUT", path, put(handler))
    }

    /// A route that removes something.
    pub(crate) fn delete<H, T>(self, role: Role, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.asking(role, "DELETE", path, delete(handler))
    }

    /// Routes that stand behind no gate, with these methods; `why` says what protects them, or that nothing
    /// needs to.
    pub(crate) fn open(
        mut self,
        methods: &[&'static str],
        path: &'static str,
        why: &'static str,
        routes: MethodRouter<Arc<App>, Infallible>,
    ) -> Self {
        self.rules.extend(methods.iter().map(|method| Rule {
            method,
            path,
            asks: Asks::Nothing(why),
        }));
        self.router = self.router.route(path, routes);
        self
    }

    fn asking(
        mut self,
        role: Role,
        method: &'static str,
        path: &'static str,
        route: MethodRouter<Arc<App>, Infallible>,
    ) -> Self {
        self.rules.push(Rule {
            method,
            path,
            asks: Asks::Role(role),
        });
        let asks = move |request: Request, next: Next| asks(role, request, next);
        self.router = self.router.route(path, route.route_layer(from_fn(asks)));
        self
    }

    /// These routes and those.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.rules.extend(other.rules);
        self
    }

    /// What is declared here, where it stands below this path and behind this gate.
    pub(crate) fn rules(self, prefix: &str, gate: Gate) -> impl Iterator<Item = RouteRule> {
        self.rules.into_iter().map(move |rule| RouteRule {
            method: rule.method,
            path: format!("{prefix}{}", rule.path),
            who: match rule.asks {
                Asks::Role(role) => Who::Role(gate, role),
                Asks::Nothing(why) => Who::Anybody(why),
            },
        })
    }

    /// The routes, to be put behind a gate.
    pub(crate) fn into_router(self) -> Router<Arc<App>> {
        self.router
    }
}

/// Lets through whoever has the role. Where no gate has said who is there, nobody is.
async fn asks(role: Role, request: Request, next: Next) -> Response {
    let people = request.extensions().get::<ForPeople>().copied();
    let refused = match request.extensions().get::<Caller>() {
        Some(caller) if caller.role.allows(role) => return next.run(request).await,
        Some(caller) => forbidden(caller, role),
        None => unauthenticated("send a token as `Authorization: Bearer …`"),
    };
    refusal(refused, people)
}

fn forbidden(caller: &Caller, needed: Role) -> Problem {
    let what = format!(
        "this needs the role `{needed}`, and the token `{}` has `{}`: `velodrome token create --role {needed}` makes one that may",
        caller.name, caller.role
    );
    let mut problem = Problem::new(403, "api.forbidden", what);
    let role = Json::from(needed.as_str());
    problem.more.insert("role".to_owned(), role);
    problem
}
