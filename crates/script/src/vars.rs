//! Cyclr's variables: their names, what they hold and how a script may change them.

use rhai::{Dynamic, Map};
use velodrome_types::{Code, Json, JsonMap, Timestamp};

use crate::convert::{ConvertError, merge, merge_fields, to_dynamic, to_map};
use crate::errors::{FAILED, ScriptError};

/// What a handler finds in its variables, and what it leaves there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vars {
    /// The body to be sent, or that came; null is an empty object to the script.
    pub method_request: Json,
    /// The headers to be sent, or that came.
    pub method_request_headers: JsonMap,
    /// The query string.
    pub method_request_parameters: JsonMap,
    /// The mapped values.
    pub method_request_mergefields: JsonMap,
    /// The body of the answer, or in `after_webhook` of the request.
    pub method_response: Json,
    /// The headers of the answer.
    pub method_response_headers: JsonMap,
    /// The URL.
    pub method_endpoint: String,
    /// `statusCode`.
    pub status_code: Option<u16>,
    /// `reasonPhrase`.
    pub reason_phrase: String,
    /// `{statusCode, reasonPhrase, content, isError, isWarning, isSuccess}` in `after_error`.
    pub method_error: Json,
    /// Scratch shared by the handlers of one step.
    pub action_data: Json,
    /// The parameters of a step's script.
    pub script_parameters: JsonMap,
    /// The cycle's variables.
    pub cycle_variables: JsonMap,
    /// The cycle's id; scripts cannot change it.
    pub cycle_id: String,
    /// The step's id; scripts cannot change it.
    pub cycle_step_id: String,
    /// The run's id; scripts cannot change it.
    pub transaction_id: String,
    /// Where the step's list begins; scripts cannot change it.
    pub last_successful_run_date: Option<Timestamp>,
    /// Where it will begin next: RFC 3339 in the script.
    pub next_last_successful_run_date: Option<Timestamp>,
    /// `RUNNING_TRANSACTION`, `CONNECTOR_TESTING` or `STEP_TESTING`; scripts cannot change it.
    pub script_execution_context: String,
    /// The fields that later steps use; scripts cannot change it.
    pub method_response_fields_in_use: Vec<String>,
}

macro_rules! variables {
    ($($variant:ident = $text:literal,)+) => {
        /// A variable of Cyclr's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Var { $($variant),+ }

        impl Var {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The variable of this name; both spelling and case are Cyclr's.
            pub(crate) fn find(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

variables! {
    MethodRequest = "method_request",
    MethodRequestHeaders = "method_request_headers",
    MethodRequestParameters = "method_request_parameters",
    MethodRequestMergefields = "method_request_mergefields",
    MethodResponse = "method_response",
    MethodResponseHeaders = "method_response_headers",
    MethodEndpoint = "method_endpoint",
    StatusCode = "statusCode",
    ReasonPhrase = "reasonPhrase",
    MethodError = "method_error",
    ActionData = "action_data",
    ScriptParameters = "script_parameters",
    CycleVariables = "cycle_variables",
    CycleId = "cycle_id",
    CycleStepId = "cycle_step_id",
    TransactionId = "transaction_id",
    LastSuccessfulRunDate = "last_successful_run_date",
    NextLastSuccessfulRunDate = "next_last_successful_run_date",
    ScriptExecutionContext = "script_execution_context",
    MethodResponseFieldsInUse = "method_response_fields_in_use",
}

impl Var {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Whether a script may change it.
    pub(crate) const fn is_writable(self) -> bool {
        !matches!(
            self,
            Self::CycleId
                | Self::CycleStepId
                | Self::TransactionId
                | Self::LastSuccessfulRunDate
                | Self::ScriptExecutionContext
                | Self::MethodResponseFieldsInUse
        )
    }

    /// The script's value. Shared, so that an assignment inside a function reaches it.
    pub(crate) fn load(self, vars: &Vars) -> Dynamic {
        let value = match self {
            Self::MethodRequest => match &vars.method_request {
                Json::Null => Dynamic::from_map(Map::new()),
                body => to_dynamic(body),
            },
            Self::MethodRequestHeaders => to_map(&vars.method_request_headers).into(),
            Self::MethodRequestParameters => to_map(&vars.method_request_parameters).into(),
            Self::MethodRequestMergefields => to_map(&vars.method_request_mergefields).into(),
            Self::MethodResponse => to_dynamic(&vars.method_response),
            Self::MethodResponseHeaders => to_map(&vars.method_response_headers).into(),
            Self::MethodEndpoint => vars.method_endpoint.as_str().into(),
            Self::StatusCode => vars
                .status_code
                .map_or(Dynamic::UNIT, |code| Dynamic::from_int(code.into())),
            Self::ReasonPhrase => vars.reason_phrase.as_str().into(),
            Self::MethodError => to_dynamic(&vars.method_error),
            Self::ActionData => match &vars.action_data {
                Json::Null => Dynamic::from_map(Map::new()),
                data => to_dynamic(data),
            },
            Self::ScriptParameters => to_map(&vars.script_parameters).into(),
            Self::CycleVariables => to_map(&vars.cycle_variables).into(),
            Self::CycleId => vars.cycle_id.as_str().into(),
            Self::CycleStepId => vars.cycle_step_id.as_str().into(),
            Self::TransactionId => vars.transaction_id.as_str().into(),
            Self::LastSuccessfulRunDate => date(vars.last_successful_run_date),
            Self::NextLastSuccessfulRunDate => date(vars.next_last_successful_run_date),
            Self::ScriptExecutionContext => vars.script_execution_context.as_str().into(),
            Self::MethodResponseFieldsInUse => Dynamic::from_array(
                vars.method_response_fields_in_use
                    .iter()
                    .map(|name| name.as_str().into())
                    .collect(),
            ),
        };
        if self.is_writable() {
            value.into_shared()
        } else {
            value.into_read_only().into_shared()
        }
    }

    /// Takes back what the script left.
    pub(crate) fn store(self, value: &Dynamic, vars: &mut Vars) -> Result<(), ScriptError> {
        match self {
            Self::MethodRequest => self.body(&mut vars.method_request, value),
            Self::MethodRequestHeaders => self.fields(&mut vars.method_request_headers, value),
            Self::MethodRequestParameters => {
                self.fields(&mut vars.method_request_parameters, value)
            }
            Self::MethodRequestMergefields => {
                self.fields(&mut vars.method_request_mergefields, value)
            }
            Self::MethodResponse => self.any(&mut vars.method_response, value),
            Self::MethodResponseHeaders => self.fields(&mut vars.method_response_headers, value),
            Self::MethodEndpoint => self.text(&mut vars.method_endpoint, value),
            Self::StatusCode => self.status(&mut vars.status_code, value),
            Self::ReasonPhrase => self.text(&mut vars.reason_phrase, value),
            Self::MethodError => self.any(&mut vars.method_error, value),
            Self::ActionData => self.body(&mut vars.action_data, value),
            Self::ScriptParameters => self.fields(&mut vars.script_parameters, value),
            Self::CycleVariables => self.fields(&mut vars.cycle_variables, value),
            Self::NextLastSuccessfulRunDate => {
                self.moment(&mut vars.next_last_successful_run_date, value)
            }
            Self::CycleId
            | Self::CycleStepId
            | Self::TransactionId
            | Self::LastSuccessfulRunDate
            | Self::ScriptExecutionContext
            | Self::MethodResponseFieldsInUse => Ok(()),
        }
    }

    fn wrong(self, what: impl std::fmt::Display) -> ScriptError {
        ScriptError {
            code: Code::new(FAILED),
            message: format!("`{}` {what}", self.as_str()),
            hint: None,
            line: None,
            column: None,
        }
    }

    fn unfit(self, error: &ConvertError) -> ScriptError {
        self.wrong(format_args!("cannot be taken over: {error}"))
    }

    fn any(self, json: &mut Json, value: &Dynamic) -> Result<(), ScriptError> {
        merge(json, value).map_err(|error| self.unfit(&error))
    }

    /// As [`any`](Self::any), where null was shown as an empty object and one left alone stays null.
    fn body(self, json: &mut Json, value: &Dynamic) -> Result<(), ScriptError> {
        let untouched = json.is_null() && value.as_map_ref().is_ok_and(|map| map.is_empty());
        if untouched {
            return Ok(());
        }
        self.any(json, value)
    }

    fn fields(self, fields: &mut JsonMap, value: &Dynamic) -> Result<(), ScriptError> {
        let map = value
            .as_map_ref()
            .map_err(|_| self.wrong("must be an object: write `#{name: value}`"))?;
        merge_fields(fields, &map).map_err(|error| self.unfit(&error))
    }

    fn text(self, text: &mut String, value: &Dynamic) -> Result<(), ScriptError> {
        if value.is_unit() {
            text.clear();
            return Ok(());
        }
        let new = value
            .as_immutable_string_ref()
            .map_err(|_| self.wrong("must be text"))?;
        if new.as_str() != text {
            *text = new.as_str().to_owned();
        }
        Ok(())
    }

    fn status(self, status: &mut Option<u16>, value: &Dynamic) -> Result<(), ScriptError> {
        if value.is_unit() {
            *status = None;
            return Ok(());
        }
        let code = value
            .as_int()
            .ok()
            .filter(|code| (100..=999).contains(code))
            .and_then(|code| u16::try_from(code).ok());
        match code {
            Some(code) => *status = Some(code),
            None => return Err(self.wrong("must be a whole number from 100 to 999")),
        }
        Ok(())
    }

    fn moment(self, date: &mut Option<Timestamp>, value: &Dynamic) -> Result<(), ScriptError> {
        if value.is_unit() {
            *date = None;
            return Ok(());
        }
        let text = value
            .as_immutable_string_ref()
            .map_err(|_| self.wrong("must be a date as text, such as `now()` gives"))?;
        let parsed = Timestamp::parse(&text)
            .map_err(|error| self.wrong(format_args!("is wrong: {error}")))?;
        *date = Some(parsed);
        Ok(())
    }
}

fn date(moment: Option<Timestamp>) -> Dynamic {
    moment.map_or(Dynamic::UNIT, |moment| moment.to_string().into())
}
