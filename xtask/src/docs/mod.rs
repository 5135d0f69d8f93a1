//! Writes what `docs/` has from the code: the JSON Schemas, the document of the HTTP API, the table of keys, the
//! metrics, the tests of paging, what is covered of Cyclr, the shipped cycles, a page for each code.
//!
//! With `--check` nothing is written: a page that would change is an error. What `docs/zoho.md` names is looked for
//! either way.

mod access;
mod comparisons;
mod cookbook;
mod coverage;
mod metrics;
mod paging;
mod shown;
mod zoho;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use velodrome_spec::format::{CONNECTOR, CYCLE, KINDS, Key, SETTINGS, Table, Takes, schema};

const NOTE: &str = "<!-- Made by `cargo xtask docs`; change the code instead. -->\n";

pub(crate) fn run(check: bool) -> ExitCode {
    let settled = zoho::check()
        .and_then(|()| pages())
        .and_then(|pages| settle(&pages, check));
    match settled {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("docs: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// Writes the pages, or tells how many differ.
fn settle(pages: &BTreeMap<PathBuf, String>, check: bool) -> Result<usize> {
    let mut differ = 0;
    for (path, text) in pages {
        let there = std::fs::read_to_string(path).unwrap_or_default();
        if there == *text {
            continue;
        }
        differ += 1;
        if check {
            eprintln!(
                "docs: {} is not what the code says: run `cargo xtask docs`",
                path.display()
            );
        } else {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    for path in stale(pages)? {
        differ += 1;
        if check {
            eprintln!("docs: nothing makes {} any more", path.display());
        } else {
            std::fs::remove_file(&path)?;
        }
    }
    println!(
        "docs: {} pages, {differ} {}",
        pages.len(),
        if check { "differ" } else { "written" }
    );
    Ok(if check { differ } else { 0 })
}

/// Pages of codes that are no more.
fn stale(pages: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for entry in std::fs::read_dir("docs/errors")? {
        let path = entry?.path();
        if !path.ends_with("README.md") && !pages.contains_key(&path) {
            stale.push(path);
        }
    }
    Ok(stale)
}

fn pages() -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    for (name, schema) in [
        ("cycle", schema::cycle()),
        ("velodrome", schema::settings()),
        ("connector", schema::connector()),
    ] {
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        pages.insert(
            PathBuf::from(format!("docs/schema/{name}.schema.json")),
            text,
        );
    }
    let document = serde_json::to_string_pretty(&velodrome_server::document())? + "\n";
    pages.insert(PathBuf::from("docs/openapi.json"), document);
    pages.insert(PathBuf::from("docs/keys.md"), keys());
    let comparisons = comparisons::page();
    pages.insert(PathBuf::from("docs/comparisons.md"), comparisons);
    pages.insert(PathBuf::from("docs/access.md"), access::page()?);
    pages.insert(PathBuf::from("docs/metrics.md"), metrics::page()?);
    pages.insert(PathBuf::from("docs/paging.md"), paging::page()?);
    pages.insert(PathBuf::from("docs/coverage.md"), coverage::page()?);
    pages.insert(PathBuf::from("docs/cookbook.md"), cookbook::page()?);
    codes(&mut pages)?;
    Ok(pages)
}

fn keys() -> String {
    let mut page = format!(
        "# Keys\n\n{NOTE}\nEvery key of a cycle file, of `velodrome.yaml` and of a connector, what it takes and what holds where it is not written.\n"
    );
    page.push_str("\n## A cycle\n");
    table(&mut page, &CYCLE, 3);
    page.push_str("\n## A step\n");
    table(&mut page, &velodrome_spec::format::COMMON, 3);
    for kind in KINDS {
        let name = if kind.tool {
            format!("`use: {}`", kind.uses)
        } else {
            kind.uses.to_owned()
        };
        let _ = write!(page, "\n### {name}\n\n{}\n", kind.doc);
        table(&mut page, kind.table, 4);
    }
    page.push_str("\n## `velodrome.yaml`\n");
    table(&mut page, &SETTINGS, 3);
    page.push_str("\n## A connector\n");
    table(&mut page, &CONNECTOR, 3);
    page
}

/// A table's rows, then the tables inside it.
fn table(page: &mut String, table: &Table, level: usize) {
    if table.keys.is_empty() {
        return;
    }
    page.push_str("\n| key | takes | default | |\n|---|---|---|---|\n");
    for key in table.keys {
        let default = match key.required {
            true => "*must be there*".to_owned(),
            false => default(key),
        };
        let doc = key.doc.replace('|', "\\|");
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {doc} |",
            key.name,
            takes(&key.takes)
        );
    }
    // A table that several keys take is shown once, under all their names.
    let mut shown: Vec<(&'static Table, Vec<&str>)> = Vec::new();
    for key in table.keys {
        // A condition stands in a condition: it is shown once.
        for inner in inner(&key.takes)
            .into_iter()
            .filter(|inner| inner.name != table.name)
        {
            match shown.iter_mut().find(|(known, _)| known.name == inner.name) {
                Some((_, names)) => names.push(key.name),
                None => shown.push((inner, vec![key.name])),
            }
        }
    }
    for (inner, names) in shown {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(", ");
        let _ = write!(page, "\n{} {names} as a map\n", "#".repeat(level));
        self::table(page, inner, level + 1);
    }
}

fn default(key: &Key) -> String {
    let word = !key.default.contains(' ') && !key.default.is_empty();
    let choice = matches!(
        key.takes,
        Takes::Choice(_) | Takes::Boolean | Takes::Integer(_) | Takes::Text
    );
    if word && choice {
        format!("`{}`", key.default)
    } else {
        key.default.to_owned()
    }
}

fn inner(takes: &Takes) -> Vec<&'static Table> {
    match takes {
        Takes::Keys(table) => vec![table],
        Takes::Either(kinds) => kinds.iter().flat_map(inner).collect(),
        Takes::Map(inside) | Takes::List(inside) => inner(inside),
        Takes::Condition => vec![&velodrome_spec::format::CONDITION],
        Takes::Field => vec![&velodrome_spec::format::FIELD],
        _ => Vec::new(),
    }
}

fn takes(takes: &Takes) -> String {
    match takes {
        Takes::Text => "text".to_owned(),
        Takes::Name => "a name".to_owned(),
        Takes::Integer(least) => format!("a whole number from {least}"),
        Takes::Number => "a number".to_owned(),
        Takes::Boolean => "`true`, `false`".to_owned(),
        Takes::Duration => "a duration".to_owned(),
        Takes::Size => "a size".to_owned(),
        Takes::Date => "a date".to_owned(),
        Takes::Choice(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Takes::Step => "a step".to_owned(),
        Takes::Value => "a value".to_owned(),
        Takes::Literal => "a literal".to_owned(),
        Takes::List(inner) => format!("a list: {}", self::takes(inner)),
        Takes::Map(inner) => format!("a map: {}", self::takes(inner)),
        Takes::Keys(_) => "a map, below".to_owned(),
        Takes::Either(kinds) => kinds.iter().map(self::takes).collect::<Vec<_>>().join("; "),
        Takes::Steps => "a map of steps".to_owned(),
        Takes::Condition => "a condition".to_owned(),
        Takes::Field => "a type, or a map".to_owned(),
    }
}

/// A page for each row of the index, with a file that shows the code where the checker's tests have one.
fn codes(pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let index = std::fs::read_to_string("docs/errors/README.md")?;
    let examples = examples()?;
    let mut header: Vec<String> = Vec::new();
    for line in index.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if line.starts_with("| code") {
            header = cells.iter().map(|cell| (*cell).to_owned()).collect();
        }
        let code = cells[0]
            .strip_prefix('`')
            .and_then(|cell| cell.strip_suffix('`'));
        let Some(code) = code.filter(|code| line.starts_with("| `") && code.contains('.')) else {
            continue;
        };
        let mut page = format!("# `{code}`\n\n{NOTE}\n");
        for (name, cell) in header.iter().zip(&cells).skip(1) {
            let name = name.trim();
            let mut letters = name.chars();
            let name: String = letters
                .next()
                .into_iter()
                .flat_map(char::to_uppercase)
                .chain(letters)
                .collect();
            let _ = writeln!(page, "- **{name}**: {cell}");
        }
        if let Some((file, said)) = examples.get(code) {
            let _ = write!(
                page,
                "\nA file that shows it:\n\n```yaml\n{}```\n\nWhat `velodrome check` says of it:\n\n```text\n{}\n```\n",
                file,
                said.trim_end()
            );
        }
        pages.insert(PathBuf::from(format!("docs/errors/{code}.md")), page);
    }
    Ok(())
}

/// By code: a bad file of the checker's tests and what is said of it. A file that is called after the code
/// comes before one that only mentions it.
fn examples() -> Result<BTreeMap<String, (String, String)>> {
    let mut found = BTreeMap::new();
    for folder in ["bad", "bad_connectors"] {
        examples_of(&Path::new("crates/spec/tests").join(folder), &mut found)?;
    }
    Ok(found)
}

fn examples_of(folder: &Path, found: &mut BTreeMap<String, (String, String)>) -> Result<()> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    names.sort();
    for path in names {
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let file = std::fs::read_to_string(&path)?;
        let snapshot = std::fs::read_to_string(folder.join("said").join(format!("{stem}.snap")))?;
        let said = snapshot.splitn(3, "---\n").nth(2).unwrap_or_default();
        let blocks: Vec<&str> = said.split("\n\n").collect();
        for block in &blocks {
            let code = block.split(['[', ']']).nth(1).unwrap_or_default();
            let example = || (file.clone(), (*block).to_owned());
            if stem == code {
                found.insert(code.to_owned(), example());
            } else {
                found.entry(code.to_owned()).or_insert_with(example);
            }
        }
    }
    Ok(())
}
