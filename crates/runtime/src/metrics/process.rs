//! What the operating system says of this process.

use std::fs;

/// Numbers of this process; what the system does not tell is left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    pub(super) resident: Option<u64>,
    pub(super) virt: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) cpu_seconds: Option<f64>,
}

impl Process {
    /// As it is now.
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let open = fs::read_dir("/proc/self/fd").ok();
        Self {
            resident: kib(&status, "VmRSS:"),
            virt: kib(&status, "VmSize:"),
            // One of them is the folder that is being read.
            open_fds: open.map(|fds| (fds.count() as u64).saturating_sub(1)),
            max_fds: max_fds(),
            cpu_seconds: cpu_seconds(),
        }
    }
}

/// A line of `/proc/self/status`, `VmRSS:     12345 kB`, in bytes.
fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

fn max_fds() -> Option<u64> {
    let (soft, _) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok()?;
    Some(soft)
}

fn cpu_seconds() -> Option<f64> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    let used = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let both = used.user_time() + used.system_time();
    Some(both.num_microseconds() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_the_status_is_in_bytes() {
        let status = "Name:\tvelodrome\nVmSize:\t  204800 kB\nVmRSS:\t   12345 kB\n";
        assert_eq!(kib(status, "VmRSS:"), Some(12_345 << 10));
        assert_eq!(kib(status, "VmSize:"), Some(204_800 << 10));
        assert_eq!(kib(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_has_memory_files_and_a_past() {
        let now = Process::now();
        assert!(now.resident > Some(1 << 20), "{now:?}");
        assert!(now.virt >= now.resident, "{now:?}");
        assert!(now.open_fds > Some(2), "{now:?}");
        assert!(now.max_fds >= now.open_fds, "{now:?}");
        assert!(now.cpu_seconds > Some(0.0), "{now:?}");
    }
}
