//! Connections of a simulation count as signed in, for ever.

use std::collections::BTreeMap;

use velodrome_connect::{Connection, TokenFuture, TokenSet, TokenStore};
use velodrome_spec::connector::{AuthDef, OAuth2Def};
use velodrome_types::{ConnectionId, Timestamp};

/// The token of every connection.
const TOKEN: &str = "simulated";

/// Tokens as a sign-in would have brought them: what a definition keeps of it is the first host that it
/// allows there.
#[derive(Debug)]
pub(super) struct SignedIn(BTreeMap<ConnectionId, TokenSet>);

impl SignedIn {
    pub(super) fn to(connections: &[Connection]) -> Self {
        let tokens = connections
            .iter()
            .filter_map(|connection| match &connection.def.auth {
                AuthDef::OAuth2(oauth) => Some((connection.id.clone(), tokens(oauth))),
                _ => None,
            });
        Self(tokens.collect())
    }
}

fn tokens(oauth: &OAuth2Def) -> TokenSet {
    let of_callback = oauth.callback_keep.iter().map(|keep| &keep.name);
    let of_answers = oauth.token_keep.iter().map(|(name, _)| name);
    let kept = of_callback.chain(of_answers).map(|name| {
        let hosts = oauth.hosts_allowed.iter().find(|(known, _)| known == name);
        let value = match hosts.and_then(|(_, hosts)| hosts.first()) {
            Some(host) => format!("https://{host}"),
            None => TOKEN.to_owned(),
        };
        (name.clone(), value)
    });
    TokenSet {
        access_token: TOKEN.to_owned(),
        // None: a refused token ends as it would where nobody can refresh it, without a request.
        refresh_token: None,
        expires_at: Timestamp::from_millis(i64::MAX),
        kept: kept.collect(),
        scope: None,
        refused: false,
    }
}

impl TokenStore for SignedIn {
    fn load<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, Option<TokenSet>> {
        Box::pin(async move { Ok(self.0.get(connection).cloned()) })
    }

    fn save<'a>(&'a self, _: &'a ConnectionId, _: TokenSet) -> TokenFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn delete<'a>(&'a self, _: &'a ConnectionId) -> TokenFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
