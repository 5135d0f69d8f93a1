//! `key rotate`: another key seals everything.

use anyhow::Result;

use super::field;
use crate::args::{Global, Key};
use crate::client::Client;
use crate::out;

pub(super) async fn run(global: &Global, args: Key) -> Result<()> {
    let Key::Rotate = args;
    let client = Client::new(global)?;
    let seen = client.post("/key/rotate", None).await?;
    if global.json {
        return out::json(&seen);
    }
    out::line(&format!(
        "a new key seals {} values; backups made before need the old one, which is gone here",
        field(&seen, "sealed")
    ))
}
