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
/** What fits into a filter, with room for what is written around the ids, and how many of them. */
const FILTER_BYTES_MAX = 16_000;
const FILTERED_MAX = 200;
const SEEN_MAX = 10_000;

interface Failed { run: Run; summary: Summary }

export function tellFailures(session: Session, filter: Filter, context: vscode.ExtensionContext, open: (run: Run) => void): void {
  const began = Date.now();
  // each failure is told once, however often its file is written again
  const seen = new Set<string>();
  const failed: Failed[] = [];
  const soon = together(TOGETHER_MS, () => void tellOf(failed.splice(0), filter, open));
  context.subscriptions.push(session.onTold(({ connection, told }) => {
    if (told.kind !== 'saved' || told.summary.status !== 'failed') return;
    if (!setting('notifyOnFailure')) return;
    const { summary } = told;
    const run = new Run(connection, summary.projectId, summary.id);
    const key = run.uri.toString();
    // what is only written again, or annotated, failed before this window was there
    if (Date.parse(summary.completedAt ?? summary.updatedAt) < began || seen.has(key)) return;
    if (seen.size >= SEEN_MAX) seen.clear();
    seen.add(key);
    failed.push({ run, summary });
    soon();
  }));
}

async function tellOf(failed: Failed[], filter: Filter, open: (run: Run) => void): Promise<void> {
  const [first, ...others] = failed;
  if (!first) return;
  const { label, id, projectId, error } = first.summary;
  const text = others.length === 0
    ? `Run failed in ${projectId}: ${label ?? id}${error ? `: ${error.split('\n', 1)[0]}` : ''}`
    : `${count(failed.length)} runs failed, the first in ${projectId}: ${label ?? id}`;
  const shown: string[] = [];
  let bytes = 0;
  for (const { summary } of failed.slice(0, FILTERED_MAX)) {
    const written = JSON.stringify(summary.id);
    bytes += Buffer.byteLength(written) + 2;
    if (bytes > FILTER_BYTES_MAX) break;
    shown.push(written);
  }
  if (await tell('Error', text, shown.length < failed.length ? `Show the First ${count(shown.length)}` : 'Show') === undefined) return;
  if (others.length === 0) return open(first.run);
  filter.set(`id in (${shown.join(', ')})`, []);
  await vscode.commands.executeCommand('runlog.runs.focus');
}
