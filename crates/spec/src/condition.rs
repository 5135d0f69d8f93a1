//! A decision's condition: comparisons, and what joins them.

use crate::expr::Expr;

/// A decision's condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// One comparison.
    Compare {
        /// What is looked at.
        left: Expr,
        /// How.
        is: Comparison,
        /// What it is held against; `None` for the conditions that need nothing.
        right: Option<Expr>,
    },
    /// True when all are.
    All(Vec<Condition>),
    /// True when one is.
    Any(Vec<Condition>),
    /// True when it is not.
    Not(Box<Condition>),
    /// True when an inline script gives what counts as true: not false, null, zero or an empty text.
    Script(Expr),
}

impl Condition {
    /// Every value in it.
    pub(crate) fn each<'c>(&'c self, read: &mut dyn FnMut(&'c Expr)) {
        match self {
            Self::Compare { left, right, .. } => {
                read(left);
                right.iter().for_each(read);
            }
            Self::All(inner) | Self::Any(inner) => {
                inner.iter().for_each(|condition| condition.each(read));
            }
            Self::Not(inner) => inner.each(read),
            Self::Script(script) => read(script),
        }
    }
}

/// `is:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is its name in SPEC §3")]
pub enum Comparison {
    Exists,
    NotExists,
    Equals,
    NotEquals,
    Contains,
    NotContains,
    StartsWith,
    EndsWith,
    GreaterThan,
    LessThan,
    GreaterOrEqual,
    LessOrEqual,
    In,
    NotIn,
    Matches,
    Empty,
    NotEmpty,
}

impl Comparison {
    /// Every comparison with its name in a file.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Exists, "exists"),
        (Self::NotExists, "not_exists"),
        (Self::Equals, "equals"),
        (Self::NotEquals, "not_equals"),
        (Self::Contains, "contains"),
        (Self::NotContains, "not_contains"),
        (Self::StartsWith, "starts_with"),
        (Self::EndsWith, "ends_with"),
        (Self::GreaterThan, "greater_than"),
        (Self::LessThan, "less_than"),
        (Self::GreaterOrEqual, "greater_or_equal"),
        (Self::LessOrEqual, "less_or_equal"),
        (Self::In, "in"),
        (Self::NotIn, "not_in"),
        (Self::Matches, "matches"),
        (Self::Empty, "empty"),
        (Self::NotEmpty, "not_empty"),
    ];

    /// Whether it compares with a right side.
    pub const fn takes_right(self) -> bool {
        !matches!(
            self,
            Self::Exists | Self::NotExists | Self::Empty | Self::NotEmpty
        )
    }
}
