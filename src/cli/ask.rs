//! What is asked before something goes.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use super::Failure;
use super::terminal::{width_of, wrapped};

/// How sure somebody is.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct SureArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

impl SureArgs {
    /// Whether to go on with `what`: asks on a terminal; without one it has to be said beforehand.
    pub(super) fn agreed(self, what: &str) -> Result<bool, Failure> {
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let message = format!("{what}? There is no terminal to ask on: say --yes");
            return Err(Failure::Usage(message));
        }
        let mut err = io::stderr().lock();
        let question = format!("{what}? [y/N]");
        // with room for what is typed
        let room = width_of(&err).saturating_sub(2);
        write!(err, "{} ", wrapped(&question, room).join("\n"))?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        let agreed = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
        if !agreed {
            tell!("runlog: nothing was done");
        }
        Ok(agreed)
    }
}
