/** The steps of a run as a waterfall: when each began, how long it took, what went in and out. */
import { count, dollars, line, span } from '../src/format';
import { membersOf, numberOf } from '../src/json';
import { STEPS_PAGE } from '../src/messages';
import type { Cut, ExecutionRecord, Piece } from '../../clients/node/types';
import { badge, h } from './dom';
import { valueSection, type Asker } from './value';

type Step = Record<string, unknown>;
interface Shown { place: number; step: Step; cut: Cut[] }

export interface StepAsker extends Asker {
  steps(places: number[]): Promise<Array<{ place: number; piece: Piece }>>;
}

/** The places of the steps that are open; they stay open when the run changes. */
const opened = new Set<number>();

export function forgetOpened(): void {
  opened.clear();
}

export function timeline(record: ExecutionRecord, cut: readonly Cut[], asker: StepAsker): HTMLElement | undefined {
  const given: unknown = record.steps;
  if (!Array.isArray(given) || given.length === 0) return undefined;
  const total = cut.find(({ pointer }) => pointer === '/steps')?.length ?? given.length;
  const byStep = new Map<number, Cut[]>();
  for (const one of cut) {
    const place = Number(/^\/steps\/(\d+)/.exec(one.pointer)?.[1] ?? -1);
    byStep.set(place, [...byStep.get(place) ?? [], one]);
  }
  const list = h('ol', { class: 'steps' });
  const foot = h('p', { class: 'foot' });
  const section = h('section', { class: 'timeline' }, h('h2', {}, `Timeline (${count(total)} ${total === 1 ? 'step' : 'steps'})`));
  const scale = scaleOf(record, given.map(membersOf));
  section.append(axis(scale), list, foot);

  const show = async (from: number): Promise<void> => {
    const to = Math.min(from + STEPS_PAGE, total);
    const rows: Shown[] = [];
    const wanting: number[] = [];
    for (let place = from; place < to; place++) {
      rows.push({ place, step: membersOf(given[place]), cut: byStep.get(place) ?? [] });
      const whole = byStep.get(place)?.find(({ pointer }) => pointer === `/steps/${place}`);
      if (place >= given.length || whole) wanting.push(place);
    }
    if (wanting.length > 0) {
      for (const { place, piece } of await asker.steps(wanting)) {
        const row = rows[place - from];
        if (!row) continue;
        row.step = membersOf(piece.value);
        row.cut = piece.cut ?? [];
      }
    }
    list.append(...rows.map((row) => stepRow(row, scale, asker)));
    foot.replaceChildren(...(to < total ? [h('button', { click: () => void show(to) }, `Show more steps (${count(to)} of ${count(total)})`)] : []));
  };
  void show(0);
  return section;
}

interface Scale { start: number; length: number }

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

function axis({ length }: Scale): HTMLElement {
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => h('span', {}, span(length * part) ?? ''));
  return h('div', { class: 'axis', 'aria-hidden': 'true' }, h('span', { class: 'track' }, ...ticks));
}

function stepRow({ place, step, cut }: Shown, scale: Scale, asker: StepAsker): HTMLElement {
  const text = (name: string): string | undefined => (typeof step[name] === 'string' ? step[name] : undefined);
  const called = text('nodeId') ?? text('name') ?? text('id') ?? `step ${place + 1}`;
  const status = text('status') ?? 'other';
  const began = moment(step['startedAt']);
  const length = lengthOf(step) ?? (status === 'running' && began !== undefined ? Date.now() - began : undefined);
  const kind = text('nodeType') ?? text('type');
  const bar = h('span', { class: `fill ${/^[a-z]+$/.test(status) ? status : 'other'}` });
  if (began === undefined) {
    bar.hidden = true;
  } else {
    bar.style.left = `${Math.min(100, Math.max(0, (100 * (began - scale.start)) / scale.length))}%`;
    bar.style.width = `${Math.min(100, (100 * (length ?? 0)) / scale.length)}%`;
  }
  const panel = h('div', { class: 'step-body', id: `step-${place}` });
  const button = h('button', {
    class: 'step', 'aria-expanded': 'false', 'aria-controls': `step-${place}`,
    click: () => toggle(!opened.has(place)),
  },
  h('span', { class: 'step-name' }, h('span', { class: 'twist', 'aria-hidden': 'true' }, '›'), h('span', { class: 'called' }, called), kind ? h('span', { class: 'quiet kind' }, kind) : ''),
  h('span', { class: 'track' }, bar),
  h('span', { class: 'step-time' }, span(length) ?? '–'),
  badge(text('status')));
  const toggle = (open: boolean): void => {
    if (open) opened.add(place);
    else opened.delete(place);
    button.setAttribute('aria-expanded', String(open));
    panel.replaceChildren(...(open ? stepBody(place, step, cut, asker) : []));
  };
  if (opened.has(place)) toggle(true);
  return h('li', {}, button, panel);
}

function stepBody(place: number, step: Step, cut: Cut[], asker: StepAsker): HTMLElement[] {
  const parts: HTMLElement[] = [];
  const usage = membersOf(step['tokenUsage']);
  const tokens = ([['input', 'in'], ['output', 'out']] as const).map(([name, text]) => {
    const number = numberOf(usage[name]);
    return number !== undefined && `${count(number)} tokens ${text}`;
  });
  const facts = line(typeof step['model'] === 'string' && step['model'], dollars(numberOf(step['costUSD'])), ...tokens);
  if (facts !== '') parts.push(h('p', { class: 'quiet' }, facts));
  for (const [name, title] of [['error', 'Error'], ['input', 'Input'], ['output', 'Output']] as const) {
    if (step[name] == null) continue;
    const section = valueSection(title, `/steps/${place}/${name}`, step[name], cut, asker, 'h4');
    if (name === 'error') section.classList.add('error');
    parts.push(section);
  }
  return parts.length > 0 ? parts : [h('p', { class: 'quiet' }, 'Nothing else was recorded.')];
}
