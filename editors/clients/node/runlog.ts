/**
 * A client of runlog for Node 20 or later: requests, changes that outlive the daemon, and a recorder.
 *
 * Where a connection is lost, the next request makes a new one. What was under way then fails with
 * `data.outcome` "unknown", but for changes, which go on from their last clock, and for what a recorder
 * writes, which is brought to an end exactly once.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ExecutionRecord, Methods, StepUpdate, Told } from './types.js';

export type * from './types.js';

/** How many changes wait in memory for a slow consumer. */
const QUEUED_CHANGES_MAX = 1000;
/** How long to wait before the second try; doubled for each further one until a daemon has answered. */
const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 5000;
/** How long a daemon has to end once its input has. */
const END_WITHIN_MS = 3000;

type Params<M extends keyof Methods> = Methods[M]['params'];
type Result<M extends keyof Methods> = Methods[M]['result'];

/** What the daemon, or the way to it, has refused. */
export class RunlogError extends Error {
  override readonly name = 'RunlogError';

  constructor(
    /** As in the protocol: 404, 409, -32602, … */
    readonly code: number,
    message: string,
    /** What else there is to know of this kind: `currentVersion`, `outcome`, … */
    readonly data: Record<string, unknown> = {},
  ) {
    super(message);
  }

  /** The stable word for what happened: the protocol's, or `unreachable`. */
  get kind(): string {
    return String(this.data['kind'] ?? 'unknown');
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return this.data['retryable'] === true;
  }
}

export interface ClientOptions {
  /** A daemon's Unix socket; `true` for the root's own, as `runlog socket` prints it. */
  socket?: string | true;
  /** Without a socket: the daemon to start, and its arguments. */
  command?: readonly [string, ...string[]];
  /** The root; otherwise the daemon looks for it from the current folder. */
  projects?: string;
  /** For how long to look for a daemon, in milliseconds, before what needs it fails; 30,000. */
  patience?: number;
  /** How often a silent run of ours is told to be alive, in milliseconds; 60,000. */
  heartbeat?: number;
}

export interface RequestOptions {
  /** Takes the request back; a mutation may have gone through all the same. */
  signal?: AbortSignal;
  /** Is told how far the request has come. */
  onProgress?: (value: Progress) => void;
}

export interface Progress {
  kind: 'begin' | 'report' | 'end';
  message?: string;
  percentage?: number;
}

export interface ChangesOptions {
  projectId?: string;
  status?: string | string[];
  /** The clock to begin after; otherwise now. */
  since?: string;
  /** Ends the iteration with its reason. */
  signal?: AbortSignal;
}

/** Params may be left out where none is needed. */
type Rest<M extends keyof Methods> = {} extends Params<M>
  ? [params?: Params<M>, options?: RequestOptions]
  : [params: Params<M>, options?: RequestOptions];

/** What a connection does for a subscription; called in the order of the messages. */
interface Subscriber {
  begun(subscription: number): void;
  told(told: Told): void;
  lost(): void;
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  onProgress: ((value: Progress) => void) | undefined;
  subscriber: Subscriber | undefined;
}

/** Runs the daemon or meets it, asks it, and hears what it tells. Begins when it is first needed. */
export class Client implements AsyncDisposable {
  readonly #options: ClientOptions;
  readonly #closing = new AbortController();
  #connection: Promise<Connection> | undefined;
  #delay = 0;

  constructor(options: ClientOptions = {}) {
    this.#options = options;
  }

  /** Asks; the answer, or a {@link RunlogError}. */
  async request<M extends keyof Methods>(method: M, ...[params, options]: Rest<M>): Promise<Result<M>> {
    const connection = await this.#connected();
    return await connection.request(method, params ?? {}, options) as Result<M>;
  }

  list(params: Params<'executions/list'> = {}): Promise<Result<'executions/list'>> {
    return this.request('executions/list', params);
  }

  get(projectId: string, executionId: string): Promise<Result<'executions/get'>> {
    return this.request('executions/get', { projectId, executionId });
  }

  save(params: Params<'executions/save'>): Promise<Result<'executions/save'>> {
    return this.request('executions/save', params);
  }

  stats(params: Params<'executions/stats'> = {}): Promise<Result<'executions/stats'>> {
    return this.request('executions/stats', params);
  }

  /**
   * Changes as they happen, for `for await`. A lost connection is made again, and the changes go on
   * after the last clock; `resync` says where something may be missing: drop what you hold and list
   * again. `current` says that you have seen everything up to its clock; the first one, that what
   * follows is live. Of what a slow consumer has not taken, the daemon keeps the latest states.
   */
  async *changes({ signal, ...filter }: ChangesOptions = {}): AsyncGenerator<Told, void, void> {
    const queue: Told[] = [];
    let { since } = filter;
    /** Whether a subscription goes on, or is about to. */
    let live = false;
    let stop: (() => void) | undefined;
    let wake = (): void => undefined;
    const awoken = (): void => wake();
    const halt = (): void => {
      stop?.();
      stop = undefined;
      live = false;
    };
    signal?.addEventListener('abort', awoken);
    try {
      for (;;) {
        signal?.throwIfAborted();
        const next = queue.shift();
        if (next) {
          yield next;
        } else if (live) {
          await new Promise<void>((resolve) => (wake = resolve));
        } else {
          live = true;
          let over = false;
          try {
            const connection = await this.#connected();
            const params = since === undefined ? filter : { ...filter, since };
            await connection.request('executions/subscribe', params, signal ? { signal } : {}, {
              begun: (subscription) => {
                stop = () => {
                  over = true;
                  connection.unsubscribe(subscription);
                };
              },
              told: (told) => {
                if (over) return;
                since = told.clock;
                // once these are taken, another subscription goes on from the last one
                if (queue.push(told) === QUEUED_CHANGES_MAX) halt();
                wake();
              },
              lost: () => {
                if (over) return;
                stop = undefined;
                live = false;
                wake();
              },
            });
          } catch (error) {
            live = false;
            if (this.#closing.signal.aborted) return;
            if (!again(error)) throw error;
            await sleep(FIRST_DELAY_MS);
          }
        }
      }
    } finally {
      signal?.removeEventListener('abort', awoken);
      halt();
    }
  }

  /**
   * Records what `body` does as a run of `execution.projectId`: completed when it returns, failed with
   * the error's text when it throws, cancelled when what it throws is an AbortError.
   */
  async run<T>(
    execution: ExecutionRecord & { projectId: string }, body: (run: Run) => T | Promise<T>,
  ): Promise<T> {
    const run = await this.start(execution);
    return await through(body, run, ({ status, ...members }) => run.finish(status, members));
  }

  /** Begins a run whose end is told by its `finish`. */
  async start({ projectId, ...execution }: ExecutionRecord & { projectId: string }): Promise<Run> {
    const run = new Run(this, projectId, execution.id ?? newId(), this.#options);
    await run.begin(execution);
    return run;
  }

  /** Ends the connection, and the daemon if it was started for it. Iterations of changes end. */
  async close(): Promise<void> {
    this.#closing.abort();
    const connection = await this.#connection?.catch(() => undefined);
    await connection?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #connected(): Promise<Connection> {
    return (this.#connection ??= this.#open());
  }

  async #open(): Promise<Connection> {
    const began = Date.now();
    const { patience = 30_000 } = this.#options;
    for (;;) {
      try {
        const { signal } = this.#closing;
        signal.throwIfAborted();
        if (this.#delay > 0) await sleep(this.#delay, undefined, { signal });
        this.#delay = Math.min(Math.max(2 * this.#delay, FIRST_DELAY_MS), LONGEST_DELAY_MS);
        const connection = await Connection.open(this.#options);
        void connection.ended.then(() => {
          this.#connection = undefined;
          if (connection.answered) this.#delay = FIRST_DELAY_MS;
        });
        return connection;
      } catch (error) {
        const closed = this.#closing.signal.aborted;
        if (!closed && !(error instanceof Hopeless) && Date.now() - began + this.#delay < patience) continue;
        this.#connection = undefined;
        const why = closed ? 'the client is closed' : `no daemon can be reached: ${text(error)}`;
        throw new RunlogError(503, why, { kind: 'unreachable', retryable: !closed });
      }
    }
  }
}

/** What no further try would mend. */
class Hopeless extends Error {}

/** One way to a daemon, from its first byte to its last. */
class Connection {
  readonly ended: Promise<void>;
  /** Whether it was of any use. */
  answered = false;
  readonly #pending = new Map<number, Pending>();
  readonly #subscribers = new Map<number, Subscriber>();
  readonly #output: Writable;
  readonly #end: () => Promise<void>;
  #id = 0;
  #open = true;
  #frameBytesMax = Infinity;
  /** The end of the daemon, if we started it. */
  #exited: Promise<void> | undefined;
  /** What it ended for, if it did so by itself and would again. */
  #refusal: Hopeless | undefined;

  private constructor(input: Readable, output: Writable, end: () => Promise<void>) {
    this.#output = output;
    this.#end = end;
    // what fails here shows in the input's end
    output.on('error', () => input.destroy());
    this.ended = this.#read(input);
  }

  static async open(options: ClientOptions): Promise<Connection> {
    const connection = options.socket === undefined
      ? await Connection.#spawn(options)
      : await Connection.#meet(options.socket === true ? await socketOf(options) : options.socket);
    try {
      const hello = await connection.request('initialize', {
        processId: process.pid, protocolVersion: 1, clientInfo: { name: 'runlog-node' },
      }) as Result<'initialize'>;
      connection.#frameBytesMax = hello.capabilities.limits.frameBytes;
      return connection;
    } catch (error) {
      await connection.close();
      throw connection.#refusal ?? error;
    }
  }

  static async #meet(path: string): Promise<Connection> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Connection(socket, socket, async () => void socket.destroy());
  }

  static async #spawn(options: ClientOptions): Promise<Connection> {
    const [program, ...args] = commandOf(options);
    const root = options.projects === undefined ? [] : ['--projects', options.projects];
    // detached: a Ctrl-C that ends this program is not the daemon's
    const child = spawn(program, [...args, ...root], { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    await once(child, 'spawn').catch((error) => {
      throw new Hopeless(`${program} cannot be started: ${text(error)}`);
    });
    const exited = once(child, 'exit');
    const connection = new Connection(child.stdout, child.stdin, () => endOf(child, exited));
    connection.#exited = exited.then(([status]) => {
      if (status) connection.#refusal = new Hopeless(`${program} ended with status ${status}; its stderr says why`);
    });
    return connection;
  }

  request(
    method: string, params: object, { signal, onProgress }: RequestOptions = {}, subscriber?: Subscriber,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (!this.#open) throw lost();
      const id = ++this.#id;
      this.#send({ id, method, params: onProgress ? { ...params, workDoneToken: id } : params });
      const abort = (): void => {
        this.#pending.delete(id);
        if (subscriber) this.#pending.set(id, this.#unwanted);
        this.#send({ method: '$/cancelRequest', params: { id } });
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
      const forget = (): void => signal?.removeEventListener('abort', abort);
      this.#pending.set(id, {
        resolve: (result) => (forget(), resolve(result)),
        reject: (error) => (forget(), reject(error)),
        onProgress,
        subscriber,
      });
    });
  }

  /** Stands for a subscription that nobody wants any more and that may begin all the same. */
  readonly #unwanted: Pending = {
    resolve: () => undefined,
    reject: () => undefined,
    onProgress: undefined,
    subscriber: {
      begun: (subscription) => this.unsubscribe(subscription), told: () => undefined, lost: () => undefined,
    },
  };

  unsubscribe(subscription: number): void {
    this.#subscribers.delete(subscription);
    this.request('executions/unsubscribe', { subscription }).catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#end();
    await this.ended;
  }

  #send(message: { id?: number; method: string; params: object }): void {
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
    if (body.length > this.#frameBytesMax) {
      const data = { kind: 'too-large', retryable: false, sizeBytes: body.length, limitBytes: this.#frameBytesMax };
      throw new RunlogError(413, `the request has ${body.length} bytes`, data);
    }
    this.#output.cork();
    this.#output.write(`Content-Length: ${body.length}\r\n\r\n`);
    this.#output.write(body);
    this.#output.uncork();
  }

  async #read(input: Readable): Promise<void> {
    try {
      for await (const frame of frames(input)) this.#receive(JSON.parse(frame));
    } catch {
      // whatever it was: nothing more can be understood
    }
    this.#open = false;
    void this.#end();
    await this.#exited;
    for (const { reject } of this.#pending.values()) reject(lost());
    for (const subscriber of this.#subscribers.values()) subscriber.lost();
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what comes is checked by its shape
  #receive({ id, method, params, result, error }: any): void {
    if (method === 'executions/changed') {
      this.#subscribers.get(params.subscription)?.told(params.result);
    } else if (method === '$/progress') {
      this.#pending.get(params.token)?.onProgress?.(params.value);
    } else if (method === undefined) {
      if (id === null) throw new Error('the daemon did not understand us');
      const asked = this.#pending.get(id);
      this.#pending.delete(id);
      if (error) {
        asked?.reject(new RunlogError(error.code, error.message, error.data));
      } else {
        this.answered = id > 1;
        if (asked?.subscriber) {
          this.#subscribers.set(result, asked.subscriber);
          asked.subscriber.begun(result);
        }
        asked?.resolve(result);
      }
    }
  }
}

/** The bodies of messages with `Content-Length` headers. */
async function* frames(input: Readable): AsyncGenerator<string> {
  let chunks: Buffer[] = [];
  let have = 0;
  let wanted: number | undefined;
  const joined = (): Buffer => {
    const [first] = chunks;
    return chunks.length === 1 && first ? first : Buffer.concat(chunks);
  };
  for await (const chunk of input) {
    chunks.push(chunk);
    have += chunk.length;
    for (;;) {
      if (wanted === undefined) {
        const buffer = joined();
        chunks = [buffer];
        const end = buffer.indexOf('\r\n\r\n');
        if (end < 0) break;
        const length = /^content-length: *(\d+) *$/im.exec(buffer.toString('latin1', 0, end))?.[1];
        if (length === undefined) throw new Error('a message without Content-Length');
        wanted = Number(length);
        chunks = [buffer.subarray(end + 4)];
        have -= end + 4;
      }
      if (have < wanted) break;
      const buffer = joined();
      chunks = [buffer.subarray(wanted)];
      have -= wanted;
      yield buffer.toString('utf8', 0, wanted);
      wanted = undefined;
    }
  }
}

export interface Amounts {
  /** US dollars. */
  costUSD?: number;
  /** Tokens read. */
  input?: number;
  /** Tokens written. */
  output?: number;
}

interface Change {
  set?: Record<string, unknown>;
  add?: Amounts;
  steps?: StepUpdate[];
}

interface Waiting {
  change: Change;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * A run being recorded; one per record. Everything is durable when its promise is fulfilled, in the order
 * of the calls; what is told while a write is under way shares the next one.
 *
 * Nothing is lost or counted twice where an answer fails to come. Each write expects the version that was
 * answered last, and leaves a mark of its own in the record, its member `recorder`. Repeated, it either
 * finds that version, so that the first try has not gone through and never will, or is refused; then the
 * record is read. With the mark in it the first try went through, whoever wrote since. Without it somebody
 * else wrote before, and the write is repeated on top of that. (Who puts back an old copy of the record takes
 * back what was written since, mark and all.)
 */
export class Run {
  readonly #client: Client;
  readonly #recorder = randomBytes(8).toString('hex');
  readonly #patience: number;
  readonly #heartbeat: number;
  #version = '';
  #writes = 0;
  #steps = 0;
  #waiting: Waiting[] = [];
  #writing = false;
  #finished = false;
  #timer: NodeJS.Timeout | undefined;

  /** @internal */
  constructor(client: Client, readonly projectId: string, readonly id: string, options: ClientOptions) {
    this.#client = client;
    this.#patience = options.patience ?? 30_000;
    this.#heartbeat = options.heartbeat ?? 60_000;
  }

  /** @internal */
  async begin(execution: ExecutionRecord): Promise<void> {
    const { projectId, id } = this;
    await this.#surely((recorder) => this.#client.request('executions/start', {
      projectId, execution: { ...execution, id, recorder },
    }));
    this.#rest();
  }

  /** Cost and tokens that come on top of the run's. */
  add(amounts: Amounts): Promise<void> {
    return this.#put({ add: checked(amounts) });
  }

  /** New values of the record's members; null removes one. */
  set(members: Record<string, unknown>): Promise<void> {
    return this.#put({ set: members });
  }

  /**
   * Records what `body` does as a step, which ends as {@link Client.run} says of runs. `what` is its
   * name, or its members; `nodeId` is the name if absent, `nodeType` agent.
   */
  async step<T>(what: string | Partial<StepUpdate>, body: (step: Step) => T | Promise<T>): Promise<T> {
    const members = typeof what === 'string' ? { name: what } : what;
    const id = members.id ?? `step-${++this.#steps}`;
    const began = Date.now();
    await this.#put({
      steps: [{
        nodeId: members.name ?? id, nodeType: 'agent', status: 'running', startedAt: date(began), ...members, id,
      }],
    });
    const step = new Step(id, (change) => this.#put(change));
    return await through(body, step, (end) => {
      const ended = Date.now();
      return step.set({ ...end, completedAt: date(ended), duration: ended - began });
    });
  }

  /** Ends the run; what is told of it later is refused. Only the first call counts. */
  async finish(
    status: 'completed' | 'failed' | 'cancelled' = 'completed', members: Record<string, unknown> = {},
  ): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    try {
      await this.#put({ set: { ...members, status } });
    } finally {
      clearTimeout(this.#timer);
    }
  }

  #put(change: Change): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject });
      if (!this.#writing) void this.#write();
    });
  }

  /** Writes what waits until nothing does. */
  async #write(): Promise<void> {
    this.#writing = true;
    clearTimeout(this.#timer);
    while (this.#waiting.length > 0) {
      // `set` comes before `add`: a change that sets something begins another write
      const next = this.#waiting.findIndex(({ change }, at) => at > 0 && change.set !== undefined);
      const batch = this.#waiting.splice(0, next < 0 ? this.#waiting.length : next);
      try {
        await this.#update(merged(batch.map(({ change }) => change)));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        // refused for sure: which of them is to blame shows when they are alone
        const alone = batch.length > 1 && !(error instanceof RunlogError && error.retryable);
        for (const { change, resolve, reject } of batch) {
          if (alone) await this.#update(change).then(resolve, reject);
          else reject(error);
        }
      }
    }
    this.#writing = false;
    this.#rest();
  }

  /** Tells that the recorder is alive if it says nothing else for a while. */
  #rest(): void {
    if (this.#finished) return;
    const beat = (): void => {
      // what is wrong shows in the next write
      this.#put({}).catch(() => undefined);
    };
    this.#timer = setTimeout(beat, this.#heartbeat).unref();
  }

  #update({ set, add, steps }: Change): Promise<void> {
    const silent = !set && !add && !steps;
    return this.#surely((recorder) => this.#client.request('executions/update', {
      projectId: this.projectId,
      executionId: this.id,
      ...(silent ? {} : { set: { ...set, recorder } }),
      ...(add ? { add: wire(add) } : {}),
      ...(steps ? { steps } : {}),
      ifVersion: this.#version,
    }));
  }

  /** Writes exactly once, under the mark that `write` is given. */
  async #surely(write: (recorder: string) => Promise<{ version: string }>): Promise<void> {
    const recorder = `${this.#recorder}:${this.#writes++}`;
    let until: number | undefined;
    let conflict: RunlogError | undefined;
    for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, LONGEST_DELAY_MS)) {
      try {
        if (conflict) {
          const { execution, version } = await this.#client.get(this.projectId, this.id);
          if (execution['recorder'] !== recorder && conflict.kind !== 'version-conflict') throw conflict;
          this.#version = version;
          if (execution['recorder'] === recorder) return;
          conflict = undefined;
        }
        this.#version = (await write(recorder)).version;
        return;
      } catch (error) {
        if (error === conflict || !(error instanceof RunlogError)) throw error;
        until ??= Date.now() + this.#patience;
        if (error.code === 409) conflict = error;
        else if (!error.retryable) throw error;
        if (Date.now() >= until || error.kind === 'unreachable') throw error;
        if (error.code !== 409) await sleep(delay);
      }
    }
  }
}

/** A step being recorded. */
export class Step {
  readonly #put: (change: Change) => Promise<void>;
  /** Trillionths of a dollar. */
  #cost = 0n;
  #input = 0;
  #output = 0;

  /** @internal */
  constructor(readonly id: string, put: (change: Change) => Promise<void>) {
    this.#put = put;
  }

  /** Cost and tokens that come on top, of the step and of the run. */
  add(amounts: Amounts): Promise<void> {
    const { costUSD, input, output } = checked(amounts);
    this.#cost += trillionths(costUSD ?? 0);
    this.#input += input ?? 0;
    this.#output += output ?? 0;
    const tokenUsage = { input: this.#input, output: this.#output, total: this.#input + this.#output };
    return this.#put({
      add: amounts,
      steps: [{
        id: this.id,
        ...(costUSD === undefined ? {} : { costUSD: dollars(this.#cost) }),
        ...(input === undefined && output === undefined ? {} : { tokenUsage }),
      }],
    });
  }

  /** New values of the step's members. */
  set(members: Partial<StepUpdate>): Promise<void> {
    return this.#put({ steps: [{ ...members, id: this.id }] });
  }
}

/** How something ended. */
interface End {
  status: 'completed' | 'failed' | 'cancelled';
  error?: string;
}

/** Runs `body` and tells how it ended; its error comes before one of telling. */
async function through<T, S>(body: (subject: S) => T | Promise<T>, subject: S, tell: (end: End) => Promise<void>): Promise<T> {
  let result: T;
  try {
    result = await body(subject);
  } catch (error) {
    const cancelled = error instanceof Error && error.name === 'AbortError';
    const end: End = cancelled ? { status: 'cancelled' } : { status: 'failed', error: text(error) };
    await tell(end).catch((other) => process.emitWarning(`an end was not recorded: ${text(other)}`, 'RunlogWarning'));
    throw error;
  }
  await tell({ status: 'completed' });
  return result;
}

/** Several changes, of which only the first sets members, as one. */
function merged(changes: Change[]): Change {
  const [first] = changes;
  if (changes.length === 1 && first) return first;
  const amounts = changes.flatMap(({ add }) => add ?? []);
  const steps = changes.flatMap((change) => change.steps ?? []);
  const given = (name: keyof Amounts): number[] => amounts.flatMap((add) => add[name] ?? []);
  const sum = (name: 'input' | 'output'): Amounts => (
    given(name).length === 0 ? {} : { [name]: given(name).reduce((sum, more) => sum + more) });
  const costs = given('costUSD');
  const cost = costs.length === 0
    ? {} : { costUSD: dollars(costs.reduce((sum, more) => sum + trillionths(more), 0n)) };
  return {
    ...(first?.set ? { set: first.set } : {}),
    ...(amounts.length > 0 ? { add: { ...cost, ...sum('input'), ...sum('output') } } : {}),
    ...(steps.length > 0 ? { steps } : {}),
  };
}

function wire({ costUSD, input, output }: Amounts): NonNullable<Params<'executions/update'>['add']> {
  const tokenUsage = { ...(input === undefined ? {} : { input }), ...(output === undefined ? {} : { output }) };
  return {
    ...(costUSD === undefined ? {} : { costUSD }),
    ...(Object.keys(tokenUsage).length > 0 ? { tokenUsage } : {}),
  };
}

/** The amounts, or an error where JSON would lose them. */
function checked(amounts: Amounts): Amounts {
  for (const [name, amount] of Object.entries(amounts)) {
    const fine = amount === undefined || (name === 'costUSD' ? Number.isFinite(amount) : Number.isSafeInteger(amount));
    if (!fine || (amount ?? 0) < 0) throw new RangeError(`${name}: ${amount} cannot be added`);
  }
  return amounts;
}

// sums of these are exact, of dollars they would not be
function trillionths(dollars: number): bigint {
  return BigInt(Math.round(dollars * 1e12));
}

function dollars(trillionths: bigint): number {
  return Number(trillionths) / 1e12;
}

function commandOf({ command }: ClientOptions): readonly [string, ...string[]] {
  return command ?? ['runlog', 'serve', '--shared'];
}

async function socketOf(options: ClientOptions): Promise<string> {
  const root = options.projects === undefined ? [] : ['--projects', options.projects];
  const { stdout } = await promisify(execFile)(commandOf(options)[0], ['socket', ...root]);
  return stdout.trimEnd();
}

/** Ends a daemon by the end of its input, and a stuck one for good. */
async function endOf(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  child.stdin?.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), END_WITHIN_MS);
  await exited;
  clearTimeout(timer);
}

/** An id as the engine makes them. */
function newId(): string {
  const digits = Array.from({ length: 9 }, () => randomInt(36).toString(36));
  return `exec-${Date.now()}-${digits.join('')}`;
}

function date(millis: number): string {
  return new Date(millis).toISOString();
}

function text(error: unknown): string {
  return String(error);
}

function again(error: unknown): boolean {
  return error instanceof RunlogError && error.retryable && error.kind !== 'unreachable';
}

function lost(): RunlogError {
  const data = { kind: 'daemon-lost', retryable: true, outcome: 'unknown' };
  return new RunlogError(503, 'the connection ended before the answer', data);
}
