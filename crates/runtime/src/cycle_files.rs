//! Where cycle files come from: a folder, or memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How deep below the cycles folder files are looked for.
const DEPTH: usize = 8;

/// A cycle file's path, relative to the cycles folder, and its text.
pub(crate) type Text = (String, Result<String, String>);

/// The cycle files of an engine.
#[derive(Clone, Debug)]
pub enum CycleFiles {
    /// Files below a folder.
    Folder(PathBuf),
    /// Files in memory, as a simulation has them.
    Held(Arc<HeldFiles>),
}

/// Files in memory, by their path relative to a cycles folder that there is not.
#[derive(Clone, Debug, Default)]
pub struct HeldFiles {
    /// Cycle files.
    pub cycles: BTreeMap<String, String>,
    /// Script files that they name.
    pub scripts: BTreeMap<String, String>,
}

impl CycleFiles {
    /// Every cycle file, in order of its path.
    pub(crate) fn texts(&self) -> Vec<Text> {
        match self {
            Self::Folder(folder) => {
                let mut files = Vec::new();
                collect(folder, DEPTH, &mut files);
                files.sort();
                files.iter().map(|path| read(folder, path)).collect()
            }
            Self::Held(held) => held
                .cycles
                .iter()
                .map(|(path, text)| (path.clone(), Ok(text.clone())))
                .collect(),
        }
    }

    /// A script file.
    pub(crate) fn script(&self, path: &str) -> std::io::Result<String> {
        match self {
            Self::Folder(folder) => std::fs::read_to_string(folder.join(path)),
            Self::Held(held) => held
                .scripts
                .get(path)
                .cloned()
                .ok_or_else(|| std::io::ErrorKind::NotFound.into()),
        }
    }

    /// The folder to watch, if there is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Held(_) => None,
        }
    }
}

fn read(folder: &Path, path: &Path) -> Text {
    let shown = path
        .strip_prefix(folder)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned();
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    (shown, text)
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if depth > 0 && !name.starts_with('.') {
                collect(&path, depth - 1, files);
            }
        } else if name.ends_with(".yaml")
            && !name.ends_with(".test.yaml")
            && name != "velodrome.yaml"
        {
            files.push(path);
        }
    }
}
