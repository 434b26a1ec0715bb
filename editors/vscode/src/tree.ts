/**
 * The view: roots (if several), their projects, and the runs of each, in the daemon's order.
 *
 * Nothing is kept that the daemon could answer: a change only says that the view is to be asked for again, at
 * most twice a second. Rows have stable ids, so that selection and scroll stay.
 */
import * as vscode from 'vscode';
import type { Connection } from './connection';
import type { Filter } from './filter';
import { ago, count, dollars, isStale, line, message, span } from './format';
import type { Project, Summary } from '../../clients/node/types';
import { nameOf } from './roots';
import type { Session } from './session';
import { statusIcon } from './status';

const REFRESH_EVERY_MS = 500;
/** Changes that come together are shown together. */
const TOGETHER_MS = 60;
/** Relative times and staleness move without a change. */
const REPAINT_EVERY_MS = 30_000;
const RESELECT_AFTER_MS = 300;
const PAGE_MAX = 1000;
/** So many projects are open at first. */
const EXPANDED = 3;
/** Who has selected a run so far down reads there: what arrives above waits, so that the rows do not move. */
const READING_FROM_ROW = 10;

export interface RunNode { kind: 'run'; connection: Connection; run: Summary; project: ProjectNode }
export interface ProjectNode { kind: 'project'; connection: Connection; id: string }
export type Node =
  | RunNode
  | ProjectNode
  | { kind: 'root'; connection: Connection }
  | { kind: 'more'; project: ProjectNode; shown: number; total: number }
  | { kind: 'note'; id: string; label: string; detail?: string; icon: string; command?: vscode.Command };

/** What is shown of a project. */
interface Window {
  rows: number;
  /** The beginning of the newest run that is shown, while later ones wait. */
  anchor?: string;
  first?: Summary;
  order: string[];
  waiting: number;
}

export class Tree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly view: vscode.TreeView<Node>;
  readonly #changed = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;

  readonly #windows = new Map<string, Window>();
  /** The projects' rows, which must stay the same objects. */
  readonly #projects = new Map<string, { node: ProjectNode; row: Pick<Project, 'executions'> & Partial<Project>; open: boolean }>();
  #timer: NodeJS.Timeout | undefined;
  #last = 0;
  #dirty = false;

  constructor(private readonly session: Session, private readonly filter: Filter, context: vscode.ExtensionContext) {
    this.view = vscode.window.createTreeView('runlog.runs', { treeDataProvider: this, showCollapseAll: true, canSelectMany: true });
    const repaint = setInterval(() => this.refresh(), REPAINT_EVERY_MS);
    context.subscriptions.push(
      this, this.view,
      { dispose: () => clearInterval(repaint) },
      session.onChanged(() => this.refresh()),
      session.onTold(({ told }) => told.kind !== 'current' && this.refresh()),
      filter.onChanged(() => {
        this.#windows.clear();
        this.view.description = filter.text;
        this.refresh();
      }),
      this.view.onDidChangeVisibility(({ visible }) => visible && this.#dirty && this.refresh()),
      this.view.onDidChangeSelection(({ selection }) => this.#selected(selection)),
      vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('runlog') && this.refresh()),
    );
  }

  /** Asks for the view again: soon, if the last time is long enough ago. */
  refresh(): void {
    this.#dirty = true;
    if (this.#timer || !this.view.visible) return;
    const wait = Math.max(TOGETHER_MS, this.#last + REFRESH_EVERY_MS - Date.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#last = Date.now();
      this.#dirty = false;
      this.#changed.fire(undefined);
      // a selection made meanwhile may have been told before its rows were known
      setTimeout(() => this.#selected(this.view.selection), RESELECT_AFTER_MS);
    }, wait);
  }

  loadMore(project: ProjectNode): void {
    this.#window(project).rows += pageSize();
    this.refresh();
  }

  /** Lets in what waits above. */
  showArrivals(project: ProjectNode): void {
    delete this.#window(project).anchor;
    this.refresh();
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }

  async getChildren(node?: Node): Promise<Node[]> {
    try {
      if (node === undefined) return await this.#top();
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
    switch (node.kind) {
      case 'root': return rootItem(node.connection);
      case 'project': return this.#projectItem(node);
      case 'run': return runItem(node);
      case 'more': return moreItem(node);
      case 'note': return noteItem(node);
    }
  }

  async #top(): Promise<Node[]> {
    const { state, connections, notes } = this.session;
    if (state === 'noRoot') return noRoot(notes);
    const [only, ...others] = connections;
    if (!only || (state !== 'ready' && state !== 'starting')) return [];
    if (others.length > 0) return connections.map((connection) => ({ kind: 'root', connection }));
    return await this.#projectsOf(only);
  }

  async #projectsOf(connection: Connection): Promise<Node[]> {
    const projects = this.filter.active ? await this.#matching(connection) : await this.#all(connection);
    return await Promise.all(projects.map(async (row, place) => {
      const key = `${connection.root}/${row.id}`;
      const known = this.#projects.get(key);
      const node: ProjectNode = known?.node.connection === connection ? known.node : { kind: 'project', connection, id: row.id };
      this.#projects.set(key, { node, row, open: known?.open ?? place < EXPANDED });
      const window = this.#window(node);
      window.waiting = window.anchor === undefined ? 0 : await this.#waiting(node, window.anchor);
      return node;
    }));
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
    this.refresh();
  }

  async #runsOf(project: ProjectNode): Promise<Node[]> {
    const window = this.#window(project);
    const anchored = window.anchor === undefined ? '' : `not startedAt > ${window.anchor}`;
    const pinnedFirst = vscode.workspace.getConfiguration('runlog').get('pinnedFirst', false) && project.connection.can('executions/annotate');
    const parts = pinnedFirst ? ['pinned', join('not pinned', anchored)] : [anchored];
    const runs: Summary[] = [];
    let total = 0;
    for (const also of parts) {
      const part = await this.#list(project, also, window.rows - runs.length);
      // between two questions a run may have moved: rows are told apart by their ids
      const known = new Set(runs.map(({ id }) => id));
      runs.push(...part.runs.filter(({ id }) => !known.has(id)));
      total += part.total;
      // pinned ones come first and may be old: of the others the first is the newest
      if (part.runs[0]) window.first = part.runs[0];
    }
    window.order = runs.map(({ id }) => id);
    const nodes: Node[] = runs.map((run) => ({ kind: 'run', connection: project.connection, run, project }));
    if (runs.length < total) nodes.push({ kind: 'more', project, shown: runs.length, total });
    return nodes;
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
    const key = `${project.connection.root}/${project.id}`;
    let window = this.#windows.get(key);
    if (!window) this.#windows.set(key, window = { rows: pageSize(), order: [], waiting: 0 });
    return window;
  }

  /** Holds what arrives while somebody reads further down, and lets it in afterwards. */
  #selected(selection: readonly Node[]): void {
    void vscode.commands.executeCommand('setContext', 'runlog.hasSelection', selection.some(({ kind }) => kind === 'run'));
    const reading = selection.find((node): node is RunNode => node.kind === 'run');
    for (const [key, window] of this.#windows) {
      const here = reading && `${reading.connection.root}/${reading.project.id}` === key;
      const deep = here && window.order.indexOf(reading.run.id) >= READING_FROM_ROW;
      if (deep && window.anchor === undefined && window.first?.startedAt != null) window.anchor = window.first.startedAt;
      else if (!deep && window.anchor !== undefined) {
        delete window.anchor;
        this.refresh();
      }
    }
  }

  #projectItem(node: ProjectNode): vscode.TreeItem {
    const key = `${node.connection.root}/${node.id}`;
    const { row, open } = this.#projects.get(key) ?? { row: { executions: 0 }, open: false };
    const { waiting } = this.#window(node);
    const item = new vscode.TreeItem(node.id, open ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.Collapsed);
    item.id = `project:${key}`;
    item.contextValue = waiting > 0 ? 'project held' : 'project';
    item.iconPath = new vscode.ThemeIcon('folder');
    const failed = row.failed ? `${count(row.failed)} failed` : '';
    const running = row.running ? `${count(row.running)} running` : '';
    item.description = line(waiting > 0 && `${count(waiting)} new ↑`, count(row.executions), running, failed, dollars(row.totalCostUSD));
    item.tooltip = line(`${count(row.executions)} runs`, running, failed, dollars(row.totalCostUSD));
    return item;
  }
}

function join(...parts: string[]): string {
  return parts.filter((part) => part !== '').join(' and ');
}

function pageSize(): number {
  return vscode.workspace.getConfiguration('runlog').get('pageSize', 50);
}

function noRoot(tried: string[]): Node[] {
  return [
    { kind: 'note', id: 'none', label: 'No runs were found', detail: 'Looked in:', icon: 'info' },
    ...tried.map((place): Node => ({ kind: 'note', id: `tried:${place}`, label: place, icon: 'circle-small' })),
    { kind: 'note', id: 'choose', label: 'Choose folder…', icon: 'folder-opened', command: { command: 'runlog.chooseFolder', title: 'Choose folder' } },
  ];
}

function rootItem(connection: Connection): vscode.TreeItem {
  const { root, state } = connection;
  const item = new vscode.TreeItem(nameOf(connection), vscode.TreeItemCollapsibleState.Expanded);
  item.id = `root:${root}`;
  item.contextValue = 'root';
  item.iconPath = new vscode.ThemeIcon('root-folder');
  item.description = state === 'ready' ? root : line(root, 'connecting…');
  item.tooltip = root;
  return item;
}

function runItem({ connection, run }: RunNode): vscode.TreeItem {
  const stale = isStale(run);
  const item = new vscode.TreeItem(run.label ?? run.id, vscode.TreeItemCollapsibleState.None);
  item.id = `run:${connection.root}/${run.projectId}/${run.id}`;
  item.contextValue = run.pinned ? 'run pinned' : 'run';
  item.iconPath = statusIcon(run.status, stale);
  item.description = line(
    run.pinned && '📌', stale && 'stale', ago(run.startedAt ?? run.updatedAt), span(run.duration), dollars(run.costUSD),
    run.tags?.map((tag) => `#${tag}`).join(' '),
  );
  item.tooltip = tooltip(run, stale);
  item.accessibilityInformation = { label: line(run.label ?? run.id, run.status ?? 'no status', item.description) };
  const opened = { connection, projectId: run.projectId, executionId: run.id };
  item.command = { command: 'runlog.open', title: 'Open run', arguments: [opened] };
  return item;
}

/** Text of records is appended as text: nothing in it is a link or an image. */
function tooltip(run: Summary, stale: boolean): vscode.MarkdownString {
  const text = new vscode.MarkdownString().appendText(run.label ?? run.id);
  const rows = [
    line(run.status, stale && 'stale', run.model), line(run.startedAt && new Date(run.startedAt).toLocaleString(), span(run.duration)),
    line(dollars(run.costUSD), run.tokenUsage.total != null && `${count(run.tokenUsage.total)} tokens`, `${count(run.stepCount)} steps`),
    run.error, run.note, run.id,
  ];
  for (const row of rows) if (row) text.appendMarkdown('\n\n').appendText(row);
  return text;
}

function moreItem({ project, shown, total }: Extract<Node, { kind: 'more' }>): vscode.TreeItem {
  const item = new vscode.TreeItem('Load more…', vscode.TreeItemCollapsibleState.None);
  item.id = `more:${project.connection.root}/${project.id}`;
  item.description = `${count(shown)} of ${count(total)}`;
  item.iconPath = new vscode.ThemeIcon('ellipsis');
  item.contextValue = 'more';
  item.command = { command: 'runlog.loadMore', title: 'Load more', arguments: [project] };
  return item;
}

function noteItem({ id, label, detail, icon, command }: Extract<Node, { kind: 'note' }>): vscode.TreeItem {
  const item = new vscode.TreeItem(label, vscode.TreeItemCollapsibleState.None);
  item.id = `note:${id}`;
  if (detail) item.description = item.tooltip = detail;
  if (command) item.command = command;
  item.iconPath = new vscode.ThemeIcon(icon);
  return item;
}
