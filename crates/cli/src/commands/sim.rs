//! `sim zoho`: the simulator by itself.

use anyhow::Result;
use velodrome_zoho_sim::SimOptions;

use super::stop_signal;
use crate::args::Sim;
use crate::out;

pub(super) async fn run(args: Sim) -> Result<()> {
    let Sim::Zoho { records, listen } = args;
    let options = SimOptions {
        records,
        listen,
        ..SimOptions::default()
    };
    let (id, secret) = (options.client_id.clone(), options.client_secret.clone());
    let sim = velodrome_zoho_sim::start(options).await?;
    let host = sim.url().trim_start_matches("http://").to_owned();
    eprintln!(
        "a Zoho with {records} contacts at {}, until Ctrl-C; for velodrome.yaml:",
        sim.url()
    );
    out::line(&format!(
        "connections:\n  zoho:\n    connector: zoho_crm\n    settings:\n      accounts_url: {}\n      hosts: \"{host}\"\n    \
         auth:\n      client_id: {id}\n      client_secret: {secret}\negress:\n  allow: [\"{host}\"]",
        sim.url()
    ))?;
    stop_signal().await?;
    sim.stop().await;
    Ok(())
}
