//! `completions` and `man`: what clap knows of the commands, for shells and for `man`.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::out;

pub(super) fn completions(shell: Shell) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "velodrome", &mut text);
    out::write(&String::from_utf8_lossy(&text))
}

pub(super) fn man(folder: Option<&Path>) -> Result<()> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Args::command())
            .render(&mut page)
            .context("writing the manual page")?;
        return out::write(&String::from_utf8_lossy(&page));
    };
    std::fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    clap_mangen::generate_to(Args::command(), folder)
        .with_context(|| format!("writing manual pages into `{}`", folder.display()))?;
    out::line(&format!("manual pages written into {}", folder.display()))
}
