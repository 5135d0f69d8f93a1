//! The default store: one SQLite file is the journal, sled holds script storage.
//!
//! ```text
//!  commit(unit) ──▶ queue ──▶ committer (one thread, the only writer)
//!                               │ 1  each unit under its savepoint ─┐
//!                               │ 2  COMMIT, one fsync              ├─▶ <folder>/journal.db
//!                               │ 3  one batch, with the commit's place ──▶ <folder>/sled
//!                               ▼ 4  answers
//!  reads ──▶ read-only connections ──▶ journal.db
//!  script storage reads ──▶ sled; while it is set aside or being rebuilt, journal.db
//! ```
//!
//! The journal is what is true. sled 0.34 is never the only home of anything: its flush is no fsync.
//! So script storage is a table of the journal too, and sled is brought along behind each commit,
//! caught up after a crash, or set aside and built anew. Readers cannot tell.
//!
//! What it does not do: decide anything about runs, look into records, read the clock.

mod backup;
mod commit;
mod journal;
mod lock;
mod open;
mod read;
mod reserve;
mod script_storage;
mod shared;

pub use backup::{Restored, restore};
pub use open::{EmbeddedStore, OpenOptions};
