//! The values of `velodrome.yaml`, once its references are known: those to the environment and to files when
//! it is read, those to secrets each time they are used.

use velodrome_types::Json;

use crate::expr::{Expr, Piece, Reference, Root};

/// A reference that nobody gave a value, by the name behind its colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unset(pub String);

/// A value with its references to the environment and to files replaced; those to secrets stay.
///
/// # Errors
///
/// The variable of the environment that is not set.
pub fn with_environment(expr: &Expr, env: &dyn Fn(&str) -> Option<String>) -> Result<Expr, Unset> {
    let one = |reference: &Reference| -> Result<Option<Json>, Unset> {
        Ok(match &reference.root {
            Root::Env(name) => Some(given(reference, name, env(name))?),
            Root::File(file) => Some(Json::String(file.text.to_string())),
            _ => None,
        })
    };
    replaced(expr, &one)
}

/// The whole value, its secrets included. Only what [`with_environment`] has seen is whole.
///
/// # Errors
///
/// The secret that is not set.
pub fn with_secrets(expr: &Expr, secret: &dyn Fn(&str) -> Option<String>) -> Result<Json, Unset> {
    let one = |reference: &Reference| -> Result<Option<Json>, Unset> {
        Ok(match &reference.root {
            Root::Secret(name) => Some(given(reference, name, secret(name))?),
            _ => None,
        })
    };
    Ok(match replaced(expr, &one)? {
        Expr::Literal(value) => value,
        _ => Json::Null,
    })
}

fn given(reference: &Reference, name: &str, found: Option<String>) -> Result<Json, Unset> {
    match (found, &reference.default) {
        (Some(text), _) => Ok(Json::String(text)),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(Unset(name.to_owned())),
    }
}

/// The expression with what `one` knows in place of references; a literal where none is left.
fn replaced(
    expr: &Expr,
    one: &dyn Fn(&Reference) -> Result<Option<Json>, Unset>,
) -> Result<Expr, Unset> {
    Ok(match expr {
        // No settings hold an inline script: nothing runs one there.
        Expr::Literal(_) | Expr::Script(_) => expr.clone(),
        Expr::Ignore => Expr::Literal(Json::Null),
        Expr::Ref(reference) => match one(reference)? {
            Some(value) => Expr::Literal(value),
            None => expr.clone(),
        },
        Expr::Text(pieces) => {
            let mut left = Vec::new();
            for piece in pieces {
                let text = match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Ref(reference) => match one(reference)? {
                        Some(Json::String(text)) => text,
                        Some(Json::Null) => String::new(),
                        Some(other) => other.to_string(),
                        None => {
                            left.push(piece.clone());
                            continue;
                        }
                    },
                };
                match left.last_mut() {
                    Some(Piece::Text(before)) => before.push_str(&text),
                    _ => left.push(Piece::Text(text)),
                }
            }
            match left.as_slice() {
                [] => Expr::Literal(Json::String(String::new())),
                [Piece::Text(text)] => Expr::Literal(Json::String(text.clone())),
                _ => Expr::Text(left),
            }
        }
        Expr::List(items) => {
            let items: Vec<Expr> = items
                .iter()
                .map(|item| replaced(item, one))
                .collect::<Result<_, _>>()?;
            match items.iter().map(literal).collect::<Option<_>>() {
                Some(values) => Expr::Literal(Json::Array(values)),
                None => Expr::List(items),
            }
        }
        Expr::Object(fields) => {
            let fields: Vec<(String, Expr)> = fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), replaced(field, one)?)))
                .collect::<Result<_, _>>()?;
            let values = fields
                .iter()
                .map(|(name, field)| Some((name.clone(), literal(field)?)));
            match values.collect::<Option<_>>() {
                Some(values) => Expr::Literal(Json::Object(values)),
                None => Expr::Object(fields),
            }
        }
    })
}

fn literal(expr: &Expr) -> Option<Json> {
    match expr {
        Expr::Literal(value) => Some(value.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check_config;

    const FILE: &str = "connections:
  api:
    connector: x
    settings:
      url: https://${env:HOST}/v1
      key: ${secret:key}
      both: ${env:HOST}-${secret:key}
      list: [\"${secret:key}\", a]
      pem: ${file:a.pem}
      spare: ${secret:none ?? \"spare\"}
";

    fn settings() -> Vec<(String, Expr)> {
        let (config, faults) = check_config(FILE, &|path| Ok(format!("{path}\n")));
        let config = config.unwrap_or_else(|| panic!("{faults:?}"));
        let names: Vec<&str> = config
            .secrets
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["key", "key", "key", "none"]);
        config.connections["api"].settings.clone()
    }

    #[test]
    fn the_environment_is_known_at_once_and_secrets_when_used() {
        let env = |name: &str| (name == "HOST").then(|| "api.test".to_owned());
        let secret = |name: &str| (name == "key").then(|| "k3y".to_owned());
        let expect = [
            ("url", false, json!("https://api.test/v1")),
            ("key", true, json!("k3y")),
            ("both", true, json!("api.test-k3y")),
            ("list", true, json!(["k3y", "a"])),
            ("pem", false, json!("a.pem\n")),
            ("spare", true, json!("spare")),
        ];
        for ((name, expr), (known, waits, value)) in settings().iter().zip(expect) {
            assert_eq!(name, known);
            let settled = with_environment(expr, &env).unwrap();
            assert_eq!(settled.reads_secret(), waits, "{name}");
            assert_eq!(with_secrets(&settled, &secret).unwrap(), value, "{name}");
        }
    }

    #[test]
    fn what_nobody_set_is_named() {
        let all = settings();
        let none = |_: &str| None;
        assert_eq!(
            with_environment(&all[0].1, &none),
            Err(Unset("HOST".into()))
        );
        assert_eq!(with_secrets(&all[1].1, &none), Err(Unset("key".into())));
    }
}
