//! A cycle as a picture: its steps, its exits, and where it hands off to.
//!
//! Made from what the checker read, so that a cycle whose tools do not run yet can be drawn too. Layout
//! and writing are apart: [`layout()`] places boxes and lines, the writers say them in their language.

mod dot;
mod layout;
mod mermaid;
mod svg;

pub use dot::dot;
pub use layout::{Layout, Line, PlacedBox, layout};
pub use mermaid::mermaid;
pub use svg::{path, svg};

/// A cycle's steps and the ways between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The cycle's id.
    pub cycle: String,
    /// Its name for people.
    pub name: String,
    /// The steps in file order, then other cycles that are handed off to.
    pub nodes: Vec<Node>,
    /// The exits, then the hand-offs.
    pub edges: Vec<Edge>,
}

/// A step, or another cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The step's id, or the other cycle's.
    pub id: String,
    /// What it uses, such as `zoho.list_contacts` or `delay`.
    pub uses: String,
    /// What it looks like.
    pub look: Look,
}

/// What a node looks like; the colours are those of Cyclr's own pictures (facts: triggers grey, actions
/// blue, decisions dark, delays orange, waits for all red, answers grey-blue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The trigger.
    Trigger,
    /// A method of a connection.
    Action,
    /// A decision or a switch.
    Decision,
    /// A delay, or a wait until a date.
    Delay,
    /// A wait for all.
    WaitAll,
    /// An answer to the caller.
    Respond,
    /// A script or a stop.
    Other,
    /// Another cycle.
    Outside,
}

/// A way from one node to another, by their places in [`Graph::nodes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Where from.
    pub from: usize,
    /// Where to.
    pub to: usize,
    /// Which exit it is.
    pub exit: Way,
    /// What stands beside it; may be empty.
    pub label: String,
}

/// What kind of way an edge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The only exit.
    Only,
    /// The true one of two.
    Then,
    /// The false one.
    Else,
    /// The error one.
    Catch,
    /// One of a switch's.
    Case,
    /// A hand-off to the own webhook.
    NextLap,
    /// A hand-off to another cycle.
    HandOff,
}

impl Look {
    /// The class of its box.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Action => "action",
            Self::Decision => "decision",
            Self::Delay => "delay",
            Self::WaitAll => "wait_all",
            Self::Respond => "respond",
            Self::Other => "other",
            Self::Outside => "outside",
        }
    }

    /// Fill and text, as web colours; both stand on light and on dark grounds.
    const fn colours(self) -> (&'static str, &'static str) {
        match self {
            Self::Trigger => ("#3c4043", "#ffffff"),
            Self::Action => ("#1967d2", "#ffffff"),
            Self::Decision => ("#263238", "#ffffff"),
            Self::Delay => ("#e8710a", "#ffffff"),
            Self::WaitAll => ("#c5221f", "#ffffff"),
            Self::Respond => ("#546e7a", "#ffffff"),
            Self::Other => ("#5f6368", "#ffffff"),
            Self::Outside => ("#e8eaed", "#202124"),
        }
    }
}

impl Way {
    /// The class of its line.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Then => "then",
            Self::Else => "else",
            Self::Catch => "catch",
            Self::Case => "case",
            Self::NextLap => "next-lap",
            Self::HandOff => "hand-off",
        }
    }

    /// Cyclr's colours: true green, false red, an only exit grey. It has no error exit: ours is amber.
    const fn colour(self) -> &'static str {
        match self {
            Self::Then | Self::Case => "#1e8e3e",
            Self::Else => "#d93025",
            Self::Catch => "#e8a000",
            Self::Only => "#80868b",
            Self::NextLap | Self::HandOff => "#8430ce",
        }
    }

    /// Whether the line is dashed: it is not how a run usually goes.
    pub const fn is_dashed(self) -> bool {
        matches!(self, Self::Catch | Self::NextLap | Self::HandOff)
    }
}
