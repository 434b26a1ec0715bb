/**
 * One root's daemon, by way of a process of our own: `runlog serve --shared` goes on with the next daemon where one ends.
 * Should that process end, it is started again, and the subscription goes on after the last clock it told.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import * as vscode from 'vscode';
import {
  createMessageConnection, ResponseError, StreamMessageReader, StreamMessageWriter, type Message, type MessageConnection,
} from 'vscode-jsonrpc/node';
import { parse } from './json';
import type { ChangedParams, Methods, Told } from '../../clients/node/types';

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;
/** A daemon that has lived so long is no crash loop. */
const SOUND_AFTER_MS = 5_000;
/** After so many failures in a row the person is told, while it goes on trying. */
const FAILURES_TOLD = 3;
/** How long a process has to begin. */
const BEGIN_WITHIN_MS = 30_000;
/** How long it has to end once its input has. */
const END_WITHIN_MS = 2_000;
/** Who is asked and says nothing for so long does not answer. */
const SILENT_AFTER_MS = 5_000;
const LISTEN_EVERY_MS = 1_000;

/** An answer that holds parts of a record. */
const RECORDED = /^.{0,200}"(?:execution|fields)":/s;

/** Only what records say is shown with its numbers as they are spelt, and that costs more. */
const decoder = {
  name: 'application/json',
  decode: async (bytes: Uint8Array): Promise<Message> => {
    const text = new TextDecoder().decode(bytes);
    return (RECORDED.test(text) ? parse(text) : JSON.parse(text)) as Message;
  },
};

export type Params<M extends keyof Methods> = Methods[M]['params'];
export type Result<M extends keyof Methods> = Methods[M]['result'];
/** A silent one is there and does not answer: it is asked on, but nobody waits for it who has something else to show. */
export type State = 'starting' | 'ready' | 'silent' | 'lost' | 'failing';

/** What there is to say of a silent one. */
export const SILENT = 'The daemon does not answer.';

/** The connection ended before the answer came: a change may have been made. */
export class Unanswered extends Error {
  constructor() {
    super('The connection to the daemon ended before it answered. If this was a change, look whether it was made.');
  }
}

export class Connection implements vscode.Disposable {
  state: State = 'starting';
  /** What the last process said on its way out. */
  reason = '';

  readonly #told = new vscode.EventEmitter<Told>();
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onTold = this.#told.event;
  /** The state is another, or the reason for it. */
  readonly onChanged = this.#changed.event;

  #child: ChildProcessWithoutNullStreams | undefined;
  #rpc: MessageConnection | undefined;
  #clock: string | undefined;
  #failures = 0;
  #heardAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(readonly program: string, readonly root: string, private readonly log: vscode.LogOutputChannel) {
    this.#start();
  }

  /** Asks; waits for the daemon where it is not there. */
  async request<M extends keyof Methods>(method: M, params: Params<M>, token?: vscode.CancellationToken): Promise<Result<M>> {
    while (!this.#rpc) {
      if (this.#closed || this.state === 'failing') throw new Error(this.reason || 'The window has let go of this daemon.');
      await new Promise<void>((resolve) => {
        const waiting = this.onChanged(() => (waiting.dispose(), resolve()));
      });
    }
    const rpc = this.#rpc;
    const asked = Date.now();
    const listen = setInterval(() => {
      if (this.#rpc === rpc && Date.now() - Math.max(asked, this.#heardAt) >= SILENT_AFTER_MS) this.#become('silent');
    }, LISTEN_EVERY_MS);
    try {
      // an absent token would be taken for a second parameter
      const answer = await rpc.sendRequest<Result<M>>(method, params, ...(token ? [token] : []));
      this.#hear(rpc);
      return answer;
    } catch (error) {
      if (!isAnswer(error)) throw new Unanswered();
      this.#hear(rpc);
      throw error;
    } finally {
      clearInterval(listen);
    }
  }

  /** What was asked of this daemon, or nothing as soon as that is silent. */
  async unlessSilent<T>(asked: Promise<T>): Promise<T | undefined> {
    let listening: vscode.Disposable | undefined;
    const silence = new Promise<undefined>((resolve) => {
      const look = (): void => void (this.state === 'silent' && resolve(undefined));
      listening = this.onChanged(look);
      look();
    });
    return await Promise.race([asked, silence]).finally(() => listening?.dispose());
  }

  /** The pages of a list, as long as somebody wants more. */
  async *pages<M extends 'executions/list' | 'server/problems' | 'trash/list'>(method: M, params: Params<M>): AsyncGenerator<Result<M>> {
    let cursor: string | null | undefined;
    do {
      const page: Result<M> = await this.request(method, { ...params, cursor: cursor ?? null });
      yield page;
      cursor = page.nextCursor;
    } while (cursor != null);
  }

  /** Tries at once. */
  retry(): void {
    if (this.#child || this.#closed) return;
    this.#failures = 0;
    this.#start();
  }

  dispose(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#rpc?.dispose();
    this.#rpc = undefined;
    this.#changed.fire();
    this.#changed.dispose();
    this.#told.dispose();
    if (this.#child) end(this.#child);
  }

  #become(state: State, reason = this.reason): void {
    if ((this.state === state && this.reason === reason) || this.#closed) return;
    this.state = state;
    this.reason = reason;
    this.log.info(`${this.root}: ${state}`);
    this.#changed.fire();
  }

  #hear(rpc: MessageConnection): void {
    this.#heardAt = Date.now();
    if (this.#rpc === rpc && this.state === 'silent') this.#become('ready');
  }

  #start(): void {
    clearTimeout(this.#timer);
    const began = Date.now();
    let said = '';
    // why it is of no use, where its end does not tell
    let trouble = '';
    const child = spawn(this.program, ['serve', '--shared', '--projects', this.root], { stdio: 'pipe', cwd: '/' });
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2000);
      this.log.info(text.trimEnd());
    });
    child.stdin.on('error', () => undefined);
    const rpc = createMessageConnection(new StreamMessageReader(child.stdout, { contentTypeDecoder: decoder }), new StreamMessageWriter(child.stdin));
    // a process whose connection is of no more use ends, and its end starts the next one
    const slow = setTimeout(() => {
      trouble = `${this.program} does not answer. Is it the right program?`;
      child.kill('SIGKILL');
    }, BEGIN_WITHIN_MS);
    rpc.onClose(() => end(child));
    rpc.onError(() => end(child));
    const ended = (why: string): void => {
      if (this.#child !== child) return;
      clearTimeout(slow);
      rpc.dispose();
      this.#child = this.#rpc = undefined;
      if (this.#closed) return;
      const reason = trouble || (said.trim() ? `${why}: ${said.trim()}` : why);
      this.#failures = Date.now() - began > SOUND_AFTER_MS ? 1 : this.#failures + 1;
      this.#become(this.#failures >= FAILURES_TOLD ? 'failing' : 'lost', reason);
      const delay = Math.min(FIRST_DELAY_MS * 2 ** (this.#failures - 1), LONGEST_DELAY_MS);
      this.log.warn(`${this.root}: ${why}; trying again in ${delay} ms`);
      this.#timer = setTimeout(() => this.#start(), delay);
    };
    child.once('error', (error) => ended(error.message));
    child.once('exit', (status, signal) => ended(`${this.program} ended with ${signal ?? `status ${status}`}`));
    rpc.onNotification('executions/changed', ({ result }: ChangedParams) => {
      this.#clock = result.clock;
      this.#hear(rpc);
      this.#told.fire(result);
    });
    rpc.listen();
    this.#greet(rpc).then((unfit) => {
      clearTimeout(slow);
      if (unfit) {
        trouble = unfit;
        return end(child);
      }
      if (this.#child !== child || this.#closed) return;
      this.#rpc = rpc;
      this.#become('ready');
    }, (error: Error) => {
      if (isAnswer(error)) trouble = `${this.program} refuses to begin: ${error.message}`;
      end(child);
    });
  }

  /** What makes the program unfit, if anything does. */
  async #greet(rpc: MessageConnection): Promise<string | undefined> {
    const hello = await rpc.sendRequest<Result<'initialize'>>('initialize', {
      processId: process.pid, protocolVersion: 1, clientInfo: { name: 'runlog-vscode', version: vscode.version },
    });
    if (hello.protocolVersion !== 1) {
      return `${this.program} speaks version ${hello.protocolVersion} of the protocol; update this extension.`;
    }
    if (hello.shared?.active === false) this.log.warn(`${this.root}: not shared: ${hello.shared.reason ?? ''}`);
    await rpc.sendRequest('executions/subscribe', { since: this.#clock ?? null });
    return undefined;
  }
}

/** Whether it is the daemon's: what the library makes up itself is the end of the connection. */
function isAnswer(error: unknown): error is ResponseError<unknown> {
  return error instanceof ResponseError && (error.code < -32099 || error.code > -32096);
}

/** Ends a process by the end of its input, so that it can finish; one that does not hear it is killed. */
function end(child: ChildProcessWithoutNullStreams): void {
  child.stdin.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), END_WITHIN_MS);
  child.once('exit', () => clearTimeout(timer));
}
