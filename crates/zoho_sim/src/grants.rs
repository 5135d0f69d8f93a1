//! Codes and tokens: what was issued, what of it is alive, and Zoho's limits on issuing.
//!
//! ```text
//!  consent ──▶ code (single use, 2 min) ──▶ refresh token ──▶ access tokens (15 alive)
//!              10 / 10 min                  10 / 10 min        10 / 10 min each refresh token
//!                                           20 alive
//! ```
//!
//! Pure: time comes in with each call. There is one user and one client.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::clock::plus;
use crate::hex;
use crate::pkce::Challenge;

const WINDOW: SignedDuration = SignedDuration::from_mins(10);
const ISSUED_PER_WINDOW: usize = 10;
const CODE_LIFE: SignedDuration = SignedDuration::from_mins(2);
const ACCESS_ALIVE: usize = 15;
const REFRESH_ALIVE: usize = 20;

/// Why the token endpoint gives no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    InvalidCode,
    InvalidClient,
    InvalidClientSecret,
    InvalidRedirectUri,
    UnsupportedGrant,
    AccessDenied,
}

/// Scopes, as they were granted.
pub(crate) type Scopes = Arc<[String]>;

/// What the user agreed to.
#[derive(Clone, Debug)]
pub(crate) struct Consent {
    pub(crate) scopes: Scopes,
    pub(crate) redirect_uri: String,
    pub(crate) access: AccessType,
    pub(crate) challenge: Option<Challenge>,
}

/// `access_type`, and whether this consent is asked for anew (`prompt=consent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessType {
    Online,
    Offline { prompted: bool },
}

/// Tokens as they leave the endpoint.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
    pub(crate) life: SignedDuration,
}

/// An access token that is alive.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) expires: Timestamp,
    pub(crate) scopes: Scopes,
}

struct Code {
    consent: Consent,
    issued: Timestamp,
    gives_refresh_token: bool,
}

struct Refresh {
    token: String,
    scopes: Scopes,
    issued: VecDeque<Timestamp>,
    alive: VecDeque<String>,
    blocked_until: Option<Timestamp>,
}

pub(crate) struct Grants {
    key: [u8; 32],
    made: u64,
    life: SignedDuration,
    codes: HashMap<String, Code>,
    codes_issued: VecDeque<Timestamp>,
    refresh: VecDeque<Refresh>,
    refresh_issued: VecDeque<Timestamp>,
    access: HashMap<String, Access>,
    consented: Option<Scopes>,
    refreshes_left: Option<u32>,
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grants")
            .field("codes", &self.codes.len())
            .field("refresh", &self.refresh.len())
            .field("access", &self.access.len())
            .finish_non_exhaustive()
    }
}

impl Grants {
    pub(crate) fn new(key: [u8; 32], life: SignedDuration) -> Self {
        Self {
            key,
            made: 0,
            life,
            codes: HashMap::new(),
            codes_issued: VecDeque::new(),
            refresh: VecDeque::new(),
            refresh_issued: VecDeque::new(),
            access: HashMap::new(),
            consented: None,
            refreshes_left: None,
        }
    }

    /// Whether the user need not be asked again for these scopes.
    pub(crate) fn remembers(&self, scopes: &[String]) -> bool {
        let known = self.consented.as_deref().unwrap_or_default();
        !known.is_empty() && scopes.iter().all(|scope| known.contains(scope))
    }

    /// A code for what was agreed to; none where the client asked for too many.
    pub(crate) fn issue_code(&mut self, consent: Consent, now: Timestamp) -> Option<String> {
        if recent(&mut self.codes_issued, now) >= ISSUED_PER_WINDOW {
            return None;
        }
        self.codes_issued.push_back(now);
        self.codes
            .retain(|_, code| now < plus(code.issued, CODE_LIFE));
        let gives_refresh_token = match consent.access {
            AccessType::Online => false,
            AccessType::Offline { prompted } => prompted || !self.remembers(&consent.scopes),
        };
        self.consented = Some(Arc::clone(&consent.scopes));
        let code = self.make_token();
        self.codes.insert(
            code.clone(),
            Code {
                consent,
                issued: now,
                gives_refresh_token,
            },
        );
        Some(code)
    }

    pub(crate) fn exchange(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Result<Issued, TokenError> {
        let known = self.codes.get(code).ok_or(TokenError::InvalidCode)?;
        if now >= plus(known.issued, CODE_LIFE) {
            return Err(TokenError::InvalidCode);
        }
        if known.consent.redirect_uri != redirect_uri {
            return Err(TokenError::InvalidRedirectUri);
        }
        if let Some(challenge) = &known.consent.challenge
            && !verifier.is_some_and(|verifier| challenge.answers(verifier))
        {
            return Err(TokenError::InvalidCode);
        }
        let gives_refresh_token = known.gives_refresh_token;
        if gives_refresh_token && recent(&mut self.refresh_issued, now) >= ISSUED_PER_WINDOW {
            return Err(TokenError::AccessDenied);
        }
        let Some(code) = self.codes.remove(code) else {
            return Err(TokenError::InvalidCode);
        };
        if gives_refresh_token {
            self.refresh_issued.push_back(now);
            Ok(self.grant(code.consent.scopes, now))
        } else {
            let access_token = self.issue_access(code.consent.scopes, now);
            Ok(Issued {
                access_token,
                refresh_token: None,
                life: self.life,
            })
        }
    }

    /// A refresh token and its first access token, whatever the limits say.
    pub(crate) fn grant(&mut self, scopes: Scopes, now: Timestamp) -> Issued {
        if self.refresh.len() >= REFRESH_ALIVE
            && let Some(oldest) = self.refresh.pop_front()
        {
            self.kill(&oldest);
        }
        let access_token = self.issue_access(Arc::clone(&scopes), now);
        let token = self.make_token();
        self.refresh.push_back(Refresh {
            token: token.clone(),
            scopes,
            issued: VecDeque::from([now]),
            alive: VecDeque::from([access_token.clone()]),
            blocked_until: None,
        });
        Issued {
            access_token,
            refresh_token: Some(token),
            life: self.life,
        }
    }

    pub(crate) fn refresh(&mut self, token: &str, now: Timestamp) -> Result<Issued, TokenError> {
        let place = self.refresh.iter().position(|known| known.token == token);
        let place = place.ok_or(TokenError::InvalidCode)?;
        let known = &mut self.refresh[place];
        let blocked = known.blocked_until.is_some_and(|until| now < until);
        let exhausted = self.refreshes_left == Some(0);
        if blocked || exhausted || recent(&mut known.issued, now) >= ISSUED_PER_WINDOW {
            // Asking again while refused extends the block.
            known.blocked_until = Some(plus(now, WINDOW));
            self.refreshes_left = self.refreshes_left.filter(|left| *left > 0);
            return Err(TokenError::AccessDenied);
        }
        known.issued.push_back(now);
        self.refreshes_left = self.refreshes_left.map(|left| left - 1);
        let scopes = Arc::clone(&known.scopes);
        let access_token = self.issue_access(scopes, now);
        let (access, known) = (&mut self.access, &mut self.refresh[place]);
        known.alive.retain(|token| access.contains_key(token));
        if known.alive.len() >= ACCESS_ALIVE
            && let Some(oldest) = known.alive.pop_front()
        {
            access.remove(&oldest);
        }
        known.alive.push_back(access_token.clone());
        Ok(Issued {
            access_token,
            refresh_token: None,
            life: self.life,
        })
    }

    /// The access token's rights, if it is alive.
    pub(crate) fn access(&self, token: &str, now: Timestamp) -> Option<&Access> {
        self.access.get(token).filter(|access| now < access.expires)
    }

    /// Revokes a refresh token with its access tokens, or one access token. False: not known.
    pub(crate) fn revoke(&mut self, token: &str) -> bool {
        if let Some(place) = self.refresh.iter().position(|known| known.token == token)
            && let Some(known) = self.refresh.remove(place)
        {
            self.kill(&known);
            return true;
        }
        self.access.remove(token).is_some()
    }

    /// Expires every access token at once. Says how many.
    pub(crate) fn expire_all(&mut self) -> usize {
        let count = self.access.len();
        self.access.clear();
        count
    }

    /// Revokes every refresh token, and so every access token of theirs. Says how many.
    pub(crate) fn revoke_all(&mut self) -> usize {
        let gone = std::mem::take(&mut self.refresh);
        for known in &gone {
            self.kill(known);
        }
        self.consented = None;
        gone.len()
    }

    /// After so many more refreshes the next is refused, as if the limit were reached.
    pub(crate) fn throttle_after(&mut self, refreshes: Option<u32>) {
        self.refreshes_left = refreshes;
    }

    pub(crate) fn set_life(&mut self, life: SignedDuration) {
        self.life = life;
    }

    fn kill(&mut self, refresh: &Refresh) {
        for token in &refresh.alive {
            self.access.remove(token);
        }
    }

    fn issue_access(&mut self, scopes: Scopes, now: Timestamp) -> String {
        self.access.retain(|_, access| now < access.expires);
        let token = self.make_token();
        let expires = plus(now, self.life);
        self.access
            .insert(token.clone(), Access { expires, scopes });
        token
    }

    /// `1000.<32 hex>.<32 hex>`, as Zoho's are.
    fn make_token(&mut self) -> String {
        self.made += 1;
        let digest = Sha256::new()
            .chain_update(self.key)
            .chain_update(self.made.to_be_bytes());
        let text = hex::encode(&digest.finalize());
        let (one, other) = text.split_at(32);
        format!("1000.{one}.{other}")
    }
}

/// How many fall within the last ten minutes; older ones are forgotten.
fn recent(times: &mut VecDeque<Timestamp>, now: Timestamp) -> usize {
    times.retain(|at| now < plus(*at, WINDOW));
    times.len()
}
