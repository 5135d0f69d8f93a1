//! `serve`: the server, until it is told to stop.

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use url::Url;
use velodrome_runtime::Redactor;
use velodrome_spec::LogFormat;
use velodrome_types::CycleState;

use crate::args::{self, Global, Serve};
use crate::assemble::{self, Plan, Running};
use crate::config::Settings;
use crate::exit::{self, Ended};
use crate::own_log;
use crate::terminal::Colour;

pub(super) async fn run(global: &Global, args: Serve) -> Result<()> {
    let settings = Settings::read(global)?;
    let format = match args.log_format {
        None => settings.config.log_format,
        Some(args::LogFormat::Text) => LogFormat::Text,
        Some(args::LogFormat::Json) => LogFormat::Json,
    };
    let redactor = Redactor::default();
    own_log::begin(format, Colour::is_on_stderr(global.no_color), &redactor);
    let served = serve(args, settings, redactor, format).await;
    match format {
        LogFormat::Text => served,
        // Who reads JSON lines reads the end there too.
        LogFormat::Json => served.map_err(|error| {
            tracing::error!("{error:#}");
            Ended::Told(exit::number(&error)).into()
        }),
    }
}

async fn serve(
    args: Serve,
    settings: Settings,
    redactor: Redactor,
    format: LogFormat,
) -> Result<()> {
    let plan = Plan {
        listen: args
            .listen
            .unwrap_or_else(|| settings.config.listen.clone()),
        service_url: args
            .service_url
            .or_else(|| settings.config.service_url.clone())
            .map(|url| service_url(&url))
            .transpose()?,
        data: args.data.unwrap_or_else(|| settings.data()),
        cycles: args.cycles.unwrap_or_else(|| settings.cycles()),
        strict: args.strict,
        settings,
        redactor,
    };
    // Before it serves: whoever sees that it does may tell it to stop.
    let mut signals = Signals::new()?;
    let running = tokio::select! {
        started = assemble::start(plan) => started?,
        () = signals.next() => bail!("stopped before it served"),
    };
    announce(&running, format);
    until_stopped(running, signals, format).await
}

/// Those that tell it to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A service URL as the engine takes it: HTTP, and nothing behind the path.
fn service_url(written: &str) -> Result<String> {
    let known = Url::parse(written).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    match known {
        Some(_) => Ok(written.trim_end_matches('/').to_owned()),
        None => {
            let message = format!(
                "`service_url` is what this server's URLs begin with, such as https://flows.example.com, not `{written}`"
            );
            Err(Ended::Invalid(message).into())
        }
    }
}

/// Says where it listens and what each cycle is doing. What is wrong with a file the engine has said.
fn announce(running: &Running, format: LogFormat) {
    let (url, token_file) = (&running.url, running.token_file.display());
    let console = running.console_link();
    let cycles = running.engine.cycles();
    if format == LogFormat::Json {
        tracing::info!(%url, %token_file, console, "serving");
        for cycle in cycles {
            let (state, reason) = (cycle.state.as_str(), cycle.reason.unwrap_or_default());
            tracing::info!(cycle = %cycle.id, state, webhook = cycle.webhook, reason, "cycle");
        }
        return;
    }
    eprintln!("velodrome serves {url} (token in {token_file})");
    eprintln!("console: {console} (works once, for ten minutes)");
    if cycles.is_empty() {
        eprintln!("  no cycle yet: files put into the cycles folder are taken as they come");
    }
    let states = cycles.iter().map(|cycle| cycle.state.as_str().len());
    let width = states.max().unwrap_or(0);
    for cycle in cycles {
        let how = match (&cycle.webhook, &cycle.schedule) {
            (Some(webhook), _) => format!("POST {webhook}"),
            (None, Some(schedule)) => format!("{} starts {}", schedule.when, cycle.id),
            (None, None) => format!("velodrome trigger {}", cycle.id),
        };
        eprintln!("  {:<width$}  {how}", cycle.state.as_str());
        if let (CycleState::NeedsConnection, Some(reason)) = (cycle.state, cycle.reason) {
            eprintln!("  {:width$}  {reason}", "");
        }
    }
}

/// Runs until a signal; a second one exits at once. Where a commit's outcome is unknown the process must
/// not go on: what the disk has is read by the next start.
async fn until_stopped(running: Running, mut signals: Signals, format: LogFormat) -> Result<()> {
    let engine = running.engine.clone();
    let failed = tokio::select! {
        () = signals.next() => None,
        why = engine.failed() => Some(why),
    };
    match &failed {
        Some(why) if format == LogFormat::Json => tracing::error!(
            "the store failed: {why}; stopping, the next start reads what the disk has"
        ),
        Some(why) => eprintln!(
            "error: the store failed: {why}; stopping, the next start reads what the disk has"
        ),
        None if format == LogFormat::Json => tracing::info!("stopping"),
        None => eprintln!(
            "stopping: what is under way is brought to its end; once more to stop at once"
        ),
    }
    tokio::select! {
        () = running.shutdown() => {}
        () = signals.next() => bail!("stopped at once"),
    }
    match failed {
        Some(why) => bail!("the store failed: {why}"),
        None => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_url_is_http_and_ends_without_a_slash() {
        let check = |written: &str, expect: Option<&str>| {
            assert_eq!(service_url(written).ok().as_deref(), expect, "{written}");
        };
        check(
            "https://flows.example.com/",
            Some("https://flows.example.com"),
        );
        check("http://127.0.0.1:7300/a", Some("http://127.0.0.1:7300/a"));
        check("flows.example.com", None);
        check("ftp://flows.example.com", None);
        check("https://flows.example.com/?x=1", None);
        check("", None);
    }
}
