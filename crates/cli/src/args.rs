//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use velodrome_types::{Event, Level, LoopStatus, Role, RunStatus};

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
    /// Run cycle tests: on the engine itself, in virtual time, without a network
    Test(Test),
    /// Call a cycle's webhook
    Trigger(Trigger),
    /// Look at cycles, start, pause and stop them
    #[command(subcommand)]
    Cycle(Cycle),
    /// Look at runs, take them up again, stop them
    #[command(subcommand)]
    Run(Run),
    /// Look at loops, stop them
    #[command(subcommand)]
    Loop(Loop),
    /// Show the run log
    Logs(Logs),
    /// Test a step of a cycle
    #[command(subcommand)]
    Step(Step),
    /// Look at script storage, change it
    #[command(subcommand)]
    Storage(Storage),
    /// Look at the last successful run dates of lists, change them
    #[command(subcommand)]
    Watermark(Watermark),
    /// Keep secrets that cycles and connections read as ${secret:NAME}
    #[command(subcommand)]
    Secret(Secret),
    /// The key that seals secrets and tokens
    #[command(subcommand)]
    Key(Key),
    /// Tokens: who may use the server, and for what
    #[command(subcommand)]
    Token(Token),
    /// Sign a connection in, or out
    Connect(Connect),
    /// Look at connectors: the built-in ones and your own
    #[command(subcommand)]
    Connector(Connector),
    /// Write a copy of a server's data while it serves
    Backup {
        /// The file to write; `-` is standard output
        file: PathBuf,
    },
    /// Make a data folder from a backup; its cycles are paused
    Restore {
        /// The backup
        file: PathBuf,
        /// The data folder, where it is not the one of velodrome.yaml
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// Run a simulator
    #[command(subcommand)]
    Sim(Sim),
    /// Make a folder to begin in: settings, a first cycle, a schema for the editor
    Init {
        /// The folder
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Draw a cycle
    Graph {
        /// The cycle's id, or its file
        cycle: String,
        /// How it is drawn
        #[arg(long, default_value = "mermaid")]
        format: GraphFormat,
    },
    /// Print the JSON Schema of a kind of file
    Schema {
        /// The kind of file
        #[arg(default_value = "cycle")]
        file: SchemaOf,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man {
        /// Write one page a command into this folder instead
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

/// How a cycle is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Mermaid's flowchart
    Mermaid,
    /// Graphviz
    Dot,
    /// A picture
    Svg,
}

/// A kind of file that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// A cycle file
    Cycle,
    /// velodrome.yaml
    Velodrome,
    /// A connector definition
    Connector,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// How many contacts the simulator has; Zoho's own lists end at 100,000
    #[arg(long, default_value_t = 2500, value_parser = clap::value_parser!(u32).range(0..=100_000))]
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
    #[arg(long, env = "VELODROME_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

/// How the server writes its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// The files, or folders with all below them [default: the cycles folder]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Test {
    /// Test files, the cycles they stand beside, or folders with all below them [default: the cycles folder]
    pub(crate) files: Vec<PathBuf>,
    /// Show the run log of each test
    #[arg(short = 'v', long)]
    pub(crate) log: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Trigger {
    /// The cycle, or one of its webhook steps: CYCLE/STEP
    pub(crate) cycle: String,
    /// The body: JSON, `@file` or `-` for standard input [default: {}]
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
    /// Delete all that is kept of a cycle whose file is gone
    Delete { cycle: String },
}

/// Filters of listings.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Filter {
    /// Of this cycle
    #[arg(long)]
    pub(crate) cycle: Option<String>,
    /// Since this date, or so long ago, such as 2h
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on behind a listing: the `next` that it ended with
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// Runs, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// In this state, or one of these, with commas between
        #[arg(long, value_delimiter = ',')]
        status: Vec<RunStatus>,
        /// Of this loop
        #[arg(long = "loop")]
        loop_id: Option<String>,
    },
    /// One run: an id, its last six or more characters, or `last`
    Show { run: String },
    /// Go on where a run failed, its loop with it; with filters, where many did
    Retry(Retry),
    /// Begin anew with what a run was given, on the present version
    Replay { run: String },
    /// End a run at once, with those that it began
    Stop { run: String },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Retry {
    /// The run: an id, its last six or more characters, or `last`
    #[arg(required_unless_present = "cycle", conflicts_with_all = ["cycle", "since", "code"])]
    pub(crate) run: Option<String>,
    /// Every failed run of this cycle
    #[arg(long)]
    pub(crate) cycle: Option<String>,
    /// Accepted since this date, or so long ago, such as 2h
    #[arg(long, requires = "cycle")]
    pub(crate) since: Option<String>,
    /// That failed with this code
    #[arg(long, requires = "cycle")]
    pub(crate) code: Option<String>,
    #[command(flatten)]
    pub(crate) version: Version,
}

/// The version that a failed run goes on with.
#[derive(Clone, Copy, Debug, Default, ClapArgs)]
pub(crate) struct Version {
    /// On the present version of the cycle
    #[arg(long, conflicts_with = "original")]
    pub(crate) latest: bool,
    /// On the version that it began on
    #[arg(long)]
    pub(crate) original: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Loop {
    /// Loops, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// In this state, or one of these, with commas between
        #[arg(long, value_delimiter = ',')]
        status: Vec<LoopStatus>,
    },
    /// One loop: an id, its last six or more characters, or `last`
    Show { id: String },
    /// End a loop at once
    Stop { id: String },
    /// Go on where a loop failed
    Retry {
        id: String,
        #[command(flatten)]
        version: Version,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Watermark {
    /// All dates that are set
    List {
        /// Of this cycle
        #[arg(long)]
        cycle: Option<String>,
    },
    /// Set the date that the next loop's list begins at
    Set {
        /// The cycle
        cycle: String,
        /// The list step
        step: String,
        /// The date, such as 2026-11-23T12:00:00Z
        date: String,
    },
    /// Forget the date: the next loop begins as the first one did
    Unset {
        /// The cycle
        cycle: String,
        /// The list step
        step: String,
    },
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
    pub(crate) level: Option<Level>,
    /// This event
    #[arg(long)]
    pub(crate) event: Option<Event>,
    /// Since this date, or so long ago, such as 2h
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// The last so many lines
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) tail: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Step {
    /// Ask its method once, for real, and show what came; there is no run, no watermark moves, and what
    /// handlers write to storage is dropped. Tokens may be refreshed, and an API may hold the connection back
    Test(StepTest),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StepTest {
    /// The cycle
    pub(crate) cycle: String,
    /// The step
    pub(crate) step: String,
    /// The step's inputs, in place of what its `map` gives: JSON, `@file` or `-` for standard input
    /// [default: {}]
    pub(crate) inputs: Option<String>,
    /// What else the step reads of a run, by step, and the `item` of a `for_each`: JSON, `@file` or `-` for
    /// standard input, such as {"webhook": {"id": 7}}
    #[arg(long, value_name = "JSON")]
    pub(crate) data: Option<String>,
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
    /// All keys of a connection; without one, which storages hold something
    List {
        connection: Option<String>,
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
pub(crate) enum Secret {
    /// Set a secret; what is evaluated from then on sees it
    Set {
        /// Letters, digits, `_`, `-` and `.`
        name: String,
        /// The value; `-` reads it from standard input; without it, it is asked for and not shown. On the
        /// command line others on this machine may see it
        value: Option<String>,
    },
    /// The names of all secrets; values are never shown
    List,
    /// Delete a secret
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Seal everything anew with another key; the old one is gone then
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token, which is shown this once
    Create {
        /// What it allows: metrics (only /metrics), read, operate or admin
        #[arg(long)]
        role: Role,
        /// What people call it, and the log: letters, digits, `_`, `-` and `.` [default: made of its role]
        #[arg(long)]
        name: Option<String>,
        /// How long it is of use, such as 30d, or until which date [default: until it is revoked]
        #[arg(long)]
        expires: Option<String>,
    },
    /// All tokens; none is ever shown again
    List,
    /// Revoke a token: its name, its id, the last six or more characters of it, or `last`
    Revoke { id: String },
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

#[derive(Debug, ClapArgs)]
pub(crate) struct Connect {
    /// The connection
    pub(crate) connection: String,
    /// Revoke its tokens at the API and forget them
    #[arg(long)]
    pub(crate) revoke: bool,
    /// Open the link in this machine's browser
    #[arg(long, conflicts_with = "revoke")]
    pub(crate) open: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Connector {
    /// All connectors, and where each comes from
    List,
    /// One connector: its settings, its methods, what they take and what they give
    Show { connector: String },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    fn read(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("velodrome").chain(line.split(' ')))
    }

    #[test]
    fn every_command_takes_the_global_options() {
        for command in [
            "demo",
            "serve",
            "check",
            "test",
            "test a.test.yaml b.yaml -v",
            "trigger x",
            "cycle list",
            "cycle show x",
            "cycle start x",
            "cycle pause x",
            "cycle stop x",
            "cycle stop x --finish",
            "cycle purge x",
            "cycle delete x",
            "run list",
            "run show last",
            "run stop last",
            "loop list",
            "loop show last",
            "loop stop last",
            "logs",
            "logs -f",
            "step test c s",
            "step test c s {} --data {}",
            "storage list",
            "storage list c",
            "storage get c k",
            "storage set c k 1",
            "storage delete c k",
            "secret set s",
            "secret set s -",
            "secret list",
            "token create --role read",
            "token create --role operate --name ci --expires 30d",
            "token list",
            "token revoke last",
            "secret delete s",
            "key rotate",
            "connect c",
            "connector list",
            "connector show c",
            "sim zoho",
        ] {
            let line =
                format!("{command} --yes --json --no-color --config x --server y --token-file z");
            let args = read(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let global = args.global;
            assert!(global.yes && global.json && global.no_color, "{line}");
            assert_eq!(global.server.as_deref(), Some("y"), "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_told_before_a_server_is_asked() {
        for line in [
            "cycle",
            "cycle frobnicate x",
            "step test c",
            "trigger",
            "logs --level loud",
            "logs --event no.such",
            "logs --tail 1001",
            "run list --status unknown",
            "run list --limit 0",
            "loop list --status ignored",
            "storage get c k --cycle x --loop y",
            "serve --log-format xml",
        ] {
            let error = read(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn states_may_be_several() {
        let Command::Run(Run::List { status, .. }) =
            read("run list --status failed,stopped").unwrap().command
        else {
            panic!("another command");
        };
        assert_eq!(status, [RunStatus::Failed, RunStatus::Stopped]);
    }

    #[test]
    fn the_demo_is_that_of_the_specification() {
        let Command::Demo(demo) = read("demo").unwrap().command else {
            panic!("another command");
        };
        assert_eq!(
            (demo.records, demo.delay.as_str(), demo.keep),
            (2500, "2s", false)
        );
    }
}
