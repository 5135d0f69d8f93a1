//! The filter date of an incremental list, as the API reads it.

use std::time::Duration;

use velodrome_spec::connector::{DateFormat, IncrementalDef};
use velodrome_types::{Json, Timestamp};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The date to be sent. What the format cannot say is cut off, never rounded up; where the API leaves out
/// what equals the date, one unit of the format earlier is sent.
pub(super) fn filter_date(date: Timestamp, incremental: &IncrementalDef) -> Json {
    let unit = match incremental.format {
        DateFormat::Iso8601UtcMillis | DateFormat::UnixMillis => Duration::from_millis(1),
        DateFormat::Date => DAY,
        DateFormat::Iso8601OffsetSeconds
        | DateFormat::Iso8601UtcSeconds
        | DateFormat::UnixSeconds
        | DateFormat::HttpDate => Duration::from_secs(1),
    };
    let date = if incremental.inclusive {
        date
    } else {
        date.minus(unit)
    };
    match incremental.format {
        DateFormat::Iso8601OffsetSeconds => Json::String(date.to_iso8601_offset_seconds()),
        DateFormat::Iso8601UtcSeconds => Json::String(date.to_iso8601_utc_seconds()),
        DateFormat::Iso8601UtcMillis => Json::String(date.to_string()),
        DateFormat::UnixSeconds => Json::from(date.as_millis().div_euclid(1_000)),
        DateFormat::UnixMillis => Json::from(date.as_millis()),
        DateFormat::HttpDate => Json::String(date.to_http_date()),
        DateFormat::Date => Json::String(date.to_iso8601_utc_seconds()[..10].to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use velodrome_spec::connector::{Advance, SendAs};

    use super::*;

    #[test]
    fn each_format_cuts_and_never_rounds_up() {
        let date = Timestamp::parse("2026-11-23T12:00:00.999Z").unwrap();
        let check = |format, inclusive, expect: Json| {
            let incremental = IncrementalDef {
                field: "updated".to_owned(),
                send_as: SendAs::Nowhere,
                format,
                key: Vec::new(),
                inclusive,
                overlap: Duration::ZERO,
                advance: Advance::OnSuccess,
            };
            assert_eq!(filter_date(date, &incremental), expect);
        };
        let unix = 1_795_435_200_i64;
        check(
            DateFormat::Iso8601OffsetSeconds,
            true,
            json!("2026-11-23T12:00:00+00:00"),
        );
        check(
            DateFormat::Iso8601UtcSeconds,
            true,
            json!("2026-11-23T12:00:00Z"),
        );
        check(
            DateFormat::Iso8601UtcMillis,
            true,
            json!("2026-11-23T12:00:00.999Z"),
        );
        check(DateFormat::UnixSeconds, true, json!(unix));
        check(DateFormat::UnixMillis, true, json!(unix * 1_000 + 999));
        check(
            DateFormat::HttpDate,
            true,
            json!("Mon, 23 Nov 2026 12:00:00 GMT"),
        );
        check(DateFormat::Date, true, json!("2026-11-23"));
        check(
            DateFormat::Iso8601UtcSeconds,
            false,
            json!("2026-11-23T11:59:59Z"),
        );
        check(
            DateFormat::Iso8601UtcMillis,
            false,
            json!("2026-11-23T12:00:00.998Z"),
        );
        check(DateFormat::UnixSeconds, false, json!(unix - 1));
        check(DateFormat::UnixMillis, false, json!(unix * 1_000 + 998));
        check(DateFormat::Date, false, json!("2026-11-22"));
    }
}
