/** Where everything begins: what there is in a window, and what the view's own commands do. */
import * as vscode from 'vscode';
import { Actions } from './actions';
import { Dashboard } from './dashboard';
import { Documents } from './document';
import { tellFailures } from './failures';
import { Filter } from './filter';
import { Notes } from './note';
import { RunPanel } from './panel';
import { showProblems } from './problems';
import type { ProjectNode } from './rows';
import { search } from './search';
import { Session } from './session';
import { showToday } from './statusbar';
import { Tree } from './tree';

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('Runlog', { log: true });
  context.subscriptions.push(log);
  const session = new Session(context, log);
  const filter = new Filter(session);
  const tree = new Tree(session, filter, context);
  const documents = new Documents(session, context);
  const panel = new RunPanel(session, filter, context);
  const dashboard = new Dashboard(session, filter, context, (run) => panel.show(run));
  new Actions(session, tree, panel, documents, new Notes(session, context), context);
  tellFailures(session, filter, context, (run) => panel.show(run));
  showToday(session, context);
  showProblems(session, context);

  const commands: Record<string, (argument?: unknown) => unknown> = {
    reload: () => session.open(),
    filter: () => filter.edit(),
    filterActive: () => filter.edit(),
    filterStatus: () => filter.pickStatus(),
    clearFilter: () => filter.set('', []),
    search: () => search(session, (run) => panel.show(run)),
    dashboard: (node) => dashboard.show(node as ProjectNode | undefined),
    loadMore: (node) => tree.loadMore(node as ProjectNode),
    showArrivals: (node) => tree.showArrivals(node as ProjectNode),
    showLog: () => log.show(),
    setPath: () => vscode.commands.executeCommand('workbench.action.openSettings', 'runlog.path'),
    chooseFolder,
  };
  for (const [name, act] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(`runlog.${name}`, act));
  }
  void session.open();
}

/** Lets the person say where the runs are, for this workspace. */
async function chooseFolder(): Promise<void> {
  // asked here: what the command depends on VS Code knows seconds later than the rows that call it
  if (!vscode.workspace.isTrusted) return;
  const [folder] = await vscode.window.showOpenDialog({
    canSelectFiles: false, canSelectFolders: true, openLabel: 'Show Its Runs', title: 'The folder that holds a folder for each project',
  }) ?? [];
  if (!folder) return;
  const target = vscode.workspace.workspaceFolders ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await vscode.workspace.getConfiguration('runlog').update('projects', [folder.fsPath], target);
}
