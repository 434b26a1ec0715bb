/** Tells, to those who want it, that runs have failed: those of a few seconds together. */
import * as vscode from 'vscode';
import type { Filter } from './filter';
import { count } from './format';
import type { Summary } from '../../clients/node/types';
import { Run } from './run';
import type { Session } from './session';
import { setting } from './settings';
import { tell } from './tell';
import { together } from './together';

const TOGETHER_MS = 2_000;
/** So many ids fit into a filter. */
const FILTERED_MAX = 200;
const SEEN_MAX = 10_000;

export class Failures {
  /** Each failure is told once, however often its file is written again. */
  readonly #seen = new Set<string>();
  #failed: Array<{ run: Run; summary: Summary }> = [];

  constructor(session: Session, private readonly filter: Filter, context: vscode.ExtensionContext, private readonly open: (run: Run) => void) {
    const began = Date.now();
    const soon = together(TOGETHER_MS, () => void this.#tell(this.#failed.splice(0)));
    context.subscriptions.push(session.onTold(({ connection, told }) => {
      if (told.kind !== 'saved' || told.summary.status !== 'failed' || !setting('notifyOnFailure')) return;
      const { summary } = told;
      const run = new Run(connection, summary.projectId, summary.id);
      const key = run.uri.toString();
      // what is only written again, or annotated, failed before this window was there
      if (Date.parse(summary.completedAt ?? summary.updatedAt) < began || this.#seen.has(key)) return;
      if (this.#seen.size >= SEEN_MAX) this.#seen.clear();
      this.#seen.add(key);
      this.#failed.push({ run, summary });
      soon();
    }));
  }

  async #tell([first, ...others]: Array<{ run: Run; summary: Summary }>): Promise<void> {
    if (!first) return;
    const { label, id, projectId, error } = first.summary;
    const text = others.length === 0
      ? `Run failed in ${projectId}: ${label ?? id}${error ? `: ${error.split('\n', 1)[0]}` : ''}`
      : `${count(1 + others.length)} runs failed, the first in ${projectId}: ${label ?? id}`;
    if (await tell('Error', text, 'Show') === undefined) return;
    if (others.length === 0) return this.open(first.run);
    const ids = [first, ...others].map(({ summary }) => JSON.stringify(summary.id)).slice(0, FILTERED_MAX);
    this.filter.set(`id in (${ids.join(', ')})`, []);
    await vscode.commands.executeCommand('runlog.runs.focus');
  }
}
