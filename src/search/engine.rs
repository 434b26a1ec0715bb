//! The text index in its folder: opening, writing, and looking things up.
//!
//! One document a run: its key and version, by which the index is compared with the history; its start,
//! by which hits that fit alike are ordered; and the words of its texts with their positions. No text is
//! kept. Which runs a filter lets pass is not known here but to the history. Whoever holds the lock beside the folder writes; others read what
//! is committed there.

use std::cmp::Ordering;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tantivy::columnar::ColumnValues;
use tantivy::directory::error::{LockError, OpenDirectoryError, OpenReadError, OpenWriteError};
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::store::Compressor;
use tantivy::tokenizer::{TextAnalyzer, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{
    DocAddress, DocId, DocSet, Index, IndexReader, IndexSettings, IndexWriter, InvertedIndexReader,
    ReloadPolicy, Searcher, SegmentReader, TERMINATED, TantivyDocument, TantivyError, Term,
};

use super::budget::Budget;
use super::folder::IndexFolder;
use super::query::Query;
use super::scan::{self, Plan, Planner, Scan};
use super::texts::texts;
use super::token::Tokens;
use crate::history::with_help;
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
const WRITER_BYTES: usize = 32 << 20;
/// How much text waits to be cut into words.
const WAITING_BYTES: usize = 8 << 20;
/// Why waiting for that is looked into.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Runs without a start come last.
const NO_START: i64 = i64::MIN;
/// How many candidates are told apart by the clock's leave.
const STEPS: usize = 1024;
/// How many documents one thread looks through at once; in tests so few that several do.
const PIECE: DocId = if cfg!(test) { 4 } else { 1 << 14 };

/// Why there is no text index.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("{0}")]
    Cache(#[from] CacheError),
    #[error("{}", told(.0))]
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
        let full = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        match self {
            Self::Cache(CacheError::Io(error)) | Self::Io(error) => full(error),
            Self::Index(error) => match io_error(error) {
                Some(error) => full(error),
                // a thread of the writer gives its error as text
                None => error.to_string().contains("No space left"),
            },
            Self::Cache(CacheError::Untrusted) | Self::Elsewhere => false,
        }
    }
}

fn io_error(error: &TantivyError) -> Option<&io::Error> {
    match error {
        TantivyError::IoError(error)
        | TantivyError::LockFailure(LockError::IoError(error), _)
        | TantivyError::OpenDirectoryError(OpenDirectoryError::IoError {
            io_error: error, ..
        })
        | TantivyError::OpenReadError(OpenReadError::IoError {
            io_error: error, ..
        })
        | TantivyError::OpenWriteError(OpenWriteError::IoError {
            io_error: error, ..
        }) => Some(error),
        _ => None,
    }
}

/// An error of the index without paths and words, which tantivy's own texts may hold.
fn told(error: &TantivyError) -> String {
    if let Some(error) = io_error(error) {
        return error.kind().to_string();
    }
    let known = match error {
        TantivyError::OpenDirectoryError(_) | TantivyError::OpenReadError(_) => {
            "a file of it is missing"
        }
        TantivyError::DataCorruption(_) | TantivyError::DeserializeError(_) => "it is damaged",
        TantivyError::IncompatibleIndex(_) | TantivyError::SchemaError(_) => {
            "it is of another version"
        }
        TantivyError::LockFailure(..) => "another daemon writes to it",
        TantivyError::ErrorInThread(_) => "writing to it failed",
        _ => "it cannot be used",
    };
    known.to_owned()
}

#[derive(Debug, Clone, Copy)]
struct Fields {
    key: Field,
    version: Field,
    started: Field,
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
        key: schema.add_text_field("key", name | STORED),
        version: schema.add_bytes_field("version", STORED),
        started: schema.add_i64_field("started", FAST),
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

/// Nothing is opened through a link.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// The lock beside the index, if nobody holds it.
fn lock(home: &Path) -> io::Result<Option<File>> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(NO_FOLLOW)
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
        if fs::symlink_metadata(&folder).is_ok_and(|found| !found.is_dir()) {
            return Err(EngineError::Elsewhere);
        }
        let index = open_index(&folder, &waiting, false).map_err(|_| EngineError::Elsewhere)?;
        return Ok(Opened {
            view: Arc::new(View::of(&index)?),
            writer: None,
        });
    };
    let found = fs::symlink_metadata(&folder).ok();
    let opened = match &found {
        None => Err("it is missing".to_owned()),
        Some(found) if !found.is_dir() => Err("it is no folder".to_owned()),
        Some(_) if suspect => Err("a search in it failed".to_owned()),
        Some(_) => open_index(&folder, &waiting, true),
    };
    let index = match (opened, found) {
        (Ok(index), _) => index,
        (Err(why), found) => {
            if let Some(found) = found {
                tracing::warn!(why, "the text index is dropped and built anew");
                match found.is_dir() {
                    true => fs::remove_dir_all(&folder)?,
                    false => fs::remove_file(&folder)?,
                }
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
        .map_err(|error| told(&error))?;
    if index.schema() != wanted || *index.settings() != settings() {
        return Err("it is of another version".to_owned());
    }
    if checked {
        let damaged = index.validate_checksum().map_err(|error| told(&error))?;
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
    #[error("{}", told(.0))]
    Index(#[from] TantivyError),
}

/// What can be searched.
pub(super) struct View {
    reader: IndexReader,
    fields: Fields,
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
                if let Some(key) = key(self.fields, &document) {
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

    fn version(&self, document: &TantivyDocument) -> Option<Version> {
        let bytes = document.get_first(self.fields.version)?.as_bytes()?;
        bytes.try_into().ok().map(Version)
    }

    /// What is searched in, with the plans for a query; `scored` if it is to be said how well each
    /// document fits.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn looked_for<'b>(
        &self,
        query: &Query,
        scored: bool,
        budget: &'b Budget,
    ) -> Result<LookedFor<'b>, Fault> {
        let searcher = self.reader.searcher();
        let weighers = match scored {
            true => scan::weighers(&searcher, self.fields.text, query)?,
            false => Vec::new(),
        };
        let mut parts = Vec::with_capacity(searcher.segment_readers().len());
        for segment in searcher.segment_readers() {
            let words = segment.inverted_index(self.fields.text)?;
            let plan = planner(&words, self.fields, segment.max_doc(), budget)
                .plan(query, &mut weighers.iter().cloned())?;
            parts.push(Part {
                plan,
                words,
                keys: segment.inverted_index(self.fields.key)?,
                starts: segment
                    .fast_fields()
                    .column_first_or_default::<i64>("started")?,
            });
        }
        Ok(LookedFor {
            fields: self.fields,
            scored,
            searcher,
            parts,
            budget,
        })
    }
}

fn planner<'s>(
    words: &'s InvertedIndexReader,
    fields: Fields,
    max_doc: DocId,
    budget: &'s Budget,
) -> Planner<'s> {
    Planner {
        index: words,
        field: fields.text,
        max_doc,
        budget,
    }
}

/// A document that matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// 0 where that is not asked for.
    pub(super) score: f32,
    /// As the index has it.
    pub(super) started: i64,
    at: DocAddress,
}

impl Candidate {
    /// When the run began.
    pub(super) fn start(&self) -> Option<Millis> {
        (self.started != NO_START).then_some(Millis(self.started))
    }

    /// What comes first is less.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        rank((other.score, other.started), (self.score, self.started))
    }
}

/// How the first fits, compared with the second; the newer is the greater of those that fit alike.
pub(super) fn rank(one: (f32, i64), other: (f32, i64)) -> Ordering {
    one.0.total_cmp(&other.0).then(one.1.cmp(&other.1))
}

/// One segment, and what is looked for in it.
struct Part {
    plan: Plan,
    words: Arc<InvertedIndexReader>,
    keys: Arc<InvertedIndexReader>,
    starts: Arc<dyn ColumnValues<i64>>,
}

/// Some documents of a segment, which one thread looks through.
struct Piece<'l> {
    ord: u32,
    segment: &'l SegmentReader,
    part: &'l Part,
    docs: Range<DocId>,
}

/// The candidates that fit best, on the way.
struct Best {
    most: usize,
    found: Vec<Candidate>,
    /// The last of the best when they were told apart.
    last: Option<Candidate>,
    /// So many are told apart anew.
    room: usize,
}

impl Best {
    fn of(most: usize) -> Self {
        Self {
            most,
            found: Vec::new(),
            last: None,
            room: most.saturating_add(most / 4 + 8),
        }
    }

    /// Adds one; the last of the best, when they are told apart anew.
    fn add(&mut self, candidate: Candidate) -> Option<Candidate> {
        if self.last.is_some_and(|last| candidate.order(&last).is_gt()) {
            return None;
        }
        self.found.push(candidate);
        // often: the sooner it is known what is worth a look, the less is looked at
        (self.found.len() >= self.room && self.cut()).then_some(self.last)?
    }

    /// Keeps the best, and all that fit as well as the last of them; false where there are no others.
    fn cut(&mut self) -> bool {
        if self.found.len() <= self.most {
            return false;
        }
        let (_, last, _) = self
            .found
            .select_nth_unstable_by(self.most, Candidate::order);
        let last = *last;
        self.found
            .retain(|candidate| candidate.order(&last).is_le());
        self.last = Some(last);
        // what fits alike stays, however much it is
        self.room = self.found.len() + self.found.len() / 4 + 8;
        true
    }
}

/// A query in the state of the index that it began in.
pub(super) struct LookedFor<'b> {
    fields: Fields,
    scored: bool,
    searcher: Searcher,
    parts: Vec<Part>,
    budget: &'b Budget,
}

impl LookedFor<'_> {
    fn segments(&self) -> impl Iterator<Item = (u32, &SegmentReader, &Part)> {
        (0..)
            .zip(self.searcher.segment_readers())
            .zip(&self.parts)
            .map(|((ord, segment), part)| (ord, segment, part))
    }

    /// Gives every document of a piece that matches to `each`, until that returns false, which then is
    /// told. A document that cannot fit as well as `worth` says, which is asked again for each, may be
    /// passed over.
    ///
    /// # Errors
    /// [`Fault::Spent`] when that takes too long.
    fn each(
        &self,
        piece: &Piece<'_>,
        budget: &Budget,
        worth: impl Fn() -> f32,
        mut each: impl FnMut(Candidate) -> bool,
    ) -> Result<bool, Fault> {
        let Piece { segment, part, .. } = piece;
        let mut scan = self.scan(segment, part, piece.docs.end, budget)?;
        let alive = segment.alive_bitset();
        let mut next = piece.docs.start;
        let mut steps = 0;
        loop {
            let doc = scan.candidate(next, worth());
            if doc == TERMINATED {
                break;
            }
            next = doc + 1;
            steps += 1;
            if steps % STEPS == 0 && !budget.lasts() {
                return Err(Fault::Spent);
            }
            if alive.is_some_and(|alive| alive.is_deleted(doc))
                || (self.scored && scan.score_at_most(doc) < worth())
                || !scan.has(doc)
            {
                continue;
            }
            let candidate = Candidate {
                score: if self.scored { scan.score(doc) } else { 0.0 },
                started: part.starts.get_val(doc),
                at: DocAddress::new(piece.ord, doc),
            };
            if !each(candidate) {
                return Ok(false);
            }
        }
        // a walk may have come to an end before its time
        match budget.lasts() {
            true => Ok(true),
            false => Err(Fault::Spent),
        }
    }

    /// A walk through the documents before `end`.
    fn scan<'p>(
        &self,
        segment: &SegmentReader,
        part: &'p Part,
        end: DocId,
        budget: &Budget,
    ) -> Result<Scan<'p>, Fault> {
        let planner = planner(&part.words, self.fields, end, budget);
        Ok(Scan::of(&part.plan, &planner, segment)?)
    }

    /// All documents, in pieces.
    fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        for (ord, segment, part) in self.segments() {
            let mut from = 0;
            while from < segment.max_doc() {
                let to = from.saturating_add(PIECE).min(segment.max_doc());
                pieces.push(Piece {
                    ord,
                    segment,
                    part,
                    docs: from..to,
                });
                from = to;
            }
        }
        pieces
    }

    /// Gives every document of all pieces that matches to `each`, on this thread and on helpers, until
    /// that returns false; otherwise as [`LookedFor::each`].
    ///
    /// # Errors
    /// [`Fault::Spent`] when that takes too long.
    fn each_of_all(
        &self,
        worth: impl Fn() -> f32 + Sync,
        each: impl Fn(Candidate) -> bool + Sync,
    ) -> Result<(), Fault> {
        let pieces = self.pieces();
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let of_helper = self.budget.of_helper();
        with_help(|helps| {
            let budget = if helps { &of_helper } else { self.budget };
            let Some(piece) = pieces.get(next.fetch_add(1, Relaxed)) else {
                return false;
            };
            match self.each(piece, budget, &worth, &each) {
                Ok(goes_on) => goes_on,
                Err(fault) => {
                    *failed.lock() = Some(fault);
                    false
                }
            }
        });
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// All that match, in no order; `None` if there are more than `most`.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn few(&self, most: usize) -> Result<Option<Vec<Candidate>>, Fault> {
        let found = Mutex::new(Vec::new());
        let add = |candidate| {
            let mut found = found.lock();
            found.push(candidate);
            found.len() <= most
        };
        self.each_of_all(|| f32::MIN, add)?;
        Ok(Some(found.into_inner()).filter(|found| found.len() <= most))
    }

    /// The `most` that fit best of those up to `from` and below `below`, in their order, with all
    /// that fit as well as the last of them.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn best(
        &self,
        from: Option<(f32, i64)>,
        below: Option<(f32, i64)>,
        most: usize,
    ) -> Result<Vec<Candidate>, Fault> {
        // the bits of numbers that are not negative have their order
        let floor = AtomicU32::new(0);
        let best = Mutex::new(Best::of(most));
        let worth = || f32::from_bits(floor.load(Relaxed));
        self.each_of_all(worth, |candidate| {
            let this = (candidate.score, candidate.started);
            if from.is_none_or(|from| rank(this, from).is_le())
                && below.is_none_or(|below| rank(this, below).is_lt())
                && let Some(last) = best.lock().add(candidate)
            {
                floor.fetch_max(last.score.max(0.0).to_bits(), Relaxed);
            }
            true
        })?;
        let mut best = best.into_inner();
        best.cut();
        best.found.sort_unstable_by(Candidate::order);
        Ok(best.found)
    }

    /// Which run a document is.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn key(&self, candidate: &Candidate) -> Result<Option<RunKey>, Fault> {
        let document: TantivyDocument = self.searcher.doc(candidate.at)?;
        Ok(key(self.fields, &document))
    }

    /// Which of these runs match, and how well; `None` for one that does not.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn of<'k>(
        &self,
        keys: impl ExactSizeIterator<Item = &'k RunKey>,
    ) -> Result<Vec<Option<f32>>, Fault> {
        let mut scores = vec![None; keys.len()];
        let mut at = Vec::with_capacity(keys.len());
        let mut nearest = 0;
        for (number, key) in keys.enumerate() {
            at.extend(self.document(key, &mut nearest)?.map(|at| (at, number)));
            if number % STEPS == STEPS - 1 && !self.budget.lasts() {
                return Err(Fault::Spent);
            }
        }
        at.sort_unstable();
        let mut at = at.into_iter().peekable();
        for (ord, segment, part) in self.segments() {
            if at.peek().is_none_or(|(at, _)| at.segment_ord != ord) {
                continue;
            }
            let mut scan = self.scan(segment, part, segment.max_doc(), self.budget)?;
            while let Some((at, number)) = at.next_if(|(at, _)| at.segment_ord == ord) {
                if scan.has(at.doc_id)
                    && let Some(score) = scores.get_mut(number)
                {
                    *score = Some(match self.scored {
                        true => scan.score(at.doc_id),
                        false => 0.0,
                    });
                }
            }
        }
        match self.budget.lasts() {
            true => Ok(scores),
            false => Err(Fault::Spent),
        }
    }

    /// Where a run is. `nearest` is the segment to look into first, which then is that of the run:
    /// runs of one time often lie together.
    fn document(&self, key: &RunKey, nearest: &mut usize) -> Result<Option<DocAddress>, Fault> {
        let term = Term::from_field_text(self.fields.key, &key_text(key));
        let segments = self.searcher.segment_readers();
        for step in 0..segments.len() {
            let ord = (*nearest + step) % segments.len();
            let (Some(segment), Some(part)) = (segments.get(ord), self.parts.get(ord)) else {
                continue;
            };
            let found = part.keys.read_postings(&term, IndexRecordOption::Basic);
            let Some(mut found) = found.map_err(TantivyError::from)? else {
                continue;
            };
            while found.doc() != TERMINATED {
                if !segment.is_deleted(found.doc()) {
                    *nearest = ord;
                    let ord = u32::try_from(ord).unwrap_or(u32::MAX);
                    return Ok(Some(DocAddress::new(ord, found.doc())));
                }
                found.advance();
            }
        }
        Ok(None)
    }
}

fn key(fields: Fields, document: &TantivyDocument) -> Option<RunKey> {
    parse_key(document.get_first(fields.key)?.as_str()?)
}

/// The start as the index has it.
pub(super) fn start(started: Option<Millis>) -> i64 {
    started.map_or(NO_START, |at| at.0)
}
