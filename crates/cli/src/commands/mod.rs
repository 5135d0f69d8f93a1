//! One file a command.

mod backup;
mod check;
mod connect;
mod connector;
mod cycle;
mod demo;
mod graph;
mod init;
mod key;
mod logs;
mod looped;
mod manual;
mod restore;
mod retry;
mod run;
mod schema;
mod secret;
mod serve;
mod sim;
mod step;
mod storage;
mod test;
mod token;
mod trigger;
mod watermark;

use std::future::Future;
use std::io::{IsTerminal, Read as _};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Command, Global};
use crate::exit::Ended;

/// Runs a command.
pub(crate) fn run(args: Args) -> Result<()> {
    // One TLS stack for the whole process; a second call would only say that it is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let global = args.global;
    match args.command {
        Command::Check(args) => check::run(&global, &args),
        Command::Test(args) => test::run(&global, &args),
        Command::Serve(args) => wait(serve::run(&global, args)),
        Command::Demo(args) => wait(demo::run(&global, args)),
        Command::Trigger(args) => wait(trigger::run(&global, args)),
        Command::Cycle(args) => wait(cycle::run(&global, args)),
        Command::Run(args) => wait(run::run(&global, args)),
        Command::Loop(args) => wait(looped::run(&global, args)),
        Command::Logs(args) => wait(logs::run(&global, args)),
        Command::Step(args) => wait(step::run(&global, args)),
        Command::Storage(args) => wait(storage::run(&global, args)),
        Command::Watermark(args) => wait(watermark::run(&global, args)),
        Command::Secret(args) => wait(secret::run(&global, args)),
        Command::Key(args) => wait(key::run(&global, args)),
        Command::Token(args) => wait(token::run(&global, args)),
        Command::Connect(args) => wait(connect::run(&global, args)),
        Command::Connector(args) => connector::run(&global, args),
        Command::Backup { file } => wait(backup::run(&global, file)),
        Command::Restore { file, data } => restore::run(&global, &file, data),
        Command::Sim(args) => wait(sim::run(args)),
        Command::Init { folder } => init::run(&folder),
        Command::Graph { cycle, format } => graph::run(&global, &cycle, format),
        Command::Schema { file } => schema::run(file),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::man(dir.as_deref()),
    }
}

fn wait<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(command);
    // A reader that blocks on standard input must not hold the process.
    runtime.shutdown_background();
    result
}

/// Waits until somebody says to stop: Ctrl-C, or SIGTERM.
async fn stop_signal() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        told = tokio::signal::ctrl_c() => told.context("listening for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

/// Asks before something is destroyed.
fn confirm(global: &Global, question: &str) -> Result<()> {
    if global.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let message = format!("nobody is there to ask `{question}`: say `--yes` to do it");
        return Err(Ended::Usage(message).into());
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Ended::Refused("left as it was".to_owned()).into())
    }
}

/// JSON that a person gives: as it stands, `@file`, or `-` for standard input; `{}` where nothing is given.
fn given_json(what: &str, written: Option<&str>) -> Result<String> {
    let text = match written {
        None => "{}".to_owned(),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("reading standard input")?;
            text
        }
        Some(written) => match written.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Ended::Invalid(format!("`{path}` cannot be read: {error}")))?,
            None => written.to_owned(),
        },
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Ended::Usage(format!("{what}: this is not JSON: {error}")).into()),
    }
}

/// A field of an answer as text; empty where it is missing.
fn field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An id as people are shown it.
fn short(value: &Value, name: &str) -> String {
    velodrome_types::short_id(&field(value, name))
}

/// A date without its milliseconds.
fn date(value: &Value, name: &str) -> String {
    field(value, name)
        .split('.')
        .next()
        .unwrap_or_default()
        .replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_wherever_it_comes_from() {
        let given = |written| given_json("the body", written);
        assert_eq!(given(None).unwrap(), "{}");
        assert_eq!(given(Some("{\"page\": 1}")).unwrap(), "{\"page\": 1}");
        assert!(given(Some("{page: 1}")).is_err());
        assert!(given(Some("@/no/such/file")).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]").unwrap();
        assert_eq!(
            given(Some(&format!("@{}", file.path().display()))).unwrap(),
            "[1]"
        );
    }
}
