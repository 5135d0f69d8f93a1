//! Requests exactly as they are written: an ordinary client puts a path in order before it sends it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Answer;

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer that are read.
const MOST: usize = 256 * 1024;

/// Sends this request line's method and target with these headers, and reads what comes of it: the head, and the
/// body as far as its length is told. A body without one may have no end, so none of it is read.
pub async fn raw(
    to: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(text.as_bytes()).await?;
        read(&mut stream).await
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await;
    answer
        .with_context(|| format!("{method} {target} is not answered"))?
        .with_context(|| format!("{method} {target}"))
}

async fn read(stream: &mut TcpStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    let head_ends = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_ends]).into_owned();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("an answer has a status")?
        .parse()?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        headers.append(
            HeaderName::from_bytes(name.as_bytes())?,
            HeaderValue::from_str(value.trim())?,
        );
    }
    let length = headers
        .get("content-length")
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    // An answer to HEAD tells a length and has no body: its end is the connection's.
    while bytes.len() < head_ends + length.unwrap_or(0) {
        if more(stream, &mut bytes).await.is_err() {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes[head_ends..]).into_owned();
    Ok(Answer {
        status,
        headers,
        text,
    })
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    let mut part = [0; 8 * 1024];
    match stream.read(&mut part).await? {
        0 => bail!("the connection ended after {} bytes", bytes.len()),
        _ if bytes.len() > MOST => bail!("an answer of more than {MOST} bytes"),
        read => bytes.extend_from_slice(&part[..read]),
    }
    Ok(())
}
