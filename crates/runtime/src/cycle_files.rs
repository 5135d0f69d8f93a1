//! Where cycle files come from: a folder, or memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

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
    /// Files in memory that are edited while the engine runs.
    Edited(Arc<EditedFiles>),
}

/// Files in memory, by their path relative to a cycles folder that there is not.
#[derive(Clone, Debug, Default)]
pub struct HeldFiles {
    /// Cycle files.
    pub cycles: BTreeMap<String, String>,
    /// Script files that they name.
    pub scripts: BTreeMap<String, String>,
}

/// Files in memory that somebody edits; [`crate::Engine::reload`] sees what they are by then.
#[derive(Debug, Default)]
pub struct EditedFiles(RwLock<HeldFiles>);

impl EditedFiles {
    /// The files as they are at first.
    pub fn new(files: HeldFiles) -> Self {
        Self(RwLock::new(files))
    }

    /// Puts a cycle file, new or in place of the one it was.
    pub fn put(&self, path: &str, text: String) {
        let mut files = self.0.write().unwrap_or_else(PoisonError::into_inner);
        files.cycles.insert(path.to_owned(), text);
    }

    fn now(&self) -> std::sync::RwLockReadGuard<'_, HeldFiles> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldFiles {
    fn texts(&self) -> Vec<Text> {
        self.cycles
            .iter()
            .map(|(path, text)| (path.clone(), Ok(text.clone())))
            .collect()
    }

    fn script(&self, path: &str) -> std::io::Result<String> {
        self.scripts
            .get(path)
            .cloned()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
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
            Self::Held(held) => held.texts(),
            Self::Edited(edited) => edited.now().texts(),
        }
    }

    /// A script file.
    pub(crate) fn script(&self, path: &str) -> std::io::Result<String> {
        match self {
            Self::Folder(folder) => std::fs::read_to_string(folder.join(path)),
            Self::Held(held) => held.script(path),
            Self::Edited(edited) => edited.now().script(path),
        }
    }

    /// The folder to watch, if there is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Held(_) | Self::Edited(_) => None,
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
