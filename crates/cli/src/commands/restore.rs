//! `restore`: a data folder from a backup. No server may hold the folder.

use std::path::{Path, PathBuf};

use anyhow::Result;
use velodrome_store::StoreError;

use crate::args::Global;
use crate::config::Settings;
use crate::exit::Ended;

pub(super) fn run(global: &Global, file: &Path, data: Option<PathBuf>) -> Result<()> {
    let settings = Settings::read(global)?;
    let folder = data.unwrap_or_else(|| settings.data());
    let restored =
        velodrome_store_embedded::restore(file, &folder).map_err(|error| match error {
            error @ (StoreError::Damaged { .. } | StoreError::Newer { .. }) => {
                let message = format!("`{}` cannot be restored: {error}", file.display());
                anyhow::Error::from(Ended::Invalid(message))
            }
            StoreError::Backend(why) => Ended::Refused(why).into(),
            other => other.into(),
        })?;
    eprintln!("restored into {}", folder.display());
    for cycle in &restored.cycles {
        eprintln!("  {cycle} is paused: `velodrome cycle start {cycle}` lets new loops begin");
    }
    if restored.unfinished_loops > 0 {
        eprintln!(
            "  {} loops were under way and go on when it is served: where the other server still runs, stop one of the two",
            restored.unfinished_loops
        );
    }
    if !folder.join("secret.key").exists() {
        eprintln!("  put the old `secret.key` beside it, or sign the connections in again");
    }
    Ok(())
}
