//! `docs/cookbook.md`: what people want of a cycle, and the shipped cycle that does it, whole.
//!
//! What a recipe says stands in the head of its file, so the two cannot part. A cycle that answers nothing, and one
//! without tests, is an error.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};

use super::NOTE;

const HEAD: &str = "
What people want of a cycle, and a cycle that does it: each ships in [`cycles`](../cycles), runs as it stands, and has its
tests beside it. `velodrome test cycles` runs them all without a network; [Cycle tests](testing.md) says how to write
such tests for your own. To begin with one, copy its two files and change the addresses.
";

/// What somebody wants, and the cycle.
const RECIPES: &[(&str, &str)] = &[
    ("A loop, to see one", "first_loop"),
    ("Page by page through what changed", "zoho_incremental"),
    (
        "The same with the scripts that it has in Cyclr",
        "zoho_incremental_js",
    ),
    ("Write each record to another system", "upsert_contacts"),
    ("Walk pages without remembering anything", "stateless_loop"),
    ("Order an export …", "export_start"),
    ("… and ask until it is there", "export_poll"),
    ("Wait until a person says yes", "approval"),
    ("Answer whoever calls", "lookup"),
    (
        "Do many things at the same time, then tell how it went",
        "fan_out",
    ),
    (
        "Two systems that tell each other, without an echo",
        "echo_prevention",
    ),
    ("A message every working morning", "digest"),
    ("What changed on GitHub", "github_issues"),
    ("What changed in HubSpot", "hubspot_contacts"),
    ("What was paid by Stripe", "stripe_charges"),
];

pub(super) fn page() -> Result<String> {
    let mut page = format!("# Cookbook\n\n{NOTE}{HEAD}\n");
    for (want, cycle) in RECIPES {
        let _ = writeln!(
            page,
            "- [{want}](#{cycle}): {}",
            shows(&head(&read(cycle)?))
        );
    }
    for (want, cycle) in RECIPES {
        recipe(&mut page, want, cycle).with_context(|| format!("cycles/{cycle}.yaml"))?;
    }
    let known: BTreeSet<&str> = RECIPES.iter().map(|(_, cycle)| *cycle).collect();
    for entry in fs::read_dir("cycles")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let cycle = name.trim_end_matches(".yaml").trim_end_matches(".test");
        ensure!(known.contains(cycle), "cycles/{name} is in no recipe");
    }
    Ok(page)
}

fn recipe(page: &mut String, want: &str, cycle: &str) -> Result<()> {
    let file = read(cycle)?;
    let tests = format!("cycles/{cycle}.test.yaml");
    ensure!(fs::exists(&tests)?, "there is no {tests}");
    let head = head(&file);
    let prose: Vec<&str> = head
        .iter()
        .copied()
        .filter(|line| !line.starts_with(SHOWS))
        .collect();
    let steps: Vec<&str> = file
        .lines()
        .skip_while(|line| line.starts_with('#'))
        .collect();
    let _ = write!(
        page,
        "\n## {cycle}\n\n**{want}.** {}\n\n[`cycles/{cycle}.yaml`](../cycles/{cycle}.yaml), [its tests](../{tests}):\n\n```yaml\n{}\n```\n",
        prose.join("\n").trim_end(),
        steps.join("\n")
    );
    Ok(())
}

fn read(cycle: &str) -> Result<String> {
    let path = format!("cycles/{cycle}.yaml");
    fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}

const SHOWS: &str = "Shows:";

/// The comment at the head of a file, without the line for editors.
fn head(file: &str) -> Vec<&str> {
    file.lines()
        .map_while(|line| line.strip_prefix('#'))
        .map(str::trim)
        .filter(|line| !line.starts_with("yaml-language-server"))
        .collect()
}

/// What a head says that the cycle shows.
fn shows(head: &[&str]) -> String {
    let rest = head.iter().skip_while(|line| !line.starts_with(SHOWS));
    let line = rest.copied().collect::<Vec<_>>().join(" ");
    line.trim_start_matches(SHOWS).trim().to_owned()
}
