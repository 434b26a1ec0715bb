//! Completions in the shells themselves, and the manual.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::stage::{Stage, done, terminal};
use crate::support::{PATIENCE, Root, record};

/// A sample that is deleted.
const GONE: &str = "exec-1759381229897-b7m3s9d0f";

/// A shell that somebody types into.
struct Shell {
    child: Child,
    master: std::fs::File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Shell {
    fn start(stage: &Stage, words: &[&str]) -> Self {
        let (master, line) = terminal(160, 40);
        // a terminal of its own, as shells ask for
        let mut command = stage.command("setsid");
        command
            .arg("--ctty")
            .args(words)
            .env("TERM", "xterm")
            .env("INPUTRC", "/dev/null")
            .env("PS1", "$ ")
            .env("XDG_CONFIG_HOME", stage.root.beside("config"))
            .env("XDG_DATA_HOME", stage.root.beside("data"));
        for number in 0..3 {
            let pipe = Stdio::from(line.try_clone().unwrap());
            match number {
                0 => command.stdin(pipe),
                1 => command.stdout(pipe),
                _ => command.stderr(pipe),
            };
        }
        let needed = "bash, zsh and fish are needed (Debian: bash, zsh, fish)";
        let child = command.spawn().expect(needed);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(40, 160, 0)));
        let shown = Arc::clone(&screen);
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self {
            child,
            master,
            screen,
        }
    }

    fn shows(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    fn until(&self, shown: &str) {
        let began = Instant::now();
        while !self.shows().contains(shown) {
            assert!(
                began.elapsed() < PATIENCE,
                "no {shown:?} in {}",
                self.shows()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is typed with a tab behind it becomes `completed`; then the line is dropped.
    fn completes(&mut self, typed: &str, completed: &str) {
        self.types(&format!("{typed}\t"));
        self.until(completed);
        // to the line's beginning, and away with the rest
        self.types("\x01\x0b");
        self.types("clear\r");
        self.gone(completed);
    }

    fn gone(&self, shown: &str) {
        let began = Instant::now();
        while self.shows().contains(shown) {
            assert!(
                began.elapsed() < PATIENCE,
                "it is not cleared: {}",
                self.shows()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How each is started, and told of the completions.
const SHELLS: [(&[&str], &str); 3] = [
    (
        &["bash", "--norc", "--noprofile", "-i"],
        "source <(runlog completions bash)",
    ),
    (
        &["zsh", "-f", "-i"],
        "autoload -U compinit && compinit -u -D && source <(runlog completions zsh)",
    ),
    (
        &["fish", "--no-config", "-i"],
        "runlog completions fish | source",
    ),
];

#[test]
fn shells_complete_commands_projects_and_ids_of_runs() {
    let stage = Stage::samples();
    let deleted = stage.piped(&[
        "delete",
        "--where",
        "id = 'exec-1759381229897-b7m3s9d0f'",
        "--yes",
    ]);
    assert_eq!(deleted.status, 0, "{}", deleted.err);
    for (words, setup) in SHELLS {
        let mut shell = Shell::start(&stage, words);
        // half of a word each, so that its echo is not taken for what it prints
        shell.types(&format!("{setup}; echo rea''dy\r"));
        shell.until("ready");
        shell.types("clear\r");
        shell.completes("runlog statusl", "runlog statusline");
        shell.completes("runlog list --project web", "website");
        shell.completes("runlog show exec-1760508", "exec-1760508120004-4k1zq0vbn");
        shell.completes(
            "runlog show website/exec-1760504",
            "website/exec-1760504566569-y49gl3ayg",
        );
        shell.completes("runlog show -p website exec-1", "-p website exec-17605");
        shell.completes("runlog list --status cance", "cancelled");
        shell.completes("runlog call executions/se", "executions/se");
        shell.completes("runlog trash restore exec-17593", GONE);
        shell.completes("runlog trash restore docs/", &format!("docs/{GONE}"));
        let batch = deleted.err.split("--batch ").nth(1).unwrap().trim();
        shell.completes(
            &format!("runlog trash restore docs/{}", &batch[..8]),
            &format!("docs/{batch}/{GONE}"),
        );
        shell.completes("runlog trash restore --batch ", batch);
        // of the root that is named, as the shell will read that
        shell.types("cd /\r");
        shell.completes(
            "runlog show --projects ~/projects exec-1760508",
            "exec-1760508120004-4k1zq0vbn",
        );
    }
}

#[test]
fn shells_complete_what_has_been_begun_in_quotes() {
    let root = Root::empty();
    for id in ["c d one", "c d two"] {
        root.engine("my proj", id, &record("my proj", id, "completed"));
    }
    let stage = Stage::over(root);
    for (words, setup) in SHELLS {
        let mut shell = Shell::start(&stage, words);
        shell.types(&format!("{setup}; echo rea''dy\r"));
        shell.until("ready");
        shell.types("clear\r");
        shell.completes(r"runlog show c\ d\ o", r"c\ d\ one");
        shell.completes("runlog show \"c d o", "c d one");
        shell.completes("runlog show 'c d o", "c d one");
        shell.completes(r"runlog show my\ proj/c\ d\ t", r"my\ proj/c\ d\ two");
        shell.completes(r"runlog show --project my\ proj c\ d\ t", r"c\ d\ two");
    }
}

#[test]
fn bash_puts_in_what_is_called_oddly_as_one_word() {
    let odd = [
        "z$(touch pwned)",
        "c d",
        "it's",
        "q$x",
        "a:b",
        "b:`touch pwned`",
        "h!h",
        "'x",
    ];
    let root = Root::empty();
    for id in odd {
        root.engine("my proj", id, &record("my proj", id, "completed"));
    }
    let stage = Stage::over(root);
    let mut shell = Shell::start(&stage, &["bash", "--norc", "--noprofile", "-i"]);
    shell.types("source <(runlog completions bash); echo rea''dy\r");
    shell.until("ready");
    let typed = [
        ("show z", "z$(touch pwned)"),
        ("show 'z", "z$(touch pwned)"),
        ("show \"z", "z$(touch pwned)"),
        (r"show z\$", "z$(touch pwned)"),
        ("show c", "c d"),
        (r"show c\ ", "c d"),
        ("show 'c ", "c d"),
        ("show \"c", "c d"),
        ("show it", "it's"),
        ("show \"it'", "it's"),
        ("show q", "q$x"),
        ("show a", "a:b"),
        ("show a:", "a:b"),
        ("show 'a:", "a:b"),
        ("show b", "b:`touch pwned`"),
        ("show b:", "b:`touch pwned`"),
        ("show h", "h!h"),
        ("show \"h", "h!h"),
        (r"show \'", "'x"),
        (r"show my\ proj/c", "my proj/c d"),
        ("show 'my proj/z", "my proj/z$(touch pwned)"),
        ("list --project my", "my proj"),
        ("list --project=my", "--project=my proj"),
    ];
    for (number, (typed, word)) in typed.into_iter().enumerate() {
        // the words that it would be called with are printed instead
        shell.types(&format!("runlog {typed}\t\x01printf '{number}:<%s>\\n' \r"));
        shell.until(&format!("\n{number}:<{word}>\n"));
    }
    assert!(!stage.root.beside("pwned").exists());
}

#[test]
fn what_a_shell_makes_a_path_of_is_completed_as_one() {
    let stage = Stage::samples();
    for (words, setup) in SHELLS {
        let mut shell = Shell::start(&stage, words);
        shell.types(&format!("{setup}; echo rea''dy\r"));
        shell.until("ready");
        for (number, typed) in [
            "list --projects ~/proj",
            "export ~/proj",
            "man --out $HOME/proj",
            "list --projects=$HOME/proj",
        ]
        .into_iter()
        .enumerate()
        {
            if words[0] == "fish" && typed.contains('$') {
                // it is asked for as it was typed
                continue;
            }
            shell.types(&format!("runlog {typed}\t"));
            shell.until("projects/");
            // a slash at the end may be taken away again
            shell.types(&format!("x\x01printf '{number}:<%s>\\n' \r"));
            let flag = if typed.contains('=') {
                "--projects="
            } else {
                ""
            };
            shell.until(&format!("\n{number}:<{flag}/"));
            shell.until("projects/x>");
            shell.types("clear\r");
            shell.gone("projects/x>");
        }
        // behind an equals sign a tilde is none to any of them
        shell.types("runlog list --projects=~/proj\t\x01printf 'none:<%s>\\n' \r");
        shell.until("none:<--projects=~/proj>");
    }
}

/// By its project such a run is no flag.
#[test]
fn a_run_that_is_called_as_flags_are_is_completed_with_its_project() {
    let root = Root::empty();
    root.engine("p", "-x", &record("p", "-x", "failed"));
    let stage = Stage::over(root);
    let mut command = stage.runlog(&["--", "runlog", "show", ""]);
    let told = done(command.env("RUNLOG_COMPLETE", "fish")).printed();
    assert!(
        told.lines().any(|line| line.starts_with("p/-x\t")),
        "{told}"
    );
    assert!(!told.lines().any(|line| line.starts_with("-x\t")), "{told}");
}

/// What is offered for the last of these words, with what is said of each.
fn offered(stage: &Stage, words: &[&str]) -> Vec<String> {
    let mut command = stage.runlog(&["--", "runlog"]);
    let told = done(command.args(words).env("RUNLOG_COMPLETE", "fish")).printed();
    told.lines().map(str::to_owned).collect()
}

/// A shell puts in what all have in common.
#[test]
fn of_very_many_runs_one_is_offered_by_which_a_shell_goes_wrong_otherwise() {
    let root = Root::empty();
    let save = |id: &str, day: u32| {
        let mut run = record("p", id, "completed");
        run["startedAt"] = format!("2025-10-{day}T05:02:46.569Z").into();
        root.engine("p", id, &run);
    };
    for number in 0..1001 {
        save(&format!("exec-20-{number}"), 20);
    }
    save("exec-100-old", 15);
    save("203-old", 14);
    let stage = Stage::over(root);
    let begins = |lines: &[String], name: &str| lines.iter().any(|line| line.starts_with(name));
    let lines = offered(&stage, &["show", "ex"]);
    assert!((1001..1010).contains(&lines.len()), "{}", lines.len());
    assert!(begins(&lines, "exec-100-old\t"));
    assert!(begins(&lines, "exec-20-"));
    // others only contain it
    assert!(begins(&offered(&stage, &["show", "20"]), "203-old\t"));
    stage
        .piped(&["delete", "-p", "p", "--where", "id ~ 'exec-20-'", "--yes"])
        .printed();
    let batches = offered(&stage, &["trash", "restore", "--batch", ""]);
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert!(batches[0].contains("\t1001 runs deleted"), "{batches:?}");
}

#[test]
fn projects_are_offered_where_they_can_be_said() {
    let root = Root::empty();
    for project in ["-dash", "gone", "here"] {
        root.engine(project, "a", &record(project, "a", "completed"));
    }
    let stage = Stage::over(root);
    stage.piped(&["delete", "-p", "gone", "--where", "id = 'a'", "--yes"]);
    std::fs::remove_dir(stage.root.path().join("gone/executions")).unwrap();
    let names = |words: &[&str]| {
        let lines = offered(&stage, words).into_iter();
        let names = lines.map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(&["list", "-p", ""]), "here");
    assert_eq!(names(&["list", "--project=-d"]), "--project=-dash");
    assert_eq!(names(&["trash", "list", "-p", ""]), "gone here");
    assert_eq!(names(&["man", "stat"]), "stats status statusline");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let stage = Stage::samples();
    let page = stage.piped(&["man"]).printed();
    for told in [
        ".TH runlog 1",
        "Exit status",
        "NO_COLOR",
        "runlog\\-list(1)",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let page = stage.piped(&["man", "watch"]).printed();
    assert!(
        page.contains("runlog\\-watch") && page.contains("4 cancelled"),
        "{page}"
    );
    let source = concat!("\"runlog ", env!("CARGO_PKG_VERSION"), "\"");
    assert!(page.contains(source), "{page}");
    let folder = stage.root.beside("man");
    stage
        .piped(&["man", "--out", folder.to_str().unwrap()])
        .printed();
    let help = stage.piped(&["--help"]).printed();
    let commands = help
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    for line in commands.lines() {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            let path = folder.join(format!("runlog-{name}.1"));
            assert!(path.exists(), "{}", path.display());
        }
    }
    assert!(folder.join("runlog-trash-restore.1").exists());
    // what clap adds by itself is no command of ours
    let pages = std::fs::read_dir(&folder).unwrap().flatten();
    let names = pages.map(|page| page.file_name().into_string().unwrap());
    let of_help: Vec<String> = names.filter(|name| name.contains("help")).collect();
    assert!(of_help.is_empty(), "{of_help:?}");
    assert_eq!(stage.piped(&["man", "help"]).status, 2);
    assert_eq!(stage.piped(&["man", "nothing"]).status, 2);
}
