//! One worker, as the engine has it: its pipes, what it knows, and its end.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::Child;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock::Clock;
use crate::js::frame::{FromWorker, PROTOCOL, ToWorker, encode, take};
use crate::js::launch::Workers;
use crate::js::limits::Allowances;
use crate::priority::{self, LONG};

/// How long a worker may take to start, on a machine that does something else.
const START: Duration = Duration::from_secs(20);
/// Bytes that are read in one go.
const CHUNK: usize = 64 * 1024;
/// Bytes of scripts that a worker keeps, before it is told to forget them all.
const KEPT: usize = 4 * 1024 * 1024;
/// A worker that has grown by so much since its first call, after so many calls, is replaced.
const GROWN: u64 = 32 * 1024 * 1024;
const CALLS: u64 = 256;

/// Why a worker is of no use any more.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It did not answer in time.
    Late,
    /// It has ended, or does not speak as it should.
    Dead(String),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it does not answer"),
            Self::Dead(how) => f.write_str(how),
        }
    }
}

/// A worker that waits for its next call, or has one.
pub(crate) struct Worker {
    input: File,
    output: File,
    process: Option<Child>,
    clock: Clock,
    arrived: Vec<u8>,
    known: HashSet<u64>,
    kept: usize,
    calls: u64,
    /// Whether a call ran long, and it was given a lower priority: it takes no other.
    lowered: bool,
    first_peak: Option<u64>,
}

impl Worker {
    /// Starts one.
    pub(crate) fn start(
        workers: &Workers,
        clock: &Clock,
        allowances: &Allowances,
    ) -> Result<Self, Lost> {
        let launched = workers
            .launch()
            .map_err(|error| Lost::Dead(error.to_string()))?;
        let mut worker = Self {
            input: launched.input,
            output: launched.output,
            process: launched.process,
            clock: Clock::clone(clock),
            arrived: Vec::new(),
            known: HashSet::new(),
            kept: 0,
            calls: 0,
            lowered: false,
            first_peak: None,
        };
        for pipe in [&worker.input, &worker.output] {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .map_err(|error| Lost::Dead(error.to_string()))?;
        }
        let until = clock().saturating_add(START);
        worker.say(&ToWorker::Begin(allowances.clone()), until)?;
        match worker.hear(until)? {
            FromWorker::Ready { protocol } if protocol == PROTOCOL => Ok(worker),
            _ => Err(Lost::Dead("it is no worker".to_owned())),
        }
    }

    /// Whether it waits for a call, as far as can be told without asking.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.arrived.is_empty()
            && match &mut self.process {
                Some(process) => matches!(process.try_wait(), Ok(None)),
                None => true,
            }
    }

    /// Whether it may take another call.
    pub(crate) const fn may_go_on(&self) -> bool {
        !self.lowered
    }

    /// Makes sure that it has a script's text.
    pub(crate) fn keep(&mut self, id: u64, text: &str, until: Duration) -> Result<(), Lost> {
        if self.known.contains(&id) {
            return Ok(());
        }
        if self.kept + text.len() > KEPT {
            self.say(&ToWorker::Forget, until)?;
            self.known.clear();
            self.kept = 0;
        }
        let text = text.to_owned();
        self.kept += text.len();
        self.say(&ToWorker::Keep { id, text }, until)?;
        self.known.insert(id);
        Ok(())
    }

    /// Notes what a call took; whether the worker may take another.
    pub(crate) fn called(&mut self, peak: u64) -> bool {
        self.calls += 1;
        let first = *self.first_peak.get_or_insert(peak);
        self.calls < CALLS || peak.saturating_sub(first) < GROWN
    }

    /// Sends a frame.
    pub(crate) fn say(&mut self, frame: &ToWorker, until: Duration) -> Result<(), Lost> {
        let bytes = encode(frame).map_err(|error| self.lost(&error))?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match self.input.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLOUT, until)?;
                }
                Err(error) => return Err(self.lost(&error)),
            }
        }
        Ok(())
    }

    /// Waits for a frame.
    pub(crate) fn hear(&mut self, until: Duration) -> Result<FromWorker, Lost> {
        let mut chunk = [0; CHUNK];
        loop {
            if let Some(frame) = take(&mut self.arrived).map_err(|error| self.lost(&error))? {
                return Ok(frame);
            }
            match self.output.read(&mut chunk) {
                Ok(0) => return Err(self.lost(&ErrorKind::BrokenPipe.into())),
                Ok(read) => self.arrived.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLIN, until)?;
                }
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    fn wait(&mut self, what: PollFlags, until: Duration) -> Result<(), Lost> {
        let left = until.saturating_sub((self.clock)());
        if left.is_zero() {
            return Err(Lost::Late);
        }
        let pipe = if what == PollFlags::POLLIN {
            &self.output
        } else {
            &self.input
        };
        // One that only starts is not lowered: it has said nothing yet.
        let may_lower = what == PollFlags::POLLIN && !self.lowered && !self.known.is_empty();
        let patience = if may_lower { left.min(LONG) } else { left };
        let millis = i32::try_from(patience.as_millis() + 1).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), what)], timeout) {
            Ok(0) if may_lower && left > LONG => {
                self.lowered = true;
                if let Some(process) = &self.process {
                    priority::lower(process.id());
                }
                Ok(())
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(self.lost(&error.into())),
        }
    }

    fn lost(&mut self, error: &io::Error) -> Lost {
        let Some(process) = &mut self.process else {
            return Lost::Dead(error.to_string());
        };
        // Whatever state it is in: nobody will speak to it again.
        let _ = process.kill();
        match process.wait() {
            Ok(status) => Lost::Dead(status.to_string()),
            Err(_) => Lost::Dead(error.to_string()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may be in the middle of a script. One that has ended already is only waited for.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("process", &self.process)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}
