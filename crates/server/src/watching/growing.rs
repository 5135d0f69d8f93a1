//! A log for tests, that grows when it is told to and counts how often it is read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use velodrome_store::{LogFilter, LogRead, StoreError};
use velodrome_types::{Event, Level, LogLine, Timestamp};

use super::Hub;

#[derive(Debug, Default)]
pub(crate) struct Growing {
    pub(crate) lines: Mutex<Vec<LogLine>>,
    pub(crate) reads: AtomicUsize,
    pub(crate) broken: bool,
}

impl LogRead for Growing {
    fn log_after(
        &self,
        after: u64,
        filter: &LogFilter,
        limit: usize,
    ) -> Result<(Vec<LogLine>, u64), StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.broken {
            return Err(StoreError::Backend("on purpose".to_owned()));
        }
        let all = self.lines.lock().unwrap();
        let fits = all
            .iter()
            .filter(|line| line.seq > after && filter.matches(line));
        let lines: Vec<_> = fits.take(limit).cloned().collect();
        let searched = if lines.len() == limit {
            lines[limit - 1].seq
        } else {
            all.len() as u64
        };
        Ok((lines, searched))
    }

    fn log_tail(&self, count: usize, filter: &LogFilter) -> Result<Vec<LogLine>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let all = self.lines.lock().unwrap();
        let fits = all.iter().rev().filter(|line| filter.matches(line));
        let mut lines: Vec<_> = fits.take(count).cloned().collect();
        lines.reverse();
        Ok(lines)
    }

    fn last_seq(&self) -> u64 {
        self.lines.lock().unwrap().len() as u64
    }
}

/// Such a log, and those who watch it.
pub(crate) struct Scene {
    pub(crate) log: Arc<Growing>,
    pub(crate) hub: Arc<Hub<Growing>>,
    told: watch::Sender<u64>,
    pub(crate) shutdown: CancellationToken,
    /// Its viewers may not see it any more.
    pub(crate) forbidden: CancellationToken,
}

impl Scene {
    pub(crate) fn new(log: Growing) -> Self {
        let (told, _) = watch::channel(log.last_seq());
        let log = Arc::new(log);
        let hub = Hub::new(Arc::clone(&log), told.subscribe());
        Self {
            log,
            hub,
            told,
            shutdown: CancellationToken::new(),
            forbidden: CancellationToken::new(),
        }
    }

    pub(crate) fn grow(&self, by: u64, level: Level) {
        let mut lines = self.log.lines.lock().unwrap();
        for _ in 0..by {
            let seq = lines.len() as u64 + 1;
            let line = LogLine::new(Timestamp::default(), level, Event::ScriptLogged, "");
            lines.push(LogLine { seq, ..line });
        }
        self.told.send_replace(lines.len() as u64);
    }

    pub(crate) fn reads(&self) -> usize {
        self.log.reads.load(Ordering::Relaxed)
    }
}
