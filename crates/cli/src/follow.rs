//! Following the run log, also across a restart of the server.

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use reqwest::Method;
use velodrome_types::LogLine;

use crate::client::Client;
use crate::exit::Ended;

/// How long to wait before asking again a server that went away.
const AGAIN: Duration = Duration::from_millis(500);

/// What to do after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Go on.
    On,
    /// Enough.
    Enough,
}

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// Behind this line.
    After(u64),
    /// With the last so many lines.
    Tail(u32),
}

/// Reads matching log lines as they come, until `see` has enough.
///
/// The server may go away and come back: reading goes on behind the last line seen. If it was never
/// there, or says no, that is an error.
pub(crate) async fn follow(
    client: &Client,
    filter: &[(&str, String)],
    from: From,
    mut see: impl FnMut(&str, LogLine) -> Result<Then>,
) -> Result<()> {
    let mut from = from;
    let mut reached = false;
    loop {
        let mut query = filter.to_vec();
        query.push(("follow", "true".to_owned()));
        match from {
            From::After(seq) => query.push(("after", seq.to_string())),
            From::Tail(lines) => query.push(("tail", lines.to_string())),
        }
        match client.ask(Method::GET, "/log", &query, None).await {
            Ok(response) => {
                reached = true;
                let mut body = response.bytes_stream();
                let mut rest: Vec<u8> = Vec::new();
                while let Some(Ok(chunk)) = body.next().await {
                    rest.extend_from_slice(&chunk);
                    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                        let text: Vec<u8> = rest.drain(..=end).collect();
                        let text = String::from_utf8_lossy(&text);
                        let text = text.trim();
                        if text.is_empty() {
                            continue;
                        }
                        let line: LogLine = serde_json::from_str(text)?;
                        from = From::After(line.seq);
                        if see(text, line)? == Then::Enough {
                            return Ok(());
                        }
                    }
                }
            }
            Err(error)
                if reached && matches!(error.downcast_ref(), Some(Ended::Unreachable(_))) => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
