//! `runlog service`: what a service manager needs to start the root's daemon by itself.
//!
//! For systemd a socket and a service: systemd listens on the root's own socket from login on and
//! starts the daemon for its first client (`LISTEN_FDS`, see `serve --socket`). For launchd an
//! agent, which runs from login on: launchd hands sockets over by a call of its own, not by
//! `LISTEN_FDS`. Nothing is installed here; where each file belongs stands above it.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::serve::IDLE_EXIT;
use super::xdg::config_home;
use super::{RootArgs, serve};

/// Where systemd looks for a user's units, below the folder for configs.
const UNITS: &str = "systemd/user";

#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    #[command(flatten)]
    root: RootArgs,
    /// Print an agent for launchd, as on macOS, in place of the units for systemd
    #[arg(long)]
    launchd: bool,
}

/// What the files are made of.
struct Service {
    program: String,
    root: String,
    socket: String,
    /// The name that the socket has for its root.
    hash: String,
}

pub(super) fn run(args: &ServiceArgs) -> ExitCode {
    let (root, socket) = match serve::socket_of(args.root.projects.as_deref()) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let text = Service::of(&root, socket.as_path()).and_then(|service| {
        if args.launchd || cfg!(target_os = "macos") {
            service.agent()
        } else {
            service.units()
        }
    });
    match text {
        Ok(text) => match super::print(&text) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => serve::failed(&error),
            _ => ExitCode::SUCCESS,
        },
        Err(error) => serve::failed(&error),
    }
}

/// The unit that systemd starts for a root's own socket, where its user has it.
pub(super) fn unit_of(socket: &Path) -> Option<String> {
    let unit = format!("runlog-{}.service", socket.file_stem()?.to_str()?);
    let file = config_home()?.join(UNITS).join(&unit);
    file.exists().then_some(unit)
}

impl Service {
    fn of(root: &Path, socket: &Path) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let name = socket.file_stem().map(Path::new).unwrap_or(socket);
        Ok(Self {
            program: spelt(&program)?,
            root: spelt(root)?,
            socket: spelt(socket)?,
            hash: spelt(name)?,
        })
    }

    fn units(&self) -> Result<String, String> {
        let folder = config_home().ok_or("there is no home folder: set HOME")?;
        let folder = spelt(&folder.join(UNITS))?;
        let Self { hash, .. } = self;
        // paths to the end of the line need no quotes, but a percent sign begins a specifier
        let plain = |path: &str| path.replace('%', "%%");
        // of the program's own path no variable is expanded, so that it has none to be kept from it
        let (program, root) = (quoted(&plain(&self.program)), quoted(&plain(&self.root)));
        let root = root.replace('$', "$$");
        Ok(format!(
            "\
# {folder}/runlog-{hash}.socket
[Unit]
Description=runlog for {described} (run history)

[Socket]
ListenStream={socket}
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target

# {folder}/runlog-{hash}.service
[Unit]
Description=runlog for {described} (run history)
# killed however often, it is there again for the next client
StartLimitIntervalSec=0

[Service]
ExecStart={program} serve --socket --idle-exit {IDLE_EXIT} --projects {root}
",
            described = plain(&self.root),
            socket = plain(&self.socket),
        ))
    }

    fn agent(&self) -> Result<String, String> {
        let home = std::env::home_dir().ok_or("there is no home folder: set HOME")?;
        let folder = spelt(&home.join("Library/LaunchAgents"))?;
        let label = format!("runlog.{}", self.hash);
        let words: String = [
            &*self.program,
            "serve",
            "--socket",
            "--projects",
            &self.root,
        ]
        .iter()
        .map(|word| format!("    <string>{}</string>\n", xml(word)))
        .collect();
        // the name of the file comes after the declaration, which only the beginning may hold
        Ok(format!(
            "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!-- {comment}/{label}.plist -->
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<plist version=\"1.0\">
<dict>
  <key>Label</key>
  <string>{label}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
</dict>
</plist>
",
            // a comment ends at two hyphens
            comment = folder.replace("--", "- -"),
        ))
    }
}

/// A path as it stands in a file: these have no way to spell what is no text, or a line's end.
fn spelt(path: &Path) -> Result<String, String> {
    path.to_str()
        .filter(|text| !text.chars().any(char::is_control))
        .map(str::to_owned)
        .ok_or_else(|| "a path with control characters, or no UTF-8, fits in no unit".to_owned())
}

/// One word of a command line of systemd's (`systemd.service(5)`, "Command lines").
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word_whatever_it_holds() {
        assert_eq!(quoted("/a b"), r#""/a b""#);
        assert_eq!(quoted(r#"/"x"\"#), r#""/\"x\"\\""#);
        assert_eq!(xml("a<b>&c"), "a&lt;b&gt;&amp;c");
        assert!(spelt(Path::new("/a\nb")).is_err());
    }
}
