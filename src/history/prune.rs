//! Pruning: which runs a policy lets go.
//!
//! A policy is a list of rules; a run goes if one of them says so and nothing keeps it. What it
//! says is decided at one state of the index, so that a rehearsal tells exactly what would go.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::annotations::Doubts;
use super::select::Stop;
use super::told::Told;
use super::{Chosen, History, HistoryError, Spared};
use crate::index::{Clock, Filter, Listed};
use crate::model::{Millis, ProjectId, RunKey, Status};

/// Which runs a rule is about, and how many of them may stay. The youngest stay; what other rules or
/// the policy keep counts all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Only this project's; all if absent.
    pub project: Option<ProjectId>,
    /// Only runs with these statuses. If absent, all but queued, running and paused ones; queued
    /// and running ones are never meant before they are stale.
    pub statuses: Option<BTreeSet<Status>>,
    /// Whether number and bytes are those of each project by itself.
    pub per_project: bool,
    /// How old they may be.
    pub max_age: Option<Duration>,
    /// How many there may be.
    pub max_count: Option<u64>,
    /// How many bytes they may have.
    pub max_bytes: Option<u64>,
}

/// What may stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// What goes.
    pub rules: Vec<Rule>,
    /// The youngest runs of each project, of whatever status, that stay in any case.
    pub keep_last: u64,
    /// Whether failed runs stay in any case.
    pub keep_failed: bool,
    /// Whether pinned runs stay in any case.
    pub keep_pinned: bool,
}

/// What a policy lets go.
#[derive(Debug)]
pub struct Plan {
    /// The runs, the youngest first; of those as old as each other in list order.
    pub chosen: Vec<Chosen>,
    /// Those that stay only because it cannot be read whether they are pinned; and of what was told all
    /// that stays.
    pub spared: Vec<(RunKey, Spared)>,
    /// Whether that leaves no run in the projects that the rules are about, but such as no rule can
    /// mean: those that are queued, running or paused.
    pub everything: bool,
    /// The state at which it was decided.
    pub clock: Clock,
}

/// A run as a policy sees it.
#[derive(Debug, Clone)]
struct Candidate {
    chosen: Chosen,
    status: Option<Status>,
    stale: bool,
    pinned: bool,
    maybe_pinned: bool,
}

impl Candidate {
    fn of(run: &Listed<'_>, now: Millis, doubts: &Doubts) -> Option<Self> {
        let summary = run.summary();
        let chosen = Chosen::of(run)?;
        Some(Self {
            maybe_pinned: doubts.has(chosen.key()),
            chosen,
            status: summary.status.map(Status::from_text),
            stale: summary.stale_at.is_some_and(|at| at <= now),
            pinned: summary.annotation.is_some_and(|noted| noted.pinned),
        })
    }

    fn project(&self) -> &ProjectId {
        &self.chosen.key().project
    }
}

impl Rule {
    fn is_about(&self, project: &ProjectId) -> bool {
        self.project.as_ref().is_none_or(|only| only == project)
    }

    fn means(&self, run: &Candidate) -> bool {
        if !self.is_about(run.project()) {
            return false;
        }
        let live = run.status.as_ref().is_some_and(Status::is_live);
        match &self.statuses {
            None => !live && run.status != Some(Status::Paused),
            Some(named) => {
                let named = run
                    .status
                    .as_ref()
                    .is_some_and(|status| named.contains(status));
                named && (!live || run.stale)
            }
        }
    }
}

impl Policy {
    /// Whether a run that stays is one that is left: one of the projects that the rules are about, and
    /// not one that stays because it has not ended, where no rule means such.
    fn leaves(&self, run: &Candidate) -> bool {
        let live = run.status.as_ref().is_some_and(Status::is_live);
        let has_ended = !live && run.status != Some(Status::Paused);
        let is_left = |rule: &Rule| match has_ended {
            true => rule.is_about(run.project()),
            false => rule.means(run),
        };
        self.rules.iter().any(is_left)
    }

    /// For each of `runs`, the youngest first, whether it goes. Of those that may be pinned it is
    /// believed that they are not.
    fn judge(&self, runs: &[Candidate], now: Millis) -> Vec<bool> {
        let mut goes = vec![false; runs.len()];
        for rule in &self.rules {
            // none stands for all projects together
            let mut sums: HashMap<Option<&ProjectId>, (u64, u64)> = HashMap::new();
            let max_age_ms = rule
                .max_age
                .map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            let meant = runs.iter().zip(&mut goes);
            for (run, goes) in meant.filter(|(run, _)| rule.means(run)) {
                let group = rule.per_project.then(|| run.project());
                let (count, bytes) = sums.entry(group).or_default();
                *count += 1;
                *bytes = bytes.saturating_add(run.chosen.size_bytes());
                let age_ms = now.0.saturating_sub(run.chosen.aged_from().0);
                let over = max_age_ms.is_some_and(|max| age_ms > max)
                    || rule.max_count.is_some_and(|max| *count > max)
                    || rule.max_bytes.is_some_and(|max| *bytes > max);
                *goes |= over;
            }
        }
        let mut seen: HashMap<&ProjectId, u64> = HashMap::new();
        for (run, goes) in runs.iter().zip(&mut goes) {
            let number = seen.entry(run.project()).or_default();
            *number += 1;
            let failed = run.status == Some(Status::Failed);
            let kept = *number <= self.keep_last
                || (self.keep_failed && failed)
                || (self.keep_pinned && run.pinned);
            *goes &= !kept;
        }
        goes
    }
}

impl History {
    /// What `policy` lets go at `now`; of that, where it was `told` what would go, only what was told
    /// and has not changed since. Some hundred bytes a run. Blocks.
    ///
    /// # Errors
    /// Those of [`History::select`].
    pub fn plan(
        &self,
        policy: &Policy,
        now: Millis,
        told: Option<&Told>,
        stop: &Stop,
    ) -> Result<Plan, HistoryError> {
        let everything = Filter::default().into();
        let doubts = self.doubts();
        let take =
            |run: &Listed<'_>, runs: &mut Vec<_>| runs.extend(Candidate::of(run, now, &doubts));
        let (mut runs, _, clock) = self.take(&everything, stop, take)?;
        // what is as old goes in list order
        runs.sort_unstable_by(|a, b| {
            let (a, b) = (&a.chosen, &b.chosen);
            let place = || a.place().cmp(&b.place());
            b.aged_from().cmp(&a.aged_from()).then_with(place)
        });
        let mut goes = policy.judge(&runs, now);
        let mut spared = Vec::new();
        if let Some(told) = told {
            let mut left = told.keys();
            for (run, goes) in runs.iter().zip(&mut goes) {
                let was_told = left.remove(run.chosen.key());
                let as_told = told.still_has(&run.chosen);
                let why = match *goes {
                    _ if !was_told => None,
                    _ if !as_told => Some(Spared::Changed),
                    true => None,
                    false => Some(Spared::Kept),
                };
                spared.extend(why.map(|why| (run.chosen.key().clone(), why)));
                // what came since pushes nothing out
                *goes &= as_told;
            }
            spared.extend(self.missing_of(left));
        }
        for (run, goes) in runs.iter().zip(&mut goes) {
            if *goes && policy.keep_pinned && run.maybe_pinned {
                *goes = false;
                spared.push((run.chosen.key().clone(), Spared::MaybePinned));
            }
        }
        let judged = || runs.iter().zip(goes.iter().copied());
        let some_left = judged().any(|(run, goes)| !goes && policy.leaves(run));
        let going = judged().filter(|(_, goes)| *goes);
        let chosen: Vec<Chosen> = going.map(|(run, _)| run.chosen.clone()).collect();
        Ok(Plan {
            everything: !chosen.is_empty() && !some_left,
            chosen,
            spared,
            clock,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExecutionId;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Millis = Millis(1_000 * 86_400_000);

    /// Runs as `project/id status days-old bytes`, a live one stale if `!` follows, one that has a
    /// fifth word pinned.
    fn runs(spelt: &[&str]) -> Vec<Candidate> {
        let run = |text: &&str| {
            let words: Vec<&str> = text.split(' ').collect();
            let (project, id) = words[0].split_once('/').unwrap();
            let key = RunKey {
                project: ProjectId::parse(project).unwrap(),
                execution: ExecutionId::parse(id).unwrap(),
            };
            let days: i64 = words[2].parse().unwrap();
            Candidate {
                chosen: Chosen::for_tests(
                    key,
                    Millis(NOW.0 - days * 86_400_000 - 1),
                    words[3].parse().unwrap(),
                ),
                status: Some(Status::from_text(words[1].trim_end_matches('!'))),
                stale: words[1].ends_with('!'),
                pinned: words.len() > 4,
                maybe_pinned: false,
            }
        };
        spelt.iter().map(run).collect()
    }

    /// The ids that go, in the order in which they are spelt.
    fn going(policy: &Policy, spelt: &[&str]) -> String {
        let mut runs: Vec<(usize, Candidate)> = runs(spelt).into_iter().enumerate().collect();
        runs.sort_by_key(|(_, run)| std::cmp::Reverse(run.chosen.aged_from()));
        let (places, runs): (Vec<usize>, Vec<Candidate>) = runs.into_iter().unzip();
        let goes = policy.judge(&runs, NOW);
        let ids = places.iter().zip(&runs).zip(goes);
        let ids = ids.filter(|(_, goes)| *goes);
        let mut ids: Vec<(usize, &str)> = ids
            .map(|((at, run), _)| (*at, run.chosen.key().execution.as_str()))
            .collect();
        ids.sort_unstable();
        let ids: Vec<&str> = ids.into_iter().map(|(_, id)| id).collect();
        ids.join(" ")
    }

    fn policy(rules: Vec<Rule>) -> Policy {
        Policy {
            rules,
            ..Policy::default()
        }
    }

    const RUNS: [&str; 8] = [
        "p/a completed 1 10",
        "p/b failed 2 10",
        "p/c completed 3 10",
        "q/d completed 4 100",
        "q/e failed 50 1",
        "q/f running 60 1",
        "q/g running! 70 1",
        "q/h paused 80 1",
    ];

    #[test]
    fn each_limit_lets_the_oldest_go() {
        let age = |days| Rule {
            max_age: Some(DAY * days),
            ..Rule::default()
        };
        let count = |max| Rule {
            max_count: Some(max),
            ..Rule::default()
        };
        let bytes = |max| Rule {
            max_bytes: Some(max),
            ..Rule::default()
        };
        let each = |rule: Rule| Rule {
            per_project: true,
            ..rule
        };
        let of = |project: &str, rule: Rule| Rule {
            project: Some(ProjectId::parse(project).unwrap()),
            ..rule
        };
        for (rules, want) in [
            (vec![age(3)], "c d e"),
            (vec![age(4)], "d e"),
            (vec![age(51)], ""),
            (vec![count(0)], "a b c d e"),
            (vec![count(2)], "c d e"),
            (vec![each(count(2))], "c"),
            (vec![each(count(1))], "b c e"),
            (vec![of("p", count(1))], "b c"),
            (vec![bytes(20)], "c d e"),
            (vec![bytes(131)], ""),
            (vec![bytes(130)], "e"),
            (vec![each(bytes(25))], "c d e"),
            (vec![age(40), of("p", count(2))], "c e"),
            (vec![], ""),
        ] {
            assert_eq!(going(&policy(rules.clone()), &RUNS), want, "{rules:?}");
        }
    }

    #[test]
    fn what_may_still_go_on_goes_only_where_it_is_named_and_stale() {
        let named = |words: &[&str]| Rule {
            statuses: Some(words.iter().map(|word| Status::from_text(word)).collect()),
            max_count: Some(0),
            ..Rule::default()
        };
        for (words, want) in [
            (&["running"][..], "g"),
            (&["paused"], "h"),
            (&["running", "failed", "paused"], "b e g h"),
            (&["queued"], ""),
            (&["odd"], ""),
        ] {
            assert_eq!(going(&policy(vec![named(words)]), &RUNS), want, "{words:?}");
        }
    }

    #[test]
    fn what_is_kept_stays_and_counts() {
        let mut policy = policy(vec![Rule {
            max_count: Some(0),
            ..Rule::default()
        }]);
        policy.keep_last = 1;
        assert_eq!(going(&policy, &RUNS), "b c e");
        policy.keep_failed = true;
        assert_eq!(going(&policy, &RUNS), "c");
        policy.rules[0].max_count = Some(2);
        policy.keep_last = 0;
        assert_eq!(going(&policy, &RUNS), "c d");
        let pinned = ["p/a completed 1 10", "p/b completed 2 10 pinned"];
        policy.rules[0].max_count = Some(0);
        assert_eq!(going(&policy, &pinned), "a b");
        policy.keep_pinned = true;
        assert_eq!(going(&policy, &pinned), "a");
    }
}
