"""Types of the runlog protocol, version 1. Printed by `runlog types python`; do not edit."""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional, TypedDict, Union, overload


class AnnotateResult(TypedDict):
    """What a list says of the run now."""

    # The state that has it.
    clock: Clock
    # The run, with what is noted on it.
    summary: Summary


# A span of the calendar.
Bucket = Union[Literal["hour"], Literal["day"], Literal["week"], Literal["month"]]


class Capabilities(TypedDict):
    """What can be asked."""

    # What is there or not, by name.
    features: Features
    # What is refused, by name.
    limits: Limits
    # The names of all methods.
    methods: List[str]


class _ChangedMember(TypedDict):
    # A JSON pointer to it, from the record or the step; empty for a step that is no object.
    pointer: str


class ChangedMember(_ChangedMember, total=False):
    """A member that differs."""

    # What it is in `a`, up to 1,024 bytes; absent where there is none.
    a: Optional[Piece]
    # What it is in `b`, up to 1,024 bytes; absent where there is none.
    b: Optional[Piece]


class ChangesResult(TypedDict):
    """What changed."""

    # The latest state of each run that changed, in order.
    changes: List[Told]
    # Pass it as `since` next time.
    clock: Clock
    # There are more; ask again at once.
    more: bool
    # The clock could not be honoured: drop what you hold and list again.
    resync: bool


class _CheckResult(TypedDict):
    # What could stand at the cursor, in the order in which it is to be shown; none without an
    # `offset`, or where what is before the cursor is no beginning of a filter.
    completions: List[Completion]
    # Whether it is a filter.
    ok: bool


class CheckResult(_CheckResult, total=False):
    """What is to be known of a text."""

    # The same filter in canonical spelling; absent if it is none.
    canonical: Optional[str]
    # Why not; absent if it is.
    error: Optional[FilterError]


# A state of the index; opaque. Pass it as `since`.
Clock = str


class ComparedExecution(TypedDict):
    """A run that was compared."""

    # The file's stem.
    executionId: ExecutionId
    # The project's folder.
    projectId: ProjectId
    # An opaque hash of the stored bytes.
    version: Version


# Something that could stand at the cursor.
Completion = TypedDict(
    "Completion",
    {
        # What it means.
        "detail": 'Optional[str]',
        # What it replaces begins here, in UTF-16 units of the text.
        "from": 'int',
        # What it is.
        "kind": 'CompletionKind',
        # What to write, quoted where it must be.
        "text": 'str',
        # And ends before here.
        "to": 'int',
    }, total=False,
)


# What a completion is.
CompletionKind = Union[Literal["field"], Literal["operator"], Literal["value"], Literal["keyword"]]


# An exact sum in US dollars.
CostSum = float


class _CountResult(TypedDict):
    # The state that the counts are true at.
    clock: Clock
    # False only with `allowPartial`, while runs may be missing.
    complete: bool
    # How many runs match; where a run is in several groups, less than they have together.
    count: int


class CountResult(_CountResult, total=False):
    """How many there are."""

    # The groups, the largest first, the same ones by their keys; with `groupBy`.
    groups: Optional[List[Group]]
    # How many groups there are, told or not; with `groupBy`.
    totalGroups: Optional[int]
    # How many of the runs have steps whose nodes are not counted, as in nodes/stats; with
    # `groupBy` by `node`.
    truncatedRuns: Optional[int]


class _Cut(TypedDict):
    # How many of them are given: always the first.
    given: int
    # What is there in truth. A number too long to be given stands as `null`.
    kind: PieceKind
    # A JSON pointer from the record's top; ask for it by `fields`.
    pointer: str
    # How many bytes it takes in the file.
    sizeBytes: int


class Cut(_Cut, total=False):
    """A place where something was left out."""

    # A text's UTF-16 units, an array's elements, an object's members.
    length: Optional[int]


class _DeleteAllResult(TypedDict):
    # The state without them.
    clock: Clock
    # How many files there were.
    deleted: int


class DeleteAllResult(_DeleteAllResult, total=False):
    """What was done."""

    # What they are in the trash, for executions/restore; absent if they are not there.
    batch: Optional[str]


class _DeleteMatchingResult(TypedDict):
    # How many bytes their files have.
    bytes: int
    # The state without them; with `dryRun` the one at which they were chosen.
    clock: Clock
    # How many runs.
    count: int
    # The first of them, `limit` at most.
    executions: List[RunName]
    # What was to go and did not, `limit` at most.
    skipped: List[SkippedRun]
    # How many did not.
    skippedCount: int


class DeleteMatchingResult(_DeleteMatchingResult, total=False):
    """What went, or with `dryRun` would go."""

    # What they are in the trash, for executions/restore; absent if they are not there.
    batch: Optional[str]
    # With `dryRun`: pass it as `cursor` for those that are not named; null at the end.
    nextCursor: Optional[str]
    # With `dryRun`: pass it as `plan` for nothing else to go.
    plan: Optional[str]


class _DeleteResult(TypedDict):
    # The state without it.
    clock: Clock
    # Whether there was such a file.
    deleted: bool


class DeleteResult(_DeleteResult, total=False):
    """What was done."""

    # What it is in the trash, for executions/restore; absent if it is not there.
    entry: Optional[str]


class Delta(TypedDict, total=False):
    """An amount in both records."""

    # In `a`, if it says so.
    a: Optional[Money]
    # In `b`, if it says so.
    b: Optional[Money]
    # `b` less `a`, exactly, if both say so.
    difference: Optional[CostSum]


class Delta2(TypedDict, total=False):
    """An amount in both records."""

    # In `a`, if it says so.
    a: Optional[Milliseconds]
    # In `b`, if it says so.
    b: Optional[Milliseconds]
    # `b` less `a`, exactly, if both say so.
    difference: Optional[Milliseconds]


class Delta3(TypedDict, total=False):
    """An amount in both records."""

    # In `a`, if it says so.
    a: Optional[int]
    # In `b`, if it says so.
    b: Optional[int]
    # `b` less `a`, exactly, if both say so.
    difference: Optional[int]


class Delta4(TypedDict, total=False):
    """An amount in both records."""

    # In `a`, if it says so.
    a: Optional[int]
    # In `b`, if it says so.
    b: Optional[int]
    # `b` less `a`, exactly, if both say so.
    difference: Optional[int]


class _DiffResult(TypedDict):
    # The run that the other was compared with.
    a: ComparedExecution
    # The other run.
    b: ComparedExecution
    # The members that differ, in the order of `a`, then of `b`; at most 100. Not `steps`, where
    # both have an array of it, of 100,000 at most.
    changed: List[ChangedMember]
    # They mean the same: nothing is changed, and no step is missing or moved.
    equal: bool
    # How many more there are.
    moreChanged: int
    # How many more there are.
    moreSteps: int
    # How many steps are of which kind.
    stepCounts: StepCounts
    # The steps that are not the same, by the earlier of their places; at most 500.
    steps: List[StepDiff]


class DiffResult(_DiffResult, total=False):
    """What tells `b` from `a`."""

    # US dollars, from `costUSD`.
    costUSD: Optional[Delta]
    # Milliseconds, from `duration`.
    duration: Optional[Delta2]
    # Tokens in.
    inputTokens: Optional[Delta3]
    # Tokens out.
    outputTokens: Optional[Delta3]
    # Both; input + output where there is no total.
    totalTokens: Optional[Delta4]


class _Distribution(TypedDict):
    # How many there are.
    count: int


class Distribution(_Distribution, total=False):
    """How some amounts are spread. A percentile is one of them: the smallest that at least so many
    of a hundred do not exceed (nearest rank). All but the count are null where there are none."""

    # The largest.
    max: Optional[Milliseconds]
    # Their mean, to the last place that a unit has, halves up.
    mean: Optional[Milliseconds]
    # The smallest.
    min: Optional[Milliseconds]
    # Half of them are no larger.
    p50: Optional[Milliseconds]
    # Of ten, nine are no larger.
    p90: Optional[Milliseconds]
    # Of twenty, nineteen are no larger.
    p95: Optional[Milliseconds]
    # Of a hundred, ninety-nine are no larger.
    p99: Optional[Milliseconds]


class _Distribution2(TypedDict):
    # How many there are.
    count: int


class Distribution2(_Distribution2, total=False):
    """How some amounts are spread. A percentile is one of them: the smallest that at least so many
    of a hundred do not exceed (nearest rank). All but the count are null where there are none."""

    # The largest.
    max: Optional[Money]
    # Their mean, to the last place that a unit has, halves up.
    mean: Optional[Money]
    # The smallest.
    min: Optional[Money]
    # Half of them are no larger.
    p50: Optional[Money]
    # Of ten, nine are no larger.
    p90: Optional[Money]
    # Of twenty, nineteen are no larger.
    p95: Optional[Money]
    # Of a hundred, ninety-nine are no larger.
    p99: Optional[Money]


class _ErrorGroup(TypedDict):
    # How many runs have such an error.
    count: int
    # The last one; of several the one that changed last.
    example: FailedRun
    # What tells it from other groups; the filter's `errorGroup` takes it. It stays the same
    # while the daemon's version does.
    fingerprint: str
    # When the first of those runs began, or was last written if it does not say.
    firstSeenAt: Millis
    # The same of the last one.
    lastSeenAt: Millis
    # What its errors have in common, with `<id>`, `<n>`, `<path>`, `<text>` and `<time>` where
    # they differ; made of the example's error as it is here, so it may end early.
    pattern: str


class ErrorGroup(_ErrorGroup, total=False):
    """Errors that are alike."""

    # With `since`, whether the group is new. For a clock: every run of it changed after that
    # clock. For a date: `firstSeenAt` is not before it, a day counting from its beginning. Only
    # runs that match are considered.
    new: Optional[bool]


class ErrorsGroupsResult(TypedDict):
    """The groups."""

    # The state that this is true at.
    clock: Clock
    # False only with `allowPartial`, while runs may be missing.
    complete: bool
    # The most frequent first, of equals the one that was seen last.
    groups: List[ErrorGroup]
    # How many groups there are, also beyond `limit`.
    total: int


# An execution: the name of its file without `.json`. One path component of 1 to 250 bytes.
ExecutionId = str


class ExecutionRecord(TypedDict, total=False):
    """An execution record as the engine writes it. Every member may be missing, null or of another
    type, and unknown members are kept."""

    completedAt: str
    costUSD: float
    # milliseconds
    duration: float
    error: str
    id: str
    input: str
    model: str
    # what to show as the run's name
    name: str
    output: str
    projectId: str
    retryCount: int
    sessionId: str
    startedAt: str
    status: str
    steps: List[Dict[str, Any]]
    tokenUsage: Dict[str, Any]


# How rows are written.
ExportFormat = Union[Literal["jsonl"], Literal["json"], Literal["csv"]]


class _ExportResult(TypedDict):
    # How many bytes it has.
    bytes: int
    # The state at which the runs were chosen. That of all pieces, unless the daemon had to
    # choose anew: then those of the pieces before may be of another.
    clock: Clock
    # False only with `allowPartial`, while runs may be missing.
    complete: bool
    # How many runs it holds. In a file: all that match at `clock`.
    rows: int


class ExportResult(_ExportResult, total=False):
    """What was written."""

    # Pass it as `cursor` for the next piece; null at the end.
    nextCursor: Optional[str]
    # A piece; those of all answers, one after the other, are the whole. Without `path`.
    text: Optional[str]


# What a row says.
ExportRows = Union[Literal["records"], Literal["summaries"]]


class _FailedRun(TypedDict):
    # Its error, cut at 256 bytes as in the summary.
    error: str
    # The run.
    executionId: ExecutionId
    # The project.
    projectId: ProjectId


class FailedRun(_FailedRun, total=False):
    """A run with its error."""

    # Present and true where `error` was cut.
    errorTruncated: Literal[True]


class Features(TypedDict):
    """What is there or not."""

    # Whether runs can be pinned, tagged and noted on.
    annotations: bool
    # Whether `executions/search` can search.
    search: bool
    # Whether deletions can be undone.
    trash: bool


class _FilterError(TypedDict):
    # Where it ends.
    end: int
    # What would have been right there.
    expected: str
    # What was found, cut at 40 characters.
    found: str
    # Where what was found begins, in UTF-16 units of the text.
    offset: int


class FilterError(_FilterError, total=False):
    """Why a text is no filter."""

    # The known name nearest to what was found, if one is near.
    nearest: Optional[str]


class _GetResult(TypedDict):
    # An opaque hash of the stored bytes; `ifVersion` takes it.
    version: Version


class GetResult(_GetResult, total=False):
    """A record, or pieces of it."""

    # Every place in `execution` where something was left out.
    cut: Optional[List[Cut]]
    # The file's own JSON: unknown members, number spellings and lone surrogates untouched. With
    # `maxBytes` cut where `cut` says; absent with `fields`.
    execution: ExecutionRecord
    # Which run it is, where that was not given by its own ids.
    executionId: Optional[ExecutionId]
    # Each of `fields`, by its pointer.
    fields: Optional[Dict[str, Piece]]
    # Whose run it is, where that was not given by its own ids.
    projectId: Optional[ProjectId]
    # How large the record is, in bytes; with `fields` or `maxBytes`.
    sizeBytes: Optional[int]
    # Whether `execution` is not all that there is; with `maxBytes`.
    truncated: Optional[bool]


class Group(TypedDict):
    """Runs that have something in common."""

    # How many there are.
    count: int
    # What they have, in the order of `groupBy`; null where they have none. An hour, a day, a
    # week or a month is the moment that it begins at.
    key: List[Optional[str]]


# A property that runs are grouped by.
GroupBy = Union[Literal["status"], Literal["project"], Literal["model"], Literal["hour"], Literal["day"], Literal["week"], Literal["month"], Literal["node"], Literal["errorGroup"]]


# How far the index is.
Indexing = Union[Literal["scanning"], Literal["verifying"], Literal["ready"]]


class _InitializeResult(TypedDict):
    # What can be asked.
    capabilities: Capabilities
    # The version of the protocol.
    protocolVersion: int
    # Which root is served.
    root: Root
    # Who serves.
    serverInfo: ServerInfo


class InitializeResult(_InitializeResult, total=False):
    """What is served."""

    # With `serve --shared`: whether the root's shared daemon answers.
    shared: Optional[Shared]


class Limits(TypedDict):
    """What is refused."""

    # The largest answer, in bytes.
    answerBytes: int
    # How many entries a batch may have.
    batchEntries: int
    # The largest frame, in bytes.
    frameBytes: int
    # How many bytes a request's id may have.
    idBytes: int
    # How deep a frame or record may be nested.
    nesting: int
    # The largest record that is given or stored whole, in bytes.
    recordBytes: int
    # How many subscriptions a connection may have.
    subscriptions: int
    # How many requests of a connection may be unanswered.
    unansweredRequests: int
    # Below how many bytes of unsent answers a connection's requests are started.
    unsentBytes: int


class _ListResult(TypedDict):
    # The state that the page is true at.
    clock: Clock
    # False only with `allowPartial`, while runs may be missing.
    complete: bool
    # The runs, newest first; with `fields` only those members of each.
    executions: List[Summary]
    # How many runs match, on all pages.
    total: int


class ListResult(_ListResult, total=False):
    """One page."""

    # Pass it as `cursor` for the next page; null at the end.
    nextCursor: Optional[str]


class Match(TypedDict):
    """A text of a run that has what was looked for."""

    # Where the snippet begins in the decoded string, in UTF-16 units.
    offset: int
    # JSON pointer to the string or number: `/steps/3/output/result/0`; `/id` is the run's id,
    # whatever the record says. Up to 1,024 bytes; a longer one is that of the last value around
    # it that has one of these.
    path: str
    # What was found in the snippet, in UTF-16 units from its beginning; of what is longer than
    # that, its beginning.
    ranges: List[Place]
    # The part of the text around the first place.
    snippet: str


class _Memory(TypedDict):
    # What of it is kept of the steps and errors of runs, in bytes: about that much more than
    # the index would take without.
    stepDataBytes: int


class Memory(_Memory, total=False):
    """Memory."""

    # What the process has in memory, in bytes; absent where the system does not tell.
    residentBytes: Optional[int]


# RFC 3339, UTC, with milliseconds.
Millis = str


# Milliseconds.
Milliseconds = float


# US dollars, exact to the nano-dollar.
Money = float


class _NodeStats(TypedDict):
    # How long the steps took that say so, in milliseconds: their `duration`, else the time from
    # `startedAt` to `completedAt`.
    duration: Distribution
    # How many of those have the status `failed`.
    failures: int
    # Tokens in.
    inputTokens: int
    # The `nodeId` of its steps, or their `name` where they have none.
    nodeId: str
    # Tokens out.
    outputTokens: int
    # How many runs have a step of it.
    runs: int
    # How many steps are of it: a loop has many in one run.
    steps: int
    # Tokens; input + output where a step has no total.
    totalTokens: int


class NodeStats(_NodeStats, total=False):
    """One node."""

    # Cost in US dollars, exact; null if no step records one.
    costUSD: Optional[CostSum]


# Which nodes come first. Where two are equal, the order of their names' bytes decides.
NodesOrder = Union[Literal["slowest"], Literal["mostFailing"], Literal["mostUsed"], Literal["mostExpensive"]]


class NodesStatsResult(TypedDict):
    """The nodes."""

    # The state that this is true at.
    clock: Clock
    # False only with `allowPartial`, while runs may be missing.
    complete: bool
    # In the order asked for.
    nodes: List[NodeStats]
    # How many nodes there are, also beyond `limit`.
    total: int
    # How many of the runs have steps that are not counted: of a run some 16 kB of step data and
    # 256 nodes are kept, its first steps, and no step whose node has a name of over 250 bytes.
    truncatedRuns: int


class _Piece(TypedDict):
    # What it is in truth; `missing` where the pointer points nowhere.
    kind: PieceKind
    # The value is not all that there is.
    truncated: bool


class Piece(_Piece, total=False):
    """A value in a record, or what there is room for."""

    # Every place in an array or object where something was left out.
    cut: Optional[List[Cut]]
    # A text's UTF-16 units, an array's elements, an object's members.
    length: Optional[int]
    # Which units of a text the value is, where they were asked for or there is room for no
    # more. A bound between the two halves of a character is moved before it.
    range: Optional[TextRange]
    # How many bytes it takes in the file.
    sizeBytes: Optional[int]
    # The value, as the file spells it where it is whole; absent where there is no room for any
    # of it, or a range is asked for of what is no string.
    value: Any


# What a JSON value is, for clients.
PieceKind = Union[Literal["object"], Literal["array"], Literal["string"], Literal["number"], Literal["boolean"], Literal["null"], Literal["missing"]]


class Place(TypedDict):
    """A part of a snippet."""

    # Where it ends.
    end: int
    # Where it begins.
    start: int


class Problem(TypedDict):
    """One finding."""

    # A stable word.
    kind: ProblemKind
    # For people.
    message: str
    # The file or folder, below the root.
    path: str
    # When it was first found.
    since: Millis


# What is wrong with a file or folder.
ProblemKind = Union[Literal["corrupt"], Literal["not-an-object"], Literal["not-regular"], Literal["invalid-name"], Literal["unreadable"], Literal["id-mismatch"], Literal["project-mismatch"], Literal["invalid-cost"], Literal["invalid-date"], Literal["abandoned-temporary"], Literal["corrupt-annotation"], Literal["unwritable"]]


class _ProblemsResult(TypedDict):
    # In the order of their paths.
    problems: List[Problem]


class ProblemsResult(_ProblemsResult, total=False):
    """One page of findings."""

    # Pass it as `cursor` for the next page; null at the end.
    nextCursor: Optional[str]


class Progress(TypedDict):
    """How far the first index has come."""

    # Files looked at.
    done: int
    # scanning, verifying or ready.
    state: Indexing
    # Files found so far.
    total: int


class _Project(TypedDict):
    # How many runs it has.
    executions: int
    # How many of them failed.
    failed: int
    # The folder's name.
    id: ProjectId
    # How many of them are running.
    running: int
    # What they cost together in US dollars, exact.
    totalCostUSD: CostSum


class Project(_Project, total=False):
    """One project."""

    # When the latest began.
    lastStartedAt: Optional[Millis]


# A project: the name of its folder below the root. One path component of 1 to 255 bytes.
ProjectId = str


class ProjectsResult(TypedDict):
    """All projects."""

    # The state that they are true at.
    clock: Clock
    # False only with `allowPartial`, while runs may be missing.
    complete: bool
    # Those with the latest activity first.
    projects: List[Project]


class PrunePolicy(TypedDict, total=False):
    """What may stay. A run goes if a rule says so and nothing keeps it; what is kept counts in
    `maxCount` and `maxBytes` all the same."""

    # Whether failed runs stay in any case.
    keepFailed: bool
    # So many of the youngest runs of each project stay in any case, of whatever status. As for
    # the rules, age counts from `completedAt`, else `startedAt`, else `updatedAt`.
    keepLast: int
    # Whether pinned runs stay in any case; they do unless this is false. So do those of which
    # it cannot be read whether they are.
    keepPinned: bool
    # What goes.
    rules: List[PruneRule]
    # How long deleted runs can be had back; for ever if absent.
    trash: Optional[PruneTrash]


class _PruneResult(TypedDict):
    # How many bytes their files have.
    bytes: int
    # The state without them; with `dryRun` the one at which they were chosen.
    clock: Clock
    # How many runs.
    count: int
    # How many entries of the trash are gone, or would be.
    emptied: int
    # Whether no run is left in the projects that the rules are about, but queued, running and
    # paused ones that no rule means.
    everything: bool
    # The first of them, `limit` at most.
    executions: List[RunName]
    # How many bytes they had.
    freedBytes: int
    # What was to go and did not, `limit` at most.
    skipped: List[SkippedRun]
    # How many did not.
    skippedCount: int
    # Projects whose trash cannot be read; there may be more in it that is old.
    unreadable: List[ProjectId]


class PruneResult(_PruneResult, total=False):
    """What went, or with `dryRun` would go."""

    # What they are in the trash, for executions/restore; absent if they are not there.
    batch: Optional[str]
    # With `dryRun`: pass it as `cursor` for those that are not named; null at the end.
    nextCursor: Optional[str]
    # With `dryRun`: pass it as `plan` for nothing else to go.
    plan: Optional[str]


class PruneRule(TypedDict, total=False):
    """What goes: of the runs that the rule is about, the oldest ones over any of its limits."""

    # How old they may be. Age counts from `completedAt`, else `startedAt`, else `updatedAt`.
    maxAge: Optional[str]
    # How many bytes their files may have.
    maxBytes: Optional[int]
    # How many there may be.
    maxCount: Optional[int]
    # Whether `maxCount` and `maxBytes` are those of each project by itself.
    perProject: bool
    # Only this project's runs; all if absent.
    projectId: Optional[ProjectId]
    # Only runs with this status, or one of these. If absent, all but queued, running and paused
    # ones. Queued and running runs go only if they are stale.
    status: Optional[Statuses]


class PruneTrash(TypedDict):
    """What the trash may hold."""

    # How long ago it may have been deleted; what is older is removed for good.
    maxAge: str


class RestoreResult(TypedDict):
    """What was done."""

    # The state that has them.
    clock: Clock
    # How many are back.
    count: int
    # What is back, the first 1,000.
    restored: List[RestoredEntry]
    # What stays in the trash because there is such a run by now, the first 1,000. Only with
    # `batch`; otherwise that is an error.
    skipped: List[RestoredEntry]
    # How many stay.
    skippedCount: int
    # Projects whose trash cannot be read, where there may be more of the `batch`.
    unreadable: List[ProjectId]


class RestoredEntry(TypedDict):
    """A deletion."""

    # What it was, or is, in the trash.
    entry: str
    # The run; for a file whose name is no id, that without `.json`.
    executionId: str
    # The project's folder.
    projectId: ProjectId


class _Root(TypedDict):
    # Whether it is there.
    exists: bool
    # The folder that holds the projects.
    path: str


class Root(_Root, total=False):
    """Which root is served."""

    # Where one was looked for, if it is not there.
    tried: Optional[List[str]]


class RunName(TypedDict):
    """A run."""

    # The file's stem.
    executionId: ExecutionId
    # The project's folder.
    projectId: ProjectId
    # The file's size.
    sizeBytes: int


class SaveResult(TypedDict):
    """What is stored now."""

    # The state that has it.
    clock: Clock
    # Whether there was no such run before.
    created: bool
    # The run as lists now show it.
    summary: Summary
    # An opaque hash of the stored bytes.
    version: Version


class _SearchHit(TypedDict):
    # The first texts of it that have what was looked for, at most three; none if it was only
    # looked for what is not there.
    matches: List[Match]
    # The run.
    summary: Summary


class SearchHit(_SearchHit, total=False):
    """A run that has what was looked for."""

    # How well it fits, compared with the other hits; absent when the newest come first.
    score: Optional[float]


class SearchIndexing(TypedDict):
    """How far the text index has come."""

    # How many runs are in it.
    done: int
    # How many there are.
    total: int


# The order of the hits.
SearchOrder = Union[Literal["newest"], Literal["relevance"]]


class _SearchResult(TypedDict):
    # The state up to which every change is in the text index.
    clock: Clock
    # Whether the text index has everything that lists have now.
    complete: bool
    # The runs that have what was looked for.
    hits: List[SearchHit]
    # How far the text index has come.
    indexing: SearchIndexing


class SearchResult(_SearchResult, total=False):
    """One page."""

    # Pass it as `cursor` for the next page; null at the end.
    nextCursor: Optional[str]
    # How many runs match, on all pages, as the text index has it; absent where more than 1,000
    # runs have what is looked for, which are not counted.
    total: Optional[int]


class _SeriesBucket(TypedDict):
    # Those that somebody ended.
    cancelled: int
    # Those that ended well.
    completed: int
    # How long those took that say so, in milliseconds.
    duration: Distribution
    # The first moment after it.
    end: Millis
    # All of them.
    executions: int
    # Those that ended in an error.
    failed: int
    # Tokens in.
    inputTokens: int
    # Those with another status, or none.
    other: int
    # Tokens out.
    outputTokens: int
    # Those held by somebody.
    paused: int
    # Those waiting to start.
    queued: int
    # Those being worked on.
    running: int
    # Its first moment.
    start: Millis
    # Cost in US dollars, exact.
    totalCostUSD: CostSum
    # Tokens; input + output where a run has no total.
    totalTokens: int


class SeriesBucket(_SeriesBucket, total=False):
    """The runs that began within a span."""

    # The same sums by status or project, in the order of the keys; with `by`.
    groups: Optional[List[SeriesGroup]]
    # completed / (completed + failed); null if none.
    successRate: Optional[float]


# What sums are told by.
SeriesBy = Union[Literal["status"], Literal["project"]]


class _SeriesGroup(TypedDict):
    # Those that somebody ended.
    cancelled: int
    # Those that ended well.
    completed: int
    # All of them.
    executions: int
    # Those that ended in an error.
    failed: int
    # Tokens in.
    inputTokens: int
    # Those with another status, or none.
    other: int
    # Tokens out.
    outputTokens: int
    # Those held by somebody.
    paused: int
    # Those waiting to start.
    queued: int
    # Those being worked on.
    running: int
    # Cost in US dollars, exact.
    totalCostUSD: CostSum
    # Tokens; input + output where a run has no total.
    totalTokens: int


class SeriesGroup(_SeriesGroup, total=False):
    """The runs of a bucket that have something in common."""

    # What they have; null where they have none.
    key: Optional[str]
    # completed / (completed + failed); null if none.
    successRate: Optional[float]


class _SeriesResult(TypedDict):
    # The oldest first, none left out.
    buckets: List[SeriesBucket]
    # The state that the sums are true at.
    clock: Clock
    # False only with `allowPartial`, while runs may be missing.
    complete: bool
    # The runs of which nobody knows when they began; the buckets' sums, these and those
    # `outside` are those of all runs that match.
    undated: SeriesSums


class SeriesResult(_SeriesResult, total=False):
    """One bucket after the other."""

    # The runs that began before the first bucket or after the last one; absent where there are
    # none.
    outside: Optional[SeriesSums]


class _SeriesSums(TypedDict):
    # Those that somebody ended.
    cancelled: int
    # Those that ended well.
    completed: int
    # All of them.
    executions: int
    # Those that ended in an error.
    failed: int
    # Tokens in.
    inputTokens: int
    # Those with another status, or none.
    other: int
    # Tokens out.
    outputTokens: int
    # Those held by somebody.
    paused: int
    # Those waiting to start.
    queued: int
    # Those being worked on.
    running: int
    # Cost in US dollars, exact.
    totalCostUSD: CostSum
    # Tokens; input + output where a run has no total.
    totalTokens: int


class SeriesSums(_SeriesSums, total=False):
    """The sums of some runs."""

    # completed / (completed + failed); null if none.
    successRate: Optional[float]


class ServerInfo(TypedDict):
    """Who serves."""

    # runlog.
    name: str
    # The program's version.
    version: str


class _Shared(TypedDict):
    # Whether the shared daemon answers; else this process does, by itself.
    active: bool


class Shared(_Shared, total=False):
    """How a client of `serve --shared` is served."""

    # Why not.
    reason: Optional[str]


class SkippedRun(TypedDict):
    """A run that was to go and did not."""

    # The file's stem.
    executionId: ExecutionId
    # The project's folder.
    projectId: ProjectId
    # `changed`: was saved, touched or noted on after it was chosen or told; `gone`: deleted by
    # somebody else; `kept`: others changed or went, so that the policy keeps it by now;
    # `refused` by the file system, be it to read the record that says whether it is meant;
    # `maybe-pinned`: what is noted on it cannot be read, and the policy keeps pinned runs;
    # `stopped`: the request was taken back before its turn came.
    reason: str


class StartResult(TypedDict):
    """The run as it is stored now."""

    # The state that has it.
    clock: Clock
    # Its id, for updates.
    executionId: ExecutionId
    # The run as lists now show it.
    summary: Summary
    # An opaque hash of the stored bytes.
    version: Version


class _StatsResult(TypedDict):
    # Runs that somebody ended.
    cancelled: int
    # The state that the sums are true at.
    clock: Clock
    # False only with `allowPartial`, while runs may be missing.
    complete: bool
    # Runs that ended well.
    completed: int
    # Runs that ended in an error.
    failed: int
    # Tokens in.
    inputTokens: int
    # Runs with another status, or none.
    other: int
    # Tokens out.
    outputTokens: int
    # Runs held by somebody.
    paused: int
    # Runs waiting to start.
    queued: int
    # Runs being worked on.
    running: int
    # Cost in US dollars, exact.
    totalCostUSD: CostSum
    # All runs.
    totalExecutions: int
    # Tokens; input + output where a run has no total.
    totalTokens: int


class StatsResult(_StatsResult, total=False):
    """Counts and sums."""

    # Mean duration of the runs that have one, in whole milliseconds, halves up; null if none.
    averageDuration: Optional[int]
    # What the runs cost that say so, in US dollars; with a filter.
    cost: Optional[Distribution2]
    # How long the runs took that say so, in milliseconds; with a filter.
    duration: Optional[Distribution]
    # completed / (completed + failed); null if none.
    successRate: Optional[float]
    # completed + failed, of which `successRate` is a share; with a filter.
    successRateOf: Optional[int]


class StatusResult(TypedDict):
    """How the daemon is."""

    # The state of the index.
    clock: Clock
    # How many runs are listed.
    executions: int
    # How many files were opened to be read into the index.
    filesRead: int
    # How far the first index has come.
    indexing: Progress
    # Memory.
    memory: Memory
    # Its process.
    pid: int
    # How many findings `server/problems` lists.
    problems: int
    # How many projects have runs.
    projects: int
    # Whether the index went on from what an earlier daemon kept.
    restored: bool
    # Which root is served.
    root: Root
    # How many connections there are.
    sessions: int
    # How many deletions are remembered for `since`.
    tombstones: int
    # For how long it has been up, in milliseconds.
    uptimeMs: int
    # The program's version.
    version: str
    # How changes of files are noticed.
    watcher: Watching


# One status, or at most 100; any strings, of which no run has one of more than 64 bytes.
Statuses = Union[str, List[str]]


# What a step is called by.
StepCalledBy = Union[Literal["nodeId"], Literal["name"], Literal["id"], Literal["nothing"]]


class StepCounts(TypedDict):
    """Steps by how they are aligned."""

    # In both.
    both: int
    # Of those, moved before or behind others.
    moved: int
    # Only in `a`.
    onlyA: int
    # Only in `b`.
    onlyB: int
    # Of those, the same and in place.
    unchanged: int


class _StepDiff(TypedDict):
    # What it is called, up to 256 characters; empty where it is called by nothing.
    called: str
    # What it is called by.
    calledBy: StepCalledBy
    # The members that differ, in the order of `a`, then of `b`; at most 100. Empty unless it is
    # in both.
    changed: List[ChangedMember]
    # How many more there are.
    moreChanged: int
    # It has moved before or behind others.
    moved: bool
    # How many steps before it are called the same.
    occurrence: int
    # Where it is.
    side: StepSide


class StepDiff(_StepDiff, total=False):
    """A step that is not the same in both records."""

    # Its place in `a`, from 0.
    a: Optional[int]
    # Its place in `b`, from 0.
    b: Optional[int]
    # US dollars, from `costUSD`.
    costUSD: Optional[Delta]
    # Milliseconds, from `duration`.
    duration: Optional[Delta2]
    # Tokens in.
    inputTokens: Optional[Delta3]
    # Tokens out.
    outputTokens: Optional[Delta3]
    # Both; input + output where there is no total.
    totalTokens: Optional[Delta4]


# Where a step is.
StepSide = Union[Literal["both"], Literal["onlyA"], Literal["onlyB"]]


class _StepUpdate(TypedDict):
    id: str


class StepUpdate(_StepUpdate, total=False):
    """A step, or what is new of one; `id` says which."""

    completedAt: str
    costUSD: float
    # milliseconds
    duration: float
    error: str
    input: Any
    model: str
    name: str
    nodeId: str
    nodeType: str
    output: Any
    parentId: str
    startedAt: str
    status: str
    tokenUsage: Dict[str, Any]


# A subscription's id.
SubscriptionId = int


class _Summary(TypedDict):
    # The file's stem.
    id: ExecutionId
    # The project's folder.
    projectId: ProjectId
    # The file's size in bytes.
    sizeBytes: int
    # How many steps the record holds.
    stepCount: int
    # The file's modification time as last seen, 2262-04-11 at the latest.
    updatedAt: Millis
    # An opaque hash of the stored bytes; `ifVersion` takes it.
    version: Version


class Summary(_Summary, total=False):
    """One run as lists and changes show it."""

    # When the run ended.
    completedAt: Optional[Millis]
    # Cost in US dollars, exact to the nano-dollar.
    costUSD: Optional[Money]
    # How long the run took, in milliseconds.
    duration: Optional[Milliseconds]
    # The error, cut at 256 bytes.
    error: Optional[str]
    # Present and true where `error` was cut.
    errorTruncated: Literal[True]
    # What to show as the run's name: `name`, else the first line of `input` that is not empty;
    # 80 characters at most.
    label: Optional[str]
    # The model that the record names, cut at 128 bytes: longer names that begin alike are one.
    model: Optional[str]
    # What somebody noted on the run.
    note: Optional[str]
    # Present and true where somebody pinned the run.
    pinned: Literal[True]
    # How often the run was tried again.
    retryCount: Optional[int]
    # For queued and running runs: from this moment on the run counts as stale.
    staleAt: Optional[Millis]
    # When the run began.
    startedAt: Optional[Millis]
    # queued, running, paused, completed, failed, cancelled, or what else the record says.
    status: Optional[str]
    # The tags that people gave the run, in the order of their bytes; absent where there are
    # none.
    tags: List[str]
    # Tokens used; members that the record lacks are absent, and so is this where it lacks all.
    tokenUsage: Tokens


class TextRange(TypedDict):
    """Some of a text, in UTF-16 units of the decoded string."""

    # Behind its last unit.
    end: int
    # Where it begins.
    start: int


class Tokens(TypedDict, total=False):
    """Tokens used, as far as the record tells."""

    # Tokens in.
    input: Optional[int]
    # Tokens out.
    output: Optional[int]
    # Both.
    total: Optional[int]


class ToldSaved(TypedDict):
    """The run is there and matches: insert or replace it."""

    # The state after the change.
    clock: Clock
    # Whether the latest change of the run created it: no heartbeat does, nor what is noted on
    # it.
    created: bool
    kind: Literal["saved"]
    # The run.
    summary: Summary


class ToldDeleted(TypedDict):
    """The run is gone."""

    # The state after the change.
    clock: Clock
    # The file's stem.
    executionId: ExecutionId
    kind: Literal["deleted"]
    # The project's folder.
    projectId: ProjectId


class ToldLeft(TypedDict):
    """The run is there and does not match: drop it if you hold it."""

    # The state after the change.
    clock: Clock
    # The file's stem.
    executionId: ExecutionId
    kind: Literal["left"]
    # The project's folder.
    projectId: ProjectId


class ToldCurrent(TypedDict):
    """Nothing but the state that you have now."""

    # The state.
    clock: Clock
    kind: Literal["current"]


class ToldResync(TypedDict):
    """Something may be missing: drop what you hold and list again."""

    # Changes after this state follow.
    clock: Clock
    kind: Literal["resync"]


# One change, as told.
Told = Union["ToldSaved", "ToldDeleted", "ToldLeft", "ToldCurrent", "ToldResync"]


class TrashEmptyResult(TypedDict):
    """What was done."""

    # How many entries are gone.
    emptied: int
    # How many bytes they had.
    freedBytes: int


class _TrashEntry(TypedDict):
    # What the request that deleted it called all that it deleted.
    batch: str
    # When it was deleted.
    deletedAt: Millis
    # What executions/restore and trash/empty take; opaque.
    entry: str
    # The run; for a file whose name is no id, that without `.json`.
    executionId: str
    # The project's folder.
    projectId: ProjectId
    # The file's size.
    sizeBytes: int


class TrashEntry(_TrashEntry, total=False):
    """A deletion."""

    # The run as lists would show it; absent where the file is no record.
    summary: Optional[Summary]


class _TrashListResult(TypedDict):
    # The latest deletion first; what one request deleted by project and file name.
    entries: List[TrashEntry]
    # How many there are, on all pages, as counted for the first.
    total: int
    # How many bytes all of them have, counted likewise.
    totalBytes: int
    # Of all projects, those whose trash cannot be read; what is in it is not counted.
    unreadable: List[ProjectId]


class TrashListResult(_TrashListResult, total=False):
    """One page."""

    # Pass it as `cursor` for the next page; null at the end.
    nextCursor: Optional[str]


class UpdateAdd(TypedDict, total=False):
    """Amounts."""

    # US dollars.
    costUSD: Optional[float]
    # Tokens; the total follows.
    tokenUsage: Optional[UpdateAddTokens]


class UpdateAddTokens(TypedDict, total=False):
    """Tokens."""

    # Tokens read.
    input: Optional[int]
    # Tokens written.
    output: Optional[int]


class UpdateResult(TypedDict):
    """The run as it is stored now."""

    # The state that has it.
    clock: Clock
    # The run as lists now show it.
    summary: Summary
    # An opaque hash of the stored bytes.
    version: Version


# An opaque hash of the stored bytes.
Version = str


class _Watching(TypedDict):
    # The system's interface for file events, or `poll`.
    backend: str
    # How often all stamps are compared, whatever events tell, in milliseconds.
    compareEveryMs: int
    # How long that took last, in milliseconds, without reading what differed.
    compareTookMs: int
    # How often all stamps were compared since the start.
    compares: int
    # How many folders are watched.
    folders: int
    # Whether events come for every folder; if not, what they do not tell is polled: its files'
    # stamps are compared every few seconds.
    healthy: bool
    # How often the system lost events; each time everything was compared.
    overflows: int
    # How many projects are polled.
    unwatched: int


class Watching(_Watching, total=False):
    """How changes of files are noticed."""

    # Why something is polled, and what to do.
    message: Optional[str]
    # After how long at most a change is noticed in what is polled, in milliseconds: the sum of
    # the two. Absent where nothing is polled: events tell of every change at once.
    noticedWithinMs: Optional[int]
    # How often they are, in milliseconds; absent where nothing is polled.
    pollEveryMs: Optional[int]
    # How long that took last, in milliseconds, without reading what differed; absent where
    # nothing is polled. It takes a tenth of the time at most.
    pollTookMs: Optional[int]


class _WhichExecution(TypedDict):
    # The file's stem, its beginning, or `last`.
    executionId: ExecutionId


class WhichExecution(_WhichExecution, total=False):
    """A run, as `executions/get` takes it."""

    # The project's folder; any if absent.
    projectId: Optional[ProjectId]


class InitializeParams(TypedDict, total=False):
    """What `initialize` takes."""

    # What the client can do. With `relay: true` it passes on the messages of another one, whose
    # own `initialize` is still to come.
    capabilities: Any
    # The client's name and version.
    clientInfo: Any
    # The client's process; on stdio the daemon ends when it does.
    processId: Any
    # The protocol version that the client wants.
    protocolVersion: Any


class ShutdownParams(TypedDict):
    """What `shutdown` takes."""


class PingParams(TypedDict):
    """What `ping` takes."""


class RpcDiscoverParams(TypedDict):
    """What `rpc.discover` takes."""


class ServerStatusParams(TypedDict, total=False):
    """What `server/status` takes."""

    # Everything done to the files before the request is in the answer, which then waits for the
    # first index, too.
    sync: Optional[bool]


class ServerProblemsParams(TypedDict, total=False):
    """What `server/problems` takes."""

    # `nextCursor` of the page before; `projectId` must be the same.
    cursor: Optional[str]
    # The page's size.
    limit: int
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]


class _FilterCheckParams(TypedDict):
    # The filter, finished or not.
    text: str


class FilterCheckParams(_FilterCheckParams, total=False):
    """What `filter/check` takes."""

    # The cursor, in UTF-16 units of the text; beyond its end means at its end. Completions are
    # for what is written there.
    offset: Optional[int]


class ProjectsListParams(TypedDict, total=False):
    """What `projects/list` takes."""

    # Answer at once while the first index is being built.
    allowPartial: Optional[bool]
    # Folders without runs as well; false if absent.
    includeEmpty: Optional[bool]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]


class ExecutionsListParams(TypedDict, total=False):
    """What `executions/list` takes."""

    # Answer at once while the first index is being built.
    allowPartial: Optional[bool]
    # `nextCursor` of the page before; the other params must be the same.
    cursor: Optional[str]
    # Only these members of each summary.
    fields: Optional[List[str]]
    # The page's size.
    limit: int
    # How many runs to skip; not beside `cursor`.
    offset: Optional[int]
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # By which number or date to sort, the smallest first; with a minus before it, as in
    # `-costUSD`, the largest. Runs without it come last, and the same ones newest first.
    sort: Optional[str]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]
    # The IANA time zone of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter, for example `costUSD > 0.5 and startedAt >= -7d`.
    where: Optional[str]


class _ExecutionsGetParams(TypedDict):
    # The file's stem.
    executionId: ExecutionId


class ExecutionsGetParams(_ExecutionsGetParams, total=False):
    """What `executions/get` takes."""

    # Only these members, as JSON pointers (RFC 6901), for example `/steps/3/output`;
    # `execution` is absent then. At most 256, of 64 KiB together.
    fields: Optional[List[str]]
    # How many bytes of record the answer may hold, what is told of cuts included; with `fields`
    # 63 MiB if absent.
    maxBytes: int
    # The project's folder.
    projectId: ProjectId
    # Only these UTF-16 units of the text that the one of `fields` points to; a bound between
    # the two halves of a character is moved before it.
    range: Optional[TextRange]
    # Where the run is not called so: everything done to the files before the request counts.
    sync: Optional[bool]


class _ExecutionsDiffParams(TypedDict):
    # The run that the other is compared with.
    a: WhichExecution
    # The other run.
    b: WhichExecution


class ExecutionsDiffParams(_ExecutionsDiffParams, total=False):
    """What `executions/diff` takes."""

    # Where a run is not called so: everything done to the files before the request counts.
    sync: Optional[bool]


class ExecutionsCountParams(TypedDict, total=False):
    """What `executions/count` takes."""

    # Answer at once while the first index is being built.
    allowPartial: Optional[bool]
    # By what to group: none, one or two.
    groupBy: List[GroupBy]
    # At most so many groups.
    limit: int
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]
    # The IANA time zone of the filter's dates and of the groups' hours, days, weeks and months;
    # UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter.
    where: Optional[str]


class ExecutionsStatsParams(TypedDict, total=False):
    """What `executions/stats` takes."""

    # Answer at once while the first index is being built.
    allowPartial: Optional[bool]
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]
    # The IANA time zone of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter.
    where: Optional[str]


class ExecutionsSeriesParams(TypedDict, total=False):
    """What `executions/series` takes."""

    # Answer at once while the first index is being built.
    allowPartial: Optional[bool]
    # How long a bucket is.
    bucket: Bucket
    # Tells each bucket's sums by this, too.
    by: Optional[SeriesBy]
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]
    # The IANA time zone of the buckets and of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter. If it says from when on, or until when, the buckets reach
    # so far; else to the first and the last run. A `not` says neither.
    where: Optional[str]


class _ExecutionsSearchParams(TypedDict):
    # Words, `"phrases"`, `prefix*`, `AND`, `OR`, `NOT` or `-`, parentheses; words beside each
    # other must all be there.
    query: str


class ExecutionsSearchParams(_ExecutionsSearchParams, total=False):
    """What `executions/search` takes."""

    # `nextCursor` of the page before; the other params must be the same.
    cursor: Optional[str]
    # The page's size.
    limit: int
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # The order of the hits.
    sort: SearchOrder
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is found.
    sync: Optional[bool]
    # The IANA time zone of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter, for example `costUSD > 0.5 and startedAt >= -7d`.
    where: Optional[str]


class _ExecutionsExportParams(TypedDict):
    # How rows are written.
    format: ExportFormat


class ExecutionsExportParams(_ExecutionsExportParams, total=False):
    """What `executions/export` takes."""

    # Answer at once while the first index is being built.
    allowPartial: Optional[bool]
    # `nextCursor` of the piece before; the other params must be the same.
    cursor: Optional[str]
    # How large a piece is, in bytes of its text: 1 MiB if absent, 16 MiB at most. A row is
    # given whatever its size, but a record of more than 16 MiB is told by its summary in a
    # piece.
    maxBytes: Optional[int]
    # The file to write, absolute; nothing may be there. If absent, the answer holds a piece of
    # the text.
    path: Optional[str]
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # What a row says: `records` where that is absent, but in CSV.
    rows: Optional[ExportRows]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]
    # The IANA time zone of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter.
    where: Optional[str]


class _ExecutionsSaveParams(TypedDict):
    # The record; its `id` names the file.
    execution: ExecutionRecord
    # The project's folder; made if it is not there.
    projectId: ProjectId


class ExecutionsSaveParams(_ExecutionsSaveParams, total=False):
    """What `executions/save` takes."""

    # Store only over this version; `none`: only if there is no such run.
    ifVersion: Optional[str]


class _ExecutionsStartParams(TypedDict):
    # The project's folder; made if it is not there.
    projectId: ProjectId


class ExecutionsStartParams(_ExecutionsStartParams, total=False):
    """What `executions/start` takes."""

    # What the record says beside or in place of what a new one says; its `id`, if it has one,
    # names the file.
    execution: Optional[ExecutionRecord]


class _ExecutionsUpdateParams(TypedDict):
    # The run's id.
    executionId: ExecutionId
    # The project's folder.
    projectId: ProjectId


class ExecutionsUpdateParams(_ExecutionsUpdateParams, total=False):
    """What `executions/update` takes."""

    # What comes on top of the record's amounts, after `set`.
    add: Optional[UpdateAdd]
    # Only on top of this version.
    ifVersion: Optional[str]
    # New values of top-level members; null removes one. Not `id`, `projectId` and `steps`.
    set: Optional[Dict[str, Any]]
    # Steps: one that the record has, by `id`, is overlaid, another one is appended.
    steps: Optional[List[StepUpdate]]


class _ExecutionsAnnotateParams(TypedDict):
    # The file's stem.
    executionId: ExecutionId
    # The project's folder.
    projectId: ProjectId


class ExecutionsAnnotateParams(_ExecutionsAnnotateParams, total=False):
    """What `executions/annotate` takes."""

    # Tags that it gets.
    addTags: Optional[List[str]]
    # The note, 2,000 characters at most; an empty one removes it.
    note: Optional[str]
    # Whether it is pinned.
    pinned: Optional[bool]
    # Tags that it loses; one that it does not have is no error.
    removeTags: Optional[List[str]]
    # All its tags, instead of those that it has; 32 at most, of 64 characters at most.
    tags: Optional[List[str]]


class _ExecutionsDeleteParams(TypedDict):
    # The file's stem.
    executionId: ExecutionId
    # The project's folder.
    projectId: ProjectId


class ExecutionsDeleteParams(_ExecutionsDeleteParams, total=False):
    """What `executions/delete` takes."""

    # Whether it is deleted for good instead of being moved to the trash.
    permanent: Optional[bool]


class _ExecutionsDeleteAllParams(TypedDict):
    # The project's folder.
    projectId: ProjectId


class ExecutionsDeleteAllParams(_ExecutionsDeleteAllParams, total=False):
    """What `executions/deleteAll` takes."""

    # Whether they are deleted for good instead of being moved to the trash.
    permanent: Optional[bool]


class ExecutionsDeleteMatchingParams(TypedDict, total=False):
    """What `executions/deleteMatching` takes."""

    # With `dryRun`: `nextCursor` of the answer before, for the runs that it did not name; the
    # other params must be the same.
    cursor: Optional[str]
    # Only tell what would go.
    dryRun: Optional[bool]
    # How many runs are named, of those that go and of those that do not: 100 if absent, 10,000
    # at most.
    limit: Optional[int]
    # Whether they are deleted for good instead of being moved to the trash.
    permanent: Optional[bool]
    # `plan` of an answer to `dryRun`: nothing goes but what that told. What came or changed
    # since stays. Its `projectId`, `status`, `where` and `timezone` must be the same.
    plan: Optional[str]
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is taken into account.
    sync: Optional[bool]
    # The IANA time zone of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter, for example `startedAt < -30d and status = 'failed'`.
    where: Optional[str]


class ExecutionsPruneParams(TypedDict, total=False):
    """What `executions/prune` takes."""

    # With `dryRun`: `nextCursor` of the answer before, for the runs that it did not name; the
    # other params must be the same.
    cursor: Optional[str]
    # Only tell what would go.
    dryRun: Optional[bool]
    # Whether the policy may leave no run in the projects that its rules are about, but queued,
    # running and paused ones that no rule means.
    everything: Optional[bool]
    # How many runs are named, of those that go and of those that do not: 100 if absent, 10,000
    # at most.
    limit: Optional[int]
    # Whether runs are deleted for good instead of being moved to the trash.
    permanent: Optional[bool]
    # `plan` of an answer to `dryRun`: nothing goes but what that told, of the trash either.
    # What came or changed since stays. The policy must be the same.
    plan: Optional[str]
    # What may stay; if absent, what `[prune]` says, in the same words, in the nearest
    # `runlog.toml` above the projects that has it, or in the user's own.
    policy: Optional[PrunePolicy]
    # Everything done to the files before the request is taken into account.
    sync: Optional[bool]


class ExecutionsRestoreParams(TypedDict, total=False):
    """What `executions/restore` takes."""

    # All that one request deleted, in whatever projects.
    batch: Optional[str]
    # What deletions and trash/list call `entry`, 1,000 at most.
    entries: Optional[List[str]]
    # The run whose latest deletion is put back, beside `projectId`.
    executionId: Optional[ExecutionId]
    # The project's folder, beside `executionId`.
    projectId: Optional[ProjectId]


class TrashListParams(TypedDict, total=False):
    """What `trash/list` takes."""

    # `nextCursor` of the page before; `projectId` and `executionId` must be the same.
    cursor: Optional[str]
    # Only those whose `executionId` begins so: for whoever looks for one run.
    executionId: Optional[str]
    # The page's size.
    limit: int
    # Only this project's; all if absent.
    projectId: Optional[ProjectId]


class TrashEmptyParams(TypedDict, total=False):
    """What `trash/empty` takes."""

    # Only what one request deleted; not beside another param.
    batch: Optional[str]
    # Only what was deleted before this moment (RFC 3339).
    before: Optional[str]
    # Only these, 1,000 at most; not beside another param.
    entries: Optional[List[str]]
    # Only this project's; all if absent.
    projectId: Optional[ProjectId]


class ExecutionsSubscribeParams(TypedDict, total=False):
    """What `executions/subscribe` takes."""

    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Begin after this clock; now if absent.
    since: Optional[str]
    # Only runs with this status, or one of these; a run that changes to another is told as
    # left.
    status: Optional[Statuses]
    # The IANA time zone of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter; a changed one that does not is told as left. Its dates
    # are what they are at each change; time that passes tells nothing.
    where: Optional[str]


class ExecutionsUnsubscribeParams(TypedDict):
    """What `executions/unsubscribe` takes."""

    # The id that `executions/subscribe` gave; also accepted as the only positional parameter.
    subscription: Any


class _ExecutionsChangesParams(TypedDict):
    # A clock from an earlier answer.
    since: str


class ExecutionsChangesParams(_ExecutionsChangesParams, total=False):
    """What `executions/changes` takes."""

    # At most so many changes.
    limit: int
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]
    # The IANA time zone of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter; a changed one that does not is told as left.
    where: Optional[str]


class NodesStatsParams(TypedDict, total=False):
    """What `nodes/stats` takes."""

    # Answer at once while the first index is being built.
    allowPartial: Optional[bool]
    # At most so many nodes.
    limit: int
    # Which nodes come first; `slowest` if absent.
    orderBy: Optional[NodesOrder]
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]
    # The IANA time zone of the filter's dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter; of those, all steps count.
    where: Optional[str]


class ErrorsGroupsParams(TypedDict, total=False):
    """What `errors/groups` takes."""

    # Answer at once while the first index is being built.
    allowPartial: Optional[bool]
    # At most so many groups.
    limit: int
    # Only this project; all if absent.
    projectId: Optional[ProjectId]
    # Groups are `new` that came later: a clock from an earlier answer, or a date as filters
    # have them, for example `-1d` or `2025-10-15`. It leaves no group out.
    since: Optional[str]
    # Only runs with this status, or one of these.
    status: Optional[Statuses]
    # Everything done to the files before the request is in the answer.
    sync: Optional[bool]
    # The IANA time zone of dates; UTC if absent.
    timezone: Optional[str]
    # Only runs that pass this filter.
    where: Optional[str]


class Requests:
    """Every method: what it takes and what it gives."""

    @overload
    def request(
        self, method: Literal["initialize"], params: Optional[InitializeParams] = None, *, timeout: Optional[float] = None
    ) -> InitializeResult: ...

    @overload
    def request(
        self, method: Literal["shutdown"], params: Optional[ShutdownParams] = None, *, timeout: Optional[float] = None
    ) -> None: ...

    @overload
    def request(
        self, method: Literal["ping"], params: Optional[PingParams] = None, *, timeout: Optional[float] = None
    ) -> Dict[str, Any]: ...

    @overload
    def request(
        self, method: Literal["rpc.discover"], params: Optional[RpcDiscoverParams] = None, *, timeout: Optional[float] = None
    ) -> Dict[str, Any]: ...

    @overload
    def request(
        self, method: Literal["server/status"], params: Optional[ServerStatusParams] = None, *, timeout: Optional[float] = None
    ) -> StatusResult: ...

    @overload
    def request(
        self, method: Literal["server/problems"], params: Optional[ServerProblemsParams] = None, *, timeout: Optional[float] = None
    ) -> ProblemsResult: ...

    @overload
    def request(
        self, method: Literal["filter/check"], params: FilterCheckParams, *, timeout: Optional[float] = None
    ) -> CheckResult: ...

    @overload
    def request(
        self, method: Literal["projects/list"], params: Optional[ProjectsListParams] = None, *, timeout: Optional[float] = None
    ) -> ProjectsResult: ...

    @overload
    def request(
        self, method: Literal["executions/list"], params: Optional[ExecutionsListParams] = None, *, timeout: Optional[float] = None
    ) -> ListResult: ...

    @overload
    def request(
        self, method: Literal["executions/get"], params: ExecutionsGetParams, *, timeout: Optional[float] = None
    ) -> GetResult: ...

    @overload
    def request(
        self, method: Literal["executions/diff"], params: ExecutionsDiffParams, *, timeout: Optional[float] = None
    ) -> DiffResult: ...

    @overload
    def request(
        self, method: Literal["executions/count"], params: Optional[ExecutionsCountParams] = None, *, timeout: Optional[float] = None
    ) -> CountResult: ...

    @overload
    def request(
        self, method: Literal["executions/stats"], params: Optional[ExecutionsStatsParams] = None, *, timeout: Optional[float] = None
    ) -> StatsResult: ...

    @overload
    def request(
        self, method: Literal["executions/series"], params: Optional[ExecutionsSeriesParams] = None, *, timeout: Optional[float] = None
    ) -> SeriesResult: ...

    @overload
    def request(
        self, method: Literal["executions/search"], params: ExecutionsSearchParams, *, timeout: Optional[float] = None
    ) -> SearchResult: ...

    @overload
    def request(
        self, method: Literal["executions/export"], params: ExecutionsExportParams, *, timeout: Optional[float] = None
    ) -> ExportResult: ...

    @overload
    def request(
        self, method: Literal["executions/save"], params: ExecutionsSaveParams, *, timeout: Optional[float] = None
    ) -> SaveResult: ...

    @overload
    def request(
        self, method: Literal["executions/start"], params: ExecutionsStartParams, *, timeout: Optional[float] = None
    ) -> StartResult: ...

    @overload
    def request(
        self, method: Literal["executions/update"], params: ExecutionsUpdateParams, *, timeout: Optional[float] = None
    ) -> UpdateResult: ...

    @overload
    def request(
        self, method: Literal["executions/annotate"], params: ExecutionsAnnotateParams, *, timeout: Optional[float] = None
    ) -> AnnotateResult: ...

    @overload
    def request(
        self, method: Literal["executions/delete"], params: ExecutionsDeleteParams, *, timeout: Optional[float] = None
    ) -> DeleteResult: ...

    @overload
    def request(
        self, method: Literal["executions/deleteAll"], params: ExecutionsDeleteAllParams, *, timeout: Optional[float] = None
    ) -> DeleteAllResult: ...

    @overload
    def request(
        self, method: Literal["executions/deleteMatching"], params: Optional[ExecutionsDeleteMatchingParams] = None, *, timeout: Optional[float] = None
    ) -> DeleteMatchingResult: ...

    @overload
    def request(
        self, method: Literal["executions/prune"], params: Optional[ExecutionsPruneParams] = None, *, timeout: Optional[float] = None
    ) -> PruneResult: ...

    @overload
    def request(
        self, method: Literal["executions/restore"], params: Optional[ExecutionsRestoreParams] = None, *, timeout: Optional[float] = None
    ) -> RestoreResult: ...

    @overload
    def request(
        self, method: Literal["trash/list"], params: Optional[TrashListParams] = None, *, timeout: Optional[float] = None
    ) -> TrashListResult: ...

    @overload
    def request(
        self, method: Literal["trash/empty"], params: Optional[TrashEmptyParams] = None, *, timeout: Optional[float] = None
    ) -> TrashEmptyResult: ...

    @overload
    def request(
        self, method: Literal["executions/subscribe"], params: Optional[ExecutionsSubscribeParams] = None, *, timeout: Optional[float] = None
    ) -> SubscriptionId: ...

    @overload
    def request(
        self, method: Literal["executions/unsubscribe"], params: ExecutionsUnsubscribeParams, *, timeout: Optional[float] = None
    ) -> bool: ...

    @overload
    def request(
        self, method: Literal["executions/changes"], params: ExecutionsChangesParams, *, timeout: Optional[float] = None
    ) -> ChangesResult: ...

    @overload
    def request(
        self, method: Literal["nodes/stats"], params: Optional[NodesStatsParams] = None, *, timeout: Optional[float] = None
    ) -> NodesStatsResult: ...

    @overload
    def request(
        self, method: Literal["errors/groups"], params: Optional[ErrorsGroupsParams] = None, *, timeout: Optional[float] = None
    ) -> ErrorsGroupsResult: ...

    def request(self, method: Any, params: Any = None, *, timeout: Optional[float] = None) -> Any:
        return self._request(method, params, timeout)

    def _request(self, method: str, params: Any, timeout: Optional[float]) -> Any:
        raise NotImplementedError

    @overload
    async def request_async(
        self, method: Literal["initialize"], params: Optional[InitializeParams] = None, *, timeout: Optional[float] = None
    ) -> InitializeResult: ...

    @overload
    async def request_async(
        self, method: Literal["shutdown"], params: Optional[ShutdownParams] = None, *, timeout: Optional[float] = None
    ) -> None: ...

    @overload
    async def request_async(
        self, method: Literal["ping"], params: Optional[PingParams] = None, *, timeout: Optional[float] = None
    ) -> Dict[str, Any]: ...

    @overload
    async def request_async(
        self, method: Literal["rpc.discover"], params: Optional[RpcDiscoverParams] = None, *, timeout: Optional[float] = None
    ) -> Dict[str, Any]: ...

    @overload
    async def request_async(
        self, method: Literal["server/status"], params: Optional[ServerStatusParams] = None, *, timeout: Optional[float] = None
    ) -> StatusResult: ...

    @overload
    async def request_async(
        self, method: Literal["server/problems"], params: Optional[ServerProblemsParams] = None, *, timeout: Optional[float] = None
    ) -> ProblemsResult: ...

    @overload
    async def request_async(
        self, method: Literal["filter/check"], params: FilterCheckParams, *, timeout: Optional[float] = None
    ) -> CheckResult: ...

    @overload
    async def request_async(
        self, method: Literal["projects/list"], params: Optional[ProjectsListParams] = None, *, timeout: Optional[float] = None
    ) -> ProjectsResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/list"], params: Optional[ExecutionsListParams] = None, *, timeout: Optional[float] = None
    ) -> ListResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/get"], params: ExecutionsGetParams, *, timeout: Optional[float] = None
    ) -> GetResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/diff"], params: ExecutionsDiffParams, *, timeout: Optional[float] = None
    ) -> DiffResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/count"], params: Optional[ExecutionsCountParams] = None, *, timeout: Optional[float] = None
    ) -> CountResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/stats"], params: Optional[ExecutionsStatsParams] = None, *, timeout: Optional[float] = None
    ) -> StatsResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/series"], params: Optional[ExecutionsSeriesParams] = None, *, timeout: Optional[float] = None
    ) -> SeriesResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/search"], params: ExecutionsSearchParams, *, timeout: Optional[float] = None
    ) -> SearchResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/export"], params: ExecutionsExportParams, *, timeout: Optional[float] = None
    ) -> ExportResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/save"], params: ExecutionsSaveParams, *, timeout: Optional[float] = None
    ) -> SaveResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/start"], params: ExecutionsStartParams, *, timeout: Optional[float] = None
    ) -> StartResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/update"], params: ExecutionsUpdateParams, *, timeout: Optional[float] = None
    ) -> UpdateResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/annotate"], params: ExecutionsAnnotateParams, *, timeout: Optional[float] = None
    ) -> AnnotateResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/delete"], params: ExecutionsDeleteParams, *, timeout: Optional[float] = None
    ) -> DeleteResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/deleteAll"], params: ExecutionsDeleteAllParams, *, timeout: Optional[float] = None
    ) -> DeleteAllResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/deleteMatching"], params: Optional[ExecutionsDeleteMatchingParams] = None, *, timeout: Optional[float] = None
    ) -> DeleteMatchingResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/prune"], params: Optional[ExecutionsPruneParams] = None, *, timeout: Optional[float] = None
    ) -> PruneResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/restore"], params: Optional[ExecutionsRestoreParams] = None, *, timeout: Optional[float] = None
    ) -> RestoreResult: ...

    @overload
    async def request_async(
        self, method: Literal["trash/list"], params: Optional[TrashListParams] = None, *, timeout: Optional[float] = None
    ) -> TrashListResult: ...

    @overload
    async def request_async(
        self, method: Literal["trash/empty"], params: Optional[TrashEmptyParams] = None, *, timeout: Optional[float] = None
    ) -> TrashEmptyResult: ...

    @overload
    async def request_async(
        self, method: Literal["executions/subscribe"], params: Optional[ExecutionsSubscribeParams] = None, *, timeout: Optional[float] = None
    ) -> SubscriptionId: ...

    @overload
    async def request_async(
        self, method: Literal["executions/unsubscribe"], params: ExecutionsUnsubscribeParams, *, timeout: Optional[float] = None
    ) -> bool: ...

    @overload
    async def request_async(
        self, method: Literal["executions/changes"], params: ExecutionsChangesParams, *, timeout: Optional[float] = None
    ) -> ChangesResult: ...

    @overload
    async def request_async(
        self, method: Literal["nodes/stats"], params: Optional[NodesStatsParams] = None, *, timeout: Optional[float] = None
    ) -> NodesStatsResult: ...

    @overload
    async def request_async(
        self, method: Literal["errors/groups"], params: Optional[ErrorsGroupsParams] = None, *, timeout: Optional[float] = None
    ) -> ErrorsGroupsResult: ...

    async def request_async(self, method: Any, params: Any = None, *, timeout: Optional[float] = None) -> Any:
        return await self._request_async(method, params, timeout)

    async def _request_async(self, method: str, params: Any, timeout: Optional[float]) -> Any:
        raise NotImplementedError


class ChangedParams(TypedDict):
    """The params of `executions/changed`."""

    subscription: int
    result: Told
