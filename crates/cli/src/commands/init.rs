//! `init`: a folder to begin in. Nothing that is there is written over.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::schema;
use crate::args::SchemaOf;
use crate::exit::Ended;
use crate::out;

const SETTINGS: &str = include_str!("init/velodrome.yaml");
const HELLO: &str = include_str!("init/hello.yaml");
const HELLO_TEST: &str = include_str!("init/hello.test.yaml");
/// What belongs to this machine and not into a repository.
const IGNORED: &str = "data/";

pub(super) fn run(folder: &Path) -> Result<()> {
    let failed = |what: &Path, error: std::io::Error| {
        Ended::Refused(format!("`{}` cannot be made: {error}", what.display()))
    };
    let files = [
        ("velodrome.yaml", SETTINGS.to_owned()),
        ("cycles/hello.yaml", HELLO.to_owned()),
        ("cycles/hello.test.yaml", HELLO_TEST.to_owned()),
        (
            ".velodrome/cycle.schema.json",
            schema::text(SchemaOf::Cycle)? + "\n",
        ),
        (
            ".velodrome/velodrome.schema.json",
            schema::text(SchemaOf::Velodrome)? + "\n",
        ),
    ];
    // All folders first: where one cannot be made, nothing has been.
    for (name, _) in &files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
    }
    let (mut made, mut left) = (Vec::new(), Vec::new());
    for (name, text) in &files {
        let path = folder.join(name);
        if path.exists() {
            left.push(*name);
            continue;
        }
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
        made.push(*name);
    }
    match ignore(&folder.join(".gitignore"))
        .map_err(|error| failed(&folder.join(".gitignore"), error))?
    {
        true => made.push(".gitignore"),
        false => left.push(".gitignore"),
    }
    for name in &made {
        out::line(&format!("made   {name}"))?;
    }
    for name in &left {
        out::line(&format!("left   {name}: it is there"))?;
    }
    out::line("\nnext:")?;
    if folder != Path::new(".") {
        out::line(&format!("  cd {}", folder.display()))?;
    }
    for command in [
        "velodrome check",
        "velodrome serve",
        "velodrome trigger hello --follow     # in another terminal",
    ] {
        out::line(&format!("  {command}"))?;
    }
    Ok(())
}

/// Adds the data folder to the ignore file; false where it stands there already.
fn ignore(path: &Path) -> std::io::Result<bool> {
    let there = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if there
        .lines()
        .any(|line| line.trim().trim_start_matches('/') == IGNORED)
    {
        return Ok(false);
    }
    let gap = if there.is_empty() || there.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    fs::write(path, format!("{there}{gap}{IGNORED}\n"))?;
    Ok(true)
}
