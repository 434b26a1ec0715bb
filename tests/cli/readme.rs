//! The first page's commands, on the demo's data, print what stands there.

use std::path::Path;

use crate::stage::{Stage, on_terminal};
use crate::support::Root;

/// The commands and what they print, as one text; a batch of the trash is called by when it was made.
fn settled(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('-') {
        Some((millis, rest))
            if millis.len() == 13
                && rest.trim_end().len() == 16
                && millis.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            format!("1795736099618-882f01bd30433cda{}", &rest[16..])
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `RUNLOG_KEEP_OUTPUT=1` renews the page.
#[test]
fn the_readme_shows_what_the_commands_print() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("```console\n").unwrap();
    let (block, after) = rest.split_once("```\n").unwrap();
    let stage = Stage::over(Root::empty());
    stage.piped(&["demo", "--keep", "try"]).printed();
    let mut printed = String::new();
    for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let mut command = stage.command("sh");
        command
            .args(["-c", line])
            .current_dir(stage.root.beside("try"))
            .env("NO_COLOR", "1");
        let done = on_terminal(&mut command, 90, "");
        assert_eq!(done.status, 0, "{line}: {}", done.out);
        printed.push_str(&format!("$ {line}\n{}", settled(&done.out)));
    }
    if std::env::var_os("RUNLOG_KEEP_OUTPUT").is_some() {
        let page = format!("{before}```console\n{printed}```\n{after}");
        std::fs::write(path, page).unwrap();
        return;
    }
    assert_eq!(printed, block);
}
