/**
 * The view: roots (if several), their projects, and the runs of each, in the daemon's order.
 *
 * What is shown is what the daemon last listed, with the changes it told since laid over. Every change asks for the
 * lists again, at most twice a second, so the two never part for long. Rows have stable ids, so that the selection
 * stays; while somebody reads further down no row comes or moves.
 */
import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { SILENT, type Connection } from './connection';
import { and, type Filter } from './filter';
import { count, counted, cut, line, message, visible } from './format';
import type { Summary, Told } from '../../clients/node/types';
import { MARKED_EVERY, Painted } from './painted';
import { idOf, itemOf, noDaemon, noRoot, runsOf, tooltip, type Node, type ProjectNode, type RunNode } from './rows';
import { runTold, type Run } from './run';
import type { Session } from './session';
import { setting } from './settings';
import { plain } from './tell';

const ASK_EVERY_MS = 500;
/** VS Code puts off what comes within so long of the painting before, and then by as much again. */
const REST_MS = 200;
/** So long a painting that is not seen is waited for. */
const PAINT_MOST_MS = 500;
/** Changes that come together are shown together. */
const TOGETHER_MS = 30;
/** Relative times and staleness move without a change, and so do the runs that pass `startedAt >= -1h`. */
const REPAINT_EVERY_MS = 30_000;
/** So much of a filter stands above the rows: the box has it whole. */
const MESSAGE_MAX = 200;
const RESELECT_AFTER_MS = 300;
/** So often rows that were painted and are not seen are painted again: there may be no room for any. */
const AGAIN_MOST = 2;
const PAGE_MAX = 1000;
/** So many projects are open at first. */
const EXPANDED = 3;
/** Who has selected a run so far down reads there, as does who has scrolled. */
const READING_FROM_ROW = 10;

export class Tree implements vscode.TreeDataProvider<Node> {
  readonly view: vscode.TreeView<Node>;
  /** The runs that are selected; the view's own selection is empty for a moment after each painting. */
  chosen: Run[] = [];
  readonly #changed = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;

  readonly #projects = new Map<string, ProjectNode>();
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
  /** How often in a row nothing of a painting was seen. */
  #unseen = 0;
  #askedAt = 0;
  /** Whether something is to be shown, and whether it is to be asked for. */
  #dirty = false;
  #stale = false;
  /** The first run of each project that is open, as painted last. */
  #tops = new Map<ProjectNode, string>();
  #deep = false;
  /** Whether there is nothing to list, as VS Code was told. */
  #empty = false;
  /** How many projects pass the filter and are not listed: there are too many. */
  readonly #unlisted = new WeakMap<Connection, number>();
  /** How far the first reading has come, while it goes on. */
  #progress = '';
  /** Whether somebody reads further down: what arrives waits, so that the rows do not move. */
  #reading = false;
  /** Whether nothing is painted for now. */
  #held = false;
  /** What the keys before have meant. */
  #meant: Promise<unknown> = Promise.resolve();

  constructor(private readonly session: Session, private readonly filter: Filter, context: vscode.ExtensionContext) {
    this.#painted = new Painted(context);
    this.view = vscode.window.createTreeView('runlog.runs', { treeDataProvider: this, showCollapseAll: true, canSelectMany: true });
    const repaint = setInterval(() => {
      this.#stale ||= this.filter.where !== '';
      this.#again();
    }, REPAINT_EVERY_MS);
    context.subscriptions.push(
      this.view, { dispose: () => clearInterval(repaint) },
      session.onChanged(() => {
        for (const connection of this.#shown.keys()) if (!session.connections.includes(connection)) this.#shown.delete(connection);
        for (const [key, { connection }] of this.#projects) if (!session.connections.includes(connection)) this.#projects.delete(key);
        this.refresh();
      }),
      session.onTold(({ connection, told }) => this.#hear(connection, told)),
      filter.onChanged(() => {
        for (const project of this.#projects.values()) Object.assign(project, nothing());
        this.#shown.clear();
        this.refresh();
      }),
      // who scrolls down is asked about with the next arrival, who comes up again at once
      this.#painted.onLooked(() => (this.#painted.scrolling ? this.#reading : this.#reads() !== this.#reading) && this.#paintSoon()),
      this.view.onDidChangeVisibility(() => this.#soon()),
      this.view.onDidChangeSelection(({ selection }) => this.#selected(selection)),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('runlog.pageSize')) for (const project of this.#projects.values()) project.rows = setting('pageSize');
        if (event.affectsConfiguration('runlog')) this.refresh();
      }),
    );
  }

  /** Asks for all that is shown, soon. */
  refresh(): void {
    for (const one of [...this.#projects.values(), ...this.#shown.values()]) one.stale = true;
    this.#again();
  }

  #again(): void {
    this.#shownLook = undefined;
    this.#paintSoon();
  }

  #hear(connection: Connection, told: Told): void {
    if (told.kind === 'current') return;
    if (told.kind === 'resync') return this.refresh();
    const project = this.#projects.get(`${connection.root}/${runTold(connection, told)?.projectId}`);
    if (project && this.#lays) {
      if (this.#reading && comesBack(project, told)) project.stale = true;
      project.told?.push(told);
      lay(project.runs, told, this.#reading ? 0 : project.rows);
      lay(project.seen, told, 0);
      this.#dirty = true;
    }
    this.#askSoon();
  }

  /** Whether changes are laid over what is shown: which runs pass a filter, and where pinned ones stand, only the daemon knows. */
  get #lays(): boolean {
    return !this.filter.active && !this.filter.pinnedFirst;
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
    if (this.#painting || this.#rest || this.#held || !this.view.visible || !(this.#dirty || this.#stale)) return;
    const due = Math.max(this.#dirty ? 0 : this.#askedAt + ASK_EVERY_MS, Date.now() + within);
    if (this.#timer && this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => void this.#paint(), due - Date.now());
  }

  async #paint(): Promise<void> {
    this.#timer = undefined;
    // a large tree, or a busy machine, takes longer for the painting before
    if (!this.#paintedLast()) return this.#soon();
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
      const painted = this.#paintedAt;
      setTimeout(() => painted === this.#paintedAt && this.#selected(this.view.selection), RESELECT_AFTER_MS);
      setTimeout(() => painted === this.#paintedAt && this.#find(), 2 * PAINT_MOST_MS);
    }
    this.#soon();
  }

  /** Paints again where no row of the last painting was seen: VS Code drops what it asks for when it is told to ask for more meanwhile, and shows an open project without rows then. */
  #find(): void {
    const rows = [...this.#shown.values()].some(({ nodes }) => nodes.some(({ open, known }) => open && known.executions > 0));
    if (this.#painted.seen) this.#unseen = 0;
    else if (rows && this.view.visible && this.#unseen++ < AGAIN_MOST) this.#again();
  }

  /** Whether the last painting is done, as far as can be told. */
  #paintedLast(): boolean {
    return this.#painted.seen || Date.now() - this.#paintedAt >= PAINT_MOST_MS;
  }

  /** Asks for all that is shown, which goes on being shown meanwhile. */
  async #renew(): Promise<void> {
    const asked: Array<Promise<unknown>> = this.#ready().map((connection) => connection.unlessSilent(this.#projectsOf(connection, true)));
    // of what is read the daemon tells enough, where all that it tells is laid over
    if (!this.#reading || !this.#lays) {
      for (const project of this.#projects.values()) {
        const ask = (): Promise<void> => this.#asking(project);
        // an answer on its way may not know of what was told since
        if (project.connection.state === 'ready' && this.#tops.has(project)) asked.push(project.connection.unlessSilent(project.asking?.then(ask) ?? ask()));
        else project.stale = true;
      }
    }
    await Promise.all(asked).then(() => this.#paintSoon(), () => this.refresh());
  }

  /** For a daemon that is not there, or does not answer, nobody waits here: what it has said is shown. */
  #ready(): Connection[] {
    return [...this.#shown.keys()].filter(({ state }) => state === 'ready');
  }

  /** All that is seen, as one text; asks for what is not known. */
  async #look(): Promise<string> {
    const projects = (await Promise.all(this.#ready().map((connection) => this.#known(connection)))).flat();
    const open = projects.filter((project) => this.#tops.has(project));
    await Promise.all(open.map((project) => project.connection.unlessSilent(this.#fresh(project))));
    const rows = projects.map((project) => [idOf(project), project.known, project.waiting]);
    const runs = open.map((project) => [project.runs, project.total]);
    return JSON.stringify([this.#progress, this.session.connections.map(({ root, state }) => [root, state]), rows, runs]);
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
    for (const project of this.#projects.values()) {
      if (began && !project.stale) project.runs = [...project.seen];
      // pinned ones may be old: of the others the first is the newest
      const first = project.stale ? undefined : project.runs.find((run) => !(this.filter.pinnedFirst && run.pinned))?.startedAt;
      if (!reading) project.anchor = undefined;
      else project.anchor ??= first ?? undefined;
    }
  }

  /** The runs that a key means, as in VS Code's own lists: the one with the focus, with all that are selected if it is one of those. */
  meant(): Promise<Run[]> {
    const meant = this.#meant.then(() => this.#focused());
    this.#meant = meant.catch(() => undefined);
    return meant;
  }

  /** Who has the focus VS Code does not tell: it is who comes into the selection, if anybody does, when that is turned over. */
  async #focused(): Promise<Run[]> {
    // after a painting the view's own selection is empty for a moment
    this.#held = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      while (this.#painting || !this.#paintedLast()) await new Promise((resolve) => setTimeout(resolve, TOGETHER_MS));
      const before = this.view.selection;
      await vscode.commands.executeCommand('list.toggleSelection');
      const turned = this.view.selection;
      await vscode.commands.executeCommand('list.toggleSelection');
      const come = turned.find((node) => !before.some((other) => idOf(other) === idOf(node)));
      return runsOf(come ? [come] : before);
    } finally {
      this.#held = false;
      this.#soon(0);
    }
  }

  /** The run that has the focus once these are gone, as in VS Code's own lists: the next one, else the one before. */
  after(runs: readonly Run[]): () => Promise<void> {
    const painted = this.#paintedAt;
    const last = runs.at(-1);
    const project = last && this.#projects.get(`${last.connection.root}/${last.projectId}`);
    const nodes = project ? rowsOf(project) : [];
    const place = nodes.findIndex(({ run }) => run.id === last?.executionId);
    const stays = ({ run }: RunNode): boolean => !runs.some(({ projectId, executionId }) => projectId === run.projectId && executionId === run.id);
    const next = nodes.slice(place + 1).find(stays) ?? nodes.slice(0, Math.max(place, 0)).filter(stays).at(-1);
    return async () => {
      // before the rows are painted without them the focus would be lost again
      for (const end = Date.now() + PAINT_MOST_MS; this.#paintedAt === painted && Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, TOGETHER_MS));
      if (next) await this.view.reveal(next, { focus: true, select: false });
    };
  }

  loadMore(project: ProjectNode): void {
    project.rows += setting('pageSize');
    project.stale = true;
    this.#paintSoon();
  }

  /** Lets in what waits above. */
  showArrivals(project: ProjectNode): void {
    project.anchor = undefined;
    project.stale = true;
    this.#stale = true;
    this.#paintSoon();
  }

  async getChildren(node?: Node): Promise<Node[]> {
    try {
      if (node === undefined) return await this.#roots();
      if (node.kind === 'root') return await this.#known(node.connection);
      return node.kind === 'project' ? await this.#runsOf(node) : [];
    } catch (error) {
      const command = { command: 'runlog.reload', title: 'Try again' };
      const where = node && 'connection' in node ? `${node.connection.root}/${node.kind === 'project' ? node.id : ''}` : '';
      return [{ kind: 'note', id: `error:${where}`, label: 'The runs cannot be listed', detail: message(error), icon: 'error', command }];
    }
  }

  /** Asked for where a row is to have the focus. */
  getParent(node: Node): Node | undefined {
    if (node.kind === 'run' || node.kind === 'more') return node.project;
    return node.kind === 'project' && this.session.connections.length > 1 ? { kind: 'root', connection: node.connection } : undefined;
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const item = itemOrWhy(node);
    item.id = idOf(node);
    if (node.kind === 'run' && node.marked) item.resourceUri = this.#painted.uri(item.id);
    return item;
  }

  /** The text beside a row is laid out only for who looks at it. */
  resolveTreeItem(item: vscode.TreeItem, node: Node): vscode.TreeItem {
    if (node.kind === 'run') item.tooltip = tooltip(node.run);
    return item;
  }

  async #roots(): Promise<Node[]> {
    const { state, connections, tried, trouble } = this.session;
    if (state === 'noRoot') return noRoot(tried);
    if (state === 'error' || state === 'pathWrong') return noDaemon(trouble);
    const [only, ...others] = connections;
    if (!only || (state !== 'ready' && state !== 'starting')) return [];
    const nodes: Node[] = others.length > 0 ? connections.map((connection) => ({ kind: 'root', connection })) : await this.#known(only);
    const silent = others.length === 0 && only.state === 'silent';
    this.#tellEmpty(nodes.length === 0 && this.#progress === '' && !silent);
    // the description of a view that is alone VS Code does not show; what an empty one says a message would hide
    const said = this.#progress || (silent ? SILENT : nodes.length > 0 ? plain(this.#filtered(connections)) : '');
    // which would put off the next painting
    if (said !== (this.view.message ?? '')) this.view.message = said;
    return nodes;
  }

  /** What the filter is, and whether all projects that pass it are here. */
  #filtered(connections: readonly Connection[]): string {
    const left = this.filter.active ? connections.reduce((sum, connection) => sum + (this.#unlisted.get(connection) ?? 0), 0) : 0;
    return line(cut(this.filter.text, MESSAGE_MAX), left > 0 && `not shown: ${counted(left, 'more project')}`);
  }

  /** What an empty view says is not said before it is known that it is. */
  #tellEmpty(empty: boolean): void {
    if (empty === this.#empty) return;
    this.#empty = empty;
    void vscode.commands.executeCommand('setContext', 'runlog.empty', empty);
  }

  /** The projects of a root. What is known of one that is not there is shown at once: the others are not to wait for it. */
  async #known(connection: Connection): Promise<ProjectNode[]> {
    const several = this.session.connections.length > 1;
    const asked = connection.state === 'ready' || connection.state === 'failing' || (!several && connection.state !== 'silent')
      ? await connection.unlessSilent(this.#projectsOf(connection)) : undefined;
    return asked ?? this.#shown.get(connection)?.nodes ?? [];
  }

  async #projectsOf(connection: Connection, again = false): Promise<ProjectNode[]> {
    const shown = this.#shown.get(connection);
    if (shown?.stale === false && !again) return shown.nodes;
    const filter = this.filter.text;
    const projects = await this.#listed(connection);
    const keyOf = ({ id }: { id: string }): string => `${connection.root}/${id}`;
    const waiting = await Promise.all(projects.map(async (known) => {
      const anchor = this.#projects.get(keyOf(known))?.anchor;
      if (anchor === undefined) return 0;
      return (await connection.request('executions/count', { projectId: known.id, ...this.filter.selection(`startedAt > ${anchor}`) })).count;
    }));
    // another filter may have been set meanwhile
    if (filter !== this.filter.text) return await this.#projectsOf(connection);
    let nodes = projects.map((known, place) => {
      const key = keyOf(known);
      let node = this.#projects.get(key);
      if (!node) this.#projects.set(key, node = { kind: 'project', connection, id: known.id, known, open: place < EXPANDED, ...nothing() });
      node.known = known;
      node.waiting = waiting[place] ?? 0;
      return node;
    });
    if (shown && this.#reading) nodes = shown.nodes.filter((node) => nodes.includes(node));
    // that look was taken before it was known what there is
    if (!shown) this.#shownLook = undefined;
    this.#shown.set(connection, { nodes, stale: false });
    return nodes;
  }

  /** The projects, of which a filter leaves those that have runs which pass it. */
  async #listed(connection: Connection): Promise<Array<ProjectNode['known'] & { id: string }>> {
    if (!this.filter.active) {
      const { projects, complete } = await connection.request('projects/list', { allowPartial: true });
      await this.#follow(connection, complete);
      // a root that has gone is looked for anew, as when the window began
      if (projects.length === 0 && !existsSync(connection.root)) void this.session.open();
      return projects;
    }
    const asked = { ...this.filter.selection(), groupBy: ['project' as const], limit: PAGE_MAX, allowPartial: true };
    const { groups, totalGroups, complete } = await connection.request('executions/count', asked);
    await this.#follow(connection, complete);
    this.#unlisted.set(connection, (totalGroups ?? 0) - (groups?.length ?? 0));
    return (groups ?? []).map(({ key: [id], count }) => ({ id: id ?? '', executions: count }));
  }

  /** Learns how far the first reading has come, and looks again while it goes on. */
  async #follow(connection: Connection, complete: boolean): Promise<void> {
    this.#progress = '';
    if (complete) return;
    const { indexing: { done, total } } = await connection.request('server/status', {});
    this.#progress = `Reading runs: ${count(done)} of ${count(total)}…`;
    this.#askSoon();
  }

  async #runsOf(project: ProjectNode): Promise<Node[]> {
    const { connection, runs: known } = project;
    // of one that is not there, or does not answer, what is known is shown, if there is any
    if (connection.state === 'ready' || known.length === 0) await connection.unlessSilent(this.#fresh(project));
    const { runs, total } = project;
    project.seen = [...runs];
    const nodes: Node[] = rowsOf(project);
    if (nodes[0]) this.#tops.set(project, idOf(nodes[0]));
    if (runs.length < total) nodes.push({ kind: 'more', project, shown: runs.length, total });
    return nodes;
  }

  async #fresh(project: ProjectNode): Promise<void> {
    while (project.stale) await this.#asking(project);
  }

  #asking(project: ProjectNode): Promise<void> {
    return (project.asking ??= this.#ask(project));
  }

  async #ask(project: ProjectNode): Promise<void> {
    const told: Told[] = project.told = [];
    project.stale = false;
    const { connection, id: projectId, rows, anchor } = project;
    const anchored = anchor === undefined ? '' : `not startedAt > ${anchor}`;
    // between two questions a run may have moved: rows are told apart by their ids
    const runs = new Map<string, Summary>();
    let total = 0;
    try {
      for (const where of this.filter.pinnedFirst ? ['pinned', and('not pinned', anchored)] : [anchored]) {
        let matching = 0;
        const limit = Math.min(Math.max(rows - runs.size, 1), PAGE_MAX);
        for await (const page of connection.pages('executions/list', { projectId, ...this.filter.selection(where), limit, allowPartial: true })) {
          matching = page.total;
          for (const run of page.executions) runs.set(run.id, run);
          if (runs.size >= rows) break;
        }
        total += matching;
      }
      // another filter may have been set meanwhile
      if (project.told !== told) return;
      project.runs = [...runs.values()].slice(0, rows);
      project.total = total;
      for (const one of told) lay(project.runs, one, this.#reading ? 0 : project.rows);
    } catch (error) {
      project.stale = true;
      throw error;
    } finally {
      if (project.told === told) project.asking = project.told = undefined;
    }
  }

  #selected(selection: readonly Node[]): void {
    this.chosen = runsOf(selection);
    void vscode.commands.executeCommand('setContext', 'runlog.hasSelection', this.chosen.length > 0);
    const selected = selection.find((node): node is RunNode => node.kind === 'run');
    const place = selected ? selected.project.runs.findIndex(({ id }) => id === selected.run.id) : -1;
    const deep = place >= READING_FROM_ROW;
    if (deep === this.#deep) return;
    this.#deep = deep;
    this.#paintSoon();
  }
}

/** A row that cannot be laid out is not to take the others with it. */
function itemOrWhy(node: Node): vscode.TreeItem {
  try {
    return itemOf(node);
  } catch (error) {
    return Object.assign(new vscode.TreeItem(visible(node.kind === 'run' ? node.run.id : node.kind)), { iconPath: new vscode.ThemeIcon('error'), description: message(error) });
  }
}

/** The runs that are seen of a project. */
function rowsOf(project: ProjectNode): RunNode[] {
  return project.seen.map((run, place) => ({ kind: 'run', connection: project.connection, run, project, marked: place % MARKED_EVERY === 0 }));
}

/** What is shown of a project before it is asked for. */
function nothing(): Pick<ProjectNode, 'rows' | 'runs' | 'seen' | 'total' | 'stale' | 'asking' | 'told' | 'anchor' | 'waiting'> {
  return { rows: setting('pageSize'), runs: [], seen: [], total: 0, stale: true, asking: undefined, told: undefined, anchor: undefined, waiting: 0 };
}

/** Whether a run that is not shown belongs between those that are, as one that was deleted and is put back. */
function comesBack({ runs, rows, anchor }: ProjectNode, told: Told): boolean {
  if (told.kind !== 'saved' || anchor === undefined || runs.some(({ id }) => id === told.summary.id)) return false;
  const startedAt = told.summary.startedAt ?? '';
  return startedAt <= anchor && (runs.length < rows || startedAt >= (runs.at(-1)?.startedAt ?? ''));
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
