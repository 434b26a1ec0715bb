// Types of the runlog protocol, version 1. Printed by `runlog types`; do not edit.

/** What a list says of the run now. */
export type AnnotateResult = {
  /** The state that has it. */
  clock: Clock;
  /** The run, with what is noted on it. */
  summary: Summary;
};

/** A span of the calendar. */
export type Bucket = "hour" | "day" | "week" | "month";

/** What can be asked. */
export type Capabilities = {
  /** What is there or not, by name. */
  features: Features;
  /** What is refused, by name. */
  limits: Limits;
  /** The names of all methods. */
  methods: Array<string>;
};

/** A member that differs. */
export type ChangedMember = {
  /** What it is in `a`, up to 1,024 bytes; absent where there is none. */
  a?: Piece | null;
  /** What it is in `b`, up to 1,024 bytes; absent where there is none. */
  b?: Piece | null;
  /** A JSON pointer to it, from the record or the step; empty for a step that is no object. */
  pointer: string;
};

/** What changed. */
export type ChangesResult = {
  /** The latest state of each run that changed, in order. */
  changes: Array<Told>;
  /** Pass it as `since` next time. */
  clock: Clock;
  /** There are more; ask again at once. */
  more: boolean;
  /** The clock could not be honoured: drop what you hold and list again. */
  resync: boolean;
};

/** What is to be known of a text. */
export type CheckResult = {
  /** The same filter in canonical spelling; absent if it is none. */
  canonical?: string | null;
  /** What could stand at the cursor, in the order in which it is to be shown; none without an `offset`, or where what is before the cursor is no beginning of a filter. */
  completions: Array<Completion>;
  /** Why not; absent if it is. */
  error?: FilterError | null;
  /** Whether it is a filter. */
  ok: boolean;
};

/** A state of the index; opaque. Pass it as `since`. */
export type Clock = string;

/** A run that was compared. */
export type ComparedExecution = {
  /** The file's stem. */
  executionId: ExecutionId;
  /** The project's folder. */
  projectId: ProjectId;
  /** An opaque hash of the stored bytes. */
  version: Version;
};

/** Something that could stand at the cursor. */
export type Completion = {
  /** What it means. */
  detail?: string | null;
  /** What it replaces begins here, in UTF-16 units of the text. */
  from: number;
  /** What it is. */
  kind: CompletionKind;
  /** What to write, quoted where it must be. */
  text: string;
  /** And ends before here. */
  to: number;
};

/** What a completion is. */
export type CompletionKind = "field" | "operator" | "value" | "keyword";

/** An exact sum in US dollars. */
export type CostSum = number;

/** How many there are. */
export type CountResult = {
  /** The state that the counts are true at. */
  clock: Clock;
  /** False only with `allowPartial`, while runs may be missing. */
  complete: boolean;
  /** How many runs match; where a run is in several groups, less than they have together. */
  count: number;
  /** The groups, the largest first, the same ones by their keys; with `groupBy`. */
  groups?: Array<Group> | null;
  /** How many groups there are, told or not; with `groupBy`. */
  totalGroups?: number | null;
  /** How many of the runs have steps whose nodes are not counted, as in nodes/stats; with `groupBy` by `node`. */
  truncatedRuns?: number | null;
};

/** A place where something was left out. */
export type Cut = {
  /** How many of them are given: always the first. */
  given: number;
  /** What is there in truth. A number too long to be given stands as `null`. */
  kind: PieceKind;
  /** A text's UTF-16 units, an array's elements, an object's members. */
  length?: number | null;
  /** A JSON pointer from the record's top; ask for it by `fields`. */
  pointer: string;
  /** How many bytes it takes in the file. */
  sizeBytes: number;
};

/** What was done. */
export type DeleteAllResult = {
  /** What they are in the trash, for executions/restore; absent if they are not there. */
  batch?: string | null;
  /** The state without them. */
  clock: Clock;
  /** How many files there were. */
  deleted: number;
};

/** What went, or with `dryRun` would go. */
export type DeleteMatchingResult = {
  /** What they are in the trash, for executions/restore; absent if they are not there. */
  batch?: string | null;
  /** How many bytes their files have. */
  bytes: number;
  /** The state without them; with `dryRun` the one at which they were chosen. */
  clock: Clock;
  /** How many runs. */
  count: number;
  /** The first of them, `limit` at most. */
  executions: Array<RunName>;
  /** With `dryRun`: pass it as `cursor` for those that are not named; null at the end. */
  nextCursor?: string | null;
  /** With `dryRun`: pass it as `plan` for nothing else to go. */
  plan?: string | null;
  /** What was to go and did not, `limit` at most. */
  skipped: Array<SkippedRun>;
  /** How many did not. */
  skippedCount: number;
};

/** What was done. */
export type DeleteResult = {
  /** The state without it. */
  clock: Clock;
  /** Whether there was such a file. */
  deleted: boolean;
  /** What it is in the trash, for executions/restore; absent if it is not there. */
  entry?: string | null;
};

/** An amount in both records. */
export type Delta = {
  /** In `a`, if it says so. */
  a?: Money | null;
  /** In `b`, if it says so. */
  b?: Money | null;
  /** `b` less `a`, exactly, if both say so. */
  difference?: CostSum | null;
};

/** An amount in both records. */
export type Delta2 = {
  /** In `a`, if it says so. */
  a?: Milliseconds | null;
  /** In `b`, if it says so. */
  b?: Milliseconds | null;
  /** `b` less `a`, exactly, if both say so. */
  difference?: Milliseconds | null;
};

/** An amount in both records. */
export type Delta3 = {
  /** In `a`, if it says so. */
  a?: number | null;
  /** In `b`, if it says so. */
  b?: number | null;
  /** `b` less `a`, exactly, if both say so. */
  difference?: number | null;
};

/** An amount in both records. */
export type Delta4 = {
  /** In `a`, if it says so. */
  a?: number | null;
  /** In `b`, if it says so. */
  b?: number | null;
  /** `b` less `a`, exactly, if both say so. */
  difference?: number | null;
};

/** What tells `b` from `a`. */
export type DiffResult = {
  /** The run that the other was compared with. */
  a: ComparedExecution;
  /** The other run. */
  b: ComparedExecution;
  /** The members that differ, in the order of `a`, then of `b`; at most 100. Not `steps`, where both have an array of it, of 100,000 at most. */
  changed: Array<ChangedMember>;
  /** US dollars, from `costUSD`. */
  costUSD?: Delta | null;
  /** Milliseconds, from `duration`. */
  duration?: Delta2 | null;
  /** They mean the same: nothing is changed, and no step is missing or moved. */
  equal: boolean;
  /** Tokens in. */
  inputTokens?: Delta3 | null;
  /** How many more there are. */
  moreChanged: number;
  /** How many more there are. */
  moreSteps: number;
  /** Tokens out. */
  outputTokens?: Delta3 | null;
  /** How many steps are of which kind. */
  stepCounts: StepCounts;
  /** The steps that are not the same, by the earlier of their places; at most 500. */
  steps: Array<StepDiff>;
  /** Both; input + output where there is no total. */
  totalTokens?: Delta4 | null;
};

/** How some amounts are spread. A percentile is one of them: the smallest that at least so many of a hundred do not exceed (nearest rank). All but the count are null where there are none. */
export type Distribution = {
  /** How many there are. */
  count: number;
  /** The largest. */
  max?: Milliseconds | null;
  /** Their mean, to the last place that a unit has, halves up. */
  mean?: Milliseconds | null;
  /** The smallest. */
  min?: Milliseconds | null;
  /** Half of them are no larger. */
  p50?: Milliseconds | null;
  /** Of ten, nine are no larger. */
  p90?: Milliseconds | null;
  /** Of twenty, nineteen are no larger. */
  p95?: Milliseconds | null;
  /** Of a hundred, ninety-nine are no larger. */
  p99?: Milliseconds | null;
};

/** How some amounts are spread. A percentile is one of them: the smallest that at least so many of a hundred do not exceed (nearest rank). All but the count are null where there are none. */
export type Distribution2 = {
  /** How many there are. */
  count: number;
  /** The largest. */
  max?: Money | null;
  /** Their mean, to the last place that a unit has, halves up. */
  mean?: Money | null;
  /** The smallest. */
  min?: Money | null;
  /** Half of them are no larger. */
  p50?: Money | null;
  /** Of ten, nine are no larger. */
  p90?: Money | null;
  /** Of twenty, nineteen are no larger. */
  p95?: Money | null;
  /** Of a hundred, ninety-nine are no larger. */
  p99?: Money | null;
};

/** Errors that are alike. */
export type ErrorGroup = {
  /** How many runs have such an error. */
  count: number;
  /** The last one; of several the one that changed last. */
  example: FailedRun;
  /** What tells it from other groups; the filter's `errorGroup` takes it. It stays the same while the daemon's version does. */
  fingerprint: string;
  /** When the first of those runs began, or was last written if it does not say. */
  firstSeenAt: Millis;
  /** The same of the last one. */
  lastSeenAt: Millis;
  /** With `since`, whether the group is new. For a clock: every run of it changed after that clock. For a date: `firstSeenAt` is not before it, a day counting from its beginning. Only runs that match are considered. */
  new?: boolean | null;
  /** What its errors have in common, with `<id>`, `<n>`, `<path>`, `<text>` and `<time>` where they differ; made of the example's error as it is here, so it may end early. */
  pattern: string;
};

/** The groups. */
export type ErrorsGroupsResult = {
  /** The state that this is true at. */
  clock: Clock;
  /** False only with `allowPartial`, while runs may be missing. */
  complete: boolean;
  /** The most frequent first, of equals the one that was seen last. */
  groups: Array<ErrorGroup>;
  /** How many groups there are, also beyond `limit`. */
  total: number;
};

/** An execution: the name of its file without `.json`. One path component of 1 to 250 bytes. */
export type ExecutionId = string;

/** An execution record as the engine writes it. Every member may be missing, null or of another type, and unknown members are kept. */
export type ExecutionRecord = {
  completedAt?: string;
  costUSD?: number;
  /** milliseconds */
  duration?: number;
  error?: string;
  id?: string;
  input?: string;
  model?: string;
  /** what to show as the run's name */
  name?: string;
  output?: string;
  projectId?: string;
  retryCount?: number;
  sessionId?: string;
  startedAt?: string;
  status?: string;
  steps?: Array<Record<string, unknown>>;
  tokenUsage?: Record<string, unknown>;
  [name: string]: unknown;
};

/** How rows are written. */
export type ExportFormat = "jsonl" | "json" | "csv";

/** What was written. */
export type ExportResult = {
  /** How many bytes it has. */
  bytes: number;
  /** The state at which the runs were chosen. That of all pieces, unless the daemon had to choose anew: then those of the pieces before may be of another. */
  clock: Clock;
  /** False only with `allowPartial`, while runs may be missing. */
  complete: boolean;
  /** Pass it as `cursor` for the next piece; null at the end. */
  nextCursor?: string | null;
  /** How many runs it holds. In a file: all that match at `clock`. */
  rows: number;
  /** A piece; those of all answers, one after the other, are the whole. Without `path`. */
  text?: string | null;
};

/** What a row says. */
export type ExportRows = "records" | "summaries";

/** A run with its error. */
export type FailedRun = {
  /** Its error, cut at 256 bytes as in the summary. */
  error: string;
  /** Present and true where `error` was cut. */
  errorTruncated?: true;
  /** The run. */
  executionId: ExecutionId;
  /** The project. */
  projectId: ProjectId;
};

/** What is there or not. */
export type Features = {
  /** Whether runs can be pinned, tagged and noted on. */
  annotations: boolean;
  /** Whether `executions/search` can search. */
  search: boolean;
  /** Whether deletions can be undone. */
  trash: boolean;
};

/** Why a text is no filter. */
export type FilterError = {
  /** Where it ends. */
  end: number;
  /** What would have been right there. */
  expected: string;
  /** What was found, cut at 40 characters. */
  found: string;
  /** The known name nearest to what was found, if one is near. */
  nearest?: string | null;
  /** Where what was found begins, in UTF-16 units of the text. */
  offset: number;
};

/** A record, or pieces of it. */
export type GetResult = {
  /** Every place in `execution` where something was left out. */
  cut?: Array<Cut> | null;
  /** The file's own JSON: unknown members, number spellings and lone surrogates untouched. With `maxBytes` cut where `cut` says; absent with `fields`. */
  execution?: ExecutionRecord;
  /** Which run it is, where that was not given by its own ids. */
  executionId?: ExecutionId | null;
  /** Each of `fields`, by its pointer. */
  fields?: Record<string, Piece> | null;
  /** Whose run it is, where that was not given by its own ids. */
  projectId?: ProjectId | null;
  /** How large the record is, in bytes; with `fields` or `maxBytes`. */
  sizeBytes?: number | null;
  /** Whether `execution` is not all that there is; with `maxBytes`. */
  truncated?: boolean | null;
  /** An opaque hash of the stored bytes; `ifVersion` takes it. */
  version: Version;
};

/** Runs that have something in common. */
export type Group = {
  /** How many there are. */
  count: number;
  /** What they have, in the order of `groupBy`; null where they have none. An hour, a day, a week or a month is the moment that it begins at. */
  key: Array<string | null>;
};

/** A property that runs are grouped by. */
export type GroupBy = "status" | "project" | "model" | "hour" | "day" | "week" | "month" | "node" | "errorGroup";

/** How far the index is. */
export type Indexing = "scanning" | "verifying" | "ready";

/** What is served. */
export type InitializeResult = {
  /** What can be asked. */
  capabilities: Capabilities;
  /** The version of the protocol. */
  protocolVersion: number;
  /** Which root is served. */
  root: Root;
  /** Who serves. */
  serverInfo: ServerInfo;
  /** With `serve --shared`: whether the root's shared daemon answers. */
  shared?: Shared | null;
};

/** What is refused. */
export type Limits = {
  /** The largest answer, in bytes. */
  answerBytes: number;
  /** How many entries a batch may have. */
  batchEntries: number;
  /** The largest frame, in bytes. */
  frameBytes: number;
  /** How many bytes a request's id may have. */
  idBytes: number;
  /** How deep a frame or record may be nested. */
  nesting: number;
  /** The largest record that is given or stored whole, in bytes. */
  recordBytes: number;
  /** How many subscriptions a connection may have. */
  subscriptions: number;
  /** How many requests of a connection may be unanswered. */
  unansweredRequests: number;
  /** Below how many bytes of unsent answers a connection's requests are started. */
  unsentBytes: number;
};

/** One page. */
export type ListResult = {
  /** The state that the page is true at. */
  clock: Clock;
  /** False only with `allowPartial`, while runs may be missing. */
  complete: boolean;
  /** The runs, newest first; with `fields` only those members of each. */
  executions: Array<Summary>;
  /** Pass it as `cursor` for the next page; null at the end. */
  nextCursor?: string | null;
  /** How many runs match, on all pages. */
  total: number;
};

/** A text of a run that has what was looked for. */
export type Match = {
  /** Where the snippet begins in the decoded string, in UTF-16 units. */
  offset: number;
  /** JSON pointer to the string or number: `/steps/3/output/result/0`; `/id` is the run's id, whatever the record says. Up to 1,024 bytes; a longer one is that of the last value around it that has one of these. */
  path: string;
  /** What was found in the snippet, in UTF-16 units from its beginning; of what is longer than that, its beginning. */
  ranges: Array<Place>;
  /** The part of the text around the first place. */
  snippet: string;
};

/** Memory. */
export type Memory = {
  /** What the process has in memory, in bytes; absent where the system does not tell. */
  residentBytes?: number | null;
  /** What of it is kept of the steps and errors of runs, in bytes: about that much more than the index would take without. */
  stepDataBytes: number;
};

/** RFC 3339, UTC, with milliseconds. */
export type Millis = string;

/** Milliseconds. */
export type Milliseconds = number;

/** US dollars, exact to the nano-dollar. */
export type Money = number;

/** One node. */
export type NodeStats = {
  /** Cost in US dollars, exact; null if no step records one. */
  costUSD?: CostSum | null;
  /** How long the steps took that say so, in milliseconds: their `duration`, else the time from `startedAt` to `completedAt`. */
  duration: Distribution;
  /** How many of those have the status `failed`. */
  failures: number;
  /** Tokens in. */
  inputTokens: number;
  /** The `nodeId` of its steps, or their `name` where they have none. */
  nodeId: string;
  /** Tokens out. */
  outputTokens: number;
  /** How many runs have a step of it. */
  runs: number;
  /** How many steps are of it: a loop has many in one run. */
  steps: number;
  /** Tokens; input + output where a step has no total. */
  totalTokens: number;
};

/** Which nodes come first. Where two are equal, the order of their names' bytes decides. */
export type NodesOrder = "slowest" | "mostFailing" | "mostUsed" | "mostExpensive";

/** The nodes. */
export type NodesStatsResult = {
  /** The state that this is true at. */
  clock: Clock;
  /** False only with `allowPartial`, while runs may be missing. */
  complete: boolean;
  /** In the order asked for. */
  nodes: Array<NodeStats>;
  /** How many nodes there are, also beyond `limit`. */
  total: number;
  /** How many of the runs have steps that are not counted: of a run some 16 kB of step data and 256 nodes are kept, its first steps, and no step whose node has a name of over 250 bytes. */
  truncatedRuns: number;
};

/** A value in a record, or what there is room for. */
export type Piece = {
  /** Every place in an array or object where something was left out. */
  cut?: Array<Cut> | null;
  /** What it is in truth; `missing` where the pointer points nowhere. */
  kind: PieceKind;
  /** A text's UTF-16 units, an array's elements, an object's members. */
  length?: number | null;
  /** Which units of a text the value is, where they were asked for or there is room for no more. A bound between the two halves of a character is moved before it. */
  range?: TextRange | null;
  /** How many bytes it takes in the file. */
  sizeBytes?: number | null;
  /** The value is not all that there is. */
  truncated: boolean;
  /** The value, as the file spells it where it is whole; absent where there is no room for any of it, or a range is asked for of what is no string. */
  value?: unknown;
};

/** What a JSON value is, for clients. */
export type PieceKind = "object" | "array" | "string" | "number" | "boolean" | "null" | "missing";

/** A part of a snippet. */
export type Place = {
  /** Where it ends. */
  end: number;
  /** Where it begins. */
  start: number;
};

/** One finding. */
export type Problem = {
  /** A stable word. */
  kind: ProblemKind;
  /** For people. */
  message: string;
  /** The file or folder, below the root. */
  path: string;
  /** When it was first found. */
  since: Millis;
};

/** What is wrong with a file or folder. */
export type ProblemKind = "corrupt" | "not-an-object" | "not-regular" | "invalid-name" | "unreadable" | "id-mismatch" | "project-mismatch" | "invalid-cost" | "invalid-date" | "abandoned-temporary" | "corrupt-annotation" | "unwritable";

/** One page of findings. */
export type ProblemsResult = {
  /** Pass it as `cursor` for the next page; null at the end. */
  nextCursor?: string | null;
  /** In the order of their paths. */
  problems: Array<Problem>;
};

/** How far the first index has come. */
export type Progress = {
  /** Files looked at. */
  done: number;
  /** scanning, verifying or ready. */
  state: Indexing;
  /** Files found so far. */
  total: number;
};

/** One project. */
export type Project = {
  /** How many runs it has. */
  executions: number;
  /** How many of them failed. */
  failed: number;
  /** The folder's name. */
  id: ProjectId;
  /** When the latest began. */
  lastStartedAt?: Millis | null;
  /** How many of them are running. */
  running: number;
  /** What they cost together in US dollars, exact. */
  totalCostUSD: CostSum;
};

/** A project: the name of its folder below the root. One path component of 1 to 255 bytes. */
export type ProjectId = string;

/** All projects. */
export type ProjectsResult = {
  /** The state that they are true at. */
  clock: Clock;
  /** False only with `allowPartial`, while runs may be missing. */
  complete: boolean;
  /** Those with the latest activity first. */
  projects: Array<Project>;
};

/** What may stay. A run goes if a rule says so and nothing keeps it; what is kept counts in `maxCount` and `maxBytes` all the same. */
export type PrunePolicy = {
  /** Whether failed runs stay in any case. */
  keepFailed?: boolean;
  /** So many of the youngest runs of each project stay in any case, of whatever status. As for the rules, age counts from `completedAt`, else `startedAt`, else `updatedAt`. */
  keepLast?: number;
  /** Whether pinned runs stay in any case; they do unless this is false. So do those of which it cannot be read whether they are. */
  keepPinned?: boolean;
  /** What goes. */
  rules?: Array<PruneRule>;
  /** How long deleted runs can be had back; for ever if absent. */
  trash?: PruneTrash | null;
};

/** What went, or with `dryRun` would go. */
export type PruneResult = {
  /** What they are in the trash, for executions/restore; absent if they are not there. */
  batch?: string | null;
  /** How many bytes their files have. */
  bytes: number;
  /** The state without them; with `dryRun` the one at which they were chosen. */
  clock: Clock;
  /** How many runs. */
  count: number;
  /** How many entries of the trash are gone, or would be. */
  emptied: number;
  /** Whether no run is left in the projects that the rules are about, but queued, running and paused ones that no rule means. */
  everything: boolean;
  /** The first of them, `limit` at most. */
  executions: Array<RunName>;
  /** How many bytes they had. */
  freedBytes: number;
  /** With `dryRun`: pass it as `cursor` for those that are not named; null at the end. */
  nextCursor?: string | null;
  /** With `dryRun`: pass it as `plan` for nothing else to go. */
  plan?: string | null;
  /** What was to go and did not, `limit` at most. */
  skipped: Array<SkippedRun>;
  /** How many did not. */
  skippedCount: number;
  /** Projects whose trash cannot be read; there may be more in it that is old. */
  unreadable: Array<ProjectId>;
};

/** What goes: of the runs that the rule is about, the oldest ones over any of its limits. */
export type PruneRule = {
  /** How old they may be. Age counts from `completedAt`, else `startedAt`, else `updatedAt`. */
  maxAge?: string | null;
  /** How many bytes their files may have. */
  maxBytes?: number | null;
  /** How many there may be. */
  maxCount?: number | null;
  /** Whether `maxCount` and `maxBytes` are those of each project by itself. */
  perProject?: boolean;
  /** Only this project's runs; all if absent. */
  projectId?: ProjectId | null;
  /** Only runs with this status, or one of these. If absent, all but queued, running and paused ones. Queued and running runs go only if they are stale. */
  status?: Statuses | null;
};

/** What the trash may hold. */
export type PruneTrash = {
  /** How long ago it may have been deleted; what is older is removed for good. */
  maxAge: string;
};

/** What was done. */
export type RestoreResult = {
  /** The state that has them. */
  clock: Clock;
  /** How many are back. */
  count: number;
  /** What is back, the first 1,000. */
  restored: Array<RestoredEntry>;
  /** What stays in the trash because there is such a run by now, the first 1,000. Only with `batch`; otherwise that is an error. */
  skipped: Array<RestoredEntry>;
  /** How many stay. */
  skippedCount: number;
  /** Projects whose trash cannot be read, where there may be more of the `batch`. */
  unreadable: Array<ProjectId>;
};

/** A deletion. */
export type RestoredEntry = {
  /** What it was, or is, in the trash. */
  entry: string;
  /** The run; for a file whose name is no id, that without `.json`. */
  executionId: string;
  /** The project's folder. */
  projectId: ProjectId;
};

/** Which root is served. */
export type Root = {
  /** Whether it is there. */
  exists: boolean;
  /** The folder that holds the projects. */
  path: string;
  /** Where one was looked for, if it is not there. */
  tried?: Array<string> | null;
};

/** A run. */
export type RunName = {
  /** The file's stem. */
  executionId: ExecutionId;
  /** The project's folder. */
  projectId: ProjectId;
  /** The file's size. */
  sizeBytes: number;
};

/** What is stored now. */
export type SaveResult = {
  /** The state that has it. */
  clock: Clock;
  /** Whether there was no such run before. */
  created: boolean;
  /** The run as lists now show it. */
  summary: Summary;
  /** An opaque hash of the stored bytes. */
  version: Version;
};

/** A run that has what was looked for. */
export type SearchHit = {
  /** The first texts of it that have what was looked for, at most three; none if it was only looked for what is not there. */
  matches: Array<Match>;
  /** How well it fits, compared with the other hits; absent when the newest come first. */
  score?: number | null;
  /** The run. */
  summary: Summary;
};

/** How far the text index has come. */
export type SearchIndexing = {
  /** How many runs are in it. */
  done: number;
  /** How many there are. */
  total: number;
};

/** The order of the hits. */
export type SearchOrder = "newest" | "relevance";

/** One page. */
export type SearchResult = {
  /** The state up to which every change is in the text index. */
  clock: Clock;
  /** Whether the text index has everything that lists have now. */
  complete: boolean;
  /** The runs that have what was looked for. */
  hits: Array<SearchHit>;
  /** How far the text index has come. */
  indexing: SearchIndexing;
  /** Pass it as `cursor` for the next page; null at the end. */
  nextCursor?: string | null;
  /** How many runs match, on all pages, as the text index has it; absent where more than 1,000 runs have what is looked for, which are not counted. */
  total?: number | null;
};

/** The runs that began within a span. */
export type SeriesBucket = {
  /** Those that somebody ended. */
  cancelled: number;
  /** Those that ended well. */
  completed: number;
  /** How long those took that say so, in milliseconds. */
  duration: Distribution;
  /** The first moment after it. */
  end: Millis;
  /** All of them. */
  executions: number;
  /** Those that ended in an error. */
  failed: number;
  /** The same sums by status or project, in the order of the keys; with `by`. */
  groups?: Array<SeriesGroup> | null;
  /** Tokens in. */
  inputTokens: number;
  /** Those with another status, or none. */
  other: number;
  /** Tokens out. */
  outputTokens: number;
  /** Those held by somebody. */
  paused: number;
  /** Those waiting to start. */
  queued: number;
  /** Those being worked on. */
  running: number;
  /** Its first moment. */
  start: Millis;
  /** completed / (completed + failed); null if none. */
  successRate?: number | null;
  /** Cost in US dollars, exact. */
  totalCostUSD: CostSum;
  /** Tokens; input + output where a run has no total. */
  totalTokens: number;
};

/** What sums are told by. */
export type SeriesBy = "status" | "project";

/** The runs of a bucket that have something in common. */
export type SeriesGroup = {
  /** Those that somebody ended. */
  cancelled: number;
  /** Those that ended well. */
  completed: number;
  /** All of them. */
  executions: number;
  /** Those that ended in an error. */
  failed: number;
  /** Tokens in. */
  inputTokens: number;
  /** What they have; null where they have none. */
  key?: string | null;
  /** Those with another status, or none. */
  other: number;
  /** Tokens out. */
  outputTokens: number;
  /** Those held by somebody. */
  paused: number;
  /** Those waiting to start. */
  queued: number;
  /** Those being worked on. */
  running: number;
  /** completed / (completed + failed); null if none. */
  successRate?: number | null;
  /** Cost in US dollars, exact. */
  totalCostUSD: CostSum;
  /** Tokens; input + output where a run has no total. */
  totalTokens: number;
};

/** One bucket after the other. */
export type SeriesResult = {
  /** The oldest first, none left out. */
  buckets: Array<SeriesBucket>;
  /** The state that the sums are true at. */
  clock: Clock;
  /** False only with `allowPartial`, while runs may be missing. */
  complete: boolean;
  /** The runs that began before the first bucket or after the last one; absent where there are none. */
  outside?: SeriesSums | null;
  /** The runs of which nobody knows when they began; the buckets' sums, these and those `outside` are those of all runs that match. */
  undated: SeriesSums;
};

/** The sums of some runs. */
export type SeriesSums = {
  /** Those that somebody ended. */
  cancelled: number;
  /** Those that ended well. */
  completed: number;
  /** All of them. */
  executions: number;
  /** Those that ended in an error. */
  failed: number;
  /** Tokens in. */
  inputTokens: number;
  /** Those with another status, or none. */
  other: number;
  /** Tokens out. */
  outputTokens: number;
  /** Those held by somebody. */
  paused: number;
  /** Those waiting to start. */
  queued: number;
  /** Those being worked on. */
  running: number;
  /** completed / (completed + failed); null if none. */
  successRate?: number | null;
  /** Cost in US dollars, exact. */
  totalCostUSD: CostSum;
  /** Tokens; input + output where a run has no total. */
  totalTokens: number;
};

/** Who serves. */
export type ServerInfo = {
  /** runlog. */
  name: string;
  /** The program's version. */
  version: string;
};

/** How a client of `serve --shared` is served. */
export type Shared = {
  /** Whether the shared daemon answers; else this process does, by itself. */
  active: boolean;
  /** Why not. */
  reason?: string | null;
};

/** A run that was to go and did not. */
export type SkippedRun = {
  /** The file's stem. */
  executionId: ExecutionId;
  /** The project's folder. */
  projectId: ProjectId;
  /** `changed`: was saved, touched or noted on after it was chosen or told; `gone`: deleted by somebody else; `kept`: others changed or went, so that the policy keeps it by now; `refused` by the file system, be it to read the record that says whether it is meant; `maybe-pinned`: what is noted on it cannot be read, and the policy keeps pinned runs; `stopped`: the request was taken back before its turn came. */
  reason: string;
};

/** The run as it is stored now. */
export type StartResult = {
  /** The state that has it. */
  clock: Clock;
  /** Its id, for updates. */
  executionId: ExecutionId;
  /** The run as lists now show it. */
  summary: Summary;
  /** An opaque hash of the stored bytes. */
  version: Version;
};

/** Counts and sums. */
export type StatsResult = {
  /** Mean duration of the runs that have one, in whole milliseconds, halves up; null if none. */
  averageDuration?: number | null;
  /** Runs that somebody ended. */
  cancelled: number;
  /** The state that the sums are true at. */
  clock: Clock;
  /** False only with `allowPartial`, while runs may be missing. */
  complete: boolean;
  /** Runs that ended well. */
  completed: number;
  /** What the runs cost that say so, in US dollars; with a filter. */
  cost?: Distribution2 | null;
  /** How long the runs took that say so, in milliseconds; with a filter. */
  duration?: Distribution | null;
  /** Runs that ended in an error. */
  failed: number;
  /** Tokens in. */
  inputTokens: number;
  /** Runs with another status, or none. */
  other: number;
  /** Tokens out. */
  outputTokens: number;
  /** Runs held by somebody. */
  paused: number;
  /** Runs waiting to start. */
  queued: number;
  /** Runs being worked on. */
  running: number;
  /** completed / (completed + failed); null if none. */
  successRate?: number | null;
  /** completed + failed, of which `successRate` is a share; with a filter. */
  successRateOf?: number | null;
  /** Cost in US dollars, exact. */
  totalCostUSD: CostSum;
  /** All runs. */
  totalExecutions: number;
  /** Tokens; input + output where a run has no total. */
  totalTokens: number;
};

/** How the daemon is. */
export type StatusResult = {
  /** The state of the index. */
  clock: Clock;
  /** How many runs are listed. */
  executions: number;
  /** How many files were opened to be read into the index. */
  filesRead: number;
  /** How far the first index has come. */
  indexing: Progress;
  /** Memory. */
  memory: Memory;
  /** Its process. */
  pid: number;
  /** How many findings `server/problems` lists. */
  problems: number;
  /** How many projects have runs. */
  projects: number;
  /** Whether the index went on from what an earlier daemon kept. */
  restored: boolean;
  /** Which root is served. */
  root: Root;
  /** How many connections there are. */
  sessions: number;
  /** How many deletions are remembered for `since`. */
  tombstones: number;
  /** For how long it has been up, in milliseconds. */
  uptimeMs: number;
  /** The program's version. */
  version: string;
  /** How changes of files are noticed. */
  watcher: Watching;
};

/** One status, or at most 100; any strings, of which no run has one of more than 64 bytes. */
export type Statuses = string | Array<string>;

/** What a step is called by. */
export type StepCalledBy = "nodeId" | "name" | "id" | "nothing";

/** Steps by how they are aligned. */
export type StepCounts = {
  /** In both. */
  both: number;
  /** Of those, moved before or behind others. */
  moved: number;
  /** Only in `a`. */
  onlyA: number;
  /** Only in `b`. */
  onlyB: number;
  /** Of those, the same and in place. */
  unchanged: number;
};

/** A step that is not the same in both records. */
export type StepDiff = {
  /** Its place in `a`, from 0. */
  a?: number | null;
  /** Its place in `b`, from 0. */
  b?: number | null;
  /** What it is called, up to 256 characters; empty where it is called by nothing. */
  called: string;
  /** What it is called by. */
  calledBy: StepCalledBy;
  /** The members that differ, in the order of `a`, then of `b`; at most 100. Empty unless it is in both. */
  changed: Array<ChangedMember>;
  /** US dollars, from `costUSD`. */
  costUSD?: Delta | null;
  /** Milliseconds, from `duration`. */
  duration?: Delta2 | null;
  /** Tokens in. */
  inputTokens?: Delta3 | null;
  /** How many more there are. */
  moreChanged: number;
  /** It has moved before or behind others. */
  moved: boolean;
  /** How many steps before it are called the same. */
  occurrence: number;
  /** Tokens out. */
  outputTokens?: Delta3 | null;
  /** Where it is. */
  side: StepSide;
  /** Both; input + output where there is no total. */
  totalTokens?: Delta4 | null;
};

/** Where a step is. */
export type StepSide = "both" | "onlyA" | "onlyB";

/** A step, or what is new of one; `id` says which. */
export type StepUpdate = {
  completedAt?: string;
  costUSD?: number;
  /** milliseconds */
  duration?: number;
  error?: string;
  id: string;
  input?: unknown;
  model?: string;
  name?: string;
  nodeId?: string;
  nodeType?: string;
  output?: unknown;
  parentId?: string;
  startedAt?: string;
  status?: string;
  tokenUsage?: Record<string, unknown>;
  [name: string]: unknown;
};

/** A subscription's id. */
export type SubscriptionId = number;

/** One run as lists and changes show it. */
export type Summary = {
  /** When the run ended. */
  completedAt?: Millis | null;
  /** Cost in US dollars, exact to the nano-dollar. */
  costUSD?: Money | null;
  /** How long the run took, in milliseconds. */
  duration?: Milliseconds | null;
  /** The error, cut at 256 bytes. */
  error?: string | null;
  /** Present and true where `error` was cut. */
  errorTruncated?: true;
  /** The file's stem. */
  id: ExecutionId;
  /** What to show as the run's name: `name`, else the first line of `input` that is not empty; 80 characters at most. */
  label?: string | null;
  /** The model that the record names, cut at 128 bytes: longer names that begin alike are one. */
  model?: string | null;
  /** What somebody noted on the run. */
  note?: string | null;
  /** Present and true where somebody pinned the run. */
  pinned?: true;
  /** The project's folder. */
  projectId: ProjectId;
  /** How often the run was tried again. */
  retryCount?: number | null;
  /** The file's size in bytes. */
  sizeBytes: number;
  /** For queued and running runs: from this moment on the run counts as stale. */
  staleAt?: Millis | null;
  /** When the run began. */
  startedAt?: Millis | null;
  /** queued, running, paused, completed, failed, cancelled, or what else the record says. */
  status?: string | null;
  /** How many steps the record holds. */
  stepCount: number;
  /** The tags that people gave the run, in the order of their bytes; absent where there are none. */
  tags?: Array<string>;
  /** Tokens used; members that the record lacks are absent, and so is this where it lacks all. */
  tokenUsage?: Tokens;
  /** The file's modification time as last seen, 2262-04-11 at the latest. */
  updatedAt: Millis;
  /** An opaque hash of the stored bytes; `ifVersion` takes it. */
  version: Version;
};

/** Some of a text, in UTF-16 units of the decoded string. */
export type TextRange = {
  /** Behind its last unit. */
  end: number;
  /** Where it begins. */
  start: number;
};

/** Tokens used, as far as the record tells. */
export type Tokens = {
  /** Tokens in. */
  input?: number | null;
  /** Tokens out. */
  output?: number | null;
  /** Both. */
  total?: number | null;
};

/** One change, as told. */
export type Told = {
  /** The state after the change. */
  clock: Clock;
  /** Whether the latest change of the run created it: no heartbeat does, nor what is noted on it. */
  created: boolean;
  kind: "saved";
  /** The run. */
  summary: Summary;
} | {
  /** The state after the change. */
  clock: Clock;
  /** The file's stem. */
  executionId: ExecutionId;
  kind: "deleted";
  /** The project's folder. */
  projectId: ProjectId;
} | {
  /** The state after the change. */
  clock: Clock;
  /** The file's stem. */
  executionId: ExecutionId;
  kind: "left";
  /** The project's folder. */
  projectId: ProjectId;
} | {
  /** The state. */
  clock: Clock;
  kind: "current";
} | {
  /** Changes after this state follow. */
  clock: Clock;
  kind: "resync";
};

/** What was done. */
export type TrashEmptyResult = {
  /** How many entries are gone. */
  emptied: number;
  /** How many bytes they had. */
  freedBytes: number;
};

/** A deletion. */
export type TrashEntry = {
  /** What the request that deleted it called all that it deleted. */
  batch: string;
  /** When it was deleted. */
  deletedAt: Millis;
  /** What executions/restore and trash/empty take; opaque. */
  entry: string;
  /** The run; for a file whose name is no id, that without `.json`. */
  executionId: string;
  /** The project's folder. */
  projectId: ProjectId;
  /** The file's size. */
  sizeBytes: number;
  /** The run as lists would show it; absent where the file is no record. */
  summary?: Summary | null;
};

/** One page. */
export type TrashListResult = {
  /** The latest deletion first; what one request deleted by project and file name. */
  entries: Array<TrashEntry>;
  /** Pass it as `cursor` for the next page; null at the end. */
  nextCursor?: string | null;
  /** How many there are, on all pages, as counted for the first. */
  total: number;
  /** How many bytes all of them have, counted likewise. */
  totalBytes: number;
  /** Of all projects, those whose trash cannot be read; what is in it is not counted. */
  unreadable: Array<ProjectId>;
};

/** Amounts. */
export type UpdateAdd = {
  /** US dollars. */
  costUSD?: number | null;
  /** Tokens; the total follows. */
  tokenUsage?: UpdateAddTokens | null;
};

/** Tokens. */
export type UpdateAddTokens = {
  /** Tokens read. */
  input?: number | null;
  /** Tokens written. */
  output?: number | null;
};

/** The run as it is stored now. */
export type UpdateResult = {
  /** The state that has it. */
  clock: Clock;
  /** The run as lists now show it. */
  summary: Summary;
  /** An opaque hash of the stored bytes. */
  version: Version;
};

/** An opaque hash of the stored bytes. */
export type Version = string;

/** How changes of files are noticed. */
export type Watching = {
  /** The system's interface for file events, or `poll`. */
  backend: string;
  /** How often all stamps are compared, whatever events tell, in milliseconds. */
  compareEveryMs: number;
  /** How long that took last, in milliseconds, without reading what differed. */
  compareTookMs: number;
  /** How often all stamps were compared since the start. */
  compares: number;
  /** How many folders are watched. */
  folders: number;
  /** Whether events come for every folder; if not, what they do not tell is polled: its files' stamps are compared every few seconds. */
  healthy: boolean;
  /** Why something is polled, and what to do. */
  message?: string | null;
  /** After how long at most a change is noticed in what is polled, in milliseconds: the sum of the two. Absent where nothing is polled: events tell of every change at once. */
  noticedWithinMs?: number | null;
  /** How often the system lost events; each time everything was compared. */
  overflows: number;
  /** How often they are, in milliseconds; absent where nothing is polled. */
  pollEveryMs?: number | null;
  /** How long that took last, in milliseconds, without reading what differed; absent where nothing is polled. It takes a tenth of the time at most. */
  pollTookMs?: number | null;
  /** How many projects are polled. */
  unwatched: number;
};

/** A run, as `executions/get` takes it. */
export type WhichExecution = {
  /** The file's stem, its beginning, or `last`. */
  executionId: ExecutionId;
  /** The project's folder; any if absent. */
  projectId?: ProjectId | null;
};

/** Every method: what it takes and what it gives. */
export interface Methods {
  /** Introduces the client and tells what is served. */
  "initialize": {
    params: {
      /** What the client can do. With `relay: true` it passes on the messages of another one, whose own `initialize` is still to come. */
      capabilities?: unknown;
      /** The client's name and version. */
      clientInfo?: unknown;
      /** The client's process; on stdio the daemon ends when it does. */
      processId?: unknown;
      /** The protocol version that the client wants. */
      protocolVersion?: unknown;
    };
    result: InitializeResult;
  };
  /** Asks the connection to end; after it only `exit` is welcome. */
  "shutdown": {
    params: {
    };
    result: null;
  };
  /** Answers at once. */
  "ping": {
    params: {
    };
    result: Record<string, unknown>;
  };
  /** Gives the OpenRPC document of exactly what is served. */
  "rpc.discover": {
    params: {
    };
    result: Record<string, unknown>;
  };
  /** Tells how the daemon is. */
  "server/status": {
    params: {
      /** Everything done to the files before the request is in the answer, which then waits for the first index, too. */
      sync?: boolean | null;
    };
    result: StatusResult;
  };
  /** Lists files and folders that cannot be read or do not fit. */
  "server/problems": {
    params: {
      /** `nextCursor` of the page before; `projectId` must be the same. */
      cursor?: string | null;
      /** The page's size. */
      limit?: number;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
    };
    result: ProblemsResult;
  };
  /** Checks a filter, and says what could stand at the cursor. */
  "filter/check": {
    params: {
      /** The filter, finished or not. */
      text: string;
      /** The cursor, in UTF-16 units of the text; beyond its end means at its end. Completions are for what is written there. */
      offset?: number | null;
    };
    result: CheckResult;
  };
  /** Lists projects, those with the latest activity first. */
  "projects/list": {
    params: {
      /** Answer at once while the first index is being built. */
      allowPartial?: boolean | null;
      /** Folders without runs as well; false if absent. */
      includeEmpty?: boolean | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
    };
    result: ProjectsResult;
  };
  /** Lists runs, newest first. */
  "executions/list": {
    params: {
      /** Answer at once while the first index is being built. */
      allowPartial?: boolean | null;
      /** `nextCursor` of the page before; the other params must be the same. */
      cursor?: string | null;
      /** Only these members of each summary. */
      fields?: Array<string> | null;
      /** The page's size. */
      limit?: number;
      /** How many runs to skip; not beside `cursor`. */
      offset?: number | null;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** By which number or date to sort, the smallest first; with a minus before it, as in `-costUSD`, the largest. Runs without it come last, and the same ones newest first. */
      sort?: string | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
      /** The IANA time zone of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter, for example `costUSD > 0.5 and startedAt >= -7d`. */
      where?: string | null;
    };
    result: ListResult;
  };
  /** Gives one record, whole or in pieces. */
  "executions/get": {
    params: {
      /** The file's stem. */
      executionId: ExecutionId;
      /** Only these members, as JSON pointers (RFC 6901), for example `/steps/3/output`; `execution` is absent then. At most 256, of 64 KiB together. */
      fields?: Array<string> | null;
      /** How many bytes of record the answer may hold, what is told of cuts included; with `fields` 63 MiB if absent. */
      maxBytes?: number;
      /** The project's folder. */
      projectId?: ProjectId;
      /** Only these UTF-16 units of the text that the one of `fields` points to; a bound between the two halves of a character is moved before it. */
      range?: TextRange | null;
      /** Where the run is not called so: everything done to the files before the request counts. */
      sync?: boolean | null;
    };
    result: GetResult;
  };
  /** Tells two runs apart. */
  "executions/diff": {
    params: {
      /** The run that the other is compared with. */
      a: WhichExecution;
      /** The other run. */
      b: WhichExecution;
      /** Where a run is not called so: everything done to the files before the request counts. */
      sync?: boolean | null;
    };
    result: DiffResult;
  };
  /** Counts runs, by what they have in common. */
  "executions/count": {
    params: {
      /** Answer at once while the first index is being built. */
      allowPartial?: boolean | null;
      /** By what to group: none, one or two. */
      groupBy?: Array<GroupBy>;
      /** At most so many groups. */
      limit?: number;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
      /** The IANA time zone of the filter's dates and of the groups' hours, days, weeks and months; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter. */
      where?: string | null;
    };
    result: CountResult;
  };
  /** Counts and sums runs. */
  "executions/stats": {
    params: {
      /** Answer at once while the first index is being built. */
      allowPartial?: boolean | null;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
      /** The IANA time zone of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter. */
      where?: string | null;
    };
    result: StatsResult;
  };
  /** Sums runs by the hour, day, week or month that they began in. */
  "executions/series": {
    params: {
      /** Answer at once while the first index is being built. */
      allowPartial?: boolean | null;
      /** How long a bucket is. */
      bucket?: Bucket;
      /** Tells each bucket's sums by this, too. */
      by?: SeriesBy | null;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
      /** The IANA time zone of the buckets and of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter. If it says from when on, or until when, the buckets reach so far; else to the first and the last run. A `not` says neither. */
      where?: string | null;
    };
    result: SeriesResult;
  };
  /** Finds runs by what they were given and what they said. */
  "executions/search": {
    params: {
      /** Words, `"phrases"`, `prefix*`, `AND`, `OR`, `NOT` or `-`, parentheses; words beside each other must all be there. */
      query: string;
      /** `nextCursor` of the page before; the other params must be the same. */
      cursor?: string | null;
      /** The page's size. */
      limit?: number;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** The order of the hits. */
      sort?: SearchOrder;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is found. */
      sync?: boolean | null;
      /** The IANA time zone of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter, for example `costUSD > 0.5 and startedAt >= -7d`. */
      where?: string | null;
    };
    result: SearchResult;
  };
  /** Writes many runs as JSON Lines, JSON or CSV. */
  "executions/export": {
    params: {
      /** How rows are written. */
      format: ExportFormat;
      /** Answer at once while the first index is being built. */
      allowPartial?: boolean | null;
      /** `nextCursor` of the piece before; the other params must be the same. */
      cursor?: string | null;
      /** How large a piece is, in bytes of its text: 1 MiB if absent, 16 MiB at most. A row is given whatever its size, but a record of more than 16 MiB is told by its summary in a piece. */
      maxBytes?: number | null;
      /** The file to write, absolute; nothing may be there. If absent, the answer holds a piece of the text. */
      path?: string | null;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** What a row says: `records` where that is absent, but in CSV. */
      rows?: ExportRows | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
      /** The IANA time zone of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter. */
      where?: string | null;
    };
    result: ExportResult;
  };
  /** Stores one whole record, durably. */
  "executions/save": {
    params: {
      /** The record; its `id` names the file. */
      execution: ExecutionRecord;
      /** The project's folder; made if it is not there. */
      projectId: ProjectId;
      /** Store only over this version; `none`: only if there is no such run. */
      ifVersion?: string | null;
    };
    result: SaveResult;
  };
  /** Begins to record a run, durably. */
  "executions/start": {
    params: {
      /** The project's folder; made if it is not there. */
      projectId: ProjectId;
      /** What the record says beside or in place of what a new one says; its `id`, if it has one, names the file. */
      execution?: ExecutionRecord | null;
    };
    result: StartResult;
  };
  /** Changes a run that has not ended, durably. */
  "executions/update": {
    params: {
      /** The run's id. */
      executionId: ExecutionId;
      /** The project's folder. */
      projectId: ProjectId;
      /** What comes on top of the record's amounts, after `set`. */
      add?: UpdateAdd | null;
      /** Only on top of this version. */
      ifVersion?: string | null;
      /** New values of top-level members; null removes one. Not `id`, `projectId` and `steps`. */
      set?: Record<string, unknown> | null;
      /** Steps: one that the record has, by `id`, is overlaid, another one is appended. */
      steps?: Array<StepUpdate> | null;
    };
    result: UpdateResult;
  };
  /** Pins a run, tags it, notes something on it. */
  "executions/annotate": {
    params: {
      /** The file's stem. */
      executionId: ExecutionId;
      /** The project's folder. */
      projectId: ProjectId;
      /** Tags that it gets. */
      addTags?: Array<string> | null;
      /** The note, 2,000 characters at most; an empty one removes it. */
      note?: string | null;
      /** Whether it is pinned. */
      pinned?: boolean | null;
      /** Tags that it loses; one that it does not have is no error. */
      removeTags?: Array<string> | null;
      /** All its tags, instead of those that it has; 32 at most, of 64 characters at most. */
      tags?: Array<string> | null;
    };
    result: AnnotateResult;
  };
  /** Deletes one run. */
  "executions/delete": {
    params: {
      /** The file's stem. */
      executionId: ExecutionId;
      /** The project's folder. */
      projectId: ProjectId;
      /** Whether it is deleted for good instead of being moved to the trash. */
      permanent?: boolean | null;
    };
    result: DeleteResult;
  };
  /** Deletes every run of a project. */
  "executions/deleteAll": {
    params: {
      /** The project's folder. */
      projectId: ProjectId;
      /** Whether they are deleted for good instead of being moved to the trash. */
      permanent?: boolean | null;
    };
    result: DeleteAllResult;
  };
  /** Deletes the runs that pass a filter. */
  "executions/deleteMatching": {
    params: {
      /** With `dryRun`: `nextCursor` of the answer before, for the runs that it did not name; the other params must be the same. */
      cursor?: string | null;
      /** Only tell what would go. */
      dryRun?: boolean | null;
      /** How many runs are named, of those that go and of those that do not: 100 if absent, 10,000 at most. */
      limit?: number | null;
      /** Whether they are deleted for good instead of being moved to the trash. */
      permanent?: boolean | null;
      /** `plan` of an answer to `dryRun`: nothing goes but what that told. What came or changed since stays. Its `projectId`, `status`, `where` and `timezone` must be the same. */
      plan?: string | null;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is taken into account. */
      sync?: boolean | null;
      /** The IANA time zone of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter, for example `startedAt < -30d and status = 'failed'`. */
      where?: string | null;
    };
    result: DeleteMatchingResult;
  };
  /** Deletes the runs that a policy lets go. */
  "executions/prune": {
    params: {
      /** With `dryRun`: `nextCursor` of the answer before, for the runs that it did not name; the other params must be the same. */
      cursor?: string | null;
      /** Only tell what would go. */
      dryRun?: boolean | null;
      /** Whether the policy may leave no run in the projects that its rules are about, but queued, running and paused ones that no rule means. */
      everything?: boolean | null;
      /** How many runs are named, of those that go and of those that do not: 100 if absent, 10,000 at most. */
      limit?: number | null;
      /** Whether runs are deleted for good instead of being moved to the trash. */
      permanent?: boolean | null;
      /** `plan` of an answer to `dryRun`: nothing goes but what that told, of the trash either. What came or changed since stays. The policy must be the same. */
      plan?: string | null;
      /** What may stay; if absent, what `[prune]` says, in the same words, in the nearest `runlog.toml` above the projects that has it, or in the user's own. */
      policy?: PrunePolicy | null;
      /** Everything done to the files before the request is taken into account. */
      sync?: boolean | null;
    };
    result: PruneResult;
  };
  /** Puts deleted runs back, byte for byte. */
  "executions/restore": {
    params: {
      /** All that one request deleted, in whatever projects. */
      batch?: string | null;
      /** What deletions and trash/list call `entry`, 1,000 at most. */
      entries?: Array<string> | null;
      /** The run whose latest deletion is put back, beside `projectId`. */
      executionId?: ExecutionId | null;
      /** The project's folder, beside `executionId`. */
      projectId?: ProjectId | null;
    };
    result: RestoreResult;
  };
  /** Lists what was deleted and can be restored. */
  "trash/list": {
    params: {
      /** `nextCursor` of the page before; `projectId` and `executionId` must be the same. */
      cursor?: string | null;
      /** Only those whose `executionId` begins so: for whoever looks for one run. */
      executionId?: string | null;
      /** The page's size. */
      limit?: number;
      /** Only this project's; all if absent. */
      projectId?: ProjectId | null;
    };
    result: TrashListResult;
  };
  /** Removes what was deleted for good. */
  "trash/empty": {
    params: {
      /** Only what one request deleted; not beside another param. */
      batch?: string | null;
      /** Only what was deleted before this moment (RFC 3339). */
      before?: string | null;
      /** Only these, 1,000 at most; not beside another param. */
      entries?: Array<string> | null;
      /** Only this project's; all if absent. */
      projectId?: ProjectId | null;
    };
    result: TrashEmptyResult;
  };
  /** Tells changes as they happen, by `executions/changed`. */
  "executions/subscribe": {
    params: {
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Begin after this clock; now if absent. */
      since?: string | null;
      /** Only runs with this status, or one of these; a run that changes to another is told as left. */
      status?: Statuses | null;
      /** The IANA time zone of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter; a changed one that does not is told as left. Its dates are what they are at each change; time that passes tells nothing. */
      where?: string | null;
    };
    result: SubscriptionId;
  };
  /** Ends a subscription. */
  "executions/unsubscribe": {
    params: {
      /** The id that `executions/subscribe` gave; also accepted as the only positional parameter. */
      subscription: unknown;
    };
    result: boolean;
  };
  /** Gives what changed after a clock. */
  "executions/changes": {
    params: {
      /** A clock from an earlier answer. */
      since: string;
      /** At most so many changes. */
      limit?: number;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
      /** The IANA time zone of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter; a changed one that does not is told as left. */
      where?: string | null;
    };
    result: ChangesResult;
  };
  /** Sums up the steps of runs, node by node. */
  "nodes/stats": {
    params: {
      /** Answer at once while the first index is being built. */
      allowPartial?: boolean | null;
      /** At most so many nodes. */
      limit?: number;
      /** Which nodes come first; `slowest` if absent. */
      orderBy?: NodesOrder | null;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
      /** The IANA time zone of the filter's dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter; of those, all steps count. */
      where?: string | null;
    };
    result: NodesStatsResult;
  };
  /** Groups the errors of runs by what they have in common. */
  "errors/groups": {
    params: {
      /** Answer at once while the first index is being built. */
      allowPartial?: boolean | null;
      /** At most so many groups. */
      limit?: number;
      /** Only this project; all if absent. */
      projectId?: ProjectId | null;
      /** Groups are `new` that came later: a clock from an earlier answer, or a date as filters have them, for example `-1d` or `2025-10-15`. It leaves no group out. */
      since?: string | null;
      /** Only runs with this status, or one of these. */
      status?: Statuses | null;
      /** Everything done to the files before the request is in the answer. */
      sync?: boolean | null;
      /** The IANA time zone of dates; UTC if absent. */
      timezone?: string | null;
      /** Only runs that pass this filter. */
      where?: string | null;
    };
    result: ErrorsGroupsResult;
  };
}

export type Params<M extends keyof Methods> = Methods[M]["params"];
export type Result<M extends keyof Methods> = Methods[M]["result"];

/** The arguments of a call: `Params`, which may be left out where none is needed, and `Options`. */
export type Arguments<M extends keyof Methods, Options> = {} extends Params<M>
  ? [params?: Params<M>, options?: Options]
  : [params: Params<M>, options?: Options];

/** The params of `executions/changed`. */
export interface ChangedParams {
  subscription: number;
  result: Told;
}
