//! A worker: takes one frame after the other until its engine is gone.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::thread::Builder;

use nix::sys::signal::{SigSet, Signal};
use serde_json::value::RawValue;

use crate::clock::{Clock, monotonic};
use crate::js::confine::{Confined, peak};
use crate::js::frame::{
    Answer, Failure, FromWorker, Kind, PROTOCOL, Place, Request, ToWorker, read, write,
};
use crate::js::limits::{Allowances, THREAD_STACK};
use crate::js::realm;

/// Runs scripts for the engine at the other end of standard input and output, until it closes them.
///
/// For a process that was started for this alone: it gives up files, descriptors and privileges first.
pub fn run_worker() -> ExitCode {
    // Its end is that of its input: whoever stops a whole group of processes means the engine, which
    // brings calls to their end first. Threads inherit it.
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGINT);
    ends.add(Signal::SIGTERM);
    ends.add(Signal::SIGHUP);
    if ends.thread_block().is_err() {
        return ExitCode::FAILURE;
    }
    // A stack of a known size, whatever the main thread's is; and no thread can be had later.
    let worker = Builder::new().stack_size(THREAD_STACK).spawn(|| {
        let confined = Confined::begin().ok()?;
        serve(io::stdin(), io::stdout(), Some(confined));
        Some(())
    });
    match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(Some(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// As [`run_worker`], over any two pipes.
pub(crate) fn serve(
    input: impl Read + 'static,
    output: impl Write + 'static,
    confined: Option<Confined>,
) {
    let line = Rc::new(Line {
        input: RefCell::new(BufReader::new(Box::new(input))),
        output: RefCell::new(Box::new(output)),
        broken: Cell::new(false),
    });
    let mut worker = Serving {
        line: Rc::clone(&line),
        confined,
        clock: monotonic(),
        allowances: None,
        kept: HashMap::new(),
    };
    while let Ok(Some(frame)) = line.hear() {
        if let Some(answer) = worker.take(frame) {
            line.say(&answer);
        }
        if line.broken.get() {
            return;
        }
    }
}

struct Serving {
    line: Rc<Line>,
    confined: Option<Confined>,
    clock: Clock,
    allowances: Option<Allowances>,
    kept: HashMap<u64, String>,
}

impl Serving {
    fn take(&mut self, frame: ToWorker) -> Option<FromWorker> {
        match frame {
            ToWorker::Begin(allowances) => {
                self.allowances = Some(allowances);
                Some(FromWorker::Ready { protocol: PROTOCOL })
            }
            ToWorker::Keep { id, text } => {
                self.kept.insert(id, text);
                None
            }
            ToWorker::Forget => {
                self.kept.clear();
                None
            }
            ToWorker::Compile(text) => {
                let allowances = self.allowed(text.len())?;
                Some(match realm::compile(&self.clock, &allowances, &text) {
                    Ok(()) => FromWorker::Compiled,
                    Err(place) => FromWorker::Refused(place),
                })
            }
            ToWorker::Call(request) => Some(self.call(&request)),
            // Nobody asked.
            ToWorker::Answer(_) => None,
        }
    }

    fn call(&self, request: &Request) -> FromWorker {
        let given = request.vars.iter().map(|var| var.value.get().len()).sum();
        let done = match (self.allowed(given), self.kept.get(&request.script)) {
            (Some(allowances), Some(text)) => {
                realm::run(&self.line, &self.clock, &allowances, text, request)
            }
            _ => Err(Failure {
                kind: Kind::Failed,
                place: Place {
                    message: "the worker does not know the script".to_owned(),
                    ..Place::default()
                },
            }),
        };
        match done {
            Ok(done) => FromWorker::Done {
                returned: done.returned,
                vars: done.vars,
                peak: peak(),
            },
            Err(failure) => FromWorker::Failed {
                failure,
                peak: peak(),
            },
        }
    }

    /// What the next call may use; the system is told too.
    fn allowed(&self, given: usize) -> Option<Allowances> {
        let allowances = self.allowances.clone()?;
        if let Some(confined) = &self.confined {
            confined.allow(&allowances, given);
        }
        Some(allowances)
    }
}

/// The two pipes.
pub(crate) struct Line {
    input: RefCell<BufReader<Box<dyn Read>>>,
    output: RefCell<Box<dyn Write>>,
    broken: Cell<bool>,
}

impl Line {
    fn hear(&self) -> io::Result<Option<ToWorker>> {
        read(&mut *self.input.borrow_mut())
    }

    /// Says something. When the engine has gone nobody hears it, and the worker ends.
    pub(crate) fn say(&self, frame: &FromWorker) {
        if write(&mut *self.output.borrow_mut(), frame).is_err() {
            self.broken.set(true);
        }
    }

    /// Asks the engine; `None` when it has gone.
    pub(crate) fn ask(&self, name: &str, args: Box<RawValue>) -> Option<Answer> {
        let name = name.to_owned();
        self.say(&FromWorker::Ask { name, args });
        if self.broken.get() {
            return None;
        }
        match self.hear() {
            Ok(Some(ToWorker::Answer(answer))) => Some(answer),
            _ => {
                self.broken.set(true);
                None
            }
        }
    }
}
