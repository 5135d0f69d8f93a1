//! What sign-ins need, sealed and kept in the store: tokens, and clients that a person was asked for.

use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use velodrome_connect::{Connection, TokenFuture, TokenSet, TokenStore, TokenStoreError};
use velodrome_store::{CommitError, Store, StoreError, Unit};
use velodrome_types::ConnectionId;

use crate::connections::{Declared, Said};
use crate::vault::Vault;

/// The token store of the `connect` crate over the engine's own store.
#[derive(Debug)]
pub(crate) struct SealedTokens {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<Vault>,
}

/// A client as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredClient {
    pub(crate) client_id: String,
    /// `None`: a client without one, whatever the settings leave out.
    pub(crate) client_secret: Option<String>,
}

fn token_name(connection: &ConnectionId) -> String {
    format!("token/{connection}")
}

fn client_name(connection: &ConnectionId) -> String {
    format!("client/{connection}")
}

fn broken(error: impl std::fmt::Display) -> TokenStoreError {
    TokenStoreError(error.to_string())
}

impl SealedTokens {
    /// Declared connections, the blanks of their clients filled with what a person was asked for.
    ///
    /// # Errors
    ///
    /// The store cannot be read. What another key has sealed is as if it were not there.
    pub(crate) fn declared(
        &self,
        connections: Vec<Connection>,
    ) -> Result<Vec<Declared>, StoreError> {
        let mut declared = Vec::new();
        for mut connection in connections {
            let said = Said::by(&connection);
            self.fill(&mut connection, said)?;
            let tokens: Option<TokenSet> = self.open(&token_name(&connection.id))?;
            let signed_in = tokens.is_some_and(|tokens| !tokens.refused);
            declared.push(Declared {
                connection,
                signed_in,
                said,
            });
        }
        Ok(declared)
    }

    /// Fills in what the settings leave blank of a connection's client.
    fn fill(&self, connection: &mut Connection, said: Said) -> Result<(), StoreError> {
        if said == Said::Client {
            return Ok(());
        }
        let Some(stored) = self.open::<StoredClient>(&client_name(&connection.id))? else {
            return Ok(());
        };
        // A secret belongs to its id: that of another client is of no use.
        let same = connection.client_id.as_deref().map(str::trim) == Some(&stored.client_id);
        if same || said == Said::Nothing {
            connection.client_id = Some(stored.client_id);
            // An empty one is known to be none: nobody is asked for it again.
            let secret = stored.client_secret.unwrap_or_default();
            connection.client_secret = Some(SecretString::from(secret));
        }
        Ok(())
    }

    /// Keeps a client; done when that is durable.
    pub(crate) async fn keep_client(
        &self,
        connection: &ConnectionId,
        client_id: String,
        client_secret: Option<String>,
    ) -> Result<(), CommitError> {
        let stored = StoredClient {
            client_id,
            client_secret,
        };
        let _turn = self.vault.turn().await;
        let row = self
            .vault
            .seal_client(client_name(connection), &stored)
            .map_err(|error| CommitError::Refused(error.to_string()))?;
        self.write(Unit {
            secrets: vec![row],
            ..Unit::default()
        })
        .await
    }

    fn open<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(sealed) = self.store.secret(name)? else {
            return Ok(None);
        };
        let read = self.vault.open_sealed(name, &sealed);
        Ok(read
            .inspect_err(|error| tracing::error!(name, %error, "a stored secret cannot be read"))
            .ok())
    }

    async fn write(&self, unit: Unit) -> Result<(), CommitError> {
        self.store.commit(unit).await.map(drop)
    }
}

impl TokenStore for SealedTokens {
    fn load<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, Option<TokenSet>> {
        Box::pin(async move {
            let name = token_name(connection);
            let Some(sealed) = self.store.secret(&name).map_err(broken)? else {
                return Ok(None);
            };
            let tokens = self.vault.open_tokens(&name, &sealed);
            tokens.map(Some).map_err(broken)
        })
    }

    fn save<'a>(&'a self, connection: &'a ConnectionId, tokens: TokenSet) -> TokenFuture<'a, ()> {
        Box::pin(async move {
            let _turn = self.vault.turn().await;
            let row = self.vault.seal_tokens(token_name(connection), &tokens);
            self.write(Unit {
                secrets: vec![row.map_err(broken)?],
                ..Unit::default()
            })
            .await
            .map_err(broken)
        })
    }

    fn delete<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, ()> {
        Box::pin(async move {
            let _turn = self.vault.turn().await;
            self.write(Unit {
                secrets_deleted: vec![token_name(connection)],
                ..Unit::default()
            })
            .await
            .map_err(broken)
        })
    }
}
