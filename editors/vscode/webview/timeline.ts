/** The steps of a run as a waterfall: when each began, how long it took, what went in and out. */
import { count, counted, dollars, line, message, span, visible } from '../src/format';
import { membersOf, numberOf } from '../src/json';
import type { Cut, ExecutionRecord, Piece } from '../../clients/node/types';
import { arrange, badge, h, refill, statusClass } from './dom';
import { fieldsOf } from './fields';
import { valueSection } from './value';

type Step = Record<string, unknown>;
interface Scale { start: number; length: number }

/** How many steps are shown at once. */
const PAGE = 200;
/** How much of steps that the record was too large to hold is asked for at once. */
const PAGE_BYTES = 512 * 1024;

interface Timeline {
  element: HTMLElement;
  update: (record: ExecutionRecord, cut: readonly Cut[]) => void;
  /** Steps that go on take longer than when they were drawn. */
  redraw: () => void;
}
interface StepRow {
  element: HTMLElement;
  update: (step: unknown, cut: Cut[], scale: Scale) => void;
}

/** That of the run that is shown: which steps are shown and open stays when the run changes. */
let current: Timeline | undefined;

export function forgetTimeline(): void {
  current = undefined;
}

export function redrawTimeline(): void {
  current?.redraw();
}

export function timeline(record: ExecutionRecord, cut: readonly Cut[]): HTMLElement[] {
  const steps: unknown = record.steps;
  if (!Array.isArray(steps)) return valueSection('Steps', '/steps', steps, cut, 'h2');
  if (steps.length === 0) return [];
  current ??= newTimeline();
  current.update(record, cut);
  return [current.element];
}

function newTimeline(): Timeline {
  const heading = h('h2');
  const ruler = h('div', { class: 'axis', 'aria-hidden': 'true' });
  const list = h('ol', { class: 'steps' });
  const foot = h('p', { class: 'foot' });
  const rows: StepRow[] = [];
  let record: ExecutionRecord = {};
  let given: unknown[] = [];
  let byStep = new Map<string, Cut[]>();
  /** Steps that are not given, or not all of them, by pointer. */
  let pieces: Record<string, Piece> = {};
  let total = 0;
  /** How many steps somebody wants to see. */
  let wanted = PAGE;
  let turn = 0;
  /** Why some of them could not be had. */
  let trouble = '';

  const said = h('span', {});
  const more = h('button', { click: () => {
    if (trouble === '') wanted += PAGE;
    void fill();
  } });
  const redraw = (): void => {
    const scale = scaleOf(record, given.map(membersOf));
    const most = Math.min(wanted, total);
    const isKnown = (place: number): boolean => place < given.length || pieces[`/steps/${place}`] !== undefined;
    let to = 0;
    while (to < most && isKnown(to)) to++;
    heading.textContent = `Timeline (${counted(total, 'step')})`;
    refill(ruler, [ticks(scale)]);
    rows.length = Math.min(rows.length, to);
    for (let place = 0; place < to; place++) {
      const pointer = `/steps/${place}`;
      const piece = pieces[pointer];
      (rows[place] ??= newStep(place)).update(piece ? piece.value : given[place], piece ? piece.cut ?? [] : byStep.get(pointer) ?? [], scale);
    }
    arrange(list, rows.map(({ element }) => element));
    more.textContent = trouble === '' ? `Show more steps (${count(to)} of ${count(total)})` : 'Try again';
    said.textContent = trouble === '' ? '' : `${trouble} `;
    arrange(foot, trouble !== '' || to < total ? [said, more] : []);
  };
  /** Asks for what is wanted and not given, and shows it. */
  const fill = async (): Promise<void> => {
    const mine = ++turn;
    const missing = Array.from({ length: Math.min(wanted, total) }, (_, place) => `/steps/${place}`)
      .filter((pointer, place) => place >= given.length || byStep.get(pointer)?.some((one) => one.pointer === pointer));
    const found: Record<string, Piece> = {};
    let failed = '';
    for (let at = 0; at < missing.length && failed === ''; at += PAGE) {
      const asked = fieldsOf({ fields: missing.slice(at, at + PAGE), maxBytes: PAGE_BYTES });
      Object.assign(found, await asked.catch((error: unknown) => {
        failed = message(error);
        return {};
      }));
      if (mine !== turn) return;
    }
    [pieces, trouble] = [found, failed];
    redraw();
  };
  const update = (next: ExecutionRecord, cut: readonly Cut[]): void => {
    record = next;
    given = next.steps as unknown[];
    total = cut.find(({ pointer }) => pointer === '/steps')?.length ?? given.length;
    byStep = new Map();
    for (const one of cut) {
      const step = /^\/steps\/\d+/.exec(one.pointer)?.[0] ?? '';
      byStep.set(step, [...byStep.get(step) ?? [], one]);
    }
    void fill();
  };
  return { element: h('section', { class: 'timeline' }, heading, ruler, list, foot), update, redraw };
}

function moment(value: unknown): number | undefined {
  const millis = typeof value === 'string' ? Date.parse(value) : NaN;
  return Number.isNaN(millis) ? undefined : millis;
}

function lengthOf(step: Step): number | undefined {
  const duration = numberOf(step['duration']);
  if (duration !== undefined) return duration;
  const [start, end] = [moment(step['startedAt']), moment(step['completedAt'])];
  return start !== undefined && end !== undefined ? end - start : undefined;
}

/** From the beginning of the run to its end, or to now while it goes on. */
function scaleOf(record: ExecutionRecord, steps: Step[]): Scale {
  let start = moment(record.startedAt) ?? Infinity;
  let end = moment(record.completedAt) ?? (record.status === 'running' ? Date.now() : -Infinity);
  for (const step of steps) {
    const began = moment(step['startedAt']);
    if (began === undefined) continue;
    start = Math.min(start, began);
    end = Math.max(end, began + (lengthOf(step) ?? 0));
  }
  return { start, length: Math.max(end - start, 1) };
}

function ticks({ length }: Scale): HTMLElement {
  return h('span', { class: 'track' }, ...[0, 0.25, 0.5, 0.75, 1].map((part) => h('span', {}, span(length * part))));
}

function newStep(place: number): StepRow {
  let step: unknown;
  let cut: Cut[] = [];
  let open = false;
  const body = h('div', { class: 'step-body', id: `step-${place}` });
  const fill = (): void => arrange(body, open ? stepBody(place, step, cut) : []);
  const button = h('button', { class: 'step', id: `step-${place}-button`, 'aria-controls': body.id, 'aria-expanded': 'false', click: () => {
    open = !open;
    button.setAttribute('aria-expanded', String(open));
    fill();
  } });
  const update = (next: unknown, nextCut: Cut[], scale: Scale): void => {
    [step, cut] = [next, nextCut];
    refill(button, stepFace(place, membersOf(step), scale));
    fill();
  };
  return { element: h('li', {}, button, body), update };
}

/** What is seen of a step that is not open. */
function stepFace(place: number, step: Step, scale: Scale): HTMLElement[] {
  const text = (name: string): string | undefined => (typeof step[name] === 'string' ? step[name] : undefined);
  const status = text('status');
  const began = moment(step['startedAt']);
  const length = lengthOf(step) ?? (status === 'running' && began !== undefined ? Date.now() - began : undefined);
  const bar = h('span', { class: `fill ${statusClass(status)}`, hidden: began === undefined });
  const percent = (millis: number): string => `${Math.min(100, Math.max(0, (100 * millis) / scale.length))}%`;
  bar.style.left = percent((began ?? 0) - scale.start);
  bar.style.width = percent(length ?? 0);
  return [
    h('span', { class: 'step-name' },
      h('span', { class: 'twist', 'aria-hidden': 'true' }, '›'),
      h('span', { class: 'called' }, visible(text('nodeId') ?? text('name') ?? text('id') ?? `step ${place + 1}`)),
      h('span', { class: 'quiet kind' }, visible(text('nodeType') ?? text('type') ?? ''))),
    h('span', { class: 'track' }, bar),
    h('span', { class: 'step-time' }, span(length) ?? '–'),
    badge(status),
  ];
}

function stepBody(place: number, value: unknown, cut: Cut[]): HTMLElement[] {
  const step = membersOf(value);
  const usage = membersOf(step['tokenUsage']);
  const tokens = ([['input', 'in'], ['output', 'out']] as const).map(([name, text]) => {
    const number = numberOf(usage[name]);
    return number !== undefined && `${counted(number, 'token')} ${text}`;
  });
  const facts = line(typeof step['model'] === 'string' && visible(step['model']), dollars(numberOf(step['costUSD'])), ...tokens);
  const parts = ([['error', 'Error'], ['input', 'Input'], ['output', 'Output']] as const)
    .flatMap(([name, title]) => valueSection(title, `/steps/${place}/${name}`, step[name], cut, 'h4'));
  return [h('p', { class: 'quiet' }, facts || (parts.length === 0 && 'Nothing else was recorded.')), ...parts];
}
