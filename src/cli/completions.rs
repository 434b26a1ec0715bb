//! `runlog completions` and `runlog man`: made of the same definitions that arguments are read by.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::env::{EnvCompleter, Fish, Shells, Zsh};

use super::bash::Bash;
use super::failure::not_made;
use super::terminal::Out;
use super::{Cli, Failure};

/// Which variable a shell sets when it asks for completions.
const VARIABLE: &str = "RUNLOG_COMPLETE";

#[derive(Debug, Args)]
#[command(after_help = "\
bash:  source <(runlog completions bash)            in ~/.bashrc
zsh:   source <(runlog completions zsh)             in ~/.zshrc, after compinit
fish:  runlog completions fish | source             in ~/.config/fish/config.fish")]
pub(super) struct CompletionsArgs {
    /// Of which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Answers a shell that asks what could be completed, and ends the process then.
pub(super) fn complete() {
    // behind an equals sign no shell makes anything of a tilde
    let is_vain = |word: OsString| {
        let word = word.to_str().and_then(|word| word.strip_prefix("--"));
        word.is_some_and(|word| word.contains("=~"))
    };
    if std::env::var_os(VARIABLE).is_some() && std::env::args_os().last().is_some_and(is_vain) {
        std::process::exit(0);
    }
    clap_complete::CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .shells(Shells(&[&Bash, &Zsh, &Fish]))
        .complete();
}

/// Prints what a shell is to be told.
pub(super) fn print(args: &CompletionsArgs) -> Result<u8, Failure> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "runlog", "runlog", "runlog", &mut script)?;
    let script = String::from_utf8_lossy(&script);
    // what is quoted is asked for as the shell reads it
    let script = match args.shell {
        Shell::Bash => script.into_owned(),
        Shell::Zsh => script
            .replace(ZSH_WORDS, ZSH_READ)
            .replace(ZSH_BEGIN, &format!("{ZSH_PATHS}{ZSH_BEGIN}")),
        Shell::Fish => script.replace(FISH_WORD, FISH_READ),
    };
    Out::stdout().print(&script)?;
    Ok(0)
}

/// The words as they were typed, quotes and all, …
const ZSH_WORDS: &str = r#"-- "${words[@]}""#;
/// … and as they are read, of the one that is being typed what is before the cursor.
const ZSH_READ: &str =
    r#"-- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" "${(@Q)words[CURRENT+1,-1]}""#;
/// Before anything is asked for …
const ZSH_BEGIN: &str = "    local _CLAP_COMPLETE_INDEX=";
/// … what begins with what zsh itself makes a path of is its own to complete: anything put in as it is
/// read would be quoted. Behind an equals sign it makes none of a tilde.
const ZSH_PATHS: &str = r#"    if [[ -z $compstate[quote] ]]; then
        case $PREFIX in
            ([~\$]*/*) _files; return ;;
            (--*=\$*/*) compset -P '*='; _files; return ;;
            (--*=\~*) return 1 ;;
        esac
    fi
"#;
/// The same of the one that is being typed.
const FISH_WORD: &str = "(commandline --current-token)";
const FISH_READ: &str = "(commandline --current-token --cut-at-cursor | string unescape)";

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The command whose page it is; runlog's own if absent
    #[arg(value_name = "COMMAND", num_args = 0.., conflicts_with = "out",
        add = super::complete::commands())]
    command: Vec<String>,
    /// Write all pages into this folder instead
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
}

/// A command and those below it, none of which is clap's own `help`.
fn without_help(command: clap::Command) -> clap::Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

fn page_of(command: clap::Command) -> clap_mangen::Man {
    let source = concat!("runlog ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command).source(source)
}

/// Writes the pages of a command and of those below it.
fn write_pages(command: clap::Command, folder: &std::path::Path) -> std::io::Result<()> {
    let below = command.get_subcommands();
    for below in below.filter(|below| !below.is_hide_set()) {
        write_pages(below.clone(), folder)?;
    }
    page_of(command).generate_to(folder).map(drop)
}

/// Prints a page, or writes all of them.
pub(super) fn man(args: &ManArgs) -> Result<u8, Failure> {
    let mut command = without_help(Cli::command());
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|error| not_made(folder, &error))?;
        command.build();
        write_pages(command, folder)?;
        return Ok(0);
    }
    command.build();
    let mut page = command;
    let mut name = "runlog".to_owned();
    for word in &args.command {
        let Some(found) = page.find_subcommand(word) else {
            let message = format!("there is no command {word}; `runlog --help` lists all of them");
            return Err(Failure::Usage(message));
        };
        name = format!("{name}-{}", found.get_name());
        page = found.clone();
    }
    let mut text = Vec::new();
    page_of(page.name(name)).render(&mut text)?;
    Out::stdout().print(&String::from_utf8_lossy(&text))?;
    Ok(0)
}
