//! `docs/metrics.md`: every metric, with its labels, and how Prometheus comes to them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use velodrome_types::{Label, Metric, MetricDef, MetricKind};

use super::NOTE;
use super::shown::look;

/// What shows that the page is true: the file and the functions.
const SHOWN: [(&str, &[&str]); 2] = [
    (
        "tests/tests/metrics.rs",
        &[
            "a_page_loop_is_counted_as_it_went",
            "failures_retries_and_what_waits_are_told_also_after_a_kill",
            "requests_that_wait_their_turn_and_viewers_are_told",
            "nothing_that_arrives_makes_a_series",
            "a_token_for_metrics_may_scrape_and_do_nothing_else",
        ],
    ),
    (
        "tests/tests/dashboard.rs",
        &[
            "every_expression_names_metrics_that_there_are",
            "every_expression_asks_for_labels_that_its_metrics_have",
            "prometheus_takes_every_expression",
        ],
    ),
];

const HEAD: &str = r#"
`GET /metrics` answers in Prometheus' text format 0.0.4. It needs a token of the role `metrics`, which may do nothing else,
or of any other [role](access.md).

## Scraping

```console
$ velodrome token create --role metrics --name prometheus > /etc/prometheus/velodrome.token
$ chown prometheus: /etc/prometheus/velodrome.token && chmod 400 /etc/prometheus/velodrome.token
```

```yaml
# prometheus.yml
rule_files: [velodrome_alerts.yaml]
scrape_configs:
  - job_name: velodrome
    authorization: {credentials_file: /etc/prometheus/velodrome.token}
    static_configs: [{targets: ["127.0.0.1:7300"]}]
```

By hand: `curl -H "Authorization: Bearer $(cat velodrome.token)" http://127.0.0.1:7300/metrics`.

- [grafana/velodrome.json](grafana/velodrome.json) is a dashboard: *Dashboards, New, Import* in Grafana.
- [operations/alerts.yaml](operations/alerts.yaml) are rules for alerts; what to do then is in [operations](operations.md#alerts).

## What holds for all

What runs and loops do is counted when it is stored, so that nothing is counted that a crash could undo. Counters begin at 0
when the server starts, as Prometheus expects; gauges of runs, loops and notices are counted in what is stored, also after a
restart. A look costs what there are cycles, steps and connections, and not what there are runs.

Every label takes its values from files (cycles, steps, connections and their methods), from closed lists or from the program:
nothing that arrives makes a series. A cycle that is removed keeps its counters until the next start.

| label | values |
|---|---|
"#;

/// The page.
///
/// # Errors
///
/// If a test that it names is not there.
pub(super) fn page() -> Result<String> {
    let mut page = format!("# Metrics\n\n{NOTE}{HEAD}");
    for label in Label::ALL {
        writeln!(page, "| `{}` | {} |", label.as_str(), label.values())?;
    }
    page.push_str("\n## Every metric\n\n| metric | kind | labels | |\n|---|---|---|---|\n");
    for metric in Metric::ALL {
        let MetricDef {
            name,
            help,
            kind,
            labels,
        } = metric.def();
        let labels: Vec<String> = labels
            .iter()
            .map(|label| format!("`{}`", label.as_str()))
            .collect();
        let labels = labels.join(", ");
        writeln!(page, "| `{name}` | {} | {labels} | {help} |", kind.as_str())?;
    }
    page.push_str(
        "\nA histogram has `_bucket` with the label `le`, `_sum` and `_count`. Its bounds:\n\n",
    );
    for metric in Metric::ALL {
        if let MetricKind::Histogram(bounds) = metric.def().kind {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            writeln!(page, "- `{metric}`: {}", bounds.join(", "))?;
        }
    }
    page.push_str("\n## Shown by\n\n");
    for (file, tests) in SHOWN {
        for test in tests {
            look(Path::new(file), test)?;
            writeln!(page, "- `{test}`, `{file}`")?;
        }
    }
    Ok(page)
}
