//! Inline scripts: run before the values they stand among are looked at.

use std::sync::Arc;

use velodrome_core::{InlineValues, Scope, StepFailure, inline_inputs};
use velodrome_script::{RUN, Vars};
use velodrome_spec::expr::Inline;
use velodrome_spec::plan::{ScriptLevel, Step};
use velodrome_types::{Json, JsonMap};

use crate::handlers::{Caller, Handlers};
use crate::overlay::Overlay;

/// The inline scripts of a step, each with what it finds in its names.
pub(crate) type Prepared = Vec<(Arc<Inline>, JsonMap)>;

/// What a step's inline scripts are to run with.
pub(crate) fn prepared(step: &Step, scope: Scope<'_>) -> Prepared {
    let scripts = step.inlines().into_iter();
    scripts
        .map(|script| (Arc::clone(script), inline_inputs(script, scope)))
        .collect()
}

impl Handlers {
    /// Runs inline scripts. They only compute: none writes storage.
    pub(crate) async fn inline(
        &self,
        caller: Caller<'_>,
        scripts: Prepared,
        logs: &mut Vec<String>,
    ) -> Result<InlineValues, Box<StepFailure>> {
        let mut values = InlineValues::new();
        for (inline, inputs) in scripts {
            let vars = Vars {
                method_request: Json::Object(inputs),
                ..Vars::default()
            };
            let one = (ScriptLevel::Step, &inline.script);
            let called = self
                .call_one(one, caller, RUN, vars, Overlay::default())
                .await?;
            logs.extend(called.logs);
            values.insert(inline.id, called.value);
        }
        Ok(values)
    }
}
