/** The rows of the view: what each is, by what it is known, and what it says. */
import * as vscode from 'vscode';
import type { Connection, State } from './connection';
import { ago, beside, brief, count, counted, dollars, isStale, line, localDate, price, span, visible } from './format';
import type { Project, Summary, Told } from '../../clients/node/types';
import { nameOf } from './roots';
import { Run } from './run';
import { statusIcon } from './status';

export interface RunNode {
  kind: 'run';
  connection: Connection;
  run: Summary;
  project: ProjectNode;
  /** Whether it is told when this row is painted. */
  marked: boolean;
}
/** A project, which stays the same object, and what is shown of it. */
export interface ProjectNode {
  kind: 'project';
  connection: Connection;
  id: string;
  known: Pick<Project, 'executions'> & Partial<Project>;
  /** Whether it is open at first. */
  open: boolean;
  /** How many runs are shown at most. */
  rows: number;
  runs: Summary[];
  /** Those that the last painting showed. */
  seen: Summary[];
  total: number;
  /** Whether the list is to be asked for. */
  stale: boolean;
  asking: Promise<void> | undefined;
  /** What was told while it is asked for, which the answer may lack. */
  told: Told[] | undefined;
  /** The beginning of the newest run that is shown, while later ones wait. */
  anchor: string | undefined;
  waiting: number;
}
export type Node =
  | RunNode
  | ProjectNode
  | { kind: 'root'; connection: Connection }
  | { kind: 'more'; project: ProjectNode; shown: number; total: number }
  | { kind: 'note'; id: string; label: string; detail?: string | undefined; icon: string; command?: vscode.Command | undefined };

/** What tells a row from all others, however often it is painted. */
export function idOf(node: Node): string {
  switch (node.kind) {
    case 'root': return `root:${node.connection.root}`;
    case 'project': return `project:${node.connection.root}/${node.id}`;
    case 'run': return `run:${node.connection.root}/${node.run.projectId}/${node.run.id}`;
    case 'more': return `more:${idOf(node.project)}`;
    case 'note': return `note:${node.id}`;
  }
}

/** What is said where there is no root. */
export function noRoot(tried: string[]): Node[] {
  return [
    { kind: 'note', id: 'none', label: 'No runs were found', detail: 'Looked in:', icon: 'info' },
    ...tried.map((place): Node => ({ kind: 'note', id: `tried:${place}`, label: place, icon: 'circle-small' })),
    { kind: 'note', id: 'choose', label: 'Choose folder…', icon: 'folder-opened', command: { command: 'runlog.chooseFolder', title: 'Choose folder' } },
    // a folder that comes with all that is in it may not be told
    { kind: 'note', id: 'again', label: 'Look again', icon: 'refresh', command: { command: 'runlog.reload', title: 'Look again' } },
  ];
}

/** What is said where the program is of no use. */
export function noDaemon(trouble: string): Node[] {
  return [
    { kind: 'note', id: 'trouble', label: 'The runs cannot be listed', icon: 'error' },
    ...trouble.split('\n').filter((text) => text.trim() !== '').map((label, place): Node => ({ kind: 'note', id: `trouble:${place}`, label, icon: 'circle-small' })),
    { kind: 'note', id: 'path', label: 'Set its path…', icon: 'settings-gear', command: { command: 'runlog.setPath', title: 'Set its path' } },
    { kind: 'note', id: 'again', label: 'Try again', icon: 'refresh', command: { command: 'runlog.reload', title: 'Try again' } },
    { kind: 'note', id: 'log', label: 'Show the log', icon: 'output', command: { command: 'runlog.showLog', title: 'Show the log' } },
  ];
}

/** How it is with a root's daemon, where that is worth a word. */
const STATES: Record<State, string> = { starting: 'connecting…', ready: '', silent: 'does not answer', lost: 'connecting…', failing: 'not served' };

const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState;

export function itemOf(node: Node): vscode.TreeItem {
  const item = laidOut(node);
  if (typeof item.description === 'string') item.description = beside(item.description);
  return item;
}

function laidOut(node: Node): vscode.TreeItem {
  switch (node.kind) {
    case 'run': return runItem(node);
    case 'project': return projectItem(node);
    case 'root': {
      const { root, state, reason } = node.connection;
      return Object.assign(new vscode.TreeItem(visible(nameOf(node.connection)), Expanded), {
        iconPath: new vscode.ThemeIcon('root-folder'), description: line(STATES[state], visible(root)),
        tooltip: visible(state === 'failing' ? `${root}\n${reason}` : root),
      });
    }
    case 'more': return Object.assign(new vscode.TreeItem('Load more…', None), {
      iconPath: new vscode.ThemeIcon('ellipsis'), description: `${count(node.shown)} of ${count(node.total)}`,
      command: { command: 'runlog.loadMore', title: 'Load more', arguments: [node.project] },
    });
    case 'note': return Object.assign(new vscode.TreeItem(visible(node.label), None), {
      iconPath: new vscode.ThemeIcon(node.icon), description: node.detail, tooltip: node.detail ?? node.label, command: node.command,
    });
  }
}

function projectItem({ id, known, open, waiting }: ProjectNode): vscode.TreeItem {
  const failed = known.failed ? `${count(known.failed)} failed` : '';
  const running = known.running ? `${count(known.running)} running` : '';
  return Object.assign(new vscode.TreeItem(visible(id), open ? Expanded : Collapsed), {
    contextValue: waiting > 0 ? 'project held' : 'project', iconPath: new vscode.ThemeIcon('folder'),
    description: line(waiting > 0 && `${count(waiting)} new ↑`, count(known.executions), running, failed, price(known.totalCostUSD)),
    tooltip: line(counted(known.executions, 'run'), running, failed, dollars(known.totalCostUSD)),
  });
}

export function runsOf(nodes: readonly Node[]): Run[] {
  return nodes.flatMap((node) => (node.kind === 'run' ? runOf(node) : []));
}

function runOf({ connection, run }: RunNode): Run {
  return new Run(connection, run.projectId, run.id);
}

function runItem(node: RunNode): vscode.TreeItem {
  const { run } = node;
  const stale = isStale(run);
  const label = visible(run.label ?? run.id);
  const when = ago(run.startedAt ?? run.updatedAt);
  const tags = visible(run.tags?.map((tag) => `#${tag}`).join(' ') ?? '');
  return Object.assign(new vscode.TreeItem(label, None), {
    contextValue: run.pinned ? 'run pinned' : 'run', iconPath: statusIcon(run.status, stale),
    // a narrow view cuts off its end
    description: line(run.pinned && '★', stale && 'stale', price(run.costUSD), when, brief(run.duration), tags),
    accessibilityInformation: {
      label: line(label, visible(run.status ?? 'no status'), run.pinned && 'pinned', stale && 'stale', when, span(run.duration), dollars(run.costUSD), tags),
    },
    command: { command: 'runlog.open', title: 'Open run', arguments: [runOf(node)] },
  });
}

/** Text of records is appended as text: nothing in it is a link or an image. */
export function tooltip(run: Summary): vscode.MarkdownString {
  const stale = isStale(run);
  const text = new vscode.MarkdownString().appendText(visible(run.label ?? run.id));
  const rows = [
    line(run.status, stale && 'stale', run.model), line(localDate(run.startedAt), span(run.duration)),
    line(dollars(run.costUSD), run.tokenUsage?.total != null && counted(run.tokenUsage.total, 'token'), counted(run.stepCount, 'step')),
    run.error, run.note, run.id,
  ];
  for (const row of rows) if (row) text.appendMarkdown('\n\n').appendText(visible(row));
  return text;
}
