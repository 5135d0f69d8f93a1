//! What the handlers of one action hand on to each other: from before a request to after its answer, over the
//! commit of a request as it was built, and from page to page of a list.

use serde::{Deserialize, Serialize};
use velodrome_script::Vars;
use velodrome_spec::connector::{MethodDef, SendAs};
use velodrome_spec::plan::Step;
use velodrome_types::{Json, JsonMap};

/// Where it stands in a stored request: no field of a request has this name.
const KEY: &str = "script";

/// Handlers that run once a request has been built.
const AFTER: [&str; 4] = [
    "after_action",
    "after_action_paging",
    "after_error",
    "action_condition",
];

/// What is handed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Carried {
    /// `action_data`; null until a handler puts something in.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    action_data: Json,
    /// `method_request_mergefields`: what the step maps, as handlers left it.
    #[serde(default, skip_serializing_if = "JsonMap::is_empty")]
    mergefields: JsonMap,
    /// `script_parameters`: the inputs that go to scripts alone. What a handler makes of them is gone with it.
    #[serde(default, skip_serializing_if = "JsonMap::is_empty")]
    parameters: JsonMap,
}

impl Carried {
    /// What the handlers of a step's action begin with; nothing where it has none.
    pub(super) fn begin(step: &Step, method: &MethodDef, mapped: &JsonMap, data: Json) -> Self {
        if !step.is_scripted() {
            return Self::default();
        }
        let parameters = method.inputs.iter().filter_map(|(input, def)| {
            let SendAs::Script(name) = &def.send_as else {
                return None;
            };
            let value = mapped.get(input).or(def.default.as_ref())?;
            Some((name.clone(), value.clone()))
        });
        Self {
            action_data: data,
            mergefields: mapped.clone(),
            parameters: parameters.collect(),
        }
    }

    /// Gives it to a handler.
    pub(super) fn lend(&self, vars: &mut Vars) {
        vars.action_data.clone_from(&self.action_data);
        vars.method_request_mergefields
            .clone_from(&self.mergefields);
        vars.script_parameters.clone_from(&self.parameters);
    }

    /// Takes it back as the handler left it.
    pub(super) fn take_back(&mut self, vars: &mut Vars) {
        self.action_data = std::mem::take(&mut vars.action_data);
        self.mergefields = std::mem::take(&mut vars.method_request_mergefields);
    }

    /// Takes `action_data` out of it, for the next page.
    pub(super) fn take_data(&mut self) -> Json {
        std::mem::take(&mut self.action_data)
    }

    /// Puts beside a request to be stored what a later handler of the step names, and nothing else.
    pub(super) fn store(&self, step: &Step, request: &mut Json) {
        let named = |variable: &str| {
            AFTER.iter().any(|handler| {
                let mut scripts = step.handlers(handler);
                scripts.any(|(_, script)| script.analysis.names.contains(variable))
            })
        };
        let mut kept = Self::default();
        if named("action_data") {
            kept.action_data.clone_from(&self.action_data);
        }
        if named("method_request_mergefields") {
            kept.mergefields.clone_from(&self.mergefields);
        }
        if named("script_parameters") {
            kept.parameters.clone_from(&self.parameters);
        }
        if let (Json::Object(fields), true) = (request, kept != Self::default()) {
            let kept = serde_json::to_value(&kept).unwrap_or(Json::Null);
            fields.insert(KEY.to_owned(), kept);
        }
    }

    /// Takes out of a stored request what was put beside it.
    pub(super) fn of_stored(request: &mut Json) -> Result<Self, serde_json::Error> {
        let kept = match request {
            Json::Object(fields) => fields.remove(KEY),
            _ => None,
        };
        kept.map_or_else(|| Ok(Self::default()), serde_json::from_value)
    }
}
