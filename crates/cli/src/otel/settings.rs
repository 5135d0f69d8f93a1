//! What the environment says of traces: the variables that OpenTelemetry specifies, and one of our own.
//!
//! Endpoint, headers and resource are read by the exporter itself.

use std::time::Duration;

use velodrome_runtime::{SendTo, TraceRules};

/// Hosts whose requests say their trace.
pub(super) const SEND_TO: &str = "VELODROME_TRACEPARENT_TO";
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const TIMEOUTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
/// The protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";
/// The defaults that OpenTelemetry specifies.
const DELAY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const BATCH: usize = 512;

/// What is done, where anything is.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) rules: TraceRules,
    /// At most so many spans are sent at once.
    pub(super) batch: usize,
    /// How long a span may wait for others to be sent with.
    pub(super) delay: Duration,
    /// How long the collector may take.
    pub(super) timeout: Duration,
}

/// Reads a variable of the environment; an empty one counts as not set.
pub(super) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What the variables say; `None` where nobody is to be sent spans.
///
/// # Errors
///
/// What is wrong with which variable.
pub(super) fn read(variable: Variable<'_>) -> Result<Option<Said>, String> {
    let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
    let off = variable("OTEL_SDK_DISABLED").is_some_and(|said| said.eq_ignore_ascii_case("true"));
    let exporter = variable("OTEL_TRACES_EXPORTER");
    match exporter.as_deref() {
        _ if off => return Ok(None),
        Some("none") => return Ok(None),
        Some("otlp") => {}
        None if first(&ENDPOINTS).is_some() => {}
        None => return Ok(None),
        Some(other) => {
            return Err(format!(
                "`OTEL_TRACES_EXPORTER` is `{other}`: write `otlp` or `none`"
            ));
        }
    }
    if let Some(protocol) = first(&PROTOCOLS).filter(|protocol| protocol != PROTOCOL) {
        return Err(format!(
            "`{}` is `{protocol}`: only `{PROTOCOL}` is spoken, to port 4318 of most collectors",
            PROTOCOLS[1]
        ));
    }
    let propagators = variable("OTEL_PROPAGATORS");
    let (sampled, as_parent) = sampler(variable)?;
    let rules = TraceRules {
        accept: propagators.is_none_or(|said| listed(&said).any(|name| name == "tracecontext")),
        send_to: send_to(variable(SEND_TO).as_deref())?,
        sampled,
        as_parent,
    };
    let timeouts = TIMEOUTS.map(|name| millis(variable, name));
    let [own, all] = timeouts;
    Ok(Some(Said {
        rules,
        batch: number(variable, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")?.map_or(BATCH, |said| {
            usize::try_from(said).unwrap_or(usize::MAX).max(1)
        }),
        delay: millis(variable, "OTEL_BSP_SCHEDULE_DELAY")?.unwrap_or(DELAY),
        timeout: own?.or(all?).unwrap_or(TIMEOUT),
    }))
}

fn listed(said: &str) -> impl Iterator<Item = &str> {
    said.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

fn number(variable: Variable<'_>, name: &str) -> Result<Option<u64>, String> {
    variable(name)
        .map(|said| {
            said.trim()
                .parse()
                .map_err(|_| format!("`{name}` is `{said}`: write a whole number"))
        })
        .transpose()
}

fn millis(variable: Variable<'_>, name: &str) -> Result<Option<Duration>, String> {
    Ok(number(variable, name)?.map(Duration::from_millis))
}

/// How many of 2^56 traces are recorded, and whether a caller decides over its own.
fn sampler(variable: Variable<'_>) -> Result<(Option<u64>, bool), String> {
    let name =
        variable("OTEL_TRACES_SAMPLER").unwrap_or_else(|| "parentbased_always_on".to_owned());
    let (as_parent, own) = match name.strip_prefix("parentbased_") {
        Some(own) => (true, own),
        None => (false, name.as_str()),
    };
    let sampled = match own {
        "always_on" => None,
        "always_off" => Some(0),
        "traceidratio" => {
            let said = variable("OTEL_TRACES_SAMPLER_ARG").unwrap_or_else(|| "1.0".to_owned());
            let ratio: f64 = said.trim().parse().unwrap_or(f64::NAN);
            if !(0.0..=1.0).contains(&ratio) {
                return Err(format!(
                    "`OTEL_TRACES_SAMPLER_ARG` is `{said}`: write a share from 0 to 1"
                ));
            }
            Some((ratio * (1_u64 << 56) as f64) as u64)
        }
        _ => {
            return Err(format!(
                "`OTEL_TRACES_SAMPLER` is `{name}`: write `always_on`, `always_off` or `traceidratio`, or one of them behind `parentbased_`"
            ));
        }
    };
    Ok((sampled, as_parent))
}

fn send_to(said: Option<&str>) -> Result<SendTo, String> {
    let hosts: Vec<String> = listed(said.unwrap_or_default())
        .map(str::to_ascii_lowercase)
        .collect();
    if hosts.is_empty() {
        return Ok(SendTo::Nobody);
    }
    if hosts == ["*"] {
        return Ok(SendTo::All);
    }
    let wrong = |host: &&String| host.contains(['/', '*', '@', ' ']);
    match hosts.iter().find(wrong) {
        Some(host) => Err(format!(
            "`{host}` in `{SEND_TO}` is no host: write `api.example.com`, `10.0.0.7:8080`, or `*` alone for all"
        )),
        None => Ok(SendTo::Hosts(hosts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn said(variables: &[(&str, &str)]) -> Result<Option<Said>, String> {
        read(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_sent_unless_the_environment_says_so() {
        let check = |variables: &[(&str, &str)], on: bool| {
            assert_eq!(said(variables).unwrap().is_some(), on, "{variables:?}");
        };
        check(&[], false);
        check(&[AT], true);
        check(
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")],
            true,
        );
        check(&[("OTEL_TRACES_EXPORTER", "otlp")], true);
        check(&[AT, ("OTEL_TRACES_EXPORTER", "none")], false);
        check(&[AT, ("OTEL_SDK_DISABLED", "TRUE")], false);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let check = |variable: (&str, &str)| {
            let why = said(&[AT, variable]).unwrap_err();
            assert!(why.contains(variable.0), "{why}");
        };
        check(("OTEL_TRACES_EXPORTER", "zipkin"));
        check(("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"));
        check(("OTEL_TRACES_SAMPLER", "jaeger_remote"));
        check(("OTEL_BSP_SCHEDULE_DELAY", "5s"));
        check((SEND_TO, "https://api.example.com"));
        check((SEND_TO, "a.test, *"));
        let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
        let why = said(&[AT, ratio, ("OTEL_TRACES_SAMPLER_ARG", "2")]).unwrap_err();
        assert!(why.contains("from 0 to 1"), "{why}");
    }

    #[test]
    fn says_who_is_told_and_what_is_recorded() {
        let plain = said(&[AT]).unwrap().unwrap();
        assert_eq!(
            (plain.batch, plain.delay, plain.timeout),
            (BATCH, DELAY, TIMEOUT)
        );
        assert!(plain.rules.accept && plain.rules.as_parent);
        assert_eq!(
            (plain.rules.sampled, plain.rules.send_to),
            (None, SendTo::Nobody)
        );
        let other = said(&[
            AT,
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
            (SEND_TO, "API.example.com, 10.0.0.7:8080"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
        ]);
        let other = other.unwrap().unwrap();
        assert!(!other.rules.accept && !other.rules.as_parent);
        assert_eq!(other.rules.sampled, Some(1 << 55));
        let hosts = ["api.example.com", "10.0.0.7:8080"].map(str::to_owned);
        assert_eq!(other.rules.send_to, SendTo::Hosts(hosts.to_vec()));
        assert_eq!(other.timeout, Duration::from_secs(2));
    }
}
