//! Where a distributed trace comes from: the `traceparent` and `tracestate` of W3C Trace Context.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The longest `tracestate` that is carried; what is longer is dropped, as the specification allows.
const STATE_MOST: usize = 512;
/// The length of a `traceparent` of version 00.
const PARENT_LEN: usize = 55;
/// The flag that says: this trace is recorded.
const SAMPLED: u8 = 1;

/// A text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a `traceparent` is `00-`, 32 digits of a trace, 16 of a span and two of flags, in lower case"
)]
pub struct TraceParentError;

/// A `traceparent`: the trace, the span in it that is the parent of what comes, and the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never all zero.
    pub trace: [u8; 16],
    /// The span; never all zero.
    pub span: [u8; 8],
    /// The flags, of which the lowest says that the trace is recorded.
    pub flags: u8,
}

/// Where a trace comes from: what a caller sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// Its `traceparent`.
    pub parent: TraceParent,
    /// Its `tracestate`, carried on as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl TraceParent {
    /// A parent whose trace is recorded or not.
    pub const fn new(trace: [u8; 16], span: [u8; 8], sampled: bool) -> Self {
        Self {
            trace,
            span,
            flags: sampled as u8,
        }
    }

    /// Whether the trace is recorded.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl TraceContext {
    /// What the headers say; `None` where there is no `traceparent` or where it is none. A `tracestate` that is
    /// too long or not in printable ASCII is left out.
    pub fn of_headers(parent: &str, state: Option<&str>) -> Option<Self> {
        let printable = |state: &&str| {
            !state.is_empty()
                && state.len() <= STATE_MOST
                && state.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
        };
        Some(Self {
            parent: parent.parse().ok()?,
            state: state.map(str::trim).filter(printable).map(str::to_owned),
        })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        // Of flags that are not known none is handed on.
        write!(f, "-{:02x}", self.flags & SAMPLED)
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let bytes = text.trim().as_bytes();
        let head = bytes.get(..PARENT_LEN).ok_or(TraceParentError)?;
        let [version] = hex(&head[..2]).ok_or(TraceParentError)?;
        // A later version begins like this one; 255 is none.
        let ends_well = match version {
            0 => bytes.len() == PARENT_LEN,
            255 => false,
            _ => matches!(bytes.get(PARENT_LEN), None | Some(b'-')),
        };
        let dashed = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        if !ends_well || !dashed {
            return Err(TraceParentError);
        }
        let trace = hex(&head[3..35]).ok_or(TraceParentError)?;
        let span = hex(&head[36..52]).ok_or(TraceParentError)?;
        let [flags] = hex(&head[53..]).ok_or(TraceParentError)?;
        if trace == [0; 16] || span == [0; 8] {
            return Err(TraceParentError);
        }
        Ok(Self { trace, span, flags })
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Bytes of digits in lower case, as the specification asks.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (digits.len() == 2 * N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn reads_and_writes_the_example_of_the_specification() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        assert!(parent.is_sampled());
        assert_eq!(parent.trace[..2], [0x0a, 0xf7]);
        assert_eq!(parent.span[6..], [0x33, 0x31]);
        assert_eq!(parent.to_string(), EXAMPLE);
        let stored = serde_json::to_string(&parent).unwrap();
        assert_eq!(
            serde_json::from_str::<TraceParent>(&stored).unwrap(),
            parent
        );
    }

    #[test]
    fn refuses_what_is_none() {
        let check = |text: &str, taken: bool| {
            assert_eq!(text.parse::<TraceParent>().is_ok(), taken, "{text}");
        };
        check(&EXAMPLE.replace("-01", "-00"), true);
        check(&format!(" {EXAMPLE} "), true);
        check(&format!("cc{}-what-comes-later", &EXAMPLE[2..]), true);
        check(&format!("cc{}", &EXAMPLE[2..]), true);
        check(&format!("cc{}.", &EXAMPLE[2..]), false);
        check(&format!("ff{}", &EXAMPLE[2..]), false);
        check(&format!("{EXAMPLE}-more"), false);
        check(&EXAMPLE.to_uppercase(), false);
        check(&EXAMPLE.replace('-', "_"), false);
        check(&EXAMPLE[..54], false);
        check(
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            false,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            false,
        );
        check("", false);
        check(
            "00-0af7651916cd43dd8448eb211c80319ç-b7ad6b7169203331-0",
            false,
        );
    }

    #[test]
    fn a_state_that_cannot_be_carried_is_left_out() {
        let state = |state: &str| {
            TraceContext::of_headers(EXAMPLE, Some(state))
                .unwrap()
                .state
        };
        assert_eq!(
            state("rojo=00f067aa0ba902b7").as_deref(),
            Some("rojo=00f067aa0ba902b7")
        );
        assert_eq!(state(&"a".repeat(513)), None);
        assert_eq!(state("a=\r\nb"), None);
        assert_eq!(state(" "), None);
        assert_eq!(TraceContext::of_headers("none", Some("a=b")), None);
    }
}
