//! Connections: declared ones, default ones, and their sign-in.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use secrecy::SecretString;
use subtle::ConstantTimeEq;
use velodrome_connect::{Connect, Connection, SecretUnset};
use velodrome_spec::Plan;
use velodrome_spec::connector::{AuthDef, ConnectorDef};
use velodrome_spec::plan::StepKind;
use velodrome_types::{ConnectionId, Timestamp};

use crate::api::{ConnectionView, Problem};
use crate::clock::Clock;
use crate::vault::Vault;

/// How long a started sign-in may take.
const SIGN_IN_PATIENCE: Duration = Duration::from_secs(600);
/// Sign-ins under way at once; the oldest is forgotten past that.
const SIGN_INS: usize = 64;

/// The connections of this server.
#[derive(Debug)]
pub(crate) struct Connections {
    vault: Arc<Vault>,
    known: RwLock<HashMap<ConnectionId, Entry>>,
    pending: Mutex<Vec<Pending>>,
}

#[derive(Clone, Debug)]
struct Entry {
    connection: Arc<Connection>,
    /// Whether it can be used: it needs no sign-in, or somebody signed in.
    ready: bool,
    declared: bool,
}

/// A sign-in under way: a one-time ticket, then a state bound to the browser by a cookie.
#[derive(Debug)]
struct Pending {
    connection: ConnectionId,
    until: Timestamp,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The link was printed and not opened yet.
    Ticket(String),
    /// The browser was sent away.
    Away {
        state: String,
        verifier: SecretString,
        cookie: String,
    },
}

impl Connections {
    /// Every connection that scripts may have stored something on.
    pub(crate) fn storages(&self) -> Vec<ConnectionId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<ConnectionId> = known.keys().cloned().collect();
        // What steps without a connection use.
        let default = ConnectionId::from("data_storage");
        if !ids.contains(&default) {
            ids.push(default);
        }
        ids
    }

    /// The declared connections, each with whether it is signed in.
    pub(crate) fn new(declared: Vec<(Connection, bool)>, vault: Arc<Vault>) -> Self {
        for (connection, _) in &declared {
            let source = format!("connection/{}", connection.id);
            let secrets = connection.secrets();
            vault
                .redactor()
                .learn(&source, secrets.iter().map(String::as_str));
        }
        let known = declared
            .into_iter()
            .map(|(connection, signed_in)| {
                let ready = signed_in || !needs_sign_in(&connection.def);
                (
                    connection.id.clone(),
                    Entry {
                        connection: Arc::new(connection),
                        ready,
                        declared: true,
                    },
                )
            })
            .collect();
        Self {
            vault,
            known: RwLock::new(known),
            pending: Mutex::default(),
        }
    }

    /// Puts other declared connections in force. What is under way goes on with those it began with; a
    /// connection that somebody signed in to stays signed in while its connector is the same.
    pub(crate) fn replace(&self, declared: Vec<(Connection, bool)>) {
        let next = Self::new(declared, Arc::clone(&self.vault));
        let next = next
            .known
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<ConnectionId, Entry>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all declared connections.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let declared: Vec<String> = self
            .read()
            .iter()
            .filter(|(_, entry)| entry.declared)
            .map(|(id, _)| id.to_string())
            .collect();
        declared.into_iter()
    }

    /// The connector of a declared connection.
    pub(crate) fn declared(&self, id: &str) -> Option<Arc<ConnectorDef>> {
        self.read()
            .get(id)
            .filter(|entry| entry.declared)
            .map(|entry| Arc::clone(&entry.connection.def))
    }

    /// A connection with its secrets as they are now.
    fn with_secrets(&self, connection: &Arc<Connection>) -> Result<Arc<Connection>, SecretUnset> {
        connection.with_secrets(&|name| self.vault.secret(name))
    }

    /// A connection as it can be asked, or the default one of a connector that needs nothing said.
    pub(crate) fn get(
        &self,
        id: &ConnectionId,
        def: &Arc<ConnectorDef>,
    ) -> Result<Option<Arc<Connection>>, SecretUnset> {
        let found = self.known_or_default(id, def);
        found.map(|found| self.with_secrets(&found)).transpose()
    }

    fn known_or_default(
        &self,
        id: &ConnectionId,
        def: &Arc<ConnectorDef>,
    ) -> Option<Arc<Connection>> {
        if let Some(entry) = self.read().get(id) {
            // A run keeps the definition it began with; settings and credentials are the present ones.
            if entry.connection.def.hash == def.hash {
                return Some(Arc::clone(&entry.connection));
            }
            let mut connection = (*entry.connection).clone();
            connection.def = Arc::clone(def);
            return Some(Arc::new(connection));
        }
        if !def.needs_nothing() {
            return None;
        }
        let connection = Arc::new(Connection::with_defaults(id.clone(), Arc::clone(def)));
        let entry = Entry {
            connection: Arc::clone(&connection),
            ready: true,
            declared: false,
        };
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), entry);
        Some(connection)
    }

    /// The first connection of a plan that cannot be used, with why.
    pub(crate) fn missing(&self, plan: &Plan) -> Option<(ConnectionId, &'static str)> {
        let known = self.read();
        plan.steps.iter().find_map(|step| {
            let method = match &step.kind {
                StepKind::List(list) => &list.method,
                StepKind::Send(send) => &send.method,
                _ => return None,
            };
            match known.get(&method.connection) {
                Some(entry) if entry.ready => None,
                Some(_) => Some((method.connection.clone(), "nobody has signed in to it")),
                None if method.connector.needs_nothing() => None,
                None => Some((
                    method.connection.clone(),
                    "velodrome.yaml does not declare it",
                )),
            }
        })
    }

    pub(crate) fn views(&self) -> Vec<ConnectionView> {
        let mut views: Vec<ConnectionView> = self
            .read()
            .values()
            .map(|entry| ConnectionView {
                id: entry.connection.id.to_string(),
                connector: entry.connection.def.name.clone(),
                state: if entry.ready {
                    "ready"
                } else {
                    "needs_sign_in"
                },
            })
            .collect();
        views.sort_by(|a, b| a.id.cmp(&b.id));
        views
    }

    fn connection(&self, id: &ConnectionId) -> Result<Arc<Connection>, Problem> {
        self.read()
            .get(id)
            .map(|entry| Arc::clone(&entry.connection))
            .ok_or_else(|| {
                Problem::new(
                    404,
                    "connection.unknown",
                    format!("there is no connection `{id}` in velodrome.yaml"),
                )
            })
    }

    /// Begins a sign-in: the ticket of its one-time link.
    pub(crate) fn ticket(&self, id: &ConnectionId, clock: &Clock) -> Result<String, Problem> {
        let connection = self.connection(id)?;
        if !needs_sign_in(&connection.def) {
            let what = format!(
                "connector `{}` of connection `{id}` has no sign-in",
                connection.def.name
            );
            return Err(Problem::new(409, "connection.no_sign_in", what));
        }
        let ticket = crate::random::token();
        let until = clock.now().plus(SIGN_IN_PATIENCE);
        self.keep(Pending {
            connection: id.clone(),
            until,
            stage: Stage::Ticket(ticket.clone()),
        });
        Ok(ticket)
    }

    fn keep(&self, pending: Pending) {
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SIGN_INS {
            all.remove(0);
        }
        all.push(pending);
    }

    /// Takes the sign-in that fits, once.
    fn take(&self, now: Timestamp, fits: impl Fn(&Stage) -> bool) -> Option<Pending> {
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|pending| pending.until > now);
        let at = all.iter().position(|pending| fits(&pending.stage))?;
        Some(all.remove(at))
    }

    /// The link was opened: where the browser goes, and the cookie that binds the state to it.
    pub(crate) fn open(
        &self,
        connect: &Connect,
        ticket: &str,
        clock: &Clock,
    ) -> Result<(String, String), Problem> {
        let used = || {
            Problem::new(
                403,
                "auth.ticket_used",
                "this link was used or is too old: run `velodrome connect` again",
            )
        };
        let pending = self
            .take(
                clock.now(),
                |stage| matches!(stage, Stage::Ticket(known) if same(known, ticket)),
            )
            .ok_or_else(used)?;
        let connection = self.connection(&pending.connection)?;
        let connection = self.with_secrets(&connection).map_err(unset)?;
        let begun = connect
            .begin_sign_in(&connection)
            .map_err(|error| Problem {
                code: error.code.clone(),
                ..Problem::new(409, "auth.sign_in_failed", error.message)
            })?;
        let cookie = crate::random::token();
        let stage = Stage::Away {
            state: begun.state,
            verifier: begun.verifier,
            cookie: cookie.clone(),
        };
        self.keep(Pending { stage, ..pending });
        Ok((begun.url, cookie))
    }

    /// The browser came back.
    pub(crate) async fn finish(
        &self,
        connect: &Connect,
        query: BTreeMap<String, String>,
        cookie: Option<String>,
        clock: &Clock,
    ) -> Result<ConnectionId, Problem> {
        let refused = || {
            Problem::new(
                403,
                "auth.state",
                "this answer belongs to no sign-in of this browser: run `velodrome connect` again",
            )
        };
        let state = query.get("state").cloned().unwrap_or_default();
        let cookie = cookie.ok_or_else(refused)?;
        let pending = self
            .take(clock.now(), |stage| match stage {
                Stage::Away {
                    state: known,
                    cookie: bound,
                    ..
                } => same(known, &state) & same(bound, &cookie),
                Stage::Ticket(_) => false,
            })
            .ok_or_else(refused)?;
        let Stage::Away { verifier, .. } = pending.stage else {
            return Err(refused());
        };
        let connection = self.connection(&pending.connection)?;
        let connection = self.with_secrets(&connection).map_err(unset)?;
        connect
            .finish_sign_in(&connection, &verifier, query)
            .await
            .map_err(|error| Problem {
                code: error.code.clone(),
                ..Problem::new(409, "auth.sign_in_failed", error.message)
            })?;
        self.set_ready(&pending.connection, true);
        Ok(pending.connection)
    }

    /// Notes that a connection can be used, or can no more.
    pub(crate) fn set_ready(&self, id: &ConnectionId, ready: bool) {
        if let Some(entry) = self
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(id)
        {
            entry.ready = ready;
        }
    }
}

fn unset(error: SecretUnset) -> Problem {
    Problem::new(409, "secret.unset", error.to_string())
}

fn needs_sign_in(def: &ConnectorDef) -> bool {
    matches!(def.auth, AuthDef::OAuth2(_))
}

fn same(known: &str, given: &str) -> bool {
    known.as_bytes().ct_eq(given.as_bytes()).into()
}
