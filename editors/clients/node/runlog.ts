/**
 * A client of runlog for Node 20 or later: requests, changes that outlive the daemon, and a recorder.
 *
 * Where a connection is lost, the next request makes a new one. What was under way then fails with
 * `data.outcome` "unknown", but for changes, which go on from their last clock, and for what a recorder
 * writes, which is brought to an end exactly once.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once, setMaxListeners } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { addAbortSignal, finished, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { Arguments, ExecutionRecord, Methods, Params, Result, StepUpdate, Told, UpdateAdd } from './types.js';

export type * from './types.js';

/** How many changes wait in memory for a slow consumer. */
const QUEUED_CHANGES_MAX = 1000;
/** How long to wait before the second try; doubled for each further one. */
const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 5000;
/** How long a daemon has to end once its input has. */
const END_WITHIN_MS = 3000;
/** What a timer takes; a longer one ends at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** Why a program may be startable a moment later. */
const LACKING = new Set(['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM']);
/** The daemon could not say of a longer line, or of one that is nested deeper, whom its answer is for. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;
const NESTING_MAX = 128;
/** How many places after the point an amount has at most. */
const PLACES = 30;
/** What is kept of an error's text. */
const ERROR_CHARS_MAX = 8192;
/** How a run ends. */
const ENDS = ['completed', 'failed', 'cancelled'] as const;
/** Before the digits of a number that JSON is to have as it is; no text that is told can have guessed it. */
const DIGITS = randomBytes(16).toString('hex');
const SPELT = new RegExp(`"${DIGITS}([^"]*)"`, 'g');

/**
 * What the daemon, or the way to it, has refused: `code` is the protocol's, and so is `kind`, or it is
 * `unreachable`; `data` says what else there is to know: `currentVersion`, `outcome`, …
 */
export class RunlogError extends Error {
  override readonly name = 'RunlogError';
  readonly kind: string;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;

  constructor(readonly code: number, message: string, readonly data: Record<string, unknown> = {}) {
    super(message);
    this.kind = String(data['kind'] ?? 'unknown');
    this.retryable = data['retryable'] === true;
  }
}

export interface ClientOptions {
  /** A daemon's Unix socket, as `runlog socket` prints the root's own. */
  socket?: string;
  /** Without a socket: the daemon to start, and its arguments. */
  command?: readonly [string, ...string[]];
  /** The root; otherwise the daemon looks for it from the folder that is current when the client is made. */
  projects?: string;
  /** For how long to look for a daemon, in milliseconds, before what needs it fails or is closed; 30,000. */
  patience?: number;
  /** How often a silent run of ours is told to be alive, in milliseconds; 60,000. 0: never. */
  heartbeat?: number;
}

/** `signal` takes a request back, of which a mutation may have gone through, or ends an iteration. */
type Abortable = { signal?: AbortSignal | undefined };
type Settings = ClientOptions & { patience: number; heartbeat: number; folder: string };
type Body<S, T> = (subject: S) => T | Promise<T>;
type RunMembers = ExecutionRecord & { projectId: string };

/** Runs the daemon or meets it, asks it, and hears what it tells. Begins when it is first needed. */
export class Client implements AsyncDisposable {
  private readonly options: Settings;
  /** @internal Whether nothing new is told. */
  closing = false;
  /** Aborted once what was told is written, or our patience over. */
  private readonly closed = new AbortController();
  /** @internal Fulfilled once what recorders were told is written, or refused. */
  written = Promise.resolve();
  private connection: Promise<Connection> | undefined;
  /** Fulfilled once the last connection has ended, and its daemon. */
  private ended: Promise<void> | undefined;

  constructor({ patience = 30_000, heartbeat = 60_000, ...options }: ClientOptions = {}) {
    this.options = { ...options, folder: here(), patience: Math.min(patience, TIMER_MS_MAX), heartbeat: Math.min(heartbeat, TIMER_MS_MAX) };
    if (options.socket) this.options.socket = resolve(options.socket);
    // each recorder that waits for another daemon is one
    setMaxListeners(0, this.closed.signal);
  }

  /** Asks; the answer, or a {@link RunlogError}. */
  async request<M extends keyof Methods>(method: M, ...rest: Arguments<M, Abortable>): Promise<Result<M>> {
    const [params = {}, { signal } = {}] = rest;
    const connection = await abortable(this.connected(), signal);
    return await connection.request(method, params, signal) as Result<M>;
  }

  /**
   * Changes as they happen, for `for await`. A lost connection is made again, and they go on after the last clock;
   * on `resync` something may be missing: drop what you hold and list again. `current` says that everything up to
   * its clock was told; after the first one they are live. Of what is not taken the daemon keeps the latest states.
   */
  async *changes({ signal, ...params }: Params<'executions/subscribe'> & Abortable = {}): AsyncGenerator<Told, void> {
    const subscribe = async (): Promise<Readable> => {
      const connection = await abortable(this.connected(), signal);
      const changes = new Readable({ objectMode: true, highWaterMark: QUEUED_CHANGES_MAX, read: () => undefined });
      await connection.request('executions/subscribe', params, signal, changes);
      return changes;
    };
    while (!this.closed.signal.aborted) {
      try {
        const changes = await abortable(this.patiently(subscribe), signal);
        for await (const told of signal ? addAbortSignal(signal, changes) : changes) {
          params.since = told.clock;
          yield told;
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (!this.closed.signal.aborted) throw error;
      }
      await sleep(FIRST_DELAY_MS);
    }
  }

  /**
   * Records what `body` does as a run of `execution.projectId`: completed when it returns, failed with
   * the error's text when it throws, cancelled when what it throws is an AbortError, or on a Ctrl-C that the
   * program does not listen for itself.
   */
  async run<T>(execution: RunMembers, body: Body<Run, T>): Promise<T> {
    const run = new Run(this, this.options.heartbeat, execution);
    return await through(this, run.begun, body, run, ({ status, ...members }) => run.finish(status, members));
  }

  /** Begins a run whose end is told by its `finish`. */
  async start(execution: RunMembers): Promise<Run> {
    const run = new Run(this, this.options.heartbeat, execution);
    await run.begun;
    return run;
  }

  /**
   * Ends the connection, and the daemon if it was started for it. Iterations of changes end. What `run` and
   * `step` still record is told to be cancelled. A program ends without it, too, once it waits for nothing.
   */
  async close(): Promise<void> {
    // steps before their runs; each who records hears of what is refused
    const ours = [...open].filter(([, client]) => client === this).reverse();
    for (const [end] of ours) end({ status: 'cancelled' }).catch(() => undefined);
    this.closing = true;
    // nobody may wait for it, but it was told before
    await Promise.race([this.written, sleep(this.options.patience, undefined, { ref: false })]);
    this.closed.abort();
    const connection = await this.connection?.catch(() => undefined);
    connection?.end();
    await this.ended;
  }

  readonly [Symbol.asyncDispose] = (): Promise<void> => this.close();

  /** @internal Does again what `again` says, the last time once our patience is over. */
  async patiently<T>(ask: () => Promise<T>, again: (error: RunlogError) => boolean = waitable): Promise<T> {
    const until = Date.now() + this.options.patience;
    for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, LONGEST_DELAY_MS)) {
      try {
        return await ask();
      } catch (error) {
        const left = until - Date.now();
        if (this.closed.signal.aborted || left <= 0 || !(error instanceof RunlogError && again(error))) throw error;
        await sleep(Math.min(delay, left), undefined, { signal: this.closed.signal }).catch(() => undefined);
      }
    }
  }

  private connected(): Promise<Connection> {
    if (!this.connection) {
      const forget = (): void => void (this.connection = undefined);
      this.connection = this.patiently(() => Connection.open(this.options, this.closed.signal), passing);
      void this.connection.then(({ lost, ended }) => {
        this.ended = ended;
        return lost;
      }).then(forget, forget);
    }
    return this.connection;
  }
}

/** Who waits for an answer, and where changes go if it is a subscription's. */
type Pending = { resolve(result: unknown): void; reject(error: unknown): void; changes: Readable | undefined };

/** One way to a daemon, from its first byte to its last. */
class Connection {
  /** Fulfilled once nothing more goes out on it. */
  readonly lost: Promise<void>;
  /** Fulfilled once its daemon has ended, too, and nothing more comes of what was asked. */
  readonly ended: Promise<void>;
  private readonly pending = new Map<number, Pending>();
  private readonly subscriptions = new Map<number, Readable>();
  private id = 0;

  /** Fulfilled with the status of its daemon, if that was started for it. */
  private readonly exited: Promise<unknown> | undefined;

  private constructor(private input: Socket, private output: Socket, private child?: ChildProcess) {
    this.exited = child && once(child, 'exit').then(([status]) => status);
    // what fails here shows in the input's end
    output.on('error', () => input.destroy());
    this.lost = this.read(input);
    this.ended = this.lost.then(() => this.settle());
  }

  static async open(options: Settings, closed: AbortSignal): Promise<Connection> {
    if (closed.aborted) unreachable('the client is closed', false);
    const { socket, command = ['runlog', 'serve', '--shared'], projects, folder } = options;
    const program = projects === undefined ? command : [...command, '--projects', projects];
    const connection = await (socket === undefined ? Connection.spawn(program, folder) : Connection.meet(socket));
    // one that takes us in and then says nothing has no more time than one that is not there
    const leave = (): void => connection.end(socket === undefined ? END_WITHIN_MS : 0);
    const timer = setTimeout(leave, options.patience);
    closed.addEventListener('abort', leave);
    if (closed.aborted) leave();
    try {
      const about = { processId: process.pid, protocolVersion: 1, clientInfo: { name: 'runlog-node' } };
      await connection.request('initialize', about);
      return connection;
    } catch (error) {
      leave();
      await connection.ended;
      const status = await connection.exited;
      if (status) unreachable(`${command[0]} ended with status ${status}; its stderr says why`, false);
      return unreachable(error, !closed.aborted);
    } finally {
      clearTimeout(timer);
      closed.removeEventListener('abort', leave);
    }
  }

  private static async meet(path: string): Promise<Connection> {
    const socket = connect(path);
    await once(socket, 'connect').catch((error) => unreachable(error, true));
    return new Connection(socket, socket);
  }

  private static async spawn([program = '', ...args]: readonly string[], folder: string): Promise<Connection> {
    // a folder may be gone by now; detached: a Ctrl-C that ends this program is not the daemon's
    const cwd = existsSync(folder) ? folder : undefined;
    let child;
    try {
      child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd, detached: true });
      await once(child, 'spawn');
    } catch (error) {
      return unreachable(`${program} cannot be started: ${error}`, LACKING.has((error as NodeJS.ErrnoException).code ?? ''));
    }
    // these pipes are sockets
    const [input, output] = [child.stdout as Socket, child.stdin as Socket];
    // what holds the program is what is to come from it
    child.unref();
    output.unref();
    return new Connection(input, output, child);
  }

  /** Takes no request any more; what is still to be answered has so much time. */
  end(withinMs = END_WITHIN_MS): void {
    this.child?.ref();
    this.input.ref();
    this.output.end();
    setTimeout(() => {
      this.child?.kill('SIGKILL');
      // somebody else may hold it open
      this.input.destroy();
    }, withinMs).unref();
  }

  async request(method: string, params: object, signal?: AbortSignal, changes?: Readable): Promise<unknown> {
    // which it has not gone out on
    const refusal = { kind: 'daemon-lost', retryable: true };
    if (!this.output.writable) throw new RunlogError(503, 'the connection has ended', refusal);
    const id = ++this.id;
    this.send({ id, method, params });
    const answer = new Promise((resolve, reject) => this.pending.set(id, { resolve, reject, changes }));
    this.hold();
    return await abortable(answer, signal, () => {
      this.send({ method: '$/cancelRequest', params: { id } });
      // it may begin all the same
      changes?.destroy();
    });
  }

  /** Holds the program as long as somebody waits for something. */
  private hold(): void {
    if (this.pending.size + this.subscriptions.size > 0) this.input.ref();
    else this.input.unref();
  }

  private unsubscribe(subscription: number): void {
    const changes = this.subscriptions.get(subscription);
    if (!changes) return;
    changes.push(null);
    this.subscriptions.delete(subscription);
    this.request('executions/unsubscribe', { subscription }).catch(() => undefined);
  }

  private send(message: { id?: number; method: string; params: object }): void {
    const limitNesting = NESTING_MAX;
    if (deeper(message, limitNesting)) tooLarge(`is nested deeper than ${limitNesting} levels`, { limitNesting });
    const text = JSON.stringify({ jsonrpc: '2.0', ...message }, tellable).replace(SPELT, '$1');
    const line = Buffer.from(`${text}\n`);
    const sizeBytes = line.length;
    if (sizeBytes > LINE_BYTES_MAX) tooLarge(`has ${sizeBytes} bytes`, { sizeBytes, limitBytes: LINE_BYTES_MAX });
    // else what is still to be answered would break off
    if (this.output.writable) this.output.write(line);
  }

  private async read(input: Readable): Promise<void> {
    try {
      for await (const line of lines(input)) this.receive(JSON.parse(line));
    } catch {
      // whatever it was: nothing more can be understood
    }
    this.end();
  }

  private async settle(): Promise<void> {
    await this.exited;
    const data = { kind: 'daemon-lost', retryable: true, outcome: 'unknown' };
    const lost = (): RunlogError => new RunlogError(503, 'the connection ended before the answer', data);
    for (const { reject } of this.pending.values()) reject(lost());
    for (const changes of this.subscriptions.values()) changes.push(null);
    this.subscriptions.clear();
  }

  private receive({ id, method, params, result, error }: any): void {
    if (method === 'executions/changed') {
      const changes = this.subscriptions.get(params.subscription);
      // once these are taken, another subscription goes on from the last one
      if (changes?.push(params.result) === false) this.unsubscribe(params.subscription);
    } else if (method === undefined) {
      if (id === null) throw new Error('the daemon did not understand us');
      const asked = this.pending.get(id);
      this.pending.delete(id);
      if (asked?.changes && !error) {
        this.subscriptions.set(result, asked.changes);
        finished(asked.changes, () => this.unsubscribe(result));
      }
      if (error) asked?.reject(new RunlogError(error.code, error.message, error.data));
      else asked?.resolve(result);
      this.hold();
    }
  }
}

/** Whole lines; `readline` would break them at characters that JSON leaves as they are. */
async function* lines(input: Readable): AsyncGenerator<string> {
  let line = '';
  for await (const chunk of input.setEncoding('utf8')) {
    const [end, ...others]: string[] = chunk.split('\n');
    line += end;
    for (const other of others) {
      yield line;
      line = other;
    }
  }
}

/** `promise`, unless `signal` comes first: then its reason, after a call of `abort`. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined, abort?: () => void): Promise<T> {
  if (!signal) return promise;
  // each who waits for it is one
  setMaxListeners(0, signal);
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      abort?.();
      reject(signal.reason);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** US dollars, and tokens read and written. */
export type Amounts = { costUSD?: number; input?: number; output?: number };

/** A step being recorded. */
export interface Step {
  readonly id: string;
  /** Cost and tokens that come on top, of the step and of the run. */
  add(amounts: Amounts): Promise<void>;
  /** New values of the step's members. */
  set(members: Partial<StepUpdate>): Promise<void>;
}

/** What begins a record or changes it; what is added comes on top of the `steps`, too. */
type Change = { execution?: ExecutionRecord; set?: Record<string, unknown>; add?: Sums; steps?: StepUpdate[] };
type Sums = { costUSD?: Sum; input?: Sum; output?: Sum };
/** What a step has cost: numbers as they were told, or a {@link Sum}. */
type Spent = { costUSD?: unknown; tokenUsage?: Record<string, unknown> | null | undefined };
type Waiting = { change: Change; resolve(): void; reject(error: unknown): void };

/**
 * A run being recorded; one per record. Everything is durable when its promise is fulfilled, in the order
 * of the calls; what is told while a write is under way shares the next one.
 *
 * Nothing is lost or counted twice where an answer fails to come. A write expects the version that was answered
 * last, and leaves its mark in the record, the member `recorder`. Repeated, it finds that version, so that the
 * first try has not gone through and never will, or is refused; then the record is read. With the mark in it the
 * first try went through, whoever wrote since; without it the write is repeated on top. Where it cannot be read, or
 * what may not last cannot be written again, for as long as the client's patience lasts, the outcome is unknown, and
 * said to be. (Who puts back an old copy of the record takes back what was written since, mark and all.)
 */
export class Run {
  readonly projectId: string;
  readonly id: string;
  private readonly recorder = randomBytes(8).toString('hex');
  private version = '';
  private writes = 0;
  /** The ids of steps that there are, and the number of the next one made up. */
  private readonly steps: Set<unknown>;
  private stepNumber = 1;
  /** What each step has cost, as it was told last. */
  private readonly spent = new Map<unknown, Spent>();
  /** The write that has not begun. */
  private next: Waiting[] | undefined;
  private written = Promise.resolve();
  private finished: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** @internal */
  readonly begun: Promise<void>;

  constructor(private client: Client, private heartbeat: number, { projectId, ...record }: RunMembers) {
    this.projectId = projectId;
    // as the engine makes them
    this.id = record.id ?? `exec-${Date.now()}-${randomBytes(5).toString('hex').slice(0, 9)}`;
    this.steps = new Set(record.steps?.map((step) => step['id']));
    this.begun = this.put({ execution: { ...record, id: this.id }, steps: (record.steps ?? []) as StepUpdate[] });
  }

  /** Cost and tokens that come on top of the run's. */
  async add(amounts: Amounts): Promise<void> {
    await this.put({ add: plus({}, amounts) });
  }

  /** New values of the record's members; null removes one. Its end is told by `finish`. */
  async set(members: Record<string, unknown>): Promise<void> {
    const end = ENDS.find((end) => end === members['status']);
    if (end) throw new TypeError(`a run ends as ${end} by \`finish\`, not by \`set\``);
    return this.put({ set: members });
  }

  /** Records what `body` does as a step, of this name or with these members; it ends as runs do. */
  async step<T>(what: string | Partial<StepUpdate>, body: Body<Step, T>): Promise<T> {
    const members = typeof what === 'string' ? { name: what } : what;
    while (this.steps.has(`step-${this.stepNumber}`)) this.stepNumber++;
    const id = members.id ?? `step-${this.stepNumber}`;
    this.steps.add(id);
    const set: Step['set'] = (news) => this.put({ steps: [{ ...news, id }] });
    const add: Step['add'] = async (amounts) => this.put({ add: plus({}, amounts), steps: [{ id }] });
    const began = new Date();
    const first = { nodeId: members.name ?? id, nodeType: 'agent', status: 'running', startedAt: began.toISOString() };
    return await through(this.client, set({ ...first, ...members }), body, { id, add, set }, (end) => {
      const ended = new Date();
      return set({ ...end, completedAt: ended.toISOString(), duration: ended.getTime() - began.getTime() });
    });
  }

  /** Ends the run; what is told of it later is refused. Only the first call that goes through counts. */
  async finish(status: End['status'] = 'completed', members: Record<string, unknown> = {}): Promise<void> {
    if (!ENDS.includes(status)) throw new TypeError(`a run ends as ${ENDS.join(' or ')}, not as ${inspect(status)}`);
    return this.finished ??= this.put({ set: { ...members, status } }).catch((error) => {
      this.finished = undefined;
      throw error;
    });
  }

  /** Joins the next write, or begins another one. */
  private async put(change: Change): Promise<void> {
    if (interrupted) return interrupted.then(() => this.put(change));
    if (this.client.closing) unreachable('the client is closed', false);
    // within a write `set` comes before `add`
    if (!this.next || change.set) {
      const next: Waiting[] = (this.next = []);
      const written = (this.written = this.written.then(() => this.write(next)));
      this.client.written = this.client.written.then(() => written);
    }
    await new Promise<void>((resolve, reject) => this.next?.push({ change, resolve, reject }));
  }

  private async write(batch: Waiting[]): Promise<void> {
    if (this.next === batch) this.next = undefined;
    clearTimeout(this.timer);
    // one whose end was told, though in vain, is to turn stale
    let over = ENDS.some((end) => end === batch[0]?.change.set?.['status']);
    try {
      await this.update(batch.map(({ change }) => change));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      if (batch.length > 1 && !(error instanceof RunlogError && (passing(error) || unknown(error)))) {
        // refused for sure: which of them is to blame shows when they are alone
        for (const one of batch) await this.write([one]);
        return;
      }
      over ||= error instanceof RunlogError && error.kind === 'already-finished';
      for (const { reject } of batch) reject(error);
    }
    if (over || !this.version || !(this.heartbeat > 0)) return;
    // alive, if it says nothing else for a while; whatever is wrong shows in the next write, or goes by
    this.timer = setTimeout(() => void this.put({}).catch(() => undefined), this.heartbeat).unref();
  }

  /** Writes changes, of which only the first begins the record or sets members, as one, and exactly once. */
  private async update(changes: Change[]): Promise<void> {
    const run = { projectId: this.projectId, executionId: this.id };
    const recorder = `${this.recorder}:${this.writes++}`;
    const silent = changes.every((change) => Object.keys(change).length === 0);
    const { execution, set } = changes[0]!;
    const { add, steps, spent } = this.together(changes);
    if (!execution && !this.version) {
      // it would go to another run of this name
      throw new RunlogError(404, 'the run has not begun', { kind: 'execution-not-found' });
    }
    let start = execution && { projectId: this.projectId, execution: { ...execution, recorder } };
    let news: object = silent ? {} : { set: { ...set, recorder }, add, steps };
    // the version written on, whether a try before may have gone through, and who says that it may not last
    let { version } = this;
    let lost = false;
    let unsure: RunlogError | undefined;
    const write = async (): Promise<string> => {
      for (;;) {
        try {
          return (await (start
            ? this.client.request('executions/start', start)
            : this.client.request('executions/update', { ...run, ifVersion: version, ...news }))).version;
        } catch (error) {
          if (!(error instanceof RunlogError)) throw error;
          // a sign of life may come twice
          lost = !silent && (lost || unknown(error));
          if (unknown(error) && error.kind === 'storage') unsure = error;
          if (passing(error) || !(lost || error.code === 409)) throw error;
          const found = await this.client.request('executions/get', { ...run, fields: ['/recorder'] });
          if (found.fields?.['/recorder']?.value !== recorder) {
            lost = false;
            if (error.code === 409 && error.kind !== 'version-conflict') throw error;
          } else if (!unsure) return found.version;
          else if (error.code !== 409 || error.kind === 'already-finished') throw error;
          // once what is there is written again it lasts; until then its outcome is unknown
          else [start, news] = [undefined, { set: { recorder } }];
          version = found.version;
        }
      }
    };
    try {
      this.version = await this.client.patiently(write, (error) => (
        waitable(error) || lost && error.kind !== 'already-finished'));
    } catch (error) {
      if (!lost || !(error instanceof RunlogError)) throw error;
      const { code, message, data } = unsure ?? error;
      throw new RunlogError(code, message, { ...data, retryable: false, outcome: 'unknown' });
    }
    for (const [step, sum] of spent) this.spent.set(step, sum);
  }

  /** What is added to the run, what is told of steps, and what these have cost then. */
  private together(changes: Change[]): { add: UpdateAdd; steps: StepUpdate[]; spent: Map<unknown, Spent> } {
    const adds = changes.reduce<Sums>((sums, { add = {} }) => plus(sums, add), {});
    const { costUSD = null, input = null, output = null }: Record<string, unknown> = adds;
    const spent = new Map<unknown, Spent>();
    const steps = changes.flatMap(({ add = {}, steps = [] }) => steps.map((step) => {
      const held = spent.get(step.id) ?? this.spent.get(step.id) ?? {};
      const told = { ...step, ...onTop(held, add) } as StepUpdate & Spent;
      const { costUSD, tokenUsage } = { ...held, ...told };
      spent.set(step.id, { costUSD, tokenUsage: tokenUsage && { ...tokenUsage } });
      return told;
    }));
    return { add: { costUSD, tokenUsage: { input, output } } as UpdateAdd, steps, spent };
  }
}

type End = { status: (typeof ENDS)[number]; error?: string };
type Tell = (end: End) => Promise<void>;

/** Runs `body` once `begun` is fulfilled, and tells how it ended; its error comes before one of telling. */
async function through<S, T>(
  client: Client, begun: Promise<void>, body: Body<S, T>, subject: S, tell: Tell,
): Promise<T> {
  let told: Promise<void> | undefined;
  const end: Tell = (how) => (told ??= tell(how));
  open.set(end, client);
  listen();
  try {
    await begun;
    let result: T;
    try {
      result = await body(subject);
    } catch (error) {
      await end(endOf(error)).catch((why) => process.emitWarning(`an end was not recorded: ${why}`, 'RunlogWarning'));
      throw error;
    }
    await end({ status: 'completed' });
    return result;
  } finally {
    await interrupted;
    open.delete(end);
    listen();
  }
}

/** How something ended that threw this, which need not be an error, nor have a text. */
function endOf(thrown: unknown): End {
  try {
    if (thrown instanceof Error && thrown.name === 'AbortError') return { status: 'cancelled' };
    return { status: 'failed', error: String(thrown).slice(0, ERROR_CHARS_MAX) };
  } catch {
    return { status: 'failed', error: 'its text cannot be had' };
  }
}

/** How to end what is being recorded, a run before its steps, and by which client. */
const open = new Map<Tell, Client>();
/** While a Ctrl-C ends them: fulfilled after that. */
let interrupted: Promise<void> | undefined;

/** Listens for a Ctrl-C as long as something is being recorded. */
function listen(): void {
  // one that has come and is not yet told would go with the listener: it is told in this turn or in the next
  if (open.size === 0) setImmediate(setImmediate, () => open.size === 0 && process.off('SIGINT', interrupt));
  else if (!interrupted && !process.listeners('SIGINT').includes(interrupt)) {
    process.prependListener('SIGINT', interrupt);
  }
}

/** Ends what is being recorded and then, as nobody listens any more, the process. */
function interrupt(): void {
  process.off('SIGINT', interrupt);
  if (process.listenerCount('SIGINT') > 0) {
    // what it means is for them to say, and some do only where they are alone
    setImmediate(listen);
    return;
  }
  const ends = [...open.keys()].reverse().map((end) => end({ status: 'cancelled' }));
  interrupted = Promise.allSettled(ends).then(() => {
    interrupted = undefined;
    process.kill(process.pid, 'SIGINT');
  });
}

/** A decimal number that is exactly what the shortest spellings of those that it came from say. */
class Sum {
  /** In units of 10^-PLACES. */
  private constructor(private readonly units: bigint) {}

  static of(name: string, amount: unknown, whole = false): Sum {
    if (amount instanceof Sum) return amount;
    const spelt = whole && !Number.isSafeInteger(amount) || typeof amount !== 'number' ? '' : String(amount);
    const [, digits, fraction = '', exponent = '0'] = /^(\d+)(?:\.(\d+))?(?:e(.+))?$/.exec(spelt) ?? [];
    const places = PLACES - fraction.length + Number(exponent);
    if (digits === undefined || places < 0) {
      const kind = whole ? 'whole number below 2^53' : `number of at most ${PLACES} decimal places`;
      throw new RangeError(`${name} must be a ${kind} that is not negative: ${inspect(amount)}`);
    }
    return new Sum(BigInt(digits + fraction) * 10n ** BigInt(places));
  }

  plus(other: Sum | undefined): Sum {
    return other ? new Sum(this.units + other.units) : this;
  }

  toJSON(): string {
    const digits = this.units.toString().padStart(PLACES + 1, '0');
    return DIGITS + `${digits.slice(0, -PLACES)}.${digits.slice(-PLACES)}`.replace(/\.?0+$/, '');
  }
}

/** Both together; an error where JSON would lose something of it. */
function plus(one: Sums, other: Amounts | Sums): Sums {
  const sums = { ...one };
  for (const [given, amount] of Object.entries(other)) {
    const name = (['costUSD', 'input', 'output'] as const).find((known) => known === given);
    if (!name) throw new TypeError(`costUSD, input and output can be added, and no ${given}`);
    if (amount !== undefined) sums[name] = Sum.of(name, amount, name !== 'costUSD').plus(one[name]);
  }
  return sums;
}

/** What a step has cost with this on top, as the daemon adds to a run's amounts. */
function onTop({ costUSD, tokenUsage }: Spent, { costUSD: cost, input, output }: Sums): Spent {
  const sums: Spent = cost ? { costUSD: cost.plus(Sum.of('costUSD', costUSD ?? 0)) } : {};
  if (input || output) {
    const read = Sum.of('input', tokenUsage?.['input'] ?? 0).plus(input);
    const written = Sum.of('output', tokenUsage?.['output'] ?? 0).plus(output);
    // a total that counts more than the two keeps what it counts
    const known = tokenUsage?.['total'];
    const total = known == null ? read.plus(written) : Sum.of('total', known).plus(input).plus(output);
    sums.tokenUsage = { ...tokenUsage, input: read, output: written, total };
  }
  return sums;
}

/** What it is, unless JSON would make null of it, which removes a member. */
function tellable(this: Record<string, unknown>, name: string, value: unknown): unknown {
  if (typeof value === 'number' ? Number.isFinite(value) : value !== null || this[name] === null) return value;
  throw new RangeError(`${name} cannot be told in JSON: ${inspect(this[name])}`);
}

/** Whether objects and arrays are nested in it deeper than so many levels. */
function deeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return false;
  return levels === 0 || Object.values(value).some((one) => deeper(one, levels - 1));
}

/** Whether the same may succeed later, as it is. */
const passing = (error: RunlogError): boolean => error.retryable && error.code !== 409;
/** Whether to wait for that; a daemon that could not be reached has been waited for. */
const waitable = (error: RunlogError): boolean => passing(error) && error.kind !== 'unreachable';
/** Whether it may have gone through. */
const unknown = (error: RunlogError): boolean => error.data['outcome'] === 'unknown';

function tooLarge(what: string, data: object): never {
  throw new RunlogError(413, `the request ${what}`, { kind: 'too-large', ...data });
}

/** The folder to look for runs from, wherever the program goes later. */
function here(): string {
  try {
    return process.cwd();
  } catch {
    // it has been removed
    return '';
  }
}

function unreachable(why: unknown, retryable: boolean): never {
  throw new RunlogError(503, `no daemon can be reached: ${why}`, { kind: 'unreachable', retryable });
}
