//! Log lines as bytes: JSON lines, or server-sent events.

use std::sync::Arc;

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use velodrome_types::LogLine;

use crate::watching::Line;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One JSON object a line.
    Lines,
    /// Events whose id is the line's `seq`, so that a browser goes on where it was cut off.
    Events,
}

impl Framing {
    /// What the caller wants; JSON lines unless it names event streams.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let named = |value: &HeaderValue| {
            value.to_str().is_ok_and(|value| {
                value.split(',').any(|part| {
                    let media_type = part.split(';').next().unwrap_or_default();
                    media_type.trim().eq_ignore_ascii_case("text/event-stream")
                })
            })
        };
        if headers.get_all(ACCEPT).iter().any(named) {
            Self::Events
        } else {
            Self::Lines
        }
    }

    /// The media type.
    pub(super) fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        })
    }

    /// What is sent while nothing happens, so that proxies keep the connection and a viewer that has
    /// gone is noticed. JSON lines have no place for it.
    pub(super) fn keep_alive(self) -> Option<Bytes> {
        (self == Self::Events).then(|| Bytes::from_static(b": keep-alive\n\n"))
    }

    /// The lines, each with its end.
    pub(super) fn write(self, lines: &[LogLine]) -> Result<Bytes, serde_json::Error> {
        let mut out = Vec::with_capacity(lines.len() * LINE_BYTES);
        for line in lines {
            self.add(&mut out, line.seq, &serde_json::to_vec(line)?);
        }
        Ok(Bytes::from(out))
    }

    /// The first of these lines, until about so many bytes are written, and how many lines they are: at least one.
    pub(super) fn piece(
        self,
        lines: &[Arc<Line>],
        most: usize,
    ) -> Result<(Bytes, usize), serde_json::Error> {
        let mut out = Vec::new();
        let mut count = 0;
        for line in lines {
            self.add(&mut out, line.seq(), line.json()?);
            count += 1;
            if out.len() >= most {
                break;
            }
        }
        Ok((Bytes::from(out), count))
    }

    /// One line with its end. JSON holds no line break, so an event's data is one line.
    fn add(self, out: &mut Vec<u8>, seq: u64, json: &[u8]) {
        match self {
            Self::Lines => {
                out.extend_from_slice(json);
                out.push(b'\n');
            }
            Self::Events => {
                out.extend_from_slice(b"id: ");
                out.extend_from_slice(seq.to_string().as_bytes());
                out.extend_from_slice(b"\ndata: ");
                out.extend_from_slice(json);
                out.extend_from_slice(b"\n\n");
            }
        }
    }
}

/// A guess at one line's bytes, to begin the buffer with.
const LINE_BYTES: usize = 320;

#[cfg(test)]
mod tests {
    use velodrome_types::{Event, Level, Timestamp};

    use super::*;

    fn line(seq: u64, message: &str) -> LogLine {
        let at = Timestamp::from_millis(1_795_435_200_318);
        LogLine {
            seq,
            ..LogLine::new(at, Level::Info, Event::RunStarted, message)
        }
    }

    const FIRST: &str = r#"{"seq":7,"time":"2026-11-23T12:00:00.318Z","level":"info","event":"run.started","message":"a\nb\r"}"#;
    const SECOND: &str = r#"{"seq":8,"time":"2026-11-23T12:00:00.318Z","level":"info","event":"run.started","message":"c"}"#;

    #[test]
    fn lines_are_json_each_on_its_own() {
        let written = Framing::Lines
            .write(&[line(7, "a\nb\r"), line(8, "c")])
            .unwrap();
        assert_eq!(written, format!("{FIRST}\n{SECOND}\n"));
        assert_eq!(Framing::Lines.write(&[]).unwrap(), "");
    }

    #[test]
    fn events_carry_their_seq_and_one_line_of_data() {
        let written = Framing::Events
            .write(&[line(7, "a\nb\r"), line(8, "c")])
            .unwrap();
        assert_eq!(
            written,
            format!("id: 7\ndata: {FIRST}\n\nid: 8\ndata: {SECOND}\n\n")
        );
    }

    #[test]
    fn events_are_for_those_who_name_them() {
        let check = |accept: &[&'static str], expect: Framing| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Framing::accepted(&headers), expect, "{accept:?}");
        };
        check(&[], Framing::Lines);
        check(&["*/*"], Framing::Lines);
        check(&["application/x-ndjson"], Framing::Lines);
        check(&["text/event-stream"], Framing::Events);
        check(
            &["application/json, Text/Event-Stream;q=0.9"],
            Framing::Events,
        );
        check(&["*/*", "text/event-stream"], Framing::Events);
    }
}
