//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Runs webhook-driven cycles: durable page loops, exactly once a page.
#[derive(Debug, Parser)]
#[command(name = "velodrome", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Global {
    /// The settings file [default: velodrome.yaml of the working directory]
    #[arg(long, global = true, value_name = "FILE", env = "VELODROME_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The server to talk to, in place of the one that the settings name
    #[arg(long, global = true, value_name = "URL", env = "VELODROME_SERVER")]
    pub(crate) server: Option<String>,
    /// The file that holds the server's token
    #[arg(long, global = true, value_name = "FILE", env = "VELODROME_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Write JSON to standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Do not ask before something is destroyed
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// No colour, also on a terminal
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the Zoho page loop against a simulator, from nothing to its end
    Demo(Demo),
    /// Run the server
    Serve(Serve),
    /// Check cycle files
    Check(Check),
    /// Call a cycle's webhook
    Trigger(Trigger),
    /// Look at cycles, start, pause and stop them
    #[command(subcommand)]
    Cycle(Cycle),
    /// Look at runs
    #[command(subcommand)]
    Run(Run),
    /// Look at loops, stop them
    #[command(subcommand)]
    Loop(Loop),
    /// Show the run log
    Logs(Logs),
    /// Look at script storage, change it
    #[command(subcommand)]
    Storage(Storage),
    /// Sign a connection in
    Connect {
        /// The connection
        connection: String,
    },
    /// Run a simulator
    #[command(subcommand)]
    Sim(Sim),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// How many contacts the simulator has
    #[arg(long, default_value_t = 2500)]
    pub(crate) records: u32,
    /// The delay between two pages
    #[arg(long, default_value = "2s")]
    pub(crate) delay: String,
    /// Stay up when the loop has ended
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Serve {
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT", env = "VELODROME_LISTEN")]
    pub(crate) listen: Option<String>,
    /// What the server's URLs begin with
    #[arg(long, value_name = "URL", env = "VELODROME_SERVICE_URL")]
    pub(crate) service_url: Option<String>,
    /// The data folder
    #[arg(long, value_name = "FOLDER", env = "VELODROME_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The cycles folder
    #[arg(long, value_name = "FOLDER", env = "VELODROME_CYCLES")]
    pub(crate) cycles: Option<PathBuf>,
    /// Do not start if a file has errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// How the server writes its own log
    #[arg(long, value_name = "text|json", env = "VELODROME_LOG_FORMAT")]
    pub(crate) log_format: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// The files [default: all of the cycles folder]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Trigger {
    /// The cycle
    pub(crate) cycle: String,
    /// The body: JSON, `@file` or `-` for standard input
    pub(crate) body: Option<String>,
    /// Follow the loop to its end
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cycle {
    /// All cycles
    List,
    /// One cycle
    Show { cycle: String },
    /// Take webhooks and run
    Start { cycle: String },
    /// Take webhooks, queue them
    Pause { cycle: String },
    /// Begin no further step; end what runs
    Stop {
        cycle: String,
        /// Let what runs and queues go on to its end
        #[arg(long)]
        finish: bool,
    },
    /// Empty the queue
    Purge { cycle: String },
}

/// Filters of listings.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Filter {
    /// Of this cycle
    #[arg(long)]
    pub(crate) cycle: Option<String>,
    /// In this state
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Since this date, or so long ago, such as 2h
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// Runs, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// Of this loop
        #[arg(long = "loop")]
        loop_id: Option<String>,
    },
    /// One run: an id, its last six or more characters, or `last`
    Show { run: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Loop {
    /// Loops, newest first
    List {
        #[command(flatten)]
        filter: Filter,
    },
    /// One loop: an id, its last six or more characters, or `last`
    Show { id: String },
    /// End a loop at once
    Stop { id: String },
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Logs {
    /// Go on as lines come
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// About this cycle
    #[arg(long)]
    pub(crate) cycle: Option<String>,
    /// About this loop
    #[arg(long = "loop")]
    pub(crate) loop_id: Option<String>,
    /// About this run
    #[arg(long)]
    pub(crate) run: Option<String>,
    /// About this step
    #[arg(long)]
    pub(crate) step: Option<String>,
    /// At least this level: debug, info, warn, error
    #[arg(long)]
    pub(crate) level: Option<String>,
    /// This event
    #[arg(long)]
    pub(crate) event: Option<String>,
    /// Since this date, or so long ago, such as 2h
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// The last so many lines
    #[arg(long)]
    pub(crate) tail: Option<u32>,
}

/// Whose storage of a connection.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Scope {
    /// `cycle_storage_*` of this cycle
    #[arg(long, conflicts_with = "loop_id")]
    pub(crate) cycle: Option<String>,
    /// `loop_storage_*` of this loop
    #[arg(long = "loop")]
    pub(crate) loop_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Storage {
    /// All keys of a connection
    List {
        connection: String,
        #[command(flatten)]
        scope: Scope,
    },
    /// One value
    Get {
        connection: String,
        key: String,
        #[command(flatten)]
        scope: Scope,
    },
    /// Set a value
    Set {
        connection: String,
        key: String,
        /// The value, as JSON
        value: String,
        #[command(flatten)]
        scope: Scope,
    },
    /// Remove a key
    Delete {
        connection: String,
        key: String,
        #[command(flatten)]
        scope: Scope,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sim {
    /// A Zoho CRM with accounts server
    Zoho {
        /// How many contacts it has
        #[arg(long, default_value_t = 2500)]
        records: u32,
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:7301")]
        listen: std::net::SocketAddr,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_takes_yes_and_json() {
        let args =
            Args::try_parse_from(["velodrome", "cycle", "purge", "x", "--yes", "--json"]).unwrap();
        assert!(args.global.yes && args.global.json);
    }
}
