//! `connect`: prints a one-time link at which a browser signs a connection in.

use anyhow::Result;
use reqwest::Method;

use super::{field, print_json};
use crate::args::Global;
use crate::client::Client;

pub(super) async fn run(global: &Global, connection: String) -> Result<()> {
    let client = Client::new(global)?;
    let seen = client
        .json(
            Method::POST,
            &format!("/connections/{connection}/connect"),
            &[],
        )
        .await?;
    if global.json {
        return print_json(&seen);
    }
    eprintln!("open this link in a browser on this machine within ten minutes; it works once:");
    println!("{}", field(&seen, "url"));
    Ok(())
}
