/** The rows of the view: what each is, by what it is known, and what it says. */
import * as vscode from 'vscode';
import type { Connection } from './connection';
import { ago, brief, count, dollars, isStale, line, price, span } from './format';
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
  | { kind: 'note'; id: string; label: string; detail?: string; icon: string; command?: vscode.Command };

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
  ];
}

export function itemOf(node: Node): vscode.TreeItem {
  switch (node.kind) {
    case 'root': return rootItem(node.connection);
    case 'project': return projectItem(node);
    case 'run': return runItem(node);
    case 'more': return moreItem(node);
    case 'note': return noteItem(node);
  }
}

function projectItem({ id, known, open, waiting }: ProjectNode): vscode.TreeItem {
  const item = new vscode.TreeItem(id, open ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.Collapsed);
  item.contextValue = waiting > 0 ? 'project held' : 'project';
  item.iconPath = new vscode.ThemeIcon('folder');
  const failed = known.failed ? `${count(known.failed)} failed` : '';
  const running = known.running ? `${count(known.running)} running` : '';
  item.description = line(waiting > 0 && `${count(waiting)} new ↑`, count(known.executions), running, failed, price(known.totalCostUSD));
  item.tooltip = line(`${count(known.executions)} runs`, running, failed, dollars(known.totalCostUSD));
  return item;
}

function rootItem(connection: Connection): vscode.TreeItem {
  const { root, state } = connection;
  const item = new vscode.TreeItem(nameOf(connection), vscode.TreeItemCollapsibleState.Expanded);
  item.iconPath = new vscode.ThemeIcon('root-folder');
  item.description = state === 'ready' ? root : line(root, 'connecting…');
  item.tooltip = root;
  return item;
}

export function runOf({ connection, run }: RunNode): Run {
  return new Run(connection, run.projectId, run.id);
}

function runItem(node: RunNode): vscode.TreeItem {
  const { run } = node;
  const stale = isStale(run);
  const item = new vscode.TreeItem(run.label ?? run.id, vscode.TreeItemCollapsibleState.None);
  item.contextValue = run.pinned ? 'run pinned' : 'run';
  item.iconPath = statusIcon(run.status, stale);
  const when = ago(run.startedAt ?? run.updatedAt);
  const tags = run.tags?.map((tag) => `#${tag}`).join(' ');
  // a narrow view cuts off its end
  item.description = line(run.pinned && '★', stale && 'stale', price(run.costUSD), when, brief(run.duration), tags);
  item.accessibilityInformation = {
    label: line(run.label ?? run.id, run.status ?? 'no status', run.pinned && 'pinned', stale && 'stale', when, span(run.duration), dollars(run.costUSD), tags),
  };
  item.command = { command: 'runlog.open', title: 'Open run', arguments: [runOf(node)] };
  return item;
}

/** Text of records is appended as text: nothing in it is a link or an image. */
export function tooltip(run: Summary): vscode.MarkdownString {
  const stale = isStale(run);
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
  item.description = `${count(shown)} of ${count(total)}`;
  item.iconPath = new vscode.ThemeIcon('ellipsis');
  item.command = { command: 'runlog.loadMore', title: 'Load more', arguments: [project] };
  return item;
}

function noteItem({ label, detail, icon, command }: Extract<Node, { kind: 'note' }>): vscode.TreeItem {
  const item = new vscode.TreeItem(label, vscode.TreeItemCollapsibleState.None);
  if (detail) item.description = item.tooltip = detail;
  if (command) item.command = command;
  item.iconPath = new vscode.ThemeIcon(icon);
  return item;
}
