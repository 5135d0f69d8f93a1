//! What a worker process gives up before it runs anything that somebody wrote.
//!
//! The scripts have no way to any of it in the first place: this is for the day that somebody finds a
//! fault in the engine that runs them.

use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrusage, rlim_t, setrlimit};

use crate::js::limits::Allowances;

/// Descriptors that may have come from whoever started the engine are closed up to this number.
const DESCRIPTORS: i32 = 1_024;
/// Address space beside what the script's memory takes: frames, the stack, the allocator's own.
const ROOM: u64 = 256 * 1024 * 1024;
/// How much more than its JSON text a value takes inside QuickJS, with the text and its copies beside it.
const A_BYTE_OF_JSON: u64 = 48;
/// Processor time past the limit of time, after which the system ends a process whose engine is gone.
const GRACE: Duration = Duration::from_secs(5);

/// A process that has given up what it does not need.
#[derive(Debug)]
pub(crate) struct Confined {
    /// Address space that the program itself takes.
    own: u64,
}

impl Confined {
    /// Gives up descriptors, files, processes, core dumps and privileges.
    ///
    /// # Errors
    ///
    /// The system refused; nothing must run then.
    pub(crate) fn begin() -> nix::Result<Self> {
        let own = address_space();
        for descriptor in 3..DESCRIPTORS {
            let _ = nix::unistd::close(descriptor);
        }
        for resource in [
            Resource::RLIMIT_NOFILE,
            Resource::RLIMIT_FSIZE,
            Resource::RLIMIT_CORE,
            #[cfg(target_os = "linux")]
            Resource::RLIMIT_NPROC,
        ] {
            setrlimit(resource, 0, 0)?;
        }
        #[cfg(target_os = "linux")]
        {
            nix::sys::prctl::set_no_new_privs()?;
            nix::sys::prctl::set_dumpable(false)?;
        }
        Ok(Self { own })
    }

    /// Sets what the next call may take, of memory and of processor time. The hard limits stay, so that the
    /// next call can be given as much again.
    pub(crate) fn allow(&self, allowances: &Allowances, given: usize) {
        // Other systems count address space differently, and macOS not at all.
        if cfg!(target_os = "linux") && self.own > 0 {
            let memory = (allowances.memory as u64).saturating_mul(2);
            let given = (given as u64).saturating_mul(A_BYTE_OF_JSON);
            let most = self.own.saturating_add(ROOM).saturating_add(memory);
            soft(Resource::RLIMIT_AS, most.saturating_add(given));
        }
        if let Ok(used) = getrusage(UsageWho::RUSAGE_SELF) {
            let used = used.user_time().tv_sec() + used.system_time().tv_sec();
            let more = (allowances.time + GRACE).as_secs();
            soft(
                Resource::RLIMIT_CPU,
                u64::try_from(used).unwrap_or(0).saturating_add(more),
            );
        }
    }
}

fn soft(resource: Resource, limit: u64) {
    if let Ok((_, hard)) = nix::sys::resource::getrlimit(resource) {
        // A limit that cannot be set leaves the one before it, and the engine's own watch.
        let _ = setrlimit(resource, (limit as rlim_t).min(hard), hard);
    }
}

/// The most memory that this process ever had, in bytes.
pub(crate) fn peak() -> u64 {
    let kib = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
    u64::try_from(kib).unwrap_or(0).saturating_mul(1_024)
}

/// 0 where the system does not say.
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}
