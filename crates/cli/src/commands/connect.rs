//! `connect`: prints a one-time link at which a browser signs a connection in.

use anyhow::Result;
use reqwest::Method;

use super::field;
use crate::args::Global;
use crate::client::{Client, segment};
use crate::out;

pub(super) async fn run(global: &Global, connection: String) -> Result<()> {
    let client = Client::new(global)?;
    let path = format!("/connections/{}/connect", segment(&connection)?);
    let seen = client.json(Method::POST, &path, &[]).await?;
    if global.json {
        return out::json(&seen);
    }
    eprintln!("open this link in a browser on this machine within ten minutes; it works once:");
    out::line(&field(&seen, "url"))
}
