//! The closed lists of states that people and the API see (SPEC §11).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every state, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The state's name in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("`{text}` is none of {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}

closed_list!(
    /// What a cycle is doing.
    CycleState {
        /// Takes webhooks and runs.
        Running = "running",
        /// Takes nothing new from outside; what runs and queues goes on.
        Finishing = "finishing",
        /// Takes webhooks, which queue.
        Paused = "paused",
        /// Takes nothing and begins no step.
        Stopped = "stopped",
        /// A connection is not signed in.
        NeedsConnection = "needs_connection",
        /// Its file has errors.
        Invalid = "invalid",
    }
);
closed_list!(
    /// Where a run is.
    RunStatus {
        /// Accepted; its loop has no place yet.
        Queued = "queued",
        /// At a step.
        Running = "running",
        /// In a delay, a retry or another wait.
        Waiting = "waiting",
        /// Ended well.
        Succeeded = "succeeded",
        /// Ended by an error; can be resumed.
        Failed = "failed",
        /// Ended by a person.
        Stopped = "stopped",
        /// `after_webhook` returned false.
        Ignored = "ignored",
    }
);
closed_list!(
    /// Where a loop is.
    LoopStatus {
        /// Waits for its place.
        Queued = "queued",
        /// One of its runs is at a step.
        Running = "running",
        /// Its run waits.
        Waiting = "waiting",
        /// All its laps have ended well.
        Succeeded = "succeeded",
        /// A lap failed.
        Failed = "failed",
        /// Ended by a person.
        Stopped = "stopped",
    }
);

closed_list!(
    /// What a token allows, each all that stands before it.
    Role {
        /// To read `/metrics`, and nothing else.
        Metrics = "metrics",
        /// To look at everything but what is secret.
        Read = "read",
        /// To start, stop and change what runs.
        Operate = "operate",
        /// Everything: secrets, tokens, keys, backups.
        Admin = "admin",
    }
);

impl Role {
    /// Whether it is enough where `needed` is asked for.
    pub fn allows(self, needed: Self) -> bool {
        self >= needed
    }
}

impl RunStatus {
    /// Whether nothing more happens to the run by itself.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Stopped | Self::Ignored
        )
    }
}

impl LoopStatus {
    /// Whether nothing more happens to the loop by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }
}
