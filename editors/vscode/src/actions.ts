/** What can be done with runs, from the view, the panel, a document or the command palette. */
import { spawn } from 'node:child_process';
import * as path from 'node:path';
import * as vscode from 'vscode';
import type { Documents } from './document';
import { count, line, message } from './format';
import { copyValue, type RunPanel } from './panel';
import type { Node } from './rows';
import { fileOf, summaryOf, type Run } from './run';
import type { Session } from './session';
import { plain, tell } from './tell';
import type { Tree } from './tree';

type Deletion = { run: Run; entry: string };
type Annotation = { pinned?: boolean; tags?: string[]; note?: string };

export class Actions {
  #compared: Run | undefined;
  /** What was deleted last, for `undoDelete`. */
  #deleted: Deletion[] = [];
  /** Whether the person was last in the view, not at a panel or a document: who has the focus VS Code does not tell. */
  #inView = false;

  constructor(
    private readonly session: Session, private readonly tree: Tree, private readonly panel: RunPanel,
    private readonly documents: Documents, private readonly context: vscode.ExtensionContext,
  ) {
    const one = (name: string, act: (run: Run) => unknown): void => this.#register(name, ([first]) => first && act(first));
    one('open', (run) => panel.show(run));
    one('openDocument', (run) => documents.open(run));
    one('openFile', (run) => vscode.commands.executeCommand('vscode.open', fileOf(run)));
    one('reveal', (run) => this.#reveal(run));
    one('copyOutput', (run) => copyValue(run, '/output'));
    one('tag', (run) => this.#tag(run));
    one('note', (run) => this.#note(run));
    one('runAgain', (run) => this.#runAgain(run));
    one('selectForCompare', (run) => {
      this.#compared = run;
      void vscode.commands.executeCommand('setContext', 'runlog.compareSelected', true);
    });
    one('compareWithSelected', (run) => this.#compared && documents.compare(this.#compared, run));
    this.#register('copyId', (runs) => vscode.env.clipboard.writeText(runs.map(({ executionId }) => executionId).join('\n')));
    this.#register('copyPath', (runs) => vscode.env.clipboard.writeText(runs.map((run) => fileOf(run).fsPath).join('\n')));
    this.#register('delete', (runs) => this.#delete(runs));
    this.#register('pin', (runs) => this.#annotate(runs, { pinned: true }));
    this.#register('unpin', (runs) => this.#annotate(runs, { pinned: false }));
    this.#register('compare', () => {
      const [a, b] = tree.view.selection.flatMap(runOf);
      if (a && b) return documents.compare(a, b);
      return tell('Information', 'Select two runs in the view to compare them.');
    });
    const used = (view: boolean) => (): void => void (this.#inView = view);
    context.subscriptions.push(
      tree.view.onDidChangeSelection(used(true)), panel.onUsed(used(false)),
      vscode.window.onDidChangeActiveTextEditor(used(false)), vscode.window.onDidChangeTextEditorSelection(used(false)),
      vscode.commands.registerCommand('runlog.undoDelete', (run?: Run) => this.#undo(run)),
      vscode.commands.registerCommand('runlog.previousRun', () => panel.step('newer')),
      vscode.commands.registerCommand('runlog.nextRun', () => panel.step('older')),
    );
  }

  #register(name: string, act: (runs: Run[]) => unknown): void {
    this.context.subscriptions.push(vscode.commands.registerCommand(`runlog.${name}`, async (...args: unknown[]) => {
      const runs = await this.#meant(args);
      if (runs.length === 0) return void tell('Information', 'Select a run in the view first.');
      try {
        await act(runs);
      } catch (error) {
        void tell('Error', `Runlog: ${message(error)}`);
      }
    }));
  }

  /** The rows a command was called on, else what is selected, shown by the panel or by a document: where the person was last. */
  async #meant([clicked, selected]: unknown[]): Promise<Run[]> {
    if (Array.isArray(selected)) return (selected as Node[]).flatMap(runOf);
    if (clicked && typeof clicked === 'object') {
      if ('kind' in clicked) return runOf(clicked as Node);
      if ('executionId' in clicked) return [clicked as Run];
    }
    const { view } = this.tree;
    // a key in the view says so
    const key = clicked === 'view';
    if (key && view.selection.length === 0) await vscode.commands.executeCommand('list.toggleSelection');
    const chosen = view.selection.flatMap(runOf);
    if (key || (this.#inView && !(clicked instanceof vscode.Uri) && chosen.length > 0)) return chosen;
    const uri = clicked instanceof vscode.Uri ? clicked : vscode.window.activeTextEditor?.document.uri;
    const run = (uri?.scheme === 'runlog' ? this.documents.runOf(uri) : undefined) ?? this.panel.active;
    return run ? [run] : chosen;
  }

  async #reveal(run: Run): Promise<void> {
    // a window in a browser has no file manager
    const local = vscode.env.uiKind === vscode.UIKind.Desktop && vscode.env.remoteName === undefined;
    await vscode.commands.executeCommand(local ? 'revealFileInOS' : 'revealInExplorer', fileOf(run));
  }

  async #delete(runs: Run[]): Promise<void> {
    const deleted: Deletion[] = [];
    const refused: string[] = [];
    const label = runs.length === 1 && runs[0] ? (await summaryOf(runs[0]))?.label : undefined;
    for (const run of runs) {
      const { connection, projectId, executionId } = run;
      try {
        const { entry } = await connection.request('executions/delete', { projectId, executionId });
        if (entry != null) deleted.push({ run, entry });
      } catch (error) {
        if (runs.length === 1) throw error;
        refused.push(`${executionId}: ${message(error)}`);
      }
    }
    if (deleted.length > 0) this.#deleted = deleted;
    else if (refused.length === 0) return;
    const what = deleted.length === 1 ? `run ${line(label, deleted[0]?.run.executionId)}` : `${deleted.length} runs`;
    const not = refused.length > 0 ? ` Not deleted: ${count(refused.length)}, the first ${refused[0]}` : '';
    const answer = await tell(not ? 'Warning' : 'Information', `Deleted ${what}.${not}`, ...(deleted.length > 0 ? ['Undo'] : []));
    if (answer === 'Undo') await this.#restore(deleted);
  }

  /** Restores a run, or what this window deleted last. */
  async #undo(run: Run | undefined): Promise<void> {
    if (run) {
      const { connection, projectId, executionId } = run;
      await connection.request('executions/restore', { projectId, executionId })
        .catch((error: unknown) => tell('Error', `Runlog: ${message(error)}`));
      return;
    }
    if (this.#deleted.length === 0) return void tell('Information', 'Nothing was deleted in this window.');
    await this.#restore(this.#deleted);
  }

  async #restore(deleted: Deletion[]): Promise<void> {
    try {
      for (const connection of new Set(deleted.map(({ run }) => run.connection))) {
        // the window may have met another daemon in the meantime
        const there = this.session.at(connection.root) ?? connection;
        await there.request('executions/restore', { entries: deleted.flatMap(({ run, entry }) => (run.connection === connection ? entry : [])) });
      }
      if (this.#deleted === deleted) this.#deleted = [];
    } catch (error) {
      void tell('Error', `Runlog: ${message(error)}`);
    }
  }

  async #annotate(runs: Run[], annotation: Annotation): Promise<void> {
    for (const { connection, projectId, executionId } of runs) {
      await connection.request('executions/annotate', { projectId, executionId, ...annotation });
    }
  }

  async #tag(run: Run): Promise<void> {
    const tags = (await summaryOf(run))?.tags ?? [];
    const value = await vscode.window.showInputBox({ title: 'Tags', prompt: 'Separated by commas', value: tags.join(', ') });
    if (value === undefined) return;
    await this.#annotate([run], { tags: value.split(',').map((tag) => tag.trim()).filter((tag) => tag !== '') });
  }

  async #note(run: Run): Promise<void> {
    const note = (await summaryOf(run))?.note ?? '';
    const value = await vscode.window.showInputBox({ title: 'Note', prompt: 'Empty removes it', value: note });
    if (value !== undefined) await this.#annotate([run], { note: value });
  }

  /** Starts the configured program, without a shell, with the ids as its last arguments. */
  async #runAgain({ connection, projectId, executionId }: Run): Promise<void> {
    const [program, ...args] = vscode.workspace.getConfiguration('runlog').get<string[]>('runAgainCommand', []);
    if (!program) {
      const answer = await tell('Information', 'Say in the settings which program runs a workflow again.', 'Open Settings');
      if (answer) await vscode.commands.executeCommand('workbench.action.openSettings', 'runlog.runAgainCommand');
      return;
    }
    const { log } = this.session;
    const child = spawn(program, [...args, projectId, executionId], { cwd: path.dirname(connection.root), stdio: ['ignore', 'pipe', 'pipe'], shell: false });
    const say = (text: Buffer): void => log.info(text.toString().trimEnd());
    child.stdout.on('data', say);
    child.stderr.on('data', say);
    const outcome = await new Promise<string | undefined>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', (status, signal) => resolve(status === 0 ? undefined : `it ended with ${signal ?? `status ${status}`}`));
    });
    if (outcome === undefined) return void vscode.window.setStatusBarMessage(plain(`Ran ${executionId} again`), 5000);
    const answer = await tell('Error', `${path.basename(program)} could not run it again: ${outcome}.`, 'Show Log');
    if (answer) log.show();
  }
}

function runOf(node: Node): Run[] {
  return node.kind === 'run' ? [{ connection: node.connection, projectId: node.run.projectId, executionId: node.run.id }] : [];
}
