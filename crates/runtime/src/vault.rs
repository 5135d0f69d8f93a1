//! What is sealed: secrets, tokens, and the records of runs that hold a secret.
//!
//! The key of the data folder seals each secret, each token and the keys of records. A record is sealed
//! with the newest of these, whose number stands before it: another key of the data folder seals the
//! secrets, the tokens and the keys of records anew, and no record has to be written again for it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use velodrome_connect::TokenSet;
use velodrome_core::{Input, ItemReport};
use velodrome_store::{
    KeyRing, OutboxWrite, PartWrite, SealError, SealKey, SecretRow, Store, StoreError, Unit,
};
use velodrome_types::{Json, LoopId, RunId, StepId, Timestamp};

use crate::access;
use crate::redact::Redactor;
use crate::resume_link::LinkKey;
use crate::tokens::StoredClient;

/// What the name of a secret, of a connection's tokens and of a key of records begins with.
const SECRET: &str = "secret/";
const TOKENS: &str = "token/";
const RECORD_KEY: &str = "key/records/";
/// The name of the key that links are signed with.
const LINK_KEY: &str = "key/links";
/// The format of a sealed record: this byte, the number of its key, and what was sealed.
pub(crate) const SEALED: u8 = 2;
/// The format of a sealed secret.
const FORMAT: u8 = 1;
/// What every secret is in a simulation, where nothing is sent anywhere.
const SIMULATED: &str = "test";

/// What is sealed, and what opens it.
#[derive(Debug)]
pub(crate) struct Vault {
    store: Arc<dyn Store>,
    /// `None` in a simulation: nothing is sealed there.
    keys: Option<Arc<KeyRing>>,
    redactor: Redactor,
    /// One at a time changes what is sealed, so that a new key misses nothing.
    turn: Semaphore,
    held: RwLock<Held>,
}

/// What was opened.
#[derive(Debug, Default)]
struct Held {
    secrets: BTreeMap<String, Secret>,
    record_keys: BTreeMap<u32, SealKey>,
    link_key: Option<LinkKey>,
}

/// A secret, opened.
#[derive(Clone, Serialize, Deserialize)]
struct Secret {
    format: u8,
    value: String,
    changed: Timestamp,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn unopened(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what: "a sealed record".to_owned(),
        why: error.to_string(),
    }
}

impl Vault {
    /// A vault that seals nothing and has a value for every secret.
    pub(crate) fn simulated(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            keys: None,
            redactor: Redactor::default(),
            turn: Semaphore::new(1),
            held: RwLock::new(Held {
                link_key: Some(LinkKey([0; 32])),
                ..Held::default()
            }),
        }
    }

    /// Opens all that is sealed. What does not open is told and counts as not set.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        keys: Arc<KeyRing>,
        redactor: Redactor,
    ) -> Result<Self, StoreError> {
        let mut held = Held::default();
        let mut newest = 0;
        for name in store.secret_names("")? {
            let number = name.strip_prefix(RECORD_KEY).and_then(|n| n.parse().ok());
            newest = newest.max(number.unwrap_or(0));
            let Some(sealed) = store.secret(&name)? else {
                continue;
            };
            let plain = match keys.unseal(&name, &sealed) {
                Ok(plain) => plain,
                Err(error) => {
                    tracing::error!(%error, "something sealed cannot be opened");
                    continue;
                }
            };
            if let Some(name) = name.strip_prefix(SECRET) {
                match secret_of(&plain) {
                    Some(secret) => {
                        redactor.learn(&format!("{SECRET}{name}"), [secret.value.as_str()]);
                        held.secrets.insert(name.to_owned(), secret);
                    }
                    None => tracing::error!(name, "a secret cannot be read: set it again"),
                }
            } else if name.starts_with(TOKENS) {
                if let Ok(tokens) = serde_json::from_slice(&plain) {
                    learn_tokens(&redactor, &name, &tokens);
                }
            } else if let Ok(bytes) = plain.try_into() {
                match number {
                    Some(number) => {
                        held.record_keys.insert(number, SealKey::from_bytes(bytes));
                    }
                    None if name == LINK_KEY => held.link_key = Some(LinkKey(bytes)),
                    None => {}
                }
            }
        }
        let vault = Self {
            store,
            keys: Some(keys),
            redactor,
            turn: Semaphore::new(1),
            held: RwLock::new(held),
        };
        let none = vault.read().record_keys.is_empty();
        if none && let Err(error) = vault.first_record_key(newest + 1).await {
            // A full disk: the start must go on, so that room can be made.
            tracing::error!(%error, "the key of sealed records was not stored: start again");
        }
        let none = vault.read().link_key.is_none();
        if none && let Err(error) = vault.first_link_key().await {
            tracing::error!(%error, "the key of links to waiting runs was not stored: those of now end with this process");
        }
        Ok(vault)
    }

    /// A key that is kept for good: links in mails outlive many starts.
    async fn first_link_key(&self) -> Result<(), StoreError> {
        let key = crate::random::key();
        self.write().link_key = Some(LinkKey(key));
        let unit = Unit {
            secrets: vec![self.sealed(LINK_KEY.to_owned(), &key)?],
            ..Unit::default()
        };
        let committed = self.store.commit(unit).await;
        committed.map_err(|error| StoreError::Backend(error.to_string()))?;
        Ok(())
    }

    /// The key that links to waiting runs are signed with. In a simulation it is the same each time.
    pub(crate) fn link_key(&self) -> LinkKey {
        let key = self.read().link_key.clone();
        key.expect("each vault begins with one")
    }

    async fn first_record_key(&self, number: u32) -> Result<(), StoreError> {
        let (key, bytes) = SealKey::generate().map_err(unopened)?;
        let unit = Unit {
            secrets: vec![self.sealed(format!("{RECORD_KEY}{number}"), &bytes)?],
            ..Unit::default()
        };
        let committed = self.store.commit(unit).await;
        committed.map_err(|error| StoreError::Backend(error.to_string()))?;
        self.write().record_keys.insert(number, key);
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows what may not be shown.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// A turn at changing what is sealed; it ends when this is dropped.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.turn.acquire().await;
        turn.expect("nobody closes the turns")
    }

    fn sealed(&self, name: String, plain: &[u8]) -> Result<SecretRow, StoreError> {
        let keys = self.keys.as_ref();
        let keys = keys.ok_or_else(|| unopened("a simulation seals nothing"))?;
        let sealed = keys.seal(&name, plain).map_err(unopened)?;
        Ok(SecretRow { name, sealed })
    }

    /// A secret as it is now.
    pub(crate) fn secret(&self, name: &str) -> Option<String> {
        if self.keys.is_none() {
            return Some(SIMULATED.to_owned());
        }
        self.read()
            .secrets
            .get(name)
            .map(|secret| secret.value.clone())
    }

    /// The names of all secrets, in order, each with when it last changed; `None` where it does not open.
    pub(crate) fn secrets(&self) -> Result<Vec<(String, Option<Timestamp>)>, StoreError> {
        let names = self.store.secret_names(SECRET)?;
        let held = self.read();
        let named = names.iter().filter_map(|name| {
            let name = name.strip_prefix(SECRET)?;
            let changed = held.secrets.get(name).map(|secret| secret.changed);
            Some((name.to_owned(), changed))
        });
        Ok(named.collect())
    }

    /// What sets a secret; [`Vault::took`] once it is committed.
    pub(crate) fn setting(
        &self,
        name: &str,
        value: String,
        now: Timestamp,
    ) -> Result<(SecretRow, NewSecret), StoreError> {
        let secret = Secret {
            format: FORMAT,
            value,
            changed: now,
        };
        let plain = serde_json::to_vec(&secret).expect("texts are JSON");
        // Known before it can be used: nothing of it may be told in between.
        self.redactor
            .learn(&format!("{SECRET}{name}"), [secret.value.as_str()]);
        let row = self.sealed(format!("{SECRET}{name}"), &plain)?;
        Ok((row, NewSecret(name.to_owned(), secret)))
    }

    /// A secret was committed.
    pub(crate) fn took(&self, NewSecret(name, secret): NewSecret) {
        self.write().secrets.insert(name, secret);
    }

    /// What the store calls a secret.
    pub(crate) fn row_name(name: &str) -> String {
        format!("{SECRET}{name}")
    }

    /// A secret's deletion was committed.
    pub(crate) fn forgot(&self, name: &str) {
        self.write().secrets.remove(name);
    }

    /// Opens a connection's tokens.
    pub(crate) fn open_tokens(&self, name: &str, sealed: &[u8]) -> Result<TokenSet, StoreError> {
        let tokens = self.open_sealed(name, sealed)?;
        learn_tokens(&self.redactor, name, &tokens);
        Ok(tokens)
    }

    /// Opens what is sealed with the key of the data folder.
    pub(crate) fn open_sealed<T: DeserializeOwned>(
        &self,
        name: &str,
        sealed: &[u8],
    ) -> Result<T, StoreError> {
        let keys = self.keys.as_ref();
        let keys = keys.ok_or_else(|| unopened("a simulation seals nothing"))?;
        let plain = keys.unseal(name, sealed).map_err(unopened)?;
        serde_json::from_slice(&plain).map_err(unopened)
    }

    /// Seals the client that signs a connection in.
    pub(crate) fn seal_client(
        &self,
        name: String,
        client: &StoredClient,
    ) -> Result<SecretRow, StoreError> {
        self.redactor.learn(&name, client.client_secret.as_deref());
        let plain = serde_json::to_vec(client).map_err(unopened)?;
        self.sealed(name, &plain)
    }

    /// Seals a connection's tokens.
    pub(crate) fn seal_tokens(
        &self,
        name: String,
        tokens: &TokenSet,
    ) -> Result<SecretRow, StoreError> {
        learn_tokens(&self.redactor, &name, tokens);
        let plain = serde_json::to_vec(tokens).map_err(unopened)?;
        self.sealed(name, &plain)
    }

    /// Seals something with the key of the data folder.
    pub(crate) fn seal<T: Serialize>(
        &self,
        name: String,
        value: &T,
    ) -> Result<SecretRow, StoreError> {
        let plain = serde_json::to_vec(value).map_err(unopened)?;
        self.sealed(name, &plain)
    }

    /// A new key for everything that is sealed: what is to be committed, whole.
    pub(crate) fn begin_rotation(&self) -> Result<Rotation, RotateError> {
        let keys = self.keys.as_ref().ok_or(RotateError::Simulated)?;
        // Opened before a key is made: what does not open now would be lost for good.
        let mut opened = Vec::new();
        for name in self.store.secret_names("")? {
            let Some(sealed) = self.store.secret(&name)? else {
                continue;
            };
            match keys.unseal(&name, &sealed) {
                Ok(plain) => opened.push((name, plain)),
                // Its records are lost already; a new key takes nothing from them.
                Err(error)
                    if name.starts_with(RECORD_KEY)
                        || name == LINK_KEY
                        || access::is_row(&name) =>
                {
                    tracing::warn!(%error, "left as it is");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let newest = self.read().record_keys.keys().max().copied();
        let number = newest.unwrap_or(0) + 1;
        let (record_key, bytes) = SealKey::generate()?;
        opened.push((format!("{RECORD_KEY}{number}"), bytes.to_vec()));
        let key = keys.begin_rotation()?;
        let rows = opened.into_iter().map(|(name, plain)| {
            let sealed = key.seal(&name, &plain)?;
            Ok(SecretRow { name, sealed })
        });
        let rows: Vec<SecretRow> = rows.collect::<Result<_, SealError>>()?;
        Ok(Rotation {
            rows,
            key,
            record_key: (number, record_key),
        })
    }

    /// What a rotation said was committed: its key is in force, the old one is gone.
    pub(crate) fn end_rotation(&self, rotation: Rotation) -> Result<(), RotateError> {
        let keys = self.keys.as_ref().ok_or(RotateError::Simulated)?;
        let (number, key) = rotation.record_key;
        self.write().record_keys.insert(number, key);
        Ok(keys.finish_rotation(rotation.key)?)
    }

    /// What a rotation said was refused: nothing has changed.
    pub(crate) fn abandon_rotation(&self) {
        if let Some(Err(error)) = self.keys.as_ref().map(|keys| keys.abandon_rotation()) {
            tracing::warn!(%error, "the key of a rotation that was refused stays until the next start");
        }
    }

    /// Sees to it that a unit tells nothing secret: lines without it, records that hold it sealed.
    pub(crate) fn guard(&self, unit: &mut Unit) {
        for line in &mut unit.lines {
            self.redactor.line(line);
        }
        for row in &mut unit.runs {
            self.close(&run_name(row.id), &mut row.record);
        }
        for row in &mut unit.loops {
            self.close(&loop_name(row.id), &mut row.record);
        }
        for write in &mut unit.outbox {
            if let OutboxWrite::Put(row) = write {
                self.close(&notice_name(row.run, row.number), &mut row.record);
            }
        }
        for part in &mut unit.parts {
            if let PartWrite::Put(run, number, record) = part {
                self.close(&part_name(*run, *number), record);
            }
        }
    }

    fn close(&self, name: &str, record: &mut Vec<u8>) {
        if record.first() == Some(&SEALED) || !self.redactor.finds(record) {
            return;
        }
        match self.seal_record(name, record) {
            Ok(sealed) => *record = sealed,
            Err(error) => tracing::error!(%error, name, "a record was not sealed"),
        }
    }

    fn seal_record(&self, name: &str, record: &[u8]) -> Result<Vec<u8>, SealError> {
        let held = self.read();
        let newest = held.record_keys.last_key_value();
        let (number, key) = newest.ok_or_else(|| SealError::DoesNotOpen {
            name: RECORD_KEY.to_owned(),
        })?;
        let mut sealed = vec![SEALED];
        sealed.extend_from_slice(&number.to_be_bytes());
        sealed.extend(key.seal(name, record)?);
        Ok(sealed)
    }

    /// A record as it was before it was sealed, if it was.
    pub(crate) fn record<'r>(
        &self,
        name: &str,
        record: &'r [u8],
    ) -> Result<Cow<'r, [u8]>, StoreError> {
        let Some((&SEALED, rest)) = record.split_first() else {
            return Ok(Cow::Borrowed(record));
        };
        let damaged = |why: String| StoreError::Damaged {
            what: name.to_owned(),
            why,
        };
        let (number, sealed) = rest
            .split_first_chunk()
            .ok_or_else(|| damaged("it is cut off".to_owned()))?;
        let number = u32::from_be_bytes(*number);
        let held = self.read();
        let key = held.record_keys.get(&number).ok_or_else(|| {
            damaged(format!(
                "the key {number} of sealed records is missing: restore `secret.key`"
            ))
        })?;
        let plain = key.open(name, sealed);
        plain
            .map(Cow::Owned)
            .map_err(|error| damaged(error.to_string()))
    }

    /// A request that was built with a secret, as it may be kept.
    pub(crate) fn close_request(&self, owner: &RequestOwner<'_>, request: Json) -> Json {
        let plain = request.to_string();
        if self.keys.is_none() {
            return request;
        }
        match self.seal_record(&owner.name(), plain.as_bytes()) {
            Ok(sealed) => serde_json::json!({ "sealed": STANDARD.encode(sealed) }),
            Err(error) => {
                tracing::error!(%error, "a request was not sealed");
                request
            }
        }
    }

    /// The request as it was built.
    pub(crate) fn open_request(
        &self,
        owner: &RequestOwner<'_>,
        kept: &Json,
    ) -> Result<Json, StoreError> {
        let Some(sealed) = kept.get("sealed").and_then(Json::as_str) else {
            return Ok(kept.clone());
        };
        let sealed = STANDARD.decode(sealed).map_err(unopened)?;
        let plain = self.record(&owner.name(), &sealed)?;
        serde_json::from_slice(&plain).map_err(unopened)
    }

    /// What is told to the run machine is kept and shown: without what is secret.
    pub(crate) fn told(&self, mut input: Input) -> Input {
        match &mut input {
            Input::Failed { failure, .. }
            | Input::Item {
                report: ItemReport::Failed(failure),
                ..
            } => self.redactor.failure(failure),
            _ => {}
        }
        input
    }
}

/// The name under which a run is sealed.
pub(crate) fn run_name(run: RunId) -> String {
    format!("run/{run}")
}

/// The name under which a loop is sealed.
pub(crate) fn loop_name(id: LoopId) -> String {
    format!("loop/{id}")
}

/// The name under which a part of a run is sealed.
pub(crate) fn part_name(run: RunId, number: u64) -> String {
    format!("part/{run}/{number}")
}

/// The name under which the notice of a failed run is sealed.
pub(crate) fn notice_name(run: RunId, number: u64) -> String {
    format!("notice/{run}/{number}")
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestOwner<'a> {
    pub(crate) run: RunId,
    pub(crate) step: &'a StepId,
    pub(crate) item: Option<u64>,
}

impl RequestOwner<'_> {
    fn name(&self) -> String {
        let item = self.item.map(|item| format!("/{item}")).unwrap_or_default();
        format!("request/{}/{}{item}", self.run, self.step)
    }
}

/// A secret that is not committed yet.
#[derive(Debug)]
pub(crate) struct NewSecret(String, Secret);

/// A new key, and all that is sealed with it.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) rows: Vec<SecretRow>,
    key: SealKey,
    record_key: (u32, SealKey),
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    /// A simulation has none.
    #[error("a simulation seals nothing")]
    Simulated,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something does not open, or the key file cannot be written.
    #[error(transparent)]
    Seal(#[from] SealError),
}

fn secret_of(plain: &[u8]) -> Option<Secret> {
    let secret: Secret = serde_json::from_slice(plain).ok()?;
    (secret.format == FORMAT).then_some(secret)
}

fn learn_tokens(redactor: &Redactor, name: &str, tokens: &TokenSet) {
    let refresh = tokens.refresh_token.as_deref();
    let values = [Some(tokens.access_token.as_str()), refresh];
    redactor.learn(name, values.into_iter().flatten());
}
