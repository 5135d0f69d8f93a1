//! How workers come into being.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::Builder;

use crate::js::limits::THREAD_STACK;
use crate::js::serve::serve;

/// Where JavaScript runs.
#[derive(Clone, Debug)]
pub struct Workers(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Program(Arc<Program>),
    Threads,
}

#[derive(Debug)]
struct Program {
    path: PathBuf,
    args: Vec<OsString>,
}

/// A worker that was started: the engine's ends of its pipes, and its process if it has one.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) input: File,
    pub(crate) output: File,
    pub(crate) process: Option<Child>,
}

impl Workers {
    /// In processes: `program` with these arguments calls [`run_worker`](crate::run_worker) and nothing
    /// else. It is started without environment, without descriptors but its pipes, and in the root folder.
    pub fn program(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self(Kind::Program(Arc::new(Program {
            path: program.into(),
            args: args.into_iter().map(Into::into).collect(),
        })))
    }

    /// On threads of this process, by the same code; for tests. A script that hangs inside a built-in
    /// function is given up, but its thread goes on.
    pub const fn threads() -> Self {
        Self(Kind::Threads)
    }

    pub(crate) fn launch(&self) -> io::Result<Launched> {
        match &self.0 {
            Kind::Program(program) => program.launch(),
            Kind::Threads => thread(),
        }
    }
}

impl Program {
    fn launch(&self) -> io::Result<Launched> {
        let mut child = Command::new(&self.path)
            .args(&self.args)
            .env_clear()
            .env("TZ", "UTC")
            .current_dir("/")
            // A person who ends the engine by its terminal must not end what it is still bringing to its end.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a worker has no pipes"));
        };
        Ok(Launched {
            input: OwnedFd::from(input).into(),
            output: OwnedFd::from(output).into(),
            process: Some(child),
        })
    }
}

fn thread() -> io::Result<Launched> {
    let (their_input, input): (PipeReader, PipeWriter) = io::pipe()?;
    let (output, their_output) = io::pipe()?;
    Builder::new()
        .name("script worker".to_owned())
        .stack_size(THREAD_STACK)
        .spawn(move || serve(their_input, their_output, None))?;
    Ok(Launched {
        input: OwnedFd::from(input).into(),
        output: OwnedFd::from(output).into(),
        process: None,
    })
}
