//! A collector: takes OTLP over HTTP and keeps the spans. Beside it, an API that keeps the heads of its requests.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::protobuf::Message;

/// How long a test waits for what should come at once. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The spans that it is linked to.
    pub(crate) links: Vec<String>,
    /// 2 is an error.
    pub(crate) status: u64,
    pub(crate) service: String,
}

impl Span {
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// How long it took, in milliseconds.
    pub(crate) fn millis(&self) -> u64 {
        (self.end - self.start) / 1_000_000
    }
}

/// What came so far.
#[derive(Default)]
struct Came {
    spans: Vec<Span>,
    heads: Vec<String>,
}

/// The server; its threads end with the process.
pub(crate) struct Collector {
    pub(crate) url: String,
    came: Arc<(Mutex<Came>, Condvar)>,
}

impl Collector {
    /// A collector that answers its first requests with these statuses, all others well. What it does not take it
    /// does not keep.
    pub(crate) fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let came: Arc<(Mutex<Came>, Condvar)> = Arc::default();
        let (kept, asked) = (Arc::clone(&came), Arc::new(Mutex::new(statuses.iter())));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, asked) = (Arc::clone(&kept), Arc::clone(&asked));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some((head, body)) = request(&mut reader) {
                        let status = asked.lock().expect("no panic").next();
                        let status = status.copied().unwrap_or(200);
                        if status == 200 {
                            let mut came = kept.0.lock().expect("no panic");
                            if head.starts_with("POST /v1/traces ") {
                                came.spans.extend(spans(&body));
                            }
                            came.heads.push(head);
                            kept.1.notify_all();
                        }
                        answer(reader.get_mut(), status);
                    }
                });
            }
        });
        Self { url, came }
    }

    /// The spans, once they are what is waited for.
    pub(crate) fn spans(&self, done: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let came = self.came.0.lock().expect("no panic");
        let waited = self
            .came
            .1
            .wait_timeout_while(came, PATIENCE, |came| !done(&came.spans));
        let (came, timeout) = waited.expect("no panic");
        assert!(!timeout.timed_out(), "what came is {:#?}", came.spans);
        came.spans.clone()
    }

    /// The heads of all requests that it took.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.came.0.lock().expect("no panic").heads.clone()
    }
}

fn answer(stream: &mut TcpStream, status: u16) {
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n");
    // Who has been killed hears nothing.
    let _ = stream.write_all(head.as_bytes());
}

/// The next request of a connection, its head and its body; `None` at its end.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head[before..].trim().is_empty() {
            break;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// The spans of an `ExportTraceServiceRequest`; the numbers are those of `opentelemetry/proto/trace/v1/trace.proto`.
fn spans(body: &[u8]) -> Vec<Span> {
    let mut all = Vec::new();
    for resource_spans in Message::new(body).messages(1) {
        let resource = resource_spans.message(1).expect("a resource");
        let service = attributes(&resource, 1).remove("service.name");
        let service = service.unwrap_or_default();
        for scope_spans in resource_spans.messages(2) {
            for span in scope_spans.messages(2) {
                let links = span.messages(13);
                all.push(Span {
                    trace: span.hex(1),
                    id: span.hex(2),
                    state: span.text(3),
                    parent: span.hex(4),
                    name: span.text(5),
                    kind: span.number(6).unwrap_or(0),
                    start: span.number(7).expect("a start"),
                    end: span.number(8).expect("an end"),
                    attributes: attributes(&span, 9),
                    links: links.iter().map(|link| link.hex(2)).collect(),
                    status: span
                        .message(15)
                        .and_then(|status| status.number(3))
                        .unwrap_or(0),
                    service: service.clone(),
                });
            }
        }
    }
    all
}

fn attributes(of: &Message<'_>, number: u64) -> BTreeMap<String, String> {
    let pairs = of.messages(number).into_iter();
    pairs
        .map(|pair| {
            let value = pair.message(2).expect("a value");
            let text = match value.number(3) {
                Some(number) => number.to_string(),
                None => value.text(1),
            };
            (pair.text(1), text)
        })
        .collect()
}
