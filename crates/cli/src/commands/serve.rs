//! `serve`: the server, until it is told to stop.

use std::io::IsTerminal as _;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use velodrome_spec::LogFormat;
use velodrome_types::CycleState;

use crate::args::{Global, Serve};
use crate::assemble::{self, Plan, Running};
use crate::config::Settings;
use crate::exit::Ended;

pub(super) async fn run(global: &Global, args: Serve) -> Result<()> {
    let settings = Settings::read(global)?;
    let format = match args.log_format.as_deref() {
        None => settings.config.log_format,
        Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            return Err(
                Ended::Usage(format!("`--log-format` is text or json, not `{other}`")).into(),
            );
        }
    };
    log_to_stderr(format);
    let plan = Plan {
        listen: args
            .listen
            .unwrap_or_else(|| settings.config.listen.clone()),
        service_url: args
            .service_url
            .or_else(|| settings.config.service_url.clone()),
        data: args.data.unwrap_or_else(|| settings.data()),
        cycles: args.cycles.unwrap_or_else(|| settings.cycles()),
        strict: args.strict,
        settings,
    };
    let running = assemble::start(plan).await?;
    announce(&running);
    until_stopped(running).await
}

/// Says where it listens and what each cycle is doing.
fn announce(running: &Running) {
    eprintln!(
        "velodrome serves {} (token in {})",
        running.url,
        running.token_file.display()
    );
    for cycle in running.engine.cycles() {
        eprintln!("  {:<14} POST {}", cycle.state.as_str(), cycle.webhook);
        match (cycle.state, cycle.reason) {
            (CycleState::Invalid, _) | (_, None) => {}
            (_, Some(reason)) => eprintln!(
                "                 {}",
                reason.lines().next().unwrap_or_default()
            ),
        }
    }
}

/// Runs until a signal; a second one exits at once. Where a commit's outcome is unknown the process must
/// not go on: what the disk has is read by the next start.
async fn until_stopped(running: Running) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let engine = running.engine.clone();
    let failed = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        why = engine.failed() => Some(why),
    };
    match &failed {
        Some(why) => eprintln!(
            "error: the store failed: {why}; stopping, the next start reads what the disk has"
        ),
        None => eprintln!(
            "stopping: what is under way is brought to its end; once more to stop at once"
        ),
    }
    tokio::select! {
        () = running.shutdown() => {}
        _ = interrupt.recv() => bail!("stopped at once"),
        _ = terminate.recv() => bail!("stopped at once"),
    }
    match failed {
        Some(why) => bail!("the store failed: {why}"),
        None => Ok(()),
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("VELODROME_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,velodrome_runtime=info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
