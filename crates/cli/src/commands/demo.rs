//! `demo`: the Zoho page loop from nothing to its end, with real HTTP to a simulator.
//!
//! A folder of its own, a simulator and a server on free loopback ports, a sign-in by OAuth as a browser
//! would make it, one POST, and then the log. Needs nothing but the binary.

mod browser;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;
use velodrome_spec::{check_config, render};
use velodrome_types::{format_duration, parse_duration};
use velodrome_zoho_sim::{Sim, SimOptions, Stats};

use super::trigger::{Followed, follow_loop};
use super::{field, stop_signal};
use crate::args::{Demo, Global};
use crate::assemble::{self, Plan, Running};
use crate::client::Client;
use crate::config::Settings;
use crate::exit::Ended;
use crate::out;
use crate::terminal::count;

/// The shipped cycle.
const CYCLE: &str = include_str!("../../../../cycles/zoho_incremental.yaml");
const CYCLE_FILE: &str = "zoho_incremental.yaml";
const DELAY: &str = "for: 2 seconds";
/// Records a page of the list.
const PER_PAGE: u64 = 200;

pub(super) async fn run(global: &Global, args: Demo) -> Result<()> {
    let delay =
        parse_duration(&args.delay).map_err(|error| Ended::Usage(format!("`--delay`: {error}")))?;
    let options = SimOptions {
        records: args.records,
        ..SimOptions::default()
    };
    let mut folder = tempfile::Builder::new()
        .prefix("velodrome-demo-")
        .tempdir()
        .context("making a folder")?;
    folder.disable_cleanup(args.keep);
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

    // A Ctrl-C on the way still takes the folder away, for nobody asked to keep it.
    let shown = tokio::select! {
        shown = show(global, &running, &sim, &args) => shown,
        told = stop_signal() => told.and(Err(Ended::Refused("stopped on the way".to_owned()).into())),
    };
    let looked_at = match &shown {
        Ok(()) => true,
        Err(error) => matches!(error.downcast_ref(), Some(Ended::Failed)),
    };
    if args.keep && looked_at {
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
    let (config, diagnostics) = check_config(&text, &|_| Err(std::io::ErrorKind::NotFound.into()));
    let config = config.with_context(|| render(&diagnostics, "velodrome.yaml", &text))?;
    let settings = Settings {
        // Nobody edits a demo's settings.
        file: std::path::PathBuf::new(),
        config,
        folder: folder.path().to_owned(),
        found: true,
        text,
    };
    Ok(Plan {
        listen: settings.config.listen.clone(),
        service_url: None,
        data: settings.data(),
        cycles: settings.cycles(),
        strict: true,
        redactor: Default::default(),
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
    let told = follow_loop(global, &client, &loop_id).await?;
    let elapsed = began.elapsed();

    let path = format!("/loops/{loop_id}");
    let seen = client.json(Method::GET, &path, &[]).await?;
    let outcome = Outcome {
        wanted: u64::from(args.records),
        laps: seen["laps"].as_u64().unwrap_or(0),
        told,
        served: sim.stats(),
    };
    eprintln!();
    outcome.tell(global, elapsed)?;
    let faults = outcome.faults();
    for fault in &faults {
        eprintln!("error: {fault}");
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Ended::Failed.into())
    }
}

/// What came out, as the engine, its log and the simulator each tell it.
#[derive(Debug)]
struct Outcome {
    /// The contacts that there are.
    wanted: u64,
    /// The loop's laps.
    laps: u64,
    /// What the log told.
    told: Followed,
    /// What the simulator served.
    served: Stats,
}

impl Outcome {
    fn tell(&self, global: &Global, elapsed: Duration) -> Result<()> {
        let rate = self.laps as f64 / elapsed.as_secs_f64().max(0.001);
        let once = self.faults().is_empty();
        if global.json {
            return out::line(
                &json!({
                    "pages": self.told.pages,
                    "records": self.told.records,
                    "exactly_once": once,
                    "missed": self.missed(),
                    "repeated": self.served.repeated_records.len(),
                    "ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                    "laps_per_second": (rate * 10.0).round() / 10.0,
                })
                .to_string(),
            );
        }
        out::line(&format!(
            "{}, {}, {}, in {} ({rate:.1} laps/s)",
            count(self.told.pages, "page"),
            count(self.told.records, "record"),
            if once {
                "each exactly once"
            } else {
                "NOT each exactly once"
            },
            format_duration(elapsed),
        ))
    }

    fn missed(&self) -> u64 {
        self.wanted.saturating_sub(self.served.distinct_records)
    }

    /// What is not as it should be; empty if each page and each record came exactly once.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.told.succeeded {
            faults.push("the loop did not succeed".to_owned());
        }
        if self.missed() > 0 {
            faults.push(format!("{} missed", count(self.missed(), "record")));
        }
        let repeated = self.served.repeated_records.len() as u64;
        if repeated > 0 {
            let what = count(repeated, "record");
            faults.push(format!("{what} served more than once"));
        }
        let due = self.wanted.div_ceil(PER_PAGE).max(1);
        let asked = self.served.list_requests;
        for (what, came) in [
            ("laps", self.laps),
            ("pages in the log", self.told.pages),
            ("list requests at the simulator", asked),
        ] {
            if came != due {
                faults.push(format!("{came} {what}, and {due} were due"));
            }
        }
        if self.told.records != self.wanted {
            let (came, due) = (self.told.records, self.wanted);
            faults.push(format!("{came} records in the log, and {due} were due"));
        }
        faults
    }
}

async fn keep(running: &Running, folder: &TempDir) -> Result<()> {
    eprintln!(
        "\nstays up until Ctrl-C. The webhook: {}/hooks/zoho_incremental",
        running.url
    );
    eprintln!(
        "console: {} (works once, for ten minutes)",
        running.console_link()
    );
    eprintln!("the folder, which stays: {}", folder.path().display());
    eprintln!("the token: {}", running.token_file.display());
    eprintln!("to try:");
    let commands = [
        "logs --tail 20",
        "loop show last",
        "cycle show zoho_incremental",
        "trigger zoho_incremental '{\"page\": 1}' --follow",
    ];
    for command in commands {
        eprintln!("  {}", try_it(running, command));
    }
    stop_signal().await
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

    /// A demo of 2,500 contacts, as it should come out.
    fn well() -> Outcome {
        Outcome {
            wanted: 2_500,
            laps: 13,
            told: Followed {
                succeeded: true,
                pages: 13,
                records: 2_500,
            },
            served: Stats {
                list_requests: 13,
                distinct_records: 2_500,
                ..Stats::default()
            },
        }
    }

    #[test]
    fn exactly_once_is_what_log_and_simulator_both_say() {
        let check = |change: fn(&mut Outcome), expect: &[&str]| {
            let mut outcome = well();
            change(&mut outcome);
            assert_eq!(outcome.faults(), expect);
        };
        check(|_| {}, &[]);
        check(
            |it| it.served.distinct_records = 2_300,
            &["200 records missed"],
        );
        check(
            |it| it.served.repeated_records = [("1".to_owned(), 2)].into(),
            &["1 record served more than once"],
        );
        check(
            |it| it.served.list_requests = 14,
            &["14 list requests at the simulator, and 13 were due"],
        );
        check(|it| it.laps = 12, &["12 laps, and 13 were due"]);
        check(
            |it| it.told.records = 2_700,
            &["2700 records in the log, and 2500 were due"],
        );
        check(
            |it| it.told.succeeded = false,
            &["the loop did not succeed"],
        );
    }

    #[test]
    fn no_contacts_are_one_empty_page() {
        let mut outcome = well();
        (outcome.wanted, outcome.laps) = (0, 1);
        (outcome.told.pages, outcome.told.records) = (1, 0);
        (
            outcome.served.list_requests,
            outcome.served.distinct_records,
        ) = (1, 0);
        assert_eq!(outcome.faults(), [""; 0]);
    }
}
