//! The index as bytes, to be kept until the next start.
//!
//! A snapshot is a sequence of blocks: a length, a checksum, a kind and what the kind says. The
//! first tells the format and whose it is, the last that nothing is missing. Rows come by the page,
//! whose blocks hold its buffers as they lie in memory: they are read to where they stay, and most of
//! a start from a snapshot is to look at whether they are sound. A snapshot is written in
//! slices, so that readers of the index never wait for it. Where nothing changed meanwhile it is one
//! state, whose clock its lineage names. Else it is none: files are compared after every start, which
//! finds what a slice missed, but no clock from before is honoured, and what the head says of folders
//! that need not be listed does not count.
//!
//! Nothing here is trusted: lengths are bounded before anything is allocated, ids are parsed, and
//! whatever does not fit makes the whole snapshot void. Only what is kept of steps is not looked into
//! before somebody asks for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};
use std::sync::mpsc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::clock::Lineage;
use super::place::Place;
use super::restore::{PageRead, Restoring};
use super::row::{Columns, PAGE};
use super::steps::{Local, Numbering};
use super::{Index, Instance, Liveness};
use crate::model::{ExecutionId, Millis, ProblemKind, ProjectId, RunKey, Stamp};

/// Raised with every change of the format or of what is extracted from records.
const FORMAT: u32 = 13;
const MAGIC: &[u8; 8] = b"runlogix";
/// How many rows or tombstones are encoded at a time, at most as many as a page has rows; bounds how
/// long the index is held.
const SLICE: usize = if cfg!(test) { 2 } else { 1024 };
const _: () = assert!(SLICE <= PAGE);
/// A slice of rows ends when it has so many bytes: one with many steps has some 18,000 bytes.
const ROWS_BYTES: usize = 1 << 20;
/// A slice never comes near this.
const BLOCK_MAX_BYTES: usize = 4 << 20;
/// Room is made at once for at most so many runs, whatever a snapshot claims.
const RUNS_EXPECTED: u64 = 1 << 20;
/// Problems and unlisted files are cut into blocks of about this size.
const PIECE_BYTES: usize = 256 << 10;
/// How many projects' folders may be told of; more would be more than a process holds open.
const COMPLETE_MAX: usize = 128;

const HEAD: u8 = 1;
pub(super) const ROWS: u8 = 2;
pub(super) const TOMBSTONES: u8 = 3;
pub(super) const PROJECTS: u8 = 4;
pub(super) const UNLISTED: u8 = 5;
pub(super) const PROBLEMS: u8 = 6;
pub(super) const END: u8 = 7;
pub(super) const ANNOTATIONS: u8 = 8;

/// How many blocks of rows are read before others have looked at them.
const READ_AHEAD: usize = 8;
/// How many bytes stand before what a block says: its length, its checksum, its kind.
const BLOCK_HEAD: usize = 4 + 8 + 1;

/// Why a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Another version of runlog wrote it.
    #[error("another version of runlog wrote it")]
    Version,
    /// It is of another root.
    #[error("it is of another root")]
    Foreign,
    /// It is not what was written.
    #[error("it is damaged")]
    Damaged,
}

/// The place of a row, owned.
struct Resume {
    started_at: Option<Millis>,
    id: String,
    project: String,
}

enum Part {
    Head,
    Rows(Option<Resume>),
    Tombstones(u64),
    Folders(Folders),
    Problems(Option<(String, ProblemKind)>),
    Annotations(Noted),
    End,
    Done,
}

/// Where the projects and what in them is no run are written from.
#[derive(Default)]
struct Folders {
    /// The number of the next project.
    next: usize,
    /// What is left of the one before.
    unlisted: Vec<(RunKey, Stamp)>,
}

/// The runs whose annotations are still to be written.
struct Noted {
    projects: Vec<ProjectId>,
    runs: Vec<RunKey>,
}

/// A snapshot being written, slice by slice.
pub struct Saving {
    owner: Vec<u8>,
    part: Part,
    /// The nodes that its rows have named.
    nodes: Numbering,
    /// Which of the index's models its rows have named, each one's place being its number here.
    models: Vec<u8>,
    /// The blocks so far.
    chain: Chain,
}

/// What tells a row of blocks from one that lacks some, or has them in another order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Chain(u64);

impl Chain {
    /// With one block more, of which this is the beginning.
    fn add(&mut self, head: &[u8]) {
        let head = head.get(..BLOCK_HEAD).unwrap_or_default();
        self.0 = xxh3_64_with_seed(head, self.0);
    }

    /// With all of `blocks`.
    fn add_all(&mut self, mut blocks: &[u8]) {
        while let Some(length) = Rest(blocks).u32() {
            self.add(blocks);
            blocks = blocks
                .get(BLOCK_HEAD + length as usize..)
                .unwrap_or_default();
        }
    }
}

impl Saving {
    /// A snapshot of the index of `owner`, which is given again when it is restored.
    #[must_use]
    pub fn of(owner: &[u8]) -> Self {
        Self {
            owner: owner.to_owned(),
            part: Part::Head,
            nodes: Numbering::default(),
            models: Vec::new(),
            chain: Chain::default(),
        }
    }

    /// Appends the next slice to `out`; false when there is none left. The same index must be
    /// given each time; it may change between the slices.
    pub fn next(&mut self, index: &Index, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let some = self.append(index, out);
        self.chain.add_all(out.get(start..).unwrap_or_default());
        some
    }

    fn append(&mut self, index: &Index, out: &mut Vec<u8>) -> bool {
        self.part = match std::mem::replace(&mut self.part, Part::Done) {
            Part::Head => {
                block(out, HEAD, |out| self.head(index, out));
                Part::Rows(None)
            }
            Part::Rows(after) => match self.rows(index, after.as_ref(), out) {
                Some(resume) => Part::Rows(Some(resume)),
                None => Part::Tombstones(0),
            },
            Part::Tombstones(after) => match tombstones(index, after, out) {
                Some(last) => Part::Tombstones(last),
                None => Part::Folders(Folders::default()),
            },
            Part::Folders(mut from) => match folders(index, &mut from, out) {
                true => Part::Folders(from),
                false => Part::Problems(None),
            },
            Part::Problems(after) => match problems(index, after.as_ref(), out) {
                Some(last) => Part::Problems(Some(last)),
                None => Part::Annotations(Noted {
                    projects: index.annotations.projects(),
                    runs: Vec::new(),
                }),
            },
            Part::Annotations(mut left) => match annotations(index, &mut left, out) {
                true => Part::Annotations(left),
                false => Part::End,
            },
            Part::End => {
                block(out, END, |out| {
                    put_u64(out, index.changes.now());
                    put_u64(out, index.changes.floor());
                    put_u64(out, self.chain.0);
                });
                Part::Done
            }
            Part::Done => return false,
        };
        true
    }

    fn head(&self, index: &Index, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        put_text(out, env!("CARGO_PKG_VERSION"));
        put_bytes(out, &self.owner);
        let clock = index.clock();
        put_u64(out, clock.instance.0);
        put_u64(out, clock.tick);
        put_u64(out, index.runs() as u64);
        let lineage: Vec<_> = index.lineage.pairs().collect();
        put_u64(out, lineage.len() as u64);
        for (instance, tick) in lineage {
            put_u64(out, instance.0);
            put_u64(out, tick);
        }
        // few projects with many runs each are worth it, and many would be too much
        let complete: Vec<_> = index.complete().take(COMPLETE_MAX).collect();
        put_u64(out, complete.len() as u64);
        for (project, stamp) in complete {
            put_text(out, project.as_str());
            put_stamp(out, &stamp);
        }
    }

    fn rows(&mut self, index: &Index, after: Option<&Resume>, out: &mut Vec<u8>) -> Option<Resume> {
        let places = index.places();
        let after = after.map(|resume| Place {
            started_at: resume.started_at,
            id: &resume.id,
            project: &resume.project,
        });
        let numbers = index.everything.all.before(after.as_ref(), &places);
        let mut projects: HashMap<u32, u32> = HashMap::new();
        let mut names: Vec<&str> = Vec::new();
        let mut nodes = Local::of_page(index.rows.nodes(), &mut self.nodes);
        let mut models: Vec<&str> = Vec::new();
        let mut beats: Vec<(u64, i64)> = Vec::new();
        let mut columns = Columns::default();
        let mut last = None;
        for (at, number) in numbers.take(SLICE).enumerate() {
            let Some(row) = index.rows.get(number) else {
                continue;
            };
            let project = *projects.entry(row.project()).or_insert_with(|| {
                names.push(index.name(row.project()));
                u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
            });
            // there are no more of them here than in the index, where a byte says which
            let model = |code, name| {
                let known = self.models.iter().position(|&held| held == code);
                let at = known.unwrap_or_else(|| {
                    self.models.push(code);
                    models.push(name);
                    self.models.len() - 1
                });
                u8::try_from(at).unwrap_or(u8::MAX)
            };
            let kept = index.rows.kept(number).write(&mut nodes, &mut columns.kept);
            row.write(project, model, kept, &mut columns);
            let beat = index.beats.get(&number);
            beats.extend(beat.map(|&beat| (at as u64, beat)));
            last = Some(row);
            if columns.bytes() + nodes.bytes > ROWS_BYTES {
                break;
            }
        }
        let last = last?;
        block(out, ROWS, |out| {
            put_texts(out, &names);
            put_texts(out, &nodes.fresh);
            put_texts(out, &models);
            let named = nodes.named();
            put_u64(out, named.len() as u64);
            for (node, steps) in named {
                out.extend_from_slice(&node.to_le_bytes());
                out.extend_from_slice(&steps.to_le_bytes());
            }
            put_u64(out, beats.len() as u64);
            for (at, beat) in beats {
                put_u64(out, at);
                put_u64(out, beat.cast_unsigned());
            }
            columns.write(out);
        });
        Some(Resume {
            started_at: last.started(),
            id: last.id().to_owned(),
            project: index.name(last.project()).to_owned(),
        })
    }
}

fn tombstones(index: &Index, after: u64, out: &mut Vec<u8>) -> Option<u64> {
    let found: Vec<(u64, &RunKey)> = index.changes.gone_after(after).take(SLICE).collect();
    let &(last, _) = found.last()?;
    block(out, TOMBSTONES, |out| {
        put_u64(out, found.len() as u64);
        for (tick, key) in found {
            put_u64(out, tick);
            put_key(out, key);
        }
    });
    Some(last)
}

/// Whether others follow.
fn folders(index: &Index, from: &mut Folders, out: &mut Vec<u8>) -> bool {
    let mut projects = Piece::new(PROJECTS);
    let mut unlisted = Piece::new(UNLISTED);
    let mut more = true;
    for _ in 0..SLICE {
        if let Some((key, stamp)) = from.unlisted.pop() {
            unlisted.add(out, |out| {
                put_key(out, &key);
                put_stamp(out, &stamp);
            });
            continue;
        }
        let Some(project) = index.projects.get(from.next) else {
            more = false;
            break;
        };
        from.next += 1;
        if let Some(project) = project {
            projects.add(out, |out| {
                put_text(out, project.id.as_str());
                out.push(u8::from(project.on_disk));
            });
            let key = |execution: &ExecutionId| RunKey {
                project: project.id.clone(),
                execution: execution.clone(),
            };
            let all = project.unlisted.iter();
            from.unlisted = all.map(|(id, stamp)| (key(id), *stamp)).collect();
        }
    }
    projects.end(out);
    unlisted.end(out);
    more
}

/// The last one that was written, if any was left.
fn problems(
    index: &Index,
    after: Option<&(String, ProblemKind)>,
    out: &mut Vec<u8>,
) -> Option<(String, ProblemKind)> {
    let mut piece = Piece::new(PROBLEMS);
    let mut last = None;
    for (path, kind, since) in index.problems.after(after).take(SLICE) {
        piece.add(out, |out| {
            put_text(out, path);
            out.push(kind as u8);
            put_u64(out, since.0.cast_unsigned());
        });
        last = Some((path, kind));
    }
    piece.end(out);
    last.map(|(path, kind)| (path.to_owned(), kind))
}

/// Whether others follow.
fn annotations(index: &Index, left: &mut Noted, out: &mut Vec<u8>) -> bool {
    let mut piece = Piece::new(ANNOTATIONS);
    let mut more = true;
    for _ in 0..SLICE {
        if let Some(key) = left.runs.pop() {
            if let Some(annotation) = index.annotations.of(&key) {
                piece.add(out, |out| {
                    put_key(out, &key);
                    // as a sidecar has it: some ten thousand bytes at most
                    put_bytes(out, &annotation.text().unwrap_or_default());
                });
            }
        } else if let Some(project) = left.projects.pop() {
            left.runs = index.annotated_but(&project, &HashSet::new());
        } else {
            more = false;
            break;
        }
    }
    piece.end(out);
    more
}

/// Entries of one kind, cut into blocks.
struct Piece {
    kind: u8,
    count: u64,
    bytes: Vec<u8>,
}

impl Piece {
    fn new(kind: u8) -> Self {
        Self {
            kind,
            count: 0,
            bytes: Vec::new(),
        }
    }

    fn add(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.count += 1;
        if self.bytes.len() >= PIECE_BYTES {
            self.end(out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.count > 0 {
            block(out, self.kind, |out| {
                put_u64(out, self.count);
                out.extend_from_slice(&self.bytes);
            });
        }
        self.count = 0;
        self.bytes.clear();
    }
}

/// Appends a block.
fn block(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; BLOCK_HEAD]);
    write(out);
    let (head, body) = out[start..].split_at_mut(BLOCK_HEAD);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..12].copy_from_slice(&checksum(kind, body).to_le_bytes());
    head[12] = kind;
}

fn checksum(kind: u8, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, kind.into())
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&bytes[..usize::from(length)]);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_key(out: &mut Vec<u8>, key: &RunKey) {
    put_text(out, key.project.as_str());
    put_text(out, key.execution.as_str());
}

fn put_texts(out: &mut Vec<u8>, texts: &[impl AsRef<str>]) {
    put_u64(out, texts.len() as u64);
    for text in texts {
        put_text(out, text.as_ref());
    }
}

pub(super) fn put_stamp(out: &mut Vec<u8>, stamp: &Stamp) {
    for value in [stamp.dev, stamp.ino, stamp.size] {
        put_u64(out, value);
    }
    for value in [stamp.mtime_ns, stamp.ctime_ns] {
        put_u64(out, value.cast_unsigned());
    }
}

/// What is left of a block.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.u64().map(u64::cast_signed)
    }

    /// As many as are said to come.
    pub(super) fn many<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut all = Vec::new();
        for _ in 0..self.u64()? {
            all.push(each(self)?);
        }
        Some(all)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn project(&mut self) -> Option<ProjectId> {
        ProjectId::parse(self.text()?).ok()
    }

    pub(super) fn execution(&mut self) -> Option<ExecutionId> {
        ExecutionId::parse(self.text()?).ok()
    }

    pub(super) fn stamp(&mut self) -> Option<Stamp> {
        Some(Stamp {
            dev: self.u64()?,
            ino: self.u64()?,
            size: self.u64()?,
            mtime_ns: self.i64()?,
            ctime_ns: self.i64()?,
        })
    }
}

/// A snapshot that is read, up to its head.
pub struct Snapshot<R> {
    from: R,
    chain: Chain,
    parent: (Instance, u64),
    runs: u64,
    lineage: Vec<(Instance, u64)>,
    complete: Vec<(ProjectId, Stamp)>,
}

impl<R: Read> Snapshot<R> {
    /// Begins to read the snapshot of `owner`.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn open(mut from: R, owner: &[u8]) -> Result<Self, SnapshotError> {
        let damaged = || SnapshotError::Damaged;
        let block = Block::read(&mut from, Vec::new())?;
        let mut chain = Chain::default();
        chain.add(&block.0);
        let (kind, mut rest) = block.says().ok_or_else(damaged)?;
        if kind != HEAD || rest.take(MAGIC.len()) != Some(MAGIC) {
            return Err(damaged());
        }
        if rest.u32() != Some(FORMAT) || rest.text() != Some(env!("CARGO_PKG_VERSION")) {
            return Err(SnapshotError::Version);
        }
        if rest.bytes().ok_or_else(damaged)? != owner {
            return Err(SnapshotError::Foreign);
        }
        let mut read = || {
            let parent = (Instance(rest.u64()?), rest.u64()?);
            let runs = rest.u64()?;
            let (mut lineage, mut complete) = (Vec::new(), Vec::new());
            for _ in 0..rest.u64()? {
                lineage.push((Instance(rest.u64()?), rest.u64()?));
            }
            for _ in 0..rest.u64()? {
                complete.push((rest.project()?, rest.stamp()?));
            }
            Some((parent, runs, lineage, complete))
        };
        let (parent, runs, lineage, complete) = read().ok_or_else(damaged)?;
        Ok(Self {
            from,
            chain,
            parent,
            runs,
            lineage,
            complete,
        })
    }

    /// The projects of which it has every run, and everything that is none, that their folders had
    /// when their stamps were these.
    #[must_use]
    pub fn complete(&self) -> &[(ProjectId, Stamp)] {
        &self.complete
    }

    /// Reads the rest into a new index that goes on from it, as `instance`; other threads look at
    /// whether it is sound meanwhile. Where changes came while it was written, it is of no one state:
    /// a run that moved to where all was written is in no part of it, and what was noted on one may be
    /// newer than its tick. Then the index says that no project is [`complete`](Index::complete), and
    /// honours no clock from before.
    ///
    /// # Errors
    /// [`SnapshotError`]; then nothing of it is of use.
    pub fn restore(
        mut self,
        instance: Instance,
        liveness: Liveness,
    ) -> Result<Index, SnapshotError> {
        let damaged = || SnapshotError::Damaged;
        let mut index = Index::new(instance, liveness);
        index.expect_runs(self.runs.min(RUNS_EXPECTED));
        index.lineage = Lineage::of(self.lineage, self.parent);
        let mut restoring = Restoring::of(index);
        let (give, read) = mpsc::channel();
        let (now, floor) = rayon::in_place_scope(|scope| {
            let (mut count, mut taken) = (0, 0);
            // those that came before their turn
            let mut early = BTreeMap::new();
            let mut take = |restoring: &mut Restoring| {
                let (which, page, block): (usize, _, Block) = read.recv().ok()?;
                early.insert(which, page);
                while let Some(page) = early.remove(&taken) {
                    restoring.page(page?)?;
                    taken += 1;
                }
                Some(block.0)
            };
            let mut waiting = 0;
            let mut buffer = Vec::new();
            loop {
                let block = Block::read(&mut self.from, buffer)?;
                if block.kind() != ROWS {
                    let (kind, mut rest) = block.says().ok_or_else(damaged)?;
                    if kind == END {
                        while waiting > 0 {
                            take(&mut restoring).ok_or_else(damaged)?;
                            waiting -= 1;
                        }
                        let mut end = || Some((rest.u64()?, rest.u64()?, Chain(rest.u64()?)));
                        let (now, floor, chain) = end().ok_or_else(damaged)?;
                        let is_whole = chain == self.chain && self.from.read(&mut [0])? == 0;
                        return is_whole.then_some((now, floor)).ok_or_else(damaged);
                    }
                    self.chain.add(&block.0);
                    restoring.block(kind, rest).ok_or_else(damaged)?;
                    buffer = block.0;
                    continue;
                }
                self.chain.add(&block.0);
                let (give, which) = (give.clone(), count);
                let hasher = restoring.hasher();
                scope.spawn(move |_| {
                    let page = block
                        .says()
                        .and_then(|(_, rest)| PageRead::of(rest, &hasher));
                    // there is nobody to take it where the snapshot has turned out to be damaged
                    let _ = give.send((which, page, block));
                });
                count += 1;
                waiting += 1;
                buffer = if waiting < READ_AHEAD {
                    Vec::new()
                } else {
                    waiting -= 1;
                    take(&mut restoring).ok_or_else(damaged)?
                };
            }
        })?;
        let is_one_state = now == self.parent.1;
        let floor = if is_one_state { floor } else { now };
        let mut index = restoring.end(now, floor).ok_or_else(damaged)?;
        if is_one_state {
            for (project, stamp) in self.complete {
                let files = index.files_of(&project);
                index.note_complete(&project, stamp, files);
            }
        }
        Ok(index)
    }
}

/// A block as it was read.
struct Block(Vec<u8>);

impl Block {
    /// The next one, in `buffer`; what it says is not looked at.
    fn read(from: &mut impl Read, mut buffer: Vec<u8>) -> Result<Self, SnapshotError> {
        buffer.clear();
        let mut head = [0; BLOCK_HEAD];
        from.read_exact(&mut head)?;
        let length = Rest(&head).u32().map_or(0, |length| length as usize);
        if length > BLOCK_MAX_BYTES {
            return Err(SnapshotError::Damaged);
        }
        buffer.reserve(BLOCK_HEAD + length);
        buffer.extend_from_slice(&head);
        from.by_ref().take(length as u64).read_to_end(&mut buffer)?;
        Ok(Self(buffer))
    }

    fn kind(&self) -> u8 {
        self.0.get(BLOCK_HEAD - 1).copied().unwrap_or_default()
    }

    /// Its kind and what it says, if it is what was written.
    fn says(&self) -> Option<(u8, Rest<'_>)> {
        let mut rest = Rest(&self.0);
        let (length, sum, kind) = (rest.u32()?, rest.u64()?, rest.u8()?);
        let body = rest.0;
        (body.len() == length as usize && checksum(kind, body) == sum).then_some((kind, rest))
    }
}
