//! The line at the bottom that moves while a loop runs, on a terminal only.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use velodrome_types::{Event, LogLine};

use super::escape;

/// The live line. Log lines are printed above it.
#[derive(Debug)]
pub(crate) struct Live {
    bar: ProgressBar,
    laps: u64,
    records: u64,
}

impl Live {
    pub(crate) fn new() -> Self {
        let bar = if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar,
            laps: 0,
            records: 0,
        }
    }

    /// Prints a log line above.
    pub(crate) fn print(&self, text: &str) {
        if self.bar.is_hidden() {
            println!("{text}");
        } else {
            self.bar.suspend(|| println!("{text}"));
        }
    }

    /// Takes in what a line tells.
    pub(crate) fn see(&mut self, line: &LogLine) {
        self.laps = self.laps.max(line.lap.unwrap_or(0));
        if line.event == Event::ResponseReceived {
            self.records += line.records.unwrap_or(0);
        }
        let elapsed = self.bar.elapsed().as_secs_f64().max(0.001);
        let step = line
            .step
            .as_ref()
            .map(|step| escape(step.as_str()))
            .unwrap_or_default();
        let rate = self.laps as f64 / elapsed;
        self.bar.set_message(format!(
            "lap {}  {} records  {rate:.1} laps/s  {step}: {}",
            self.laps,
            self.records,
            escape(&line.message)
        ));
    }

    /// Removes the line.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
