//! Threads for scripts that may run long: beside the engine's, so many at once, in order of arrival. No cycle holds them
//! all, so that the others get their turn beside one whose scripts hang.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Long scripts at once. They are bound by the processor, or wait for a worker or an answer: a few more
/// than there are cores keep those busy, and leave the engine its share.
const MOST: usize = 8;
/// Of those one cycle has so many at the most.
const SHARE: usize = MOST / 2;
/// How long a thread waits for its next script.
const IDLE: Duration = Duration::from_secs(10);

type Script = Box<dyn FnOnce() + Send>;

/// The threads; all clones share them.
#[derive(Clone)]
pub(crate) struct ScriptThreads(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    arrived: Condvar,
    /// Where threads are started: one that gave way would hand its priority down.
    engine: Handle,
}

#[derive(Default)]
struct State {
    /// With what each belongs to.
    waiting: VecDeque<(String, Script)>,
    running: HashMap<String, usize>,
    idle: usize,
    all: usize,
}

/// A script that did not come to its end: it panicked, or no thread could be had.
#[derive(Debug)]
pub(crate) struct Lost;

impl std::fmt::Debug for ScriptThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptThreads")
    }
}

impl ScriptThreads {
    /// Threads beside those of this runtime.
    pub(crate) fn beside(engine: Handle) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            arrived: Condvar::new(),
            engine,
        }))
    }

    /// Runs this on one of the threads; `of` is what shares them, a cycle.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        of: &str,
        script: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (tell, told) = oneshot::channel();
        let script = Box::new(move || {
            // Whoever asked may have gone.
            let _ = tell.send(script());
        });
        self.put(of.to_owned(), script);
        told.await.map_err(|_| Lost)
    }

    fn put(&self, of: String, script: Script) {
        let mut state = self.0.lock();
        state.waiting.push_back((of, script));
        if state.idle > 0 {
            self.0.arrived.notify_one();
        } else if state.all < MOST {
            state.all += 1;
            drop(state);
            Inner::start(&self.0);
        }
    }
}

impl State {
    /// The place of the first that waits and whose cycle has not its share already.
    fn first(&self) -> Option<usize> {
        let may = |of: &String| self.running.get(of).is_none_or(|has| *has < SHARE);
        self.waiting.iter().position(|(of, _)| may(of))
    }

    fn has_any(&self) -> bool {
        self.first().is_some()
    }

    fn take(&mut self) -> Option<(String, Script)> {
        let next = self.waiting.remove(self.first()?)?;
        *self.running.entry(next.0.clone()).or_default() += 1;
        Some(next)
    }

    fn ended(&mut self, of: &str) {
        if let Some(has) = self.running.get_mut(of) {
            *has -= 1;
            if *has == 0 {
                self.running.remove(of);
            }
        }
    }
}

impl Inner {
    /// A lock that a panic poisoned still counts right: nothing under it can fail half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread that is counted already.
    fn start(this: &Arc<Self>) {
        let own = Arc::clone(this);
        let started = Builder::new()
            .name("script".to_owned())
            .spawn(move || own.work());
        if let Err(error) = started {
            tracing::error!(%error, "no thread can be had for a script");
            let mut state = this.lock();
            state.all -= 1;
            if state.all == 0 {
                // Nobody would come for them.
                state.waiting.clear();
            }
        }
    }

    fn work(self: Arc<Self>) {
        velodrome_script::may_give_way();
        while let Some((of, script)) = self.next() {
            let panicked = catch_unwind(AssertUnwindSafe(script)).is_err();
            self.lock().ended(&of);
            if panicked || velodrome_script::gave_way() {
                return self.replace();
            }
        }
    }

    /// The next script; `None` where none has come for long, and this thread is counted no more.
    fn next(&self) -> Option<(String, Script)> {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.take() {
                return Some(next);
            }
            state.idle += 1;
            let (back, waited) = self
                .arrived
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if waited.timed_out() && !state.has_any() {
                state.all -= 1;
                return None;
            }
        }
    }

    /// This thread ends; another takes its place where scripts wait.
    fn replace(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.has_any() {
            state.all -= 1;
        } else {
            let own = Arc::clone(self);
            self.engine.spawn_blocking(move || Self::start(&own));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    fn threads() -> ScriptThreads {
        ScriptThreads::beside(Handle::current())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_than_so_many_run_at_once_and_all_come_to_their_turn() {
        let threads = threads();
        let now = Arc::new(Mutex::new((0_usize, 0_usize)));
        let mut all = JoinSet::new();
        for number in 0..MOST * 5 {
            let (threads, now) = (threads.clone(), Arc::clone(&now));
            all.spawn(async move {
                let of = if number % 3 == 0 { "a" } else { "b" };
                let run = threads.run(of, move || {
                    let count = |by: isize| {
                        let mut now = now.lock().unwrap();
                        now.0 = now.0.strict_add_signed(by);
                        now.1 = now.1.max(now.0);
                    };
                    count(1);
                    std::thread::sleep(Duration::from_millis(2));
                    count(-1);
                    assert!(number % 7 != 3, "on purpose");
                    number
                });
                (number, run.await)
            });
        }
        while let Some(one) = all.join_next().await {
            let (number, ran) = one.unwrap();
            match number % 7 {
                3 => assert!(ran.is_err(), "{number}"),
                _ => assert_eq!(ran.unwrap(), number),
            }
        }
        assert!(now.lock().unwrap().1 <= MOST);
        assert_eq!(threads.0.lock().waiting.len(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_cycle_leaves_threads_to_the_others() {
        let threads = threads();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let mut hangs = JoinSet::new();
        for _ in 0..MOST * 3 {
            let (threads, released) = (threads.clone(), Arc::clone(&released));
            hangs.spawn(async move {
                let run = threads.run("hangs", move || released.lock().unwrap().recv().ok());
                run.await.is_ok()
            });
        }
        while threads.0.lock().running.get("hangs") != Some(&SHARE) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for number in 0..20 {
            let ran = threads.run("other", move || number).await;
            assert_eq!(ran.unwrap(), number);
        }
        assert_eq!(threads.0.lock().running.get("hangs"), Some(&SHARE));
        drop(release);
        while let Some(one) = hangs.join_next().await {
            assert!(one.unwrap());
        }
    }
}
