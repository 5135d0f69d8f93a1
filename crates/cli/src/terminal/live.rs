//! The line at the bottom that moves while a loop runs, on a terminal only.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use velodrome_types::{Event, LogLine};

use super::{count, escape};
use crate::out;

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
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}") {
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
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        if self.bar.is_hidden() {
            out::line(text)
        } else {
            self.bar.suspend(|| out::line(text))
        }
    }

    /// Takes in what a line tells.
    pub(crate) fn see(&mut self, line: &LogLine) {
        self.laps = self.laps.max(line.lap.unwrap_or(0));
        if line.event == Event::ResponseReceived {
            self.records += line.records.unwrap_or(0);
        }
        let step = line
            .step
            .as_ref()
            .map(|step| format!("{}: ", escape(step.as_str())))
            .unwrap_or_default();
        self.say(&format!("{step}{}", escape(&line.message)));
    }

    /// The server went away.
    pub(crate) fn away(&self) {
        const AWAY: &str = "the server is away: waiting for it to come back";
        if self.bar.is_hidden() {
            eprintln!("{AWAY}");
        } else {
            self.say(AWAY);
        }
    }

    fn say(&self, doing: &str) {
        // In the first second a rate would only flicker.
        let elapsed = self.bar.elapsed().as_secs_f64().max(1.0);
        self.bar.set_message(format!(
            "{}  {}  {:.1} laps/s  {:.0} records/s  {doing}",
            count(self.laps, "lap"),
            count(self.records, "record"),
            self.laps as f64 / elapsed,
            self.records as f64 / elapsed,
        ));
    }

    /// Removes the line.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
