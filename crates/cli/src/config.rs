//! Finding and reading `velodrome.yaml`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use velodrome_runtime::read_below;
use velodrome_spec::test_file::is_test_file;
use velodrome_spec::{Config, check_config, render};

use crate::args::Global;
use crate::exit::Ended;

/// The settings and the folder that their paths are relative to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) folder: PathBuf,
    /// The settings file, whether or not it is there.
    pub(crate) file: PathBuf,
    /// Whether there is a settings file at all.
    pub(crate) found: bool,
    /// The file's text as it was read; empty where there is none.
    pub(crate) text: String,
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
                    file: path,
                    found: false,
                    text: String::new(),
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
        let (config, diagnostics) = check_config(&text, &|file| read_below(folder, file));
        let shown = render(&diagnostics, &path.display().to_string(), &text);
        match config {
            Some(config) => {
                if !shown.is_empty() {
                    eprint!("{shown}");
                }
                Ok(Self {
                    config,
                    folder: folder.to_owned(),
                    file: path,
                    found: true,
                    text,
                })
            }
            None => Err(Ended::Invalid(shown.trim_end().to_owned()).into()),
        }
    }

    /// A path of the settings, relative to their file.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written).components().collect()
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
            // What `serve` would take here, its environment included.
            let listen = env("VELODROME_LISTEN").unwrap_or(settings.config.listen.clone());
            let data = env("VELODROME_DATA").map_or_else(|| settings.data(), PathBuf::from);
            let file = file
                .clone()
                .unwrap_or_else(|| data.join(velodrome_server::ADMIN_TOKEN_FILE));
            // A server behind a proxy is asked where it listens: the token goes no detour.
            (format!("http://{}", reached_at(&listen)), file)
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

/// A variable of the environment; an empty one counts as not set.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where a server that listens there is reached from this machine.
fn reached_at(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => listen.to_owned(),
    }
}

/// Every cycle file below a folder, in order.
pub(crate) fn cycle_files(folder: &Path) -> Result<Vec<PathBuf>> {
    files(folder, |name| {
        name.ends_with(".yaml") && !is_test_file(name) && name != "velodrome.yaml"
    })
}

/// Every file with tests of a cycle below a folder, in order.
pub(crate) fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    files(folder, is_test_file)
}

fn files(folder: &Path, wanted: fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, wanted, &mut files)
        .with_context(|| format!("reading `{}`", folder.display()))?;
    files.sort();
    Ok(files)
}

fn collect(
    folder: &Path,
    wanted: fn(&str) -> bool,
    files: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !name.starts_with('.') {
                collect(&path, wanted, files)?;
            }
        } else if wanted(&name) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        assert_eq!(reached_at("0.0.0.0:7300"), "127.0.0.1:7300");
        assert_eq!(reached_at("[::]:7300"), "[::1]:7300");
        assert_eq!(reached_at("10.0.0.0:7300"), "10.0.0.0:7300");
    }

    #[test]
    fn cycle_files_are_found_below_and_settings_and_tests_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("sub")).unwrap();
        std::fs::create_dir_all(at(".git")).unwrap();
        for name in [
            "b.yaml",
            "sub/a.yaml",
            "velodrome.yaml",
            "b.test.yaml",
            "notes.md",
            ".git/c.yaml",
        ] {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(
            cycle_files(folder.path()).unwrap(),
            [at("b.yaml"), at("sub/a.yaml")]
        );
        assert_eq!(test_files(folder.path()).unwrap(), [at("b.test.yaml")]);
    }
}
