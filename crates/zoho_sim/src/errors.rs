//! Zoho's own refusals: code, status, message and details, as its API and recordings show them.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// The fields that `sort_by` accepts from v3 on.
pub(crate) const SORTABLE: [&str; 3] = ["id", "Created_Time", "Modified_Time"];

/// What the CRM API refuses with. One variant a row of the simulator's table of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CrmError {
    AuthenticationFailure,
    InvalidToken,
    ScopeMismatch,
    InvalidModule,
    InvalidUrlPattern,
    InvalidRequestMethod,
    MissingParam(&'static str),
    TooManyFields,
    TooManyRecords { limit: usize },
    InvalidParam(&'static str),
    UnsupportedSort,
    NotAnInteger(&'static str),
    Ambiguous(&'static str, &'static str),
    PageTokenNeeded,
    WalkTooLong,
    PageTokenMismatch,
    PageTokenExpired,
    InvalidId,
    InvalidBody,
    TooManyRequests(Limit),
    Internal,
    Unavailable,
}

/// Which of the two limits a 429 speaks of; Zoho uses one code for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Credits,
    Concurrency,
}

impl CrmError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::AuthenticationFailure | Self::InvalidToken | Self::ScopeMismatch => {
                StatusCode::UNAUTHORIZED
            }
            Self::InvalidUrlPattern => StatusCode::NOT_FOUND,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::AuthenticationFailure => "AUTHENTICATION_FAILURE",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::ScopeMismatch => "OAUTH_SCOPE_MISMATCH",
            Self::InvalidModule => "INVALID_MODULE",
            Self::InvalidUrlPattern => "INVALID_URL_PATTERN",
            Self::InvalidRequestMethod => "INVALID_REQUEST_METHOD",
            Self::MissingParam(_) => "REQUIRED_PARAM_MISSING",
            Self::TooManyFields | Self::TooManyRecords { .. } => "LIMIT_EXCEEDED",
            Self::InvalidParam(_) | Self::UnsupportedSort | Self::InvalidId | Self::InvalidBody => {
                "INVALID_DATA"
            }
            Self::NotAnInteger(_) => "PATTERN_NOT_MATCHED",
            Self::Ambiguous(..) => "AMBIGUITY_DURING_PROCESSING",
            Self::PageTokenNeeded => "DISCRETE_PAGINATION_LIMIT_EXCEEDED",
            Self::WalkTooLong => "PAGINATION_LIMIT_EXCEEDED",
            Self::PageTokenMismatch => "TOKEN_BOUND_DATA_MISMATCH",
            Self::PageTokenExpired => "EXPIRED_VALUE",
            Self::TooManyRequests(_) => "TOO_MANY_REQUESTS",
            Self::Internal => "INTERNAL_ERROR",
            Self::Unavailable => "SERVICE_UNAVAILABLE",
        }
    }

    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::AuthenticationFailure => "Authentication failed",
            Self::InvalidToken => "invalid oauth token",
            Self::ScopeMismatch => "Unauthorized",
            Self::InvalidModule => "the module name given seems to be invalid",
            Self::InvalidUrlPattern => "Please check if the URL trying to access is a correct one",
            Self::InvalidRequestMethod => "The http request method type is not a valid one",
            Self::MissingParam(_) => "required param is missing",
            Self::TooManyFields | Self::TooManyRecords { .. } => "limit exceeded",
            Self::InvalidParam(_) | Self::UnsupportedSort => "invalid data",
            Self::InvalidId => "the id given seems to be invalid",
            Self::InvalidBody => "body",
            Self::NotAnInteger(_) => "Please check whether the input values are correct",
            Self::Ambiguous(..) => "ambiguity while processing the request",
            Self::PageTokenNeeded => {
                "You can only get the first 2000 records without using page_token param"
            }
            Self::WalkTooLong => "You can only get upto 100000 records using page_token param",
            Self::PageTokenMismatch => {
                "The page_token given seems to be invalid or input param is added or altered or deleted"
            }
            Self::PageTokenExpired => "Page token expired",
            Self::TooManyRequests(Limit::Credits) => {
                "You have exceeded the number of API calls allowed limit for the past 24 hours"
            }
            Self::TooManyRequests(Limit::Concurrency) => {
                "You have exceeded the concurrency limit of API calls"
            }
            Self::Internal => "Internal Server Error",
            Self::Unavailable => "Service temporarily unavailable",
        }
    }

    fn details(&self) -> Value {
        match self {
            Self::InvalidModule => json!({"resource_path_index": 0}),
            Self::MissingParam(name) | Self::InvalidParam(name) | Self::NotAnInteger(name) => {
                json!({"param_name": name})
            }
            Self::TooManyFields => json!({"limit": 50, "param_name": "fields"}),
            Self::TooManyRecords { limit } => json!({"limit": limit}),
            Self::UnsupportedSort => {
                json!({"param_name": "sort_by", "supported_values": SORTABLE})
            }
            Self::Ambiguous(one, other) => json!({
                "ambiguity_due_to": [{"param_name": one}, {"param_name": other}]
            }),
            Self::PageTokenNeeded => json!({"limit": 2000}),
            Self::WalkTooLong | Self::PageTokenMismatch => json!({"param_name": "page_token"}),
            Self::PageTokenExpired => {
                json!({"api_name": "page_token", "json_path": "$.query.page_token"})
            }
            Self::InvalidBody => json!({"expected_data_type": "jsonobject"}),
            _ => json!({}),
        }
    }

    /// The envelope. `/deleted` and writes put it inside `{"data":[…]}`; others send it bare.
    pub(crate) fn envelope(&self) -> Value {
        envelope(self.code(), self.details(), self.message())
    }
}

/// The envelope of any refusal, by its parts.
pub(crate) fn envelope(code: &str, details: Value, message: &str) -> Value {
    json!({"code": code, "details": details, "message": message, "status": "error"})
}
