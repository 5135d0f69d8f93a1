//! What axe-core, which others wrote (`tests/foreign`), finds wrong with a page for people who do not see it or
//! use no mouse.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Browser;

/// The rules of WCAG 2.2 to level AA, and what axe-core's authors hold to be good practice.
const RUN: &str = r"
axe.run(document, {
    preload: false,
    resultTypes: ['violations'],
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
}).then(found => ({
    checked: found.passes.length,
    violations: found.violations.flatMap(rule => rule.nodes.map(node =>
        [rule.impact, rule.id, rule.help, node.target.join(' '), node.failureSummary].join(' | '))),
}))
";

impl Browser {
    /// What is wrong with the page that is shown: one text for each element and rule, the impact first (`minor`,
    /// `moderate`, `serious`, `critical`). A page whose policy is `sandbox` without scripts cannot be asked.
    ///
    /// # Errors
    ///
    /// axe-core is not there, or does not run in the page.
    pub async fn barriers(&self) -> Result<Vec<String>> {
        let file = crate::foreign::folder()
            .await?
            .join("node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        // As the browser's tools do it: the page's policy does not hold for them.
        let wanted = json!({
            "expression": format!("{axe}\n;{RUN}"), "awaitPromise": true, "returnByValue": true,
        });
        let answer = self.devtools("Runtime.evaluate", wanted).await?;
        let found = &answer["result"]["value"];
        ensure!(
            found["checked"].as_u64() > Some(0),
            "axe-core checked nothing: {}",
            answer["exceptionDetails"]
        );
        let violations = found["violations"].as_array().into_iter().flatten();
        Ok(violations
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }
}
