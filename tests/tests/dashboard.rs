//! The dashboard and the alerts in `docs/` ask for metrics that there are, in a language that Prometheus takes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use velodrome_tests::promtool;
use velodrome_types::{Label, Metric, MetricKind};

/// What Prometheus itself says of whom it scrapes.
const ITS_OWN: [&str; 1] = ["up"];

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(file)
}

fn read(file: &str) -> Result<String> {
    let path = docs(file);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Every expression of the dashboard, its variables' included.
fn dashboard() -> Result<Vec<String>> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|inner| walk(inner, found));
            }
            Value::Array(list) => list.iter().for_each(|inner| walk(inner, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&read("grafana/velodrome.json")?)?;
    let mut found = Vec::new();
    walk(&dashboard["panels"], &mut found);
    let variables = dashboard["templating"]["list"].as_array();
    for variable in variables.context("variables")? {
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        let inner = query.strip_prefix("label_values(");
        found.extend(inner.and_then(|inner| Some(inner.split_once(',')?.0.to_owned())));
    }
    Ok(found)
}

/// Names of metrics in an expression: words with `_` and no `(` behind them, that are not labels.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| {
            word.starts_with("velodrome_") || word.starts_with("process_") || ITS_OWN.contains(word)
        })
        .collect()
}

/// The metric that a series' name is of.
fn metric(name: &str) -> Option<Metric> {
    let mut all = Metric::ALL.iter().copied();
    all.find(|metric| {
        let def = metric.def();
        let ends = match def.kind {
            MetricKind::Histogram(_) => &["_bucket", "_sum", "_count"][..],
            MetricKind::Counter | MetricKind::Gauge => &[""],
        };
        ends.iter()
            .any(|end| name.strip_suffix(end) == Some(def.name))
    })
}

#[test]
fn every_expression_names_metrics_that_there_are() -> Result<()> {
    let (dashboard, alerts) = (dashboard()?, read("operations/alerts.yaml")?);
    assert!(dashboard.len() > 30, "{dashboard:?}");
    let mut shown = BTreeSet::new();
    for expression in dashboard.iter().chain([&alerts]) {
        let named = names(expression);
        assert!(!named.is_empty(), "`{expression}` names no metric");
        for name in named {
            let known = metric(name);
            assert!(
                known.is_some() || ITS_OWN.contains(&name),
                "{name}: {expression}"
            );
            shown.extend(known);
        }
    }
    // What nobody can see anywhere is not worth counting.
    let unseen: Vec<String> = Metric::ALL
        .iter()
        .filter(|metric| !shown.contains(metric))
        .map(ToString::to_string)
        .collect();
    assert_eq!(unseen, ["process_virtual_memory_bytes", "process_max_fds"]);
    Ok(())
}

/// An expression groups and selects by labels that its metrics have.
#[test]
fn every_expression_asks_for_labels_that_its_metrics_have() -> Result<()> {
    for expression in dashboard()? {
        let known: BTreeSet<&str> = names(&expression)
            .into_iter()
            .filter_map(metric)
            .flat_map(|metric| metric.def().labels.iter().map(|label| label.as_str()))
            .chain(["le", "job"])
            .collect();
        let groups = expression.split("by (").skip(1);
        let groups = groups.filter_map(|rest| rest.split(')').next());
        let selects = expression.split('{').skip(1);
        let selects = selects.filter_map(|rest| rest.split('}').next());
        for label in groups.flat_map(|group| group.split(',')) {
            assert!(known.contains(label.trim()), "{label}: {expression}");
        }
        for label in selects.flat_map(|select| select.split(", ")) {
            let label = label.split(['=', '!']).next().unwrap_or_default();
            assert!(known.contains(label), "{label}: {expression}");
        }
    }
    let all: BTreeSet<&str> = Label::ALL.iter().map(|label| label.as_str()).collect();
    assert_eq!(all.len(), Label::ALL.len());
    Ok(())
}

#[tokio::test]
async fn prometheus_takes_every_expression() -> Result<()> {
    let alerts = docs("operations/alerts.yaml");
    promtool(&["rules", &alerts.display().to_string()], "").await?;
    // The dashboard's are checked as rules, with what Grafana puts in for its variables.
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (at, expression) in dashboard()?.iter().enumerate() {
        let expression = expression
            .replace("$__rate_interval", "5m")
            .replace("$cycle", "a|b")
            .replace("$job", "velodrome");
        let expression = Value::String(expression);
        writeln!(
            rules,
            "      - record: dashboard:{at}\n        expr: {expression}"
        )?;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("dashboard.yaml");
    std::fs::write(&file, rules)?;
    promtool(&["rules", &file.display().to_string()], "").await
}
