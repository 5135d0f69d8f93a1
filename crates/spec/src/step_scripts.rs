//! The scripts of a step: its own, its method's, its connector's, and in which order they are called.

use crate::plan::{MethodUse, Step, StepKind, StepScript};

/// Where a handler stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptLevel {
    /// In the connector's file, for all its methods.
    Connector,
    /// In the connector's file, for one method.
    Method,
    /// In the step.
    Step,
}

impl Step {
    /// The scripts that define this handler, in the order in which they are called: `before_*` method,
    /// connector, step; all others connector, method, step.
    pub fn handlers<'a>(
        &'a self,
        handler: &'a str,
    ) -> impl Iterator<Item = (ScriptLevel, &'a StepScript)> {
        let method = self.method();
        let of_connector = method.and_then(|method| method.connector.script.as_ref());
        let of_connector = (ScriptLevel::Connector, of_connector);
        let of_method = method.and_then(|method| method.def().script.as_ref());
        let of_method = (ScriptLevel::Method, of_method);
        let [first, second] = match handler.starts_with("before_") {
            true => [of_method, of_connector],
            false => [of_connector, of_method],
        };
        let all = [first, second, (ScriptLevel::Step, self.script.as_ref())];
        all.into_iter()
            .filter_map(|(level, script)| Some((level, script?)))
            .filter(move |(_, script)| script.analysis.has(handler))
    }

    /// Whether there is a script at any level.
    pub fn is_scripted(&self) -> bool {
        let of_method =
            |method: &MethodUse| method.connector.script.is_some() || method.def().script.is_some();
        self.script.is_some() || self.method().is_some_and(of_method)
    }

    /// Whether a script of some level defines this handler.
    pub fn handles(&self, handler: &str) -> bool {
        self.handlers(handler).next().is_some()
    }

    /// Whether it can leave by a false exit that an answer decides on: of what asks an API.
    pub fn has_two_exits(&self) -> bool {
        let decides = self.handles("action_condition");
        match &self.kind {
            StepKind::List(list) => decides || list.method.def().two_exits,
            StepKind::Send(_) => decides && !self.hands_off(),
            _ => false,
        }
    }
}
