/** What can be done with runs, from the view, the panel, a document or the command palette. */
import { spawn } from 'node:child_process';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { Unanswered } from './connection';
import type { Documents } from './document';
import { count, line, message } from './format';
import type { Notes } from './note';
import { copyValue, type RunPanel } from './panel';
import { runsOf, type Node } from './rows';
import { Run } from './run';
import type { Session } from './session';
import { isAllowed, setting } from './settings';
import { shownTags, tagChange } from './tags';
import { plain, tell } from './tell';
import type { Tree } from './tree';

/** So much of what a program said last is looked at. */
const SAID_MAX = 1000;
/** How many one request has back: the daemon takes no more entries. */
const RESTORED_AT_ONCE = 1000;
/** How many are pinned at once: the daemon takes no more than 1,024 requests that it has not answered. */
const PINNED_AT_ONCE = 500;

type Deletion = { run: Run; entry: string };

export class Actions {
  /** What was deleted last, for `undoDelete`. */
  #deleted: Deletion[] = [];
  /** Whether the person was last in the view, not at a panel or a document: who has the focus VS Code does not tell. */
  #inView = false;

  constructor(
    private readonly session: Session, private readonly tree: Tree, private readonly panel: RunPanel,
    private readonly documents: Documents, notes: Notes, context: vscode.ExtensionContext,
  ) {
    const command = (name: string, act: (...args: unknown[]) => unknown): void => {
      context.subscriptions.push(vscode.commands.registerCommand(`runlog.${name}`, async (...args: unknown[]) => {
        try {
          await act(...args);
        } catch (error) {
          void tell('Error', `Runlog: ${message(error)}`);
        }
      }));
    };
    const all = (name: string, act: (runs: Run[], byKey: boolean) => unknown): void => command(name, async (...args) => {
      const runs = await this.#meant(args);
      return runs.length > 0 ? act(runs, args[0] === 'view') : void tell('Information', 'Select a run in the view first.');
    });
    const one = (name: string, act: (run: Run) => unknown): void => all(name, ([first]) => first && act(first));
    one('open', (run) => panel.show(run));
    one('openDocument', (run) => documents.open(run));
    one('openFile', (run) => vscode.commands.executeCommand('vscode.open', run.file));
    // a window in a browser has no file manager
    const local = vscode.env.uiKind === vscode.UIKind.Desktop && vscode.env.remoteName === undefined;
    one('reveal', (run) => vscode.commands.executeCommand(local ? 'revealFileInOS' : 'revealInExplorer', run.file));
    one('copyOutput', (run) => copyValue(run, '/output'));
    one('tag', async (run) => {
      const tags = (await run.summary())?.tags ?? [];
      const typed = await vscode.window.showInputBox({ title: 'Tags', prompt: 'Separated by commas', value: shownTags(tags) });
      if (typed === undefined) return;
      const change = tagChange(tags, typed);
      if (change.addTags.length + change.removeTags.length > 0) await run.request('executions/annotate', change);
    });
    one('note', (run) => notes.edit(run));
    one('runAgain', (run) => this.#runAgain(run));
    all('copyId', (runs) => vscode.env.clipboard.writeText(runs.map(({ executionId }) => executionId).join('\n')));
    all('copyPath', (runs) => vscode.env.clipboard.writeText(runs.map(({ file }) => file.fsPath).join('\n')));
    all('delete', (runs, byKey) => this.#delete(runs, byKey));
    all('pin', (runs) => this.#pin(runs, true));
    all('unpin', (runs) => this.#pin(runs, false));
    all('compare', () => {
      const [a, b] = tree.chosen;
      return a && b ? documents.compare(a, b) : tell('Information', 'Select two runs in the view to compare them.');
    });
    command('undoDelete', (run) => (run instanceof Run ? run.request('executions/restore', {}) : this.#restore(this.#deleted)));
    command('previousRun', () => panel.step('newer'));
    command('nextRun', () => panel.step('older'));
    const used = (view: boolean) => (): void => void (this.#inView = view);
    context.subscriptions.push(
      tree.view.onDidChangeSelection(used(true)), panel.onUsed(used(false)),
      vscode.window.onDidChangeActiveTextEditor(used(false)), vscode.window.onDidChangeTextEditorSelection(used(false)),
    );
  }

  /** The rows a command was called on, else what is selected, shown by the panel or by a document: where the person was last. */
  async #meant([clicked, selected]: unknown[]): Promise<Run[]> {
    if (Array.isArray(selected)) return runsOf(selected);
    if (clicked instanceof Run) return [clicked];
    if (clicked && typeof clicked === 'object' && 'kind' in clicked) return runsOf([clicked as Node]);
    // a key in the view says so
    if (clicked === 'view') return await this.tree.meant();
    const { chosen } = this.tree;
    if (this.#inView && !(clicked instanceof vscode.Uri) && chosen.length > 0) return chosen;
    const uri = clicked instanceof vscode.Uri ? clicked : vscode.window.activeTextEditor?.document.uri;
    const run = (uri?.scheme === 'runlog' ? this.documents.runOf(uri) : undefined) ?? this.panel.active;
    return run ? [run] : chosen;
  }

  /** What is refused of one keeps no other from it. */
  async #pin(runs: Run[], pinned: boolean): Promise<void> {
    let refused: PromiseRejectedResult | undefined;
    for (let at = 0; at < runs.length; at += PINNED_AT_ONCE) {
      const some = runs.slice(at, at + PINNED_AT_ONCE);
      const answers = await Promise.allSettled(some.map((run) => run.request('executions/annotate', { pinned })));
      refused ??= answers.find((answer) => answer.status === 'rejected');
    }
    if (refused) throw refused.reason;
  }

  async #delete(runs: Run[], byKey: boolean): Promise<void> {
    const deleted: Deletion[] = [];
    const refused: string[] = [];
    const label = runs.length === 1 ? (await runs[0]?.summary())?.label : undefined;
    const next = this.tree.after(runs);
    for (const run of runs) {
      try {
        const entry = await deletion(run);
        if (entry != null) deleted.push({ run, entry });
      } catch (error) {
        if (runs.length === 1) throw error;
        refused.push(`${run.executionId}: ${message(error)}`);
      }
    }
    if (deleted.length > 0) this.#deleted = deleted;
    else if (refused.length === 0) return;
    // who has pressed a key in the view goes on there
    if (byKey) void next().catch((error: unknown) => this.session.log.debug(String(error)));
    const what = deleted.length === 1 ? `run ${line(label, deleted[0]?.run.executionId)}` : `${deleted.length} runs`;
    const not = refused.length > 0 ? ` Not deleted: ${count(refused.length)}, the first ${refused[0]}` : '';
    const answer = await tell(not ? 'Warning' : 'Information', `Deleted ${what}.${not}`, ...(deleted.length > 0 ? ['Undo'] : []));
    if (answer === 'Undo') await this.#restore(deleted);
  }

  async #restore(deleted: Deletion[]): Promise<void> {
    if (deleted.length === 0) return void tell('Information', 'Nothing was deleted in this window.');
    let refusal: unknown;
    for (let first; (first = deleted[0]); ) {
      const { connection } = first.run;
      const others = deleted.findIndex(({ run }) => run.connection !== connection);
      const some = deleted.splice(0, Math.min(others < 0 ? deleted.length : others, RESTORED_AT_ONCE));
      try {
        // the window may have met another daemon in the meantime
        const there = this.session.at(connection.root) ?? connection;
        await there.request('executions/restore', { entries: some.map(({ entry }) => entry) });
      } catch (error) {
        const { kind = '', entry } = (error as Error & { data?: { kind?: string; entry?: string } }).data ?? {};
        const useless = ['entry-not-found', 'already-exists'].includes(kind) ? some.findIndex((one) => one.entry === entry) : -1;
        // what is of no use any more keeps nothing else away; the others can be tried again
        deleted.unshift(...some.filter((_, index) => index !== useless));
        if (useless < 0) throw error;
        refusal = error;
      }
    }
    if (refusal) throw refusal;
  }

  /** Starts the configured program, without a shell, with the ids as its last arguments. */
  async #runAgain({ connection, projectId, executionId }: Run): Promise<void> {
    const [program, ...args] = setting('runAgainCommand');
    if (!program) {
      const answer = isAllowed('runAgainCommand')
        ? await tell('Information', 'Say in the settings which program runs a workflow again.', 'Open Settings')
        : await tell('Error', 'The setting runlog.runAgainCommand must be an array: the program, then its arguments, each a text of its own.', 'Open Settings');
      if (answer) await vscode.commands.executeCommand('workbench.action.openSettings', 'runlog.runAgainCommand');
      return;
    }
    const { log } = this.session;
    const child = spawn(program, [...args, projectId, executionId], { cwd: path.dirname(connection.root), stdio: ['ignore', 'pipe', 'pipe'], shell: false });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => log.info(text.toString().trimEnd()));
    let said = '';
    child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-SAID_MAX)));
    const outcome = await new Promise<string | undefined>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', (status, signal) => resolve(status === 0 ? undefined : `it ended with ${signal ?? `status ${status}`}`));
    });
    if (outcome === undefined) return void vscode.window.setStatusBarMessage(plain(`Ran ${executionId} again`), 5000);
    const last = said.trim().split('\n').at(-1);
    const answer = await tell('Error', `${path.basename(program)} could not run it again: ${outcome}${last ? `: ${last}` : '.'}`, 'Show Log');
    if (answer) log.show();
  }
}

/** Deletes a run: by which entry of the trash it is to be put back. */
async function deletion(run: Run): Promise<string | null | undefined> {
  try {
    return (await run.request('executions/delete', {})).entry;
  } catch (error) {
    // the answer was lost: whether it was deleted the next daemon knows
    if (!(error instanceof Unanswered) || await run.summary()) throw error;
    const trashed = await run.trashed();
    if (!trashed) throw error;
    return trashed.entry;
  }
}
