//! The versions of the CRM API that are in service, and where they differ.

/// A version named in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// v2 and v2.1: `fields` may be left out, any field sorts, no page tokens, no 2,000 limit.
    Second,
    /// v3 to v8.
    Later,
}

impl Version {
    pub(crate) fn named(segment: &str) -> Option<Self> {
        match segment {
            "v2" | "v2.1" => Some(Self::Second),
            "v3" | "v4" | "v5" | "v6" | "v7" | "v8" => Some(Self::Later),
            _ => None,
        }
    }

    pub(crate) fn requires_fields(self) -> bool {
        self == Self::Later
    }

    pub(crate) fn has_page_tokens(self) -> bool {
        self == Self::Later
    }

    pub(crate) fn sorts_by_any_field(self) -> bool {
        self == Self::Second
    }
}
