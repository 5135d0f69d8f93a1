//! What a form of a page sends.

use std::collections::BTreeMap;

use axum::body::Bytes;
use velodrome_runtime::api::Problem;

/// The fields of a form.
#[derive(Debug)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(super) fn read(body: &Bytes) -> Result<Self, Problem> {
        serde_urlencoded::from_bytes(body)
            .map(Self)
            .map_err(|error| {
                Problem::new(
                    400,
                    "api.bad_body",
                    format!("the form cannot be read: {error}"),
                )
            })
    }

    /// The field's text; a field that is not there is empty.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}
