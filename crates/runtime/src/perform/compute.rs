//! Steps that ask nobody: a `script` step's function, and the methods of script storage.
//!
//! Both read what is committed under what the move they are part of has written so far, and give their own
//! writes back with it (I6): the actor performs them inside a move, without a commit before.

use std::sync::Arc;

use velodrome_core::{Input, SendAnswer, StepFailure, evaluate_map, preview, text_of};
use velodrome_script::{Family, RUN, StorageFault, StorageView, Vars};
use velodrome_spec::connector::{StorageDoes, StorageScope};
use velodrome_spec::expr::Expr;
use velodrome_spec::plan::StorageStep;
use velodrome_types::{Code, Event, Json, JsonMap};

use super::{Gathered, Job, eval_failure};
use crate::overlay::{Reach, View};

impl Job {
    /// Runs the step's function; what it returns is the step's data.
    pub(super) async fn run_script(
        &self,
        map: &[(String, Expr)],
        gathered: &mut Gathered,
    ) -> Result<Input, Box<StepFailure>> {
        let inputs = evaluate_map(map, self.scope()).map_err(|error| eval_failure(&error))?;
        let vars = Vars {
            method_request: Json::Object(inputs),
            ..Vars::default()
        };
        let called = self.called(RUN, vars, gathered).await?;
        let shown = preview(&called.value, &self.plan.log);
        let message = match shown.as_str() {
            "" => "ran".to_owned(),
            shown => format!("gave {shown}"),
        };
        Ok(self.computed((Event::ScriptLogged, message), called.value, gathered))
    }

    /// Does to script storage what the method says.
    pub(super) async fn use_storage(
        &self,
        storage: &StorageStep,
        gathered: &mut Gathered,
    ) -> Result<Input, Box<StepFailure>> {
        let mut inputs =
            evaluate_map(&storage.map, self.scope()).map_err(|error| eval_failure(&error))?;
        let step = self.step();
        if step.handles("before_action") {
            let vars = Vars {
                method_request: Json::Object(std::mem::take(&mut inputs)),
                ..Vars::default()
            };
            let (passed, vars) = self.handler("before_action", vars, gathered).await?;
            if !passed {
                return Err(Box::new(StepFailure::permanent(
                    Code::new("script.aborted"),
                    "before_action returned false: storage was left as it is",
                )));
            }
            if let Json::Object(left) = vars.method_request {
                inputs = left;
            }
        }
        let asked = Asked::of(storage, inputs.clone())?;
        let (mut body, message) = self.storage_answer(&asked, gathered)?;
        if step.handles("after_action") {
            let vars = Vars {
                method_request: Json::Object(inputs),
                method_response: body,
                ..Vars::default()
            };
            body = self
                .handler("after_action", vars, gathered)
                .await?
                .1
                .method_response;
        }
        Ok(self.computed((Event::ResponseReceived, message), body, gathered))
    }

    fn storage_answer(
        &self,
        asked: &Asked,
        gathered: &mut Gathered,
    ) -> Result<(Json, String), Box<StepFailure>> {
        let reach = Reach {
            connection: self.step().connection(),
            cycle: self.plan.cycle.clone(),
            loop_id: self.run.loop_id,
        };
        let store = Arc::clone(&self.shared.handlers.store);
        let overlay = std::mem::take(&mut gathered.overlay);
        let mut view = View::new(store, reach, overlay);
        let answer = asked.perform(&mut view);
        let (overlay, foreign) = view.take();
        gathered.overlay = overlay;
        gathered.foreign.extend(foreign);
        let answer = answer.map_err(|fault| {
            Box::new(StepFailure::permanent(Code::new(fault.code), fault.message))
        })?;
        let key = &asked.key;
        let shown = |value: &Json| {
            let mut one = JsonMap::new();
            one.insert(key.clone(), value.clone());
            match preview(&Json::Object(one), &self.plan.log).as_str() {
                "" => format!("`{key}`"),
                shown => shown.to_owned(),
            }
        };
        let message = match (asked.does, &answer) {
            (StorageDoes::Set, Answer::Value(value)) => format!("set {}", shown(value)),
            (StorageDoes::Append, Answer::Value(value)) => format!("appended {}", shown(value)),
            (_, Answer::Value(value)) => shown(value),
            (StorageDoes::Delete, Answer::Found(_, false)) => format!("`{key}` was not there"),
            (StorageDoes::Delete, Answer::Found(..)) => format!("deleted `{key}`"),
            (_, Answer::Found(value, true)) => shown(value),
            (_, Answer::Found(_, false)) => format!("`{key}` is not there"),
            (_, Answer::All(keys, _)) if keys.len() == 1 => "1 value".to_owned(),
            (_, Answer::All(keys, _)) => format!("{} values", keys.len()),
            (_, Answer::Emptied) => "deleted all".to_owned(),
        };
        Ok((answer.body(asked.does), message))
    }

    fn computed(&self, told: (Event, String), body: Json, gathered: &mut Gathered) -> Input {
        Input::Sent {
            fence: self.fence,
            answer: SendAnswer {
                body,
                computed: Some(told),
                logs: std::mem::take(&mut gathered.logs),
                ..SendAnswer::default()
            },
        }
    }
}

/// What a storage step asks for, out of its inputs.
#[derive(Debug)]
struct Asked {
    does: StorageDoes,
    family: Family,
    key: String,
    value: Json,
    by: f64,
}

/// What storage says to it.
enum Answer {
    Value(Json),
    Found(Json, bool),
    All(Vec<String>, Vec<Json>),
    Emptied,
}

impl Asked {
    fn of(storage: &StorageStep, mut inputs: JsonMap) -> Result<Self, Box<StepFailure>> {
        let method = storage.method.def();
        for (name, input) in &method.inputs {
            let missing = inputs.get(name).is_none_or(Json::is_null);
            match &input.default {
                Some(default) if missing => {
                    inputs.insert(name.clone(), default.clone());
                }
                None if missing => {
                    let message = format!("`{}` needs the input `{name}`", method.name);
                    let code = Code::new("request.missing_input");
                    return Err(Box::new(StepFailure::permanent(code, message)));
                }
                _ => {}
            }
        }
        let wrong = |name: &str, what: &str, value: &Json| {
            let message = format!("the input `{name}` must be {what}, not {value}");
            Box::new(StepFailure::permanent(
                Code::new("request.input_type"),
                message,
            ))
        };
        let text = |name: &str| inputs.get(name).and_then(text_of).unwrap_or_default();
        let scope = text("scope");
        let family = match StorageScope::named(&scope) {
            Some(StorageScope::Connection) => Family::Cyclr,
            Some(StorageScope::Cycle) => Family::Cycle,
            Some(StorageScope::Loop) => Family::Loop,
            None => {
                let what = "`connection`, `cycle` or `loop`";
                return Err(wrong("scope", what, &Json::from(scope)));
            }
        };
        let key = text("key");
        if key.is_empty() && method.inputs.contains_key("key") {
            return Err(wrong("key", "a text", &Json::from("")));
        }
        let by = match inputs.get("by") {
            Some(value) => value
                .as_f64()
                .or_else(|| value.as_str()?.trim().parse().ok())
                .filter(|by| by.is_finite())
                .ok_or_else(|| wrong("by", "a number", value))?,
            None => 1.0,
        };
        Ok(Self {
            does: storage.does,
            family,
            key,
            value: inputs.shift_remove("value").unwrap_or(Json::Null),
            by,
        })
    }

    fn perform(&self, view: &mut View) -> Result<Answer, StorageFault> {
        let (family, key) = (self.family, self.key.as_str());
        Ok(match self.does {
            StorageDoes::Set => {
                view.set(family, key, self.value.clone())?;
                Answer::Value(self.value.clone())
            }
            StorageDoes::Append => {
                view.append(family, key, self.value.clone())?;
                Answer::Value(view.get(family, key)?.unwrap_or(Json::Null))
            }
            StorageDoes::Increment => Answer::Value(view.increment(family, key, self.by)?),
            StorageDoes::Decrement => Answer::Value(view.decrement(family, key, self.by)?),
            StorageDoes::Get => {
                let found = view.get(family, key)?;
                let there = found.is_some();
                Answer::Found(found.unwrap_or(Json::Null), there)
            }
            StorageDoes::Delete => {
                let there = view.get(family, key)?.is_some();
                view.delete(family, key)?;
                Answer::Found(Json::Null, there)
            }
            StorageDoes::GetAll => {
                let keys = view.list_keys(family)?;
                Answer::All(keys, view.list_values(family)?)
            }
            StorageDoes::DeleteAll => {
                view.delete_all(family)?;
                Answer::Emptied
            }
        })
    }
}

impl Answer {
    fn body(self, does: StorageDoes) -> Json {
        match self {
            Self::Value(value) => serde_json::json!({ "value": value }),
            Self::Found(_, found) if does == StorageDoes::Delete => {
                serde_json::json!({ "found": found })
            }
            Self::Found(value, found) => serde_json::json!({ "value": value, "found": found }),
            Self::All(keys, values) => {
                let items: Vec<Json> = keys
                    .into_iter()
                    .zip(&values)
                    .map(|(key, value)| serde_json::json!({ "key": key, "value": value }))
                    .collect();
                serde_json::json!({ "items": items, "values": values })
            }
            Self::Emptied => serde_json::json!({}),
        }
    }
}
