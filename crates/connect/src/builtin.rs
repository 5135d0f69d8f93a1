//! The connector definitions that ship with the binary.

/// Each built-in connector's name and its definition's text.
pub const BUILT_IN: &[(&str, &str)] = &[
    (
        "data_storage",
        include_str!("../connectors/data_storage.yaml"),
    ),
    (
        "generic_webhook",
        include_str!("../connectors/generic_webhook.yaml"),
    ),
    ("github", include_str!("../connectors/github.yaml")),
    ("hubspot", include_str!("../connectors/hubspot.yaml")),
    ("stripe", include_str!("../connectors/stripe.yaml")),
    ("zoho_crm", include_str!("../connectors/zoho_crm.yaml")),
];
