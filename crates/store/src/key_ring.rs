//! The key in force, and how another one takes its place.
//!
//! ```text
//!   begin   the new key is written to `secret.key.next`, durably
//!   …       everything that is sealed is sealed anew with it, in one commit
//!   finish  `secret.key.next` becomes `secret.key`: the old key is gone
//! ```
//!
//! A process that ends between the first and the last leaves two keys. All that is sealed was sealed by
//! one of them, because the commit is whole or not at all: [`KeyRing::open`] looks by which.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use thiserror::Error;

use crate::error::StoreError;
use crate::read::Secrets;
use crate::seal::{SealError, SealKey, file_error, sync_folder, write_private};

/// The keys cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A key file cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What is sealed cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The key of one data folder, and its file.
#[derive(Debug)]
pub struct KeyRing {
    /// `None` where the key is in memory only.
    file: Option<PathBuf>,
    key: RwLock<SealKey>,
}

impl KeyRing {
    /// Reads the key file, or makes one that only its owner may read. Ends what a rotation left half done.
    ///
    /// # Errors
    ///
    /// The file cannot be read or made or holds no key, or the store cannot be read.
    pub fn open(file: &Path, sealed: &(impl Secrets + ?Sized)) -> Result<Self, KeyError> {
        let next = next_of(file);
        if let Some(key) = left_behind(&next)? {
            if opens_any(&key, sealed)? {
                take_place(&next, file)?;
            } else {
                remove(&next)?;
            }
        }
        Ok(Self {
            key: RwLock::new(SealKey::load_or_create(file)?),
            file: Some(file.to_owned()),
        })
    }

    /// A key that is in no file.
    pub fn held(key: SealKey) -> Self {
        Self {
            file: None,
            key: RwLock::new(key),
        }
    }

    fn key(&self) -> SealKey {
        self.key
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Seals a value for the name it will be kept under: [`SealKey::seal`].
    ///
    /// # Errors
    ///
    /// Those of [`SealKey::seal`].
    pub fn seal(&self, name: &str, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        self.key().seal(name, plaintext)
    }

    /// Opens what the key in force has sealed for this name: [`SealKey::open`].
    ///
    /// # Errors
    ///
    /// Those of [`SealKey::open`].
    pub fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.key().open(name, sealed)
    }

    /// A new key, durable beside the one in force, which stays in force.
    ///
    /// # Errors
    ///
    /// No random bytes, or the file cannot be written.
    pub fn begin_rotation(&self) -> Result<SealKey, SealError> {
        let (key, bytes) = SealKey::generate()?;
        if let Some(file) = &self.file {
            let next = next_of(file);
            remove(&next)?;
            write_private(&next, &bytes).map_err(|source| file_error(&next, source))?;
            sync_folder(&next).map_err(|source| file_error(&next, source))?;
        }
        Ok(key)
    }

    /// The new key is in force: all that is sealed has been sealed with it, durably. The old one is gone.
    ///
    /// # Errors
    ///
    /// The file cannot be renamed. The new key is in force all the same, and the next start ends this.
    pub fn finish_rotation(&self, key: SealKey) -> Result<(), SealError> {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        match &self.file {
            Some(file) => take_place(&next_of(file), file),
            None => Ok(()),
        }
    }

    /// Nothing was sealed with the new key: it is forgotten.
    ///
    /// # Errors
    ///
    /// Its file cannot be removed; the next start does it.
    pub fn abandon_rotation(&self) -> Result<(), SealError> {
        self.file
            .as_ref()
            .map_or(Ok(()), |file| remove(&next_of(file)))
    }
}

fn next_of(file: &Path) -> PathBuf {
    let mut next = file.as_os_str().to_owned();
    next.push(".next");
    PathBuf::from(next)
}

/// The key of a rotation that did not end. One that is not whole was never used.
fn left_behind(next: &Path) -> Result<Option<SealKey>, SealError> {
    match SealKey::load(next) {
        Ok(found) => Ok(found),
        Err(SealError::NotAKey { .. }) => remove(next).map(|()| None),
        Err(error) => Err(error),
    }
}

fn opens_any(key: &SealKey, sealed: &(impl Secrets + ?Sized)) -> Result<bool, StoreError> {
    for name in sealed.secret_names("")? {
        if let Some(bytes) = sealed.secret(&name)?
            && key.open(&name, &bytes).is_ok()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn take_place(next: &Path, file: &Path) -> Result<(), SealError> {
    fs::rename(next, file)
        .and_then(|()| sync_folder(file))
        .map_err(|source| file_error(file, source))
}

fn remove(file: &Path) -> Result<(), SealError> {
    match fs::remove_file(file) {
        Ok(()) => sync_folder(file).map_err(|source| file_error(file, source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(file_error(file, source)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tempfile::TempDir;

    use super::*;

    #[derive(Default)]
    struct Rows(BTreeMap<String, Vec<u8>>);

    impl Secrets for Rows {
        fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.get(name).cloned())
        }

        fn secret_names(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
            let names = self.0.keys().filter(|name| name.starts_with(prefix));
            Ok(names.cloned().collect())
        }
    }

    fn files(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// What is left when the process ends after so many steps of a rotation, and the next start.
    fn rotated(steps: u32) -> (TempDir, Vec<u8>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret.key");
        let mut rows = Rows::default();
        let ring = KeyRing::open(&file, &rows).unwrap();
        let old = fs::read(&file).unwrap();
        for name in ["secret/a", "token/b"] {
            rows.0
                .insert(name.into(), ring.seal(name, b"hush").unwrap());
        }
        let next = (steps > 0).then(|| ring.begin_rotation().unwrap());
        if let (true, Some(next)) = (steps > 1, &next) {
            for (name, sealed) in &mut rows.0 {
                let plain = ring.unseal(name, sealed).unwrap();
                *sealed = next.seal(name, &plain).unwrap();
            }
        }
        if let (true, Some(next)) = (steps > 2, next) {
            ring.finish_rotation(next).unwrap();
        }
        drop(ring);
        let again = KeyRing::open(&file, &rows).unwrap();
        for (name, sealed) in &rows.0 {
            assert_eq!(
                again.unseal(name, sealed).unwrap(),
                b"hush",
                "{steps} {name}"
            );
        }
        let now = fs::read(&file).unwrap();
        (folder, old, now)
    }

    #[test]
    fn wherever_a_rotation_ends_everything_opens_and_one_key_is_left() {
        for (steps, is_new) in [(0, false), (1, false), (2, true), (3, true)] {
            let (folder, old, now) = rotated(steps);
            assert_eq!(old != now, is_new, "after {steps} steps");
            assert_eq!(files(&folder), ["secret.key"], "after {steps} steps");
        }
    }

    #[test]
    fn a_key_that_was_cut_off_was_never_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret.key");
        let ring = KeyRing::open(&file, &Rows::default()).unwrap();
        let sealed = ring.seal("secret/a", b"hush").unwrap();
        fs::write(next_of(&file), b"half").unwrap();
        let rows = Rows(BTreeMap::from([("secret/a".to_owned(), sealed.clone())]));
        let ring = KeyRing::open(&file, &rows).unwrap();
        assert_eq!(ring.unseal("secret/a", &sealed).unwrap(), b"hush");
        assert_eq!(files(&folder), ["secret.key"]);
    }

    #[cfg(unix)]
    #[test]
    fn both_keys_are_their_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret.key");
        let ring = KeyRing::open(&file, &Rows::default()).unwrap();
        let next = ring.begin_rotation().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&next_of(&file))), (0o600, 0o600));
        ring.finish_rotation(next).unwrap();
        assert_eq!(mode(&file), 0o600);
    }
}
