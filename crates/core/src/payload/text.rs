//! The beginning of a body as text, without the values of fields that are never shown. Bytes are read only as far
//! as they are shown; nothing is parsed into a tree.

use std::io;

use percent_encoding::percent_decode_str;
use velodrome_types::Json;

use super::{Body, REDACTED, is_redacted};

/// How much further than what is shown bytes are looked through: white space and hidden values are left out.
const LOOKED_AT: usize = 4;

/// At most about so many bytes of a body, and how many bytes of it are not in it.
pub(super) fn of(body: Body<'_>, most: usize, redact: &[String]) -> (String, usize) {
    match body {
        Body::None | Body::Tree(Json::Null) => (String::new(), 0),
        // A text is sent as it stands.
        Body::Tree(Json::String(text)) => of_bytes(text.as_bytes(), most, redact),
        Body::Tree(tree) => {
            let mut text = String::new();
            match write(tree, &mut text, most, redact) {
                true => (text, 0),
                false => {
                    let gone = length(tree).saturating_sub(text.len()).max(1);
                    (text, gone)
                }
            }
        }
        Body::Bytes(bytes) => of_bytes(bytes, most, redact),
    }
}

fn of_bytes(bytes: &[u8], most: usize, redact: &[String]) -> (String, usize) {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let window = &bytes[..bytes.len().min(most.saturating_mul(LOOKED_AT))];
    if let Some((text, read)) = json(window, most, redact) {
        return (text, bytes.len() - read);
    }
    let mut window = &bytes[..bytes.len().min(most)];
    let text = match std::str::from_utf8(window) {
        Ok(text) => text,
        // Cut in the middle of a character.
        Err(error) if window.len() < bytes.len() && error.error_len().is_none() => {
            window = &window[..error.valid_up_to()];
            std::str::from_utf8(window).unwrap_or_default()
        }
        Err(_) => return (String::new(), bytes.len()),
    };
    if text.contains('\0') {
        return (String::new(), bytes.len());
    }
    (plain(text, redact), bytes.len() - window.len())
}

/// How long a value is as JSON text.
pub(super) fn length(value: &Json) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

/// Writes a value as far as there is room; says whether that was all of it.
fn write(value: &Json, out: &mut String, most: usize, redact: &[String]) -> bool {
    if out.len() >= most {
        return false;
    }
    match value {
        Json::Object(fields) => {
            out.push('{');
            for (at, (name, field)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                if !text(name, out, most) {
                    return false;
                }
                out.push(':');
                let whole = match is_redacted(name, redact) {
                    true => text(REDACTED, out, most),
                    false => write(field, out, most, redact),
                };
                if !whole {
                    return false;
                }
            }
            out.push('}');
        }
        Json::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                if !write(item, out, most, redact) {
                    return false;
                }
            }
            out.push(']');
        }
        Json::String(content) => return text(content, out, most),
        other => out.push_str(&other.to_string()),
    }
    true
}

fn text(content: &str, out: &mut String, most: usize) -> bool {
    let room = most.saturating_sub(out.len());
    if content.len() <= room {
        out.push_str(&Json::from(content).to_string());
        return true;
    }
    let at = (0..=room).rev().find(|at| content.is_char_boundary(*at));
    let quoted = Json::from(&content[..at.unwrap_or(0)]).to_string();
    out.push_str(&quoted[..quoted.len() - 1]);
    false
}

/// The beginning of JSON as it stands there but for white space, and how far it was read; `None` if it is none.
fn json(bytes: &[u8], most: usize, redact: &[String]) -> Option<(String, usize)> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(first, b'{' | b'[') {
        return None;
    }
    let mut out: Vec<u8> = Vec::with_capacity(most.min(bytes.len()));
    // Whether each thing that is open is an object.
    let mut open = Vec::new();
    let (mut is_name, mut hides) = (false, false);
    let mut at = 0;
    while at < bytes.len() && out.len() < most {
        let byte = bytes[at];
        at += 1;
        match byte {
            byte if byte.is_ascii_whitespace() => continue,
            b'{' | b'[' => {
                open.push(byte == b'{');
                is_name = byte == b'{';
            }
            b'}' | b']' => {
                open.pop();
                is_name = false;
            }
            b',' => is_name = open.last() == Some(&true),
            b':' => {
                out.push(b':');
                is_name = false;
                if std::mem::take(&mut hides) {
                    at = behind_value(bytes, at);
                    out.extend_from_slice(Json::from(REDACTED).to_string().as_bytes());
                }
                continue;
            }
            b'"' => {
                let end = behind_string(bytes, at);
                let token = &bytes[at - 1..end];
                if std::mem::take(&mut is_name) {
                    let name = serde_json::from_slice::<String>(token).ok();
                    hides = name.is_some_and(|name| is_redacted(&name, redact));
                }
                let room = most - out.len();
                out.extend_from_slice(&token[..token.len().min(room)]);
                at = at - 1 + token.len().min(room);
                continue;
            }
            b'0'..=b'9' | b'+' | b'-' | b'.' | b'E' => {}
            // `true`, `false`, `null` and a number's `e`.
            b't' | b'r' | b'u' | b'e' | b'f' | b'a' | b'l' | b's' | b'n' => {}
            _ => return None,
        }
        out.push(byte);
    }
    let whole = bytes[at..].iter().all(u8::is_ascii_whitespace);
    let read = if whole { bytes.len() } else { at };
    let mut text = String::from_utf8_lossy(&out).into_owned();
    if !whole && text.ends_with(char::REPLACEMENT_CHARACTER) {
        text.pop();
    }
    Some((text, read))
}

/// The place behind a string whose first character stands here; the end where it has none.
fn behind_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn behind_value(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = behind_string(bytes, at + 1);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// A text that is no JSON. Where it cannot be told which fields it has, and it names one that is never shown,
/// nothing of it is shown.
fn plain(text: &str, redact: &[String]) -> String {
    if redact.is_empty() {
        return text.to_owned();
    }
    let is_form = text.contains('=')
        && !text.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '{'));
    if is_form {
        return form(text, redact);
    }
    let lower = text.to_ascii_lowercase();
    let names = |name: &String| !name.is_empty() && lower.contains(&name.to_ascii_lowercase());
    match redact.iter().any(names) {
        true => REDACTED.to_owned(),
        false => text.to_owned(),
    }
}

/// A form or a query without the values of fields that are never shown, in brackets or not: `a[email]=x`.
pub(super) fn form(text: &str, redact: &[String]) -> String {
    if redact.is_empty() {
        return text.to_owned();
    }
    let pair = |pair: &str| {
        let Some((name, _)) = pair.split_once('=') else {
            return pair.to_owned();
        };
        let plain = name.replace('+', " ");
        let plain = percent_decode_str(&plain).decode_utf8_lossy();
        let parts = plain.split(['[', ']', '.']);
        match is_redacted(&plain, redact) || parts.into_iter().any(|part| is_redacted(part, redact))
        {
            true => format!("{name}={REDACTED}"),
            false => pair.to_owned(),
        }
    };
    let pairs: Vec<String> = text.split('&').map(pair).collect();
    pairs.join("&")
}
