//! The commands that a person types.
//!
//! Terminal, arguments and environment are read here and nowhere below. Each command is a file;
//! `serve` is the daemon itself.

mod args;
mod call;
mod client;
mod complete;
mod demo;
mod diff;
mod errors;
mod failure;
mod json;
mod list;
mod log;
mod nodes;
mod problems;
mod progress;
mod root;
mod run;
mod search;
mod series;
mod serve;
mod service;
mod show;
mod stats;
mod status;
mod statusline;
mod table;
mod tail;
mod terminal;
mod time;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api;
use client::Needs;
use failure::Failure;

/// Exit status for arguments that make no sense, and for a root that cannot be told.
const USAGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "runlog",
    version,
    about = "Run history of AI-agent workflows as a JSON-RPC daemon"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What log lines look like; RUNLOG_LOG filters them (for example `runlog=debug`)
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    /// Interfaces, for TypeScript's strict mode.
    Typescript,
    /// `TypedDict`s, for Python 3.9 and later.
    Python,
}

#[derive(Debug, Clone, Args)]
struct RootArgs {
    /// The folder that holds one folder a project; otherwise RUNLOG_PROJECTS, runlog.toml, or the
    /// folder `projects` found from here
    #[arg(long, value_name = "DIR")]
    projects: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List runs, newest first
    List(list::ListArgs),
    /// Show one run
    Show(show::ShowArgs),
    /// Count and sum runs
    Stats(stats::StatsArgs),
    /// Sum up runs by the hour, day, week or month
    Series(series::SeriesArgs),
    /// Find runs by what they were given and what they said
    Search(search::SearchArgs),
    /// Follow changes of runs as they happen
    Tail(tail::TailArgs),
    /// Wait for the end of a run, and exit by how it ended
    Watch(watch::WatchArgs),
    /// Tell two runs apart
    Diff(diff::DiffArgs),
    /// Group the errors of runs by what they have in common
    Errors(errors::ErrorsArgs),
    /// Sum up the steps of runs, node by node
    Nodes(nodes::NodesArgs),
    /// Tell how the daemon and its index are
    Status(status::StatusArgs),
    /// List files and folders that cannot be read or do not fit
    Problems(problems::ProblemsArgs),
    /// Print one line for a prompt: today's cost, what runs, what failed today
    Statusline(statusline::StatuslineArgs),
    /// Send any request, and print its result
    Call(call::CallArgs),
    /// Serve run history on stdio, or on a Unix socket
    Serve(serve::ServeArgs),
    /// Run a command and record it as a run
    Run(run::RunArgs),
    /// Show the main job on sample projects, or on your own with --projects
    Demo(RootArgs),
    /// Print which folder would be served, and why
    Root {
        #[command(flatten)]
        root: RootArgs,
        /// Print `{root, exists, tried, candidates}`
        #[arg(long)]
        json: bool,
    },
    /// Print the path of the socket that `serve --socket` would use
    Socket(RootArgs),
    /// Print what systemd or launchd needs to start the root's daemon by itself
    Service(service::ServiceArgs),
    /// Print the protocol's reference as Markdown
    Reference,
    /// Print the protocol's types for a client's language
    Types {
        /// Which one
        #[arg(value_enum, default_value_t = Language::Typescript)]
        language: Language,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = progress::Screen::new();
    log::start(cli.log_format, &screen);
    let done = match cli.command {
        Command::List(args) => {
            return ask(&args.common.root, &screen, async |client| {
                list::run(&args, client).await
            });
        }
        Command::Show(args) => {
            return ask(&args.common.root, &screen, async |client| {
                show::run(&args, client).await
            });
        }
        Command::Stats(args) => {
            return ask(&args.common.root, &screen, async |client| {
                stats::run(&args, client).await
            });
        }
        Command::Series(args) => {
            return ask(&args.common.root, &screen, async |client| {
                series::run(&args, client).await
            });
        }
        Command::Tail(args) => {
            return ask(&args.common.root, &screen, async |client| {
                tail::run(&args, client).await
            });
        }
        Command::Watch(args) => {
            return ask(&args.common.root, &screen, async |client| {
                watch::run(&args, client).await
            });
        }
        Command::Diff(args) => {
            return ask(&args.common.root, &screen, async |client| {
                diff::run(&args, client).await
            });
        }
        Command::Errors(args) => {
            return ask(&args.common.root, &screen, async |client| {
                errors::run(&args, client).await
            });
        }
        Command::Nodes(args) => {
            return ask(&args.common.root, &screen, async |client| {
                nodes::run(&args, client).await
            });
        }
        Command::Status(args) => {
            return ask(&args.common.root, &screen, async |client| {
                status::run(&args, client).await
            });
        }
        Command::Problems(args) => {
            return ask(&args.common.root, &screen, async |client| {
                problems::run(&args, client).await
            });
        }
        Command::Statusline(args) => {
            return ask(&args.root, &screen, async |client| {
                statusline::run(&args, client).await
            });
        }
        Command::Search(args) => {
            return client::run(&args.common.root, Needs::Search, &screen, async |client| {
                search::run(&args, client).await
            });
        }
        Command::Call(args) => {
            return client::run(&args.root, args.needs(), &screen, async |client| {
                call::run(&args, client).await
            });
        }
        Command::Serve(args) => return serve::run(&args, &screen),
        Command::Run(args) => return run::run(&args),
        Command::Demo(args) => demo::run(args.projects.as_deref(), &screen),
        Command::Root { root, json } => return root::print(root.projects.as_deref(), json),
        Command::Socket(args) => return serve::print_socket(args.projects.as_deref()),
        Command::Service(args) => return service::run(&args),
        Command::Reference => print(&api::reference::page()),
        Command::Types { language } => print(&match language {
            Language::Typescript => api::typescript::types(),
            Language::Python => api::python::types(),
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // who reads only the beginning has had enough
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runlog: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command that needs the index.
fn ask(
    root: &RootArgs,
    screen: &progress::Screen,
    command: impl AsyncFnOnce(&mut client::Client) -> Result<u8, Failure>,
) -> ExitCode {
    client::run(root, Needs::Index, screen, command)
}

fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
