//! The commands that a person types.
//!
//! Terminal, arguments and environment are read here and nowhere below. Each command is a file;
//! `serve` is the daemon itself.

mod config;
mod demo;
mod log;
mod progress;
mod pruning;
mod root;
mod run;
mod serve;
mod service;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api;

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
