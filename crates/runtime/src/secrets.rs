//! What a person does to secrets, and to the key that seals them.

use std::sync::Arc;

use velodrome_store::Unit;
use velodrome_types::is_secret_name;

use crate::accept::uncommitted;
use crate::api::{KeyView, Problem, SecretView};
use crate::engine::{Engine, unreadable};
use crate::redact::SHORTEST;
use crate::vault::{RotateError, Vault};

/// The most bytes of a secret: a key with its certificates.
const LONGEST: usize = 16 * 1024;

impl Engine {
    /// Every secret's name, in order. Values are never given.
    ///
    /// # Errors
    ///
    /// `store.unavailable`.
    pub fn secrets(&self) -> Result<Vec<SecretView>, Problem> {
        let secrets = self.shared.vault.secrets().map_err(unreadable)?;
        let view = |(name, changed)| SecretView { name, changed };
        Ok(secrets.into_iter().map(view).collect())
    }

    /// Sets a secret: what is evaluated from here on sees it. Durable when this ends.
    ///
    /// # Errors
    ///
    /// `api.bad_parameter`, `store.unavailable`.
    pub async fn set_secret(&self, name: String, value: String) -> Result<SecretView, Problem> {
        let wrong = |what: String| Err(Problem::new(400, "api.bad_parameter", what));
        if !is_secret_name(&name) {
            return wrong(format!(
                "`{name}` cannot name a secret: use letters, digits, `_`, `-` and `.`"
            ));
        }
        if value.is_empty() {
            return wrong(format!("the value of `{name}` is empty"));
        }
        if value.len() > LONGEST {
            return wrong(format!("the value of `{name}` is over {LONGEST} bytes"));
        }
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let vault = &shared.vault;
            let _turn = vault.turn().await;
            let changed = shared.clock.now();
            let short = value.len() < SHORTEST;
            let (row, secret) = vault.setting(&name, value, changed).map_err(unreadable)?;
            let unit = Unit {
                secrets: vec![row],
                ..Unit::default()
            };
            shared.commit_unit(unit, None).await.map_err(uncommitted)?;
            vault.took(secret);
            // An `error_webhook` that names it leads elsewhere now.
            shared.outbox.places_changed();
            tracing::info!(name, "secret set");
            if short {
                tracing::warn!(
                    name,
                    "the secret is shorter than {SHORTEST} bytes: it is not looked for in what is logged"
                );
            }
            let changed = Some(changed);
            Ok(SecretView { name, changed })
        })
        .await
    }

    /// Deletes a secret: steps that name it fail from here on.
    ///
    /// # Errors
    ///
    /// `secret.unknown`, `store.unavailable`.
    pub async fn delete_secret(&self, name: String) -> Result<(), Problem> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let vault = &shared.vault;
            let _turn = vault.turn().await;
            let row = Vault::row_name(&name);
            if shared.store.secret(&row).map_err(unreadable)?.is_none() {
                let what =
                    format!("there is no secret `{name}`: `velodrome secret list` shows them");
                return Err(Problem::new(404, "secret.unknown", what));
            }
            let unit = Unit {
                secrets_deleted: vec![row],
                ..Unit::default()
            };
            shared.commit_unit(unit, None).await.map_err(uncommitted)?;
            vault.forgot(&name);
            tracing::info!(name, "secret deleted");
            Ok(())
        })
        .await
    }

    /// Seals everything anew with another key. Whenever the process ends meanwhile, all that is sealed
    /// opens after the next start; when this ends, the old key is gone.
    ///
    /// # Errors
    ///
    /// `key.not_rotated`, `store.unavailable`; nothing has changed then.
    pub async fn rotate_key(&self) -> Result<KeyView, Problem> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let vault = &shared.vault;
            let _turn = vault.turn().await;
            let mut rotation = vault.begin_rotation().map_err(not_rotated)?;
            let rows = std::mem::take(&mut rotation.rows);
            // The key of records that came with the new one was not there before.
            let sealed = rows.len() as u64 - 1;
            let unit = Unit {
                secrets: rows,
                ..Unit::default()
            };
            if let Err(error) = shared.commit_unit(unit, None).await {
                // Where nobody knows whether it was committed, the next start looks.
                if !matches!(error, velodrome_store::CommitError::Unknown(_)) {
                    vault.abandon_rotation();
                }
                return Err(uncommitted(error));
            }
            vault.end_rotation(rotation).map_err(not_rotated)?;
            tracing::info!(sealed, "the key was changed");
            Ok(KeyView { sealed })
        })
        .await
    }
}

fn not_rotated(error: RotateError) -> Problem {
    Problem::new(500, "key.not_rotated", error.to_string())
}
