//! The text index in its folder: opening and writing; what is looked up in it is in `look`.
//!
//! One document a run: its key and version, by which the index is compared with the history, with a note
//! where members that are searched are repeated, so that of other records no more need be read than is
//! shown; its start, by which hits that fit alike are ordered; and the words of its texts with their positions. No text is
//! kept. Which runs a filter lets pass is not known here but to the history. Whoever holds the lock beside the folder writes; others read what
//! is committed there.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tantivy::directory::error::{LockError, OpenDirectoryError, OpenReadError, OpenWriteError};
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::store::Compressor;
use tantivy::tokenizer::{TextAnalyzer, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{
    DocAddress, DocSet, Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TERMINATED,
    TantivyDocument, TantivyError, Term,
};

use super::budget::Budget;
use super::folder::IndexFolder;
use super::kept::{FOLDER, LOCK};
use super::look::{Fault, LookedFor};
use super::query::Query;
use super::sound;
use super::texts::{Sink, texts};
use super::token::Tokens;
use crate::index::Clock;
use crate::model::{ExecutionId, Millis, ProjectId, RunKey, Version};
use crate::store::{Cache, CacheError, is_short};

/// The file in it that says what it holds, made last.
const META: &str = "meta.json";
/// Named in the index: another number, another way to read a record or its words, and the index is
/// built anew.
const ANALYZER: &str = "runlog-5";
/// How much memory words take before they are written.
const WRITER_BYTES: usize = 32 << 20;
/// How much text waits to be cut into words.
const WAITING_BYTES: usize = 8 << 20;
/// Why waiting for that is looked into.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Behind the version of a record that has members more than once of those that are searched.
const REPEATS: u8 = 1;
/// Runs without a start come last.
pub(super) const NO_START: i64 = i64::MIN;

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
            Self::Cache(CacheError::Untrusted | CacheError::NotAFile) | Self::Elsewhere => false,
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
pub(super) fn told(error: &TantivyError) -> String {
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
pub(super) struct Fields {
    pub(super) key: Field,
    version: Field,
    started: Field,
    pub(super) text: Field,
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
pub(super) fn key_text(key: &RunKey) -> String {
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
        let index = open_index(&folder, &waiting, None)?.map_err(|_| EngineError::Elsewhere)?;
        return Ok(Opened {
            view: Arc::new(View::of(&index)?),
            writer: None,
        });
    };
    let mut found = fs::symlink_metadata(&folder).ok();
    // whoever made it ended before it held anything, which is no damage
    if found.as_ref().is_some_and(fs::Metadata::is_dir) && !fs::exists(folder.join(META))? {
        fs::remove_dir_all(&folder)?;
        found = None;
    }
    let opened = match &found {
        None => Err("it is missing".to_owned()),
        Some(found) if !found.is_dir() => Err("it is no folder".to_owned()),
        Some(_) if suspect => Err("a search in it failed".to_owned()),
        Some(_) => open_index(&folder, &waiting, Some(cache))?,
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
    let payload = index.load_metas()?.payload;
    let generation = match payload.as_deref().map(parse_payload) {
        Some((generation, _)) => generation.to_owned(),
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

/// The index in `folder`; why it is of no use otherwise. It is checked where there is a `cache` to note
/// that in.
fn open_index(
    folder: &Path,
    waiting: &Arc<Waiting>,
    cache: Option<&Cache>,
) -> Result<Result<Index, String>, EngineError> {
    let (wanted, _) = schema();
    let mut index = match IndexFolder::open(folder).and_then(Index::open) {
        Ok(index) => index,
        Err(error) => return unusable(error).map(Err),
    };
    if index.schema() != wanted || *index.settings() != settings() {
        return Ok(Err("it is of another version".to_owned()));
    }
    if let Some(cache) = cache {
        match sound::damaged(cache, folder, &index) {
            Ok(0) => {}
            Ok(damaged) => return Ok(Err(format!("{damaged} of its files are damaged"))),
            Err(error) => return unusable(error).map(Err),
        }
    }
    index.set_tokenizers(tokenizers(waiting));
    Ok(Ok(index))
}

/// What is wrong with an index that cannot be opened, unless the system is only short of what it takes.
fn unusable(error: TantivyError) -> Result<String, EngineError> {
    match io_error(&error) {
        Some(source) if is_short(source) => Err(error.into()),
        _ => Ok(told(&error)),
    }
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

/// A document on the way.
struct Filled {
    /// Without texts.
    bare: TantivyDocument,
    document: TantivyDocument,
    field: Field,
    /// How much text there is in it.
    bytes: usize,
    /// A member that is searched is repeated, for all that is known.
    repeats: bool,
}

impl Sink for Filled {
    fn wants(&mut self, _: &str) -> bool {
        true
    }

    fn text(&mut self, _: &str, text: &str) -> bool {
        self.document.add_text(self.field, text);
        self.bytes += text.len();
        true
    }

    fn again(&mut self) {
        self.document.clone_from(&self.bare);
        self.bytes = 0;
        self.repeats = true;
    }
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
        let mut bare = TantivyDocument::new();
        bare.add_text(fields.key, name);
        bare.add_i64(fields.started, start(entry.started));
        let mut filled = Filled {
            document: bare.clone(),
            bare,
            field: fields.text,
            bytes: 0,
            repeats: entry.record.is_none(),
        };
        if let Some(record) = entry.record {
            texts(entry.key.execution.as_str(), record, &mut filled);
        }
        let mut version = entry.version.0.to_vec();
        version.extend(filled.repeats.then_some(REPEATS));
        filled.document.add_bytes(fields.version, &version);
        self.waiting.wait();
        self.waiting.add(filled.bytes);
        self.writer.add_document(filled.document)?;
        Ok(())
    }

    /// Takes a run out.
    pub(super) fn remove(&self, key: &RunKey) {
        let term = Term::from_field_text(self.fields.key, &key_text(key));
        self.writer.delete_term(term);
    }

    /// Makes what was put and removed the state that is searched; `clock` says that this is the
    /// history's there.
    pub(super) fn commit(&mut self, clock: Option<Clock>) -> tantivy::Result<()> {
        let mut commit = self.writer.prepare_commit()?;
        let clock = clock.map(|clock| format!(" {clock}"));
        commit.set_payload(&(self.generation.clone() + &clock.unwrap_or_default()));
        commit.commit()?;
        Ok(())
    }

    /// Why writing failed, if its thread ended early: that is told only when the next commit looks for it.
    pub(super) fn cause(&mut self, error: TantivyError) -> TantivyError {
        match &error {
            TantivyError::ErrorInThread(_) => self.writer.prepare_commit().err().unwrap_or(error),
            _ => error,
        }
    }
}

/// Which index it is, and the clock of the state that it is of.
fn parse_payload(payload: &str) -> (&str, Option<Clock>) {
    match payload.split_once(' ') {
        Some((generation, clock)) => (generation, Clock::parse(clock)),
        None => (payload, None),
    }
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
        let payload = self.reader.searcher().index().load_metas()?.payload;
        Ok(payload.map(|payload| parse_payload(&payload).0.to_owned()))
    }

    /// The history's state that all of it is of, if it was whole at its last commit.
    pub(super) fn clock(&self) -> tantivy::Result<Option<Clock>> {
        let payload = self.reader.searcher().index().load_metas()?.payload;
        Ok(payload.and_then(|payload| parse_payload(&payload).1))
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
                    each(key, version(self.fields, &document));
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
                    return Ok(version(self.fields, &document));
                }
                found.advance();
            }
        }
        Ok(None)
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
        LookedFor::of(self.reader.searcher(), self.fields, query, scored, budget)
    }
}

fn key(fields: Fields, document: &TantivyDocument) -> Option<RunKey> {
    parse_key(document.get_first(fields.key)?.as_str()?)
}

fn version(fields: Fields, document: &TantivyDocument) -> Option<Version> {
    Some(noted_version(fields, document)?.0)
}

/// The record's version, and whether members of it are repeated.
fn noted_version(fields: Fields, document: &TantivyDocument) -> Option<(Version, bool)> {
    let bytes = document.get_first(fields.version)?.as_bytes()?;
    let (version, rest) = bytes.split_first_chunk()?;
    Some((Version(*version), rest.contains(&REPEATS)))
}

/// A run as the text index knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: RunKey,
    /// The version that was read, if no member of it that is searched is repeated.
    pub(super) plain: Option<Version>,
}

pub(super) fn known(fields: Fields, document: &TantivyDocument) -> Option<Known> {
    let noted = noted_version(fields, document);
    Some(Known {
        key: key(fields, document)?,
        plain: noted.and_then(|(version, repeats)| (!repeats).then_some(version)),
    })
}

/// The start as the index has it.
pub(super) fn start(started: Option<Millis>) -> i64 {
    started.map_or(NO_START, |at| at.0)
}
