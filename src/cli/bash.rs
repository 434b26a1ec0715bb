//! Completion in bash: which words stand before the cursor, and what is put in behind them.
//!
//! Bash breaks words at colons and equals signs, hands them over as they were typed, quotes and all,
//! and puts in what it is given as it stands: an id is any file name, and must not be run. So the
//! line is read here as the shell would, and of a candidate only the part that is missing is put
//! in, quoted as the word has been begun. What is typed itself is never changed.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap_complete::env::EnvCompleter;

/// The line up to the cursor.
const LINE: &str = "RUNLOG_COMPLETE_LINE";
/// What bash takes for the word, and replaces.
const REPLACED: &str = "RUNLOG_COMPLETE_REPLACED";

/// What bash runs; the status of the program behind the pipe is of no matter, what it says is. What
/// bash itself makes a path of (behind an equals sign it makes none of a tilde) is its own to complete.
const SCRIPT: &str = r#"
_runlog_complete() {
    local candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("$candidate")
    done < <(
        VARIABLE=bash \
        RUNLOG_COMPLETE_LINE="${COMP_LINE:0:COMP_POINT}" \
        RUNLOG_COMPLETE_REPLACED="$2" \
        COMPLETER -- "${COMP_WORDS[@]:COMP_CWORD}" 2> /dev/null
    )
    if [[ ${#COMPREPLY[@]} -gt 0 ]]; then
        [[ ${COMPREPLY[0]} =~ [=/:]$ ]] || compopt +o nospace 2> /dev/null
        return
    fi
    local typed="${COMP_LINE:0:COMP_POINT}"
    case "${typed##*[[:blank:]]}" in
        [~\$]*/* | --*=\$*/*) compopt -o default 2> /dev/null ;;
    esac
}
if [[ ${BASH_VERSINFO[0]} -gt 4 || ${BASH_VERSINFO[0]} -eq 4 && ${BASH_VERSINFO[1]} -ge 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _runlog_complete BIN
else
    complete -o nospace -o bashdefault -F _runlog_complete BIN
fi
"#;

/// In the place of clap's own.
#[derive(Debug)]
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn io::Write,
    ) -> Result<(), io::Error> {
        let script = SCRIPT
            .replace("VARIABLE", var)
            .replace("BIN", bin)
            .replace("COMPLETER", &super::args::quoted(completer));
        buf.write_all(script.as_bytes())
    }

    fn write_complete(
        &self,
        cmd: &mut clap::Command,
        args: Vec<OsString>,
        current_dir: Option<&Path>,
        buf: &mut dyn io::Write,
    ) -> Result<(), io::Error> {
        // a script of an earlier version says no line, and quotes nothing
        let Some(Line { words, last }) = Line::of_process() else {
            return Ok(());
        };
        let (index, Some(begun)) = (words.len(), last) else {
            return Ok(());
        };
        // the first of them is the one at the cursor, as it stands
        let behind = args.into_iter().skip(1);
        let words = words.into_iter().chain([begun.text.clone()]);
        let args = words.map(OsString::from).chain(behind).collect();
        let replaced = std::env::var(REPLACED).unwrap_or_default();
        for candidate in clap_complete::engine::complete(cmd, args, index, current_dir)? {
            let value = candidate.get_value().to_str();
            if let Some(rest) = value.and_then(|value| begun.rest(value, replaced.is_empty())) {
                writeln!(buf, "{replaced}{rest}")?;
            }
        }
        Ok(())
    }
}

/// The words before the one that the cursor is in, if it is bash that asks.
pub(super) fn words() -> Option<Vec<String>> {
    Some(Line::of_process()?.words)
}

/// A command's line up to the cursor, read as the shell does.
#[derive(Debug, PartialEq)]
struct Line {
    /// The words before.
    words: Vec<String>,
    /// The one at the cursor; none where the shell would make something else of it.
    last: Option<Begun>,
}

/// A word that goes on.
#[derive(Debug, Default, Clone, PartialEq)]
struct Begun {
    /// What the shell makes of it.
    text: String,
    quote: Option<char>,
    /// Whether it ends with a backslash that is about what comes next.
    escaped: bool,
}

impl Line {
    fn of_process() -> Option<Self> {
        std::env::var(LINE).ok().map(|line| Self::read(&line))
    }

    fn read(line: &str) -> Self {
        let mut words = Vec::new();
        let (mut word, mut active, mut begun) = (Begun::default(), false, false);
        for c in line.chars() {
            if word.escaped {
                word.escaped = false;
                if word.quote.is_some() && !in_double(c) {
                    word.text.push('\\');
                }
                word.text.push(c);
                continue;
            }
            match (word.quote, c) {
                (None, ' ' | '\t' | '\n') => {
                    if begun {
                        words.push(std::mem::take(&mut word.text));
                    }
                    (active, begun) = (false, false);
                    continue;
                }
                (None | Some('"'), '\\') => word.escaped = true,
                (None, '\'' | '"') => word.quote = Some(c),
                (Some(quote), _) if quote == c => word.quote = None,
                _ => {
                    active |= match word.quote {
                        None => !is_plain(c),
                        Some('"') => in_double(c) || c == '!',
                        Some(_) => false,
                    };
                    word.text.push(c);
                }
            }
            begun = true;
        }
        Self {
            words,
            last: (!active).then_some(word),
        }
    }
}

impl Begun {
    /// What is missing of `value`, quoted so that the shell adds just that; none where it begins
    /// otherwise, or cannot be typed. `first` where nothing stands between it and an opened quote.
    fn rest(&self, value: &str, first: bool) -> Option<String> {
        let missing = value.strip_prefix(&self.text)?;
        if missing.chars().any(char::is_control) {
            return None;
        }
        let mut rest = String::new();
        let mut left = missing.chars();
        if self.escaped {
            let c = left.next()?;
            if self.quote.is_some() && !in_double(c) {
                return None;
            }
            rest.push(c);
        }
        for c in left {
            match self.quote {
                None if is_plain(c) => rest.push(c),
                None => rest.extend(['\\', c]),
                Some('"') if in_double(c) => rest.extend(['\\', c]),
                // the history is asked for in double quotes, however it is escaped
                Some('"') if c == '!' => rest.push_str("\"\\!\""),
                Some('\'') if c == '\'' => rest.push_str(r"'\''"),
                Some(_) => rest.push(c),
            }
        }
        let Some(quote) = self.quote else {
            return Some(rest);
        };
        // bash closes the quote unless it seems closed, and drops one that seems to be there twice
        if rest.ends_with(quote) || first && rest.is_empty() {
            rest.push(quote);
        }
        if first && rest.starts_with(quote) {
            rest.insert(0, quote);
        }
        Some(rest)
    }
}

/// Whether the shell makes nothing of it.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() || "-_./=:@%+,".contains(c)
}

/// Whether a backslash is about it in double quotes.
fn in_double(c: char) -> bool {
    "$`\"\\".contains(c)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const NASTY: [&str; 12] = [
        "z$(touch pwned)",
        "z`touch pwned`",
        "c d",
        "it's",
        "'",
        "q$x",
        "a:b=c",
        "two\"quotes\"",
        r"back\slash\\",
        "*?[a]{b,c}~#",
        "ä日 😀",
        "a&b;c|d<e>f",
    ];

    /// What bash makes of a word.
    fn of_bash(word: &str) -> String {
        let script = format!("printf %s {word}");
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn wherever_a_word_is_broken_off_bash_reads_the_completed_one_as_it_is_meant() {
        for value in NASTY {
            for (open, close) in [("", ""), ("'", "'"), ("\"", "\"")] {
                let whole = Line::read(open).last.unwrap().rest(value, false).unwrap();
                for (at, _) in whole.char_indices().chain([(whole.len(), ' ')]) {
                    let typed = format!("{open}{}", &whole[..at]);
                    let begun = Line::read(&format!("runlog show {typed}")).last.unwrap();
                    let first = begun.quote.is_some_and(|quote| typed.ends_with(quote));
                    let Some(rest) = begun.rest(value, first) else {
                        panic!("{value}: nothing for {typed}");
                    };
                    // as bash does
                    let twice = first && begun.quote.is_some_and(|quote| rest.starts_with(quote));
                    let kept = typed.len() - usize::from(twice);
                    let mut word = format!("{}{rest}", &typed[..kept]);
                    if begun.quote.is_some() && !word.ends_with(close) {
                        word.push_str(close);
                    }
                    assert_eq!(of_bash(&word), value, "{typed} {rest}");
                }
            }
        }
    }

    #[test]
    fn the_line_is_read_as_the_shell_does() {
        let line = Line::read("runlog  --projects 'my runs' show a\\ b:\"c\\\"$\" it\\'s");
        assert_eq!(
            line.words,
            ["runlog", "--projects", "my runs", "show", "a b:c\"$"]
        );
        assert_eq!(line.last.unwrap().text, "it's");
        assert_eq!(Line::read("runlog show ").last, Some(Begun::default()));
        for active in ["$x", "\"$x", "~", "a*", "$(b", "\"a!"] {
            assert_eq!(Line::read(&format!("runlog show {active}")).last, None);
        }
    }

    #[test]
    fn what_cannot_be_typed_is_not_offered() {
        assert_eq!(Begun::default().rest("a\nb", false), None);
        let quoted = Line::read("runlog show '").last.unwrap();
        assert_eq!(quoted.rest("'x", true).as_deref(), Some(r"''\''x"));
        let history = Line::read("runlog show \"").last.unwrap();
        assert_eq!(history.rest("a!", false).as_deref(), Some("a\"\\!\"\""));
    }
}
