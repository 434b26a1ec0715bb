/** The page of one run: header, error in front, timeline, input and output. */
import { ago, bytes, count, dollars, isStale, localDate, span, visible } from '../src/format';
import type { FromRun, RunCommand, RunKey, ToRun } from '../src/messages';
import { shownTags } from '../src/tags';
import { arrange, badge, h, refill } from './dom';
import { act, answered } from './fields';
import { announce, hear, main, vscode } from './page';
import { forgetTimeline, redrawTimeline, timeline } from './timeline';
import { forgetSections, valueSection } from './value';

type Told = Extract<ToRun, { type: 'run' }>;
type Gone = Extract<ToRun, { type: 'gone' }>;

/** Staleness and what a running step has taken move without a change. */
const REDRAW_EVERY_MS = 30_000;

const head = h('header');
/** What is shown; nothing where the run is gone. */
let shown: Told | undefined;
let shownRun = '';

hear((told: ToRun) => {
  if (told.type === 'fields') return answered(told);
  vscode.setState(told.key);
  if (told.type === 'run') draw(told);
  else drawGone(told);
});
setInterval(() => {
  if (!shown) return;
  drawHead(shown);
  redrawTimeline();
}, REDRAW_EVERY_MS);
addEventListener('focus', () => vscode.postMessage({ type: 'focus' } satisfies FromRun));

function action(name: RunCommand, text: string, enabled = true): HTMLElement {
  return h('button', { id: name, disabled: !enabled, click: () => act({ type: 'command', name }) }, text);
}

function fact(name: string, value: string | null | undefined, title?: string): HTMLElement | '' {
  return value == null || value === '' ? '' : h('div', {}, h('dt', {}, name), h('dd', { title }, visible(value)));
}

/** What was shown of a run stays below what is said of its end. */
function drawGone({ key, text, undo }: Gone): void {
  const focused = document.hasFocus();
  const button = undo && action('undoDelete', 'Undo delete');
  const gone = h('div', { class: 'gone' }, h('p', {}, text), button);
  shown = undefined;
  head.querySelector('.toolbar')?.remove();
  arrange(main, [gone, ...(begins(key) ? [] : [...main.children].filter((part) => part.className !== 'gone'))]);
  announce(text);
  // with the toolbar the focus has gone
  if (button && focused && document.activeElement === document.body) button.focus();
}

/** Whether it is another run than the one before, of which then nothing is kept. */
function begins({ root, projectId, executionId }: RunKey): boolean {
  const identity = `${root}/${projectId}/${executionId}`;
  if (identity === shownRun) return false;
  shownRun = identity;
  forgetTimeline();
  forgetSections();
  scrollTo(0, 0);
  return true;
}

function draw(told: Told): void {
  const { key, got, summary } = told;
  begins(key);
  shown = told;
  const undone = document.hasFocus() && document.activeElement?.id === 'undoDelete';
  announce(`Run ${visible(summary?.label ?? key.executionId)}, ${visible(summary?.status ?? 'no status')}`);
  drawHead(told);
  if (!got) return;
  const { execution: record = {}, sizeBytes } = got;
  const cut = got.cut ?? [];
  const session = typeof record['sessionId'] === 'string' && record['sessionId'];
  arrange(main, [
    head,
    ...valueSection('Error', '/error', record.error, cut, 'h2'),
    ...timeline(record, cut),
    ...valueSection('Input', '/input', record.input, cut, 'h2'),
    ...valueSection('Output', '/output', record.output, cut, 'h2'),
    h('p', { class: 'quiet' }, visible(`${key.projectId} / ${key.executionId} · ${bytes(sizeBytes ?? 0)}${session ? ` · session ${session}` : ''}`)),
  ]);
  if (undone) document.getElementById('delete')?.focus();
}

function drawHead(told: Told): void {
  // not while somebody types elsewhere: to focus anything here would take that from him
  const focused = document.hasFocus() ? document.activeElement?.id : undefined;
  refill(head, headParts(told));
  // what looks otherwise now is another element
  if (focused) document.getElementById(focused)?.focus();
}

function headParts({ key, summary, newer, older, runAgain }: Told): HTMLElement[] {
  const { total, input, output } = summary?.tokenUsage ?? {};
  const usage = total == null ? '' : `${count(total)}${input != null && output != null ? ` (${count(input)} in, ${count(output)} out)` : ''}`;
  return [
    h('div', { class: 'title' }, h('h1', {}, visible(summary?.label ?? key.executionId)), badge(summary?.status, summary !== null && isStale(summary))),
    h('dl', { class: 'facts' },
      fact('Project', key.projectId), fact('Started', localDate(summary?.startedAt), ago(summary?.startedAt)), fact('Ended', localDate(summary?.completedAt)),
      fact('Duration', span(summary?.duration)), fact('Cost', dollars(summary?.costUSD)), fact('Tokens', usage),
      fact('Model', summary?.model), fact('Retries', summary?.retryCount ? count(summary.retryCount) : ''),
      fact('Tags', shownTags(summary?.tags ?? [])), fact('Note', summary?.note)),
    h('div', { class: 'toolbar', role: 'toolbar', 'aria-label': 'Run' },
      action('previousRun', '← Previous', newer), action('nextRun', 'Next →', older), action('openDocument', 'As text'), action('openFile', 'Open file'),
      action('reveal', 'Reveal'), action('copyId', 'Copy id'), summary?.pinned ? action('unpin', 'Unpin') : action('pin', 'Pin'),
      action('tag', 'Tags…'), action('note', 'Note…'), runAgain && action('runAgain', 'Run again'), action('delete', 'Delete')),
  ];
}
