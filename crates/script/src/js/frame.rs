//! What an engine and a worker say to each other: JSON, each piece with its length before it.
//!
//! Both ends are the same program, so the form has no versions of its own; [`PROTOCOL`] only keeps
//! something else that was started by mistake from being taken for a worker. Values of scripts travel as
//! raw text: neither end reads them before QuickJS or the script's caller does.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::js::limits::Allowances;

/// What a worker says of itself. Changed whenever a frame changes.
pub(crate) const PROTOCOL: u32 = 1;
/// A longer frame is no frame. The largest answers of an API are some 32 MiB.
const LONGEST: usize = 512 * 1024 * 1024;
/// How many bytes of a length stand before each frame.
const LENGTH: usize = 4;

/// From the engine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// First of all: what each call may use. Answered by [`FromWorker::Ready`].
    Begin(Allowances),
    /// Is this a script? Answered by [`FromWorker::Compiled`] or [`FromWorker::Refused`].
    Compile(String),
    /// The text of a script, to be kept until [`Forget`](Self::Forget). Not answered.
    Keep {
        /// What calls name it by.
        id: u64,
        /// Its text.
        text: String,
    },
    /// Forgets every kept text. Not answered.
    Forget,
    /// Calls a handler. Answered by any number of [`FromWorker::Ask`] and [`FromWorker::Said`], and then
    /// [`FromWorker::Done`] or [`FromWorker::Failed`].
    Call(Request),
    /// What came of a question.
    Answer(Answer),
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The script's id.
    pub(crate) script: u64,
    /// The function to call.
    pub(crate) handler: String,
    /// What is wanted of what it returns.
    pub(crate) wanted: Wanted,
    /// The variables that the script names, and what they hold.
    pub(crate) vars: Vec<Given>,
    /// What `now()` gives.
    pub(crate) now: String,
    /// The same, in milliseconds, for `Date`.
    pub(crate) millis: i64,
    /// What `uuid()` and `Math.random()` are derived from.
    pub(crate) seed: [u8; 16],
}

/// What is wanted of what a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// Whether it is `false`.
    Verdict,
    /// Itself, as JSON.
    Value,
}

/// What a function returned, as far as it is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Gave {
    /// `false` itself.
    False,
    /// Anything else.
    True,
    /// Its value.
    Value(LeftValue),
}

/// A variable as the call finds it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) value: Box<RawValue>,
    pub(crate) writable: bool,
}

/// What came of a question: a value, or what a script may catch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Value(Box<RawValue>),
    Fault { code: String, message: String },
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// It works, and speaks this protocol.
    Ready { protocol: u32 },
    /// It is a script.
    Compiled,
    /// It is none.
    Refused(Place),
    /// The script calls one of the engine's functions, with a list of arguments.
    Ask { name: String, args: Box<RawValue> },
    /// The script says something in its log.
    Said(String),
    /// The handler came to its end.
    Done {
        /// What it returned.
        returned: Gave,
        /// What it left in its writable variables.
        vars: Vec<Left>,
        /// The most memory that the process ever had, in bytes.
        peak: u64,
    },
    /// It did not.
    Failed { failure: Failure, peak: u64 },
}

/// A variable as the call left it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) name: String,
    pub(crate) value: LeftValue,
}

/// Not an `Option`: null is a value too.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LeftValue {
    Json(Box<RawValue>),
    /// A function, or a text that is none.
    NoJson,
}

/// Something that is wrong with a text, and where.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) message: String,
    /// 1-based, within the text that the worker was given.
    pub(crate) line: Option<u32>,
    /// 1-based, in bytes.
    pub(crate) column: Option<u32>,
}

/// Why a handler did not come to its end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

/// What kind of end it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The script threw something of its own.
    Threw,
    /// The script did what cannot be done.
    Failed,
    /// A variable holds what cannot be taken over.
    Variable,
    /// A fault of one of the engine's functions, not caught.
    Host {
        /// Its code.
        code: String,
    },
    /// Past the limit of time.
    Time,
    /// Past the limit of operations.
    Operations,
    /// Past the limit of memory.
    Memory,
    /// Past the limit of depth.
    Depth,
}

/// A frame's bytes, its length among them.
pub(crate) fn encode(frame: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LENGTH];
    serde_json::to_writer(&mut bytes, frame)?;
    let length = u32::try_from(bytes.len() - LENGTH)
        .ok()
        .filter(|length| *length as usize <= LONGEST)
        .ok_or_else(|| io::Error::other("too much for one frame"))?;
    bytes[..LENGTH].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Writes a frame.
pub(crate) fn write(output: &mut impl Write, frame: &impl Serialize) -> io::Result<()> {
    output.write_all(&encode(frame)?)?;
    output.flush()
}

/// Reads a frame; `None` where the other end has closed.
pub(crate) fn read<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; LENGTH];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut bytes = vec![0; checked(length)?];
    input.read_exact(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Takes the first frame out of what has arrived; `None` where more must come.
pub(crate) fn take<T: DeserializeOwned>(arrived: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some(length) = arrived.first_chunk::<LENGTH>() else {
        return Ok(None);
    };
    let end = LENGTH + checked(*length)?;
    let Some(bytes) = arrived.get(LENGTH..end) else {
        return Ok(None);
    };
    let frame = serde_json::from_slice(bytes)?;
    arrived.drain(..end);
    Ok(Some(frame))
}

fn checked(length: [u8; LENGTH]) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other("no frame"));
    }
    Ok(length)
}
