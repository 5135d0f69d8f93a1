//! Sealing of secrets and tokens, so that the store and its backups hold nothing that can be used.
//!
//! A sealed value is a version byte, a random nonce of 24 bytes and XChaCha20-Poly1305's output. The
//! version and the name the value is kept under are authenticated with it: a sealed value moved to
//! another name does not open.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use thiserror::Error;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const VERSION: u8 = 1;

/// Sealing or opening failed.
#[derive(Debug, Error)]
pub enum SealError {
    /// The key file cannot be read or written.
    #[error("the key file `{path}` cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key file holds something else than a key.
    #[error(
        "the key file `{path}` holds {found} bytes where a key has {KEY_BYTES}: restore it from where it was kept"
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// How long it is.
        found: usize,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// The value cannot be sealed: it is too long.
    #[error("the value of `{name}` is too long to seal")]
    TooLong {
        /// The secret's name.
        name: String,
    },
    /// The value is of a newer version.
    #[error(
        "the sealed value of `{name}` is of version {version}, this program knows {VERSION}: use a newer velodrome"
    )]
    Newer {
        /// The secret's name.
        name: String,
        /// Its version.
        version: u8,
    },
    /// The value does not open: another key sealed it, or it is damaged or was moved.
    #[error(
        "the sealed value of `{name}` does not open with this key: restore the key it was sealed with, or set it again"
    )]
    DoesNotOpen {
        /// The secret's name.
        name: String,
    },
}

/// The key of one data folder.
#[derive(Clone)]
pub struct SealKey(XChaCha20Poly1305);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// Reads the key file, or makes one that only its owner may read.
    ///
    /// # Errors
    ///
    /// The file cannot be read or made, or holds no key. A file that is there is never overwritten.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        match Self::load(path)? {
            Some(key) => Ok(key),
            None => Self::create(path),
        }
    }

    /// Reads a key file; `None` where there is none.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, SealError> {
        match fs::read(path) {
            Ok(bytes) => Self::of_file(path, &bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file_error(path, source)),
        }
    }

    /// A new key, and its bytes.
    ///
    /// # Errors
    ///
    /// No random bytes.
    pub fn generate() -> Result<(Self, [u8; KEY_BYTES]), SealError> {
        let bytes = random()?;
        Ok((Self::from_bytes(bytes), bytes))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(bytes)))
    }

    /// Seals a value for the name it will be kept under. The same value never looks the same twice.
    ///
    /// # Errors
    ///
    /// No random bytes, or a value of more than 256 GB.
    pub fn seal(&self, name: &str, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let aad = associated(VERSION, name);
        let payload = Payload {
            msg: plaintext,
            aad: &aad,
        };
        let ciphertext =
            self.0
                .encrypt(&XNonce::from(nonce), payload)
                .map_err(|_| SealError::TooLong {
                    name: name.to_owned(),
                })?;
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens what [`SealKey::seal`] made for this name.
    ///
    /// # Errors
    ///
    /// It was made with another key, for another name or by a newer program, or is damaged.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let does_not_open = || SealError::DoesNotOpen {
            name: name.to_owned(),
        };
        let (&version, rest) = sealed.split_first().ok_or_else(does_not_open)?;
        if version > VERSION {
            return Err(SealError::Newer {
                name: name.to_owned(),
                version,
            });
        }
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(does_not_open)?;
        let aad = associated(version, name);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        self.0
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| does_not_open())
    }

    fn of_file(path: &Path, bytes: &[u8]) -> Result<Self, SealError> {
        let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| SealError::NotAKey {
            path: path.to_owned(),
            found: bytes.len(),
        })?;
        Ok(Self::from_bytes(key))
    }

    /// Writes the key beside its place and links it there, so that neither a crash nor a second
    /// process leaves a key file that is half written or overwritten.
    fn create(path: &Path) -> Result<Self, SealError> {
        let key: [u8; KEY_BYTES] = random()?;
        let mark: [u8; 8] = random()?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{:016x}", u64::from_be_bytes(mark)));
        let beside = PathBuf::from(name);
        let written = write_private(&beside, &key).and_then(|()| fs::hard_link(&beside, path));
        let removed = fs::remove_file(&beside);
        match written {
            Ok(()) => {
                removed.map_err(|source| file_error(&beside, source))?;
                sync_folder(path).map_err(|source| file_error(path, source))?;
                Ok(Self::from_bytes(key))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let bytes = fs::read(path).map_err(|source| file_error(path, source))?;
                Self::of_file(path, &bytes)
            }
            Err(source) => Err(file_error(path, source)),
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SealError::Random(error.to_string()))?;
    Ok(bytes)
}

fn associated(version: u8, name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + name.len());
    bytes.push(version);
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

pub(crate) fn file_error(path: &Path, source: io::Error) -> SealError {
    SealError::File {
        path: path.to_owned(),
        source,
    }
}

pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_name_only() {
        let key = SealKey::from_bytes([7; 32]);
        let sealed = key.seal("secret/a", b"hush").unwrap();
        assert_eq!(key.open("secret/a", &sealed).unwrap(), b"hush");
        let refused = |result: Result<Vec<u8>, SealError>| {
            assert!(
                matches!(result, Err(SealError::DoesNotOpen { .. })),
                "{result:?}"
            );
        };
        refused(key.open("secret/b", &sealed));
        refused(SealKey::from_bytes([8; 32]).open("secret/a", &sealed));
        for length in 0..sealed.len() {
            refused(key.open("secret/a", &sealed[..length]));
        }
        for place in 1..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            refused(key.open("secret/a", &damaged));
        }
        let mut newer = sealed.clone();
        newer[0] = 2;
        assert!(matches!(
            key.open("secret/a", &newer),
            Err(SealError::Newer { version: 2, .. })
        ));
        assert_ne!(key.seal("secret/a", b"hush").unwrap(), sealed);
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        let first = SealKey::load_or_create(&path).unwrap();
        let sealed = first.seal("a", b"b").unwrap();
        let again = SealKey::load_or_create(&path).unwrap();
        assert_eq!(again.open("a", &sealed).unwrap(), b"b");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(format!("{first:?}"), "SealKey(…)");
    }

    #[test]
    fn a_file_that_is_no_key_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        fs::write(&path, b"short").unwrap();
        assert!(matches!(
            SealKey::load_or_create(&path),
            Err(SealError::NotAKey { found: 5, .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }
}
