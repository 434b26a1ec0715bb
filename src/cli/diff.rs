//! `runlog diff`: what tells two runs apart.

use clap::Args;
use serde_json::Value;

use super::Failure;
use super::args::{Common, Params, WhichArgs, answered};
use super::client::Client;
use super::json::Json;
use super::list::dollars;
use super::terminal::{Out, Paint, visible};
use super::time::{grouped, span};

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    pub common: Common,
    /// The run that the other is compared with: its id, the beginning of it, or `last`
    #[arg(value_name = "RUN", add = super::complete::runs())]
    a: String,
    /// The other run
    #[arg(value_name = "OTHER", add = super::complete::runs())]
    b: String,
    /// Both of this project
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    project: Option<String>,
}

pub(super) async fn run(args: &DiffArgs, client: &mut Client) -> Result<u8, Failure> {
    let mut params = Params::new();
    for (name, run) in [("a", &args.a), ("b", &args.b)] {
        let which = WhichArgs {
            run: run.clone(),
            project: args.project.clone(),
        };
        let run = match which.named() {
            Some(_) => which.begun(client).await?.params(),
            None => which.params(),
        };
        params.insert(name.into(), Value::Object(run));
    }
    let json = &args.common.json;
    answered(
        client,
        "executions/diff",
        params,
        json,
        None,
        |result, out| {
            Shown {
                out,
                text: String::new(),
            }
            .of(result)
        },
    )
    .await
}

struct Shown {
    out: Out,
    text: String,
}

impl Shown {
    fn of(mut self, result: &Json) -> String {
        for (sign, name, paint) in [("---", "a", Paint::Red), ("+++", "b", Paint::Green)] {
            let run = result.at(name);
            let key = format!(
                "{}/{}",
                run.at("projectId").word(),
                run.at("executionId").word()
            );
            self.line(&format!("{sign} {key}"), paint);
        }
        if result.at("equal").is_true() {
            self.line("they say the same", Paint::Dim);
            return self.text;
        }
        self.amounts(result, "");
        self.members(result, "");
        for step in result.at("steps").items() {
            self.step(step);
        }
        let more = result.at("moreSteps").count();
        if more > 0 {
            self.line(&format!("and {more} more steps"), Paint::Dim);
        }
        self.text
    }

    fn line(&mut self, text: &str, paint: Paint) {
        self.text.push_str(&self.out.remark(&visible(text), paint));
    }

    /// What it cost and took, and by how much that differs.
    fn amounts(&mut self, of: &Json, indent: &str) {
        let time = |value: &Json| value.number().map(span).unwrap_or_default();
        let count = |value: &Json| grouped(&value.to_string());
        for (name, member) in [
            ("cost", "costUSD"),
            ("took", "duration"),
            ("tokens", "totalTokens"),
            ("tokens in", "inputTokens"),
            ("tokens out", "outputTokens"),
        ] {
            let delta = of.at(member);
            let is_terminal = self.out.is_terminal();
            let shown = |value: &Json| match (value.is_null(), member) {
                (true, _) => "none".to_owned(),
                _ if !is_terminal => value.to_string(),
                (_, "costUSD") => dollars(value),
                (_, "duration") => time(value),
                _ => count(value),
            };
            let difference = delta.at("difference");
            if delta.is_null() || difference.number() == Some(0.0) {
                continue;
            }
            let sign = if difference.number().is_some_and(|number| number > 0.0) {
                "+"
            } else {
                ""
            };
            let told = match difference.is_null() {
                true => String::new(),
                false => format!(" ({sign}{})", shown(difference)),
            };
            let (a, b) = (shown(delta.at("a")), shown(delta.at("b")));
            self.line(
                &format!("{indent}  {name:<10} {a} → {b}{told}"),
                Paint::Plain,
            );
        }
    }

    /// The members that differ, before and after.
    fn members(&mut self, of: &Json, indent: &str) {
        for member in of.at("changed").items() {
            self.line(
                &format!("{indent}@ {}", member.at("pointer").word()),
                Paint::Cyan,
            );
            for (sign, name, paint) in [("-", "a", Paint::Red), ("+", "b", Paint::Green)] {
                let piece = member.at(name);
                if piece.is_null() || piece.at("kind").word() == "missing" {
                    continue;
                }
                let value = piece.at("value").to_string();
                for line in value.split('\n') {
                    self.line(&format!("{indent}{sign} {line}"), paint);
                }
                if piece.at("truncated").is_true() {
                    let size = piece.at("sizeBytes");
                    let size = match self.out.is_terminal() {
                        true => super::time::bytes(size.count()),
                        false => format!("{size} B"),
                    };
                    self.line(&format!("{indent}{sign} … of {size}"), Paint::Dim);
                }
            }
        }
        let more = of.at("moreChanged").count();
        if more > 0 {
            self.line(&format!("{indent}and {more} more members"), Paint::Dim);
        }
    }

    fn step(&mut self, step: &Json) {
        let called = step.at("called").word();
        let nth = match step.at("occurrence").count() {
            0 => String::new(),
            before => format!(" (number {})", before + 1),
        };
        let place = |name: &str| step.at(name).to_string();
        let (what, paint) = match step.at("side").word() {
            "onlyA" => (format!("- step {} {called}{nth}", place("a")), Paint::Red),
            "onlyB" => (format!("+ step {} {called}{nth}", place("b")), Paint::Green),
            _ => {
                let moved = match step.at("moved").is_true() {
                    true => format!(", now at {}", place("b")),
                    false => String::new(),
                };
                (
                    format!("~ step {} {called}{nth}{moved}", place("a")),
                    Paint::Bold,
                )
            }
        };
        self.line(&what, paint);
        self.amounts(step, "  ");
        self.members(step, "  ");
    }
}
