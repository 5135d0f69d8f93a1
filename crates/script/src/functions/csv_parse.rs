//! `cyclr_csv_parse`: CSV (RFC 4180) to a list of objects or of lists. Every value is a text.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;

use csv::{ReaderBuilder, StringRecord};
use velodrome_types::{Json, JsonMap};

use super::FunctionFault;
use super::bounds::Bounds;
use super::entry::{Args, kind};

/// Stands behind the text as a record of its own, which no delimiter parts. In quotes that are open it is none.
const END: &str = "…";

pub(super) fn parse(args: Args<'_>, mut bounds: Bounds) -> Result<Json, FunctionFault> {
    let text = args.text(0, "csv")?;
    let delimiter = delimiter(args)?;
    let has_header = match args.get(2) {
        None => false,
        Some(Json::Bool(flag)) => *flag,
        Some(other) => {
            let given = kind(other);
            return Err(args.refused(format_args!("`hasHeader` must be a boolean, not {given}")));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes().chain(&b"\n"[..]).chain(END.as_bytes()));
    let mut record = StringRecord::new();
    let mut next = |record: &mut StringRecord| {
        let more = reader
            .read_record(record)
            .map_err(|error| args.refused(format_args!("no CSV: {error}")))?;
        // Beyond the text and the line break behind it there is only what stands in `END`.
        if more && reader.position().byte() <= text.len() as u64 + 1 {
            return Ok(true);
        }
        if more && !record.iter().eq([END]) {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(args.refused(format_args!(
                "the record of line {line} has a quote that nothing closes: is the text cut short?"
            )));
        }
        Ok(false)
    };
    let mut rows = Vec::new();
    if !has_header {
        while next(&mut record)? {
            bounds.items(record.len() + 1)?;
            bounds.text(record.as_slice().len())?;
            rows.push(record.iter().map(Json::from).collect());
        }
        return Ok(Json::Array(rows));
    }
    if !next(&mut record)? {
        return Ok(Json::Array(rows));
    }
    bounds.items(record.len())?;
    let names = names(&record);
    while next(&mut record)? {
        if record.len() > names.len() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(args.refused(format_args!(
                "line {line} has {} values where the header has {}: quote values that hold the \
                 delimiter",
                record.len(),
                names.len()
            )));
        }
        bounds.items(1)?;
        bounds.text(record.as_slice().len())?;
        let mut fields = JsonMap::with_capacity(record.len());
        for (name, value) in names.iter().zip(&record) {
            bounds.field(name.len())?;
            fields.insert(name.clone(), Json::from(value));
        }
        rows.push(Json::Object(fields));
    }
    Ok(Json::Array(rows))
}

fn delimiter(args: Args<'_>) -> Result<u8, FunctionFault> {
    let text = args.text_or(1, "delimiter", ",")?;
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
        _ => {
            let shown: String = text.chars().take(10).flat_map(char::escape_debug).collect();
            Err(args.refused(format_args!(
                "`{shown}` cannot be the delimiter: it must be one ASCII character, such as `,`, \
                 `;` or a tab"
            )))
        }
    }
}

/// The names of the columns. One that stands twice gets a number, so that no column is lost.
fn names(header: &StringRecord) -> Vec<String> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut taken: HashSet<String> = HashSet::new();
    let written: HashSet<&str> = header.iter().collect();
    header
        .iter()
        .map(|name| {
            if taken.insert(name.to_owned()) {
                return name.to_owned();
            }
            let number = numbers.entry(name).or_insert(1);
            loop {
                *number += 1;
                let numbered = format!("{name}_{number}");
                if !written.contains(numbered.as_str()) && taken.insert(numbered.clone()) {
                    return numbered;
                }
            }
        })
        .collect()
}
