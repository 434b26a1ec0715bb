/** Tells, to those who want it, that runs have failed: those of a few seconds together. */
import * as vscode from 'vscode';
import type { Filter } from './filter';
import { count } from './format';
import type { Summary } from '../../clients/node/types';
import type { Run } from './run';
import type { Session } from './session';
import { tell } from './tell';

const TOGETHER_MS = 2_000;
/** So many ids fit into a filter. */
const FILTERED_MAX = 200;
const SEEN_MAX = 10_000;

export class Failures implements vscode.Disposable {
  readonly #since = Date.now();
  /** Each failure is told once, however often its file is written again. */
  readonly #seen = new Set<string>();
  #failed: Array<{ run: Run; summary: Summary }> = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(session: Session, private readonly filter: Filter, context: vscode.ExtensionContext, private readonly open: (run: Run) => void) {
    context.subscriptions.push(this, session.onTold(({ connection, told }) => {
      if (told.kind !== 'saved' || told.summary.status !== 'failed') return;
      if (!vscode.workspace.getConfiguration('runlog').get('notifyOnFailure', false)) return;
      const { summary } = told;
      const key = `${connection.root}/${summary.projectId}/${summary.id}`;
      // what is only written again, or annotated, failed before this window was there
      if (Date.parse(summary.completedAt ?? summary.updatedAt) < this.#since || this.#seen.has(key)) return;
      if (this.#seen.size >= SEEN_MAX) this.#seen.clear();
      this.#seen.add(key);
      this.#failed.push({ run: { connection, projectId: summary.projectId, executionId: summary.id }, summary });
      this.#timer ??= setTimeout(() => void this.#tell(), TOGETHER_MS);
    }));
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }

  async #tell(): Promise<void> {
    const failed = this.#failed;
    this.#failed = [];
    this.#timer = undefined;
    const [first] = failed;
    if (!first) return;
    const { label, id, projectId, error } = first.summary;
    const text = failed.length === 1
      ? `Run failed in ${projectId}: ${label ?? id}${error ? `: ${error.split('\n', 1)[0]}` : ''}`
      : `${count(failed.length)} runs failed, the first in ${projectId}: ${label ?? id}`;
    if (await tell('Error', text, 'Show') === undefined) return;
    if (failed.length === 1) return this.open(first.run);
    const ids = failed.map(({ summary }) => JSON.stringify(summary.id)).slice(0, FILTERED_MAX);
    this.filter.set(`id in (${ids.join(', ')})`, []);
    await vscode.commands.executeCommand('runlog.runs.focus');
  }
}
