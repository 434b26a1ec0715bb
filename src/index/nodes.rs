//! What the steps of many runs sum up to, node by node.

use std::sync::Arc;

use super::gather::{GATHERED_BYTES_MAX, Gather};
use super::steps::Kept;
use super::{Index, Listed};
use crate::model::{CostSum, Step};

/// How many runs are summed up between two looks at the time.
const PART: usize = 1024;

/// The steps of runs, copied as they are kept.
#[derive(Debug, Default)]
pub struct NodeSteps {
    /// Where those of each row are.
    spans: Vec<Span>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    at: u32,
    /// At most `STEPS_BYTES_MAX`, and what numbers take that are longer than a run's own.
    length: u32,
    truncated: bool,
}

/// What is known of one node.
#[derive(Debug, Clone)]
pub struct NodeSums {
    /// What it is called.
    pub node: Arc<str>,
    /// How many runs have a step of it.
    pub runs: u64,
    /// How many steps are of it.
    pub steps: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How long each took that says so, in millionths of a millisecond.
    pub durations: Vec<i64>,
    /// Tokens in.
    pub input_tokens: i128,
    /// Tokens out.
    pub output_tokens: i128,
    /// Tokens; where a step has no total, its input and output.
    pub total_tokens: i128,
    /// What they cost; none if no step says so.
    pub cost: Option<CostSum>,
}

impl NodeSums {
    fn of(node: Arc<str>) -> Self {
        Self {
            node,
            runs: 0,
            steps: 0,
            failures: 0,
            durations: Vec::new(),
            input_tokens: 0,
            output_tokens: 0,
            total_tokens: 0,
            cost: None,
        }
    }

    fn add(&mut self, step: &Step) {
        self.steps += 1;
        self.failures += u64::from(step.failed);
        self.durations.extend(step.duration.map(|took| took.0));
        let tokens = step.tokens;
        let input = i128::from(tokens.input.unwrap_or(0));
        let output = i128::from(tokens.output.unwrap_or(0));
        self.input_tokens += input;
        self.output_tokens += output;
        self.total_tokens += tokens.total.map_or(input + output, i128::from);
        if let Some(cost) = step.cost {
            self.cost.get_or_insert_default().add(cost);
        }
    }
}

impl Gather for NodeSteps {
    fn beside(&self) -> Self {
        Self::default()
    }

    fn join(&mut self, parts: Vec<Self>) {
        for part in parts {
            let Ok(before) = u32::try_from(self.bytes.len()) else {
                return;
            };
            self.bytes.extend(part.bytes);
            if self.spans.len() < part.spans.len() {
                self.spans.resize(part.spans.len(), Span::default());
            }
            for (span, of_part) in self.spans.iter_mut().zip(part.spans) {
                if of_part.length > 0 || of_part.truncated {
                    *span = Span {
                        at: of_part.at + before,
                        ..of_part
                    };
                }
            }
        }
    }

    fn put(&mut self, number: u32, run: Option<Listed<'_>>) {
        let kept = run.map(|run| run.kept()).unwrap_or_default();
        let number = number as usize;
        let nothing = kept.packed.is_empty() && !kept.head.truncated;
        if number >= self.spans.len() {
            if nothing {
                return;
            }
            self.spans.resize(number + 1, Span::default());
        }
        if self.bytes.len() > GATHERED_BYTES_MAX {
            // which the caller sees as well
            return;
        }
        let (Ok(at), Ok(length)) = (
            u32::try_from(self.bytes.len()),
            u32::try_from(kept.packed.len()),
        ) else {
            return;
        };
        if let Some(span) = self.spans.get_mut(number) {
            *span = Span {
                at,
                length,
                truncated: kept.head.truncated,
            };
        }
        self.bytes.extend_from_slice(kept.packed);
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl NodeSteps {
    /// The sums of each node that a step is of, in no particular order, `names` being those of the
    /// state that was gathered; and how many runs have more steps than are kept. Asks `going` now
    /// and then whether to go on.
    ///
    /// # Errors
    /// What `going` says.
    pub fn sums<E>(
        &self,
        names: &[Option<Arc<str>>],
        mut going: impl FnMut() -> Result<(), E>,
    ) -> Result<(Vec<NodeSums>, u64), E> {
        let mut sums: Vec<Option<NodeSums>> = vec![None; names.len()];
        // the last run in which each was met
        let mut met = vec![usize::MAX; names.len()];
        let mut truncated = 0;
        for (part, spans) in self.spans.chunks(PART).enumerate() {
            going()?;
            for (at, span) in spans.iter().enumerate() {
                let run = part * PART + at;
                truncated += u64::from(span.truncated);
                let from = span.at as usize;
                let packed = self.bytes.get(from..from + span.length as usize);
                let kept = Kept {
                    packed: packed.unwrap_or_default(),
                    ..Kept::default()
                };
                for (number, mut packed) in kept.steps() {
                    let number = number as usize;
                    let (Some(sum), Some(Some(name)), Some(met)) =
                        (sums.get_mut(number), names.get(number), met.get_mut(number))
                    else {
                        continue;
                    };
                    let sum = sum.get_or_insert_with(|| NodeSums::of(Arc::clone(name)));
                    if std::mem::replace(met, run) != run {
                        sum.runs += 1;
                    }
                    if let Some(step) = Step::take(&mut packed) {
                        sum.add(&step);
                    }
                }
            }
        }
        Ok((sums.into_iter().flatten().collect(), truncated))
    }
}

impl Index {
    /// The names of nodes by the numbers that gathered steps have for them at this state.
    #[must_use]
    pub fn node_names(&self) -> Vec<Option<Arc<str>>> {
        self.rows.nodes().names()
    }
}
