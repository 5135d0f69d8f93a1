//! Tests that a page names: whether each is there, and is one that runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Whether this file has this test, and it runs.
pub(super) fn look(file: &Path, test: &str) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let runs = runs(&text, test);
    let runs = runs.with_context(|| format!("{} has no test `{test}`", file.display()))?;
    ensure!(runs, "`{test}` in {} is no test that runs", file.display());
    Ok(())
}

/// The file below these folders that has this test, and it runs there.
pub(super) fn find(folders: &[&str], test: &str) -> Result<PathBuf> {
    for path in rust_below(folders)? {
        if runs(&std::fs::read_to_string(&path)?, test).is_some() {
            look(&path, test)?;
            return Ok(path);
        }
    }
    bail!("no file below {} has a test `{test}`", folders.join(", "))
}

/// Every file of Rust below these folders.
fn rust_below(folders: &[&str]) -> Result<Vec<PathBuf>> {
    let mut left: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(|| path.display().to_string())? {
                left.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Every test below some folders that runs, with the files that have one of its name.
pub(super) struct Tests(BTreeMap<String, Vec<PathBuf>>);

impl Tests {
    /// Reads every file of Rust below these folders.
    pub(super) fn below(folders: &[&str]) -> Result<Self> {
        let mut tests: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in rust_below(folders)? {
            let text = std::fs::read_to_string(&path)?;
            for name in text.lines().filter_map(function) {
                if runs(&text, name) == Some(true) {
                    tests.entry(name.to_owned()).or_default().push(path.clone());
                }
            }
        }
        Ok(Self(tests))
    }

    /// The one file that has this test, and its name; where several have one, `file::test` says which.
    pub(super) fn find<'t>(&self, test: &'t str) -> Result<(&Path, &'t str)> {
        let (stem, name) = match test.split_once("::") {
            Some((stem, name)) => (Some(stem), name),
            None => (None, test),
        };
        let is_meant = |path: &&PathBuf| {
            stem.is_none_or(|stem| path.file_stem().is_some_and(|known| known == stem))
        };
        let found = self.0.get(name).into_iter().flatten().filter(is_meant);
        match found.collect::<Vec<_>>()[..] {
            [path] => Ok((path, name)),
            [] => bail!("there is no test `{test}`"),
            ref several => bail!(
                "{} files have a test `{test}`: say `file::{name}`",
                several.len()
            ),
        }
    }
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("async ").unwrap_or(line);
    let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
    Some(name)
}

/// Whether a function of this name is a test that runs; `None` if there is none.
fn runs(text: &str, test: &str) -> Option<bool> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let named = format!("fn {test}(");
    let at = lines.iter().position(|line| {
        line.strip_prefix("async ")
            .unwrap_or(line)
            .starts_with(&named)
    })?;
    let attributes: Vec<&str> = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#["))
        .copied()
        .collect();
    let is = |name: &str| attributes.iter().any(|line| line.starts_with(name));
    Some((is("#[test]") || is("#[tokio::test")) && !is("#[ignore"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_a_function_with_the_attribute_and_one_that_is_not_left_out() {
        let text = "#[test]\nfn one() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn two() {}\n\
            fn three() {}\n#[test]\n#[ignore = \"slow\"]\nfn four() {}\n";
        let found = ["one", "two", "three", "four", "on"].map(|name| runs(text, name));
        let expect = [Some(true), Some(true), Some(false), Some(false), None];
        assert_eq!(found, expect);
    }
}
