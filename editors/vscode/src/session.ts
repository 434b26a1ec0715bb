/** What a window is connected to: a connection for each root, and in which state all of it is. */
import * as path from 'node:path';
import * as vscode from 'vscode';
import { findProgram } from './binary';
import { Connection } from './connection';
import { configuredRoots, findRoots } from './roots';
import { together } from './together';
import type { Told } from '../../clients/node/types';

/** The context key `runlog.state`, which chooses what an empty view says, unless there are rows that say it. */
export type SessionState = 'untrusted' | 'noFolder' | 'pathWrong' | 'daemonMissing' | 'starting' | 'noRoot' | 'error' | 'ready';

/** A workflow that makes its folders has soon saved its run. */
const LOOK_AGAIN_MS = 500;

export class Session implements vscode.Disposable {
  state: SessionState = 'starting';
  connections: Connection[] = [];
  /** Where a root was looked for, where there is none. */
  tried: string[] = [];

  readonly #changed = new vscode.EventEmitter<void>();
  readonly #told = new vscode.EventEmitter<{ connection: Connection; told: Told }>();
  /** The state, or the connections, are others. */
  readonly onChanged = this.#changed.event;
  readonly onTold = this.#told.event;

  /** Ends when it is known what is served. */
  readonly opened: Promise<void>;
  #open: () => void = () => undefined;
  #opening = 0;
  #trouble = '';
  #watcher: vscode.Disposable | undefined;

  constructor(private readonly context: vscode.ExtensionContext, readonly log: vscode.LogOutputChannel) {
    this.opened = new Promise((resolve) => (this.#open = resolve));
    context.subscriptions.push(
      this,
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.open()),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.open()),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('runlog.path') || event.affectsConfiguration('runlog.projects')) void this.open();
      }),
    );
  }

  /** Looks for the program and the roots, and connects. */
  async open(): Promise<void> {
    const turn = ++this.#opening;
    if (!vscode.workspace.isTrusted) return this.#without('untrusted');
    if (!vscode.workspace.workspaceFolders?.length && configuredRoots().length === 0) return this.#without('noFolder');
    const found = findProgram(this.context);
    if ('missing' in found) {
      this.log.error(found.missing);
      this.#trouble = found.missing;
      return this.#without(found.state);
    }
    if (this.connections.length === 0) this.#become('starting');
    const { folders, tried, lacking, trouble } = await findRoots(found.program);
    if (turn !== this.#opening) return;
    this.#connect(found.program, folders);
    this.tried = tried;
    this.#watcher?.dispose();
    if (lacking) this.#watch();
    if (trouble) this.log.error(trouble);
    this.#trouble = trouble;
    this.#become(folders.length > 0 ? this.#stateOfConnections() : trouble ? 'error' : 'noRoot');
  }

  /** The connection to the root, where there is one. */
  at(root: string): Connection | undefined {
    return this.connections.find((connection) => connection.root === root);
  }

  /** The first root whose daemon answers, else the first. */
  get first(): Connection | undefined {
    return this.connections.find(({ state }) => state === 'ready') ?? this.connections[0];
  }

  /** What keeps the program from being of use, where the state is an error or the path is wrong. */
  get trouble(): string {
    return this.connections.find(({ state }) => state === 'failing')?.reason ?? this.#trouble;
  }

  dispose(): void {
    this.#watcher?.dispose();
    this.#connect('', []);
  }

  #without(state: SessionState): void {
    this.#connect('', []);
    this.#become(state);
  }

  #connect(program: string, folders: string[]): void {
    const kept = this.connections.filter(({ root, program: old }) => folders.includes(root) && old === program);
    const others = this.connections.filter((connection) => !kept.includes(connection));
    this.connections = folders.map((folder) => kept.find(({ root }) => root === folder) ?? this.#meet(program, folder));
    for (const connection of others) connection.dispose();
    for (const connection of kept) connection.retry();
  }

  #meet(program: string, folder: string): Connection {
    const connection = new Connection(program, folder, this.log);
    connection.onTold((told) => this.#told.fire({ connection, told }));
    connection.onChanged(() => this.connections.includes(connection) && this.#become(this.#stateOfConnections()));
    return connection;
  }

  #stateOfConnections(): SessionState {
    const states = this.connections.map(({ state }) => state);
    if (states.some((state) => ['ready', 'silent', 'lost'].includes(state))) return 'ready';
    return states.includes('starting') ? 'starting' : 'error';
  }

  /** Looks again as soon as a workflow saves its first run where none is served from. */
  #watch(): void {
    // of folders that are made and filled at once, only their own making may be told
    const watcher = vscode.workspace.createFileSystemWatcher('**/{projects,executions,executions/*.json}', false, true, true);
    const again = together(LOOK_AGAIN_MS, () => this.open());
    watcher.onDidCreate(({ fsPath }) => !this.connections.some(({ root }) => fsPath.startsWith(`${root}${path.sep}`)) && again());
    this.#watcher = watcher;
  }

  #become(state: SessionState): void {
    if (state !== 'starting' || this.connections.length > 0) this.#open();
    this.state = state;
    void vscode.commands.executeCommand('setContext', 'runlog.state', state);
    this.#changed.fire();
  }
}
