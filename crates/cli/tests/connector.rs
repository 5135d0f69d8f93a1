//! `connector list|show`, without a server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const SHOP: &str = r#"
connector: shop
title: The shop
settings:
  key: {title: Key, secret: true}
  region: {title: Region, default: eu, values: [eu, us]}
auth: {type: api_key, headers: {X-Key: "${settings.key}"}}
base_url: "https://${settings.region}.shop.example.com"
limits: {concurrent: 2, rate: [10 per second, 500 per 10 minutes]}
methods:
  orders:
    title: Orders
    kind: list
    verb: GET
    path: "/orders/${input.year}"
    inputs:
      year: {type: integer, required: true}
      state: {type: text, default: open, query: state}
    response: {records: data, fields: {total: {title: In all, path: meta.total}}}
    paging: {style: page, send: {query: page}, size: 50, total: meta.total, max_records: 700}
    incremental: {by: changed, query: since, format: http_date, key: id, overlap: 3 seconds, advance: by_step}
    limits: {rate: 1 per minute}
  send:
    kind: request
    verb: POST
    path: /orders
    open_body: true
"#;

/// A folder with a connector of its own, if `shop` is a definition.
fn folder(shop: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if let Some(shop) = shop {
        std::fs::create_dir(folder.path().join("own")).unwrap();
        std::fs::write(folder.path().join("own/shop.yaml"), shop).unwrap();
        std::fs::write(folder.path().join("velodrome.yaml"), "connectors: ./own\n").unwrap();
    }
    folder
}

fn connector(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_velodrome"))
        .arg("connector")
        .args(arguments)
        .current_dir(folder)
        .env_remove("VELODROME_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let (code, out, errors) = connector(folder, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn the_list_tells_where_each_comes_from() {
    let folder = folder(Some(SHOP));
    let (code, out, errors) = connector(folder.path(), &["list"]);
    assert_eq!(code, 0, "{errors}");
    let lines: Vec<Vec<&str>> = out
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(lines[0], ["CONNECTOR", "TITLE", "AUTH", "METHODS", "FROM"]);
    for wanted in [
        ["data_storage", "Data Storage", "none", "8", "built in"],
        [
            "generic_webhook",
            "Generic Webhook",
            "none",
            "6",
            "built in",
        ],
        ["github", "GitHub", "bearer", "7", "built in"],
        ["hubspot", "HubSpot CRM", "bearer", "5", "built in"],
        ["shop", "The shop", "api_key", "2", "./own/shop.yaml"],
        ["stripe", "Stripe", "basic", "9", "built in"],
        ["zoho_crm", "Zoho CRM", "oauth2", "5", "built in"],
    ] {
        assert!(
            lines.contains(&wanted.to_vec()),
            "{wanted:?} is missing:\n{out}"
        );
    }
    let listed = json_of(folder.path(), &["list"]);
    assert_eq!(listed.as_array().unwrap().len(), lines.len() - 1);
    let shop = json!({"connector": "shop", "title": "The shop", "auth": "api_key", "methods": 2, "from": "./own/shop.yaml"});
    assert!(listed.as_array().unwrap().contains(&shop), "{listed:#}");
}

#[test]
fn ones_own_comes_in_place_of_a_built_in_one() {
    let folder = folder(Some(&SHOP.replace("connector: shop", "connector: github")));
    let listed = json_of(folder.path(), &["list"]);
    let found: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["connector"] == "github")
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["from"], "./own/shop.yaml");
}

#[test]
fn show_tells_what_a_step_may_map_and_read() {
    let folder = folder(Some(SHOP));
    let (code, out, errors) = connector(folder.path(), &["show", "shop"]);
    assert_eq!(code, 0, "{errors}");
    let expect = "\
connector  shop
title      The shop
from       ./own/shop.yaml
base url   https://${settings.region}.shop.example.com
auth       api_key
limits     2 at once, 10 per second, 500 per 10 min

SETTING  DEFAULT               WHAT IT IS
key      must be said, secret  Key
region   eu                    Region; one of eu, us

orders  list  GET /orders/${input.year}
  title        Orders
  inputs       state (text, else open), year (integer, must be mapped)
  paging       page, 50 a page, at most 700 records
  incremental  by changed as query since, http_date; moves by step
  limits       1 per minute
  gives        records, count, total
  exits        then, else, catch

send  request  POST /orders
  title        send
  inputs       any field of the body
  gives        any field
  exits        then, catch
";
    assert_eq!(out, expect);
    let shown = json_of(folder.path(), &["show", "shop"]);
    assert_eq!(shown["settings"][0]["secret"], true);
    assert_eq!(shown["settings"][1]["values"], json!(["eu", "us"]));
    let orders = &shown["methods"][0];
    assert_eq!(orders["inputs"][0]["sent_as"], "query state");
    assert_eq!(
        orders["paging"],
        json!({"style": "page", "size": 50, "max_records": 700})
    );
    assert_eq!(
        orders["incremental"],
        json!({"by": "changed", "sent_as": "query since", "format": "http_date", "key": ["id"], "overlap": "3 s", "advance": "by_step"})
    );
    assert_eq!(orders["fields"][0]["path"], "meta.total");
    assert_eq!(orders["exits"], json!(["then", "else", "catch"]));
}

#[test]
fn every_built_in_connector_is_shown() {
    let folder = folder(None);
    for item in json_of(folder.path(), &["list"]).as_array().unwrap() {
        let name = item["connector"].as_str().unwrap();
        let (code, out, errors) = connector(folder.path(), &["show", name]);
        assert_eq!(code, 0, "{name}: {errors}");
        assert!(out.starts_with(&format!("connector  {name}\n")), "{out}");
        let shown = json_of(folder.path(), &["show", name]);
        let methods = shown["methods"].as_array().unwrap();
        assert_eq!(item["methods"], methods.len());
        for method in methods {
            let method = method["name"].as_str().unwrap();
            assert!(out.contains(&format!("\n{method}  ")), "{method}:\n{out}");
        }
    }
    let stripe = connector(folder.path(), &["show", "stripe"]).1;
    assert!(
        stripe.contains("docs       https://docs.stripe.com/api\n"),
        "{stripe}"
    );
    assert!(stripe.contains("paging       last_record, 100 a page, at most 100000 records\n"));
}

#[test]
fn an_unknown_name_is_wrong_usage_with_what_may_have_been_meant() {
    let folder = folder(Some(SHOP));
    let (code, out, errors) = connector(folder.path(), &["show", "strip"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        errors,
        "error: there is no connector `strip`: did you mean `stripe`?\n"
    );
    let (code, _, errors) = connector(folder.path(), &["show", "salesforce"]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("there are data_storage, generic_webhook, github"),
        "{errors}"
    );
}

#[test]
fn a_definition_with_faults_is_pointed_at() {
    let folder = folder(Some(&SHOP.replace("kind: list", "kind: lists")));
    let (code, _, errors) = connector(folder.path(), &["list"]);
    assert_eq!(code, 3, "{errors}");
    assert!(errors.contains("own/shop.yaml:"), "{errors}");
}

#[test]
fn the_example_with_a_connector_of_its_own_passes_its_tests() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/signed_orders");
    for command in ["check", "test"] {
        let output = Command::new(env!("CARGO_BIN_EXE_velodrome"))
            .arg(command)
            .current_dir(&example)
            .env_remove("VELODROME_CONFIG")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{said}\n{errors}");
        assert!(!said.contains("warning"), "{said}");
    }
}

#[test]
fn a_fault_of_a_connectors_script_points_into_its_file() {
    let broken = SHOP.replace("methods:\n", "script: {file: hooks/a.js}\nmethods:\n");
    let folder = folder(Some(&broken));
    std::fs::create_dir(folder.path().join("own/hooks")).unwrap();
    let hooks = folder.path().join("own/hooks/a.js");
    std::fs::write(&hooks, "function before_action() {\n  return tru e;\n}\n").unwrap();
    let (code, _, errors) = connector(folder.path(), &["list"]);
    assert_eq!(code, 3, "{errors}");
    assert!(errors.contains("hooks/a.js:2:14"), "{errors}");
    std::fs::write(&hooks, "function before_action() { return true; }\n").unwrap();
    let (code, _, errors) = connector(folder.path(), &["list"]);
    assert_eq!(code, 0, "{errors}");
}
