//! A query over one segment of the index: which documents match, and how well.
//!
//! tantivy's own queries expand a prefix to a bounded number of words, go through all that match and
//! cannot be ended. Here documents are asked one by one, in ascending order, so that whoever asks may
//! skip most of them and stop when a page is full; positions are read only of documents that have all
//! words of a phrase. What takes long looks at the budget on the way; who asks looks at it afterwards
//! whether the answers are whole.

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{BlockSegmentPostings, Postings, SegmentPostings, TermInfo};
use tantivy::query::Bm25Weight;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, InvertedIndexReader, Searcher, SegmentReader, TERMINATED, Term};

use super::budget::Budget;
use super::query::{Phrase, Query};

/// How many steps are taken between two looks at the clock.
const STEPS: u32 = 1024;
/// A prefix that so many words have is looked up as these words; the documents of more are gathered.
const WORDS_MAX: usize = 16;

/// A query with what is known of its phrases in one segment.
#[derive(Debug)]
pub(super) enum Plan {
    All(Vec<Plan>),
    Any(Vec<Plan>),
    Not(Box<Plan>),
    /// Words side by side, each with its place behind the first.
    Phrase(Vec<(u32, TermInfo)>, Option<Weigher>),
    /// Any of these: what a prefix stands for. Says as much, however often it is there.
    Words(Vec<Plan>),
    /// The same, its documents a bit each.
    Gathered(Vec<u64>),
    Nothing,
}

/// How well a phrase fits, by how often its words are there in how long a document: by the one that is
/// there least, so that positions decide only whether the phrase is there at all.
#[derive(Clone)]
pub(super) struct Weigher(Bm25Weight);

impl std::fmt::Debug for Weigher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Weigher")
    }
}

/// How well each phrase of `query` fits, in the order of [`Query::phrases`]; nothing for a prefix.
///
/// # Errors
/// What reading the index fails with.
pub(super) fn weighers(
    searcher: &Searcher,
    field: Field,
    query: &Query,
) -> tantivy::Result<Vec<Option<Weigher>>> {
    let weigh = |phrase: &&Phrase| {
        if phrase.prefix {
            return Ok(None);
        }
        let terms: Vec<Term> = terms(field, phrase).map(|(_, term)| term).collect();
        Bm25Weight::for_terms(searcher, &terms).map(|weight| Some(Weigher(weight)))
    };
    query.phrases().iter().map(weigh).collect()
}

fn terms(field: Field, phrase: &Phrase) -> impl Iterator<Item = (u32, Term)> {
    phrase
        .tokens
        .iter()
        .map(move |wanted| (wanted.offset, Term::from_field_text(field, &wanted.text)))
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

/// Makes plans for one segment.
pub(super) struct Planner<'s> {
    pub(super) index: &'s InvertedIndexReader,
    pub(super) field: Field,
    /// Documents from here on are left out.
    pub(super) max_doc: DocId,
    pub(super) budget: &'s Budget,
}

impl Planner<'_> {
    /// A plan for `query`, whose phrases take their weighers one by one.
    ///
    /// # Errors
    /// What reading the index fails with.
    pub(super) fn plan(
        &self,
        query: &Query,
        weighers: &mut impl Iterator<Item = Option<Weigher>>,
    ) -> tantivy::Result<Plan> {
        let mut all = |parts: &[Query]| -> tantivy::Result<Vec<Plan>> {
            parts.iter().map(|part| self.plan(part, weighers)).collect()
        };
        Ok(match query {
            Query::All(parts) => {
                let mut parts = all(parts)?;
                if parts.iter().any(|part| matches!(part, Plan::Nothing)) {
                    return Ok(Plan::Nothing);
                }
                // the rarest leads
                parts.sort_by_key(|part| part.documents(self.max_doc));
                Plan::All(parts)
            }
            Query::Any(parts) => {
                let mut parts = all(parts)?;
                parts.retain(|part| !matches!(part, Plan::Nothing));
                match parts.is_empty() {
                    true => Plan::Nothing,
                    false => Plan::Any(parts),
                }
            }
            Query::Not(part) => Plan::Not(Box::new(self.plan(part, weighers)?)),
            Query::Phrase(phrase) => {
                let weigher = weighers.next().flatten();
                match phrase.prefix {
                    true => self.prefix(phrase)?,
                    false => self.phrase(terms(self.field, phrase), weigher)?,
                }
            }
        })
    }

    fn phrase(
        &self,
        terms: impl Iterator<Item = (u32, Term)>,
        weigher: Option<Weigher>,
    ) -> tantivy::Result<Plan> {
        let mut found = Vec::new();
        for (offset, term) in terms {
            let Some(info) = self.index.get_term_info(&term)? else {
                return Ok(Plan::Nothing);
            };
            found.push((offset, info));
        }
        found.sort_by_key(|(_, info)| info.doc_freq);
        Ok(Plan::Phrase(found, weigher))
    }

    /// What a phrase is whose last word may go on.
    fn prefix(&self, phrase: &Phrase) -> tantivy::Result<Plan> {
        let mut before: Vec<(u32, Term)> = terms(self.field, phrase).collect();
        let Some((offset, prefix)) = before.pop() else {
            return Ok(Plan::Nothing);
        };
        let Plan::Phrase(before, _) = self.phrase(before.into_iter(), None)? else {
            return Ok(Plan::Nothing);
        };
        let prefix = prefix.serialized_value_bytes();
        let mut words = self.index.terms().range().ge(prefix);
        if let Some(end) = after_prefix(prefix) {
            words = words.lt(end);
        }
        let mut words = words.into_stream()?;
        let mut found: Vec<TermInfo> = Vec::new();
        let mut gathered: Option<Gathering> = None;
        let mut steps = 0_u32;
        while words.advance() {
            let word = words.value();
            steps = steps.saturating_add(1 + word.doc_freq);
            if steps >= STEPS {
                steps = 0;
                if !self.budget.lasts() {
                    break;
                }
            }
            if let Some(gathered) = &mut gathered {
                gathered.add(self, word, offset)?;
                continue;
            }
            found.push(word.clone());
            if found.len() > WORDS_MAX {
                let mut all = Gathering::behind(self, &before)?;
                for word in found.drain(..) {
                    all.add(self, &word, offset)?;
                }
                gathered = Some(all);
            }
        }
        if let Some(gathered) = gathered {
            return Ok(Plan::Gathered(gathered.documents));
        }
        let words = found.into_iter().map(|word| {
            let mut all = before.clone();
            all.push((offset, word));
            all.sort_by_key(|(_, info)| info.doc_freq);
            Plan::Phrase(all, None)
        });
        let words: Vec<Plan> = words.collect();
        Ok(match words.is_empty() {
            true => Plan::Nothing,
            false => Plan::Words(words),
        })
    }

    fn postings(
        &self,
        info: &TermInfo,
        record: IndexRecordOption,
    ) -> tantivy::Result<SegmentPostings> {
        Ok(self.index.read_postings_from_terminfo(info, record)?)
    }
}

/// The documents with a prefix, on the way.
struct Gathering {
    documents: Vec<u64>,
    /// Where the words before the last one begin, by document; `None` if there are none.
    starts: Option<Vec<(DocId, Vec<u32>)>>,
}

impl Gathering {
    fn behind(planner: &Planner<'_>, before: &[(u32, TermInfo)]) -> tantivy::Result<Self> {
        let mut starts = None;
        if !before.is_empty() {
            let mut together = Together::of(planner, before, Wants::Places)?;
            let starts = starts.insert(Vec::new());
            let mut doc = together.candidate(0);
            while doc != TERMINATED {
                if together.has(doc) {
                    starts.push((doc, together.starts.clone()));
                }
                doc = together.candidate(doc + 1);
            }
        }
        Ok(Self {
            documents: vec![0; planner.max_doc as usize / 64 + 1],
            starts,
        })
    }

    fn insert(&mut self, doc: DocId) {
        if let Some(word) = self.documents.get_mut(doc as usize / 64) {
            *word |= 1 << (doc % 64);
        }
    }

    /// Adds the documents of one word, which stands `offset` behind the start.
    fn add(&mut self, planner: &Planner<'_>, word: &TermInfo, offset: u32) -> tantivy::Result<()> {
        let Some(starts) = self.starts.take() else {
            let mut blocks = planner
                .index
                .read_block_postings_from_terminfo(word, IndexRecordOption::Basic)?;
            while !blocks.docs().is_empty() {
                for doc in blocks.docs() {
                    self.insert(*doc);
                }
                blocks.advance();
            }
            return Ok(());
        };
        let mut word = planner.postings(word, IndexRecordOption::WithFreqsAndPositions)?;
        let mut positions = Vec::new();
        let mut rest = &starts[..];
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
                let mut ends = starts.iter().map(|start| start + offset);
                if ends.any(|end| positions.binary_search(&end).is_ok()) {
                    self.insert(*doc);
                }
                word.advance();
            }
        }
        self.starts = Some(starts);
        Ok(())
    }
}

impl Plan {
    /// How many documents may match, at most.
    fn documents(&self, max_doc: DocId) -> u32 {
        let of = |part: &Self| part.documents(max_doc);
        match self {
            Self::All(parts) => parts.iter().map(of).min().unwrap_or(0),
            Self::Any(parts) | Self::Words(parts) => parts
                .iter()
                .map(of)
                .fold(0, u32::saturating_add)
                .min(max_doc),
            Self::Not(_) => max_doc,
            Self::Phrase(words, _) => words.first().map_or(0, |(_, info)| info.doc_freq),
            Self::Gathered(documents) => documents.iter().map(|word| word.count_ones()).sum(),
            Self::Nothing => 0,
        }
    }

    /// How many documents match, at least, deleted ones too.
    pub(super) fn documents_at_least(&self, max_doc: DocId) -> u32 {
        let of = |part: &Self| part.documents_at_least(max_doc);
        match self {
            // as few as can be that the others have left out
            Self::All(parts) => parts.iter().fold(max_doc, |least, part| {
                least.saturating_sub(max_doc.saturating_sub(of(part)))
            }),
            Self::Any(parts) | Self::Words(parts) => parts.iter().map(of).max().unwrap_or(0),
            Self::Not(part) => max_doc.saturating_sub(part.documents(max_doc)),
            Self::Phrase(words, _) => match &words[..] {
                [(_, info)] => info.doc_freq,
                _ => 0,
            },
            Self::Gathered(_) => self.documents(max_doc),
            Self::Nothing => 0,
        }
    }
}

/// A walk through the documents of one segment.
pub(super) struct Scan<'p> {
    node: Node<'p>,
    max_doc: DocId,
}

/// A part of a query that goes from document to document.
enum Node<'p> {
    All(Vec<Node<'p>>),
    Any(Vec<Node<'p>>),
    Not(Box<Node<'p>>),
    Phrase(Box<Together>),
    Words(Vec<Node<'p>>),
    Gathered(&'p [u64]),
    Nothing,
}

impl<'p> Scan<'p> {
    /// At the beginning of `segment`. Reads positions only where words stand side by side.
    ///
    /// # Errors
    /// What reading the index fails with.
    pub(super) fn of(
        plan: &'p Plan,
        planner: &Planner<'_>,
        segment: &SegmentReader,
    ) -> tantivy::Result<Self> {
        let norms = segment.get_fieldnorms_reader(planner.field)?;
        Ok(Self {
            node: Node::of(plan, planner, &norms)?,
            max_doc: planner.max_doc,
        })
    }

    /// The first document from `from` on that may match and fit as well as `worth`: none before it
    /// does. Like all here, never to be asked for less than before.
    pub(super) fn candidate(&mut self, from: DocId, worth: f32) -> DocId {
        match self.node.worthy(from, worth) {
            doc if doc < self.max_doc => doc,
            _ => TERMINATED,
        }
    }

    /// Whether `doc` matches.
    pub(super) fn has(&mut self, doc: DocId) -> bool {
        self.node.has(doc)
    }

    /// How well `doc` fits, which matches.
    pub(super) fn score(&mut self, doc: DocId) -> f32 {
        self.node.score(doc)
    }

    /// How well `doc`, a candidate, may fit at most.
    pub(super) fn score_at_most(&mut self, doc: DocId) -> f32 {
        self.node.score_at_most(doc)
    }
}

impl<'p> Node<'p> {
    fn of(plan: &'p Plan, planner: &Planner<'_>, norms: &FieldNormReader) -> tantivy::Result<Self> {
        let all = |parts: &'p [Plan]| -> tantivy::Result<Vec<Self>> {
            parts
                .iter()
                .map(|part| Self::of(part, planner, norms))
                .collect()
        };
        Ok(match plan {
            Plan::All(parts) => Self::All(all(parts)?),
            Plan::Any(parts) => Self::Any(all(parts)?),
            Plan::Words(parts) => Self::Words(all(parts)?),
            Plan::Not(part) => Self::Not(Box::new(Self::of(part, planner, norms)?)),
            Plan::Phrase(words, weigher) => {
                let wants = match weigher {
                    Some(_) => Wants::Times,
                    None => Wants::Presence,
                };
                let mut together = Together::of(planner, words, wants)?;
                if let Some(weigher) = weigher {
                    together.fitting = Some(Fitting::of(planner, words, weigher, norms)?);
                }
                Self::Phrase(Box::new(together))
            }
            Plan::Gathered(documents) => Self::Gathered(documents),
            Plan::Nothing => Self::Nothing,
        })
    }

    fn candidate(&mut self, from: DocId) -> DocId {
        match self {
            Self::All(parts) => {
                let mut doc = from;
                loop {
                    let next = parts
                        .iter_mut()
                        .map(|part| part.candidate(doc))
                        .find(|next| *next > doc);
                    match next {
                        None | Some(TERMINATED) => return next.unwrap_or(doc),
                        Some(next) => doc = next,
                    }
                }
            }
            Self::Any(parts) | Self::Words(parts) => parts
                .iter_mut()
                .map(|part| part.candidate(from))
                .min()
                .unwrap_or(TERMINATED),
            Self::Not(_) => from,
            Self::Phrase(together) => together.candidate(from),
            Self::Gathered(documents) => {
                let mut at = from as usize / 64;
                let mut word =
                    documents.get(at).copied().unwrap_or(0) >> (from % 64) << (from % 64);
                while word == 0 {
                    at += 1;
                    match documents.get(at) {
                        Some(next) => word = *next,
                        None => return TERMINATED,
                    }
                }
                DocId::try_from(at * 64).map_or(TERMINATED, |doc| doc + word.trailing_zeros())
            }
            Self::Nothing => TERMINATED,
        }
    }

    /// The first candidate from `from` on that may fit as well as `worth`, as far as is easily told.
    fn worthy(&mut self, from: DocId, worth: f32) -> DocId {
        let mut doc = from;
        loop {
            let worthy = match self {
                Self::Phrase(together) => together.worthy(doc, worth).0,
                // what leads comes to an end by itself
                Self::All(parts) if matches!(parts.first(), Some(Self::Phrase(_))) => {
                    worthy_of_all(parts, doc, worth)
                }
                _ => doc,
            };
            let next = self.candidate(worthy);
            if next == worthy || next == TERMINATED {
                return next;
            }
            doc = next;
        }
    }

    /// How well `doc` may fit at most; `None` if it does not match. Never to be asked for less than
    /// before.
    fn fits(&mut self, doc: DocId) -> Option<f32> {
        match self {
            Self::Phrase(together) => match &mut together.fitting {
                Some(fitting) => fitting.at(doc),
                None => Some(0.0),
            },
            _ => Some(self.most()),
        }
    }

    /// How well no document can fit better.
    fn most(&self) -> f32 {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::most).sum(),
            Self::Not(_) | Self::Nothing => 0.0,
            Self::Phrase(together) => together.fitting.as_ref().map_or(0.0, Fitting::most),
            Self::Words(_) | Self::Gathered(_) => 1.0,
        }
    }

    fn has(&mut self, doc: DocId) -> bool {
        match self {
            Self::All(parts) => parts.iter_mut().all(|part| part.has(doc)),
            Self::Any(parts) | Self::Words(parts) => parts.iter_mut().any(|part| part.has(doc)),
            Self::Not(part) => !part.has(doc),
            Self::Phrase(together) => together.has(doc),
            Self::Gathered(documents) => documents
                .get(doc as usize / 64)
                .is_some_and(|word| word >> (doc % 64) & 1 == 1),
            Self::Nothing => false,
        }
    }

    fn score(&mut self, doc: DocId) -> f32 {
        // remembered by phrase, and so asked for once
        if !self.has(doc) {
            return 0.0;
        }
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter_mut().map(|part| part.score(doc)).sum()
            }
            Self::Not(_) | Self::Nothing => 0.0,
            Self::Phrase(together) => together.score(doc),
            Self::Words(_) | Self::Gathered(_) => 1.0,
        }
    }

    fn score_at_most(&mut self, doc: DocId) -> f32 {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter_mut().map(|part| part.score_at_most(doc)).sum()
            }
            Self::Not(_) | Self::Nothing => 0.0,
            Self::Phrase(together) => match together.candidate(doc) == doc {
                true => together.score(doc),
                false => 0.0,
            },
            Self::Words(_) | Self::Gathered(_) => f32::from(u8::from(self.candidate(doc) == doc)),
        }
    }
}

/// The first document from `from` on that may fit all of `parts`, the rarest first, as well as `worth`.
fn worthy_of_all(parts: &mut [Node<'_>], from: DocId, worth: f32) -> DocId {
    let Some((Node::Phrase(lead), others)) = parts.split_first_mut() else {
        return from;
    };
    // sums are rounded
    let worth = worth - worth.abs() * 1e-5;
    let most: f32 = others.iter().map(Node::most).sum();
    let mut doc = from;
    loop {
        let fits;
        (doc, fits) = lead.worthy(doc, worth - most);
        if doc == TERMINATED {
            return doc;
        }
        let sum = others
            .iter_mut()
            .try_fold(fits, |sum, other| Some(sum + other.fits(doc)?));
        if sum.is_some_and(|sum| sum >= worth) {
            return doc;
        }
        doc += 1;
    }
}

/// What is to be known of a document with a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// That it has it.
    Presence,
    /// How often it has its words.
    Times,
    /// Where it is.
    Places,
}

/// How well documents fit that have all words of a phrase, wherever they are. Goes through the words'
/// documents block by block, which takes a tenth of what going from one to the next does.
struct Fitting {
    weigher: Weigher,
    norms: FieldNormReader,
    /// The rarest first.
    words: Vec<Blocks>,
}

/// The documents of a word, and how often it is in each.
struct Blocks {
    postings: BlockSegmentPostings,
    /// Where the walk is in the block.
    at: usize,
}

impl Blocks {
    /// The first document from `from` on, and how often it has the word.
    #[inline]
    fn next(&mut self, from: DocId) -> Option<(DocId, u32)> {
        loop {
            let docs = self.postings.docs();
            while let Some(&doc) = docs.get(self.at) {
                if doc >= from {
                    let times = self.postings.freqs().get(self.at);
                    return Some((doc, times.copied().unwrap_or(1)));
                }
                self.at += 1;
            }
            self.at = self.postings.seek(from);
            if self.at >= self.postings.docs().len() {
                return None;
            }
        }
    }
}

impl Fitting {
    fn of(
        planner: &Planner<'_>,
        words: &[(u32, TermInfo)],
        weigher: &Weigher,
        norms: &FieldNormReader,
    ) -> tantivy::Result<Self> {
        let record = IndexRecordOption::WithFreqs;
        let index = planner.index;
        let blocks = words.iter().map(|(_, info)| {
            let postings = index.read_block_postings_from_terminfo(info, record)?;
            Ok(Blocks { postings, at: 0 })
        });
        Ok(Self {
            weigher: weigher.clone(),
            norms: norms.clone(),
            words: blocks.collect::<tantivy::Result<_>>()?,
        })
    }

    fn score(&self, doc: DocId, times: u32) -> f32 {
        self.weigher.0.score(self.norms.fieldnorm_id(doc), times)
    }

    fn most(&self) -> f32 {
        self.weigher.0.max_score()
    }

    /// How well `doc` fits, if it has all words.
    fn at(&mut self, doc: DocId) -> Option<f32> {
        let mut least = u32::MAX;
        for word in &mut self.words {
            let (_, times) = word.next(doc).filter(|(next, _)| *next == doc)?;
            least = least.min(times);
        }
        Some(self.score(doc, least))
    }

    /// The next of the rarest word's documents from `from` on and how well it fits, if it has all words
    /// and fits as well as `worth`; else where to go on. `None` at the end.
    fn step(&mut self, from: DocId, worth: f32) -> Option<Result<(DocId, f32), DocId>> {
        let (rarest, others) = self.words.split_first_mut()?;
        let (doc, mut least) = rarest.next(from)?;
        let norm = self.norms.fieldnorm_id(doc);
        let mut fits = self.weigher.0.score(norm, least);
        if fits < worth {
            return Some(Err(doc + 1));
        }
        if others.is_empty() {
            return Some(Ok((doc, fits)));
        }
        for word in others {
            let (next, times) = word.next(doc)?;
            if next > doc {
                return Some(Err(next));
            }
            least = least.min(times);
        }
        fits = self.weigher.0.score(norm, least);
        Some(if fits >= worth {
            Ok((doc, fits))
        } else {
            Err(doc + 1)
        })
    }
}

/// Gives each of `starts` that one of `others` follows at `offset` to `each`, until that says no; whether
/// there was one. Both are in order.
fn follows(starts: &[u32], others: &[u32], offset: u32, mut each: impl FnMut(u32) -> bool) -> bool {
    let (mut at, mut other_at, mut any) = (0, 0, false);
    while let (Some(&start), Some(&other)) = (starts.get(at), others.get(other_at)) {
        let wanted = start + offset;
        if wanted == other {
            any = true;
            if !each(start) {
                break;
            }
        }
        // which of them goes on is no branch to be guessed
        at += usize::from(wanted <= other);
        other_at += usize::from(wanted > other);
    }
    any
}

/// Words side by side.
struct Together {
    /// The rarest first, each with its place behind the first of the phrase.
    words: Vec<(u32, SegmentPostings)>,
    /// Where it is to be said how well documents fit.
    fitting: Option<Fitting>,
    wants: Wants,
    /// Where the phrase begins in the document that was asked for last.
    starts: Vec<u32>,
    /// Room for those of them that stay.
    kept: Vec<u32>,
    others: Vec<u32>,
    asked: DocId,
    /// Whether that has it.
    found: bool,
    /// What lies from here on is not looked at.
    end: DocId,
    looks: Looks,
}

/// Looks at the clock from time to time.
struct Looks {
    steps: u32,
    budget: Budget,
}

impl Looks {
    /// Whether there is time left after so many steps more.
    fn lasts(&mut self, steps: u32) -> bool {
        self.steps = self.steps.saturating_add(steps);
        if self.steps < STEPS {
            return true;
        }
        self.steps = 0;
        self.budget.lasts()
    }
}

impl Together {
    fn of(planner: &Planner<'_>, words: &[(u32, TermInfo)], wants: Wants) -> tantivy::Result<Self> {
        let record = match wants {
            Wants::Presence if words.len() == 1 => IndexRecordOption::Basic,
            Wants::Times if words.len() == 1 => IndexRecordOption::WithFreqs,
            _ => IndexRecordOption::WithFreqsAndPositions,
        };
        let words = words
            .iter()
            .map(|(offset, info)| Ok((*offset, planner.postings(info, record)?)));
        Ok(Self {
            words: words.collect::<tantivy::Result<_>>()?,
            fitting: None,
            wants,
            starts: Vec::new(),
            kept: Vec::new(),
            others: Vec::new(),
            asked: TERMINATED,
            found: false,
            end: planner.max_doc,
            looks: Looks {
                steps: 0,
                budget: planner.budget.clone(),
            },
        })
    }

    /// The first document from `from` on that has all words, wherever.
    fn candidate(&mut self, from: DocId) -> DocId {
        let mut doc = from;
        loop {
            let mut next = doc;
            for (_, postings) in &mut self.words {
                if postings.doc() < doc {
                    postings.seek(doc);
                }
                next = postings.doc();
                if next != doc {
                    break;
                }
            }
            if next >= self.end {
                return TERMINATED;
            }
            if next == doc {
                return next;
            }
            doc = next;
            if !self.looks.lasts(1) {
                return TERMINATED;
            }
        }
    }

    /// The first document from `from` on that has all words and fits as well as `worth`, and how well it
    /// does, if the words stand side by side.
    fn worthy(&mut self, from: DocId, worth: f32) -> (DocId, f32) {
        const END: (DocId, f32) = (TERMINATED, 0.0);
        let Some(fitting) = &mut self.fitting else {
            return (from, 0.0);
        };
        let mut doc = from;
        loop {
            match fitting.step(doc, worth) {
                None => return END,
                Some(Ok((doc, _)) | Err(doc)) if doc >= self.end => return END,
                Some(Ok(found)) => return found,
                Some(Err(next)) => doc = next,
            }
            if !self.looks.lasts(1) {
                return END;
            }
        }
    }

    fn has(&mut self, doc: DocId) -> bool {
        if self.asked != doc {
            self.asked = doc;
            self.found = self.there(doc) && self.meet();
        }
        self.found
    }

    /// Whether all words are in `doc`.
    fn there(&mut self, doc: DocId) -> bool {
        self.words.iter_mut().all(|(_, postings)| {
            if postings.doc() < doc {
                postings.seek(doc);
            }
            postings.doc() == doc
        })
    }

    /// Whether the words stand side by side in the document that all of them are at.
    fn meet(&mut self) -> bool {
        let Some(((offset, first), rest)) = self.words.split_first_mut() else {
            return false;
        };
        if rest.is_empty() && self.wants != Wants::Places {
            return true;
        }
        first.positions_with_offset(0, &mut self.starts);
        if *offset > 0 {
            self.starts.retain_mut(|position| {
                let start = position.checked_sub(*offset);
                *position = start.unwrap_or_default();
                start.is_some()
            });
        }
        let last = rest.len().saturating_sub(1);
        for (number, (offset, postings)) in rest.iter_mut().enumerate() {
            if self.starts.is_empty() {
                break;
            }
            postings.positions_with_offset(0, &mut self.others);
            let places = u32::try_from(self.others.len()).unwrap_or(u32::MAX);
            if !self.looks.lasts(places) {
                return false;
            }
            if number == last && self.wants != Wants::Places {
                return follows(&self.starts, &self.others, *offset, |_| false);
            }
            self.kept.clear();
            follows(&self.starts, &self.others, *offset, |start| {
                self.kept.push(start);
                true
            });
            std::mem::swap(&mut self.starts, &mut self.kept);
        }
        !self.starts.is_empty()
    }

    /// Of a document that has all words.
    fn score(&self, doc: DocId) -> f32 {
        let times = self.words.iter().map(|(_, postings)| postings.term_freq());
        let times = times.min().unwrap_or(0);
        let fitting = self.fitting.as_ref();
        fitting.map_or(0.0, |fitting| fitting.score(doc, times))
    }
}
