//! How far the run log has been sent, in a file of the data folder.
//!
//! Written once a batch was taken, so that after a crash no more than that batch is sent again. Where there is no
//! file, nothing of what happened before is sent; a backup does not carry it.

use std::io;
use std::path::{Path, PathBuf};

/// The file's name.
const FILE: &str = "traces.position";

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Position(PathBuf);

impl Position {
    pub(super) fn in_folder(data: &Path) -> Self {
        Self(data.join(FILE))
    }

    /// The `seq` of the last line that was sent; `None` where nothing is known, or what is there is no number.
    pub(super) fn read(&self) -> Option<u64> {
        std::fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }

    /// Keeps it, whole or not at all. A loss of power may leave an older one, from which more is sent again.
    pub(super) fn write(&self, seq: u64) -> io::Result<()> {
        let beside = self.0.with_extension("position.new");
        std::fs::write(&beside, format!("{seq}\n"))?;
        std::fs::rename(beside, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written_and_none_where_it_is_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let position = Position::in_folder(folder.path());
        assert_eq!(position.read(), None);
        position.write(7).unwrap();
        position.write(8).unwrap();
        assert_eq!(position.read(), Some(8));
        std::fs::write(folder.path().join(FILE), "what").unwrap();
        assert_eq!(position.read(), None);
    }
}
