/**
 * The view: roots (if several), their projects, and the runs of each, in the daemon's order.
 *
 * What is shown is what the daemon last listed, with the changes it told since laid over. Every change asks for the
 * lists again, at most twice a second, so the two never part for long. Rows have stable ids, so that the selection
 * stays; while somebody reads further down no row comes or moves.
 */
import * as vscode from 'vscode';
import type { Connection } from './connection';
import { pinnedFirst, type Filter } from './filter';
import { count, message } from './format';
import type { Project, Summary, Told } from '../../clients/node/types';
import { MARKED_EVERY, Painted } from './painted';
import {
  idOf, keyOf, moreItem, noRoot, noteItem, projectItem, rootItem, runItem, tooltip, type Node, type ProjectNode, type ProjectRow, type RunNode,
} from './rows';
import type { Session } from './session';

const ASK_EVERY_MS = 500;
/** VS Code puts off what comes within so long of the painting before, and then by as much again. */
const REST_MS = 200;
/** So long a painting that is not seen is waited for. */
const PAINT_MOST_MS = 500;
/** Changes that come together are shown together. */
const TOGETHER_MS = 30;
/** Relative times and staleness move without a change. */
const REPAINT_EVERY_MS = 30_000;
const RESELECT_AFTER_MS = 300;
const PAGE_MAX = 1000;
/** So many projects are open at first. */
const EXPANDED = 3;
/** Who has selected a run so far down reads there, as does who has scrolled. */
const READING_FROM_ROW = 10;

/** What is shown of a project. */
interface Window {
  rows: number;
  runs: Summary[];
  /** Those of them that the last painting showed. */
  seen: Summary[];
  total: number;
  /** Whether the list is to be asked for. */
  stale: boolean;
  asking?: Promise<void> | undefined;
  /** What was told while it is asked for, which the answer may lack. */
  told?: Told[] | undefined;
  /** The beginning of the newest run that is shown, while later ones wait. */
  anchor?: string;
  waiting: number;
}

export class Tree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly view: vscode.TreeView<Node>;
  readonly #changed = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;

  readonly #windows = new Map<string, Window>();
  /** The projects' rows, which must stay the same objects. */
  readonly #projects = new Map<string, ProjectRow & { node: ProjectNode }>();
  /** The projects of each root, in the order shown. */
  readonly #shown = new Map<Connection, { nodes: ProjectNode[]; stale: boolean }>();
  readonly #painted: Painted;
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #painting = false;
  /** Until VS Code takes another painting at once. */
  #rest: NodeJS.Timeout | undefined;
  /** What was painted last, if that is not to be painted again. */
  #shownLook: string | undefined;
  #paintedAt = 0;
  #askedAt = 0;
  /** Whether something is to be shown, and whether it is to be asked for. */
  #dirty = false;
  #stale = false;
  /** The first run of each project that is open, as painted last. */
  #tops = new Map<ProjectNode, string>();
  #deep = false;
  /** Whether somebody reads further down: what arrives waits, so that the rows do not move. */
  #reading = false;

  constructor(private readonly session: Session, private readonly filter: Filter, context: vscode.ExtensionContext) {
    this.#painted = new Painted(context);
    this.view = vscode.window.createTreeView('runlog.runs', { treeDataProvider: this, showCollapseAll: true, canSelectMany: true });
    const repaint = setInterval(() => this.#again(), REPAINT_EVERY_MS);
    context.subscriptions.push(
      this, this.view,
      { dispose: () => clearInterval(repaint) },
      session.onChanged(() => {
        for (const connection of this.#shown.keys()) if (!session.connections.includes(connection)) this.#shown.delete(connection);
        this.refresh();
      }),
      session.onTold(({ connection, told }) => this.#hear(connection, told)),
      filter.onChanged(() => {
        this.#windows.clear();
        this.#shown.clear();
        this.view.description = filter.text;
        this.refresh();
      }),
      // who scrolls down is asked about with the next arrival, who comes up again at once
      this.#painted.onLooked(() => (this.#painted.scrolling ? this.#reading : this.#reads() !== this.#reading) && this.#paintSoon()),
      this.view.onDidChangeVisibility(() => this.#soon()),
      this.view.onDidChangeSelection(({ selection }) => this.#selected(selection)),
      vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('runlog') && this.refresh()),
    );
  }

  /** Asks for all that is shown, soon. */
  refresh(): void {
    for (const one of [...this.#windows.values(), ...this.#shown.values()]) one.stale = true;
    this.#again();
  }

  #again(): void {
    this.#shownLook = undefined;
    this.#paintSoon();
  }

  #hear(connection: Connection, told: Told): void {
    if (told.kind === 'current') return;
    if (told.kind === 'resync') return this.refresh();
    const { projectId } = told.kind === 'saved' ? told.summary : told;
    const window = this.#windows.get(`${connection.root}/${projectId}`);
    // which runs pass a filter, and where pinned ones stand, only the daemon knows
    if (window && !this.filter.active && !pinnedFirst(connection)) {
      window.told?.push(told);
      lay(window.runs, told, this.#reading ? 0 : window.rows);
      lay(window.seen, told, 0);
      this.#dirty = true;
    }
    this.#askSoon();
  }

  #askSoon(): void {
    this.#stale = true;
    this.#soon();
  }

  #paintSoon(): void {
    this.#dirty = true;
    this.#soon();
  }

  #soon(within = TOGETHER_MS): void {
    if (this.#painting || this.#rest || !this.view.visible || !(this.#dirty || this.#stale)) return;
    const due = Math.max(this.#dirty ? 0 : this.#askedAt + ASK_EVERY_MS, Date.now() + within);
    if (this.#timer && this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => void this.#paint(), due - Date.now());
  }

  async #paint(): Promise<void> {
    this.#timer = undefined;
    // a large tree, or a busy machine, takes longer for the painting before
    if (!this.#painted.seen && Date.now() - this.#paintedAt < PAINT_MOST_MS) return this.#soon();
    this.#painting = true;
    this.#dirty = false;
    this.#read(this.#reads());
    if (this.#stale && Date.now() - this.#askedAt >= ASK_EVERY_MS) {
      this.#askedAt = Date.now();
      this.#stale = false;
      const asked = this.#renew();
      // while changes follow each other, what was told need not wait for it
      if (this.#askedAt - this.#paintedAt > ASK_EVERY_MS) await asked;
    }
    // what cannot be listed is told where it would be
    const look = await this.#look().catch(() => undefined);
    this.#painting = false;
    // what looks the same is left alone: whoever presses a button in it goes on pressing it
    if (look === undefined || look !== this.#shownLook || this.#painted.scrolling) {
      this.#shownLook = look;
      this.#paintedAt = Date.now();
      this.#painted.next();
      this.#tops.clear();
      this.#changed.fire(undefined);
      // timers of one length end in their order: VS Code's, which it has set just now, before this one
      this.#rest = setTimeout(() => (this.#rest = undefined, this.#soon(0)), REST_MS);
      // a selection made meanwhile may have been told before its rows were known
      setTimeout(() => this.#selected(this.view.selection), RESELECT_AFTER_MS);
    }
    this.#soon();
  }

  /** Asks for all that is shown, which goes on being shown meanwhile. */
  async #renew(): Promise<void> {
    const asked: Array<Promise<unknown>> = this.#ready().map((connection) => this.#projectsOf(connection, true));
    // of what is read the daemon tells enough
    if (!this.#reading || this.filter.active) {
      for (const [key, window] of this.#windows) {
        const node = this.#projects.get(key)?.node;
        if (node?.connection.state === 'ready' && this.#tops.has(node)) asked.push(this.#asking(node, window));
        else window.stale = true;
      }
    }
    await Promise.all(asked).then(() => this.#paintSoon(), () => this.refresh());
  }

  /** For a daemon that is not there nobody waits here: what it has said is shown. */
  #ready(): Connection[] {
    return [...this.#shown.keys()].filter(({ state }) => state === 'ready');
  }

  /** All that is seen, as one text; asks for what is not known. */
  async #look(): Promise<string> {
    const projects = (await Promise.all(this.#ready().map((connection) => this.#projectsOf(connection)))).flat();
    const open = projects.filter((project) => this.#tops.has(project));
    await Promise.all(open.map((project) => this.#fresh(project)));
    const rows = projects.map((project) => [idOf(project), this.#projects.get(keyOf(project))?.row, this.#window(project).waiting]);
    const windows = open.map((project) => [this.#window(project).runs, this.#window(project).total]);
    return JSON.stringify([this.session.connections.map(({ root, state }) => [root, state]), rows, windows]);
  }

  /** Whether somebody has scrolled, or selected something further down. */
  #reads(): boolean {
    const first = [...this.#shown.values()].flatMap(({ nodes }) => nodes).find((node) => this.#tops.has(node));
    return this.#painted.scrolled(first && this.#tops.get(first)) || this.#deep;
  }

  /** Holds what arrives while somebody reads further down, and lets it in afterwards. */
  #read(reading: boolean): void {
    const began = reading && !this.#reading;
    if (this.#reading && !reading) this.#stale = true;
    this.#reading = reading;
    for (const [key, window] of this.#windows) {
      if (began && !window.stale) window.runs = [...window.seen];
      const pinned = pinnedFirst(this.#projects.get(key)?.node.connection);
      // pinned ones may be old: of the others the first is the newest
      const first = window.stale ? undefined : window.runs.find((run) => !(pinned && run.pinned))?.startedAt;
      if (!reading) delete window.anchor;
      else if (first != null) window.anchor ??= first;
    }
  }

  loadMore(project: ProjectNode): void {
    const window = this.#window(project);
    window.rows += pageSize();
    window.stale = true;
    this.#paintSoon();
  }

  /** Lets in what waits above. */
  showArrivals(project: ProjectNode): void {
    const window = this.#window(project);
    delete window.anchor;
    window.stale = true;
    this.#stale = true;
    this.#paintSoon();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#rest);
  }

  async getChildren(node?: Node): Promise<Node[]> {
    try {
      if (node === undefined) return await this.#roots();
      if (node.kind === 'root') return await this.#projectsOf(node.connection);
      return node.kind === 'project' ? await this.#runsOf(node) : [];
    } catch (error) {
      const command = { command: 'runlog.reload', title: 'Try again' };
      const where = node && 'connection' in node ? `${node.connection.root}/${node.kind === 'project' ? node.id : ''}` : '';
      return [{ kind: 'note', id: `error:${where}`, label: 'The runs cannot be listed', detail: message(error), icon: 'error', command }];
    }
  }

  getParent(node: Node): Node | undefined {
    if (node.kind === 'run' || node.kind === 'more') return node.project;
    if (node.kind === 'project' && this.session.connections.length > 1) return { kind: 'root', connection: node.connection };
    return undefined;
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const item = this.#item(node);
    item.id = idOf(node);
    if (node.kind === 'run' && node.marked) item.resourceUri = this.#painted.uri(item.id);
    return item;
  }

  /** The text beside a row is laid out only for who looks at it. */
  resolveTreeItem(item: vscode.TreeItem, node: Node): vscode.TreeItem {
    if (node.kind === 'run') item.tooltip = tooltip(node.run);
    return item;
  }

  #item(node: Node): vscode.TreeItem {
    switch (node.kind) {
      case 'root': return rootItem(node.connection);
      case 'project': return projectItem(node, this.#projects.get(keyOf(node)) ?? { row: { executions: 0 }, open: false }, this.#window(node).waiting);
      case 'run': return runItem(node);
      case 'more': return moreItem(node);
      case 'note': return noteItem(node);
    }
  }

  async #roots(): Promise<Node[]> {
    const { state, connections, notes } = this.session;
    if (state === 'noRoot') return noRoot(notes);
    const [only, ...others] = connections;
    if (!only || (state !== 'ready' && state !== 'starting')) return [];
    if (others.length > 0) return connections.map((connection) => ({ kind: 'root', connection }));
    return await this.#projectsOf(only);
  }

  async #projectsOf(connection: Connection, again = false): Promise<ProjectNode[]> {
    const shown = this.#shown.get(connection);
    if (shown?.stale === false && !again) return shown.nodes;
    const projects = this.filter.active ? await this.#matching(connection) : await this.#all(connection);
    let nodes = await Promise.all(projects.map(async (row, place) => {
      const key = `${connection.root}/${row.id}`;
      const known = this.#projects.get(key);
      const node: ProjectNode = known?.node.connection === connection ? known.node : { kind: 'project', connection, id: row.id };
      this.#projects.set(key, { node, row, open: known?.open ?? place < EXPANDED });
      const window = this.#window(node);
      window.waiting = window.anchor === undefined ? 0 : await this.#waiting(node, window.anchor);
      return node;
    }));
    if (shown && this.#reading) nodes = shown.nodes.filter((node) => nodes.includes(node));
    this.#shown.set(connection, { nodes, stale: false });
    return nodes;
  }

  async #all(connection: Connection): Promise<Project[]> {
    const { projects, complete } = await connection.request('projects/list', { allowPartial: true });
    await this.#progress(connection, complete);
    return projects;
  }

  /** The projects that have runs which pass the filter. */
  async #matching(connection: Connection): Promise<Array<{ id: string; executions: number }>> {
    const asked = { ...this.filter.selection(), groupBy: ['project' as const], limit: PAGE_MAX, allowPartial: true };
    const { groups, complete } = await connection.request('executions/count', asked);
    await this.#progress(connection, complete);
    return (groups ?? []).map(({ key: [id], count }) => ({ id: id ?? '', executions: count }));
  }

  /** Says how far the first reading has come, and looks again while it goes on. */
  async #progress(connection: Connection, complete: boolean): Promise<void> {
    if (complete) {
      if (this.view.message) this.view.message = '';
      return;
    }
    const { indexing: { done, total } } = await connection.request('server/status', {});
    this.view.message = `Reading runs: ${count(done)} of ${count(total)}…`;
    this.#askSoon();
  }

  async #runsOf(project: ProjectNode): Promise<Node[]> {
    const window = await this.#fresh(project);
    const { runs, total } = window;
    window.seen = [...runs];
    const nodes: Node[] = runs.map((run, place) => ({ kind: 'run', connection: project.connection, run, project, marked: place % MARKED_EVERY === 0 }));
    if (nodes[0]) this.#tops.set(project, idOf(nodes[0]));
    if (runs.length < total) nodes.push({ kind: 'more', project, shown: runs.length, total });
    return nodes;
  }

  /** What is shown of a project, asked for if that is to be. */
  async #fresh(project: ProjectNode): Promise<Window> {
    const window = this.#window(project);
    while (window.stale) await this.#asking(project, window);
    return window;
  }

  #asking(project: ProjectNode, window: Window): Promise<void> {
    return (window.asking ??= this.#ask(project, window).finally(() => (window.asking = window.told = undefined)));
  }

  async #ask(project: ProjectNode, window: Window): Promise<void> {
    const told: Told[] = window.told = [];
    window.stale = false;
    const anchored = window.anchor === undefined ? '' : `not startedAt > ${window.anchor}`;
    const parts = pinnedFirst(project.connection) ? ['pinned', join('not pinned', anchored)] : [anchored];
    const runs: Summary[] = [];
    let total = 0;
    try {
      for (const also of parts) {
        const part = await this.#list(project, also, window.rows - runs.length);
        // between two questions a run may have moved: rows are told apart by their ids
        const known = new Set(runs.map(({ id }) => id));
        runs.push(...part.runs.filter(({ id }) => !known.has(id)));
        total += part.total;
      }
    } catch (error) {
      window.stale = true;
      throw error;
    }
    Object.assign(window, { runs, total });
    for (const one of told) lay(runs, one, this.#reading ? 0 : window.rows);
  }

  async #list(project: ProjectNode, also: string, rows: number): Promise<{ runs: Summary[]; total: number }> {
    const runs: Summary[] = [];
    const { connection, id: projectId } = project;
    let cursor: string | undefined;
    let total: number;
    do {
      const limit = Math.min(Math.max(rows - runs.length, 1), PAGE_MAX);
      const page = await connection.request('executions/list', {
        projectId, ...this.filter.selection(also), limit, allowPartial: true, ...(cursor === undefined ? {} : { cursor }),
      });
      total = page.total;
      const known = new Set(runs.map(({ id }) => id));
      runs.push(...page.executions.filter(({ id }) => !known.has(id)).slice(0, rows - runs.length));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined && runs.length < rows);
    return { runs, total };
  }

  async #waiting({ connection, id: projectId }: ProjectNode, anchor: string): Promise<number> {
    return (await connection.request('executions/count', { projectId, ...this.filter.selection(`startedAt > ${anchor}`) })).count;
  }

  #window(project: ProjectNode): Window {
    const key = keyOf(project);
    let window = this.#windows.get(key);
    if (!window) this.#windows.set(key, window = { rows: pageSize(), runs: [], seen: [], total: 0, stale: true, waiting: 0 });
    return window;
  }

  #selected(selection: readonly Node[]): void {
    void vscode.commands.executeCommand('setContext', 'runlog.hasSelection', selection.some(({ kind }) => kind === 'run'));
    const selected = selection.find((node): node is RunNode => node.kind === 'run');
    const place = selected ? this.#window(selected.project).runs.findIndex(({ id }) => id === selected.run.id) : -1;
    const deep = place >= READING_FROM_ROW;
    if (deep === this.#deep) return;
    this.#deep = deep;
    this.#paintSoon();
  }
}

function join(...parts: string[]): string {
  return parts.filter((part) => part !== '').join(' and ');
}

/** Lays a change over what is shown; among so many rows, if any, a new run comes on top where it is the newest. */
function lay(runs: Summary[], told: Told, rows: number): void {
  const id = told.kind === 'saved' ? told.summary.id : 'executionId' in told ? told.executionId : '';
  const place = runs.findIndex((run) => run.id === id);
  if (told.kind !== 'saved') {
    if (place >= 0) runs.splice(place, 1);
  } else if (place >= 0) runs[place] = told.summary;
  else if (rows > 0 && (told.summary.startedAt ?? '') >= (runs[0]?.startedAt ?? '')) {
    runs.unshift(told.summary);
    runs.length = Math.min(runs.length, rows);
  }
}

function pageSize(): number {
  return vscode.workspace.getConfiguration('runlog').get('pageSize', 50);
}
