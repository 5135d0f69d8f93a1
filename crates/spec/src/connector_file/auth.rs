//! `auth:` of a connector.

use std::time::Duration;

use velodrome_types::Json;

use super::{ConnectorNames, one_or_more, pairs};
use crate::connector::{AuthDef, CallbackKept, ClientAuth, Grant, OAuth2Def, TokenErrorAction};
use crate::expr::Expr;
use crate::format::CALLBACK_KEEP;
use crate::keys::{Faults, Keys, choice, duration, text};
use crate::values::value;
use crate::yaml::{Node, Value};

#[derive(Clone, Copy)]
enum Kind {
    None,
    Bearer,
    ApiKey,
    Basic,
    OAuth2,
}

#[derive(Clone, Copy)]
enum Granted {
    ByCode,
    ByClient,
}

pub(super) fn read(node: &Node, names: &mut ConnectorNames, faults: &mut Faults) -> AuthDef {
    if node.scalar().is_some_and(|scalar| scalar.text == "none") {
        return AuthDef::None;
    }
    let Some(mut keys) = Keys::of(node, "`auth`", faults) else {
        return AuthDef::None;
    };
    let kinds = [
        ("none", Kind::None),
        ("bearer", Kind::Bearer),
        ("api_key", Kind::ApiKey),
        ("basic", Kind::Basic),
        ("oauth2", Kind::OAuth2),
    ];
    let kind = keys
        .need("type", "`auth`", faults)
        .and_then(|node| choice(node, "`type`", &kinds, faults));
    let auth = match kind {
        Some(Kind::Bearer) => {
            need(&mut keys, "token", names, faults).map(|token| AuthDef::Bearer { token })
        }
        Some(Kind::ApiKey) => Some(AuthDef::ApiKey {
            headers: keys
                .get("headers")
                .map_or_else(Vec::new, |node| pairs(node, names, faults)),
            query: keys
                .get("query")
                .map_or_else(Vec::new, |node| pairs(node, names, faults)),
            body: keys
                .get("body")
                .map_or_else(Vec::new, |node| pairs(node, names, faults)),
        }),
        Some(Kind::Basic) => need(&mut keys, "user", names, faults)
            .zip(need(&mut keys, "password", names, faults))
            .map(|(user, password)| AuthDef::Basic { user, password }),
        Some(Kind::OAuth2) => {
            oauth2(&mut keys, names, faults).map(|def| AuthDef::OAuth2(Box::new(def)))
        }
        Some(Kind::None) | None => None,
    };
    keys.finish("`auth`", faults);
    auth.unwrap_or(AuthDef::None)
}

fn need(
    keys: &mut Keys<'_>,
    key: &'static str,
    names: &mut ConnectorNames,
    faults: &mut Faults,
) -> Option<Expr> {
    keys.need(key, "`auth`", faults)
        .and_then(|node| value(node, names, faults))
}

fn oauth2(
    keys: &mut Keys<'_>,
    names: &mut ConnectorNames,
    faults: &mut Faults,
) -> Option<OAuth2Def> {
    let kinds = [
        ("authorization_code", Granted::ByCode),
        ("client_credentials", Granted::ByClient),
    ];
    let granted = match keys.get("grant") {
        Some(node) => choice(node, "`grant`", &kinds, faults).unwrap_or(Granted::ByCode),
        None => Granted::ByCode,
    };
    let grant = match granted {
        Granted::ByCode => need(keys, "authorize_url", names, faults)
            .map(|authorize_url| Grant::AuthorizationCode { authorize_url }),
        Granted::ByClient => Some(Grant::ClientCredentials),
    };
    let places = [("body", ClientAuth::Body), ("basic", ClientAuth::Basic)];
    let client_auth = keys
        .get("client_auth")
        .and_then(|node| choice(node, "`client_auth`", &places, faults))
        .unwrap_or_default();
    let token_url = need(keys, "token_url", names, faults);
    let scopes = match granted {
        Granted::ByCode => need(keys, "scopes", names, faults),
        // What such a client may do is often settled where it was made.
        Granted::ByClient => keys
            .get("scopes")
            .map_or(Some(Expr::Literal(Json::Null)), |node| {
                value(node, names, faults)
            }),
    };
    let revoke_url = keys
        .get("revoke_url")
        .and_then(|node| value(node, names, faults));
    let authorize_params = keys
        .get("authorize_params")
        .map_or_else(Vec::new, |node| pairs(node, names, faults));
    let callback_keep = keys
        .get("callback_keep")
        .map_or_else(Vec::new, |node| callback(node, names, faults));
    let token_keep = keys
        .get("token_keep")
        .map_or_else(Vec::new, |node| renames(node, faults));
    let hosts_allowed = keys
        .get("hosts_allowed")
        .map_or_else(Vec::new, |node| hosts(node, faults));
    let headers = keys
        .get("headers")
        .map_or_else(Vec::new, |node| pairs(node, names, faults));
    let refresh_before = keys
        .get("refresh_before")
        .and_then(|node| duration(node, "`refresh_before`", faults));
    let errors = keys
        .get("errors")
        .map_or_else(Vec::new, |node| errors(node, faults));
    Some(OAuth2Def {
        grant: grant?,
        client_auth,
        authorize_params,
        scopes: scopes?,
        token_url: token_url?,
        revoke_url,
        callback_keep,
        token_keep,
        hosts_allowed,
        headers,
        refresh_before: refresh_before.unwrap_or(Duration::from_secs(60)),
        errors,
    })
}

/// `accounts_server: accounts-server`, or a map with what it is where the callback lacks it.
fn callback(node: &Node, names: &mut ConnectorNames, faults: &mut Faults) -> Vec<CallbackKept> {
    let Value::Map(entries) = &node.value else {
        let message = "this must be a map of our names to theirs";
        faults.error("value.type", node.span, message);
        return Vec::new();
    };
    let mut kept = Vec::new();
    for entry in entries {
        let node = &entry.value;
        let (parameter, default) = if node.scalar().is_some() {
            (text(node, "a parameter's name", faults), None)
        } else {
            let what = format!("`{}`", entry.key);
            let Some(mut keys) = Keys::in_table(node, &CALLBACK_KEEP, &what, faults) else {
                continue;
            };
            let parameter = keys
                .need("query", &what, faults)
                .and_then(|node| text(node, "`query`", faults));
            let default = keys
                .get("default")
                .and_then(|node| value(node, names, faults));
            keys.finish(&what, faults);
            (parameter, default)
        };
        kept.extend(parameter.map(|parameter| CallbackKept {
            name: entry.key.clone(),
            parameter,
            default,
        }));
    }
    kept
}

fn renames(node: &Node, faults: &mut Faults) -> Vec<(String, String)> {
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .filter_map(|entry| {
                Some((
                    entry.key.clone(),
                    text(&entry.value, "a field's name", faults)?,
                ))
            })
            .collect(),
        _ => {
            faults.error(
                "value.type",
                node.span,
                "this must be a map of our names to theirs",
            );
            Vec::new()
        }
    }
}

fn hosts(node: &Node, faults: &mut Faults) -> Vec<(String, Vec<String>)> {
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .map(|entry| {
                let hosts = one_or_more(&entry.value)
                    .into_iter()
                    .filter_map(|host| text(host, "a host", faults));
                (entry.key.clone(), hosts.collect())
            })
            .collect(),
        _ => {
            faults.error(
                "value.type",
                node.span,
                "`hosts_allowed` must be a map of lists of hosts",
            );
            Vec::new()
        }
    }
}

fn errors(node: &Node, faults: &mut Faults) -> Vec<(Vec<String>, TokenErrorAction)> {
    let Value::List(items) = &node.value else {
        faults.error("value.type", node.span, "`errors` must be a list");
        return Vec::new();
    };
    let mut rules = Vec::new();
    for item in items {
        let Some(mut keys) = Keys::of(item, "a token error", faults) else {
            continue;
        };
        let error: Vec<String> = keys
            .need("error", "a token error", faults)
            .into_iter()
            .flat_map(one_or_more)
            .filter_map(|node| text(node, "`error`", faults))
            .map(|error| error.to_lowercase())
            .collect();
        let wait = keys
            .get("for")
            .and_then(|node| duration(node, "`for`", faults))
            .unwrap_or(Duration::from_secs(60));
        let words = [
            ("wait", TokenErrorAction::Wait(wait)),
            ("reconnect", TokenErrorAction::Reconnect),
            ("fail", TokenErrorAction::Fail),
        ];
        let action = keys
            .need("do", "a token error", faults)
            .and_then(|node| choice(node, "`do`", &words, faults));
        keys.finish("a token error", faults);
        rules.extend(action.map(|action| (error, action)));
    }
    rules
}
