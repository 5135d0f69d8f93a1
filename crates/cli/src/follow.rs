//! Following the run log, also across a restart of the server.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use reqwest::{Method, Response};
use velodrome_types::LogLine;

use crate::client::Client;
use crate::exit::Ended;

/// How long to wait before asking again a server that went away.
const AGAIN: Duration = Duration::from_millis(200);

/// What there is to see.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// A line, as it came and as it reads.
    Line(&'a str, Box<LogLine>),
    /// The server went away; it is asked again until it is back.
    Away,
}

/// What to do then.
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

/// Behind which line the server's answer begins.
const AFTER: &str = "velodrome-log-after";
/// What `since` came to there.
const SINCE: &str = "velodrome-log-since";

/// Reads matching log lines as they come, until `see` has enough.
///
/// The server may go away and come back: reading goes on behind the last line seen, or where the first answer began
/// if none was, and `since=1m` stays the moment that it was at first. What the filter names must be one thing for
/// ever: no `last`. If the server was never there, or says no, that is an error.
pub(crate) async fn follow(
    client: &Client,
    filter: &[(&str, String)],
    from: From,
    mut see: impl FnMut(Seen<'_>) -> Result<Then>,
) -> Result<()> {
    let mut filter = filter.to_vec();
    let mut from = from;
    let mut reached = false;
    let mut away = false;
    loop {
        let mut query = filter.clone();
        query.push(("follow", "true".to_owned()));
        match from {
            From::After(seq) => query.push(("after", seq.to_string())),
            From::Tail(lines) => query.push(("tail", lines.to_string())),
        }
        match client.ask(Method::GET, "/log", &query, None).await {
            Ok(response) => {
                (reached, away) = (true, false);
                if let (From::Tail(_), Some(after)) = (from, header(&response, AFTER)) {
                    from = after.parse().map_or(from, From::After);
                }
                pin_since(&mut filter, &response);
                if read(response, &mut from, &mut see).await? == Then::Enough {
                    return Ok(());
                }
            }
            Err(error) if reached && is_away(&error) => {
                if !away && see(Seen::Away)? == Then::Enough {
                    return Ok(());
                }
                away = true;
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Makes a `since` that counts back from now the moment that the server took it for.
pub(crate) fn pin_since(filter: &mut [(&str, String)], response: &Response) {
    let since = filter.iter_mut().find(|(name, _)| *name == "since");
    if let (Some((_, since)), Some(moment)) = (since, header(response, SINCE)) {
        moment.clone_into(since);
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(Ended::Unreachable(_) | Ended::Unavailable(_))
    )
}

/// Reads one answer to its end; a line that was cut off comes again with the next.
async fn read(
    response: Response,
    from: &mut From,
    see: &mut impl FnMut(Seen<'_>) -> Result<Then>,
) -> Result<Then> {
    let mut body = response.bytes_stream();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(Ok(chunk)) = body.next().await {
        rest.extend_from_slice(&chunk);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        let whole: Vec<u8> = rest.drain(..=end).collect();
        for text in String::from_utf8_lossy(&whole).lines() {
            if text.trim().is_empty() {
                continue;
            }
            let line: LogLine = parse(text)?;
            *from = From::After(line.seq);
            if see(Seen::Line(text, Box::new(line)))? == Then::Enough {
                return Ok(Then::Enough);
            }
        }
    }
    Ok(Then::On)
}

/// A line of the log as the API writes it.
pub(crate) fn parse(text: &str) -> Result<LogLine> {
    serde_json::from_str(text).context("a log line that this program cannot read: is it older?")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn line(seq: u64) -> String {
        format!(
            r#"{{"seq":{seq},"time":"2026-11-23T12:00:00Z","level":"info","event":"run.started","message":"m"}}"#
        )
    }

    /// Answers one connection each with these bytes, closing it behind them, and gives what was asked.
    async fn answer(listener: &TcpListener, head: &str, body: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).await.unwrap();
        let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
        asked.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_restart_is_survived_behind_the_last_whole_line() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::of(url, "vdt_x".to_owned()).unwrap();
        let filter = [("loop", "last".to_owned())];
        let mut seen = Vec::new();
        let following = follow(&client, &filter, From::Tail(5), |what| {
            seen.push(match what {
                Seen::Line(_, line) => line.seq.to_string(),
                Seen::Away => "away".to_owned(),
            });
            let over = seen.last().is_some_and(|last| last == "9");
            Ok(if over { Then::Enough } else { Then::On })
        });
        let serving = async {
            // The second line is cut off in the middle.
            let cut = format!("{}\n{}", line(7), &line(8)[..20]);
            let first = answer(&listener, "200 OK", &cut).await;
            let stopping = answer(&listener, "503 Service Unavailable", "").await;
            let back = format!("{}\n{}\n", line(8), line(9));
            let second = answer(&listener, "200 OK", &back).await;
            (first, stopping, second)
        };
        let (followed, (first, _, second)) = tokio::join!(following, serving);
        followed.unwrap();
        assert_eq!(seen, ["7", "away", "8", "9"]);
        assert!(first.contains("loop=last&follow=true&tail=5"), "{first}");
        assert!(second.contains("after=7"), "{second}");
    }

    #[tokio::test]
    async fn a_restart_before_the_first_line_misses_none_and_moves_no_moment() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::of(url, "vdt_x".to_owned()).unwrap();
        let filter = [("since", "1s".to_owned())];
        let following = follow(&client, &filter, From::Tail(0), |what| {
            Ok(match what {
                Seen::Line(..) => Then::Enough,
                Seen::Away => Then::On,
            })
        });
        let serving = async {
            let head =
                "200 OK\r\nvelodrome-log-after: 41\r\nvelodrome-log-since: 2026-11-23T12:00:00Z";
            let first = answer(&listener, head, "").await;
            let second = answer(&listener, "200 OK", &format!("{}\n", line(42))).await;
            (first, second)
        };
        let (followed, (first, second)) = tokio::join!(following, serving);
        followed.unwrap();
        assert!(first.contains("since=1s&follow=true&tail=0"), "{first}");
        let expect = "since=2026-11-23T12%3A00%3A00Z&follow=true&after=41";
        assert!(second.contains(expect), "{second}");
    }

    #[tokio::test]
    async fn a_server_that_was_never_there_is_an_error() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::of(url, String::new()).unwrap();
        let error = follow(&client, &[], From::After(0), |_| Ok(Then::On))
            .await
            .unwrap_err();
        assert!(is_away(&error), "{error}");
    }
}
