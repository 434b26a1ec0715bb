//! The commands that a person types.
//!
//! Terminal, arguments and environment are read here and nowhere below. Each command is a file;
//! `serve` is the daemon itself.

/// Writes a line to stderr, or more where the terminal is narrow; that nobody reads it is no reason
/// to end.
macro_rules! tell {
    ($($part:tt)*) => {
        $crate::cli::tell_fitted(&format!($($part)*))
    };
}

mod annotate;
mod args;
mod ask;
mod bash;
mod call;
mod client;
mod complete;
mod completions;
mod config;
mod delete;
mod demo;
mod diff;
mod doctor;
mod errors;
mod export;
mod failure;
mod interrupt;
mod json;
mod link;
mod list;
mod log;
mod nodes;
mod problems;
mod progress;
mod pruning;
mod root;
mod run;
mod search;
mod series;
mod serve;
mod service;
mod show;
mod signals;
mod stats;
mod status;
mod statusline;
mod table;
mod tail;
mod terminal;
mod time;
mod trash;
mod watch;
mod xdg;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api;
use client::Needs;
use failure::Failure;

/// Exit status for arguments that make no sense, and for a root that cannot be told.
const USAGE: u8 = 2;

/// What is printed below all commands.
const EXIT: &str = "\
Commands that read or change runs ask the root's daemon where one listens (see `runlog socket`), and \
do the same by themselves where none does. On a terminal they print what fits its width; in a pipe a \
row is a line, its fields are separated by tabs, there is no heading, nothing is shortened, and dates \
and numbers are as the protocol has them; where there are more rows than are printed without -L, \
stderr says so. --json prints the protocol's results. NO_COLOR, or CLICOLOR=0, takes the colours \
away.

Exit status: 0 done; 1 it failed, or `doctor` found something; 2 the arguments make no sense, or the \
root is not clear; `watch` also 3 the run failed, 4 it was cancelled, 5 it is gone or ended otherwise; \
`run` that of its command; 128 and the signal's number where one ended it (130: Ctrl-C).";

#[derive(Debug, Parser)]
#[command(
    name = "runlog",
    version,
    about = "Run history of AI-agent workflows as a JSON-RPC daemon",
    after_help = EXIT
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
    #[arg(long, value_name = "DIR", global = true)]
    projects: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List runs, newest first
    List(list::ListArgs),
    /// Show one run
    Show(show::ShowArgs),
    /// Count and sum runs; with a filter, also how their durations and costs are spread
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
    /// Write many runs as JSON Lines, JSON or CSV
    Export(export::ExportArgs),
    /// Delete runs; they go to the trash
    Delete(delete::DeleteArgs),
    /// Delete the runs that a policy lets go
    Prune(delete::PruneArgs),
    /// List, restore or remove what was deleted
    Trash(trash::TrashArgs),
    /// Pin a run, so that no policy lets it go
    Pin(annotate::PinArgs),
    /// Put tags on a run, or take them off
    Tag(annotate::TagArgs),
    /// Note something on a run
    Note(annotate::NoteArgs),
    /// Tell how the daemon and its index are
    Status(status::StatusArgs),
    /// List files and folders that cannot be read or do not fit
    Problems(problems::ProblemsArgs),
    /// Find what is wrong, and print a command that mends it
    Doctor(doctor::DoctorArgs),
    /// Print one line for a prompt: today's cost, what runs, what failed today
    Statusline(statusline::StatuslineArgs),
    /// Send any request, and print its result
    Call(call::CallArgs),
    /// Serve run history on stdio, or on a Unix socket
    Serve(serve::ServeArgs),
    /// Run a command and record it as a run
    Run(run::RunArgs),
    /// Show the main job on sample projects, or on your own with --projects
    Demo(demo::DemoArgs),
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
    /// Print what a shell needs to complete commands, projects and ids of runs
    Completions(completions::CompletionsArgs),
    /// Print the manual
    Man(completions::ManArgs),
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
    if std::env::args_os()
        .next()
        .is_some_and(|name| name == run::PASS_ON)
    {
        return run::pass_on();
    }
    completions::complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            let status = u8::try_from(told.exit_code()).unwrap_or(USAGE);
            return match told.print() {
                Err(error) if status == 0 => Failure::Io(error).told(),
                _ => ExitCode::from(status),
            };
        }
    };
    let screen = progress::Screen::new();
    let logger = match cli.command {
        Command::Serve(_) => log::Logger::Daemon,
        _ => log::Logger::Command,
    };
    log::start(cli.log_format, logger, &screen);
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
            return client::run(&args.common.root, Needs::Changes, &screen, async |client| {
                tail::run(&args, client).await
            });
        }
        Command::Watch(args) => {
            return client::run(&args.common.root, Needs::Changes, &screen, async |client| {
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
            return client::run(&args.common.root, Needs::Changes, &screen, async |client| {
                status::run(&args, client).await
            });
        }
        Command::Problems(args) => {
            return ask(&args.common.root, &screen, async |client| {
                problems::run(&args, client).await
            });
        }
        Command::Statusline(args) => {
            return client::run(&args.common.root, Needs::Glance, &screen, async |client| {
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
        Command::Export(args) => {
            return ask(&args.common.root, &screen, async |client| {
                export::run(&args, client).await
            });
        }
        Command::Delete(args) => {
            return ask(&args.common.root, &screen, async |client| {
                delete::delete(&args, client).await
            });
        }
        Command::Prune(args) => {
            return ask(&args.common.root, &screen, async |client| {
                delete::prune(&args, client).await
            });
        }
        Command::Trash(args) => {
            return ask(&args.root, &screen, async |client| {
                trash::run(&args, client).await
            });
        }
        Command::Pin(args) => {
            return ask(&args.common.root, &screen, async |client| {
                annotate::pin(&args, client).await
            });
        }
        Command::Tag(args) => {
            return ask(&args.common.root, &screen, async |client| {
                annotate::tag(&args, client).await
            });
        }
        Command::Note(args) => {
            return ask(&args.common.root, &screen, async |client| {
                annotate::note(&args, client).await
            });
        }
        Command::Doctor(args) => return done(doctor::run(&args, &screen)),
        Command::Completions(args) => return done(completions::print(&args)),
        Command::Man(args) => return done(completions::man(&args)),
        Command::Serve(args) => return serve::run(&args, &screen),
        Command::Run(args) => return run::run(&args),
        Command::Demo(args) => demo::run(&args, &screen),
        Command::Root { root, json } => return root::print(root.projects.as_deref(), json),
        Command::Socket(args) => return serve::print_socket(args.projects.as_deref()),
        Command::Service(args) => return service::run(&args),
        Command::Reference => print(api::reference::page()),
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
            tell!("runlog: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command that needs the index once.
fn ask(
    root: &RootArgs,
    screen: &progress::Screen,
    command: impl AsyncFnOnce(&mut client::Client) -> Result<u8, Failure>,
) -> ExitCode {
    client::run(root, Needs::Index, screen, command)
}

/// The exit status of a command that asked nobody.
fn done(done: Result<u8, Failure>) -> ExitCode {
    match done {
        Ok(status) => ExitCode::from(status),
        Err(failure) => failure.told(),
    }
}

/// Writes a line to stdout; the status to exit with.
fn give(line: impl AsRef<OsStr>) -> ExitCode {
    match print([line.as_ref().as_bytes(), b"\n"].concat()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::Io(error).told(),
    }
}

/// Writes lines to stderr that are broken where a terminal ends.
fn tell_fitted(text: &str) {
    tell_all(&fitted_lines(text));
}

/// The lines that a text has on stderr, which are broken where that is a terminal that ends there.
fn fitted_lines(text: &str) -> String {
    use std::io::IsTerminal;
    let stderr = std::io::stderr();
    // whatever it names, a folder of somebody else's too
    let text = terminal::visible_lines(text);
    let text = match stderr.is_terminal() {
        true => terminal::wrapped(&text, terminal::width_of(stderr)).join("\n"),
        false => text,
    };
    text + "\n"
}

/// Tells the command that takes back what was done: whole, to be copied.
fn tell_undo(command: &str) {
    tell_all(&format!("runlog: undo: {command}\n"));
}

/// Writes `text` to stderr, if anybody reads it.
fn tell_all(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn print(text: impl AsRef<[u8]>) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())?;
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
