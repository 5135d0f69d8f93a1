//! `demo`: the Zoho page loop from nothing to its end, with real HTTP to a simulator.
//!
//! A folder of its own, a simulator and a server on free loopback ports, a sign-in by OAuth as a browser
//! would make it, one POST, and then the log. Needs nothing but the binary.

mod browser;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use tempfile::TempDir;
use tokio::time::Instant;
use velodrome_spec::{check_config, render};
use velodrome_types::{format_duration, parse_duration};
use velodrome_zoho_sim::{Sim, SimOptions};

use super::field;
use super::trigger::follow_loop;
use crate::args::{Demo, Global};
use crate::assemble::{self, Plan, Running};
use crate::client::Client;
use crate::config::Settings;
use crate::exit::Ended;

/// The shipped cycle.
const CYCLE: &str = include_str!("../../../../cycles/zoho_incremental.yaml");
const CYCLE_FILE: &str = "zoho_incremental.yaml";
const DELAY: &str = "for: 2 seconds";
/// Records a page of the list.
const PER_PAGE: u32 = 200;

pub(super) async fn run(global: &Global, args: Demo) -> Result<()> {
    let delay =
        parse_duration(&args.delay).map_err(|error| Ended::Usage(format!("`--delay`: {error}")))?;
    let options = SimOptions {
        records: args.records,
        ..SimOptions::default()
    };
    let folder = tempfile::Builder::new()
        .prefix("velodrome-demo-")
        .tempdir()
        .context("making a folder")?;
    let sim = velodrome_zoho_sim::start(options.clone()).await?;
    let running = assemble::start(plan(&folder, &sim, &options, delay)?).await?;
    eprintln!(
        "Zoho simulator with {} contacts at {}",
        args.records,
        sim.url()
    );
    eprintln!(
        "velodrome at {}, cycle from {}",
        running.url,
        folder.path().join("cycles").join(CYCLE_FILE).display()
    );

    let shown = show(global, &running, &sim, &args).await;
    if args.keep && shown.is_ok() {
        keep(&running, &folder).await?;
    }
    running.shutdown().await;
    sim.stop().await;
    shown
}

fn plan(folder: &TempDir, sim: &Sim, options: &SimOptions, delay: Duration) -> Result<Plan> {
    let cycles = folder.path().join("cycles");
    std::fs::create_dir(&cycles)?;
    std::fs::write(cycles.join(CYCLE_FILE), with_delay(CYCLE, delay)?)?;
    let host = sim.url().trim_start_matches("http://");
    let text = format!(
        "listen: 127.0.0.1:0\nconnections:\n  zoho:\n    connector: zoho_crm\n    settings:\n      \
         accounts_url: {}\n      hosts: \"{host}\"\n    auth:\n      client_id: {}\n      client_secret: {}\n\
         egress:\n  allow: [\"{host}\"]\n",
        sim.url(),
        options.client_id,
        options.client_secret,
    );
    std::fs::write(folder.path().join("velodrome.yaml"), &text)?;
    let (config, diagnostics) = check_config(&text);
    let config = config.with_context(|| render(&diagnostics, "velodrome.yaml", &text))?;
    let settings = Settings {
        config,
        folder: folder.path().to_owned(),
        found: true,
    };
    Ok(Plan {
        listen: settings.config.listen.clone(),
        service_url: None,
        data: settings.data(),
        cycles: settings.cycles(),
        strict: true,
        settings,
    })
}

/// The shipped cycle with another delay.
fn with_delay(cycle: &str, delay: Duration) -> Result<String> {
    if !cycle.contains(DELAY) {
        bail!("the shipped cycle has no `{DELAY}`");
    }
    Ok(cycle.replace(DELAY, &format!("for: {} ms", delay.as_millis())))
}

/// Signs in, starts the loop, follows it and sums up.
async fn show(global: &Global, running: &Running, sim: &Sim, args: &Demo) -> Result<()> {
    let client = Client::of(format!("http://{}", running.at), running.token.clone())?;
    let link = client
        .json(Method::POST, "/connections/zoho/connect", &[])
        .await?;
    browser::sign_in(client.http(), &field(&link, "url")).await?;
    eprintln!(
        "signed in by OAuth; POST {{\"page\": 1}} to {}/hooks/zoho_incremental\n",
        running.url
    );

    let began = Instant::now();
    let accepted = client
        .hook("zoho_incremental", r#"{"page": 1}"#.to_owned())
        .await?;
    let loop_id = field(&accepted, "loop");
    let succeeded = follow_loop(global, &client, &loop_id).await?;
    let elapsed = began.elapsed();

    let seen = client
        .json(Method::GET, &format!("/loops/{loop_id}"), &[])
        .await?;
    let laps = seen["laps"].as_u64().unwrap_or(0);
    let records = seen["records"].as_u64().unwrap_or(0);
    let stats = sim.stats();
    let pages = u64::from(args.records.div_ceil(PER_PAGE)).max(1);
    let once =
        stats.distinct_records == u64::from(args.records) && stats.repeated_records.is_empty();
    let rate = laps as f64 / elapsed.as_secs_f64().max(0.001);
    eprintln!();
    println!(
        "{laps} pages, {records} records, {}, in {} ({rate:.1} laps/s)",
        if once {
            "each exactly once"
        } else {
            "NOT each exactly once"
        },
        format_duration(elapsed),
    );
    if succeeded && once && laps == pages && records == u64::from(args.records) {
        return Ok(());
    }
    let missed = u64::from(args.records).saturating_sub(stats.distinct_records);
    eprintln!(
        "error: {pages} pages were due; {missed} records were missed, {} repeated",
        stats.repeated_records.len()
    );
    Err(Ended::Failed.into())
}

async fn keep(running: &Running, folder: &TempDir) -> Result<()> {
    eprintln!(
        "\nstays up until Ctrl-C. The webhook: {}/hooks/zoho_incremental",
        running.url
    );
    eprintln!("the folder: {}", folder.path().display());
    let commands = [
        "logs --tail 20",
        "loop show last",
        "cycle show zoho_incremental",
        "trigger zoho_incremental '{\"page\": 1}' --follow",
    ];
    for command in commands {
        eprintln!("  {}", try_it(running, command));
    }
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// A command line for this server: its port is not the one of the settings file.
fn try_it(running: &Running, command: &str) -> String {
    format!(
        "velodrome --server http://{} --token-file {} {command}",
        running.at,
        running.token_file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_cycle_takes_another_delay() {
        let cycle = with_delay(CYCLE, Duration::ZERO).unwrap();
        assert!(cycle.contains("for: 0 ms") && !cycle.contains(DELAY));
        assert!(with_delay("no delay here", Duration::ZERO).is_err());
    }
}
