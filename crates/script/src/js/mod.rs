//! JavaScript, in processes of its own.
//!
//! QuickJS cannot be interrupted inside its built-in functions (`indexOf` on a long text ran 27 seconds
//! past a limit of 300 ms), and what it takes of memory and stack is C's to keep. So no script runs in
//! the engine: a *worker*, the same program started for this alone, runs one call at a time, and one that
//! is late or dead is replaced.
//!
//! ```text
//!  ScriptHost::call ─ lends ─▶ Pool ─▶ Worker ═══ pipe ═══▶ serve ─▶ Realm (QuickJS, new for each call)
//!        ▲                               │    ◀── Ask ────    │
//!        └── storage, what is outside ───┘    ─── Answer ─▶   └─ now, uuid, log, base64
//! ```
//!
//! What analysis sees is read from the text by [`tokens`]; whether the text is JavaScript, a worker says.

pub(crate) mod analyse;
mod confine;
mod failure;
mod frame;
mod host;
mod launch;
mod limits;
mod natives;
mod pool;
mod realm;
mod serve;
mod state;
mod tokens;
mod vars;
mod watch;
mod worker;

pub(crate) use frame::Wanted;
pub(crate) use host::{JavaScript, Source};
pub use launch::Workers;
pub(crate) use natives::names as function_names;
pub use serve::run_worker;
