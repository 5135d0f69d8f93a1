//! Tokens for the API, and sessions that were ended before their time.
//!
//! A token is known again by its SHA-256 and given out once. Its row is sealed like every other in the store's
//! secrets, so that a backup without its key tells neither who may come in nor as what; a row that does not open
//! lets nobody in, and can be revoked all the same.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use velodrome_store::{Store, StoreError, Unit};
use velodrome_types::{Role, Timestamp, TokenId};

use crate::accept::uncommitted;
use crate::api::{NewToken, Problem, TokenMade, TokenView};
use crate::engine::{Engine, find, unreadable};
use crate::vault::Vault;

/// What tokens begin with, so that secret scanners and people know one when they see it.
pub const TOKEN_PREFIX: &str = "vdt_";
/// Characters behind it: 32 bytes as base64.
pub(crate) const TOKEN_LENGTH: usize = 43;
/// What the rows are called.
const TOKEN: &str = "api_token/";
const ENDED: &str = "ended_session/";
/// The format of a token's row.
const FORMAT: u8 = 1;
/// The name of the token in the data folder's file, which no other has.
const ADMIN: &str = "admin";
/// What stands for the newest where an id is asked for.
const LAST: &str = "last";
/// Tokens that there may be: each presented one is compared with all.
const MOST_TOKENS: usize = 1_000;
/// Ended sessions that are remembered; beyond it those go that would have ended soonest by themselves.
const MOST_ENDED: usize = 10_000;
/// Characters of a token's name.
const LONGEST_NAME: usize = 64;

/// Whether a row of the store's secrets is one of these.
pub(crate) fn is_row(name: &str) -> bool {
    name.starts_with(TOKEN) || name.starts_with(ENDED)
}

/// A token as it is stored. The time it was made stands in its id.
#[derive(Serialize, Deserialize)]
struct StoredToken {
    format: u8,
    name: String,
    role: Role,
    hash: String,
    created: Timestamp,
    expires: Option<Timestamp>,
}

/// A token that may come in.
#[derive(Clone, Debug)]
pub struct KnownToken {
    /// Its id.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is of no use.
    pub expires: Option<Timestamp>,
}

impl KnownToken {
    fn of(id: TokenId, stored: StoredToken) -> Option<Self> {
        let hash = URL_SAFE_NO_PAD.decode(&stored.hash).ok()?;
        Some(Self {
            id,
            hash: hash.try_into().ok().filter(|_| stored.format == FORMAT)?,
            name: stored.name,
            role: stored.role,
            created: stored.created,
            expires: stored.expires,
        })
    }

    fn view(&self) -> TokenView {
        TokenView {
            id: self.id,
            name: Some(self.name.clone()),
            role: Some(self.role),
            created: Some(self.created),
            expires: self.expires,
        }
    }
}

/// Who may come in, in memory.
#[derive(Debug, Default)]
pub(crate) struct Access {
    tokens: RwLock<Arc<[KnownToken]>>,
    /// By what each session is called, when it would have ended by itself.
    ended: RwLock<BTreeMap<String, Timestamp>>,
}

impl Access {
    /// What the store has. What does not open is told and counts as not there.
    pub(crate) fn load(
        store: &dyn Store,
        vault: &Vault,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut tokens = Vec::new();
        for name in store.secret_names(TOKEN)? {
            let id = name.strip_prefix(TOKEN).and_then(|id| id.parse().ok());
            let stored = opened(store, vault, &name)?;
            match id
                .zip(stored)
                .and_then(|(id, stored)| KnownToken::of(id, stored))
            {
                Some(token) => tokens.push(token),
                None => tracing::error!(
                    name,
                    "a token for the API cannot be read: it lets nobody in"
                ),
            }
        }
        let mut ended = BTreeMap::new();
        for name in store.secret_names(ENDED)? {
            let until = opened::<Timestamp>(store, vault, &name)?;
            if let (Some(session), Some(until)) = (name.strip_prefix(ENDED), until)
                && until > now
            {
                ended.insert(session.to_owned(), until);
            }
        }
        Ok(Self {
            tokens: RwLock::new(tokens.into()),
            ended: RwLock::new(ended),
        })
    }

    fn tokens(&self) -> Arc<[KnownToken]> {
        Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<KnownToken>)) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = tokens.to_vec();
        change(&mut all);
        *tokens = all.into();
    }

    /// Notes that a session is over; gives those that are forgotten for it, being over by themselves.
    fn end(&self, session: &str, until: Timestamp, now: Timestamp) -> Vec<String> {
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        let mut gone: Vec<String> = ended
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(session, _)| session.clone())
            .collect();
        if ended.len() - gone.len() >= MOST_ENDED
            && let Some((first, _)) = ended.iter().min_by_key(|(_, until)| **until)
        {
            gone.push(first.clone());
        }
        for session in &gone {
            ended.remove(session);
        }
        ended.insert(session.to_owned(), until);
        gone
    }
}

/// What a row holds; nothing where it does not open.
fn opened<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    vault: &Vault,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let sealed = store.secret(name)?;
    Ok(sealed.and_then(|sealed| vault.open_sealed(name, &sealed).ok()))
}

fn is_name(name: &str) -> bool {
    velodrome_types::is_secret_name(name) && name.len() <= LONGEST_NAME
}

impl Engine {
    /// Every token that may come in; whoever asks looks whether one has expired.
    pub fn known_tokens(&self) -> Arc<[KnownToken]> {
        self.shared.access.tokens()
    }

    /// Every token's name and role, the newest first; one that does not open has its id only.
    ///
    /// # Errors
    ///
    /// `store.unavailable`.
    pub fn tokens(&self) -> Result<Vec<TokenView>, Problem> {
        let known = self.known_tokens();
        let names = self.shared.store.secret_names(TOKEN).map_err(unreadable)?;
        let ids = names
            .iter()
            .filter_map(|name| name.strip_prefix(TOKEN)?.parse().ok());
        let mut views: Vec<TokenView> = ids
            .map(|id: TokenId| {
                let known = known.iter().find(|token| token.id == id);
                known.map_or_else(|| TokenView::unopened(id), KnownToken::view)
            })
            .collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.id));
        Ok(views)
    }

    /// Makes a token, which is told this once. Durable when this ends.
    ///
    /// # Errors
    ///
    /// `api.bad_parameter`, `token.name_taken`, `token.too_many`, `store.unavailable`.
    pub async fn create_token(&self, asked: NewToken) -> Result<TokenMade, Problem> {
        let by = self.by_text();
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let _turn = shared.vault.turn().await;
            let now = shared.clock.now();
            let id = shared.random.token_id(now);
            let name = asked.name.unwrap_or_else(|| {
                let tail = id.tail();
                format!("{}-{}", asked.role, tail.trim_start_matches('…'))
            });
            settle_name(&shared.access.tokens(), &name)?;
            let token = format!("{TOKEN_PREFIX}{}", crate::random::unguessable());
            // Known before anybody has it: nothing that is told may hold it.
            shared.vault.redactor().learn(TOKEN, [token.as_str()]);
            let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
            let stored = StoredToken {
                format: FORMAT,
                name: name.clone(),
                role: asked.role,
                hash: URL_SAFE_NO_PAD.encode(hash),
                created: now,
                expires: asked.expires,
            };
            let row = shared.vault.seal(format!("{TOKEN}{id}"), &stored);
            let unit = Unit {
                secrets: vec![row.map_err(unreadable)?],
                ..Unit::default()
            };
            shared.commit_unit(unit, None).await.map_err(uncommitted)?;
            let known = KnownToken {
                id,
                name,
                role: asked.role,
                hash,
                created: now,
                expires: asked.expires,
            };
            let view = known.view();
            tracing::info!(%id, name = known.name, role = %known.role, by, "token created");
            shared.access.change(|all| all.push(known));
            Ok(TokenMade { view, token })
        })
        .await
    }

    /// A token by its name, whole id, the last six or more characters of one, or `last`.
    ///
    /// # Errors
    ///
    /// `token.unknown`, `token.ambiguous`.
    pub fn find_token(&self, id: &str) -> Result<TokenId, Problem> {
        let known = self.known_tokens();
        if let Some(token) = known.iter().find(|token| token.name == id) {
            return Ok(token.id);
        }
        let all = || -> Result<Vec<TokenId>, StoreError> {
            let names = self.shared.store.secret_names(TOKEN)?;
            let ids = names
                .iter()
                .filter_map(|name| name.strip_prefix(TOKEN)?.parse().ok());
            Ok(ids.collect())
        };
        find(
            "token",
            id,
            |_| Ok(all()?.into_iter().max().into_iter().collect()),
            |suffix| {
                let mut all = all()?;
                all.retain(|id| id.to_string().ends_with(suffix));
                Ok(all)
            },
        )
        // What looks like no id may be a name that nobody has.
        .map_err(|problem| match problem.code.as_str() {
            "api.bad_parameter" => {
                Problem::new(404, "token.unknown", format!("there is no token `{id}`"))
            }
            _ => problem,
        })
    }

    /// Revokes a token: it lets nobody in from here on, nor do the sessions that were begun with it.
    ///
    /// # Errors
    ///
    /// `token.unknown`, `store.unavailable`.
    pub async fn revoke_token(&self, id: TokenId) -> Result<(), Problem> {
        let by = self.by_text();
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let _turn = shared.vault.turn().await;
            let row = format!("{TOKEN}{id}");
            if shared.store.secret(&row).map_err(unreadable)?.is_none() {
                let what = format!("there is no token `{id}`: `velodrome token list` shows them");
                return Err(Problem::new(404, "token.unknown", what));
            }
            let unit = Unit {
                secrets_deleted: vec![row],
                ..Unit::default()
            };
            shared.commit_unit(unit, None).await.map_err(uncommitted)?;
            shared
                .access
                .change(|all| all.retain(|token| token.id != id));
            tracing::info!(%id, by, "token revoked");
            Ok(())
        })
        .await
    }

    /// Ends a session that would last until then. It is over when this is called, and stays so after a restart
    /// when this ends well.
    ///
    /// # Errors
    ///
    /// `store.unavailable`.
    pub async fn end_session(&self, session: &str, until: Timestamp) -> Result<(), Problem> {
        let shared = Arc::clone(&self.shared);
        let gone = shared.access.end(session, until, shared.clock.now());
        let name = format!("{ENDED}{session}");
        self.spawned(async move {
            let _turn = shared.vault.turn().await;
            let row = shared.vault.seal(name, &until).map_err(unreadable)?;
            let unit = Unit {
                secrets: vec![row],
                secrets_deleted: gone.iter().map(|name| format!("{ENDED}{name}")).collect(),
                ..Unit::default()
            };
            shared.commit_unit(unit, None).await.map_err(uncommitted)?;
            Ok(())
        })
        .await
    }

    /// Whether a session was ended before its time.
    pub fn is_session_ended(&self, session: &str) -> bool {
        let ended = self.shared.access.ended.read();
        ended
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(session)
    }

    /// A key for this purpose, the same after a restart.
    pub fn key_for(&self, purpose: &str) -> [u8; 32] {
        self.shared.link_key.derived(purpose)
    }

    /// Whose word on a caller's address is taken.
    pub fn trusted_proxies(&self) -> Vec<IpNet> {
        self.shared.plans.callers().0.trusted_proxies.clone()
    }
}

fn settle_name(tokens: &[KnownToken], name: &str) -> Result<(), Problem> {
    if !is_name(name) {
        let what = format!(
            "`{name}` cannot name a token: use letters, digits, `_`, `-` and `.`, {LONGEST_NAME} at the most"
        );
        return Err(Problem::new(400, "api.bad_parameter", what));
    }
    if [ADMIN, LAST].contains(&name) || tokens.iter().any(|token| token.name == name) {
        let what =
            format!("there is a token `{name}`: give this one another name, or revoke that one");
        return Err(Problem::new(409, "token.name_taken", what));
    }
    if tokens.len() >= MOST_TOKENS {
        let what = format!("there are {MOST_TOKENS} tokens: revoke those that nobody uses");
        return Err(Problem::new(409, "token.too_many", what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str) -> KnownToken {
        KnownToken {
            id: TokenId::from_bytes([1; 16]),
            name: name.to_owned(),
            role: Role::Read,
            hash: [0; 32],
            created: Timestamp::from_millis(0),
            expires: None,
        }
    }

    #[test]
    fn names_are_plain_and_each_is_one_tokens() {
        let check = |name: &str, expect: Option<&str>| {
            let refused = settle_name(&[token("ci")], name).err();
            let code = refused.map(|problem| problem.code.to_string());
            assert_eq!(code.as_deref(), expect, "{name}");
        };
        check("grafana.prod-2", None);
        check("ci", Some("token.name_taken"));
        check("admin", Some("token.name_taken"));
        check("last", Some("token.name_taken"));
        for wrong in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            check(wrong, Some("api.bad_parameter"));
        }
        let full = vec![token("ci"); MOST_TOKENS];
        let refused = settle_name(&full, "one_more").unwrap_err();
        assert_eq!(refused.code.as_str(), "token.too_many");
    }

    #[test]
    fn ended_sessions_are_forgotten_when_they_would_have_ended() {
        let access = Access::default();
        let at = Timestamp::from_millis;
        assert_eq!(access.end("a", at(10), at(0)), [""; 0]);
        assert_eq!(access.end("b", at(20), at(5)), [""; 0]);
        assert_eq!(access.end("c", at(30), at(10)), ["a"]);
        for number in 0..MOST_ENDED {
            access.end(&format!("n{number}"), at(100), at(10));
        }
        let ended = access.ended.read().unwrap();
        assert_eq!(ended.len(), MOST_ENDED);
        assert!(!ended.contains_key("b") && !ended.contains_key("c"));
    }
}
