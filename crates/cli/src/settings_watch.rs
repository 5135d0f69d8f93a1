//! `velodrome.yaml` and the folder of a user's own connectors, read again when they change.
//!
//! A bad edit is told and the last good settings stay. Connections, connectors and what cycles may read
//! of the environment change at once; of the rest it is said that the next start takes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use velodrome_runtime::{Engine, Reconfigure, read_below};
use velodrome_spec::{Config, check_config, render};

use crate::assemble::{connections, environment, error_webhook, known_connectors, webhooks};
use crate::config::Settings;

/// How often the files are looked at: they are few and small, and an editor, a mount or a link that
/// changes under them needs no watching of its own.
const LOOK: Duration = Duration::from_secs(1);

/// What is in force, and what was read last.
struct Watch {
    engine: Engine,
    settings: Settings,
    path: PathBuf,
    seen: Seen,
}

/// How many folders deep the script files of connectors are looked for.
const DEPTH: usize = 4;

/// Every file below a folder, so deep.
fn below(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        match path.is_dir() {
            true if depth > 1 => below(&path, depth - 1, files),
            true => {}
            false => files.push(path),
        }
    }
}

/// The settings file and every file of the connectors folder as they were read, names and texts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen(Vec<String>);

impl Seen {
    /// What a start is about to read. Taken before it does: an edit while the server starts then differs
    /// from this, and is taken at the first look.
    pub(crate) fn at_start(settings: &Settings) -> Self {
        Self::with(settings, settings.text.clone())
    }

    fn now(settings: &Settings, path: &Path) -> Self {
        Self::with(settings, std::fs::read_to_string(path).unwrap_or_default())
    }

    fn with(settings: &Settings, text: String) -> Self {
        let mut texts = vec![text];
        let folder = settings.config.connectors.as_ref();
        let mut files = Vec::new();
        if let Some(folder) = folder {
            below(&settings.path(folder), DEPTH, &mut files);
        }
        files.sort();
        for file in files {
            texts.push(file.display().to_string());
            texts.push(std::fs::read_to_string(file).unwrap_or_default());
        }
        Self(texts)
    }
}

/// Looks until the server stops.
pub(crate) async fn run(
    engine: Engine,
    settings: Settings,
    seen: Seen,
    path: PathBuf,
    stop: CancellationToken,
) {
    let mut watch = Watch {
        seen,
        engine,
        settings,
        path,
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = Seen::now(&watch.settings, &watch.path);
        if now != watch.seen {
            watch.seen = now;
            watch.changed().await;
        }
    }
}

impl Watch {
    async fn changed(&mut self) {
        let shown = self.path.display().to_string();
        if !self.path.exists() {
            tracing::error!("{shown} is gone: the last good settings stay");
            return;
        }
        let text = &self.seen.0[0];
        let (config, diagnostics) =
            check_config(text, &|file| read_below(&self.settings.folder, file));
        let said = render(&diagnostics, &shown, text);
        let Some(config) = config else {
            tracing::error!("{shown} was not taken: the last good settings stay\n{said}");
            return;
        };
        if !said.is_empty() {
            tracing::warn!("{shown}\n{said}");
        }
        let next = Settings {
            config,
            found: true,
            text: text.clone(),
            ..self.settings.clone()
        };
        match self.take(&next).await {
            Ok(()) => {
                for key in for_the_next_start(&self.settings.config, &next.config) {
                    tracing::warn!("`{key}` of {shown} changed: the next start takes it");
                }
                tracing::info!("{shown} was read again");
                self.settings = next;
            }
            Err(error) => {
                tracing::error!("{shown} was not taken: the last good settings stay\n{error:#}");
            }
        }
    }

    async fn take(&self, next: &Settings) -> Result<()> {
        let connectors = known_connectors(next)?;
        let change = Reconfigure {
            connections: connections(&next.config, &connectors)?,
            connectors: connectors.into_values().collect(),
            env: environment(&next.config),
            webhooks: webhooks(&next.config),
            error_webhook: error_webhook(&next.config)?,
        };
        self.engine.reconfigure(change).await?;
        Ok(())
    }
}

/// Keys that differ and that a running server does not change.
fn for_the_next_start(old: &Config, new: &Config) -> Vec<&'static str> {
    let differs = [
        ("service_url", old.service_url != new.service_url),
        ("listen", old.listen != new.listen),
        ("data", old.data != new.data),
        ("cycles", old.cycles != new.cycles),
        ("egress", old.egress != new.egress),
        ("body_limit", old.body_limit != new.body_limit),
        ("response_limit", old.response_limit != new.response_limit),
        ("workers", old.workers != new.workers),
        ("log_format", old.log_format != new.log_format),
        ("script_limits", old.script_limits != new.script_limits),
        ("secret_key", old.secret_key != new.secret_key),
    ];
    differs
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| key)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_behind_a_starts_back_differs_from_what_the_start_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("connectors")).unwrap();
        let settings = Settings {
            config: Config {
                connectors: Some("connectors".into()),
                ..Config::default()
            },
            folder: folder.path().to_owned(),
            file: at("velodrome.yaml"),
            found: true,
            text: "connectors: connectors\n".to_owned(),
        };
        std::fs::write(&settings.file, &settings.text).unwrap();
        std::fs::write(at("connectors/shop.yaml"), "one").unwrap();
        let start = Seen::at_start(&settings);
        assert_eq!(start, Seen::now(&settings, &settings.file));
        std::fs::write(at("connectors/shop.yaml"), "another").unwrap();
        assert_ne!(start, Seen::now(&settings, &settings.file));
        std::fs::write(at("connectors/shop.yaml"), "one").unwrap();
        std::fs::write(&settings.file, "connectors: connectors\nworkers: 3\n").unwrap();
        // Read at the very start, the file differs already from what was read.
        assert_ne!(
            Seen::at_start(&settings),
            Seen::now(&settings, &settings.file)
        );
    }

    #[test]
    fn what_waits_for_the_next_start_is_named() {
        let old = Config::default();
        let new = Config {
            listen: "0.0.0.0:80".into(),
            workers: 3,
            env_for_cycles: vec!["STAGE".into()],
            ..Config::default()
        };
        assert_eq!(for_the_next_start(&old, &new), ["listen", "workers"]);
        assert_eq!(for_the_next_start(&old, &old), Vec::<&str>::new());
    }
}
