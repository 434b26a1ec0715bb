/** The steps of a run as a waterfall: when each began, how long it took, what went in and out. */
import { count, dollars, line, span } from '../src/format';
import { membersOf, numberOf } from '../src/json';
import type { Cut, ExecutionRecord } from '../../clients/node/types';
import { badge, h } from './dom';
import { fieldsOf } from './fields';
import { valueSection } from './value';

type Step = Record<string, unknown>;
interface Scale { start: number; length: number }

/** How many steps are shown at once. */
const PAGE = 200;
/** How much of steps that the record was too large to hold is asked for at once. */
const PAGE_BYTES = 512 * 1024;

/** The places of the steps that are open; they stay open when the run changes. */
const opened = new Set<number>();

export function forgetOpened(): void {
  opened.clear();
}

export function timeline(record: ExecutionRecord, cut: readonly Cut[]): HTMLElement[] {
  const given: unknown = record.steps;
  if (!Array.isArray(given) || given.length === 0) return [];
  const total = cut.find(({ pointer }) => pointer === '/steps')?.length ?? given.length;
  const byStep = new Map<string, Cut[]>();
  for (const one of cut) {
    const step = /^\/steps\/\d+/.exec(one.pointer)?.[0] ?? '';
    byStep.set(step, [...byStep.get(step) ?? [], one]);
  }
  const list = h('ol', { class: 'steps' });
  const foot = h('p', { class: 'foot' });
  const scale = scaleOf(record, given.map(membersOf));

  const show = async (from: number): Promise<void> => {
    const to = Math.min(from + PAGE, total);
    const places = Array.from({ length: to - from }, (_, index) => from + index);
    const missing = (place: number): boolean => place >= given.length || byStep.get(`/steps/${place}`)?.some(({ pointer }) => pointer === `/steps/${place}`) === true;
    const fields = places.filter(missing).map((place) => `/steps/${place}`);
    const pieces = fields.length > 0 ? await fieldsOf({ fields, maxBytes: PAGE_BYTES }).catch(() => undefined) : {};
    list.append(...places.map((place) => {
      const piece = pieces?.[`/steps/${place}`];
      return stepRow(place, membersOf(piece ? piece.value : given[place]), piece ? piece.cut ?? [] : byStep.get(`/steps/${place}`) ?? [], scale);
    }));
    foot.replaceChildren(...(to < total ? [h('button', { click: () => void show(to) }, `Show more steps (${count(to)} of ${count(total)})`)] : []));
  };
  void show(0);
  return [h('section', { class: 'timeline' }, h('h2', {}, `Timeline (${count(total)} ${total === 1 ? 'step' : 'steps'})`), axis(scale), list, foot)];
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

function axis({ length }: Scale): HTMLElement {
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => h('span', {}, span(length * part)));
  return h('div', { class: 'axis', 'aria-hidden': 'true' }, h('span', { class: 'track' }, ...ticks));
}

function stepRow(place: number, step: Step, cut: Cut[], scale: Scale): HTMLElement {
  const text = (name: string): string | undefined => (typeof step[name] === 'string' ? step[name] : undefined);
  const status = text('status') ?? 'other';
  const began = moment(step['startedAt']);
  const length = lengthOf(step) ?? (status === 'running' && began !== undefined ? Date.now() - began : undefined);
  const bar = h('span', { class: `fill ${/^[a-z]+$/.test(status) ? status : 'other'}`, hidden: began === undefined });
  const percent = (millis: number): string => `${Math.min(100, Math.max(0, (100 * millis) / scale.length))}%`;
  bar.style.left = percent((began ?? 0) - scale.start);
  bar.style.width = percent(length ?? 0);
  const body = h('div', { class: 'step-body', id: `step-${place}` });
  const button = h('button', { class: 'step', 'aria-controls': body.id, click: () => toggle(!opened.has(place)) },
    h('span', { class: 'step-name' },
      h('span', { class: 'twist', 'aria-hidden': 'true' }, '›'),
      h('span', { class: 'called' }, text('nodeId') ?? text('name') ?? text('id') ?? `step ${place + 1}`),
      h('span', { class: 'quiet kind' }, text('nodeType') ?? text('type'))),
    h('span', { class: 'track' }, bar),
    h('span', { class: 'step-time' }, span(length) ?? '–'),
    badge(text('status')));
  const toggle = (open: boolean): void => {
    if (open) opened.add(place);
    else opened.delete(place);
    button.setAttribute('aria-expanded', String(open));
    body.replaceChildren(...(open ? stepBody(place, step, cut) : []));
  };
  toggle(opened.has(place));
  return h('li', {}, button, body);
}

function stepBody(place: number, step: Step, cut: Cut[]): HTMLElement[] {
  const usage = membersOf(step['tokenUsage']);
  const tokens = ([['input', 'in'], ['output', 'out']] as const).map(([name, text]) => {
    const number = numberOf(usage[name]);
    return number !== undefined && `${count(number)} tokens ${text}`;
  });
  const facts = line(typeof step['model'] === 'string' && step['model'], dollars(numberOf(step['costUSD'])), ...tokens);
  const parts = ([['error', 'Error'], ['input', 'Input'], ['output', 'Output']] as const)
    .flatMap(([name, title]) => valueSection(title, `/steps/${place}/${name}`, step[name], cut, 'h4'));
  return [h('p', { class: 'quiet' }, facts || (parts.length === 0 && 'Nothing else was recorded.')), ...parts];
}
