//! A connector for people: facts, settings, then each method with what it takes and gives.

use anyhow::Result;
use serde_json::Value;

use crate::commands::field;
use crate::terminal::escape;
use crate::{out, table};

/// Prints all of it.
pub(super) fn whole(connector: &Value) -> Result<()> {
    table::facts(&[
        ("connector", field(connector, "connector")),
        ("title", field(connector, "title")),
        ("from", field(connector, "from")),
        ("docs", field(connector, "docs")),
        ("base url", field(connector, "base_url")),
        ("auth", field(connector, "auth")),
        ("limits", limits(&connector["limits"])),
    ])?;
    let settings = items(&connector["settings"]);
    if !settings.is_empty() {
        out::line("")?;
        let rows: Vec<Vec<String>> = settings.iter().map(setting).collect();
        table::print(&["SETTING", "DEFAULT", "WHAT IT IS"], &rows)?;
    }
    let methods = items(&connector["methods"]);
    if methods.is_empty() {
        out::line("\nno methods")?;
    }
    for method in methods {
        out::write(&text_of(method))?;
    }
    Ok(())
}

fn setting(setting: &Value) -> Vec<String> {
    let mut default = match setting["required"].as_bool() {
        Some(true) => "must be said".to_owned(),
        _ => field(setting, "default"),
    };
    if setting["secret"] == true {
        default.push_str(", secret");
    }
    let mut title = field(setting, "title");
    let values = words(&setting["values"], plain);
    if !values.is_empty() {
        title.push_str(&format!("; one of {values}"));
    }
    vec![field(setting, "name"), default, title]
}

/// A method: its heading, then its facts, those that are empty left out.
fn text_of(method: &Value) -> String {
    let asks = [field(method, "verb"), field(method, "path")];
    let asks = asks.join(" ").trim().to_owned();
    let heading = [field(method, "name"), field(method, "kind"), asks];
    let heading = heading.join("  ");
    let facts = [
        ("title", field(method, "title")),
        ("inputs", inputs(method)),
        ("paging", paging(&method["paging"])),
        ("incremental", incremental(&method["incremental"])),
        ("limits", limits(&method["limits"])),
        ("gives", gives(method)),
        ("exits", words(&method["exits"], plain)),
    ];
    let mut text = format!("\n{}\n", escape(heading.trim_end()));
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("  {name:<11}  {}\n", escape(value)));
    }
    text
}

fn inputs(method: &Value) -> String {
    let mut all = words(&method["inputs"], |input| {
        let mut about = field(input, "type");
        if input["required"] == true {
            about.push_str(", must be mapped");
        }
        if !input["default"].is_null() {
            about.push_str(&format!(", else {}", plain(&input["default"])));
        }
        format!("{} ({about})", field(input, "name"))
    });
    if method["open_body"] == true {
        let comma = if all.is_empty() { "" } else { ", " };
        all.push_str(&format!("{comma}any field of the body"));
    }
    all
}

fn paging(paging: &Value) -> String {
    if paging.is_null() {
        return String::new();
    }
    let mut said = field(paging, "style");
    if !paging["size"].is_null() {
        said.push_str(&format!(", {} a page", plain(&paging["size"])));
    }
    if !paging["max_records"].is_null() {
        said.push_str(&format!(
            ", at most {} records",
            plain(&paging["max_records"])
        ));
    }
    said
}

fn incremental(def: &Value) -> String {
    if def.is_null() {
        return String::new();
    }
    let place = field(def, "sent_as");
    let place = match place.as_str() {
        "" => "in the request".to_owned(),
        place => format!("as {place}"),
    };
    format!(
        "by {} {place}, {}; moves {}",
        field(def, "by"),
        field(def, "format"),
        field(def, "advance").replace('_', " ")
    )
}

/// What later steps may read.
fn gives(method: &Value) -> String {
    let own: &[&str] = match method["kind"].as_str() {
        Some("list") => &["records", "count"],
        _ => &[],
    };
    let described = items(&method["fields"]);
    let mut all: Vec<String> = own.iter().map(|name| (*name).to_owned()).collect();
    all.extend(described.iter().map(|item| field(item, "name")));
    if method["open"] == true && method["kind"] != "update_watermark" {
        all.push("any field".to_owned());
    }
    all.join(", ")
}

fn limits(limits: &Value) -> String {
    let mut all = Vec::new();
    if !limits["concurrent"].is_null() {
        all.push(format!("{} at once", plain(&limits["concurrent"])));
    }
    all.extend(items(&limits["rate"]).iter().map(plain));
    all.join(", ")
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn words(list: &Value, word: impl Fn(&Value) -> String) -> String {
    let words: Vec<String> = items(list).iter().map(word).collect();
    words.join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
