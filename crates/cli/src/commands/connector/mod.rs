//! `connector list|show`: what connectors there are and what each can do, read from the files around. No server is
//! asked: a connector is the same whether or not somebody has signed in.

mod describe;
mod show;

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;
use velodrome_spec::closest;

use super::field;
use crate::args::{Connector, Global};
use crate::assemble::{KnownConnector, connector_files};
use crate::config::Settings;
use crate::exit::Ended;
use crate::{out, table};

pub(super) fn run(global: &Global, args: Connector) -> Result<()> {
    let settings = Settings::read(global)?;
    let known = connector_files(&settings)?;
    match args {
        Connector::List => list(global, &known),
        Connector::Show { connector } => {
            let found = known
                .get(&connector)
                .ok_or_else(|| unknown(&connector, &known))?;
            let described = describe::whole(found);
            match global.json {
                true => out::json(&described),
                false => show::whole(&described),
            }
        }
    }
}

fn list(global: &Global, known: &BTreeMap<String, KnownConnector>) -> Result<()> {
    let items: Vec<Value> = known.values().map(describe::line).collect();
    if global.json {
        return out::json(&Value::Array(items));
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            let columns = ["connector", "title", "auth", "methods", "from"];
            columns.iter().map(|name| field(item, name)).collect()
        })
        .collect();
    table::print(&["CONNECTOR", "TITLE", "AUTH", "METHODS", "FROM"], &rows)
}

fn unknown(name: &str, known: &BTreeMap<String, KnownConnector>) -> Ended {
    let names = || known.keys().map(String::as_str);
    let hint = match closest(name, names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Ended::Usage(format!("there is no connector `{name}`: {hint}"))
}
