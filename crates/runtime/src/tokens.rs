//! Tokens of connections, sealed and kept in the store.

use std::sync::Arc;

use velodrome_connect::{TokenFuture, TokenSet, TokenStore, TokenStoreError};
use velodrome_store::{Store, Unit};
use velodrome_types::ConnectionId;

use crate::vault::Vault;

/// The token store of the `connect` crate over the engine's own store.
#[derive(Debug)]
pub(crate) struct SealedTokens {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<Vault>,
}

fn name(connection: &ConnectionId) -> String {
    format!("token/{connection}")
}

fn broken(error: impl std::fmt::Display) -> TokenStoreError {
    TokenStoreError(error.to_string())
}

/// Whether somebody signed in to this connection.
pub(crate) fn is_signed_in(
    store: &dyn Store,
    connection: &ConnectionId,
) -> Result<bool, velodrome_store::StoreError> {
    Ok(store.secret(&name(connection))?.is_some())
}

impl SealedTokens {
    async fn write(&self, unit: Unit) -> Result<(), TokenStoreError> {
        self.store.commit(unit).await.map(drop).map_err(broken)
    }
}

impl TokenStore for SealedTokens {
    fn load<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, Option<TokenSet>> {
        Box::pin(async move {
            let name = name(connection);
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
            let row = self.vault.seal_tokens(name(connection), &tokens);
            self.write(Unit {
                secrets: vec![row.map_err(broken)?],
                ..Unit::default()
            })
            .await
        })
    }

    fn delete<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, ()> {
        Box::pin(async move {
            let _turn = self.vault.turn().await;
            self.write(Unit {
                secrets_deleted: vec![name(connection)],
                ..Unit::default()
            })
            .await
        })
    }
}
