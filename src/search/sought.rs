//! A phrase as tantivy evaluates it.
//!
//! tantivy's own queries expand a prefix to a bounded number of words and cannot be ended. These find
//! every word with the prefix, by walking through the dictionary once, and look at the clock on the
//! way; who evaluates them asks the budget afterwards whether the outcome is whole.

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::query::{
    BitSetDocSet, Bm25Weight, ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer,
    TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet, InvertedIndexReader, Score, SegmentReader, TERMINATED, Term};

use super::budget::Budget;
use super::query::Phrase;

/// How many steps are taken between two looks at the clock.
const STEPS: u32 = 1024;

/// A phrase that is looked for in a field.
#[derive(Debug, Clone)]
pub(super) struct Sought {
    field: Field,
    phrase: Phrase,
    budget: Budget,
}

impl Sought {
    pub(super) fn new(field: Field, phrase: Phrase, budget: Budget) -> Self {
        Self {
            field,
            phrase,
            budget,
        }
    }

    fn terms(&self) -> Vec<(u32, Term)> {
        self.phrase
            .tokens
            .iter()
            .map(|wanted| {
                (
                    wanted.offset,
                    Term::from_field_text(self.field, &wanted.text),
                )
            })
            .collect()
    }
}

impl Query for Sought {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let terms = self.terms();
        if let [(_, term)] = &terms[..]
            && !self.phrase.prefix
        {
            return TermQuery::new(term.clone(), IndexRecordOption::WithFreqs).weight(scoring);
        }
        let similarity = match scoring {
            EnableScoring::Enabled {
                statistics_provider,
                ..
            } if !self.phrase.prefix => {
                let terms: Vec<Term> = terms.iter().map(|(_, term)| term.clone()).collect();
                Some(Bm25Weight::for_terms(statistics_provider, &terms)?)
            }
            _ => None,
        };
        Ok(Box::new(SoughtWeight {
            sought: self.clone(),
            terms,
            similarity,
        }))
    }
}

struct SoughtWeight {
    sought: Sought,
    terms: Vec<(u32, Term)>,
    similarity: Option<Bm25Weight>,
}

impl Weight for SoughtWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let index = reader.inverted_index(self.sought.field)?;
        if self.sought.phrase.prefix {
            let found = self.expand(&index, reader.max_doc())?;
            return Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), boost)));
        }
        let Some(postings) = self.postings(&index, &self.terms)? else {
            return Ok(Box::new(EmptyScorer));
        };
        let similarity = self
            .similarity
            .as_ref()
            .map(|weight| weight.boost_by(boost));
        let Some(mut together) = Together::of(postings) else {
            return Ok(Box::new(EmptyScorer));
        };
        together.settle();
        Ok(Box::new(PhraseScorer {
            together,
            similarity,
            norms: reader.get_fieldnorms_reader(self.sought.field)?,
        }))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("a phrase", 1.0))
    }
}

impl SoughtWeight {
    /// Where these tokens are; `None` if one of them is nowhere.
    fn postings(
        &self,
        index: &InvertedIndexReader,
        terms: &[(u32, Term)],
    ) -> tantivy::Result<Option<Vec<(u32, Timed)>>> {
        let mut found = Vec::with_capacity(terms.len());
        for (offset, term) in terms {
            let Some(inner) =
                index.read_postings(term, IndexRecordOption::WithFreqsAndPositions)?
            else {
                return Ok(None);
            };
            let timed = Timed {
                inner,
                budget: self.sought.budget.clone(),
                steps: 0,
                over: false,
            };
            found.push((*offset, timed));
        }
        Ok(Some(found))
    }

    /// The documents with the phrase, whatever its last word goes on with.
    fn expand(&self, index: &InvertedIndexReader, max_doc: DocId) -> tantivy::Result<BitSet> {
        let mut found = BitSet::with_max_value(max_doc);
        let Some(((offset, prefix), before)) = self.terms.split_last() else {
            return Ok(found);
        };
        let starts = match before {
            [] => None,
            before => match self.postings(index, before)? {
                None => return Ok(found),
                Some(postings) => match phrase_starts(postings) {
                    starts if starts.is_empty() => return Ok(found),
                    starts => Some(starts),
                },
            },
        };
        let prefix = prefix.serialized_value_bytes();
        let mut words = index.terms().range().ge(prefix);
        if let Some(end) = after_prefix(prefix) {
            words = words.lt(end);
        }
        let mut words = words.into_stream()?;
        let mut steps = 0_u32;
        while words.advance() {
            let word = words.value();
            steps = steps.wrapping_add(1 + word.doc_freq);
            if steps >= STEPS {
                steps = 0;
                if !self.sought.budget.lasts() {
                    break;
                }
            }
            match &starts {
                None => {
                    let mut blocks =
                        index.read_block_postings_from_terminfo(word, IndexRecordOption::Basic)?;
                    while !blocks.docs().is_empty() {
                        for doc in blocks.docs() {
                            found.insert(*doc);
                        }
                        blocks.advance();
                    }
                }
                Some(starts) => {
                    let postings = index.read_postings_from_terminfo(
                        word,
                        IndexRecordOption::WithFreqsAndPositions,
                    )?;
                    behind(postings, *offset, starts, &mut found);
                }
            }
        }
        Ok(found)
    }
}

/// The first bytes after everything that begins with `prefix`.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// The documents in which tokens stand side by side.
struct Together {
    /// The rarest token, and how far behind the first of the phrase it stands.
    lead: (u32, Timed),
    rest: Vec<(u32, Timed)>,
    /// Where the phrase begins in the document that this is at.
    starts: Vec<u32>,
    others: Vec<u32>,
}

impl Together {
    /// Not at a document yet: [`Together::settle`] goes to the first.
    fn of(mut postings: Vec<(u32, Timed)>) -> Option<Self> {
        postings.sort_by_key(|(_, postings)| postings.size_hint());
        let mut postings = postings.into_iter();
        Some(Self {
            lead: postings.next()?,
            rest: postings.collect(),
            starts: Vec::new(),
            others: Vec::new(),
        })
    }

    fn doc(&self) -> DocId {
        self.lead.1.doc()
    }

    fn advance(&mut self) -> DocId {
        self.lead.1.advance();
        self.settle()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc() < target {
            self.lead.1.seek(target);
            self.settle();
        }
        self.doc()
    }

    /// Goes on to the first document, from where it is, that has the phrase.
    fn settle(&mut self) -> DocId {
        while self.doc() != TERMINATED {
            match self.beyond() {
                Some(target) => self.lead.1.seek(target),
                None if self.meets() => break,
                None => self.lead.1.advance(),
            };
        }
        self.doc()
    }

    /// The next document that may have all tokens; `None` if this one has.
    fn beyond(&mut self) -> Option<DocId> {
        let doc = self.doc();
        self.rest.iter_mut().find_map(|(_, postings)| {
            if postings.doc() < doc {
                postings.seek(doc);
            }
            (postings.doc() > doc).then(|| postings.doc())
        })
    }

    /// Whether the tokens stand side by side in this document; finds where.
    fn meets(&mut self) -> bool {
        let (offset, lead) = &mut self.lead;
        lead.positions_with_offset(0, &mut self.starts);
        self.starts.retain_mut(|position| {
            let start = position.checked_sub(*offset);
            *position = start.unwrap_or_default();
            start.is_some()
        });
        for (offset, postings) in &mut self.rest {
            if self.starts.is_empty() {
                break;
            }
            postings.positions_with_offset(0, &mut self.others);
            let mut others = self.others.iter().peekable();
            self.starts.retain(|start| {
                let wanted = start + *offset;
                while others.next_if(|position| **position < wanted).is_some() {}
                others.peek() == Some(&&wanted)
            });
        }
        !self.starts.is_empty()
    }
}

/// Scores a phrase as a word that is there as often.
struct PhraseScorer {
    together: Together,
    similarity: Option<Bm25Weight>,
    norms: FieldNormReader,
}

impl DocSet for PhraseScorer {
    fn advance(&mut self) -> DocId {
        self.together.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.together.seek(target)
    }

    fn doc(&self) -> DocId {
        self.together.doc()
    }

    fn size_hint(&self) -> u32 {
        self.together.lead.1.size_hint()
    }
}

impl Scorer for PhraseScorer {
    fn score(&mut self) -> Score {
        let often = u32::try_from(self.together.starts.len()).unwrap_or(u32::MAX);
        match &self.similarity {
            Some(similarity) => similarity.score(self.norms.fieldnorm_id(self.doc()), often),
            None => 1.0,
        }
    }
}

/// The documents in which tokens stand side by side, and where the first of them does.
fn phrase_starts(postings: Vec<(u32, Timed)>) -> Vec<(DocId, Vec<u32>)> {
    let mut found = Vec::new();
    let Some(mut together) = Together::of(postings) else {
        return found;
    };
    let mut doc = together.settle();
    while doc != TERMINATED {
        found.push((doc, together.starts.clone()));
        doc = together.advance();
    }
    found
}

/// Puts into `found` the documents in which a word stands `offset` behind one of the starts.
fn behind(
    mut word: SegmentPostings,
    offset: u32,
    starts: &[(DocId, Vec<u32>)],
    found: &mut BitSet,
) {
    let mut positions = Vec::new();
    let mut rest = starts;
    while word.doc() != TERMINATED
        && let Some((doc, _)) = rest.first()
    {
        if word.doc() < *doc {
            word.seek(*doc);
            continue;
        }
        rest = &rest[rest.partition_point(|(doc, _)| *doc < word.doc())..];
        if let Some((doc, starts)) = rest.first()
            && *doc == word.doc()
        {
            word.positions_with_offset(0, &mut positions);
            if starts
                .iter()
                .any(|start| positions.binary_search(&(start + offset)).is_ok())
            {
                found.insert(*doc);
            }
            word.advance();
        }
    }
}

/// The places of a word, which come to an end with the budget.
struct Timed {
    inner: SegmentPostings,
    budget: Budget,
    steps: u32,
    over: bool,
}

impl Timed {
    fn step(&mut self) {
        self.steps += 1;
        if self.steps == STEPS {
            self.steps = 0;
            self.over = !self.budget.lasts();
        }
    }
}

impl DocSet for Timed {
    fn advance(&mut self) -> DocId {
        self.step();
        self.inner.advance();
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.step();
        self.inner.seek(target);
        self.doc()
    }

    fn doc(&self) -> DocId {
        if self.over {
            TERMINATED
        } else {
            self.inner.doc()
        }
    }

    fn size_hint(&self) -> u32 {
        self.inner.size_hint()
    }
}

impl Postings for Timed {
    fn term_freq(&self) -> u32 {
        self.inner.term_freq()
    }

    fn append_positions_with_offset(&mut self, offset: u32, output: &mut Vec<u32>) {
        self.inner.append_positions_with_offset(offset, output);
    }
}
