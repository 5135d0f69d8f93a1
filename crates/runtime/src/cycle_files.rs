//! Where cycle files come from: a folder, or memory.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
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
    /// Scripts and other files that they name.
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

    fn script(&self, path: &str) -> io::Result<String> {
        self.scripts
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
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

    /// A script, or another file that a cycle names.
    pub(crate) fn script(&self, path: &str) -> io::Result<String> {
        match self {
            Self::Folder(folder) => read_below(folder, path),
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

/// The most bytes of a file that a cycle or `velodrome.yaml` names.
const LARGEST: u64 = 1024 * 1024;

/// Reads a file that another one names, below a folder. A link that leads out of the folder is refused.
///
/// # Errors
///
/// It cannot be read, is no text, is too large, or is elsewhere.
pub fn read_below(folder: &Path, path: &str) -> io::Result<String> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let found = folder.join(path).canonicalize()?;
    if !found.starts_with(folder.canonicalize()?) {
        return Err(io::Error::other("it leads out of the folder"));
    }
    let file = std::fs::File::open(found)?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("it is over 1 MiB"));
    }
    Ok(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_below_the_folder_only() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("cycles");
        std::fs::create_dir_all(folder.join("keys")).unwrap();
        std::fs::write(outer.path().join("outside"), "out").unwrap();
        std::fs::write(folder.join("keys/a.pem"), "a line\n").unwrap();
        assert_eq!(read_below(&folder, "keys/a.pem").unwrap(), "a line\n");
        assert_eq!(
            read_below(&folder, "none").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        let refused = |path: &str, why: &str| {
            let error = read_below(&folder, path).unwrap_err().to_string();
            assert!(error.contains(why), "{path}: {error}");
        };
        refused("../outside", "leads out");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outer.path(), folder.join("link")).unwrap();
            refused("link/outside", "leads out");
            std::os::unix::fs::symlink(folder.join("keys"), folder.join("within")).unwrap();
            assert_eq!(read_below(&folder, "within/a.pem").unwrap(), "a line\n");
        }
        let large = "x".repeat(LARGEST as usize + 1);
        std::fs::write(folder.join("large"), &large[1..]).unwrap();
        assert_eq!(read_below(&folder, "large").unwrap().len() as u64, LARGEST);
        std::fs::write(folder.join("large"), large).unwrap();
        refused("large", "over 1 MiB");
        std::fs::write(folder.join("binary"), [0xff, 0xfe]).unwrap();
        refused("binary", "UTF-8");
    }
}
