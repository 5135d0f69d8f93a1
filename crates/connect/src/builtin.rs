//! The connector definitions that ship with the binary.

/// Each built-in connector's name and its definition's text.
pub const BUILT_IN: &[(&str, &str)] = &[
    (
        "generic_webhook",
        include_str!("../connectors/generic_webhook.yaml"),
    ),
    ("zoho_crm", include_str!("../connectors/zoho_crm.yaml")),
];
