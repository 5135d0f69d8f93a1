//! What the hot paths cost, each alone: reading a file, one move of a run, a handler's call, the scan of
//! an answer, a commit (`docs/performance.md`).
//!
//! ```text
//! cargo bench -p velodrome-tests                    # all of them
//! cargo bench -p velodrome-tests -- advance         # those whose name holds this
//! ```
//!
//! Nothing is asserted of time. What a whole server does is measured from outside: `velodrome-load`.

mod advance;
mod check;
mod commit;
mod handlers;
mod scan;
mod shipped;

fn main() {
    divan::main();
}
