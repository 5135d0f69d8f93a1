//! Finding and reading `velodrome.yaml`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use velodrome_spec::{Config, check_config, render};

use crate::args::Global;
use crate::exit::Ended;

/// The settings and the folder that their paths are relative to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) folder: PathBuf,
    /// Whether there is a settings file at all.
    pub(crate) found: bool,
}

impl Settings {
    /// Reads the file that `--config` names, or the working directory's, or takes the defaults.
    pub(crate) fn read(global: &Global) -> Result<Self> {
        let path = global
            .config
            .clone()
            .unwrap_or_else(|| PathBuf::from("velodrome.yaml"));
        let folder = path.parent().unwrap_or(Path::new(""));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if global.config.is_none() && error.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(Self {
                    config: Config::default(),
                    folder: folder.to_owned(),
                    found: false,
                });
            }
            Err(error) => {
                return Err(Ended::Invalid(format!(
                    "`{}` cannot be read: {error}",
                    path.display()
                ))
                .into());
            }
        };
        let (config, diagnostics) = check_config(&text);
        let shown = render(&diagnostics, &path.display().to_string(), &text);
        match config {
            Some(config) => {
                if !shown.is_empty() {
                    eprint!("{shown}");
                }
                Ok(Self {
                    config,
                    folder: folder.to_owned(),
                    found: true,
                })
            }
            None => Err(Ended::Invalid(shown.trim_end().to_owned()).into()),
        }
    }

    /// A path of the settings, relative to their file.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.path(&self.config.data)
    }

    /// The cycles folder.
    pub(crate) fn cycles(&self) -> PathBuf {
        self.path(&self.config.cycles)
    }
}

/// The server's URL and token, as `--server` and `--token-file` or the settings say.
pub(crate) fn server(global: &Global) -> Result<(String, String)> {
    let (url, token_file) = match (&global.server, &global.token_file) {
        (Some(url), Some(file)) => (url.trim_end_matches('/').to_owned(), file.clone()),
        (Some(_), None) => {
            return Err(Ended::Usage("`--server` goes with `--token-file`".to_owned()).into());
        }
        (None, file) => {
            let settings = Settings::read(global)?;
            // A server behind a proxy is asked where it listens: the token goes no detour.
            let listen = settings.config.listen.replace("0.0.0.0", "127.0.0.1");
            let file = file
                .clone()
                .unwrap_or_else(|| settings.data().join("admin.token"));
            (format!("http://{listen}"), file)
        }
    };
    let token = match std::fs::read_to_string(&token_file) {
        Ok(token) => token.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!(
                "there is no `{}`: has `velodrome serve` been started here? `--config` or `--server` with `--token-file` name another one",
                token_file.display()
            );
            return Err(Ended::Unreachable(message).into());
        }
        Err(error) => {
            return Err(Ended::NotAllowed(format!(
                "`{}` cannot be read: {error}",
                token_file.display()
            ))
            .into());
        }
    };
    Ok((url, token))
}

/// Every cycle file below a folder, in order.
pub(crate) fn cycle_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, &mut files).with_context(|| format!("reading `{}`", folder.display()))?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !name.starts_with('.') {
                collect(&path, files)?;
            }
        } else if name.ends_with(".yaml")
            && !name.ends_with(".test.yaml")
            && name != "velodrome.yaml"
        {
            files.push(path);
        }
    }
    Ok(())
}
