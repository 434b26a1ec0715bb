/** The page of one run: header, error in front, timeline, input and output. */
import { ago, bytes, count, dollars, isStale, localDate, span } from '../src/format';
import type { FromRun, RunCommand, ToRun } from '../src/messages';
import type { Piece } from '../../clients/node/types';
import { parse } from '../src/json';
import { announce, badge, byId, h } from './dom';
import { forgetOpened, timeline, type StepAsker } from './timeline';
import { valueSection } from './value';

const vscode = acquireVsCodeApi();
const main = byId('main');
const say = (what: FromRun): void => vscode.postMessage(what);

/** Questions that are not answered yet. */
const pieces = new Map<string, { resolve(piece: Piece): void; reject(error: Error): void }>();
let steps: ((pieces: Array<{ place: number; piece: Piece }>) => void) | undefined;
let drawn = '';
let shownRun = '';

const asker: StepAsker = {
  piece: (pointer, start, size) => new Promise((resolve, reject) => {
    pieces.set(`${pointer}@${start}`, { resolve, reject });
    // with a range the answer is as large as the range
    say({ type: 'piece', pointer, start, bytes: start > 0 || size === 0 ? 1 << 20 : size });
  }),
  steps: (places) => new Promise((resolve) => {
    steps = resolve;
    say({ type: 'steps', places });
  }),
  copy: (pointer) => say({ type: 'copy', pointer }),
};

addEventListener('message', ({ data: text }: MessageEvent<string>) => {
  const data = parse(text) as ToRun;
  switch (data.type) {
    case 'run': return draw(data);
    case 'gone': return gone(data);
    case 'steps': return steps?.(data.pieces);
    case 'piece': {
      const key = `${data.pointer}@${data.start}`;
      const waiting = pieces.get(key);
      pieces.delete(key);
      if (data.piece) waiting?.resolve(data.piece);
      else waiting?.reject(new Error(data.error ?? 'It is not there any more.'));
    }
  }
});
addEventListener('focus', () => say({ type: 'focus' }));
addEventListener('keydown', (event) => {
  if (!event.altKey || (event.target as HTMLElement).closest('input')) return;
  if (event.key === 'ArrowLeft') say({ type: 'command', name: 'previousRun' });
  if (event.key === 'ArrowRight') say({ type: 'command', name: 'nextRun' });
});

function action(name: RunCommand, text: string, enabled = true): HTMLElement {
  return h('button', { 'data-command': name, disabled: !enabled, click: () => say({ type: 'command', name }) }, text);
}

function fact(name: string, value: string | null | undefined, title?: string): HTMLElement | '' {
  return value == null || value === '' ? '' : h('div', {}, h('dt', {}, name), h('dd', title ? { title } : {}, value));
}

function draw(data: Extract<ToRun, { type: 'run' }>): void {
  const { key, record, cut, summary, sizeBytes } = data;
  const identity = `${key.root}/${key.projectId}/${key.executionId}`;
  vscode.setState(key);
  if (identity !== shownRun) {
    forgetOpened();
    scrollTo(0, 0);
    announce(`Run ${summary?.label ?? key.executionId}, ${summary?.status ?? 'no status'}`);
  }
  const head = header(data);
  const version = JSON.stringify([identity, summary?.version]);
  const old = main.querySelector('header');
  // annotations change the head alone: what was loaded below stays
  if (version === drawn && old && summary) return old.replaceWith(head);
  drawn = version;
  shownRun = identity;
  const rows: HTMLElement[] = [head];
  if (record.error != null) {
    const error = valueSection('Error', '/error', record.error, cut, asker, 'h2');
    error.classList.add('error');
    rows.push(error);
  }
  const steps = timeline(record, cut, asker);
  if (steps) rows.push(steps);
  if (record.input != null) rows.push(valueSection('Input', '/input', record.input, cut, asker, 'h2'));
  if (record.output != null) rows.push(valueSection('Output', '/output', record.output, cut, asker, 'h2'));
  rows.push(h('p', { class: 'quiet' }, `${key.projectId} / ${key.executionId} · ${bytes(sizeBytes)}`));
  main.replaceChildren(...rows);
}

function header({ key, record, summary, newer, older, annotations, runAgain }: Extract<ToRun, { type: 'run' }>): HTMLElement {
  const tokens = summary?.tokenUsage;
  const usage = tokens?.total == null ? undefined : `${count(tokens.total)}${tokens.input != null && tokens.output != null ? ` (${count(tokens.input)} in, ${count(tokens.output)} out)` : ''}`;
  const session = typeof record['sessionId'] === 'string' ? record['sessionId'] : undefined;
  return h('header', {},
    h('div', { class: 'title' }, h('h1', {}, summary?.label ?? key.executionId), badge(summary?.status, summary !== null && isStale(summary))),
    h('dl', { class: 'facts' },
      fact('Project', key.projectId), fact('Started', localDate(summary?.startedAt), ago(summary?.startedAt)), fact('Ended', localDate(summary?.completedAt)),
      fact('Duration', span(summary?.duration)), fact('Cost', dollars(summary?.costUSD)), fact('Tokens', usage),
      fact('Model', summary?.model), fact('Retries', summary?.retryCount ? count(summary.retryCount) : ''), fact('Session', session),
      fact('Tags', summary?.tags?.join(', ')), fact('Note', summary?.note)),
    h('div', { class: 'toolbar', role: 'toolbar', 'aria-label': 'Run' },
      action('previousRun', '← Previous', newer), action('nextRun', 'Next →', older), action('openDocument', 'As text'), action('openFile', 'Open file'),
      action('reveal', 'Reveal'), action('copyId', 'Copy id'),
      ...(annotations ? [action(summary?.pinned ? 'unpin' : 'pin', summary?.pinned ? 'Unpin' : 'Pin'), action('tag', 'Tags…'), action('note', 'Note…')] : []),
      ...(runAgain ? [action('runAgain', 'Run again')] : []), action('delete', 'Delete')));
}

function gone({ text, undo }: Extract<ToRun, { type: 'gone' }>): void {
  drawn = '';
  main.replaceChildren(h('div', { class: 'gone', role: 'alert' }, h('p', {}, text), ...(undo ? [action('undoDelete', 'Undo delete')] : [])));
}

say({ type: 'ready' });
