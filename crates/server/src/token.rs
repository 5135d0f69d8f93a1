//! The admin token: made once, kept in the data folder, compared by its hash.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The admin token's file in the data folder.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
const PREFIX: &str = velodrome_runtime::TOKEN_PREFIX;
/// 256 bits: not to be guessed, and no reason to stretch the hash.
const RANDOM_BYTES: usize = 32;

/// The SHA-256 of a token: enough to know it again, of no use to whoever reads it.
#[derive(Clone)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of this token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// The bytes of it.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// Reads `<data>/admin.token`, or makes it at the first start, readable by its owner only.
///
/// The caller holds the data folder's lock: two processes that begin at once would each make one.
///
/// # Errors
///
/// What the file system says; `InvalidData` where the file holds no token.
pub fn load_or_create_admin_token(data: &Path) -> io::Result<String> {
    let path = data.join(ADMIN_TOKEN_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let token = text.trim();
            if !is_token(token) {
                let what = format!(
                    "`{}` holds no token: delete it, and the next start makes a new one",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            close_to_others(&path)?;
            Ok(token.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = new_token()?;
            write_whole(data, &path, &token)?;
            Ok(token)
        }
        Err(error) => Err(error),
    }
}

fn is_token(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        URL_SAFE_NO_PAD
            .decode(rest)
            .is_ok_and(|raw| raw.len() == RANDOM_BYTES)
    })
}

fn new_token() -> io::Result<String> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// A crash leaves the whole file or none.
fn write_whole(data: &Path, path: &Path, token: &str) -> io::Result<()> {
    let beside = data.join("admin.token.new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(data)?.sync_all()
}

#[cfg(unix)]
fn close_to_others(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others could read the admin token: closed to them");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn close_to_others(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = load_or_create_admin_token(folder.path()).unwrap();
        assert!(is_token(&first), "{first}");
        assert_eq!(first.len(), PREFIX.len() + 43);
        assert_eq!(load_or_create_admin_token(folder.path()).unwrap(), first);
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, [ADMIN_TOKEN_FILE]);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(load_or_create_admin_token(elsewhere.path()).unwrap(), first);
    }

    #[cfg(unix)]
    #[test]
    fn belongs_to_its_owner_alone_also_after_somebody_opened_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ADMIN_TOKEN_FILE);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        load_or_create_admin_token(folder.path()).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        load_or_create_admin_token(folder.path()).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_crash_while_it_was_written_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("admin.token.new"), "vdt_hal").unwrap();
        assert!(is_token(
            &load_or_create_admin_token(folder.path()).unwrap()
        ));
    }

    #[test]
    fn a_file_that_holds_no_token_is_refused_and_kept() {
        for text in ["", "vdt_", "vdt_short", "token", "vdt_!!!!"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(ADMIN_TOKEN_FILE);
            fs::write(&path, text).unwrap();
            let error = load_or_create_admin_token(folder.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
