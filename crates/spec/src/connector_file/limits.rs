//! `limits:` of a connector or a method: how much may be asked of an API.

use std::time::Duration;

use velodrome_types::parse_duration;

use super::one_or_more;
use crate::connector::{Limits, Rate};
use crate::format::RATE_LIMITS;
use crate::keys::{Faults, Keys, text, whole};
use crate::yaml::Node;

pub(super) fn read(node: &Node, faults: &mut Faults) -> Limits {
    let Some(mut keys) = Keys::in_table(node, &RATE_LIMITS, "`limits`", faults) else {
        return Limits::default();
    };
    let concurrent = keys
        .get("concurrent")
        .and_then(|node| whole(node, "`concurrent`", 1, faults))
        .map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let rates = keys
        .get("rate")
        .into_iter()
        .flat_map(one_or_more)
        .filter_map(|node| rate(node, faults))
        .collect();
    keys.finish("`limits`", faults);
    Limits { concurrent, rates }
}

/// `10 per second`, `100 per 10 seconds`.
fn rate(node: &Node, faults: &mut Faults) -> Option<Rate> {
    let written = text(node, "`rate`", faults)?;
    let read = written.split_once(" per ").and_then(|(requests, per)| {
        let requests = requests.trim().parse().ok().filter(|number| *number > 0)?;
        Some(Rate {
            requests,
            per: length(per.trim())?,
        })
    });
    if read.is_none() {
        let message = format!(
            "`rate` must be a number of requests in a length of time, such as `10 per second`, not `{written}`"
        );
        faults.error("value.type", node.span, message);
    }
    read
}

/// `second` is `1 second`; nothing is asked so seldom as once in no time.
fn length(text: &str) -> Option<Duration> {
    let length = parse_duration(text).or_else(|_| parse_duration(&format!("1 {text}")));
    length.ok().filter(|length| !length.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_may_leave_out_its_one() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(length(text), expect.map(Duration::from_secs), "{text}");
        };
        check("second", Some(1));
        check("minute", Some(60));
        check("10 seconds", Some(10));
        check("1h30m", Some(5_400));
        check("day", Some(86_400));
        check("0 s", None);
        check("often", None);
    }
}
