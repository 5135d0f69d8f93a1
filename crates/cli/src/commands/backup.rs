//! `backup`: a copy of a server's data, while it serves.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use reqwest::{Method, Response};

use crate::args::Global;
use crate::client::Client;

pub(super) async fn run(global: &Global, file: PathBuf) -> Result<()> {
    let client = Client::new(global)?;
    let response = client.ask(Method::GET, "/backup", &[], None).await?;
    if file == Path::new("-") {
        let mut out = std::io::stdout().lock();
        write(response, &mut out).await?;
        return Ok(out.flush()?);
    }
    // Only a whole backup has its name.
    let mut part = OsString::from(&file);
    part.push(".part");
    let part = PathBuf::from(part);
    let named = |path: &Path| format!("writing `{}`", path.display());
    let written = async {
        let mut out = private(&part).with_context(|| named(&part))?;
        let bytes = write(response, &mut out).await?;
        out.sync_all().with_context(|| named(&part))?;
        fs::rename(&part, &file).with_context(|| named(&file))?;
        Ok::<u64, anyhow::Error>(bytes)
    };
    let bytes = match written.await {
        Ok(bytes) => bytes,
        Err(error) => {
            let _unless_it_is_gone = fs::remove_file(&part);
            return Err(error);
        }
    };
    eprintln!(
        "{bytes} bytes in {}; keep `secret.key` of the data folder elsewhere: sign-ins need it",
        file.display()
    );
    Ok(())
}

async fn write(mut response: Response, out: &mut impl Write) -> Result<u64> {
    let mut bytes = 0;
    while let Some(part) = response.chunk().await.context("the connection broke")? {
        out.write_all(&part)?;
        bytes += part.len() as u64;
    }
    Ok(bytes)
}

/// Payloads are in it: its owner's alone.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
