//! The parameters of a query, each named where it is wrong.

use std::fmt::Display;
use std::str::FromStr;

use velodrome_runtime::api::Problem;
use velodrome_store::{Cursor, PageRequest};
use velodrome_types::{Json, Timestamp, parse_duration};

/// How many items a listing gives where `limit` is not said (SPEC §11).
pub(crate) const DEFAULT_LIMIT: usize = 50;
/// The most it gives.
pub(crate) const MAX_LIMIT: usize = 1_000;
/// The largest `seq`: what the stores can hold.
const MAX_SEQ: u64 = u64::MAX >> 1;

/// A line's `seq`, or none where it is no number that one could have.
pub(crate) fn seq(text: &str) -> Option<u64> {
    let seq: u64 = text.trim().parse().ok()?;
    (seq <= MAX_SEQ).then_some(seq)
}

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

/// 400 that names the parameter.
pub(crate) fn bad_parameter(name: &str, why: impl Display) -> Problem {
    let mut problem = Problem::new(400, "api.bad_parameter", format!("`{name}`: {why}"));
    problem
        .more
        .insert("parameter".to_owned(), Json::from(name));
    problem
}

impl Parameters {
    /// Reads the query. A parameter that is not among `known` is refused, for it is a slip of the
    /// pen and would widen the answer unseen.
    pub(crate) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default())
            .map_err(|error| bad_parameter("query", error))?;
        match pairs
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            None => Ok(Self(pairs)),
            Some((name, _)) if known.is_empty() => {
                Err(bad_parameter(name, "no parameters are taken here"))
            }
            Some((name, _)) => Err(bad_parameter(
                name,
                format!("no such parameter: use {}", known.join(", ")),
            )),
        }
    }

    /// The value as text; empty ones count as not given, as forms send them.
    pub(crate) fn text<'a>(&'a self, name: &str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.values(name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(bad_parameter(name, "give it once")),
            None => Ok(first),
        }
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let same = move |pair: &&(String, String)| pair.0 == name;
        self.0
            .iter()
            .filter(same)
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The value, read.
    pub(crate) fn one<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| text.parse().map_err(|error| bad_parameter(name, error));
        self.text(name)?.map(parse).transpose()
    }

    /// The values of a parameter that may be repeated, or hold several with commas between.
    pub(crate) fn each<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Vec<T>, Problem> {
        self.values(name)
            .flat_map(|value| value.split(','))
            .map(|text| {
                text.trim()
                    .parse()
                    .map_err(|error| bad_parameter(name, error))
            })
            .collect()
    }

    /// A name, taken as it is.
    pub(crate) fn name<T: for<'a> From<&'a str>>(&self, name: &str) -> Result<Option<T>, Problem> {
        Ok(self.text(name)?.map(T::from))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name)? {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(bad_parameter(
                name,
                format!("`{other}` is neither true nor false"),
            )),
        }
    }

    /// A whole number within these bounds.
    pub(crate) fn count(&self, name: &str, least: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(count) if (least..=MAX_LIMIT).contains(&count) => Ok(Some(count)),
            _ => Err(bad_parameter(
                name,
                format!("`{text}` is no whole number from {least} to {MAX_LIMIT}"),
            )),
        }
    }

    /// How many items at most.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        Ok(self.count("limit", 1)?.unwrap_or(DEFAULT_LIMIT))
    }

    /// `limit` and a `cursor` that the store gave.
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        let after = match self.text("cursor")? {
            None => None,
            Some(text) => Some(Cursor(text.parse().map_err(|_| {
                bad_parameter("cursor", "send the `next` of the answer before, as it was")
            })?)),
        };
        Ok(PageRequest {
            after,
            limit: self.limit()?,
        })
    }

    /// A moment, or how long before now it was.
    pub(crate) fn since(&self, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text("since")? else {
            return Ok(None);
        };
        // An offset's `+` that nobody encoded has become a space.
        let moment = Timestamp::parse(text).or_else(|_| Timestamp::parse(&text.replace(' ', "+")));
        if let Ok(moment) = moment {
            return Ok(Some(moment));
        }
        match parse_duration(text) {
            Ok(before) => Ok(Some(now.minus(before))),
            Err(_) => Err(bad_parameter(
                "since",
                format!("`{text}` is neither RFC 3339 nor a duration such as `2h`"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use velodrome_types::{CycleId, RunStatus};

    use super::*;

    const KNOWN: &[&str] = &["cycle", "status", "since", "limit", "cursor", "follow"];

    fn read(query: &str) -> Parameters {
        Parameters::read(Some(query), KNOWN).unwrap()
    }

    fn refused<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        let problem = result.unwrap_err();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (400, "api.bad_parameter")
        );
        let name = problem.more["parameter"].as_str().unwrap().to_owned();
        assert!(
            problem.detail.contains(&format!("`{name}`")),
            "{}",
            problem.detail
        );
        name
    }

    #[test]
    fn parameters_nobody_knows_are_refused_by_name() {
        assert_eq!(refused(Parameters::read(Some("cycel=a"), KNOWN)), "cycel");
        assert_eq!(refused(Parameters::read(Some("a"), &[])), "a");
        assert!(Parameters::read(None, &[]).is_ok());
        assert!(Parameters::read(Some(""), &[]).is_ok());
    }

    #[test]
    fn names_are_given_once_and_empty_ones_not_at_all() {
        let name = |query| read(query).name::<CycleId>("cycle");
        assert_eq!(name("cycle=zoho").unwrap(), Some(CycleId::from("zoho")));
        assert_eq!(name("cycle=").unwrap(), None);
        assert_eq!(name("").unwrap(), None);
        assert_eq!(refused(name("cycle=a&cycle=b")), "cycle");
    }

    #[test]
    fn states_may_be_several() {
        let states = |query| read(query).each::<RunStatus>("status");
        let both = [RunStatus::Failed, RunStatus::Stopped];
        assert_eq!(states("status=failed,stopped").unwrap(), both);
        assert_eq!(states("status=failed&status=%20stopped").unwrap(), both);
        assert_eq!(states("status=").unwrap(), []);
        assert_eq!(refused(states("status=broken")), "status");
        assert_eq!(refused(states("status=failed,")), "status");
    }

    #[test]
    fn limits_are_1_to_1000_and_50_by_default() {
        let limit = |query: &str| read(query).limit();
        assert_eq!(limit("").unwrap(), 50);
        assert_eq!(limit("limit=1").unwrap(), 1);
        assert_eq!(limit("limit=1000").unwrap(), 1_000);
        for bad in ["0", "1001", "-1", "ten", "1.5", "99999999999999999999999"] {
            assert_eq!(refused(limit(&format!("limit={bad}"))), "limit", "{bad}");
        }
    }

    #[test]
    fn cursors_are_what_was_given() {
        let page = |query| read(query).page();
        let expect = PageRequest {
            after: Some(Cursor(17)),
            limit: 2,
        };
        assert_eq!(page("cursor=17&limit=2").unwrap(), expect);
        assert_eq!(refused(page("cursor=next")), "cursor");
    }

    #[test]
    fn since_is_a_moment_or_a_while_ago() {
        let now = Timestamp::from_millis(1_795_435_200_000);
        let since = |query: &str| read(query).since(now).map(Option::unwrap);
        assert_eq!(since("since=2026-11-23T12:00:00Z").unwrap(), now);
        assert_eq!(since("since=2026-11-23T13:00:00%2B01:00").unwrap(), now);
        assert_eq!(since("since=2026-11-23T13:00:00+01:00").unwrap(), now);
        let earlier = Timestamp::from_millis(1_795_435_200_000 - 7_200_000);
        for text in ["2h", "2%20hours", "2+hours", "PT2H"] {
            assert_eq!(since(&format!("since={text}")).unwrap(), earlier, "{text}");
        }
        for bad in ["yesterday", "2", "2026-11-23"] {
            assert_eq!(refused(since(&format!("since={bad}"))), "since", "{bad}");
        }
    }

    #[test]
    fn a_seq_is_a_number_that_the_store_can_hold() {
        assert_eq!(seq(" 7 "), Some(7));
        assert_eq!(seq("9223372036854775807"), Some(u64::MAX >> 1));
        for bad in ["9223372036854775808", "-1", "", "last"] {
            assert_eq!(seq(bad), None, "{bad}");
        }
    }

    #[test]
    fn flags_are_true_or_false() {
        let flag = |query| read(query).flag("follow");
        assert_eq!(flag("follow=true").unwrap(), Some(true));
        assert_eq!(flag("follow=false").unwrap(), Some(false));
        assert_eq!(flag("").unwrap(), None);
        assert_eq!(refused(flag("follow=yes")), "follow");
    }
}
