//! A call that runs long gives way: what it runs on is given a lower priority, so that the engine and the other
//! scripts keep theirs.
//!
//! A priority that was given up cannot be taken back, so a thread or a worker that gave way ends with its call.

use std::cell::Cell;
use std::time::Duration;

/// How long a call runs as everything else does: most take microseconds.
pub(crate) const LONG: Duration = Duration::from_millis(100);
/// How far it gives way, in the system's steps of niceness: an eighth of the processor beside one that does not.
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The thread is not for scripts alone.
    Kept,
    May,
    Given,
}

thread_local! {
    static WAY: Cell<Way> = const { Cell::new(Way::Kept) };
}

/// This thread is for scripts alone, and ends when one has [given way](gave_way).
pub fn may_give_way() {
    WAY.set(Way::May);
}

/// Whether a call on this thread ran long.
pub fn gave_way() -> bool {
    WAY.get() == Way::Given
}

/// The call on this thread runs long.
pub(crate) fn give_way() {
    if WAY.get() == Way::May {
        WAY.set(Way::Given);
        // Other systems know priorities of processes only.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::nice(STEPS);
    }
}

/// The call in this process runs long.
pub(crate) fn lower(process: u32) {
    #[cfg(target_os = "linux")]
    if let Some(process) = i32::try_from(process)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // It may have ended.
        let _ = rustix::process::setpriority_process(Some(process), STEPS);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = process;
}
