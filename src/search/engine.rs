//! The text index in its folder: opening, writing, and looking things up.
//!
//! One document a run: its key and version, by which the index is compared with the history; its
//! start, project and status, by which hits are ordered and restricted; and the words of its texts with
//! their positions. No text is kept. Whoever holds the lock beside the folder writes; others read what
//! is committed there.

use std::cmp::Ordering;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::query::{
    AllQuery, BooleanQuery, ConstScoreQuery, EnableScoring, Occur, Query as TantivyQuery, TermQuery,
};
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::store::Compressor;
use tantivy::tokenizer::{TextAnalyzer, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{
    DocAddress, DocSet, Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Searcher,
    TERMINATED, TantivyDocument, TantivyError, Term,
};

use super::budget::Budget;
use super::folder::IndexFolder;
use super::query::Query;
use super::sought::Sought;
use super::texts::texts;
use super::token::Tokens;
use super::{Place, Sort, Wanted};
use crate::model::{ExecutionId, Millis, ProjectId, RunKey, Version};
use crate::store::{Cache, CacheError};

/// The folder with the index, in the root's cache.
const FOLDER: &str = "search";
/// Whose holder writes to it.
const LOCK: &str = "search.lock";
/// Named in the index: another number, another way to read a record or its words, and the index is
/// built anew.
const ANALYZER: &str = "runlog-1";
/// How much memory words take before they are written.
const WRITER_BYTES: usize = 64 << 20;
/// How much text waits to be cut into words.
const WAITING_BYTES: usize = 8 << 20;
/// Why waiting for that is looked into.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Runs without a start come last.
const NO_START: i64 = i64::MIN;
/// How many candidates are told apart by the clock's leave.
const STEPS: usize = 1024;

/// Why there is no text index.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("{0}")]
    Cache(#[from] CacheError),
    #[error("{0}")]
    Index(#[from] TantivyError),
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What lies there cannot be read, and another daemon holds its lock.
    #[error("another daemon builds the text index")]
    Elsewhere,
}

impl EngineError {
    /// Whether there was no room.
    pub(super) fn is_full(&self) -> bool {
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(this) = error {
            if let Some(io) = this.downcast_ref::<io::Error>()
                && matches!(
                    io.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            {
                return true;
            }
            error = this.source();
        }
        self.to_string().contains("No space left")
    }
}

#[derive(Debug, Clone, Copy)]
struct Fields {
    key: Field,
    version: Field,
    started: Field,
    project: Field,
    status: Field,
    text: Field,
}

fn schema() -> (Schema, Fields) {
    let words = |record| {
        TextFieldIndexing::default()
            .set_index_option(record)
            .set_fieldnorms(false)
    };
    let name = TextOptions::default()
        .set_indexing_options(words(IndexRecordOption::Basic).set_tokenizer("raw"));
    let text = TextOptions::default().set_indexing_options(
        words(IndexRecordOption::WithFreqsAndPositions)
            .set_tokenizer(ANALYZER)
            .set_fieldnorms(true),
    );
    let mut schema = Schema::builder();
    let fields = Fields {
        key: schema.add_text_field("key", name.clone() | STORED),
        version: schema.add_bytes_field("version", STORED),
        started: schema.add_i64_field("started", FAST),
        project: schema.add_text_field("project", name.clone()),
        status: schema.add_text_field("status", name),
        text: schema.add_text_field("text", text),
    };
    (schema.build(), fields)
}

/// The run as the index names it; ids hold no slash.
fn key_text(key: &RunKey) -> String {
    format!("{}/{}", key.project, key.execution)
}

fn parse_key(text: &str) -> Option<RunKey> {
    let (project, execution) = text.split_once('/')?;
    Some(RunKey {
        project: ProjectId::parse(project).ok()?,
        execution: ExecutionId::parse(execution).ok()?,
    })
}

/// How much text was handed over and is not cut into words yet.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Mutex<usize>,
    less: Condvar,
}

impl Waiting {
    fn add(&self, bytes: usize) {
        *self.bytes.lock() += bytes;
    }

    fn take(&self, bytes: usize) {
        let mut held = self.bytes.lock();
        *held = held.saturating_sub(bytes);
        self.less.notify_all();
    }

    /// Returns when there is room, or nobody makes any.
    fn wait(&self) {
        let mut held = self.bytes.lock();
        while *held > WAITING_BYTES {
            if self.less.wait_for(&mut held, STALLED_AFTER).timed_out() {
                return;
            }
        }
    }
}

/// Our tokens as tantivy asks for them.
#[derive(Clone)]
struct Analyzer(Arc<Waiting>);

struct Stream<'t> {
    tokens: Tokens<'t>,
    token: tantivy::tokenizer::Token,
    bytes: usize,
    waiting: &'t Waiting,
}

impl Tokenizer for Analyzer {
    type TokenStream<'t> = Stream<'t>;

    fn token_stream<'t>(&'t mut self, text: &'t str) -> Stream<'t> {
        Stream {
            tokens: Tokens::of(text),
            token: tantivy::tokenizer::Token::default(),
            bytes: text.len(),
            waiting: &self.0,
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.waiting.take(self.bytes);
    }
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let Some(token) = self.tokens.step() else {
            return false;
        };
        self.token.position = token.position as usize;
        self.token.offset_from = token.range.start;
        self.token.offset_to = token.range.end;
        self.tokens.swap_text(&mut self.token.text);
        true
    }

    fn token(&self) -> &tantivy::tokenizer::Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut tantivy::tokenizer::Token {
        &mut self.token
    }
}

/// An open index.
pub(super) struct Opened {
    pub(super) view: Arc<View>,
    /// For the one who holds the lock.
    pub(super) writer: Option<Writer>,
}

/// The lock beside the index, if nobody holds it.
fn lock(home: &Path) -> io::Result<Option<File>> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(home.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether nobody writes to the index below the cache.
///
/// # Errors
/// [`EngineError`].
pub(super) fn is_free(cache: &Cache) -> Result<bool, EngineError> {
    Ok(lock(&cache.folder()?)?.is_some())
}

/// Opens the index below the cache, made anew where it is missing, damaged, not of this version or
/// `suspect`. Blocks, and reads all of it.
///
/// # Errors
/// [`EngineError`].
pub(super) fn open(cache: &Cache, suspect: bool) -> Result<Opened, EngineError> {
    let home = cache.folder()?;
    let folder = home.join(FOLDER);
    let waiting = Arc::new(Waiting::default());
    let Some(lock) = lock(&home)? else {
        let index = open_index(&folder, &waiting, false).map_err(|_| EngineError::Elsewhere)?;
        return Ok(Opened {
            view: Arc::new(View::of(&index)?),
            writer: None,
        });
    };
    let opened = match suspect {
        true => Err("a search in it failed".to_owned()),
        false => open_index(&folder, &waiting, true),
    };
    let index = match opened {
        Ok(index) => index,
        Err(why) => {
            if folder.exists() {
                tracing::warn!(why, "the text index is dropped and built anew");
                fs::remove_dir_all(&folder)?;
            }
            make_index(&folder, &waiting)?
        }
    };
    let generation = match index.load_metas()?.payload {
        Some(generation) => generation,
        None => format!("{:016x}", crate::index::Instance::random().0),
    };
    let options = IndexWriterOptions::builder()
        .num_worker_threads(1)
        .num_merge_threads(1)
        .memory_budget_per_thread(WRITER_BYTES)
        .build();
    let writer = index.writer_with_options(options)?;
    let mut policy = LogMergePolicy::default();
    policy.set_min_layer_size(256);
    writer.set_merge_policy(Box::new(policy));
    let (_, fields) = schema();
    Ok(Opened {
        view: Arc::new(View::of(&index)?),
        writer: Some(Writer {
            writer,
            fields,
            generation,
            waiting,
            _lock: lock,
        }),
    })
}

fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

fn tokenizers(waiting: &Arc<Waiting>) -> TokenizerManager {
    let tokenizers = TokenizerManager::default();
    tokenizers.register(ANALYZER, TextAnalyzer::from(Analyzer(Arc::clone(waiting))));
    tokenizers
}

/// The index in `folder`; why it is of no use otherwise.
fn open_index(folder: &Path, waiting: &Arc<Waiting>, checked: bool) -> Result<Index, String> {
    let (wanted, _) = schema();
    let index = IndexFolder::open(folder)
        .and_then(Index::open)
        .map_err(|error| error.to_string())?;
    if index.schema() != wanted || *index.settings() != settings() {
        return Err("it is of another version".to_owned());
    }
    if checked {
        let damaged = index
            .validate_checksum()
            .map_err(|error| error.to_string())?;
        if !damaged.is_empty() {
            return Err(format!("{} of its files are damaged", damaged.len()));
        }
    }
    let mut index = index;
    index.set_tokenizers(tokenizers(waiting));
    Ok(index)
}

fn make_index(folder: &Path, waiting: &Arc<Waiting>) -> Result<Index, EngineError> {
    DirBuilder::new().mode(0o700).create(folder)?;
    let index = Index::builder()
        .schema(schema().0)
        .settings(settings())
        .tokenizers(tokenizers(waiting))
        .open_or_create(IndexFolder::open(folder)?)?;
    Ok(index)
}

/// What is written to the index.
pub(super) struct Writer {
    writer: IndexWriter,
    fields: Fields,
    /// Drawn when the index was made.
    generation: String,
    waiting: Arc<Waiting>,
    _lock: File,
}

/// A run to be put into the index.
pub(super) struct Entry<'r> {
    pub(super) key: &'r RunKey,
    pub(super) version: Version,
    pub(super) started: Option<Millis>,
    pub(super) status: Option<&'r str>,
    /// The text of the record; none where it is over a limit.
    pub(super) record: Option<&'r str>,
    /// There may be one of that key already.
    pub(super) replaces: bool,
}

impl Writer {
    /// Puts a run in the place of what is known of it. Waits while much is on the way.
    pub(super) fn put(&self, entry: &Entry<'_>) -> tantivy::Result<()> {
        let fields = &self.fields;
        let name = key_text(entry.key);
        if entry.replaces {
            self.writer
                .delete_term(Term::from_field_text(fields.key, &name));
        }
        let mut document = TantivyDocument::new();
        document.add_text(fields.key, name);
        document.add_bytes(fields.version, &entry.version.0);
        document.add_i64(fields.started, entry.started.map_or(NO_START, |at| at.0));
        document.add_text(fields.project, entry.key.project.as_str());
        if let Some(status) = entry.status {
            document.add_text(fields.status, status);
        }
        let mut bytes = 0;
        if let Some(record) = entry.record {
            texts(record, |_, text| {
                document.add_text(fields.text, text);
                bytes += text.len();
                true
            });
        }
        self.waiting.wait();
        self.waiting.add(bytes);
        self.writer.add_document(document)?;
        Ok(())
    }

    /// Takes a run out.
    pub(super) fn remove(&self, key: &RunKey) {
        let term = Term::from_field_text(self.fields.key, &key_text(key));
        self.writer.delete_term(term);
    }

    /// Makes what was put and removed the state that is searched.
    pub(super) fn commit(&mut self) -> tantivy::Result<()> {
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&self.generation);
        commit.commit()?;
        Ok(())
    }
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the budget is spent")]
    Spent,
    #[error("{0}")]
    Index(#[from] TantivyError),
}

/// What can be searched.
pub(super) struct View {
    reader: IndexReader,
    fields: Fields,
}

/// A document that matches, before its key is known.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    score: f32,
    started: i64,
    at: DocAddress,
}

impl Candidate {
    fn order(&self, other: &Self) -> Ordering {
        rank(other.score, other.started, self.score, self.started)
    }
}

/// How the first compares with the second, the better being the greater.
fn rank(score: f32, started: i64, other_score: f32, other_started: i64) -> Ordering {
    score
        .total_cmp(&other_score)
        .then(started.cmp(&other_started))
}

impl View {
    fn of(index: &Index) -> tantivy::Result<Self> {
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        Ok(Self {
            reader,
            fields: schema().1,
        })
    }

    /// Goes on to what was committed last.
    pub(super) fn reload(&self) -> tantivy::Result<()> {
        self.reader.reload()
    }

    /// Which index it is, drawn when it was made; `None` before its first commit.
    pub(super) fn generation(&self) -> tantivy::Result<Option<String>> {
        Ok(self.reader.searcher().index().load_metas()?.payload)
    }

    /// How many runs are in the index.
    pub(super) fn runs(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Gives every run with its version to `each`.
    pub(super) fn each_run(
        &self,
        mut each: impl FnMut(RunKey, Option<Version>),
    ) -> tantivy::Result<()> {
        for segment in self.reader.searcher().segment_readers() {
            let store = segment.get_store_reader(1)?;
            for document in store.iter::<TantivyDocument>(segment.alive_bitset()) {
                let document = document?;
                if let Some(key) = self.key(&document) {
                    each(key, self.version(&document));
                }
            }
        }
        Ok(())
    }

    /// The version of one run.
    pub(super) fn version_of(&self, key: &RunKey) -> tantivy::Result<Option<Version>> {
        let term = Term::from_field_text(self.fields.key, &key_text(key));
        let searcher = self.reader.searcher();
        for (ord, segment) in (0..).zip(searcher.segment_readers()) {
            let index = segment.inverted_index(self.fields.key)?;
            let Some(mut found) = index.read_postings(&term, IndexRecordOption::Basic)? else {
                continue;
            };
            while found.doc() != TERMINATED {
                if !segment.is_deleted(found.doc()) {
                    let document = searcher.doc(DocAddress::new(ord, found.doc()))?;
                    return Ok(self.version(&document));
                }
                found.advance();
            }
        }
        Ok(None)
    }

    fn key(&self, document: &TantivyDocument) -> Option<RunKey> {
        parse_key(document.get_first(self.fields.key)?.as_str()?)
    }

    fn version(&self, document: &TantivyDocument) -> Option<Version> {
        let bytes = document.get_first(self.fields.version)?.as_bytes()?;
        bytes.try_into().ok().map(Version)
    }

    fn query(&self, wanted: &Wanted, budget: &Budget) -> Box<dyn TantivyQuery> {
        let mut parts = vec![(Occur::Must, self.translate(&wanted.query, budget))];
        let name = |field, text: &str| -> Box<dyn TantivyQuery> {
            let term = Term::from_field_text(field, text);
            Box::new(TermQuery::new(term, IndexRecordOption::Basic))
        };
        let mut restrict = |query| {
            let unscored: Box<dyn TantivyQuery> = Box::new(ConstScoreQuery::new(query, 0.0));
            parts.push((Occur::Must, unscored));
        };
        if let Some(project) = &wanted.project {
            restrict(name(self.fields.project, project.as_str()));
        }
        if let Some(statuses) = &wanted.statuses {
            let any = statuses
                .iter()
                .map(|status| (Occur::Should, name(self.fields.status, status.as_str())))
                .collect();
            restrict(Box::new(BooleanQuery::new(any)));
        }
        if parts.len() == 1
            && let Some((_, only)) = parts.pop()
        {
            return only;
        }
        Box::new(BooleanQuery::new(parts))
    }

    fn translate(&self, query: &Query, budget: &Budget) -> Box<dyn TantivyQuery> {
        let join = |occur, parts: &[Query]| -> Vec<(Occur, Box<dyn TantivyQuery>)> {
            parts
                .iter()
                .map(|part| (occur, self.translate(part, budget)))
                .collect()
        };
        match query {
            Query::Any(parts) => Box::new(BooleanQuery::new(join(Occur::Should, parts))),
            Query::All(parts) => {
                // what is excluded stands beside what is looked for, and costs no look at all runs
                let (excluded, sought): (Vec<&Query>, Vec<&Query>) =
                    parts.iter().partition(|part| matches!(part, Query::Not(_)));
                let mut clauses: Vec<(Occur, Box<dyn TantivyQuery>)> = Vec::new();
                if sought.is_empty() {
                    clauses.push((Occur::Must, Box::new(AllQuery)));
                }
                for part in sought {
                    clauses.push((Occur::Must, self.translate(part, budget)));
                }
                for part in excluded {
                    if let Query::Not(part) = part {
                        clauses.push((Occur::MustNot, self.translate(part, budget)));
                    }
                }
                Box::new(BooleanQuery::new(clauses))
            }
            Query::Not(part) => Box::new(BooleanQuery::new(vec![
                (Occur::Must, Box::new(AllQuery)),
                (Occur::MustNot, self.translate(part, budget)),
            ])),
            Query::Phrase(phrase) => Box::new(Sought::new(
                self.fields.text,
                phrase.clone(),
                budget.clone(),
            )),
        }
    }

    /// Gives the matches to `each` in their order until that returns false; how many there are.
    ///
    /// # Errors
    /// [`Fault::Spent`] when that takes too long.
    pub(super) fn search(
        &self,
        wanted: &Wanted,
        budget: &Budget,
        mut each: impl FnMut(Place) -> bool,
    ) -> Result<usize, Fault> {
        let searcher = self.reader.searcher();
        let (total, mut candidates) = self.candidates(&searcher, wanted, budget)?;
        // the best ones are sorted, not all
        let mut at_once = wanted.limit.saturating_mul(2);
        while !candidates.is_empty() {
            let rest = if at_once < candidates.len() {
                candidates.select_nth_unstable_by(at_once, Candidate::order);
                let last = candidates[at_once];
                // those of the same rank are told apart by their keys
                let mut end = at_once + 1;
                let mut next = end;
                while next < candidates.len() {
                    if candidates[next].order(&last).is_eq() {
                        candidates.swap(next, end);
                        end += 1;
                    }
                    next += 1;
                }
                candidates.split_off(end)
            } else {
                Vec::new()
            };
            candidates.sort_unstable_by(Candidate::order);
            for equal in candidates.chunk_by(|one, other| one.order(other).is_eq()) {
                for place in self.places(&searcher, equal, budget)? {
                    let seen = wanted.after.as_ref().is_some_and(|after| {
                        let same = rank(
                            place.score,
                            start(place.started),
                            after.score,
                            start(after.started),
                        );
                        same.is_eq() && by_key(&place.key, &after.key).is_le()
                    });
                    if !seen && !each(place) {
                        return Ok(total);
                    }
                    if !budget.lasts() {
                        return Err(Fault::Spent);
                    }
                }
            }
            candidates = rest;
            at_once = at_once.saturating_mul(4);
        }
        Ok(total)
    }

    /// How many documents match, and those of them that do not come before the page.
    fn candidates(
        &self,
        searcher: &Searcher,
        wanted: &Wanted,
        budget: &Budget,
    ) -> Result<(usize, Vec<Candidate>), Fault> {
        let scored = wanted.sort == Sort::Relevance;
        let scoring = match scored {
            true => EnableScoring::enabled_from_searcher(searcher),
            false => EnableScoring::disabled_from_searcher(searcher),
        };
        let weight = self.query(wanted, budget).weight(scoring)?;
        let mut total = 0;
        let mut candidates = Vec::new();
        let mut steps = 0;
        for (ord, segment) in (0..).zip(searcher.segment_readers()) {
            let starts = segment
                .fast_fields()
                .column_first_or_default::<i64>("started")?;
            let alive = segment.alive_bitset();
            let mut scorer = weight.scorer(segment, 1.0)?;
            let mut doc = scorer.doc();
            while doc != TERMINATED {
                steps += 1;
                if steps % STEPS == 0 && !budget.lasts() {
                    return Err(Fault::Spent);
                }
                if alive.is_none_or(|alive| alive.is_alive(doc)) {
                    total += 1;
                    let candidate = Candidate {
                        score: if scored { scorer.score() } else { 0.0 },
                        started: starts.get_val(doc),
                        at: DocAddress::new(ord, doc),
                    };
                    let before = wanted.after.as_ref().is_some_and(|after| {
                        rank(
                            candidate.score,
                            candidate.started,
                            after.score,
                            start(after.started),
                        )
                        .is_gt()
                    });
                    if !before {
                        candidates.push(candidate);
                    }
                }
                doc = scorer.advance();
            }
        }
        // what was looked for may have come to an end before its time
        match budget.lasts() {
            true => Ok((total, candidates)),
            false => Err(Fault::Spent),
        }
    }

    /// Candidates of one rank with their keys, in order.
    fn places(
        &self,
        searcher: &Searcher,
        candidates: &[Candidate],
        budget: &Budget,
    ) -> Result<Vec<Place>, Fault> {
        let mut places = Vec::with_capacity(candidates.len());
        for (step, candidate) in candidates.iter().enumerate() {
            if step % STEPS == STEPS - 1 && !budget.lasts() {
                return Err(Fault::Spent);
            }
            let document = searcher.doc(candidate.at)?;
            places.extend(self.key(&document).map(|key| Place {
                score: candidate.score,
                started: (candidate.started != NO_START).then_some(Millis(candidate.started)),
                key,
            }));
        }
        places.sort_unstable_by(|one, other| by_key(&one.key, &other.key));
        Ok(places)
    }
}

fn start(started: Option<Millis>) -> i64 {
    started.map_or(NO_START, |at| at.0)
}

/// As lists have it: by id, then by project.
fn by_key(one: &RunKey, other: &RunKey) -> Ordering {
    let order = |one: &str, other: &str| one.as_bytes().cmp(other.as_bytes());
    order(one.execution.as_str(), other.execution.as_str())
        .then_with(|| order(one.project.as_str(), other.project.as_str()))
}
