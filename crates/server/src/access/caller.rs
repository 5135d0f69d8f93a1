//! Who a request comes from, once that is known.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use velodrome_runtime::api::Problem;
use velodrome_types::{Role, TokenId};

use super::session::Session;
use crate::app::App;
use crate::problem::Refusal;

/// What the token of the data folder's file is called.
const ADMIN: &str = "admin";

/// A token that is known and has not expired.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// None is the token of the data folder's file.
    pub(super) id: Option<TokenId>,
    pub(super) name: String,
    pub(super) role: Role,
    /// Tells the token from another that takes its place.
    pub(super) print: Print,
}

/// The first half of a token's hash.
pub(super) type Print = [u8; 16];

pub(super) fn print(hash: &[u8; 32]) -> Print {
    let (first, _) = hash.split_at(16);
    first.try_into().expect("sixteen of 32 bytes")
}

impl Holder {
    pub(super) fn admin(hash: &[u8; 32]) -> Self {
        Self {
            id: None,
            name: ADMIN.to_owned(),
            role: Role::Admin,
            print: print(hash),
        }
    }

    /// Every token that may come in now.
    fn all(app: &App) -> Vec<(Self, [u8; 32])> {
        let admin = *app.options.admin_token.bytes();
        let mut all = vec![(Self::admin(&admin), admin)];
        let now = app.options.now.read();
        let known = app.engine.known_tokens();
        let known = known.iter();
        let valid = known.filter(|token| token.expires.is_none_or(|until| until > now));
        all.extend(valid.map(|token| {
            let holder = Self {
                id: Some(token.id),
                name: token.name.clone(),
                role: token.role,
                print: print(&token.hash),
            };
            (holder, token.hash)
        }));
        all
    }

    /// Whose token this is. It is compared with each there is to its end, so that the time tells nothing.
    pub(super) fn presenting(app: &App, token: &str) -> Option<Self> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for (holder, known) in Self::all(app) {
            let same: Choice = known.ct_eq(&hash);
            if bool::from(same) {
                found = Some(holder);
            }
        }
        found
    }

    /// The token that was called so when a session or a link was made with it; none once it is revoked, has
    /// expired or another is in its place.
    pub(super) fn called(app: &App, id: Option<TokenId>, print: Print) -> Option<Self> {
        let mut all = Self::all(app).into_iter().map(|(holder, _)| holder);
        all.find(|holder| holder.id == id && holder.print == print)
    }
}

/// Who a request comes from: every request that passed a gate carries it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What it may do.
    pub(crate) role: Role,
    /// The token's name, as the log tells it.
    pub(crate) name: String,
    /// What a form of a page must send back, where a session is asking.
    pub(crate) csrf: Option<String>,
    pub(super) holder: Holder,
    pub(super) session: Option<Session>,
}

impl Caller {
    pub(super) fn by_token(holder: Holder) -> Self {
        Self {
            role: holder.role,
            name: holder.name.clone(),
            csrf: None,
            holder,
            session: None,
        }
    }

    pub(super) fn by_session(holder: Holder, session: Session, csrf: String) -> Self {
        Self {
            csrf: Some(csrf),
            session: Some(session),
            ..Self::by_token(holder)
        }
    }

    /// Whether it would be let in now as it was then: its token is neither revoked nor expired, its session has not
    /// ended.
    pub(crate) fn stays(&self, app: &App) -> bool {
        let now = app.options.now.read();
        let is_open =
            |session: &Session| session.ends > now && !app.engine.is_session_ended(&session.name());
        self.session.as_ref().is_none_or(is_open)
            && Holder::called(app, self.holder.id, self.holder.print).is_some()
    }

    /// The token that it came in with, to make a link of.
    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Refusal> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Refusal(unauthenticated("send a token as `Authorization: Bearer …`")))
    }
}

/// 401.
pub(super) fn unauthenticated(what: &str) -> Problem {
    Problem::new(401, "api.unauthenticated", what)
}
