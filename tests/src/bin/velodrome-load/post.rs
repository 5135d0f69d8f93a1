//! A client that costs little: one connection, kept open, one request at a time.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A kept connection to the server.
pub(crate) struct Poster {
    stream: TcpStream,
    host: String,
    seen: Vec<u8>,
}

impl Poster {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let host = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            host,
            seen: Vec::new(),
        })
    }

    /// POSTs JSON text; gives the status.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Result<u16> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        loop {
            if let Some((status, length)) = answer(&self.seen)? {
                self.seen.drain(..length);
                return Ok(status);
            }
            if self.stream.read_buf(&mut self.seen).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

/// The status of a whole answer, and its bytes.
fn answer(seen: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&seen[..end])?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(Ok(0), str::parse::<usize>)?;
    let whole = end + 4 + length;
    Ok((seen.len() >= whole).then_some((status, whole)))
}
